//! The mock's answers in the protocol's shape.

use std::io::{Error, ErrorKind, Write};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::Plan;

/// Events that a stream sends before it hangs or breaks.
const EVENTS_BEFORE_TROUBLE: usize = 3;

pub(super) fn chat(plan: &Plan, request: &Value) -> Response {
    if let Some(status) = plan.error {
        return error(status);
    }
    if plan.not_json {
        return respond(plan, "application/json", vec![Bytes::from_static(b"{\"id\": \"chatcmpl-broken\", ")]);
    }
    let words = plan.words(last_message(request));
    let model = &request["model"];
    let choices = request["n"].as_u64().unwrap_or(1).clamp(1, 16);
    if request["stream"] == true {
        let usage = request["stream_options"]["include_usage"] == true;
        respond(plan, "text/event-stream", events(plan, model, &words, choices, usage))
    } else {
        let choices: Vec<Value> = (0..choices).map(|index| choice(plan, index, &words)).collect();
        let body = json!({
            "id": "chatcmpl-mock", "object": "chat.completion", "created": 1_790_000_000, "model": model,
            "choices": choices,
            "usage": { "prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21 },
        });
        respond(plan, "application/json", vec![Bytes::from(body.to_string())])
    }
}

pub(super) fn embeddings(request: &Value) -> Response {
    let count = request["input"].as_array().map_or(1, Vec::len);
    // Clients that ask for base64 get base64: four little-endian floats.
    let embedding = if request["encoding_format"] == "base64" {
        json!("AAAAPwAAAD8AAAA/AAAAPw==")
    } else {
        json!([0.5, 0.5, 0.5, 0.5])
    };
    let data: Vec<Value> =
        (0..count).map(|index| json!({"object": "embedding", "index": index, "embedding": embedding})).collect();
    let body = json!({
        "object": "list", "data": data, "model": request["model"],
        "usage": { "prompt_tokens": 3, "total_tokens": 3 },
    });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn last_message(request: &Value) -> &str {
    let last = request["messages"].as_array().and_then(|messages| messages.last());
    last.and_then(|message| message["content"].as_str()).unwrap_or_default()
}

fn arguments(words: &str) -> String {
    json!({ "note": words }).to_string()
}

fn choice(plan: &Plan, index: u64, words: &str) -> Value {
    let (message, reason) = if plan.tools {
        let function = json!({ "name": "note_down", "arguments": arguments(words) });
        let calls = json!([{ "id": "call_mock", "type": "function", "function": function }]);
        (json!({ "role": "assistant", "content": null, "tool_calls": calls }), "tool_calls")
    } else {
        (json!({ "role": "assistant", "content": words }), "stop")
    };
    json!({ "index": index, "message": message, "finish_reason": reason })
}

fn events(plan: &Plan, model: &Value, words: &str, choices: u64, usage: bool) -> Vec<Bytes> {
    let event = |body: Value| {
        let mut whole = json!({
            "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": model,
        });
        whole["choices"] = body;
        Bytes::from(format!("data: {whole}\n\n"))
    };
    let delta =
        |index: u64, delta: Value, reason: Value| json!([{ "index": index, "delta": delta, "finish_reason": reason }]);
    let text = if plan.tools { arguments(words) } else { words.to_owned() };
    let pieces: Vec<String> = match plan.chunk_chars {
        Some(size) => text.chars().collect::<Vec<_>>().chunks(size).map(|piece| piece.iter().collect()).collect(),
        None => text.split_inclusive(' ').map(str::to_owned).collect(),
    };
    let mut out = Vec::new();
    for index in 0..choices {
        let first = if plan.tools {
            let function = json!({ "name": "note_down", "arguments": "" });
            json!({ "role": "assistant", "tool_calls": [{ "index": 0, "id": "call_mock", "type": "function", "function": function }] })
        } else {
            json!({ "role": "assistant", "content": "" })
        };
        out.push(event(delta(index, first, Value::Null)));
    }
    for piece in pieces {
        for index in 0..choices {
            let content = if plan.tools {
                json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] })
            } else {
                json!({ "content": piece })
            };
            out.push(event(delta(index, content, Value::Null)));
        }
    }
    for index in 0..choices {
        out.push(event(delta(index, json!({}), json!(if plan.tools { "tool_calls" } else { "stop" }))));
    }
    if usage {
        let bill = json!({ "prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21 });
        let last = json!({
            "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": model,
            "choices": [], "usage": bill,
        });
        out.push(Bytes::from(format!("data: {last}\n\n")));
    }
    out.push(Bytes::from_static(b"data: [DONE]\n\n"));
    out
}

/// Sends `parts`, shaped and damaged as the plan says.
fn respond(plan: &Plan, content_type: &'static str, mut parts: Vec<Bytes>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if plan.hang || plan.cut {
        parts.truncate(EVENTS_BEFORE_TROUBLE);
    }
    if plan.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        parts = vec![compress(&parts.concat())];
    }
    if let Some(size) = plan.tcp_bytes {
        let whole = Bytes::from(parts.concat());
        parts = (0..whole.len()).step_by(size).map(|at| whole.slice(at..whole.len().min(at + size))).collect();
    }
    let plain = !(plan.hang || plan.cut) && parts.len() == 1;
    if plain {
        return (headers, Body::from(parts.remove(0))).into_response();
    }
    let sent = stream::iter(parts.into_iter().map(Ok::<Bytes, Error>));
    let body = if plan.hang {
        Body::from_stream(sent.chain(stream::pending()))
    } else if plan.cut {
        Body::from_stream(sent.chain(stream::iter([Err(Error::new(ErrorKind::ConnectionReset, "cut as planned"))])))
    } else {
        Body::from_stream(sent)
    };
    (headers, body).into_response()
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes every byte");
    encoder.finish().expect("a Vec takes every byte").into()
}

fn error(status: u16) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if status == 429 { "rate_limit_exceeded" } else { "server_error" };
    let body = json!({"error": {"message": "the mock refuses as planned", "type": kind, "param": null, "code": kind}});
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
