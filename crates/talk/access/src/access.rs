//! The handle, and who may do what through it.

use std::sync::Arc;
use std::time::Duration;

use haris_domain::{Draft, OperationMeta, SealedPayload, Stored, Timestamp};
use haris_ledger::{AppendError, Ledger};
use haris_store::sqlx;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::enrol::FirstLink;
use crate::refused::Refusals;
use crate::throttle::Throttle;
use crate::{Authority, NotAllowed, Who};

/// What access works on.
pub struct Options {
    /// Accounts are events, and tables that fold from them.
    pub ledger: Ledger,
    /// The key from which one-time codes' secrets are made; it never changes.
    pub key: Zeroizing<[u8; 32]>,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// A session that nobody used for so long has ended.
    pub session_idle: Duration,
    /// A session has ended after so long, used or not.
    pub session_max: Duration,
}

/// Who may come in, and what they may do. Cheap to clone.
#[derive(Clone)]
pub struct Access(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    pub(crate) key: Zeroizing<[u8; 32]>,
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) session_idle: Duration,
    pub(crate) session_max: Duration,
    pub(crate) throttle: Throttle,
    pub(crate) refusals: Refusals,
    /// The link by which the first officer comes in, until it is used or too old.
    pub(crate) first: Mutex<Option<FirstLink>>,
    authority: Authority,
}

/// Why it cannot be told who somebody is, or be recorded.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The database failed.
    #[error("accounts could not be read or written")]
    Database(#[from] sqlx::Error),
    /// What happened could not be recorded, so it did not happen.
    #[error("it could not be recorded")]
    Record(#[from] AppendError),
    /// There is no data key for today.
    #[error("there is no data key for today yet: try again in a moment")]
    NoDayKey,
}

impl Access {
    /// Whoever comes in, over that ledger.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Inner {
            ledger: options.ledger,
            key: options.key,
            clock: options.clock,
            session_idle: options.session_idle,
            session_max: options.session_max,
            throttle: Throttle::default(),
            refusals: Refusals::default(),
            first: Mutex::new(None),
            authority: Authority::new(),
        }))
    }

    /// Whether there is an officer: somebody who holds the role, and can come in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn founded(&self) -> Result<bool, AccessError> {
        let row = sqlx::query(
            "SELECT a.id FROM register_account a JOIN register_account_role r ON r.account = a.id \
             WHERE r.role = 'officer' AND a.closed_at IS NULL LIMIT 1",
        );
        Ok(row.fetch_optional(self.0.ledger.sql()).await?.is_some())
    }

    /// Whether `who` may do that.
    ///
    /// # Errors
    /// When not, with the nearest reason; and when the database fails.
    pub async fn may(
        &self,
        who: &Who,
        operation: &'static OperationMeta,
    ) -> Result<Result<(), NotAllowed>, AccessError> {
        // Asked of the database only where it makes a difference: whoever looks because the database is away may look.
        match self.0.authority.may(who, operation, true) {
            Ok(()) => Ok(Ok(())),
            Err(_) => Ok(self.0.authority.may(who, operation, self.founded().await?)),
        }
    }

    /// Whether `who` reaches so far as a permission, whatever the operation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reaches(&self, who: &Who, permission: &str) -> Result<bool, AccessError> {
        let holds = |founded| self.0.authority.holds(who, permission, founded);
        Ok(holds(true) || holds(self.founded().await?))
    }

    /// Whether `who`, a person, holds a permission: for pages that show what is out of reach as such.
    #[must_use]
    pub fn holds(&self, who: &Who, permission: &str) -> bool {
        self.0.authority.holds(who, permission, true)
    }

    /// An id for a new account.
    #[must_use]
    pub fn new_account(&self) -> String {
        crate::secret::id('p')
    }

    /// Forgets all by which an account's person could come in, their name included.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget(&self, account: &str) -> Result<(), AccessError> {
        let mut tx = self.0.ledger.store().begin().await?;
        crate::credential::forget(&mut tx, account).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// Records one event, with a text as its payload where there is one.
    pub(crate) async fn record(&self, draft: Draft, text: Option<(&str, &str)>) -> Result<(), AccessError> {
        let payloads: Vec<SealedPayload> = match text {
            None => Vec::new(),
            Some((name, text)) => {
                let day = self.0.ledger.day_keys().for_day(draft.at).ok_or(AccessError::NoDayKey)?;
                vec![haris_keys::seal_payload(&day, draft.id, name, Stored::Full, text.as_bytes(), None)]
            }
        };
        self.0.ledger.append(vec![(draft, payloads)]).await?;
        Ok(())
    }
}
