//! C2SP tlog-witness: what a log sends a witness. An older size, the proof that its tree is a prefix, a checkpoint.

use crate::checkpoint::{BadCheckpoint, Checkpoint};
use crate::note::{NOTE_BYTES_MAX, Note};
use crate::proof::{ProofError, verify_consistency};
use crate::{Hash, text};

/// Most hashes of a consistency proof, by the specification.
pub const PATH_MAX: usize = 63;
/// Longest submission that is read: a note, 63 hashes of 45 bytes, and the first line.
pub const SUBMISSION_BYTES_MAX: usize = NOTE_BYTES_MAX + 64 * 64;

/// A checkpoint with the proof that it continues an older one. The body of `add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The size of the checkpoint that the reader is thought to know; 0 when it knows none.
    pub old: u64,
    /// Consistency proof between `old` and the checkpoint's size (RFC 6962 section 2.1.2).
    pub path: Vec<Hash>,
    /// The checkpoint, as its text says it.
    pub checkpoint: Checkpoint,
    /// The checkpoint's signed note.
    pub note: Note,
}

/// Why bytes are not a submission.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadSubmission {
    /// Too long, or not UTF-8.
    #[error("a submission is UTF-8 of at most {SUBMISSION_BYTES_MAX} bytes")]
    Bytes,
    /// No old size where one should be.
    #[error("the first line is `old` and a decimal number")]
    Old,
    /// A line that is not a hash, or too many of them.
    #[error("hash {position} of the proof is not 32 bytes in base64, or there are more than {PATH_MAX}")]
    Hash {
        /// Which, from 1.
        position: usize,
    },
    /// What follows the blank line is not a checkpoint.
    #[error("what follows the blank line is not a checkpoint: {0}")]
    Checkpoint(#[from] BadCheckpoint),
}

impl Submission {
    /// Reads a submission. Nothing in it is believed yet.
    ///
    /// # Errors
    /// When the bytes are none, or exceed the bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadSubmission> {
        if bytes.len() > SUBMISSION_BYTES_MAX {
            return Err(BadSubmission::Bytes);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| BadSubmission::Bytes)?;
        let (first, mut rest) = whole.split_once('\n').ok_or(BadSubmission::Old)?;
        let old = first.strip_prefix("old ").and_then(text::decimal).ok_or(BadSubmission::Old)?;
        let mut path = Vec::new();
        loop {
            let bad = BadSubmission::Hash { position: path.len() + 1 };
            let Some((line, after)) = rest.split_once('\n') else { return Err(bad) };
            rest = after;
            if line.is_empty() {
                break;
            }
            if path.len() == PATH_MAX {
                return Err(bad);
            }
            path.push(text::base64_hash(line).ok_or(bad)?);
        }
        let (checkpoint, note) = Checkpoint::parse(rest.as_bytes())?;
        Ok(Self { old, path, checkpoint, note })
    }

    /// The bytes to send.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("old {}\n", self.old);
        for hash in &self.path {
            out.push_str(&text::to_base64(hash));
            out.push('\n');
        }
        out.push('\n');
        [out.into_bytes(), self.note.to_bytes()].concat()
    }

    /// Checks that the tree of `old` entries with this root is a prefix of the checkpoint's. Whether the checkpoint
    /// deserves belief is for [`Note::verify`] to say.
    ///
    /// # Errors
    /// When it is not shown.
    pub fn verify_prefix(&self, old_root: &Hash) -> Result<(), ProofError> {
        verify_consistency(self.old, old_root, self.checkpoint.size, &self.checkpoint.root, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str =
        "example.com/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} example.com/log AAAAAAE=\n";
    const HASH: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn one_spelling_and_back() {
        for body in [format!("old 0\n\n{NOTE}"), format!("old 7\n{HASH}\n{HASH}\n\n{NOTE}")] {
            let read = Submission::parse(body.as_bytes()).unwrap();
            assert_eq!(read.to_bytes(), body.as_bytes());
        }
    }

    #[test]
    fn other_bodies_are_refused() {
        let long = format!("old 1\n{}\n{NOTE}", format!("{HASH}\n").repeat(PATH_MAX + 1));
        for bad in [
            String::new(),
            NOTE.to_owned(),
            format!("old\n\n{NOTE}"),
            format!("old 01\n\n{NOTE}"),
            format!("old -1\n\n{NOTE}"),
            format!("Old 1\n\n{NOTE}"),
            format!("old 1\nAA==\n\n{NOTE}"),
            format!("old 1\n{HASH}\n{NOTE}"),
            "old 1\n\n".to_owned(),
            format!("old 1\n{HASH}"),
            long,
        ] {
            assert!(Submission::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Submission::parse(&vec![b'a'; SUBMISSION_BYTES_MAX + 1]).is_err());
    }
}
