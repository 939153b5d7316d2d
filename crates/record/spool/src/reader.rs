//! Reading what is durable, and letting go of what was shipped.

use std::sync::Arc;

use futures_channel::oneshot;

use crate::core::{Core, Desk, Stage};
use crate::disk::DiskFile;
use crate::frame::{self, FRAME_HEADER, Found, HEADER_BYTES, Seed};
use crate::record::{self, NotRecord};
use crate::recover::FRAMES_UNREADABLE;
use crate::state::{Damage, Position, ReadError};
use crate::{Batch, Record};

const FIRST_OFFSET: u64 = HEADER_BYTES as u64;

/// One read asks the disk for no more than this, unless a single record is longer.
const READ_BYTES_MAX: usize = 1 << 20;

/// Positions remembered for readers that have not released them.
const MARKS_MAX: usize = 1024;

/// A read in progress.
struct Reading {
    records: Vec<Record>,
    next: Position,
    max_records: usize,
    /// Bytes that may still be read.
    room: usize,
    /// The `n` of the last record of this segment; 0 before it.
    last_n: u64,
}

/// Where a read goes.
enum Place {
    /// Durable bytes lie here.
    Data { at: Position, end: u64, file: Arc<dyn DiskFile>, records_before: u64, first_n: u64 },
    /// Nothing further yet; reading goes on here.
    End(Position),
}

impl Core {
    pub(crate) fn read(&self, from: Position, max_records: usize, max_bytes: usize) -> Result<Batch, ReadError> {
        let mut reading = Reading { records: Vec::new(), next: from, max_records, room: max_bytes, last_n: 0 };
        let outcome = self.read_on(&mut reading);
        let Reading { records, next, .. } = reading;
        match outcome {
            // What was read before the trouble comes first.
            Err(error) if records.is_empty() => Err(error),
            _ => Ok(Batch { records, next }),
        }
    }

    fn read_on(&self, reading: &mut Reading) -> Result<(), ReadError> {
        loop {
            let place = self.desk.lock().place(reading.next)?;
            let Place::Data { at, end, file, records_before, first_n } = place else {
                let Place::End(at) = place else { unreachable!("a place is one of two") };
                reading.next = at;
                return Ok(());
            };
            reading.next = at;
            let seed = Seed::new(&self.lineage, at.segment);
            let outcome = self.read_segment(&*file, seed, end, reading);
            if reading.last_n > 0 {
                let count = records_before + (reading.last_n + 1).saturating_sub(first_n);
                self.desk.lock().mark(reading.next, count);
                reading.last_n = 0;
            }
            if !outcome? {
                return Ok(());
            }
        }
    }

    /// Reads on in one segment. `true` when `end` was reached, `false` when enough was read.
    fn read_segment(
        &self,
        file: &dyn DiskFile,
        seed: Seed,
        end: u64,
        reading: &mut Reading,
    ) -> Result<bool, ReadError> {
        let narrow = |offset: u64| usize::try_from(offset).expect("segments are bounded far below 4 GiB");
        let mut buffer = Vec::new();
        let mut used = 0;
        while reading.next.offset < end {
            if reading.records.len() >= reading.max_records {
                return Ok(false);
            }
            let at = reading.next;
            let frame = match frame::parse(&buffer[used..], seed, narrow(at.offset)) {
                Found::Frame(frame) => frame,
                other => {
                    // Either the buffer holds only the beginning of a frame, or there is none.
                    let wanted = match other {
                        Found::Longer(bytes) => bytes,
                        _ => reading.room.clamp(FRAME_HEADER, READ_BYTES_MAX),
                    };
                    let wanted = wanted.min(narrow(end - at.offset));
                    if buffer.len() - used >= wanted {
                        return Err(self.damaged(at, end, file, seed));
                    }
                    buffer.resize(wanted, 0);
                    used = 0;
                    let filled = file.read_at(&mut buffer, at.offset).map_err(|source| ReadError::Io { at, source })?;
                    if filled < wanted {
                        return Err(self.damaged(at, end, file, seed));
                    }
                    continue;
                }
            };
            let bytes = frame.bytes();
            if frame.n > 0 {
                if bytes > reading.room && !reading.records.is_empty() {
                    return Ok(false);
                }
                match record::decode(frame.body) {
                    Ok(record) => reading.records.push(record),
                    Err(NotRecord::UnknownKind(kind)) => return Err(ReadError::UnknownKind { at, kind }),
                    Err(NotRecord::Malformed) => return Err(self.damaged(at, end, file, seed)),
                }
                reading.room = reading.room.saturating_sub(bytes);
                reading.last_n = frame.n;
            }
            used += bytes;
            reading.next.offset += bytes as u64;
        }
        Ok(true)
    }

    /// Finds where reading can go on, and remembers the damage.
    fn damaged(&self, at: Position, end: u64, file: &dyn DiskFile, seed: Seed) -> ReadError {
        let start = usize::try_from(at.offset).expect("segments are bounded far below 4 GiB");
        let mut bytes = vec![0; usize::try_from(end).expect("segments are bounded far below 4 GiB")];
        if let Err(source) = file.read_at(&mut bytes, 0) {
            return ReadError::Io { at, source };
        }
        let resume = frame::next_frame(&bytes, seed, start).map_or(end, |offset| offset as u64);
        let damage = Damage { from: at, to: Position { offset: resume, ..at }, why: FRAMES_UNREADABLE.to_owned() };
        let mut desk = self.desk.lock();
        if let Some(segment) = desk.segments.get_mut(&at.segment)
            && !segment.damage.iter().any(|range| range.start == at.offset)
        {
            segment.damage.push(at.offset..resume);
        }
        if !desk.damage.contains(&damage) {
            desk.damage.push(damage.clone());
        }
        ReadError::Damaged { damage }
    }

    /// A receiver that resolves when `from` becomes readable; at once when it is.
    pub(crate) fn readable(&self, from: Position) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut desk = self.desk.lock();
        if desk.drained || desk.closed || !matches!(desk.place(from), Ok(Place::End(at)) if at == from.or_first()) {
            let _ = sender.send(());
        } else {
            desk.readers.retain(|reader| !reader.is_canceled());
            desk.readers.push(sender);
        }
        receiver
    }

    pub(crate) fn release(&self, upto: Position) {
        let mut desk = self.desk.lock();
        // A position that this spool never had comes from another one: it releases nothing here.
        if upto <= desk.released || matches!(desk.place(upto), Err(ReadError::Ahead { .. })) {
            return;
        }
        desk.released = upto;
        let known = desk.marks.range(..=upto).next_back().map(|(_, count)| *count);
        let whole = desk.segments.get(&upto.segment).map(|segment| segment.records_before);
        let all = matches!(desk.place(upto), Ok(Place::End(_))).then_some(desk.records);
        desk.released_records = desk.released_records.max(known.max(whole).max(all).unwrap_or(0));
        desk.marks = desk.marks.split_off(&upto);
        desk.nudged = true;
        self.upkeep.notify_all();
    }
}

impl Position {
    /// Nothing lies in a header. The start is before all segments and stays what it is.
    fn or_first(self) -> Self {
        if self.segment == 0 { Self::START } else { Self { offset: self.offset.max(FIRST_OFFSET), ..self } }
    }
}

impl Desk {
    fn mark(&mut self, at: Position, count: u64) {
        self.marks.insert(at, count);
        if self.marks.len() > MARKS_MAX {
            self.marks.pop_first();
        }
    }

    /// Where reading from `from` leads.
    fn place(&self, from: Position) -> Result<Place, ReadError> {
        let mut at = from.or_first();
        let Some((oldest, first)) = self.segments.first_key_value() else {
            return Ok(Place::End(at));
        };
        if at.segment < *oldest {
            // From the very start, or from the end of a segment that was released since.
            let known = at == Position::START || first.before == Some(from);
            if !known {
                return Err(ReadError::Gone { from, oldest: *oldest });
            }
            at = Position { segment: *oldest, offset: FIRST_OFFSET };
        }
        loop {
            let Some(segment) = self.segments.get(&at.segment) else {
                let missing = self.damage.iter().find(|damage| damage.from == at);
                return match missing {
                    Some(damage) => Err(ReadError::Damaged { damage: damage.clone() }),
                    None if at.segment == self.newest + 1 && at.offset == FIRST_OFFSET => Ok(Place::End(at)),
                    None => Err(ReadError::Ahead { from, newest: self.newest }),
                };
            };
            if let Some(hole) = segment.damage.iter().find(|hole| hole.contains(&at.offset)) {
                let to = Position { offset: hole.end, ..at };
                return Err(ReadError::Damaged { damage: Damage { from: at, to, why: FRAMES_UNREADABLE.to_owned() } });
            }
            if at.offset < segment.end {
                return Ok(Place::Data {
                    at,
                    end: segment.hole_after(at.offset).unwrap_or(segment.end),
                    file: Arc::clone(&segment.file),
                    records_before: segment.records_before,
                    first_n: segment.first_n,
                });
            }
            if at.offset > segment.end {
                return Err(ReadError::Ahead { from, newest: self.newest });
            }
            if segment.stage != Stage::Closed {
                return Ok(Place::End(at));
            }
            at = Position { segment: at.segment + 1, offset: FIRST_OFFSET };
        }
    }
}

impl crate::core::Segment {
    fn hole_after(&self, offset: u64) -> Option<u64> {
        self.damage.iter().map(|hole| hole.start).filter(|start| *start > offset).min()
    }
}
