//! Which verdict a detection gets: by rule, else by kind, else by default.

use std::collections::BTreeMap;

use haris_domain::{Detection, DetectionKind, Verdict};

/// Which way the traffic flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the caller to the model.
    Request,
    /// From the model to the caller.
    Answer,
}

/// The verdicts of one direction of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts {
    by_rule: BTreeMap<String, Verdict>,
    by_kind: [Verdict; DetectionKind::ALL.len()],
}

impl Verdicts {
    /// What applies where nothing is configured.
    ///
    /// Requests: instructions that take the model over and channels out are stopped, credentials
    /// and hidden text are replaced. Personal data is replaced when the model runs outside the
    /// bank's country (`inside_country` false) and recorded inside it. Answers: personal data,
    /// credentials, hidden text and channels out are replaced everywhere, for an answer goes to
    /// whoever asked.
    #[must_use]
    pub fn default_for(direction: Direction, inside_country: bool) -> Self {
        let mut by_kind = [Verdict::Observe; DetectionKind::ALL.len()];
        for kind in DetectionKind::ALL {
            by_kind[*kind as usize] = match (kind, direction) {
                (DetectionKind::Secret | DetectionKind::HiddenUnicode, _)
                | (DetectionKind::Exfiltration, Direction::Answer) => Verdict::Redact,
                (DetectionKind::Injection | DetectionKind::Exfiltration, Direction::Request) => Verdict::Block,
                (kind, Direction::Answer) if kind.identifies() => Verdict::Redact,
                (kind, Direction::Request) if kind.identifies() && !inside_country => Verdict::Redact,
                _ => Verdict::Observe,
            };
        }
        Self { by_rule: BTreeMap::new(), by_kind }
    }

    /// Sets the verdict of a kind or, when `name` is no kind, of a rule id.
    pub(crate) fn set(&mut self, name: &str, verdict: Verdict) {
        match DetectionKind::named(name) {
            Some(kind) => self.by_kind[kind as usize] = verdict,
            None => {
                self.by_rule.insert(name.to_owned(), verdict);
            }
        }
    }

    /// The verdict of one detection: its rule's if one is set, else its kind's.
    #[must_use]
    pub fn of(&self, detection: &Detection) -> Verdict {
        let by_rule = if self.by_rule.is_empty() { None } else { self.by_rule.get(detection.rule.as_ref()) };
        by_rule.copied().unwrap_or(self.by_kind[detection.kind as usize])
    }

    /// The worst verdict of several detections; [`Verdict::Allow`] for none.
    #[must_use]
    pub fn worst<'a>(&self, detections: impl IntoIterator<Item = &'a Detection>) -> Verdict {
        detections.into_iter().map(|detection| self.of(detection)).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(rule: &'static str, kind: DetectionKind) -> Detection {
        Detection { rule: rule.into(), kind, span: 0..1, score: 1_000_000 }
    }

    #[test]
    fn personal_data_stays_in_the_country_and_leaks_nowhere() {
        let qid = detection("pii.qatari-id", DetectionKind::Qid);
        let of = |direction, inside| Verdicts::default_for(direction, inside).of(&qid);
        assert_eq!(of(Direction::Request, false), Verdict::Redact);
        assert_eq!(of(Direction::Request, true), Verdict::Observe);
        assert_eq!(of(Direction::Answer, true), Verdict::Redact);
        let injection = detection("prompt.injection", DetectionKind::Injection);
        assert_eq!(Verdicts::default_for(Direction::Request, true).of(&injection), Verdict::Block);
    }

    #[test]
    fn a_rule_is_more_specific_than_its_kind_and_the_worst_wins() {
        let mut verdicts = Verdicts::default_for(Direction::Request, false);
        verdicts.set("secret", Verdict::Observe);
        verdicts.set("secret.aws-access-key", Verdict::Block);
        let aws = detection("secret.aws-access-key", DetectionKind::Secret);
        let other = detection("secret.npm-token", DetectionKind::Secret);
        assert_eq!(verdicts.of(&aws), Verdict::Block);
        assert_eq!(verdicts.of(&other), Verdict::Observe);
        assert_eq!(verdicts.worst([&other, &aws]), Verdict::Block);
        assert_eq!(verdicts.worst([]), Verdict::Allow);
    }
}
