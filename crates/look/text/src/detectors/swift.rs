//! Bank identifier codes (ISO 9362): four letters of a bank, a country, a place, perhaps a branch.
//!
//! Eight capital letters are a word like any other, so a code counts when it is Qatari or when the
//! text speaks of one. Asked at the country: the bank's letters stand before it.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::countries::is_alpha_code;
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot, joined_end};

/// `SWIFT`, `sent via`: how far before the code the word may stand.
const CONTEXT_BYTES: usize = 40;

/// How far behind the word a code is looked for.
const SEARCH_BYTES: usize = 32;

/// Words after which a code is looked for, and after which any well-formed one counts.
const WORDS: &[&str] = &[
    "swift",
    "bic",
    "swift code",
    "bic code",
    "correspondent",
    "intermediary bank",
    "mt103",
    "mt202",
    "sent via",
    "routed via",
    "سويفت",
    "السويفت",
    "عبر",
    "البنك المراسل",
    "رمز البنك",
];

/// How Qatari codes go on behind the bank's letters.
const QATARI: &[&str] = &["QAQA", "QAQX", "QAQ1", "QAQE"];

pub(super) struct Swift {
    context: ContextWords,
}

impl Swift {
    pub(super) fn new() -> Self {
        Self { context: ContextWords::new(WORDS) }
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
        Trigger::Literals(QATARI.iter().chain(WORDS).map(|literal| crate::view::folded(literal)).collect())
    }

    fn behind(&self) -> usize {
        4
    }

    fn reach(&self) -> usize {
        CONTEXT_BYTES + SEARCH_BYTES + 12
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
        // A word: the first capitals of a code's shape soon after it.
        let mut word = 0;
        for at in 0..SEARCH_BYTES + 24 {
            let byte = spot.byte(at);
            if byte.is_some_and(|b| b.is_ascii_alphanumeric() || !b.is_ascii()) {
                continue;
            }
            if let Some(end) = code_at(spot, word, at) {
                return found(word as isize, end, 930_000, "the shape of a bank code after a word that says so");
            }
            byte?;
            word = at + 1;
        }
        None
    }
}

/// Whether the word from `start` to `end` is a code that is not the context word itself.
fn code_at(spot: &Spot<'_>, start: usize, end: usize) -> Option<usize> {
    let word = spot.slice(start, end);
    let well_formed = matches!(word.len(), 8 | 11)
        && start > 0
        && word.is_ascii()
        && word[..4].bytes().all(|b| b.is_ascii_uppercase())
        && is_alpha_code(&word[4..6])
        && word[6..].bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    well_formed.then_some(end)
}

/// The end of a code whose place ends at `place_end`: with a branch of three, or without.
fn code_end(spot: &Spot<'_>, place_end: usize) -> Option<usize> {
    if !spot.joined_at(place_end) {
        return Some(place_end);
    }
    let branch = (0..3).all(|offset| spot.byte(place_end + offset).is_some_and(|b| b.is_ascii_alphanumeric()));
    (branch && !spot.joined_at(place_end + 3)).then_some(place_end + 3)
}
