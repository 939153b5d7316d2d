//! The ledger's account of itself.

use haris_domain::{Log, Timestamp};
use haris_store::sqlx::{self, Row};

use crate::{CheckpointRow, Hold, Ledger, OwedEvents, ReadError};

/// One log's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// Which log.
    pub log: Log,
    /// Its name in every checkpoint.
    pub origin: String,
    /// What verifies its checkpoints.
    pub verifier_keys: Vec<String>,
    /// Entries on record.
    pub size: u64,
    /// The newest checkpoint.
    pub checkpoint: Option<CheckpointRow>,
}

impl LogStatus {
    /// Entries that no checkpoint covers yet.
    #[must_use]
    pub fn unsealed(&self) -> u64 {
        self.size.saturating_sub(self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size))
    }
}

/// The whole ledger's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerStatus {
    /// `sqlite` or `postgresql`.
    pub engine: &'static str,
    /// Both logs, evidence first.
    pub logs: Vec<LogStatus>,
    /// The traffic log's size when it was last anchored in the evidence log, and when.
    pub anchored: Option<(u64, Timestamp)>,
    /// Why nothing new is sealed, if so.
    pub sealer_error: Option<String>,
    /// Legal holds in force.
    pub holds: Vec<Hold>,
    /// Events whose payloads an erasure on record has still to destroy: none but for moments, or after a crash.
    pub erasures_unfinished: u64,
    /// Events of this process's start that no disk had room for yet.
    pub owed: Option<OwedEvents>,
}

impl Ledger {
    /// The ledger's account of itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status(&self) -> Result<LedgerStatus, ReadError> {
        let mut logs = Vec::new();
        for log in Log::ALL {
            logs.push(LogStatus {
                log,
                origin: self.origin(log).to_owned(),
                verifier_keys: self.verifier_keys(log).iter().map(ToString::to_string).collect(),
                size: self.size(log).await?,
                checkpoint: self.checkpoint(log).await?,
            });
        }
        let row = sqlx::query("SELECT COUNT(*) AS unfinished FROM ledger_erasure_target").fetch_one(self.sql()).await?;
        let sealer_error = self.inner().sealer_error.lock().clone();
        Ok(LedgerStatus {
            engine: self.store().engine().name(),
            logs,
            anchored: self.anchored().await?,
            sealer_error,
            holds: self.holds().await?,
            erasures_unfinished: row.try_get::<i64, _>("unfinished")?.unsigned_abs(),
            owed: self.owed(),
        })
    }
}
