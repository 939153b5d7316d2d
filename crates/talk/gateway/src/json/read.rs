//! The reader: one pass, nothing looked at twice.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{BadJson, Bounds, DEPTH_CEILING, Node};

/// Longer numbers than this are somebody's text. The longest double needs 24 characters, a 256-bit
/// integer 78.
const NUMBER_BYTES_MAX: usize = 128;

/// How far a string is read byte by byte before the search for its end.
const NEAR_BYTES: usize = 24;

/// From this many keys on duplicates are looked for by hash.
const KEYS_COMPARED_ONE_BY_ONE: usize = 12;

/// A place in a text, and what was built so far.
pub(super) struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    depth_max: usize,
    values: usize,
    values_max: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, bounds: Bounds) -> Self {
        let depth_max = bounds.depth.min(DEPTH_CEILING);
        Self { text, bytes: text.as_bytes(), at: 0, depth: 0, depth_max, values: 0, values_max: bounds.values }
    }

    /// The one value that the text is.
    pub(super) fn whole(mut self) -> Result<Node<'a>, BadJson> {
        self.skip_space();
        let value = self.value()?;
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err(BadJson::TrailingData { at: self.at });
        }
        Ok(value)
    }

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
