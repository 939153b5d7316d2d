//! Payment card numbers: a brand's prefix and length, Luhn's checksum, a plausible layout.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::number::{Left, NUMBER_REACH, Number, PLAIN, Right, left, luhn, right, value, word_before};
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

/// Between groups: beside what any number may have, what tables and addresses put there.
const SEPARATORS: &[u8] = b" -.\n\r\t/_,";

/// `TXN4111…` is a reference.
const REFERENCE_LETTERS_MAX: usize = 5;

pub(super) struct Card {
    context: ContextWords,
    /// What other numbers are called that are written on to their names.
    other: ContextWords,
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
        let other =
            ContextWords::new(&["order", "ref", "reference", "txn", "trx", "transaction", "invoice", "id", "ticket"]);
        Self { context, other }
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
        let left = left(spot);
        if left == Left::Point {
            return None;
        }
        // Up to 22 digits, so that a security code behind the number does not hide it.
        let number = Number::read(spot, 22, SEPARATORS)?;
        let digits = number.digits();
        let (length, group) = LENGTHS.into_iter().find_map(|length| {
            let group = number.group_with(length)?;
            (brand(&digits[..length], length) && luhn(&digits[..length])).then_some((length, group))
        })?;
        let card = &digits[..length];
        let end = number.group_end(group);
        if card.iter().all(|digit| *digit == card[0]) {
            return None;
        }
        let context = self.context.within(spot.before(), CONTEXT_BYTES);
        let free = match left {
            Left::Free => spot.byte_before() != Some(b'-'),
            Left::Letter | Left::Listed => true,
            Left::Underscore => !self.other.within(spot.before(), 1),
            Left::Latin => self.is_word(spot),
            Left::Sign | Left::Dashed | Left::Point => false,
        } && match right(spot, end) {
            Right::Free | Right::Written | Right::Zero | Right::Cents | Right::Listed => true,
            Right::Joined => goes_on_as_word(spot, end),
            Right::Dashed | Right::Point => group > 0,
        };
        let layout = group == 0 || LAYOUTS.contains(&number.shape(group).as_slice());
        let plain = is_plainly_cut(spot, &number, group);
        if !context && (!free || !layout || !plain || length == 13 || group > 0 && goes_on(spot, &number)) {
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

impl Card {
    /// Whether the letters written on to the number from the left are a word, rather than part of a
    /// hash, of a hexadecimal number or of a reference: `x4111…`, but not `a4111…`, `0x4111…`, `TX4111…`.
    fn is_word(&self, spot: &Spot<'_>) -> bool {
        let word = word_before(spot);
        let before = &spot.before()[..spot.before().len() - word.len()];
        let hash = word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'_');
        let literal = word.eq_ignore_ascii_case("x") && before.ends_with('0');
        let reference = word.bytes().all(|b| b.is_ascii_uppercase()) && word.len() <= REFERENCE_LETTERS_MAX;
        !hash && !literal && !reference && !self.other.within(spot.before(), 0)
    }
}

/// Whether the letters behind a number are a word rather than the rest of a hash.
fn goes_on_as_word(spot: &Spot<'_>, end: usize) -> bool {
    const LOOK_BYTES: usize = 12;
    let letters = |at: &usize| spot.byte(*at).is_some_and(|b| b.is_ascii_alphanumeric());
    (end..end + LOOK_BYTES)
        .take_while(letters)
        .any(|at| spot.byte(at).is_some_and(|b| b.is_ascii_alphabetic() && !b.is_ascii_hexdigit()))
}

/// Whether between the groups stands what any number may have there, or one and the same sign.
fn is_plainly_cut(spot: &Spot<'_>, number: &Number, group: usize) -> bool {
    let cut = |before: usize| spot.slice(number.group_end(before), number.group_start(before + 1));
    let plain = |between: &str| between.bytes().all(|b| PLAIN.contains(&b));
    (0..group).all(|before| plain(cut(before)))
        || (0..group).all(|before| cut(before).len() == 1 && cut(before) == cut(0))
}

/// Whether four digits and the same sign stand before: the groups of an IBAN or a table go on.
fn goes_on(spot: &Spot<'_>, number: &Number) -> bool {
    let mut last = spot.before().bytes().rev();
    let sign = last.next();
    let separated = sign.is_some() && sign == spot.byte(number.group_end(0));
    separated && last.take(4).filter(u8::is_ascii_digit).count() == 4
}

fn brand(digits: &[u8], length: usize) -> bool {
    BRANDS.iter().any(|(first, last, prefix, lengths)| {
        lengths.contains(&length) && (*first..=*last).contains(&value(&digits[..*prefix]))
    })
}
