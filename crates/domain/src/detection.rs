//! What the text engine found, in words that policy, gateway and CLI share.

use std::fmt;
use std::ops::Range;

use crate::RuleId;

/// Where a text came from: the same words mean different things in different mouths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Context {
    /// Typed by the person or application that talks to the model, system prompts included.
    #[default]
    User,
    /// Retrieved or attached for the model to read.
    Document,
    /// Came back from a tool, or describes one.
    Tool,
    /// Written by the model.
    Output,
}

impl Context {
    /// All contexts.
    pub const ALL: [Self; 4] = [Self::User, Self::Document, Self::Tool, Self::Output];

    /// `user`, `document`, `tool` or `output`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Document => "document",
            Self::Tool => "tool",
            Self::Output => "output",
        }
    }

    /// The context of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|context| context.name() == name)
    }
}

macro_rules! detection_kinds {
    ($($variant:ident = $name:literal, $personal:literal, $tells:literal;)*) => {
        /// What a detection is about. Names are public: added to, never renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DetectionKind {
            $(#[doc = $tells] $variant,)*
        }

        impl DetectionKind {
            /// All kinds, in the order of the public list.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The public name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether a match identifies a person or an account, so that an investigation looks
            /// for it by value (it goes to the `identifiers` payload).
            #[must_use]
            pub fn identifies(self) -> bool {
                match self { $(Self::$variant => $personal,)* }
            }
        }
    };
}

detection_kinds! {
    Qid = "qid", true, "Qatari identity number.";
    Iban = "iban", true, "International bank account number.";
    Card = "card", true, "Payment card number.";
    Phone = "phone", true, "Telephone number.";
    Email = "email", true, "E-mail address.";
    Swift = "swift", false, "Bank identifier code (ISO 9362).";
    Passport = "passport", true, "Passport number.";
    Account = "account", true, "Account or commercial-registration number.";
    Name = "name", true, "A person's name.";
    Address = "address", true, "A postal address.";
    Dob = "dob", true, "A date of birth.";
    Ip = "ip", true, "An IP address.";
    NationalId = "national-id", true, "Another country's identity number.";
    Secret = "secret", false, "A credential: never stored, encrypted or not.";
    Injection = "injection", false, "An instruction that tries to take the model over.";
    HiddenUnicode = "hidden-unicode", false, "Text that a person cannot see but a model reads.";
    Exfiltration = "exfiltration", false, "A channel that would carry data out.";
    Unsafe = "unsafe", false, "Content of an unsafe class.";
}

impl DetectionKind {
    /// The kind of that public name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for DetectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to do with a piece of traffic. Ordered: the worst of several wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Verdict {
    /// Nothing to do.
    #[default]
    Allow,
    /// Record what was found and let it pass (shadow mode).
    Observe,
    /// Replace what was found.
    Redact,
    /// Stop it.
    Block,
}

impl Verdict {
    /// All verdicts, mildest first.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Observe, Self::Redact, Self::Block];

    /// `allow`, `observe`, `redact` or `block`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Observe => "observe",
            Self::Redact => "redact",
            Self::Block => "block",
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

/// A score in millionths: 1,000,000 is certain. Floats never reach the ledger.
pub const SCORE_MAX: u32 = 1_000_000;

/// One thing that one rule found in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    /// Which rule spoke.
    pub rule: RuleId,
    /// What it is about.
    pub kind: DetectionKind,
    /// Bytes of the original text, on character boundaries.
    pub span: Range<usize>,
    /// Confidence in millionths, at most [`SCORE_MAX`].
    pub score: u32,
}
