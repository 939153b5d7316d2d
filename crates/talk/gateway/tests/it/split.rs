//! What is cut over fields and events is found as in one piece: keys, names, annotations, parts.

use serde_json::{Value, json};

use crate::support::*;

const DIGITS: &str = "4111111111111111";

/// `value` at a path below a message or delta; numbers are items with that index.
fn at(path: &[&str], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, step| match (step.parse::<u64>(), inner) {
        (Ok(index), Value::Object(mut item)) => {
            item.insert("index".to_owned(), index.into());
            json!([item])
        }
        (Ok(_), inner) => json!([inner]),
        (Err(_), inner) => json!({ *step: inner }),
    })
}

fn message(delta: Value) -> Value {
    let mut body = completion("");
    body["choices"][0]["message"] = delta;
    body
}

/// The string at a path of every event, put together like clients do.
fn put_together(answer: &Answer, path: &[&str]) -> String {
    let pointer = path.iter().fold("/choices/0/delta".to_owned(), |out, step| format!("{out}/{step}"));
    answer.chunks().iter().filter_map(|chunk| chunk.pointer(&pointer)?.as_str().map(str::to_owned)).collect()
}

/// A stream that says `text` at a path, cut into pieces of so many characters.
fn cut(path: &[&str], text: &str, chars: usize, extra: &Value) -> String {
    let all: Vec<char> = text.chars().collect();
    let mut chunks = vec![chunk(0, json!({ "role": "assistant", "content": "" }), None)];
    for part in all.chunks(chars) {
        let mut delta = at(path, String::from_iter(part).into());
        if let Some(list) = path.iter().position(|step| step.parse::<u64>().is_ok()) {
            let list = path[..list].iter().fold(String::new(), |out, step| format!("{out}/{step}"));
            for item in delta.pointer_mut(&list).unwrap().as_array_mut().unwrap() {
                for (key, value) in extra.as_object().into_iter().flatten() {
                    match value {
                        Value::Null => drop(item.as_object_mut().unwrap().remove(key)),
                        value => item[key] = value.clone(),
                    }
                }
            }
        }
        chunks.push(chunk(0, delta, None));
    }
    chunks.push(chunk(0, json!({}), Some("stop")));
    sse(&chunks)
}

const NAMES: [&[&str]; 8] = [
    &["tool_calls", "0", "id"],
    &["tool_calls", "0", "function", "name"],
    &["tool_calls", "0", "custom", "name"],
    &["function_call", "name"],
    &["audio", "id"],
    &["annotations", "0", "url_citation", "title"],
    &["annotations", "0", "url_citation", "url"],
    &["content", "0", "text"],
];

#[tokio::test]
async fn names_and_annotations_are_held_until_nothing_of_a_match_can_go_out() {
    let text = format!("q {DIGITS} z");
    for path in NAMES {
        let whole = message(at(path, text.clone().into()));
        let scene = Scene::start(move |_| reply(&whole)).await;
        scene.say("hi").await;
        let plain = scene.event("gw.response.decided").data;
        assert_eq!(plain["verdict"], "redact", "{path:?}");
        for chars in [1, 3, 7, 100] {
            for (extra, block) in [(json!({}), false), (json!({ "index": null }), false), (json!({}), true)] {
                let sent = cut(path, &text, chars, &extra);
                let verdicts = if block { json!({ "card": "block" }) } else { json!({}) };
                let scene = Scene::with_route(json!({ "answer": verdicts }), move |_| reply_stream(sent.clone())).await;
                let answer = scene.stream("hi").await;
                let event = scene.event("gw.response.decided").data;
                let note = format!("{path:?} {chars} {extra} {block}: {}", answer.body);
                if block {
                    assert!("q ".starts_with(&put_together(&answer, path)) && !answer.is_done(), "{note}");
                    assert_eq!((&event["verdict"], &event["outcome"]), (&json!("block"), &json!("blocked")), "{note}");
                } else {
                    assert_eq!(put_together(&answer, path), "q [REDACTED:CARD] z", "{note}");
                    assert!(answer.is_done(), "{note}");
                    for key in ["verdict", "detections"] {
                        assert_eq!(event[key], plain[key], "{note}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_call_comes_with_id_type_and_name_in_its_first_part() {
    let part = |call: Value| chunk(0, json!({ "tool_calls": [call] }), None);
    let first = |name: &str, arguments: &str| json!({ "index": 0, "id": "call_abc", "type": "function", "function": { "name": name, "arguments": arguments } });
    let arguments = |text: &str| part(json!({ "index": 0, "function": { "arguments": text } }));
    let repeats = |text: &str| part(first("get_balance", text));
    let end = chunk(0, json!({}), Some("tool_calls"));
    for chunks in [
        vec![repeats(""), arguments("{\"a\":"), arguments("1}"), end.clone()],
        // All in one, as small servers do.
        vec![repeats("{\"a\":1}"), end.clone()],
        // Id and name again with every part.
        vec![repeats(""), repeats("{\"a\":"), repeats("1}"), repeats(""), end.clone()],
        // The same before the first argument.
        vec![repeats(""), repeats(""), repeats("{\"a\":1}"), end.clone()],
        // The name in parts, the id alone before it.
        vec![
            part(json!({ "index": 0, "id": "call_abc", "type": "function" })),
            part(json!({ "index": 0, "function": { "name": "get_" } })),
            part(json!({ "index": 0, "function": { "name": "balance", "arguments": "" } })),
            arguments("{\"a\":1}"),
            end.clone(),
        ],
    ] {
        let sent = sse(&chunks);
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert!(answer.is_done(), "{}", answer.body);
        let calls: Vec<Value> = answer
            .chunks()
            .iter()
            .filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0").cloned())
            .collect();
        let (name, id) = (&calls[0]["function"]["name"], &calls[0]["id"]);
        assert_eq!((name, id, &calls[0]["type"]), (&json!("get_balance"), &json!("call_abc"), &json!("function")));
        let all = |pointer: &str| -> String {
            calls.iter().filter_map(|call| call.pointer(pointer)?.as_str().map(str::to_owned)).collect()
        };
        assert_eq!((all("/function/name"), all("/id")), ("get_balance".to_owned(), "call_abc".to_owned()));
        assert_eq!(all("/function/arguments"), "{\"a\":1}");
    }
}

#[tokio::test]
async fn calls_that_share_an_index_stay_apart() {
    let call = |id: &str| {
        let call =
            json!({ "index": 0, "id": id, "type": "function", "function": { "name": "look_up", "arguments": "{}" } });
        chunk(0, json!({ "tool_calls": [call] }), None)
    };
    let sent = sse(&[call("call_a"), call("call_b"), chunk(0, json!({}), Some("tool_calls"))]);
    let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
    let answer = scene.stream("hi").await;
    let ids = put_together(&answer, &["tool_calls", "0", "id"]);
    let names = put_together(&answer, &["tool_calls", "0", "function", "name"]);
    assert_eq!((ids.as_str(), names.as_str(), answer.is_done()), ("call_acall_b", "look_uplook_up", true));

    // A name that goes on behind its arguments into something to redact ends the stream.
    let part = |name: &str, arguments: &str| {
        chunk(0, json!({ "tool_calls": [{ "index": 0, "function": { "name": name, "arguments": arguments } }] }), None)
    };
    let sent = sse(&[part("41111111", "{}"), part("11111111", " "), chunk(0, json!({}), Some("stop"))]);
    let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
    let answer = scene.stream("hi").await;
    assert!(!answer.is_done() && !answer.body.contains("11111111"), "{}", answer.body);
}

#[tokio::test]
async fn annotations_of_several_events_stay_several_and_are_read_together() {
    let note = |title: &str| {
        let note =
            json!({ "type": "url_citation", "url_citation": { "title": title, "url": "https://bank.example/a" } });
        chunk(0, json!({ "annotations": [note] }), None)
    };
    for (titles, verdict) in [(["Rates", "Fees"], "allow"), (["41111111", "11111111"], "redact")] {
        let sent = sse(&[note(titles[0]), note(titles[1]), chunk(0, json!({}), Some("stop"))]);
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        let chunks = answer.chunks();
        let notes: Vec<&Value> = chunks
            .iter()
            .filter_map(|chunk| chunk.pointer("/choices/0/delta/annotations")?.as_array())
            .flatten()
            .collect();
        assert_eq!(notes.len(), 2, "{}", answer.body);
        for (note, title) in notes.iter().zip(titles) {
            let title = if verdict == "allow" { title } else { REDACTED_CARD };
            assert_eq!(note["url_citation"], json!({ "title": title, "url": "https://bank.example/a" }));
        }
        assert_eq!(scene.event("gw.response.decided").data["verdict"], verdict);
    }
}

/// Deltas that give the provider's key away to whoever puts them together.
fn key_deltas() -> Vec<Vec<Value>> {
    let (a, b) = PROVIDER_KEY.split_at(12);
    let (first, middle, last) = (&PROVIDER_KEY[..9], &PROVIDER_KEY[9..20], &PROVIDER_KEY[20..]);
    let escaped: String = PROVIDER_KEY.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let arguments = |text: &str| json!({ "tool_calls": [{ "index": 0, "id": "call_1", "function": { "name": "f", "arguments": text } }] });
    let by_char = |make: &dyn Fn(&str) -> Value, text: &str| text.chars().map(|c| make(&c.to_string())).collect();
    let entry = |token: &str| json!({ "token": token, "logprob": -0.5, "bytes": null, "top_logprobs": [] });
    vec![
        vec![json!({ "content": format!("key {a}") }), json!({ "content": b })],
        by_char(&|c| json!({ "content": c }), &format!("my key is {PROVIDER_KEY} ok")),
        by_char(&|c| json!({ "reasoning_content": c }), PROVIDER_KEY),
        by_char(&arguments, &format!("{{\"k\":\"{PROVIDER_KEY}\"}}")),
        by_char(&arguments, &format!("{{\"k\":\"{escaped}\"}}")),
        vec![arguments(&format!("{{\"k\":\"{escaped}\"}}"))],
        by_char(&|c| json!({ "tool_calls": [{ "index": 0, "function": { "name": c } }] }), PROVIDER_KEY),
        by_char(&|c| json!({ "annotations": [{ "index": 0, "url_citation": { "url": c } }] }), PROVIDER_KEY),
        vec![
            json!({ "content": [{ "type": "text", "text": a }] }),
            json!({ "content": [{ "type": "text", "text": b }] }),
        ],
        // One half in each of two fields.
        vec![json!({ "reasoning_content": a }), json!({ "content": b })],
        vec![json!({ "content": a }), json!({ "refusal": b })],
        // The second half first, and thirds in every order, alone in their fields or behind other text.
        vec![json!({ "content": b }), json!({ "reasoning_content": a })],
        vec![json!({ "reasoning_content": first }), json!({ "content": middle }), json!({ "refusal": last })],
        vec![json!({ "refusal": last }), json!({ "content": middle }), json!({ "reasoning_content": first })],
        vec![json!({ "content": middle }), json!({ "refusal": last }), json!({ "reasoning_content": first })],
        vec![
            json!({ "content": "So: " }),
            json!({ "reasoning_content": first }),
            json!({ "content": middle }),
            json!({ "refusal": last }),
        ],
        // The tokens' list says it, the text does not.
        vec![
            json!({ "content": "hello" , "logprobs": [entry(a)] }),
            json!({ "content": " you", "logprobs": [entry(b)] }),
        ],
    ]
}

#[tokio::test]
async fn the_providers_key_does_not_reach_the_caller_in_parts() {
    for deltas in key_deltas() {
        let mut chunks: Vec<Value> = deltas.iter().map(|delta| chunk(0, delta.clone(), None)).collect();
        for chunk in &mut chunks {
            if let Some(entries) = chunk["choices"][0]["delta"].as_object_mut().unwrap().remove("logprobs") {
                chunk["choices"][0]["logprobs"] = json!({ "content": entries });
            }
        }
        chunks.push(chunk(0, json!({}), Some("stop")));
        let sent = sse(&chunks);
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        let note = format!("{}: {}", deltas[0], answer.body);
        assert!(!answer.is_done() && answer.chunks().last().unwrap()["error"]["code"] == "upstream_error", "{note}");
        let said =
            ["/content", "/content/0/text", "/reasoning_content", "/refusal", "/tool_calls/0/function/arguments"];
        let said: String = said.iter().map(|path| answer.streamed(0, path)).collect();
        assert!(!said.contains("sk-p") && !said.contains("0123") && !said.contains("u0073"), "{note}");
        assert!(!answer.body.contains("sk-provider"), "{note}");
        assert!(!said.contains("r-01") && !said.contains("abcdef"), "{note}");
        assert_eq!(scene.event("gw.response.decided").data["outcome"], "upstream-error", "{note}");
    }
}

#[tokio::test]
async fn the_providers_key_does_not_reach_the_caller_in_one_answer() {
    let (a, b) = PROVIDER_KEY.split_at(12);
    let escaped: String = PROVIDER_KEY.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let call =
        |arguments: &str| json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": arguments } });
    let entry = |token: &str| json!({ "token": token, "logprob": -0.5, "bytes": null, "top_logprobs": [] });
    let spelt = json!({ "content": [entry(a), entry(b)], "refusal": null });
    for (said, logprobs) in [
        (json!({ "content": format!("x {PROVIDER_KEY}") }), Value::Null),
        (json!({ "content": null, "tool_calls": [call(&format!("{{\"k\":\"{escaped}\"}}"))] }), Value::Null),
        (json!({ "reasoning_content": a, "content": b }), Value::Null),
        (json!({ "content": [{ "type": "text", "text": a }, { "type": "text", "text": b }] }), Value::Null),
        (json!({ "content": "hello you" }), spelt),
    ] {
        let mut body = message(said.clone());
        body["choices"][0]["logprobs"] = logprobs;
        let scene = Scene::start(move |_| reply(&body)).await;
        let answer = scene.say("hi").await;
        assert_eq!((answer.status, answer.code()), (502, "upstream_error".to_owned()), "{said}");
        assert!(!answer.body.contains("sk-p") && !answer.body.contains("0123"), "{}", answer.body);
    }
    // What only begins like it is an ordinary word.
    for chars in [1, 5] {
        let sent = sse(&streamed("sk-pro is no key, sk-provider-01 neither, \\u0073k", chars));
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert_eq!(answer.streamed(0, "/content"), "sk-pro is no key, sk-provider-01 neither, \\u0073k");
        assert!(answer.is_done());
    }
}

#[tokio::test]
async fn an_end_without_a_reason_is_an_end() {
    let mut chunks = streamed("write to fatima@", 3);
    chunks.pop();
    let sent = sse(&chunks);
    let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
    let answer = scene.stream("hi").await;
    assert!(answer.is_done(), "{}", answer.body);
    assert_eq!(answer.streamed(0, "/content"), "write to fatima@");
    assert_eq!(scene.event("gw.response.decided").data["outcome"], "complete");
}

#[tokio::test]
async fn content_in_parts_is_one_text() {
    let parts = json!([{ "type": "text", "text": "card 4111 1111" }, { "type": "text", "text": " 1111 1111 ok" },
        { "type": "refusal", "refusal": "no fatima@example.qa" }]);
    let body = message(json!({ "role": "assistant", "content": parts }));
    let scene = Scene::start(move |_| reply(&body)).await;
    let got = scene.say("hi").await.json();
    let expected = json!([{ "type": "text", "text": "card [REDACTED:CARD]" },
        { "type": "text", "text": "[REDACTED:CARD] ok" }, { "type": "refusal", "refusal": "no [REDACTED:EMAIL]" }]);
    assert_eq!(got["choices"][0]["message"]["content"], expected);

    let part = |text: &str| chunk(0, json!({ "content": [{ "type": "text", "text": text }] }), None);
    for texts in [vec!["card 4111 1111", " 1111 1111", " ok"], vec!["card 4111 1111 1111 1111 ok"]] {
        let mut chunks: Vec<Value> = texts.into_iter().map(part).collect();
        chunks.push(chunk(0, json!({}), Some("stop")));
        let sent = sse(&chunks);
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert_eq!(put_together(&answer, &["content", "0", "text"]), "card [REDACTED:CARD] ok", "{}", answer.body);
        assert!(answer.is_done());
    }
}
