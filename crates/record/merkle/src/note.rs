//! C2SP signed notes: a text, and one line per signature.
//!
//! The text means nothing until [`Note::verify`] has accepted it under keys that the reader brought along.

use std::fmt::{self, Write as _};

use crate::key::{BadSignature, VerifierKey};
use crate::text;

/// Longest note that is read: 64 ML-DSA lines of 3.3 kB and room for the text. The specification asks for at least 16
/// signatures.
pub const NOTE_BYTES_MAX: usize = 256 * 1024;
/// Most signature lines that are read.
pub const SIGNATURES_MAX: usize = 64;

/// What starts a signature line: an em dash and a space.
const LINE_START: &str = "\u{2014} ";

/// Something that can sign notes: a key in memory, a file, an HSM. This crate never holds a secret.
pub trait Signer {
    /// The public half.
    fn key(&self) -> &VerifierKey;

    /// Signs `text` at `at` (POSIX seconds; ignored by type 01) and answers what follows the key id in a signature
    /// line. [`VerifierKey::signed_bytes`] gives the bytes to sign, [`VerifierKey::signature_blob`] the answer.
    ///
    /// # Errors
    /// When the key cannot sign this text, or not now.
    fn sign_note(&self, text: &str, at: u64) -> Result<Vec<u8>, SignError>;
}

/// A signer that did not sign.
#[derive(Debug, thiserror::Error)]
#[error("key `{name}` could not sign: {why}")]
pub struct SignError {
    /// The key's name.
    pub name: String,
    /// What went wrong.
    pub why: String,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key's name, as the line claims it.
    pub name: String,
    /// The key's id, as the line claims it.
    pub id: [u8; 4],
    /// The rest: a signature, with a time before it in the cosignature types.
    pub blob: Vec<u8>,
}

/// A note: a text with its signatures, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// Why bytes are not a note.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadNote {
    /// Longer than [`NOTE_BYTES_MAX`].
    #[error("a note of {bytes} bytes is longer than {NOTE_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Not UTF-8, or with control characters.
    #[error("a note is UTF-8 without control characters other than the newline")]
    Characters,
    /// No blank line between a text and signatures, or a missing last newline.
    #[error("a note is a text, a blank line and signature lines, each ended by a newline")]
    Form,
    /// A signature line that is none.
    #[error("signature line {line} is not `— name base64`")]
    Line {
        /// Which, from 1.
        line: usize,
    },
    /// More than [`SIGNATURES_MAX`].
    #[error("more than {SIGNATURES_MAX} signature lines")]
    TooMany,
}

/// Why a note is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotVerified {
    /// No signature is by a given key.
    #[error("none of the given keys has signed it; it carries signatures by {}", signers.join(", "))]
    NoKnownKey {
        /// Names and ids that the signature lines claim.
        signers: Vec<String>,
    },
    /// A signature claims a given key and is wrong.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// A signature that a given key has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The key that was given.
    pub key: &'a VerifierKey,
    /// When the signer says it signed, in POSIX seconds.
    pub at: Option<u64>,
}

impl Note {
    /// Reads a note. Nothing in it is believed yet.
    ///
    /// # Errors
    /// When the bytes are not a note, or exceed the bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadNote> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(BadNote::TooLong { bytes: bytes.len() });
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| BadNote::Characters)?;
        if !valid_characters(whole) {
            return Err(BadNote::Characters);
        }
        // The text ends at the LAST blank line; it may have blank lines of its own.
        let end = whole.rfind("\n\n").ok_or(BadNote::Form)?;
        let (text, lines) = (&whole[..=end], &whole[end + 2..]);
        let signatures = signatures(lines)?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Signs `text` with every signer, at `at` POSIX seconds.
    ///
    /// # Errors
    /// When a signer refuses, or `text` cannot be a note's text.
    pub fn sign(text: &str, signers: &[&dyn Signer], at: u64) -> Result<Self, SignError> {
        if !text.ends_with('\n') || !valid_characters(text) {
            let why = "a note's text ends in a newline and has no other control characters".to_owned();
            return Err(SignError { name: signers.first().map_or("", |signer| signer.key().name()).to_owned(), why });
        }
        let mut note = Self { text: text.to_owned(), signatures: Vec::with_capacity(signers.len()) };
        for signer in signers {
            let blob = signer.sign_note(text, at)?;
            note.signatures.push(Signature { name: signer.key().name().to_owned(), id: signer.key().id(), blob });
        }
        Ok(note)
    }

    /// The text, newline included. Believe it only after [`Note::verify`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in their order.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The same text under other signature lines.
    #[must_use]
    pub fn with_signatures(&self, signatures: Vec<Signature>) -> Self {
        Self { text: self.text.clone(), signatures }
    }

    /// Adds a signature line, a witness's for instance.
    pub fn push(&mut self, signature: Signature) {
        self.signatures.push(signature);
    }

    /// Checks the signatures of the given keys; those of others are ignored. Each key is answered once.
    ///
    /// # Errors
    /// When no given key has signed, or a signature under a given key's name and id is wrong.
    pub fn verify<'a>(&self, keys: &'a [VerifierKey]) -> Result<Vec<Verified<'a>>, NotVerified> {
        let mut verified: Vec<Verified<'a>> = Vec::new();
        for signature in &self.signatures {
            // Ids are short, so two given keys may share one: both must then accept, as neither can be told apart.
            for key in keys.iter().filter(|key| key.name() == signature.name && key.id() == signature.id) {
                let at = key.verify(&self.text, &signature.blob)?;
                if !verified.iter().any(|known| known.key == key) {
                    verified.push(Verified { key, at });
                }
            }
        }
        if verified.is_empty() {
            let signers = self.signatures.iter().map(|s| format!("`{}+{}`", s.name, text::hex(&s.id))).collect();
            return Err(NotVerified::NoKnownKey { signers });
        }
        Ok(verified)
    }

    /// The note's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{}\n", self.text);
        for signature in &self.signatures {
            writeln!(out, "{signature}").expect("writing to a String does not fail");
        }
        out.into_bytes()
    }
}

fn valid_characters(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 || byte == b'\n')
}

/// Reads signature lines without a text before them: what a witness answers. At least one, each ended by a newline.
///
/// # Errors
/// When a line is none, or there are too many.
pub fn signatures(lines: &str) -> Result<Vec<Signature>, BadNote> {
    let lines = lines.strip_suffix('\n').ok_or(BadNote::Form)?;
    let mut signatures = Vec::new();
    for (index, line) in lines.split('\n').enumerate() {
        if index == SIGNATURES_MAX {
            return Err(BadNote::TooMany);
        }
        signatures.push(signature(line).ok_or(BadNote::Line { line: index + 1 })?);
    }
    Ok(signatures)
}

/// The line, without its newline.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.id.as_slice(), &self.blob].concat();
        write!(f, "{LINE_START}{} {}", self.name, text::to_base64(&blob))
    }
}

fn signature(line: &str) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix(LINE_START)?.split_once(' ')?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
        return None;
    }
    let bytes = text::base64(encoded)?;
    let (id, blob) = bytes.split_first_chunk::<4>()?;
    (!blob.is_empty()).then(|| Signature { name: name.to_owned(), id: *id, blob: blob.to_vec() })
}
