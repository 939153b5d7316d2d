//! The log's signing keys, behind the note-signing trait.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};
use haris_merkle::key::{KeyKind, VerifierKey};
use haris_merkle::note::{SignError, Signer};

/// Ed25519: over the note's text (type 01), or as a timestamped cosignature (type 04).
pub(crate) struct Ed25519Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl Ed25519Signer {
    pub(crate) fn new(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, SignError> {
        let pair = ed25519(seed);
        let key = verifier_key(name, kind, pair.public_key().as_ref())?;
        Ok(Self { pair, key })
    }

    pub(crate) fn public_key(seed: &[u8; 32]) -> [u8; 32] {
        ed25519(seed).public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes")
    }
}

fn ed25519(seed: &[u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed")
}

fn verifier_key(origin: &str, kind: KeyKind, public: &[u8]) -> Result<VerifierKey, SignError> {
    VerifierKey::new(origin, kind, public).map_err(|bad| SignError { name: origin.to_owned(), why: bad.to_string() })
}

impl Signer for Ed25519Signer {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign_note(&self, text: &str, at: u64) -> Result<Vec<u8>, SignError> {
        let bytes = self.key.signed_bytes(text, at).map_err(|bad| refused(&self.key, &bad))?;
        Ok(self.key.signature_blob(at, self.pair.sign(&bytes).as_ref()))
    }
}

/// ML-DSA-44 as a timestamped cosignature, of a witness or of the log itself (signature type 06).
pub(crate) struct MlDsaSigner {
    pair: PqdsaKeyPair,
    key: VerifierKey,
}

impl MlDsaSigner {
    pub(crate) fn new(origin: &str, seed: &[u8; 32]) -> Result<Self, SignError> {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed).expect("any 32 bytes are an ML-DSA seed");
        let key = verifier_key(origin, KeyKind::CosignatureMlDsa44, pair.public_key().as_ref())?;
        Ok(Self { pair, key })
    }
}

impl Signer for MlDsaSigner {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign_note(&self, text: &str, at: u64) -> Result<Vec<u8>, SignError> {
        let bytes = self.key.signed_bytes(text, at).map_err(|bad| refused(&self.key, &bad))?;
        let mut signature = vec![0; self.pair.algorithm().signature_len()];
        let length = self.pair.sign(&bytes, &mut signature).map_err(|bad| refused(&self.key, &bad))?;
        Ok(self.key.signature_blob(at, &signature[..length]))
    }
}

fn refused(key: &VerifierKey, why: &dyn std::fmt::Display) -> SignError {
    SignError { name: key.name().to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use haris_merkle::note::Note;

    use super::*;

    #[test]
    fn both_signatures_verify_and_neither_covers_another_text() {
        let ed25519 = Ed25519Signer::new("example.com/log", KeyKind::Ed25519, &[1; 32]).unwrap();
        let ml_dsa = MlDsaSigner::new("example.com/log", &[2; 32]).unwrap();
        let text = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
        let note = Note::sign(text, &[&ed25519, &ml_dsa], 1_700_000_000).unwrap();
        let keys = [ed25519.key().clone(), ml_dsa.key().clone()];
        assert_eq!(note.verify(&keys).unwrap().len(), 2);
        let forged = String::from_utf8(note.to_bytes()).unwrap().replacen("\n0\n", "\n1\n", 1);
        assert!(Note::parse(forged.as_bytes()).unwrap().verify(&keys).is_err());
    }
}
