//! What a witness, or somebody in its place, answers over HTTP.
#![no_main]

use haris_verify::outside::answer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((status, body)) = answer(bytes) {
        assert!(status < 1000 && bytes.ends_with(body));
    }
});
