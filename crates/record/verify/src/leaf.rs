//! A leaf as the verifier reads it: borrowed from its bytes, never written back.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What the checks need of an event. Unknown keys are ignored; `data` is looked into only where a check asks.
#[derive(Debug, Deserialize)]
pub struct LeafView<'a> {
    /// Version of the form; 1.
    pub v: u64,
    /// The event's id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// `area.subject.verb/version`.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// Birth, by the source's clock.
    #[serde(borrow)]
    pub at: Cow<'a, str>,
    /// Which process wrote it, and its number there.
    #[serde(borrow)]
    pub source: SourceView<'a>,
    /// Who acted.
    #[serde(borrow)]
    pub actor: Cow<'a, str>,
    #[serde(borrow)]
    about: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    payloads: &'a RawValue,
}

/// A leaf's `source`.
#[derive(Debug, Deserialize)]
pub struct SourceView<'a> {
    /// The process's lasting name.
    #[serde(borrow)]
    pub node: Cow<'a, str>,
    /// One start of it.
    #[serde(borrow)]
    pub boot: Cow<'a, str>,
    /// Counts from 1 without gaps for that start and log.
    pub n: u64,
}

/// One of a leaf's `payloads`.
#[derive(Debug, Deserialize)]
pub struct PayloadView {
    /// Unique within its event.
    pub name: String,
    /// `hmac-sha256:` and 64 hex digits.
    pub commit: String,
    /// Length of the stored bytes.
    pub bytes: u64,
    /// `full`, `redacted` or `none`.
    pub stored: String,
}

/// Deeper data than a leaf can have is an attack on the reader's stack; serde_json itself stops at 128.
impl<'a> LeafView<'a> {
    /// Reads a leaf.
    ///
    /// # Errors
    /// When the bytes are not an event of a form that this version knows.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NotLeaf> {
        // Duplicate keys among those we read are an error here, so no two readers can see two events in one leaf.
        let view: Self = serde_json::from_slice(bytes).map_err(|source| NotLeaf::Json { source })?;
        if view.v == 1 { Ok(view) } else { Err(NotLeaf::Version { v: view.v }) }
    }

    /// When it was born, in microseconds since 1970; none if the text is no time.
    #[must_use]
    pub fn at_micros(&self) -> Option<i64> {
        crate::moment::parse(&self.at)
    }

    /// Ids of what it concerns.
    #[must_use]
    pub fn about(&self) -> Vec<String> {
        serde_json::from_str(self.about.get()).unwrap_or_default()
    }

    /// What the kind defines; null if it is not JSON.
    #[must_use]
    pub fn data(&self) -> Value {
        serde_json::from_str(self.data.get()).unwrap_or_default()
    }

    /// Whether it commits to payloads.
    #[must_use]
    pub fn has_payloads(&self) -> bool {
        self.payloads.get() != "[]"
    }

    /// The payloads that it commits to; none where the list is malformed.
    #[must_use]
    pub fn payloads(&self) -> Vec<PayloadView> {
        if !self.has_payloads() {
            return Vec::new();
        }
        serde_json::from_str(self.payloads.get()).unwrap_or_default()
    }
}

/// Why bytes are not an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotLeaf {
    /// Not JSON, or a key is missing or malformed.
    #[error("it is not an event: {source}")]
    Json {
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A form of the future.
    #[error("it is an event of form {v}; this version reads form 1")]
    Version {
        /// The form it claims.
        v: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &str = r#"{"about":["request:1"],"actor":"caller:c1","at":"2026-11-24T07:05:09.123456Z","data":{"verdict":"redact"},"id":"01a20c5f-6903-7707-8707-070707070707","kind":"gw.request.decided/1","payloads":[{"bytes":12,"commit":"hmac-sha256:01","key":"day:2026-11-24","name":"request","stored":"redacted"}],"source":{"boot":"b1","n":3,"node":"n1"},"v":1}"#;

    #[test]
    fn a_leaf_is_read() {
        let view = LeafView::parse(LEAF.as_bytes()).unwrap();
        assert_eq!((view.kind.as_ref(), view.source.n), ("gw.request.decided/1", 3));
        assert_eq!(view.data()["verdict"], "redact");
        assert_eq!(view.about(), ["request:1"]);
        assert_eq!(view.payloads()[0].name, "request");
        assert_eq!(view.at_micros(), Some(1_795_503_909_123_456));
    }

    #[test]
    fn what_is_none_is_said() {
        for bad in
            ["", "{}", "[]", "null", &LEAF.replace("\"v\":1", "\"v\":1,\"v\":1"), &LEAF.replace("\"n\":3", "\"n\":-3")]
        {
            assert!(matches!(LeafView::parse(bad.as_bytes()), Err(NotLeaf::Json { .. })), "{bad}");
        }
        assert!(matches!(
            LeafView::parse(LEAF.replace("\"v\":1", "\"v\":2").as_bytes()),
            Err(NotLeaf::Version { v: 2 })
        ));
        let deep = LEAF.replace("{\"verdict\":\"redact\"}", &"[".repeat(10_000));
        assert!(LeafView::parse(deep.as_bytes()).is_err());
    }
}
