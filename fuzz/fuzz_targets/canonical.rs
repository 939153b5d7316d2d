//! Canonical JSON: what it writes, it reads back and writes again the same way.
#![no_main]

use haris_domain::canonical;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let Ok(written) = canonical::to_vec(&value) else { return };
    assert!(canonical::is_canonical(&written));
    assert_eq!(serde_json::from_slice::<Value>(&written).expect("canonical JSON is JSON"), value);
});
