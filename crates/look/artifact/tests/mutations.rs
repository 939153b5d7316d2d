//! Samples of every format, cut and flipped: nothing panics, and what is cut is never clean.
//!
//! The samples are the seeds of the fuzz targets; the first byte of each names a format there and is left out here.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test's report")]

use std::fs;
use std::path::Path;

use haris_artifact::{Limits, Scanner, Source, Verdict};
use proptest::prelude::*;

fn samples() -> Vec<(String, Vec<u8>)> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/seeds");
    let mut samples = Vec::new();
    for family in ["artifact_archive", "artifact_model", "artifact_pickle", "artifact_text"] {
        for entry in fs::read_dir(seeds.join(family)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            samples.push((name, fs::read(&path).unwrap().split_off(1)));
        }
    }
    samples.sort();
    assert!(samples.len() > 40);
    samples
}

fn scan(bytes: &[u8]) -> Verdict {
    let limits = Limits { bytes_out: 64 << 20, steps: 50_000_000, ..Limits::default() };
    Scanner::new(limits).scan("sample", &Source::memory(bytes.to_vec())).verdict()
}

/// Formats that say where they end. The others (protobuf, text) are whole wherever a record ends.
const ENDED: &[&str] = &[
    "pickle",
    "torch-legacy",
    "npy",
    "zip",
    "tar",
    "gzip",
    "zlib",
    "bzip2",
    "xz",
    "lzma",
    "joblib-zfile",
    "safetensors",
    "ubjson",
    "7z",
    "rar",
    "r",
    "java",
    "torch7",
];

#[test]
fn what_is_cut_is_never_clean() {
    for (name, bytes) in samples() {
        // Pickles one after another are whole wherever one of them ends.
        let stacked = name == "pickle-third-old";
        let ended = !stacked && ENDED.iter().any(|format| name.starts_with(&format!("{format}-")));
        let step = (bytes.len() / 400).max(1);
        // Less than a header is a text, or nothing; so is the beginning of a pickle of letters.
        for end in (16..bytes.len()).step_by(step) {
            let is_text = bytes[..end].iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n'));
            let ended = ended && !is_text;
            let verdict = scan(&bytes[..end]);
            assert!(!ended || verdict != Verdict::Clean, "{name} cut at {end} of {}", bytes.len());
        }
    }
}

#[test]
fn what_follows_a_hostile_file_does_not_make_it_clean() {
    for (name, bytes) in samples() {
        if scan(&bytes) == Verdict::Blocked && name.starts_with("pickle-") {
            for tail in [&b"\0\0\0\0"[..], b"\n", b"\x80\x04N.", b"PK\x05\x06", &[0xff; 40]] {
                assert_eq!(scan(&[&bytes, tail].concat()), Verdict::Blocked, "{name} and {tail:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_do_not_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6)) {
        for (_, mut bytes) in samples() {
            for (at, bit) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            let _ = scan(&bytes);
        }
    }

    #[test]
    fn spliced_samples_do_not_panic(left in any::<prop::sample::Index>(), right in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let samples = samples();
        let (left, right) = (left.get(&samples), right.get(&samples));
        let at = at.index(left.1.len());
        let _ = scan(&[&left.1[..at], &right.1, &left.1[at..]].concat());
    }

    #[test]
    fn noise_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = scan(&bytes);
    }
}
