//! What was found in one request or answer, on its way into the record.

use haris_domain::{Detection, Verdict};
use serde_json::{Value, json};

/// A leaf lists this many detections; the rest are counted.
const LISTED_MAX: usize = 64;

/// Detections beyond this many are counted only: no text makes the gateway keep a million of them.
const KEPT_MAX: usize = 4096;

/// One detection with its place and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) field: String,
    pub(crate) detection: Detection,
    pub(crate) action: Verdict,
}

/// All findings, and the worst action among them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    findings: Vec<Finding>,
    more: u64,
    worst: Verdict,
}

impl Found {
    pub(crate) fn add(&mut self, field: &str, detection: &Detection, action: Verdict) {
        self.worst = self.worst.max(action);
        if self.findings.len() >= KEPT_MAX {
            self.more += 1;
            return;
        }
        self.findings.push(Finding { field: field.to_owned(), detection: detection.clone(), action });
    }

    /// The worst action: the verdict on the whole.
    pub(crate) fn worst(&self) -> Verdict {
        self.worst
    }

    /// Rules whose findings block, each once, and the field of the first.
    pub(crate) fn blocking(&self) -> (Vec<String>, Option<String>) {
        let mut rules: Vec<String> = Vec::new();
        let blocking = || self.findings.iter().filter(|finding| finding.action == Verdict::Block);
        for finding in blocking() {
            if rules.len() < 16 && !rules.iter().any(|rule| *rule == finding.detection.rule) {
                rules.push(finding.detection.rule.to_string());
            }
        }
        (rules, blocking().next().map(|finding| finding.field.clone()))
    }

    /// The list for the leaf and how many did not fit. In the order of fields and positions, so
    /// that a stream's list does not depend on how the answer was cut.
    pub(crate) fn into_list(mut self) -> (Value, u64) {
        self.findings.sort_by(|a, b| {
            let key = |f: &Finding| (f.detection.span.start, f.detection.span.end);
            (&a.field, key(a), &a.detection.rule).cmp(&(&b.field, key(b), &b.detection.rule))
        });
        self.findings.dedup();
        let more = self.more + self.findings.len().saturating_sub(LISTED_MAX) as u64;
        let list = self.findings.iter().take(LISTED_MAX).map(|Finding { field, detection, action }| {
            json!({
                "rule": detection.rule,
                "kind": detection.kind.name(),
                "field": field,
                "start": detection.span.start,
                "end": detection.span.end,
                "score": detection.score,
                "action": action.name(),
            })
        });
        (list.collect(), more)
    }
}

#[cfg(test)]
mod tests {
    use haris_domain::DetectionKind;

    use super::*;

    fn card(start: usize) -> Detection {
        Detection { rule: "pii.card".into(), kind: DetectionKind::Card, span: start..start + 4, score: 9 }
    }

    #[test]
    fn a_leaf_lists_the_first_and_counts_the_rest() {
        let mut found = Found::default();
        for start in (0..100).rev() {
            found.add("user", &card(start), Verdict::Redact);
        }
        assert_eq!((found.worst(), found.blocking()), (Verdict::Redact, (Vec::new(), None)));
        let (list, more) = found.into_list();
        assert_eq!((list.as_array().unwrap().len(), more), (LISTED_MAX, 36));
        assert_eq!(list[0]["start"], 0);
    }

    #[test]
    fn a_block_names_its_rules_once() {
        let mut found = Found::default();
        found.add("a", &card(0), Verdict::Observe);
        found.add("b", &card(0), Verdict::Block);
        found.add("c", &card(0), Verdict::Block);
        assert_eq!(found.blocking(), (vec!["pii.card".to_owned()], Some("b".to_owned())));
    }
}
