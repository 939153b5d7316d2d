//! A first look at attempts to take a model over: phrases, and marks of chat programs.
//!
//! The phrases are data, in `rules/injection.toml`, as slots of words with gaps between, because
//! attackers vary words more than structure. What counts depends on who speaks: a document that
//! addresses its reader's model is an attack, a user who does is at work. A model's own output is
//! not looked at.
//!
//! Known misses: attacks without any of the words, and most languages besides English and Arabic.

use std::collections::HashMap;

use haris_domain::{Context, DetectionKind, Rule, Severity};
use serde::Deserialize;

use super::{Detector, Layer, Trigger};
use crate::spot::{Found, Spot};
use crate::view::folded;

const BUILT_IN: &str = include_str!("../../../../../rules/injection.toml");

const REFERENCES: [&str; 2] = ["OWASP-LLM-2025:LLM01", "MITRE-ATLAS:AML.T0051"];

/// A phrase is at most this long; attacks that spread wider need a classifier.
const PHRASE_BYTES_MAX: usize = 320;

/// Places in a phrase are kept in the bits of one integer.
const WORDS_MAX: usize = 48;

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

/// Any of several entries, after up to `gap` other words.
struct Slot {
    gap: usize,
    entries: Entries,
}

/// Entries by their first word; those of other scripts than Latin one after the other.
#[derive(Default)]
struct Entries {
    latin: HashMap<String, Vec<Vec<String>>>,
    other: Vec<Vec<String>>,
}

pub(super) struct Injection {
    rules: Vec<Compiled>,
    phrases: Vec<Phrase>,
    literals: Vec<(String, Meaning)>,
}

/// What a literal starts.
enum Meaning {
    /// Any of these phrases.
    Phrases(Vec<usize>),
    /// The marker of that rule.
    Marker(usize),
}

impl Injection {
    pub(super) fn new() -> Self {
        let file: File = toml::from_str(BUILT_IN).expect("the built-in rules are read by a test");
        let mut rules = Vec::new();
        let mut phrases: Vec<Phrase> = Vec::new();
        let mut starts: HashMap<String, Vec<usize>> = HashMap::new();
        for rule in file.rule {
            for phrase in &rule.phrases {
                let phrase = Phrase::parse(phrase, rules.len(), &file.lists);
                for start in phrase.slots[0].entries.first_words() {
                    starts.entry(start).or_default().push(phrases.len());
                }
                phrases.push(phrase);
            }
            rules.push(rule.face.compile());
        }
        let mut literals: Vec<_> = starts.into_iter().map(|(word, own)| (word, Meaning::Phrases(own))).collect();
        for marker in file.marker {
            literals.extend(marker.literals.iter().map(|literal| (folded(literal), Meaning::Marker(rules.len()))));
            rules.push(marker.face.compile());
        }
        // A hash map has no order, and the order of places must not differ between two runs.
        literals.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { rules, phrases, literals }
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
        Trigger::Literals(self.literals.iter().map(|(literal, _)| literal.clone()).collect())
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
            Meaning::Phrases(own) => {
                let starts = if literal.is_ascii() { !spot.joined_before() } else { starts_word(spot) };
                if !starts {
                    return None;
                }
                let mut words = Words::new(spot);
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

impl Phrase {
    fn parse(text: &str, rule: usize, lists: &HashMap<String, Vec<String>>) -> Self {
        let (opening, text) = text.strip_prefix('^').map_or((false, text), |rest| (true, rest));
        let mut slots = Vec::new();
        let mut gap = 0;
        for part in text.split(' ').filter(|part| !part.is_empty()) {
            if let Some(count) = part.strip_prefix('~') {
                gap = count.parse().expect("a gap is a number; a test reads the built-in rules");
                continue;
            }
            let mut entries = Entries::default();
            for choice in part.split('|') {
                match choice.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some(name) => {
                        for entry in
                            lists.get(name).expect("a list that a phrase names exists; a test reads the built-in rules")
                        {
                            entries.add(entry);
                        }
                    }
                    None => entries.add(&choice.replace('_', " ")),
                }
            }
            slots.push(Slot { gap: std::mem::take(&mut gap), entries });
        }
        Self { rule, opening, slots }
    }

    /// Where the phrase ends that starts with the first of `words`.
    fn end(&self, words: &mut Words<'_>) -> Option<usize> {
        // Bit n: the slots so far can be filled by the words before word n.
        let mut reached = 1_u64;
        for slot in &self.slots {
            let mut next = 0_u64;
            for from in (0..WORDS_MAX).filter(|from| reached & (1 << from) != 0) {
                for at in (from..=from + slot.gap).take_while(|at| *at < WORDS_MAX) {
                    next |= slot.entries.ends(words, at);
                }
            }
            if next == 0 {
                return None;
            }
            reached = next;
        }
        let last = 63 - reached.leading_zeros() as usize;
        words.get(last - 1).map(|(_, end)| end)
    }
}

impl Entries {
    fn add(&mut self, entry: &str) {
        let mut words = folded(entry).split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
        if words.is_empty() {
            return;
        }
        if words[0].is_ascii() {
            let first = words.remove(0);
            self.latin.entry(first).or_default().push(words);
        } else {
            self.other.push(words);
        }
    }

    fn first_words(&self) -> Vec<String> {
        let mut words: Vec<_> = self.latin.keys().cloned().chain(self.other.iter().map(|e| e[0].clone())).collect();
        words.sort();
        words.dedup();
        words
    }

    /// The words behind the entries that match at word `at`, as bits.
    fn ends(&self, words: &mut Words<'_>, at: usize) -> u64 {
        let mut ends = 0;
        let mut mark = |len: usize| {
            if at + len < WORDS_MAX {
                ends |= 1 << (at + len);
            }
        };
        let Some((word, _)) = words.get(at) else { return 0 };
        if word.is_ascii() {
            for rest in self.latin.get(&word).into_iter().flatten() {
                if rest.iter().enumerate().all(|(offset, other)| words.is(at + 1 + offset, other)) {
                    mark(1 + rest.len());
                }
            }
        } else {
            for entry in &self.other {
                if entry.iter().enumerate().all(|(offset, other)| words.is(at + offset, other)) {
                    mark(entry.len());
                }
            }
        }
        ends
    }
}

/// The words behind a spot, read as they are asked for, so that a phrase that fails early holds
/// nothing back.
struct Words<'a> {
    spot: &'a Spot<'a>,
    read: Vec<(String, usize)>,
    /// Where the next word is looked for; `None` behind the last word.
    next: Option<usize>,
}

impl<'a> Words<'a> {
    fn new(spot: &'a Spot<'a>) -> Self {
        Self { spot, read: Vec::new(), next: Some(0) }
    }

    /// A word in lower case, and where it ends.
    fn get(&mut self, index: usize) -> Option<(String, usize)> {
        while self.read.len() <= index {
            let start = self.next?;
            self.next = self.read_word(start);
            self.next?;
        }
        self.read.get(index).cloned()
    }

    fn is(&mut self, index: usize, entry: &str) -> bool {
        self.get(index).is_some_and(|(word, _)| word == entry || (!entry.is_ascii() && is_form_of(&word, entry)))
    }

    /// Reads the word after `from`, past spaces and marks that do not end a sentence.
    fn read_word(&mut self, from: usize) -> Option<usize> {
        let mut at = from;
        let mut breaks = 0;
        loop {
            let c = self.spot.char(at)?;
            if c.is_alphanumeric() {
                break;
            }
            // A sentence ends at its mark before a space, a paragraph at its second line break.
            breaks += usize::from(c == '\n');
            let stops = matches!(c, '.' | '!' | '?' | ';' | '؟' | '؛' | '。');
            if at - from >= BETWEEN_MAX
                || breaks > 1
                || stops && self.spot.byte(at + c.len_utf8()).is_none_or(|b| b.is_ascii_whitespace())
            {
                return None;
            }
            at += c.len_utf8();
        }
        let start = at;
        while self.spot.char(at).is_some_and(|c| c.is_alphanumeric() || c == '\'') {
            at += self.spot.char(at).map_or(1, char::len_utf8);
        }
        self.read.push((self.spot.slice(start, at).to_lowercase(), at));
        Some(at)
    }
}

/// What Arabic writes on to the front of a word.
const PREFIXES: &[&str] = &["وال", "فال", "بال", "كال", "ولل", "لل", "ال", "و", "ف", "ب", "ك", "ل"];

/// Whether `word` is `entry` with prefixes, or with a short ending (a plural, a pronoun).
fn is_form_of(word: &str, entry: &str) -> bool {
    const ENDING_CHARS_MAX: usize = 3;
    let starts = |word: &str| word.strip_prefix(entry).is_some_and(|end| end.chars().count() <= ENDING_CHARS_MAX);
    starts(word) || PREFIXES.iter().any(|prefix| word.strip_prefix(prefix).is_some_and(starts))
}

/// Whether a word starts at the spot, up to the prefixes that Arabic writes on to it.
fn starts_word(spot: &Spot<'_>) -> bool {
    let before = spot.before();
    let letters = before.chars().rev().take(4).take_while(|c| c.is_alphanumeric()).map(char::len_utf8).sum::<usize>();
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
        assert!(is_form_of("التعليمات", "تعليمات"));
        assert!(is_form_of("وتجاهل", "تجاهل"));
        assert!(is_form_of("تعليماتك", "تعليمات"));
        assert!(!is_form_of("معلومات", "تعليمات"));
    }
}
