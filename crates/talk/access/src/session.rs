//! Sessions: who a browser is, until it was idle or old for too long.

use haris_domain::{Actor, Draft, Timestamp, kind};
use haris_register::Account;
use haris_store::sqlx::{self, Row};

use crate::secret::{derived, hash, same};
use crate::{Access, AccessError, Role, Via, Who, role};

/// How often a session's use is written down.
const SEEN_MICROS: i64 = 60 * 1_000_000;

/// Whoever a browser's cookie belongs to.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who, with their roles at this moment.
    pub who: Who,
    /// Names the session where it is listed; no secret.
    pub handle: String,
    csrf: String,
}

impl Session {
    /// What every form of this session carries along.
    #[must_use]
    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form came from a page of this session.
    #[must_use]
    pub fn is_own(&self, csrf: &str) -> bool {
        same(&self.csrf, csrf)
    }
}

/// A session as its person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its name.
    pub handle: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
    /// What the browser said of itself.
    pub agent: String,
}

impl Access {
    /// Whose session that is, if it is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session(&self, secret: &str) -> Result<Option<Session>, AccessError> {
        let row = sqlx::query("SELECT handle, account, opened_at, seen_at FROM access_session WHERE secret = $1");
        let Some(row) = row.bind(hash(secret).to_vec()).fetch_optional(self.0.ledger.sql()).await? else {
            return Ok(None);
        };
        let (handle, id): (String, String) = (row.try_get("handle")?, row.try_get("account")?);
        let (opened, seen): (i64, i64) = (row.try_get("opened_at")?, row.try_get("seen_at")?);
        let now = self.now().micros();
        let micros = |duration: std::time::Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        // A clock that was set back makes no session younger than it is known to be.
        let idle = now.saturating_sub(seen) > micros(self.0.session_idle);
        if idle || now.saturating_sub(opened) > micros(self.0.session_max) {
            self.end(&handle, &id, Actor::service("access"), if idle { "idle" } else { "old" }).await?;
            return Ok(None);
        }
        let account = haris_register::account(&self.0.ledger, &id).await?;
        let Some(account) = account.filter(|account| account.closed_at.is_none()) else { return Ok(None) };
        if now - seen > SEEN_MICROS {
            let mut tx = self.0.ledger.store().begin().await?;
            let seen = sqlx::query("UPDATE access_session SET seen_at = $1 WHERE handle = $2").bind(now).bind(&handle);
            seen.execute(&mut *tx).await?;
            tx.commit().await?;
        }
        let who = Who { actor: Actor::person(&id), roles: roles_of(&account), via: Via::Session };
        Ok(Some(Session { who, handle, csrf: derived(secret, "csrf") }))
    }

    /// A person with what their account holds at this moment, if it is open.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn person(&self, account: &str) -> Result<Option<Who>, AccessError> {
        let known = haris_register::account(&self.0.ledger, account).await?;
        let open = known.filter(|known| known.closed_at.is_none());
        Ok(open.map(|known| Who { actor: Actor::person(account), roles: roles_of(&known), via: Via::Session }))
    }

    /// The sessions of an account, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sessions(&self, account: &str) -> Result<Vec<SessionRow>, AccessError> {
        let rows = sqlx::query(
            "SELECT handle, opened_at, seen_at, agent FROM access_session WHERE account = $1 ORDER BY opened_at DESC",
        );
        let rows = rows.bind(account).fetch_all(self.0.ledger.sql()).await?;
        let row = |row: &sqlx::any::AnyRow| {
            Ok(SessionRow {
                handle: row.try_get("handle")?,
                opened_at: Timestamp::from_micros(row.try_get("opened_at")?),
                seen_at: Timestamp::from_micros(row.try_get("seen_at")?),
                agent: row.try_get("agent")?,
            })
        };
        rows.iter().map(row).collect()
    }

    /// Ends a session of an account; whether there was one of that name.
    ///
    /// # Errors
    /// When it cannot be ended or recorded.
    pub async fn end_session(&self, account: &str, handle: &str, by: &Actor) -> Result<bool, AccessError> {
        let mine = self.sessions(account).await?.iter().any(|session| session.handle == handle);
        if mine {
            self.end(handle, account, by.clone(), "ended").await?;
        }
        Ok(mine)
    }

    /// Ends every session of an account: its reach has changed.
    ///
    /// # Errors
    /// When they cannot be ended or recorded.
    pub async fn end_sessions(&self, account: &str, by: &Actor) -> Result<(), AccessError> {
        for session in self.sessions(account).await? {
            self.end(&session.handle, account, by.clone(), "reach changed").await?;
        }
        Ok(())
    }

    /// The session is over before its end is recorded: a record that fails opens nothing again.
    async fn end(&self, handle: &str, account: &str, by: Actor, why: &'static str) -> Result<(), AccessError> {
        let mut tx = self.0.ledger.store().begin().await?;
        let gone = sqlx::query("DELETE FROM access_session WHERE handle = $1").bind(handle).execute(&mut *tx).await?;
        tx.commit().await?;
        if gone.rows_affected() == 0 {
            return Ok(());
        }
        let draft = Draft::new(&kind::SESSION_ENDED, self.now(), by).about(Actor::person(account));
        self.record(draft.with("account", account).with("session", handle).with("why", why), None).await
    }
}

/// The roles that an account holds; one that this version does not know gives nothing.
pub(crate) fn roles_of(account: &Account) -> Vec<&'static Role> {
    account.roles.iter().filter_map(|held| role(&held.role)).collect()
}
