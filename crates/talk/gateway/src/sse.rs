//! An incremental reader of server-sent events (HTML Living Standard, section 9.2).
//!
//! Fed with whatever the network gave, it hands out whole events. It keeps only what an event
//! needs, in one buffer that is reused, and refuses an event longer than its bound.

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSse {
    /// One event, or one line, is longer than the bound.
    #[error("an event of the stream is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
}

/// What came next in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The data of one event, its lines joined by line feeds.
    Data(&'a [u8]),
    /// A comment line: servers send them to keep the connection open.
    Comment,
}

/// Reads a stream in pieces of any size: [`SseReader::push`] bytes, then take [`SseReader::next`]
/// until it gives nothing.
#[derive(Debug)]
pub struct SseReader {
    /// Bytes not yet taken apart; consumed up to `at`.
    buffer: Vec<u8>,
    at: usize,
    data: Vec<u8>,
    has_data: bool,
    /// `data` was handed out and belongs to the past.
    spent: bool,
    /// A carriage return ended the last line; a line feed right behind it belongs to it.
    after_return: bool,
    at_start: bool,
    event_bytes_max: usize,
}

impl SseReader {
    /// A reader that refuses events longer than `event_bytes_max`.
    #[must_use]
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            at: 0,
            data: Vec::new(),
            has_data: false,
            spent: false,
            after_return: false,
            at_start: true,
            event_bytes_max,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next item that is whole.
    ///
    /// # Errors
    /// When an event or a line exceeds the bound; the stream cannot be read on then.
    #[expect(clippy::should_implement_trait, reason = "items borrow from the reader, which an Iterator cannot do")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, BadSse> {
        if self.spent {
            self.data.clear();
            (self.has_data, self.spent) = (false, false);
        }
        loop {
            if self.after_return && self.at < self.buffer.len() {
                self.at += usize::from(self.buffer[self.at] == b'\n');
                self.after_return = false;
            }
            if self.at_start && !self.skip_mark() {
                return Ok(None);
            }
            let rest = &self.buffer[self.at..];
            let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
                return if rest.len() > self.event_bytes_max { Err(self.too_long()) } else { Ok(None) };
            };
            // However the network cut it: a line too long to wait for is too long when it comes whole.
            if length > self.event_bytes_max {
                return Err(self.too_long());
            }
            self.after_return = rest[length] == b'\r';
            let line = self.at..self.at + length;
            self.at = line.end + 1;
            if line.is_empty() {
                if self.has_data {
                    self.spent = true;
                    return Ok(Some(Item::Data(&self.data)));
                }
                continue;
            }
            let line = &self.buffer[line];
            if line[0] == b':' {
                return Ok(Some(Item::Comment));
            }
            let (field, value) = match memchr::memchr(b':', line) {
                None => (line, &line[line.len()..]),
                Some(colon) => {
                    let value = &line[colon + 1..];
                    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
                }
            };
            // `event`, `id` and `retry` carry nothing that the chat protocols use.
            if field == b"data" {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
                if self.data.len() > self.event_bytes_max {
                    return Err(self.too_long());
                }
            }
        }
    }

    /// Whether the stream ended in the middle of an event.
    #[must_use]
    pub fn is_mid_event(&self) -> bool {
        let rest = &self.buffer[self.at..];
        // A line feed behind a carriage return ends nothing: the line had ended.
        let ended = rest.is_empty() || (self.after_return && rest == b"\n");
        !ended || (self.has_data && !self.spent)
    }

    fn too_long(&self) -> BadSse {
        BadSse::TooLong { max: self.event_bytes_max }
    }

    /// A byte order mark at the very start is skipped; `false` until enough bytes are there to tell.
    fn skip_mark(&mut self) -> bool {
        const MARK: &[u8] = "\u{feff}".as_bytes();
        let rest = &self.buffer[self.at..];
        if rest.starts_with(MARK) {
            self.at += MARK.len();
        } else if MARK.starts_with(rest) {
            return false;
        }
        self.at_start = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = SseReader::new(100);
        let mut out = Vec::new();
        for piece in pieces {
            reader.push(piece);
            while let Some(item) = reader.next().unwrap() {
                out.push(match item {
                    Item::Data(data) => String::from_utf8_lossy(data).into_owned(),
                    Item::Comment => "#".to_owned(),
                });
            }
        }
        out
    }

    #[test]
    fn events_are_what_the_standard_says() {
        assert_eq!(read(&[b"data: a\n\ndata:b\r\n\r\ndata\r\r"]), ["a", "b", ""]);
        assert_eq!(read(&[b"data: a\ndata:  b\n\n"]), ["a\n b"]);
        assert_eq!(read(&[b": ping\n\nevent: x\nid: 1\nretry: 2\nunknown\n\ndata: c\n\n"]), ["#", "c"]);
        assert_eq!(read(&["\u{feff}data: a\n\n".as_bytes()]), ["a"]);
        assert_eq!(read(&[b"data: unfinished\n"]), Vec::<String>::new());
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = SseReader::new(100);
        reader.push(&[b'x'; 101]);
        assert_eq!(reader.next(), Err(BadSse::TooLong { max: 100 }));
        let mut reader = SseReader::new(100);
        for _ in 0..60 {
            reader.push(b"data: x\n");
            if reader.next().is_err() {
                return;
            }
        }
        panic!("60 lines of data passed a bound of 100 bytes");
    }

    #[test]
    fn a_line_too_long_is_refused_cut_or_whole() {
        let line = format!(":{}\n", "x".repeat(100));
        for size in [1, 7, line.len()] {
            let mut reader = SseReader::new(100);
            let refused = line.as_bytes().chunks(size).any(|piece| {
                reader.push(piece);
                reader.next().is_err()
            });
            assert!(refused, "in pieces of {size}");
        }
    }

    #[test]
    fn it_knows_when_it_is_cut() {
        let mut reader = SseReader::new(100);
        reader.push(b"data: a\n\n");
        assert!(reader.next().unwrap().is_some() && !reader.is_mid_event());
        reader.push(b"da");
        assert!(reader.next().unwrap().is_none() && reader.is_mid_event());
        let mut reader = SseReader::new(100);
        reader.push(b"data: a\r\n\r\n");
        assert!(reader.next().unwrap().is_some() && !reader.is_mid_event());
    }

    proptest! {
        #[test]
        fn every_chunking_gives_the_same_events(text in "(data: ?|:|\n|\r\n|\r|[a-zé]){0,40}", cuts in prop::collection::vec(0usize..200, 0..8)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(read(&pieces), read(&[bytes]));
            let single: Vec<_> = bytes.chunks(1).collect();
            prop_assert_eq!(read(&single), read(&[bytes]));
        }
    }
}
