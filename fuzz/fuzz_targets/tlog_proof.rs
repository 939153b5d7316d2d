//! A proof file: what is read is written back byte for byte, and verifying anything against it is
//! an answer and no accident.
#![no_main]

use haris_merkle::{TlogProof, leaf_hash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(proof) = TlogProof::parse(bytes) else { return };
    assert_eq!(proof.to_bytes(), bytes);
    let _ = proof.verify_entry(&leaf_hash(bytes));
});
