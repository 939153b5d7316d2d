//! International bank account numbers (ISO 13616): a country's length and the check of mod 97.

use haris_domain::{DetectionKind, Rule, Severity};

use super::countries::iban_length;
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot};

/// Between two characters stand at most this many separators.
const SEPARATORS_MAX: usize = 3;

/// The longest IBAN (33, Russia's) without its country, each character a group of its own.
const REACH: usize = 34 * (1 + SEPARATORS_MAX);

pub(super) struct Iban;

impl Iban {
    pub(super) fn new() -> Self {
        Self
    }
}

impl Detector for Iban {
    fn rules(&self) -> Vec<Rule> {
        vec![face(
            "pii.iban",
            Severity::High,
            "Bank account number (IBAN)",
            "An account number with a valid check: it identifies a customer and takes direct debits.",
            "Leave it out or send a token.",
            &["ISO-13616", "OWASP-LLM-2025:LLM02", "CWE-359"],
        )]
    }

    /// At the check digits: the country's two letters stand before them.
    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    fn behind(&self) -> usize {
        2
    }

    fn reach(&self) -> usize {
        REACH
    }

    fn rank(&self) -> u8 {
        95
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let before = spot.before();
        let country: [u8; 2] = before.as_bytes().last_chunk::<2>()?.to_ascii_uppercase().try_into().ok()?;
        let length = iban_length(country)?;
        let left = &before[..before.len() - 2];
        let glued = left.ends_with(|c: char| c.is_ascii_alphanumeric());
        // The label may be written on to the number, `IBANQA58…`; another word in lower case only to
        // one in capitals, or every long code would hold an IBAN by chance.
        let capitals = before.as_bytes()[before.len() - 2..].iter().all(u8::is_ascii_uppercase);
        let labelled = left.to_ascii_uppercase().ends_with("IBAN");
        if glued && !labelled && !(capitals && left.ends_with(|c: char| c.is_ascii_lowercase())) {
            return None;
        }
        let by_chance = glued && !labelled;
        let mut check = Check::default();
        let (mut at, mut small) = (0, !capitals);
        for count in 2..length {
            let separators = (0..SEPARATORS_MAX)
                .take_while(|offset| count > 2 && spot.byte(at + offset).is_some_and(|b| b" -._/\n\r\t".contains(&b)))
                .count();
            at += separators;
            let byte = spot.byte(at).filter(u8::is_ascii_alphanumeric)?;
            small |= byte.is_ascii_lowercase();
            if count < 4 && !byte.is_ascii_digit() {
                return None;
            }
            if count >= 4 {
                check.add(byte);
            }
            at += 1;
        }
        let digits = [spot.byte(0)?, (1..=SEPARATORS_MAX + 1).find_map(|o| spot.byte(o).filter(u8::is_ascii_digit))?];
        for byte in country.into_iter().chain(digits) {
            check.add(byte);
        }
        // What is written on behind it is a word in lower case, or of another script.
        let joined = spot
            .byte(at)
            .is_some_and(|b| b.is_ascii_digit() || b.is_ascii_uppercase() || small && b.is_ascii_lowercase());
        if check.remainder != 1 || joined || by_chance && small {
            return None;
        }
        let why = "the country's length and the mod 97 check";
        Some(Found { start: -2, end: at, rule: 0, kind: DetectionKind::Iban, score: 995_000, why })
    }
}

/// ISO 7064 mod 97-10, letters counting 10 to 35.
#[derive(Default)]
struct Check {
    remainder: u32,
}

impl Check {
    fn add(&mut self, byte: u8) {
        let value = char::from(byte).to_digit(36).unwrap_or(0);
        let shifted = if value < 10 { self.remainder * 10 } else { self.remainder * 100 };
        self.remainder = (shifted + value) % 97;
    }
}
