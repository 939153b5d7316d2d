//! A leaf: any bytes are an event or are refused, and an event's bytes are the only ones that say it.
#![no_main]

use haris_domain::{Event, canonical};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = Event::parse(bytes) {
        assert!(canonical::parse(bytes).is_some());
        assert!(event.source.n > 0);
    }
});
