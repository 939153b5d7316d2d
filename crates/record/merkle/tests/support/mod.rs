//! Keys for the tests: made from a seed, so that failures repeat.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};
use haris_merkle::note::SignError;
use haris_merkle::{KeyKind, Signer, VerifierKey};

pub(crate) struct Key {
    key: VerifierKey,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    MlDsa44(PqdsaKeyPair),
}

pub(crate) fn key(name: &str, kind: KeyKind, seed: u8) -> Key {
    let (pair, public) = match kind {
        KeyKind::CosignatureMlDsa44 => {
            let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &[seed; 32]).unwrap();
            let public = pair.public_key().as_ref().to_vec();
            (Pair::MlDsa44(pair), public)
        }
        KeyKind::Ed25519 | KeyKind::CosignatureEd25519 => {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
            let public = pair.public_key().as_ref().to_vec();
            (Pair::Ed25519(pair), public)
        }
    };
    Key { key: VerifierKey::new(name, kind, &public).unwrap(), pair }
}

impl Signer for Key {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign_note(&self, text: &str, at: u64) -> Result<Vec<u8>, SignError> {
        let refuse = |why: String| SignError { name: self.key.name().to_owned(), why };
        let message = self.key.signed_bytes(text, at).map_err(|error| refuse(error.to_string()))?;
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(&message).as_ref().to_vec(),
            Pair::MlDsa44(pair) => {
                let mut signature = vec![0; ML_DSA_44_SIGNING.signature_len()];
                let length = pair.sign(&message, &mut signature).map_err(|error| refuse(error.to_string()))?;
                signature.truncate(length);
                signature
            }
        };
        Ok(self.key.signature_blob(at, &signature))
    }
}
