//! Decisions and other events, found by what the URL says.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::Response;
use haris_operations::{EventsAnswer, EventsInput, ListEvents};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::door::In;
use crate::page::{encode, moment, verdict};
use crate::words::{Names, choice, rules, text, verdict_of};
use crate::{Console, page};

const SHOWN: usize = 50;

/// What the URL asks for; an empty field asks for nothing.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    verdict: String,
    rule: String,
    actor: String,
    model: String,
    kind: String,
    from: String,
    to: String,
    /// Where older ones begin: `evidence:12,traffic:340`.
    before: String,
}

impl Asked {
    pub(crate) fn filter(&self) -> Vec<String> {
        let conditions = [
            ("verdict", &self.verdict),
            ("detections.rule", &self.rule),
            ("actor", &self.actor),
            ("model", &self.model),
            ("kind", &self.kind),
        ];
        conditions
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    fn input(&self) -> EventsInput {
        let given = |value: &String| (!value.is_empty()).then(|| value.clone());
        let before = self.before.split(',').filter_map(|pair| {
            let (log, index) = pair.split_once(':')?;
            Some((log.to_owned(), index.parse().ok()?))
        });
        let before: BTreeMap<String, u64> = before.collect();
        EventsInput {
            filter: self.filter(),
            from: given(&self.from),
            to: given(&self.to),
            limit: Some(SHOWN),
            before: (!before.is_empty()).then_some(before),
            after: None,
        }
    }

    /// The same question as a URL, with another beginning.
    pub(crate) fn url(&self, path: &str, before: &str) -> String {
        let fields = [
            ("verdict", self.verdict.as_str()),
            ("rule", &self.rule),
            ("actor", &self.actor),
            ("model", &self.model),
            ("kind", &self.kind),
            ("from", &self.from),
            ("to", &self.to),
            ("before", before),
        ];
        let given = fields.iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<_> = given.map(|(key, value)| format!("{key}={}", encode(value))).collect();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
    }
}

pub(crate) async fn show(State(console): State<Console>, In(session): In, Query(mut asked): Query<Asked>) -> Response {
    // Decisions, unless somebody asks for other kinds by name.
    let everything = asked.kind == "*";
    if asked.kind.is_empty() {
        asked.kind = "gw.request.*".to_owned();
    } else if everything {
        asked.kind.clear();
    }
    let answer = console.ask::<ListEvents>(&session, &asked.input()).await;
    if everything {
        asked.kind = "*".to_owned();
    }
    match (answer, console.names().await) {
        (Ok(answer), Ok(names)) => page::page(&session, "/events", "Decisions", body(&asked, &answer, &names)),
        (Err(refusal), _) | (_, Err(refusal)) => page::refusal(Some(&session), &refusal),
    }
}

/// The fields by which events are found.
pub(crate) fn search(action: &str, asked: &Asked) -> Markup {
    let verdicts = [("", "any"), ("allow", "allow"), ("observe", "observe"), ("redact", "redact"), ("block", "block")];
    let kinds = [
        ("gw.request.*", "requests"),
        ("gw.response.*", "answers"),
        ("gw.request.refused/1", "refused before inspection"),
        ("access.*", "people coming and going"),
        ("approval.*", "second persons"),
        ("payload.*", "reveals and erasures"),
        ("alert.*", "alerts"),
        ("*", "everything"),
    ];
    html! {
        form.search method="get" action=(action) role="search" {
            (choice("kind", "What", &kinds, &asked.kind))
            (choice("verdict", "Verdict", &verdicts, &asked.verdict))
            label { span { "Rule" } input name="rule" value=(asked.rule) placeholder="pii.*" maxlength="128" dir="ltr"; }
            label { span { "Who" } input name="actor" value=(asked.actor) placeholder="caller:…" maxlength="128" dir="ltr"; }
            label { span { "Model" } input name="model" value=(asked.model) placeholder="gpt-*" maxlength="128" dir="ltr"; }
            label { span { "From" } input name="from" value=(asked.from) placeholder="2026-11-01" maxlength="40" dir="ltr"; }
            label { span { "To" } input name="to" value=(asked.to) placeholder="2026-12-01" maxlength="40" dir="ltr"; }
            button { "Find" }
        }
    }
}

fn body(asked: &Asked, answer: &EventsAnswer, names: &Names) -> Markup {
    let older = answer.older.as_ref().map(|older| {
        let pairs: Vec<_> = older.iter().map(|(log, index)| format!("{log}:{index}")).collect();
        asked.url("/events", &pairs.join(","))
    });
    html! {
        (search("/events", asked))
        @if answer.events.is_empty() {
            @if older.is_some() {
                p.none { "Nothing of the kind among the newest " (page::number(answer.searched)) " entries. Older ones may hold it." }
            } @else {
                (page::empty("No event matches", "Every request that the guard decides on appears here within a second.", Some("haris events --follow")))
            }
        } @else { (table(answer.events.iter().rev(), names)) }
        nav.pages aria-label="Older and newest" {
            @if !asked.before.is_empty() { a.button href=(asked.url("/events", "")) { "Newest" } }
            @if let Some(older) = older { a.button href=(older) { "Older" } }
        }
    }
}

/// Events as rows, in the order in which they come.
pub(crate) fn table<'a>(events: impl Iterator<Item = &'a Value>, names: &Names) -> Markup {
    html! {
        div.scroll {
            table.events {
                thead { tr { th scope="col" { "Time" } th scope="col" { "Verdict" } th scope="col" { "What" } th scope="col" { "Who" } th scope="col" { "Found" } } }
                tbody #events { @for event in events { (row(event, names)) } }
            }
        }
    }
}

pub(crate) fn row(event: &Value, names: &Names) -> Markup {
    let data = &event["data"];
    let found = rules(event);
    html! {
        tr {
            td { a href={ "/events/" (text(event, "id")) } { (moment(text(event, "at"))) } }
            td { (verdict(verdict_of(event))) }
            td dir="auto" { (what(event, data)) }
            td { a.who href={ "/events?actor=" (encode(text(event, "actor"))) } title=(text(event, "actor")) dir="auto" { (names.of(text(event, "actor"))) } }
            td { @for rule in &found { a.rule href={ "/events?rule=" (encode(rule)) } { (rule) } " " } }
        }
    }
}

fn what(event: &Value, data: &Value) -> String {
    let model = text(data, "model");
    if !model.is_empty() {
        return model.to_owned();
    }
    let kind = text(event, "kind").split('/').next().unwrap_or_default();
    let more: Vec<_> = ["outcome", "reason", "name", "operation", "why"]
        .iter()
        .map(|key| text(data, key))
        .filter(|word| !word.is_empty())
        .collect();
    if more.is_empty() { kind.to_owned() } else { format!("{kind}: {}", more.join(", ")) }
}
