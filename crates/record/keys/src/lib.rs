//! Keys: what seals payloads, what finds them again, and what signs the logs.
//!
//! Three levels. The key-encryption key lies in the key directory, apart from the data. It wraps a
//! data key per day and an index key per month, which are rows. A data key wraps one key per
//! payload. Destroying the last row of that chain erases exactly one payload, and the log that
//! commits to it still verifies.
//!
//! Everything secret is zeroised on drop and has a `Debug` that shows nothing.

mod aead;
mod day;
mod dir;
mod index;
mod payload;
mod signer;
mod witness;

pub use day::{DayKey, DayKeys};
pub use dir::{KeyDir, KeyError, access_secret};
pub use index::{IndexKey, search_term};
pub use payload::{OpenError, OpenedPayload, commit_key, open_payload, seal_payload};
pub use witness::{WitnessKeyError, witness_signers};

/// A wrapped key that does not unwrap: it was altered, or wrapped under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a wrapped key does not open under this key directory: it was altered, or the directory is another one")]
pub struct BadWrap;

/// 256 random bits from the operating system's generator.
pub(crate) fn random_key() -> zeroize::Zeroizing<[u8; 32]> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(key.as_mut()).expect("the system's random generator is initialised before any process runs");
    key
}
