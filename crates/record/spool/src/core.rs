//! What the handle, the writer and the keeper share: one lock over the queue and the shelf of segments.
//!
//! Appenders hold the lock while they stamp, so that `n` follows the queue's order; the writer holds it to take a
//! group and to say that it is durable; nobody holds it over a system call. Writer and keeper are plain state
//! machines that a thread drives in production and the simulator drives in tests, one step at a time.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_channel::oneshot;
use haris_domain::{Histogram, Leaf, Source};
use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, DiskFile, Identity, Lock};
use crate::state::{Cause, Damage, Options, Position, Refused};

pub(crate) struct Core {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    /// The boot that made the directory.
    pub(crate) lineage: String,
    pub(crate) desk: Mutex<Desk>,
    /// The writer waits here.
    pub(crate) work: Condvar,
    /// The keeper waits here.
    pub(crate) upkeep: Condvar,
    /// How long writes and syncs took.
    pub(crate) sync_times: Histogram,
    /// Held until the spool is closed.
    pub(crate) lock: Mutex<Option<Lock>>,
}

/// Everything under the lock.
pub(crate) struct Desk {
    pub(crate) queue: Queue,
    /// Events that the writer has taken and not yet answered.
    pub(crate) in_flight: usize,
    /// Node, boot, and the last `n` given out.
    pub(crate) source: Source,
    /// Events durable since this start: also the last durable `n`.
    pub(crate) durable: u64,
    pub(crate) segments: BTreeMap<u64, Segment>,
    /// The highest number ever used in this directory.
    pub(crate) newest: u64,
    pub(crate) released: Position,
    /// Records before `released`.
    pub(crate) released_records: u64,
    /// Durable records in the directory since the oldest segment at opening.
    pub(crate) records: u64,
    /// Positions lately handed to readers, with the number of records before each.
    pub(crate) marks: BTreeMap<Position, u64>,
    pub(crate) refusing: Option<Refused>,
    /// Why there is no segment ahead.
    pub(crate) spare_trouble: Option<Refused>,
    /// Something was released: what failed for want of room may work now.
    pub(crate) nudged: bool,
    pub(crate) rotate: bool,
    pub(crate) closing: bool,
    /// The writer is through with the queue.
    pub(crate) drained: bool,
    /// The keeper may go.
    pub(crate) closed: bool,
    pub(crate) readers: Vec<oneshot::Sender<()>>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) sync_us_last: u64,
    pub(crate) free_bytes: Option<u64>,
}

/// What waits for the writer: frames laid end to end, and who waits for each.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) frames: Vec<u8>,
    pub(crate) waiting: Vec<Waiting>,
}

pub(crate) struct Waiting {
    pub(crate) leaf: Leaf,
    pub(crate) answer: oneshot::Sender<Result<Leaf, Refused>>,
}

/// A segment that has a name.
pub(crate) struct Segment {
    /// Kept open: if somebody removes the name, what was acknowledged can still be read and shipped.
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) identity: Identity,
    pub(crate) stage: Stage,
    /// After the last durable frame.
    pub(crate) end: u64,
    pub(crate) first_n: u64,
    /// Records in segments before this one.
    pub(crate) records_before: u64,
    /// Where the segment before it ended, as its opening frame says.
    pub(crate) before: Option<Position>,
    pub(crate) damage: Vec<std::ops::Range<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Made ahead of need, nothing written.
    Spare,
    /// Being written.
    Open,
    /// Nothing more will be written.
    Closed,
}

/// What a step of the writer or the keeper came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something was done; there may be more.
    Worked,
    /// Nothing to do until somebody changes something.
    Idle,
    /// Nothing more will ever come.
    Done,
}

impl Core {
    pub(crate) fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(segment_name(segment))
    }

    /// Refuses everything from now on, and everything that waits. `group` is what the writer holds.
    ///
    /// Nothing is retried: after a failed sync the kernel may count the pages as clean, so that a second sync would
    /// succeed without writing them.
    pub(crate) fn poison(&self, why: String, group: Vec<Waiting>) {
        let mut desk = self.desk.lock();
        // The first reason is the one that helps.
        let refused = desk.broken().cloned().unwrap_or_else(|| Refused {
            cause: Cause::Broken,
            why,
            what_to_do: format!(
                "check the disk under `{}` and the kernel's log, then restart; what was acknowledged is kept, and recovery names what cannot be read",
                self.dir.display()
            ),
        });
        desk.refusing = Some(refused.clone());
        self.refuse(desk, refused, group);
        self.work.notify_all();
    }

    /// Answers everything that waits, `group` first, with a refusal. Ends the lock.
    pub(crate) fn refuse(&self, mut desk: parking_lot::MutexGuard<'_, Desk>, refused: Refused, group: Vec<Waiting>) {
        let queued = std::mem::take(&mut desk.queue);
        desk.in_flight -= group.len();
        // Their numbers were never durable, nor promised: the next event takes them, and no gap shows.
        desk.source.n = desk.durable + desk.in_flight as u64;
        drop(desk);
        for waiting in group.into_iter().chain(queued.waiting) {
            // A receiver that is gone no longer wants to know.
            let _ = waiting.answer.send(Err(refused.clone()));
        }
    }

    /// Why there can be no further segment.
    pub(crate) fn no_segment(&self, error: &io::Error) -> Refused {
        let dir = self.dir.display();
        let what_to_do = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!("free space on the disk of `{dir}`"),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                format!("make `{dir}` writable for this process")
            }
            _ => format!("check the disk of `{dir}` and the kernel's log"),
        };
        full(format!("no further segment can be made in `{dir}`: {error}"), &what_to_do)
    }
}

/// A refusal that ends by itself.
pub(crate) fn full(why: String, what_to_do: &str) -> Refused {
    Refused { cause: Cause::Full, why, what_to_do: format!("{what_to_do}; service resumes by itself") }
}

impl Desk {
    /// The reason why nothing more is accepted until a restart.
    pub(crate) fn broken(&self) -> Option<&Refused> {
        self.refusing.as_ref().filter(|refused| refused.cause == Cause::Broken)
    }

    pub(crate) fn spare(&self) -> Option<u64> {
        self.segments.iter().find(|(_, segment)| segment.stage == Stage::Spare).map(|(number, _)| *number)
    }

    pub(crate) fn open_segment(&self) -> Option<u64> {
        self.segments.iter().rev().find(|(_, segment)| segment.stage == Stage::Open).map(|(number, _)| *number)
    }

    pub(crate) fn wake_readers(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.send(());
        }
    }
}

/// Names sort as numbers do.
pub(crate) fn segment_name(segment: u64) -> String {
    format!("{segment:020}.{SEGMENT_SUFFIX}")
}

/// The number in a segment's name; other names are none of ours.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(SEGMENT_SUFFIX)?.strip_suffix('.')?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

const SEGMENT_SUFFIX: &str = "spool";
/// A segment that is being made: never holds an event, and is swept when the spool opens.
pub(crate) const UNFINISHED_SUFFIX: &str = ".unfinished";

/// What an operating system's refusal of `doing` means for the spool.
pub(crate) fn failed(doing: &str, segment: u64, error: impl Display) -> String {
    format!("{doing} segment {segment} failed: {error}")
}
