//! Callers: the applications that may use the gateway.

use async_trait::async_trait;
use haris_domain::{Timestamp, kind};
use haris_ledger::{Folded, Ledger, Projection};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, Value, insert};

use crate::decode::{integer, text};

/// An application that has, or had, a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Opaque id, without the `caller:` prefix.
    pub id: String,
    /// The application's name.
    pub name: String,
    /// Patterns of the models it may use.
    pub models: Vec<String>,
    /// When its key was issued.
    pub issued_at: Timestamp,
    /// When its key stops being accepted by itself.
    pub expires: Option<Timestamp>,
    /// When its key was revoked.
    pub revoked_at: Option<Timestamp>,
    /// The event that issued the key; its payload `owner` names who answers for it.
    pub event: String,
}

/// The fold of `caller.key.*` events.
pub struct Callers;

#[async_trait]
impl Projection for Callers {
    fn name(&self) -> &'static str {
        "register_caller"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["register_caller"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS register_caller (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            models TEXT NOT NULL,
            issued_at INTEGER NOT NULL,
            expires INTEGER,
            revoked_at INTEGER,
            event TEXT NOT NULL
        );
        CREATE INDEX IF NOT EXISTS register_caller_name ON register_caller (name);"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        for folded in events {
            let event = folded.event;
            if *event.kind == kind::CALLER_ISSUED {
                let models = event.data.get("models").cloned().unwrap_or_default();
                let row = [
                    text(&event.data, "caller").into(),
                    text(&event.data, "name").into(),
                    models.to_string().into(),
                    event.at.micros().into(),
                    Value::MaybeInteger(integer(&event.data, "expires_us")),
                    Value::MaybeInteger(None),
                    event.id.to_string().into(),
                ];
                let columns = ["id", "name", "models", "issued_at", "expires", "revoked_at", "event"];
                insert(tx, "register_caller", columns, vec![row], "ON CONFLICT (id) DO NOTHING").await?;
            } else if *event.kind == kind::CALLER_REVOKED {
                sqlx::query("UPDATE register_caller SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
                    .bind(event.at.micros())
                    .bind(text(&event.data, "caller"))
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }
}

/// All callers, revoked ones included, by name and then age.
///
/// # Errors
/// When the database fails.
pub async fn callers(ledger: &Ledger) -> Result<Vec<Caller>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, name, models, issued_at, expires, revoked_at, event FROM register_caller ORDER BY name, issued_at",
    )
    .fetch_all(ledger.sql())
    .await?;
    rows.iter().map(caller).collect()
}

fn caller(row: &sqlx::any::AnyRow) -> Result<Caller, sqlx::Error> {
    let moment = |column| -> Result<Option<Timestamp>, sqlx::Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
    };
    Ok(Caller {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        models: serde_json::from_str(row.try_get::<&str, _>("models")?).unwrap_or_default(),
        issued_at: Timestamp::from_micros(row.try_get("issued_at")?),
        expires: moment("expires")?,
        revoked_at: moment("revoked_at")?,
        event: row.try_get("event")?,
    })
}

/// The hash of a key, and whose key it is.
#[derive(Clone, Debug)]
pub struct Credential {
    /// SHA-256 of the key.
    pub key_hash: [u8; 32],
    /// Who holds it.
    pub caller: Caller,
}

/// The keys that are accepted: issued on record, and not revoked. Expiry is left to whoever looks
/// at the clock.
///
/// # Errors
/// When the database fails.
pub async fn credentials(ledger: &Ledger) -> Result<Vec<Credential>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.id, c.name, c.models, c.issued_at, c.expires, c.revoked_at, c.event, k.key_hash \
         FROM register_caller c JOIN caller_credential k ON k.caller_id = c.id WHERE c.revoked_at IS NULL",
    )
    .fetch_all(ledger.sql())
    .await?;
    let mut credentials = Vec::with_capacity(rows.len());
    for row in &rows {
        // A hash of another length matches no key: the row is of no use, and harms nobody.
        if let Ok(key_hash) = row.try_get::<Vec<u8>, _>("key_hash")?.try_into() {
            credentials.push(Credential { key_hash, caller: caller(row)? });
        }
    }
    Ok(credentials)
}

/// Stores the hash of a caller's key. Written before the event that issues it: a hash without its
/// event is never accepted, while an event without its hash would be a key that nobody can use.
///
/// # Errors
/// When the database fails.
pub async fn put_credential(ledger: &Ledger, caller_id: &str, key_hash: [u8; 32]) -> Result<(), sqlx::Error> {
    let mut tx = ledger.store().begin().await?;
    let row = [caller_id.into(), key_hash.to_vec().into()];
    insert(&mut tx, "caller_credential", ["caller_id", "key_hash"], vec![row], "").await?;
    tx.commit().await
}

/// Removes the hash of a revoked caller's key.
///
/// # Errors
/// When the database fails.
pub async fn forget_credential(ledger: &Ledger, caller_id: &str) -> Result<(), sqlx::Error> {
    let mut tx = ledger.store().begin().await?;
    sqlx::query("DELETE FROM caller_credential WHERE caller_id = $1").bind(caller_id).execute(&mut *tx).await?;
    tx.commit().await
}
