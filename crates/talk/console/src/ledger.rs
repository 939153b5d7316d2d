//! The ledger: how far it is sealed, who else signed, what is missing, what is held.

use axum::extract::State;
use axum::response::Response;
use haris_operations::{HoldAnswer, ListHolds, ShowStatus, StatusAnswer};
use maud::{Markup, html};
use serde_json::Value;

use crate::door::In;
use crate::page::{moment, number};
use crate::words::said;
use crate::{Console, page};

pub(crate) async fn show(State(console): State<Console>, In(session): In) -> Response {
    let status = match console.ask::<ShowStatus>(&session, &Value::Null).await {
        Ok(status) => status,
        Err(refusal) => return page::refusal(Some(&session), &refusal),
    };
    // Whoever may not see holds sees the rest.
    let holds = match console.may::<ListHolds>(&session) {
        true => console.ask::<ListHolds>(&session, &Value::Null).await.map(|answer| answer.holds).unwrap_or_default(),
        false => Vec::new(),
    };
    page::page(&session, "/ledger", "Ledger", body(&status, &holds))
}

fn body(status: &StatusAnswer, holds: &[HoldAnswer]) -> Markup {
    html! {
        @for log in &status.ledger.logs {
            section.card {
                div.head { h2 { (log.log) " log" } p { (number(log.sealed)) " of " (number(log.size)) " entries sealed" } }
                dl.facts {
                    dt { "origin" } dd { code { (log.origin) } }
                    @if let Some(at) = &log.sealed_at { dt { "last checkpoint" } dd { (moment(at)) } }
                    dt { "verifier keys" } dd { @for key in &log.verifier_keys { code.key data-copy { (key) } br; } }
                }
            }
        }
        p.hint { "An auditor needs these keys by another way than the bundle: read them out, print them, put them in a contract." }
        section.card {
            h2 { "Witnesses" }
            @match &status.witnesses {
                None => (page::empty("No witness", "Without one, whoever holds the log's key can write another history. A witness belongs to somebody else: internal audit, the regulator, another bank.", Some("haris witness --help"))),
                Some(witnesses) => pre { (serde_json::to_value(witnesses).map(|value| serde_json::to_string_pretty(&value).unwrap_or_default()).unwrap_or_default()) },
            }
        }
        section.card {
            h2 { "What is missing, and what changed" }
            @if status.continuity.is_empty() { p.well { span aria-hidden="true" { "✓" } " No gap, no unclean stop, no changed program or setting is on record." } }
            @else { ul { @for line in &status.continuity { li { (line) } } } }
        }
        section.card {
            h2 { "Legal holds" }
            @if holds.is_empty() { p.none { "None: what is erased or pruned goes by retention alone." } }
            @else {
                table {
                    thead { tr { th scope="col" { "Hold" } th scope="col" { "Scope" } th scope="col" { "Placed" } th scope="col" { "By" } } }
                    tbody { @for hold in holds { tr { td { code { (hold.hold) } } td { (hold.scope) } td { (moment(&hold.placed)) } td { code { (hold.actor) } } } } }
                }
            }
        }
        section.card {
            h2 { "Take evidence away" }
            pre { code { "haris ledger export --output evidence.zip\nharis-verify evidence.zip --key VKEY\nharis ledger fsck" } }
            @if let Some((size, at)) = &status.ledger.anchored { p.hint { "The evidence log names the traffic log at " (number(*size)) " entries, " (moment(at)) "." } }
            @if let Some(error) = &status.ledger.sealer_error { p.wrong { (said(&Value::from(error.as_str()))) } }
        }
    }
}
