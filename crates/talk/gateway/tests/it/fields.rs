//! A marker in every field of every table, plain and streamed: the verdict is the same everywhere.

use base64::Engine as _;
use haris_gateway::protocol::{OpenAiChat, OpenAiEmbeddings, PROTOCOLS, Protocol};
use haris_gateway::table::{Field, Form};
use serde_json::{Value, json};

use crate::support::*;

/// What carries the marker in a field of that form; nothing where the form carries no text.
fn planted(form: Form) -> Option<Value> {
    Some(match form {
        Form::Text
        | Form::Name
        | Form::TextNotTokens
        | Form::Word(_)
        | Form::Plain
        | Form::Vector
        | Form::Media
        | Form::Reference => format!("card {CARD} end").into(),
        Form::Source => json!({ "a": CARD, "n": 1 }).to_string().into(),
        Form::Any => json!({ "a": [CARD] }),
        Form::Locator => format!("data:text/plain,{}", CARD.replace(' ', "%20")).into(),
        Form::File => base64::engine::general_purpose::STANDARD.encode(format!("card {CARD}")).into(),
        Form::Spelling => CARD
            .split_inclusive(' ')
            .map(|token| json!({ "token": token, "logprob": -0.5, "bytes": token.as_bytes(), "top_logprobs": [] }))
            .collect(),
        Form::Padding => return None,
    })
}

/// Puts `value` at `path` of `body`.
fn put(body: &mut Value, path: &str, value: Value) {
    let mut at = body;
    for part in path.split('.') {
        let end = part.find(['[', '{']).unwrap_or(part.len());
        let (name, mark) = part.split_at(end);
        at = &mut at[name];
        match mark {
            "" => {}
            "[*]" => {
                if !at.is_array() {
                    *at = json!([{}]);
                }
                at = &mut at[0];
            }
            "[#]" | "[+]" => {
                if !at.is_array() {
                    *at = json!([{ "index": 0 }]);
                }
                at = &mut at[0];
            }
            "{*}" => {
                *at = json!({ "k": null });
                at = &mut at["k"];
            }
            other => panic!("{other}"),
        }
    }
    *at = value;
}

/// The field's name in records, for the first of everything.
fn name_of(path: &str) -> String {
    path.replace(".delta", ".message")
        .replace("[*]", "[0]")
        .replace("[#]", "[0]")
        .replace("[+]", "[0]")
        .replace("{*}", "[0].value")
}

/// Fields that the gateway itself reads: a marker there is refused for what it is.
const READ: [&str; 2] = ["model", "stream"];

async fn check_requests(scene: &Scene, protocol: &dyn Protocol, base: &Value, rows: &[Field], streams: &[bool]) {
    let mut checked = 0;
    for row in rows.iter().filter(|row| !READ.contains(&row.path)) {
        let Some(marker) = planted(row.form) else { continue };
        for stream in streams {
            let mut body = base.clone();
            put(&mut body, row.path, marker.clone());
            if *stream {
                body["stream"] = true.into();
            }
            let answer = Answer::of(scene.post(protocol.path()).body(body.to_string()).send().await.unwrap()).await;
            assert_eq!(answer.status, 200, "{}: {}", row.path, answer.body);
            let sent = String::from_utf8(scene.heard().last().unwrap().body.clone()).unwrap();
            assert!(!sent.contains("4111") && !sent.contains("NDExMS"), "{}: {sent}", row.path);
            let event = scene.events().into_iter().find(|event| event.id.to_string() == answer.event_id()).unwrap();
            assert_eq!(event.data["verdict"], "redact", "{}", row.path);
            let field = event.data["detections"][0]["field"].as_str().unwrap();
            assert!(field.starts_with(&name_of(row.path)), "{}: {field}", row.path);
            checked += 1;
        }
    }
    assert!(checked >= rows.len().saturating_sub(5), "{checked} of {}", rows.len());
}

#[tokio::test]
async fn every_field_of_a_request_is_inspected_plain_and_streamed() {
    let scene = Scene::start(|heard| {
        if heard.json()["stream"] == true { reply_stream(sse(&streamed("ok", 9))) } else { reply(&completion("ok")) }
    })
    .await;
    let base = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    check_requests(&scene, &OpenAiChat, &base, OpenAiChat.request().rows(), &[false, true]).await;
    let base = json!({ "model": "m", "input": "hi" });
    check_requests(&scene, &OpenAiEmbeddings, &base, OpenAiEmbeddings.request().rows(), &[false]).await;
}

/// One row of an answer's table, and what became of a marker there.
async fn judged(scene: &Scene, planted: Value, stream: bool) -> (Value, String) {
    *ANSWER.lock() = planted;
    let body = if stream { scene.stream("hi").await } else { scene.say("hi").await };
    let event = scene.events().into_iter().next_back().unwrap();
    assert_eq!(event.kind.name, "gw.response.decided/1");
    (Value::Object(event.data), body.body)
}

static ANSWER: parking_lot::Mutex<Value> = parking_lot::Mutex::new(Value::Null);

#[tokio::test]
async fn every_field_of_an_answer_is_inspected_plain_and_streamed() {
    let scene = Scene::start(|heard| {
        let answer = ANSWER.lock().clone();
        if heard.json()["stream"] == true {
            let end = chunk(0, json!({}), Some("stop"));
            reply_stream(sse(&[answer, end]))
        } else {
            reply(&answer)
        }
    })
    .await;
    let base = json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "m" });
    let chunks = OpenAiChat.chunk().unwrap().rows();
    let mut checked = 0;
    for row in OpenAiChat.answer().rows() {
        let Some(marker) = planted(row.form) else { continue };
        let twin = row.path.replace(".message", ".delta");
        let counted = |path: &str| path.replace("[#]", "[*]").replace("[+]", "[*]");
        let same = |chunk: &&Field| counted(chunk.path) == counted(&twin);
        let twin = chunks.iter().find(same).unwrap_or_else(|| panic!("no {twin}"));
        // An index names the choice or item: text there has no place in a stream.
        let in_stream = !row.path.ends_with(".index");
        let mut plain = base.clone();
        put(&mut plain, row.path, marker.clone());
        let (whole, body) = judged(&scene, plain, false).await;
        assert!(!body.contains("4111"), "{}: {body}", row.path);
        checked += 1;
        if row.path.ends_with("[#].index") {
            // Text where an index must be: nobody can say which choice it names.
            assert_eq!(whole["outcome"], "upstream-error", "{}: {body}", row.path);
            continue;
        }
        assert_eq!(whole["verdict"], "redact", "{}: {body}", row.path);
        if in_stream {
            let mut part = base.clone();
            put(&mut part, twin.path, marker);
            let (streamed, body) = judged(&scene, part, true).await;
            assert!(!body.contains("4111"), "{}: {body}", row.path);
            assert_eq!(streamed["detections"], whole["detections"], "{}", row.path);
            assert_eq!(streamed["verdict"], whole["verdict"], "{}", row.path);
            assert!(body.ends_with("data: [DONE]\n\n"), "{}: {body}", row.path);
        }
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn every_protocol_is_planted() {
    assert_eq!(PROTOCOLS.len(), 2, "a new protocol needs its own two tests here");
}
