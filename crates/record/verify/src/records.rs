//! The `leaves` member, read piece by piece: a million events pass through one buffer.

use std::io::{Read, Seek};

use haris_merkle::tile::ENTRY_BYTES_MAX;

use crate::bundle::RECORD_HEADER_BYTES;
use crate::zip::{Stream, ZipError, ZipReader};

const BUFFER_BYTES: usize = 512 * 1024;

/// A member of (u64 index, u16 length, bytes) records.
pub(crate) struct Records {
    name: String,
    stream: Stream,
    buffer: Vec<u8>,
    /// What of the buffer is not yet given out.
    from: usize,
    to: usize,
}

impl Records {
    pub(crate) fn open<R: Read + Seek>(zip: &ZipReader<R>, name: &str) -> Option<Self> {
        let stream = zip.stream(name)?;
        Some(Self { name: name.to_owned(), stream, buffer: vec![0; BUFFER_BYTES], from: 0, to: 0 })
    }

    /// The next record; none at the end, where the checksum has been checked.
    pub(crate) fn next<R: Read + Seek>(&mut self, zip: &mut ZipReader<R>) -> Result<Option<(u64, &[u8])>, ZipError> {
        if self.to - self.from < RECORD_HEADER_BYTES + ENTRY_BYTES_MAX {
            self.refill(zip)?;
        }
        let left = &self.buffer[self.from..self.to];
        if left.is_empty() {
            return self.stream.clone().finish().map(|()| None);
        }
        let cut = || ZipError::Member { name: self.name.clone(), why: "it ends inside a leaf".to_owned() };
        let (index, rest) = left.split_first_chunk::<8>().ok_or_else(cut)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length > rest.len() {
            return Err(cut());
        }
        let start = self.from + RECORD_HEADER_BYTES;
        self.from = start + length;
        Ok(Some((u64::from_be_bytes(*index), &self.buffer[start..start + length])))
    }

    fn refill<R: Read + Seek>(&mut self, zip: &mut ZipReader<R>) -> Result<(), ZipError> {
        self.buffer.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        let room = self.buffer.len() - self.to;
        let more = usize::try_from(self.stream.bytes_left()).map_or(room, |left| left.min(room));
        if more > 0 {
            self.stream.fill(zip, &mut self.buffer[self.to..self.to + more])?;
            self.to += more;
        }
        Ok(())
    }
}
