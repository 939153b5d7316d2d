//! Pickles in every wrapping a loader takes them from: nothing panics, and the same bytes give the same verdict.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The first byte of the input chooses.
const FORMATS: &[&str] = &["pickle", "torch-legacy", "npy", "python-bytecode"];

fuzz_target!(|input: &[u8]| haris_fuzz::scan(FORMATS, input));
