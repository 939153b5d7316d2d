//! What needs a person, and who took notice.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use haris_access::Session;
use haris_operations::{AcknowledgeAlert, AcknowledgeInput, AlertAnswer, AlertsInput, ListAlerts};
use maud::{Markup, html};
use serde::Deserialize;

use crate::door::{In, check};
use crate::page::{csrf, moment};
use crate::{Console, page};

#[derive(Default, Deserialize)]
pub(crate) struct Which {
    #[serde(default)]
    all: String,
}

pub(crate) async fn show(State(console): State<Console>, In(session): In, Query(which): Query<Which>) -> Response {
    let all = which.all == "yes";
    match console.ask::<ListAlerts>(&session, &AlertsInput { all }).await {
        Ok(answer) => page::page(&session, "/alerts", "Alerts", body(&console, &session, &answer.alerts, all)),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

fn body(console: &Console, session: &Session, alerts: &[AlertAnswer], all: bool) -> Markup {
    html! {
        nav.pills aria-label="Which" {
            a href="/alerts" aria-current=[(!all).then_some("true")] { "open" }
            a href="/alerts?all=yes" aria-current=[all.then_some("true")] { "all" }
        }
        @if alerts.is_empty() {
            (page::empty("Nothing needs a person", "When a disk fills, a witness lags or a start was unclean, it stands here until somebody takes notice.", Some("haris alerts --all")))
        }
        @for alert in alerts { (one(console, session, alert)) }
    }
}

fn one(console: &Console, session: &Session, alert: &AlertAnswer) -> Markup {
    html! {
        article.card.alert {
            div.head {
                h2 { span class={ "severity " (alert.severity) } { (alert.severity) } " " code { (alert.alert) } }
                p { (moment(&alert.raised_at)) }
            }
            p dir="auto" { (alert.text) }
            @if !alert.remedy.is_empty() { p.remedy { strong { "What to do: " } (alert.remedy) } }
            @match (&alert.cleared_at, &alert.acknowledged_at) {
                (Some(at), _) => p.hint { "Over since " (moment(at)) },
                (None, Some(at)) => p.hint { "Noticed " (moment(at)) @if let Some(by) = &alert.acknowledged_by { " by " code { (by) } } },
                (None, None) => {
                    @if let (Some(id), true) = (&alert.id, console.may::<AcknowledgeAlert>(session)) {
                        form.row method="post" action="/alerts" {
                            (csrf(session))
                            input type="hidden" name="alert" value=(id);
                            label { span { "What is being done about it?" } input name="reason" required maxlength="400" dir="auto"; }
                            button { "Take notice" }
                        }
                    }
                }
            }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Notice {
    csrf: String,
    alert: String,
    reason: String,
}

pub(crate) async fn acknowledge(State(console): State<Console>, In(session): In, Form(form): Form<Notice>) -> Response {
    let done = async {
        check(&session, &form.csrf)?;
        console.ask::<AcknowledgeAlert>(&session, &AcknowledgeInput { alert: form.alert, reason: form.reason }).await
    };
    match done.await {
        Ok(_) => Redirect::to("/alerts").into_response(),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}
