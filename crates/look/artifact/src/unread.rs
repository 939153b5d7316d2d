//! Why bytes could not be read to their end. Every one of these becomes an `incomplete` finding.

use crate::budget::Limit;

/// What stopped a reader. A format returns it with `?`; the scanner turns it into a finding.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// The bytes end before what they promise.
    #[error("{what} at byte {at} needs {wanted} bytes, {left} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: u64,
        /// How much it needs.
        wanted: u64,
        /// How much there is.
        left: u64,
    },
    /// The bytes break their own format's rules in a way that no reader could follow.
    #[error("{what} at byte {at} is not valid")]
    Malformed {
        /// What is wrong, as a noun: `length of the header`.
        what: String,
        /// Where it is.
        at: u64,
    },
    /// A bound of the scan was reached.
    #[error("the limit of {0} was reached")]
    Limit(Limit),
    /// Well-formed, but something that this version cannot look into.
    #[error("{0} cannot be looked into by this version")]
    Unsupported(String),
    /// The operating system would not give the bytes.
    #[error("the bytes could not be read: {0}")]
    Io(std::io::Error),
}

impl Unread {
    /// [`Unread::Malformed`] in one breath.
    pub fn malformed(what: impl Into<String>, at: u64) -> Self {
        Self::Malformed { what: what.into(), at }
    }
}
