//! Tokens: a program acts in a person's name, within scopes and until a day.

use std::collections::BTreeSet;

use haris_domain::{Actor, Draft, kind};
use haris_store::insert;
use haris_store::sqlx::{self, Row};
use zeroize::Zeroizing;

use crate::secret::{hash, id, secret};
use crate::session::roles_of;
use crate::{Access, AccessError, Via, Who};

const PREFIX: &str = "ht_";
const DAY_MICROS: i64 = 86_400_000_000;
/// A token that nobody remembers must end by itself.
const DAYS_MAX: u32 = 366;

/// A token, its secret shown this once.
pub struct IssuedToken {
    /// Its id.
    pub id: String,
    /// What a program sends.
    pub secret: Zeroizing<String>,
}

/// Why a token is not made.
#[derive(Debug, thiserror::Error)]
pub enum BadScopes {
    /// For nothing.
    #[error("a token needs at least one scope: a permission that you hold yourself, such as `events.read`")]
    None,
    /// Beyond its holder.
    #[error("a token of yours cannot hold `{scope}`: you do not hold it yourself, or only a person does")]
    Beyond {
        /// Which.
        scope: String,
    },
    /// Without end.
    #[error("a token is good for 1 to {DAYS_MAX} days")]
    Days,
    /// Not a person.
    #[error("only a person has tokens")]
    Nobody,
    /// Something failed here.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl Access {
    /// Makes a token for whoever asks.
    ///
    /// # Errors
    /// When its scopes reach beyond its holder, or it would be good for too long.
    pub async fn issue_token(&self, who: &Who, scopes: &BTreeSet<String>, days: u32) -> Result<IssuedToken, BadScopes> {
        let account = who.account().ok_or(BadScopes::Nobody)?;
        if scopes.is_empty() {
            return Err(BadScopes::None);
        }
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(BadScopes::Days);
        }
        // A program neither makes further tokens nor agrees to anything.
        let never = ["account.own", "approvals.give"];
        if let Some(beyond) = scopes.iter().find(|scope| never.contains(&scope.as_str()) || !self.holds(who, scope)) {
            return Err(BadScopes::Beyond { scope: beyond.chars().take(64).collect() });
        }
        let (token, secret, now) = (id('t'), secret(PREFIX), self.now());
        let mut tx = self.0.ledger.store().begin().await.map_err(AccessError::from)?;
        let row = [hash(&secret).to_vec().into(), token.as_str().into()];
        insert(&mut tx, "access_token", ["secret", "token"], vec![row], "").await.map_err(AccessError::from)?;
        tx.commit().await.map_err(AccessError::from)?;
        let draft = Draft::new(&kind::TOKEN_ISSUED, now, who.actor.clone())
            .about(&who.actor)
            .with("token", token.clone())
            .with("account", account)
            .with("scopes", scopes.iter().cloned().collect::<Vec<_>>())
            .with("expires_us", now.plus_micros(i64::from(days) * DAY_MICROS).micros());
        self.record(draft, None).await?;
        Ok(IssuedToken { id: token, secret })
    }

    /// Stops accepting a token of an account; whether there was one of that id that was accepted.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn revoke_token(&self, account: &str, token: &str, by: &Actor) -> Result<bool, AccessError> {
        let known = haris_register::token(&self.0.ledger, token).await?;
        if known.is_none_or(|known| known.account != account || known.revoked_at.is_some()) {
            return Ok(false);
        }
        let draft = Draft::new(&kind::TOKEN_REVOKED, self.now(), by.clone()).about(Actor::person(account));
        self.record(draft.with("token", token).with("account", account), None).await?;
        let mut tx = self.0.ledger.store().begin().await?;
        sqlx::query("DELETE FROM access_token WHERE token = $1").bind(token).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whose token that is, if it is accepted at this moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token(&self, secret: &str) -> Result<Option<Who>, AccessError> {
        if !secret.starts_with(PREFIX) {
            return Ok(None);
        }
        let row = sqlx::query("SELECT token FROM access_token WHERE secret = $1").bind(hash(secret).to_vec());
        let Some(row) = row.fetch_optional(self.0.ledger.sql()).await? else { return Ok(None) };
        let Some(token) = haris_register::token(&self.0.ledger, row.try_get("token")?).await? else { return Ok(None) };
        if token.revoked_at.is_some() || self.now() >= token.expires {
            return Ok(None);
        }
        let account = haris_register::account(&self.0.ledger, &token.account).await?;
        let Some(account) = account.filter(|account| account.closed_at.is_none()) else { return Ok(None) };
        let scopes = token.scopes.into_iter().collect();
        Ok(Some(Who { actor: Actor::person(&account.id), roles: roles_of(&account), via: Via::Token { scopes } }))
    }
}
