//! Account and commercial-registration numbers, beside a word that says so.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::number::{Left, NUMBER_REACH, Number, Right, left, right};
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot};

/// The word stands right before the number: `account number is: `.
const CONTEXT_BYTES: usize = 26;

/// `2025-01-27` is as long as an account number.
const DATE: [usize; 3] = [4, 2, 2];

pub(super) struct Account {
    account: ContextWords,
    registration: ContextWords,
}

impl Account {
    pub(super) fn new() -> Self {
        Self {
            account: ContextWords::new(&[
                "account",
                "account no",
                "account number",
                "acct",
                "acc no",
                "a/c",
                "حساب",
                "الحساب",
                "حسابي",
                "رقم الحساب",
            ]),
            registration: ContextWords::new(&[
                "commercial registration",
                "commercial reg",
                "cr no",
                "cr number",
                "cr",
                "c.r.",
                "سجل تجاري",
                "السجل التجاري",
                "سجله التجاري",
                "القيد التجاري",
            ]),
        }
    }
}

impl Detector for Account {
    fn rules(&self) -> Vec<Rule> {
        const REFERENCES: &[&str] = &["QA-LAW-13-2016", "OWASP-LLM-2025:LLM02", "CWE-359"];
        vec![
            face(
                "pii.account-number",
                Severity::High,
                "Bank account number",
                "A number that the text calls an account: it identifies a customer.",
                "Leave it out or send a token.",
                REFERENCES,
            ),
            face(
                "pii.commercial-registration",
                Severity::Medium,
                "Commercial registration number",
                "The number identifies a company that is a customer or a party.",
                "Leave it out or send a token.",
                REFERENCES,
            ),
        ]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    fn reach(&self) -> usize {
        NUMBER_REACH
    }

    fn rank(&self) -> u8 {
        71
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        // Years, amounts and lists are short; looked at first because it costs nothing.
        let digits = (0..4).take_while(|offset| spot.byte(*offset).is_some_and(|b| b.is_ascii_digit())).count();
        if digits < 3 {
            return None;
        }
        let written_on = || self.account.within(spot.before(), 1) || self.registration.within(spot.before(), 1);
        match left(spot) {
            Left::Free | Left::Letter => {}
            Left::Underscore | Left::Latin if written_on() => {}
            Left::Sign if spot.byte_before() == Some(b'#') => {}
            _ => return None,
        }
        let number = Number::read(spot, 18, b"-")?;
        let last = number.groups() - 1;
        let end = number.group_end(last);
        if !matches!(right(spot, end), Right::Free | Right::Written | Right::Zero | Right::Listed) {
            return None;
        }
        let found = |rule, why| Some(Found { start: 0, end, rule, kind: DetectionKind::Account, score: 900_000, why });
        match number.digits().len() {
            8..=17 if number.shape(last) != DATE && self.account.within(spot.before(), CONTEXT_BYTES) => {
                found(0, "a number after a word that says account")
            }
            5..=10 if self.registration.within(spot.before(), CONTEXT_BYTES) => {
                found(1, "a number after words that say commercial registration")
            }
            _ => None,
        }
    }
}
