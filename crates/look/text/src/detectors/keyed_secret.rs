//! Values that are recognised by the words before them: an AWS secret key is forty characters like
//! any others, until the text says what they are.
//!
//! The words and values are data, in `rules/secrets.toml`.

use aho_corasick::AhoCorasick;
use haris_domain::{DetectionKind, Rule};

use super::secret_rules::{Keyed, SecretRules, Shape, entropy, is_placeholder, word_set};
use super::{Detector, Trigger};
use crate::spot::{Found, Spot};
use crate::view::folded;

pub(super) struct KeyedSecret {
    formats: Vec<(Keyed, Shape)>,
    /// Per literal: the format, and the literal's length.
    literals: Vec<(usize, String)>,
    placeholders: AhoCorasick,
}

impl KeyedSecret {
    pub(super) fn new() -> Self {
        let rules = SecretRules::built_in();
        let placeholders = word_set(&rules.keywords.placeholders);
        let formats: Vec<_> =
            rules.keyed.into_iter().map(|k| (Shape::new(&k.pattern), k)).map(|(s, k)| (k, s)).collect();
        let literals = formats
            .iter()
            .enumerate()
            .flat_map(|(format, (keyed, _))| keyed.words.iter().map(move |word| (format, folded(word))))
            .collect();
        Self { formats, literals, placeholders }
    }
}

impl Detector for KeyedSecret {
    fn rules(&self) -> Vec<Rule> {
        self.formats.iter().map(|(keyed, _)| keyed.face()).collect()
    }

    fn trigger(&self) -> Trigger {
        Trigger::Literals(self.literals.iter().map(|(_, literal)| literal.clone()).collect())
    }

    fn reach(&self) -> usize {
        let word = self.literals.iter().map(|(_, word)| word.len()).max().unwrap_or(0);
        self.formats.iter().map(|(keyed, _)| word + keyed.gap + keyed.longest + 4).max().unwrap_or(0)
    }

    fn rank(&self) -> u8 {
        98
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let (format, word) = &self.literals[spot.literal];
        let (keyed, shape) = &self.formats[*format];
        if spot.joined_before() && !spot.before().ends_with('_') || spot.joined_at(word.len()) {
            return None;
        }
        let mut fresh = true;
        for at in word.len()..=word.len() + keyed.gap {
            let byte = spot.byte(at)?;
            let inside = byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
            if inside && fresh {
                let end = shape.longest(spot, &[], at).filter(|end| !goes_on(spot, *end));
                if let Some(end) = end {
                    let value = spot.slice(at, end);
                    let random = entropy(value) >= keyed.entropy && !is_placeholder(value, &self.placeholders);
                    let why = "a value of the right shape behind the words that name it";
                    return random.then_some(Found {
                        start: at as isize,
                        end,
                        rule: *format,
                        kind: DetectionKind::Secret,
                        score: 970_000,
                        why,
                    });
                }
            }
            fresh = !inside && byte.is_ascii();
        }
        None
    }
}

fn goes_on(spot: &Spot<'_>, end: usize) -> bool {
    spot.joined_at(end) || matches!(spot.byte(end), Some(b'+' | b'/' | b'='))
}
