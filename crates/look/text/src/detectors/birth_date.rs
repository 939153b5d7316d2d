//! Dates of birth: a date beside a word that says birth.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::number::{Left, left};
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot};

const CONTEXT_BYTES: usize = 32;

/// `12 September 1984`, with a comma, in Arabic letters.
const REACH: usize = 48;

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
    "يناير",
    "فبراير",
    "مارس",
    "ابريل",
    "مايو",
    "يونيو",
    "يوليو",
    "اغسطس",
    "سبتمبر",
    "اكتوبر",
    "نوفمبر",
    "ديسمبر",
];

pub(super) struct BirthDate {
    context: ContextWords,
}

impl BirthDate {
    pub(super) fn new() -> Self {
        let words = [
            "born",
            "birth",
            "birthday",
            "birthdate",
            "birth date",
            "date of birth",
            "dob",
            "d.o.b",
            "ميلاد",
            "ميلادي",
            "الميلاد",
            "مواليد",
            "ولدت",
            "ولد في",
            "مولود",
        ];
        Self { context: ContextWords::new(&words) }
    }
}

impl Detector for BirthDate {
    fn rules(&self) -> Vec<Rule> {
        vec![face(
            "pii.date-of-birth",
            Severity::Medium,
            "Date of birth",
            "With a name it identifies a person, and banks ask for it to do so.",
            "Leave it out or send the year only.",
            &["QA-LAW-13-2016", "OWASP-LLM-2025:LLM02", "CWE-359"],
        )]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    fn reach(&self) -> usize {
        REACH
    }

    fn rank(&self) -> u8 {
        72
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let starts = matches!(left(spot), Left::Free | Left::Underscore | Left::Letter);
        if !starts || !self.context.within(spot.before(), CONTEXT_BYTES) {
            return None;
        }
        let end = numeric(spot).or_else(|| with_month(spot))?;
        let why = "a date after a word that says birth";
        Some(Found { start: 0, end, rule: 0, kind: DetectionKind::Dob, score: 950_000, why })
    }
}

/// Digits from `at`: their value and end, if there are at most four.
fn digits(spot: &Spot<'_>, at: usize) -> Option<(u32, usize)> {
    let mut value = 0;
    let mut end = at;
    while let Some(digit) = spot.byte(end).filter(u8::is_ascii_digit) {
        value = value * 10 + u32::from(digit - b'0');
        end += 1;
        if end - at > 4 {
            return None;
        }
    }
    (end > at).then_some((value, end))
}

/// `23/11/1971`, `1971-11-23`, `11.23.71`.
fn numeric(spot: &Spot<'_>) -> Option<usize> {
    let mut at = 0;
    let mut parts = [(0, 0); 3];
    for (index, part) in parts.iter_mut().enumerate() {
        if index > 0 {
            while spot.byte(at) == Some(b' ') && at < REACH {
                at += 1;
            }
            spot.byte(at).filter(|b| b"/-.".contains(b))?;
            at += 1;
            while spot.byte(at) == Some(b' ') && at < REACH {
                at += 1;
            }
        }
        let (value, end) = digits(spot, at)?;
        *part = (value, end - at);
        at = end;
    }
    let [first, second, third] = parts;
    let small = |(value, len): (u32, usize), max| (1..=max).contains(&value) && len <= 2;
    let year = |(value, len): (u32, usize)| len == 2 || (len == 4 && (1900..=2100).contains(&value));
    let day_first = small(first, 31) && small(second, 12) && year(third);
    let month_first = small(first, 12) && small(second, 31) && year(third);
    let year_first = first.1 == 4 && year(first) && small(second, 12) && small(third, 31);
    ((day_first || month_first || year_first) && !spot.joined_at(at)).then_some(at)
}

/// `23 November 1971`, `23rd Nov, 1971`.
fn with_month(spot: &Spot<'_>) -> Option<usize> {
    let (day, mut at) = digits(spot, 0)?;
    if !(1..=31).contains(&day) {
        return None;
    }
    let word = |mut at: usize| {
        while matches!(spot.byte(at), Some(b' ' | b'-' | b',' | b'.' | b'/')) {
            at += 1;
        }
        let start = at;
        while spot.byte(at).is_some_and(|b| b.is_ascii_alphabetic() || !b.is_ascii()) {
            at += 1;
        }
        (start, at)
    };
    let suffix = word(at);
    if suffix.0 == at && ["st", "nd", "rd", "th"].contains(&spot.slice(at, suffix.1)) {
        at = suffix.1;
    }
    let (start, end) = word(at);
    if !MONTHS.contains(&spot.slice(start, end).to_lowercase().as_str()) {
        return None;
    }
    let (year_at, no_letters) = word(end);
    let (year, end) = digits(spot, year_at).filter(|_| year_at == no_letters)?;
    (1900..=2100).contains(&year).then_some(end)
}
