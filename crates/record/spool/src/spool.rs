//! The queue's handle.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::oneshot;
use haris_domain::{Draft, Leaf, SealedPayload};

use crate::{Disk, OpenError, Options, Position, ReadError, Refused, SourceName, State};

/// A durable queue. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Spool {}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spool")
    }
}

/// An event with its payloads, as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The event's final bytes.
    pub leaf: Leaf,
    /// Its payloads, in the order of the leaf.
    pub payloads: Vec<SealedPayload>,
}

/// What one read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// In the order of their `n`; may be empty.
    pub records: Vec<Record>,
    /// Where to go on. Moves without records when a segment ended: pass it to [`Spool::release`] all the same.
    pub next: Position,
}

impl Spool {
    /// Recovers what is durable in `dir` and goes on in a fresh segment.
    ///
    /// # Errors
    /// When another process holds the directory or the disk refuses.
    pub fn open(dir: &Path, name: SourceName, options: Options, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let _ = (name, options, disk);
        Err(OpenError::InUse { dir: dir.display().to_string() })
    }

    /// Stamps and queues an event; the future resolves when it is durable.
    ///
    /// # Errors
    /// At once when the spool accepts nothing, through the future when the write failed.
    pub fn append(&self, draft: Draft, payloads: Vec<SealedPayload>) -> Result<Durable, Refused> {
        let _ = (draft, payloads);
        let (_, receiver) = oneshot::channel();
        Ok(Durable { receiver })
    }

    /// Durable records from `from` on: at most `max_records`, and no more than `max_bytes` unless the first alone is longer.
    ///
    /// # Errors
    /// When `from` is gone, or a record cannot be read any more.
    pub fn read(&self, from: Position, max_records: usize, max_bytes: usize) -> Result<Batch, ReadError> {
        let _ = (max_records, max_bytes);
        Ok(Batch { records: Vec::new(), next: from })
    }

    /// Resolves when [`Spool::read`] from `from` gives a record or moves on, or the spool closes.
    pub fn wait_readable(&self, from: Position) -> Readable {
        let _ = from;
        let (_, receiver) = oneshot::channel();
        Readable { receiver }
    }

    /// Everything before `upto` lies elsewhere by now: whole segments before it are deleted.
    pub fn release(&self, upto: Position) {
        let _ = upto;
    }

    /// The next event goes to a fresh segment.
    pub fn rotate(&self) {}

    /// How it is.
    #[must_use]
    pub fn state(&self) -> State {
        State {
            health: crate::Health::Healthy,
            warning: None,
            unshipped_records: 0,
            unshipped_bytes: 0,
            durable_events: 0,
            queued_records: 0,
            sync_us_last: 0,
            free_bytes: None,
            segment_oldest: 0,
            segment_newest: 0,
            damage: Vec::new(),
        }
    }

    /// Writes what is queued, then accepts nothing more.
    pub fn close(&self) {}
}

/// Resolves when the event is durable, or known not to be.
#[derive(Debug)]
#[must_use = "an event is durable only when this says so"]
pub struct Durable {
    receiver: oneshot::Receiver<Result<Leaf, Refused>>,
}

impl Durable {
    /// Waits on this thread. For tests and tools; a server awaits.
    ///
    /// # Errors
    /// When the event could not be made durable.
    pub fn wait(self) -> Result<Leaf, Refused> {
        unreachable!()
    }
}

impl Future for Durable {
    type Output = Result<Leaf, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(|r| r.expect("skeleton"))
    }
}

/// Resolves when there may be something to read.
#[derive(Debug)]
pub struct Readable {
    receiver: oneshot::Receiver<()>,
}

impl Future for Readable {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.receiver).poll(context).map(|_| ())
    }
}
