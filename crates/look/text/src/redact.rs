//! Replaces what was found by a placeholder that says what it was.

use haris_domain::{Detection, DetectionKind, Verdict};

/// What stands where a match of `kind` was: `[REDACTED:CARD]`.
#[must_use]
pub fn placeholder(kind: DetectionKind) -> String {
    format!("[REDACTED:{}]", kind.name().to_ascii_uppercase())
}

/// Replaces each detection that `verdict` says to redact; `true` when anything changed.
///
/// `text` starts at byte `offset` of the whole text that the detections' spans count in, and the
/// detections are in order of their start. Overlapping spans become one placeholder with the first
/// one's kind. Spans that leave `text` are cut to it.
pub fn redact(
    text: &str,
    offset: usize,
    detections: &[Detection],
    verdict: impl Fn(&Detection) -> Verdict,
) -> (String, bool) {
    let end = offset + text.len();
    let mut out = String::with_capacity(text.len());
    let mut done = offset;
    let mut changed = false;
    for detection in detections {
        let (from, to) = (detection.span.start.max(offset), detection.span.end.min(end));
        if from >= to || verdict(detection) != Verdict::Redact {
            continue;
        }
        if from >= done {
            out.push_str(&text[done - offset..from - offset]);
            out.push_str(&placeholder(detection.kind));
            changed = true;
        }
        done = done.max(to);
    }
    out.push_str(&text[done - offset..]);
    (out, changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(kind: DetectionKind, span: std::ops::Range<usize>) -> Detection {
        Detection { rule: "test".into(), kind, span, score: 1 }
    }

    #[test]
    fn overlapping_spans_become_one_placeholder_with_the_first_kind() {
        let found = [
            detection(DetectionKind::Card, 12..16),
            detection(DetectionKind::Phone, 14..18),
            detection(DetectionKind::Email, 19..20),
        ];
        let (text, changed) = redact("a 12345678 bc", 10, &found, |_| Verdict::Redact);
        assert_eq!((text.as_str(), changed), ("a [REDACTED:CARD]7[REDACTED:EMAIL] bc", true));
    }

    #[test]
    fn what_is_only_observed_stays() {
        let found = [detection(DetectionKind::Card, 0..4), detection(DetectionKind::Phone, 2..6)];
        let by_kind = |d: &Detection| if d.kind == DetectionKind::Phone { Verdict::Redact } else { Verdict::Observe };
        assert_eq!(redact("123456", 0, &found, by_kind), ("12[REDACTED:PHONE]".to_owned(), true));
        assert_eq!(redact("123456", 0, &found, |_| Verdict::Allow), ("123456".to_owned(), false));
    }
}
