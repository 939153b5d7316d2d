//! Accounts: the persons that may come in, and the roles each holds since when and by whom.
//!
//! No event carries a name: it is a payload of the event that made the account, and beside the credentials, from where
//! it can be forgotten.

use async_trait::async_trait;
use haris_domain::{Timestamp, kind};
use haris_ledger::{Folded, Ledger, Projection};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, Value, insert};

use crate::decode::{text, texts};

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Opaque id, without the `person:` prefix.
    pub id: String,
    /// What it holds.
    pub roles: Vec<HeldRole>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it: an actor.
    pub created_by: String,
    /// When it was closed, for good.
    pub closed_at: Option<Timestamp>,
    /// The event that made it.
    pub event: String,
}

/// One role that an account holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRole {
    /// The role's name.
    pub role: String,
    /// Since when.
    pub since: Timestamp,
    /// Who gave it: an actor.
    pub by: String,
}

impl Account {
    /// Whether the account is open and holds that role.
    #[must_use]
    pub fn holds(&self, role: &str) -> bool {
        self.closed_at.is_none() && self.roles.iter().any(|held| held.role == role)
    }
}

/// The fold of `access.account.*` events.
pub struct Accounts;

#[async_trait]
impl Projection for Accounts {
    fn name(&self) -> &'static str {
        "register_account"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["register_account", "register_account_role"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS register_account (
            id TEXT PRIMARY KEY,
            created_at INTEGER NOT NULL,
            created_by TEXT NOT NULL,
            closed_at INTEGER,
            event TEXT NOT NULL
        );
        CREATE TABLE IF NOT EXISTS register_account_role (
            account TEXT NOT NULL,
            role TEXT NOT NULL,
            since INTEGER NOT NULL,
            given_by TEXT NOT NULL,
            PRIMARY KEY (account, role)
        );"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        for folded in events {
            let event = folded.event;
            let account = || text(&event.data, "account");
            if *event.kind == kind::ACCOUNT_CREATED {
                let row = [
                    account().into(),
                    event.at.micros().into(),
                    event.actor.as_str().into(),
                    Value::MaybeInteger(None),
                    event.id.to_string().into(),
                ];
                let columns = ["id", "created_at", "created_by", "closed_at", "event"];
                insert(tx, "register_account", columns, vec![row], "ON CONFLICT (id) DO NOTHING").await?;
                give(tx, folded, &account()).await?;
            } else if *event.kind == kind::ACCOUNT_CHANGED {
                let roles = texts(&event.data, "roles");
                // A role that stays keeps its age.
                let held = sqlx::query("SELECT role FROM register_account_role WHERE account = $1").bind(account());
                for row in held.fetch_all(&mut **tx).await? {
                    let role: String = row.try_get("role")?;
                    if !roles.contains(&role) {
                        sqlx::query("DELETE FROM register_account_role WHERE account = $1 AND role = $2")
                            .bind(account())
                            .bind(role)
                            .execute(&mut **tx)
                            .await?;
                    }
                }
                give(tx, folded, &account()).await?;
            } else if *event.kind == kind::ACCOUNT_CLOSED {
                sqlx::query("UPDATE register_account SET closed_at = $1 WHERE id = $2 AND closed_at IS NULL")
                    .bind(event.at.micros())
                    .bind(account())
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }
}

async fn give(tx: &mut Tx<'_>, folded: &Folded<'_>, account: &str) -> Result<(), sqlx::Error> {
    let event = folded.event;
    let rows = texts(&event.data, "roles")
        .into_iter()
        .map(|role| [account.into(), role.into(), event.at.micros().into(), event.actor.as_str().into()]);
    let columns = ["account", "role", "since", "given_by"];
    insert(tx, "register_account_role", columns, rows.collect(), "ON CONFLICT (account, role) DO NOTHING")
        .await
        .map(drop)
}

/// All accounts, closed ones included, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn accounts(ledger: &Ledger) -> Result<Vec<Account>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, created_at, created_by, closed_at, event FROM register_account ORDER BY created_at, id",
    );
    let mut accounts = Vec::new();
    for row in rows.fetch_all(ledger.sql()).await? {
        accounts.push(account_of(&row)?);
    }
    let held = sqlx::query("SELECT account, role, since, given_by FROM register_account_role ORDER BY role");
    for row in held.fetch_all(ledger.sql()).await? {
        let id: String = row.try_get("account")?;
        if let Some(account) = accounts.iter_mut().find(|account| account.id == id) {
            account.roles.push(held_role(&row)?);
        }
    }
    Ok(accounts)
}

/// The account of that id.
///
/// # Errors
/// When the database fails.
pub async fn account(ledger: &Ledger, id: &str) -> Result<Option<Account>, sqlx::Error> {
    let row =
        sqlx::query("SELECT id, created_at, created_by, closed_at, event FROM register_account WHERE id = $1").bind(id);
    let Some(row) = row.fetch_optional(ledger.sql()).await? else { return Ok(None) };
    let mut account = account_of(&row)?;
    let held = sqlx::query("SELECT role, since, given_by FROM register_account_role WHERE account = $1 ORDER BY role")
        .bind(id);
    for row in held.fetch_all(ledger.sql()).await? {
        account.roles.push(held_role(&row)?);
    }
    Ok(Some(account))
}

fn account_of(row: &sqlx::any::AnyRow) -> Result<Account, sqlx::Error> {
    Ok(Account {
        id: row.try_get("id")?,
        roles: Vec::new(),
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        created_by: row.try_get("created_by")?,
        closed_at: row.try_get::<Option<i64>, _>("closed_at")?.map(Timestamp::from_micros),
        event: row.try_get("event")?,
    })
}

fn held_role(row: &sqlx::any::AnyRow) -> Result<HeldRole, sqlx::Error> {
    Ok(HeldRole {
        role: row.try_get("role")?,
        since: Timestamp::from_micros(row.try_get("since")?),
        by: row.try_get("given_by")?,
    })
}
