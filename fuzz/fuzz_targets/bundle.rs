//! An evidence bundle, as an attacker would write it: members of his choice in a zip whose
//! checksums are right, and the same bytes as a file of their own.
//!
//! The first line holds verifier keys. Each member begins with a line `%%% NAME`. An empty
//! `README.txt` stands for the text that every bundle has.
#![no_main]

use std::io::Cursor;

use haris_verify::bundle::README_TEXT;
use haris_verify::{Trust, verify, verify_proof};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (line, rest) = input.split_at(input.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let keys = String::from_utf8_lossy(line).split(' ').filter_map(|key| key.parse().ok()).collect();
    let trust = Trust { keys, policy: None };
    check(&zip(&members(rest)), &trust);
    check(rest, &trust);
    let _ = verify_proof(rest, &trust, &mut ());
});

fn check(bundle: &[u8], trust: &Trust) {
    let report = verify(Cursor::new(bundle), trust, &mut ()).expect("bytes in memory can be read");
    assert_eq!(report.proven, report.problems.is_empty());
    assert!(!report.begins.is_empty());
    assert!(!(report.proven && trust.keys.is_empty()), "nothing is proven without a key");
}

fn members(text: &[u8]) -> Vec<(&[u8], &[u8])> {
    const MARK: &[u8] = b"\n%%% ";
    let starts: Vec<usize> = (0..text.len()).filter(|at| text[*at..].starts_with(MARK)).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let parts = starts.iter().zip(ends).map(|(start, end)| &text[start + MARK.len()..end]);
    parts
        .filter_map(|part| {
            let line = part.iter().position(|byte| *byte == b'\n')?;
            let (name, content) = (&part[..line], &part[line + 1..]);
            let fixed = name == b"README.txt" && content.is_empty();
            Some((name, if fixed { README_TEXT.as_bytes() } else { content }))
        })
        .collect()
}

/// The one form of zip that a bundle has: stored, without times, attributes or gaps.
fn zip(members: &[(&[u8], &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let offset = (out.len() as u32).to_le_bytes();
        let bytes = (content.len() as u32).to_le_bytes();
        let crc = crc32fast::hash(content).to_le_bytes();
        let name_bytes = (name.len() as u16).to_le_bytes();
        let shared = [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0], &crc[..], &bytes, &bytes, &name_bytes, &[0, 0]].concat();
        out.extend([&b"PK\x03\x04"[..], &shared[..], name, content].concat());
        directory.extend([&b"PK\x01\x02"[..], &[20, 0], &shared[..], &[0; 10], &offset, name].concat());
    }
    let count = (members.len() as u16).to_le_bytes();
    let (bytes, offset) = ((directory.len() as u32).to_le_bytes(), (out.len() as u32).to_le_bytes());
    out.extend(directory);
    out.extend([&b"PK\x05\x06"[..], &[0; 4], &count, &count, &bytes, &offset, &[0, 0]].concat());
    out
}
