//! Waivers: findings that a named person accepts, for one artifact, until a day.

use haris_domain::{Digest, RuleId};
use time::{Date, OffsetDateTime};

/// One accepted finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// Digest of the artifact.
    pub sha256: Digest,
    /// Which rule.
    pub rule: String,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// The last day on which it holds.
    pub expires: Date,
}

/// All waivers of a file that hold today.
#[derive(Clone, Debug, Default)]
pub struct Waivers {
    list: Vec<Waiver>,
    /// How many were left out because their day has passed.
    pub expired: usize,
}

/// A waiver file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadWaivers {
    /// Not TOML, or not of this form.
    #[error("the waivers are not `[[waiver]]` tables of sha256, rule, owner, reason and expires")]
    Form(#[source] toml::de::Error),
    /// One of them is not usable.
    #[error("waiver {number}: {problem}")]
    Entry {
        /// Counted from 1.
        number: usize,
        /// What is wrong.
        problem: &'static str,
    },
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    waiver: Vec<Entry>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sha256: String,
    rule: String,
    owner: String,
    reason: String,
    expires: String,
}

impl Waivers {
    /// Reads the TOML of a waiver file; `today` decides which hold.
    ///
    /// # Errors
    /// Names the first one that is not usable.
    pub fn parse(text: &str, today: OffsetDateTime) -> Result<Self, BadWaivers> {
        let document: Document = toml::from_str(text).map_err(BadWaivers::Form)?;
        let mut waivers = Self::default();
        for (number, entry) in (1..).zip(document.waiver) {
            let bad = |problem| BadWaivers::Entry { number, problem };
            let sha256 = digest(&entry.sha256).ok_or_else(|| bad("sha256 is not 64 hexadecimal digits"))?;
            if haris_artifact::rule(&entry.rule.clone().into()).is_none() {
                return Err(bad("there is no rule of that id"));
            }
            if entry.owner.trim().is_empty() || entry.reason.trim().is_empty() {
                return Err(bad("owner and reason must say something"));
            }
            let form = time::macros::format_description!("[year]-[month]-[day]");
            let expires =
                Date::parse(&entry.expires, &form).map_err(|_| bad("expires is not a day like 2027-01-31"))?;
            if expires < today.date() {
                waivers.expired += 1;
                continue;
            }
            let Entry { rule, owner, reason, .. } = entry;
            waivers.list.push(Waiver { sha256, rule, owner, reason, expires });
        }
        Ok(waivers)
    }

    /// The waiver for this rule on this artifact.
    #[must_use]
    pub fn covering(&self, sha256: &Digest, rule: &RuleId) -> Option<&Waiver> {
        self.list.iter().find(|waiver| waiver.sha256 == *sha256 && waiver.rule == *rule)
    }
}

fn digest(text: &str) -> Option<Digest> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(Digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: OffsetDateTime = time::macros::datetime!(2026-11-25 12:00 UTC);

    fn file(expires: &str, rule: &str) -> String {
        let digest = "ab".repeat(32);
        format!(
            "[[waiver]]\nsha256 = \"{digest}\"\nrule = \"{rule}\"\nowner = \"a\"\nreason = \"b\"\nexpires = \"{expires}\"\n"
        )
    }

    #[test]
    fn a_waiver_holds_until_its_day_for_its_digest_and_rule() {
        let rule = "artifact.pickle-unknown-class";
        let waivers = Waivers::parse(&file("2026-11-25", rule), DAY).unwrap();
        assert!(waivers.covering(&Digest([0xab; 32]), &rule.into()).is_some());
        assert!(waivers.covering(&Digest([0xac; 32]), &rule.into()).is_none());
        assert!(waivers.covering(&Digest([0xab; 32]), &"artifact.truncated".into()).is_none());
        let expired = Waivers::parse(&file("2026-11-24", rule), DAY).unwrap();
        assert_eq!(expired.expired, 1);
        assert!(expired.covering(&Digest([0xab; 32]), &rule.into()).is_none());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        assert!(Waivers::parse("x = 1", DAY).is_err());
        let error = Waivers::parse(&file("2027-01-01", "artifact.nothing"), DAY).unwrap_err();
        assert_eq!(error.to_string(), "waiver 1: there is no rule of that id");
        assert!(Waivers::parse(&file("tomorrow", "artifact.truncated"), DAY).is_err());
    }
}
