//! Card verification codes and PINs: three to six digits that mean something only beside words.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::number::{Left, ends_number, left};
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot};

/// The words stand right before the digits: `CVV is 123`.
const NEAR_BYTES: usize = 24;

/// `the code 123` is a card's only where a card is spoken of.
const CARD_BYTES: usize = 96;

pub(super) struct CardCode {
    /// All words of codes and PINs: most numbers have none of them near.
    any: ContextWords,
    code: ContextWords,
    weak_code: ContextWords,
    card: ContextWords,
    pin: ContextWords,
}

impl CardCode {
    pub(super) fn new() -> Self {
        let code = [
            "cvv",
            "cvc",
            "cvv2",
            "cvc2",
            "csc",
            "cid code",
            "security code",
            "verification value",
            "verification code on the back",
            "card verification",
            "رمز الأمان",
            "رمز التحقق من البطاقة",
        ];
        let weak_code = [
            "three digits",
            "3 digits",
            "4 digits",
            "four digits",
            "digits on the back",
            "code",
            "والرمز",
            "الرمز",
            "الأرقام الثلاثة",
            "ثلاثة أرقام",
            "رمز",
        ];
        let pin = ["pin", "pin code", "pin number", "atm pin", "card pin", "الرقم السري", "رقمي السري", "رقم سري"];
        Self {
            any: ContextWords::new(&[&code[..], &weak_code, &pin].concat()),
            code: ContextWords::new(&code),
            weak_code: ContextWords::new(&weak_code),
            card: ContextWords::new(&["card", "visa", "mastercard", "amex", "expiry", "بطاقة", "بطاقت", "فيزا"]),
            pin: ContextWords::new(&pin),
        }
    }
}

impl Detector for CardCode {
    fn rules(&self) -> Vec<Rule> {
        const REFERENCES: &[&str] = &["PCI-DSS-4.0.1:3.3.1", "CWE-359"];
        vec![
            face(
                "secret.card-verification-code",
                Severity::High,
                "Card verification code",
                "The code on a card's back authorises payments. It may not be kept after authorisation, encrypted or not.",
                "Never pass the code on; a shop or caller that asks for it by chat is a fraud signal.",
                REFERENCES,
            ),
            face(
                "secret.card-pin",
                Severity::Critical,
                "Card PIN",
                "A PIN opens the account to whoever reads it. It may not be kept in any form.",
                "Have the PIN changed; never ask for one.",
                REFERENCES,
            ),
        ]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    fn reach(&self) -> usize {
        10
    }

    fn rank(&self) -> u8 {
        60
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let digits = (0..=6).take_while(|offset| spot.byte(*offset).is_some_and(|b| b.is_ascii_digit())).count();
        if !(3..=6).contains(&digits) || !ends_number(spot, digits) {
            return None;
        }
        let before = spot.before();
        let written_on = || self.any.within(before, 1);
        match left(spot) {
            Left::Free => {}
            Left::Underscore | Left::Latin | Left::Letter if written_on() => {}
            _ => return None,
        }
        if !self.any.within(before, NEAR_BYTES) {
            return None;
        }
        let found =
            |rule, score, why| Some(Found { start: 0, end: digits, rule, kind: DetectionKind::Secret, score, why });
        let near = |words: &ContextWords| words.nearest(before, NEAR_BYTES);
        // Of `CVV 417, PIN 8830` each number belongs to the word before it.
        match (near(&self.code).filter(|_| digits <= 4), near(&self.pin).filter(|_| digits >= 4)) {
            (code, Some(pin)) if code.is_none_or(|code| pin < code) => {
                return found(1, 900_000, "a word right before it that says PIN");
            }
            (Some(_), _) => return found(0, 950_000, "a word right before it that says verification code"),
            _ => {}
        }
        if digits <= 4 && self.weak_code.within(before, NEAR_BYTES) && self.near_card(before) {
            return found(0, 900_000, "called a code, and a card before it");
        }
        None
    }
}

impl CardCode {
    /// Whether a card is spoken of, by name or by number.
    fn near_card(&self, before: &str) -> bool {
        self.card.within(before, CARD_BYTES)
            || before.bytes().rev().take(CARD_BYTES).filter(u8::is_ascii_digit).count() >= 13
    }
}
