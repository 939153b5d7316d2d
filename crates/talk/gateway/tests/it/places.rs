//! Places that are no ordinary text, and carry text all the same.

use axum::response::Response;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::*;

const DIGITS: &str = "4111111111111111";

fn part(part: Value) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": [part] }] })
}

#[tokio::test]
async fn what_is_written_in_place_of_sound_or_a_file_is_read() {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("card {DIGITS}"));
    let audio = |data: &str| part(json!({ "type": "input_audio", "input_audio": { "data": data, "format": "wav" } }));
    let file = |data: &str| part(json!({ "type": "file", "file": { "file_data": data, "filename": "a" } }));
    let image = |url: &str| part(json!({ "type": "image_url", "image_url": { "url": url } }));
    for body in [
        audio(&format!("my card is {DIGITS}")),
        audio(DIGITS),
        audio(&text),
        file(&format!("my card is {DIGITS}!")),
        file(DIGITS),
        image(&format!("data:image/png;name={DIGITS};base64,AAAA")),
        image(&format!("data:text/plain;name={DIGITS};base64,{text}")),
        image("data:image/png;name=4111%31111%31111%31111;base64,AAAA"),
        image("https://bank.example/card?n=4111%31111%31111%31111"),
        image("https://bank.example/card?n=4111%2531111%31111%31111"),
        file(&format!("data:application/pdf;x={DIGITS};base64,AAAA")),
    ] {
        let scene = Scene::start(says("ok")).await;
        assert_eq!(scene.chat(body.clone()).await.status, 200, "{body}");
        let sent = String::from_utf8(scene.heard()[0].body.clone()).unwrap();
        let event = scene.event("gw.request.decided");
        let kept = scene.payload(&event, "request").unwrap();
        for shown in [sent, kept] {
            assert!(shown.contains("[REDACTED") || shown.contains("UkVEQUNURU"), "{body}: {shown}");
            assert!(
                !shown.contains("41111111") && !shown.contains("4111%") && !shown.contains(&text),
                "{body}: {shown}"
            );
        }
        assert_eq!(event.data["verdict"], "redact", "{body}");
    }
}

#[tokio::test]
async fn what_lies_elsewhere_is_not_scanned_and_says_so() {
    let file = part(json!({ "type": "file", "file": { "file_id": "file-abc" } }));
    let audio = json!({ "model": "m", "messages": [{ "role": "assistant", "audio": { "id": "audio_abc" } }] });
    for (body, field) in [(file, "messages[0].content[0].file.file_id"), (audio, "messages[0].audio.id")] {
        let lax = Scene::start(says("ok")).await;
        assert_eq!(lax.chat(body.clone()).await.status, 200);
        let note = json!([{ "field": field, "why": "media-reference" }]);
        assert_eq!(lax.event("gw.request.decided").data["not_scanned"], note);
        let strict = Scene::with_route(json!({ "media": "refuse" }), says("never")).await;
        let answer = strict.chat(body).await;
        assert_eq!((answer.status, answer.code()), (400, "media_not_allowed".to_owned()));
    }
}

#[tokio::test]
async fn sound_in_an_answer_is_read_as_text_plain_and_streamed() {
    let mut whole = completion("");
    whole["choices"][0]["message"]["audio"] =
        json!({ "id": "audio_1", "data": format!("card {CARD} end"), "transcript": "x" });
    let scene = Scene::start(move |_| reply(&whole)).await;
    let answer = scene.say("hi").await;
    assert!(!answer.body.contains("4111"), "{}", answer.body);
    let plain = scene.event("gw.response.decided").data;
    for chars in [1, 4, 50] {
        let text: Vec<char> = format!("card {CARD} end").chars().collect();
        let data =
            |part: &[char]| chunk(0, json!({ "audio": { "id": "audio_1", "data": String::from_iter(part) } }), None);
        let mut chunks: Vec<Value> = text.chunks(chars).map(data).collect();
        chunks.push(chunk(0, json!({ "audio": { "transcript": "x" } }), None));
        chunks.push(chunk(0, json!({}), Some("stop")));
        let sent = sse(&chunks);
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert_eq!(answer.streamed(0, "/audio/data"), "card [REDACTED:CARD] end");
        assert_eq!(answer.streamed(0, "/audio/id"), "audio_1");
        let event = scene.event("gw.response.decided").data;
        for key in ["verdict", "detections", "not_scanned"] {
            assert_eq!(event[key], plain[key], "{key} {chars}");
        }
    }
}

#[tokio::test]
async fn numbers_are_read_by_their_value() {
    let call = |number: &str| {
        format!(
            r#"{{"model":"m","messages":[{{"role":"assistant","tool_calls":[{{"id":"c","type":"function","function":{{"name":"f","arguments":"{{\"n\":{number}}}"}}}}]}}]}}"#
        )
    };
    let seed = |number: &str| format!(r#"{{"model":"m","messages":[],"seed":{number}}}"#);
    let schema = |number: &str| {
        format!(
            r#"{{"model":"m","messages":[],"tools":[{{"type":"function","function":{{"name":"f","parameters":{{"const":{number},"enum":[1,{number}]}}}}}}]}}"#
        )
    };
    for number in ["4111111111111111", "4111111111111111.0", "4.111111111111111e15", "4111111111111111000E-3"] {
        for body in [call(number), seed(number), schema(number)] {
            let scene = Scene::start(says("ok")).await;
            let answer = scene.chat_raw(body.clone()).await;
            assert_eq!(answer.status, 200, "{body}: {}", answer.body);
            let sent = String::from_utf8(scene.heard()[0].body.clone()).unwrap();
            assert!(sent.contains(REDACTED_CARD) && !sent.contains("1111111"), "{sent}");
            assert_eq!(scene.event("gw.request.decided").data["verdict"], "redact");
        }
    }
    let scene = Scene::start(says("ok")).await;
    let body = r#"{"model":"m","messages":[],"seed":12345,"temperature":0.4111111111111111,"top_p":1e300}"#;
    assert_eq!(scene.chat_raw(body).await.status, 200);
    assert_eq!(String::from_utf8(scene.heard()[0].body.clone()).unwrap(), body);
}

#[tokio::test]
async fn numbers_of_an_answer_are_read_too() {
    for (pointer, number) in [("usage", "4111111111111111"), ("created", "4.111111111111111e15")] {
        let text = match pointer {
            "usage" => {
                completion("ok").to_string().replace("\"total_tokens\":12", &format!("\"total_tokens\":{number}"))
            }
            _ => completion("ok").to_string().replace("1700000000", number),
        };
        let body = text.clone();
        let scene = Scene::start(move |_| {
            Response::builder().header("content-type", "application/json").body(text.clone().into()).unwrap()
        })
        .await;
        let answer = scene.say("hi").await;
        assert!(answer.body.contains(REDACTED_CARD) && !answer.body.contains("1111111"), "{body}: {}", answer.body);
    }
    let arguments = |text: &str| {
        let call = json!({ "index": 0, "function": { "arguments": text } });
        chunk(0, json!({ "tool_calls": [call] }), None)
    };
    for size in [1, 2, 5, 100] {
        let source = r#"{"n":4.111111111111111e15,"m":[4111111111111111.0],"t":"2.5e12"}"#;
        let mut chunks: Vec<Value> =
            source.as_bytes().chunks(size).map(|part| arguments(std::str::from_utf8(part).unwrap())).collect();
        chunks.push(chunk(0, json!({}), Some("tool_calls")));
        let sent = sse(&chunks);
        let scene = Scene::start(move |_| reply_stream(sent.clone())).await;
        let answer = scene.stream("hi").await;
        assert_eq!(
            answer.streamed(0, "/tool_calls/0/function/arguments"),
            r#"{"n":"[REDACTED:CARD]","m":["[REDACTED:CARD]"],"t":"2.5e12"}"#
        );
    }
}

#[tokio::test]
async fn vectors_stay_vectors() {
    let vector: Vec<f64> = (0..64).map(|i| 0.411_111_111_111_111_1 + f64::from(i) / 1e15).collect();
    let body =
        json!({ "object": "list", "model": "m", "data": [{ "object": "embedding", "index": 0, "embedding": vector }] });
    let sent = body.clone();
    let scene = Scene::start(move |_| reply(&sent)).await;
    let request = json!({ "model": "m", "input": "hi" }).to_string();
    let answer = Answer::of(scene.post("/v1/embeddings").body(request).send().await.unwrap()).await;
    assert_eq!(answer.body, body.to_string());
}

#[tokio::test]
async fn parts_of_one_message_are_read_together() {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } });
    let message = |parts: Vec<Value>| json!({ "model": "m", "messages": [{ "role": "user", "content": parts }] });
    let sent_for = |body: Value| async move {
        let scene = Scene::start(says("ok")).await;
        assert_eq!(scene.chat(body).await.status, 200);
        let event = scene.event("gw.request.decided");
        let stored = scene.payload(&event, "request").unwrap();
        assert!(!stored.contains("4111"), "{stored}");
        (scene.heard()[0].json()["messages"][0]["content"].clone(), event.data)
    };
    let (sent, event) = sent_for(message(vec![text("card 41111111"), text("11111111 and fatima@example.qa")])).await;
    assert_eq!(sent, json!([text("card [REDACTED:CARD]"), text("[REDACTED:CARD] and [REDACTED:EMAIL]")]));
    assert_eq!(event["detections"][0]["field"], "messages[0].content[0].text");
    let by_char: Vec<Value> = DIGITS.chars().map(|c| text(&c.to_string())).collect();
    let (sent, _) = sent_for(message(by_char)).await;
    assert!(sent.as_array().unwrap().iter().all(|part| part["text"] == REDACTED_CARD), "{sent}");
    // Something between them does not keep a server from putting them together.
    let (sent, _) = sent_for(message(vec![text("41111111"), image, text("11111111")])).await;
    assert_eq!((&sent[0], &sent[2]), (&text(REDACTED_CARD), &text(REDACTED_CARD)));

    let injected = INJECTION.split_at(INJECTION.find("instructions").unwrap());
    let tool = json!({ "model": "m", "messages": [{ "role": "tool", "tool_call_id": "c", "content": [text(injected.0.trim_end()), text(injected.1)] }] });
    let scene = Scene::start(says("never")).await;
    assert_eq!(scene.chat(tool).await.code(), "content_policy_violation");

    // Two messages are two texts.
    let two = json!({ "model": "m", "messages": [{ "role": "user", "content": "41111111" }, { "role": "user", "content": "11111111" }] });
    let scene = Scene::start(says("ok")).await;
    scene.chat(two).await;
    assert_eq!(scene.event("gw.request.decided").data["verdict"], "allow");
}
