//! Qatari identity numbers: eleven digits with a century, a year of birth and a nationality.
//!
//! There is no check digit. Century (2 for the 1900s, 3 for the 2000s) and an assigned ISO 3166
//! numeric code leave about one in twenty random numbers, so a number that the text calls a ticket
//! or an order is left alone.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::ContextWords;
use super::countries::is_numeric_code;
use super::number::{NUMBER_REACH, Number, ends_number, starts_number, value};
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot};

const DIGITS: usize = 11;

/// The youngest holder was born before this year of the 2000s.
const YEAR_MAX: u32 = 40;

const CONTEXT_BYTES: usize = 64;

/// What a number is called stands close to it.
const OTHER_BYTES: usize = 24;

pub(super) struct QatariId {
    context: ContextWords,
    other: ContextWords,
}

impl QatariId {
    pub(super) fn new() -> Self {
        Self {
            context: ContextWords::new(&[
                "qid",
                "qatar id",
                "qatari id",
                "national id",
                "id number",
                "id no",
                "id card",
                "identity",
                "civil id",
                "residence permit",
                "residency",
                "resident",
                "الشخصي",
                "شخصي",
                "الشخصية",
                "هوية",
                "الهوية",
                "إقامة",
                "الرقم القطري",
                "بطاقة قطرية",
            ]),
            other: ContextWords::new(&[
                "ticket",
                "order",
                "build",
                "invoice",
                "reference",
                "ref",
                "tracking",
                "shipment",
                "serial",
                "case",
                "request",
                "transaction",
                "version",
                "population",
                "timestamp",
                "تذكرة",
                "طلب",
                "مرجع",
                "فاتورة",
                "شحنة",
            ]),
        }
    }
}

impl Detector for QatariId {
    fn rules(&self) -> Vec<Rule> {
        vec![face(
            "pii.qatari-id",
            Severity::High,
            "Qatari identity number",
            "The number identifies one resident of Qatar in every government and bank system.",
            "Leave it out or send a token; personal data may leave the bank only on a legal basis (Law 13 of 2016).",
            &["QA-LAW-13-2016", "OWASP-LLM-2025:LLM02", "CWE-359"],
        )]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Number
    }

    fn reach(&self) -> usize {
        NUMBER_REACH
    }

    fn rank(&self) -> u8 {
        85
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        if !matches!(spot.byte(0), Some(b'2' | b'3')) || !starts_number(spot) {
            return None;
        }
        let number = Number::read(spot, DIGITS + 1, b" -\n\r\t")?;
        let group = number.group_with(DIGITS)?;
        let end = number.group_end(group);
        let digits = &number.digits()[..DIGITS];
        let alive = digits[0] == 2 || value(&digits[1..3]) <= YEAR_MAX;
        if !alive || !is_numeric_code(value(&digits[3..6])) || !ends_number(spot, end) {
            return None;
        }
        let context = self.context.within(spot.before(), CONTEXT_BYTES);
        if !context && (group > 0 || self.other.within(spot.before(), OTHER_BYTES)) {
            return None;
        }
        let (score, why) = if context {
            (990_000, "century, year, nationality, and a word before it that says identity number")
        } else {
            (800_000, "eleven digits with a valid century, year and nationality")
        };
        Some(Found { start: 0, end, rule: 0, kind: DetectionKind::Qid, score, why })
    }
}
