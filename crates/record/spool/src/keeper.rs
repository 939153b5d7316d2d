//! The keeper: makes the next segment before it is needed, removes those that were shipped, and looks after the rest.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::core::{Core, Desk, Segment, Stage, Step, UNFINISHED_SUFFIX, failed, full, segment_name};
use crate::disk::{DiskFile, Identity};
use crate::frame::{HEADER_BYTES, Header};
use crate::state::{Cause, Refused};
use crate::writer::still_named;

/// Zeros are written in pieces of this size.
const ZEROS_BYTES: usize = 1 << 20;

#[derive(Default)]
pub(crate) struct Keeper {
    /// The last removal failed: wait before the next.
    removal_rests: bool,
    /// The same for making a segment.
    making_rests: bool,
}

impl Keeper {
    /// Runs until the spool is closed.
    pub(crate) fn run(mut self, core: &Core) {
        let mut looked_at = Instant::now();
        loop {
            match self.step(core) {
                Step::Worked => {}
                Step::Done => break,
                Step::Idle => {
                    let due = looked_at + core.options.check_every;
                    let mut desk = core.desk.lock();
                    while !desk.closed && !desk.nudged && !self.has_work(&desk) && Instant::now() < due {
                        core.upkeep.wait_until(&mut desk, due);
                    }
                }
            }
            if looked_at.elapsed() >= core.options.check_every {
                looked_at = Instant::now();
                self.rest_is_over();
                look_after(core);
            }
        }
    }

    fn has_work(&self, desk: &Desk) -> bool {
        self.removable(desk).is_some() || self.wants_spare(desk)
    }

    /// Lets what failed be tried again.
    pub(crate) fn rest_is_over(&mut self) {
        *self = Self::default();
    }

    /// Removes one segment or makes one.
    pub(crate) fn step(&mut self, core: &Core) -> Step {
        let mut desk = core.desk.lock();
        if desk.closed {
            return Step::Done;
        }
        if std::mem::take(&mut desk.nudged) {
            self.rest_is_over();
        }
        // First, since it may make the room that a new one needs.
        if let Some((number, damaged)) = self.removable(&desk) {
            drop(desk);
            self.removal_rests = !remove(core, number, damaged);
            return Step::Worked;
        }
        if self.wants_spare(&desk) {
            let number = desk.newest + 1;
            let held_bytes = desk.segments.values().map(|segment| segment.identity.bytes).sum();
            drop(desk);
            self.making_rests = !add(core, number, held_bytes);
            return Step::Worked;
        }
        Step::Idle
    }

    /// The oldest segment, if everything in it was shipped, and whether it is damaged.
    fn removable(&self, desk: &Desk) -> Option<(u64, bool)> {
        if self.removal_rests || desk.broken().is_some() {
            return None;
        }
        let (number, segment) = desk.segments.first_key_value()?;
        let shipped = *number < desk.released.segment && segment.stage == Stage::Closed && desk.segments.len() > 1;
        shipped.then_some((*number, !segment.damage.is_empty()))
    }

    fn wants_spare(&self, desk: &Desk) -> bool {
        !self.making_rests && desk.broken().is_none() && !desk.drained && desk.spare().is_none()
    }
}

/// Removes the oldest segment's name, and makes that durable before the next goes: so the segments that a crash leaves
/// are always a run without gaps, and a gap shows that somebody else was here.
///
/// Unlinking is enough for an erasure: what lies there is ciphertext and keys wrapped by a day's key, the blocks go
/// back to the file system, and overwriting would promise more than disks keep. A damaged segment is kept under
/// another name, for whoever has to find out why.
fn remove(core: &Core, number: u64, damaged: bool) -> bool {
    let path = core.path(number);
    let gone = if damaged {
        core.disk.rename(&path, &core.dir.join(format!("{}.damaged", segment_name(number))))
    } else {
        core.disk.unlink(&path)
    };
    match gone {
        Ok(()) => {}
        // Somebody else removed it. What was in it had been shipped.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return false,
    }
    if let Err(error) = core.disk.sync_dir(&core.dir) {
        core.poison(failed("syncing the directory after removing", number, error), Vec::new());
        return false;
    }
    let mut desk = core.desk.lock();
    desk.segments.remove(&number);
    true
}

/// Makes segment `number` ready.
fn add(core: &Core, number: u64, held_bytes: u64) -> bool {
    let made = room(core, held_bytes).and_then(|()| make(core, number).map_err(|error| core.no_segment(&error)));
    let trouble = match made {
        Ok((file, identity)) => {
            // From here on the name must last: a segment that may vanish takes what was acknowledged with it.
            if let Err(error) = core.disk.sync_dir(&core.dir) {
                core.poison(failed("syncing the directory after making", number, error), Vec::new());
                return false;
            }
            let mut desk = core.desk.lock();
            desk.newest = number;
            desk.segments.insert(number, Segment::spare(file, identity));
            desk.spare_trouble = None;
            if desk.refusing.as_ref().is_some_and(|refused| refused.cause == Cause::Full) {
                desk.refusing = None;
            }
            core.work.notify_all();
            return true;
        }
        Err(refused) => refused,
    };
    let mut desk = core.desk.lock();
    desk.spare_trouble = Some(trouble);
    core.work.notify_all();
    false
}

impl Segment {
    pub(crate) fn spare(file: Arc<dyn DiskFile>, identity: Identity) -> Self {
        Self {
            file,
            identity,
            stage: Stage::Spare,
            end: HEADER_BYTES as u64,
            first_n: 0,
            records_before: 0,
            before: None,
            damage: Vec::new(),
        }
    }
}

/// Whether one more segment may be made.
fn room(core: &Core, held_bytes: u64) -> Result<(), Refused> {
    let options = &core.options;
    let dir = core.dir.display();
    if held_bytes + options.segment_bytes > options.max_bytes {
        return Err(full(
            format!("spool `{dir}` holds {held_bytes} bytes, at most {} are allowed", options.max_bytes),
            "find out why the ledger does not take its events",
        ));
    }
    let free_bytes = core.disk.free_bytes(&core.dir).map_err(|error| core.no_segment(&error))?;
    core.desk.lock().free_bytes = Some(free_bytes);
    if free_bytes < options.segment_bytes.saturating_add(options.free_bytes_min) {
        return Err(full(
            format!(
                "the disk of `{dir}` has {free_bytes} bytes free; a segment takes {} and {} stay reserved for the ledger",
                options.segment_bytes, options.free_bytes_min
            ),
            "free space there",
        ));
    }
    Ok(())
}

/// A segment gets its name only when it is whole, so that a segment without a header is never a crash's doing.
fn make(core: &Core, number: u64) -> io::Result<(Arc<dyn DiskFile>, Identity)> {
    let unfinished = core.dir.join(format!("{}{UNFINISHED_SUFFIX}", segment_name(number)));
    let made = fill(core, number, &unfinished).and_then(|file| {
        let identity = file.identity()?;
        core.disk.rename(&unfinished, &core.path(number))?;
        Ok((file, identity))
    });
    if made.is_err() {
        // Best effort: what stays is swept when the spool is opened.
        let _ = core.disk.unlink(&unfinished);
    }
    made
}

fn fill(core: &Core, number: u64, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    let bytes = core.options.segment_bytes;
    let file = core.disk.create(path, bytes)?;
    let header = Header { segment: number, bytes, lineage: core.lineage.clone() };
    file.write_at(&header.encode(), 0)?;
    // Allocated blocks alone would not do: the first write to each would still change the file's map of blocks, and
    // every sync would have to write the journal as well.
    let zeros = vec![0; ZEROS_BYTES];
    let mut offset = HEADER_BYTES as u64;
    while offset < bytes {
        let piece = zeros.len().min(usize::try_from(bytes - offset).unwrap_or(zeros.len()));
        file.write_at(&zeros[..piece], offset)?;
        offset += piece as u64;
    }
    file.sync_data()?;
    Ok(file)
}

/// While nothing is written: is the open segment still there, and how much is free?
pub(crate) fn look_after(core: &Core) {
    let open = {
        let desk = core.desk.lock();
        desk.open_segment().filter(|_| desk.broken().is_none()).map(|number| (number, desk.segments[&number].identity))
    };
    if let Some((number, identity)) = open
        && let Err(why) = still_named(core, number, identity)
    {
        core.poison(why, Vec::new());
    }
    if let Ok(free_bytes) = core.disk.free_bytes(&core.dir) {
        core.desk.lock().free_bytes = Some(free_bytes);
    }
}
