//! Secrets that Haris makes: links, session ids, tokens, recovery codes. They are random enough that a plain SHA-256 is
//! all that need be kept of them.

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

/// `N` bytes of the system's randomness.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut())
        .expect("the system's random generator is initialised before any process runs");
    bytes
}

/// A secret of 256 bits in hex, behind a prefix that tells what it is.
pub(crate) fn secret(prefix: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("{prefix}{}", hex::encode(random::<32>().as_slice())))
}

/// An id that is no secret: 64 bits in hex, behind a letter.
pub(crate) fn id(prefix: char) -> String {
    format!("{prefix}{}", hex::encode(random::<8>().as_slice()))
}

/// What is kept of a secret.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    digest(&SHA256, secret.as_bytes()).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// Another secret of the same length, made from one for one purpose.
pub(crate) fn derived(secret: &str, purpose: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    hex::encode(aws_lc_rs::hmac::sign(&key, purpose.as_bytes()))
}

/// Compares without telling by its time where two texts differ.
pub(crate) fn same(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}
