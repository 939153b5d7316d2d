//! Bank identifier codes (ISO 9362): four letters of a bank, a country, a place, perhaps a branch.
//!
//! Eight capital letters are a word like any other, so a code counts when it is Qatari or when the
//! text speaks of one. Asked at the country: the bank's letters stand before it.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::countries::is_alpha_code;
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot, joined_end};
use crate::view::folded;

/// `SWIFT`, `sent via`: how far before the code the word may stand.
const CONTEXT_BYTES: usize = 40;

/// How far behind the word a code is looked for, and how many words on.
const SEARCH_BYTES: usize = 40;
const SEARCH_WORDS: usize = 5;

/// Words somewhere after which any well-formed code counts.
const WORDS: &[&str] =
    &["swift", "bic", "correspondent", "intermediary bank", "mt103", "mt202", "سويفت", "البنك المراسل", "رمز البنك"];

/// Words right after which it counts. They are common, so no more text is held back for them.
const ADJACENT: &[&str] = &["sent via", "routed via", "عبر"];

/// How Qatari codes go on behind the bank's letters.
const QATARI: &[&str] = &["QAQA", "QAQX", "QAQ1", "QAQE"];

pub(super) struct Swift {
    context: ContextWords,
    literals: Vec<String>,
}

impl Swift {
    pub(super) fn new() -> Self {
        Self {
            context: ContextWords::new(&[WORDS, ADJACENT].concat()),
            literals: QATARI.iter().chain(WORDS).chain(ADJACENT).map(|literal| folded(literal)).collect(),
        }
    }
}

impl Detector for Swift {
    fn rules(&self) -> Vec<Rule> {
        vec![face(
            "pii.swift-code",
            Severity::Low,
            "Bank identifier code",
            "The code names a bank. It is public; together with an account or a name it describes a payment.",
            "Usually fine to send; redact it where the payment itself is confidential.",
            &["ISO-9362"],
        )]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Parts(self.literals.clone())
    }

    fn behind(&self) -> usize {
        4
    }

    fn reach(&self) -> usize {
        SEARCH_BYTES + 20
    }

    fn rank(&self) -> u8 {
        75
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let found =
            |start, end, score, why| Some(Found { start, end, rule: 0, kind: DetectionKind::Swift, score, why });
        if spot.literal < QATARI.len() {
            let before = spot.before();
            let bank = before.as_bytes().last_chunk::<4>()?;
            // Capitals first: four bytes that are not may end inside a character.
            if !bank.iter().all(u8::is_ascii_uppercase) || joined_end(&before[..before.len() - 4]) {
                return None;
            }
            let end = code_end(spot, 4)?;
            let capitals = spot.slice(0, end).bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
            let score = if self.context.within(before, CONTEXT_BYTES) { 980_000 } else { 900_000 };
            return capitals.then(|| found(-4, end, score, "a Qatari bank's code"))?;
        }
        let word = &self.literals[spot.literal];
        if word.is_ascii() && (spot.joined_before() || spot.joined_at(word.len())) {
            return None;
        }
        let words_max = if ADJACENT.len() + spot.literal >= self.literals.len() { 1 } else { SEARCH_WORDS };
        let (start, end) = code_after(spot, word.len(), words_max)?;
        found(start as isize, end, 930_000, "the shape of a bank code after a word that says so")
    }
}

/// The first of the next words, from `from` on, that has a code's shape.
fn code_after(spot: &Spot<'_>, from: usize, words_max: usize) -> Option<(usize, usize)> {
    let (mut start, mut words) = (from, 0);
    for at in from..from + SEARCH_BYTES {
        let byte = spot.byte(at);
        if byte.is_some_and(|b| b.is_ascii_alphanumeric() || !b.is_ascii()) {
            continue;
        }
        let word = spot.slice(start, at);
        if is_code(word) {
            return (!shouts(spot, at)).then_some((start, at));
        }
        words += usize::from(at > start);
        // The next sentence speaks of something else.
        let goes_on = words < words_max && !matches!(byte, Some(b'.' | b'?' | b'!'));
        byte.filter(|_| goes_on)?;
        start = at + 1;
    }
    None
}

/// Whether a word in capitals follows: in a headline, `CUSTOMER` is no bank in Oman.
fn shouts(spot: &Spot<'_>, at: usize) -> bool {
    const SHOUT_MIN: usize = 5;
    spot.byte(at) == Some(b' ')
        && (1..=SHOUT_MIN).all(|offset| spot.byte(at + offset).is_some_and(|b| b.is_ascii_uppercase()))
}

fn is_code(word: &str) -> bool {
    matches!(word.len(), 8 | 11)
        && word.is_ascii()
        && word[..4].bytes().all(|b| b.is_ascii_uppercase())
        && is_alpha_code(&word[4..6])
        && word[6..].bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// The end of a code whose place ends at `place_end`: with a branch of three, or without.
fn code_end(spot: &Spot<'_>, place_end: usize) -> Option<usize> {
    if !spot.joined_at(place_end) {
        return Some(place_end);
    }
    let branch = (0..3).all(|offset| spot.byte(place_end + offset).is_some_and(|b| b.is_ascii_alphanumeric()));
    (branch && !spot.joined_at(place_end + 3)).then_some(place_end + 3)
}
