//! What a spool is told, and what it says of itself.

use std::fmt;
use std::time::Duration;

/// Who writes: goes into every event's `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceName {
    /// The process's lasting name.
    pub node: String,
    /// One start of that process: never used twice, since `n` counts from 1 for each.
    pub boot: String,
}

/// Bounds of a spool. Every one is a promise about memory or disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of one segment. Larger ones rotate more rarely; a smaller one is gone sooner after it was shipped.
    pub segment_bytes: u64,
    /// All segments together, the one made ahead of need included; at this size nothing more is accepted.
    pub max_bytes: u64,
    /// One event with its payloads.
    pub record_bytes_max: usize,
    /// Events waiting for their sync. Over it the disk cannot keep up, and waiting longer only hides that.
    pub queue_records_max: usize,
    /// The same bound in bytes, since these lie in memory.
    pub queue_bytes_max: usize,
    /// What is left free on the file system when a segment is made: the ledger needs room to take the spool's events.
    pub free_bytes_min: u64,
    /// How often a refused segment is tried again and the open one's name is looked at while nothing is written.
    pub check_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            max_bytes: 4 << 30,
            record_bytes_max: 8 << 20,
            queue_records_max: 16_384,
            queue_bytes_max: 64 << 20,
            free_bytes_min: 64 << 20,
            check_every: Duration::from_secs(1),
        }
    }
}

/// A place in a spool: where a record begins, or where the next one will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position {
    /// The segment's number: grows by one, never used twice in a directory.
    pub segment: u64,
    /// Byte in the segment.
    pub offset: u64,
}

impl Position {
    /// Before everything that the spool still holds.
    pub const START: Self = Self { segment: 0, offset: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} offset {}", self.segment, self.offset)
    }
}

/// Why nothing was promised for an event, and what helps.
///
/// A refused event is not acknowledged. After a failed sync it may still be found later: then it reaches the ledger
/// like any other, and the ledger shows an event whose request was turned away. The other way round never happens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}; {what_to_do}")]
pub struct Refused {
    /// What kind of refusal: decides whether trying again can help.
    pub cause: Cause,
    /// What happened, for the person in charge.
    pub why: String,
    /// What that person can do.
    pub what_to_do: String,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// This event cannot be recorded by anyone: too long, or without a canonical form. Others are accepted.
    Event,
    /// More waits than the queue holds. Passes by itself.
    Busy,
    /// No room for another segment: on the disk, or under the spool's own bound. Passes when room returns.
    Full,
    /// A write or sync failed, or the segment lost its name. Lasts until the spool is opened again.
    Broken,
    /// The spool was closed.
    Closed,
}

/// Whether events are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Events are accepted.
    Healthy,
    /// Every event is refused, for this reason.
    Refusing(Refused),
}

/// A spool's account of itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether events are accepted.
    pub health: Health,
    /// Events are still accepted, but will not be for long: the next segment cannot be made.
    pub warning: Option<Refused>,
    /// Durable events that nobody has released yet.
    pub unshipped_records: u64,
    /// Bytes of the same, framing included.
    pub unshipped_bytes: u64,
    /// Events that became durable since this start: also the last `n`.
    pub durable_events: u64,
    /// Events that wait for their sync.
    pub queued_records: usize,
    /// How long the last write and sync took, in microseconds.
    pub sync_us_last: u64,
    /// Free on the file system when last looked at; `None` before that.
    pub free_bytes: Option<u64>,
    /// The oldest segment that still has a name: what was before it is gone for good, a power cut included.
    pub segment_oldest: u64,
    /// The segment that is written now, or the next one to be: everything appended so far lies in it or before it,
    /// and after [`rotate`](crate::Spool::rotate) nothing new joins it.
    pub segment_newest: u64,
    /// What recovery or reading found damaged. Never emptied by itself.
    pub damage: Vec<Damage>,
}

/// A stretch of a segment that was durable once and cannot be read now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins.
    pub from: Position,
    /// Where reading goes on.
    pub to: Position,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, up to {}: {}", self.from, self.to, self.why)
    }
}

/// Why a spool could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Two writers would overwrite each other's frames.
    #[error("spool `{dir}` is in use by another process; stop that one first, or give this one its own data directory")]
    InUse {
        /// The directory.
        dir: String,
    },
    /// The options contradict each other.
    #[error("spool options: {why}")]
    Options {
        /// Which, and how.
        why: String,
    },
    /// The directory holds segments of a form that this version does not read.
    #[error("`{path}` has segment format {version}, this version reads {known}; start the version that wrote it")]
    Version {
        /// The segment.
        path: String,
        /// What it says.
        version: u32,
        /// What this version reads.
        known: u32,
    },
    /// The disk refused something.
    #[error("could not {doing} `{path}`: {source}; check that the directory exists, is writable and its disk is sound")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Why records could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The segment was released, or somebody removed it.
    #[error("{from} is gone, the oldest segment is {oldest}; what lay between was released, or lost")]
    Gone {
        /// What was asked for.
        from: Position,
        /// The oldest segment that is left.
        oldest: u64,
    },
    /// The spool never held this: its directory was replaced or put back from a copy. Waiting would ship nothing, ever.
    #[error(
        "{from} lies beyond everything in this spool, whose newest segment is {newest}; its directory was replaced or put back from a copy"
    )]
    Ahead {
        /// What was asked for.
        from: Position,
        /// The newest segment.
        newest: u64,
    },
    /// A durable record cannot be read any more. Reading goes on at `damage.to` when the caller says so by asking for it.
    #[error("spool is damaged at {damage}; what follows can be read from {resume}", resume = damage.to)]
    Damaged {
        /// Where and what.
        damage: Damage,
    },
    /// Written by a newer version.
    #[error("{at} holds an event of kind `{kind}`, unknown to this version; start the version that wrote it")]
    UnknownKind {
        /// Where.
        at: Position,
        /// What it claims to be.
        kind: String,
    },
    /// The disk refused to read.
    #[error("could not read {at}: {source}")]
    Io {
        /// Where.
        at: Position,
        /// What the operating system said.
        source: std::io::Error,
    },
}
