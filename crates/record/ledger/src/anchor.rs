//! Anchors: the traffic log's checkpoint as an entry of the evidence log.
//!
//! Traffic may be pruned one day; evidence never is. From an anchor on, nobody can give the traffic log another past
//! without giving the evidence log one.

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use haris_domain::{Actor, Digest, Draft, Log, Timestamp, kind};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, Value, insert};

use crate::read::natural;
use crate::{AppendError, Folded, Ledger, Projection, ReadError};

impl Ledger {
    /// The size at which the traffic log was last anchored in the evidence log, and when.
    pub(crate) async fn anchored(&self) -> Result<Option<(u64, Timestamp)>, ReadError> {
        let row = sqlx::query("SELECT size, at FROM ledger_anchor ORDER BY leaf_index DESC LIMIT 1")
            .fetch_optional(self.sql())
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((natural(&row, "size")?, Timestamp::from_micros(row.try_get("at")?))))
    }

    /// Anchors the traffic log's newest checkpoint if it has grown since the last anchor and that is `older_than`
    /// microseconds old.
    pub(crate) async fn anchor(&self, older_than: i64, now: Timestamp) -> Result<bool, AppendError> {
        let Some(checkpoint) = self.checkpoint(Log::Traffic).await? else { return Ok(false) };
        if let Some((size, at)) = self.anchored().await? {
            // A clock that was set back must not put anchors off for long: a last one in the future counts as due.
            let recent = now >= at && now.micros() - at.micros() < older_than;
            if checkpoint.size == size || recent {
                return Ok(false);
            }
        }
        let note = digest(&SHA256, checkpoint.note.as_bytes());
        let note = Digest(note.as_ref().try_into().expect("SHA-256 has 32 bytes"));
        let draft = Draft::new(&kind::TRAFFIC_ANCHORED, now, Actor::service("ledger"))
            .with("origin", self.origin(Log::Traffic))
            .with("size", checkpoint.size)
            .with("root", Digest(checkpoint.root).to_string())
            .with("checkpoint", note.to_string());
        self.append(vec![(draft, Vec::new())]).await?;
        Ok(true)
    }
}

/// Folds anchors into `ledger_anchor`.
pub(crate) struct Anchors;

#[async_trait]
impl Projection for Anchors {
    fn name(&self) -> &'static str {
        "ledger.anchors"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["ledger_anchor"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS ledger_anchor (
            leaf_index INTEGER PRIMARY KEY,
            size INTEGER NOT NULL,
            root TEXT NOT NULL,
            at INTEGER NOT NULL
        )"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        let mut rows: Vec<[Value; 4]> = Vec::new();
        for Folded { index, event, .. } in events.iter().filter(|folded| *folded.event.kind == kind::TRAFFIC_ANCHORED) {
            rows.push([
                crate::read::integer(*index).into(),
                event.data.get("size").and_then(serde_json::Value::as_i64).unwrap_or_default().into(),
                event.data.get("root").and_then(serde_json::Value::as_str).unwrap_or_default().into(),
                event.at.micros().into(),
            ]);
        }
        insert(tx, "ledger_anchor", ["leaf_index", "size", "root", "at"], rows, "").await.map(|_| ())
    }
}
