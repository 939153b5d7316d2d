//! Payment card numbers: a brand's prefix and length, Luhn's checksum, a plausible layout.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::number::{NUMBER_REACH, Number, PLAIN, ends_number, luhn, starts_number, value};
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot};

/// First and last prefix (of as many digits as are written), and the lengths.
const BRANDS: &[(u32, u32, usize, &[usize])] = &[
    (4, 4, 1, &[16, 19, 13]),               // Visa
    (51, 55, 2, &[16]),                     // Mastercard
    (2221, 2720, 4, &[16]),                 // Mastercard
    (34, 34, 2, &[15]),                     // American Express
    (37, 37, 2, &[15]),                     // American Express
    (6011, 6011, 4, &[16, 17, 18, 19]),     // Discover
    (644, 659, 3, &[16, 17, 18, 19]),       // Discover
    (62, 62, 2, &[16, 17, 18, 19]),         // UnionPay
    (81, 81, 2, &[16, 17, 18, 19]),         // UnionPay
    (3528, 3589, 4, &[16, 17, 18, 19]),     // JCB
    (300, 305, 3, &[14, 16, 17, 18, 19]),   // Diners Club
    (36, 36, 2, &[14, 15, 16, 17, 18, 19]), // Diners Club
    (38, 39, 2, &[14, 16, 17, 18, 19]),     // Diners Club
    (5018, 5018, 4, &[16, 17, 18, 19, 13]), // Maestro
    (5020, 5020, 4, &[16, 17, 18, 19, 13]), // Maestro
    (5038, 5038, 4, &[16, 17, 18, 19, 13]), // Maestro
    (5893, 5893, 4, &[16, 17, 18, 19, 13]), // Maestro
    (6304, 6304, 4, &[16, 17, 18, 19, 13]), // Maestro
    (6759, 6763, 4, &[16, 17, 18, 19, 13]), // Maestro
    (2200, 2204, 4, &[16, 17, 18, 19]),     // Mir
    (9792, 9792, 4, &[16]),                 // Troy
];

/// The layouts on cards and in mail. Others count only beside a word that says card.
const LAYOUTS: &[&[usize]] =
    &[&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3], &[6, 13], &[4, 4, 4, 3], &[8, 8], &[6, 10], &[6, 4, 6]];

/// Lengths in the order in which they are tried: a card beside a short number is common, a card of
/// 19 digits is not.
const LENGTHS: [usize; 7] = [16, 15, 14, 19, 18, 17, 13];

const CONTEXT_BYTES: usize = 64;

pub(super) struct Card {
    context: ContextWords,
}

impl Card {
    pub(super) fn new() -> Self {
        let context = ContextWords::new(&[
            "card",
            "cards",
            "visa",
            "mastercard",
            "amex",
            "american express",
            "pan",
            "cc",
            "himyan",
            "naps",
            "بطاقة",
            "بطاقت",
            "بطاقات",
            "فيزا",
            "ماستركارد",
            "ماستر كارد",
            "هميان",
        ]);
        Self { context }
    }
}

impl Detector for Card {
    fn rules(&self) -> Vec<Rule> {
        vec![face(
            "pii.payment-card",
            Severity::High,
            "Payment card number",
            "A card number with a brand's prefix and a valid check digit. Outside the card environment it brings PCI DSS duties with it.",
            "Do not send card numbers to a model; refer to the last four digits or a token.",
            &["PCI-DSS-4.0.1:3.4", "OWASP-LLM-2025:LLM02", "CWE-359"],
        )]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    fn reach(&self) -> usize {
        NUMBER_REACH
    }

    fn rank(&self) -> u8 {
        90
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        if !starts_number(spot) {
            return None;
        }
        // Up to 22 digits, so that a security code behind the number does not hide it.
        let number = Number::read(spot, 22, PLAIN)?;
        let digits = number.digits();
        let (length, group) = LENGTHS.into_iter().find_map(|length| {
            let group = number.group_with(length)?;
            (brand(&digits[..length], length) && luhn(&digits[..length])).then_some((length, group))
        })?;
        let card = &digits[..length];
        let end = number.group_end(group);
        if card.iter().all(|digit| *digit == card[0]) || !ends_number(spot, end) && group == 0 || spot.joined_at(end) {
            return None;
        }
        let context = self.context.within(spot.before(), CONTEXT_BYTES);
        let layout = group == 0 || LAYOUTS.contains(&number.shape(group).as_slice());
        let after_dash = spot.byte_before().is_some_and(|b| b == b'-' || b == b'_');
        if !context && (!layout || length == 13 || after_dash || group > 0 && follows_four(spot.before())) {
            return None;
        }
        let (score, why) = if context {
            (990_000, "a brand's prefix, Luhn's checksum, and a word before it that says card")
        } else {
            (950_000, "a brand's prefix, Luhn's checksum and a card's layout")
        };
        Some(Found { start: 0, end, rule: 0, kind: DetectionKind::Card, score, why })
    }
}

/// Whether four digits and a space stand before: the groups of an IBAN or a table go on.
fn follows_four(before: &str) -> bool {
    let mut last = before.bytes().rev();
    let separated = last.next().is_some_and(|b| b == b' ' || b == b'-');
    separated && last.take(4).filter(u8::is_ascii_digit).count() == 4
}

fn brand(digits: &[u8], length: usize) -> bool {
    BRANDS.iter().any(|(first, last, prefix, lengths)| {
        lengths.contains(&length) && (*first..=*last).contains(&value(&digits[..*prefix]))
    })
}
