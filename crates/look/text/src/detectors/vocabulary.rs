//! The words of phrases, numbered, and the words of a text as those numbers.
//!
//! A text's word is looked up once and compared as a number from then on. Arabic writes articles,
//! conjunctions and pronouns on to words, so one of its words may be a form of several.

use std::collections::HashMap;

use crate::fnv::FnvState;
use crate::spot::Spot;
use crate::view::folded;

/// Places in a phrase are kept in the bits of one integer.
pub(super) const WORDS_MAX: usize = 32;

/// Between two words of a phrase stand at most this many bytes of spaces and marks.
const BETWEEN_MAX: usize = 8;

/// A set of choices.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choices([u64; CHOICES_MAX / 64]);

/// Phrases have fewer different slots than this.
const CHOICES_MAX: usize = 512;

impl Choices {
    pub(super) fn all() -> Self {
        Self([u64::MAX; CHOICES_MAX / 64])
    }

    pub(super) fn insert(&mut self, choice: usize) {
        self.0[choice / 64] |= 1 << (choice % 64);
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
}

/// At most this many words of the vocabulary match one word of a text: Arabic endings overlap.
const MEANINGS_MAX: usize = 4;

/// A word behind a spot.
#[derive(Clone, Copy, Default)]
pub(super) struct Word {
    /// Words of the vocabulary that it is a form of, and how many.
    known: [u16; MEANINGS_MAX],
    count: u8,
    /// Where it ends, in bytes behind the spot.
    pub(super) end: usize,
}

/// The words behind a spot, read as they are asked for, so that a phrase that fails early holds
/// nothing back.
pub(super) struct Words<'a> {
    spot: &'a Spot<'a>,
    vocabulary: &'a Vocabulary,
    read: [Word; WORDS_MAX],
    count: usize,
    ended: bool,
}

impl<'a> Words<'a> {
    pub(super) fn new(spot: &'a Spot<'a>, vocabulary: &'a Vocabulary) -> Self {
        Self { spot, vocabulary, read: [Word::default(); WORDS_MAX], count: 0, ended: false }
    }

    pub(super) fn get(&mut self, index: usize) -> Option<Word> {
        while self.count <= index {
            let start = self.count.checked_sub(1).map_or(0, |last| self.read[last].end);
            let word = if self.ended || self.count == WORDS_MAX { None } else { self.read_word(start) };
            let Some(word) = word else {
                self.ended = true;
                return None;
            };
            self.read[self.count] = word;
            self.count += 1;
        }
        Some(self.read[index])
    }

    /// Whether one of the `near` words behind the first starts an entry of one of `choices`.
    pub(super) fn any_of(&mut self, choices: &Choices, near: usize) -> bool {
        let vocabulary = self.vocabulary;
        (1..=near).map_while(|at| self.get(at)).any(|word| {
            let known = &word.known[..usize::from(word.count)];
            known.iter().any(|known| vocabulary.starts[usize::from(*known)].meets(choices))
        })
    }

    /// The words behind the entries of `choice` that match at word `at`, as bits.
    pub(super) fn ends(&mut self, choice: usize, at: usize) -> u64 {
        let Some(word) = self.get(at) else { return 0 };
        let vocabulary = self.vocabulary;
        let mut ends = 0;
        for known in &word.known[..usize::from(word.count)] {
            for (_, rest) in vocabulary.entries[usize::from(*known)].iter().filter(|(own, _)| *own == choice) {
                let behind = at + 1 + rest.len();
                let all = rest.iter().enumerate().all(|(offset, other)| {
                    self.get(at + 1 + offset).is_some_and(|word| word.known[..usize::from(word.count)].contains(other))
                });
                if all && behind < WORDS_MAX {
                    ends |= 1 << behind;
                }
            }
        }
        ends
    }

    /// Reads the word after `from`, past spaces and marks that do not end a sentence.
    fn read_word(&self, from: usize) -> Option<Word> {
        let mut at = from;
        let mut breaks = 0;
        loop {
            let c = self.spot.char(at)?;
            if is_letter(c) {
                break;
            }
            // A sentence ends at its mark before a space, a paragraph at its second line break.
            breaks += usize::from(c == '\n');
            let stops = matches!(c, '.' | '!' | '?' | ';' | '؟' | '؛' | '。')
                && self.spot.byte(at + c.len_utf8()).is_none_or(|b| b.is_ascii_whitespace());
            if at - from >= BETWEEN_MAX || breaks > 1 || stops {
                return None;
            }
            at += c.len_utf8();
        }
        let start = at;
        while let Some(byte) = self.spot.byte(at) {
            if byte.is_ascii_alphanumeric() || byte == b'\'' {
                at += 1;
            } else if byte.is_ascii() {
                break;
            } else {
                match self.spot.char(at).filter(|c| is_letter(*c)) {
                    Some(c) => at += c.len_utf8(),
                    None => break,
                }
            }
        }
        let mut word = Word { end: at, ..Word::default() };
        self.vocabulary.look_up(self.spot.slice(start, at), &mut word);
        Some(word)
    }
}

/// All words of all lists, numbered, so that a text's word is looked up once and compared as a
/// number from then on.
#[derive(Default)]
pub(super) struct Vocabulary {
    numbers: HashMap<String, u16, FnvState>,
    words: Vec<String>,
    /// Per word: the entries that start with it, as their choice and their further words.
    entries: Vec<Vec<(usize, Vec<u16>)>>,
    /// Per word: the choices of those entries.
    starts: Vec<Choices>,
    /// Choices by how they are written: the same list in two phrases is one.
    choices: HashMap<String, usize>,
}

/// Longer words are in no list.
const WORD_BYTES_MAX: usize = 40;

impl Vocabulary {
    /// The number of a choice that is written `{list}`, `a|b_c` or a mix.
    pub(super) fn choice(&mut self, part: &str, lists: &HashMap<String, Vec<String>>) -> usize {
        if let Some(choice) = self.choices.get(part) {
            return *choice;
        }
        let choice = self.choices.len();
        assert!(choice < CHOICES_MAX, "phrases have fewer different slots; a test reads the built-in rules");
        self.choices.insert(part.to_owned(), choice);
        for option in part.split('|') {
            match option.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => {
                    let list =
                        lists.get(name).expect("a phrase names lists that exist; a test reads the built-in rules");
                    list.iter().for_each(|entry| self.add(choice, entry));
                }
                None => self.add(choice, &option.replace('_', " ")),
            }
        }
        choice
    }

    fn add(&mut self, choice: usize, entry: &str) {
        let folded = folded(entry).to_lowercase();
        let numbers: Vec<u16> = folded.split_whitespace().map(|word| self.number(word)).collect();
        if let Some((first, rest)) = numbers.split_first() {
            self.entries[usize::from(*first)].push((choice, rest.to_vec()));
            self.starts[usize::from(*first)].insert(choice);
        }
    }

    fn number(&mut self, word: &str) -> u16 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = u16::try_from(self.words.len()).expect("a few thousand words");
        self.numbers.insert(word.to_owned(), number);
        self.words.push(word.to_owned());
        self.entries.push(Vec::new());
        self.starts.push(Choices::default());
        number
    }

    /// How many words the longest entry of `choice` has.
    pub(super) fn longest_entry(&self, choice: usize) -> usize {
        let own = self.entries.iter().flatten().filter(|(other, _)| *other == choice);
        own.map(|(_, rest)| 1 + rest.len()).max().unwrap_or(1)
    }

    /// The words that entries of `choice` start with.
    pub(super) fn first_words(&self, choice: usize) -> Vec<String> {
        let starts = |index: &usize| self.entries[*index].iter().any(|(own, _)| *own == choice);
        (0..self.words.len()).filter(starts).map(|index| self.words[index].clone()).collect()
    }

    /// Notes in `found` which words of the vocabulary `word` is a form of.
    fn look_up(&self, word: &str, found: &mut Word) {
        let mut buffer = [0_u8; WORD_BYTES_MAX];
        let Some(lower) = buffer.get_mut(..word.len()) else { return };
        lower.copy_from_slice(word.as_bytes());
        lower.make_ascii_lowercase();
        let Ok(lower) = std::str::from_utf8(lower) else { return };
        if word.is_ascii() {
            self.note(lower, found);
            return;
        }
        // Arabic has no cases; the other scripts of the lists do.
        if word.starts_with(is_arabic) {
            forms(lower).for_each(|form| self.note(form, found));
        } else {
            self.note(&lower.to_lowercase(), found);
        }
    }

    fn note(&self, word: &str, found: &mut Word) {
        if let (Some(number), true) = (self.numbers.get(word), usize::from(found.count) < MEANINGS_MAX) {
            found.known[usize::from(found.count)] = *number;
            found.count += 1;
        }
    }
}

/// What Arabic writes on to the front of a word.
pub(super) const PREFIXES: &[&str] = &["وال", "فال", "بال", "كال", "ولل", "لل", "ال", "و", "ف", "ب", "ك", "ل"];

/// A letter of Arabic, as the folded view writes it.
fn is_arabic(c: char) -> bool {
    matches!(c, '\u{621}'..='\u{64a}')
}

/// Whether `c` belongs to a word. The tables behind `is_alphanumeric` are slow for Arabic.
pub(super) fn is_letter(c: char) -> bool {
    is_arabic(c) || c.is_alphanumeric()
}

/// The forms under which an Arabic word may be in a list: without what Arabic writes on to its front, and
/// without a short ending (a plural, a pronoun). The word itself comes first.
fn forms(word: &str) -> impl Iterator<Item = &str> {
    const ENDING_CHARS_MAX: usize = 3;
    let bare = PREFIXES.iter().filter_map(move |prefix| word.strip_prefix(prefix));
    std::iter::once(word).chain(bare).flat_map(move |stem| {
        let endings = stem.char_indices().rev().take(ENDING_CHARS_MAX);
        std::iter::once(stem).chain(endings.map(move |(end, _)| &stem[..end])).filter(|stem| !stem.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arabic_words_match_in_their_forms() {
        let is_form_of = |word, entry| forms(word).any(|form| form == entry);
        assert!(is_form_of("التعليمات", "تعليمات"));
        assert!(is_form_of("وتجاهل", "تجاهل"));
        assert!(is_form_of("تعليماتك", "تعليمات"));
        assert!(!is_form_of("معلومات", "تعليمات"));
    }
}
