//! Logging in: name, passphrase and code in one step, and one answer to whatever was wrong.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use haris_domain::{Actor, Draft, kind};
use haris_store::insert;
use haris_store::sqlx;
use zeroize::Zeroizing;

use crate::credential::Used;
use crate::secret::{hash, id, secret};
use crate::throttle::From as Source;
use crate::{Access, AccessError, passphrase};

/// What the browser keeps of a device that logged in before.
const DEVICE_PREFIX: &str = "hd_";
/// What the browser keeps of a session.
const SESSION_PREFIX: &str = "hs_";
/// A browser's account of itself, cut.
const AGENT_CHARACTERS_MAX: usize = 120;

/// What somebody claims.
pub struct LogIn<'a> {
    /// The name to log in with.
    pub login: &'a str,
    /// The passphrase.
    pub passphrase: &'a str,
    /// A one-time code, or one of the recovery codes.
    pub code: &'a str,
    /// Where they come from.
    pub address: IpAddr,
    /// What this browser was given when it logged in before.
    pub device: Option<&'a str>,
    /// What the browser says of itself.
    pub agent: &'a str,
}

/// A session that was opened.
pub struct LoggedIn {
    /// The account's id.
    pub account: String,
    /// The session's secret, for a cookie.
    pub session: Zeroizing<String>,
    /// The device's secret, for a cookie that outlives the session.
    pub device: Zeroizing<String>,
    /// Whether a recovery code was spent.
    pub recovery_used: bool,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// Which of them is not said.
    #[error("the name, the passphrase or the code is not right")]
    Wrong,
    /// Too many attempts from there.
    #[error("too many attempts from here: try again in {} s", wait.as_secs() + 1)]
    Wait {
        /// For how long.
        wait: Duration,
    },
    /// Something failed here.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl From<sqlx::Error> for LogInError {
    fn from(error: sqlx::Error) -> Self {
        Self::Access(error.into())
    }
}

impl Access {
    /// Opens a session for whoever knows the passphrase and has the authenticator.
    ///
    /// # Errors
    /// When something is not right, or too much was tried from there.
    pub async fn log_in(&self, claimed: LogIn<'_>) -> Result<LoggedIn, LogInError> {
        let source = self.source(claimed.address, claimed.device).await?;
        self.attempt(&source).await?;
        let known = self.credential(claimed.login).await?;
        let kept = known.as_ref().map(|credential| credential.passphrase.clone());
        let right = passphrase::verify(claimed.passphrase, kept).await;
        let Some(credential) = known.filter(|_| right) else { return self.wrong().await };
        let account = haris_register::account(&self.0.ledger, &credential.account).await?;
        if account.is_none_or(|account| account.closed_at.is_some()) {
            return self.wrong().await;
        }
        let Some(used) = self.use_code(&credential, claimed.code).await? else { return self.wrong().await };
        self.0.throttle.succeeded(&source);

        let (session, device) = (secret(SESSION_PREFIX), secret(DEVICE_PREFIX));
        let (handle, now) = (id('s'), self.now());
        let agent: String = claimed.agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARACTERS_MAX).collect();
        let actor = Actor::person(&credential.account);
        if used == Used::Recovery {
            let draft = Draft::new(&kind::RECOVERY_USED, now, actor.clone()).about(&actor);
            self.record(draft.with("account", credential.account.clone()), None).await?;
        }
        // On record before it can be used.
        let draft = Draft::new(&kind::SESSION_OPENED, now, actor.clone()).about(&actor);
        self.record(draft.with("account", credential.account.clone()).with("session", handle.clone()), None).await?;
        let mut tx = self.0.ledger.store().begin().await?;
        let row = [
            hash(&session).to_vec().into(),
            handle.into(),
            credential.account.as_str().into(),
            now.micros().into(),
            now.micros().into(),
            agent.into(),
        ];
        let columns = ["secret", "handle", "account", "opened_at", "seen_at", "agent"];
        insert(&mut tx, "access_session", columns, vec![row], "").await?;
        if let Some(old) = claimed.device {
            sqlx::query("DELETE FROM access_device WHERE secret = $1")
                .bind(hash(old).to_vec())
                .execute(&mut *tx)
                .await?;
        }
        let row = [hash(&device).to_vec().into(), credential.account.as_str().into(), now.micros().into()];
        insert(&mut tx, "access_device", ["secret", "account", "seen_at"], vec![row], "").await?;
        tx.commit().await?;
        Ok(LoggedIn { account: credential.account, session, device, recovery_used: used == Used::Recovery })
    }

    /// Whether this person has the authenticator in hand: asked again before what cannot be undone.
    ///
    /// # Errors
    /// When the code is not right, or too much was tried.
    pub async fn confirm(&self, account: &str, code: &str) -> Result<(), LogInError> {
        let source = Source::Account(account.to_owned());
        self.attempt(&source).await?;
        let Some(credential) = self.credential_of(account).await? else { return self.wrong().await };
        match self.use_code(&credential, code).await? {
            Some(Used::Totp) => {
                self.0.throttle.succeeded(&source);
                Ok(())
            }
            Some(Used::Recovery) => {
                self.0.throttle.succeeded(&source);
                let actor = Actor::person(account);
                let draft = Draft::new(&kind::RECOVERY_USED, self.now(), actor.clone()).about(&actor);
                self.record(draft.with("account", account), None).await?;
                Ok(())
            }
            None => self.wrong().await,
        }
    }

    async fn source(&self, address: IpAddr, device: Option<&str>) -> Result<Source, AccessError> {
        let Some(device) = device.map(hash) else { return Ok(Source::network(address)) };
        let known = sqlx::query("SELECT account FROM access_device WHERE secret = $1").bind(device.to_vec());
        let known = known.fetch_optional(self.0.ledger.sql()).await?.is_some();
        Ok(if known { Source::Device(device) } else { Source::network(address) })
    }

    async fn attempt(&self, source: &Source) -> Result<(), LogInError> {
        if let Err(wait) = self.0.throttle.attempt(source, Instant::now()) {
            self.refused("throttled").await?;
            return Err(LogInError::Wait { wait });
        }
        Ok(())
    }

    async fn wrong<T>(&self) -> Result<T, LogInError> {
        self.refused("credentials").await?;
        Err(LogInError::Wrong)
    }
}
