//! Backslash escapes: JSON's, and those of most programming languages.
//!
//! Tool-call arguments are JSON source inside a string, often escaped twice, so a run of
//! backslashes counts as one.

/// Escapes nest at most this deep (three levels of JSON in JSON need seven backslashes).
const BACKSLASHES_MAX: usize = 8;

/// What a backslash at the start of a text turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// A character, and how many bytes spelled it.
    Char(char, usize),
    /// A backslash and nothing more.
    None,
    /// The text ends before that can be told.
    NeedsMore,
}

/// Reads the escape at the start of `text`. With `last`, nothing follows `text`.
pub(super) fn read(text: &str, last: bool) -> Escape {
    let reader = Reader { bytes: text.as_bytes(), last };
    reader.escape(0).unwrap_or(Escape::NeedsMore)
}

struct Reader<'a> {
    bytes: &'a [u8],
    last: bool,
}

/// `Err` means the text ends before that can be told.
struct NeedsMore;

impl Reader<'_> {
    fn escape(&self, from: usize) -> Result<Escape, NeedsMore> {
        let mut at = from;
        while self.byte(at)? == Some(b'\\') {
            at += 1;
            if at - from > BACKSLASHES_MAX {
                return Ok(Escape::None);
            }
        }
        let simple = |c| Ok(Escape::Char(c, at + 1 - from));
        match self.byte(at)? {
            Some(b'n') => simple('\n'),
            Some(b'r') => simple('\r'),
            Some(b't') => simple('\t'),
            Some(quote @ (b'"' | b'\'' | b'/')) => simple(char::from(quote)),
            Some(b'u') => self.unicode(from, at + 1),
            Some(b'x') => self.hex_bytes(from, at + 1),
            _ => Ok(Escape::None),
        }
    }

    /// `\u0041`, `\ud83d\ude00` or `\u{1f600}`; `at` is behind the `u`.
    fn unicode(&self, from: usize, at: usize) -> Result<Escape, NeedsMore> {
        if self.byte(at)? == Some(b'{') {
            return self.braced(from, at + 1);
        }
        let Some(unit) = self.hex(at, 4)? else { return Ok(Escape::None) };
        if let Some(c) = char::from_u32(unit) {
            return Ok(Escape::Char(c, at + 4 - from));
        }
        if !(0xd800..0xdc00).contains(&unit) {
            return Ok(Escape::None);
        }
        let mut low_at = at + 4;
        let mut backslashes = 0;
        while self.byte(low_at)? == Some(b'\\') && backslashes < BACKSLASHES_MAX {
            low_at += 1;
            backslashes += 1;
        }
        if backslashes == 0 || self.byte(low_at)? != Some(b'u') {
            return Ok(Escape::None);
        }
        let Some(low) = self.hex(low_at + 1, 4)?.filter(|low| (0xdc00..0xe000).contains(low)) else {
            return Ok(Escape::None);
        };
        let joined = char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
        Ok(joined.map_or(Escape::None, |c| Escape::Char(c, low_at + 5 - from)))
    }

    fn braced(&self, from: usize, at: usize) -> Result<Escape, NeedsMore> {
        let mut value = 0_u32;
        for digits in 0..=6 {
            match self.byte(at + digits)? {
                Some(b'}') if digits > 0 => {
                    let c = char::from_u32(value);
                    return Ok(c.map_or(Escape::None, |c| Escape::Char(c, at + digits + 1 - from)));
                }
                Some(b) if b.is_ascii_hexdigit() => value = value * 16 + hex_value(b),
                _ => return Ok(Escape::None),
            }
        }
        Ok(Escape::None)
    }

    /// `\x41`, or a whole UTF-8 sequence `\xd9\xa2`; `at` is behind the first `x`.
    fn hex_bytes(&self, from: usize, at: usize) -> Result<Escape, NeedsMore> {
        let Some(first) = self.hex(at, 2)? else { return Ok(Escape::None) };
        let count = match first {
            0x00..0x80 => 1,
            0xc2..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf5 => 4,
            _ => return Ok(Escape::None),
        };
        let (mut sequence, mut next) = ([0_u8; 4], at + 2);
        sequence[0] = u8::try_from(first).unwrap_or(0);
        for byte in sequence.iter_mut().take(count).skip(1) {
            if self.byte(next)? != Some(b'\\') || self.byte(next + 1)? != Some(b'x') {
                return Ok(Escape::None);
            }
            let Some(value) = self.hex(next + 2, 2)? else { return Ok(Escape::None) };
            *byte = u8::try_from(value).unwrap_or(0);
            next += 4;
        }
        let c = std::str::from_utf8(&sequence[..count]).ok().and_then(|s| s.chars().next());
        Ok(c.map_or(Escape::None, |c| Escape::Char(c, next - from)))
    }

    fn hex(&self, at: usize, digits: usize) -> Result<Option<u32>, NeedsMore> {
        let mut value = 0;
        for offset in 0..digits {
            match self.byte(at + offset)? {
                Some(b) if b.is_ascii_hexdigit() => value = value * 16 + hex_value(b),
                _ => return Ok(None),
            }
        }
        Ok(Some(value))
    }

    /// The byte at `at`; `None` behind the end of the whole text.
    fn byte(&self, at: usize) -> Result<Option<u8>, NeedsMore> {
        match self.bytes.get(at) {
            Some(byte) => Ok(Some(*byte)),
            None if self.last => Ok(None),
            None => Err(NeedsMore),
        }
    }
}

fn hex_value(digit: u8) -> u32 {
    char::from(digit).to_digit(16).unwrap_or(0)
}
