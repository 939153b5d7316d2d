//! The teller's HTTP door.

use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::chat::Request;
use crate::script::reply;
use crate::wire::{Envelope, Finished};
use crate::{MODEL, embed};

/// The gateway's own limit lies below this.
const BODY_BYTES_MAX: usize = 16 << 20;

/// The teller's routes: chat completions, embeddings and models, below `/v1`.
pub fn router() -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/models", get(async || json_response(&json!({ "object": "list", "data": [model_card()] }))))
        .route("/v1/models/{*name}", get(model))
        .fallback(async || error(StatusCode::NOT_FOUND, "there is no such path here", None, "unknown_url"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn chat(body: Bytes) -> Response {
    let body = match read(&body) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let request = match Request::parse(&body) {
        Ok(request) => request,
        Err((sentence, field)) => return error(StatusCode::BAD_REQUEST, sentence, Some(field), "invalid_value"),
    };
    let seed = embed::fnv(body.to_string().bytes());
    let reply = reply(&request.conversation);
    let choices: Vec<Finished<'_>> =
        (0..request.choices).map(|index| Finished::new(&reply, &request, seed.wrapping_add(index))).collect();
    let envelope = Envelope::new(&request, &choices, seed, now());
    if request.stream {
        events(&envelope.chunks(&choices, request.stream_usage))
    } else {
        json_response(&envelope.whole(&choices))
    }
}

async fn embeddings(body: Bytes) -> Response {
    match read(&body).map(|body| embed::answer(&body)) {
        Ok(Ok(answer)) => json_response(&answer),
        Ok(Err((sentence, field))) => error(StatusCode::BAD_REQUEST, sentence, Some(field), "invalid_value"),
        Err(refusal) => *refusal,
    }
}

async fn model(Path(name): Path<String>) -> Response {
    if name == MODEL { json_response(&model_card()) } else { unknown_model() }
}

fn model_card() -> Value {
    json!({ "id": MODEL, "object": "model", "created": 0, "owned_by": "haris" })
}

/// The body as JSON that asks for the teller. Refusals are boxed: they are rare and large.
fn read(body: &[u8]) -> Result<Value, Box<Response>> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|_| Box::new(error(StatusCode::BAD_REQUEST, "the body is not JSON", None, "invalid_json")))?;
    if value["model"] == MODEL { Ok(value) } else { Err(Box::new(unknown_model())) }
}

fn unknown_model() -> Response {
    error(StatusCode::NOT_FOUND, "the only model here is practice/teller", Some("model"), "model_not_found")
}

fn json_response(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn error(status: StatusCode, message: &str, param: Option<&str>, code: &str) -> Response {
    let body =
        json!({ "error": { "message": message, "type": "invalid_request_error", "param": param, "code": code } });
    (status, json_response(&body)).into_response()
}

/// Server-sent events, one body frame each, so that a proxy in between sees them arrive singly.
fn events(chunks: &[Value]) -> Response {
    let mut frames: Vec<Result<Bytes, Infallible>> =
        chunks.iter().map(|chunk| Ok(Bytes::from(format!("data: {chunk}\n\n")))).collect();
    frames.push(Ok(Bytes::from_static(b"data: [DONE]\n\n")));
    let body = Body::from_stream(futures_util::stream::iter(frames));
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")], body).into_response()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
