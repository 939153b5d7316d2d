//! Text formats, and the code and templates inside them: nothing panics, however deep it nests.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The first byte of the input chooses.
const FORMATS: &[&str] =
    &["json", "yaml", "xml", "jinja", "python", "python-module", "shell-script", "requirements", "toml", "lightgbm"];

fuzz_target!(|input: &[u8]| haris_fuzz::scan(FORMATS, input));
