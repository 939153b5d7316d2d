//! Bytes that can be read at any place, wherever they come from, in bounded memory.
//!
//! A file is read where it is asked for; a compressed layer of more than [`HELD_BYTES_MAX`] is never
//! held, but unpacked anew when somebody goes back further than its window.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

use crate::budget::Budget;
use crate::unread::Unread;

/// A decompressed layer up to this long is held in memory. Depth-first walking keeps few at a time.
const HELD_BYTES_MAX: usize = 24 << 20;
/// How far back a reader may go in a longer layer without its being unpacked anew.
const WINDOW_BYTES: usize = 4 << 20;
/// One read of a layer.
const CHUNK_BYTES: usize = 64 << 10;

trait Backing: Send + Sync {
    /// Fills `into` as far as there are bytes; the caller stays within the length.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Unread>;

    /// Whether reading an earlier place again costs as much as coming there.
    fn going_back_is_dear(&self) -> bool {
        false
    }
}

/// A stretch of bytes, readable at any place. Cloning and slicing cost nothing.
#[derive(Clone)]
pub struct Source {
    backing: Arc<dyn Backing>,
    start: u64,
    len: u64,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({} bytes)", self.len)
    }
}

/// Opens the unpacked bytes of a layer from their beginning; called again when a reader goes back.
pub type Unpack = Box<dyn Fn() -> Box<dyn Read + Send> + Send + Sync>;

impl Source {
    /// Bytes in memory.
    #[must_use]
    pub fn memory(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self { backing: Arc::new(Memory(bytes)), start: 0, len }
    }

    /// A file as long as it is now.
    ///
    /// # Errors
    /// When its length cannot be told.
    pub fn file(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { backing: Arc::new(Disk(file)), start: 0, len })
    }

    /// The unpacked bytes of a compressed layer of `packed` bytes, and what stopped the unpacking
    /// if it did not come to its end: a loader that reads as it unpacks sees the bytes before that.
    #[must_use]
    pub fn unpacked(unpack: Unpack, packed: u64, budget: &Budget) -> (Self, Option<Unread>) {
        let mut reader = unpack();
        let mut held = Vec::new();
        let mut len = 0_u64;
        let mut chunk = vec![0; CHUNK_BYTES];
        let stop = loop {
            match reader.read(&mut chunk) {
                Ok(0) => break None,
                Ok(count) => {
                    len += count as u64;
                    if let Err(why) = budget.bytes_out(count as u64, packed, len) {
                        break Some(why);
                    }
                    if len <= HELD_BYTES_MAX as u64 {
                        held.extend_from_slice(&chunk[..count]);
                    } else {
                        held = Vec::new();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break Some(Unread::malformed("compressed data", packed.min(len))),
            }
        };
        if len <= HELD_BYTES_MAX as u64 {
            return (Self::memory(held), stop);
        }
        let state = Mutex::new(Running { reader: None, position: 0, window: Vec::new() });
        let layer = Layer { unpack, packed, budget: budget.clone(), state };
        (Self { backing: Arc::new(layer), start: 0, len }, stop)
    }

    /// Whether reading an earlier place again costs unpacking everything before it.
    #[must_use]
    pub fn going_back_is_dear(&self) -> bool {
        self.backing.going_back_is_dear()
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `len` bytes from `start`, cut to what there is.
    #[must_use]
    pub fn slice(&self, start: u64, len: u64) -> Self {
        let start = start.min(self.len);
        Self { backing: self.backing.clone(), start: self.start + start, len: len.min(self.len - start) }
    }

    /// Everything from `start` on.
    #[must_use]
    pub fn from(&self, start: u64) -> Self {
        self.slice(start, u64::MAX)
    }

    /// Fills `into` from `offset` as far as there are bytes; gives how many.
    ///
    /// # Errors
    /// When the bytes cannot be read or unpacked.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Unread> {
        let left = self.len.saturating_sub(offset);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let mut done = 0;
        while done < want {
            let count = self.backing.read_at(self.start + offset + done as u64, &mut into[done..want])?;
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(done)
    }

    /// The first bytes, at most `count`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn head(&self, count: usize) -> Result<Vec<u8>, Unread> {
        self.some(0, count)
    }

    /// At most `count` bytes from `offset`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn some(&self, offset: u64, count: usize) -> Result<Vec<u8>, Unread> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(count)];
        let done = self.read_at(offset, &mut bytes)?;
        bytes.truncate(done);
        Ok(bytes)
    }

    /// Exactly `count` bytes from `offset`.
    ///
    /// # Errors
    /// [`Unread::Truncated`] when there are fewer, naming `what` was to be read.
    pub fn exactly(&self, what: &'static str, offset: u64, count: usize) -> Result<Vec<u8>, Unread> {
        let left = self.len.saturating_sub(offset);
        if left < count as u64 {
            return Err(Unread::Truncated { what, at: offset, wanted: count as u64, left });
        }
        let bytes = self.some(offset, count)?;
        if bytes.len() < count {
            let left = bytes.len() as u64;
            return Err(Unread::Truncated { what, at: offset, wanted: count as u64, left });
        }
        Ok(bytes)
    }

    /// All bytes, when there are at most `max` of them.
    ///
    /// # Errors
    /// [`Unread::Limit`] when there are more.
    pub fn all(&self, what: &'static str, max: usize) -> Result<Vec<u8>, Unread> {
        if self.len > max as u64 {
            return Err(Unread::Limit(crate::Limit::Within(what)));
        }
        self.exactly(what, 0, usize::try_from(self.len).unwrap_or(max))
    }

    /// A sequential reader of everything.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { source: self.clone(), position: 0 }
    }
}

/// [`Read`] over a [`Source`], for decoders that want one.
#[derive(Clone, Debug)]
pub struct Reader {
    source: Source,
    position: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read_at(self.position, into).map_err(io::Error::other)?;
        self.position += count as u64;
        Ok(count)
    }
}

struct Memory(Vec<u8>);

impl Backing for Memory {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Unread> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

struct Disk(File);

impl Backing for Disk {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Unread> {
        loop {
            match self.0.read_at(into, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome.map_err(Unread::Io),
            }
        }
    }
}

/// A compressed layer too long to hold.
struct Layer {
    unpack: Unpack,
    packed: u64,
    budget: Budget,
    state: Mutex<Running>,
}

struct Running {
    reader: Option<Box<dyn Read + Send>>,
    /// Where the reader stands: the window ends here.
    position: u64,
    window: Vec<u8>,
}

impl Backing for Layer {
    fn going_back_is_dear(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Unread> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let state = &mut *state;
        if state.reader.is_none() || offset < state.position - state.window.len() as u64 {
            *state = Running { reader: Some((self.unpack)()), position: 0, window: Vec::new() };
        }
        let reader = state.reader.as_mut().expect("it was opened in the lines above");
        while state.position <= offset {
            if state.window.len() >= 2 * WINDOW_BYTES {
                state.window.drain(..WINDOW_BYTES);
            }
            let old = state.window.len();
            state.window.resize(old + CHUNK_BYTES, 0);
            let count = match reader.read(&mut state.window[old..]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    state.window.truncate(old);
                    continue;
                }
                Err(_) => 0,
            };
            state.window.truncate(old + count);
            state.position += count as u64;
            if count == 0 {
                // The first pass found the length: nothing beyond it is asked for unless the bytes changed.
                return Ok(0);
            }
            self.budget.bytes_out(count as u64, self.packed, state.position)?;
        }
        let first = state.position - state.window.len() as u64;
        let from = usize::try_from(offset - first).expect("the window is in memory");
        let count = (state.window.len() - from).min(into.len());
        into[..count].copy_from_slice(&state.window[from..from + count]);
        Ok(count)
    }
}

/// A window that moves over a source: for parsers that read on and on, and skip.
#[derive(Debug)]
pub struct Tape {
    source: Source,
    /// Where in the source the buffer begins.
    base: u64,
    buffer: Vec<u8>,
    /// Within the buffer.
    position: usize,
}

impl Tape {
    /// What one read of the source brings.
    const BUFFER_BYTES: usize = 256 << 10;

    /// At the beginning.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, base: 0, buffer: Vec::new(), position: 0 }
    }

    /// Where the next byte lies.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base + self.position as u64
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.source.len().saturating_sub(self.offset())
    }

    /// The source itself.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What is buffered from here on. Refill with [`Tape::fill`].
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.position..]
    }

    /// Moves on within what is buffered.
    ///
    /// # Panics
    /// When `count` is more than [`Tape::buffered`] holds.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.buffer.len() - self.position, "only buffered bytes can be passed");
        self.position += count;
    }

    /// Buffers at least `count` bytes if the source has them; gives how many are buffered.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn fill(&mut self, count: usize) -> Result<usize, Unread> {
        let held = self.buffer.len() - self.position;
        if held >= count {
            return Ok(held);
        }
        self.base += self.position as u64;
        self.buffer.drain(..self.position);
        self.position = 0;
        let old = self.buffer.len();
        let want = count.max(Self::BUFFER_BYTES);
        let left = self.source.len().saturating_sub(self.base + old as u64);
        let more = usize::try_from(left).unwrap_or(usize::MAX).min(want - old);
        self.buffer.resize(old + more, 0);
        let got = self.source.read_at(self.base + old as u64, &mut self.buffer[old..])?;
        self.buffer.truncate(old + got);
        Ok(self.buffer.len())
    }

    /// The next `count` bytes, passed. `count` is bounded by the caller: they are held in memory.
    ///
    /// # Errors
    /// [`Unread::Truncated`] when there are fewer.
    pub fn take(&mut self, what: &'static str, count: usize) -> Result<&[u8], Unread> {
        if self.fill(count)? < count {
            let left = self.left();
            return Err(Unread::Truncated { what, at: self.offset(), wanted: count as u64, left });
        }
        let from = self.position;
        self.position += count;
        Ok(&self.buffer[from..self.position])
    }

    /// The next word between spaces or line feeds, of at most 64 bytes, and the space behind it.
    ///
    /// # Errors
    /// When there is none, or it is longer.
    pub fn word(&mut self, what: &'static str) -> Result<String, Unread> {
        const SPACES_MAX: usize = 64;
        const WORD_MAX: usize = 64;
        let at = self.offset();
        let held = self.fill(SPACES_MAX + WORD_MAX + 1)?;
        let window = &self.buffered()[..held.min(SPACES_MAX + WORD_MAX + 1)];
        let skipped = window.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = &window[skipped..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        if end == 0 && skipped == held {
            return Err(Unread::Truncated { what, at, wanted: 1, left: 0 });
        }
        if end == 0 || end > WORD_MAX {
            return Err(Unread::malformed(what, at));
        }
        let word = String::from_utf8_lossy(&rest[..end]).into_owned();
        let used = skipped + end + usize::from(rest.len() > end);
        self.advance(used);
        Ok(word)
    }

    /// Moves to a place; beyond the end there is nothing to read.
    pub fn seek(&mut self, offset: u64) {
        if offset >= self.base && offset - self.base <= self.buffer.len() as u64 {
            self.position = usize::try_from(offset - self.base).expect("it lies in the buffer");
        } else {
            self.base = offset;
            self.buffer.clear();
            self.position = 0;
        }
    }

    /// Passes `count` bytes without reading them.
    ///
    /// # Errors
    /// [`Unread::Truncated`] when there are fewer.
    pub fn skip(&mut self, what: &'static str, count: u64) -> Result<(), Unread> {
        if count > self.left() {
            return Err(Unread::Truncated { what, at: self.offset(), wanted: count, left: self.left() });
        }
        self.seek(self.offset() + count);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Limits;

    /// A layer of `len` bytes counted up, that needs no packed bytes.
    fn counted(len: usize) -> Unpack {
        Box::new(move || Box::new(io::Cursor::new((0..len).map(|i| (i % 251) as u8).collect::<Vec<u8>>())))
    }

    #[test]
    fn a_long_layer_reads_at_any_place_without_being_held() {
        let len = HELD_BYTES_MAX + 12_345;
        let (source, stop) = Source::unpacked(counted(len), 1 << 20, &Budget::new(Limits::default()));
        assert!(stop.is_none());
        assert_eq!(source.len(), len as u64);
        for offset in [0, len - 10, 7, WINDOW_BYTES * 2 + 3, len - 1, 100] {
            let bytes = source.some(offset as u64, 5).unwrap();
            let wanted: Vec<u8> = (offset..len.min(offset + 5)).map(|i| (i % 251) as u8).collect();
            assert_eq!(bytes, wanted, "at {offset}");
        }
    }

    #[test]
    fn unpacking_stops_at_the_limit() {
        let limits = Limits { bytes_out: 1 << 20, ..Limits::default() };
        let (source, stop) = Source::unpacked(counted(4 << 20), 100, &Budget::new(limits));
        assert!(matches!(stop, Some(Unread::Limit(crate::Limit::BytesOut))), "{stop:?}");
        assert!(source.len() >= 1 << 20);
    }

    #[test]
    fn a_tape_reads_skips_and_goes_back() {
        let bytes: Vec<u8> = (0..2_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut tape = Tape::new(Source::memory(bytes.clone()));
        assert_eq!(tape.take("x", 3).unwrap(), [0, 1, 2]);
        tape.skip("x", 1_000_000).unwrap();
        assert_eq!(tape.take("x", 2).unwrap(), &bytes[1_000_003..1_000_005]);
        tape.seek(5);
        assert_eq!(tape.take("x", 600_000).unwrap(), &bytes[5..600_005]);
        assert!(matches!(tape.skip("x", 1_999_999), Err(Unread::Truncated { .. })));
    }
}
