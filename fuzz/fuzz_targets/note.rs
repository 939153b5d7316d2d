//! A signed note and a verifier key: what is read is written back byte for byte.
#![no_main]

use haris_merkle::{Note, VerifierKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_bytes(), bytes);
        // The keys that the note itself names prove nothing, but must be looked up without harm.
        let keys: Vec<VerifierKey> = note.text().lines().filter_map(|line| line.parse().ok()).collect();
        let _ = note.verify(&keys);
    }
    if let Some(key) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<VerifierKey>().ok()) {
        assert_eq!(key.to_string().as_bytes(), bytes);
    }
});
