//! What a process says of itself, so that events which were never written show.

use async_trait::async_trait;
use haris_domain::{Actor, Digest, Draft, EventKind, Timestamp, kind};
use haris_store::Tx;
use haris_store::sqlx::{self, Row};
use serde_json::{Map, Value, json};

use crate::read::integer;
use crate::{AppendError, Appended, Folded, Ledger, Projection, ReadError};

/// What a process says when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessStart {
    /// Of the running binary.
    pub binary: Digest,
    /// Its version.
    pub version: String,
    /// Of the configuration in force.
    pub config: Digest,
    /// Names of the settings that changed since the previous start; never their values.
    pub config_changed: Vec<String>,
    /// Ids of the keys in use.
    pub keys: Vec<String>,
}

/// What a process counts, for its heartbeat and its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessCounters {
    /// Microseconds since the process started, by a clock that nobody sets.
    pub monotonic_us: u64,
    /// Requests that came in.
    pub received: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// How this node's start before this one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousBoot {
    /// Which start.
    pub boot: String,
    /// Whether it said that it stopped.
    pub clean: bool,
    /// When it was last heard of.
    pub last_at: Timestamp,
}

impl Ledger {
    /// Records `process.started/1`, and says how the previous start of this node ended. Without room it is owed.
    ///
    /// # Errors
    /// When it cannot be recorded for another reason.
    pub async fn started(&self, start: ProcessStart, now: Timestamp) -> Result<Option<PreviousBoot>, AppendError> {
        let previous = self.previous_boot().await?;
        let previous_value = previous.as_ref().map_or(Value::Null, |previous| {
            json!({ "boot": previous.boot, "clean": previous.clean, "last_at": previous.last_at.to_string() })
        });
        let data = json!({
            "binary": start.binary.to_string(),
            "version": start.version,
            "config": start.config.to_string(),
            "config_changed": start.config_changed,
            "keys": start.keys,
            "previous": previous_value,
        });
        self.append_or_owe(draft_of_process(&kind::PROCESS_STARTED, data, now)).await?;
        Ok(previous)
    }

    /// Records `process.heartbeat/1`; due each 60 seconds.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn heartbeat(&self, counters: ProcessCounters, now: Timestamp) -> Result<Appended, AppendError> {
        self.of_process(&kind::PROCESS_HEARTBEAT, counted(counters, now), now).await
    }

    /// Records `process.stopped/1`, the last event of a start.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn stopped(&self, counters: ProcessCounters, now: Timestamp) -> Result<Appended, AppendError> {
        self.of_process(&kind::PROCESS_STOPPED, counted(counters, now), now).await
    }

    /// Whether the newest start of any process said that it stopped, or none ever started: whoever only looks learns that
    /// a spool may hold more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stopped_cleanly(&self) -> Result<bool, ReadError> {
        let row = sqlx::query("SELECT stopped FROM ledger_process ORDER BY leaf_index DESC LIMIT 1");
        let row = row.fetch_optional(self.sql()).await?;
        row.map_or(Ok(true), |row| Ok(row.try_get::<i64, _>("stopped")? != 0))
    }

    async fn of_process(&self, kind: &'static EventKind, data: Value, now: Timestamp) -> Result<Appended, AppendError> {
        let appended = self.append(vec![(draft_of_process(kind, data, now), Vec::new())]).await?;
        Ok(appended.into_iter().next().expect("one draft was appended"))
    }

    async fn previous_boot(&self) -> Result<Option<PreviousBoot>, ReadError> {
        let row = sqlx::query(
            "SELECT boot, last_at, stopped FROM ledger_process WHERE node = $1 AND boot <> $2 \
             ORDER BY leaf_index DESC LIMIT 1",
        )
        .bind(self.inner().node.as_str())
        .bind(self.inner().boot.as_str())
        .fetch_optional(self.sql())
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(PreviousBoot {
            boot: row.try_get("boot")?,
            clean: row.try_get::<i64, _>("stopped")? != 0,
            last_at: Timestamp::from_micros(row.try_get("last_at")?),
        }))
    }
}

fn draft_of_process(kind: &'static EventKind, data: Value, now: Timestamp) -> Draft {
    let mut draft = Draft::new(kind, now, Actor::service("haris"));
    draft.data = match data {
        Value::Object(data) => data,
        _ => Map::new(),
    };
    draft
}

fn counted(counters: ProcessCounters, now: Timestamp) -> Value {
    json!({
        "wall": now.to_string(),
        "monotonic_us": counters.monotonic_us,
        "received": counters.received,
        "answered": counters.answered,
        "refused": counters.refused,
    })
}

/// Folds each start of each process into one row of `ledger_process`.
pub(crate) struct Processes;

#[async_trait]
impl Projection for Processes {
    fn name(&self) -> &'static str {
        "ledger.processes"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["ledger_process"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS ledger_process (
            node TEXT NOT NULL,
            boot TEXT NOT NULL,
            leaf_index INTEGER NOT NULL,
            started_at INTEGER NOT NULL,
            last_at INTEGER NOT NULL,
            stopped INTEGER NOT NULL,
            PRIMARY KEY (node, boot)
        )"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        for folded in events {
            let event = folded.event;
            if ![&kind::PROCESS_STARTED, &kind::PROCESS_HEARTBEAT, &kind::PROCESS_STOPPED].contains(&event.kind) {
                continue;
            }
            let stopped = i64::from(*event.kind == kind::PROCESS_STOPPED);
            sqlx::query(
                "INSERT INTO ledger_process (node, boot, leaf_index, started_at, last_at, stopped) \
                 VALUES ($1, $2, $3, $4, $4, $5) ON CONFLICT (node, boot) DO UPDATE \
                 SET last_at = excluded.last_at, stopped = excluded.stopped",
            )
            .bind(event.source.node.as_str())
            .bind(event.source.boot.as_str())
            .bind(integer(folded.index))
            .bind(event.at.micros())
            .bind(stopped)
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}
