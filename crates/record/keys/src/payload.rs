//! A payload under a key of its own: hidden, committed to, openable and erasable one at a time.
//!
//! From the payload's key K come two keys by HKDF-Expand (RFC 5869 section 2.3, K as the
//! pseudorandom key, SHA-256, 32 bytes): one encrypts, with info `haris.payload.encrypt/1`, one
//! commits, with info `haris.payload.commit/1`. The commitment is HMAC-SHA-256 over the stored
//! bytes: it hides them from whoever has the leaf alone, and whoever is given the text and the
//! commit key can check it without being able to open any other payload.

use aws_lc_rs::hmac;
use haris_domain::{EventId, PayloadRef, SealedPayload, Stored};
use zeroize::Zeroizing;

use crate::{DayKey, aead, random_key};

const ENCRYPT_INFO: &[u8] = b"haris.payload.encrypt/1";
const COMMIT_INFO: &[u8] = b"haris.payload.commit/1";

/// A payload that was opened.
pub struct OpenedPayload {
    /// The stored bytes; they match the leaf's commitment.
    pub text: Zeroizing<Vec<u8>>,
    /// Given to an auditor together with the text.
    pub commit_key: Zeroizing<[u8; 32]>,
}

/// Why a payload does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its wrapped key was altered or belongs to another event or name.
    #[error("the key of payload `{name}` does not open: it was altered or moved from another event")]
    Key {
        /// The payload's name.
        name: String,
    },
    /// Its ciphertext was altered or belongs to another event or name.
    #[error("the ciphertext of payload `{name}` does not open: it was altered or moved from another event")]
    Ciphertext {
        /// The payload's name.
        name: String,
    },
    /// It opens, but is not what the leaf committed to.
    #[error("payload `{name}` opens but is not what its event committed to")]
    Commitment {
        /// The payload's name.
        name: String,
    },
}

/// Seals `kept`, what of a payload is stored, for event `event`.
///
/// `received` is given when the bytes as received differ from the stored ones; the leaf then
/// commits to both. With [`Stored::None`] pass an empty `kept`. CPU only: no clock, no I/O.
#[must_use]
pub fn seal_payload(
    day: &DayKey,
    event: EventId,
    name: &str,
    stored: Stored,
    kept: &[u8],
    received: Option<&[u8]>,
) -> SealedPayload {
    let key = random_key();
    let commit = hmac::Key::new(hmac::HMAC_SHA256, derive(&key, COMMIT_INFO).as_slice());
    let mac = |bytes: &[u8]| -> [u8; 32] {
        hmac::sign(&commit, bytes).as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
    };
    let aad = associated(event, name);
    let ciphertext = match stored {
        Stored::None => Vec::new(),
        Stored::Full | Stored::Redacted => aead::seal_once(&derive(&key, ENCRYPT_INFO), &aad, kept),
    };
    SealedPayload {
        reference: PayloadRef {
            name: name.to_owned(),
            commit: mac(kept),
            key: day.id().to_owned(),
            bytes: kept.len() as u64,
            stored,
            source_commit: received.map(mac),
        },
        wrapped_key: aead::wrap(day.bytes(), &aad, &key),
        ciphertext,
    }
}

/// Opens a payload and checks it against its leaf's commitment.
///
/// # Errors
/// When the wrapped key, the ciphertext or the commitment does not hold.
pub fn open_payload(
    day: &DayKey,
    event: EventId,
    reference: &PayloadRef,
    wrapped_key: &[u8],
    ciphertext: &[u8],
) -> Result<OpenedPayload, OpenError> {
    let name = || reference.name.clone();
    let aad = associated(event, &reference.name);
    let key = aead::unwrap(day.bytes(), &aad, wrapped_key).map_err(|_| OpenError::Key { name: name() })?;
    let text = match reference.stored {
        Stored::None => Zeroizing::new(Vec::new()),
        Stored::Full | Stored::Redacted => aead::open_once(&derive(&key, ENCRYPT_INFO), &aad, ciphertext)
            .ok_or_else(|| OpenError::Ciphertext { name: name() })?,
    };
    let commit_key = derive(&key, COMMIT_INFO);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, commit_key.as_slice()), &text, &reference.commit)
        .map_err(|_| OpenError::Commitment { name: name() })?;
    Ok(OpenedPayload { text, commit_key })
}

/// The commit key alone, for a payload of which nothing was stored: somebody who has the text can
/// still show that it is the one.
///
/// # Errors
/// When the wrapped key does not open.
pub fn commit_key(
    day: &DayKey,
    event: EventId,
    name: &str,
    wrapped_key: &[u8],
) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    let key = aead::unwrap(day.bytes(), &associated(event, name), wrapped_key)
        .map_err(|_| OpenError::Key { name: name.to_owned() })?;
    Ok(derive(&key, COMMIT_INFO))
}

fn associated(event: EventId, name: &str) -> Vec<u8> {
    [event.as_bytes().as_slice(), name.as_bytes()].concat()
}

/// HKDF-Expand for one block: HMAC(K, info ‖ 0x01).
fn derive(key: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(info);
    context.update(&[1]);
    Zeroizing::new(context.sign().as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes"))
}

#[cfg(test)]
mod tests {
    use haris_domain::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::day::tests::day_key;

    fn event(n: i64) -> EventId {
        EventId::now(Timestamp::from_micros(n))
    }

    #[test]
    fn a_payload_opens_only_as_itself() {
        let day = day_key();
        let id = event(1);
        let sealed = seal_payload(&day, id, "request", Stored::Redacted, b"kept", Some(b"received"));
        let opened = open_payload(&day, id, &sealed.reference, &sealed.wrapped_key, &sealed.ciphertext).unwrap();
        assert_eq!(opened.text.as_slice(), b"kept");
        assert_ne!(sealed.reference.source_commit, Some(sealed.reference.commit));

        let elsewhere = open_payload(&day, event(2), &sealed.reference, &sealed.wrapped_key, &sealed.ciphertext);
        assert!(matches!(elsewhere, Err(OpenError::Key { .. })), "moved to another event");
        let renamed = PayloadRef { name: "response".into(), ..sealed.reference.clone() };
        assert!(matches!(
            open_payload(&day, id, &renamed, &sealed.wrapped_key, &sealed.ciphertext),
            Err(OpenError::Key { .. })
        ));
        let other_commit = PayloadRef { commit: [0; 32], ..sealed.reference.clone() };
        assert!(matches!(
            open_payload(&day, id, &other_commit, &sealed.wrapped_key, &sealed.ciphertext),
            Err(OpenError::Commitment { .. })
        ));
        let mut flipped = sealed.ciphertext.clone();
        flipped[0] ^= 1;
        assert!(matches!(
            open_payload(&day, id, &sealed.reference, &sealed.wrapped_key, &flipped),
            Err(OpenError::Ciphertext { .. })
        ));
    }

    #[test]
    fn nothing_stored_still_commits() {
        let day = day_key();
        let id = event(1);
        let sealed = seal_payload(&day, id, "request", Stored::None, b"", Some(b"received"));
        assert!(sealed.ciphertext.is_empty());
        let key = commit_key(&day, id, "request", &sealed.wrapped_key).unwrap();
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), b"received");
        assert_eq!(mac.as_ref(), sealed.reference.source_commit.unwrap());
    }

    #[test]
    fn the_same_text_twice_has_different_commitments() {
        let day = day_key();
        let seal = || seal_payload(&day, event(1), "request", Stored::Full, b"28463400123", None);
        assert_ne!(seal().reference.commit, seal().reference.commit, "a commitment must hide what it commits to");
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_and_garbage_never_opens(text in any::<Vec<u8>>(), garbage in any::<Vec<u8>>()) {
            let day = day_key();
            let id = event(1);
            let sealed = seal_payload(&day, id, "p", Stored::Full, &text, None);
            let opened = open_payload(&day, id, &sealed.reference, &sealed.wrapped_key, &sealed.ciphertext).unwrap();
            prop_assert_eq!(opened.text.as_slice(), text.as_slice());
            prop_assert!(open_payload(&day, id, &sealed.reference, &garbage, &sealed.ciphertext).is_err());
            prop_assert!(open_payload(&day, id, &sealed.reference, &sealed.wrapped_key, &garbage).is_err());
        }
    }
}
