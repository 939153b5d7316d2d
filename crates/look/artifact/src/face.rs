//! What each rule of this engine says of itself, and which verdict it leads to.

use std::borrow::Cow;

use haris_domain::{Rule, RuleId, Severity};

use crate::finding::Verdict;

/// A rule's face, and the verdict that a finding of it means for the artifact.
#[derive(Clone, Debug)]
pub struct Face {
    /// Id, title, severity, meaning, remedy, references.
    pub rule: Rule,
    /// What the artifact's verdict is at least, once this rule has spoken.
    /// [`Verdict::Clean`] makes it an observation.
    pub verdict: Verdict,
}

impl Face {
    /// One rule. Ids read as what they catch: `artifact.pickle-dangerous-call`.
    #[must_use]
    pub const fn new(
        id: &'static str,
        severity: Severity,
        verdict: Verdict,
        title: &'static str,
        meaning: &'static str,
        remedy: &'static str,
        references: &'static [Cow<'static, str>],
    ) -> Self {
        Self {
            rule: Rule {
                id: Cow::Borrowed(id),
                title: Cow::Borrowed(title),
                severity,
                meaning: Cow::Borrowed(meaning),
                remedy: Cow::Borrowed(remedy),
                references: Cow::Borrowed(references),
            },
            verdict,
        }
    }
}

/// Catalogue ids, edition included, as [`Face::new`] takes them.
#[macro_export]
macro_rules! refs {
    ($($id:literal),* $(,)?) => { &[$(::std::borrow::Cow::Borrowed($id)),*] };
}

/// Rules of the walker itself.
pub(crate) mod walker {
    use super::{Face, Severity, Verdict};

    const WHOLE: &str = "Get the artifact again from where it was made, or in a format that can be read to the end.";

    pub(crate) static TRUNCATED: Face = Face::new(
        "artifact.truncated",
        Severity::Medium,
        Verdict::Incomplete,
        "Ends before what it promises",
        "The bytes stop in the middle of something. What a loader does with them depends on the loader, and whatever \
         was to follow has not been seen.",
        WHOLE,
        refs!["CWE-1284"],
    );
    pub(crate) static MALFORMED: Face = Face::new(
        "artifact.malformed",
        Severity::Medium,
        Verdict::Incomplete,
        "Breaks the rules of its own format",
        "Readers that are more tolerant may see something here that was not seen by this scan.",
        WHOLE,
        refs!["CWE-436"],
    );
    pub(crate) static LIMIT: Face = Face::new(
        "artifact.limit-reached",
        Severity::High,
        Verdict::Incomplete,
        "Larger or deeper than a scan may go",
        "Decompression bombs and endless nesting exhaust whoever opens them. What lies beyond the limit has not been \
         seen.",
        WHOLE,
        refs!["CWE-409", "CWE-770"],
    );
    pub(crate) static UNSUPPORTED: Face = Face::new(
        "artifact.unsupported",
        Severity::Medium,
        Verdict::Incomplete,
        "Holds something that this version cannot look into",
        "The part is well-formed, yet encrypted or of a kind that this version cannot read.",
        WHOLE,
        refs!["CWE-1104"],
    );
    pub(crate) static UNREADABLE: Face = Face::new(
        "artifact.unreadable",
        Severity::Medium,
        Verdict::Incomplete,
        "The bytes could not be read",
        "The operating system refused to give the bytes, or they changed while they were being read.",
        "Check permissions and the disk, and scan again.",
        refs![],
    );
    pub(crate) static UNRECOGNISED: Face = Face::new(
        "artifact.unrecognised",
        Severity::Low,
        Verdict::Review,
        "Of no known format",
        "No loader that this version knows would open these bytes, so nothing can be said of them.",
        "Ask who brought it what it is for, and keep it out until that is known.",
        refs![],
    );
    pub(crate) static MORE: Face = Face::new(
        "artifact.more-findings",
        Severity::Info,
        Verdict::Clean,
        "More findings than are listed",
        "The list was cut; the verdict takes all of them into account.",
        "Mend what is listed, and scan again.",
        refs![],
    );
    pub(crate) static RULES: &[&Face] =
        &[&TRUNCATED, &MALFORMED, &LIMIT, &UNSUPPORTED, &UNREADABLE, &UNRECOGNISED, &MORE];
}

/// Every rule of the engine: the walker's own, then each format's, then each layout's.
pub static RULES: std::sync::LazyLock<Vec<&'static Face>> = std::sync::LazyLock::new(|| {
    let formats = crate::FORMATS.iter().flat_map(|format| format.rules());
    let layouts = crate::LAYOUTS.iter().flat_map(|layout| layout.rules());
    let mut rules: Vec<&'static Face> = Vec::new();
    for face in walker::RULES.iter().chain(formats).chain(layouts) {
        // Formats share rules; the table names each once.
        if !rules.iter().any(|known| known.rule.id == face.rule.id) {
            rules.push(face);
        }
    }
    rules
});

/// The rule of that id.
#[must_use]
pub fn rule(id: &RuleId) -> Option<&'static Face> {
    RULES.iter().find(|face| face.rule.id == *id).copied()
}
