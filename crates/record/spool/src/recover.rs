//! Opening a directory: what is durable is found and made durable again, a torn tail is cut, damage is named.
//!
//! The segment that was written last gets special care. Its bytes may come from the page cache: a process may have
//! died between writing and syncing, or its sync may have failed, after which the kernel counts the pages as clean
//! though the disk never got them. So what was found there is written again and synced before anybody reads it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haris_domain::Source;
use parking_lot::{Condvar, Mutex};

use crate::core::{Core, Desk, Queue, Segment, Stage, UNFINISHED_SUFFIX, segment_name, segment_number};
use crate::disk::{Disk, DiskFile, Identity};
use crate::frame::{self, HEADER_BYTES, Header, NAME_BYTES_MAX, NotHeader, SEGMENT_BYTES_MAX, Scan, Seed, VERSION};
use crate::keeper::Keeper;
use crate::state::{Damage, OpenError, Options, Position, SourceName};
use crate::writer::Writer;

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that are durable and not yet released, as far as the directory tells.
    pub records: u64,
    /// Where a crash cut a group that was never acknowledged, and how many bytes of it were dropped.
    pub torn: Option<(Position, u64)>,
    /// What was durable once and is no longer readable.
    pub damage: Vec<Damage>,
}

const LOCK_NAME: &str = "lock";

pub(crate) fn open(
    dir: &Path,
    name: SourceName,
    options: Options,
    disk: Arc<dyn Disk>,
) -> Result<(Core, Writer, Keeper, Recovery), OpenError> {
    check(&name, &options)?;
    make_dir(&*disk, dir)?;
    let lock_path = dir.join(LOCK_NAME);
    let lock = disk.lock(&lock_path).map_err(io_error("lock", &lock_path))?;
    let Some(lock) = lock else {
        return Err(OpenError::InUse { dir: dir.display().to_string() });
    };
    let numbers = sweep(&*disk, dir)?;
    let (lineage, segments, recovery) = recover(&*disk, dir, &name, &numbers)?;

    let newest = segments.last_key_value().map_or(0, |(number, _)| *number);
    let before = segments
        .last_key_value()
        .map_or(Position::START, |(number, segment)| Position { segment: *number, offset: segment.end });
    let core = Core {
        disk,
        dir: dir.to_owned(),
        options,
        lineage,
        desk: Mutex::new(Desk {
            queue: Queue::default(),
            in_flight: 0,
            source: Source { node: name.node, boot: name.boot, n: 0 },
            durable: 0,
            segments,
            newest,
            released: Position::START,
            released_records: 0,
            records: recovery.records,
            marks: BTreeMap::new(),
            refusing: None,
            spare_trouble: None,
            nudged: false,
            rotate: false,
            closing: false,
            drained: false,
            closed: false,
            readers: Vec::new(),
            damage: recovery.damage.clone(),
            sync_us_last: 0,
            free_bytes: None,
        }),
        sync_times: haris_domain::Histogram::default(),
        work: Condvar::new(),
        upkeep: Condvar::new(),
        lock: Mutex::new(Some(lock)),
    };
    Ok((core, Writer::new(before), Keeper::default(), recovery))
}

fn check(name: &SourceName, options: &Options) -> Result<(), OpenError> {
    let wrong = |why: String| Err(OpenError::Options { why });
    for (what, value) in [("node", &name.node), ("boot", &name.boot)] {
        if value.is_empty() || value.len() > NAME_BYTES_MAX {
            return wrong(format!("the {what}'s name has {} bytes, it needs 1 to {NAME_BYTES_MAX}", value.len()));
        }
    }
    if options.segment_bytes > SEGMENT_BYTES_MAX || !options.segment_bytes.is_multiple_of(HEADER_BYTES as u64) {
        return wrong(format!(
            "segment_bytes is {}, it must be a multiple of {HEADER_BYTES} and at most {SEGMENT_BYTES_MAX}",
            options.segment_bytes
        ));
    }
    let room = options.segment_bytes.saturating_sub(HEADER_BYTES as u64 + OPENING_BYTES_MAX);
    if frame::frame_bytes(options.record_bytes_max) as u64 > room {
        return wrong(format!("a record of {} bytes does not fit a segment, {room} would", options.record_bytes_max));
    }
    if options.max_bytes < 2 * options.segment_bytes {
        return wrong("max_bytes must hold two segments: the one that is written and the one made ahead".to_owned());
    }
    Ok(())
}

/// More than an opening frame ever takes.
const OPENING_BYTES_MAX: u64 = 512;

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { doing, path: path.display().to_string(), source }
}

/// Makes the directory and what is missing above it. The parent is synced even when the directory exists: the process
/// that made it may have died before it got to that.
fn make_dir(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    let mut missing: Vec<&Path> = dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()).collect();
    let known = missing.iter().position(|above| disk.identity(above).is_ok()).unwrap_or(missing.len());
    missing.truncate(known.max(1));
    for dir in missing.into_iter().rev() {
        disk.create_dir(dir).map_err(io_error("create", dir))?;
        let parent = match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => continue,
        };
        disk.sync_dir(parent).map_err(io_error("sync", parent))?;
    }
    Ok(())
}

/// Removes what was being made when a process died, and lists the segments. Their names are synced: the process that
/// made the last of them may not have got to it.
fn sweep(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, OpenError> {
    let mut numbers = Vec::new();
    for name in disk.list(dir).map_err(io_error("list", dir))? {
        if let Some(number) = segment_number(&name) {
            numbers.push(number);
        } else if name.ends_with(UNFINISHED_SUFFIX) {
            let path = dir.join(name);
            disk.unlink(&path).map_err(io_error("remove", &path))?;
        }
    }
    disk.sync_dir(dir).map_err(io_error("sync", dir))?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// A segment's file, as found.
struct Read {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    identity: Identity,
    bytes: Vec<u8>,
    header: Option<Header>,
}

fn read(disk: &dyn Disk, dir: &Path, number: u64, header_only: bool) -> Result<Read, OpenError> {
    let path = dir.join(segment_name(number));
    let file = disk.open(&path).map_err(io_error("open", &path))?;
    let identity = file.identity().map_err(io_error("look at", &path))?;
    let wanted = if header_only { HEADER_BYTES as u64 } else { identity.bytes.min(SEGMENT_BYTES_MAX) };
    let mut bytes = vec![0; usize::try_from(wanted).expect("bounded by SEGMENT_BYTES_MAX")];
    // A sector that cannot be read stops us here: going on would turn a sick disk into a tidy loss.
    let filled = file.read_at(&mut bytes, 0).map_err(io_error("read", &path))?;
    bytes.truncate(filled);
    let header = match Header::decode(&bytes) {
        Ok(header) => Some(header).filter(|header| header.segment == number),
        Err(NotHeader::Damaged) => None,
        Err(NotHeader::Version(version)) => {
            return Err(OpenError::Version { path: path.display().to_string(), version, known: VERSION });
        }
    };
    Ok(Read { path, file, identity, bytes, header })
}

/// Newest first: whether a segment's end is torn or damaged depends on what comes after it.
fn recover(
    disk: &dyn Disk,
    dir: &Path,
    name: &SourceName,
    numbers: &[u64],
) -> Result<(String, BTreeMap<u64, Segment>, Recovery), OpenError> {
    let mut lineage = None;
    for number in numbers {
        lineage = lineage.or(read(disk, dir, *number, true)?.header.map(|header| header.lineage));
    }
    let lineage = lineage.unwrap_or_else(|| name.boot.clone());

    let mut found: BTreeMap<u64, (Segment, Scan)> = BTreeMap::new();
    let mut recovery = Recovery::default();
    let mut later_data = false;
    for number in numbers.iter().rev() {
        let read = read(disk, dir, *number, false)?;
        let scan = frame::scan(&read.bytes, Seed::new(&lineage, *number), later_data);
        let sound =
            read.header.as_ref().is_some_and(|header| header.lineage == lineage && header.bytes == read.identity.bytes);
        let nothing_follows = found.is_empty() && sound;
        if nothing_follows && scan.used > scan.end {
            let at = Position { segment: *number, offset: scan.end as u64 };
            recovery.torn = Some((at, (scan.used - scan.end) as u64));
        }
        later_data |= scan.used > HEADER_BYTES;
        if nothing_follows && !scan.has_frames() && Some(number) != numbers.first() {
            // Made ahead and never needed, or torn before its first group was whole. The number can be used again,
            // since no reader was ever led past a segment without frames, except past the oldest. That one stays:
            // numbers must go on growing, and it may be all that remembers them.
            // Not synced: if it comes back, it is found unused again; and the next segment's name is synced anyway.
            disk.unlink(&read.path).map_err(io_error("remove", &read.path))?;
            continue;
        }
        if nothing_follows {
            renew(&read, &scan).map_err(io_error("write again", &read.path))?;
        }
        let mut segment = Segment::spare(read.file, read.identity);
        segment.stage = Stage::Closed;
        segment.end = scan.end as u64;
        segment.damage = scan.damage.iter().map(|range| range.start as u64..range.end as u64).collect();
        if !sound {
            segment.damage.insert(0, 0..HEADER_BYTES as u64);
        }
        found.insert(*number, (segment, scan));
    }
    link(&mut found, &mut recovery.damage);
    let mut segments = BTreeMap::new();
    for (number, (mut segment, scan)) in found {
        segment.first_n = scan.first_n;
        segment.records_before = recovery.records;
        segment.before = scan.opening.map(|opening| opening.before);
        recovery.records += scan.records;
        segments.insert(number, segment);
    }
    Ok((lineage, segments, recovery))
}

/// Writes again what was found, with zeros over a torn tail, and syncs it.
fn renew(read: &Read, scan: &Scan) -> io::Result<()> {
    let mut bytes = read.bytes[HEADER_BYTES..scan.end.max(scan.used)].to_vec();
    if bytes.is_empty() {
        return Ok(());
    }
    bytes[scan.end - HEADER_BYTES..].fill(0);
    read.file.write_at(&bytes, HEADER_BYTES as u64)?;
    read.file.sync_data()
}

/// Compares neighbours: a missing segment, and an end that turned into zeros, show only there.
fn link(found: &mut BTreeMap<u64, (Segment, Scan)>, damage: &mut Vec<Damage>) {
    let numbers: Vec<u64> = found.keys().copied().collect();
    for (index, number) in numbers.iter().enumerate() {
        let next = numbers.get(index + 1);
        let claimed = next.and_then(|next| found[next].1.opening.as_ref()).map(|opening| opening.before);
        let (segment, _) = found.get_mut(number).expect("taken from its keys");
        if let Some(claimed) = claimed
            && claimed.segment == *number
            && claimed.offset > segment.end
        {
            match segment.damage.last_mut() {
                Some(last) if last.end == segment.end => last.end = claimed.offset,
                _ => segment.damage.push(segment.end..claimed.offset),
            }
            segment.end = claimed.offset;
        }
        let here = |offset| Position { segment: *number, offset };
        damage.extend(segment.damage.iter().map(|range: &Range<u64>| Damage {
            from: here(range.start),
            to: here(range.end),
            why: if range.start == 0 { HEADER_UNREADABLE } else { FRAMES_UNREADABLE }.to_owned(),
        }));
        if let Some(next) = next.filter(|next| **next != number + 1) {
            damage.push(Damage {
                from: Position { segment: number + 1, offset: HEADER_BYTES as u64 },
                to: Position { segment: *next, offset: HEADER_BYTES as u64 },
                why: "segments are missing: somebody removed them".to_owned(),
            });
        }
    }
}

const HEADER_UNREADABLE: &str = "the segment's header is unreadable, of another spool, or names another length";
pub(crate) const FRAMES_UNREADABLE: &str =
    "what was durable here cannot be read any more: the bytes were changed or lost";
