//! What a file's bytes say: UTF-8, or UTF-16 of either order, with or without a byte order mark.
//!
//! Notepad, PowerShell and spreadsheets write UTF-16. Read as UTF-8 it is full of zeros, and nothing
//! would be found in it.

use std::io::{self, BufRead as _, BufReader, Read};

/// How much of a file without a mark is looked at.
const SAMPLE_BYTES: usize = 64 * 1024;

/// Of a thousand characters so many must be ones that people write.
const PLAUSIBLE_PER_MILLE: usize = 950;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    /// The encoding, and how many bytes its mark has. Without a mark UTF-16 is what makes text as
    /// UTF-16 and none as UTF-8: it has control characters there, or is invalid.
    fn of(bytes: &[u8]) -> (Self, usize) {
        match bytes {
            [0xef, 0xbb, 0xbf, ..] => return (Self::Utf8, 3),
            [0xff, 0xfe, ..] => return (Self::Utf16Le, 2),
            [0xfe, 0xff, ..] => return (Self::Utf16Be, 2),
            _ => {}
        }
        let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
        let control = |b: &u8| *b < 0x20 && !b"\t\n\r\x0b\x0c\x1b".contains(b);
        if sample.len() < 4 || (!sample.iter().any(control) && is_utf8(sample)) {
            return (Self::Utf8, 0);
        }
        let sixteen = [Self::Utf16Le, Self::Utf16Be].into_iter().max_by_key(|encoding| encoding.plausible(sample));
        (sixteen.filter(|encoding| encoding.plausible(sample) >= PLAUSIBLE_PER_MILLE).unwrap_or(Self::Utf8), 0)
    }

    fn unit(self, pair: [u8; 2]) -> u16 {
        match self {
            Self::Utf16Be => u16::from_be_bytes(pair),
            Self::Utf16Le | Self::Utf8 => u16::from_le_bytes(pair),
        }
    }

    /// How many of a thousand characters of `bytes` are letters, digits, marks or spaces of scripts
    /// in use here.
    fn plausible(self, bytes: &[u8]) -> usize {
        let units = bytes.as_chunks::<2>().0;
        let plausible = |unit: u16| {
            matches!(unit, 0x09 | 0x0a | 0x0d | 0x20..=0x7e | 0xa0..=0x17f | 0x370..=0x52f | 0x600..=0x6ff | 0x2000..=0x20cf | 0xd83c..=0xd83e
                | 0xdc00..=0xdfff | 0xfe00..=0xfe0f | 0xfeff)
        };
        let count = units.iter().filter(|pair| plausible(self.unit(**pair))).count();
        count * 1000 / units.len().max(1)
    }
}

/// Whether `sample`, which may end inside a character, is UTF-8.
fn is_utf8(sample: &[u8]) -> bool {
    std::str::from_utf8(sample).err().is_none_or(|bad| bad.error_len().is_none())
}

/// A file's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) text: String,
    /// Where halves of surrogate pairs stood, in code points of `text`: each counts as U+FFFD.
    pub(super) lone_surrogates: Vec<usize>,
    /// Whether bytes that say nothing were read as U+FFFD.
    pub(super) lossy: bool,
}

/// The text of a whole file, without its byte order mark.
pub(super) fn decode(bytes: Vec<u8>) -> Decoded {
    let (encoding, mark) = Encoding::of(&bytes);
    if encoding == Encoding::Utf8 {
        let (mut text, lossy) = match String::from_utf8(bytes) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        text.drain(..mark);
        return Decoded { text, lone_surrogates: Vec::new(), lossy };
    }
    let (units, rest) = bytes[mark..].as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    let mut lone_surrogates = Vec::new();
    for (point, unit) in char::decode_utf16(units.iter().map(|pair| encoding.unit(*pair))).enumerate() {
        text.push(unit.unwrap_or_else(|_| {
            lone_surrogates.push(point);
            char::REPLACEMENT_CHARACTER
        }));
    }
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    Decoded { text, lone_surrogates, lossy: !rest.is_empty() }
}

/// Lines of JSON as UTF-8, whatever they were written in.
pub(super) fn lines(input: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    let mut input = BufReader::with_capacity(SAMPLE_BYTES, input);
    let (encoding, mark) = Encoding::of(input.fill_buf()?);
    input.consume(mark);
    if encoding == Encoding::Utf8 {
        return Ok(Box::new(input));
    }
    Ok(Box::new(Utf8Reader { input, encoding, high: None, out: Vec::new(), read: 0 }))
}

/// Turns UTF-16 into UTF-8 as it is read. Half of a surrogate pair becomes JSON's escape for it, so
/// that it is found like one that was written so.
struct Utf8Reader {
    input: BufReader<Box<dyn Read>>,
    encoding: Encoding,
    /// The first half of a pair.
    high: Option<u16>,
    out: Vec<u8>,
    read: usize,
}

impl Utf8Reader {
    /// The next unit; the last byte of an odd number is no text.
    fn unit(&mut self) -> io::Result<Option<u16>> {
        let mut pair = [0; 2];
        match self.input.read_exact(&mut pair) {
            Ok(()) => Ok(Some(self.encoding.unit(pair))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, c: char) {
        self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn write_half(&mut self, unit: u16) {
        self.out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
    }

    fn fill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.read = 0;
        // No more than a line at a time, so that whoever feeds us line by line gets each answer.
        while self.out.len() < SAMPLE_BYTES && self.out.last() != Some(&b'\n') {
            let Some(unit) = self.unit()? else {
                if let Some(high) = self.high.take() {
                    self.write_half(high);
                }
                return Ok(());
            };
            match (self.high.take(), unit) {
                (Some(high), 0xdc00..=0xdfff) => {
                    let pair = char::decode_utf16([high, unit]).next().and_then(Result::ok);
                    self.write(pair.unwrap_or(char::REPLACEMENT_CHARACTER));
                    continue;
                }
                (Some(high), _) => self.write_half(high),
                (None, _) => {}
            }
            match char::from_u32(u32::from(unit)) {
                Some(c) => self.write(c),
                None if unit < 0xdc00 => self.high = Some(unit),
                None => self.write_half(unit),
            }
        }
        Ok(())
    }
}

impl Read for Utf8Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.out.len() {
            self.fill()?;
        }
        let count = buffer.len().min(self.out.len() - self.read);
        buffer[..count].copy_from_slice(&self.out[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str, big: bool, mark: bool) -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        let units = mark.into_iter().chain(text.encode_utf16());
        units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn utf_16_is_read_in_both_orders_with_and_without_a_mark() {
        for text in ["My QID is 28463400123\r\n", "رقمي الشخصي ٢٨٤٦٣٤٠٠١٢٣", "التعليمات", "é 😀 naïve — “x”\n", "abcd"]
        {
            for (big, mark) in [(false, false), (false, true), (true, false), (true, true)] {
                let decoded = decode(bytes(text, big, mark));
                assert_eq!(
                    decoded,
                    Decoded { text: text.to_owned(), lone_surrogates: vec![], lossy: false },
                    "{big} {mark}"
                );
            }
            assert_eq!(decode(text.as_bytes().to_vec()).text, text);
            assert_eq!(decode([b"\xef\xbb\xbf", text.as_bytes()].concat()).text, text);
        }
    }

    #[test]
    fn what_is_neither_stays_utf_8_with_replacements() {
        for (bytes, text, lossy) in [
            (&b"caf\xe9 au lait"[..], "caf\u{fffd} au lait", true),
            (b"", "", false),
            (b"a\0b\0", "ab", false),
            (b"a\0", "a\0", false),
            (b"\x01\x02\x03\x04\x05\x06", "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}", false),
            (b"\xff\xfea\0b", "a\u{fffd}", true),
        ] {
            let decoded = decode(bytes.to_vec());
            assert_eq!((decoded.text.as_str(), decoded.lossy), (text, lossy), "{bytes:?}");
        }
    }

    #[test]
    fn half_a_pair_is_named() {
        let decoded = decode(b"\xff\xfea\0\0\xd8b\0".to_vec());
        assert_eq!((decoded.text.as_str(), decoded.lone_surrogates), ("a\u{fffd}b", vec![1]));
    }

    #[test]
    fn lines_of_json_are_read_in_both_orders() {
        let text = "{\"text\":\"é😀\"}\n{\"id\":2}\n";
        for (big, mark) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut read = String::new();
            lines(Box::new(io::Cursor::new(bytes(text, big, mark)))).unwrap().read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
        let half = [bytes("\"", false, true), vec![0x00, 0xd8], bytes("\"", false, false), vec![0x01, 0xd8]].concat();
        let mut read = String::new();
        lines(Box::new(io::Cursor::new(half))).unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, "\"\\ud800\"\\ud801");
    }
}
