//! A strict JSON reader (RFC 8259) that keeps what it read.
//!
//! Two parsers that read one text differently are a way around every inspection: the gateway sees
//! the first of two equal keys, the model's server the second. So whatever parsers are known to
//! disagree about is refused here (duplicate keys, lone surrogates, invalid UTF-8, trailing data,
//! byte order marks), and only [`write`]'s output ever travels on.
//!
//! Numbers stay the text they were: no digit of `0.1` or of a 30-digit integer is lost. Strings
//! without escapes and numbers borrow from the body, so an ordinary prompt is parsed with a handful
//! of allocations.

mod read;
mod write;

use std::borrow::Cow;

use read::Reader;
pub use write::{write, write_string};

/// A JSON value. Objects keep their order and hold each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it was written.
    Number(Cow<'a, str>),
    /// A non-empty array of nothing but numbers, brackets included, as it was written: embeddings
    /// and token lists, which would otherwise cost a node for each number.
    Numbers(Cow<'a, str>),
    /// A string.
    String(Cow<'a, str>),
    /// Any other array.
    Array(Vec<Self>),
    /// An object.
    Object(Vec<(Cow<'a, str>, Self)>),
}

/// What a reader is willing to build.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Arrays and objects inside each other; never more than [`DEPTH_CEILING`].
    pub depth: usize,
    /// Values in the whole text.
    pub values: usize,
}

/// The reader recurses; this keeps it far from the end of any thread's stack.
pub const DEPTH_CEILING: usize = 128;

/// Why a text was refused. Positions are bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadJson {
    /// Not UTF-8.
    #[error("invalid UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Where.
        at: usize,
    },
    /// Not JSON.
    #[error("malformed JSON at byte {at}")]
    Malformed {
        /// Where.
        at: usize,
    },
    /// One object has one key twice.
    #[error("a key occurs twice in one object, at byte {at}")]
    DuplicateKey {
        /// Behind the second one.
        at: usize,
    },
    /// Half of a surrogate pair: no character, and every parser reads it differently.
    #[error("a lone surrogate in a string, at byte {at}")]
    LoneSurrogate {
        /// Where.
        at: usize,
    },
    /// A second value behind the first.
    #[error("data after the end of the JSON value, at byte {at}")]
    TrailingData {
        /// Where.
        at: usize,
    },
    /// Nested deeper than allowed.
    #[error("nested deeper than {max} levels, at byte {at}")]
    TooDeep {
        /// Where.
        at: usize,
        /// The bound.
        max: usize,
    },
    /// More values than allowed.
    #[error("more than {max} values")]
    TooManyValues {
        /// The bound.
        max: usize,
    },
}

impl BadJson {
    /// A stable code for records and error bodies.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidUtf8 { .. } => "invalid-utf8",
            Self::Malformed { .. } => "malformed-json",
            Self::DuplicateKey { .. } => "duplicate-key",
            Self::LoneSurrogate { .. } => "lone-surrogate",
            Self::TrailingData { .. } => "trailing-data",
            Self::TooDeep { .. } => "too-deep",
            Self::TooManyValues { .. } => "too-many-values",
        }
    }
}

impl<'a> Node<'a> {
    /// The member of that name, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The member of that name, for changing it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Object(members) => members.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is a whole one in range.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The items of an array that was not one of numbers.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// The members of an object.
    #[must_use]
    pub fn members(&self) -> &[(Cow<'a, str>, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The same value without ties to the text it was read from.
    #[must_use]
    pub fn into_owned(self) -> Node<'static> {
        fn keep(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        match self {
            Self::Null => Node::Null,
            Self::Bool(value) => Node::Bool(value),
            Self::Number(digits) => Node::Number(keep(digits)),
            Self::Numbers(digits) => Node::Numbers(keep(digits)),
            Self::String(text) => Node::String(keep(text)),
            Self::Array(items) => Node::Array(items.into_iter().map(Self::into_owned).collect()),
            Self::Object(members) => {
                Node::Object(members.into_iter().map(|(key, value)| (keep(key), value.into_owned())).collect())
            }
        }
    }

    /// A string node.
    #[must_use]
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::String(text.into())
    }

    /// Compact JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        write(self, &mut out);
        out
    }
}

/// Reads one JSON text.
///
/// # Errors
/// When it is not JSON, when parsers are known to disagree about it, or when it exceeds `bounds`.
pub fn parse(bytes: &[u8], bounds: Bounds) -> Result<Node<'_>, BadJson> {
    let text = std::str::from_utf8(bytes).map_err(|bad| BadJson::InvalidUtf8 { at: bad.valid_up_to() })?;
    Reader::new(text, bounds).whole()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { depth: 8, values: 1000 };

    #[track_caller]
    fn again(text: &str) -> String {
        String::from_utf8(parse(text.as_bytes(), BOUNDS).unwrap().to_json()).unwrap()
    }

    #[test]
    fn values_come_out_as_they_went_in() {
        for text in [
            "null",
            "true",
            "-0",
            "0.1",
            "1e400",
            "123456789012345678901234567890.000",
            "[]",
            "{}",
            "[1,-2.5e-3,0]",
            "[1,\"a\"]",
            "{\"a\":[{}],\"b\":\"\u{e9}\"}",
            "\"\\u0000\\u001f\\n\\\"\\\\\"",
        ] {
            assert_eq!(again(text), text);
        }
        assert_eq!(again(" { \"a\" : [ 1 , 2 ] } "), "{\"a\":[ 1 , 2 ]}");
        assert_eq!(again("\"\\u0041\\ud83d\\ude00\\/\""), "\"A😀/\"");
    }

    #[test]
    fn what_parsers_disagree_about_is_refused() {
        let check = |bytes: &[u8], reason: &str| {
            assert_eq!(parse(bytes, BOUNDS).unwrap_err().reason(), reason, "{}", String::from_utf8_lossy(bytes));
        };
        check(b"{\"a\":1,\"a\":2}", "duplicate-key");
        check(b"{\"x\":[{\"a\":1,\"\\u0061\":2}]}", "duplicate-key");
        check(b"\"\\ud800\"", "lone-surrogate");
        check(b"\"\\ud800\\u0041\"", "lone-surrogate");
        check(b"\"\\udc00\"", "lone-surrogate");
        check(b"\"\xff\"", "invalid-utf8");
        check(b"\"\xed\xa0\x80\"", "invalid-utf8");
        check(b"{} {}", "trailing-data");
        check(b"1\0", "trailing-data");
        check(b"01", "trailing-data");
        check(b"[[[[[[[[[1]]]]]]]]]", "too-deep");
        for bad in [
            &b""[..],
            b" ",
            b"\xef\xbb\xbf{}",
            b"{",
            b"[1,]",
            b"[,1]",
            b"{\"a\":1,}",
            b"{a:1}",
            b"'a'",
            b"+1",
            b"1.",
            b".5",
            b"1e",
            b"-",
            b"NaN",
            b"Infinity",
            b"\"\n\"",
            b"\"\\x\"",
            b"\"\\u12\"",
            b"\"a",
            b"tru",
            b"[1 2]",
            b"{\"a\" 1}",
            b"/**/1",
        ] {
            check(bad, "malformed-json");
        }
        check(format!("[{}]", vec!["{}"; 1001].join(",")).as_bytes(), "too-many-values");
        check("9".repeat(129).as_bytes(), "malformed-json");
    }

    #[test]
    fn many_keys_are_compared_too() {
        let keys: Vec<_> = (0..40).map(|n| format!("\"k{n}\":0")).collect();
        assert!(parse(format!("{{{}}}", keys.join(",")).as_bytes(), BOUNDS).is_ok());
        let twice = format!("{{{},\"k3\":1}}", keys.join(","));
        assert_eq!(parse(twice.as_bytes(), BOUNDS).unwrap_err().reason(), "duplicate-key");
    }

    proptest! {
        #[test]
        fn no_input_panics_and_what_is_read_is_read_again_alike(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(node) = parse(&bytes, BOUNDS) {
                let written = node.to_json();
                prop_assert_eq!(&parse(&written, BOUNDS).unwrap(), &node);
            }
        }

        #[test]
        fn serde_reads_the_same(value in json_value()) {
            let text = value.to_string();
            let node = parse(text.as_bytes(), Bounds { depth: 64, values: 100_000 }).unwrap();
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&node.to_json()).unwrap(), value);
        }
    }

    fn json_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
