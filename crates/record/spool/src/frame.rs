//! A segment's bytes: its header, its frames, and what a crash or a fault left of them.
//!
//! A segment is a file of fixed size, zeros when made. Its first [`HEADER_BYTES`] say what it is; frames follow
//! without gaps, each on a multiple of 8:
//!
//! | bytes | |
//! |---|---|
//! | 4 | `HSF1` |
//! | 4 | CRC-32C over the spool's lineage, the segment's number, the frame's offset, and all that follows |
//! | 4 | length of the body |
//! | 4 | where the frame's group began |
//! | 8 | the event's `n`; 0 for the opening frame |
//! | | body, then zeros up to a multiple of 8 |
//!
//! Because the checksum covers the place, bytes of another spool, of another segment or from elsewhere in this one
//! never pass for a frame.
//!
//! **Torn or damaged?** A group is written only after the one before it was synced. So a frame says, by the offset of
//! its group, that everything before that offset was durable once. Bytes that are no frame, with nothing valid behind
//! them that vouches for them, are a torn tail: a crash cut a group that was never acknowledged. With such a frame
//! behind them, or with data in a later segment, they are damage.

use std::ops::Range;

use crate::record::{self, NotRecord};
use crate::{Position, Record};

/// The header has a page of its own, so that no group's write touches it.
pub(crate) const HEADER_BYTES: usize = 4096;
/// Recovery reads a segment whole.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// The form that this version writes, and the only one so far.
pub(crate) const VERSION: u32 = 1;
/// A name longer than this is somebody's text.
pub(crate) const NAME_BYTES_MAX: usize = 128;

const MAGIC: [u8; 8] = *b"HARISPOL";
const HEADER_FIXED: usize = 33;
pub(crate) const FRAME_HEADER: usize = 24;
const FRAME_MAGIC: [u8; 4] = *b"HSF1";
const ALIGN: usize = 8;

/// Which segment of which spool: seeds the checksum of each of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(lineage: &str, segment: u64) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(lineage.as_bytes()), &segment.to_le_bytes()))
    }

    fn checksum(self, offset: usize, rest: &[u8]) -> u32 {
        let placed = crc32c::crc32c_append(self.0, &(offset as u64).to_le_bytes());
        crc32c::crc32c_append(placed, rest)
    }
}

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) segment: u64,
    pub(crate) bytes: u64,
    /// The boot that made the spool's directory: the same in all its segments.
    pub(crate) lineage: String,
}

/// Why bytes are no header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotHeader {
    Version(u32),
    Damaged,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..24].copy_from_slice(&self.segment.to_le_bytes());
        out[24..32].copy_from_slice(&self.bytes.to_le_bytes());
        out[32] = u8::try_from(self.lineage.len()).expect("names are checked when a spool is opened");
        out[HEADER_FIXED..HEADER_FIXED + self.lineage.len()].copy_from_slice(self.lineage.as_bytes());
        let checksum = crc32c::crc32c(&out[16..]);
        out[12..16].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NotHeader> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or(NotHeader::Damaged)?;
        if bytes[..8] != MAGIC || u32_at(bytes, 12) != crc32c::crc32c(&bytes[16..]) {
            return Err(NotHeader::Damaged);
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(NotHeader::Version(u32_at(bytes, 8)));
        }
        let lineage = bytes.get(HEADER_FIXED..HEADER_FIXED + usize::from(bytes[32])).ok_or(NotHeader::Damaged)?;
        let lineage = std::str::from_utf8(lineage).map_err(|_| NotHeader::Damaged)?.to_owned();
        Ok(Self { segment: u64_at(bytes, 16), bytes: u64_at(bytes, 24), lineage })
    }
}

/// The first frame of a segment: written with the first group, so that nobody pays for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) node: String,
    pub(crate) boot: String,
    /// Where the segment before it ended. Shows a tail that turned into zeros.
    pub(crate) before: Position,
}

impl Opening {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(&self.before.segment.to_le_bytes());
        out.extend_from_slice(&self.before.offset.to_le_bytes());
        for name in [&self.node, &self.boot] {
            out.push(u8::try_from(name.len()).expect("names are checked when a spool is opened"));
            out.extend_from_slice(name.as_bytes());
        }
        out
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (before, rest) = body.split_at_checked(16)?;
        let (node_bytes, rest) = rest.split_first()?;
        let (node, rest) = rest.split_at_checked(usize::from(*node_bytes))?;
        let (boot_bytes, rest) = rest.split_first()?;
        let (boot, rest) = rest.split_at_checked(usize::from(*boot_bytes))?;
        rest.is_empty().then_some(())?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let before = Position { segment: u64_at(before, 0), offset: u64_at(before, 8) };
        Some(Self { node: text(node)?, boot: text(boot)?, before })
    }
}

/// Bytes that a body of this length takes in a segment.
pub(crate) fn frame_bytes(body_bytes: usize) -> usize {
    (FRAME_HEADER + body_bytes).next_multiple_of(ALIGN)
}

/// Starts a frame at the end of `out`: its body is appended next, then [`finish`].
pub(crate) fn start(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER]);
    at
}

/// Ends the frame that starts at `at`: everything but its place is known now.
pub(crate) fn finish(out: &mut Vec<u8>, at: usize, n: u64) {
    let body_bytes = u32::try_from(out.len() - at - FRAME_HEADER).expect("records are bounded far below 4 GiB");
    out[at..at + 4].copy_from_slice(&FRAME_MAGIC);
    out[at + 8..at + 12].copy_from_slice(&body_bytes.to_le_bytes());
    out[at + 16..at + 24].copy_from_slice(&n.to_le_bytes());
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// Gives a finished frame its place, and so its checksum. `frame` begins with the frame; its length is returned.
pub(crate) fn place(frame: &mut [u8], seed: Seed, offset: usize, group: usize) -> usize {
    let group = u32::try_from(group).expect("segments are bounded far below 4 GiB");
    frame[12..16].copy_from_slice(&group.to_le_bytes());
    let body_bytes = u32_at(frame, 8) as usize;
    let bytes = frame_bytes(body_bytes);
    let checksum = seed.checksum(offset, &frame[8..bytes]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Length in a segment of the finished frame that `frame` begins with.
pub(crate) fn length(frame: &[u8]) -> usize {
    frame_bytes(u32_at(frame, 8) as usize)
}

/// A frame found in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) n: u64,
    pub(crate) group: usize,
    pub(crate) body: &'a [u8],
}

impl Frame<'_> {
    pub(crate) fn bytes(&self) -> usize {
        frame_bytes(self.body.len())
    }
}

/// What lies at an offset.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Frame(Frame<'a>),
    /// Looks like a frame, but needs this many bytes in all, more than were given.
    Longer(usize),
    Nothing,
}

/// The frame that `bytes` begin with, if they do: `bytes` lie at `offset` of the segment.
pub(crate) fn parse(bytes: &[u8], seed: Seed, offset: usize) -> Found<'_> {
    if bytes.len() < FRAME_HEADER || bytes[..4] != FRAME_MAGIC {
        return Found::Nothing;
    }
    let body_bytes = u32_at(bytes, 8) as usize;
    let group = u32_at(bytes, 12) as usize;
    if !offset.is_multiple_of(ALIGN) || group > offset || body_bytes as u64 > SEGMENT_BYTES_MAX {
        return Found::Nothing;
    }
    let Some(checked) = bytes.get(8..frame_bytes(body_bytes)) else {
        return Found::Longer(frame_bytes(body_bytes));
    };
    if seed.checksum(offset, checked) != u32_at(bytes, 4) {
        return Found::Nothing;
    }
    Found::Frame(Frame { n: u64_at(bytes, 16), group, body: &bytes[FRAME_HEADER..FRAME_HEADER + body_bytes] })
}

/// What a scan made of a segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    pub(crate) opening: Option<Opening>,
    /// The `n` of the first record.
    pub(crate) first_n: u64,
    pub(crate) records: u64,
    /// After the last frame.
    pub(crate) end: usize,
    /// After the last byte that is not zero; over `end` when a tail is torn.
    pub(crate) used: usize,
    /// Stretches within `end` that are no frames and should be.
    pub(crate) damage: Vec<Range<usize>>,
}

impl Scan {
    /// Something in it is whole, or was.
    pub(crate) fn has_frames(&self) -> bool {
        self.end > HEADER_BYTES
    }
}

/// Finds the frames of a whole segment. `later_data`: a later segment has data, so that this one was synced to its end.
pub(crate) fn scan(bytes: &[u8], seed: Seed, later_data: bool) -> Scan {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).max(HEADER_BYTES.min(bytes.len()));
    let mut scan = Scan { end: HEADER_BYTES, used, ..Scan::default() };
    // A frame's padding may be the last thing in a segment: zeros that belong to it.
    let mut budget = Budget::new(bytes);
    let mut synced = None;
    while scan.end < used {
        if let Found::Frame(frame) = parse(&bytes[scan.end..], seed, scan.end) {
            scan.note(&frame);
            scan.end += frame.bytes();
            continue;
        }
        let hole = scan.end;
        let synced = *synced.get_or_insert_with(|| synced_upto(bytes, seed, hole, &mut budget));
        let next = resync(bytes, seed, hole, &mut budget);
        // Whoever exhausts the budget has put frames within frames here, which no crash does.
        if !later_data && hole >= synced && !budget.spent {
            break;
        }
        scan.end = next.unwrap_or(used.next_multiple_of(ALIGN).min(bytes.len()));
        scan.damage.push(hole..scan.end);
    }
    scan
}

impl Scan {
    fn note(&mut self, frame: &Frame<'_>) {
        if frame.n == 0 {
            self.opening = self.opening.take().or_else(|| Opening::decode(frame.body));
            return;
        }
        if self.records == 0 {
            self.first_n = frame.n;
        }
        self.records += 1;
    }
}

/// How often each byte may be read while looking for frames among bytes that are none: somebody who can write here could
/// nest headers that all claim the whole segment.
const RESYNC_READS: usize = 8;

struct Budget {
    left: usize,
    spent: bool,
}

impl Budget {
    fn new(bytes: &[u8]) -> Self {
        Self { left: bytes.len().saturating_mul(RESYNC_READS), spent: false }
    }

    fn parse<'a>(&mut self, bytes: &'a [u8], seed: Seed, offset: usize) -> Found<'a> {
        let rest = &bytes[offset..];
        if rest.len() < FRAME_HEADER || rest[..4] != FRAME_MAGIC {
            return Found::Nothing;
        }
        let claimed = (u32_at(rest, 8) as usize).min(rest.len());
        self.spent |= claimed > self.left;
        if self.spent {
            return Found::Nothing;
        }
        self.left -= claimed;
        parse(rest, seed, offset)
    }
}

/// The next frame after `hole`.
fn resync(bytes: &[u8], seed: Seed, hole: usize, budget: &mut Budget) -> Option<usize> {
    let mut offset = (hole + 1).next_multiple_of(ALIGN);
    while offset + FRAME_HEADER <= bytes.len() {
        if matches!(budget.parse(bytes, seed, offset), Found::Frame(_)) {
            return Some(offset);
        }
        offset += ALIGN;
    }
    None
}

/// Up to where the frames behind `hole` say that all was synced before they were written.
fn synced_upto(bytes: &[u8], seed: Seed, hole: usize, budget: &mut Budget) -> usize {
    let mut synced = 0;
    let mut offset = (hole + 1).next_multiple_of(ALIGN);
    while offset + FRAME_HEADER <= bytes.len() {
        match budget.parse(bytes, seed, offset) {
            Found::Frame(frame) => {
                synced = synced.max(frame.group);
                offset += frame.bytes();
            }
            _ => offset += ALIGN,
        }
    }
    synced
}

/// The next frame behind bytes at `hole` that are none.
pub(crate) fn next_frame(bytes: &[u8], seed: Seed, hole: usize) -> Option<usize> {
    resync(bytes, seed, hole, &mut Budget::new(bytes))
}

/// Everything that the bytes of one segment file still tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvage {
    /// The records found, in order, and where each begins.
    pub records: Vec<(Position, Record)>,
    /// Stretches that are damaged, as byte ranges of the file.
    pub damage: Vec<Range<u64>>,
    /// A tail that a crash cut: never acknowledged.
    pub torn: Option<Range<u64>>,
}

/// Reads a segment file without a spool around it: for a person with a broken disk, and for the fuzzer.
///
/// Never panics; memory stays within a small multiple of `bytes`. `None` when the header cannot be read.
#[must_use]
pub fn salvage(bytes: &[u8]) -> Option<Salvage> {
    let header = Header::decode(bytes).ok()?;
    let seed = Seed::new(&header.lineage, header.segment);
    let scan = scan(bytes, seed, false);
    let mut out = Salvage { records: Vec::new(), damage: Vec::new(), torn: None };
    let wide = |range: &Range<usize>| range.start as u64..range.end as u64;
    out.damage.extend(scan.damage.iter().map(wide));
    let mut offset = HEADER_BYTES;
    let mut holes = scan.damage.iter().peekable();
    while offset < scan.end {
        if let Some(hole) = holes.next_if(|hole| hole.start == offset) {
            offset = hole.end;
            continue;
        }
        let Found::Frame(frame) = parse(&bytes[offset..], seed, offset) else {
            break;
        };
        let at = Position { segment: header.segment, offset: offset as u64 };
        if frame.n > 0 {
            match record::decode(frame.body) {
                Ok(record) => out.records.push((at, record)),
                Err(NotRecord::Malformed | NotRecord::UnknownKind(_)) => {
                    out.damage.push(wide(&(offset..offset + frame.bytes())));
                }
            }
        }
        offset += frame.bytes();
    }
    out.torn = (scan.used > scan.end).then(|| wide(&(scan.end..scan.used)));
    Some(out)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
