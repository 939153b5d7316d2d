//! Reading what operations answer as JSON.

use std::collections::HashMap;

use haris_operations::Refusal;
use maud::{Markup, html};
use serde_json::Value;

use crate::Console;

/// What actors are called, for whoever reads a page: events know their ids alone.
pub(crate) struct Names(HashMap<String, String>);

impl Names {
    /// The name, or the actor as the ledger says it.
    pub(crate) fn of<'a>(&'a self, actor: &'a str) -> &'a str {
        self.0.get(actor).map_or(actor, String::as_str)
    }
}

impl Console {
    /// Names of callers, and of the people who have accounts.
    pub(crate) async fn names(&self) -> Result<Names, Refusal> {
        let callers = haris_register::callers(&self.context.ledger).await.map_err(|error| Refusal::internal(&error))?;
        let callers = callers.into_iter().map(|caller| (format!("caller:{}", caller.id), caller.name));
        let faces = self.context.access.faces().await?;
        let faces = faces.into_iter().map(|face| (format!("person:{}", face.account), face.name));
        Ok(Names(callers.chain(faces).collect()))
    }
}

/// A text, or nothing.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A value as people read it: text without its quotes, lists without their brackets.
pub(crate) fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) if all.iter().all(|one| !one.is_object() && !one.is_array()) => {
            all.iter().map(said).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// The rules that found something in an event, each once.
pub(crate) fn rules(event: &Value) -> Vec<&str> {
    let all = event["data"]["detections"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rules: Vec<_> = all.iter().filter_map(|found| found["rule"].as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// What became of the request that an event tells of; nothing for other events.
pub(crate) fn verdict_of(event: &Value) -> &str {
    match (text(event, "kind"), text(&event["data"], "verdict")) {
        ("gw.request.refused/1", _) => "refuse",
        (_, verdict) => verdict,
    }
}

/// A form's field that chooses one of some.
pub(crate) fn choice(name: &str, label: &str, options: &[(&str, &str)], chosen: &str) -> Markup {
    html! {
        label { span { (label) }
            select name=(name) {
                @for (value, shown) in options {
                    option value=(value) selected[*value == chosen] { (shown) }
                }
            }
        }
    }
}
