//! The event: one leaf of a log, in bytes that are final at birth.
//!
//! A [`Draft`] becomes a [`Leaf`] exactly once, when its source stamps it. From then on its bytes
//! are carried, hashed and stored as they are; [`Event::parse`] reads them and never writes them
//! back.

use serde_json::{Map, Value};

use crate::canonical::{self, NotCanonical};
use crate::kind::{self, EventKind};
use crate::{Actor, EventId, Timestamp};

/// The entry limit of tlog-tiles. What does not fit is a payload.
pub const LEAF_BYTES_MAX: usize = 65_535;

/// Which process wrote an event, which start of it, and the event's number in that start and log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// The process's lasting name.
    pub node: String,
    /// One start of that process.
    pub boot: String,
    /// Counts from 1 without gaps for that boot and log; a gap shows an event that was lost.
    pub n: u64,
}

/// How much of a payload was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// The bytes as received.
    Full,
    /// The bytes after redaction.
    Redacted,
    /// Nothing but the commitment.
    None,
}

impl Stored {
    /// `full`, `redacted` or `none`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Redacted => "redacted",
            Self::None => "none",
        }
    }

    /// The setting of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Full, Self::Redacted, Self::None].into_iter().find(|stored| stored.name() == name)
    }
}

/// What a leaf says of a payload: a commitment that hides it and can be opened alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadRef {
    /// `request`, `response`, `identifiers`, `reason`, …: unique within its event.
    pub name: String,
    /// HMAC-SHA-256 of the stored bytes.
    pub commit: [u8; 32],
    /// Id of the data key that wraps the payload's own key.
    pub key: String,
    /// Length of the stored bytes before encryption.
    pub bytes: u64,
    /// How much was kept.
    pub stored: Stored,
    /// HMAC-SHA-256 of the bytes as received, when they differ from the stored ones.
    pub source_commit: Option<[u8; 32]>,
}

/// A payload on its way to storage: what its leaf says, its wrapped key and its ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedPayload {
    /// What the leaf says of it.
    pub reference: PayloadRef,
    /// The payload's own key, wrapped by the data key that `reference.key` names.
    pub wrapped_key: Vec<u8>,
    /// AES-256-GCM ciphertext and tag; empty when nothing is stored.
    pub ciphertext: Vec<u8>,
}

/// An event before its source has stamped it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Made here, so that payloads can be bound to it before it is written.
    pub id: EventId,
    /// What kind of event.
    pub kind: &'static EventKind,
    /// Birth, by the source's clock.
    pub at: Timestamp,
    /// Who acted.
    pub actor: Actor,
    /// Ids of assets, requests, cases it concerns.
    pub about: Vec<String>,
    /// Defined by the kind. No text, identifier, name or typed reason, nor any function of one.
    pub data: Map<String, Value>,
}

/// Why a draft cannot become a leaf.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotLeaf {
    /// Over the entry limit of tlog-tiles.
    #[error(
        "event of kind `{kind}` has {bytes} bytes, at most {LEAF_BYTES_MAX} fit a leaf; the rest belongs in a payload"
    )]
    TooLong {
        /// The event's kind.
        kind: &'static str,
        /// Its length in canonical form.
        bytes: usize,
    },
    /// Its data has no canonical form.
    #[error("event of kind `{kind}` has no canonical form")]
    NotCanonical {
        /// The event's kind.
        kind: &'static str,
        /// Why.
        source: NotCanonical,
    },
}

impl Draft {
    /// A new event without data. Add to `data` and `about` before it is stamped.
    #[must_use]
    pub fn new(kind: &'static EventKind, at: Timestamp, actor: Actor) -> Self {
        Self { id: EventId::now(at), kind, at, actor, about: Vec::new(), data: Map::new() }
    }

    /// Adds one key to the data.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }

    /// Adds one id of what the event concerns.
    #[must_use]
    pub fn about(mut self, id: impl ToString) -> Self {
        self.about.push(id.to_string());
        self
    }

    /// The final bytes. Called once, by the source that owns the counter.
    ///
    /// # Errors
    /// When the event is too long for a leaf or its data has no canonical form.
    pub fn stamp(&self, source: &Source, payloads: &[PayloadRef]) -> Result<Leaf, NotLeaf> {
        let kind = self.kind.name;
        let bytes = self.bytes(source, payloads).map_err(|source| NotLeaf::NotCanonical { kind, source })?;
        if bytes.len() > LEAF_BYTES_MAX {
            return Err(NotLeaf::TooLong { kind, bytes: bytes.len() });
        }
        Ok(Leaf { id: self.id, kind: self.kind, bytes })
    }

    /// The canonical form, its keys in their order. Written straight out: this is part of what every request costs.
    fn bytes(&self, source: &Source, payloads: &[PayloadRef]) -> Result<Vec<u8>, NotCanonical> {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(b"{\"about\":[");
        for (position, id) in self.about.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            canonical::write_string(id, &mut out);
        }
        out.extend_from_slice(b"],\"actor\":");
        canonical::write_string(self.actor.as_str(), &mut out);
        out.extend_from_slice(b",\"at\":");
        canonical::write_string(&self.at.to_string(), &mut out);
        out.extend_from_slice(b",\"data\":");
        canonical::write_object(&self.data, 1, &mut out)?;
        out.extend_from_slice(b",\"id\":");
        canonical::write_string(&self.id.to_string(), &mut out);
        out.extend_from_slice(b",\"kind\":");
        canonical::write_string(self.kind.name, &mut out);
        out.extend_from_slice(b",\"payloads\":[");
        for (position, payload) in payloads.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            write_payload(payload, &mut out)?;
        }
        out.extend_from_slice(b"],\"source\":{\"boot\":");
        canonical::write_string(&source.boot, &mut out);
        out.extend_from_slice(b",\"n\":");
        canonical::write_count(source.n, &mut out)?;
        out.extend_from_slice(b",\"node\":");
        canonical::write_string(&source.node, &mut out);
        out.extend_from_slice(b"},\"v\":1}");
        Ok(out)
    }
}

fn write_payload(payload: &PayloadRef, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    out.extend_from_slice(b"{\"bytes\":");
    canonical::write_count(payload.bytes, out)?;
    out.extend_from_slice(b",\"commit\":");
    canonical::write_string(&commit_text(&payload.commit), out);
    out.extend_from_slice(b",\"key\":");
    canonical::write_string(&payload.key, out);
    out.extend_from_slice(b",\"name\":");
    canonical::write_string(&payload.name, out);
    if let Some(commit) = &payload.source_commit {
        out.extend_from_slice(b",\"source_commit\":");
        canonical::write_string(&commit_text(commit), out);
    }
    out.extend_from_slice(b",\"stored\":");
    canonical::write_string(payload.stored.name(), out);
    out.push(b'}');
    Ok(())
}

const COMMIT_PREFIX: &str = "hmac-sha256:";

fn commit_text(commit: &[u8; 32]) -> String {
    format!("{COMMIT_PREFIX}{}", hex::encode(commit))
}

fn commit_from(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    hex::decode_to_slice(text.strip_prefix(COMMIT_PREFIX)?, &mut out).ok()?;
    Some(out)
}

/// The final bytes of an event, with what is needed to route them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The event's id.
    pub id: EventId,
    /// The event's kind, and so its log.
    pub kind: &'static EventKind,
    /// Canonical JSON, at most [`LEAF_BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
}

/// An event as read from its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The event's id.
    pub id: EventId,
    /// The event's kind: always one of [`kind::KINDS`].
    pub kind: &'static EventKind,
    /// Birth, by the source's clock.
    pub at: Timestamp,
    /// Which process, which start, which number.
    pub source: Source,
    /// Who acted.
    pub actor: Actor,
    /// Ids of what it concerns.
    pub about: Vec<String>,
    /// Defined by the kind; keys unknown to this version are kept.
    pub data: Map<String, Value>,
    /// The payloads it commits to.
    pub payloads: Vec<PayloadRef>,
}

/// Bytes that are not an event of a known kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotEvent {
    /// Longer than a leaf may be.
    #[error("{bytes} bytes are more than a leaf holds ({LEAF_BYTES_MAX})")]
    TooLong {
        /// How long they are.
        bytes: usize,
    },
    /// Not JSON, or not in canonical form.
    #[error("not canonical JSON")]
    NotCanonical,
    /// A key is missing or has the wrong type or form.
    #[error("`{key}` is missing or malformed")]
    Key {
        /// Which key.
        key: &'static str,
    },
    /// A kind that this version does not know: written by a newer Haris, or never.
    #[error("kind `{kind}` is unknown to this version")]
    Kind {
        /// The kind it claims.
        kind: String,
    },
}

impl Event {
    /// Reads a leaf. Unknown keys are ignored.
    ///
    /// # Errors
    /// When the bytes are not canonical JSON, lack a key, or name an unknown kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotEvent> {
        if bytes.len() > LEAF_BYTES_MAX {
            return Err(NotEvent::TooLong { bytes: bytes.len() });
        }
        let Some(Value::Object(mut members)) = canonical::parse(bytes) else { return Err(NotEvent::NotCanonical) };
        if members.get("v").and_then(Value::as_u64) != Some(1) {
            return Err(NotEvent::Key { key: "v" });
        }
        let text = |key: &'static str| members.get(key).and_then(Value::as_str).ok_or(NotEvent::Key { key });
        let kind = text("kind")?;
        let kind = kind::find(kind).ok_or_else(|| NotEvent::Kind { kind: kind.chars().take(64).collect() })?;
        let id = text("id")?.parse().map_err(|_| NotEvent::Key { key: "id" })?;
        let at = text("at")?.parse().map_err(|_| NotEvent::Key { key: "at" })?;
        let actor = text("actor")?.parse().map_err(|_| NotEvent::Key { key: "actor" })?;
        let mut take = |key: &'static str| members.remove(key).ok_or(NotEvent::Key { key });
        let source = source_from(take("source")?).ok_or(NotEvent::Key { key: "source" })?;
        let about = array(take("about")?, string).ok_or(NotEvent::Key { key: "about" })?;
        let payloads = array(take("payloads")?, payload_from).ok_or(NotEvent::Key { key: "payloads" })?;
        let Value::Object(data) = take("data")? else { return Err(NotEvent::Key { key: "data" }) };
        Ok(Self { id, kind, at, source, actor, about, data, payloads })
    }
}

fn string(value: Value) -> Option<String> {
    if let Value::String(text) = value { Some(text) } else { None }
}

fn array<T>(value: Value, item: impl Fn(Value) -> Option<T>) -> Option<Vec<T>> {
    if let Value::Array(items) = value { items.into_iter().map(item).collect() } else { None }
}

fn source_from(value: Value) -> Option<Source> {
    let Value::Object(mut members) = value else { return None };
    let n = members.get("n")?.as_u64().filter(|n| *n > 0)?;
    Some(Source { node: string(members.remove("node")?)?, boot: string(members.remove("boot")?)?, n })
}

fn payload_from(value: Value) -> Option<PayloadRef> {
    let Value::Object(mut members) = value else { return None };
    let source_commit = match members.get("source_commit") {
        None => None,
        Some(commit) => Some(commit_from(commit.as_str()?)?),
    };
    Some(PayloadRef {
        commit: commit_from(members.get("commit")?.as_str()?)?,
        bytes: members.get("bytes")?.as_u64()?,
        stored: Stored::named(members.get("stored")?.as_str()?)?,
        name: string(members.remove("name")?)?,
        key: string(members.remove("key")?)?,
        source_commit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Draft, Source, PayloadRef) {
        let at: Timestamp = "2026-11-24T07:05:09.123456Z".parse().unwrap();
        let mut draft =
            Draft::new(&kind::REQUEST_DECIDED, at, Actor::caller("c1")).with("verdict", "redact").about("request:1");
        draft.id = EventId::new(at, [7; 10]);
        let source = Source { node: "n1".into(), boot: "b1".into(), n: 3 };
        let payload = PayloadRef {
            name: "request".into(),
            commit: [1; 32],
            key: "day:2026-11-24".into(),
            bytes: 12,
            stored: Stored::Redacted,
            source_commit: Some([2; 32]),
        };
        (draft, source, payload)
    }

    /// The golden leaf of the frozen form: if this changes, old evidence stops verifying.
    #[test]
    fn a_leaf_has_these_bytes_for_good() {
        let (draft, source, payload) = sample();
        let leaf = draft.stamp(&source, &[payload]).unwrap();
        expect_test::expect![[r#"{"about":["request:1"],"actor":"caller:c1","at":"2026-11-24T07:05:09.123456Z","data":{"verdict":"redact"},"id":"01a20c5f-6903-7707-8707-070707070707","kind":"gw.request.decided/1","payloads":[{"bytes":12,"commit":"hmac-sha256:0101010101010101010101010101010101010101010101010101010101010101","key":"day:2026-11-24","name":"request","source_commit":"hmac-sha256:0202020202020202020202020202020202020202020202020202020202020202","stored":"redacted"}],"source":{"boot":"b1","n":3,"node":"n1"},"v":1}"#]]
        .assert_eq(std::str::from_utf8(&leaf.bytes).unwrap());
    }

    #[test]
    fn a_leaf_is_read_back_as_it_was_written() {
        let (draft, source, payload) = sample();
        let leaf = draft.stamp(&source, std::slice::from_ref(&payload)).unwrap();
        let event = Event::parse(&leaf.bytes).unwrap();
        assert_eq!((event.id, event.kind, event.at), (draft.id, draft.kind, draft.at));
        assert_eq!(event.source, source);
        assert_eq!(event.payloads, [payload]);
        assert_eq!(event.data, draft.data);
    }

    #[test]
    fn other_bytes_for_the_same_event_are_refused() {
        let (draft, source, payload) = sample();
        let leaf = draft.stamp(&source, &[payload]).unwrap();
        let text = String::from_utf8(leaf.bytes).unwrap();
        for altered in [
            format!("{text} "),
            text.replace("{\"about\"", "{ \"about\""),
            text.replace("\"v\":1}", "\"v\":1,\"v\":1}"),
            text.replace("\"n\":3", "\"n\":3.0"),
        ] {
            assert_eq!(Event::parse(altered.as_bytes()), Err(NotEvent::NotCanonical), "{altered}");
        }
        let newer = text.replace("gw.request.decided/1", "gw.request.decided/9");
        assert!(matches!(Event::parse(newer.as_bytes()), Err(NotEvent::Kind { .. })));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (draft, source, _) = sample();
        let draft = draft.with("long", "x".repeat(LEAF_BYTES_MAX));
        assert!(matches!(draft.stamp(&source, &[]), Err(NotLeaf::TooLong { .. })));
        let (draft, source, _) = sample();
        assert!(matches!(draft.with("score", 0.5).stamp(&source, &[]), Err(NotLeaf::NotCanonical { .. })));
    }
}
