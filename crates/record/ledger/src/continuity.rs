//! What events say of events that are missing, and of the processes that wrote them, folded for `status`: gaps in the
//! sources' counters, clock steps, unclean stops, downtime, a changed binary or configuration.
//!
//! `fsck` and `verify` derive the same from the leaves themselves; this fold only saves `status` from reading them all.

use std::collections::BTreeMap;

use async_trait::async_trait;
use haris_domain::{Event, Log, Timestamp, kind};
use haris_store::Tx;
use haris_store::sqlx::{self, Row};
use serde_json::Value;

use crate::read::{integer, natural};
use crate::{Folded, Ledger, Projection, ReadError};

/// The format asks for steps over a second.
const STEP_MICROS: i64 = 1_000_000;
/// Most that `status` lists: it shows the present, `fsck` shows all.
const LISTED_MAX: i64 = 20;

impl Ledger {
    /// Gaps, then what happened to processes, newest first; at most twenty of each.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn continuity(&self) -> Result<Vec<String>, ReadError> {
        let rows = sqlx::query(
            "SELECT node, boot, log, n_max - n_min + 1 - events AS missing FROM ledger_source \
             WHERE n_max - n_min + 1 > events ORDER BY node, boot, log LIMIT $1",
        )
        .bind(LISTED_MAX)
        .fetch_all(self.sql())
        .await?;
        let mut says = Vec::new();
        for row in &rows {
            let (node, boot): (String, String) = (row.try_get("node")?, row.try_get("boot")?);
            let (log, missing): (String, u64) = (row.try_get("log")?, natural(row, "missing")?);
            says.push(format!("gap: {missing} events of {node} start {boot} are missing from the {log} log"));
        }
        let rows = sqlx::query("SELECT at, says FROM ledger_process_finding ORDER BY leaf_index DESC, says LIMIT $1")
            .bind(LISTED_MAX)
            .fetch_all(self.sql())
            .await?;
        for row in &rows {
            let at = Timestamp::from_micros(row.try_get("at")?);
            says.push(format!("{at} {}", row.try_get::<String, _>("says")?));
        }
        Ok(says)
    }
}

/// Folds counters of sources, and what happened to processes.
pub(crate) struct Continuities;

#[async_trait]
impl Projection for Continuities {
    fn name(&self) -> &'static str {
        "ledger.continuity"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["ledger_source", "ledger_process_clock", "ledger_process_finding"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS ledger_source (
            node TEXT NOT NULL,
            boot TEXT NOT NULL,
            log TEXT NOT NULL,
            events INTEGER NOT NULL,
            n_min INTEGER NOT NULL,
            n_max INTEGER NOT NULL,
            PRIMARY KEY (node, boot, log)
        );
        CREATE TABLE IF NOT EXISTS ledger_process_clock (
            node TEXT NOT NULL,
            boot TEXT NOT NULL,
            leaf_index INTEGER NOT NULL,
            version TEXT NOT NULL,
            binary_digest TEXT NOT NULL,
            config_digest TEXT NOT NULL,
            last_at INTEGER NOT NULL,
            wall INTEGER,
            monotonic INTEGER,
            stopped INTEGER NOT NULL,
            PRIMARY KEY (node, boot)
        );
        CREATE TABLE IF NOT EXISTS ledger_process_finding (
            leaf_index INTEGER NOT NULL,
            at INTEGER NOT NULL,
            says TEXT NOT NULL,
            PRIMARY KEY (leaf_index, says)
        )"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        let mut counts: BTreeMap<(&str, &str, Log), (i64, i64, i64)> = BTreeMap::new();
        for Folded { index, event, .. } in events {
            let (source, n) = (&event.source, integer(event.source.n));
            let count = counts.entry((&source.node, &source.boot, event.kind.log)).or_insert((0, n, n));
            *count = (count.0 + 1, count.1.min(n), count.2.max(n));
            match event.kind {
                started if *started == kind::PROCESS_STARTED => self.started(tx, *index, event).await?,
                other if *other == kind::PROCESS_HEARTBEAT || *other == kind::PROCESS_STOPPED => {
                    self.clocks(tx, *index, event).await?;
                }
                _ => {}
            }
        }
        for ((node, boot, log), (events, n_min, n_max)) in counts {
            sqlx::query(
                "INSERT INTO ledger_source (node, boot, log, events, n_min, n_max) VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (node, boot, log) DO UPDATE SET events = ledger_source.events + excluded.events, \
                 n_min = CASE WHEN excluded.n_min < ledger_source.n_min THEN excluded.n_min ELSE ledger_source.n_min END, \
                 n_max = CASE WHEN excluded.n_max > ledger_source.n_max THEN excluded.n_max ELSE ledger_source.n_max END",
            )
            .bind(node)
            .bind(boot)
            .bind(log.name())
            .bind(events)
            .bind(n_min)
            .bind(n_max)
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}

impl Continuities {
    async fn started(&self, tx: &mut Tx<'_>, index: u64, event: &Event) -> Result<(), sqlx::Error> {
        let source = &event.source;
        let text = |key: &str| event.data.get(key).and_then(Value::as_str).unwrap_or_default();
        let before = sqlx::query(
            "SELECT boot, version, binary_digest, config_digest, last_at, stopped FROM ledger_process_clock \
             WHERE node = $1 AND boot <> $2 ORDER BY leaf_index DESC LIMIT 1",
        )
        .bind(source.node.as_str())
        .bind(source.boot.as_str())
        .fetch_optional(&mut **tx)
        .await?;
        if let Some(before) = before {
            let column = |name: &'static str| before.try_get::<String, _>(name);
            let (boot, last) = (column("boot")?, before.try_get::<i64, _>("last_at")?);
            let last_at = Timestamp::from_micros(last);
            if before.try_get::<i64, _>("stopped")? == 0 {
                let says = format!("unclean stop: {} start {boot}, last heard of {last_at}", source.node);
                finding(tx, index, event, says).await?;
            }
            let seconds = (event.at.micros() - last) as f64 / 1e6;
            finding(tx, index, event, format!("downtime of {seconds:.1} s: {} from {last_at}", source.node)).await?;
            if column("binary_digest")? != text("binary") {
                let (old, new) = (column("version")?, text("version"));
                finding(
                    tx,
                    index,
                    event,
                    format!("changed binary: {} ran {old}, now {new} ({})", source.node, text("binary")),
                )
                .await?;
            }
            if column("config_digest")? != text("config") {
                let names = event.data.get("config_changed").and_then(Value::as_array);
                let names: Vec<&str> = names.into_iter().flatten().filter_map(Value::as_str).collect();
                let names =
                    if names.is_empty() { "it does not say which settings".to_owned() } else { names.join(", ") };
                finding(tx, index, event, format!("changed configuration: {}: {names}", source.node)).await?;
            }
        }
        sqlx::query(
            "INSERT INTO ledger_process_clock \
             (node, boot, leaf_index, version, binary_digest, config_digest, last_at, stopped) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0) ON CONFLICT DO NOTHING",
        )
        .bind(source.node.as_str())
        .bind(source.boot.as_str())
        .bind(integer(index))
        .bind(text("version"))
        .bind(text("binary"))
        .bind(text("config"))
        .bind(event.at.micros())
        .execute(&mut **tx)
        .await
        .map(|_| ())
    }

    async fn clocks(&self, tx: &mut Tx<'_>, index: u64, event: &Event) -> Result<(), sqlx::Error> {
        let (source, wall) = (&event.source, event.at.micros());
        let Some(monotonic) = event.data.get("monotonic_us").and_then(Value::as_i64) else { return Ok(()) };
        let before = sqlx::query("SELECT wall, monotonic FROM ledger_process_clock WHERE node = $1 AND boot = $2")
            .bind(source.node.as_str())
            .bind(source.boot.as_str())
            .fetch_optional(&mut **tx)
            .await?;
        if let Some(before) = before
            && let (Some(wall_before), Some(monotonic_before)) =
                (before.try_get::<Option<i64>, _>("wall")?, before.try_get::<Option<i64>, _>("monotonic")?)
        {
            let apart = wall.saturating_sub(wall_before).saturating_sub(monotonic.saturating_sub(monotonic_before));
            if apart.abs() > STEP_MICROS {
                let seconds = apart as f64 / 1e6;
                finding(tx, index, event, format!("clock step of {seconds:+.1} s on {}", source.node)).await?;
            }
        }
        sqlx::query(
            "UPDATE ledger_process_clock SET wall = $1, monotonic = $2, last_at = $1, stopped = $3 \
             WHERE node = $4 AND boot = $5",
        )
        .bind(wall)
        .bind(monotonic)
        .bind(i64::from(*event.kind == kind::PROCESS_STOPPED))
        .bind(source.node.as_str())
        .bind(source.boot.as_str())
        .execute(&mut **tx)
        .await
        .map(|_| ())
    }
}

async fn finding(tx: &mut Tx<'_>, index: u64, event: &Event, says: String) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO ledger_process_finding (leaf_index, at, says) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(integer(index))
        .bind(event.at.micros())
        .bind(says)
        .execute(&mut **tx)
        .await
        .map(|_| ())
}
