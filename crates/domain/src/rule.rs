//! What every rule of every engine says of itself.

use std::borrow::Cow;
use std::fmt;

/// A rule's stable public id, `prompt.hidden-unicode`: it lives in ledgers and is never reused.
pub type RuleId = Cow<'static, str>;

/// How bad it is when a rule speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Little harm on its own.
    Low,
    /// Harm under some circumstances.
    Medium,
    /// Harm is likely.
    High,
    /// Act now.
    Critical,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// `info`, `low`, `medium`, `high` or `critical`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The face of a rule: CLI, SARIF, console, API and documentation read this one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable public id that reads as what it catches: `pii.qatari-id`.
    pub id: RuleId,
    /// One line for a list.
    pub title: Cow<'static, str>,
    /// How bad it is.
    pub severity: Severity,
    /// What it means when the rule speaks.
    pub meaning: Cow<'static, str>,
    /// What to do about it.
    pub remedy: Cow<'static, str>,
    /// Ids in public catalogues, edition included: `OWASP-LLM-2025:LLM01`, `CWE-798`.
    pub references: Cow<'static, [Cow<'static, str>]>,
}
