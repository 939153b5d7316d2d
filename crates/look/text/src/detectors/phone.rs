//! Telephone numbers: Qatar's in every form, the world's with `+` or `00`.
//!
//! A bare national number says little on its own, so it counts only beside a word that says phone.
//! Known miss: a bare eight-digit number without such a word.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::countries::telephone_lengths;
use super::number::{NUMBER_REACH, Number};
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot, joined_end};

const QATAR: [u8; 3] = [9, 7, 4];

/// E.164 allows fifteen digits; `00` before them makes seventeen.
const DIGITS_MAX: usize = 17;

/// The shortest whole number: a Qatari one.
const DIGITS_MIN: usize = 8;

const SEPARATORS: &[u8] = b" -.()/\n\r\t";

const CONTEXT_BYTES: usize = 56;

pub(super) struct Phone {
    context: ContextWords,
}

impl Phone {
    pub(super) fn new() -> Self {
        let context = ContextWords::new(&[
            "phone",
            "telephone",
            "tel",
            "mobile",
            "mob",
            "cell",
            "cellphone",
            "call",
            "call me",
            "sms",
            "text me",
            "whatsapp",
            "fax",
            "hotline",
            "contact",
            "reach me",
            "dial",
            "handset",
            "msisdn",
            "هاتف",
            "جوال",
            "موبايل",
            "محمول",
            "تلفون",
            "تليفون",
            "اتصل",
            "اتصال",
            "واتساب",
            "واتس",
            "نقال",
            "فاكس",
            "للتواصل",
            "رسالة نصية",
        ]);
        Self { context }
    }
}

impl Detector for Phone {
    fn rules(&self) -> Vec<Rule> {
        vec![face(
            "pii.phone",
            Severity::Medium,
            "Telephone number",
            "The number reaches, and mostly identifies, one person.",
            "Leave it out or send a token.",
            &["QA-LAW-13-2016", "OWASP-LLM-2025:LLM02", "CWE-359"],
        )]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    /// `(+` before the first digit.
    fn behind(&self) -> usize {
        2
    }

    fn reach(&self) -> usize {
        NUMBER_REACH
    }

    fn rank(&self) -> u8 {
        70
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let before = spot.before();
        let prefix = ["(+", "+(", "+", "("].into_iter().find(|prefix| before.ends_with(prefix)).unwrap_or("");
        let left = &before[..before.len() - prefix.len()];
        let mut last = left.bytes().rev();
        // A comma before so many digits divides the fields of a table, not thousands.
        let continues = matches!(last.next(), Some(b'.' | b'-' | b'/' | b':' | b'='))
            && last.next().is_some_and(|b| b.is_ascii_digit());
        let written_on = left.strip_suffix('_').is_some_and(|word| word.ends_with(char::is_alphabetic));
        if joined_end(left) && !written_on || continues {
            return None;
        }
        let number = Number::read(spot, DIGITS_MAX, SEPARATORS)?;
        // Years and amounts leave here.
        if number.digits().len() < DIGITS_MIN {
            return None;
        }
        let (end, score, why) = if prefix.contains('+') {
            international(spot, &number, 0).map(|end| (end, 980_000, "`+`, a country's code and its length"))
        } else if number.digits().starts_with(&[0, 0]) {
            self.double_zero(spot, &number)
        } else {
            self.national(spot, &number)
        }?;
        let start = if prefix == "(" && !closes(spot, end) { 0 } else { -(prefix.len() as isize) };
        Some(Found { start, end, rule: 0, kind: DetectionKind::Phone, score, why })
    }
}

impl Phone {
    fn double_zero(&self, spot: &Spot<'_>, number: &Number) -> Option<(usize, u32, &'static str)> {
        let end = international(spot, number, 2)?;
        let gulf = number.digits()[2..].starts_with(&[9, 7]) || number.digits()[2..].starts_with(&[9, 6]);
        let context = self.context.within(spot.before(), CONTEXT_BYTES);
        (gulf || context || number.groups() > 2).then_some((end, 950_000, "`00`, a country's code and its length"))
    }

    /// Numbers without a code for leaving a country.
    fn national(&self, spot: &Spot<'_>, number: &Number) -> Option<(usize, u32, &'static str)> {
        let digits = number.digits();
        let context = self.context.within(spot.before(), CONTEXT_BYTES);
        if digits.starts_with(&QATAR)
            && let Some(group) = number.group_with(11).filter(|group| ends(spot, number, *group))
            && matches!(digits[3], 3..=7)
            && (context || number.shape(group) == [3, 4, 4] || number.shape(group) == [3, 8])
        {
            return Some((number.group_end(group), 930_000, "974 and eight digits of a Qatari number"));
        }
        if context
            && let Some(group) = number.group_with(8).filter(|group| *group <= 1 && ends(spot, number, *group))
            && matches!(digits[0], 2..=8)
        {
            return Some((
                number.group_end(group),
                900_000,
                "eight digits of a Qatari number after a word that says phone",
            ));
        }
        let north_america = number.groups() >= 3 && number.shape(2) == [3, 3, 4] && digits[0] >= 2 && digits[3] >= 2;
        if north_america && ends(spot, number, 2) {
            let dashed = (0..2).all(|group| {
                let between = spot.slice(number.group_end(group), number.group_start(group + 1));
                matches!(between, "-" | "." | ") " | ")" | ")-")
            });
            if dashed || context {
                return Some((number.group_end(2), 800_000, "the layout of a North American number"));
            }
        }
        let local = (9..=11).rev().find_map(|len| number.group_with(len)).filter(|group| ends(spot, number, *group));
        match local {
            Some(group) if context && digits[0] == 0 => {
                Some((number.group_end(group), 800_000, "a national number after a word that says phone"))
            }
            _ => None,
        }
    }
}

/// The end of the number whose country code starts at digit `from`: as many whole groups as the
/// country's numbers have digits.
fn international(spot: &Spot<'_>, number: &Number, from: usize) -> Option<usize> {
    let (fewest, most) = telephone_lengths(&number.digits()[from..])?;
    let group = (fewest..=most).rev().find_map(|len| number.group_with(from + len))?;
    ends(spot, number, group).then(|| number.group_end(group))
}

fn ends(spot: &Spot<'_>, number: &Number, group: usize) -> bool {
    !spot.joined_at(number.group_end(group))
}

/// Whether a bracket that opened before the number closes within it.
fn closes(spot: &Spot<'_>, end: usize) -> bool {
    spot.slice(0, end).contains(')')
}
