//! Coming in for the first time: the officer by the link that the first start prints, everybody else by an invitation.
//!
//! The first link lives in memory alone: it is over after half an hour, with the process, or when it was used. The
//! secret of one-time codes is made from the link, so that the page that shows it and the form that comes back need
//! nothing kept between them.

use std::time::{Duration, Instant};

use haris_domain::{Actor, Draft, Timestamp, kind};
use haris_store::insert;
use haris_store::sqlx::{self, Row};
use zeroize::Zeroizing;

use crate::passphrase::{self, BadPassphrase};
use crate::secret::{derived, hash, random, same, secret};
use crate::totp::{Totp, base32};
use crate::{Access, AccessError, Face, credential};

/// What every link's secret begins with.
pub const LINK_PREFIX: &str = "hl_";
const FIRST_LINK_AGE: Duration = Duration::from_secs(30 * 60);
const INVITATION_MICROS: i64 = 24 * 3_600 * 1_000_000;
const RECOVERY_CODES: usize = 10;
const LOGIN_BYTES: std::ops::RangeInclusive<usize> = 2..=32;
const NAME_CHARACTERS_MAX: usize = 80;

pub(crate) struct FirstLink {
    secret: [u8; 32],
    made: Instant,
}

/// A link that can be used at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invitation {
    /// The first officer's.
    First,
    /// That of an account that was made for somebody.
    Account(String),
}

/// What a person chooses.
pub struct Enrol<'a> {
    /// The link's secret.
    pub link: &'a str,
    /// The name to log in with: letters, digits, `.`, `-`, `_`.
    pub login: &'a str,
    /// How the person is called.
    pub name: &'a str,
    /// The passphrase.
    pub passphrase: &'a str,
    /// A code that the authenticator shows for the new secret.
    pub code: &'a str,
}

/// An account that can be used now.
pub struct Enrolled {
    /// The account's id.
    pub account: String,
    /// Codes for the day when the authenticator is lost, shown this once.
    pub recovery: Vec<Zeroizing<String>>,
}

/// Why somebody did not come in.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The link is wrong, used or too old.
    #[error("this link is not valid, or not any more: {what_to_do}")]
    Link {
        /// Where to get another.
        what_to_do: &'static str,
    },
    /// Not a name to log in with.
    #[error("a name to log in with is 2 to 32 letters, digits, `.`, `-` or `_`, for example m.alkuwari")]
    Login,
    /// Somebody has it.
    #[error("that name is taken: choose another")]
    Taken,
    /// Not a person's name.
    #[error("give the person's name, up to {NAME_CHARACTERS_MAX} characters")]
    Name,
    /// Not a good passphrase.
    #[error(transparent)]
    Passphrase(#[from] BadPassphrase),
    /// The authenticator shows another.
    #[error(
        "that is not the code which the authenticator shows for this secret: check its clock, and type the newest code"
    )]
    Code,
    /// Something failed here.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl From<sqlx::Error> for EnrolError {
    fn from(error: sqlx::Error) -> Self {
        Self::Access(error.into())
    }
}

const NEW_LINK: &str = "the server prints a new one at its next start, and an officer can make a new invitation";

impl Access {
    /// The first officer's link, where there is no officer: any made before is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_link(&self) -> Result<Option<Zeroizing<String>>, AccessError> {
        if self.founded().await? {
            return Ok(None);
        }
        let link = secret(LINK_PREFIX);
        *self.0.first.lock() = Some(FirstLink { secret: hash(&link), made: Instant::now() });
        Ok(Some(link))
    }

    /// Makes a link by which the person of an account sets its credentials, good for a day after `delay`; any made before
    /// is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn invite(&self, account: &str, delay: Duration) -> Result<Zeroizing<String>, AccessError> {
        let link = secret(LINK_PREFIX);
        let mut tx = self.0.ledger.store().begin().await?;
        sqlx::query("DELETE FROM access_invitation WHERE account = $1").bind(account).execute(&mut *tx).await?;
        let starts = self.now().plus_micros(i64::try_from(delay.as_micros()).unwrap_or(i64::MAX));
        let expires = starts.plus_micros(INVITATION_MICROS).micros();
        let row = [hash(&link).to_vec().into(), account.into(), starts.micros().into(), expires.into()];
        insert(&mut tx, "access_invitation", ["secret", "account", "starts", "expires"], vec![row], "").await?;
        tx.commit().await?;
        Ok(link)
    }

    /// What a link is good for, if for anything.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn invitation(&self, link: &str) -> Result<Option<Invitation>, AccessError> {
        let hashed = hash(link);
        let first = self.0.first.lock().as_ref().is_some_and(|first| {
            first.made.elapsed() < FIRST_LINK_AGE && same(&hex::encode(first.secret), &hex::encode(hashed))
        });
        if first {
            return Ok((!self.founded().await?).then_some(Invitation::First));
        }
        let row = sqlx::query("SELECT account, starts, expires FROM access_invitation WHERE secret = $1")
            .bind(hashed.to_vec());
        let Some(row) = row.fetch_optional(self.0.ledger.sql()).await? else { return Ok(None) };
        let account: String = row.try_get("account")?;
        let (starts, expires) = (row.try_get("starts")?, row.try_get("expires")?);
        let open =
            haris_register::account(&self.0.ledger, &account).await?.is_some_and(|known| known.closed_at.is_none());
        let good = Timestamp::from_micros(starts)..Timestamp::from_micros(expires);
        Ok((open && good.contains(&self.now())).then_some(Invitation::Account(account)))
    }

    /// The secret of one-time codes that this link's page shows.
    #[must_use]
    pub fn totp_of_link(&self, link: &str) -> Totp {
        self.totp(&derived(link, "totp"))
    }

    /// Sets the credentials of the person who has a link.
    ///
    /// # Errors
    /// When the link is not good, or what was chosen is not.
    pub async fn enrol(&self, chosen: Enrol<'_>) -> Result<Enrolled, EnrolError> {
        let invitation = self.invitation(chosen.link).await?.ok_or(EnrolError::Link { what_to_do: NEW_LINK })?;
        let login = credential::folded(chosen.login);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        if !LOGIN_BYTES.contains(&login.len()) || !login.bytes().all(plain) {
            return Err(EnrolError::Login);
        }
        let name = chosen.name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || name.chars().any(char::is_control) {
            return Err(EnrolError::Name);
        }
        passphrase::check(chosen.passphrase, &login)?;
        let totp = self.totp_of_link(chosen.link);
        let step = totp.step_of(chosen.code, self.now(), 0).ok_or(EnrolError::Code)?;
        let account = match &invitation {
            Invitation::First => self.new_account(),
            Invitation::Account(account) => account.clone(),
        };
        let taken = self.credential(&login).await?.is_some_and(|known| known.account != account);
        if taken && invitation != Invitation::First {
            return Err(EnrolError::Taken);
        }
        let passphrase = passphrase::hash(chosen.passphrase).await;
        let recovery: Vec<_> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let hashed: Vec<_> = recovery.iter().map(|code| hash(&credential::plain(code))).collect();
        let kept = hex::decode(derived(chosen.link, "totp")).expect("a digest in hex");

        let face = Face { account: account.clone(), login, name: name.to_owned() };
        // Credentials first: without their account they let nobody in, while an account without them would be an
        // officer who can never come.
        let mut tx = self.0.ledger.store().begin().await?;
        if let Invitation::Account(_) = invitation {
            // The link is used by the first who comes.
            let spent = sqlx::query("DELETE FROM access_invitation WHERE secret = $1").bind(hash(chosen.link).to_vec());
            if spent.execute(&mut *tx).await?.rows_affected() != 1 {
                return Err(EnrolError::Link { what_to_do: NEW_LINK });
            }
        } else if self.0.first.lock().take().is_some() {
            // Credentials whose account could not be recorded the last time.
            let strays = "DELETE FROM access_credential WHERE account NOT IN (SELECT id FROM register_account)";
            sqlx::query(strays).execute(&mut *tx).await?;
        } else {
            return Err(EnrolError::Link { what_to_do: NEW_LINK });
        }
        credential::put(&mut tx, &face, passphrase, kept, step, &hashed).await?;
        tx.commit().await?;
        let actor = Actor::person(&account);
        if invitation == Invitation::First {
            let draft = Draft::new(&kind::ACCOUNT_CREATED, self.now(), actor.clone())
                .about(&actor)
                .with("account", account.clone())
                .with("roles", vec!["officer"]);
            self.record(draft, Some(("name", &face.name))).await?;
        }
        let draft = Draft::new(&kind::CREDENTIAL_SET, self.now(), actor.clone())
            .about(&actor)
            .with("account", account.clone())
            .with("set", vec!["passphrase", "totp", "recovery"]);
        self.record(draft, None).await?;
        Ok(Enrolled { account, recovery })
    }
}

/// Eighty bits, in groups that can be read out.
fn recovery_code() -> Zeroizing<String> {
    let plain = base32(random::<10>().as_slice());
    Zeroizing::new([&plain[..4], &plain[4..8], &plain[8..12], &plain[12..]].join("-"))
}
