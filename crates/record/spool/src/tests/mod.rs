//! The spool on a real disk, and on one that fails when told to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use haris_domain::{Actor, Draft, Event, PayloadRef, SealedPayload, Stored, Timestamp, kind};

use crate::core::{Core, Step};
use crate::disk::{Disk, DiskFile, Identity, Lock};
use crate::keeper::{self, Keeper};
use crate::writer::Writer;
use crate::{
    Cause, Health, OpenError, Options, Position, ReadError, RealDisk, Record, SourceName, Spool, recover, salvage,
};

mod changed;
mod damage;
mod faults;
mod service;

const SMALL: Options = Options {
    segment_bytes: 16 << 10,
    max_bytes: 1 << 20,
    record_bytes_max: 8 << 10,
    queue_records_max: 1000,
    queue_bytes_max: 1 << 20,
    free_bytes_min: 0,
    check_every: Duration::from_millis(5),
};

fn name(boot: &str) -> SourceName {
    SourceName { node: "node".into(), boot: boot.into() }
}

fn open(dir: &Path, boot: &str) -> Spool {
    Spool::open(dir, name(boot), SMALL, Arc::new(RealDisk)).unwrap()
}

fn draft() -> Draft {
    Draft::new(&kind::REQUEST_DECIDED, Timestamp::from_micros(1_800_000_000_000_000), Actor::service("gateway"))
}

fn payload(bytes: usize) -> SealedPayload {
    SealedPayload {
        reference: PayloadRef {
            name: "request".into(),
            commit: [7; 32],
            key: "day:2026-11-24:00000000".into(),
            bytes: bytes as u64,
            stored: Stored::Redacted,
            source_commit: Some([9; 32]),
        },
        wrapped_key: vec![3; 60],
        ciphertext: (0..bytes).map(|i| i as u8).collect(),
    }
}

fn append(spool: &Spool, payload_bytes: usize) -> Record {
    let payloads = vec![payload(payload_bytes)];
    Record { leaf: spool.append(draft(), payloads.clone()).unwrap().wait().unwrap(), payloads }
}

fn read_all(spool: &Spool, from: Position) -> (Vec<Record>, Position) {
    let (mut all, mut next) = (Vec::new(), from);
    loop {
        let batch = spool.read(next, 7, 5000).unwrap();
        if batch.records.is_empty() && batch.next == next {
            return (all, next);
        }
        all.extend(batch.records);
        next = batch.next;
    }
}

fn n_of(record: &Record) -> u64 {
    Event::parse(&record.leaf.bytes).unwrap().source.n
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "spool"));
    all.sort();
    all
}

/// Runs `done` until it is true. Not timed: the other threads only have to get there.
fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..20_000_000_u64 {
        if done() {
            return;
        }
        std::thread::yield_now();
    }
    panic!("{what} never came");
}

fn refusal(spool: &Spool) -> Option<crate::Refused> {
    match spool.state().health {
        Health::Healthy => None,
        Health::Refusing(refused) => Some(refused),
    }
}

/// A spool without threads: each step is the test's.
struct Stepped {
    core: Core,
    writer: Writer,
    keeper: Keeper,
}

impl Stepped {
    fn open(dir: &Path, options: Options, disk: Arc<dyn Disk>) -> Self {
        let (core, writer, keeper, _) = recover::open(dir, name("boot"), options, disk).unwrap();
        Self { core, writer, keeper }
    }

    fn settle(&mut self) {
        while self.keeper.step(&self.core) == Step::Worked || self.writer.step(&self.core) == Step::Worked {}
    }

    fn append(&mut self, bytes: usize) -> Result<haris_domain::Leaf, crate::Refused> {
        let mut durable = self.core.append(&draft(), vec![payload(bytes)])?;
        self.settle();
        durable.answered().expect("all steps were made")
    }

    fn health(&self) -> Health {
        self.core.state().health
    }
}
