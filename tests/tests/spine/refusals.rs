//! What is malformed, hidden or not authorised is refused, recorded, and never sent on.

use serde_json::{Value, json};

use super::guarded;

#[tokio::test]
async fn two_parsers_cannot_be_played_against_each_other() {
    let (mock, haris, client) = guarded("").await;
    let bodies: [(&str, Vec<u8>); 6] = [
        ("duplicate key", br#"{"model":"gpt-4o","messages":[],"messages":[{"role":"user","content":"a"}]}"#.to_vec()),
        ("invalid UTF-8", b"{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}".to_vec()),
        ("lone surrogate", br#"{"model":"gpt-4o","messages":[{"role":"user","content":"\ud800"}]}"#.to_vec()),
        ("trailing data", br#"{"model":"gpt-4o","messages":[{"role":"user","content":"a"}]} {}"#.to_vec()),
        ("not JSON", b"model=gpt-4o".to_vec()),
        ("depth", format!("{}1{}", "[".repeat(5000), "]".repeat(5000)).into_bytes()),
    ];
    for (what, body) in bodies {
        let answer = client.post_raw("/chat/completions", body).await.unwrap();
        assert_eq!(answer.status, 400, "{what}: {}", answer.body);
        assert!(answer.json()["error"]["message"].is_string(), "{what}: {}", answer.body);
        assert!(haris.event(&answer.event()).to_string().contains("gw.request.refused/1"), "{what}");
    }
    assert!(mock.received().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let (mock, _haris, client) = guarded("[limits]\nbody_bytes = 65536\n").await;
    let answer = client.post_raw("/chat/completions", vec![b' '; 70_000]).await;
    // The server may close before the whole body is sent: a reset is a refusal too.
    if let Ok(answer) = answer {
        assert_eq!(answer.status, 413, "{}", answer.body);
    }
    assert!(mock.received().is_empty());
}

#[tokio::test]
async fn callers_need_a_key_that_lives() {
    let (mock, haris, client) = guarded("").await;
    let ask = |key: &str| {
        let client = client.with_key(key);
        async move { client.ask("gpt-4o", "hello", false).await }
    };
    assert_eq!(ask("").await.status, 401);
    assert_eq!(ask("hk_nobody").await.status, 401);
    let key = haris.key("short-lived");
    assert_eq!(ask(&key).await.status, 200);
    let _ = haris.admin(&["callers", "revoke", "short-lived"]);
    assert_eq!(ask(&key).await.status, 401);
    assert_eq!(mock.received().len(), 1);
}

#[tokio::test]
async fn a_caller_uses_the_models_it_was_given() {
    let (mock, haris, client) = guarded("").await;
    let narrow = client.with_key(&haris.key_with("narrow", &["--models", "gpt-4o-mini,gpt-narrow-*"]));
    // The same answer for a model that nobody has: a key tells nothing of what others may use.
    for (model, status) in [("gpt-4o-mini", 200), ("gpt-narrow-7", 200), ("gpt-4o", 403), ("nobody-has-this", 403)] {
        let answer = narrow.ask(model, "hello", false).await;
        assert_eq!(answer.status, status, "{model}: {}", answer.body);
    }
    assert_eq!(mock.received().len(), 2);
}

#[tokio::test]
async fn a_caller_has_so_many_requests_at_once() {
    let (mock, haris, client) = guarded("[limits]\ncaller_requests = 1\n").await;
    let first = {
        let client = client.clone();
        tokio::spawn(async move { client.ask("gpt-mock.slow-3000", "hello", false).await })
    };
    while mock.received().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let second = client.ask("gpt-4o", "hello", false).await;
    assert_eq!(second.status, 429, "{}", second.body);
    assert!(second.headers.contains_key("retry-after"));
    let other = client.with_key(&haris.key("other")).ask("gpt-4o", "hello", false).await;
    assert_eq!(other.status, 200, "one caller's load is not another's");
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(client.ask("gpt-4o", "hello", false).await.status, 200);
}

#[tokio::test]
async fn unknown_fields_and_media_follow_the_route() {
    let more = "[[routes]]\nname = \"strict\"\nmodels = [\"gpt-strict\"]\nupstream = \"mock\"\n\
                unknown_fields = \"refuse\"\nmedia = \"refuse\"\n\
                [[routes]]\nname = \"lenient\"\nmodels = [\"gpt-lenient\"]\nupstream = \"mock\"\n\
                unknown_fields = \"record\"\nmedia = \"record\"\n";
    let (mock, haris, client) = guarded(more).await;
    let unknown =
        |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "a"}], "brand_new": "text"});
    let image = |model: &str| {
        json!({"model": model, "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]})
    };
    let refused: [Value; 2] = [unknown("gpt-strict"), image("gpt-strict")];
    for body in refused {
        assert_eq!(client.post("/chat/completions", &body).await.status, 400, "{body}");
    }
    assert!(mock.received().is_empty());
    for body in [unknown("gpt-lenient"), image("gpt-lenient")] {
        let answer = client.post("/chat/completions", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let event = haris.event(&answer.event());
        assert!(event.to_string().contains("not_scanned"), "{event}");
    }
}

#[tokio::test]
async fn what_the_upstream_does_wrong_is_an_error_of_the_protocol() {
    let (_mock, _haris, client) = guarded("").await;
    for (model, status) in [("gpt-mock.err-429", 429), ("gpt-mock.err-503", 503), ("gpt-mock.notjson", 502)] {
        let answer = client.ask(model, "hello", false).await;
        assert_eq!(answer.status, status, "{model}: {}", answer.body);
        assert!(answer.json()["error"].is_object(), "{model}: {}", answer.body);
        assert!(!answer.event().is_empty());
    }
    let cut = client.ask("gpt-mock.cut", "hello", true).await;
    assert!(!cut.done(), "a broken stream does not say that it is complete: {}", cut.body);
}
