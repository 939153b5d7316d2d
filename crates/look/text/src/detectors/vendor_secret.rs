//! Tokens that are recognised by themselves: a vendor's prefix, alphabet and length.
//!
//! The formats are data, in `rules/secrets.toml`.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use haris_domain::{DetectionKind, Rule};

use super::secret_rules::{SecretRules, Shape, Vendor, entropy, is_placeholder, refers, word_set};
use super::{Detector, Trigger};
use crate::spot::{Found, Spot};

pub(super) struct VendorSecret {
    formats: Vec<(Vendor, Shape)>,
    /// Per literal: the format, and the literal itself.
    literals: Vec<(usize, String)>,
    placeholders: AhoCorasick,
}

impl VendorSecret {
    pub(super) fn new() -> Self {
        let rules = SecretRules::built_in();
        let placeholders = word_set(&rules.keywords.placeholders);
        let formats: Vec<_> =
            rules.vendor.into_iter().map(|vendor| (Shape::new(&vendor.pattern), vendor)).map(|(s, v)| (v, s)).collect();
        let literals = formats
            .iter()
            .enumerate()
            .flat_map(|(format, (vendor, _))| vendor.starts.iter().map(move |literal| (format, literal.clone())))
            .collect();
        Self { formats, literals, placeholders }
    }
}

impl Detector for VendorSecret {
    fn rules(&self) -> Vec<Rule> {
        self.formats.iter().map(|(vendor, _)| vendor.face()).collect()
    }

    fn trigger(&self) -> Trigger {
        Trigger::Literals(self.literals.iter().map(|(_, literal)| literal.clone()).collect())
    }

    fn behind(&self) -> usize {
        self.formats.iter().map(|(vendor, _)| vendor.lead).max().unwrap_or(0)
    }

    fn reach(&self) -> usize {
        self.formats.iter().map(|(vendor, _)| vendor.longest).max().unwrap_or(0)
    }

    fn rank(&self) -> u8 {
        100
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let (format, _) = &self.literals[spot.literal];
        let (vendor, shape) = &self.formats[*format];
        let spot = &spot.narrowed(vendor.longest);
        let before = spot.before();
        let lead = match vendor.lead {
            0 => 0,
            max => {
                before.bytes().rev().take(max).take_while(|b| b.is_ascii_alphanumeric() || b"+.-".contains(b)).count()
            }
        };
        if crate::spot::joined_end(&before[..before.len() - lead]) {
            return None;
        }
        let lead = &before[before.len() - lead..];
        let end = shape.longest(spot, lead.as_bytes(), 0)?;
        if spot.joined_at(end) {
            return None;
        }
        let rest = spot.slice(0, end);
        let secret = &rest[secret_part(vendor, rest)];
        let none = is_placeholder(secret, &self.placeholders) || vendor.userinfo && refers(secret);
        if none || entropy(secret) < vendor.entropy {
            return None;
        }
        let start = -(lead.len() as isize);
        let why = "a vendor's prefix, alphabet and length, and characters that look random";
        Some(Found { start, end, rule: *format, kind: DetectionKind::Secret, score: 990_000, why })
    }
}

/// The part of a token that must look random.
fn secret_part(vendor: &Vendor, token: &str) -> Range<usize> {
    let whole = 0..token.len();
    if !vendor.userinfo {
        return whole;
    }
    // A password may have an `@` of its own; the host has none. Behind `://user:`.
    let authority = token[3..].find('/').map_or(token.len(), |slash| 3 + slash);
    let Some(at) = token[..authority].rfind('@') else { return whole };
    let colon = token[3.min(at)..at].find(':').map_or(0, |colon| 3.min(at) + colon + 1);
    colon..at
}
