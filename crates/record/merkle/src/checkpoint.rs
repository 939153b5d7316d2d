//! C2SP tlog-checkpoint: what a log signs of itself.

use std::fmt;

use crate::note::{BadNote, Note, SignError, Signer};
use crate::{Hash, text};

/// A log's promise: at this size the tree had this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's identity; equals the name of the key that signs.
    pub origin: String,
    /// Entries in the tree.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
    /// Further lines, discouraged and never written by Haris. ML-DSA cosignatures do not cover them.
    pub extensions: Vec<String>,
}

/// Why a text is not a checkpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadCheckpoint {
    /// Not even a note.
    #[error(transparent)]
    Note(#[from] BadNote),
    /// Fewer than three lines, an empty line, or no last newline.
    #[error("a checkpoint has at least three non-empty lines, each ended by a newline")]
    Lines,
    /// The size is not a plain decimal number.
    #[error("line 2 of a checkpoint is its size, in decimal without leading zeros")]
    Size,
    /// The root is not 32 bytes in base64.
    #[error("line 3 of a checkpoint is its root hash, 32 bytes in base64")]
    Root,
}

impl Checkpoint {
    /// Reads a note's text.
    ///
    /// # Errors
    /// When it is not a checkpoint.
    pub fn parse_text(text: &str) -> Result<Self, BadCheckpoint> {
        let body = text.strip_suffix('\n').ok_or(BadCheckpoint::Lines)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(BadCheckpoint::Lines);
        };
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if origin.is_empty() || extensions.iter().any(String::is_empty) {
            return Err(BadCheckpoint::Lines);
        }
        let size = text::decimal(size).ok_or(BadCheckpoint::Size)?;
        let root = text::base64_hash(root).ok_or(BadCheckpoint::Root)?;
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Reads a signed note that holds a checkpoint. The signatures are not checked here: see [`Note::verify`].
    ///
    /// # Errors
    /// When the bytes are not a note, or its text is not a checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Note), BadCheckpoint> {
        let note = Note::parse(bytes)?;
        Ok((Self::parse_text(note.text())?, note))
    }

    /// Signs this checkpoint with every signer, at `at` POSIX seconds.
    ///
    /// # Errors
    /// When a signer refuses.
    pub fn sign(&self, signers: &[&dyn Signer], at: u64) -> Result<Note, SignError> {
        Note::sign(&self.to_string(), signers, at)
    }
}

/// The note's text.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, text::to_base64(&self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
