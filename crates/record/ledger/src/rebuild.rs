//! Folding everything anew: what shows that the tables say what the events say.

use haris_domain::{Event, Log};
use haris_merkle::tile::{Entries, TILE_WIDTH};
use haris_store::sqlx::{self, AssertSqlSafe, Column, Row, any::AnyRow};
use haris_store::{SCHEMA_LOCK, Tx};

use crate::read::{integer, natural};
use crate::{Folded, Ledger, Projection, ReadError, RebuildError};

/// A table that differs from a fresh fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which table.
    pub table: &'static str,
    /// Rows that a fresh fold gives and the table lacks.
    pub missing: u64,
    /// Rows that the table has and a fresh fold does not give.
    pub extra: u64,
    /// A few of them, in words.
    pub examples: Vec<String>,
}

/// What a rebuild did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Events folded.
    pub events: u64,
    /// Tables that were not as a fresh fold gives them.
    pub differences: Vec<Difference>,
}

/// Differing rows that are shown per table and direction.
const EXAMPLES: usize = 3;

impl Ledger {
    /// Folds all tables anew from sealed entry bundles and the unsealed rows after them, in one transaction; nothing is
    /// appended meanwhile. With `check` the tables are compared and left as they are.
    ///
    /// # Errors
    /// When bundles or rows cannot be read, or a fold fails.
    pub async fn rebuild(&self, check: bool) -> Result<Rebuilt, RebuildError> {
        let mut tx = self.store().begin().await?;
        let tables = || self.inner().projections.iter().flat_map(|projection| projection.tables());
        for table in tables() {
            // A temporary table lies in memory on SQLite and with the session on PostgreSQL.
            run(&mut tx, format!("CREATE TEMPORARY TABLE {table}_before AS SELECT * FROM {table}")).await?;
        }
        let events = self.refold(&mut tx).await?;
        let mut differences = Vec::new();
        for table in tables() {
            differences.extend(compare(&mut tx, table).await?);
            run(&mut tx, format!("DROP TABLE {table}_before")).await?;
        }
        if check {
            tx.rollback().await?;
        } else {
            self.note_versions(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(Rebuilt { events, differences })
    }

    /// Makes the folds' tables, and names those that were not folded by this version of their fold.
    pub(crate) async fn prepare_projections(&self) -> Result<Vec<&'static str>, RebuildError> {
        let mut tx = self.store().begin_exclusive(SCHEMA_LOCK).await?;
        let rows = sqlx::query("SELECT name, version FROM ledger_projection").fetch_all(&mut *tx).await?;
        let row =
            sqlx::query("SELECT COUNT(*) AS logs FROM ledger_log WHERE next_index > 0").fetch_one(&mut *tx).await?;
        let empty = natural(&row, "logs")? == 0;
        let mut known = std::collections::BTreeMap::new();
        for row in rows {
            known.insert(row.try_get::<String, _>("name")?, row.try_get::<i64, _>("version")?);
        }
        let mut stale = Vec::new();
        for projection in &self.inner().projections {
            run(&mut tx, self.store().engine().ddl(projection.schema())).await?;
            if known.get(projection.name()) != Some(&i64::from(projection.version())) {
                stale.push(projection.name());
            }
        }
        if empty {
            self.note_versions(&mut tx).await?;
            stale.clear();
        }
        tx.commit().await?;
        Ok(stale)
    }

    /// Folds everything anew without comparing.
    pub(crate) async fn fold_anew(&self) -> Result<(), RebuildError> {
        let mut tx = self.store().begin().await?;
        self.refold(&mut tx).await?;
        self.note_versions(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn note_versions(&self, tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
        for projection in &self.inner().projections {
            sqlx::query(
                "INSERT INTO ledger_projection (name, version) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET version = excluded.version",
            )
            .bind(projection.name())
            .bind(i64::from(projection.version()))
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }

    /// Drops the tables and folds every event into new ones.
    async fn refold(&self, tx: &mut Tx<'_>) -> Result<u64, RebuildError> {
        for log in Log::ALL {
            // Locks the counters, so that nothing is appended between reading and committing.
            sqlx::query("UPDATE ledger_log SET next_index = next_index WHERE log = $1")
                .bind(log.name())
                .execute(&mut **tx)
                .await?;
        }
        for projection in &self.inner().projections {
            for table in projection.tables() {
                run(tx, format!("DROP TABLE IF EXISTS {table}")).await?;
            }
            run(tx, self.store().engine().ddl(projection.schema())).await?;
        }
        let mut events = 0;
        for log in Log::ALL {
            events += self.refold_log(tx, log).await?;
        }
        Ok(events)
    }

    async fn refold_log(&self, tx: &mut Tx<'_>, log: Log) -> Result<u64, RebuildError> {
        let width = u64::from(TILE_WIDTH);
        let sealed = self.checkpoint(log).await?.map_or(0, |row| row.size);
        let mut index = 0;
        while index < sealed {
            let Some(bundle) = Entries::covering(index, sealed) else { break };
            let tiles = self.tiles(log);
            let leaves = self.blocking(move |_| tiles.entries(bundle)).await?;
            self.refold_leaves(tx, log, index, &leaves).await?;
            index += leaves.len() as u64;
        }
        loop {
            let rows = sqlx::query(
                "SELECT leaf_index, bytes FROM ledger_event WHERE log = $1 AND leaf_index >= $2 ORDER BY leaf_index LIMIT $3",
            )
            .bind(log.name())
            .bind(integer(index))
            .bind(integer(width))
            .fetch_all(&mut **tx)
            .await?;
            if rows.is_empty() {
                return Ok(index);
            }
            let mut leaves = Vec::with_capacity(rows.len());
            for (row, expected) in rows.iter().zip(index..) {
                if natural(row, "leaf_index")? != expected {
                    return Err(damaged(log, expected, "its row is missing").into());
                }
                leaves.push(row.try_get("bytes")?);
            }
            self.refold_leaves(tx, log, index, &leaves).await?;
            index += leaves.len() as u64;
        }
    }

    async fn refold_leaves(
        &self,
        tx: &mut Tx<'_>,
        log: Log,
        from: u64,
        leaves: &[Vec<u8>],
    ) -> Result<(), RebuildError> {
        let mut events = Vec::with_capacity(leaves.len());
        for (leaf, index) in leaves.iter().zip(from..) {
            events.push(Event::parse(leaf).map_err(|error| damaged(log, index, &error.to_string()))?);
        }
        let folded: Vec<_> = events.iter().zip(from..).map(|(event, index)| Folded { log, index, event }).collect();
        for projection in &self.inner().projections {
            apply(&**projection, tx, &folded).await?;
        }
        Ok(())
    }
}

async fn apply(projection: &dyn Projection, tx: &mut Tx<'_>, folded: &[Folded<'_>]) -> Result<(), RebuildError> {
    let applied = projection.apply(tx, folded).await;
    applied.map_err(|source| RebuildError::Projection { projection: projection.name(), source })
}

fn damaged(log: Log, index: u64, why: &str) -> ReadError {
    ReadError::Damaged { what: format!("entry {index} of the {log} log"), why: why.to_owned() }
}

async fn run(tx: &mut Tx<'_>, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **tx).await.map(|_| ())
}

async fn compare(tx: &mut Tx<'_>, table: &'static str) -> Result<Option<Difference>, RebuildError> {
    let mut examples = Vec::new();
    let mut counts = [0; 2];
    let before = format!("{table}_before");
    for (count, (kept, other, word)) in
        counts.iter_mut().zip([(table, before.as_str(), "missing"), (before.as_str(), table, "extra")])
    {
        let sql = format!("SELECT COUNT(*) AS rows FROM (SELECT * FROM {kept} EXCEPT SELECT * FROM {other}) AS d");
        let row = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut **tx).await?;
        *count = natural(&row, "rows")?;
        if *count > 0 {
            let sql = format!("SELECT * FROM {kept} EXCEPT SELECT * FROM {other} LIMIT {EXAMPLES}");
            let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut **tx).await?;
            examples.extend(rows.iter().map(|row| format!("{word}: {}", in_words(row))));
        }
    }
    let [missing, extra] = counts;
    Ok((missing + extra > 0).then_some(Difference { table, missing, extra, examples }))
}

fn in_words(row: &AnyRow) -> String {
    let columns = row.columns().iter().map(|column| {
        let at = column.ordinal();
        let value = row
            .try_get::<Option<String>, _>(at)
            .map(|text| text.unwrap_or_else(|| "null".into()))
            .or_else(|_| row.try_get::<i64, _>(at).map(|n| n.to_string()))
            .or_else(|_| row.try_get::<Vec<u8>, _>(at).map(hex::encode))
            .unwrap_or_else(|_| "?".into());
        format!("{}={value}", column.name())
    });
    columns.collect::<Vec<_>>().join(" ")
}
