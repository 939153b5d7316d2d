//! `haris why`: an application's developer asks which rule stopped their own request.
//!
//! Asked with the caller's own key, over the gateway's own listener: no access to the machine is
//! needed, and nobody learns of another caller's request.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use haris_domain::id::BadEventId;
use haris_domain::{EventId, Timestamp};
use haris_gateway::CallerTable;
use haris_operations::{Context, Refusal, RefusalCode, WhyAnswer};
use serde_json::Value;

use crate::events::{print_found, text};
use crate::home::Folders;
use crate::output::{self, Format};
use crate::remote::block_on;
use crate::{Failure, Place, door};

/// `haris why`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The request's id: the x-haris-event header of its answer.
    id: String,
    /// The key that the request was sent with.
    #[arg(long, env = "HARIS_API_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// The gateway's base URL [default: the server of this data directory].
    #[arg(long, visible_alias = "url", env = "HARIS_BASE_URL", value_name = "URL")]
    base_url: Option<String>,
    #[command(flatten)]
    place: Place,
    /// How to print [default: table on a terminal].
    #[arg(long)]
    format: Option<Format>,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let id: EventId = arguments.id.parse().map_err(|bad: BadEventId| Failure::usage(bad.to_string()))?;
    let key = arguments.key.clone().or_else(client_key);
    let key = key.ok_or_else(|| {
        Failure::usage(
            "give the key that the request was sent with: --key, or HARIS_API_KEY or OPENAI_API_KEY in the environment",
        )
    })?;
    let answer = block_on(ask(&arguments, id, &key))?;
    if Format::or_by_terminal(arguments.format) == Format::Json {
        return output::json(&answer);
    }
    let mut rows = vec![["request".to_owned(), answer.id.clone()], ["at".to_owned(), answer.at.clone()]];
    rows.push(["verdict".to_owned(), answer.verdict.clone()]);
    if let Some(verdict) = &answer.answer_verdict {
        rows.push(["verdict on the answer".to_owned(), verdict.clone()]);
    }
    for one in &answer.not_scanned {
        rows.push(["not scanned".to_owned(), format!("{} ({})", text(&one["field"]), text(&one["why"]))]);
    }
    output::table(["WHY", ""], &rows)?;
    print_found("IN THE REQUEST", &Value::Array(answer.request))?;
    print_found("IN THE ANSWER", &Value::Array(answer.answer))
}

/// The variable that the official clients read.
fn client_key() -> Option<String> {
    std::env::var("OPENAI_API_KEY").ok().filter(|key| key.starts_with("hk_"))
}

async fn ask(arguments: &Arguments, id: EventId, key: &str) -> Result<WhyAnswer, Failure> {
    let base = match &arguments.base_url {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            url.trim_end_matches('/').trim_end_matches("/v1").to_owned()
        }
        Some(url) => {
            let message = format!("`{url}` is no base URL; write it like http://127.0.0.1:8787/v1");
            return Err(Failure::usage(message));
        }
        None => {
            let file = Folders::of(&arguments.place)?.listen();
            let address = std::fs::read_to_string(&file).map_err(|_| {
                Failure::usage(
                    "no server runs on this data directory: give the gateway's --base-url, or its --data DIR",
                )
            })?;
            format!("http://{}", address.trim())
        }
    };
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let client = client.map_err(|error| Failure::because("HTTP client", &error))?;
    let response = client.get(format!("{base}/haris/why/{id}")).bearer_auth(key).send().await;
    let response = response.map_err(|error| Failure::because(&format!("{base} did not answer"), &error))?;
    let status = response.status();
    let body = response.bytes().await.map_err(|error| Failure::because(&format!("{base} did not answer"), &error))?;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| Failure::because(&format!("{base} is no Haris gateway of this version"), &error));
    }
    Err(match serde_json::from_slice::<Refusal>(&body) {
        Ok(refusal) => refusal.into(),
        Err(_) => Failure::usage(format!("{base} answered {status}")),
    })
}

type Doors = (Context, Arc<ArcSwap<CallerTable>>);

/// `GET /haris/why/{id}` with the caller's own key.
pub(crate) fn router(context: Context, callers: Arc<ArcSwap<CallerTable>>) -> Router {
    Router::new().route("/haris/why/{id}", get(answer)).with_state((context, callers))
}

async fn answer(State((context, callers)): State<Doors>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let refuse = |refusal: Refusal| (door::status(refusal.code), Json(refusal)).into_response();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let key = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().trim();
    let now = Timestamp::of(SystemTime::now());
    let table = callers.load();
    let Some(caller) = table.find(key).filter(|caller| caller.expires.is_none_or(|at| now < at)) else {
        let refusal =
            Refusal::new(RefusalCode::Forbidden, "this key is not accepted here: it is unknown, expired or revoked");
        return (StatusCode::UNAUTHORIZED, Json(refusal)).into_response();
    };
    let Ok(id) = id.parse() else {
        return refuse(Refusal::invalid("an event id looks like 019ab3c1-5c4e-7d2a-9f00-3f6f0a4b1c22"));
    };
    match haris_operations::why(&context, &caller.id, id).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => refuse(refusal),
    }
}
