//! C2SP tlog-proof: one entry's proof as a small text file that needs no server.

use crate::checkpoint::{BadCheckpoint, Checkpoint};
use crate::note::{NOTE_BYTES_MAX, Note};
use crate::proof::{ProofError, verify_inclusion};
use crate::{Hash, text};

/// First line of the file.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A path through a tree of 2^64 entries has at most 64 hashes.
const PATH_MAX: usize = 64;
/// Longest extra data that is read.
const EXTRA_BYTES_MAX: usize = 64 * 1024;
/// Longest file that is read.
const FILE_BYTES_MAX: usize = NOTE_BYTES_MAX + EXTRA_BYTES_MAX * 2;

/// An entry's place in a log, its inclusion proof, and the checkpoint that the proof leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Data beside the proof, which nothing vouches for. Haris puts the entry's bytes here, so that one file holds
    /// all there is to check: they are hashed, never trusted.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// Inclusion proof, the leaf's sibling first.
    pub path: Vec<Hash>,
    /// The checkpoint, as its text says it.
    pub checkpoint: Checkpoint,
    /// The checkpoint's signed note, cosignatures included.
    pub note: Note,
}

/// Why bytes are not a proof file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadProofFile {
    /// Too long, or not UTF-8.
    #[error("a proof file is UTF-8 of at most {FILE_BYTES_MAX} bytes")]
    Bytes,
    /// Another first line.
    #[error("a proof file starts with the line `{HEADER}`")]
    Header,
    /// The extra data is not base64 or too long.
    #[error("the `extra` line is not base64 of at most {EXTRA_BYTES_MAX} bytes")]
    Extra,
    /// No index where one should be.
    #[error("after the header comes `index` and a decimal number")]
    Index,
    /// A line that is not a hash, or too many of them.
    #[error("hash {position} of the proof is not 32 bytes in base64, or there are more than {PATH_MAX}")]
    Hash {
        /// Which, from 1.
        position: usize,
    },
    /// What follows the blank line is not a checkpoint.
    #[error("what follows the proof is not a checkpoint")]
    Checkpoint(#[from] BadCheckpoint),
}

impl TlogProof {
    /// Reads a proof file. Nothing in it is believed yet.
    ///
    /// # Errors
    /// When the bytes are not a proof file, or exceed the bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadProofFile> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(BadProofFile::Bytes);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| BadProofFile::Bytes)?;
        let mut rest =
            whole.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n')).ok_or(BadProofFile::Header)?;
        let mut next = || -> Option<&str> {
            let (line, after) = rest.split_once('\n')?;
            rest = after;
            Some(line)
        };
        let mut line = next().ok_or(BadProofFile::Index)?;
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            let bytes = text::base64(encoded).filter(|bytes| bytes.len() <= EXTRA_BYTES_MAX);
            extra = Some(bytes.ok_or(BadProofFile::Extra)?);
            line = next().ok_or(BadProofFile::Index)?;
        }
        let index = line.strip_prefix("index ").and_then(text::decimal).ok_or(BadProofFile::Index)?;
        let mut path = Vec::new();
        loop {
            let bad = BadProofFile::Hash { position: path.len() + 1 };
            match next() {
                Some("") => break,
                Some(line) if path.len() < PATH_MAX => path.push(text::base64_hash(line).ok_or(bad)?),
                _ => return Err(bad),
            }
        }
        let (checkpoint, note) = Checkpoint::parse(rest.as_bytes())?;
        Ok(Self { extra, index, path, checkpoint, note })
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            out.push_str(&format!("extra {}\n", text::to_base64(extra)));
        }
        out.push_str(&format!("index {}\n", self.index));
        for hash in &self.path {
            out.push_str(&text::to_base64(hash));
            out.push('\n');
        }
        out.push('\n');
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.note.to_bytes());
        out
    }

    /// Checks that the entry with this leaf hash is where the proof says, under the checkpoint's root. Whether the
    /// checkpoint itself deserves belief is for [`Note::verify`] to say.
    ///
    /// # Errors
    /// When the proof does not show it.
    pub fn verify_entry(&self, leaf: &Hash) -> Result<(), ProofError> {
        verify_inclusion(leaf, self.index, self.checkpoint.size, &self.path, &self.checkpoint.root)
    }
}
