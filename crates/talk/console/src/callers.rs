//! The applications that may use the gateway.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use haris_access::Session;
use haris_operations::{
    AddCaller, AddCallerInput, AddedCaller, CallerAnswer, ListCallers, RevokeCaller, RevokeCallerInput,
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::door::{In, check};
use crate::page::{csrf, moment};
use crate::{Console, page};

pub(crate) async fn show(State(console): State<Console>, In(session): In) -> Response {
    match console.ask::<ListCallers>(&session, &Value::Null).await {
        Ok(answer) => page::page(&session, "/callers", "Callers", body(&console, &session, &answer.callers)),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

fn body(console: &Console, session: &Session, callers: &[CallerAnswer]) -> Markup {
    let may = console.may::<AddCaller>(session);
    html! {
        @if callers.is_empty() {
            (page::empty("No application has a key", "An application that has one changes its base URL and is guarded from then on.", Some("haris callers add mobile-app")))
        } @else {
            div.scroll { table {
                thead { tr { th scope="col" { "Name" } th scope="col" { "Models" } th scope="col" { "Issued" } th scope="col" { "Until" } th scope="col" { "Owner" } th scope="col" { "Key" } } }
                tbody {
                    @for caller in callers {
                        tr {
                            td { a href={ "/events?actor=caller:" (caller.id) } { (caller.name) } br; code.dim { (caller.id) } }
                            td { @for model in &caller.models { code { (model) } " " } }
                            td { (moment(&caller.issued)) }
                            td { @match &caller.expires { Some(at) => (moment(at)), None => "no end" } }
                            td dir="auto" { (caller.owner.as_deref().unwrap_or("–")) }
                            td {
                                @if let Some(at) = &caller.revoked { span.dim { "revoked " (moment(at)) } }
                                @else if !caller.accepted { span.dim { "over" } }
                                @else if may {
                                    details.confirm { summary { "Revoke" }
                                        form method="post" action="/callers/revoke" {
                                            (csrf(session)) input type="hidden" name="caller" value=(caller.id);
                                            p { "The application is refused at once." } button.danger { "Revoke " (caller.name) }
                                        }
                                    }
                                } @else { "accepted" }
                            }
                        }
                    }
                }
            } }
        }
        @if may {
            section.card {
                h2 { "Issue a key" }
                form.row method="post" action="/callers/add" {
                    (csrf(session))
                    label { span { "Application" } input name="name" required maxlength="64" pattern="[A-Za-z0-9._\\-]+" placeholder="mobile-app" dir="ltr"; }
                    label { span { "Models, with spaces between" } input name="models" placeholder="all" dir="ltr"; }
                    label { span { "Days" } input name="days" inputmode="numeric" placeholder="no end" size="6"; }
                    label { span { "Who answers for it" } input name="owner" maxlength="200" dir="auto"; }
                    button { "Issue" }
                }
            }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct New {
    csrf: String,
    name: String,
    models: String,
    days: String,
    owner: String,
}

pub(crate) async fn add(State(console): State<Console>, In(session): In, Form(form): Form<New>) -> Response {
    let added = async {
        check(&session, &form.csrf)?;
        let days = form.days.trim();
        let expires_days = match days {
            "" => None,
            days => {
                Some(days.parse().map_err(|_| haris_operations::Refusal::invalid("days: a whole number, or nothing"))?)
            }
        };
        let owner = Some(form.owner.trim().to_owned()).filter(|owner| !owner.is_empty());
        let models = form.models.split_whitespace().map(str::to_owned).collect();
        console.ask::<AddCaller>(&session, &AddCallerInput { name: form.name, models, expires_days, owner }).await
    };
    match added.await {
        Ok(added) => page::page(&session, "/callers", "A key, shown this once", key(&added)),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

fn key(added: &AddedCaller) -> Markup {
    html! {
        div.notice {
            p { "Give this to " strong { (added.caller.name) } " as its API key. Haris keeps only its hash." }
            pre.once { code data-copy { (added.key) } }
        }
        p { a.button href="/callers" { "Back to the callers" } }
    }
}

#[derive(Deserialize)]
pub(crate) struct Gone {
    csrf: String,
    caller: String,
}

pub(crate) async fn revoke(State(console): State<Console>, In(session): In, Form(form): Form<Gone>) -> Response {
    let done = async {
        check(&session, &form.csrf)?;
        console.ask::<RevokeCaller>(&session, &RevokeCallerInput { caller: form.caller }).await
    };
    match done.await {
        Ok(_) => Redirect::to("/callers").into_response(),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}
