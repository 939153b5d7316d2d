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

#[test]
fn what_is_appended_is_read_back_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "first");
    let mut written: Vec<_> = (0..40).map(|i| append(&spool, i * 50)).collect();
    assert_eq!(read_all(&spool, Position::START).0, written);
    assert_eq!(written.iter().map(n_of).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    let middle = spool.read(Position::START, 25, usize::MAX).unwrap();
    assert_eq!(middle.records, written[..25]);
    drop(spool);

    let spool = open(dir.path(), "second");
    assert_eq!(spool.recovery().records, 40);
    assert_eq!((spool.recovery().torn, &spool.recovery().damage[..]), (None, &[][..]));
    assert_eq!(spool.lineage(), "first");
    written.push(append(&spool, 5));
    assert_eq!(n_of(&written[40]), 1, "each start counts from 1");
    assert_eq!(read_all(&spool, Position::START).0, written);
    assert_eq!(read_all(&spool, middle.next).0, written[25..]);
}

#[test]
fn many_threads_get_numbers_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let spool = spool.clone();
            scope.spawn(move || (0..25).for_each(|i| drop(append(&spool, i * 9))));
        }
    });
    let found: Vec<_> = read_all(&spool, Position::START).0.iter().map(n_of).collect();
    assert_eq!(found, (1..=400).collect::<Vec<_>>());
    assert_eq!(spool.state().durable_events, 400);
}

#[test]
fn what_was_shipped_is_deleted_segment_by_segment() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    for _ in 0..40 {
        append(&spool, 1000);
    }
    assert!(segments(dir.path()).len() > 3);
    assert_eq!(spool.state().unshipped_records, 40);
    let half = spool.read(Position::START, 20, usize::MAX).unwrap();
    spool.release(half.next);
    assert_eq!(spool.state().unshipped_records, 20);
    until("the first segments' end", || spool.state().segment_oldest == half.next.segment);
    let (rest, end) = read_all(&spool, half.next);
    assert_eq!(rest.len(), 20);
    assert!(matches!(spool.read(Position { segment: 1, offset: 5000 }, 1, 1), Err(ReadError::Gone { .. })));

    // Rotated and shipped, nothing of them stays.
    spool.release(end);
    spool.rotate();
    until("the end of the segment", || spool.read(end, 1, 1).unwrap().next.segment > end.segment);
    let next = spool.read(end, 1, 1).unwrap().next;
    spool.release(next);
    until("the last segment's end", || spool.state().segment_oldest == next.segment);
    assert_eq!((spool.state().unshipped_records, spool.state().unshipped_bytes), (0, 0));
    assert_eq!(segments(dir.path()).len(), 1);

    // And numbers go on.
    drop(spool);
    let spool = open(dir.path(), "again");
    let record = append(&spool, 3);
    assert_eq!(read_all(&spool, next).0, [record]);
}

#[test]
fn a_reader_is_woken_by_what_becomes_durable() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    let start = read_all(&spool, Position::START).1;
    let mut readable = Box::pin(spool.wait_readable(start));
    let mut poll = || readable.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll(), Poll::Pending);
    append(&spool, 1);
    assert_eq!(poll(), Poll::Ready(()));
    let end = read_all(&spool, start).1;
    let mut readable = Box::pin(spool.wait_readable(end));
    let mut poll = || readable.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll(), Poll::Pending);
    spool.close();
    assert_eq!(poll(), Poll::Ready(()));
}

#[test]
fn a_closed_spool_drains_refuses_and_gives_up_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    let waiting: Vec<_> = (0..30).map(|_| spool.append(draft(), Vec::new()).unwrap()).collect();
    assert!(matches!(Spool::open(dir.path(), name("other"), SMALL, Arc::new(RealDisk)), Err(OpenError::InUse { .. })));
    spool.close();
    assert_eq!(waiting.into_iter().map(|durable| durable.wait()).filter(Result::is_ok).count(), 30);
    assert_eq!(spool.append(draft(), Vec::new()).unwrap_err().cause, Cause::Closed);
    assert_eq!(open(dir.path(), "other").recovery().records, 30);
    assert_eq!(read_all(&spool, Position::START).0.len(), 30);
}

#[test]
fn positions_that_never_were_are_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    append(&spool, 1);
    for from in [Position { segment: 9, offset: 4096 }, Position { segment: 1, offset: 9000 }] {
        assert!(matches!(spool.read(from, 1, 1), Err(ReadError::Ahead { .. })), "{from}");
        spool.release(from);
    }
    assert_eq!(spool.state().unshipped_records, 1, "another spool's position released something");
}

#[test]
fn an_event_that_cannot_be_written_takes_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    assert_eq!(spool.append(draft(), vec![payload(9000)]).unwrap_err().cause, Cause::Event);
    assert_eq!(spool.append(draft().with("score", 0.5), Vec::new()).unwrap_err().cause, Cause::Event);
    assert_eq!(spool.append(draft().with("x", "x".repeat(70_000)), Vec::new()).unwrap_err().cause, Cause::Event);
    let record = append(&spool, 1);
    assert_eq!(n_of(&record), 1);
    assert_eq!(read_all(&spool, Position::START).0, [record]);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for options in [
        Options { segment_bytes: 5000, ..SMALL },
        Options { record_bytes_max: 16 << 10, ..SMALL },
        Options { max_bytes: 20 << 10, ..SMALL },
    ] {
        let opened = Spool::open(dir.path(), name("boot"), options, Arc::new(RealDisk));
        assert!(matches!(opened, Err(OpenError::Options { .. })), "{options:?}");
    }
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    assert!(matches!(Spool::open(&file, name("b"), SMALL, Arc::new(RealDisk)), Err(OpenError::Io { .. })));
}

// The open segment and its name.

#[test]
fn a_segment_without_its_name_counts_as_not_writable() {
    let replace = |path: &Path| {
        let copy = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, copy).unwrap();
    };
    let cut = |path: &Path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(12 << 10).unwrap();
    let cases: [(&dyn Fn(&Path), &str); 3] = [
        (&|path| std::fs::remove_file(path).unwrap(), "lost its name"),
        (&replace, "was replaced"),
        (&cut, "was cut or grown"),
    ];
    for (harm, says) in cases {
        for waits in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let spool = open(dir.path(), "boot");
            let before = append(&spool, 100);
            harm(&segments(dir.path())[0]);
            if waits {
                until("the idle check", || refusal(&spool).is_some());
            } else {
                let refused = spool.append(draft(), Vec::new()).and_then(|durable| durable.wait()).unwrap_err();
                assert_eq!(refused.cause, Cause::Broken);
            }
            let refused = refusal(&spool).unwrap();
            assert!(refused.why.contains(says), "{refused}");
            assert_eq!(spool.append(draft(), Vec::new()).unwrap_err(), refused);
            // What was acknowledged can still be shipped.
            assert_eq!(spool.read(Position::START, 1, usize::MAX).unwrap().records, [before]);
        }
    }
}

// Damage.

/// Three segments: two full ones, and one that a second start wrote.
fn three_segments(dir: &Path) -> Vec<Record> {
    let spool = open(dir, "first");
    let mut all: Vec<_> = (0..16).map(|_| append(&spool, 1000)).collect();
    drop(spool);
    let spool = open(dir, "second");
    all.extend((0..3).map(|_| append(&spool, 100)));
    drop(spool);
    assert!(segments(dir).len() >= 3);
    all
}

/// Reads on over damage, as a shipper does that was told to.
fn read_around(spool: &Spool) -> (Vec<Record>, Vec<crate::Damage>) {
    let (mut all, mut damage, mut next) = (Vec::new(), Vec::new(), Position::START);
    loop {
        match spool.read(next, 7, 5000) {
            Ok(batch) if batch.records.is_empty() && batch.next == next => return (all, damage),
            Ok(batch) => {
                all.extend(batch.records);
                next = batch.next;
            }
            Err(ReadError::Damaged { damage: found }) => {
                next = found.to;
                damage.push(found);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_byte_is_named_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let all = three_segments(dir.path());
    edit(&segments(dir.path())[0], |bytes| bytes[6000] ^= 1);
    let spool = open(dir.path(), "third");
    let damage = spool.recovery().damage.clone();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!(damage[0].from.segment, 1);
    assert!((4096..=6000).contains(&damage[0].from.offset) && damage[0].to.offset > 6000, "{damage:?}");
    let (found, met) = read_around(&spool);
    assert_eq!(found.len(), all.len() - 1);
    assert!(found.iter().all(|record| all.contains(record)));
    assert_eq!(met.len(), 1);
    assert_eq!(spool.state().damage, damage);

    // Released, the damaged segment is kept aside.
    spool.release(Position { segment: 3, offset: 4096 });
    until("the damaged segment's end", || spool.state().segment_oldest == 3);
    assert!(dir.path().join("00000000000000000001.spool.damaged").exists());
}

#[test]
fn a_byte_flipped_while_the_spool_runs_is_named_by_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    let all: Vec<_> = (0..16).map(|_| append(&spool, 1000)).collect();
    let file = std::fs::OpenOptions::new().write(true).open(&segments(dir.path())[0]).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"?", 7000).unwrap();
    let (found, damage) = read_around(&spool);
    assert_eq!((found.len(), damage.len()), (all.len() - 1, 1));
    assert_eq!(spool.state().damage, damage);
}

#[test]
fn an_end_that_turned_into_zeros_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let all = three_segments(dir.path());
    for index in [0, 1] {
        let path = &segments(dir.path())[index];
        edit(path, |bytes| {
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            bytes[used - 200..].fill(0);
        });
        let spool = open(dir.path(), "later");
        let damage = &spool.recovery().damage;
        assert_eq!(damage.len(), index + 1, "{damage:?}");
        assert_eq!(read_around(&spool).0.len(), all.len() - index - 1);
    }
}

#[test]
fn a_missing_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let all = three_segments(dir.path());
    std::fs::remove_file(&segments(dir.path())[1]).unwrap();
    let spool = open(dir.path(), "later");
    assert_eq!(spool.recovery().damage.len(), 1);
    let (found, damage) = read_around(&spool);
    assert!(found.len() < all.len());
    assert_eq!((damage[0].from.segment, damage[0].to.segment), (2, 3));
}

#[test]
fn bytes_from_another_place_are_no_frames() {
    let dir = tempfile::tempdir().unwrap();
    let all = three_segments(dir.path());
    let paths = segments(dir.path());
    // A whole segment in the place of another.
    let first = std::fs::read(&paths[0]).unwrap();
    edit(&paths[1], |bytes| *bytes = first.clone());
    let spool = open(dir.path(), "later");
    let (found, _) = read_around(&spool);
    assert!(found.len() < all.len());
    assert!(found.iter().all(|record| all.contains(record)));
    assert_eq!(found.iter().filter(|record| **record == found[0]).count(), 1, "a replayed record passed");
    assert!(spool.recovery().damage.iter().any(|damage| damage.from.segment == 2));
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "first");
    let all: Vec<_> = (0..3).map(|_| append(&spool, 100)).collect();
    drop(spool);
    let path = segments(dir.path())[0].clone();
    let end = std::fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    edit(&path, |bytes| bytes[end + 20..end + 60].fill(0xaa));
    let spool = open(dir.path(), "second");
    assert_eq!(spool.recovery().damage, []);
    assert_eq!(spool.recovery().torn.map(|(at, _)| at.segment), Some(1));
    assert_eq!(read_all(&spool, Position::START).0, all);
    drop(spool);
    assert_eq!(std::fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0), Some(end));
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    three_segments(dir.path());
    edit(&segments(dir.path())[2], |bytes| bytes[8] = 2);
    let opened = Spool::open(dir.path(), name("later"), SMALL, Arc::new(RealDisk));
    assert!(matches!(opened, Err(OpenError::Version { version: 2, known: 1, .. })));
}

// A disk that fails when told to.

#[derive(Clone, Default)]
struct Faulty(Arc<Switches>);

#[derive(Default)]
struct Switches {
    sync_fails: AtomicBool,
    write_panics: AtomicBool,
    create_fails: AtomicU64,
    free_bytes: AtomicU64,
    syncs: AtomicU64,
}

struct FaultyFile(Arc<dyn DiskFile>, Faulty);

impl Disk for Faulty {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        RealDisk.lock(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        match self.0.create_fails.load(Ordering::Relaxed) {
            0 => Ok(Arc::new(FaultyFile(RealDisk.create(path, bytes)?, self.clone()))),
            code => Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap())),
        }
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(FaultyFile(RealDisk.open(path)?, self.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        RealDisk.unlink(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn identity(&self, path: &Path) -> io::Result<Identity> {
        RealDisk.identity(path)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        match self.0.free_bytes.load(Ordering::Relaxed) {
            0 => RealDisk.free_bytes(dir),
            bytes => Ok(bytes),
        }
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert!(!self.1.0.write_panics.load(Ordering::Relaxed), "told to panic");
        self.0.write_at(bytes, offset)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.0.syncs.fetch_add(1, Ordering::Relaxed);
        if self.1.0.sync_fails.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.0.sync_data()
    }
    fn identity(&self) -> io::Result<Identity> {
        self.0.identity()
    }
}

#[test]
fn a_failed_sync_is_never_retried_and_never_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Faulty::default();
    let spool = Spool::open(dir.path(), name("boot"), SMALL, Arc::new(disk.clone())).unwrap();
    let before = {
        let leaf = spool.append(draft(), Vec::new()).unwrap().wait().unwrap();
        Record { leaf, payloads: Vec::new() }
    };
    until("the segment ahead", || segments(dir.path()).len() == 2);
    disk.0.sync_fails.store(true, Ordering::Relaxed);
    let refused = spool.append(draft(), Vec::new()).unwrap().wait().unwrap_err();
    assert_eq!(refused.cause, Cause::Broken);
    let syncs = disk.0.syncs.load(Ordering::Relaxed);
    disk.0.sync_fails.store(false, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(spool.append(draft(), Vec::new()).unwrap_err(), refused);
    }
    assert_eq!(disk.0.syncs.load(Ordering::Relaxed), syncs);
    assert_eq!(spool.read(Position::START, 9, 9000).unwrap().records, [before.clone()], "what failed is not shown");
    drop(spool);
    let spool = open(dir.path(), "next");
    assert_eq!(read_all(&spool, Position::START).0[0], before);
    append(&spool, 1);
}

#[test]
fn a_thread_that_dies_refuses_instead_of_leaving_everyone_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Faulty::default();
    let spool = Spool::open(dir.path(), name("boot"), SMALL, Arc::new(disk.clone())).unwrap();
    until("the segment ahead", || segments(dir.path()).len() == 1);
    disk.0.write_panics.store(true, Ordering::Relaxed);
    let refused = spool.append(draft(), Vec::new()).and_then(|durable| durable.wait()).unwrap_err();
    assert_eq!(refused.cause, Cause::Broken);
    until("the refusal", || spool.append(draft(), Vec::new()).is_err_and(|refused| refused.cause == Cause::Broken));
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

#[test]
fn a_full_disk_refuses_says_so_and_passes() {
    for (code, helps) in [(28, "free space"), (30, "writable")] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Faulty::default();
        let mut spool = Stepped::open(dir.path(), SMALL, Arc::new(disk.clone()));
        let mut written = vec![spool.append(3000).unwrap()];
        disk.0.create_fails.store(code, Ordering::Relaxed);
        // The segment at hand and the one ahead are still there.
        let refused = loop {
            match spool.append(3000) {
                Ok(leaf) => written.push(leaf),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.cause, Cause::Full);
        assert!(refused.what_to_do.contains(helps), "{refused}");
        assert_eq!(spool.health(), Health::Refusing(refused.clone()));
        assert_eq!(spool.append(1), Err(refused));
        disk.0.create_fails.store(0, Ordering::Relaxed);
        spool.keeper.rest_is_over();
        spool.settle();
        assert_eq!(spool.health(), Health::Healthy);
        written.push(spool.append(3000).unwrap());
        let batch = spool.core.read(Position::START, 99, usize::MAX).unwrap();
        let found: Vec<_> = batch.records.iter().map(|record| record.leaf.clone()).collect();
        assert_eq!(found, written);
        let numbers: Vec<_> = batch.records.iter().map(n_of).collect();
        assert_eq!(numbers, (1..=written.len() as u64).collect::<Vec<_>>(), "a refused event left a gap");
    }
}

#[test]
fn trouble_ahead_is_a_warning_first() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Faulty::default();
    let mut spool = Stepped::open(dir.path(), SMALL, Arc::new(disk.clone()));
    disk.0.free_bytes.store(1, Ordering::Relaxed);
    spool.settle();
    let refused = spool.append(10).unwrap_err();
    assert!(refused.why.contains("1 bytes free"), "{refused}");
    disk.0.free_bytes.store(0, Ordering::Relaxed);
    spool.keeper.rest_is_over();
    spool.settle();
    disk.0.free_bytes.store(1, Ordering::Relaxed);
    spool.append(10).unwrap();
    assert_eq!(spool.health(), Health::Healthy);
    assert!(spool.core.state().warning.is_some());
}

#[test]
fn a_spool_that_nobody_empties_refuses_until_it_is_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Stepped::open(dir.path(), Options { max_bytes: 48 << 10, ..SMALL }, Arc::new(RealDisk));
    let refused = loop {
        if let Err(refused) = spool.append(3000) {
            break refused;
        }
    };
    assert_eq!(refused.cause, Cause::Full);
    assert!(refused.why.contains("at most 49152"), "{refused}");
    let batch = spool.core.read(Position::START, 99, usize::MAX).unwrap();
    spool.core.release(batch.next);
    spool.settle();
    spool.append(3000).unwrap();
}

#[test]
fn a_queue_that_is_full_says_busy() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { queue_records_max: 3, ..SMALL };
    let mut spool = Stepped::open(dir.path(), options, Arc::new(RealDisk));
    let waiting: Vec<_> = (0..3).map(|_| spool.core.append(&draft(), Vec::new()).unwrap()).collect();
    assert_eq!(spool.core.append(&draft(), Vec::new()).unwrap_err().cause, Cause::Busy);
    spool.settle();
    drop(waiting);
    spool.append(1).unwrap();
}

#[test]
fn the_idle_check_finds_a_lost_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Stepped::open(dir.path(), SMALL, Arc::new(RealDisk));
    spool.append(1).unwrap();
    keeper::look_after(&spool.core);
    assert_eq!(spool.health(), Health::Healthy);
    std::fs::remove_file(&segments(dir.path())[0]).unwrap();
    keeper::look_after(&spool.core);
    assert!(matches!(spool.health(), Health::Refusing(refused) if refused.cause == Cause::Broken));
}

// A segment's bytes, changed in any way.

mod changed {
    use proptest::prelude::*;

    use super::*;

    fn segment() -> (Vec<u8>, Vec<Record>) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Stepped::open(dir.path(), SMALL, Arc::new(RealDisk));
        for bytes in [10, 700, 0, 300, 1500, 20] {
            spool.append(bytes).unwrap();
        }
        let records = spool.core.read(Position::START, 99, usize::MAX).unwrap().records;
        (std::fs::read(&segments(dir.path())[0]).unwrap(), records)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever happens to a segment, what is found in it was written there, and a hole shows.
        #[test]
        fn only_what_was_written_is_found(changes in prop::collection::vec((4096..9000_usize, any::<u8>()), 1..6), cut in 4096..16384_usize) {
            let (mut bytes, written) = segment();
            let before = bytes.clone();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            bytes.truncate(cut.max(9000));
            let found = salvage(&bytes).unwrap();
            let mut rest = written.iter();
            for (_, record) in &found.records {
                prop_assert!(rest.any(|other| other == record), "made up, or out of order");
            }
            let used = before.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            let whole = bytes[..used.min(bytes.len())] == before[..used];
            prop_assert!(!whole || found.records.len() == written.len());
            prop_assert_eq!(whole, found.torn.is_none() && found.damage.is_empty());
        }

        #[test]
        fn any_bytes_are_answered(noise in prop::collection::vec(any::<u8>(), 0..6000), at in 0..9000_usize) {
            let (mut bytes, _) = segment();
            let end = (at + noise.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&noise[..end - at]);
            let _ = salvage(&bytes);
            let _ = salvage(&noise);
        }
    }
}
