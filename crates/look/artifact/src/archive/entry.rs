//! One member of a zip: its headers, and its unpacked bytes.

use std::io::{self, Read};

use crate::budget::Budget;
use crate::source::{Reader, Source};
use crate::unread::Unread;

/// What a member's local header and directory record agree or disagree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) packed: u64,
    pub(crate) size: u64,
    /// Where the local header lies.
    pub(crate) header: u64,
    /// Unix mode, from the directory record.
    pub(crate) mode: u32,
}

/// Encrypted, by the general purpose flags.
pub(crate) const ENCRYPTED: u16 = 1;
/// Sizes follow the data.
pub(crate) const DESCRIPTOR: u16 = 8;

const LOCAL: &[u8] = b"PK\x03\x04";

/// A local header: its record, and how long it is.
pub(crate) fn local(source: &Source, at: u64) -> Result<Option<(Entry, u64)>, Unread> {
    let fixed = source.some(at, 30)?;
    if fixed.len() < 30 || !fixed.starts_with(LOCAL) {
        return Ok(None);
    }
    let (name_len, extra_len) = (u16_at(&fixed, 26), u16_at(&fixed, 28));
    let variable = source.some(at + 30, usize::from(name_len) + usize::from(extra_len))?;
    let name = variable.get(..usize::from(name_len)).unwrap_or(&variable);
    let extra = variable.get(usize::from(name_len)..).unwrap_or_default();
    let mut entry = Entry {
        name: String::from_utf8_lossy(name).into_owned(),
        flags: u16_at(&fixed, 6),
        method: u16_at(&fixed, 8),
        crc: u32_at(&fixed, 14),
        packed: u32_at(&fixed, 18).into(),
        size: u32_at(&fixed, 22).into(),
        header: at,
        mode: 0,
    };
    zip64(extra, &mut entry);
    Ok(Some((entry, 30 + u64::from(name_len) + u64::from(extra_len))))
}

/// A record of the central directory: itself, and its length; nothing when there is none.
pub(crate) fn record(bytes: &[u8]) -> Option<(Entry, usize)> {
    if bytes.len() < 46 || !bytes.starts_with(b"PK\x01\x02") {
        return None;
    }
    let lens = [u16_at(bytes, 28), u16_at(bytes, 30), u16_at(bytes, 32)].map(usize::from);
    let name = bytes.get(46..46 + lens[0])?;
    let extra = bytes.get(46 + lens[0]..46 + lens[0] + lens[1])?;
    let len = 46 + lens.iter().sum::<usize>();
    bytes.get(..len)?;
    let mut entry = Entry {
        name: String::from_utf8_lossy(name).into_owned(),
        flags: u16_at(bytes, 8),
        method: u16_at(bytes, 10),
        crc: u32_at(bytes, 16),
        packed: u32_at(bytes, 20).into(),
        size: u32_at(bytes, 24).into(),
        header: u32_at(bytes, 42).into(),
        mode: u32_at(bytes, 38) >> 16,
    };
    zip64(extra, &mut entry);
    Some((entry, len))
}

/// The zip64 extra field replaces what did not fit, in this order.
fn zip64(extra: &[u8], entry: &mut Entry) {
    let mut rest = extra;
    while rest.len() >= 4 {
        let (id, len) = (u16_at(rest, 0), usize::from(u16_at(rest, 2)));
        let Some(field) = rest.get(4..4 + len) else { return };
        if id == 1 {
            let mut numbers = field.chunks_exact(8).map(|bytes| u64_at(bytes, 0));
            for number in [&mut entry.size, &mut entry.packed, &mut entry.header] {
                if *number == u64::from(u32::MAX) {
                    *number = numbers.next().unwrap_or(*number);
                }
            }
        }
        rest = &rest[4 + len..];
    }
}

/// The bytes as stored, from after the local header on.
pub(crate) fn data(source: &Source, entry: &Entry) -> Result<(Source, u64), Unread> {
    let Some((_, len)) = local(source, entry.header)? else {
        return Err(Unread::malformed(format!("local header of `{}`", entry.name), entry.header));
    };
    let start = entry.header + len;
    Ok((source.slice(start, entry.packed), start))
}

/// Unpacks what was stored with `method`; what stopped it, if anything did.
pub(crate) fn unpack(stored: &Source, method: u16, budget: &Budget) -> Result<(Source, Option<Unread>), Unread> {
    let open: fn(Reader) -> io::Result<Box<dyn Read + Send>> = match method {
        0 => return Ok((stored.clone(), None)),
        8 => |reader| Ok(Box::new(flate2::read::DeflateDecoder::new(reader))),
        12 => |reader| Ok(Box::new(bzip2::read::MultiBzDecoder::new(reader))),
        14 => |mut reader| {
            // Version and size of the properties, the properties, the stream.
            let mut head = [0; 9];
            reader.read_exact(&mut head)?;
            let dictionary = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
            Ok(Box::new(lzma_rust2::LzmaReader::new_with_props(
                reader,
                u64::MAX,
                head[4],
                dictionary.min(96 << 20),
                None,
            )?))
        },
        93 => |reader| {
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            decoder.window_log_max(26)?;
            Ok(Box::new(decoder))
        },
        95 => |reader| Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, 96 << 10))),
        other => return Err(Unread::Unsupported(format!("zip compression method {other}"))),
    };
    let packed = stored.clone();
    let unpack = Box::new(move || open(packed.reader()).unwrap_or_else(|error| Box::new(Failing(error.to_string()))));
    Ok(Source::unpacked(unpack, stored.len(), budget))
}

struct Failing(String);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other(self.0.clone()))
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
