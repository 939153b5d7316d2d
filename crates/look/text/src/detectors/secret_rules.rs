//! `rules/secrets.toml`, read and compiled.

use haris_domain::{Rule, Severity};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::start;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};
use serde::Deserialize;

use crate::spot::Spot;

/// The rules as shipped. They are part of the program, so that what was in force can be said by
/// its version.
const BUILT_IN: &str = include_str!("../../../../../rules/secrets.toml");

/// Compiled patterns together stay below this: a pattern that explodes is refused when the file is
/// read, not when an attacker finds the text.
const PATTERN_BYTES_MAX: usize = 1 << 20;

const MEANING: &str =
    "A credential in clear text works for whoever reads it: the model's provider, its logs, the next user.";
const REMEDY: &str = "Revoke it and issue a new one; keep credentials in a vault and out of prompts.";
const REFERENCES: [&str; 2] = ["OWASP-LLM-2025:LLM02", "CWE-798"];

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretRules {
    pub(super) vendor: Vec<Vendor>,
    pub(super) keyed: Vec<Keyed>,
    pub(super) keywords: Keywords,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vendor {
    pub(super) id: String,
    title: String,
    #[serde(default)]
    severity: Option<String>,
    pub(super) starts: Vec<String>,
    #[serde(default)]
    pub(super) lead: usize,
    pub(super) pattern: String,
    pub(super) longest: usize,
    #[serde(default = "entropy_default")]
    pub(super) entropy: f64,
    #[serde(default)]
    pub(super) userinfo: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keyed {
    pub(super) id: String,
    title: String,
    pub(super) words: Vec<String>,
    pub(super) gap: usize,
    pub(super) pattern: String,
    pub(super) longest: usize,
    #[serde(default = "entropy_default")]
    pub(super) entropy: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keywords {
    pub(super) password: Vec<String>,
    pub(super) token: Vec<String>,
    pub(super) placeholders: Vec<String>,
}

fn entropy_default() -> f64 {
    3.0
}

impl SecretRules {
    /// The rules that are built in.
    pub(super) fn built_in() -> Self {
        toml::from_str(BUILT_IN).expect("the built-in rules are read by a test")
    }
}

impl Vendor {
    pub(super) fn face(&self) -> Rule {
        face(&self.id, &self.title, self.severity.as_deref())
    }
}

impl Keyed {
    pub(super) fn face(&self) -> Rule {
        face(&self.id, &self.title, None)
    }
}

pub(super) fn face(id: &str, title: &str, severity: Option<&str>) -> Rule {
    let named = |name: &str| Severity::ALL.into_iter().find(|severity| severity.name() == name);
    Rule {
        id: id.to_owned().into(),
        title: title.to_owned().into(),
        severity: severity.and_then(named).unwrap_or(Severity::High),
        meaning: MEANING.into(),
        remedy: REMEDY.into(),
        references: REFERENCES.map(Into::into).to_vec().into(),
    }
}

/// A pattern that is matched from one place on, byte by byte, and says at once when it cannot
/// match any more.
pub(super) struct Shape(dense::DFA<Vec<u32>>);

impl Shape {
    pub(super) fn new(pattern: &str) -> Self {
        let dfa = dense::Builder::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(regex_automata::nfa::thompson::Config::new().utf8(false))
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(MatchKind::All)
                    .dfa_size_limit(Some(PATTERN_BYTES_MAX))
                    .determinize_size_limit(Some(4 * PATTERN_BYTES_MAX)),
            )
            .build(pattern)
            .expect("the built-in patterns are compiled by a test");
        Self(dfa)
    }

    /// The end of the longest match that starts with `lead` and goes on `from` bytes behind the
    /// spot.
    pub(super) fn longest(&self, spot: &Spot<'_>, lead: &[u8], from: usize) -> Option<usize> {
        let mut state = self.0.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        for byte in lead {
            state = self.0.next_state(state, *byte);
        }
        let mut end = None;
        let mut at = from;
        // A match is reported one byte late.
        while let Some(byte) = spot.byte(at) {
            state = self.0.next_state(state, byte);
            if self.0.is_special_state(state) {
                if self.0.is_dead_state(state) || self.0.is_quit_state(state) {
                    return end;
                }
                if self.0.is_match_state(state) {
                    end = Some(at);
                }
            }
            at += 1;
        }
        if self.0.is_match_state(self.0.next_eoi_state(state)) {
            end = Some(at);
        }
        end
    }
}

/// Bits per character of `text`.
pub(super) fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let len = text.len() as f64;
    counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / len).map(|p| -p * p.log2()).sum()
}

/// Whether `text` stands where a secret will once be, or is one with its characters blotted out.
pub(super) fn is_placeholder(text: &str, words: &aho_corasick::AhoCorasick) -> bool {
    // Repeats: `xxxxx`, `*****`, `00000`. Dashes frame a key, and `=` fills one up.
    const REPEAT_MIN: usize = 5;
    let bytes = text.as_bytes();
    if bytes.len() > 1 && bytes.iter().all(|b| *b == bytes[0]) {
        return true;
    }
    // In a long random value, four letters make a word by chance, and zeros in Base64 are a row of `A`.
    let long = bytes.len() > 64;
    let counts = |b: u8| !(b"-=".contains(&b) || long && b == b'A');
    let repeats = bytes.windows(REPEAT_MIN).any(|window| counts(window[0]) && window.iter().all(|b| *b == window[0]));
    repeats || words.find_iter(text).any(|word| !long || word.len() > 5)
}

/// Whether a value says where the secret is rather than what it is.
pub(super) fn refers(value: &str) -> bool {
    let marks = ["${", "$(", "{{", "{", "<", "%(", "[", "(", "*", "@", "$env", "..."];
    let variable = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    marks.iter().any(|mark| value.starts_with(mark))
        || value.strip_prefix('$').is_some_and(variable)
        || value.strip_prefix('%').is_some_and(|rest| rest == "s" || rest.strip_suffix('%').is_some_and(variable))
        || value.contains("](")
        || value.ends_with("(")
        || value.ends_with("()")
        || value.contains("['")
        || value.contains("[\"")
        || (value.contains('(') && value.ends_with(')'))
        || value.contains("://")
}

/// The words of a list as an automaton for either case.
pub(super) fn word_set(words: &[String]) -> aho_corasick::AhoCorasick {
    aho_corasick::AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(words)
        .expect("a few dozen words fit an automaton")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_compile() {
        let rules = SecretRules::built_in();
        for pattern in rules.vendor.iter().map(|v| &v.pattern).chain(rules.keyed.iter().map(|k| &k.pattern)) {
            Shape::new(pattern);
        }
        for vendor in &rules.vendor {
            assert!(vendor.id.starts_with("secret."), "{}", vendor.id);
            assert!(vendor.severity.as_deref().is_none_or(|name| Severity::ALL.iter().any(|s| s.name() == name)));
        }
    }

    #[test]
    fn entropy_tells_random_from_repeated() {
        assert!(entropy("aaaaaaaa") < 0.1);
        assert!(entropy("kR1tm3NKAK1uw3mjbP4K") > 3.5);
    }
}
