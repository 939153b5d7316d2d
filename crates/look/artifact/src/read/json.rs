//! JSON as Python's `json` takes it: NaN and Infinity are numbers, of two equal keys both are kept.
//!
//! Model files hold JSON of hundreds of megabytes whose bulk is numbers, so long runs of numbers are
//! read and not kept, and what is kept is counted.

use crate::source::{Source, Tape};
use crate::unread::Unread;
use crate::{Budget, Limit};

/// Python's own `json` recurses out at about a thousand; no model's configuration comes near this.
const DEPTH_MAX: usize = 200;
/// Some 100 MB at worst, 250,000 entries of a tokenizer's vocabulary included.
const NODES_MAX: usize = 1_500_000;
/// Weights in base64 and embedded models are long strings; a longer one is kept in part.
const TEXT_BYTES_MAX: usize = 8 << 20;
/// All strings together.
const TEXTS_BYTES_MAX: usize = 96 << 20;
/// Numbers of one list that are kept.
const NUMBERS_KEPT: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written.
    Number(String),
    /// A string, escapes undone.
    Text(String),
    /// An array. Runs of numbers are cut.
    List(Vec<Json>),
    /// An object in its written order, doubles included.
    Map(Vec<(String, Json)>),
}

impl Json {
    /// The member of that name; of several the last, as Python takes it.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Map(pairs) => pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// All members of that name.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Json> {
        self.pairs().iter().filter(move |(name, _)| name == key).map(|(_, value)| value)
    }

    /// The string.
    #[must_use]
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The elements; none of what is no array.
    #[must_use]
    pub(crate) fn list(&self) -> &[Json] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// The members; none of what is no object.
    #[must_use]
    pub(crate) fn pairs(&self) -> &[(String, Json)] {
        if let Self::Map(pairs) = self { pairs } else { &[] }
    }

    /// Whether all these members are there.
    #[must_use]
    pub(crate) fn has(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| self.get(key).is_some())
    }

    /// The string of the member of that name.
    #[must_use]
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::text)
    }

    /// Every value below and this one, parents first, each with its path (`layers[0].config`).
    #[must_use]
    pub(crate) fn walk(&self) -> Vec<(String, &Json)> {
        let mut out = Vec::new();
        let mut open = vec![(String::new(), self)];
        while let Some((path, value)) = open.pop() {
            match value {
                Self::List(items) => {
                    for (index, item) in items.iter().enumerate().rev() {
                        if matches!(item, Self::Number(_) | Self::Null | Self::Bool(_)) {
                            continue;
                        }
                        open.push((format!("{path}[{index}]"), item));
                    }
                }
                Self::Map(pairs) => {
                    for (key, item) in pairs.iter().rev() {
                        let short: String = key.chars().take(60).collect();
                        let dot = if path.is_empty() { "" } else { "." };
                        // Paths of hostile depth stay short.
                        let path = if path.len() > 300 { "…" } else { path.as_str() };
                        open.push((format!("{path}{dot}{short}"), item));
                    }
                }
                _ => {}
            }
            out.push((path, value));
        }
        out
    }
}

/// A document and how far it was read.
#[derive(Debug)]
pub(crate) struct Document {
    /// The value.
    pub(crate) value: Json,
    /// Where the value ends: bytes behind it belong to nobody.
    pub(crate) end: u64,
    /// A key stood twice in one object: readers differ on which counts.
    pub(crate) doubles: Vec<String>,
    /// More values than are kept.
    pub(crate) cut: bool,
}

/// Whether the bytes begin as a JSON object does: `{` and then a key or `}`.
#[must_use]
pub(crate) fn begins_object(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let mut rest = head.iter().filter(|byte| !byte.is_ascii_whitespace());
    rest.next() == Some(&b'{') && matches!(rest.next(), Some(b'"' | b'}'))
}

/// Whether the bytes begin as a JSON array does.
#[must_use]
pub(crate) fn begins_list(head: &[u8]) -> bool {
    let mut rest = head.iter().filter(|byte| !byte.is_ascii_whitespace());
    rest.next() == Some(&b'[') && matches!(rest.next(), Some(b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9'))
}

/// Reads one document from the beginning of `source`.
///
/// # Errors
/// When it is no JSON, or deeper than any reader goes.
pub(crate) fn read(source: &Source, budget: &Budget) -> Result<Document, Unread> {
    Documents::new(source, budget)?.next()?.ok_or_else(|| Unread::malformed("JSON value", 0))
}

/// Documents one after the other, as JSON Lines has them.
pub(crate) struct Documents<'a>(Reader<'a>);

impl<'a> Documents<'a> {
    /// At the beginning of `source`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn new(source: &Source, budget: &'a Budget) -> Result<Self, Unread> {
        let tape = Tape::new(source.clone());
        let mut reader = Reader { tape, budget, nodes: 0, bytes: 0, doubles: Vec::new(), cut: false };
        if reader.peek()? == Some(0xef) {
            reader.tape.skip("byte order mark", 3)?;
        }
        Ok(Self(reader))
    }

    /// The next document; none when only blanks are left.
    ///
    /// # Errors
    /// As [`read`].
    pub(crate) fn next(&mut self) -> Result<Option<Document>, Unread> {
        if self.0.blanks()?.is_none() {
            return Ok(None);
        }
        self.0.nodes = 0;
        self.0.bytes = 0;
        let value = self.0.document()?;
        let end = self.0.tape.offset();
        let doubles = std::mem::take(&mut self.0.doubles);
        Ok(Some(Document { value, end, doubles, cut: std::mem::take(&mut self.0.cut) }))
    }
}

struct Reader<'a> {
    tape: Tape,
    budget: &'a Budget,
    nodes: usize,
    bytes: usize,
    doubles: Vec<String>,
    cut: bool,
}

/// A container being read.
enum Open {
    List { items: Vec<Json>, numbers: usize },
    Map { pairs: Vec<(String, Json)>, key: String },
}

impl Reader<'_> {
    fn peek(&mut self) -> Result<Option<u8>, Unread> {
        self.tape.fill(1)?;
        Ok(self.tape.buffered().first().copied())
    }

    fn bad(&self, what: &str) -> Unread {
        Unread::malformed(what, self.tape.offset())
    }

    fn blanks(&mut self) -> Result<Option<u8>, Unread> {
        loop {
            self.tape.fill(1)?;
            let buffered = self.tape.buffered();
            let blanks = buffered.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
            let found = buffered.get(blanks).copied();
            let empty = buffered.is_empty();
            self.tape.advance(blanks);
            if found.is_some() || empty {
                return Ok(found);
            }
        }
    }

    fn document(&mut self) -> Result<Json, Unread> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            // A value begins here, or a container ends.
            let first = self.blanks()?;
            let Some(first) = first else { return Err(self.bad("JSON value")) };
            let mut value = match first {
                b'{' => {
                    self.tape.advance(1);
                    if self.blanks()? == Some(b'}') {
                        self.tape.advance(1);
                        Json::Map(Vec::new())
                    } else {
                        if open.len() >= DEPTH_MAX {
                            return Err(Unread::Limit(Limit::Within("nesting in JSON")));
                        }
                        let key = self.key()?;
                        open.push(Open::Map { pairs: Vec::new(), key });
                        continue;
                    }
                }
                b'[' => {
                    self.tape.advance(1);
                    if self.blanks()? == Some(b']') {
                        self.tape.advance(1);
                        Json::List(Vec::new())
                    } else {
                        if open.len() >= DEPTH_MAX {
                            return Err(Unread::Limit(Limit::Within("nesting in JSON")));
                        }
                        open.push(Open::List { items: Vec::new(), numbers: 0 });
                        continue;
                    }
                }
                _ => self.scalar(first)?,
            };
            self.budget.steps(1)?;
            // The value is whole: into its container, and out of all that end here.
            loop {
                self.nodes += 1;
                let keep = self.nodes <= NODES_MAX;
                match open.last_mut() {
                    None => return Ok(value),
                    Some(Open::List { items, numbers }) => {
                        if matches!(value, Json::Number(_)) {
                            *numbers += 1;
                            if *numbers <= NUMBERS_KEPT {
                                items.push(value);
                            } else {
                                self.nodes -= 1;
                            }
                        } else if keep {
                            items.push(value);
                        }
                    }
                    Some(Open::Map { pairs, key }) => {
                        if keep {
                            pairs.push((std::mem::take(key), value));
                        }
                    }
                }
                self.cut |= !keep;
                let next = self.blanks()?;
                match (open.last_mut(), next) {
                    (Some(Open::List { .. }), Some(b',')) => {
                        self.tape.advance(1);
                        break;
                    }
                    (Some(Open::Map { .. }), Some(b',')) => {
                        self.tape.advance(1);
                        let next = self.key()?;
                        if let Some(Open::Map { key, .. }) = open.last_mut() {
                            *key = next;
                        }
                        break;
                    }
                    (Some(Open::List { .. }), Some(b']')) | (Some(Open::Map { .. }), Some(b'}')) => {
                        self.tape.advance(1);
                        value = match open.pop() {
                            Some(Open::List { items, .. }) => Json::List(items),
                            Some(Open::Map { pairs, .. }) => {
                                self.note_doubles(&pairs);
                                Json::Map(pairs)
                            }
                            None => return Err(self.bad("JSON")),
                        };
                    }
                    _ => return Err(self.bad("JSON separator")),
                }
            }
        }
    }

    fn note_doubles(&mut self, pairs: &[(String, Json)]) {
        if pairs.len() > 100_000 || self.doubles.len() > 20 {
            return;
        }
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let doubles = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned());
        self.doubles.extend(doubles.take(20));
    }

    fn key(&mut self) -> Result<String, Unread> {
        if self.blanks()? != Some(b'"') {
            return Err(self.bad("JSON key"));
        }
        self.tape.advance(1);
        let key = self.text()?;
        if self.blanks()? != Some(b':') {
            return Err(self.bad("JSON colon"));
        }
        self.tape.advance(1);
        Ok(key)
    }

    fn scalar(&mut self, first: u8) -> Result<Json, Unread> {
        if first == b'"' {
            self.tape.advance(1);
            return Ok(Json::Text(self.text()?));
        }
        self.tape.fill(64)?;
        let word: Vec<u8> = self
            .tape
            .buffered()
            .iter()
            .copied()
            .take(64)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
            .collect();
        self.tape.advance(word.len());
        match word.as_slice() {
            b"null" => Ok(Json::Null),
            b"true" => Ok(Json::Bool(true)),
            b"false" => Ok(Json::Bool(false)),
            b"NaN" | b"Infinity" | b"-Infinity" => Ok(Json::Number(String::from_utf8_lossy(&word).into_owned())),
            [b'-' | b'0'..=b'9', ..] => Ok(Json::Number(String::from_utf8_lossy(&word).into_owned())),
            _ => Err(self.bad("JSON value")),
        }
    }

    /// A string, its opening quote passed.
    fn text(&mut self) -> Result<String, Unread> {
        let mut out: Vec<u8> = Vec::new();
        loop {
            if self.tape.fill(1)? == 0 {
                return Err(self.bad("end of JSON string"));
            }
            let buffered = self.tape.buffered();
            let plain = buffered.iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count();
            if out.len() < TEXT_BYTES_MAX {
                out.extend_from_slice(&buffered[..plain]);
            } else {
                self.cut = true;
            }
            let stop = buffered.get(plain).copied();
            self.budget.steps(plain as u64 / 16)?;
            self.tape.advance(plain);
            match stop {
                Some(b'"') => {
                    self.tape.advance(1);
                    break;
                }
                Some(_) => self.escape(&mut out)?,
                None => {}
            }
        }
        self.bytes = self.bytes.saturating_add(out.len());
        if self.bytes > TEXTS_BYTES_MAX {
            self.cut = true;
            return Ok(String::new());
        }
        Ok(match String::from_utf8(out) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Unread> {
        self.tape.fill(12)?;
        let bytes: Vec<u8> = self.tape.buffered().iter().copied().take(12).collect();
        let plain = match bytes.get(1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(quoted @ (b'"' | b'\\' | b'/')) => *quoted,
            Some(b'u') => {
                let unit = |at: usize| {
                    let digits = std::str::from_utf8(bytes.get(at..at + 4)?).ok()?;
                    u16::from_str_radix(digits, 16).ok()
                };
                let Some(high) = unit(2) else { return Err(self.bad("escape in JSON string")) };
                let low = if bytes.get(6..8) == Some(b"\\u") { unit(8) } else { None };
                let pair = low.filter(|low| (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(low));
                let units = [high, pair.unwrap_or(0)];
                let used = if pair.is_some() { 2 } else { 1 };
                let text = String::from_utf16_lossy(&units[..used]);
                out.extend_from_slice(text.as_bytes());
                self.tape.advance(used * 6);
                return Ok(());
            }
            _ => return Err(self.bad("escape in JSON string")),
        };
        out.push(plain);
        self.tape.advance(2);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn parse(text: &str) -> Result<Document, Unread> {
        read(&Source::memory(text.as_bytes().to_vec()), &Budget::new(Limits::default()))
    }

    #[test]
    fn values_are_read_as_python_reads_them() {
        let text = r#" {"a": [1, -2.5e3, NaN, true, null, "x\u0041\ud83d\ude00\n"], "b": {}, "a": "second"} tail"#;
        let found = parse(text).unwrap();
        assert_eq!(found.value.get("a"), Some(&Json::Text("second".to_owned())));
        assert_eq!(found.value.all("a").count(), 2);
        assert_eq!(found.doubles, ["a"]);
        assert_eq!(found.end as usize, text.len() - 5);
        let first = found.value.all("a").next().unwrap().list();
        assert_eq!(first[5], Json::Text("xA😀\n".to_owned()));
    }

    #[test]
    fn long_runs_of_numbers_are_read_and_not_kept() {
        let text = format!("[{}0, \"end\"]", "1.5,".repeat(100_000));
        let found = parse(&text).unwrap();
        assert_eq!(found.value.list().len(), NUMBERS_KEPT + 1);
        assert!(!found.cut);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "{", "[1", "{\"a\" 1}", "{\"a\":}", "nul", "\"x", "\"\\q\"", "[1 2]", "{,}"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(matches!(parse(&"[".repeat(1000)), Err(Unread::Limit(_))));
    }
}
