//! The detectors: one file each, one line each in [`DETECTORS`].

mod access_code;
mod account;
mod birth_date;
mod card;
mod card_code;
mod email;
mod iban;
mod injection;
mod ip_address;
mod keyed_secret;
mod keyword_secret;
mod passport;
mod phone;
mod qatari_id;
mod swift;
mod vendor_secret;

pub(crate) mod hidden_unicode;

mod context_words;
mod countries;
mod number;
mod secret_rules;
mod vocabulary;

use haris_domain::{Context, Rule, Severity};

use crate::spot::{Found, Spot};

/// Every detector on the folded view, built. Hidden characters are looked for in the original text
/// instead, where they still are: see [`hidden_unicode`].
pub(crate) const DETECTORS: &[fn() -> Box<dyn Detector>] = &[
    || Box::new(vendor_secret::VendorSecret::new()),
    || Box::new(keyed_secret::KeyedSecret::new()),
    || Box::new(keyword_secret::KeywordSecret::new()),
    || Box::new(iban::Iban::new()),
    || Box::new(card::Card::new()),
    || Box::new(card_code::CardCode::new()),
    || Box::new(access_code::AccessCode::new()),
    || Box::new(qatari_id::QatariId::new()),
    || Box::new(phone::Phone::new()),
    || Box::new(email::Email::new()),
    || Box::new(swift::Swift::new()),
    || Box::new(passport::Passport::new()),
    || Box::new(birth_date::BirthDate::new()),
    || Box::new(account::Account::new()),
    || Box::new(ip_address::Ipv4::new()),
    || Box::new(ip_address::Ipv6::new()),
    || Box::new(injection::Injection::new()),
];

/// Where a detector wants to be asked.
pub(crate) enum Trigger {
    /// At the first digit of each run of digits.
    Number,
    /// At each of these bytes.
    Byte(u8),
    /// At each of these literals, ASCII letters of either case. They are given in folded form. One
    /// that starts with an ASCII letter or digit is found at the start of words only.
    Literals(Vec<String>),
    /// At each of these words; as literals, where they have other characters than ASCII letters.
    Words(Vec<String>),
    /// At each of these literals, inside words too.
    Parts(Vec<String>),
}

/// Detections of different layers may lie over each other; within one, what lies inside another
/// match is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// Identifiers and credentials.
    Data,
    /// What a text tries to make a model do.
    Intent,
    /// Characters that do not show.
    Hidden,
}

/// Finds one thing in the folded view.
pub(crate) trait Detector: Send + Sync {
    /// The faces of its rules; [`Found::rule`] counts in them.
    fn rules(&self) -> Vec<Rule>;

    /// Where it wants to be asked.
    fn trigger(&self) -> Trigger;

    /// How far before the trigger a match may start. All of it is within the trigger's word, ASCII
    /// without spaces, and at most [`crate::scan::WORD_MAX`].
    fn behind(&self) -> usize {
        0
    }

    /// The longest match and the look-ahead that decides it, from the trigger on: the bound at
    /// which a longer run is cut, and the most text that this detector can hold back.
    fn reach(&self) -> usize;

    /// Whether it works on texts of `context`.
    fn works_in(&self, context: Context) -> bool {
        let _ = context;
        true
    }

    /// Of two detectors of a layer whose matches start at one place, the one that ranks higher
    /// keeps its match.
    fn rank(&self) -> u8;

    /// Its layer.
    fn layer(&self) -> Layer {
        Layer::Data
    }

    /// Whether there is a match at `spot`.
    fn look(&self, spot: &Spot<'_>) -> Option<Found>;
}

/// A rule's face whose texts are constants.
fn face(
    id: &'static str,
    severity: Severity,
    title: &'static str,
    meaning: &'static str,
    remedy: &'static str,
    references: &'static [&'static str],
) -> Rule {
    Rule {
        id: id.into(),
        title: title.into(),
        severity,
        meaning: meaning.into(),
        remedy: remedy.into(),
        references: references.iter().map(|reference| (*reference).into()).collect::<Vec<_>>().into(),
    }
}
