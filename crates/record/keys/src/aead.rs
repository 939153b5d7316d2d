//! AES-256-GCM in the two ways it is used here: under a single-use key, and for wrapping keys.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::BadWrap;

const NONCE_BYTES: usize = 12;

fn key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 takes 32 bytes"))
}

/// Encrypts under a key that seals nothing else, so a constant nonce never repeats.
pub(crate) fn seal_once(single_use: &[u8; 32], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    out.extend_from_slice(plain);
    key(single_use)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; NONCE_BYTES]), Aad::from(aad), &mut out)
        .expect("payloads are far below the 64 GiB limit of GCM");
    out
}

/// Opens what [`seal_once`] made.
pub(crate) fn open_once(single_use: &[u8; 32], aad: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let nonce = Nonce::assume_unique_for_key([0; NONCE_BYTES]);
    let length = key(single_use).open_in_place(nonce, Aad::from(aad), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

/// Wraps a 256-bit key: random nonce, ciphertext, tag. A day's key wraps at most some 2^32 keys
/// before random nonces would be a worry; a day has room for 50,000 payloads a second.
pub(crate) fn wrap(wrapping: &[u8; 32], aad: &[u8], wrapped: &[u8; 32]) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).expect("the system's random generator is initialised before any process runs");
    let mut body = wrapped.to_vec();
    key(wrapping)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
        .expect("32 bytes are below every limit of GCM");
    [nonce.as_slice(), &body].concat()
}

/// Opens what [`wrap`] made.
pub(crate) fn unwrap(wrapping: &[u8; 32], aad: &[u8], wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, BadWrap> {
    let (nonce, body) = wrapped.split_at_checked(NONCE_BYTES).ok_or(BadWrap)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| BadWrap)?;
    let mut buffer = Zeroizing::new(body.to_vec());
    let plain = key(wrapping).open_in_place(nonce, Aad::from(aad), &mut buffer).map_err(|_| BadWrap)?;
    plain.as_ref().try_into().map(Zeroizing::new).map_err(|_| BadWrap)
}
