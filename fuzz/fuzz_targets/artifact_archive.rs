//! Containers and compressors: nothing panics, however the layers lie.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The first byte of the input chooses.
const FORMATS: &[&str] =
    &["zip", "tar", "gzip", "zlib", "bzip2", "xz", "lzma", "lz4", "zstd", "joblib-zfile", "7z", "rar"];

fuzz_target!(|input: &[u8]| haris_fuzz::scan(FORMATS, input));
