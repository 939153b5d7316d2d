//! String and bytes literals: how long they are, and what they say.
//!
//! CPython reads `S` with `codecs.escape_decode` and `V` as `raw-unicode-escape`, so a name can hide
//! behind either: `S'o\x73'` is `os`.

use crate::pickle::opcode as op;
use crate::source::Source;
use crate::unread::Unread;

/// How a literal's bytes lie after its opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A count of that many bytes, then the content.
    Counted(usize),
    /// The content up to a line feed.
    Line,
}

/// The shape of a literal opcode, and whether it is bytes.
pub(crate) fn shape(opcode: u8) -> Option<(Shape, bool)> {
    Some(match opcode {
        op::SHORT_BINUNICODE => (Shape::Counted(1), false),
        op::BINUNICODE => (Shape::Counted(4), false),
        op::BINUNICODE8 => (Shape::Counted(8), false),
        op::SHORT_BINSTRING => (Shape::Counted(1), false),
        op::BINSTRING => (Shape::Counted(4), false),
        op::STRING | op::UNICODE => (Shape::Line, false),
        op::SHORT_BINBYTES => (Shape::Counted(1), true),
        op::BINBYTES => (Shape::Counted(4), true),
        op::BINBYTES8 | op::BYTEARRAY8 => (Shape::Counted(8), true),
        _ => return None,
    })
}

/// A little-endian count of 1, 4 or 8 bytes at the start of `bytes`.
pub(crate) fn count(bytes: &[u8], width: usize) -> u64 {
    bytes.iter().take(width).rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The raw content of the literal whose opcode lies at `offset`, cut to `max` bytes, and where it begins
/// and how long it really is.
pub(crate) fn read(source: &Source, offset: u64, max: usize) -> Result<Literal, Unread> {
    let head = source.some(offset, max.saturating_add(9))?;
    let Some((shape, _)) = head.first().and_then(|first| shape(*first)) else {
        return Err(Unread::malformed("literal", offset));
    };
    match shape {
        Shape::Counted(width) => {
            let len = count(&head[1..], width);
            let content = head.get(1 + width..).unwrap_or_default();
            let shown = usize::try_from(len).unwrap_or(usize::MAX).min(content.len()).min(max);
            Ok(Literal { start: offset + 1 + width as u64, len, bytes: content[..shown].to_vec() })
        }
        Shape::Line => {
            let content = &head[1..];
            let end = memchr::memchr(b'\n', content).unwrap_or(content.len());
            let bytes = decode_line(head[0], &content[..end]);
            Ok(Literal { start: offset + 1, len: end as u64, bytes })
        }
    }
}

/// A literal as read.
#[derive(Clone, Debug)]
pub(crate) struct Literal {
    /// Where the raw content begins.
    pub(crate) start: u64,
    /// Raw bytes in all.
    pub(crate) len: u64,
    /// The content, decoded and possibly cut.
    pub(crate) bytes: Vec<u8>,
}

impl Literal {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// What `S'…'` or `V…` says.
pub(crate) fn decode_line(opcode: u8, line: &[u8]) -> Vec<u8> {
    if opcode == op::UNICODE {
        return raw_unicode_escape(line);
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let inner = match line {
        [quote @ (b'\'' | b'"'), inner @ .., end] if quote == end => inner,
        other => other,
    };
    string_escape(inner)
}

/// `\n`, `\x73`, `\163`, as `codecs.escape_decode` takes them.
fn string_escape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let Some(&next) = tail.first().filter(|_| first == b'\\') else {
            out.push(first);
            continue;
        };
        rest = &tail[1..];
        match next {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'v' => out.push(11),
            b'\n' => {}
            b'x' => {
                let digits = rest.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
                out.push(number(&rest[..digits], 16).unwrap_or(b'?'.into()) as u8);
                rest = &rest[digits..];
            }
            b'0'..=b'7' => {
                let digits = tail.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                out.push((number(&tail[..digits], 8).unwrap_or_default() & 0xff) as u8);
                rest = &tail[digits..];
            }
            b'\\' | b'\'' | b'"' => out.push(next),
            other => out.extend([b'\\', other]),
        }
    }
    out
}

/// `\u006f` and `\U0000006f`; every other byte is a Latin-1 character.
fn raw_unicode_escape(bytes: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = match (first, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        let code = if digits > 0 { tail.get(1..=digits).and_then(|hex| number(hex, 16)) } else { None };
        match code.and_then(char::from_u32) {
            Some(character) => {
                out.push(character);
                rest = &tail[digits + 1..];
            }
            None => {
                out.push(char::from(first));
                rest = tail;
            }
        }
    }
    out.into_bytes()
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_behind_escapes_are_read() {
        assert_eq!(decode_line(op::STRING, br"'o\x73'"), b"os");
        assert_eq!(decode_line(op::STRING, br#""sys\164em""#), b"system");
        assert_eq!(decode_line(op::STRING, br"'a\'b\\'"), br"a'b\");
        assert_eq!(decode_line(op::UNICODE, br"\u006fs"), b"os");
        assert_eq!(decode_line(op::UNICODE, br"\U0000006fs"), b"os");
        assert_eq!(decode_line(op::UNICODE, b"caf\xe9"), "café".as_bytes());
        assert_eq!(decode_line(op::STRING, br"'cut\x"), b"'cut?");
    }

    #[test]
    fn counted_literals_are_cut_to_what_is_asked_and_there() {
        let source = Source::memory(b"\x8c\x05hello\x8e\xff\xff\0\0\0\0\0\0ab".to_vec());
        let short = read(&source, 0, 100).unwrap();
        assert_eq!((short.text().as_str(), short.len, short.start), ("hello", 5, 2));
        let long = read(&source, 7, 100).unwrap();
        assert_eq!((long.bytes.as_slice(), long.len), (&b"ab"[..], 65_535));
    }
}
