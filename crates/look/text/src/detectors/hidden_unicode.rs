//! Text that a person cannot see but a model reads.
//!
//! Looked for in the original text: the folded view has these characters removed. Arabic and
//! Persian use the zero-width non-joiner and direction marks in earnest, emoji use joiners,
//! variation selectors and (flags of regions) tags, and hyphenation uses soft hyphens, so what
//! counts is runs, tags outside flags, overrides, and letters of one Latin word held apart.
//!
//! Known miss: one or two invisible characters alone say nothing and are not reported; other
//! detectors read through them anyway.

use std::ops::Range;

use haris_domain::{Detection, DetectionKind, Rule, Severity};

use super::{Layer, face};
use crate::resolve::Claim;
use crate::view::is_invisible;

/// Legitimate text puts two or three in a row (an emoji's selector and joiner, a nested isolate).
const RUN_CHARS_MIN: usize = 4;

/// A selector picks a glyph of the one character before it; a second one carries data.
const SELECTORS_MIN: usize = 2;

/// Latin words held apart in this many places within [`SPLIT_GAP_BYTES`] of each other.
const SPLITS_MIN: usize = 3;
const SPLIT_GAP_BYTES: usize = 16;

/// The longest match: a longer run is reported in pieces.
const MATCH_BYTES_MAX: usize = 1024;

/// A region's flag: six tags and the cancel tag, behind a black flag.
const FLAG_TAGS_MAX: usize = 7;

const TAGS: usize = 0;
const OVERRIDE: usize = 1;
const SELECTORS: usize = 2;
const RUN: usize = 3;
const SPLIT: usize = 4;

/// The rule for half of a surrogate pair in JSON. Rust texts cannot hold one, so the reader of the
/// JSON reports it under this id.
pub const LONE_SURROGATE: &str = "prompt.lone-surrogate";

const IDS: [&str; 5] = [
    "prompt.hidden-tags",
    "prompt.bidi-override",
    "prompt.hidden-selectors",
    "prompt.hidden-unicode",
    "prompt.split-words",
];

const WHY: [&str; 5] = [
    "Unicode tag characters outside a flag emoji",
    "a character that reverses the direction of letters",
    "several variation selectors in a row",
    "a run of invisible characters",
    "invisible characters between the letters of Latin words",
];

pub(crate) fn rules() -> Vec<Rule> {
    const REFERENCES: &[&str] = &["OWASP-LLM-2025:LLM01", "MITRE-ATLAS:AML.T0051", "CWE-1007"];
    let meaning = [
        "Tag characters spell ASCII text that no screen shows and many models read: a message to the model past its reader.",
        "The text is stored in one order and shown in another, so a reviewer and a model read different sentences.",
        "Variation selectors in a row can carry arbitrary bytes behind one visible character.",
        "Zero-width characters in a row carry a hidden message or keep filters from seeing a word.",
        "Invisible characters between letters keep filters from recognising the words, while models still read them.",
        "Half of a UTF-16 pair: readers disagree on what it says, which hides text from one of them. It counts as U+FFFD.",
    ];
    let title = [
        "Invisible tag characters",
        "Bidirectional override",
        "Data in variation selectors",
        "Run of invisible characters",
        "Words split by invisible characters",
        "Lone surrogate",
    ];
    let ids = IDS.iter().chain([&LONE_SURROGATE]);
    ids.zip(title.iter().zip(meaning))
        .map(|(id, (title, meaning))| {
            let remedy = "Remove the characters and ask where the text came from; treat its source as hostile.";
            face(id, Severity::High, title, meaning, remedy, REFERENCES)
        })
        .collect()
}

/// One text on its way through. The state is what is open at the end of the last piece.
#[derive(Default)]
pub(crate) struct Hidden {
    run: Option<Run>,
    split: Option<Split>,
    /// The last character that shows.
    visible: Option<char>,
}

/// A run of invisible characters.
#[derive(Default)]
struct Run {
    span: Range<usize>,
    chars: usize,
    tags: usize,
    overrides: usize,
    selectors: usize,
    /// Soft hyphens hold letters apart in earnest.
    hyphens: usize,
    /// Whether it ended with the tag that ends a flag.
    cancelled: bool,
}

/// Places where invisible characters stand between Latin letters.
struct Split {
    span: Range<usize>,
    count: usize,
}

impl Hidden {
    /// Looks at the next piece, which starts at byte `start` of the text, and returns where the
    /// text starts that may still become part of a match.
    pub(crate) fn advance(&mut self, piece: &str, start: usize, last: bool, add: &mut dyn FnMut(Claim)) -> usize {
        let end = start + piece.len();
        if piece.is_ascii() && self.run.is_none() && self.split.is_none() {
            self.visible = piece.chars().next_back().or(self.visible);
            return end;
        }
        let mut index = 0;
        while let Some(c) = piece[index..].chars().next() {
            if self.run.is_none() && self.split.is_none() && c.is_ascii() {
                // Nothing is open: what is ASCII needs no look, but for its last character.
                let ascii = ascii_prefix(&piece.as_bytes()[index..]);
                index += ascii;
                self.visible = Some(char::from(piece.as_bytes()[index - 1]));
                continue;
            }
            let at = start + index;
            index += c.len_utf8();
            if is_invisible(c) {
                self.extend_run(c, at, add);
                continue;
            }
            if let Some(run) = self.run.take() {
                self.close_run(&run, Some(c), add);
            }
            if self.split.as_ref().is_some_and(|split| at > split.span.end + SPLIT_GAP_BYTES) {
                self.close_split(add);
            }
            self.visible = Some(c);
        }
        if last {
            if let Some(run) = self.run.take() {
                self.close_run(&run, None, add);
            }
            self.close_split(add);
        }
        let run = self.run.as_ref().map_or(end, |run| run.span.start);
        let split = self.split.as_ref().map_or(end, |split| split.span.start);
        run.min(split)
    }

    fn extend_run(&mut self, c: char, at: usize, add: &mut dyn FnMut(Claim)) {
        let end = at + c.len_utf8();
        if let Some(run) = self.run.take_if(|run| end - run.span.start > MATCH_BYTES_MAX) {
            self.close_run(&run, None, add);
            self.visible = None;
        }
        let run = self.run.get_or_insert_with(|| Run { span: at..at, ..Run::default() });
        run.span.end = end;
        run.chars += 1;
        run.cancelled = c == '\u{e007f}';
        match c {
            '\u{e0000}'..='\u{e007f}' => run.tags += 1,
            '\u{202d}' | '\u{202e}' => run.overrides += 1,
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => run.selectors += 1,
            '\u{ad}' => run.hyphens += 1,
            _ => {}
        }
    }

    fn close_run(&mut self, run: &Run, next: Option<char>, add: &mut dyn FnMut(Claim)) {
        let flag = self.visible == Some('\u{1f3f4}') && run.cancelled && run.tags == run.chars;
        let rule = if run.tags > 0 && !(flag && run.tags <= FLAG_TAGS_MAX) {
            Some(TAGS)
        } else if run.overrides > 0 {
            Some(OVERRIDE)
        } else if run.selectors >= SELECTORS_MIN {
            Some(SELECTORS)
        } else {
            (run.chars >= RUN_CHARS_MIN && run.tags == 0).then_some(RUN)
        };
        if let Some(rule) = rule {
            add(claim(rule, run.span.clone()));
        }
        let latin = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic());
        if run.hyphens < run.chars && latin(self.visible) && latin(next) {
            match &mut self.split {
                Some(split) if run.span.end - split.span.start <= MATCH_BYTES_MAX => {
                    split.span.end = run.span.end;
                    split.count += 1;
                }
                _ => {
                    self.close_split(add);
                    self.split = Some(Split { span: run.span.clone(), count: 1 });
                }
            }
        }
    }

    fn close_split(&mut self, add: &mut dyn FnMut(Claim)) {
        if let Some(split) = self.split.take().filter(|split| split.count >= SPLITS_MIN) {
            add(claim(SPLIT, split.span));
        }
    }
}

/// How many bytes at the start are ASCII.
fn ascii_prefix(bytes: &[u8]) -> usize {
    const CHUNK: usize = 32;
    let chunks = bytes.chunks_exact(CHUNK).take_while(|chunk| chunk.is_ascii()).count() * CHUNK;
    chunks + bytes[chunks..].iter().take_while(|b| b.is_ascii()).count()
}

fn claim(rule: usize, span: Range<usize>) -> Claim {
    // Tags, overrides and selectors in a row are never an accident; the rest may be a broken editor's.
    let score = if matches!(rule, TAGS | OVERRIDE | SELECTORS) { 990_000 } else { 900_000 };
    let detection = Detection { rule: IDS[rule].into(), kind: DetectionKind::HiddenUnicode, span, score };
    Claim { layer: Layer::Hidden, rank: 0, detection, why: WHY[rule] }
}
