//! Passwords and tokens of no vendor: a keyword, something that assigns, and a value that nobody
//! would say aloud.
//!
//! What a value must be depends on the keyword. A password counts with letters and digits; a token
//! must be longer and look random. Values that say where the secret comes from (`${TOKEN}`,
//! `os.environ[...]`) or that it is none (`changeme`, `<redacted>`) do not count.
//!
//! Known miss: a password of letters only.

use aho_corasick::AhoCorasick;
use haris_domain::{DetectionKind, Rule};

use super::secret_rules::{SecretRules, entropy, face, is_placeholder, word_set};
use super::{Detector, Trigger};
use crate::spot::{Found, Spot};
use crate::view::folded;

/// The longest value; what is longer is cut.
const VALUE_MAX: usize = 256;

/// Between keyword and value: quotes, spaces, `:`, `=`, ` is `.
const JOINT_MAX: usize = 12;

const PASSWORD_MIN: usize = 6;
const TOKEN_MIN: usize = 16;
const TOKEN_ENTROPY_MIN: f64 = 3.2;

/// What assigns in words.
const IS: &[&str] = &["is", "was", "are", "هي", "هو", "=>", ":="];

pub(super) struct KeywordSecret {
    passwords: usize,
    words: Vec<String>,
    placeholders: AhoCorasick,
}

impl KeywordSecret {
    pub(super) fn new() -> Self {
        let keywords = SecretRules::built_in().keywords;
        let words = keywords.password.iter().chain(&keywords.token).map(|word| folded(word)).collect();
        Self { passwords: keywords.password.len(), words, placeholders: word_set(&keywords.placeholders) }
    }
}

impl Detector for KeywordSecret {
    fn rules(&self) -> Vec<Rule> {
        vec![
            face("secret.password", "Password in clear text", None),
            face("secret.generic-token", "Token or key of an unknown vendor", None),
        ]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Literals(self.words.clone())
    }

    fn reach(&self) -> usize {
        self.words.iter().map(String::len).max().unwrap_or(0) + JOINT_MAX + VALUE_MAX
    }

    fn rank(&self) -> u8 {
        88
    }

    fn look(&self, spot: &Spot<'_>) -> Option<Found> {
        let word = &self.words[spot.literal];
        let password = spot.literal < self.passwords;
        if !spot.before().ends_with('_') && word.is_ascii() && spot.joined_before() {
            return None;
        }
        let joint = Joint::read(spot, word.len())?;
        let end = value_end(spot, &joint);
        let value = spot.slice(joint.end, end).trim_end_matches(['.', ',', ';', ':', ')', ']', '}', '?']);
        // `password: Souq@71!`: an exclamation mark is as likely the password's as the sentence's.
        if value.is_empty() || refers(value) || is_placeholder(value, &self.placeholders) {
            return None;
        }
        let weak = matches!(word.as_str(), "bearer" | "basic") || joint.said;
        let plausible = if password { is_password(value, joint.said) } else { is_token(value, weak) };
        if !plausible {
            return None;
        }
        let (rule, score, why) = if password {
            (0, 900_000, "a word that says password, and a value of mixed characters")
        } else {
            (1, 850_000, "a word that says token or key, and a long random value")
        };
        let end = joint.end + value.len();
        Some(Found { start: joint.end as isize, end, rule, kind: DetectionKind::Secret, score, why })
    }
}

/// What stands between keyword and value.
struct Joint {
    end: usize,
    quote: Option<u8>,
    /// Assigned in words rather than by a sign.
    said: bool,
}

impl Joint {
    fn read(spot: &Spot<'_>, word_end: usize) -> Option<Self> {
        let limit = word_end + JOINT_MAX;
        let spaces = |mut at: usize| {
            while at < limit && matches!(spot.byte(at), Some(b' ' | b'\t')) {
                at += 1;
            }
            at
        };
        let mut at = word_end;
        // `"password": "…"` and `password]`.
        while at < limit && matches!(spot.byte(at), Some(b'"' | b'\'' | b'`' | b']' | b')' | b'*')) {
            at += 1;
        }
        let after_word = at;
        at = spaces(at);
        let (sign_end, said) = match spot.byte(at)? {
            b':' | b'=' => {
                let mut end = at + 1;
                while end < limit && matches!(spot.byte(end), Some(b'=' | b'>' | b':' | b'*')) {
                    end += 1;
                }
                (end, false)
            }
            b'>' => (at + 1, false),
            _ => {
                let is = IS.iter().find(|is| starts_with(spot, at, is) && spot.byte(at + is.len()) == Some(b' '));
                match is {
                    Some(is) => (at + is.len(), true),
                    // `Bearer abc`: a space is enough.
                    None if at > after_word => (at, true),
                    None => return None,
                }
            }
        };
        at = spaces(sign_end);
        let quote = spot.byte(at).filter(|b| matches!(b, b'"' | b'\'' | b'`'));
        Some(Self { end: at + usize::from(quote.is_some()), quote, said })
    }
}

fn starts_with(spot: &Spot<'_>, at: usize, word: &str) -> bool {
    word.bytes()
        .enumerate()
        .all(|(offset, b)| spot.byte(at + offset).is_some_and(|other| other.eq_ignore_ascii_case(&b)))
}

/// A quoted value ends at its quote, another at a space or at what ends a value in JSON, XML,
/// shells and addresses.
fn value_end(spot: &Spot<'_>, joint: &Joint) -> usize {
    let mut at = joint.end;
    while at < joint.end + VALUE_MAX {
        let Some(byte) = spot.byte(at) else { break };
        let ends = match joint.quote {
            Some(quote) => byte == quote || byte == b'\n',
            None => byte.is_ascii_whitespace() || b"\"'`<>,;&".contains(&byte) || !byte.is_ascii(),
        };
        if ends {
            break;
        }
        at += 1;
    }
    at
}

/// Whether a value says where the secret is rather than what it is.
fn refers(value: &str) -> bool {
    let marks = ["${", "$(", "{{", "{", "<", "%(", "[", "(", "*", "@", "$env", "..."];
    marks.iter().any(|mark| value.starts_with(mark))
        || value.contains("](")
        || value.ends_with("()")
        || value.contains("['")
        || value.contains("[\"")
        || (value.contains('(') && value.ends_with(')'))
        || value.contains("://")
}

fn is_password(value: &str, said: bool) -> bool {
    let has = |class: fn(&u8) -> bool| value.bytes().any(|b| class(&b));
    let letter = has(u8::is_ascii_alphabetic);
    let digit = has(u8::is_ascii_digit);
    let symbol = has(u8::is_ascii_punctuation);
    let lower_and_upper = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    // Said in a sentence, what follows is mostly prose: `the password is case-sensitive`.
    let classes = usize::from(digit) + usize::from(symbol) + usize::from(lower_and_upper);
    let mixed = letter && digit && (!said || classes >= 2) || (!said && letter && symbol && lower_and_upper);
    value.len() >= PASSWORD_MIN && value.is_ascii() && mixed && !value.contains(' ')
}

fn is_token(value: &str, weak: bool) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"_-+/=.~:%".contains(&b);
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let min = if weak { TOKEN_MIN + 4 } else { TOKEN_MIN };
    value.len() >= min && value.bytes().all(token) && digits >= 2 && letters >= 2 && entropy(value) >= TOKEN_ENTROPY_MIN
}
