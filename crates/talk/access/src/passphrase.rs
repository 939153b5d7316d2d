//! Passphrases, kept as Argon2id (RFC 9106) in PHC form.
//!
//! 19 MiB, two passes, one lane: the first of OWASP's recommended settings. A log-in with an unknown name costs the same
//! as one with a known name, and no more than a few run at a time, so that guessing costs the guard neither memory nor
//! its answer to those who may come in.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::secret::random;

/// Short ones are guessed; a sentence is easier to keep in mind than a riddle.
pub const CHARACTERS_MIN: usize = 12;
/// Longer ones are somebody's file.
const BYTES_MAX: usize = 1_024;
/// Hashes computed at a time.
const AT_A_TIME: usize = 2;

static TURNS: Semaphore = Semaphore::const_new(AT_A_TIME);

/// Why a passphrase is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPassphrase {
    /// Guessed in no time.
    #[error(
        "a passphrase has at least {CHARACTERS_MIN} characters; four or five words that do not belong together are good"
    )]
    Short,
    /// No passphrase.
    #[error("a passphrase has at most {BYTES_MAX} bytes")]
    Long,
    /// The first thing that is tried.
    #[error("the passphrase must not be made of the account's name, or of one character or word repeated")]
    Obvious,
}

/// As it is hashed: the same letters typed on another keyboard are the same passphrase (RFC 8265 recommends NFC).
fn normal(passphrase: &str) -> Zeroizing<String> {
    Zeroizing::new(passphrase.nfc().collect())
}

/// Whether a passphrase may be chosen by the account of that name.
///
/// # Errors
/// When it is too short, too long, or the first thing that is tried.
pub fn check(passphrase: &str, name: &str) -> Result<(), BadPassphrase> {
    let passphrase = normal(passphrase);
    if passphrase.len() > BYTES_MAX {
        return Err(BadPassphrase::Long);
    }
    if passphrase.chars().count() < CHARACTERS_MIN {
        return Err(BadPassphrase::Short);
    }
    let folded = Zeroizing::new(passphrase.to_lowercase());
    let without = folded.replace(&name.to_lowercase(), "");
    let mut different: Vec<_> = folded.chars().collect();
    different.sort_unstable();
    different.dedup();
    let words: std::collections::BTreeSet<_> = folded.split_whitespace().collect();
    let repeated = words.len() == 1 && folded.split_whitespace().count() > 1;
    if without.chars().count() < CHARACTERS_MIN / 2 || different.len() < 5 || repeated {
        return Err(BadPassphrase::Obvious);
    }
    Ok(())
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1_024, 2, 1, None).expect("the settings are within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// What is kept of a passphrase.
///
/// # Panics
/// Never: the settings are constants, and a test hashes with them.
pub async fn hash(passphrase: &str) -> String {
    let passphrase = normal(passphrase);
    turn(move || {
        let salt = SaltString::encode_b64(random::<16>().as_slice()).expect("16 bytes make a salt");
        argon2()
            .hash_password(passphrase.as_bytes(), &salt)
            .expect("the settings are within Argon2's bounds")
            .to_string()
    })
    .await
}

/// Whether that is the passphrase. Without a hash (there is no such account) it takes as long, and is not.
pub async fn verify(passphrase: &str, kept: Option<String>) -> bool {
    // Of a passphrase that nobody has: a log-in that knows no name compares with this one.
    const NOBODYS: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmU$v0nXo0m3b1Vd2yqK6QwJ9p0eQxS2y8G5yq2mQpD4uXQ";
    if passphrase.len() > BYTES_MAX {
        return false;
    }
    let passphrase = normal(passphrase);
    turn(move || {
        let known = kept.is_some();
        let kept = kept.unwrap_or_else(|| NOBODYS.to_owned());
        let Ok(parsed) = PasswordHash::new(&kept) else { return false };
        argon2().verify_password(passphrase.as_bytes(), &parsed).is_ok() && known
    })
    .await
}

async fn turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let turn = TURNS.acquire().await.expect("the turns are never closed");
    let done = tokio::task::spawn_blocking(work).await.expect("hashing does not panic");
    drop(turn);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_passphrase_opens_with_itself_alone_however_it_was_typed() {
        let kept = hash("caf\u{e9} lantern orbit nine").await;
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(verify("cafe\u{301} lantern orbit nine", Some(kept.clone())).await);
        assert!(!verify("cafe lantern orbit nine", Some(kept.clone())).await);
        assert!(!verify("", Some(kept)).await);
        assert!(!verify("caf\u{e9} lantern orbit nine", None).await);
        assert!(!verify("caf\u{e9} lantern orbit nine", Some("damaged".to_owned())).await);
    }

    #[tokio::test]
    async fn an_unknown_name_costs_a_whole_hash() {
        let parsed = PasswordHash::new(
            "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmU$v0nXo0m3b1Vd2yqK6QwJ9p0eQxS2y8G5yq2mQpD4uXQ",
        );
        assert!(parsed.unwrap().hash.is_some());
    }

    #[test]
    fn obvious_passphrases_are_refused() {
        let check = |passphrase: &str| check(passphrase, "maryam");
        assert_eq!(check("short"), Err(BadPassphrase::Short));
        assert_eq!(check("maryammaryam1"), Err(BadPassphrase::Obvious));
        assert_eq!(check("aaaaaaaaaaaaaaaa"), Err(BadPassphrase::Obvious));
        assert_eq!(check("secret secret secret"), Err(BadPassphrase::Obvious));
        assert_eq!(check(&"x1y2".repeat(300)), Err(BadPassphrase::Long));
        assert_eq!(check("lantern orbit nine camels"), Ok(()));
        assert_eq!(check("قافلة في ليل الصحراء"), Ok(()));
    }
}
