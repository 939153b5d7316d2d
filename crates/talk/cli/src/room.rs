//! A disk without room keeps nobody from starting: requests are refused, and `status` says why and what to do.
//!
//! A little room is held back for that, since SQLite cannot even be read without some. What a start could not do for
//! want of more is done as soon as there is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use haris_ledger::Ledger;
use haris_spool::Spool;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::home::{clock, write_private};
use crate::interrupted;

/// The file that holds room back, in the data directory.
const RESERVE: &str = "reserve";
/// Room for SQLite's shared memory, for the first events of a start, and for a few small files.
const RESERVE_BYTES: usize = 2 << 20;
/// The reserve is filled up again when this much is free besides.
const FREE_BYTES_AMPLE: u64 = 64 << 20;
/// How often what is left to do is tried.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Bytes free to this process on the file system of a folder, as far as the system says.
fn free(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Lets go of the reserve where there is less room than it holds.
pub(crate) fn release_reserve(data: &Path) {
    if free(data).is_some_and(|free| free < RESERVE_BYTES as u64) && std::fs::remove_file(data.join(RESERVE)).is_ok() {
        tracing::error!(folder = %data.display(), "the disk is full: the reserve is let go to start with");
    }
}

/// Holds room back, where there is plenty; whether it is held.
pub(crate) fn hold_reserve(data: &Path) -> bool {
    let path = data.join(RESERVE);
    if std::fs::metadata(&path).is_ok_and(|file| file.len() >= RESERVE_BYTES as u64) {
        return true;
    }
    if free(data).is_none_or(|free| free < FREE_BYTES_AMPLE) {
        return false;
    }
    // Zeros that are written, not a hole: a hole holds nothing back.
    let zeros = "\0".repeat(RESERVE_BYTES);
    write_private(&path, &zeros).is_ok()
}

/// What a start could not do for want of room.
pub(crate) struct Later {
    pub(crate) ledger: Ledger,
    pub(crate) spool: Spool,
    pub(crate) spool_name: String,
    pub(crate) boot: String,
    pub(crate) data: PathBuf,
    /// Where the settings in force belong, and they themselves.
    pub(crate) settings: Option<(PathBuf, Value)>,
    /// Requests of earlier starts may be open.
    pub(crate) interrupted: bool,
}

impl Later {
    /// Tries until everything is done, or `stop` says true or its sender is gone.
    pub(crate) fn run(mut self, mut stop: watch::Receiver<bool>) -> JoinHandle<()> {
        tokio::spawn(async move {
            while !self.go_on().await {
                tokio::select! {
                    () = tokio::time::sleep(TRY_EVERY) => {}
                    _ = stop.changed() => return,
                }
            }
        })
    }

    /// Whether nothing is left to do. Failures were said when the start met them.
    async fn go_on(&mut self) -> bool {
        if self.ledger.pay_owed().await.is_err() || self.ledger.ensure_day_keys(clock()).await.is_err() {
            return false;
        }
        if let Some((path, settings)) = &self.settings {
            if write_private(path, &settings.to_string()).is_err() {
                return false;
            }
            self.settings = None;
        }
        if self.interrupted {
            match interrupted::close(&self.ledger, &self.spool, &self.spool_name, &self.boot).await {
                Ok(true) => self.interrupted = false,
                Ok(false) => return false,
                Err(failure) => {
                    tracing::error!(why = failure.message, "open requests stay open until the next start");
                    self.interrupted = false;
                }
            }
        }
        hold_reserve(&self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_held_back_and_let_go_only_when_it_is_short() {
        let folder = tempfile::tempdir().unwrap();
        assert!(hold_reserve(folder.path()), "tests run where there is room");
        assert_eq!(std::fs::metadata(folder.path().join(RESERVE)).unwrap().len(), RESERVE_BYTES as u64);
        release_reserve(folder.path());
        assert!(folder.path().join(RESERVE).exists());
    }
}
