//! One JSON object a line in, one a line out.
//!
//! A malformed line is reported and answered with an error, and the lines after it are processed:
//! a batch of a million texts is not lost to one. JSON allows half a surrogate pair in a string and
//! Rust does not: each counts as U+FFFD and is a finding, because readers disagree on what it says.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use haris_domain::Context;
use serde::de::{Deserialize, Deserializer, IgnoredAny, Visitor};

use super::{Inspector, Outcome, SCHEMA, complain, encoding, show};

/// A longer line is refused: one text of 16 MiB is a file, and memory is ours.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Inspects every line of `input`.
pub(super) fn run(
    inspector: &Inspector,
    default: Context,
    path: &Path,
    input: Box<dyn Read>,
    out: &mut dyn Write,
    outcome: &mut Outcome,
) -> io::Result<()> {
    let input = match encoding::lines(input) {
        Ok(input) => input,
        Err(error) => {
            complain(&format!("could not read `{}`: {error}", path.display()));
            outcome.unreadable = true;
            return Ok(());
        }
    };
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let mut line = Vec::new();
    for number in 1_u64.. {
        let fits = match read_line(&mut input, &mut line) {
            Ok(None) => break,
            Ok(Some(fits)) => fits,
            Err(error) => {
                complain(&format!("could not read `{}`: {error}", path.display()));
                outcome.unreadable = true;
                break;
            }
        };
        if fits && line.trim_ascii().is_empty() {
            continue;
        }
        let request = if fits { Request::parse(&line, default) } else { Err(BadLine::TooLong) };
        match request {
            Ok(request) => {
                let report = inspector.look(&request.text, request.context);
                outcome.found |= inspector.fails(&report) || !request.lone_surrogates.is_empty();
                let answer = show::json(inspector, request.id, &request.text, &report, &request.lone_surrogates);
                out.write_all(answer.as_bytes())?;
            }
            Err(bad) => {
                complain(&format!("`{}`, line {number}: {bad}", path.display()));
                outcome.unreadable = true;
                let error = serde_json::json!({"schema": SCHEMA, "id": null, "line": number, "error": bad.to_string()});
                writeln!(out, "{error}")?;
            }
        }
        // Whoever feeds us line by line waits for each answer.
        if input.buffer().is_empty() {
            out.flush()?;
        }
    }
    Ok(())
}

/// Reads one line without its end: `None` behind the last, `false` when it was too long to keep.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let limit = LINE_BYTES_MAX as u64 + 1;
    if input.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() || line.len() <= LINE_BYTES_MAX {
        return Ok(Some(true));
    }
    line.clear();
    loop {
        let buffer = input.fill_buf()?;
        let end = memchr(buffer);
        let (used, done) = end.map_or((buffer.len(), buffer.is_empty()), |end| (end + 1, true));
        input.consume(used);
        if done {
            return Ok(Some(false));
        }
    }
}

fn memchr(buffer: &[u8]) -> Option<usize> {
    buffer.iter().position(|byte| *byte == b'\n')
}

/// Why a line was not inspected. User input is not quoted: it may be secret.
#[derive(Debug, thiserror::Error)]
enum BadLine {
    #[error("longer than {LINE_BYTES_MAX} bytes; split the text")]
    TooLong,
    #[error("not UTF-8; encode the line as UTF-8")]
    NotUtf8,
    #[error("not JSON from column {} on", .0.column())]
    NotJson(serde_json::Error),
    #[error("not a JSON object; write {{\"id\":1,\"text\":\"…\"}}")]
    NotAnObject,
    #[error("`{0}` is given twice")]
    Twice(&'static str),
    #[error("`text` is missing or not a string")]
    NoText,
    #[error("`id` is not a string, number, true, false or null")]
    BadId,
    #[error("`context` is not user, document, tool or output")]
    BadContext,
}

/// One line, read.
#[derive(Debug)]
struct Request<'a> {
    /// As it was written, so that a number keeps its digits.
    id: &'a str,
    text: String,
    context: Context,
    /// Where halves of surrogate pairs stood, in code points of `text`.
    lone_surrogates: Vec<usize>,
}

impl<'a> Request<'a> {
    fn parse(line: &'a [u8], default: Context) -> Result<Self, BadLine> {
        let line = std::str::from_utf8(line).map_err(|_| BadLine::NotUtf8)?.trim();
        serde_json::from_str::<IgnoredAny>(line).map_err(BadLine::NotJson)?;
        let (mut id, mut text, mut context) = (None, None, None);
        for (key, value) in Fields::of(line).ok_or(BadLine::NotAnObject)? {
            let (name, slot) = match serde_json::from_str::<String>(key).as_deref() {
                Ok("id") => ("id", &mut id),
                Ok("text") => ("text", &mut text),
                Ok("context") => ("context", &mut context),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(BadLine::Twice(name));
            }
        }
        let id = id.unwrap_or("null");
        if id.starts_with(['{', '[']) {
            return Err(BadLine::BadId);
        }
        let Wtf8(bytes) = text.and_then(|text| serde_json::from_str(text).ok()).ok_or(BadLine::NoText)?;
        let context = match context {
            None | Some("null") => default,
            Some(value) => serde_json::from_str::<String>(value)
                .ok()
                .and_then(|name| Context::named(&name))
                .ok_or(BadLine::BadContext)?,
        };
        let (text, lone_surrogates) = replace_surrogates(bytes);
        Ok(Self { id, text, context, lone_surrogates })
    }
}

/// A JSON string in which halves of surrogate pairs are kept as three bytes each.
struct Wtf8(Vec<u8>);

impl<'de> Deserialize<'de> for Wtf8 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Wtf8;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Wtf8, E> {
                Ok(Wtf8(bytes.to_owned()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Turns each half of a surrogate pair (`ED A0..BF xx`) into U+FFFD and says where they stood.
fn replace_surrogates(mut bytes: Vec<u8>) -> (String, Vec<usize>) {
    let mut lone = Vec::new();
    let mut points = 0;
    for at in 0..bytes.len() {
        if bytes[at] == 0xed && bytes.get(at + 1).is_some_and(|second| *second >= 0xa0) {
            // As long as what it replaces, so that nothing moves.
            bytes[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
            lone.push(points);
        }
        points += usize::from(bytes[at] & 0xc0 != 0x80);
    }
    (String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()), lone)
}

/// The fields of a JSON object that is known to be well-formed, each as it is written.
struct Fields<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Option<Self> {
        text.starts_with('{').then_some(Self { text, at: 1 })
    }

    fn skip(&mut self, also: u8) {
        while self.text.as_bytes().get(self.at).is_some_and(|b| b.is_ascii_whitespace() || *b == also) {
            self.at += 1;
        }
    }

    /// The value at the cursor: up to what ends it outside of strings and brackets.
    fn value(&mut self) -> &'a str {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let (mut depth, mut in_string) = (0_usize, false);
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'\\' if in_string => self.at += 1,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' | b':' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        self.text[start..self.at.min(self.text.len())].trim_end()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip(b',');
        if self.text.as_bytes().get(self.at) != Some(&b'"') {
            return None;
        }
        let key = self.value();
        self.skip(b':');
        Some((key, self.value()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request<'_>, BadLine> {
        Request::parse(line.as_bytes(), Context::User)
    }

    #[test]
    fn fields_are_found_wherever_they_stand() {
        let line = r#" { "x" : {"text":[1,{"id":"}"}]} , "te\u0078t" :"a\"b" ,"id": 12345678901234567890.10, "context":"tool"} "#;
        let request = parse(line).unwrap();
        assert_eq!(request.id, "12345678901234567890.10");
        assert_eq!(request.text, "a\"b");
        assert_eq!(request.context, Context::Tool);
    }

    #[test]
    fn half_a_pair_counts_as_a_replacement_character() {
        let request = parse(r#"{"text":"é\ud800x\ud83d\ude00\udc00"}"#).unwrap();
        assert_eq!(request.text, "é\u{fffd}x😀\u{fffd}");
        assert_eq!(request.lone_surrogates, [1, 4]);
        assert_eq!(request.id, "null");
    }

    #[test]
    fn bad_lines_say_why() {
        for (line, why) in [
            ("", "not JSON"),
            ("[1]", "not a JSON object"),
            (r#"{"text":1}"#, "`text`"),
            (r#"{"id":1}"#, "`text`"),
            (r#"{"text":"a","text":"b"}"#, "twice"),
            (r#"{"text":"a","id":{}}"#, "`id`"),
            (r#"{"text":"a","context":"web"}"#, "`context`"),
            (r#"{"text":"a"} x"#, "not JSON"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_one_read() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 5];
        input.extend_from_slice(b"\nnext\n\nlast");
        let (mut input, mut line) = (input.as_slice(), Vec::new());
        assert_eq!(read_line(&mut input, &mut line).unwrap(), Some(false));
        assert_eq!((read_line(&mut input, &mut line).unwrap(), line.as_slice()), (Some(true), b"next".as_slice()));
        assert_eq!((read_line(&mut input, &mut line).unwrap(), line.as_slice()), (Some(true), b"".as_slice()));
        assert_eq!((read_line(&mut input, &mut line).unwrap(), line.as_slice()), (Some(true), b"last".as_slice()));
        assert_eq!(read_line(&mut input, &mut line).unwrap(), None);
    }
}
