//! Containers and compressors: nothing panics, however the layers lie.
#![no_main]

use std::sync::LazyLock;

use haris_artifact::{Limits, Scanner, Source};
use libfuzzer_sys::fuzz_target;

/// The first byte of the input chooses.
const FORMATS: &[&str] = &["zip", "tar", "gzip", "zlib", "bzip2", "xz", "lzma", "lz4", "zstd", "joblib-zfile"];

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    let limits =
        Limits { bytes_out: 16 << 20, bytes_out_free: 4 << 20, members: 2_000, steps: 20_000_000, ..Limits::default() };
    Scanner::new(limits)
});

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let format = FORMATS[usize::from(*choice) % FORMATS.len()];
    let source = Source::memory(bytes.to_vec());
    let first = SCANNER.scan_as(format, &source);
    assert_eq!(first.verdict(), SCANNER.scan_as(format, &source).verdict());
    assert!(first.findings.len() <= Limits::default().findings + 1);
});
