//! The queue's handle: what appenders and the shipper hold.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};

use futures_channel::oneshot;
use haris_domain::{Draft, Histogram, Leaf, PayloadRef, SealedPayload};
use parking_lot::Mutex;

use crate::core::{Core, Waiting};
use crate::frame;
use crate::record::{self, TooLong};
use crate::state::{Cause, Health};
use crate::{Disk, OpenError, Options, Position, ReadError, Record, Recovery, Refused, SourceName, State, recover};

/// A durable queue. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Spool(Arc<Handle>);

struct Handle {
    core: Arc<Core>,
    recovery: Recovery,
    threads: Mutex<Option<[JoinHandle<()>; 2]>>,
}

/// What one read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// In the order of their `n`; may be empty.
    pub records: Vec<Record>,
    /// Where to go on. Moves without records when a segment ended: store it and pass it to [`Spool::release`] all the
    /// same, or that segment stays.
    pub next: Position,
}

impl Spool {
    /// Recovers what is durable in `dir`, which is made if missing, and goes on in a fresh segment.
    ///
    /// A tail that a crash tore is cut; what else cannot be read is named in [`Spool::recovery`] and kept. A full disk
    /// is no error here: the spool opens, refuses, and says why.
    ///
    /// # Errors
    /// When another process holds the directory, the options contradict each other, or the disk refuses.
    pub fn open(dir: &Path, name: SourceName, options: Options, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let (core, writer, mut keeper, recovery) = recover::open(dir, name, options, disk)?;
        let core = Arc::new(core);
        // The first segment is there when we return, so that trouble with it is known at once.
        keeper.step(&core);
        let spawn = |name: &str, run: Box<dyn FnOnce(&Core) + Send>| {
            let core = Arc::clone(&core);
            let doing = "start a thread for";
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || {
                    let _guard = PoisonOnPanic(&core);
                    run(&core);
                })
                .map_err(|source| OpenError::Io { doing, path: dir.display().to_string(), source })
        };
        let threads = [
            spawn("spool-keeper", Box::new(|core| keeper.run(core)))?,
            spawn("spool-writer", Box::new(|core| writer.run(core)))?,
        ];
        Ok(Self(Arc::new(Handle { core, recovery, threads: Mutex::new(Some(threads)) })))
    }

    /// Stamps the draft with this start's next `n` and queues it with its payloads. The future resolves once all of it
    /// is synced to disk; dropping the future changes nothing for the event.
    ///
    /// # Errors
    /// At once when the spool accepts nothing or this event can never be written, through the future when the write
    /// or the sync failed. Either way nothing was promised.
    pub fn append(&self, draft: Draft, payloads: Vec<SealedPayload>) -> Result<Durable, Refused> {
        self.0.core.append(&draft, payloads)
    }

    /// Durable records from `from` on: at most `max_records`, and no more than `max_bytes` unless the first alone is
    /// longer. Stops before damage; asked for again from there, says [`ReadError::Damaged`] and where to go on.
    ///
    /// # Errors
    /// When `from` is gone or never was, a record is damaged or of a newer version, or the disk refuses.
    pub fn read(&self, from: Position, max_records: usize, max_bytes: usize) -> Result<Batch, ReadError> {
        self.0.core.read(from, max_records, max_bytes)
    }

    /// Resolves when [`Spool::read`] from `from` gives a record, an error or a later position, or the spool is closed.
    pub fn wait_readable(&self, from: Position) -> Readable {
        Readable(self.0.core.readable(from))
    }

    /// Everything before `upto` lies elsewhere by now. Whole segments before it are deleted in the background;
    /// [`State::segment_oldest`] says how far that got. A position beyond what is durable releases nothing.
    pub fn release(&self, upto: Position) {
        self.0.core.release(upto);
    }

    /// What is appended from now on goes to a fresh segment. With what was appended before shipped and released,
    /// nothing of it stays on this disk.
    pub fn rotate(&self) {
        self.0.core.desk.lock().rotate = true;
        self.0.core.work.notify_all();
    }

    /// How the spool is at this moment. Cheap: no system call.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.core.state()
    }

    /// How long writes with their syncs took since the start.
    #[must_use]
    pub fn sync_times(&self) -> &Histogram {
        &self.0.core.sync_times
    }

    /// What opening found.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.0.recovery
    }

    /// Names the directory for good: the boot that made it. Whoever remembers positions keys them by this, so that a
    /// directory that was replaced is not taken for the old one.
    #[must_use]
    pub fn lineage(&self) -> &str {
        &self.0.core.lineage
    }

    /// Writes what is queued, then accepts nothing more and gives up the directory. What is durable can still be read
    /// through this handle. Blocks for as long as the disk takes.
    pub fn close(&self) {
        self.0.close();
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("dir", &self.0.core.dir).finish_non_exhaustive()
    }
}

impl Handle {
    fn close(&self) {
        let mut threads = self.threads.lock();
        self.core.desk.lock().closing = true;
        self.core.work.notify_all();
        if let Some([keeper, writer]) = threads.take() {
            // A thread that panicked has nothing left to write; its panic was printed.
            let _ = writer.join();
            self.core.desk.lock().closed = true;
            self.core.upkeep.notify_all();
            let _ = keeper.join();
            self.core.lock.lock().take();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// A thread that died answers nobody: better to refuse than to let everyone wait.
struct PoisonOnPanic<'a>(&'a Core);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.poison("a thread of the spool panicked; see the log".to_owned(), Vec::new());
        }
    }
}

impl Core {
    pub(crate) fn append(&self, draft: &Draft, payloads: Vec<SealedPayload>) -> Result<Durable, Refused> {
        let mut tail =
            Vec::with_capacity(payloads.iter().map(|p| p.ciphertext.len() + p.wrapped_key.len() + 256).sum());
        record::encode_payloads(&payloads, &mut tail)
            .map_err(|TooLong(what)| unfit(format!("its {what} is too long")))?;
        let references: Vec<PayloadRef> = payloads.into_iter().map(|payload| payload.reference).collect();

        let mut desk = self.desk.lock();
        self.admit(&desk, tail.len())?;
        desk.source.n += 1;
        let desk = &mut *desk;
        let at = frame::start(&mut desk.queue.frames);
        let written = draft.stamp(&desk.source, &references).map_err(|error| error.to_string()).and_then(|leaf| {
            match record::encode(&leaf, &tail, &mut desk.queue.frames) {
                Ok(()) if desk.queue.frames.len() - at <= self.options.record_bytes_max => Ok(leaf),
                Ok(()) => Err(format!("it is over {} bytes long", self.options.record_bytes_max)),
                Err(TooLong(what)) => Err(format!("its {what} is too long")),
            }
        });
        match written {
            Ok(leaf) => {
                frame::finish(&mut desk.queue.frames, at, desk.source.n);
                let (answer, receiver) = oneshot::channel();
                desk.queue.waiting.push(Waiting { leaf, answer });
                self.work.notify_one();
                Ok(Durable(receiver))
            }
            Err(why) => {
                // Its number goes to the next event: a gap would look like one that was lost.
                desk.source.n -= 1;
                desk.queue.frames.truncate(at);
                Err(unfit(why))
            }
        }
    }

    /// Whether an event with `bytes` of payloads may join the queue.
    fn admit(&self, desk: &crate::core::Desk, bytes: usize) -> Result<(), Refused> {
        if let Some(refused) = &desk.refusing {
            return Err(refused.clone());
        }
        if desk.closing {
            return Err(Refused {
                cause: Cause::Closed,
                why: "the spool is closed".to_owned(),
                what_to_do: "the process is stopping: try another, or wait for the next start".to_owned(),
            });
        }
        let options = &self.options;
        if bytes > options.record_bytes_max {
            return Err(unfit(format!("it is over {} bytes long", options.record_bytes_max)));
        }
        let records = desk.queue.waiting.len() + desk.in_flight;
        if records >= options.queue_records_max || desk.queue.frames.len() + bytes > options.queue_bytes_max {
            return Err(Refused {
                cause: Cause::Busy,
                why: format!("{records} events wait for the disk, which does not keep up"),
                what_to_do: "try again in a moment; if it stays, give the spool a faster disk".to_owned(),
            });
        }
        Ok(())
    }

    pub(crate) fn state(&self) -> State {
        let desk = self.desk.lock();
        // Without a segment to write to, the next event would be refused, though none has been yet.
        let nowhere = desk.open_segment().is_none() && desk.spare().is_none();
        let refused = desk.refusing.clone().or_else(|| desk.spare_trouble.clone().filter(|_| nowhere));
        let health = refused.map_or(Health::Healthy, Health::Refusing);
        let unshipped = desk.segments.range(desk.released.segment..);
        let unshipped_bytes = unshipped.map(|(number, segment)| {
            let released = if *number == desk.released.segment { desk.released.offset } else { 0 };
            segment.end.saturating_sub(released.max(frame::HEADER_BYTES as u64))
        });
        State {
            warning: desk.spare_trouble.clone().filter(|_| health == Health::Healthy),
            health,
            unshipped_records: desk.records.saturating_sub(desk.released_records),
            unshipped_bytes: unshipped_bytes.sum(),
            durable_events: desk.durable,
            queued_records: desk.queue.waiting.len() + desk.in_flight,
            sync_us_last: desk.sync_us_last,
            free_bytes: desk.free_bytes,
            segment_oldest: desk.segments.first_key_value().map_or(desk.newest + 1, |(number, _)| *number),
            segment_newest: desk.open_segment().or_else(|| desk.spare()).unwrap_or(desk.newest + 1),
            damage: desk.damage.clone(),
        }
    }
}

fn unfit(why: String) -> Refused {
    Refused {
        cause: Cause::Event,
        why: format!("this event cannot be recorded: {why}"),
        what_to_do: "make it shorter; long texts belong in payloads".to_owned(),
    }
}

/// Resolves when the event is durable, or known not to be promised.
#[derive(Debug)]
#[must_use = "an event is durable only when this says so"]
pub struct Durable(oneshot::Receiver<Result<Leaf, Refused>>);

impl Durable {
    /// Waits on this thread. For tests and tools; a server awaits.
    ///
    /// # Errors
    /// When the event could not be made durable.
    pub fn wait(mut self) -> Result<Leaf, Refused> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => thread::park(),
            }
        }
    }
}

#[cfg(test)]
impl Durable {
    /// The answer, if there is one yet.
    pub(crate) fn answered(&mut self) -> Option<Result<Leaf, Refused>> {
        match Pin::new(self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }
}

impl Future for Durable {
    type Output = Result<Leaf, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| {
                Err(Refused {
                    cause: Cause::Broken,
                    why: "the spool's writer died".to_owned(),
                    what_to_do: "report the panic in the log, then restart".to_owned(),
                })
            })
        })
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Resolves when there may be something to read.
#[derive(Debug)]
pub struct Readable(oneshot::Receiver<()>);

impl Future for Readable {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(|_| ())
    }
}
