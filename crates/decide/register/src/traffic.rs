//! Traffic by the hour: how many requests ended how, in all and by rule, caller and model.
//!
//! A page that shows a week would else count millions of rows. Each batch is added up first, so an hour's row is touched
//! once for each batch and not for each request. Practice traffic is counted apart and left out of every question here.

use std::collections::BTreeMap;

use async_trait::async_trait;
use haris_domain::{Event, Timestamp, kind};
use haris_ledger::{Folded, Ledger, Projection};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, insert};

use crate::decode::text;

const HOUR_MICROS: i64 = 3_600_000_000;

/// The fold of `gw.*` events into hours.
pub struct Traffic;

/// What requests are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Nothing: all of them.
    All,
    /// The rules that found something; a request counts once for each.
    Rule,
    /// The caller.
    Caller,
    /// The model that was asked for.
    Model,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Rule => "rule",
            Self::Caller => "caller",
            Self::Model => "model",
        }
    }
}

/// What may be counted by name: a stranger's inventions must not become rows.
const NAME_BYTES_MAX: usize = 128;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    hour: i64,
    environment: String,
    by: By,
    name: String,
    verdict: String,
}

#[async_trait]
impl Projection for Traffic {
    fn name(&self) -> &'static str {
        "register_traffic"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["register_traffic"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS register_traffic (
            hour INTEGER NOT NULL,
            environment TEXT NOT NULL,
            counted_by TEXT NOT NULL,
            name TEXT NOT NULL,
            verdict TEXT NOT NULL,
            count INTEGER NOT NULL,
            PRIMARY KEY (counted_by, environment, hour, name, verdict)
        );"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        let mut cells: BTreeMap<Cell, i64> = BTreeMap::new();
        for folded in events {
            let event = folded.event;
            if *event.kind == kind::REQUEST_DECIDED {
                count(event, &text(&event.data, "verdict"), &mut cells);
            } else if *event.kind == kind::REQUEST_REFUSED {
                add(event, By::All, String::new(), "refuse", &mut cells);
            }
        }
        let rows = cells.into_iter().map(|(cell, count)| {
            [
                cell.hour.into(),
                cell.environment.into(),
                cell.by.name().into(),
                cell.name.into(),
                cell.verdict.into(),
                count.into(),
            ]
        });
        let columns = ["hour", "environment", "counted_by", "name", "verdict", "count"];
        let more = "ON CONFLICT (counted_by, environment, hour, name, verdict) \
            DO UPDATE SET count = register_traffic.count + excluded.count";
        insert(tx, "register_traffic", columns, rows.collect(), more).await.map(drop)
    }
}

fn count(event: &Event, verdict: &str, cells: &mut BTreeMap<Cell, i64>) {
    add(event, By::All, String::new(), verdict, cells);
    add(event, By::Caller, event.actor.as_str().to_owned(), verdict, cells);
    add(event, By::Model, text(&event.data, "model"), verdict, cells);
    let found = event.data.get("detections").and_then(|all| all.as_array()).map(Vec::as_slice).unwrap_or_default();
    let mut rules: Vec<_> = found.iter().filter_map(|one| one["rule"].as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    for rule in rules {
        add(event, By::Rule, rule.to_owned(), verdict, cells);
    }
}

fn add(event: &Event, by: By, name: String, verdict: &str, cells: &mut BTreeMap<Cell, i64>) {
    if name.len() > NAME_BYTES_MAX {
        return;
    }
    let cell = Cell {
        hour: event.at.micros().div_euclid(HOUR_MICROS),
        environment: text(&event.data, "environment"),
        by,
        name,
        verdict: verdict.to_owned(),
    };
    *cells.entry(cell).or_default() += 1;
}

/// Requests of one hour that ended alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourCount {
    /// When the hour began.
    pub hour: Timestamp,
    /// `allow`, `observe`, `redact`, `block` or `refuse`.
    pub verdict: String,
    /// How many.
    pub count: u64,
}

/// Requests of productive traffic by hour and verdict, from the hour of `from` on, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn traffic_hours(ledger: &Ledger, environment: &str, from: Timestamp) -> Result<Vec<HourCount>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT hour, verdict, count FROM register_traffic \
         WHERE counted_by = 'all' AND environment = $1 AND hour >= $2 ORDER BY hour, verdict",
    );
    let rows = rows.bind(environment).bind(from.micros().div_euclid(HOUR_MICROS)).fetch_all(ledger.sql()).await?;
    let hour = |row: &sqlx::any::AnyRow| {
        Ok(HourCount {
            hour: Timestamp::from_micros(row.try_get::<i64, _>("hour")? * HOUR_MICROS),
            verdict: row.try_get("verdict")?,
            count: u64::try_from(row.try_get::<i64, _>("count")?).unwrap_or(0),
        })
    };
    rows.iter().map(hour).collect()
}

/// What had the most requests since `from`, and how many of them were blocked or redacted: at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn traffic_top(
    ledger: &Ledger,
    environment: &str,
    by: By,
    from: Timestamp,
    limit: u32,
) -> Result<Vec<(String, u64, u64)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT name, CAST(SUM(count) AS BIGINT) AS total, \
         CAST(SUM(CASE WHEN verdict IN ('block', 'redact') THEN count ELSE 0 END) AS BIGINT) AS stopped \
         FROM register_traffic WHERE counted_by = $1 AND environment = $2 AND hour >= $3 \
         GROUP BY name ORDER BY total DESC, name LIMIT $4",
    );
    let rows = rows
        .bind(by.name())
        .bind(environment)
        .bind(from.micros().div_euclid(HOUR_MICROS))
        .bind(i64::from(limit))
        .fetch_all(ledger.sql())
        .await?;
    let count = |row: &sqlx::any::AnyRow, column| {
        Ok::<_, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
    };
    rows.iter().map(|row| Ok((row.try_get("name")?, count(row, "total")?, count(row, "stopped")?))).collect()
}
