//! Turns decisions into events and payloads. The names of the keys are frozen: tables fold them.

use haris_domain::{Actor, Detection, DetectionKind, Draft, EventId, SealedPayload, Stored, Timestamp, Verdict, kind};
use haris_keys::{DayKey, seal_payload};
use serde_json::{Value, json};

use crate::Versions;
use crate::found::Found;
use crate::walk::{Identifiers, NotScanned};

/// Of a longer payload the head and the tail are kept, half of this each.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// What stands for a model name that no configuration knows.
pub(crate) const UNLISTED: &str = "unlisted";

/// What both events of a request share.
#[derive(Clone, Copy)]
pub(crate) struct Basis<'b> {
    pub(crate) environment: &'b str,
    pub(crate) policy: &'b str,
    pub(crate) versions: &'b Versions,
}

/// What a request's event says beside the findings.
pub(crate) struct Asked<'a> {
    pub(crate) protocol: &'static str,
    pub(crate) route: &'a str,
    pub(crate) model: &'a str,
    pub(crate) upstream: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) place: &'a str,
    pub(crate) stream: bool,
    pub(crate) fields: u64,
    pub(crate) text_bytes: u64,
    pub(crate) inspect_us: u64,
}

/// What was found and what was not looked at.
pub(crate) struct Inspected {
    pub(crate) found: Found,
    pub(crate) not_scanned: Vec<NotScanned>,
    pub(crate) not_scanned_more: u64,
}

impl Inspected {
    pub(crate) fn nothing() -> Self {
        Self { found: Found::default(), not_scanned: Vec::new(), not_scanned_more: 0 }
    }
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Complete,
    Blocked,
    UpstreamError,
    Cancelled,
    Timeout,
    Interrupted,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Blocked => "blocked",
            Self::UpstreamError => "upstream-error",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What an answer's event says beside the findings.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    pub(crate) tokens_in: Option<u64>,
    pub(crate) tokens_out: Option<u64>,
    pub(crate) first_byte_us: u64,
    pub(crate) total_us: u64,
}

pub(crate) fn request(
    id: EventId,
    at: Timestamp,
    actor: Actor,
    basis: Basis<'_>,
    asked: &Asked<'_>,
    inspected: Inspected,
) -> Draft {
    let mut draft = Draft::new(&kind::REQUEST_DECIDED, at, actor);
    draft.id = id;
    let data = &mut draft.data;
    let mut set = |key: &str, value: Value| {
        data.insert(key.to_owned(), value);
    };
    set("protocol", asked.protocol.into());
    set("route", asked.route.into());
    set("model", asked.model.into());
    set("upstream", asked.upstream.into());
    set("provider", asked.provider.into());
    set("place", asked.place.into());
    set("stream", asked.stream.into());
    set("fields", asked.fields.into());
    set("text_bytes", asked.text_bytes.into());
    set("inspect_us", asked.inspect_us.into());
    inspection(&mut draft, inspected);
    based_on(&mut draft, basis);
    draft
}

pub(crate) fn response(
    request: EventId,
    at: Timestamp,
    actor: Actor,
    basis: Basis<'_>,
    answered: &Answered,
    inspected: Inspected,
) -> Draft {
    let mut draft = Draft::new(&kind::RESPONSE_DECIDED, at, actor).about(request);
    let data = &mut draft.data;
    let mut set = |key: &str, value: Value| {
        data.insert(key.to_owned(), value);
    };
    set("request", request.to_string().into());
    set("status", answered.status.into());
    set("outcome", answered.outcome.name().into());
    if let Some(count) = answered.tokens_in.filter(|count| *count <= COUNT_MAX) {
        set("tokens_in", count.into());
    }
    if let Some(count) = answered.tokens_out.filter(|count| *count <= COUNT_MAX) {
        set("tokens_out", count.into());
    }
    set("first_byte_us", answered.first_byte_us.into());
    set("total_us", answered.total_us.into());
    inspection(&mut draft, inspected);
    based_on(&mut draft, basis);
    draft
}

/// An upstream's count beyond this is not a count, and would have no canonical form.
const COUNT_MAX: u64 = 1 << 50;

/// A refusal before inspection.
pub(crate) struct Refused<'r> {
    pub(crate) reason: &'static str,
    pub(crate) status: u16,
    pub(crate) protocol: &'r str,
    pub(crate) field: Option<&'r str>,
    /// Refusals before this one that have no event of their own.
    pub(crate) suppressed: u64,
}

pub(crate) fn refused(id: EventId, at: Timestamp, actor: Actor, basis: Basis<'_>, refused: &Refused<'_>) -> Draft {
    let mut draft = Draft::new(&kind::REQUEST_REFUSED, at, actor)
        .with("reason", refused.reason)
        .with("status", refused.status)
        .with("protocol", refused.protocol);
    draft.id = id;
    if let Some(field) = refused.field {
        draft = draft.with("field", field);
    }
    if refused.suppressed > 0 {
        draft = draft.with("suppressed", refused.suppressed);
    }
    based_on(&mut draft, basis);
    draft
}

fn inspection(draft: &mut Draft, inspected: Inspected) {
    let data = &mut draft.data;
    data.insert("verdict".to_owned(), inspected.found.worst().name().into());
    let (list, more) = inspected.found.into_list();
    data.insert("detections".to_owned(), list);
    data.insert("detections_more".to_owned(), more.into());
    let missed = inspected.not_scanned.iter().map(|missed| json!({ "field": missed.field, "why": missed.why }));
    data.insert("not_scanned".to_owned(), missed.collect());
    if inspected.not_scanned_more > 0 {
        data.insert("not_scanned_more".to_owned(), inspected.not_scanned_more.into());
    }
}

fn based_on(draft: &mut Draft, basis: Basis<'_>) {
    let data = &mut draft.data;
    let mut set = |key: &str, value: &str| {
        data.insert(key.to_owned(), value.into());
    };
    set("environment", basis.environment);
    set("policy", basis.policy);
    set("rules", &basis.versions.rules);
    set("engine", &basis.versions.engine);
    set("config", &basis.versions.config);
}

/// What is done to a text before it is stored: another question than what may pass.
pub(crate) fn storage_verdict(stored: Stored, detection: &Detection, verdict: Verdict) -> Verdict {
    let hidden = match stored {
        Stored::Full | Stored::None => false,
        Stored::Redacted => verdict >= Verdict::Redact || detection.kind.identifies(),
    };
    if hidden || is_never_stored(detection) { Verdict::Redact } else { Verdict::Allow }
}

/// Credentials and card authentication data are not stored under any setting (PCI DSS 4.0.1,
/// requirement 3.3).
fn is_never_stored(detection: &Detection) -> bool {
    const PARTS: [&str; 4] = ["cvv", "cvc", "pin", "track"];
    detection.kind == DetectionKind::Secret || detection.rule.split(['.', '-']).any(|part| PARTS.contains(&part))
}

/// A text to be stored as a payload.
pub(crate) struct Text<'t> {
    pub(crate) name: &'static str,
    /// As it came.
    pub(crate) received: &'t [u8],
    /// As it may be stored.
    pub(crate) kept: &'t [u8],
}

/// Seals a text, and the identifiers found in it, under the route's setting.
pub(crate) fn payloads(
    day: &DayKey,
    event: EventId,
    stored: Stored,
    text: &Text<'_>,
    identifiers: &Identifiers,
) -> Vec<SealedPayload> {
    if stored == Stored::None {
        return vec![seal_payload(day, event, text.name, stored, &[], Some(text.received))];
    }
    let cut = shortened(text.kept);
    let kept = cut.as_deref().unwrap_or(text.kept);
    let received = (kept != text.received).then_some(text.received);
    let mut out = vec![seal_payload(day, event, text.name, stored, kept, received)];
    if !identifiers.0.is_empty() {
        let list: Value =
            identifiers.0.iter().map(|(kind, value)| json!({ "kind": kind.name(), "value": value })).collect();
        let list = list.to_string();
        out.push(seal_payload(day, event, "identifiers", Stored::Full, list.as_bytes(), None));
    }
    out
}

/// Head and tail of a text that is too long.
fn shortened(text: &[u8]) -> Option<Vec<u8>> {
    const HALF: usize = PAYLOAD_BYTES_MAX / 2;
    if text.len() <= PAYLOAD_BYTES_MAX {
        return None;
    }
    let left_out = text.len() - 2 * HALF;
    let gap = format!("\n[{left_out} bytes not kept]\n");
    Some([&text[..HALF], gap.as_bytes(), &text[text.len() - HALF..]].concat())
}

/// A model's name as the leaf may hold it.
pub(crate) fn model_name(model: &str, has_detections: bool) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte);
    if !has_detections && (1..=128).contains(&model.len()) && model.bytes().all(plain) { model } else { UNLISTED }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(rule: &'static str, kind: DetectionKind) -> Detection {
        Detection { rule: rule.into(), kind, span: 0..1, score: 1 }
    }

    #[test]
    fn secrets_are_stored_under_no_setting() {
        let secret = detection("secret.token", DetectionKind::Secret);
        let cvv = detection("card.cvv", DetectionKind::Card);
        let card = detection("pii.card", DetectionKind::Card);
        let phrase = detection("prompt.injection-phrase", DetectionKind::Injection);
        for stored in [Stored::Full, Stored::Redacted] {
            assert_eq!(storage_verdict(stored, &secret, Verdict::Allow), Verdict::Redact);
            assert_eq!(storage_verdict(stored, &cvv, Verdict::Observe), Verdict::Redact);
        }
        assert_eq!(storage_verdict(Stored::Full, &card, Verdict::Block), Verdict::Allow);
        assert_eq!(storage_verdict(Stored::Redacted, &card, Verdict::Observe), Verdict::Redact);
        assert_eq!(storage_verdict(Stored::Redacted, &phrase, Verdict::Observe), Verdict::Allow);
    }

    #[test]
    fn a_long_text_keeps_head_and_tail() {
        assert_eq!(shortened(&vec![b'x'; PAYLOAD_BYTES_MAX]), None);
        let cut = shortened(&[vec![b'a'; PAYLOAD_BYTES_MAX], vec![b'z'; 100]].concat()).unwrap();
        assert!(cut.starts_with(b"aaa") && cut.ends_with(b"zzz"));
        assert!(String::from_utf8(cut).unwrap().contains("[100 bytes not kept]"));
    }

    #[test]
    fn a_model_name_that_is_not_one_stays_out_of_the_leaf() {
        assert_eq!(model_name("practice/teller", false), "practice/teller");
        for (model, found) in [("4111", true), ("my name is Fatima", false), ("", false), ("é", false)] {
            assert_eq!(model_name(model, found), UNLISTED);
        }
    }
}
