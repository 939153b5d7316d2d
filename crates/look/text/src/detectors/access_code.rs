//! Codes that let somebody in: one-time passwords, and the codes of doors, phones and accounts.
//!
//! A few digits say nothing by themselves, so the word stands right before them, with nothing between
//! that says anything else: `your OTP is 481 920`, `رمز الدخول: ٤٨٢١`. Codes of cards have rules of
//! their own.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::{ContextWords, only_links};
use super::number::{Left, ends_number, left};
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot};

/// `verification code number is: `.
const NEAR_BYTES: usize = 24;

/// Four to eight digits, in two halves at most.
const DIGITS_MIN: usize = 4;
const DIGITS_MAX: usize = 8;

pub(super) struct AccessCode {
    words: ContextWords,
}

impl AccessCode {
    pub(super) fn new() -> Self {
        let words = ContextWords::new(&[
            "otp",
            "otp code",
            "one time password",
            "one-time password",
            "one time code",
            "one-time code",
            "one time pin",
            "one-time pin",
            "verification code",
            "login code",
            "sign-in code",
            "access code",
            "unlock code",
            "security pin",
            "passcode",
            "2fa code",
            "mfa code",
            "authentication code",
            "authorization code",
            "mpin",
            "tpin",
            "password",
            "رمز التحقق",
            "رمز التأكيد",
            "رمز التفعيل",
            "رمز الدخول",
            "رمز المرور",
            "رمز المصادقة",
            "رمز لمرة واحدة",
            "المرور لمرة واحدة",
            "كلمة المرور",
            "كلمة السر",
            "الرمز السري",
            "رمزي السري",
        ]);
        Self { words }
    }
}

impl Detector for AccessCode {
    fn rules(&self) -> Vec<Rule> {
        vec![face(
            "secret.access-code",
            Severity::High,
            "One-time or access code",
            "The code opens an account or approves a payment for whoever reads it in time.",
            "Never pass it on; a person or program that asks for it is a fraud signal.",
            &["OWASP-LLM-2025:LLM02", "CWE-522"],
        )]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    fn reach(&self) -> usize {
        DIGITS_MAX + 5
    }

    fn rank(&self) -> u8 {
        61
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        if !matches!(left(spot), Left::Free | Left::Underscore | Left::Letter) {
            return None;
        }
        let end = code_end(spot)?;
        let before = spot.before();
        let distance = self.words.nearest(before, NEAR_BYTES)?;
        let between = &before[before.len() - distance..];
        if between.contains(['(', '*', ']', ')', '.', ';', '\n']) || !only_links(between) {
            return None;
        }
        let why = "a word right before it that says access code";
        Some(Found { start: 0, end, rule: 0, kind: DetectionKind::Secret, score: 900_000, why })
    }
}

/// `4819`, `481920`, `481 920`, `481-920`.
fn code_end(spot: &Spot<'_>) -> Option<usize> {
    let digits = |from: usize| (from..from + DIGITS_MAX + 1).take_while(|at| is_digit(spot, *at)).count();
    let first = digits(0);
    if first == 3 && matches!(spot.byte(3), Some(b' ' | b'-')) && digits(4) == 3 && ends_number(spot, 7) {
        return Some(7);
    }
    ((DIGITS_MIN..=DIGITS_MAX).contains(&first) && ends_number(spot, first)).then_some(first)
}

fn is_digit(spot: &Spot<'_>, at: usize) -> bool {
    spot.byte(at).is_some_and(|b| b.is_ascii_digit())
}
