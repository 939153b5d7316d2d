//! What a scan says: findings, where they are, and the verdict they add up to.

use std::fmt;
use std::sync::Arc;

use crate::face::Face;
use crate::part::Embedded;

/// What is said of an artifact. Ordered: the worst of several findings wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Verdict {
    /// Read to the end, and everything in it is known.
    #[default]
    Clean,
    /// Something in it is unknown, or a person should decide.
    Review,
    /// It could not be read to the end; a finding says why.
    Incomplete,
    /// It does, or carries, what no model needs.
    Blocked,
}

impl Verdict {
    /// All verdicts, mildest first.
    pub const ALL: [Self; 4] = [Self::Clean, Self::Review, Self::Incomplete, Self::Blocked];

    /// `clean`, `review`, `incomplete` or `blocked`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Review => "review",
            Self::Incomplete => "incomplete",
            Self::Blocked => "blocked",
        }
    }

    /// The verdict of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where in an artifact: the way through its layers, and a byte in the innermost.
///
/// Shown as `archive/data.pkl!inner.zip@120`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Location {
    layers: Vec<Arc<str>>,
    /// Byte in the innermost layer.
    pub offset: Option<u64>,
}

impl Location {
    /// The artifact itself.
    #[must_use]
    pub fn top() -> Self {
        Self::default()
    }

    /// One layer further in.
    #[must_use]
    pub fn inside(&self, layer: &str) -> Self {
        // Control characters in a member's name must not reach a terminal.
        let clean: String = layer.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(300).collect();
        let mut layers = self.layers.clone();
        layers.push(clean.into());
        Self { layers, offset: None }
    }

    /// The same layer, at a byte.
    #[must_use]
    pub fn at(&self, offset: u64) -> Self {
        Self { layers: self.layers.clone(), offset: Some(offset) }
    }

    /// How many layers lie around it.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// The outermost layer's name: a directory's member.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.layers.first().map(AsRef::as_ref)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, layer) in self.layers.iter().enumerate() {
            write!(f, "{}{layer}", if index == 0 { "" } else { "!" })?;
        }
        match self.offset {
            Some(offset) => write!(f, "@{offset}"),
            None => Ok(()),
        }
    }
}

/// One thing that one rule found in one place.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule and the verdict it leads to.
    pub face: &'static Face,
    /// Where.
    pub location: Location,
    /// What exactly, in one line, without control characters.
    pub detail: String,
    /// The decompiled call, or what else a person needs to judge it; may span lines.
    pub explanation: Option<String>,
}

/// What a scan of one artifact found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The most specific name of what it is; `unknown` when nothing recognised it.
    pub format: &'static str,
    /// In the order of discovery.
    pub findings: Vec<Finding>,
    /// Parts that belong to another engine: texts for `look/text`.
    pub handed_over: Vec<Embedded>,
    /// The worst verdict of all findings, listed or not.
    pub(crate) worst: Verdict,
}

impl Scan {
    /// What is said of the artifact as a whole.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.worst
    }
}
