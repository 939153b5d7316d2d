//! Every view of a zip: what the directory lists, what only local headers show, what lies between.
//!
//! Python's `zipfile` goes by the last end record and lets a prefix stand before the archive; torch's
//! C++ reader takes names from the directory and ignores checksums and flags; stream readers know no
//! directory at all. A member that any of them would see is a member here.

use crate::archive::entry::{self, Entry, u16_at, u32_at, u64_at};
use crate::budget::Budget;
use crate::source::{Source, Tape};
use crate::unread::Unread;

/// The end record and the longest comment.
const TAIL_BYTES: u64 = 22 + 65_535;
/// A directory larger than this is no model's.
const DIRECTORY_BYTES_MAX: u64 = 64 << 20;
/// Bytes between members that are searched for headers. Larger gaps are searched in part and said so.
const GAP_BYTES_MAX: u64 = 256 << 20;
/// End records looked at.
const ENDS_MAX: usize = 16;

/// What was found in a file that is a zip to somebody.
#[derive(Debug, Default)]
pub(crate) struct Views {
    /// Members of directories, the last one's first.
    pub(crate) listed: Vec<Entry>,
    /// Members that only a local header shows.
    pub(crate) unlisted: Vec<Entry>,
    /// More than one directory: which entries count depends on the reader.
    pub(crate) directories: usize,
    /// Bytes before the first member, and after the last end record.
    pub(crate) prefix: u64,
    pub(crate) suffix: Option<u64>,
    /// Stretches between members that are no padding: offset and length.
    pub(crate) gaps: Vec<(u64, u64)>,
    /// Members whose data lie over those of another.
    pub(crate) overlaps: usize,
    /// The last end record's own end.
    pub(crate) end: u64,
}

/// One directory: where it lies, how far offsets in it are shifted, where its end record ends.
struct Directory {
    start: u64,
    size: u64,
    shift: u64,
    end: u64,
    count: u64,
}

/// Whether some reader would open it as a zip.
pub(crate) fn is_one(source: &Source, head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || !directories(source).unwrap_or_default().is_empty()
}

/// All views.
pub(crate) fn read(source: &Source, budget: &Budget) -> Result<Views, Unread> {
    let directories = directories(source)?;
    let mut views = Views { directories: directories.len(), ..Views::default() };
    let mut covered: Vec<(u64, u64)> = Vec::new();
    for directory in directories.iter().rev() {
        let bytes = source.some(directory.start, usize::try_from(directory.size).unwrap_or_default())?;
        let mut rest = &bytes[..];
        let mut count = 0;
        while let Some((mut record, len)) = entry::record(rest) {
            budget.steps(20)?;
            record.header = record.header.saturating_add(directory.shift);
            if !views.listed.contains(&record) || views.listed.len() > 4_096 {
                views.listed.push(record);
            }
            rest = &rest[len..];
            count += 1;
        }
        if count < directory.count {
            return Err(Unread::malformed("central directory", directory.start));
        }
        covered.push((directory.start, directory.end));
        views.end = views.end.max(directory.end);
    }
    let mut members: Vec<(u64, u64)> = Vec::new();
    for listed in &views.listed {
        if let Some((local, len)) = entry::local(source, listed.header)? {
            let mut end = listed.header.saturating_add(len).saturating_add(listed.packed);
            if (listed.flags | local.flags) & entry::DESCRIPTOR != 0 {
                end = end.saturating_add(descriptor(source, end)?);
            }
            members.push((listed.header, end));
        }
    }
    members.sort_unstable();
    views.overlaps = members.windows(2).filter(|pair| pair[1].0 < pair[0].1 && pair[0] != pair[1]).count();
    views.prefix = members.first().map_or(0, |first| first.0);
    covered.extend(&members);
    covered.sort_unstable();
    look_between(source, &covered, budget, &mut views)?;
    if views.directories > 0 && views.end < source.len() {
        views.suffix = Some(views.end);
    }
    Ok(views)
}

/// A data descriptor's length: with or without signature, with sizes of four bytes or eight.
fn descriptor(source: &Source, at: u64) -> Result<u64, Unread> {
    let bytes = source.some(at, 28)?;
    let signed = if bytes.starts_with(b"PK\x07\x08") { 4 } else { 0 };
    let follows = |len: usize| bytes.get(len..len + 2) == Some(b"PK");
    Ok(if follows(signed + 12) {
        signed + 12
    } else if follows(signed + 20) {
        signed + 20
    } else {
        signed + 12
    } as u64)
}

/// Members and other bytes where no directory says that there are any.
fn look_between(source: &Source, covered: &[(u64, u64)], budget: &Budget, views: &mut Views) -> Result<(), Unread> {
    let mut at = 0;
    let mut open: Vec<(u64, u64)> = Vec::new();
    for &(start, end) in covered {
        if start > at {
            open.push((at, start));
        }
        at = at.max(end);
    }
    if at < source.len() && views.directories == 0 {
        open.push((at, source.len()));
    }
    for (from, to) in open {
        let mut found = 0;
        let mut at = from;
        let mut rest_from = from;
        while let Some(header) = next_local(source, at, to, budget)? {
            let Some((local, len)) = entry::local(source, header)? else { break };
            let data = header + len;
            let mut size = local.packed;
            if local.flags & entry::DESCRIPTOR != 0 && size == 0 {
                // The length is only known once it is unpacked, or where the next member begins.
                let next = next_local(source, data, to, budget)?.unwrap_or(to);
                size = next.saturating_sub(data);
            }
            budget.members(1)?;
            views.unlisted.push(Entry { packed: size.min(source.len() - data.min(source.len())), ..local });
            found += 1;
            if header > rest_from && rest_from == from && !padding(source, from, header)? {
                views.gaps.push((from, header - from));
            }
            at = data.saturating_add(size).max(header + 4);
            rest_from = at;
            if views.unlisted.len() > 10_000 {
                return Err(Unread::Limit(crate::Limit::Members));
            }
        }
        if rest_from < to && (found == 0 || rest_from > from) && !padding(source, rest_from, to)? {
            views.gaps.push((rest_from, to - rest_from));
        }
    }
    Ok(())
}

/// The next local header's signature in a stretch.
fn next_local(source: &Source, from: u64, to: u64, budget: &Budget) -> Result<Option<u64>, Unread> {
    let to = to.min(from.saturating_add(GAP_BYTES_MAX));
    let mut tape = Tape::new(source.clone());
    tape.seek(from);
    let finder = memchr::memmem::Finder::new(b"PK\x03\x04");
    while tape.offset() < to {
        if tape.fill(1)? == 0 {
            return Ok(None);
        }
        tape.fill(4)?;
        let buffered = tape.buffered();
        let within = usize::try_from(to - tape.offset()).unwrap_or(usize::MAX).min(buffered.len());
        if let Some(found) = finder.find(&buffered[..within]) {
            return Ok(Some(tape.offset() + found as u64));
        }
        budget.steps(within as u64 / 256)?;
        // Keep three bytes: a signature may lie across.
        let step = if within > 3 { within - 3 } else { within };
        tape.advance(step);
        if within <= 3 || tape.left() <= 3 {
            break;
        }
    }
    Ok(None)
}

/// Zeros, or torch's alignment by a repeated letter.
fn padding(source: &Source, from: u64, to: u64) -> Result<bool, Unread> {
    let len = to - from;
    if len > 4 << 20 {
        return Ok(false);
    }
    let bytes = source.some(from, usize::try_from(len).unwrap_or_default())?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

/// Every end record in the tail whose directory is there.
fn directories(source: &Source) -> Result<Vec<Directory>, Unread> {
    let tail_at = source.len().saturating_sub(TAIL_BYTES);
    let tail = source.some(tail_at, usize::try_from(TAIL_BYTES).unwrap_or_default())?;
    let mut found = Vec::new();
    for index in memchr::memmem::rfind_iter(&tail, b"PK\x05\x06").take(ENDS_MAX) {
        let Some(record) = tail.get(index..index + 22) else { continue };
        let at = tail_at + index as u64;
        let (mut count, mut size, mut offset) =
            (u64::from(u16_at(record, 10)), u64::from(u32_at(record, 12)), u64::from(u32_at(record, 16)));
        let mut before = at;
        if let Some(wide) = zip64_end(source, at)? {
            before = wide.at;
            (count, size, offset) = (wide.count, wide.size, wide.offset);
        }
        let end = (at + 22 + u64::from(u16_at(record, 20))).min(source.len());
        // As `zipfile` does: the directory ends where the end record begins; what that shifts is a prefix.
        let Some(start) = before.checked_sub(size) else { continue };
        if size > DIRECTORY_BYTES_MAX {
            return Err(Unread::Limit(crate::Limit::Within("central directory")));
        }
        let starts = |at: u64| Ok::<_, Unread>(size == 0 || source.some(at, 4)? == b"PK\x01\x02");
        if starts(start)? {
            let shift = start.saturating_sub(offset);
            found.push(Directory { start, size, shift, end, count });
        } else if starts(offset)? && offset < at {
            // Other readers believe the offset.
            found.push(Directory { start: offset, size: size.min(at - offset), shift: 0, end, count });
        }
    }
    found.reverse();
    // An empty archive counts only where nothing else is.
    if found.len() > 1 {
        found.retain(|directory| directory.size > 0);
    }
    Ok(found)
}

struct Wide {
    at: u64,
    count: u64,
    size: u64,
    offset: u64,
}

/// The zip64 end record before its locator, which stands right before the end record.
fn zip64_end(source: &Source, end: u64) -> Result<Option<Wide>, Unread> {
    let Some(locator_at) = end.checked_sub(20) else { return Ok(None) };
    let locator = source.some(locator_at, 20)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    let said = u64_at(&locator, 8);
    for at in [said, locator_at.saturating_sub(56)] {
        let record = source.some(at, 56)?;
        if record.starts_with(b"PK\x06\x06") {
            let (count, size, offset) = (u64_at(&record, 32), u64_at(&record, 40), u64_at(&record, 48));
            return Ok(Some(Wide { at, count, size, offset }));
        }
    }
    Ok(None)
}
