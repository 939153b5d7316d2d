//! Words near a place that say what a number is.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::spot::joined_end;
use crate::view::folded;

/// A set of words in any of several languages, matched in folded text and in either case.
pub(crate) struct ContextWords {
    words: AhoCorasick,
    longest: usize,
}

/// English words up to this long must stand alone: `pan` is a card, `panel` is not.
const WHOLE_WORD_MAX: usize = 4;

impl ContextWords {
    pub(crate) fn new(words: &[&str]) -> Self {
        let words: Vec<String> = words.iter().map(|word| folded(word)).collect();
        let longest = words.iter().map(String::len).max().unwrap_or(0);
        let words = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .prefilter(false)
            .ascii_case_insensitive(true)
            .build(words)
            .expect("a few dozen words fit an automaton");
        Self { words, longest }
    }

    /// Whether one of the words ends within the last `bytes` of `text`.
    pub(crate) fn within(&self, text: &str, bytes: usize) -> bool {
        self.nearest(text, bytes).is_some()
    }

    /// How many bytes, at most `bytes`, behind the last of the words `text` ends.
    pub(crate) fn nearest(&self, text: &str, bytes: usize) -> Option<usize> {
        // Words are searched as bytes from wherever the longest could start.
        let from = text.len().saturating_sub(bytes + self.longest);
        self.words
            .find_overlapping_iter(&text.as_bytes()[from..])
            .map(|found| (from + found.start(), from + found.end()))
            .filter(|(start, end)| text.len() - end <= bytes && stands(text, *start, *end))
            .map(|(_, end)| text.len() - end)
            .last()
    }

    /// Where the first of the words stands in `text`, and of several at one place the longest.
    pub(crate) fn first(&self, text: &str) -> Option<Range<usize>> {
        self.words
            .find_overlapping_iter(text.as_bytes())
            .map(|found| found.start()..found.end())
            .filter(|found| stands(text, found.start, found.end))
            .min_by_key(|found| (found.start, usize::MAX - found.end))
    }
}

/// Whether the word at that place stands for itself.
fn stands(text: &str, start: usize, end: usize) -> bool {
    // Arabic prefixes and suffixes are written on to the word.
    if !text[start..end].is_ascii() {
        return true;
    }
    // Longer ones may have a plural's ending: `accounts` is one, `accountant` is not.
    let endings = usize::from(end - start > WHOLE_WORD_MAX);
    let mut behind = text[end..].chars();
    let goes_on = !humps(&text[..end], &text[end..])
        && behind.by_ref().take(endings).all(char::is_alphabetic)
        && behind.next().is_some_and(char::is_alphabetic);
    !goes_on && (!joined_before(&text[..start]) || humps(&text[..start], &text[start..]))
}

/// Whether a word of `customerCardNumber` ends between the two.
fn humps(before: &str, behind: &str) -> bool {
    before.ends_with(|c: char| c.is_ascii_lowercase()) && behind.starts_with(|c: char| c.is_ascii_uppercase())
}

/// What may stand between a number and what it is called: `is my`, `number:`, `هو رقم`.
const LINKS: &[&str] = &[
    "is",
    "was",
    "are",
    "my",
    "his",
    "her",
    "their",
    "your",
    "our",
    "its",
    "the",
    "a",
    "an",
    "s",
    "which",
    "that",
    "as",
    "this",
    "number",
    "no",
    "nr",
    "num",
    "id",
    "customer",
    "client",
    "holder",
    "هو",
    "هي",
    "وهو",
    "وهي",
    "هذا",
    "هذه",
    "رقم",
    "رقمي",
    "الرقم",
    "رقمه",
];

/// Whether `text` only ties what stands before it to what stands behind it.
pub(crate) fn only_links(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .all(|word| LINKS.iter().any(|link| link.eq_ignore_ascii_case(word)))
}

/// `my_password` counts as `password`: only letters and digits bind.
fn joined_before(text: &str) -> bool {
    joined_end(text) && !text.ends_with('_')
}
