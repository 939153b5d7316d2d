//! What callers send: read strictly, inspected, redacted or blocked.

use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_clean_request_passes_and_both_events_say_so() {
    let scene = Scene::start(says("Your branch opens at eight.")).await;
    let answer = scene.say("When does my branch open?").await;
    assert_eq!((answer.status, answer.json()), (200, completion("Your branch opens at eight.")));

    let request = scene.event("gw.request.decided");
    assert_eq!(request.id.to_string(), answer.event_id());
    assert_eq!(request.actor.as_str(), "caller:c1");
    let data = serde_json::Value::Object(request.data.clone());
    for (key, value) in [
        ("protocol", json!("openai.chat")),
        ("route", json!("main")),
        ("model", json!("m")),
        ("upstream", json!("mock")),
        ("provider", json!("acme")),
        ("place", json!("abroad")),
        ("environment", json!("production")),
        ("stream", json!(false)),
        ("verdict", json!("allow")),
        ("detections", json!([])),
        ("not_scanned", json!([])),
        ("fields", json!(2)),
        ("text_bytes", json!("m".len() + "When does my branch open?".len())),
        ("rules", json!("r")),
        ("engine", json!("e")),
        ("config", json!("c")),
    ] {
        assert_eq!(data[key], value, "{key}");
    }
    assert!(data["policy"].as_str().unwrap().starts_with("sha256:"));

    let response = scene.event("gw.response.decided");
    assert_eq!(response.about, [request.id.to_string()]);
    assert_eq!(response.data["request"], request.id.to_string());
    assert_eq!(response.data["outcome"], "complete");
    assert_eq!((&response.data["tokens_in"], &response.data["tokens_out"]), (&json!(5), &json!(7)));
    assert_eq!(scene.payload(&request, "request").unwrap(), ask("When does my branch open?").to_string());
}

#[tokio::test]
async fn personal_data_is_redacted_before_it_leaves() {
    let scene = Scene::start(says("ok")).await;
    let answer = scene.say(&format!("My card is {CARD}.")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(scene.heard()[0].json()["messages"][0]["content"], format!("My card is {REDACTED_CARD}."));
    let event = scene.event("gw.request.decided");
    assert_eq!(event.data["verdict"], "redact");
    let found = &event.data["detections"][0];
    assert_eq!((&found["field"], &found["kind"]), (&json!("messages[0].content"), &json!("card")));
    assert_eq!((&found["start"], &found["end"], &found["action"]), (&json!(11), &json!(30), &json!("redact")));
    assert_eq!(scene.payload(&event, "identifiers").unwrap(), r#"[{"kind":"card","value":"4111111111111111"}]"#);
    assert!(!scene.payload(&event, "request").unwrap().contains("4111"));
    assert!(event.payloads[0].source_commit.is_some());
}

#[tokio::test]
async fn an_injection_in_a_tool_result_is_blocked_and_never_sent() {
    let scene = Scene::start(says("never")).await;
    let answer = scene
        .chat(json!({ "model": "m", "messages": [
            { "role": "user", "content": "Summarise the page." },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_1", "type": "function", "function": { "name": "fetch", "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": "call_1", "content": INJECTION },
        ]}))
        .await;
    assert_eq!((answer.status, answer.code()), (400, "content_policy_violation".to_owned()));
    let error = &answer.json()["error"];
    assert_eq!(error["param"], "messages[2].content");
    assert!(error["findings"].as_array().is_some_and(|rules| !rules.is_empty()), "{error}");
    assert!(!answer.body.contains("previous instructions"));
    assert!(scene.heard().is_empty());
    // One event: nothing was sent, so nothing was answered.
    let events = scene.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].id.to_string(), answer.event_id());
    assert_eq!(events[0].data["verdict"], "block");
}

#[tokio::test]
async fn what_parsers_disagree_about_is_refused_and_recorded() {
    let scene = Scene::start(says("never")).await;
    let cases: [(&[u8], &str); 9] = [
        (br#"{"model":"m","model":"m","messages":[]}"#, "duplicate-key"),
        (br#"{"model":"m","messages":[{"role":"user","content":"a","\u0063ontent":"b"}]}"#, "duplicate-key"),
        (b"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", "invalid-utf8"),
        (br#"{"model":"m","messages":[{"role":"user","content":"\ud800"}]}"#, "lone-surrogate"),
        (br#"{"model":"m","messages":[]} {}"#, "trailing-data"),
        (br#"{"model":"m","messages":[]"#, "malformed-json"),
        (b"\xef\xbb\xbf{\"model\":\"m\",\"messages\":[]}", "malformed-json"),
        (br#"[]"#, "malformed-request"),
        (br#"{"model":"m","messages":[{"role":"user","Content":"x"}]}"#, "unknown-field"),
    ];
    for (index, (body, reason)) in cases.into_iter().enumerate() {
        let answer = scene.chat_raw(body.to_vec()).await;
        assert_eq!(answer.status, 400, "{reason}");
        let events = scene.events();
        assert_eq!(events.len(), index + 1);
        assert_eq!(events[index].kind.name, "gw.request.refused/1");
        assert_eq!(events[index].data["reason"], reason);
        assert_eq!(events[index].id.to_string(), answer.event_id());
    }
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let answer = scene.chat_raw(deep).await;
    assert_eq!((answer.status, answer.code()), (400, "invalid_json".to_owned()));
    assert_eq!(scene.events().last().unwrap().data["reason"], "too-deep");
    assert!(scene.heard().is_empty());
}

#[tokio::test]
async fn the_upstream_gets_the_parsed_request_with_its_values_unchanged() {
    let scene = Scene::start(says("ok")).await;
    let body = r#" { "model" : "m", "messages": [{"role":"user","content":"\u0041\ud83d\ude00"}], "temperature": 0.10, "seed": 12345678901234567890123 } "#;
    assert_eq!(scene.chat_raw(body).await.status, 200);
    assert_eq!(
        String::from_utf8(scene.heard()[0].body.clone()).unwrap(),
        r#"{"model":"m","messages":[{"role":"user","content":"A😀"}],"temperature":0.10,"seed":12345678901234567890123}"#
    );
}

#[tokio::test]
async fn redacted_arguments_stay_json() {
    let scene = Scene::start(says("ok")).await;
    let arguments = r#"{"card":4111111111111111,"note":"card 4111\u00201111 1111 1111","n":[1,2]}"#;
    let answer = scene
        .chat(json!({ "model": "m", "messages": [
            { "role": "assistant", "tool_calls": [
                { "id": "c", "type": "function", "function": { "name": "pay", "arguments": arguments } }] },
            { "role": "assistant", "function_call": { "name": "pay", "arguments": arguments } },
        ]}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let heard = scene.heard()[0].json();
    for pointer in ["/messages/0/tool_calls/0/function/arguments", "/messages/1/function_call/arguments"] {
        let source = heard.pointer(pointer).unwrap().as_str().unwrap();
        let value: serde_json::Value = serde_json::from_str(source).unwrap_or_else(|_| panic!("{source}"));
        assert_eq!(value, json!({ "card": REDACTED_CARD, "note": format!("card {REDACTED_CARD}"), "n": [1, 2] }));
    }
}

#[tokio::test]
async fn token_arrays_hide_text_and_are_refused() {
    let scene = Scene::start(|_| reply(&json!({}))).await;
    for input in [json!([1, 2, 3]), json!([[1, 2], [3]]), json!(["text", [1]]), json!(7)] {
        let body = json!({ "model": "m", "input": input }).to_string();
        let answer = Answer::of(scene.post("/v1/embeddings").body(body).send().await.unwrap()).await;
        assert_eq!((answer.status, answer.code()), (400, "token_array".to_owned()), "{input}");
    }
    assert!(scene.heard().is_empty());
    assert!(scene.events().iter().all(|event| event.data["reason"] == "token-array"));
}

#[tokio::test]
async fn embeddings_are_inspected_and_answered() {
    let answer = json!({ "object": "list", "model": "m", "usage": { "prompt_tokens": 3, "total_tokens": 3 },
        "data": [{ "object": "embedding", "index": 0, "embedding": [0.1, -2.5e-7, 3] }] });
    let sent = answer.clone();
    let scene = Scene::start(move |_| reply(&sent)).await;
    let body = json!({ "model": "m", "input": ["hello", format!("card {CARD}")] }).to_string();
    let got = Answer::of(scene.post("/v1/embeddings").body(body).send().await.unwrap()).await;
    assert_eq!((got.status, got.json()), (200, answer));
    assert_eq!(scene.heard()[0].uri, "/v1/embeddings");
    assert_eq!(scene.heard()[0].json()["input"][1], format!("card {REDACTED_CARD}"));
    assert_eq!(scene.event("gw.request.decided").data["protocol"], "openai.embeddings");
    assert_eq!(scene.event("gw.response.decided").data["tokens_in"], 3);
}

#[tokio::test]
async fn unknown_fields_are_refused_or_recorded_by_route() {
    let mut body = ask("hi");
    body["new_field"] = json!({ "deep": [format!("card {CARD}")] });
    let strict = Scene::start(says("never")).await;
    let answer = strict.chat(body.clone()).await;
    assert_eq!((answer.status, answer.code()), (400, "unknown_field".to_owned()));
    assert_eq!(strict.event("gw.request.refused").data["field"], "unknown[2]");

    let lax = Scene::with_route(json!({ "unknown_fields": "record" }), says("ok")).await;
    assert_eq!(lax.chat(body).await.status, 200);
    let event = lax.event("gw.request.decided");
    assert_eq!(event.data["not_scanned"], json!([{ "field": "unknown[2]", "why": "unknown-field" }]));
    // Its text is looked at all the same.
    assert_eq!(lax.heard()[0].json()["new_field"]["deep"][0], format!("card {REDACTED_CARD}"));
}

#[tokio::test]
async fn media_is_refused_or_recorded_and_textual_data_is_read() {
    let part = |part| json!({ "model": "m", "messages": [{ "role": "user", "content": [part] }] });
    let image = part(json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } }));
    let remote = part(json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }));
    // "My card is 4111 1111 1111 1111"
    let text = "data:text/plain;base64,TXkgY2FyZCBpcyA0MTExIDExMTEgMTExMSAxMTEx";
    let file = part(json!({ "type": "file", "file": { "file_data": text, "filename": "a.txt" } }));

    let lax = Scene::start(says("ok")).await;
    for (body, why) in [(&image, "media"), (&remote, "remote-media")] {
        assert_eq!(lax.chat(body.clone()).await.status, 200);
        let event = lax.events().into_iter().rev().find(|event| event.kind.name == "gw.request.decided/1").unwrap();
        let field = "messages[0].content[0].image_url.url";
        assert_eq!(event.data["not_scanned"], json!([{ "field": field, "why": why }]));
    }
    assert_eq!(lax.chat(file).await.status, 200);
    let sent = lax.heard()[2].json();
    let sent = sent.pointer("/messages/0/content/0/file/file_data").unwrap().as_str().unwrap().to_owned();
    assert_eq!(sent, "data:text/plain;base64,TXkgY2FyZCBpcyBbUkVEQUNURUQ6Q0FSRF0=");

    let strict = Scene::with_route(json!({ "media": "refuse" }), says("never")).await;
    for body in [image, remote] {
        let answer = strict.chat(body).await;
        assert_eq!((answer.status, answer.code()), (400, "media_not_allowed".to_owned()));
    }
    assert!(strict.heard().is_empty());
}

#[tokio::test]
async fn observed_findings_pass_and_are_recorded_but_not_stored_in_clear() {
    let scene = Scene::with_route(json!({ "request": { "card": "observe" } }), says("ok")).await;
    assert_eq!(scene.say(&format!("card {CARD}")).await.status, 200);
    assert_eq!(scene.heard()[0].json()["messages"][0]["content"], format!("card {CARD}"));
    let event = scene.event("gw.request.decided");
    assert_eq!(
        (&event.data["verdict"], &event.data["detections"][0]["action"]),
        (&json!("observe"), &json!("observe"))
    );
    assert!(scene.payload(&event, "request").unwrap().contains(REDACTED_CARD));
}

#[tokio::test]
async fn a_schema_is_inspected_to_its_last_key() {
    let scene = Scene::start(says("ok")).await;
    let answer = scene
        .chat(json!({ "model": "m", "messages": [], "tools": [{ "type": "function", "function": {
            "name": "pay", "description": "pays", "parameters": {
                "type": "object",
                "title": CARD,
                "properties": { CARD: { "type": "string", "enum": ["a", CARD], "default": 4111111111111111u64, "examples": [[CARD]] } },
                "required": [CARD],
            } } }] }))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let sent = String::from_utf8(scene.heard()[0].body.clone()).unwrap();
    assert!(!sent.contains("4111"), "{sent}");
    let event = scene.event("gw.request.decided");
    let fields: Vec<_> =
        event.data["detections"].as_array().unwrap().iter().map(|d| d["field"].as_str().unwrap()).collect();
    let under = "tools[0].function.parameters";
    for field in [
        "title",
        "properties[0].key",
        "properties[0].value.enum[1]",
        "properties[0].value.default",
        "properties[0].value.examples[0][0]",
        "required[0]",
    ] {
        assert!(fields.contains(&format!("{under}.{field}").as_str()), "{field}: {fields:?}");
    }
}
