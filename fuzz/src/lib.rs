//! What the targets of the artifact scanner share.

use std::sync::LazyLock;

use haris_artifact::{Limits, Scanner, Source};

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| {
    let limits =
        Limits { bytes_out: 16 << 20, bytes_out_free: 4 << 20, members: 2_000, steps: 20_000_000, ..Limits::default() };
    Scanner::new(limits)
});

/// Scans the input as one of `formats`, which its first byte chooses: within the limits, and twice with one verdict.
pub fn scan(formats: &[&'static str], input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let format = formats[usize::from(*choice) % formats.len()];
    let source = Source::memory(bytes.to_vec());
    let first = SCANNER.scan_as(format, &source);
    assert_eq!(first.verdict(), SCANNER.scan_as(format, &source).verdict());
    assert!(first.findings.len() <= Limits::default().findings + 1);
}
