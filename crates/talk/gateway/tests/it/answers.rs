//! Whole answers: inspected, redacted, blocked; errors in the protocol's shape.

use axum::body::Body;
use axum::response::Response;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn personal_data_in_an_answer_is_redacted() {
    let scene = Scene::start(says("The card is 4111 1111 1111 1111.")).await;
    let answer = scene.say("Which card?").await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], format!("The card is {REDACTED_CARD}."));
    let event = scene.event("gw.response.decided");
    assert_eq!(event.data["verdict"], "redact");
    assert_eq!(event.data["detections"][0]["field"], "choices[0].message.content");
    assert!(!scene.payload(&event, "response").unwrap().contains("4111"));
    assert_eq!(scene.payload(&event, "identifiers").unwrap(), r#"[{"kind":"card","value":"4111111111111111"}]"#);
}

#[tokio::test]
async fn a_blocked_answer_says_why_and_shows_nothing() {
    let scene =
        Scene::with_route(json!({ "answer": { "card": "block" } }), says("The card is 4111 1111 1111 1111.")).await;
    let answer = scene.say("Which card?").await;
    assert_eq!((answer.status, answer.code()), (400, "content_policy_violation".to_owned()));
    assert!(!answer.body.contains("4111"));
    let event = scene.event("gw.response.decided");
    assert_eq!((&event.data["outcome"], &event.data["status"]), (&json!("blocked"), &json!(400)));
    assert!(scene.payload(&event, "response").unwrap().contains("The card is [REDACTED:CARD]."));
}

#[tokio::test]
async fn every_choice_is_judged_and_only_redacted_ones_lose_their_logprobs() {
    let entry = |token: &str| json!({ "token": token, "logprob": -0.1, "bytes": token.as_bytes(), "top_logprobs": [] });
    let choice = |index: u64, text: &str| {
        let tokens: Vec<Value> = text.split_inclusive(' ').map(entry).collect();
        json!({ "index": index, "finish_reason": "stop", "message": { "role": "assistant", "content": text },
            "logprobs": { "content": tokens, "refusal": null } })
    };
    let mut body = completion("");
    body["choices"] = json!([choice(0, "hello there"), choice(1, "card 4111 1111 1111 1111 ok")]);
    let sent = body.clone();
    let scene = Scene::start(move |_| reply(&sent)).await;
    let got = scene.say("hi").await.json();
    assert_eq!(got["choices"][0], body["choices"][0]);
    assert_eq!(got["choices"][1]["message"]["content"], "card [REDACTED:CARD] ok");
    assert_eq!(got["choices"][1]["logprobs"]["content"], Value::Null);
}

#[tokio::test]
async fn arguments_in_an_answer_stay_json() {
    let mut body = completion("");
    body["choices"][0]["message"]["tool_calls"] = json!([{ "id": "c", "type": "function", "function": {
        "name": "pay", "arguments": r#"{"card":4111111111111111,"amount":5}"# } }]);
    let scene = Scene::start(move |_| reply(&body)).await;
    let got = scene.say("hi").await.json();
    let arguments = got.pointer("/choices/0/message/tool_calls/0/function/arguments").unwrap().as_str().unwrap();
    assert_eq!(arguments, r#"{"card":"[REDACTED:CARD]","amount":5}"#);
}

#[tokio::test]
async fn unknown_fields_of_an_answer_are_left_out_or_recorded() {
    let mut body = completion("ok");
    body["vendor"] = json!({ "trace": "x" });
    let sent = body.clone();
    let strict = Scene::start(move |_| reply(&sent)).await;
    assert!(strict.say("hi").await.json().get("vendor").is_none());
    let note = json!([{ "field": "unknown[6]", "why": "unknown-field" }]);
    assert_eq!(strict.event("gw.response.decided").data["not_scanned"], note);

    let sent = body.clone();
    let lax = Scene::with_route(json!({ "unknown_fields": "record" }), move |_| reply(&sent)).await;
    assert_eq!(lax.say("hi").await.json()["vendor"], body["vendor"]);
    assert_eq!(lax.event("gw.response.decided").data["not_scanned"], note);
}

#[tokio::test]
async fn an_upstreams_error_keeps_status_and_shape_and_is_inspected() {
    let error = json!({ "error": { "message": format!("bad card {CARD}"), "type": "invalid_request_error", "param": null, "code": "bad" } });
    let scene = Scene::start(move |_| reply_with(422, &error)).await;
    let answer = scene.say("hi").await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["error"]["message"], format!("bad card {REDACTED_CARD}"));
    assert_eq!(answer.code(), "bad");
    let event = scene.event("gw.response.decided");
    assert_eq!((&event.data["outcome"], &event.data["status"]), (&json!("upstream-error"), &json!(422)));
}

#[tokio::test]
async fn errors_of_other_shapes_get_the_protocols() {
    for (status, body, message) in [
        (500u16, "<html>oops</html>".to_owned(), "The model's server answered with status 500."),
        (429, json!({ "detail": "slow down" }).to_string(), "slow down"),
        (503, String::new(), "The model's server answered with status 503."),
        (
            401,
            json!({ "error": { "message": "Incorrect API key sk-pro***" } }).to_string(),
            "The model's server does not accept the gateway's own credentials.",
        ),
    ] {
        let scene = Scene::start(move |_| {
            Response::builder().status(status).header("retry-after", "7").body(Body::from(body.clone())).unwrap()
        })
        .await;
        let answer = scene.say("hi").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.json()["error"]["message"], message);
        assert_eq!(answer.headers["retry-after"], "7");
        assert_eq!(answer.event_id(), scene.event("gw.request.decided").id.to_string());
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_passed_on() {
    let bodies: [&[u8]; 5] = [
        b"hello",
        b"{\"choices\":[],\"choices\":[]}",
        b"{\"id\":\"\xff\"}",
        br#"{"id":"\ud800"}"#,
        br#"{"choices":[]} trailing"#,
    ];
    for body in bodies {
        let scene = Scene::start(move |_| {
            Response::builder().header("content-type", "application/json").body(Body::from(body)).unwrap()
        })
        .await;
        let answer = scene.say("hi").await;
        assert_eq!((answer.status, answer.code()), (502, "upstream_error".to_owned()));
        assert_eq!(scene.event("gw.response.decided").data["outcome"], "upstream-error");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let scene = Scene::start(|_| {
        Response::builder().status(307).header("location", "/v1/elsewhere").body(Body::empty()).unwrap()
    })
    .await;
    assert_eq!(scene.say("hi").await.status, 502);
    assert_eq!(scene.heard().len(), 1);
}

fn compressed(encoding: &'static str, body: Vec<u8>) -> Response {
    Response::builder()
        .header("content-type", "application/json")
        .header("content-encoding", encoding)
        .body(Body::from(body))
        .unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut &*bytes, &mut out, &brotli::enc::BrotliEncoderParams::default()).unwrap();
    out
}

#[tokio::test]
async fn compressed_answers_are_decoded_and_unknown_encodings_refused() {
    let body = completion("card 4111 1111 1111 1111").to_string();
    for (encoding, bytes) in [("gzip", gzip(body.as_bytes())), ("br", brotli(body.as_bytes()))] {
        let scene = Scene::start(move |_| compressed(encoding, bytes.clone())).await;
        let answer = scene.say("hi").await;
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "card [REDACTED:CARD]", "{encoding}");
        assert!(!answer.headers.contains_key("content-encoding"));
        assert_eq!(scene.heard()[0].headers["accept-encoding"], "identity");
    }
    let scene = Scene::start(move |_| compressed("compress", body.clone().into_bytes())).await;
    assert_eq!(scene.say("hi").await.status, 502);
}

#[tokio::test]
async fn a_decompression_bomb_is_cut_at_the_bound() {
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let limits = haris_gateway::Limits { answer_bytes: 1 << 20, ..Default::default() };
    let scene = Scene::plan(Plan { limits, ..Plan::default() }, move |_| compressed("gzip", bomb.clone())).await;
    let answer = scene.say("hi").await;
    assert_eq!((answer.status, answer.code()), (502, "answer_too_large".to_owned()));
}

#[tokio::test]
async fn the_providers_key_is_seen_by_nobody() {
    let mut body = completion("");
    body["choices"][0]["message"]["content"] = format!("my key is {PROVIDER_KEY}").into();
    let scene = Scene::start(move |_| reply(&body)).await;
    let answer = scene.say("hi").await;
    assert_eq!(scene.heard()[0].headers["authorization"], format!("Bearer {PROVIDER_KEY}"));
    assert!(!answer.body.contains(PROVIDER_KEY) && !format!("{:?}", answer.headers).contains(PROVIDER_KEY));
}

#[tokio::test]
async fn what_identifies_the_caller_stays_here() {
    let scene = Scene::start(says("ok")).await;
    let request = scene.post("/v1/chat/completions?trace=1").header("cookie", "a=b").header("x-secret", "c");
    let request = request.header("openai-organization", "bank").body(ask("hi").to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
    let heard = &scene.heard()[0];
    let mut names: Vec<_> = heard.headers.keys().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(
        names,
        ["accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent"]
    );
    assert_eq!(heard.uri, "/v1/chat/completions");
}
