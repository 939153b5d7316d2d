//! A disk without room keeps nobody from starting: requests are refused, and `status` says why and what to do. What a
//! start could not do for want of room is done as soon as there is.

use std::path::PathBuf;
use std::time::Duration;

use haris_ledger::Ledger;
use haris_spool::Spool;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::home::{clock, write_private};
use crate::interrupted;

/// How often what is left to do is tried.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// What a start could not do for want of room.
pub(crate) struct Later {
    pub(crate) ledger: Ledger,
    pub(crate) spool: Spool,
    pub(crate) spool_name: String,
    pub(crate) boot: String,
    /// Small files, and what belongs in them.
    pub(crate) files: Vec<(PathBuf, String)>,
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
        while let Some((path, text)) = self.files.last() {
            if write_private(path, text).is_err() {
                return false;
            }
            self.files.pop();
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
        true
    }
}
