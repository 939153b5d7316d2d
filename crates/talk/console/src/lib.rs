//! The console: what an officer opens every morning.
//!
//! Server-rendered pages over the typed operations: every page shows what an operation answered, every form asks for
//! one, and no rule lives here. The URL holds the state. Pages work without scripts; the one script there is follows the
//! live list and copies text.
//!
//! Every answer carries a policy that lets nothing in from elsewhere and no script but the one file, is kept in no
//! cache, and tells no other site where it was. A form that changes something carries its session's token.

mod account;
mod alerts;
mod approvals;
mod assets;
mod callers;
mod decision;
mod door;
mod events;
mod join;
mod ledger;
mod live;
mod login;
mod overview;
mod page;
mod people;
mod words;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use haris_operations::Context;

/// What the console works on. Cheap to clone.
#[derive(Clone)]
pub struct Console {
    /// The operations' world.
    pub context: Context,
    /// Whether it is reached over TLS: cookies are then bound to it.
    pub secure: bool,
    /// What environment is shown: `production`, or `practice` while nothing else is set up.
    pub environment: &'static str,
}

/// The console's paths.
pub fn router(console: Console) -> Router {
    Router::new()
        .route("/", get(overview::show))
        .route("/login", get(login::show).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/join", get(join::show).post(join::enrol))
        .route("/live", get(live::show))
        .route("/live/stream", get(live::stream))
        .route("/events", get(events::show))
        .route("/events/{id}", get(decision::show))
        .route("/events/{id}/reveal", post(decision::reveal))
        .route("/alerts", get(alerts::show).post(alerts::acknowledge))
        .route("/callers", get(callers::show))
        .route("/callers/add", post(callers::add))
        .route("/callers/revoke", post(callers::revoke))
        .route("/ledger", get(ledger::show))
        .route("/people", get(people::show))
        .route("/people/add", post(people::add))
        .route("/people/change", post(people::change))
        .route("/people/invite", post(people::invite))
        .route("/people/close", post(people::close))
        .route("/approvals", get(approvals::show))
        .route("/approvals/{id}", get(approvals::one))
        .route("/approvals/{id}/give", post(approvals::give))
        .route("/approvals/{id}/refuse", post(approvals::refuse))
        .route("/account", get(account::show))
        .route("/account/end", post(account::end))
        .route("/account/token", post(account::issue))
        .route("/account/revoke", post(account::revoke))
        .route("/assets/{name}", get(assets::serve))
        .layer(from_fn_with_state(console.clone(), door::guard))
        .with_state(console)
}
