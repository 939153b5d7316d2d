//! Canonical JSON: what it writes it reads back, and it reads nothing that it would not have written.
#![no_main]

use haris_domain::canonical;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let read = canonical::parse(bytes);
    let written = serde_json::from_slice::<Value>(bytes).ok().and_then(|value| Some((canonical::to_vec(&value).ok()?, value)));
    let Some((written, value)) = written else {
        assert_eq!(read, None);
        return;
    };
    assert_eq!(read.is_some(), written == bytes);
    assert_eq!(canonical::parse(&written), Some(value));
});
