//! The teller as a client meets it: over HTTP, without a socket.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test's report")]

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

async fn call(path: &str, body: Option<Value>) -> (StatusCode, String) {
    let request = Request::builder().uri(path);
    let request = match body {
        Some(body) => request.method("POST").body(Body::from(body.to_string())),
        None => request.body(Body::empty()),
    };
    let response = haris_practice::router().oneshot(request.unwrap()).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn chat(mut body: Value) -> Value {
    body["model"] = haris_practice::MODEL.into();
    let (status, text) = call("/v1/chat/completions", Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn stream(mut body: Value) -> Vec<Value> {
    body["model"] = haris_practice::MODEL.into();
    body["stream"] = true.into();
    let (status, text) = call("/v1/chat/completions", Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let mut events: Vec<&str> = text.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert_eq!(events.pop(), Some("data: [DONE]"));
    events.iter().map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

fn asked(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}]})
}

#[tokio::test]
async fn a_stream_spells_what_the_plain_answer_says() {
    for question in [haris_practice::PROMPT_CLEAN, haris_practice::PROMPT_LEAK, "ما مواعيد الفرع؟"] {
        let mut body = asked(question);
        body["n"] = 3.into();
        let plain = chat(body.clone()).await;
        body["stream_options"] = json!({"include_usage": true});
        let chunks = stream(body).await;
        for index in 0..3 {
            let spelled: String = chunks
                .iter()
                .flat_map(|chunk| chunk["choices"].as_array().unwrap())
                .filter(|choice| choice["index"] == index)
                .filter_map(|choice| choice["delta"]["content"].as_str())
                .collect();
            assert_eq!(plain["choices"][index]["message"]["content"], spelled);
        }
        assert_eq!(chunks.last().unwrap()["usage"], plain["usage"]);
    }
}

#[tokio::test]
async fn tool_calls_stream_in_pieces_that_join_to_the_plain_ones() {
    let mut body = asked("Transfer 40 to QA59HRPB000000000885913640258");
    body["tools"] = json!([{"type": "function", "function": {"name": "transfer", "parameters": {
        "type": "object", "properties": {"to": {"type": "string"}, "amount": {"type": "number"}}}}}]);
    let plain = chat(body.clone()).await;
    let call = &plain["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(plain["choices"][0]["finish_reason"], "tool_calls");
    let chunks = stream(body).await;
    let pieces: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|piece| !piece.is_null())
        .collect();
    let arguments: String = pieces.iter().filter_map(|piece| piece["function"]["arguments"].as_str()).collect();
    assert_eq!(call["function"]["arguments"], arguments);
    assert_eq!(pieces[0]["function"]["name"], "transfer");
    assert!(pieces[0]["id"].as_str().unwrap().starts_with("call_"));
    assert!(pieces.len() > 2, "arguments arrive in several pieces");
}

#[tokio::test]
async fn the_same_request_gets_the_same_words() {
    let (first, second) = (chat(asked("كم رصيدي؟")).await, chat(asked("كم رصيدي؟")).await);
    assert_eq!(first["id"], second["id"]);
    assert_eq!(first["choices"], second["choices"]);
}

#[tokio::test]
async fn answers_can_be_cut() {
    let mut body = asked(haris_practice::PROMPT_CLEAN);
    body["max_tokens"] = 2.into();
    let cut = chat(body).await;
    assert_eq!(cut["choices"][0]["message"]["content"], "The West");
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn models_and_errors_have_the_protocols_shape() {
    let (status, list) = call("/v1/models", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(serde_json::from_str::<Value>(&list).unwrap()["data"][0]["id"], haris_practice::MODEL);
    assert_eq!(call("/v1/models/practice/teller", None).await.0, StatusCode::OK);
    for (path, body, status) in [
        ("/v1/chat/completions", json!({"model": "other"}), StatusCode::NOT_FOUND),
        ("/v1/chat/completions", json!({"model": haris_practice::MODEL}), StatusCode::BAD_REQUEST),
        ("/v1/embeddings", json!({"model": haris_practice::MODEL, "input": [1, 2]}), StatusCode::BAD_REQUEST),
        ("/v1/other", json!({}), StatusCode::NOT_FOUND),
    ] {
        let (got, text) = call(path, Some(body)).await;
        assert_eq!(got, status, "{path}");
        assert!(serde_json::from_str::<Value>(&text).unwrap()["error"]["message"].is_string(), "{text}");
    }
}
