//! The key directory: a few small files, apart from the data, readable by their owner alone.
//!
//! Each file is one line, `haris-key/1 USE BASE64`, with 32 secret bytes: an Ed25519 or ML-DSA-44
//! seed, or an AES-256 key. A directory with some keys and not others is refused instead of being
//! filled up: a new log key next to an old key-encryption key is how histories fork.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use haris_domain::{Log, Timestamp};
use haris_merkle::KeyKind;
use haris_merkle::note::{SignError, Signer};
use zeroize::Zeroizing;

use crate::signer::{Ed25519Signer, MlDsaSigner};
use crate::{BadWrap, DayKey, IndexKey, aead, random_key};

/// The longest key file: the line has some 70 bytes.
const FILE_BYTES_MAX: u64 = 256;

/// What a key is for; also the name of its file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    LogEd25519,
    LogMlDsa44,
    KeyEncryption,
    Receipt,
    Access,
    WitnessEd25519,
    WitnessMlDsa44,
}

impl Use {
    /// Those without which a log cannot go on. A fresh receipt key forks nothing, so one that is missing is made.
    const ALL: [Self; 3] = [Self::LogEd25519, Self::LogMlDsa44, Self::KeyEncryption];

    fn name(self) -> &'static str {
        match self {
            Self::LogEd25519 => "log-ed25519",
            Self::LogMlDsa44 => "log-ml-dsa-44",
            Self::KeyEncryption => "key-encryption",
            Self::Receipt => "receipt",
            Self::Access => "access",
            Self::WitnessEd25519 => "witness-ed25519",
            Self::WitnessMlDsa44 => "witness-ml-dsa-44",
        }
    }

    pub(crate) fn file(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.key", self.name()))
    }
}

/// Why a key directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Others than the owner may read or write it.
    #[error("`{path}` has mode {mode:03o}: others could read or replace keys; run `chmod {wanted} {path}`")]
    Exposed {
        /// The file or directory.
        path: String,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: &'static str,
    },
    /// Some keys are there and others are not.
    #[error("`{dir}` lacks `{missing}.key` while other keys are there; restore that file from the key backup")]
    Incomplete {
        /// The directory.
        dir: String,
        /// The use whose file is missing.
        missing: &'static str,
    },
    /// The file is not a key of that use.
    #[error("`{path}` is not a `{purpose}` key of this version; restore it from the key backup")]
    Malformed {
        /// The file.
        path: String,
        /// The use expected.
        purpose: &'static str,
    },
    /// The operating system refused.
    #[error("could not {what} `{path}`")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// The keys of one installation, held in memory while a process runs.
pub struct KeyDir {
    ed25519_seed: Zeroizing<[u8; 32]>,
    ml_dsa_seed: Zeroizing<[u8; 32]>,
    key_encryption: Zeroizing<[u8; 32]>,
    receipt_seed: Zeroizing<[u8; 32]>,
    ed25519_public: [u8; 32],
}

impl std::fmt::Debug for KeyDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyDir")
    }
}

impl KeyDir {
    /// Reads the keys in `dir`, or makes them (directory 0700, files 0600) when it holds none.
    ///
    /// # Errors
    /// When the directory or a file is open to others, a key is missing or malformed, or the
    /// operating system refuses.
    pub fn open_or_create(dir: &Path) -> Result<Self, KeyError> {
        folder(dir)?;
        let present = |purpose: &Use| purpose.file(dir).exists();
        if !Use::ALL.iter().any(present) {
            make(dir, &Use::ALL)?;
        } else if let Some(missing) = Use::ALL.into_iter().find(|purpose| !present(purpose)) {
            return Err(KeyError::Incomplete { dir: dir.display().to_string(), missing: missing.name() });
        }
        if !present(&Use::Receipt) {
            make(dir, &[Use::Receipt])?;
        }
        Self::read(dir, read(dir, Use::Receipt)?)
    }

    /// Reads the keys in `dir` and makes none: for whoever only looks.
    ///
    /// # Errors
    /// As [`KeyDir::open_or_create`], and when the directory is not there.
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        refuse_exposed(dir, &fs::metadata(dir).map_err(io_error("read", dir))?, "700")?;
        if let Some(missing) = Use::ALL.into_iter().find(|purpose| !purpose.file(dir).exists()) {
            return Err(KeyError::Incomplete { dir: dir.display().to_string(), missing: missing.name() });
        }
        // Whoever only looks signs no receipt, so one that is missing hinders nobody: nothing has this key.
        let receipt = if Use::Receipt.file(dir).exists() { read(dir, Use::Receipt)? } else { random_key() };
        Self::read(dir, receipt)
    }

    fn read(dir: &Path, receipt_seed: Zeroizing<[u8; 32]>) -> Result<Self, KeyError> {
        let ed25519_seed = read(dir, Use::LogEd25519)?;
        let ed25519_public = Ed25519Signer::public_key(&ed25519_seed);
        let (ml_dsa_seed, key_encryption) = (read(dir, Use::LogMlDsa44)?, read(dir, Use::KeyEncryption)?);
        Ok(Self { ed25519_seed, ml_dsa_seed, key_encryption, receipt_seed, ed25519_public })
    }

    /// Who signs the checkpoints of `log` under `origin`: Ed25519 on both logs, and ML-DSA-44 on
    /// the evidence log, whose proofs must outlive the first quantum computer.
    ///
    /// # Errors
    /// When `origin` cannot be a key's name (empty, or with a space or `+`).
    pub fn log_signers(&self, log: Log, origin: &str) -> Result<Vec<Box<dyn Signer + Send + Sync>>, SignError> {
        let mut signers: Vec<Box<dyn Signer + Send + Sync>> =
            vec![Box::new(Ed25519Signer::new(origin, KeyKind::Ed25519, &self.ed25519_seed)?)];
        if log == Log::Evidence {
            signers.push(Box::new(MlDsaSigner::new(origin, &self.ml_dsa_seed)?));
        }
        Ok(signers)
    }

    /// Who signs receipts under `name`: a key that signs nothing else, so that what a caller asks for is never read as
    /// a checkpoint.
    ///
    /// # Errors
    /// When `name` cannot be a key's name (empty, or with a space or `+`).
    pub fn receipt_signer(&self, name: &str) -> Result<Box<dyn Signer + Send + Sync>, SignError> {
        Ok(Box::new(Ed25519Signer::new(name, KeyKind::Ed25519, &self.receipt_seed)?))
    }

    /// The log's Ed25519 public key: names the log when no origin is configured.
    #[must_use]
    pub fn first_public_key(&self) -> [u8; 32] {
        self.ed25519_public
    }

    /// A fresh data key for the UTC day of `at`.
    #[must_use]
    pub fn new_day_key(&self, at: Timestamp) -> DayKey {
        let tag = random_key();
        DayKey::from_parts(&format!("day:{}:{}", at.day(), hex::encode(&tag[..4])), random_key())
            .expect("built in the form it reads")
    }

    /// Wraps a data key for storage.
    #[must_use]
    pub fn wrap_day_key(&self, key: &DayKey) -> Vec<u8> {
        aead::wrap(&self.key_encryption, key.id().as_bytes(), key.bytes())
    }

    /// Unwraps the data key of that id.
    ///
    /// # Errors
    /// When it was altered, belongs to another id, or was wrapped by another directory's key.
    pub fn unwrap_day_key(&self, id: &str, wrapped: &[u8]) -> Result<DayKey, BadWrap> {
        let bytes = aead::unwrap(&self.key_encryption, id.as_bytes(), wrapped)?;
        DayKey::from_parts(id, bytes).ok_or(BadWrap)
    }

    /// A fresh index key for the UTC month of `at`.
    #[must_use]
    pub fn new_index_key(&self, at: Timestamp) -> IndexKey {
        IndexKey::from_parts(&at.month(), random_key())
    }

    /// Wraps an index key for storage.
    #[must_use]
    pub fn wrap_index_key(&self, key: &IndexKey) -> Vec<u8> {
        aead::wrap(&self.key_encryption, &index_aad(key.month()), key.bytes())
    }

    /// Unwraps the index key of that month.
    ///
    /// # Errors
    /// When it was altered, belongs to another month, or was wrapped by another directory's key.
    pub fn unwrap_index_key(&self, month: &str, wrapped: &[u8]) -> Result<IndexKey, BadWrap> {
        Ok(IndexKey::from_parts(month, aead::unwrap(&self.key_encryption, &index_aad(month), wrapped)?))
    }
}

/// Kept apart from the data keys' associated data, so that neither unwraps as the other.
/// The secret from which the secrets of people's one-time codes are made; made where it is missing, and then nobody's
/// authenticator fits any more.
///
/// # Errors
/// When the file is open to others or malformed, or the operating system refuses.
pub fn access_secret(dir: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    if !Use::Access.file(dir).exists() {
        make(dir, &[Use::Access])?;
    }
    read(dir, Use::Access)
}

fn index_aad(month: &str) -> Vec<u8> {
    format!("index:{month}").into_bytes()
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.display().to_string();
    move |source| KeyError::Io { what, path, source }
}

fn refuse_exposed(path: &Path, metadata: &fs::Metadata, wanted: &'static str) -> Result<(), KeyError> {
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.display().to_string(), mode, wanted });
    }
    Ok(())
}

/// Makes the directory, or refuses one that others can read.
pub(crate) fn folder(dir: &Path) -> Result<(), KeyError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error("create", dir))?;
    refuse_exposed(dir, &fs::metadata(dir).map_err(io_error("read", dir))?, "700")
}

/// Makes fresh keys; they are durable when this returns.
pub(crate) fn make(dir: &Path, purposes: &[Use]) -> Result<(), KeyError> {
    for purpose in purposes {
        create(dir, *purpose, &random_key())?;
    }
    File::open(dir).and_then(|d| d.sync_all()).map_err(io_error("sync", dir))
}

fn create(dir: &Path, purpose: Use, secret: &[u8; 32]) -> Result<(), KeyError> {
    let path = purpose.file(dir);
    let line = Zeroizing::new(format!("haris-key/1 {} {}\n", purpose.name(), STANDARD.encode(secret)));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io_error("create", &path))?;
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error("write", &path))
}

pub(crate) fn read(dir: &Path, purpose: Use) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let path = purpose.file(dir);
    let file = File::open(&path).map_err(io_error("open", &path))?;
    refuse_exposed(&path, &file.metadata().map_err(io_error("read", &path))?, "600")?;
    let mut line = Zeroizing::new(String::new());
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut line);
    read.map_err(io_error("read", &path))?;
    let malformed = || KeyError::Malformed { path: path.display().to_string(), purpose: purpose.name() };
    let encoded = line
        .strip_prefix("haris-key/1 ")
        .and_then(|rest| rest.strip_prefix(purpose.name()))
        .and_then(|rest| rest.strip_prefix(' '))
        .ok_or_else(malformed)?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded.trim_end()).map_err(|_| malformed())?);
    bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn at() -> Timestamp {
        "2026-11-24T07:00:00Z".parse().unwrap()
    }

    #[test]
    fn keys_are_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let first = KeyDir::open_or_create(&keys).unwrap();
        let again = KeyDir::open_or_create(&keys).unwrap();
        assert_eq!(first.first_public_key(), again.first_public_key());
        assert_eq!(KeyDir::open(&keys).unwrap().first_public_key(), first.first_public_key());
        let nowhere = dir.path().join("nowhere");
        assert!(KeyDir::open(&nowhere).is_err() && !nowhere.exists(), "whoever looks makes nothing");
        for purpose in Use::ALL {
            assert_eq!(fs::metadata(purpose.file(&keys)).unwrap().mode() & 0o777, 0o600);
        }
        let day = first.new_day_key(at());
        let wrapped = first.wrap_day_key(&day);
        assert_eq!(again.unwrap_day_key(day.id(), &wrapped).unwrap().bytes(), day.bytes());
        assert_eq!(again.unwrap_day_key("day:2026-11-25:00000000", &wrapped).unwrap_err(), BadWrap);
        let index = first.new_index_key(at());
        let wrapped = first.wrap_index_key(&index);
        assert_eq!(again.unwrap_index_key("2026-11", &wrapped).unwrap().bytes(), index.bytes());
        assert!(again.unwrap_index_key("2026-12", &wrapped).is_err());
    }

    #[test]
    fn another_directory_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let ours = KeyDir::open_or_create(&dir.path().join("a")).unwrap();
        let theirs = KeyDir::open_or_create(&dir.path().join("b")).unwrap();
        let day = ours.new_day_key(at());
        assert!(theirs.unwrap_day_key(day.id(), &ours.wrap_day_key(&day)).is_err());
    }

    #[test]
    fn exposed_incomplete_and_damaged_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        KeyDir::open_or_create(&keys).unwrap();
        let log = Use::LogEd25519.file(&keys);

        fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).unwrap();
        let message = KeyDir::open_or_create(&keys).unwrap_err().to_string();
        assert!(message.contains("chmod 600"), "{message}");
        fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();

        let good = fs::read(&log).unwrap();
        for bad in
            [b"".as_slice(), b"haris-key/1 log-ed25519 !!!\n", b"haris-key/1 key-encryption AAAA\n", &[0xff; 300]]
        {
            fs::write(&log, bad).unwrap();
            assert!(KeyDir::open_or_create(&keys).is_err());
        }
        fs::write(&log, good).unwrap();
        KeyDir::open_or_create(&keys).unwrap();
        fs::remove_file(&log).unwrap();
        assert!(matches!(KeyDir::open_or_create(&keys), Err(KeyError::Incomplete { .. })));
    }
}
