//! The keys of a witness: they cosign other people's checkpoints, and live in a directory of their own.

use std::path::Path;

use haris_merkle::KeyKind;
use haris_merkle::note::{SignError, Signer};

use crate::KeyError;
use crate::dir::{Use, folder, make, read};
use crate::signer::{Ed25519Signer, MlDsaSigner};

/// Why a witness has no signers.
#[derive(Debug, thiserror::Error)]
pub enum WitnessKeyError {
    /// Its directory or a file in it cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its name cannot be a key's.
    #[error(transparent)]
    Name(#[from] SignError),
}

/// Who cosigns under `name`, with keys in `dir` that are made (directory 0700, files 0600) where there are none:
/// Ed25519 (type 04), and with `ml_dsa` also ML-DSA-44 (type 06).
///
/// # Errors
/// When the directory or a file is open to others or damaged, or the name is empty or has a space or `+`.
pub fn witness_signers(
    dir: &Path,
    name: &str,
    ml_dsa: bool,
) -> Result<Vec<Box<dyn Signer + Send + Sync>>, WitnessKeyError> {
    folder(dir)?;
    let uses: &[Use] = if ml_dsa { &[Use::WitnessEd25519, Use::WitnessMlDsa44] } else { &[Use::WitnessEd25519] };
    let missing: Vec<Use> = uses.iter().copied().filter(|purpose| !purpose.file(dir).exists()).collect();
    make(dir, &missing)?;
    let ed25519 = Ed25519Signer::new(name, KeyKind::CosignatureEd25519, &*read(dir, Use::WitnessEd25519)?)?;
    let mut signers: Vec<Box<dyn Signer + Send + Sync>> = vec![Box::new(ed25519)];
    if ml_dsa {
        signers.push(Box::new(MlDsaSigner::new(name, &*read(dir, Use::WitnessMlDsa44)?)?));
    }
    Ok(signers)
}

#[cfg(test)]
mod tests {
    use haris_merkle::{Checkpoint, Note, empty_root};

    use super::*;

    #[test]
    fn a_witness_keeps_its_keys_and_both_cosign() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let first = witness_signers(&keys, "witness.example/w1", false).unwrap();
        let both = witness_signers(&keys, "witness.example/w1", true).unwrap();
        assert_eq!(first[0].key(), both[0].key(), "turning the second one on leaves the first as it is");
        let checkpoint =
            Checkpoint { origin: "log.example".into(), size: 0, root: empty_root(), extensions: Vec::new() };
        let signers: Vec<&dyn Signer> = both.iter().map(|signer| &**signer as &dyn Signer).collect();
        let note = checkpoint.sign(&signers, 1_795_503_909).unwrap();
        let vkeys: Vec<_> = both.iter().map(|signer| signer.key().clone()).collect();
        let read = Note::parse(&note.to_bytes()).unwrap();
        let verified = read.verify(&vkeys).unwrap();
        assert!(verified.len() == 2 && verified.iter().all(|one| one.at == Some(1_795_503_909)));
        assert!(witness_signers(&keys, "two words", true).is_err());
    }
}
