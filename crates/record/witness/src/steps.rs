//! The proofs that were accepted, so that whoever holds an older cosigned checkpoint can be shown that the newest
//! continues it, without asking the operator.
//!
//! Nothing rests on these files: a proof that comes out of them is verified by whoever asked. They are bounded; what is
//! older is proven with the log's tiles.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haris_merkle::{Hash, Subtrees, submission};

use crate::disk::{self, DiskError};

/// The newer of two files; when it is full it takes the place of the older one. Some 60,000 steps together: more than
/// a day of a busy log, more than a month of a quiet one.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

pub(crate) struct Steps {
    newer: PathBuf,
    older: PathBuf,
}

impl Steps {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { newer: folder.join("steps"), older: folder.join("steps.old") }
    }

    /// Keeps an accepted proof.
    pub(crate) fn keep(&self, old: u64, old_root: &Hash, size: u64, path: &[Hash]) -> Result<(), DiskError> {
        if old == 0 || old == size {
            return Ok(());
        }
        let mut line = format!("{old} {size} {}", STANDARD.encode(old_root));
        for hash in path {
            line.push(' ');
            line.push_str(&STANDARD.encode(hash));
        }
        line.push('\n');
        let full = std::fs::metadata(&self.newer).is_ok_and(|file| file.len() + line.len() as u64 > FILE_BYTES_MAX);
        if full {
            // Losing the older steps is what is meant; failing to is not worth a word.
            let _ = std::fs::rename(&self.newer, &self.older);
        }
        disk::append(&self.newer, line.as_bytes(), false)
    }

    /// The proof from `old` to `size`, if the steps between are kept.
    pub(crate) fn proof(&self, old: u64, size: u64) -> Result<Option<Vec<Hash>>, DiskError> {
        let mut known = Subtrees::new();
        for file in [&self.older, &self.newer] {
            let bytes = disk::read(file, FILE_BYTES_MAX + 4_096)?.unwrap_or_default();
            for line in bytes.split(|byte| *byte == b'\n') {
                if let Some(step) = read_step(line).filter(|step| step.old >= old && step.size <= size) {
                    known.learn(step.old, step.old_root, step.size, &step.path);
                }
            }
        }
        Ok(known.consistency(old, size))
    }
}

struct Step {
    old: u64,
    size: u64,
    old_root: Hash,
    path: Vec<Hash>,
}

fn read_step(line: &[u8]) -> Option<Step> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (old, size) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let mut hashes = Vec::new();
    for word in words.take(submission::PATH_MAX + 2) {
        hashes.push(STANDARD.decode(word).ok()?.try_into().ok()?);
    }
    let old_root = *hashes.first()?;
    Some(Step { old, size, old_root, path: hashes.split_off(1) })
}
