//! Tokens: what a person lets a program do in their name, and until when.

use async_trait::async_trait;
use haris_domain::{Timestamp, kind};
use haris_ledger::{Folded, Ledger, Projection};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, Value, insert};

use crate::decode::{integer, text, texts};

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Opaque id.
    pub id: String,
    /// Whose it is: an account.
    pub account: String,
    /// The permissions it was given.
    pub scopes: Vec<String>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it stops being accepted by itself.
    pub expires: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// The fold of `access.token.*` events.
pub struct Tokens;

#[async_trait]
impl Projection for Tokens {
    fn name(&self) -> &'static str {
        "register_token"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["register_token"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS register_token (
            id TEXT PRIMARY KEY,
            account TEXT NOT NULL,
            scopes TEXT NOT NULL,
            issued_at INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            revoked_at INTEGER
        );
        CREATE INDEX IF NOT EXISTS register_token_account ON register_token (account);"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        for folded in events {
            let event = folded.event;
            if *event.kind == kind::TOKEN_ISSUED {
                let row = [
                    text(&event.data, "token").into(),
                    text(&event.data, "account").into(),
                    texts(&event.data, "scopes").join(" ").into(),
                    event.at.micros().into(),
                    // One without an end is over at once.
                    integer(&event.data, "expires_us").unwrap_or(0).into(),
                    Value::MaybeInteger(None),
                ];
                let columns = ["id", "account", "scopes", "issued_at", "expires", "revoked_at"];
                insert(tx, "register_token", columns, vec![row], "ON CONFLICT (id) DO NOTHING").await?;
            } else if *event.kind == kind::TOKEN_REVOKED {
                sqlx::query("UPDATE register_token SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
                    .bind(event.at.micros())
                    .bind(text(&event.data, "token"))
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }
}

/// The tokens of an account, newest first.
///
/// # Errors
/// When the database fails.
pub async fn tokens(ledger: &Ledger, account: &str) -> Result<Vec<Token>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, account, scopes, issued_at, expires, revoked_at FROM register_token WHERE account = $1 \
         ORDER BY issued_at DESC",
    );
    rows.bind(account).fetch_all(ledger.sql()).await?.iter().map(token_of).collect()
}

/// The token of that id.
///
/// # Errors
/// When the database fails.
pub async fn token(ledger: &Ledger, id: &str) -> Result<Option<Token>, sqlx::Error> {
    let row =
        sqlx::query("SELECT id, account, scopes, issued_at, expires, revoked_at FROM register_token WHERE id = $1");
    row.bind(id).fetch_optional(ledger.sql()).await?.as_ref().map(token_of).transpose()
}

fn token_of(row: &sqlx::any::AnyRow) -> Result<Token, sqlx::Error> {
    Ok(Token {
        id: row.try_get("id")?,
        account: row.try_get("account")?,
        scopes: row.try_get::<&str, _>("scopes")?.split_whitespace().map(str::to_owned).collect(),
        issued_at: Timestamp::from_micros(row.try_get("issued_at")?),
        expires: Timestamp::from_micros(row.try_get("expires")?),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(Timestamp::from_micros),
    })
}
