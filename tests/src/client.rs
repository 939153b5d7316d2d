//! A client that keeps everything it was told, byte for byte.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// The response header that names the event.
pub const EVENT_HEADER: &str = "x-haris-event";

/// Talks to a gateway with one caller's key.
#[derive(Clone)]
pub struct Client {
    base: String,
    key: String,
    http: reqwest::Client,
}

/// An answer as it arrived.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
    /// Whether the connection broke before the body ended.
    pub broken: bool,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The id of the event that records this answer's request.
    #[must_use]
    pub fn event(&self) -> String {
        let id = self.headers.get(EVENT_HEADER).unwrap_or_else(|| panic!("no {EVENT_HEADER} in {self:?}"));
        id.to_str().expect("an event id is ASCII").to_owned()
    }

    /// The payloads of a stream's events, without `[DONE]`.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.data()
            .iter()
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap_or_else(|_| panic!("not JSON: {data}")))
            .collect()
    }

    /// Whether a stream said that it is over.
    #[must_use]
    pub fn done(&self) -> bool {
        self.data().last().is_some_and(|data| data == "[DONE]")
    }

    fn data(&self) -> Vec<String> {
        let lines = self.body.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.map(|data| data.trim_start().to_owned()).collect()
    }

    /// What a choice says: text and tool-call arguments, joined over a stream's events.
    #[must_use]
    pub fn said(&self, index: u64) -> String {
        let whole = if self.body.starts_with('{') { vec![self.json()] } else { self.events() };
        let choices = whole.iter().filter_map(|event| event["choices"].as_array()).flatten();
        choices
            .filter(|choice| choice["index"] == index)
            .map(|choice| {
                let message = if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
                let calls = message["tool_calls"].as_array().into_iter().flatten();
                let arguments: String = calls.filter_map(|call| call["function"]["arguments"].as_str()).collect();
                format!("{}{arguments}", message["content"].as_str().unwrap_or_default())
            })
            .collect()
    }
}

impl Client {
    /// A client of the gateway at `base` (`http://…/v1`).
    #[must_use]
    pub fn new(base: &str, key: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(16).build().expect("a plain client");
        Self { base: base.to_owned(), key: key.to_owned(), http }
    }

    /// The same client of a gateway elsewhere.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The same client with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Posts a body byte for byte. The error is a connection that broke before the head arrived.
    ///
    /// # Errors
    /// When no response head arrives.
    pub async fn post_raw(&self, path: &str, body: impl Into<reqwest::Body>) -> Result<Answer, reqwest::Error> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.key);
        let response = request.header("content-type", "application/json").body(body).send().await?;
        Ok(read(response).await)
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_raw(path, body.to_string()).await.unwrap_or_else(|error| panic!("POST {path}: {error:?}"))
    }

    /// Gets a path below the base.
    pub async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.key);
        read(request.send().await.unwrap_or_else(|error| panic!("GET {path}: {error:?}"))).await
    }

    /// Asks a model one question.
    pub async fn ask(&self, model: &str, question: &str, stream: bool) -> Answer {
        self.chat(model, json!([{"role": "user", "content": question}]), stream).await
    }

    /// Sends a conversation.
    pub async fn chat(&self, model: &str, messages: Value, stream: bool) -> Answer {
        let mut body = json!({"model": model, "messages": messages});
        if stream {
            body["stream"] = true.into();
        }
        self.post("/chat/completions", &body).await
    }
}

async fn read(mut response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (mut body, mut broken) = (Vec::new(), false);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(_) => {
                broken = true;
                break;
            }
        }
    }
    Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned(), broken }
}
