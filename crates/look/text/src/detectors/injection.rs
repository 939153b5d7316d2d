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

use super::vocabulary::{Choices, PREFIXES, Vocabulary, Words, is_letter};
use super::{Detector, Layer, Trigger};
use crate::spot::{Found, Spot};
use crate::view::folded;

const BUILT_IN: &str = include_str!("../../../../../rules/injection.toml");

const REFERENCES: [&str; 2] = ["OWASP-LLM-2025:LLM01", "MITRE-ATLAS:AML.T0051"];

/// A phrase is at most this long; attacks that spread wider need a classifier.
const PHRASE_BYTES_MAX: usize = 320;

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
}
