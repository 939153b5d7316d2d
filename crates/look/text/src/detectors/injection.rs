//! A first look at attempts to take a model over: phrases, and marks of chat programs.
//!
//! The phrases are data, in `rules/injection.toml`, as slots of words with gaps between, because
//! attackers vary words more than structure. What counts depends on who speaks: a document that
//! addresses its reader's model is an attack, a user who does is at work. A model's own output is
//! not looked at.
//!
//! Known misses: attacks without any of the words, and most languages besides English and Arabic.

use std::collections::{BTreeMap, HashMap};

use haris_domain::{Context, DetectionKind, Rule, Severity};
use serde::Deserialize;

use super::{Detector, Layer, Trigger};
use crate::fnv::FnvState;
use crate::spot::{Found, Spot};
use crate::view::folded;

const BUILT_IN: &str = include_str!("../../../../../rules/injection.toml");

const REFERENCES: [&str; 2] = ["OWASP-LLM-2025:LLM01", "MITRE-ATLAS:AML.T0051"];

/// A phrase is at most this long; attacks that spread wider need a classifier.
const PHRASE_BYTES_MAX: usize = 320;

/// Places in a phrase are kept in the bits of one integer.
const WORDS_MAX: usize = 32;

/// Between two words of a phrase stand at most this many bytes of spaces and marks.
const BETWEEN_MAX: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    lists: HashMap<String, Vec<String>>,
    rule: Vec<PhraseRule>,
    marker: Vec<MarkerRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhraseRule {
    #[serde(flatten)]
    face: Face,
    phrases: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkerRule {
    #[serde(flatten)]
    face: Face,
    literals: Vec<String>,
}

#[derive(Deserialize)]
struct Face {
    id: String,
    title: String,
    severity: String,
    score: f64,
    contexts: Vec<String>,
    meaning: String,
    remedy: String,
}

/// A rule as it runs.
struct Compiled {
    rule: Rule,
    score: u32,
    contexts: Vec<Context>,
}

/// Words in order.
struct Phrase {
    rule: usize,
    /// Only where a sentence, line, quotation or comment starts.
    opening: bool,
    slots: Vec<Slot>,
}

/// A choice of words, after up to `gap` others.
struct Slot {
    gap: usize,
    choice: usize,
}

pub(super) struct Injection {
    rules: Vec<Compiled>,
    phrases: Vec<Phrase>,
    vocabulary: Vocabulary,
    literals: Vec<(String, Meaning)>,
}

/// What a literal starts.
enum Meaning {
    /// Any of these phrases, if one of the next `near` words may fill their second slot.
    Phrases { own: Vec<usize>, seconds: Choices, near: usize },
    /// The marker of that rule.
    Marker(usize),
}

impl Injection {
    pub(super) fn new() -> Self {
        let file: File = toml::from_str(BUILT_IN).expect("the built-in rules are read by a test");
        let (mut rules, mut phrases, mut vocabulary) = (Vec::new(), Vec::new(), Vocabulary::default());
        let mut starts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for rule in file.rule {
            for phrase in &rule.phrases {
                let phrase = Phrase::parse(phrase, rules.len(), &file.lists, &mut vocabulary);
                for start in vocabulary.first_words(phrase.slots[0].choice) {
                    starts.entry(start).or_default().push(phrases.len());
                }
                phrases.push(phrase);
            }
            rules.push(rule.face.compile());
        }
        let mut literals: Vec<_> =
            starts.into_iter().map(|(word, own)| (word, Meaning::phrases(own, &phrases, &vocabulary))).collect();
        for marker in file.marker {
            literals.extend(marker.literals.iter().map(|literal| (folded(literal), Meaning::Marker(rules.len()))));
            rules.push(marker.face.compile());
        }
        Self { rules, phrases, vocabulary, literals }
    }
}

impl Face {
    fn compile(self) -> Compiled {
        let severity = Severity::ALL.into_iter().find(|severity| severity.name() == self.severity);
        Compiled {
            score: (self.score * 1e6) as u32,
            contexts: self.contexts.iter().filter_map(|name| Context::named(name)).collect(),
            rule: Rule {
                id: self.id.into(),
                title: self.title.into(),
                severity: severity.unwrap_or(Severity::High),
                meaning: self.meaning.into(),
                remedy: self.remedy.into(),
                references: REFERENCES.map(Into::into).to_vec().into(),
            },
        }
    }
}

impl Detector for Injection {
    fn rules(&self) -> Vec<Rule> {
        self.rules.iter().map(|rule| rule.rule.clone()).collect()
    }

    fn trigger(&self) -> Trigger {
        Trigger::Words(self.literals.iter().map(|(literal, _)| literal.clone()).collect())
    }

    fn reach(&self) -> usize {
        PHRASE_BYTES_MAX
    }

    fn works_in(&self, context: Context) -> bool {
        context != Context::Output
    }

    fn rank(&self) -> u8 {
        50
    }

    fn layer(&self) -> Layer {
        Layer::Intent
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let (literal, meaning) = &self.literals[spot.literal];
        let (rule, end, why) = match meaning {
            Meaning::Marker(rule) => {
                let on = self.rules[*rule].contexts.contains(&spot.context);
                on.then_some((*rule, literal.len(), "a mark that only chat programs write"))?
            }
            Meaning::Phrases { own, seconds, near } => {
                let starts = if literal.is_ascii() { !spot.joined_before() } else { starts_word(spot) };
                if !starts {
                    return None;
                }
                let mut words = Words::new(spot, &self.vocabulary);
                if !words.any_of(seconds, *near) {
                    return None;
                }
                let (rule, end) = own.iter().map(|index| &self.phrases[*index]).find_map(|phrase| {
                    let on = self.rules[phrase.rule].contexts.contains(&spot.context);
                    if !on || phrase.opening && !opens(spot) {
                        return None;
                    }
                    Some((phrase.rule, phrase.end(&mut words)?))
                })?;
                (rule, end, "words of an attack in their order")
            }
        };
        Some(Found { start: 0, end, rule, kind: DetectionKind::Injection, score: self.rules[rule].score, why })
    }
}

impl Meaning {
    fn phrases(own: Vec<usize>, phrases: &[Phrase], vocabulary: &Vocabulary) -> Self {
        let (mut seconds, mut near) = (Choices::default(), 1);
        for phrase in own.iter().map(|index| &phrases[*index]) {
            let first = vocabulary.longest_entry(phrase.slots[0].choice);
            match phrase.slots.get(1) {
                Some(slot) => {
                    seconds.insert(slot.choice);
                    near = near.max(first + slot.gap);
                }
                // Nothing follows that could fail.
                None => seconds = Choices::all(),
            }
        }
        Self::Phrases { own, seconds, near }
    }
}

/// A set of choices.
#[derive(Clone, Copy, Debug, Default)]
struct Choices([u64; CHOICES_MAX / 64]);

/// Phrases have fewer different slots than this.
const CHOICES_MAX: usize = 512;

impl Choices {
    fn all() -> Self {
        Self([u64::MAX; CHOICES_MAX / 64])
    }

    fn insert(&mut self, choice: usize) {
        self.0[choice / 64] |= 1 << (choice % 64);
    }

    fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
}

impl Phrase {
    fn parse(text: &str, rule: usize, lists: &HashMap<String, Vec<String>>, vocabulary: &mut Vocabulary) -> Self {
        let (opening, text) = text.strip_prefix('^').map_or((false, text), |rest| (true, rest));
        let mut slots = Vec::new();
        let mut gap = 0;
        for part in text.split(' ').filter(|part| !part.is_empty()) {
            if let Some(count) = part.strip_prefix('~') {
                gap = count.parse().expect("a gap is a number; a test reads the built-in rules");
                continue;
            }
            let choice = vocabulary.choice(part, lists);
            slots.push(Slot { gap: std::mem::take(&mut gap), choice });
        }
        Self { rule, opening, slots }
    }

    /// Where the phrase ends that starts with the first of `words`.
    fn end(&self, words: &mut Words<'_>) -> Option<usize> {
        // Bit n: the slots so far can be filled by the words before word n.
        let mut reached = 1_u64;
        for slot in &self.slots {
            let (mut next, mut left) = (0_u64, reached);
            while left != 0 {
                let from = left.trailing_zeros() as usize;
                left &= left - 1;
                for at in from..=from + slot.gap {
                    next |= words.ends(slot.choice, at);
                }
            }
            if next == 0 {
                return None;
            }
            reached = next;
        }
        let last = 63 - reached.leading_zeros() as usize;
        words.get(last - 1).map(|word| word.end)
    }
}

/// At most this many words of the vocabulary match one word of a text: Arabic endings overlap.
const MEANINGS_MAX: usize = 4;

/// A word behind a spot.
#[derive(Clone, Copy, Default)]
struct Word {
    /// Words of the vocabulary that it is a form of, and how many.
    known: [u16; MEANINGS_MAX],
    count: u8,
    end: usize,
}

/// The words behind a spot, read as they are asked for, so that a phrase that fails early holds
/// nothing back.
struct Words<'a> {
    spot: &'a Spot<'a>,
    vocabulary: &'a Vocabulary,
    read: [Word; WORDS_MAX],
    count: usize,
    ended: bool,
}

impl<'a> Words<'a> {
    fn new(spot: &'a Spot<'a>, vocabulary: &'a Vocabulary) -> Self {
        Self { spot, vocabulary, read: [Word::default(); WORDS_MAX], count: 0, ended: false }
    }

    fn get(&mut self, index: usize) -> Option<Word> {
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
    fn any_of(&mut self, choices: &Choices, near: usize) -> bool {
        let vocabulary = self.vocabulary;
        (1..=near).map_while(|at| self.get(at)).any(|word| {
            let known = &word.known[..usize::from(word.count)];
            known.iter().any(|known| vocabulary.starts[usize::from(*known)].meets(choices))
        })
    }

    /// The words behind the entries of `choice` that match at word `at`, as bits.
    fn ends(&mut self, choice: usize, at: usize) -> u64 {
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
struct Vocabulary {
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
    fn choice(&mut self, part: &str, lists: &HashMap<String, Vec<String>>) -> usize {
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
    fn longest_entry(&self, choice: usize) -> usize {
        let own = self.entries.iter().flatten().filter(|(other, _)| *other == choice);
        own.map(|(_, rest)| 1 + rest.len()).max().unwrap_or(1)
    }

    /// The words that entries of `choice` start with.
    fn first_words(&self, choice: usize) -> Vec<String> {
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
const PREFIXES: &[&str] = &["وال", "فال", "بال", "كال", "ولل", "لل", "ال", "و", "ف", "ب", "ك", "ل"];

/// A letter of Arabic, as the folded view writes it.
fn is_arabic(c: char) -> bool {
    matches!(c, '\u{621}'..='\u{64a}')
}

/// Whether `c` belongs to a word. The tables behind `is_alphanumeric` are slow for Arabic.
fn is_letter(c: char) -> bool {
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

/// Whether a word starts at the spot, up to the prefixes that Arabic writes on to it.
fn starts_word(spot: &Spot<'_>) -> bool {
    let before = spot.before();
    let letters = before.chars().rev().take(4).take_while(|c| is_letter(*c)).map(char::len_utf8).sum::<usize>();
    let start = &before[before.len() - letters..];
    start.is_empty() || PREFIXES.contains(&start)
}

/// Whether a sentence, line, quotation or comment starts at the spot.
fn opens(spot: &Spot<'_>) -> bool {
    let before = spot.before().trim_end_matches([' ', '*', '_', '#', '-', '>', '[', '(', '"', '\'']);
    let between = &spot.before()[before.len()..];
    before.is_empty()
        || between.contains(['"', '[', '*', '>', '#', '-'])
        || before.ends_with(['.', '!', '?', ':', '\n', '؟', ']', '—', ';'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_compile() {
        let injection = Injection::new();
        for rule in &injection.rules {
            assert!(rule.rule.id.starts_with("prompt."), "{}", rule.rule.id);
            assert!(!rule.contexts.is_empty() && !rule.contexts.contains(&Context::Output), "{}", rule.rule.id);
        }
    }

    #[test]
    fn arabic_words_match_in_their_forms() {
        let is_form_of = |word, entry| forms(word).any(|form| form == entry);
        assert!(is_form_of("التعليمات", "تعليمات"));
        assert!(is_form_of("وتجاهل", "تجاهل"));
        assert!(is_form_of("تعليماتك", "تعليمات"));
        assert!(!is_form_of("معلومات", "تعليمات"));
    }
}
