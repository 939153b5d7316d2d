//! `key=value` filters: what chose a selection, run again by the verifier.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::leaf::LeafView;

/// Longest filter.
const FILTER_BYTES_MAX: usize = 1024;
/// How deep a filter looks into an event's data.
const PATH_PARTS_MAX: usize = 16;

/// One condition on an event; several must all hold.
///
/// The key is `id`, `kind`, `actor`, `about`, `node`, `boot`, or a path into `data` (`verdict`, `detections.kind`).
/// Lists hold if any element does. A value that ends in `*` is a prefix.
///
/// ```
/// let filter: haris_verify::Filter = "kind=gw.request.*".parse().unwrap();
/// assert_eq!(filter.to_string(), "kind=gw.request.*");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    key: String,
    value: String,
}

/// A filter that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{given}` is not a filter; write it like `verdict=block` or `kind=gw.request.*`")]
pub struct BadFilter {
    given: String,
}

impl FromStr for Filter {
    type Err = BadFilter;

    fn from_str(s: &str) -> Result<Self, BadFilter> {
        let bad = || BadFilter { given: s.chars().take(64).collect() };
        let (key, value) = s.split_once('=').ok_or_else(bad)?;
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let parts = key.split('.').count();
        let path = parts <= PATH_PARTS_MAX && key.split('.').all(|part| !part.is_empty() && part.chars().all(word));
        if s.len() > FILTER_BYTES_MAX || !path || value.is_empty() || value.contains(char::is_control) {
            return Err(bad());
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl Filter {
    /// Whether the event meets the condition.
    #[must_use]
    pub fn matches(&self, leaf: &LeafView<'_>) -> bool {
        match self.key.as_str() {
            "id" => self.text(&leaf.id),
            "kind" => self.text(&leaf.kind),
            "actor" => self.text(&leaf.actor),
            "node" => self.text(&leaf.source.node),
            "boot" => self.text(&leaf.source.boot),
            "about" => leaf.about().iter().any(|id| self.text(id)),
            path => {
                let path = path.strip_prefix("data.").unwrap_or(path);
                self.value_at(&leaf.data(), path)
            }
        }
    }

    fn value_at(&self, value: &Value, path: &str) -> bool {
        if let Value::Array(items) = value {
            return items.iter().any(|item| self.value_at(item, path));
        }
        if path.is_empty() {
            return match value {
                Value::String(text) => self.text(text),
                Value::Number(number) => self.text(&number.to_string()),
                Value::Bool(flag) => self.text(if *flag { "true" } else { "false" }),
                _ => false,
            };
        }
        let (key, rest) = path.split_once('.').unwrap_or((path, ""));
        value.get(key).is_some_and(|inner| self.value_at(inner, rest))
    }

    fn text(&self, text: &str) -> bool {
        match self.value.strip_suffix('*') {
            Some(prefix) => text.starts_with(prefix),
            None => text == self.value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &str = r#"{"about":["request:1","case:7"],"actor":"caller:c1","at":"2026-11-24T07:05:09.123456Z","data":{"verdict":"redact","stream":true,"status":400,"detections":[{"kind":"card"},{"kind":"iban"}],"field":"messages.0"},"id":"01a20c5f","kind":"gw.request.decided/1","payloads":[],"source":{"boot":"b1","n":3,"node":"n1"},"v":1}"#;

    #[test]
    fn filters_hold_or_not() {
        let leaf = LeafView::parse(LEAF.as_bytes()).unwrap();
        let check = |filter: &str, holds: bool| {
            assert_eq!(filter.parse::<Filter>().unwrap().matches(&leaf), holds, "{filter}");
        };
        for yes in [
            "verdict=redact",
            "data.verdict=redact",
            "kind=gw.*",
            "kind=gw.request.decided/1",
            "actor=caller:c1",
            "about=case:7",
            "node=n1",
            "boot=b*",
            "id=01a20c5f",
            "stream=true",
            "status=400",
            "detections.kind=iban",
            "verdict=*",
        ] {
            check(yes, true);
        }
        for no in [
            "verdict=block",
            "verdict=reda",
            "verdict=redact2",
            "kind=gw.request",
            "about=case",
            "missing=1",
            "detections=card",
            "detections.kind=qid",
            "verdict.deeper=redact",
            "stream=false",
            "missing=*",
        ] {
            check(no, false);
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let long = format!("a={}", "b".repeat(FILTER_BYTES_MAX));
        for bad in ["", "verdict", "=x", "a=", "a b=c", "a..b=c", ".a=c", "a=b\nc", long.as_str()] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
    }
}
