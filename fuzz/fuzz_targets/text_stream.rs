//! A stream finds what the whole text holds, however it is cut, and gives the text back.
//!
//! The first bytes say where to cut; the rest is the text.
#![no_main]

use std::sync::{Arc, LazyLock};

use haris_domain::Context;
use haris_text::{Engine, Piece};
use libfuzzer_sys::fuzz_target;

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| Arc::new(Engine::new()));

fuzz_target!(|input: (u8, [u8; 8], &str)| {
    let (context, cuts, text) = input;
    let context = Context::ALL[usize::from(context) % Context::ALL.len()];
    let mut stream = ENGINE.stream(context);
    let mut pieces = Vec::new();
    let mut cuts = cuts.iter().cycle();
    let mut rest = text;
    while !rest.is_empty() {
        let wanted = usize::from(*cuts.next().expect("a cycle")) % 24 + 1;
        let end = rest.char_indices().map(|(at, _)| at).nth(wanted).unwrap_or(rest.len());
        stream.push(&rest[..end], &mut pieces);
        rest = &rest[end..];
    }
    stream.finish(&mut pieces);

    let (mut spelled, mut found) = (String::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Clean(clean) => spelled.push_str(&clean),
            Piece::Match { start, text, detections } => {
                assert_eq!(start, spelled.len());
                spelled.push_str(&text);
                found.extend(detections);
            }
        }
    }
    assert_eq!(spelled, text);
    assert_eq!(found, ENGINE.inspect(text, context).detections);
});
