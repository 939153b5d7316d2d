//! The gateway's strict JSON reader: what it reads, it writes and reads again the same; and what it
//! takes for JSON, another parser does too.
#![no_main]

use haris_gateway::json::{Bounds, parse};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

const BOUNDS: Bounds = Bounds { depth: 64, values: 10_000 };

fuzz_target!(|bytes: &[u8]| {
    let Ok(node) = parse(bytes, BOUNDS) else { return };
    assert!(serde_json::from_slice::<IgnoredAny>(bytes).is_ok());
    let written = node.to_json();
    assert_eq!(parse(&written, BOUNDS).as_ref(), Ok(&node));
    assert!(serde_json::from_slice::<IgnoredAny>(&written).is_ok());
});
