//! No prompt leaves without an event, no answer arrives without one.

use std::sync::atomic::Ordering;

use haris_spool::Options;
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn the_decision_is_durable_before_the_first_byte_goes_upstream() {
    let scene = Scene::start(says("ok")).await;
    for sent in 1..=5u64 {
        assert_eq!(scene.say("hi").await.status, 200);
        let heard = scene.heard();
        // Two events for each request before this one, and its own decision.
        assert_eq!(heard.last().unwrap().durable, 2 * (sent - 1) + 1);
    }
}

#[tokio::test]
async fn the_answers_event_is_durable_before_its_last_byte() {
    let sent = sse(&streamed("hello there", 3));
    let scene = Scene::start(move |heard| {
        if heard.json()["stream"] == true { reply_stream(sent.clone()) } else { reply(&completion("ok")) }
    })
    .await;
    scene.say("hi").await;
    assert_eq!(scene.spool.state().durable_events, 2);
    assert!(scene.stream("hi").await.is_done());
    assert_eq!(scene.spool.state().durable_events, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_resets_early_leaves_a_whole_record() {
    use tokio::io::AsyncWriteExt as _;
    let scene = Scene::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        reply(&completion("ok"))
    })
    .await;
    let body = ask("hi").to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let address = scene.url.strip_prefix("http://").unwrap().to_owned();
    // A whole request, then the connection is gone.
    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    while scene.heard().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(connection);
    let events = scene.wait_for_events(2).await;
    assert!(["cancelled", "complete"].contains(&events[1].data["outcome"].as_str().unwrap()));
    // One byte short of a request: nothing is sent, and nothing needs a record.
    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
    connection.write_all(format!("{head}{}", &body[..body.len() - 1]).as_bytes()).await.unwrap();
    drop(connection);
    scene.idle().await;
    assert_eq!(scene.heard().len(), 1);
}

#[tokio::test]
async fn without_a_record_there_is_no_service() {
    let scene = Scene::start(says("never")).await;
    scene.spool.close();
    let answer = scene.say("hi").await;
    assert_eq!((answer.status, answer.code()), (503, "audit_unavailable".to_owned()));
    assert!(answer.headers.contains_key("retry-after"));
    assert!(scene.heard().is_empty());
    assert_eq!(scene.counters.audit_refused.load(Ordering::Relaxed), 1);

    let keyless = Scene::plan(Plan { day_keys: false, ..Plan::default() }, says("never")).await;
    assert_eq!(keyless.say("hi").await.status, 503);
    assert!(keyless.heard().is_empty() && keyless.events().is_empty());
}

#[tokio::test]
async fn a_route_may_let_traffic_pass_unrecorded_and_it_is_counted() {
    let scene = Scene::with_route(json!({ "on_audit_failure": "dangerously_allow" }), says("ok")).await;
    scene.spool.close();
    for answer in [scene.say("hi").await, scene.say(INJECTION).await] {
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!((header("x-haris-event"), header("x-haris-recorded").as_deref()), (None, Some("no")));
        assert!(header("x-haris-request").is_some() && !answer.body.contains("haris why"), "{}", answer.body);
    }
    assert_eq!(scene.counters.unaudited.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_refusal_without_an_event_has_an_id_that_the_log_knows() {
    let scene = Scene::start(says("ok")).await;
    scene.spool.close();
    let answer = scene.say("hi").await;
    let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!((answer.status, header("x-haris-event")), (503, None));
    assert_eq!(header("x-haris-recorded").as_deref(), Some("no"));
    assert!(header("x-haris-request").is_some_and(|id| id.len() > 20));
}

#[tokio::test]
async fn an_answer_that_cannot_be_recorded_is_not_given() {
    for stream in [false, true] {
        let spool: std::sync::Arc<parking_lot::Mutex<Option<haris_spool::Spool>>> = std::sync::Arc::default();
        let shared = std::sync::Arc::clone(&spool);
        let scene = Scene::start(move |_| {
            // Between the two events.
            shared.lock().as_ref().unwrap().close();
            if stream { reply_stream(sse(&streamed("hello", 9))) } else { reply(&completion("hello")) }
        })
        .await;
        *spool.lock() = Some(scene.spool.clone());
        let answer = if stream { scene.stream("hi").await } else { scene.say("hi").await };
        if stream {
            assert!(!answer.is_done());
            assert_eq!(answer.chunks().pop().unwrap()["error"]["code"], "audit_unavailable");
        } else {
            assert_eq!((answer.status, answer.code()), (503, "audit_unavailable".to_owned()));
            assert!(!answer.body.contains("hello"));
        }
    }
}

#[tokio::test]
async fn nothing_of_a_text_is_kept_where_the_route_says_so() {
    let scene = Scene::with_route(json!({ "store": "none" }), says("The answer.")).await;
    assert_eq!(scene.say(&format!("card {CARD}")).await.status, 200);
    for event in scene.events() {
        assert_eq!(event.payloads.len(), 1);
        assert_eq!((event.payloads[0].stored.name(), event.payloads[0].bytes), ("none", 0));
        assert!(event.payloads[0].source_commit.is_some());
    }
}

#[tokio::test]
async fn secrets_are_kept_nowhere_even_where_all_is_kept() {
    let settings = json!({ "store": "full", "request": { "secret": "observe", "card": "observe" } });
    let scene = Scene::with_route(settings, says("ok")).await;
    let secret = format!("AKIA{}", "QWERTYUIOPASDFGH");
    assert_eq!(scene.say(&format!("key {secret} card {CARD}")).await.status, 200);
    let event = scene.event("gw.request.decided");
    let stored = scene.payload(&event, "request").unwrap();
    assert!(!stored.contains(&secret) && stored.contains(CARD), "{stored}");
}

#[tokio::test]
async fn no_marker_lies_in_clear_under_the_data_directory() {
    let scene = Scene::start(|heard| {
        let text = "answer-marker-7f3a and 4111 1111 1111 1111";
        if heard.json()["stream"] == true { reply_stream(sse(&streamed(text, 5))) } else { reply(&completion(text)) }
    })
    .await;
    for text in ["prompt-marker-9c1d fatima@example.qa", "prompt-marker-9c1d 5555 5555 5555 4444"] {
        scene.say(text).await;
        scene.stream(text).await;
    }
    let scene = scene.shut_down().await;
    let mut stack = vec![scene.dir.path().to_owned()];
    let mut files = 0;
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).unwrap();
        for marker in ["marker-7f3a", "marker-9c1d", "4111 1111", "4111111111111111", "fatima@", "5555 5555"] {
            assert!(memchr::memmem::find(&bytes, marker.as_bytes()).is_none(), "{marker} in {}", path.display());
        }
    }
    assert!(files > 3);
}

#[tokio::test]
async fn a_full_spool_refuses() {
    let spool =
        Options { segment_bytes: 64 << 10, max_bytes: 256 << 10, record_bytes_max: 32 << 10, ..Options::default() };
    let scene = Scene::plan(Plan { spool, ..Plan::default() }, says("ok")).await;
    let mut refused = None;
    for _ in 0..400 {
        let answer = scene.say(&"words and words ".repeat(100)).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("the spool never filled up");
    assert_eq!((refused.status, refused.code()), (503, "audit_unavailable".to_owned()));
}
