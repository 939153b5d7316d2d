//! One event: what was decided, why, and how far its proof has come.

use axum::Form;
use axum::extract::{Path, State};
use axum::response::Response;
use haris_access::Session;
use haris_operations::{
    EventAnswer, EventsInput, ListEvents, RevealAnswer, RevealEvent, RevealInput, ShowEvent, ShowInput,
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::door::{In, check};
use crate::page::{csrf, moment, number, verdict};
use crate::words::{Names, said, text, verdict_of};
use crate::{Console, page};

const REASON_CHARACTERS: usize = 400;

pub(crate) async fn show(State(console): State<Console>, In(session): In, Path(id): Path<String>) -> Response {
    match console.ask::<ShowEvent>(&session, &ShowInput { id }).await {
        Ok(answer) => whole(&console, &session, &answer, None).await,
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

#[derive(Deserialize)]
pub(crate) struct Reason {
    csrf: String,
    reason: String,
}

pub(crate) async fn reveal(
    State(console): State<Console>,
    In(session): In,
    Path(id): Path<String>,
    Form(form): Form<Reason>,
) -> Response {
    let texts = async {
        check(&session, &form.csrf)?;
        let reason = form.reason.chars().take(REASON_CHARACTERS).collect();
        let texts = console.ask::<RevealEvent>(&session, &RevealInput { id: id.clone(), reason }).await?;
        Ok((console.ask::<ShowEvent>(&session, &ShowInput { id }).await?, texts))
    };
    match texts.await {
        Ok((answer, texts)) => whole(&console, &session, &answer, Some(&texts)).await,
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

async fn whole(console: &Console, session: &Session, answer: &EventAnswer, texts: Option<&RevealAnswer>) -> Response {
    let id = text(&answer.event, "id");
    // Who looked at the text is part of what happened to it.
    let filter = vec!["kind=payload.text.revealed/1".to_owned(), format!("event={id}")];
    let input = EventsInput { filter, limit: Some(20), ..EventsInput::default() };
    let names = match console.names().await {
        Ok(names) => names,
        Err(refusal) => return page::refusal(Some(session), &refusal),
    };
    let looks = console.ask::<ListEvents>(session, &input).await.map(|answer| answer.events).unwrap_or_default();
    let body = html! {
        (decided(&answer.event, &names))
        div.columns {
            (found("Found", &answer.event))
            (proof(answer))
        }
        (stored(console, session, answer, texts, (&looks, &names)))
        @if let Some(other) = &answer.counterpart { (counterpart(other)) }
        details.card { summary { "The leaf, as it is hashed" } pre.leaf dir="ltr" { (serde_json::to_string_pretty(&answer.event).unwrap_or_default()) } }
    };
    page::page(session, "/events", "Decision", body)
}

fn decided(event: &Value, names: &Names) -> Markup {
    let data = &event["data"];
    let facts: Vec<_> = [
        ("model", "model"),
        ("route", "route"),
        ("upstream", "upstream"),
        ("place", "place"),
        ("protocol", "protocol"),
        ("environment", "environment"),
        ("outcome", "outcome"),
        ("status", "status"),
        ("reason", "reason"),
        ("policy", "policy"),
        ("engine", "engine"),
        ("rules", "rules"),
    ]
    .into_iter()
    .filter(|(key, _)| !data[*key].is_null())
    .collect();
    html! {
        section.card {
            div.head {
                p.big { (verdict(verdict_of(event))) " " span.kind { (text(event, "kind")) } }
                p { (moment(text(event, "at"))) }
            }
            dl.facts {
                dt { "id" } dd { code { (text(event, "id")) } }
                dt { "who" } dd { a href={ "/events?actor=" (page::encode(text(event, "actor"))) } { (names.of(text(event, "actor"))) } " " code.dim { (text(event, "actor")) } }
                @for (key, label) in facts { dt { (label) } dd dir="auto" { (said(&data[key])) } }
                @if let Some(about) = event["about"].as_array().filter(|about| !about.is_empty()) {
                    dt { "about" } dd { @for one in about { code { (said(one)) } " " } }
                }
            }
        }
    }
}

fn found(title: &str, event: &Value) -> Markup {
    let all = event["data"]["detections"].as_array().map(Vec::as_slice).unwrap_or_default();
    html! {
        section.card {
            h2 { (title) }
            @if all.is_empty() { p.none { "Nothing was found." } }
            @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "Rule" } th scope="col" { "Field" } th scope="col" { "Span" } th scope="col" { "Done" } } }
                    tbody {
                        @for one in all {
                            tr {
                                td { a.rule href={ "/events?rule=" (page::encode(text(one, "rule"))) } { (text(one, "rule")) } }
                                td { code { (text(one, "field")) } }
                                td.number { (said(&one["start"])) "–" (said(&one["end"])) }
                                td { (text(one, "action")) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn proof(answer: &EventAnswer) -> Markup {
    let (event, proof) = (&answer.event, &answer.proof);
    let sealed = text(proof, "state") == "sealed";
    let index = event["index"].as_u64().unwrap_or_default();
    html! {
        section.card {
            h2 { "Proof" }
            dl.facts {
                dt { "leaf" } dd { (number(index)) " of the " (text(event, "log")) " log" }
                dt { "state" } dd {
                    @if sealed { span.good { "sealed" } } @else { span.open { "not sealed yet" } " – within a second or two" }
                }
                @if sealed {
                    dt { "checkpoint" } dd { (said(&proof["checkpoint_size"])) " entries, signed " (moment(text(proof, "sealed_at"))) }
                    dt { "changeable" } dd { "until it was sealed, by whoever held the database; until a witness signed, by whoever holds the log's key" }
                }
            }
            p.hint { "Take it away and check it offline, against the log's key:" }
            pre { code { "haris ledger export --filter id=" (text(event, "id")) " --output evidence.zip\nharis-verify evidence.zip --key VKEY" } }
        }
    }
}

fn stored(
    console: &Console,
    session: &Session,
    answer: &EventAnswer,
    texts: Option<&RevealAnswer>,
    (looks, names): (&[Value], &Names),
) -> Markup {
    let id = text(&answer.event, "id");
    html! {
        section.card {
            h2 { "Text" }
            @if answer.payloads.is_empty() { p.none { "This event has no text." } }
            @else {
                @match texts {
                    Some(texts) => {
                        @for (name, shown) in &texts.texts {
                            h3 { (name) }
                            @match shown {
                                Some(shown) => pre.payload dir="auto" { (shown) },
                                None => p.none { "Nothing is stored, or it was erased." },
                            }
                        }
                    }
                    None => {
                        ul { @for (name, state) in &answer.payloads { li { (name) ": " (state) } } }
                        @if console.may::<RevealEvent>(session) {
                            form.row method="post" action={ "/events/" (id) "/reveal" } {
                                (csrf(session))
                                label { span { "Why must it be seen?" } input name="reason" required minlength="3" maxlength="400" dir="auto"; }
                                button { "Reveal" }
                            }
                            p.hint { "Looking is an event: your account, this event and the reason go on record first." }
                        } @else { p.hint { "Your roles do not include events.reveal: the text stays closed." } }
                    }
                }
            }
            @if !looks.is_empty() {
                h3 { "Looked at" }
                ul { @for look in looks { li { (moment(text(look, "at"))) " by " span dir="auto" { (names.of(text(look, "actor"))) } } } }
            }
        }
    }
}

fn counterpart(other: &Value) -> Markup {
    html! {
        section.card {
            div.head {
                h2 { "Belongs with" }
                a href={ "/events/" (text(other, "id")) } { (text(other, "kind")) }
            }
            p { (verdict(verdict_of(other))) " " (moment(text(other, "at"))) }
            (found("Found there", other))
        }
    }
}
