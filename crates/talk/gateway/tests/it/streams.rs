//! Streamed answers: the same findings as for the whole text, however it was cut.

use std::time::Duration;

use futures_util::StreamExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn a_clean_stream_keeps_its_structure() {
    let chunks = streamed("Your branch opens at eight.", 5);
    let sent = sse(&chunks);
    let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
    let answer = scene.stream("When?").await;
    assert_eq!(answer.headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(answer.streamed(0, "/content"), "Your branch opens at eight.");
    assert!(answer.is_done());
    let got = answer.chunks();
    assert_eq!(got[0], chunks[0]);
    assert_eq!(got.last(), chunks.last());
    assert!(got.iter().all(|chunk| chunk["id"] == "chatcmpl-1" && chunk["created"] == 1_700_000_000));
    let event = scene.event("gw.response.decided");
    assert_eq!((&event.data["outcome"], &event.data["verdict"]), (&json!("complete"), &json!("allow")));
    let stored: Value = serde_json::from_str(&scene.payload(&event, "response").unwrap()).unwrap();
    assert_eq!(stored["choices"][0]["message"]["content"], "Your branch opens at eight.");
}

#[tokio::test]
async fn held_text_goes_out_before_the_end_of_its_choice() {
    // It could be the beginning of an address until the choice ends.
    let mut chunks = streamed("write to fatima@", 3);
    chunks.push(
        json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
        "usage": { "prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5 } }),
    );
    let sent = sse(&chunks);
    let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
    let answer = scene.stream("hi").await;
    let mut text = String::new();
    for chunk in answer.chunks() {
        let choice = &chunk["choices"][0];
        if choice["finish_reason"] == "stop" {
            break;
        }
        text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
    }
    assert_eq!(text, "write to fatima@");
    assert_eq!(answer.chunks().last().unwrap()["usage"]["total_tokens"], 5);
    assert_eq!(scene.event("gw.response.decided").data["tokens_out"], 3);
}

#[tokio::test]
async fn a_leak_is_redacted_for_every_size_of_piece() {
    let text = "Sure: 4111 1111 1111 1111, and fatima@example.qa.";
    for chars in [1, 2, 3, 7, 100] {
        let sent = sse(&streamed(text, chars));
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert_eq!(answer.streamed(0, "/content"), "Sure: [REDACTED:CARD], and [REDACTED:EMAIL].", "{chars}");
        assert!(answer.is_done());
        let event = scene.event("gw.response.decided");
        assert_eq!(event.data["detections"][0]["start"], 6);
        assert_eq!(event.data["detections"][1]["kind"], "email");
    }
}

#[tokio::test]
async fn a_block_ends_the_stream_with_an_error_and_shows_nothing_of_the_match() {
    let sent = sse(&streamed(
        "The number you want is 4111 1111 1111 1111, have fun with it, and again 5555 5555 5555 4444.",
        4,
    ));
    let scene = Scene::with_route(json!({ "answer": { "card": "block" } }), move |_| reply_stream(sent.clone())).await;
    let answer = scene.stream("hi").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.is_done() && !answer.body.contains("4111") && !answer.body.contains("5555"), "{}", answer.body);
    assert!("The number you want is ".starts_with(&answer.streamed(0, "/content")), "{}", answer.body);
    let last = answer.chunks().pop().unwrap();
    assert_eq!(last["error"]["code"], "content_policy_violation");
    assert_eq!(last["error"]["event"], answer.event_id());
    let event = scene.event("gw.response.decided");
    assert_eq!((&event.data["outcome"], &event.data["verdict"]), (&json!("blocked"), &json!("block")));
    // The rest was read for the record: the findings are those of the whole text.
    assert_eq!(event.data["detections"].as_array().unwrap().len(), 2);
    assert_eq!(event.data["not_scanned"], json!([]));
}

#[tokio::test]
async fn each_choice_has_its_own_text() {
    let mut chunks = Vec::new();
    for (a, b) in ["card 4111 1", "111 1111 ", "1111 a"].iter().zip(["4111 ", "is a number", " b"]) {
        chunks.push(chunk(0, json!({ "content": a }), None));
        chunks.push(chunk(1, json!({ "content": b }), None));
    }
    chunks.push(chunk(1, json!({}), Some("stop")));
    chunks.push(chunk(0, json!({}), Some("length")));
    let sent = sse(&chunks);
    let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
    let answer = scene.stream("hi").await;
    assert_eq!(answer.streamed(0, "/content"), "card [REDACTED:CARD] a");
    assert_eq!(answer.streamed(1, "/content"), "4111 is a number b");
    assert_eq!(scene.event("gw.response.decided").data["detections"][0]["field"], "choices[0].message.content");
}

#[tokio::test]
async fn streamed_arguments_stay_json() {
    let call = |index: u64, id: Option<&str>, arguments: &str| {
        let mut call = json!({ "index": index, "function": { "arguments": arguments } });
        if let Some(id) = id {
            call["id"] = id.into();
            call["type"] = "function".into();
            call["function"]["name"] = "pay".into();
        }
        chunk(0, json!({ "tool_calls": [call] }), None)
    };
    let mut chunks = vec![call(0, Some("call_a"), "")];
    for part in ["{\"card\":4111", "11111111", "1111", ",\"to\":\"4111 1111 ", "1111 1111\"}"] {
        chunks.push(call(0, None, part));
    }
    chunks.push(call(1, Some("call_b"), ""));
    chunks.push(call(1, None, "{\"n\":12345"));
    chunks.push(call(1, None, "}"));
    chunks.push(chunk(0, json!({}), Some("tool_calls")));
    let sent = sse(&chunks);
    let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
    let answer = scene.stream("hi").await;
    let mut calls = [String::new(), String::new()];
    let mut ids = Vec::new();
    for chunk in answer.chunks() {
        for call in chunk.pointer("/choices/0/delta/tool_calls").and_then(Value::as_array).into_iter().flatten() {
            calls[call["index"].as_u64().unwrap() as usize]
                .push_str(call["function"]["arguments"].as_str().unwrap_or_default());
            ids.extend(call["id"].as_str().map(str::to_owned));
        }
    }
    assert_eq!(calls[0], r#"{"card":"[REDACTED:CARD]","to":"[REDACTED:CARD]"}"#);
    assert_eq!(calls[1], r#"{"n":12345}"#);
    assert_eq!(ids, ["call_a", "call_b"]);
    assert_eq!(
        scene.event("gw.response.decided").data["detections"][0]["field"],
        "choices[0].message.tool_calls[0].function.arguments"
    );
}

#[tokio::test]
async fn logprobs_wait_for_their_text_and_go_with_it() {
    let entry = |token: &str| json!({ "token": token, "logprob": -0.1, "bytes": token.as_bytes(), "top_logprobs": [] });
    let part = |token: &str| {
        let mut chunk = chunk(0, json!({ "content": token }), None);
        chunk["choices"][0]["logprobs"] = json!({ "content": [entry(token)], "refusal": null });
        chunk
    };
    for (tokens, kept) in [
        (vec!["Hello", " there", ", friend"], "Hello there, friend"),
        (vec!["Hi, ", "card ", "4111 ", "1111 ", "1111 ", "1111", " ok"], "Hi, card"),
    ] {
        let mut chunks: Vec<_> = tokens.iter().map(|token| part(token)).collect();
        chunks.push(chunk(0, json!({}), Some("stop")));
        let sent = sse(&chunks);
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert!(!answer.body.contains("4111"), "{}", answer.body);
        let mut spelt = String::new();
        for chunk in answer.chunks() {
            for entry in chunk.pointer("/choices/0/logprobs/content").and_then(Value::as_array).into_iter().flatten() {
                spelt.push_str(entry["token"].as_str().unwrap());
            }
        }
        assert!(kept.starts_with(spelt.trim_end()), "{spelt}");
        if !kept.contains("card") {
            assert_eq!(spelt, kept);
        }
    }
}

#[tokio::test]
async fn an_unusable_stream_ends_with_an_error_and_is_recorded() {
    let good = format!("data: {}\n\n", chunk(0, json!({ "content": "Hello. " }), None));
    for bad in [
        "data: not json\n\ndata: [DONE]\n\n",
        "data: {\"id\":1,\"id\":2}\n\n",
        "data: []\n\n",
        // The end without a finish reason, with and without half an event.
        "",
        "data: {\"id\":",
        // Text after its choice ended.
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n",
    ] {
        let sent = format!("{good}{bad}");
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert_eq!(answer.streamed(0, "/content"), "Hello. ", "{bad}");
        assert_eq!(answer.chunks().last().unwrap()["error"]["code"], "upstream_error", "{bad}");
        assert!(!answer.is_done());
        assert_eq!(scene.event("gw.response.decided").data["outcome"], "upstream-error");
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_passed_on_redacted() {
    let error = json!({ "error": { "message": format!("failed on {CARD}"), "code": "server_error", "trace": "x" } });
    let sent = format!("data: {}\n\ndata: {error}\n\n", chunk(0, json!({ "content": "Hi" }), None));
    let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
    let answer = scene.stream("hi").await;
    let last = answer.chunks().pop().unwrap();
    assert_eq!(last, json!({ "error": { "message": format!("failed on {REDACTED_CARD}"), "code": "server_error" } }));
    assert_eq!(scene.event("gw.response.decided").data["outcome"], "upstream-error");
}

#[tokio::test]
async fn a_stream_that_was_not_asked_for_is_refused_and_the_other_way_round() {
    let scene = Scene::start(|heard| {
        if heard.json()["stream"] == true { reply(&completion("x")) } else { reply_stream(sse(&streamed("x", 1))) }
    })
    .await;
    assert_eq!(scene.say("hi").await.status, 502);
    assert_eq!(scene.stream("hi").await.status, 502);
}

#[tokio::test]
async fn text_flows_before_the_upstream_is_done() {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let receive = parking_lot::Mutex::new(Some(receive));
    let scene = Scene::start(move |_| {
        let parts = futures_util::stream::unfold(receive.lock().take().unwrap(), |mut receive| async move {
            receive.recv().await.map(|part| (Ok::<_, std::io::Error>(part), receive))
        });
        reply_stream(axum::body::Body::from_stream(parts))
    })
    .await;
    let mut body = ask("hi");
    body["stream"] = true.into();
    send.send(format!(": hello\n\ndata: {}\n\n", chunk(0, json!({ "content": "Good morning. " }), None)).into())
        .unwrap();
    let response = scene.post("/v1/chat/completions").body(body.to_string()).send().await.unwrap();
    let mut parts = response.bytes_stream();
    let mut got = String::new();
    while !got.contains("Good morning") {
        got.push_str(std::str::from_utf8(&parts.next().await.unwrap().unwrap()).unwrap());
    }
    // Nothing of the answer is on record yet; then the upstream ends.
    assert_eq!(scene.events().len(), 1);
    send.send(sse(&[chunk(0, json!({}), Some("stop"))]).into()).unwrap();
    drop(send);
    while let Some(part) = parts.next().await {
        got.push_str(std::str::from_utf8(&part.unwrap()).unwrap());
    }
    assert!(got.ends_with("data: [DONE]\n\n"));
    assert_eq!(scene.events().len(), 2);
}

#[tokio::test]
async fn a_caller_who_leaves_cancels_the_upstream_and_is_recorded() {
    let (dropped, was_dropped) = tokio::sync::oneshot::channel::<()>();
    let guard = parking_lot::Mutex::new(Some(dropped));
    let scene = Scene::start(move |_| {
        let guard = guard.lock().take().unwrap();
        let first = format!("data: {}\n\n", chunk(0, json!({ "content": "Good morning. " }), None));
        let parts = futures_util::stream::unfold((Some(first), guard), |(first, guard)| async move {
            match first {
                Some(first) => Some((Ok::<_, std::io::Error>(first), (None, guard))),
                None => std::future::pending().await,
            }
        });
        reply_stream(axum::body::Body::from_stream(parts))
    })
    .await;
    let mut body = ask("hi");
    body["stream"] = true.into();
    let mut response = scene.post("/v1/chat/completions").body(body.to_string()).send().await.unwrap();
    response.chunk().await.unwrap();
    drop(response);
    // The upstream's body is dropped: its connection was closed.
    assert!(tokio::time::timeout(Duration::from_secs(20), was_dropped).await.unwrap().is_err());
    let events = scene.wait_for_events(2).await;
    assert_eq!(events[1].data["outcome"], "cancelled");
}

/// Words and leaks, in several scripts.
fn answer_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-z ]{1,12}".boxed(),
        Just(" 4111 1111 1111 1111 ".to_owned()).boxed(),
        Just("fatima@example.qa ".to_owned()).boxed(),
        Just("QA33QISB107139434789710632954 ".to_owned()).boxed(),
        Just("مرحبا بك ٢٨٤٦٣٤٠٠١٢٣ ".to_owned()).boxed(),
        Just("\u{200b}\u{200b}\"\\\n😀".to_owned()).boxed(),
        "[0-9 ]{1,20}".boxed(),
    ];
    prop::collection::vec(part, 1..8).prop_map(|parts| parts.concat())
}

#[test]
fn cutting_a_stream_changes_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let next: std::sync::Arc<parking_lot::Mutex<Vec<Vec<u8>>>> = std::sync::Arc::default();
    let mine = std::sync::Arc::clone(&next);
    let text: std::sync::Arc<parking_lot::Mutex<String>> = std::sync::Arc::default();
    let whole = std::sync::Arc::clone(&text);
    let scene = runtime.block_on(Scene::start(move |heard| {
        if heard.json()["stream"] == true {
            reply_stream(pieces(mine.lock().clone()))
        } else {
            reply(&completion(&whole.lock()))
        }
    }));
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(given in answer_text(), chars in 1usize..12, cuts in prop::collection::vec(0.0f64..1.0, 0..12))| {
        *text.lock() = given.clone();
        let body = sse(&streamed(&given, chars)).into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|at| (at * body.len() as f64) as usize).collect();
        cuts.push(body.len());
        cuts.sort_unstable();
        let mut parts = Vec::new();
        let mut from = 0;
        for cut in cuts {
            parts.push(body[from..cut].to_vec());
            from = cut;
        }
        *next.lock() = parts;
        runtime.block_on(async {
            let plain = scene.say("hi").await;
            let streamed = scene.stream("hi").await;
            let last_two: Vec<_> = scene.events().into_iter().filter(|event| event.kind.name.starts_with("gw.response")).rev().take(2).collect();
            let content = plain.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
            prop_assert_eq!(streamed.streamed(0, "/content"), content);
            prop_assert!(streamed.is_done());
            for key in ["verdict", "detections", "detections_more"] {
                prop_assert_eq!(&last_two[0].data[key], &last_two[1].data[key], "{}", key);
            }
            Ok(())
        })?;
    });
}

#[tokio::test]
async fn lines_may_end_in_carriage_returns() {
    for end in ["\r\n", "\r"] {
        let sent = sse(&streamed("Your branch opens at eight.", 5)).replace('\n', end);
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("When?").await;
        assert!(answer.is_done(), "{end:?}");
        assert_eq!(answer.streamed(0, "/content"), "Your branch opens at eight.");
        assert_eq!(scene.event("gw.response.decided").data["outcome"], "complete");
    }
}

#[tokio::test]
async fn two_spellings_of_an_index_are_refused() {
    for spelling in ["1.0", "1e0", "-0", "\"1\""] {
        let other = chunk(1, json!({ "content": "1111 1111" }), None).to_string();
        let other = other.replace("\"index\":1", &format!("\"index\":{spelling}"));
        let first = chunk(1, json!({ "content": "4111 1111 " }), None);
        let sent = format!("data: {first}\n\ndata: {other}\n\ndata: [DONE]\n\n");
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert!(!answer.is_done(), "{spelling}");
        assert_eq!(scene.event("gw.response.decided").data["outcome"], "upstream-error", "{spelling}");
    }
}

#[tokio::test]
async fn words_and_names_that_clients_put_together_are_read_together() {
    let call = |name: &str| {
        let call = json!({ "index": 0, "id": "c1", "type": "function", "function": { "name": name, "arguments": "" } });
        chunk(0, json!({ "tool_calls": [call] }), None)
    };
    let role = |role: &str| chunk(0, json!({ "role": role }), None);
    let end = chunk(0, json!({}), Some("stop"));
    for parts in [
        vec![call("42424242"), call("42424242"), end.clone()],
        vec![call("4242"), call("4242"), call("4242"), call("4242"), end.clone()],
        vec![role("41111111"), role("11111111"), end.clone()],
    ] {
        let sent = sse(&parts);
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert!(answer.is_done());
        let event = scene.event("gw.response.decided");
        assert_eq!(event.data["verdict"], "redact", "{:?}", parts[0]);
    }
}
