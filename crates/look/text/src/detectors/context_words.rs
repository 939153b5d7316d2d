//! Words near a place that say what a number is.

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
        let stands = |start: usize, end: usize| {
            // Arabic prefixes and suffixes are written on to the word.
            if !text[start..end].is_ascii() {
                return true;
            }
            // Longer ones may have a plural's ending: `accounts` is one, `accountant` is not.
            let endings = usize::from(end - start > WHOLE_WORD_MAX);
            let follows = text[end..].chars().nth(endings).is_some_and(char::is_alphabetic);
            let follows = follows && text[end..].chars().take(endings).all(char::is_alphabetic);
            !joined_before(&text[..start]) && !follows
        };
        // Words are searched as bytes from wherever the longest could start.
        let from = text.len().saturating_sub(bytes + self.longest);
        self.words
            .find_overlapping_iter(&text.as_bytes()[from..])
            .map(|found| (from + found.start(), from + found.end()))
            .filter(|(start, end)| text.len() - end <= bytes && stands(*start, *end))
            .map(|(_, end)| text.len() - end)
            .last()
    }
}

/// `my_password` counts as `password`: only letters and digits bind.
fn joined_before(text: &str) -> bool {
    joined_end(text) && !text.ends_with('_')
}
