//! Receipts for callers that ask, and routes that do not serve without a witness.

use std::sync::atomic::Ordering;

use haris_merkle::{Receipt, leaf_hash};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn who_asks_gets_a_receipt_of_the_event_and_nobody_else_does() {
    let sent = sse(&streamed("hello there", 3));
    let scene = Scene::start(move |heard| {
        assert!(!heard.headers.contains_key("x-haris-receipt"), "the wish goes no further");
        let mut answer =
            if heard.json()["stream"] == true { reply_stream(sent.clone()) } else { reply(&completion("ok")) };
        answer.headers_mut().insert("x-haris-receipt", "forged".parse().unwrap());
        answer
    })
    .await;
    for (wish, text, stream) in [
        (Some("1"), "hi", false),
        (Some("yes"), "hi", true),
        (Some("1"), INJECTION, false),
        (Some("0"), "hi", false),
        (None, "hi", false),
    ] {
        let before = scene.records().len();
        let mut request = scene.post("/v1/chat/completions");
        if let Some(wish) = wish {
            request = request.header("x-haris-receipt", wish);
        }
        let mut body = ask(text);
        body["stream"] = stream.into();
        let answer = Answer::of(request.body(body.to_string()).send().await.unwrap()).await;
        let receipt = answer.headers.get("x-haris-receipt");
        if wish.is_none_or(|wish| wish == "0") {
            assert!(receipt.is_none(), "{receipt:?}");
            continue;
        }
        let (receipt, note) = Receipt::parse(receipt.unwrap().as_bytes()).unwrap();
        assert_eq!(note.verify(std::slice::from_ref(&scene.receipt_key)).unwrap().len(), 1);
        let decided = &scene.records()[before].leaf;
        assert_eq!(decided.kind.name, "gw.request.decided/1");
        assert_eq!((receipt.event, receipt.leaf), (decided.id.to_string(), leaf_hash(&decided.bytes)));
        assert_eq!(receipt.origin, ORIGIN);
        assert!(receipt.by > receipt.at);
    }
}

#[tokio::test]
async fn no_receipt_for_what_was_not_recorded() {
    let scene = Scene::with_route(json!({ "on_audit_failure": "dangerously_allow" }), says("ok")).await;
    scene.spool.close();
    let request = scene.post("/v1/chat/completions").header("x-haris-receipt", "1").body(ask("hi").to_string());
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.headers.get("x-haris-receipt")), (200, None));
}

#[tokio::test]
async fn a_route_may_refuse_while_witnesses_lag_and_others_go_on() {
    for (setting, status) in [(json!({ "on_witness_lag": "refuse" }), 503), (json!({}), 200)] {
        let scene = Scene::with_route(setting, says("ok")).await;
        assert_eq!(scene.say("hi").await.status, 200);
        scene.witness_lag.store(true, Ordering::Relaxed);
        let answer = scene.say("hi").await;
        assert_eq!(answer.status, status);
        if status == 503 {
            assert_eq!(answer.code(), "witness_unavailable");
            assert!(answer.headers.contains_key("retry-after"));
            assert_eq!(scene.heard().len(), 1, "nothing went upstream");
            assert_eq!(scene.event("gw.request.refused").data["reason"], "witness-unavailable");
        }
        scene.witness_lag.store(false, Ordering::Relaxed);
        assert_eq!(scene.say("hi").await.status, 200);
    }
}
