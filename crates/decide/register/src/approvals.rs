//! Approvals: changes that wait for a second person, and what became of them.

use async_trait::async_trait;
use haris_domain::{EventId, Timestamp, kind};
use haris_ledger::{Folded, Ledger, Projection};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, Value, insert};

use crate::decode::{integer, text};

/// A change that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRow {
    /// The event that asked; its payload `change` holds the exact change.
    pub id: EventId,
    /// The operation to be carried out.
    pub operation: String,
    /// The permission it takes, of whoever approves as well.
    pub permission: String,
    /// Digest of the exact change: operation, input, and what it changes as it is now.
    pub digest: String,
    /// Who asked: an actor.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// Until when it may be approved.
    pub expires: Timestamp,
    /// `waiting`, `approved`, `refused`, `void` or `failed`.
    pub state: String,
    /// Who approved or refused it.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
}

/// The fold of `approval.change.*` events.
pub struct Approvals;

#[async_trait]
impl Projection for Approvals {
    fn name(&self) -> &'static str {
        "register_approval"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["register_approval"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS register_approval (
            id TEXT PRIMARY KEY,
            operation TEXT NOT NULL,
            permission TEXT NOT NULL,
            digest TEXT NOT NULL,
            requested_by TEXT NOT NULL,
            requested_at INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            state TEXT NOT NULL,
            decided_by TEXT,
            decided_at INTEGER
        );
        CREATE INDEX IF NOT EXISTS register_approval_state ON register_approval (state, requested_at);"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        for folded in events {
            let event = folded.event;
            if *event.kind == kind::APPROVAL_REQUESTED {
                let row = [
                    event.id.to_string().into(),
                    text(&event.data, "operation").into(),
                    text(&event.data, "permission").into(),
                    text(&event.data, "digest").into(),
                    event.actor.as_str().into(),
                    event.at.micros().into(),
                    integer(&event.data, "expires_us").unwrap_or(0).into(),
                    Value::from("waiting"),
                ];
                let columns =
                    ["id", "operation", "permission", "digest", "requested_by", "requested_at", "expires", "state"];
                insert(tx, "register_approval", columns, vec![row], "ON CONFLICT (id) DO NOTHING").await?;
                continue;
            }
            let state = if *event.kind == kind::APPROVAL_GIVEN {
                "approved"
            } else if *event.kind == kind::APPROVAL_REFUSED {
                "refused"
            } else if *event.kind == kind::APPROVAL_VOIDED {
                "void"
            } else {
                continue;
            };
            sqlx::query(
                "UPDATE register_approval SET state = $1, decided_by = $2, decided_at = $3 \
                 WHERE id = $4 AND state = 'waiting'",
            )
            .bind(state)
            .bind(event.actor.as_str())
            .bind(event.at.micros())
            .bind(text(&event.data, "approval"))
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}

const COLUMNS: &str = "SELECT id, operation, permission, digest, requested_by, requested_at, expires, state, decided_by, \
    decided_at FROM register_approval";

/// The newest requests, newest first; at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn approvals(ledger: &Ledger, limit: u32) -> Result<Vec<ApprovalRow>, sqlx::Error> {
    let query = sqlx::AssertSqlSafe(format!("{COLUMNS} ORDER BY requested_at DESC LIMIT $1"));
    let rows = sqlx::query(query).bind(i64::from(limit)).fetch_all(ledger.sql()).await?;
    rows.iter().map(approval_of).collect()
}

/// The request of that id.
///
/// # Errors
/// When the database fails.
pub async fn approval(ledger: &Ledger, id: EventId) -> Result<Option<ApprovalRow>, sqlx::Error> {
    let query = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE id = $1"));
    let row = sqlx::query(query).bind(id.to_string()).fetch_optional(ledger.sql()).await?;
    row.as_ref().map(approval_of).transpose()
}

fn approval_of(row: &sqlx::any::AnyRow) -> Result<ApprovalRow, sqlx::Error> {
    let id = row.try_get::<&str, _>("id")?.parse();
    Ok(ApprovalRow {
        id: id.map_err(|_| sqlx::Error::Decode("an approval's id is no event id".into()))?,
        operation: row.try_get("operation")?,
        permission: row.try_get("permission")?,
        digest: row.try_get("digest")?,
        requested_by: row.try_get("requested_by")?,
        requested_at: Timestamp::from_micros(row.try_get("requested_at")?),
        expires: Timestamp::from_micros(row.try_get("expires")?),
        state: row.try_get("state")?,
        decided_by: row.try_get("decided_by")?,
        decided_at: row.try_get::<Option<i64>, _>("decided_at")?.map(Timestamp::from_micros),
    })
}
