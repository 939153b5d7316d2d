//! Passwords and tokens of no vendor: a keyword, something that assigns, and a value that nobody
//! would say aloud.
//!
//! What a value must be depends on the keyword. A password counts with letters and digits; a token
//! must be longer and look random. Values that say where the secret comes from (`${TOKEN}`,
//! `os.environ[...]`) or that it is none (`changeme`, `<redacted>`) do not count.
//!
//! In a connection string (`...;Password=tiger;`, `?user=u&password=p`) any value counts, and behind
//! `Basic` what decodes to a user and a password.
//!
//! Known miss: a password of letters only outside of one.

use aho_corasick::AhoCorasick;
use haris_domain::{DetectionKind, Rule};

use super::secret_rules::{SecretRules, entropy, face, is_placeholder, refers, word_set};
use super::{Detector, Trigger};
use crate::spot::{Found, Spot};
use crate::view::folded;

/// The longest value; what is longer is cut.
const VALUE_MAX: usize = 256;

/// Between keyword and value: quotes, spaces, `:`, `=`, ` is `.
const JOINT_MAX: usize = 12;

/// Before what assigns in words, more words: `password for the printer is`, `كلمة المرور الخاصة بي هي`.
const MORE_WORDS_MAX: usize = 4;
const MORE_WORDS_BYTES: usize = 40;

/// How far before the scheme the header stands: `Authorization: Bearer`.
const HEADER_BYTES: usize = 24;

/// The shortest `user:password` in Base64 that is looked at.
const BASIC_MIN: usize = 8;

const PASSWORD_MIN: usize = 6;
const TOKEN_MIN: usize = 16;
const TOKEN_ENTROPY_MIN: f64 = 3.2;

/// What assigns in words.
const IS: &[&str] = &["is", "was", "are", "to", "هي", "هو", "الي", "=>", ":="];

/// What may go on what assigns: `was reset to`.
const NOW: &[&str] = &[" now", " still", " currently", " reset to", " changed to", " set to", " updated to"];

/// What a password is said to be that is none: an algorithm, a format.
const TERMS: &[&str] = &[
    "base", "sha", "md5", "utf", "aes", "rsa", "oauth", "pbkdf", "argon", "bcrypt", "scrypt", "x509", "ipv", "iso",
    "pkcs", "section", "step", "chapter", "page", "figure", "table", "level", "rfc", "cve",
];

/// Other keys of a connection string.
const CONNECTION_KEYS: &[&str] = &[
    "server",
    "host",
    "data source",
    "user",
    "uid",
    "database",
    "initial catalog",
    "endpoint",
    "jdbc:",
    "://",
    "port",
];

/// Values in examples of connection strings.
const EXAMPLES: &[&str] =
    &["password", "passwd", "pwd", "pass", "secret", "string", "value", "true", "false", "nil", "required", "optional"];

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
            face("secret.basic-auth", "User and password of HTTP Basic authentication", None),
        ]
    }

    fn trigger(&self) -> Trigger {
        Trigger::Literals(self.words.clone())
    }

    fn reach(&self) -> usize {
        self.words.iter().map(String::len).max().unwrap_or(0) + 3 * JOINT_MAX + MORE_WORDS_BYTES + VALUE_MAX
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
        let joint = Joint::read(spot, word.len(), password)?;
        let end = value_end(spot, &joint);
        let value = spot.slice(joint.end, end).trim_end_matches(['.', ',', ';', ':', ')', ']', '}', '?']);
        // `password: Souq@71!`: an exclamation mark is as likely the password's as the sentence's.
        if value.is_empty() || refers(value) || is_placeholder(value, &self.placeholders) {
            return None;
        }
        let header = self.is_scheme(spot) && names_header(spot.before());
        let found = |rule, score, why| {
            let end = joint.end + value.len();
            Some(Found { start: joint.end as isize, end, rule, kind: DetectionKind::Secret, score, why })
        };
        if word == "basic" && (header || value.len() > BASIC_MIN) && self.is_basic(value) {
            return found(2, 970_000, "`Basic` and a user with a password in Base64");
        }
        let weak = (self.is_scheme(spot) && !header) || joint.said;
        let plausible = if password {
            is_password(value, &joint) || is_connection_string(spot, &joint, value)
        } else {
            is_token(value, weak && !header) || header && is_opaque(value)
        };
        if !plausible || !password && is_path(value) {
            return None;
        }
        if password {
            found(0, 900_000, "a word that says password, and a value of mixed characters")
        } else {
            found(1, 850_000, "a word that says token or key, and a long random value")
        }
    }
}

impl KeywordSecret {
    /// Whether the keyword is a scheme of HTTP authentication, which is also a word of English.
    fn is_scheme(&self, spot: &Spot<'_>) -> bool {
        matches!(self.words[spot.literal].as_str(), "bearer" | "basic")
    }

    /// Whether `value` is `user:password` in Base64 (RFC 7617).
    fn is_basic(&self, value: &str) -> bool {
        let Some(plain) = base64(value.trim_end_matches('=')) else { return false };
        let Ok(plain) = std::str::from_utf8(&plain) else { return false };
        let Some((_, password)) = plain.split_once(':') else { return false };
        value.len() >= BASIC_MIN
            && !password.is_empty()
            && !plain.contains(char::is_control)
            && !refers(password)
            && !is_placeholder(password, &self.placeholders)
    }
}

/// What a text in Base64 of either alphabet, without its padding, stands for.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    // A rest of one character is no byte, and the bits that are left over are none.
    (count < 6 && bits & ((1 << count) - 1) == 0).then_some(out)
}

/// Whether the header of HTTP that carries credentials is named right before.
fn names_header(before: &str) -> bool {
    let mut from = before.len().saturating_sub(HEADER_BYTES);
    while !before.is_char_boundary(from) {
        from += 1;
    }
    before[from..].to_ascii_lowercase().contains("authorization")
}

/// Whether the keyword stands in a list of `key=value` that says how to reach a server. There the
/// value is what is used, however weak.
fn is_connection_string(spot: &Spot<'_>, joint: &Joint, value: &str) -> bool {
    const WEAKEST: usize = 3;
    let before = spot.before().trim_end_matches(' ');
    let keys = || {
        let before = before.to_ascii_lowercase();
        CONNECTION_KEYS.iter().any(|key| before.contains(key))
    };
    joint.assigned
        && before.ends_with(['?', '&', ';'])
        && value.len() >= WEAKEST
        && value.is_ascii()
        && !EXAMPLES.iter().any(|example| example.eq_ignore_ascii_case(value))
        && keys()
}

/// A token behind the name of its header: shorter and less random than one that nothing announces.
fn is_opaque(value: &str) -> bool {
    const ENTROPY_MIN: f64 = 3.0;
    const BYTES_MIN: usize = 12;
    let has = |class: fn(&u8) -> bool| value.bytes().any(|b| class(&b));
    let mixed = has(u8::is_ascii_digit) || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let token = |b: u8| b.is_ascii_alphanumeric() || b"_-+/=.~:%|".contains(&b);
    value.len() >= BYTES_MIN && value.bytes().all(token) && mixed && entropy(value) >= ENTROPY_MIN
}

/// What stands between keyword and value.
struct Joint {
    end: usize,
    quote: Option<u8>,
    /// Assigned in words rather than by a sign.
    said: bool,
    /// Assigned by `=` alone.
    assigned: bool,
    /// With more words between.
    far: bool,
}

impl Joint {
    /// Reads what follows the keyword. `may_be_far`: other words may stand before what assigns.
    fn read(spot: &Spot<'_>, word_end: usize, may_be_far: bool) -> Option<Self> {
        let limit = word_end + JOINT_MAX;
        let mut at = word_end;
        // `"password": "…"` and `password]`.
        while at < limit && matches!(spot.byte(at), Some(b'"' | b'\'' | b'`' | b']' | b')' | b'*')) {
            at += 1;
        }
        let after_word = at;
        at = spaces(spot, at, limit);
        let (mut assigned, mut far) = (false, false);
        let (sign_end, said) = match spot.byte(at)? {
            sign @ (b':' | b'=') => {
                let mut end = at + 1;
                while end < limit && matches!(spot.byte(end), Some(b'=' | b'>' | b':' | b'*')) {
                    end += 1;
                }
                assigned = sign == b'=' && end == at + 1;
                (end, false)
            }
            b'>' => (at + 1, false),
            _ => match (is(spot, at), at > after_word) {
                (Some(end), _) => (end, true),
                // `Bearer abc`: a space is enough.
                (None, true) => {
                    let said = if may_be_far { far_is(spot, at) } else { None };
                    far = said.is_some();
                    (said.unwrap_or(at), true)
                }
                (None, false) => return None,
            },
        };
        // `is: `.
        let sign_end = sign_end + usize::from(said && sign_end > at && spot.byte(sign_end) == Some(b':'));
        at = spaces(spot, sign_end, sign_end + JOINT_MAX);
        let quote = spot.byte(at).filter(|b| matches!(b, b'"' | b'\'' | b'`'));
        Some(Self { end: at + usize::from(quote.is_some()), quote, said, assigned, far })
    }
}

fn spaces(spot: &Spot<'_>, mut at: usize, limit: usize) -> usize {
    while at < limit && matches!(spot.byte(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// The end of what assigns in words at `at`.
fn is(spot: &Spot<'_>, at: usize) -> Option<usize> {
    let ends = |end| matches!(spot.byte(end), Some(b' ' | b':'));
    let end = IS.iter().find(|is| starts_with(spot, at, is) && ends(at + is.len())).map(|is| at + is.len())?;
    let more = NOW.iter().find(|now| starts_with(spot, end, now) && ends(end + now.len()));
    Some(end + more.map_or(0, |now| now.len()))
}

/// The end of what assigns in words behind a few other words.
fn far_is(spot: &Spot<'_>, from: usize) -> Option<usize> {
    let mut at = from;
    for _ in 0..MORE_WORDS_MAX {
        let word = at;
        while spot.byte(at).is_some_and(|b| b.is_ascii_alphanumeric() || !b.is_ascii() || b == b'-' || b == b'\'') {
            at += 1;
            if at - from > MORE_WORDS_BYTES {
                return None;
            }
        }
        if at == word || spot.byte(at) != Some(b' ') {
            return None;
        }
        at += 1;
        if let Some(end) = is(spot, at) {
            return Some(end);
        }
    }
    None
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

/// Whether a password that is said in a sentence is a term or a measure: `sha256`, `12-character`.
fn is_term(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let measure = lower.trim_start_matches(|c: char| c.is_ascii_digit());
    let counted = measure.len() < lower.len() && measure.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    counted && value == lower || TERMS.iter().any(|term| lower.starts_with(term))
}

fn is_password(value: &str, joint: &Joint) -> bool {
    let has = |class: fn(&u8) -> bool| value.bytes().any(|b| class(&b));
    let letter = has(u8::is_ascii_alphabetic);
    let digit = has(u8::is_ascii_digit);
    let symbol = has(u8::is_ascii_punctuation);
    let lower_and_upper = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    // Said in a sentence, what follows is mostly prose: `the password is case-sensitive`.
    let classes = usize::from(digit) + usize::from(symbol) + usize::from(lower_and_upper);
    let mixed = match (joint.said, joint.far) {
        (false, _) => letter && digit || letter && symbol && lower_and_upper,
        (true, false) => letter && digit && !is_term(value),
        (true, true) => letter && digit && classes >= 2 && !is_term(value),
    };
    value.len() >= PASSWORD_MIN
        && value.is_ascii()
        && mixed
        && !value.contains(' ')
        && !(joint.said && value.contains('='))
        && (joint.quote.is_some() || !is_path(value))
}

/// Whether a value names a member of something in a program: `config.db.password2`.
fn is_path(value: &str) -> bool {
    let name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let keyed = value.to_ascii_lowercase();
    let keyed = ["pass", "pwd", "secret", "token", "key", "cred", "config", "settings", "env"]
        .iter()
        .any(|word| keyed.contains(word));
    keyed && value.contains('.') && value.split('.').all(name)
}

fn is_token(value: &str, weak: bool) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"_-+/=.~:%".contains(&b);
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let min = if weak { TOKEN_MIN + 4 } else { TOKEN_MIN };
    value.len() >= min && value.bytes().all(token) && digits >= 2 && letters >= 2 && entropy(value) >= TOKEN_ENTROPY_MIN
}
