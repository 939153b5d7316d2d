//! Words near a place that say what a number is.

use aho_corasick::AhoCorasick;

use crate::spot::joined_end;
use crate::view::folded;

/// A set of words in any of several languages, matched in folded text and in either case.
pub(crate) struct ContextWords {
    words: AhoCorasick,
}

/// English words up to this long must stand alone: `pan` is a card, `panel` is not.
const WHOLE_WORD_MAX: usize = 4;

impl ContextWords {
    pub(crate) fn new(words: &[&str]) -> Self {
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(words.iter().map(|word| folded(word)))
            .expect("a few dozen words fit an automaton");
        Self { words }
    }

    /// Whether one of the words ends within the last `bytes` of `text`.
    pub(crate) fn within(&self, text: &str, bytes: usize) -> bool {
        self.nearest(text).is_some_and(|distance| distance <= bytes)
    }

    /// How many bytes behind the last of the words `text` ends.
    pub(crate) fn nearest(&self, text: &str) -> Option<usize> {
        let stands = |start: usize, end: usize| {
            // Arabic prefixes and suffixes are written on to the word.
            if !text[start..end].is_ascii() {
                return true;
            }
            let follows = text[end..].chars().next().is_some_and(char::is_alphabetic);
            !joined_before(&text[..start]) && !(end - start <= WHOLE_WORD_MAX && follows)
        };
        self.words
            .find_overlapping_iter(text)
            .filter(|found| stands(found.start(), found.end()))
            .map(|found| text.len() - found.end())
            .last()
    }
}

/// `my_password` counts as `password`: only letters and digits bind.
fn joined_before(text: &str) -> bool {
    joined_end(text) && !text.ends_with('_')
}
