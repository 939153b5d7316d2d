//! The headers of RAR archives, versions 4 and 5 (<https://www.rarlab.com/technote.htm>): names, places, and whether a member is stored.
//!
//! The compression is proprietary and has no reader here; members that are merely stored are read.

use crate::budget::Budget;
use crate::source::Source;
use crate::unread::Unread;

/// A header of one member: long names and extra records fit.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// A member.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    /// Where its bytes begin in the archive.
    pub(crate) start: u64,
    /// Bytes as packed.
    pub(crate) packed: u64,
    /// Whether they are the member's own.
    pub(crate) stored: bool,
    pub(crate) encrypted: bool,
    /// It goes on in another volume.
    pub(crate) split: bool,
    pub(crate) folder: bool,
    /// Where a link leads.
    pub(crate) link: Option<String>,
}

/// What the headers say, and where the archive ends.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    pub(crate) files: Vec<File>,
    pub(crate) end: u64,
    /// Whether the header that ends an archive is missing.
    pub(crate) cut: bool,
}

/// Version 5's signature.
pub(crate) const FIVE: &[u8] = b"Rar!\x1a\x07\x01\x00";
/// The signature of versions 1.5 to 4.
pub(crate) const FOUR: &[u8] = b"Rar!\x1a\x07\x00";

/// Reads the headers of the archive that begins `source`.
///
/// # Errors
/// When they are cut, malformed or encrypted.
pub(crate) fn read(source: &Source, budget: &Budget) -> Result<Archive, Unread> {
    if source.head(FIVE.len())?.starts_with(FIVE) { five(source, budget) } else { four(source, budget) }
}

/// Bytes of a header, read from the front.
struct Head<'a>(&'a [u8]);

impl<'a> Head<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in 0..10 {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f).checked_shl(shift * 7)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

fn five(source: &Source, budget: &Budget) -> Result<Archive, Unread> {
    let mut archive = Archive::default();
    let mut at = FIVE.len() as u64;
    loop {
        budget.steps(20)?;
        // Checksum, length, then so many bytes.
        let start = source.some(at, 4 + 10)?;
        let mut head = Head(start.get(4..).unwrap_or_default());
        let before = head.0.len();
        let length = head.number().filter(|length| (1..=HEADER_BYTES_MAX).contains(length));
        let length = length.ok_or_else(|| Unread::malformed("RAR header", at))?;
        let begins = at + 4 + (before - head.0.len()) as u64;
        let bytes = source.exactly("RAR header", begins, usize::try_from(length).unwrap_or(0))?;
        let checked = source.some(at + 4, usize::try_from(begins - at - 4 + length).unwrap_or(0))?;
        let sum = u32::from_le_bytes([start[0], start[1], start[2], start[3]]);
        if crc32fast::hash(&checked) != sum {
            return Err(Unread::malformed("checksum of a RAR header", at));
        }
        let bad = || Unread::malformed("RAR header", at);
        let mut head = Head(&bytes);
        let kind = head.number().ok_or_else(bad)?;
        let flags = head.number().ok_or_else(bad)?;
        let extra = if flags & 1 != 0 { head.number().ok_or_else(bad)? } else { 0 };
        let data = if flags & 2 != 0 { head.number().ok_or_else(bad)? } else { 0 };
        let data_at = begins + length;
        let next = data_at.checked_add(data).ok_or_else(bad)?;
        if next > source.len() {
            let left = source.len().saturating_sub(data_at);
            return Err(Unread::Truncated { what: "member of a RAR archive", at: data_at, wanted: data, left });
        }
        match kind {
            2 => {
                budget.members(1)?;
                let mut file = file_five(&mut head, extra).ok_or_else(bad)?;
                (file.start, file.packed) = (data_at, data);
                file.split = flags & 0x18 != 0;
                archive.files.push(file);
            }
            4 => return Err(Unread::Unsupported("an encrypted RAR archive".to_owned())),
            5 => {
                archive.end = next;
                return Ok(archive);
            }
            // The main header; services hold comments and recovery records; 3.
            _ => {}
        }
        at = next;
        if at >= source.len() {
            (archive.end, archive.cut) = (at, true);
            return Ok(archive);
        }
    }
}

fn file_five(head: &mut Head<'_>, extra: u64) -> Option<File> {
    let flags = head.number()?;
    let _unpacked = head.number()?;
    let _attributes = head.number()?;
    if flags & 2 != 0 {
        head.take(4)?;
    }
    if flags & 4 != 0 {
        head.take(4)?;
    }
    let method = head.number()?;
    let _system = head.number()?;
    let name_len = usize::try_from(head.number()?).ok()?;
    let name = String::from_utf8_lossy(head.take(name_len)?).into_owned();
    let mut records = Head(head.take(usize::try_from(extra).ok()?)?);
    let (mut encrypted, mut link) = (false, None);
    while !records.0.is_empty() {
        let size = usize::try_from(records.number()?).ok()?;
        let mut record = Head(records.take(size)?);
        match record.number()? {
            1 => encrypted = true,
            5 => {
                let _kind = record.number()?;
                let _flags = record.number()?;
                let length = usize::try_from(record.number()?).ok()?;
                link = Some(String::from_utf8_lossy(record.take(length)?).into_owned());
            }
            _ => {}
        }
    }
    let (stored, folder) = (method >> 7 & 7 == 0, flags & 1 != 0);
    Some(File { name, start: 0, packed: 0, stored, encrypted, split: false, folder, link })
}

fn four(source: &Source, budget: &Budget) -> Result<Archive, Unread> {
    let mut archive = Archive::default();
    let mut at = FOUR.len() as u64;
    loop {
        budget.steps(20)?;
        let bad = || Unread::malformed("RAR header", at);
        let base = source.exactly("RAR header", at, 7)?;
        let u16_at = |bytes: &[u8], at: usize| bytes.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        let u32_at = |bytes: &[u8], at: usize| {
            bytes.get(at..at + 4).map(|b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
        };
        let (kind, flags, size) = (base[2], u16_at(&base, 3).unwrap_or(0), u16_at(&base, 5).unwrap_or(0));
        if size < 7 {
            return Err(bad());
        }
        let header = source.exactly("RAR header", at, size.into())?;
        // The checksum of the archive's own header and of members covers all but itself.
        let sum = u16::from_le_bytes([header[0], header[1]]);
        if matches!(kind, 0x73 | 0x74) && crc32fast::hash(&header[2..]) & 0xffff != u32::from(sum) {
            return Err(Unread::malformed("checksum of a RAR header", at));
        }
        let is_file = matches!(kind, 0x74 | 0x7a);
        let mut data = if flags & 0x8000 != 0 || is_file { u32_at(&header, 7).ok_or_else(bad)? } else { 0 };
        if is_file && flags & 0x100 != 0 {
            data |= u32_at(&header, 32).ok_or_else(bad)? << 32;
        }
        let data_at = at + u64::from(size);
        let next = data_at.checked_add(data).ok_or_else(bad)?;
        if next > source.len() {
            let left = source.len().saturating_sub(data_at);
            return Err(Unread::Truncated { what: "member of a RAR archive", at: data_at, wanted: data, left });
        }
        match kind {
            0x73 if flags & 0x80 != 0 => return Err(Unread::Unsupported("an encrypted RAR archive".to_owned())),
            0x74 => {
                budget.members(1)?;
                let method = *header.get(25).ok_or_else(bad)?;
                let length = usize::from(u16_at(&header, 26).ok_or_else(bad)?);
                let name_at = if flags & 0x100 != 0 { 40 } else { 32 };
                let name = header.get(name_at..name_at + length).ok_or_else(bad)?;
                // A Unicode form may follow behind a NUL; the plain one is what old readers use.
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                let unix = header.get(15) == Some(&3);
                let mode = u32_at(&header, 28).unwrap_or(0);
                let is_link = unix && mode & 0xf000 == 0xa000;
                let link = if is_link {
                    Some(String::from_utf8_lossy(&source.some(data_at, 4096)?).into_owned())
                } else {
                    None
                };
                archive.files.push(File {
                    name: String::from_utf8_lossy(name).replace('\\', "/"),
                    start: data_at,
                    packed: data,
                    stored: method == 0x30,
                    encrypted: flags & 4 != 0,
                    split: flags & 3 != 0,
                    folder: flags & 0xe0 == 0xe0,
                    link,
                });
            }
            0x7b => {
                archive.end = next;
                return Ok(archive);
            }
            0x72..=0x7a => {}
            _ => return Err(bad()),
        }
        at = next;
        if at >= source.len() {
            (archive.end, archive.cut) = (at, true);
            return Ok(archive);
        }
    }
}
