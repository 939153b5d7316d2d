//! A mock upstream that speaks OpenAI's protocol, does what the model's name says, and remembers
//! every request with the moment it arrived.

mod plan;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::Bytes;
use serde_json::{Value, json};

pub use plan::Plan;

/// The key that the mock's operator gave to the guard, and that no caller ever holds.
pub const PROVIDER_KEY: &str = "mock-provider-key-0123456789";

/// One request as the mock received it.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its last byte arrived.
    pub at: SystemTime,
    /// Path and query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: String,
    /// All header names, lower case.
    pub header_names: Vec<String>,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl Received {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the guard sends JSON upstream")
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The model that was asked for.
    #[must_use]
    pub fn model(&self) -> String {
        self.json()["model"].as_str().unwrap_or_default().to_owned()
    }
}

#[derive(Clone)]
struct Memory {
    received: Arc<Mutex<Vec<Received>>>,
    /// Off for benchmarks: remembering 100,000 prompts is a cost of the test, not of the guard.
    remember: bool,
}

/// A running mock. It stops when its runtime does.
pub struct Mock {
    /// Where it listens.
    pub address: SocketAddr,
    memory: Memory,
}

impl Mock {
    /// Starts a mock on a free port of the loopback interface.
    pub async fn start() -> Self {
        let listener =
            tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port on the loopback interface");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (router, memory) = router(true);
        tokio::spawn(async move { axum::serve(at_once(listener), router).await });
        Self { address, memory }
    }

    /// The base URL for `haris.toml`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Everything received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.memory.received.lock().unwrap().clone()
    }

    /// The only request received so far.
    #[must_use]
    pub fn only(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "the mock expected one request: {received:?}");
        received.remove(0)
    }

    /// Forgets what was received.
    pub fn forget(&self) {
        self.memory.received.lock().unwrap().clear();
    }
}

/// Serves a mock on `listener` for ever: what the `mock-upstream` binary does.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: tokio::net::TcpListener, remember: bool) -> std::io::Result<()> {
    axum::serve(at_once(listener), router(remember).0).await
}

/// Events go out when they are written, not when the kernel has gathered enough of them.
fn at_once(listener: tokio::net::TcpListener) -> impl axum::serve::Listener<Addr = SocketAddr> {
    listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    })
}

fn router(remember: bool) -> (Router, Memory) {
    let memory = Memory { received: Arc::default(), remember };
    let router = Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/models", get(async || json!({"object": "list", "data": []}).to_string()))
        .route("/mock/received", get(recall))
        .route("/mock/forget", post(async |State(memory): State<Memory>| memory.received.lock().unwrap().clear()))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(memory.clone());
    (router, memory)
}

impl Memory {
    fn keep(&self, uri: &Uri, headers: &HeaderMap, body: &Bytes) {
        if !self.remember {
            return;
        }
        let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        self.received.lock().unwrap().push(Received {
            at: SystemTime::now(),
            path: uri.to_string(),
            authorization: text("authorization").unwrap_or_default(),
            header_names: headers.keys().map(|name| name.as_str().to_owned()).collect(),
            body: body.clone(),
        });
    }
}

async fn chat(State(memory): State<Memory>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    memory.keep(&uri, &headers, &body);
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "the mock was sent something that is not JSON").into_response();
    };
    let plan = Plan::of(request["model"].as_str().unwrap_or_default());
    if plan.slow_ms > 0 {
        tokio::time::sleep(Duration::from_millis(plan.slow_ms)).await;
    }
    wire::chat(&plan, &request)
}

async fn embeddings(State(memory): State<Memory>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    memory.keep(&uri, &headers, &body);
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    wire::embeddings(&request)
}

/// What was received, for tests in other languages.
async fn recall(State(memory): State<Memory>) -> String {
    let received = memory.received.lock().unwrap();
    let list: Vec<Value> = received
        .iter()
        .map(|one| json!({"path": one.path, "authorization": one.authorization, "body": one.text()}))
        .collect();
    Value::Array(list).to_string()
}
