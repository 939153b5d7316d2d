//! The headers of a 7z archive (`DOC/7zFormat.txt` of the LZMA SDK): which coders unpack which stretches, and what lies in them.
//!
//! Unpacked here are copies, LZMA, LZMA2, Deflate, bzip2, Zstandard, and the filters of executables before them.
//! Encryption, PPMd and coders with several streams are named and left closed.

use std::io::{self, Read};

use crate::Limit;
use crate::budget::Budget;
use crate::source::Source;
use crate::unread::Unread;

/// Headers of archives with 100,000 members stay below this.
const HEADER_BYTES_MAX: usize = 32 << 20;
/// Coders of one folder, streams of one coder: the reference reader's own limit.
const CODERS_MAX: u64 = 32;
/// Layers of packed headers. The reference writer makes one.
const HEADERS_MAX: usize = 4;
/// What a decoder may hold for its window.
const WINDOW_BYTES_MAX: u32 = 96 << 20;

/// A stretch of the archive that is unpacked as a whole: members lie in it one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    coders: Vec<Coder>,
    /// The coders from the one that gives the members' bytes to the one that takes the packed ones; empty when they
    /// are no plain chain.
    chain: Vec<usize>,
    packed_streams: u64,
    has_digest: bool,
    /// Bytes once unpacked, of each coder.
    sizes: Vec<u64>,
    /// Members in it.
    members: u64,
}

#[derive(Clone, Debug)]
struct Coder {
    id: Vec<u8>,
    properties: Vec<u8>,
    simple: bool,
}

/// A member: its name, and where it lies.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    /// The folder, the first byte in it, and how many; nothing for folders of the file system and empty files.
    pub(crate) place: Option<(usize, u64, u64)>,
}

/// All that the headers say.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    pub(crate) folders: Vec<Folder>,
    /// Where each folder's packed bytes begin, and how many there are.
    pub(crate) packed: Vec<(u64, u64)>,
    pub(crate) files: Vec<File>,
    /// Where the archive ends.
    pub(crate) end: u64,
}

/// Bytes of a header, read from the front.
struct Head<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn broken(what: &str, at: usize) -> Unread {
    Unread::malformed(format!("{what} in a 7z header"), at as u64)
}

impl<'a> Head<'a> {
    fn byte(&mut self) -> Result<u8, Unread> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| broken("end", self.at))?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Unread> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let bytes = end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| broken("length", self.at))?;
        self.at += bytes.len();
        Ok(bytes)
    }

    /// A number of up to 64 bits: the first byte's leading ones count the bytes that follow.
    fn number(&mut self) -> Result<u64, Unread> {
        let first = self.byte()?;
        let more = first.leading_ones();
        let mut value = 0_u64;
        for index in 0..more {
            value |= u64::from(self.byte()?) << (8 * index);
        }
        if more < 7 {
            let high = u64::from(first & (0x7f_u8 >> more));
            value |= high << (8 * more);
        }
        Ok(value)
    }

    /// How many of something follow: never more than bytes are left to describe them, given one bit each.
    fn count(&mut self) -> Result<u64, Unread> {
        let at = self.at;
        let count = self.number()?;
        let room = (self.bytes.len() as u64).saturating_mul(8);
        if count > room { Err(broken("count", at)) } else { Ok(count) }
    }

    fn bits(&mut self, count: u64) -> Result<Vec<bool>, Unread> {
        let bytes = self.take(count.div_ceil(8))?;
        Ok((0..usize::try_from(count).unwrap_or(0)).map(|i| bytes[i / 8] & (0x80 >> (i % 8)) != 0).collect())
    }

    /// Passes checksums, which nothing here needs; says which there are.
    fn digests(&mut self, count: u64) -> Result<Vec<bool>, Unread> {
        let all = self.byte()? != 0;
        let known = if all { vec![true; usize::try_from(count).unwrap_or(0)] } else { self.bits(count)? };
        let sum = known.iter().filter(|known| **known).count() as u64;
        self.take(sum.saturating_mul(4))?;
        Ok(known)
    }
}

/// Reads the headers of the archive that begins `source`.
///
/// # Errors
/// When they are cut, malformed, encrypted, or beyond a limit.
pub(crate) fn read(source: &Source, budget: &Budget) -> Result<Archive, Unread> {
    let start = source.exactly("7z header", 0, 32)?;
    let number = |at: usize| u64::from_le_bytes(start[at..at + 8].try_into().expect("eight bytes"));
    let (offset, size) = (number(12), number(20));
    if size == 0 {
        return Ok(Archive { end: 32, ..Archive::default() });
    }
    let at = offset.checked_add(32).ok_or_else(|| Unread::malformed("offset of the 7z header", 12))?;
    let end = at.checked_add(size).ok_or_else(|| Unread::malformed("length of the 7z header", 20))?;
    if end > source.len() {
        let left = source.len().saturating_sub(at);
        return Err(Unread::Truncated { what: "7z header", at, wanted: size, left });
    }
    let mut bytes = source.slice(at, size).all("bytes of a 7z header", HEADER_BYTES_MAX)?;
    for _ in 0..HEADERS_MAX {
        budget.steps(bytes.len() as u64 / 8 + 100)?;
        let mut head = Head { bytes: &bytes, at: 0 };
        match head.byte()? {
            1 => {
                let mut archive = header(&mut head, budget)?;
                archive.end = end;
                return Ok(archive);
            }
            0x17 => {
                let archive = streams(&mut head)?;
                if archive.folders.len() != 1 {
                    return Err(broken("packed header", 0));
                }
                let (unpacked, stop) = archive.unpack(0, source, budget)?;
                if let Some(stop) = stop {
                    return Err(stop);
                }
                bytes = unpacked.all("bytes of a 7z header", HEADER_BYTES_MAX)?;
            }
            _ => return Err(broken("type", 0)),
        }
    }
    Err(Unread::Limit(Limit::Within("packed headers of a 7z archive")))
}

fn header(head: &mut Head<'_>, budget: &Budget) -> Result<Archive, Unread> {
    let mut archive = Archive::default();
    loop {
        match head.byte()? {
            0 => return Ok(archive),
            // Properties of the archive: a type and its bytes, until a zero.
            2 => {
                while head.byte()? != 0 {
                    let size = head.number()?;
                    head.take(size)?;
                }
            }
            // Streams that hold more of the header: no writer makes any.
            3 => {
                streams(head)?;
            }
            4 => archive = streams(head)?,
            5 => files(head, &mut archive, budget)?,
            _ => return Err(broken("part", head.at)),
        }
    }
}

fn streams(head: &mut Head<'_>) -> Result<Archive, Unread> {
    let mut archive = Archive::default();
    let (mut position, mut sizes) = (0, Vec::new());
    let mut substreams = false;
    loop {
        match head.byte()? {
            0 => break,
            6 => (position, sizes) = pack(head)?,
            7 => archive.folders = unpack_info(head)?,
            8 => {
                substreams = true;
                let places = substream_sizes(head, &mut archive.folders)?;
                archive.files =
                    places.into_iter().map(|place| File { name: String::new(), place: Some(place) }).collect();
            }
            _ => return Err(broken("stream", head.at)),
        }
    }
    if !substreams {
        for (index, folder) in archive.folders.iter_mut().enumerate() {
            folder.members = 1;
            archive.files.push(File { name: String::new(), place: Some((index, 0, folder.size())) });
        }
    }
    let mut sizes = sizes.into_iter();
    let mut at = 32_u64.checked_add(position).ok_or_else(|| broken("position", head.at))?;
    for folder in &archive.folders {
        let mut sum = 0_u64;
        for _ in 0..folder.packed_streams {
            let size = sizes.next().ok_or_else(|| broken("packed stream", head.at))?;
            sum = sum.checked_add(size).ok_or_else(|| broken("packed stream", head.at))?;
        }
        archive.packed.push((at, sum));
        at = at.checked_add(sum).ok_or_else(|| broken("packed stream", head.at))?;
    }
    Ok(archive)
}

/// Where packed bytes begin, behind the first header, and how many each stream has.
fn pack(head: &mut Head<'_>) -> Result<(u64, Vec<u64>), Unread> {
    let position = head.number()?;
    let count = head.count()?;
    let mut sizes = Vec::new();
    loop {
        match head.byte()? {
            0 => return Ok((position, sizes)),
            9 => {
                for _ in 0..count {
                    sizes.push(head.number()?);
                }
            }
            10 => {
                head.digests(count)?;
            }
            _ => return Err(broken("packed stream", head.at)),
        }
    }
}

fn unpack_info(head: &mut Head<'_>) -> Result<Vec<Folder>, Unread> {
    if head.byte()? != 11 {
        return Err(broken("folder", head.at));
    }
    let count = head.count()?;
    if head.byte()? != 0 {
        return Err(Unread::Unsupported("a 7z archive whose folders are described elsewhere".to_owned()));
    }
    let mut folders = Vec::new();
    for _ in 0..count {
        folders.push(folder(head)?);
    }
    if head.byte()? != 12 {
        return Err(broken("size of a folder", head.at));
    }
    for folder in &mut folders {
        for _ in 0..folder.coders.len() {
            folder.sizes.push(head.number()?);
        }
    }
    loop {
        match head.byte()? {
            0 => return Ok(folders),
            10 => {
                for (folder, known) in folders.iter_mut().zip(head.digests(count)?) {
                    folder.has_digest = known;
                }
            }
            _ => return Err(broken("folder", head.at)),
        }
    }
}

fn folder(head: &mut Head<'_>) -> Result<Folder, Unread> {
    let at = head.at;
    let count = head.number()?;
    if count == 0 || count > CODERS_MAX {
        return Err(broken("coder", at));
    }
    let mut folder = Folder::default();
    let (mut inputs, mut outputs) = (0_u64, 0_u64);
    for _ in 0..count {
        let flags = head.byte()?;
        let id = head.take(u64::from(flags & 15))?.to_vec();
        let (ins, outs) = if flags & 0x10 != 0 { (head.number()?, head.number()?) } else { (1, 1) };
        if ins > CODERS_MAX || outs > CODERS_MAX {
            return Err(broken("coder", head.at));
        }
        inputs += ins;
        outputs += outs;
        let properties = if flags & 0x20 != 0 {
            let size = head.number()?;
            head.take(size)?.to_vec()
        } else {
            Vec::new()
        };
        folder.coders.push(Coder { id, properties, simple: ins == 1 && outs == 1 });
    }
    let pairs = outputs.saturating_sub(1);
    let mut feeds = Vec::new();
    for _ in 0..pairs {
        feeds.push((head.number()?, head.number()?));
    }
    folder.chain = chain(&folder.coders, &feeds);
    folder.packed_streams = inputs.saturating_sub(pairs);
    if folder.packed_streams > 1 {
        for _ in 0..folder.packed_streams {
            head.number()?;
        }
    }
    Ok(folder)
}

/// Follows each coder's input to the coder whose output feeds it.
fn chain(coders: &[Coder], feeds: &[(u64, u64)]) -> Vec<usize> {
    let count = coders.len() as u64;
    let first = (0..count).find(|output| feeds.iter().all(|(_, out)| out != output));
    let mut order: Vec<usize> = Vec::new();
    let mut next = first;
    while let Some(index) = next.and_then(|index| usize::try_from(index).ok()) {
        if !coders.get(index).is_some_and(|coder| coder.simple) || order.contains(&index) {
            return Vec::new();
        }
        order.push(index);
        next = feeds.iter().find(|(input, _)| *input == index as u64).map(|(_, output)| *output);
    }
    if order.len() == coders.len() { order } else { Vec::new() }
}

/// Folder, offset and length of each member that has bytes.
fn substream_sizes(head: &mut Head<'_>, folders: &mut [Folder]) -> Result<Vec<(usize, u64, u64)>, Unread> {
    for folder in folders.iter_mut() {
        folder.members = 1;
    }
    let mut places = None;
    loop {
        match head.byte()? {
            0 => return places.map_or_else(|| place(None, folders), Ok),
            13 => {
                for folder in folders.iter_mut() {
                    folder.members = head.count()?;
                }
            }
            9 => places = Some(place(Some(head), folders)?),
            10 => {
                // A folder of one member has its checksum among the folders'.
                let own = |folder: &Folder| if folder.members == 1 && folder.has_digest { 0 } else { folder.members };
                let count = folders.iter().map(own).fold(0_u64, u64::saturating_add);
                if count > (head.bytes.len() as u64).saturating_mul(8) {
                    return Err(broken("checksum", head.at));
                }
                head.digests(count)?;
            }
            _ => return Err(broken("member", head.at)),
        }
    }
}

/// The sizes of all members but the last of each folder are written; the last has the rest.
fn place(mut head: Option<&mut Head<'_>>, folders: &[Folder]) -> Result<Vec<(usize, u64, u64)>, Unread> {
    let mut places = Vec::new();
    for (index, folder) in folders.iter().enumerate() {
        let mut at = 0_u64;
        for left in (0..folder.members).rev() {
            let rest = folder.size().checked_sub(at).ok_or_else(|| broken("size of a member", 0))?;
            let size = match (left, &mut head) {
                (0, _) => rest,
                (_, Some(head)) => head.number()?,
                (_, None) => return Err(broken("size of a member", 0)),
            };
            if size > rest {
                return Err(broken("size of a member", 0));
            }
            places.push((index, at, size));
            at += size;
        }
    }
    Ok(places)
}

fn files(head: &mut Head<'_>, archive: &mut Archive, budget: &Budget) -> Result<(), Unread> {
    let count = head.count()?;
    budget.members(count)?;
    let mut empty = vec![false; usize::try_from(count).unwrap_or(0)];
    let mut names: Vec<String> = Vec::new();
    loop {
        let kind = head.byte()?;
        if kind == 0 {
            break;
        }
        let size = head.number()?;
        let mut inner = Head { bytes: head.take(size)?, at: 0 };
        match kind {
            14 => empty = inner.bits(count)?,
            17 => {
                if inner.byte()? != 0 {
                    return Err(Unread::Unsupported("a 7z archive whose names lie elsewhere".to_owned()));
                }
                let units: Vec<u16> =
                    inner.bytes[1..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
                names = units.split(|unit| *unit == 0).map(String::from_utf16_lossy).collect();
            }
            // Times, attributes, padding: nothing that a reader of the bytes would miss.
            _ => {}
        }
    }
    let mut places = std::mem::take(&mut archive.files).into_iter().map(|file| file.place);
    let mut names = names.into_iter();
    for is_empty in empty {
        let name = names.next().unwrap_or_default();
        let place = if is_empty { None } else { places.next().ok_or_else(|| broken("member", head.at))? };
        archive.files.push(File { name, place });
    }
    // Bytes of a folder that no member names are looked at as well.
    archive.files.extend(places.map(|place| File { name: "(unnamed)".to_owned(), place }));
    Ok(())
}

impl Folder {
    /// Bytes once unpacked.
    fn size(&self) -> u64 {
        let last = self.chain.first().copied().unwrap_or(0);
        self.sizes.get(last).copied().unwrap_or(0)
    }

    /// Why it cannot be opened.
    fn closed(&self) -> Option<String> {
        if let Some(coder) = self.coders.iter().find(|coder| !coder.is_known()) {
            return Some(if coder.id.starts_with(&[6, 0xf1, 7]) {
                "an encrypted 7z archive".to_owned()
            } else {
                format!("the 7z method {}", hex::encode(&coder.id))
            });
        }
        (self.chain.is_empty() || self.packed_streams != 1).then(|| "a 7z method of several streams".to_owned())
    }
}

impl Coder {
    fn is_known(&self) -> bool {
        matches!(
            self.id[..],
            [0] | [0x21]
                | [3]
                | [4..=0x0b]
                | [3, 1, 1]
                | [3, 3, 1, 3]
                | [3, 3, 2, 5]
                | [3, 3, 4, 1]
                | [3, 3, 5, 1]
                | [3, 3, 7, 1]
                | [3, 3, 8, 5]
                | [4, 1, 8]
                | [4, 2, 2]
                | [4, 0xf7, 0x11, 1]
        )
    }

    /// Puts the coder behind `reader`.
    fn open(&self, reader: Box<dyn Read + Send>, size: u64) -> io::Result<Box<dyn Read + Send>> {
        use lzma_rust2::filter::{bcj::BcjReader, delta::DeltaReader};
        let dictionary = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap_or([0xff; 4])).min(WINDOW_BYTES_MAX);
        Ok(match (&self.id[..], &self.properties[..]) {
            ([0], _) => reader,
            ([0x21], [bits, ..]) if *bits < 40 => {
                let size = (2 | u32::from(*bits) & 1) << (bits / 2 + 11);
                Box::new(lzma_rust2::Lzma2Reader::new(reader, size.min(WINDOW_BYTES_MAX), None))
            }
            ([3, 1, 1], [properties, window @ ..]) if window.len() == 4 => {
                Box::new(lzma_rust2::LzmaReader::new_with_props(reader, size, *properties, dictionary(window), None)?)
            }
            ([4, 1, 8], _) => Box::new(flate2::read::DeflateDecoder::new(reader)),
            ([4, 2, 2], _) => Box::new(bzip2::read::MultiBzDecoder::new(reader)),
            ([4, 0xf7, 0x11, 1], _) => {
                let mut decoder = zstd::stream::read::Decoder::new(reader)?;
                decoder.window_log_max(26)?;
                Box::new(decoder)
            }
            ([3], properties) => {
                Box::new(DeltaReader::new(reader, properties.first().map_or(0, |d| usize::from(*d)) + 1))
            }
            ([4] | [3, 3, 1, 3], _) => Box::new(BcjReader::new_x86(reader, 0)),
            ([5] | [3, 3, 2, 5], _) => Box::new(BcjReader::new_ppc(reader, 0)),
            ([6] | [3, 3, 4, 1], _) => Box::new(BcjReader::new_ia64(reader, 0)),
            ([7] | [3, 3, 5, 1], _) => Box::new(BcjReader::new_arm(reader, 0)),
            ([8] | [3, 3, 7, 1], _) => Box::new(BcjReader::new_arm_thumb(reader, 0)),
            ([9] | [3, 3, 8, 5], _) => Box::new(BcjReader::new_sparc(reader, 0)),
            ([0x0a], _) => Box::new(BcjReader::new_arm64(reader, 0)),
            ([0x0b], _) => Box::new(BcjReader::new_riscv(reader, 0)),
            _ => return Err(io::Error::other("properties of the coder")),
        })
    }
}

impl Archive {
    /// Unpacks a folder; what stopped it, if anything did.
    ///
    /// # Errors
    /// When its coders are not known here, or its bytes are not all there.
    pub(crate) fn unpack(
        &self,
        index: usize,
        source: &Source,
        budget: &Budget,
    ) -> Result<(Source, Option<Unread>), Unread> {
        let (Some(folder), Some((at, len))) = (self.folders.get(index), self.packed.get(index).copied()) else {
            return Err(broken("folder", 0));
        };
        if let Some(why) = folder.closed() {
            return Err(Unread::Unsupported(why));
        }
        if at.checked_add(len).is_none_or(|end| end > source.len()) {
            let left = source.len().saturating_sub(at);
            return Err(Unread::Truncated { what: "packed bytes of a 7z archive", at, wanted: len, left });
        }
        let packed = source.slice(at, len);
        if folder.coders.len() == 1 && folder.coders[0].id == [0] {
            return Ok((packed.slice(0, folder.size()), None));
        }
        let size = |index: &usize| folder.sizes.get(*index).copied().unwrap_or(0);
        let chain: Vec<(Coder, u64)> =
            folder.chain.iter().map(|index| (folder.coders[*index].clone(), size(index))).collect();
        let whole = folder.size();
        let stored = packed.clone();
        let unpack = Box::new(move || {
            let mut reader: io::Result<Box<dyn Read + Send>> = Ok(Box::new(stored.reader()));
            for (coder, size) in chain.iter().rev() {
                reader = reader.and_then(|reader| coder.open(reader, *size));
            }
            match reader {
                Ok(reader) => Box::new(reader.take(whole)) as Box<dyn Read + Send>,
                Err(error) => Box::new(Failing(error.to_string())),
            }
        });
        let (bytes, stop) = Source::unpacked(unpack, packed.len(), budget);
        if stop.is_none() && bytes.len() < whole {
            let (wanted, left) = (whole, bytes.len());
            return Ok((
                bytes,
                Some(Unread::Truncated { what: "unpacked bytes of a 7z archive", at: 0, wanted, left }),
            ));
        }
        Ok((bytes, stop))
    }
}

/// What could not even be opened fails when it is read.
struct Failing(String);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other(self.0.clone()))
    }
}
