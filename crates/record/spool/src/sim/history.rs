//! One disk's life: starts, work, crashes, and what must be true after each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haris_domain::{Actor, Draft, EventId, PayloadRef, SealedPayload, Stored, Timestamp, kind};

use super::disk::{Fault, Plan, Random, SimDisk, Sync};
use crate::core::{Core, Step};
use crate::keeper::Keeper;
use crate::state::{Cause, Health, Options, Position, SourceName};
use crate::writer::Writer;
use crate::{Durable, Record, recover};

/// A broken promise, and the seed that shows it again.
pub(super) struct Violation {
    seed: u64,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// What the histories met, so that a test can tell whether they met enough.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) crashes: u64,
    pub(super) power_cuts: u64,
    pub(super) kills: u64,
    pub(super) faults: u64,
    pub(super) torn: u64,
    pub(super) acknowledged: u64,
    pub(super) found: u64,
    pub(super) released: u64,
    pub(super) refused_full: u64,
    pub(super) poisoned: u64,
    pub(super) syncs: BTreeSet<Sync>,
}

const CRASHES_PER_DISK: u64 = 8;
const DIR: &str = "/spool";

/// What became of an appended event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Not answered: may or may not be found.
    Open,
    /// Acknowledged, or shown to a reader: must be found until it is released.
    Promised,
    /// Refused before anything was written: must never be found.
    Never,
    /// Released: may be gone.
    Released,
}

struct Known {
    boot: u64,
    n: u64,
    record: Record,
    fate: Fate,
}

struct History<'a> {
    random: Random,
    disk: SimDisk,
    seen: &'a mut Seen,
    /// By id.
    events: BTreeMap<EventId, Known>,
    boot: u64,
    ids: u64,
    /// Where the ledger is.
    shipped: Position,
    /// Boot and `n` of what it has taken.
    released: BTreeSet<(u64, u64)>,
    /// Segments before this were reported gone.
    gone_before: u64,
}

pub(super) fn run_history(seed: u64, ignore: Option<Sync>, seen: &mut Seen) -> Result<(), Violation> {
    let disk = SimDisk::new(seed, ignore);
    let random = Random::new(seed);
    let shipped = Position::START;
    let (events, released) = (BTreeMap::new(), BTreeSet::new());
    let mut history = History { random, disk, seen, events, boot: 0, ids: 0, shipped, released, gone_before: 0 };
    for _ in 0..CRASHES_PER_DISK {
        history.life().map_err(|what| Violation { seed, what })?;
    }
    history.seen.syncs.extend(history.disk.0.lock().seen.iter());
    Ok(())
}

impl History<'_> {
    /// From a start to the next crash.
    fn life(&mut self) -> Result<(), String> {
        self.seen.crashes += 1;
        self.boot += 1;
        let at = |random: &mut Random| {
            // Early operations are the opening's own, and deserve their share.
            let most = [8, 40, 150, 400][random.below(4) as usize];
            1 + random.below(most)
        };
        let plan = Plan {
            end_at: self.random.percent(50).then(|| at(&mut self.random)),
            end_at_group: self.random.percent(30).then(|| 1 + self.random.below(12)),
            end_at_entry: self.random.percent(30).then(|| 1 + self.random.below(8)),
            fault_at: self.random.percent(25).then(|| {
                let fault = if self.random.percent(50) { Fault::Io } else { Fault::Full(1 + self.random.below(20)) };
                (at(&mut self.random), fault)
            }),
        };
        self.disk.restart(plan);
        self.start_and_work()?;
        let faults = std::mem::take(&mut self.disk.0.lock().faults);
        self.seen.faults += faults.min(1);
        // A process that is killed leaves the page cache to the next one.
        if self.random.percent(65) {
            self.disk.power_cut();
            self.seen.power_cuts += 1;
        } else {
            self.seen.kills += 1;
        }
        Ok(())
    }

    fn start_and_work(&mut self) -> Result<(), String> {
        let name = SourceName { node: "node".into(), boot: format!("boot-{}", self.boot) };
        let segments = 3 + self.random.below(10);
        let options = Options {
            segment_bytes: 12 << 10,
            max_bytes: segments * (12 << 10),
            record_bytes_max: 3 << 10,
            queue_records_max: 16,
            queue_bytes_max: 16 << 10,
            free_bytes_min: 0,
            check_every: Duration::ZERO,
        };
        let opened = recover::open(Path::new(DIR), name, options, Arc::new(self.disk.clone()));
        self.disk.0.lock().opening = false;
        let Ok((core, mut writer, mut keeper, recovery)) = opened else {
            // A disk that fails while opening: nothing is promised, the next start tries again.
            return Ok(());
        };
        if !recovery.damage.is_empty() {
            return Err(format!("a crash was taken for damage: {:?}", recovery.damage));
        }
        self.seen.torn += u64::from(recovery.torn.is_some());
        self.check_found(&core)?;
        self.work(&core, &mut writer, &mut keeper)
    }

    /// Everything promised is there, nothing altered, nothing made up, in order.
    fn check_found(&mut self, core: &Core) -> Result<(), String> {
        if self.disk.0.lock().dead {
            return Ok(());
        }
        let oldest = core.state().segment_oldest;
        if oldest < self.gone_before {
            return Err(format!("segment {oldest} is back, all before {} were gone", self.gone_before));
        }
        self.gone_before = oldest;
        let found = match self.read_all(core, Position::START)? {
            Some((found, _)) => found,
            None => return Ok(()),
        };
        let mut last = (0, 0);
        let mut ids = BTreeSet::new();
        for record in found {
            let id = record.leaf.id;
            let Some(known) = self.events.get_mut(&id) else {
                return Err(format!("{id} was never appended"));
            };
            if known.record != record {
                return Err(format!("{id} was altered"));
            }
            let place = (known.boot, known.n);
            let follows = if known.boot == last.0 {
                known.n == last.1 + 1
            } else {
                // What is durable of a boot starts at 1, unless the beginning was shipped.
                known.boot > last.0 && (known.n == 1 || self.released.contains(&(known.boot, known.n - 1)))
            };
            if !follows {
                return Err(format!("boot and n {place:?} come after {last:?}"));
            }
            last = place;
            match known.fate {
                Fate::Never => return Err(format!("{id} was refused before it was written, and is there")),
                // A reader has it now: it must stay.
                Fate::Open => known.fate = Fate::Promised,
                Fate::Promised | Fate::Released => {}
            }
            ids.insert(id);
            self.seen.found += 1;
        }
        if let Some((id, known)) =
            self.events.iter().find(|(id, known)| known.fate == Fate::Promised && !ids.contains(*id))
        {
            return Err(format!("{id}, n {} of boot {}, was acknowledged and is missing", known.n, known.boot));
        }
        Ok(())
    }

    /// `None` when the disk failed under the reader.
    fn read_all(&self, core: &Core, from: Position) -> Result<Option<(Vec<Record>, Position)>, String> {
        let mut all = Vec::new();
        let mut next = from;
        loop {
            match core.read(next, 3, 2000) {
                Ok(batch) if batch.records.is_empty() && batch.next == next => return Ok(Some((all, next))),
                Ok(batch) => {
                    all.extend(batch.records);
                    next = batch.next;
                }
                Err(crate::ReadError::Io { .. }) => return Ok(None),
                Err(error) => return Err(format!("reading from {next}: {error}")),
            }
        }
    }

    fn work(&mut self, core: &Core, writer: &mut Writer, keeper: &mut Keeper) -> Result<(), String> {
        let mut waiting: Vec<(EventId, Durable)> = Vec::new();
        for _ in 0..self.random.below(120) {
            if self.disk.0.lock().dead {
                break;
            }
            match self.random.below(100) {
                0..35 => self.append(core, &mut waiting)?,
                35..65 => {
                    writer.step(core);
                }
                65..85 => {
                    if keeper.step(core) == Step::Idle && self.random.percent(30) {
                        keeper.rest_is_over();
                    }
                }
                85..88 => core.desk.lock().rotate = true,
                88..97 => self.ship(core)?,
                _ => {
                    let everything = self.read_all(core, Position::START)?;
                    self.show(everything.map(|(records, _)| records).unwrap_or_default())?;
                }
            }
            self.answers(core, &mut waiting)?;
            self.gone_before = self.gone_before.max(core.state().segment_oldest);
        }
        self.answers(core, &mut waiting)?;
        if let Health::Refusing(refused) = core.state().health {
            self.seen.refused_full += u64::from(refused.cause == Cause::Full);
            self.seen.poisoned += u64::from(refused.cause == Cause::Broken);
        }
        Ok(())
    }

    fn append(&mut self, core: &Core, waiting: &mut Vec<(EventId, Durable)>) -> Result<(), String> {
        self.ids += 1;
        let at = Timestamp::from_micros(1_800_000_000_000_000);
        let mut draft = Draft::new(&kind::REQUEST_DECIDED, at, Actor::service("gateway"));
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.ids.to_be_bytes());
        draft.id = EventId::new(at, random);
        let payloads: Vec<_> = (0..self.random.below(3)).map(|_| self.payload()).collect();
        let id = draft.id;
        match core.append(&draft, payloads.clone()) {
            Ok(durable) => {
                let desk = core.desk.lock();
                let leaf = desk.queue.waiting.last().expect("just appended").leaf.clone();
                let n = desk.source.n;
                drop(desk);
                let record = Record { leaf, payloads };
                self.events.insert(id, Known { boot: self.boot, n, record, fate: Fate::Open });
                waiting.push((id, durable));
                Ok(())
            }
            Err(refused) if refused.cause == Cause::Event => Err(format!("refused without reason: {refused}")),
            Err(_) => Ok(()),
        }
    }

    fn payload(&mut self) -> SealedPayload {
        let bytes = self.random.below(700);
        let byte = self.random.next() as u8;
        SealedPayload {
            reference: PayloadRef {
                name: "request".into(),
                commit: [byte; 32],
                key: "day:1".into(),
                bytes,
                stored: Stored::Redacted,
                source_commit: None,
            },
            wrapped_key: vec![byte; 40],
            ciphertext: (0..bytes).map(|i| byte.wrapping_add(i as u8)).collect(),
        }
    }

    /// Takes what was answered.
    fn answers(&mut self, core: &Core, waiting: &mut Vec<(EventId, Durable)>) -> Result<(), String> {
        let mut still = Vec::new();
        for (id, mut durable) in waiting.drain(..) {
            let Some(answer) = durable.answered() else {
                still.push((id, durable));
                continue;
            };
            let known = self.events.get_mut(&id).expect("every appended event is known");
            match answer {
                Ok(leaf) => {
                    if leaf != known.record.leaf {
                        return Err(format!("{id} was acknowledged as something else"));
                    }
                    known.fate = Fate::Promised;
                    self.seen.acknowledged += 1;
                }
                Err(refused) if refused.cause == Cause::Full => known.fate = Fate::Never,
                Err(refused) if refused.cause == Cause::Broken => {
                    if !matches!(core.state().health, Health::Refusing(_)) {
                        return Err(format!("{id} failed, and the spool goes on: {refused}"));
                    }
                }
                Err(refused) => return Err(format!("{id} was refused: {refused}")),
            }
        }
        *waiting = still;
        Ok(())
    }

    /// What a reader has seen is durable, or shipping would run ahead of the disk.
    fn show(&mut self, records: Vec<Record>) -> Result<(), String> {
        for record in records {
            let known = self.events.get_mut(&record.leaf.id).ok_or("a record that was never appended")?;
            if known.record != record {
                return Err(format!("{} reads altered", record.leaf.id));
            }
            match known.fate {
                Fate::Open => known.fate = Fate::Promised,
                Fate::Never => return Err(format!("{} was never written, and reads", record.leaf.id)),
                Fate::Promised | Fate::Released => {}
            }
        }
        Ok(())
    }

    /// The ledger takes a batch, remembers its position, and releases it.
    fn ship(&mut self, core: &Core) -> Result<(), String> {
        let batch = match core.read(self.shipped, 1 + self.random.below(12) as usize, 8 << 10) {
            Ok(batch) => batch,
            Err(crate::ReadError::Io { .. }) => return Ok(()),
            Err(error) => return Err(format!("the ledger cannot go on from {}: {error}", self.shipped)),
        };
        self.show(batch.records.clone())?;
        self.shipped = batch.next;
        for record in batch.records {
            let known = self.events.get_mut(&record.leaf.id).expect("shown above");
            known.fate = Fate::Released;
            self.released.insert((known.boot, known.n));
            self.seen.released += 1;
        }
        core.release(self.shipped);
        Ok(())
    }
}
