//! The zip of an evidence bundle, written and read in one form only.
//!
//! Members are stored, not compressed, in a fixed order, without times, attributes, comments, extra fields, gaps or
//! trailing bytes. So there is exactly one way to write a given list of members, any unzip program reads it, and the
//! reader can demand it byte for byte: nothing can hide between members or in a second directory, and no decompressor
//! stands between an attacker's file and the auditor.
//!
//! The form before zip64 holds 4 GiB and 65,535 members. A longer range is exported as several bundles.

use std::collections::HashMap;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

/// The most members a bundle holds.
pub const MEMBERS_MAX: usize = 65_535;
/// The longest file, and so the longest member.
pub const BYTES_MAX: u64 = u32::MAX as u64;
/// The longest name: a log, a tile's path or an event id and a payload's name.
pub(crate) const NAME_BYTES_MAX: usize = 160;

const LOCAL_HEADER_BYTES: usize = 30;
const CENTRAL_HEADER_BYTES: usize = 46;
const END_BYTES: u64 = 22;
const LOCAL_MAGIC: [u8; 4] = *b"PK\x03\x04";
const CENTRAL_MAGIC: [u8; 4] = *b"PK\x01\x02";
const END_MAGIC: [u8; 4] = *b"PK\x05\x06";
/// Version 2.0 of the format: what any reader of the last thirty years knows.
const VERSION: [u8; 2] = [20, 0];
/// 1980-01-01, the first date of the format: a bundle made twice has the same bytes.
const DATE: [u8; 2] = [0x21, 0];

/// Why bytes are not the zip of a bundle, or cannot become one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZipError {
    /// The file could not be read or written.
    #[error("could not read or write the bundle")]
    Io(#[from] io::Error),
    /// The file is not such a zip as a whole.
    #[error("the file is not whole: {why}")]
    Whole {
        /// What is wrong.
        why: String,
    },
    /// A member's header or contents are not as its directory entry says.
    #[error("`{name}` was altered: {why}")]
    Member {
        /// Which member.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// What is to be written does not fit.
    #[error("{why}; export a shorter range, or the range in parts")]
    TooMuch {
        /// What does not fit.
        why: String,
    },
}

fn whole(why: impl Into<String>) -> ZipError {
    ZipError::Whole { why: why.into() }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    crc: u32,
    bytes: u32,
    /// Where its local header starts.
    offset: u32,
}

impl Entry {
    /// The fields that local and central header share, from the version on.
    fn shared(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(26);
        out.extend_from_slice(&VERSION);
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&DATE);
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        let name_bytes = u16::try_from(self.name.len()).expect("names are bounded");
        out.extend_from_slice(&name_bytes.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out
    }

    fn local(&self) -> Vec<u8> {
        [LOCAL_MAGIC.as_slice(), &self.shared(), self.name.as_bytes()].concat()
    }

    fn central(&self) -> Vec<u8> {
        let offset = self.offset.to_le_bytes();
        [CENTRAL_MAGIC.as_slice(), &VERSION, &self.shared(), &[0; 10], &offset, self.name.as_bytes()].concat()
    }

    fn local_bytes(&self) -> u64 {
        (LOCAL_HEADER_BYTES + self.name.len()) as u64
    }

    fn data_offset(&self) -> u64 {
        u64::from(self.offset) + self.local_bytes()
    }
}

fn end(members: usize, directory_bytes: u64, directory_offset: u64) -> Option<Vec<u8>> {
    let members = u16::try_from(members).ok()?.to_le_bytes();
    let directory_bytes = u32::try_from(directory_bytes).ok()?.to_le_bytes();
    let directory_offset = u32::try_from(directory_offset).ok()?.to_le_bytes();
    Some([END_MAGIC.as_slice(), &[0; 4], &members, &members, &directory_bytes, &directory_offset, &[0; 2]].concat())
}

/// Whether a name can be a member's: plain characters, no empty or dotted parts.
fn valid_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    name.len() <= NAME_BYTES_MAX
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain))
}

/// Writes members one after the other.
pub(crate) struct ZipWriter<W: Write> {
    out: BufWriter<W>,
    entries: Vec<Entry>,
    /// The member that is being written.
    open: Option<(Entry, crc32fast::Hasher)>,
    offset: u64,
}

impl<W: Write + Seek> ZipWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(256 * 1024, out), entries: Vec::new(), open: None, offset: 0 }
    }

    pub(crate) fn member(&mut self, name: &str, bytes: &[u8]) -> Result<(), ZipError> {
        self.start(name)?;
        self.write(bytes)?;
        self.close()
    }

    pub(crate) fn start(&mut self, name: &str) -> Result<(), ZipError> {
        self.close()?;
        if !valid_name(name) {
            return Err(ZipError::Member {
                name: name.to_owned(),
                why: "such a name cannot be in a bundle".to_owned(),
            });
        }
        if self.entries.len() == MEMBERS_MAX {
            return Err(ZipError::TooMuch { why: format!("more than {MEMBERS_MAX} files") });
        }
        let offset = self.within(self.offset)?;
        let entry = Entry { name: name.to_owned(), crc: 0, bytes: 0, offset };
        self.out.write_all(&entry.local())?;
        self.offset += entry.local_bytes();
        self.open = Some((entry, crc32fast::Hasher::new()));
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ZipError> {
        self.offset = u64::from(self.within(self.offset + bytes.len() as u64)?);
        if let Some((_, crc)) = &mut self.open {
            crc.update(bytes);
        }
        Ok(self.out.write_all(bytes)?)
    }

    /// Ends the member: its header, written before its length was known, is written again.
    pub(crate) fn close(&mut self) -> Result<(), ZipError> {
        let Some((mut entry, crc)) = self.open.take() else { return Ok(()) };
        entry.bytes = self.within(self.offset - entry.data_offset())?;
        entry.crc = crc.finalize();
        self.out.seek(SeekFrom::Start(u64::from(entry.offset)))?;
        self.out.write_all(&entry.local())?;
        self.out.seek(SeekFrom::Start(self.offset))?;
        self.entries.push(entry);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<W, ZipError> {
        self.close()?;
        let mut directory_bytes = 0;
        for entry in &self.entries {
            let central = entry.central();
            self.out.write_all(&central)?;
            directory_bytes += central.len() as u64;
        }
        self.within(self.offset + directory_bytes + END_BYTES)?;
        let too_much = || ZipError::TooMuch { why: "the directory of the bundle is too long".to_owned() };
        let end = end(self.entries.len(), directory_bytes, self.offset).ok_or_else(too_much)?;
        self.out.write_all(&end)?;
        Ok(self.out.into_inner().map_err(io::IntoInnerError::into_error)?)
    }

    fn within(&self, offset: u64) -> Result<u32, ZipError> {
        u32::try_from(offset).map_err(|_| ZipError::TooMuch { why: "more than 4 GiB".to_owned() })
    }
}

/// Reads members in any order.
#[derive(Debug)]
pub(crate) struct ZipReader<R> {
    input: R,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

impl<R: Read + Seek> ZipReader<R> {
    /// Reads the directory and demands that the file is nothing but its members, one after the other.
    pub(crate) fn open(mut input: R) -> Result<Self, ZipError> {
        let file_bytes = input.seek(SeekFrom::End(0))?;
        if file_bytes > BYTES_MAX {
            return Err(whole("it is longer than a bundle can be"));
        }
        let Some(end_offset) = file_bytes.checked_sub(END_BYTES) else {
            return Err(whole("it is too short to be a bundle"));
        };
        let tail = read_at(&mut input, end_offset, END_BYTES)?;
        let field = |at: usize| u32::from_le_bytes([tail[at], tail[at + 1], tail[at + 2], tail[at + 3]]);
        let members = usize::from(u16::from_le_bytes([tail[10], tail[11]]));
        let (directory_bytes, directory_offset) = (u64::from(field(12)), u64::from(field(16)));
        if end(members, directory_bytes, directory_offset).as_deref() != Some(tail.as_slice()) {
            return Err(whole(
                "its last 22 bytes are not the end of a bundle; was it cut short, or was something added?",
            ));
        }
        if directory_offset + directory_bytes != end_offset
            || directory_bytes > (MEMBERS_MAX * (CENTRAL_HEADER_BYTES + NAME_BYTES_MAX)) as u64
        {
            return Err(whole("its directory is not where its end says; bytes were cut or added"));
        }
        let directory = read_at(&mut input, directory_offset, directory_bytes)?;
        let entries = directory_entries(&directory, members)?;
        let mut by_name = HashMap::with_capacity(entries.len());
        let mut offset = 0;
        for (index, entry) in entries.iter().enumerate() {
            if u64::from(entry.offset) != offset {
                return Err(ZipError::Member {
                    name: entry.name.clone(),
                    why: "it is not where it belongs".to_owned(),
                });
            }
            offset = entry.data_offset() + u64::from(entry.bytes);
            if by_name.insert(entry.name.clone(), index).is_some() {
                return Err(ZipError::Member { name: entry.name.clone(), why: "it is there twice".to_owned() });
            }
        }
        if offset != directory_offset {
            return Err(whole("its members do not fill it; bytes were cut or added"));
        }
        let mut reader = Self { input, entries, by_name };
        for index in 0..reader.entries.len() {
            reader.check_header(index)?;
        }
        Ok(reader)
    }

    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// A member's contents, if it is there; refused when longer than `bytes_max` or when its checksum is wrong.
    pub(crate) fn read(&mut self, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, ZipError> {
        let Some(mut stream) = self.stream(name) else { return Ok(None) };
        let long = stream.entry.bytes as usize > bytes_max;
        if long {
            let why = format!("{} bytes are more than the {bytes_max} it may have", stream.entry.bytes);
            return Err(ZipError::Member { name: name.to_owned(), why });
        }
        let mut bytes = vec![0; stream.entry.bytes as usize];
        stream.fill(self, &mut bytes)?;
        stream.finish()?;
        Ok(Some(bytes))
    }

    /// Starts reading a member piece by piece, others in between as one likes.
    pub(crate) fn stream(&self, name: &str) -> Option<Stream> {
        let entry = self.entries.get(*self.by_name.get(name)?)?.clone();
        Some(Stream { read: 0, crc: crc32fast::Hasher::new(), entry })
    }

    fn check_header(&mut self, index: usize) -> Result<(), ZipError> {
        let entry = &self.entries[index];
        let found = read_at(&mut self.input, u64::from(entry.offset), entry.local_bytes())?;
        if found == entry.local() {
            return Ok(());
        }
        let why = "its header is not what the directory says".to_owned();
        Err(ZipError::Member { name: entry.name.clone(), why })
    }
}

/// How far one member was read.
#[derive(Clone)]
pub(crate) struct Stream {
    entry: Entry,
    read: u64,
    crc: crc32fast::Hasher,
}

impl Stream {
    pub(crate) fn bytes_left(&self) -> u64 {
        u64::from(self.entry.bytes) - self.read
    }

    /// Fills the buffer, which is at most [`Stream::bytes_left`] long.
    pub(crate) fn fill<R: Read + Seek>(&mut self, zip: &mut ZipReader<R>, buffer: &mut [u8]) -> Result<(), ZipError> {
        zip.input.seek(SeekFrom::Start(self.entry.data_offset() + self.read))?;
        zip.input.read_exact(buffer).map_err(cut)?;
        self.crc.update(buffer);
        self.read += buffer.len() as u64;
        Ok(())
    }

    /// Checks the checksum once all is read.
    pub(crate) fn finish(self) -> Result<(), ZipError> {
        if self.bytes_left() == 0 && self.crc.finalize() == self.entry.crc {
            return Ok(());
        }
        Err(ZipError::Member { name: self.entry.name, why: "its checksum is wrong".to_owned() })
    }
}

fn directory_entries(directory: &[u8], members: usize) -> Result<Vec<Entry>, ZipError> {
    let broken = |index: usize| whole(format!("entry {} of its directory was altered", index + 1));
    let mut entries = Vec::with_capacity(members);
    let mut rest = directory;
    for index in 0..members {
        let (header, after) = rest.split_first_chunk::<CENTRAL_HEADER_BYTES>().ok_or_else(|| broken(index))?;
        let field = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let name_bytes = usize::from(u16::from_le_bytes([header[28], header[29]]));
        let (name, after) = after.split_at_checked(name_bytes).ok_or_else(|| broken(index))?;
        let name = std::str::from_utf8(name).ok().filter(|name| valid_name(name)).ok_or_else(|| broken(index))?;
        let entry = Entry { name: name.to_owned(), crc: field(16), bytes: field(24), offset: field(42) };
        // Writing it again settles all fields that have one value only: method, flags, times, attributes, extras.
        let written = entry.central();
        if written[..CENTRAL_HEADER_BYTES] != header[..] {
            return Err(ZipError::Member { name: entry.name, why: "its directory entry was altered".to_owned() });
        }
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(whole("its directory has bytes after its last entry")) }
}

fn read_at<R: Read + Seek>(input: &mut R, offset: u64, bytes: u64) -> Result<Vec<u8>, ZipError> {
    input.seek(SeekFrom::Start(offset))?;
    let mut buffer = vec![0; usize::try_from(bytes).map_err(|_| whole("it is too long for this machine"))?];
    input.read_exact(&mut buffer).map_err(cut)?;
    Ok(buffer)
}

/// A file that ends early is a bundle that was cut, not a disk that failed.
fn cut(error: io::Error) -> ZipError {
    if error.kind() == io::ErrorKind::UnexpectedEof { whole("it ends early") } else { ZipError::Io(error) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn write(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in members {
            zip.member(name, bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn what_is_written_is_read() {
        let members: [(&str, &[u8]); 3] = [("a", b"first"), ("b/c.d", b""), ("b/e", &[7; 100_000])];
        let mut zip = ZipReader::open(Cursor::new(write(&members))).unwrap();
        assert_eq!(zip.names().collect::<Vec<_>>(), ["a", "b/c.d", "b/e"]);
        for (name, bytes) in members {
            assert_eq!(zip.read(name, 100_000).unwrap().unwrap(), bytes);
        }
        assert!(zip.read("x", 10).unwrap().is_none());
        assert!(matches!(zip.read("b/e", 99_999), Err(ZipError::Member { .. })));
        assert!(ZipReader::open(Cursor::new(write(&[]))).is_ok());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let members: [(&str, &[u8]); 2] = [("a", b"first"), ("b/c", b"second")];
        let good = write(&members);
        for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let read = ZipReader::open(Cursor::new(bytes)).and_then(|mut zip| {
                let all: Vec<String> = zip.names().map(str::to_owned).collect();
                all.iter().try_for_each(|name| zip.read(name, 100).map(drop))?;
                Ok(all)
            });
            // A name may turn into another valid one only together with both its headers.
            assert!(read.is_err(), "bit {bit} of byte {at}");
        }
        for length in 0..good.len() {
            assert!(ZipReader::open(Cursor::new(good[..length].to_vec())).is_err(), "cut to {length}");
        }
        for more in [b"x".as_slice(), &good] {
            assert!(ZipReader::open(Cursor::new([&good, more].concat())).is_err());
            assert!(ZipReader::open(Cursor::new([more, &good].concat())).is_err());
        }
    }

    #[test]
    fn names_that_would_leave_the_bundle_are_refused() {
        for bad in ["", "/a", "a//b", "../a", "a/..", ".a", "a\\b", "a b", "ä", "a/"] {
            assert!(ZipWriter::new(Cursor::new(Vec::new())).start(bad).is_err(), "{bad}");
        }
        let mut twice = ZipWriter::new(Cursor::new(Vec::new()));
        twice.member("a", b"").unwrap();
        twice.member("a", b"").unwrap();
        assert!(matches!(ZipReader::open(twice.finish().unwrap()), Err(ZipError::Member { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), tail in any::<bool>()) {
            let mut bytes = bytes;
            if tail {
                bytes.extend(end(1, bytes.len() as u64, 0).unwrap());
            }
            let _ = ZipReader::open(Cursor::new(bytes));
        }
    }
}
