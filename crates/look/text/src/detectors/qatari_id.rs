//! Qatari identity numbers: eleven digits with a century, a year of birth and a nationality.
//!
//! There is no check digit. Century (2 for the 1900s, 3 for the 2000s) and an assigned ISO 3166
//! numeric code leave about one in twenty random numbers, so a number that the text calls a ticket
//! or an order is left alone, unless a nearer word calls it an identity number.

use haris_domain::{DetectionKind, Rule, Severity};

use super::context_words::{ContextWords, only_links};
use super::countries::is_numeric_code;
use super::number::{Left, NUMBER_REACH, Number, Right, left, right, value};
use super::{Detector, Trigger, face};
use crate::spot::{Found, Spot};

const DIGITS: usize = 11;

/// The youngest holder was born before this year of the 2000s.
const YEAR_MAX: u32 = 40;

const CONTEXT_BYTES: usize = 64;

/// What a number is called stands close to it.
const OTHER_BYTES: usize = 24;

/// `, which is my Qatari ID number`.
const BEHIND_BYTES: usize = 40;

/// Between groups. A number in groups counts only beside a word that says what it is.
const SEPARATORS: &[u8] = b" -.,/_\n\r\t";

pub(super) struct QatariId {
    context: ContextWords,
    other: ContextWords,
}

impl QatariId {
    pub(super) fn new() -> Self {
        Self {
            context: ContextWords::new(&[
                "qid",
                "q.i.d",
                "eid",
                "qatar id",
                "qatari id",
                "national id",
                "national number",
                "id number",
                "id no",
                "id card",
                "identity",
                "identification number",
                "identification no",
                "civil id",
                "personal id",
                "personal number",
                "personal no",
                "residence permit",
                "residence card",
                "residency",
                "resident",
                "iqama",
                "الشخصي",
                "شخصي",
                "الشخصية",
                "هوية",
                "الهوية",
                "هويت",
                "إقامة",
                "إقامت",
                "الرقم القطري",
                "الرقم الوطني",
                "الرقم المدني",
                "بطاقة قطرية",
            ]),
            other: ContextWords::new(&[
                "ticket",
                "order",
                "build",
                "invoice",
                "receipt",
                "reference",
                "ref",
                "tracking",
                "shipment",
                "serial",
                "case",
                "request",
                "transaction",
                "txn",
                "trx",
                "version",
                "population",
                "timestamp",
                "amount",
                "تذكرة",
                "طلب",
                "مرجع",
                "فاتورة",
                "شحنة",
                "معاملة",
                "قضية",
            ]),
        }
    }

    /// What the text calls the number that ends at `end`. The nearer word wins.
    fn named(&self, spot: &Spot<'_>, end: usize) -> Named {
        let before = spot.before();
        let own = self.context.nearest(before, CONTEXT_BYTES);
        let other = self.other.nearest(before, OTHER_BYTES);
        let Some(other) = other else { return if own.is_some() { Named::Id } else { Named::Nothing } };
        match own {
            Some(own) if own < other => Named::Id,
            // `my QID, sent with the request of May: 284…` is not called a request, and neither is
            // `my QID for this request is 284…`.
            Some(own) if !only_links(&before[before.len() - other..]) || self.is_for(before, own) => Named::Id,
            _ if self.called_behind(spot, end) => Named::Id,
            _ => Named::Other,
        }
    }

    /// Whether the other word only says what the identity number, `own` bytes before, is for.
    fn is_for(&self, before: &str, own: usize) -> bool {
        let between = &before[before.len() - own..];
        let Some(other) = self.other.first(between) else { return false };
        let tie = between[..other.start].trim();
        let preposition =
            tie.split(' ').next().is_some_and(|word| ["for", "of", "in", "on", "في", "من"].contains(&word));
        preposition && tie.split(' ').skip(1).all(only_links)
    }

    /// Whether what follows calls it an identity number: `284… (QID)`, `284… is my Qatari ID`.
    fn called_behind(&self, spot: &Spot<'_>, end: usize) -> bool {
        let behind = spot.after(end, BEHIND_BYTES);
        let sentence = behind.find(['\n', ';', '؛', '!', '?', '؟']).map_or(behind, |end| &behind[..end]);
        let Some(word) = self.context.first(sentence) else { return false };
        // `284…, QID 304…` names the next one.
        let rest = &sentence[word.end..];
        let rest = rest.find([',', '"', ')', ']', '}']).map_or(rest, |end| &rest[..end]);
        let linked = rest.find(|c: char| c.is_ascii_digit()).is_some_and(|digit| only_links(&rest[..digit]));
        only_links(&sentence[..word.start]) && !linked
    }
}

/// What a text calls a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Id,
    Other,
    Nothing,
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
        if !matches!(spot.byte(0), Some(b'2' | b'3')) {
            return None;
        }
        let left = left(spot);
        if left == Left::Point {
            return None;
        }
        let number = Number::read(spot, DIGITS + 1, SEPARATORS)?;
        let group = number.group_with(DIGITS)?;
        let end = number.group_end(group);
        let digits = &number.digits()[..DIGITS];
        let alive = digits[0] == 2 || value(&digits[1..3]) <= YEAR_MAX;
        if !alive || !is_numeric_code(value(&digits[3..6])) {
            return None;
        }
        // What binds it to its neighbours takes a word that says what it is.
        let (from_left, from_right) = (spot.byte_before(), spot.byte(end));
        let free = match left {
            Left::Free | Left::Underscore | Left::Letter => true,
            Left::Listed => from_left == Some(b','),
            Left::Latin if !self.context.within(spot.before(), 0) => return None,
            Left::Sign if from_left != Some(b'#') => return None,
            _ => false,
        } && match right(spot, end) {
            Right::Free | Right::Written | Right::Zero => true,
            Right::Listed => from_right != Some(b'/'),
            Right::Point => return None,
            Right::Joined | Right::Cents | Right::Dashed => false,
        };
        let named = match self.named(spot, end) {
            Named::Nothing if group > 0 && self.called_behind(spot, end) => Named::Id,
            named => named,
        };
        let context = named == Named::Id;
        if !context && (!free || group > 0 || named == Named::Other) {
            return None;
        }
        let (score, why) = if context {
            (990_000, "century, year, nationality, and a word beside it that says identity number")
        } else {
            (800_000, "eleven digits with a valid century, year and nationality")
        };
        Some(Found { start: 0, end, rule: 0, kind: DetectionKind::Qid, score, why })
    }
}
