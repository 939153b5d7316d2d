//! Model names with `*` for any run of characters.

use std::fmt;
use std::str::FromStr;

/// Longer patterns are nobody's model name.
const PATTERN_BYTES_MAX: usize = 128;

/// A model name in which `*` stands for any run of characters, none included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(String);

/// A pattern that no model name could match.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{given}` is not a model pattern; use letters, digits, `._:/@+-` and `*`, at most {PATTERN_BYTES_MAX} of them"
)]
pub struct BadPattern {
    given: String,
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(s: &str) -> Result<Self, BadPattern> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/@+-*".contains(&b);
        (!s.is_empty() && s.len() <= PATTERN_BYTES_MAX && s.bytes().all(plain))
            .then(|| Self(s.to_owned()))
            .ok_or_else(|| BadPattern { given: s.chars().take(64).collect() })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// The pattern that every name matches.
    #[must_use]
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Whether the pattern names one model exactly.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `name` matches. Case counts. Linear in both lengths: each part between stars is
    /// taken at its first occurrence, which is never wrong for `*`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(mut left) = name.strip_prefix(first) else { return false };
        let Some((middle, last)) = rest.rsplit_once('*') else {
            return left.ends_with(rest);
        };
        for part in middle.split('*') {
            let Some(at) = left.find(part) else { return false };
            left = &left[at + part.len()..];
        }
        left.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_run() {
        let matches = |pattern: &str, name: &str| pattern.parse::<Pattern>().unwrap().matches(name);
        for (pattern, name) in [
            ("gpt-4o", "gpt-4o"),
            ("*", ""),
            ("*", "anything"),
            ("gpt-*", "gpt-"),
            ("gpt-*", "gpt-4o-mini"),
            ("*-mini", "gpt-4o-mini"),
            ("g*4*i", "gpt-4o-mini"),
            ("a*b*b", "abb"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("gpt-4o", "gpt-4o-mini"), ("gpt-*", "GPT-4"), ("a*a", "a"), ("a*b*b", "ab"), ("*x", "xy")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_no_name_could_match_is_refused() {
        for bad in ["", "gpt 4", "gpt\n", "نموذج"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
