//! Reading rows: events by id and by range, checkpoints, and how far proof has come.

use haris_domain::{EventId, Log, Timestamp};
use haris_merkle::Hash;
use haris_store::sqlx::{self, AnyPool, Row, any::AnyRow};

use crate::{Ledger, ReadError};

/// An event as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Which log.
    pub log: Log,
    /// Its place there.
    pub index: u64,
    /// The id that the row claims.
    pub id: String,
    /// The leaf hash that was recorded with it.
    pub leaf_hash: Vec<u8>,
    /// The leaf.
    pub bytes: Vec<u8>,
}

/// Where an event lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Which log.
    pub log: Log,
    /// Its place there.
    pub index: u64,
    /// The leaf.
    pub bytes: Vec<u8>,
}

/// How far the proof of an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofState {
    /// Recorded; the sealer has not come to it yet.
    Pending,
    /// Under a signed checkpoint.
    Sealed {
        /// The size of the first checkpoint that covers it.
        size: u64,
        /// When that was signed, by the operator's clock.
        at: Timestamp,
    },
}

/// A checkpoint on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Which log.
    pub log: Log,
    /// Entries it covers.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
    /// When it was signed, by the operator's clock.
    pub at: Timestamp,
    /// The signed note.
    pub note: String,
}

impl Ledger {
    /// For reading the tables of the folds.
    #[must_use]
    pub fn sql(&self) -> &AnyPool {
        self.store().pool()
    }

    /// The event of that id, if it is on record.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, id: EventId) -> Result<Option<Located>, ReadError> {
        let row = sqlx::query("SELECT log, leaf_index, id, leaf_hash, bytes FROM ledger_event WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.sql())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let EventRow { log, index, bytes, .. } = event_row(&row)?;
        Ok(Some(Located { log, index, bytes }))
    }

    /// The rows of entries `from` up to but not including `to`, as many as there are, in order. The caller bounds the
    /// range: all of it is held in memory.
    ///
    /// # Errors
    /// When the database fails or a row contradicts itself.
    pub async fn read(&self, log: Log, from: u64, to: u64) -> Result<Vec<EventRow>, ReadError> {
        let rows = sqlx::query(
            "SELECT log, leaf_index, id, leaf_hash, bytes FROM ledger_event \
             WHERE log = $1 AND leaf_index >= $2 AND leaf_index < $3 ORDER BY leaf_index",
        )
        .bind(log.name())
        .bind(integer(from))
        .bind(integer(to))
        .fetch_all(self.sql())
        .await?;
        rows.iter().map(event_row).collect()
    }

    /// How many entries a log has, sealed or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn size(&self, log: Log) -> Result<u64, ReadError> {
        let row = sqlx::query("SELECT next_index FROM ledger_log WHERE log = $1")
            .bind(log.name())
            .fetch_one(self.sql())
            .await?;
        natural(&row, "next_index")
    }

    /// The newest checkpoint of a log, if it has one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkpoint(&self, log: Log) -> Result<Option<CheckpointRow>, ReadError> {
        self.checkpoint_where(log, "SELECT log, size, root, at, note FROM ledger_checkpoint WHERE log = $1 AND size >= $2 ORDER BY size DESC LIMIT 1", 0).await
    }

    /// The first checkpoint of a log that covers at least `size` entries.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkpoint_covering(&self, log: Log, size: u64) -> Result<Option<CheckpointRow>, ReadError> {
        self.checkpoint_where(log, "SELECT log, size, root, at, note FROM ledger_checkpoint WHERE log = $1 AND size >= $2 ORDER BY size LIMIT 1", size).await
    }

    /// The checkpoints of a log from `from` entries up to and including `to`, in order of size.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkpoints(&self, log: Log, from: u64, to: u64) -> Result<Vec<CheckpointRow>, ReadError> {
        let rows = sqlx::query(
            "SELECT log, size, root, at, note FROM ledger_checkpoint \
             WHERE log = $1 AND size >= $2 AND size <= $3 ORDER BY size",
        )
        .bind(log.name())
        .bind(integer(from))
        .bind(integer(to))
        .fetch_all(self.sql())
        .await?;
        rows.iter().map(checkpoint_row).collect()
    }

    /// How far the proof of a recorded event has come.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn proof_state(&self, log: Log, index: u64) -> Result<ProofState, ReadError> {
        let covering = self.checkpoint_covering(log, index.saturating_add(1)).await?;
        Ok(covering.map_or(ProofState::Pending, |row| ProofState::Sealed { size: row.size, at: row.at }))
    }

    async fn checkpoint_where(
        &self,
        log: Log,
        sql: &'static str,
        size: u64,
    ) -> Result<Option<CheckpointRow>, ReadError> {
        let row = sqlx::query(sql).bind(log.name()).bind(integer(size)).fetch_optional(self.sql()).await?;
        row.as_ref().map(checkpoint_row).transpose()
    }
}

/// An index or size as SQL holds it. Beyond 2^63 there are no entries, so the clamp changes no answer.
pub(crate) fn integer(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A column that never goes below zero.
pub(crate) fn natural(row: &AnyRow, column: &'static str) -> Result<u64, ReadError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value)
        .map_err(|_| ReadError::Damaged { what: format!("column `{column}`"), why: format!("holds {value}") })
}

/// A column of 32 bytes.
pub(crate) fn hash(row: &AnyRow, column: &'static str) -> Result<Hash, ReadError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| ReadError::Damaged {
        what: format!("column `{column}`"),
        why: format!("has {length} bytes, not 32"),
    })
}

/// A column that names a log.
pub(crate) fn log(row: &AnyRow) -> Result<Log, ReadError> {
    let name: String = row.try_get("log")?;
    Log::named(&name).ok_or_else(|| ReadError::Damaged { what: "column `log`".into(), why: format!("holds `{name}`") })
}

/// A column that holds an event's id.
pub(crate) fn event_id(row: &AnyRow, column: &'static str) -> Result<EventId, ReadError> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error| ReadError::Damaged { what: format!("column `{column}`"), why: format!("{error}") })
}

fn event_row(row: &AnyRow) -> Result<EventRow, ReadError> {
    Ok(EventRow {
        log: log(row)?,
        index: natural(row, "leaf_index")?,
        id: row.try_get("id")?,
        leaf_hash: row.try_get("leaf_hash")?,
        bytes: row.try_get("bytes")?,
    })
}

/// A row of `ledger_checkpoint`, all of it.
pub(crate) fn checkpoint_row(row: &AnyRow) -> Result<CheckpointRow, ReadError> {
    Ok(CheckpointRow {
        log: log(row)?,
        size: natural(row, "size")?,
        root: hash(row, "root")?,
        at: Timestamp::from_micros(row.try_get("at")?),
        note: row.try_get("note")?,
    })
}
