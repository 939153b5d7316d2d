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

use std::borrow::Cow;
use std::collections::HashSet;

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

/// Longer numbers than this are somebody's text. The longest double needs 24 characters, a 256-bit
/// integer 78.
const NUMBER_BYTES_MAX: usize = 128;

/// How far a string is read byte by byte before the search for its end.
const NEAR_BYTES: usize = 24;

/// From this many keys on duplicates are looked for by hash.
const KEYS_COMPARED_ONE_BY_ONE: usize = 12;

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
    let depth_max = bounds.depth.min(DEPTH_CEILING);
    let mut reader = Reader { text, bytes, at: 0, depth: 0, depth_max, values: 0, values_max: bounds.values };
    reader.skip_space();
    let value = reader.value()?;
    reader.skip_space();
    if reader.at < bytes.len() {
        return Err(BadJson::TrailingData { at: reader.at });
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    depth_max: usize,
    values: usize,
    values_max: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn malformed<T>(&self) -> Result<T, BadJson> {
        Err(BadJson::Malformed { at: self.at })
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Node<'a>, BadJson> {
        self.values += 1;
        if self.values > self.values_max {
            return Err(BadJson::TooManyValues { max: self.values_max });
        }
        match self.peek() {
            Some(b'"') => Ok(Node::String(self.string()?)),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => Ok(Node::Number(Cow::Borrowed(self.number()?))),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => self.malformed(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Node<'a>, BadJson>) -> Result<Node<'a>, BadJson> {
        self.depth += 1;
        if self.depth > self.depth_max {
            return Err(BadJson::TooDeep { at: self.at, max: self.depth_max });
        }
        let node = read(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, BadJson> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.malformed();
        }
        self.at += word.len();
        Ok(node)
    }

    fn digits(&mut self) -> Result<(), BadJson> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from { self.malformed() } else { Ok(()) }
    }

    fn number(&mut self) -> Result<&'a str, BadJson> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.at - from > NUMBER_BYTES_MAX {
            return Err(BadJson::Malformed { at: from });
        }
        Ok(&self.text[from..self.at])
    }

    fn string(&mut self) -> Result<Cow<'a, str>, BadJson> {
        self.at += 1;
        let mut owned: Option<String> = None;
        loop {
            let rest = &self.bytes[self.at..];
            // Most strings are names and short words: for those a loop beats a vectorised search.
            let near = rest.iter().take(NEAR_BYTES).position(|byte| matches!(byte, b'"' | b'\\') || *byte < 0x20);
            let stop = match near {
                Some(stop) => stop,
                None => {
                    let far = rest.get(NEAR_BYTES..).unwrap_or_default();
                    let end = memchr::memchr2(b'"', b'\\', far).unwrap_or(far.len());
                    NEAR_BYTES + far[..end].iter().position(|byte| *byte < 0x20).unwrap_or(end)
                }
            };
            if !matches!(rest.get(stop), Some(b'"' | b'\\')) {
                self.at = (self.at + stop).min(self.bytes.len());
                return self.malformed();
            }
            let plain = &self.text[self.at..self.at + stop];
            let closing = rest[stop] == b'"';
            self.at += stop + 1;
            if closing {
                return Ok(match owned {
                    None => Cow::Borrowed(plain),
                    Some(mut text) => {
                        text.push_str(plain);
                        Cow::Owned(text)
                    }
                });
            }
            let text = owned.get_or_insert_with(String::new);
            text.push_str(plain);
            let escaped = self.escape()?;
            text.push(escaped);
        }
    }

    /// Behind a backslash.
    fn escape(&mut self) -> Result<char, BadJson> {
        let Some(kind) = self.peek() else { return self.malformed() };
        self.at += 1;
        Ok(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => {
                self.at -= 1;
                return self.malformed();
            }
        })
    }

    fn unicode_escape(&mut self) -> Result<char, BadJson> {
        let from = self.at - 2;
        let lone = BadJson::LoneSurrogate { at: from };
        let first = self.four_hex()?;
        let point = match first {
            0xD800..=0xDBFF => {
                if !self.bytes[self.at..].starts_with(b"\\u") {
                    return Err(lone);
                }
                self.at += 2;
                let second = self.four_hex()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(lone);
                }
                0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            _ => first,
        };
        char::from_u32(point).ok_or(lone)
    }

    fn four_hex(&mut self) -> Result<u32, BadJson> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.malformed();
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    fn array(&mut self) -> Result<Node<'a>, BadJson> {
        let from = self.at;
        if let Some(numbers) = self.numbers() {
            return Ok(Node::Numbers(Cow::Borrowed(numbers)));
        }
        self.at = from + 1;
        self.skip_space();
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Node::Array(items));
                }
                _ => return self.malformed(),
            }
            self.skip_space();
        }
    }

    /// A whole array of numbers, or nothing: the ordinary way then reads it again. Every number is
    /// read at most twice, however arrays are nested.
    fn numbers(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.at += 1;
        loop {
            self.skip_space();
            if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
                return None;
            }
            self.number().ok()?;
            self.skip_space();
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                b']' => return Some(&self.text[from..self.at]),
                _ => return None,
            }
        }
    }

    fn object(&mut self) -> Result<Node<'a>, BadJson> {
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Object(Vec::new()));
        }
        let mut members: Vec<(Cow<'a, str>, Node<'a>)> = Vec::with_capacity(6);
        let mut seen: HashSet<Cow<'a, str>> = HashSet::new();
        loop {
            if self.peek() != Some(b'"') {
                return self.malformed();
            }
            let key = self.string()?;
            let twice = if members.len() < KEYS_COMPARED_ONE_BY_ONE {
                members.iter().any(|(known, _)| *known == key)
            } else {
                if seen.is_empty() {
                    seen.extend(members.iter().map(|(known, _)| known.clone()));
                }
                !seen.insert(key.clone())
            };
            if twice {
                return Err(BadJson::DuplicateKey { at: self.at });
            }
            self.skip_space();
            if self.peek() != Some(b':') {
                return self.malformed();
            }
            self.at += 1;
            self.skip_space();
            let value = self.value()?;
            members.push((key, value));
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Node::Object(members));
                }
                _ => return self.malformed(),
            }
            self.skip_space();
        }
    }
}

/// Appends `node` as compact JSON.
pub fn write(node: &Node<'_>, out: &mut Vec<u8>) {
    match node {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Bool(true) => out.extend_from_slice(b"true"),
        Node::Bool(false) => out.extend_from_slice(b"false"),
        Node::Number(digits) | Node::Numbers(digits) => out.extend_from_slice(digits.as_bytes()),
        Node::String(text) => write_string(text, out),
        Node::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Node::Object(members) => {
            out.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends `text` as a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[done..index]);
        done = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
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
