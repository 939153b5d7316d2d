//! The one writer: takes what waits, writes it, syncs it once, and only then says so.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::core::{Core, Desk, Queue, Stage, Step, Waiting, failed};
use crate::disk::{DiskFile, Identity};
use crate::frame::{self, HEADER_BYTES, Opening, Seed};
use crate::state::Position;

/// A buffer that grew beyond this in a burst is given back.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

#[derive(Default)]
pub(crate) struct Writer {
    group: Queue,
    /// How much of `group.frames` is written.
    written: usize,
    open: Option<OpenSegment>,
    /// Where the last segment ended.
    before: Position,
}

struct OpenSegment {
    number: u64,
    file: Arc<dyn DiskFile>,
    identity: Identity,
    seed: Seed,
    /// After the last frame written: all of it synced, since writing waits for the sync.
    end: usize,
    bytes: usize,
    fresh: bool,
}

impl Writer {
    pub(crate) fn new(before: Position) -> Self {
        Self { before, ..Self::default() }
    }

    /// Runs until the spool is closed and the queue is empty.
    pub(crate) fn run(mut self, core: &Core) {
        loop {
            // Whoever is about to append on this core does so now and shares the sync. Where nobody is, this costs
            // nothing: no time is waited for.
            thread::yield_now();
            match self.step(core) {
                Step::Worked => {}
                Step::Done => break,
                Step::Idle => {
                    let mut desk = core.desk.lock();
                    while !self.has_work(&desk) {
                        core.work.wait(&mut desk);
                    }
                }
            }
        }
    }

    fn has_work(&self, desk: &Desk) -> bool {
        if !self.group.waiting.is_empty() {
            return desk.spare().is_some() || desk.spare_trouble.is_some() || desk.broken().is_some();
        }
        !desk.queue.waiting.is_empty() || (desk.rotate && desk.broken().is_none()) || (desk.closing && !desk.drained)
    }

    /// One group, or as much of it as fits a segment.
    pub(crate) fn step(&mut self, core: &Core) -> Step {
        if self.group.waiting.is_empty() && !self.take(core) {
            let mut desk = core.desk.lock();
            if !desk.closing || !desk.queue.waiting.is_empty() {
                return Step::Idle;
            }
            desk.drained = true;
            desk.wake_readers();
            core.upkeep.notify_all();
            return Step::Done;
        }
        let next = frame::length(&self.group.frames[self.written..]);
        if self.open.as_ref().is_none_or(|open| open.end + next > open.bytes) {
            return if self.open_next(core) { Step::Worked } else { Step::Idle };
        }
        self.write(core);
        Step::Worked
    }

    /// Takes all that waits. False when there is nothing.
    fn take(&mut self, core: &Core) -> bool {
        let mut desk = core.desk.lock();
        if std::mem::take(&mut desk.rotate) && self.open.as_ref().is_some_and(|open| !open.fresh) {
            self.close_segment(&mut desk);
        }
        if desk.queue.waiting.is_empty() {
            return false;
        }
        self.group.frames.clear();
        self.group.frames.shrink_to(BUFFER_BYTES_KEPT);
        self.written = 0;
        std::mem::swap(&mut self.group, &mut desk.queue);
        desk.in_flight = self.group.waiting.len();
        true
    }

    fn close_segment(&mut self, desk: &mut Desk) {
        if let Some(open) = self.open.take() {
            self.before = Position { segment: open.number, offset: open.end as u64 };
            if let Some(segment) = desk.segments.get_mut(&open.number) {
                segment.stage = Stage::Closed;
            }
            desk.wake_readers();
        }
    }

    /// Goes on in the segment made ahead. False when the keeper has not finished it; when it cannot, the group is refused.
    fn open_next(&mut self, core: &Core) -> bool {
        let mut desk = core.desk.lock();
        self.close_segment(&mut desk);
        if let Some(refused) = desk.broken().cloned() {
            core.refuse(desk, refused, std::mem::take(&mut self.group.waiting));
            return true;
        }
        let Some(number) = desk.spare() else {
            core.upkeep.notify_all();
            let Some(refused) = desk.spare_trouble.clone() else {
                return false;
            };
            // Safe to recover from: nothing of these events was written.
            desk.refusing = Some(refused.clone());
            core.refuse(desk, refused, std::mem::take(&mut self.group.waiting));
            return true;
        };
        let records_before = desk.records;
        let first_n = desk.durable + 1;
        let segment = desk.segments.get_mut(&number).expect("just found under the same lock");
        segment.stage = Stage::Open;
        segment.first_n = first_n;
        segment.records_before = records_before;
        self.open = Some(OpenSegment {
            number,
            file: Arc::clone(&segment.file),
            identity: segment.identity,
            seed: Seed::new(&core.lineage, number),
            end: HEADER_BYTES,
            bytes: usize::try_from(segment.identity.bytes).expect("segments are bounded far below 4 GiB"),
            fresh: true,
        });
        core.upkeep.notify_all();
        true
    }

    /// Writes the frames that fit, syncs, looks whether the segment still is what its name says, and answers.
    fn write(&mut self, core: &Core) {
        let open = self.open.as_mut().expect("opened before writing");
        let group = open.end;
        let mut lead = Vec::new();
        if open.fresh {
            let at = frame::start(&mut lead);
            let source = core.desk.lock().source.clone();
            lead.extend(Opening { node: source.node, boot: source.boot, before: self.before }.encode());
            frame::finish(&mut lead, at, 0);
            frame::place(&mut lead, open.seed, group, group);
        }
        let from = self.written;
        let start = group + lead.len();
        let mut end = start;
        let mut count = 0;
        while self.written < self.group.frames.len() {
            let frame = &mut self.group.frames[self.written..];
            if end + frame::length(frame) > open.bytes {
                break;
            }
            let bytes = frame::place(frame, open.seed, end, group);
            self.written += bytes;
            end += bytes;
            count += 1;
        }
        let frames = &self.group.frames[from..self.written];
        let started = Instant::now();
        let done = put(core, open, &lead, group, frames, start);
        let sync_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Err(why) = done {
            self.open = None;
            core.poison(why, std::mem::take(&mut self.group.waiting));
            return;
        }
        open.end = end;
        open.fresh = false;
        let number = open.number;
        let before = self.before;
        let mut desk = core.desk.lock();
        if let Some(refused) = desk.broken().cloned() {
            // The keeper found the name gone meanwhile.
            self.open = None;
            core.refuse(desk, refused, std::mem::take(&mut self.group.waiting));
            return;
        }
        desk.durable += count as u64;
        desk.records += count as u64;
        desk.in_flight -= count;
        desk.sync_us_last = sync_us;
        let segment = desk.segments.get_mut(&number).expect("the open segment is never removed");
        segment.end = end as u64;
        segment.before = Some(before);
        desk.wake_readers();
        drop(desk);
        for Waiting { leaf, answer } in self.group.waiting.drain(..count) {
            // A receiver that is gone no longer wants to know; its event is durable all the same.
            let _ = answer.send(Ok(leaf));
        }
    }
}

fn put(core: &Core, open: &OpenSegment, lead: &[u8], group: usize, frames: &[u8], start: usize) -> Result<(), String> {
    let write = |bytes: &[u8], at: usize| {
        open.file.write_at(bytes, at as u64).map_err(|error| failed("writing", open.number, error))
    };
    if !lead.is_empty() {
        write(lead, group)?;
    }
    write(frames, start)?;
    open.file.sync_data().map_err(|error| failed("syncing", open.number, error))?;
    still_named(core, open.number, open.identity)
}

/// Whether the path still leads to the file that we write. Its bytes are of no use to anyone once the name is gone.
pub(crate) fn still_named(core: &Core, number: u64, identity: Identity) -> Result<(), String> {
    match core.disk.identity(&core.path(number)) {
        Ok(found) if found == identity => Ok(()),
        Ok(found) if found.inode == identity.inode && found.device == identity.device => Err(format!(
            "segment {number} was cut or grown from outside: it has {} bytes, not {}",
            found.bytes, identity.bytes
        )),
        Ok(_) => Err(format!("segment {number} was replaced by another file")),
        Err(error) => Err(format!("segment {number} lost its name: {error}")),
    }
}
