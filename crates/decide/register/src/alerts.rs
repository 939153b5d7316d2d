//! Alerts: what was raised, who took notice, and when it was over.

use async_trait::async_trait;
use haris_domain::{EventId, Timestamp, kind};
use haris_ledger::{Folded, Ledger, Projection};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, Value, insert};

use crate::decode::text;

/// One alert, from being raised to being over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    /// The event that raised it: its name from then on.
    pub id: EventId,
    /// Which alert of the table: `disk-low`.
    pub alert: String,
    /// The process that raised it, by its lasting name: only that one knows when it is over.
    pub node: String,
    /// What it is about, where one alert can be about several things: a spool's name, a key's id.
    pub about: String,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// When a person took notice.
    pub acknowledged_at: Option<Timestamp>,
    /// Who did.
    pub acknowledged_by: Option<String>,
    /// When it was over.
    pub cleared_at: Option<Timestamp>,
}

/// The fold of `alert.condition.*` events.
pub struct Alerts;

#[async_trait]
impl Projection for Alerts {
    fn name(&self) -> &'static str {
        "register_alert"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["register_alert"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS register_alert (
            id TEXT PRIMARY KEY,
            leaf_index INTEGER NOT NULL,
            alert TEXT NOT NULL,
            node TEXT NOT NULL,
            about TEXT NOT NULL,
            raised_at INTEGER NOT NULL,
            acknowledged_at INTEGER,
            acknowledged_by TEXT,
            cleared_at INTEGER
        );
        CREATE INDEX IF NOT EXISTS register_alert_open ON register_alert (cleared_at, leaf_index);"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        for folded in events {
            let event = folded.event;
            if *event.kind == kind::ALERT_RAISED {
                let row = [
                    event.id.to_string().into(),
                    Value::Integer(i64::try_from(folded.index).unwrap_or(i64::MAX)),
                    text(&event.data, "alert").into(),
                    event.source.node.as_str().into(),
                    text(&event.data, "about").into(),
                    event.at.micros().into(),
                ];
                let columns = ["id", "leaf_index", "alert", "node", "about", "raised_at"];
                insert(tx, "register_alert", columns, vec![row], "ON CONFLICT (id) DO NOTHING").await?;
            } else if *event.kind == kind::ALERT_ACKNOWLEDGED {
                sqlx::query(
                    "UPDATE register_alert SET acknowledged_at = $1, acknowledged_by = $2 \
                     WHERE id = $3 AND acknowledged_at IS NULL",
                )
                .bind(event.at.micros())
                .bind(event.actor.as_str())
                .bind(text(&event.data, "raised"))
                .execute(&mut **tx)
                .await?;
            } else if *event.kind == kind::ALERT_CLEARED {
                sqlx::query("UPDATE register_alert SET cleared_at = $1 WHERE id = $2 AND cleared_at IS NULL")
                    .bind(event.at.micros())
                    .bind(text(&event.data, "raised"))
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }
}

const COLUMNS: &str =
    "SELECT id, alert, node, about, raised_at, acknowledged_at, acknowledged_by, cleared_at FROM register_alert";

/// Alerts that are not over, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn alerts_open(ledger: &Ledger) -> Result<Vec<AlertRow>, sqlx::Error> {
    let query = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE cleared_at IS NULL ORDER BY leaf_index"));
    read(sqlx::query(query).fetch_all(ledger.sql()).await?)
}

/// The newest alerts, open or over, newest first; at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn alerts_recent(ledger: &Ledger, limit: u32) -> Result<Vec<AlertRow>, sqlx::Error> {
    let query = sqlx::AssertSqlSafe(format!("{COLUMNS} ORDER BY leaf_index DESC LIMIT $1"));
    read(sqlx::query(query).bind(i64::from(limit)).fetch_all(ledger.sql()).await?)
}

/// Whether that alert was ever raised about that, over or not.
///
/// # Errors
/// When the database fails.
pub async fn alert_known(ledger: &Ledger, alert: &str, about: &str) -> Result<bool, sqlx::Error> {
    let row =
        sqlx::query("SELECT id FROM register_alert WHERE alert = $1 AND about = $2 LIMIT 1").bind(alert).bind(about);
    Ok(row.fetch_optional(ledger.sql()).await?.is_some())
}

fn read(rows: Vec<sqlx::any::AnyRow>) -> Result<Vec<AlertRow>, sqlx::Error> {
    let moment = |row: &sqlx::any::AnyRow, column| -> Result<Option<Timestamp>, sqlx::Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
    };
    let alert = |row: &sqlx::any::AnyRow| {
        let id = row.try_get::<&str, _>("id")?.parse();
        Ok(AlertRow {
            id: id.map_err(|_| sqlx::Error::Decode("an alert's id is no event id".into()))?,
            alert: row.try_get("alert")?,
            node: row.try_get("node")?,
            about: row.try_get("about")?,
            raised_at: Timestamp::from_micros(row.try_get("raised_at")?),
            acknowledged_at: moment(row, "acknowledged_at")?,
            acknowledged_by: row.try_get("acknowledged_by")?,
            cleared_at: moment(row, "cleared_at")?,
        })
    };
    rows.iter().map(alert).collect()
}
