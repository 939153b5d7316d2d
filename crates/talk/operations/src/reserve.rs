//! A stretch of disk that is set aside while there is room, for the day there is none: then it is given back in small
//! pieces, so that operators can look, hold, erase, prune and take notice of alerts on a full file system.
//!
//! Traffic gets none of it. The spool makes no segment below 96 MiB of free space, and what it holds is not taken into the
//! ledger below [`SHORT_BYTES`], which is more than lending ever makes free.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

const MIB: u64 = 1 << 20;
/// Set aside unless told otherwise; on a small file system a sixteenth of it.
const WANTED_BYTES: u64 = 64 * MIB;
/// Below so much free space the disk counts as full for everybody but operators.
const SHORT_BYTES: u64 = 24 * MIB;
/// What an operator's command takes at most: a few transactions and their tiles. With less free than that, a piece of the
/// reserve is given back.
const OPERATOR_BYTES: u64 = 3 * MIB;
/// Such a piece: several commands' worth, so that the next one finds its own still there.
const PIECE_BYTES: u64 = 8 * MIB;
/// What must be free besides when the reserve is set aside: two of the spool's segments and the room that it leaves the
/// ledger. Otherwise setting aside would itself stop the service.
const BESIDES_BYTES: u64 = 128 * MIB;

/// The reserve of one data directory.
#[derive(Debug, Default)]
pub struct Reserve {
    data: PathBuf,
    wanted: u64,
    /// Whether it may only be looked at.
    seen: bool,
    /// Held while the file changes.
    changing: Mutex<()>,
}

impl Reserve {
    /// The reserve of `data`: `wanted` bytes, or by the size of the file system when not said. Changes nothing.
    #[must_use]
    pub fn of(data: &Path, wanted: Option<u64>) -> Self {
        let total = rustix::fs::statvfs(data).map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize));
        let wanted = wanted.unwrap_or_else(|| WANTED_BYTES.min(total / 16));
        Self { data: data.to_owned(), wanted, seen: false, changing: Mutex::new(()) }
    }

    /// The same for whoever leaves everything as it is: nothing is lent or set aside.
    #[must_use]
    pub fn seen(data: &Path, wanted: Option<u64>) -> Self {
        Self { seen: true, ..Self::of(data, wanted) }
    }

    /// Bytes that are to be set aside.
    #[must_use]
    pub fn wanted_bytes(&self) -> u64 {
        self.wanted
    }

    /// Bytes that are.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        // Blocks, not length: what was never allocated is no reserve.
        std::fs::metadata(self.path()).map_or(0, |meta| meta.len().min(meta.blocks() * 512))
    }

    /// Whether there is room for operators only.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.wanted > 0 && self.free().is_ok_and(|free| free < SHORT_BYTES)
    }

    /// Gives back as much as an operator's command takes, if it would not find it free.
    ///
    /// # Errors
    /// When the reserve cannot be looked at or cut. The command may go on all the same.
    pub fn lend(&self) -> io::Result<()> {
        if self.seen || self.wanted == 0 || self.free()? >= OPERATOR_BYTES {
            return Ok(());
        }
        let _changing = self.changing.lock();
        let missing = OPERATOR_BYTES.saturating_sub(self.free()?);
        let held = self.held_bytes();
        if missing == 0 || held == 0 {
            return Ok(());
        }
        let left = held.saturating_sub(PIECE_BYTES);
        tracing::warn!(left, "the disk is full: part of the reserve is given to an operator's command");
        OpenOptions::new().write(true).open(self.path())?.set_len(left)
    }

    /// Sets aside what is missing, if there is room for it and for the service; whether it is whole now.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn restore(&self) -> io::Result<bool> {
        let held = self.held_bytes();
        if self.seen || held >= self.wanted {
            return Ok(held >= self.wanted);
        }
        if self.free()? < self.wanted - held + BESIDES_BYTES {
            return Ok(false);
        }
        let _changing = self.changing.lock();
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.path())?;
        fill(&file, self.wanted)?;
        Ok(true)
    }

    fn path(&self) -> PathBuf {
        self.data.join("reserve")
    }

    fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.data)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Makes every block of the file its own.
fn fill(file: &File, bytes: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        // Some file systems cannot: zeros do it too.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = vec![0; usize::try_from(MIB).expect("a mebibyte fits")];
            for piece in 0..bytes.div_ceil(MIB) {
                file.write_all_at(&zeros, piece * MIB)?;
            }
            file.set_len(bytes)?;
        }
        other => other?,
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lent_while_there_is_room_and_nothing_set_aside_when_none_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let none = Reserve::of(dir.path(), Some(0));
        assert!(none.restore().unwrap() && !none.is_short());
        assert_eq!(none.held_bytes(), 0);
        let some = Reserve::of(dir.path(), Some(3 * MIB));
        if some.free().unwrap() < SHORT_BYTES + BESIDES_BYTES {
            println!("not run: the disk of the temporary folder is nearly full");
            return;
        }
        assert!(some.restore().unwrap());
        assert_eq!(some.held_bytes(), 3 * MIB);
        some.lend().unwrap();
        assert_eq!(some.held_bytes(), 3 * MIB);
        assert!(!some.is_short());
    }

    #[test]
    fn a_file_with_a_hole_is_no_reserve() {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join("reserve")).unwrap().set_len(64 * MIB).unwrap();
        assert!(Reserve::of(dir.path(), None).held_bytes() < MIB);
    }

    #[test]
    fn lending_never_makes_room_for_traffic() {
        const { assert!(OPERATOR_BYTES + PIECE_BYTES < SHORT_BYTES) };
    }
}
