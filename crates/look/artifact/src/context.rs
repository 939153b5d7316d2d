//! What a format may do while it looks: find, embed, name, spend.

use crate::budget::Budget;
use crate::face::Face;
use crate::finding::{Finding, Location};
use crate::part::{Embedded, Kind, Members, Part};
use crate::source::Source;
use std::sync::Arc;

/// A longer detail is a dump and not a line.
const DETAIL_CHARS_MAX: usize = 400;
/// A person reads no more of one call.
const EXPLANATION_CHARS_MAX: usize = 4_000;

/// The scanner's ear, lent to one format for one part.
pub struct Context<'a> {
    pub(crate) budget: &'a Budget,
    pub(crate) location: Location,
    pub(crate) source: Source,
    pub(crate) findings: Vec<Finding>,
    pub(crate) embedded: Vec<Embedded>,
    pub(crate) containers: Vec<(Arc<dyn Members>, Location)>,
    pub(crate) format: Option<&'static str>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(budget: &'a Budget, location: Location, source: Source) -> Self {
        Self {
            budget,
            location,
            source,
            findings: Vec::new(),
            embedded: Vec::new(),
            containers: Vec::new(),
            format: None,
        }
    }

    /// The budget of the whole scan.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        self.budget
    }

    /// The part's bytes; none when a layout looks at members.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Where the part lies.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// A more specific name for what the part is: a pickle that turns out to be `joblib`.
    pub fn name_it(&mut self, format: &'static str) {
        self.format = Some(format);
    }

    /// Something found in the part as a whole.
    pub fn find(&mut self, face: &'static Face, detail: impl Into<String>) -> &mut Finding {
        let location = self.location.clone();
        self.find_in(face, location, detail)
    }

    /// Something found at a byte of the part.
    pub fn find_at(&mut self, face: &'static Face, offset: u64, detail: impl Into<String>) -> &mut Finding {
        let location = self.location.at(offset);
        self.find_in(face, location, detail)
    }

    /// Something found in a place of its own, a member for example.
    pub fn find_in(&mut self, face: &'static Face, location: Location, detail: impl Into<String>) -> &mut Finding {
        let detail = one_line(&detail.into());
        self.findings.push(Finding { face, location, detail, explanation: None });
        self.findings.last_mut().expect("it was pushed in the line above")
    }

    /// Asks for an inner part to be looked at, `layer` being its name in locations.
    pub fn embed(&mut self, layer: &str, bytes: Source, kind: Kind) {
        let location = self.location.inside(layer);
        self.embedded.push(Embedded::new(bytes, kind, location));
    }

    /// Asks for an inner part that has a name and neighbours of its own.
    pub fn embed_part(&mut self, part: Embedded) {
        self.embedded.push(part);
    }

    /// Asks for all members of a container to be looked at, and for layouts to look at them together.
    pub fn embed_members(&mut self, members: Arc<dyn Members>) {
        self.containers.push((members, self.location.clone()));
    }

    /// Whether a finding of at least this verdict has been made in this part.
    #[must_use]
    pub fn found(&self, verdict: crate::Verdict) -> bool {
        self.findings.iter().any(|finding| finding.face.verdict >= verdict)
    }
}

impl Finding {
    /// Something that another engine found in a part of an artifact.
    #[must_use]
    pub fn new(face: &'static Face, location: Location, detail: &str) -> Self {
        Self { face, location, detail: one_line(detail), explanation: None }
    }

    /// That an artifact could not be read as a whole, said by whoever opens files.
    #[must_use]
    pub fn unreadable(why: &str) -> Self {
        let (face, location) = (&crate::face::walker::UNREADABLE, Location::top());
        Self { face, location, detail: one_line(why), explanation: None }
    }

    /// Adds what a person reads to judge the finding: a decompiled call, a line of code.
    pub fn explain(&mut self, explanation: &str) -> &mut Self {
        let shown: String = explanation
            .chars()
            .map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c })
            .take(EXPLANATION_CHARS_MAX)
            .collect();
        self.explanation = Some(shown);
        self
    }
}

/// Hostile names must neither break the table nor reach the terminal as control sequences.
fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_CHARS_MAX).collect();
    if text.chars().nth(DETAIL_CHARS_MAX).is_some() {
        line.push('…');
    }
    line
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("location", &self.location).field("len", &self.source.len()).finish()
    }
}
