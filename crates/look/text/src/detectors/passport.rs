//! Passport numbers, beside a word that says passport.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::number::ends_number;
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot, joined_end};

/// With letters before the digits.
const LETTERED_BYTES: usize = 56;

/// Digits alone need the word right before them.
const PLAIN_BYTES: usize = 20;

pub(super) struct Passport {
    context: ContextWords,
}

impl Passport {
    pub(super) fn new() -> Self {
        let words =
            ["passport", "passport no", "passport number", "travel document", "جواز", "جوازي", "جواز سفر", "وثيقة سفر"];
        Self { context: ContextWords::new(&words) }
    }
}

impl Detector for Passport {
    fn rules(&self) -> Vec<Rule> {
        vec![face(
            "pii.passport",
            Severity::High,
            "Passport number",
            "The number identifies one person and helps to impersonate them.",
            "Leave it out or send a token.",
            &["QA-LAW-13-2016", "OWASP-LLM-2025:LLM02", "CWE-359"],
        )]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    /// One or two letters of the series.
    fn behind(&self) -> usize {
        2
    }

    fn reach(&self) -> usize {
        14
    }

    fn rank(&self) -> u8 {
        78
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let digits = (0..=9).take_while(|offset| spot.byte(*offset).is_some_and(|b| b.is_ascii_digit())).count();
        if !(6..=9).contains(&digits) || !ends_number(spot, digits) {
            return None;
        }
        let before = spot.before();
        let letters = before.bytes().rev().take(3).take_while(u8::is_ascii_alphabetic).count();
        let left = &before[..before.len() - letters];
        let reach = match (letters, digits) {
            (1 | 2, 6..=8) => LETTERED_BYTES,
            (0, 7..=9) => PLAIN_BYTES,
            _ => return None,
        };
        let joined = joined_end(left) && !left.ends_with('_');
        if letters == 0 && joined || !self.context.within(left, reach) {
            return None;
        }
        let why = "the shape of a passport number after a word that says passport";
        let start = -(letters as isize);
        Some(Found { start, end: digits, rule: 0, kind: DetectionKind::Passport, score: 950_000, why })
    }
}
