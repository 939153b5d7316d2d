//! Checkpoints that a log has signed and that do not continue what it signed before: the evidence against it.

use std::path::{Path, PathBuf};

use haris_merkle::{Checkpoint, Hash, Note};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};

/// Most that are kept of one log. One is enough to convict; the rest is a picture of how it went on.
const KEPT_MAX: usize = 64;
/// Longest file that is read back: that many notes of the longest form.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// In which way a signed checkpoint contradicts the one that was cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The same size, another root: the log has signed two histories.
    Fork,
    /// Fewer entries than were cosigned: an old copy was put back, or an old checkpoint was sent again.
    Behind,
    /// The log signed it and gave no valid proof that it continues what was cosigned.
    NotProven,
}

impl Why {
    /// For a person.
    #[must_use]
    pub fn tells(self) -> &'static str {
        match self {
            Self::Fork => "the log signed two different roots for one size: it has two histories",
            Self::Behind => {
                "it has fewer entries than were cosigned: an old copy was put back, or an old checkpoint sent again"
            }
            Self::NotProven => "no valid proof came with it that it continues what was cosigned",
        }
    }
}

/// A refused checkpoint: the log's own signature stands under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When it came, in POSIX seconds by the witness's clock.
    pub at: u64,
    /// In which way it contradicts.
    pub why: Why,
    /// Entries that it claims.
    pub size: u64,
    /// Entries that were cosigned when it came.
    pub cosigned: u64,
    /// The signed note, as it came.
    pub note: String,
}

/// The refused checkpoints of one log.
pub(crate) struct Refusals {
    path: PathBuf,
    kept: Vec<(Refused, Hash)>,
}

impl Refusals {
    pub(crate) fn open(folder: &Path) -> Result<Self, DiskError> {
        let path = folder.join("refused.jsonl");
        let bytes = disk::read(&path, FILE_BYTES_MAX)?.unwrap_or_default();
        // A last line that a crash cut is left out: that submission was never answered.
        let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Refused>(line).ok());
        let root = |refused: Refused| {
            let (checkpoint, _) = Checkpoint::parse(refused.note.as_bytes()).ok()?;
            Some((refused, checkpoint.root))
        };
        Ok(Self { path, kept: lines.filter_map(root).take(KEPT_MAX).collect() })
    }

    /// Keeps one, once, while there is room.
    pub(crate) fn keep(
        &mut self,
        at: u64,
        why: Why,
        cosigned: u64,
        checkpoint: &Checkpoint,
        note: &Note,
    ) -> Result<(), DiskError> {
        let known = self.kept.iter().any(|(kept, root)| kept.size == checkpoint.size && *root == checkpoint.root);
        if known || self.kept.len() >= KEPT_MAX {
            return Ok(());
        }
        let note = String::from_utf8_lossy(&note.to_bytes()).into_owned();
        let refused = Refused { at, why, size: checkpoint.size, cosigned, note };
        tracing::error!(origin = checkpoint.origin, size = checkpoint.size, cosigned, "refused: {}", why.tells());
        let line = serde_json::to_string(&refused).expect("text and numbers have a JSON form");
        // A newline before it as well: a line that a crash cut ends there.
        disk::append(&self.path, format!("\n{line}\n").as_bytes(), true)?;
        self.kept.push((refused, checkpoint.root));
        Ok(())
    }

    pub(crate) fn list(&self) -> Vec<Refused> {
        self.kept.iter().map(|(refused, _)| refused.clone()).collect()
    }
}
