//! What an auditor's program makes of a leaf and of a filter, which it reads with code of its own.
//!
//! The first line is the filter; the rest is the leaf.
#![no_main]

use haris_verify::{Filter, LeafView, moment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let split = input.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (line, leaf) = input.split_at(split);
    let filter = std::str::from_utf8(line).ok().and_then(|line| line.parse::<Filter>().ok());
    if let Some(filter) = &filter {
        assert_eq!(filter.to_string().as_bytes(), line);
    }
    if let Some(micros) = std::str::from_utf8(line).ok().and_then(moment::parse) {
        assert_eq!(moment::format(micros).as_bytes(), line);
    }
    if let Ok(leaf) = LeafView::parse(leaf.strip_prefix(b"\n").unwrap_or(leaf)) {
        let _ = (leaf.at_micros(), leaf.about(), leaf.data(), leaf.payloads());
        let _ = filter.map(|filter| filter.matches(&leaf));
    }
});
