//! What leaks is redacted: in the prompt before it leaves, in the answer before it arrives, and on
//! a stream the same as on the whole text.

use haris_tests::marks::{CARD, EMAIL, IBAN, LEAKS, QID, SECRET, leaking_text};
use haris_tests::server::eventually;
use haris_tests::upstream::PROVIDER_KEY;
use serde_json::json;

use super::guarded;

fn assert_clean(text: &str) {
    for (leak, label) in LEAKS {
        assert!(!text.contains(leak), "{leak} in: {text}");
        assert!(text.contains(label), "no {label} in: {text}");
    }
    assert!(text.ends_with("Good day."), "the rest of the text is there: {text}");
}

#[tokio::test]
async fn an_answer_that_leaks_is_redacted_plain_and_stream_however_it_is_cut() {
    let (_mock, _haris, client) = guarded("").await;
    let plain = client.ask("gpt-mock.leak", "What do we know of her?", false).await;
    assert_eq!(plain.status, 200, "{}", plain.body);
    assert_clean(&plain.said(0));
    for cut in ["chunk-1", "chunk-2", "chunk-5", "tcp-1", "tcp-17", "gzip", "gzip.tcp-3"] {
        let stream = client.ask(&format!("gpt-mock.leak.{cut}"), "What do we know of her?", true).await;
        assert_eq!(stream.status, 200, "{cut}: {}", stream.body);
        assert_eq!(stream.said(0), plain.said(0), "{cut}");
        assert!(stream.done() && !stream.broken, "{cut}");
    }
}

#[tokio::test]
async fn tool_arguments_that_leak_are_redacted_and_stay_json() {
    let (_mock, _haris, client) = guarded("").await;
    for (model, stream) in
        [("gpt-mock.leak.tools", false), ("gpt-mock.leak.tools.chunk-1", true), ("gpt-mock.leak.tools.tcp-9", true)]
    {
        let answer = client.ask(model, "Note it down", stream).await;
        let arguments: serde_json::Value = serde_json::from_str(&answer.said(0)).unwrap();
        assert_clean(arguments["note"].as_str().unwrap());
    }
}

#[tokio::test]
async fn every_choice_has_its_own_state() {
    let (_mock, _haris, client) = guarded("").await;
    for stream in [false, true] {
        let body = json!({
            "model": "gpt-mock.leak.chunk-1", "n": 3, "stream": stream,
            "messages": [{"role": "user", "content": "What do we know of her?"}],
        });
        let answer = client.post("/chat/completions", &body).await;
        for index in 0..3 {
            assert_clean(&answer.said(index));
        }
    }
}

#[tokio::test]
async fn a_prompt_that_leaks_is_redacted_before_it_leaves() {
    let (mock, haris, client) = guarded("").await;
    let answer = client.ask("gpt-mock.echo", &leaking_text(), false).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let sent = mock.only();
    assert_clean(sent.json()["messages"][0]["content"].as_str().unwrap());
    assert_eq!(sent.authorization, format!("Bearer {PROVIDER_KEY}"), "the provider's key, never the caller's");

    let event = haris.event(&answer.event()).to_string();
    for (leak, _) in LEAKS {
        assert!(!event.contains(leak), "the event names rules and spans, never the text: {event}");
    }
    for rule in ["\"qid\"", "\"iban\"", "\"card\"", "\"secret\""] {
        assert!(event.contains(rule), "{rule} in {event}");
    }
}

#[tokio::test]
async fn text_hides_in_no_field() {
    let (mock, _haris, client) = guarded("").await;
    let body = json!({
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": format!("Her card is {CARD}.")}], "name": "clerk"},
            {"role": "user", "content": [{"type": "text", "text": format!("My QID: {QID}")}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "find", "arguments": json!({"iban": IBAN}).to_string()}}]},
            {"role": "tool", "tool_call_id": "c1", "content": format!("write to {EMAIL}")},
        ],
        "tools": [{"type": "function", "function": {"name": "find", "description": format!("finds {QID}"),
            "parameters": {"type": "object", "properties": {"iban": {"type": "string", "description": IBAN, "enum": [CARD]}}}}}],
        "metadata": {"note": format!("key {SECRET}")},
        "user": EMAIL,
        "stop": [format!("stop at {QID}")],
    });
    let answer = client.post("/chat/completions", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let sent = mock.only().text();
    for mark in [QID, IBAN, CARD, SECRET, EMAIL] {
        assert!(!sent.contains(mark), "{mark} in {sent}");
    }
}

#[tokio::test]
async fn shadow_mode_records_and_lets_pass() {
    let more = "[[routes]]\nname = \"shadow\"\nmodels = [\"gpt-mock.leak\"]\nupstream = \"mock\"\n\
                [routes.answer]\nqid = \"observe\"\n";
    let (_mock, haris, client) = guarded(more).await;
    let answer = client.ask("gpt-mock.leak", "What do we know of her?", false).await;
    assert!(answer.said(0).contains(QID), "observed, not redacted: {}", answer.body);
    assert!(!answer.said(0).contains(IBAN), "the others are still redacted: {}", answer.body);
    eventually("the answer's event says what was observed", || {
        haris.events(&[]).iter().any(|event| event.to_string().contains("observe")).then_some(())
    });
}
