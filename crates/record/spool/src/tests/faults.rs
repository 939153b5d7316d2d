//! A disk that fails when told to.

use super::*;

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
    let shown = spool.read(Position::START, 9, 9000).unwrap().records;
    assert_eq!(shown, std::slice::from_ref(&before), "what failed is not shown");
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

/// Whoever asks before the first event comes is told what that event would be.
#[test]
fn a_start_on_a_full_disk_refuses_from_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Faulty::default();
    Stepped::open(dir.path(), SMALL, Arc::new(disk.clone())).append(3000).unwrap();
    disk.0.free_bytes.store(1, Ordering::Relaxed);
    let spool = Spool::open(dir.path(), name("after"), SMALL, Arc::new(disk.clone())).unwrap();
    let said = refusal(&spool).expect("a start goes on in a fresh segment, and there is none");
    assert_eq!(said.cause, Cause::Full);
    assert_eq!(spool.append(draft(), Vec::new()).and_then(|durable| durable.wait()).unwrap_err().cause, Cause::Full);
    disk.0.free_bytes.store(0, Ordering::Relaxed);
    until("room", || refusal(&spool).is_none());
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
