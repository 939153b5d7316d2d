//! Credentials in the database: what an account's person knows, as hashes, and what they are called.

use haris_store::sqlx::{self, Row};
use haris_store::{Tx, insert};

use crate::secret::{derived, hash};
use crate::totp::Totp;
use crate::{Access, AccessError};

/// How a person is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    /// The account.
    pub account: String,
    /// What they log in with.
    pub login: String,
    /// Their name.
    pub name: String,
}

/// What an account's person knows.
pub(crate) struct Credential {
    pub(crate) account: String,
    /// PHC form.
    pub(crate) passphrase: String,
    pub(crate) totp: Totp,
    /// The step of the newest code that was used.
    pub(crate) totp_step: i64,
}

/// The form in which log-in names are compared.
pub(crate) fn folded(login: &str) -> String {
    login.trim().to_lowercase()
}

impl Access {
    /// The secret of one-time codes that belongs to what is kept of it.
    pub(crate) fn totp(&self, kept: &str) -> Totp {
        let made = derived(&hex::encode(self.0.key.as_slice()), &format!("totp:{kept}"));
        let bytes = hex::decode(&made[..40]).expect("a digest in hex");
        Totp::from_bytes(&bytes).expect("twenty bytes")
    }

    pub(crate) async fn credential(&self, login: &str) -> Result<Option<Credential>, AccessError> {
        self.credential_where("login = $1", &folded(login)).await
    }

    pub(crate) async fn credential_of(&self, account: &str) -> Result<Option<Credential>, AccessError> {
        self.credential_where("account = $1", account).await
    }

    async fn credential_where(&self, condition: &'static str, value: &str) -> Result<Option<Credential>, AccessError> {
        let query = format!("SELECT account, passphrase, totp, totp_step FROM access_credential WHERE {condition}");
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(value).fetch_optional(self.0.ledger.sql()).await?;
        let Some(row) = row else { return Ok(None) };
        let kept: Vec<u8> = row.try_get("totp")?;
        Ok(Some(Credential {
            account: row.try_get("account")?,
            passphrase: row.try_get("passphrase")?,
            totp: self.totp(&hex::encode(kept)),
            totp_step: row.try_get("totp_step")?,
        }))
    }

    /// What everybody is called who has credentials.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn faces(&self) -> Result<Vec<Face>, AccessError> {
        let rows =
            sqlx::query("SELECT account, login, name FROM access_credential").fetch_all(self.0.ledger.sql()).await?;
        let face = |row: &sqlx::any::AnyRow| {
            Ok(Face { account: row.try_get("account")?, login: row.try_get("login")?, name: row.try_get("name")? })
        };
        rows.iter().map(face).collect()
    }

    /// Uses a code, of the authenticator or one for the day when it is lost: whether it was right. A code counts once,
    /// also when two ask at the same time.
    pub(crate) async fn use_code(&self, credential: &Credential, code: &str) -> Result<Option<Used>, AccessError> {
        let mut tx = self.0.ledger.store().begin().await?;
        let used = if let Some(step) = credential.totp.step_of(code, self.now(), credential.totp_step) {
            let moved =
                sqlx::query("UPDATE access_credential SET totp_step = $1 WHERE account = $2 AND totp_step < $1");
            let moved = moved.bind(step).bind(&credential.account).execute(&mut *tx).await?;
            (moved.rows_affected() == 1).then_some(Used::Totp)
        } else {
            let spent = sqlx::query("DELETE FROM access_recovery_code WHERE code = $1 AND account = $2");
            let spent = spent.bind(hash(&plain(code)).to_vec()).bind(&credential.account).execute(&mut *tx).await?;
            (spent.rows_affected() == 1).then_some(Used::Recovery)
        };
        tx.commit().await?;
        Ok(used)
    }
}

/// Which kind of code was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Used {
    Totp,
    Recovery,
}

/// A recovery code as it is hashed: however it was typed.
pub(crate) fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// Stores an account's credentials and its recovery codes, in place of any it had.
pub(crate) async fn put(
    tx: &mut Tx<'_>,
    face: &Face,
    passphrase: String,
    totp: Vec<u8>,
    totp_step: i64,
    recovery: &[[u8; 32]],
) -> Result<(), sqlx::Error> {
    forget(tx, &face.account).await?;
    let row = [
        face.account.as_str().into(),
        face.login.as_str().into(),
        face.name.as_str().into(),
        passphrase.into(),
        totp.into(),
        totp_step.into(),
    ];
    let columns = ["account", "login", "name", "passphrase", "totp", "totp_step"];
    insert(tx, "access_credential", columns, vec![row], "").await?;
    let rows = recovery.iter().map(|code| [code.to_vec().into(), face.account.as_str().into()]).collect();
    insert(tx, "access_recovery_code", ["code", "account"], rows, "").await.map(drop)
}

/// Removes all by which an account's person could come in, name included.
pub(crate) async fn forget(tx: &mut Tx<'_>, account: &str) -> Result<(), sqlx::Error> {
    for table in ["access_credential", "access_recovery_code", "access_session", "access_device", "access_invitation"] {
        let query = sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE account = $1"));
        sqlx::query(query).bind(account).execute(&mut **tx).await?;
    }
    Ok(())
}
