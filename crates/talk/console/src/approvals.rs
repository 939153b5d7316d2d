//! Changes that wait for a second person.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use haris_access::Session;
use haris_operations::{
    ApprovalAnswer, ApprovalInput, GiveApproval, GiveInput, ListApprovals, RefuseApproval, ShowApproval, ShownApproval,
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::door::{In, check};
use crate::page::{csrf, moment};
use crate::words::{Names, said};
use crate::{Console, page};

pub(crate) async fn show(State(console): State<Console>, In(session): In) -> Response {
    match (console.ask::<ListApprovals>(&session, &Value::Null).await, console.names().await) {
        (Ok(answer), Ok(names)) => page::page(&session, "/approvals", "Approvals", list(&answer.approvals, &names)),
        (Err(refusal), _) | (_, Err(refusal)) => page::refusal(Some(&session), &refusal),
    }
}

fn list(approvals: &[ApprovalAnswer], names: &Names) -> Markup {
    html! {
        @if approvals.is_empty() {
            (page::empty("Nothing waits", "Making and raising accounts, erasing, and whatever else one person must not do alone waits here for a second one.", None))
        } @else {
            div.scroll { table {
                thead { tr { th scope="col" { "Asked" } th scope="col" { "Change" } th scope="col" { "By" } th scope="col" { "State" } th scope="col" { "Until" } } }
                tbody {
                    @for one in approvals {
                        tr {
                            td { (moment(&one.requested)) }
                            td { a href={ "/approvals/" (one.approval) } { (one.operation) } }
                            td { span title=(one.requested_by) dir="auto" { (names.of(&one.requested_by)) } }
                            td { span class={ "state " (one.state) } { (one.state) } @if let Some(by) = &one.decided_by { " by " span title=(by) dir="auto" { (names.of(by)) } } }
                            td { (moment(&one.expires)) }
                        }
                    }
                }
            } }
        }
    }
}

pub(crate) async fn one(State(console): State<Console>, In(session): In, Path(id): Path<String>) -> Response {
    match (console.ask::<ShowApproval>(&session, &ApprovalInput { approval: id }).await, console.names().await) {
        (Ok(shown), Ok(names)) => {
            page::page(&session, "/approvals", "A change that takes two", body(&session, &shown, &names))
        }
        (Err(refusal), _) | (_, Err(refusal)) => page::refusal(Some(&session), &refusal),
    }
}

fn body(session: &Session, shown: &ShownApproval, names: &Names) -> Markup {
    let approval = &shown.approval;
    let own = approval.requested_by == session.who.actor.as_str();
    html! {
        section.card {
            div.head { h2 { (approval.operation) } p { span class={ "state " (approval.state) } { (approval.state) } } }
            dl.facts {
                dt { "asked by" } dd { span dir="auto" { (names.of(&approval.requested_by)) } " " code.dim { (approval.requested_by) } ", " (moment(&approval.requested)) }
                dt { "open until" } dd { (moment(&approval.expires)) }
                dt { "digest" } dd { code { (approval.digest) } }
            }
            div.columns {
                div { h3 { "As it is" } (fields(&shown.before)) }
                div { h3 { "What is asked" } (fields(&shown.input)) }
            }
            @if shown.changed { p.wrong { "What this changes is not as it was when it was asked for: it can no longer be made, and must be asked for again." } }
        }
        @if approval.state == "waiting" {
            @match &approval.not_yours {
                Some(why) => p.hint { (crate::login::capital(why)) "." },
                None => {
                    section.card {
                        h2 { "Agree" }
                        form.row method="post" action={ "/approvals/" (approval.approval) "/give" } {
                            (csrf(session))
                            input type="hidden" name="digest" value=(approval.digest);
                            label { span { "Code from your authenticator" } input name="code" required autocomplete="one-time-code" maxlength="32" dir="ltr"; }
                            button disabled[shown.changed] { "Agree, and make it so" }
                        }
                        p.hint { "You agree to just this. It is made at once, and both of you are on record." }
                    }
                }
            }
            @if own || approval.not_yours.is_none() {
                form method="post" action={ "/approvals/" (approval.approval) "/refuse" } { (csrf(session)) button.quiet { @if own { "Withdraw it" } @else { "Refuse it" } } }
            }
        }
    }
}

fn fields(value: &Value) -> Markup {
    html! {
        @match value.as_object() {
            Some(fields) => dl.facts { @for (key, value) in fields { dt { (key) } dd dir="auto" { (said(value)) } } },
            None => p.none { @if value.is_null() { "Nothing yet." } @else { (said(value)) } },
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Agreement {
    csrf: String,
    digest: String,
    code: Zeroizing<String>,
}

pub(crate) async fn give(
    State(console): State<Console>,
    In(session): In,
    Path(id): Path<String>,
    Form(form): Form<Agreement>,
) -> Response {
    let done = async {
        check(&session, &form.csrf)?;
        let input = GiveInput { approval: id, digest: form.digest, code: form.code.to_string() };
        console.ask::<GiveApproval>(&session, &input).await
    };
    match done.await {
        Ok(_) => Redirect::to("/approvals").into_response(),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

#[derive(Deserialize)]
pub(crate) struct Refused {
    csrf: String,
}

pub(crate) async fn refuse(
    State(console): State<Console>,
    In(session): In,
    Path(id): Path<String>,
    Form(form): Form<Refused>,
) -> Response {
    let done = async {
        check(&session, &form.csrf)?;
        console.ask::<RefuseApproval>(&session, &ApprovalInput { approval: id }).await
    };
    match done.await {
        Ok(_) => Redirect::to("/approvals").into_response(),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}
