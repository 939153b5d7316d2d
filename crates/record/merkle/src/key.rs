//! Verifier keys: who may sign a note, with what algorithm.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, ML_DSA_44, VerificationAlgorithm};

use crate::checkpoint::Checkpoint;
use crate::hash::sha256;
use crate::text;

/// An ML-DSA-44 vkey has about 1,800 characters; a name has no bound of its own.
const VKEY_BYTES_MAX: usize = 4096;
/// Type 06 writes a name's length in one byte, and so does every name we accept.
const NAME_BYTES_MAX: usize = 255;
/// A timestamp before the signature proper, in the two cosignature types.
const TIME_BYTES: usize = 8;
/// tlog-cosignature: a timestamp must not exceed 2^63 − 1.
const TIME_MAX: u64 = i64::MAX as u64;

/// The signature types that Haris reads. Each number is the type byte of signed-note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// 01: Ed25519 over the note's text.
    Ed25519,
    /// 04: timestamped Ed25519 cosignature of a checkpoint.
    CosignatureEd25519,
    /// 06: timestamped ML-DSA-44 cosignature of a checkpoint.
    CosignatureMlDsa44,
}

impl KeyKind {
    /// The type byte of signed-note.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureEd25519 => 0x04,
            Self::CosignatureMlDsa44 => 0x06,
        }
    }

    /// Length of a public key.
    #[must_use]
    pub fn public_key_bytes(self) -> usize {
        match self {
            Self::Ed25519 | Self::CosignatureEd25519 => 32,
            Self::CosignatureMlDsa44 => 1312,
        }
    }

    /// Length of a bare signature, without a timestamp.
    #[must_use]
    pub fn signature_bytes(self) -> usize {
        match self {
            Self::Ed25519 | Self::CosignatureEd25519 => 64,
            Self::CosignatureMlDsa44 => 2420,
        }
    }

    /// Whether a signature says when it was made.
    #[must_use]
    pub fn is_timestamped(self) -> bool {
        self != Self::Ed25519
    }

    /// What a person calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::CosignatureEd25519 => "Ed25519 cosignature",
            Self::CosignatureMlDsa44 => "ML-DSA-44 cosignature",
        }
    }

    fn of_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::CosignatureEd25519, Self::CosignatureMlDsa44].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// A public key under a name: the one thing that an auditor must get from somewhere they trust.
///
/// ```
/// let key: haris_merkle::VerifierKey =
///     "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse().unwrap();
/// assert_eq!(key.name(), "example.com/foo");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: Vec<u8>,
    id: [u8; 4],
}

/// Why a text is not a verifier key that Haris can use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadKey {
    /// Not `name+hash+key`.
    #[error("a verifier key is written `name+8 hex digits+base64`, as `haris status` prints it")]
    Form,
    /// The name is empty, too long, or has a space, a plus sign or a control character.
    #[error("a key name has 1 to {NAME_BYTES_MAX} bytes without spaces, `+` and control characters")]
    Name,
    /// A signature type that Haris does not read.
    #[error("signature type {byte:02x} is not one of 01, 04 and 06")]
    Kind {
        /// The type byte.
        byte: u8,
    },
    /// The key has a length that does not fit its type.
    #[error("a public key of type {} has {} bytes, not {actual_bytes}", kind.name(), kind.public_key_bytes())]
    Length {
        /// Its type.
        kind: KeyKind,
        /// Its length.
        actual_bytes: usize,
    },
    /// The hash in the text is not the key's: a typing or copying mistake.
    #[error("the hash in the key does not fit its name and bytes; was it copied whole?")]
    Id,
}

/// Why a signature is not by a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadSignature {
    /// It has the wrong length for the key's type.
    #[error("a signature by `{name}` has the wrong length")]
    Length {
        /// The key's name.
        name: String,
    },
    /// The key signs checkpoints, and the text is none.
    #[error("`{name}` signs checkpoints only, and the note is none")]
    NotCheckpoint {
        /// The key's name.
        name: String,
    },
    /// The signature is wrong.
    #[error("the signature by `{name}` ({kind}) is wrong", kind = .kind.name())]
    Wrong {
        /// The key's name.
        name: String,
        /// The key's type.
        kind: KeyKind,
    },
}

impl VerifierKey {
    /// A key from its parts.
    ///
    /// # Errors
    /// When the name or the key's length is not acceptable.
    pub fn new(name: &str, kind: KeyKind, public: &[u8]) -> Result<Self, BadKey> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(bad) {
            return Err(BadKey::Name);
        }
        if public.len() != kind.public_key_bytes() {
            return Err(BadKey::Length { kind, actual_bytes: public.len() });
        }
        let hash = sha256(&[name.as_bytes(), b"\n", &[kind.byte()], public].concat());
        Ok(Self { name: name.to_owned(), kind, public: public.to_vec(), id: [hash[0], hash[1], hash[2], hash[3]] })
    }

    /// The key's name: a log's origin, or a witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The signature type.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The bare public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// The four bytes that name the key in a signature line. Short: an identifier, not a fingerprint.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The bytes to sign, so that [`VerifierKey::verify`] accepts the signature. `at` (POSIX seconds) is ignored by
    /// type 01.
    ///
    /// # Errors
    /// When the key signs checkpoints and `text` is none, or `at` is beyond what the format allows.
    pub fn signed_bytes(&self, text: &str, at: u64) -> Result<Vec<u8>, BadSignature> {
        let not_checkpoint = || BadSignature::NotCheckpoint { name: self.name.clone() };
        if self.kind == KeyKind::Ed25519 {
            return Ok(text.as_bytes().to_vec());
        }
        if at > TIME_MAX {
            return Err(self.wrong());
        }
        let checkpoint = Checkpoint::parse_text(text).map_err(|_| not_checkpoint())?;
        if self.kind == KeyKind::CosignatureEd25519 {
            return Ok(format!("cosignature/v1\ntime {at}\n{text}").into_bytes());
        }
        let length = |text: &str| u8::try_from(text.len()).map_err(|_| not_checkpoint());
        let mut message = b"subtree/v1\n\0".to_vec();
        message.push(length(&self.name)?);
        message.extend_from_slice(self.name.as_bytes());
        message.extend_from_slice(&at.to_be_bytes());
        message.push(length(&checkpoint.origin)?);
        message.extend_from_slice(checkpoint.origin.as_bytes());
        message.extend_from_slice(&0_u64.to_be_bytes());
        message.extend_from_slice(&checkpoint.size.to_be_bytes());
        message.extend_from_slice(&checkpoint.root);
        Ok(message)
    }

    /// What goes after the key id in a signature line: the signature, with its time where the type has one.
    #[must_use]
    pub fn signature_blob(&self, at: u64, signature: &[u8]) -> Vec<u8> {
        if self.kind.is_timestamped() { [&at.to_be_bytes(), signature].concat() } else { signature.to_vec() }
    }

    /// Checks a signature blob (what [`VerifierKey::signature_blob`] makes) on a note's text. Answers the time it
    /// carries, in POSIX seconds; none for type 01, and for a cosigner that states none (time 0).
    ///
    /// # Errors
    /// When the blob is not this key's signature on `text`.
    pub fn verify(&self, text: &str, blob: &[u8]) -> Result<Option<u64>, BadSignature> {
        let (at, signature) = if self.kind.is_timestamped() {
            let length = || BadSignature::Length { name: self.name.clone() };
            let (at, signature) = blob.split_first_chunk::<TIME_BYTES>().ok_or_else(length)?;
            (u64::from_be_bytes(*at), signature)
        } else {
            (0, blob)
        };
        if signature.len() != self.kind.signature_bytes() {
            return Err(BadSignature::Length { name: self.name.clone() });
        }
        let message = self.signed_bytes(text, at)?;
        let algorithm: &dyn VerificationAlgorithm = match self.kind {
            KeyKind::Ed25519 | KeyKind::CosignatureEd25519 => &ED25519,
            KeyKind::CosignatureMlDsa44 => &ML_DSA_44,
        };
        algorithm.verify_sig(&self.public, &message, signature).map_err(|_| self.wrong())?;
        Ok((at > 0).then_some(at))
    }

    fn wrong(&self) -> BadSignature {
        BadSignature::Wrong { name: self.name.clone(), kind: self.kind }
    }
}

impl FromStr for VerifierKey {
    type Err = BadKey;

    fn from_str(s: &str) -> Result<Self, BadKey> {
        if s.len() > VKEY_BYTES_MAX {
            return Err(BadKey::Form);
        }
        // Base64 has a plus sign too, a name has none: split from the left.
        let mut parts = s.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(BadKey::Form);
        };
        let bytes = text::base64(encoded).ok_or(BadKey::Form)?;
        let (kind, public) = bytes.split_first().ok_or(BadKey::Form)?;
        let kind = KeyKind::of_byte(*kind).ok_or(BadKey::Kind { byte: *kind })?;
        let key = Self::new(name, kind, public)?;
        if text::hex(&key.id) == id { Ok(key) } else { Err(BadKey::Id) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[self.kind.byte()], self.public.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, text::hex(&self.id), text::to_base64(&bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({}+{}, {})", self.name, text::hex(&self.id), self.kind.name())
    }
}
