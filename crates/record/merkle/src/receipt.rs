//! Receipts: a caller's proof that the operator promised to seal an event.
//!
//! A receipt is a signed note, so that any signed-note tool checks it. Its text names no tree size, and its key signs
//! nothing else: it is never read as a checkpoint.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::note::{BadNote, Note, SignError, Signer};
use crate::{Hash, text};

/// First line of the text.
const HEADER: &str = "haris.receipt/1";
/// Longest receipt that is read, in either spelling.
pub const RECEIPT_BYTES_MAX: usize = 16 * 1024;

/// What the operator promises: the entry with this leaf hash is in the log of this origin by the time named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The log that the event goes into.
    pub origin: String,
    /// The event's id.
    pub event: String,
    /// Hash of its leaf (RFC 6962 section 2.1).
    pub leaf: Hash,
    /// When it was born, `2026-11-24T07:05:09.123456Z`.
    pub at: String,
    /// From when on a checkpoint that does not cover it breaks the promise, in the same form.
    pub by: String,
}

/// Why bytes are not a receipt.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadReceipt {
    /// Too long, or neither a note nor a note in base64.
    #[error(
        "a receipt is a signed note, as it is or in base64 as the header carried it, of at most {RECEIPT_BYTES_MAX} bytes"
    )]
    Bytes,
    /// Not a note.
    #[error(transparent)]
    Note(#[from] BadNote),
    /// The note's text is no receipt.
    #[error("a receipt has six lines: `{HEADER}`, origin, event, leaf hash, time, promised time")]
    Lines,
}

impl Receipt {
    /// Reads a receipt: the note itself, or base64 of it on one line. Nothing in it is believed yet.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Note), BadReceipt> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(BadReceipt::Bytes);
        }
        let decoded;
        let bytes = if bytes.starts_with(HEADER.as_bytes()) {
            bytes
        } else {
            decoded = STANDARD.decode(bytes.trim_ascii()).map_err(|_| BadReceipt::Bytes)?;
            &decoded
        };
        let note = Note::parse(bytes)?;
        Ok((Self::parse_text(note.text()).ok_or(BadReceipt::Lines)?, note))
    }

    fn parse_text(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next()? != HEADER {
            return None;
        }
        let mut next = || lines.next().filter(|line| !line.is_empty()).map(str::to_owned);
        let (origin, event, leaf, at, by) = (next()?, next()?, next()?, next()?, next()?);
        let leaf = text::base64_hash(&leaf)?;
        lines.next().is_none().then_some(Self { origin, event, leaf, at, by })
    }

    /// Signs it, and gives the value of the header that carries it.
    ///
    /// # Errors
    /// When the signer refuses.
    pub fn sign(&self, signer: &dyn Signer) -> Result<String, SignError> {
        Ok(STANDARD.encode(Note::sign(&self.to_string(), &[signer], 0)?.to_bytes()))
    }
}

/// The note's text.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leaf = text::to_base64(&self.leaf);
        writeln!(f, "{HEADER}\n{}\n{}\n{leaf}\n{}\n{}", self.origin, self.event, self.at, self.by)
    }
}
