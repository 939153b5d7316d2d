//! A disk in memory that forgets.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, Identity, Lock};

/// Small, seeded, the same everywhere (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// True `of` times in 100.
    pub(super) fn percent(&mut self, of: u64) -> bool {
        self.below(100) < of
    }
}

/// Every purpose for which the spool syncs. A mutant leaves one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sync {
    /// The directory above the spool's, when opening.
    Parent,
    /// The spool's directory when opening, before anything in it is trusted.
    Sweep,
    /// What recovery found last, written again.
    Renew,
    /// A new segment's zeros and header, before it gets its name.
    Fill,
    /// The directory, after a segment got its name.
    Name,
    /// A group of events.
    Group,
    /// The directory, after a shipped segment was removed.
    Remove,
}

impl Sync {
    pub(super) const ALL: [Self; 7] =
        [Self::Parent, Self::Sweep, Self::Renew, Self::Fill, Self::Name, Self::Group, Self::Remove];
}

#[derive(Default)]
struct File {
    /// What a process sees.
    cache: Vec<u8>,
    /// What the platter has.
    durable: Vec<u8>,
    /// Writes since, in order. Growing a file is a write of nothing at its new end.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    File(u64),
    Dir,
}

#[derive(Clone)]
enum Entry {
    Set(PathBuf, Node),
    Unset(PathBuf),
    /// Moves in one piece, as on every file system with a journal.
    Move(PathBuf, PathBuf, Node),
}

/// What fails, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// The process dies at this operation.
    pub(super) end_at: Option<u64>,
    /// It dies at this sync of a group: what that would have made durable is in doubt.
    pub(super) end_at_group: Option<u64>,
    /// It dies at this sync of a directory.
    pub(super) end_at_entry: Option<u64>,
    /// This operation fails with an error.
    pub(super) fault_at: Option<(u64, Fault)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Io,
    /// This one and a few after it.
    Full(u64),
}

pub(super) struct World {
    random: Random,
    files: BTreeMap<u64, File>,
    cache: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<Entry>,
    inodes: u64,
    pub(super) plan: Plan,
    pub(super) operations: u64,
    groups: u64,
    entries: u64,
    pub(super) dead: bool,
    pub(super) faults: u64,
    /// The process is still opening its spool.
    pub(super) opening: bool,
    last_entry: Option<Sync>,
    pub(super) ignore: Option<Sync>,
    pub(super) seen: BTreeSet<Sync>,
}

#[derive(Clone)]
pub(super) struct SimDisk(pub(super) Arc<Mutex<World>>);

fn process_is_dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl SimDisk {
    pub(super) fn new(seed: u64, ignore: Option<Sync>) -> Self {
        Self(Arc::new(Mutex::new(World {
            random: Random::new(seed ^ 0xd15c),
            files: BTreeMap::new(),
            cache: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            inodes: 0,
            plan: Plan::default(),
            operations: 0,
            groups: 0,
            entries: 0,
            dead: false,
            faults: 0,
            opening: true,
            last_entry: None,
            ignore,
            seen: BTreeSet::new(),
        })))
    }

    /// A new process on the same machine, with its page cache.
    pub(super) fn restart(&self, plan: Plan) {
        let mut world = self.0.lock();
        world.plan = plan;
        world.operations = 0;
        world.groups = 0;
        world.entries = 0;
        world.dead = false;
        world.opening = true;
        world.last_entry = None;
    }

    /// The power goes, and comes back.
    pub(super) fn power_cut(&self) {
        let world = &mut *self.0.lock();
        let odds = [0, 10, 50, 90, 100][world.random.below(5) as usize];
        for file in world.files.values_mut() {
            settle(file, odds, &mut world.random);
            file.cache = file.durable.clone();
        }
        for entry in std::mem::take(&mut world.pending) {
            if world.random.percent(odds) {
                apply(&mut world.durable, entry);
            }
        }
        // Without its own name, a directory takes with it what was in it.
        let dirs: Vec<PathBuf> =
            world.durable.iter().filter(|(_, node)| **node == Node::Dir).map(|(path, _)| path.clone()).collect();
        world.durable.retain(|path, node| {
            *node == Node::Dir || path.parent().is_some_and(|parent| dirs.iter().any(|dir| dir == parent))
        });
        world.cache = world.durable.clone();
    }
}

/// Some of what is pending reaches the platter, in pieces and in any order; the rest never will.
fn settle(file: &mut File, odds: u64, random: &mut Random) {
    let mut pieces = Vec::new();
    for (offset, bytes) in file.pending.drain(..) {
        let mut from = 0;
        loop {
            // Sectors, pages, or any cut at all: a disk promises less than one hopes.
            let step = [512, 4096, 1 + random.below(700)][random.below(3) as usize] as usize;
            let to = (from + step).min(bytes.len());
            if random.percent(odds) {
                pieces.push((offset + from, bytes[from..to].to_vec()));
            }
            from = to;
            if from >= bytes.len() {
                break;
            }
        }
    }
    while !pieces.is_empty() {
        let (offset, bytes) = pieces.swap_remove(random.below(pieces.len() as u64) as usize);
        put(&mut file.durable, offset, &bytes);
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn apply(entries: &mut BTreeMap<PathBuf, Node>, entry: Entry) {
    match entry {
        Entry::Set(path, node) => {
            entries.insert(path, node);
        }
        Entry::Unset(path) => {
            entries.remove(&path);
        }
        Entry::Move(from, to, node) => {
            entries.remove(&from);
            entries.insert(to, node);
        }
    }
}

impl World {
    /// Counts an operation, and fails it if its time has come.
    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.plan.end_at == Some(self.operations) {
            self.dead = true;
        }
        if self.dead {
            return Err(process_is_dead());
        }
        match self.plan.fault_at {
            Some((at, Fault::Io)) if at == self.operations => {
                self.faults += 1;
                Err(io::Error::from_raw_os_error(5))
            }
            Some((at, Fault::Full(many))) if (at..at + many).contains(&self.operations) => {
                self.faults += 1;
                Err(io::Error::from_raw_os_error(28))
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, entry: Entry, purpose: Option<Sync>) {
        apply(&mut self.cache, entry.clone());
        self.pending.push(entry);
        self.last_entry = purpose.or(self.last_entry);
    }

    /// Whether this sync is to be left out.
    fn leaves_out(&mut self, sync: Sync) -> bool {
        self.seen.insert(sync);
        self.ignore == Some(sync)
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        match self.cache.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn identity(&self, inode: u64) -> Identity {
        Identity { device: 1, inode, bytes: self.files[&inode].cache.len() as u64 }
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "spool")
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        world.operation()?;
        if !world.cache.contains_key(dir) {
            world.change(Entry::Set(dir.to_owned(), Node::Dir), None);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let mut world = self.0.lock();
        world.operation()?;
        if !world.cache.contains_key(path.parent().expect("a lock lies in a directory")) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Some(Box::new(())))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut world = self.0.lock();
        world.operation()?;
        let inside = world.cache.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.0.lock();
        world.operation()?;
        if world.cache.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.inodes += 1;
        let inode = world.inodes;
        let bytes = usize::try_from(bytes).unwrap();
        let file = File { cache: vec![0; bytes], durable: Vec::new(), pending: vec![(bytes, Vec::new())] };
        world.files.insert(inode, file);
        world.change(Entry::Set(path.to_owned(), Node::File(inode)), None);
        Ok(Arc::new(SimFile { world: Arc::clone(&self.0), inode, purpose: Mutex::new(Sync::Fill) }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.0.lock();
        world.operation()?;
        let inode = world.inode(path)?;
        Ok(Arc::new(SimFile { world: Arc::clone(&self.0), inode, purpose: Mutex::new(Sync::Renew) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        world.operation()?;
        let node = Node::File(world.inode(from)?);
        let purpose = if is_segment(to) { Sync::Name } else { Sync::Remove };
        world.change(Entry::Move(from.to_owned(), to.to_owned(), node), Some(purpose));
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        world.operation()?;
        world.inode(path)?;
        // An unused segment that goes while opening is nobody's loss.
        let purpose = (is_segment(path) && !world.opening).then_some(Sync::Remove);
        world.change(Entry::Unset(path.to_owned()), purpose);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        world.entries += 1;
        let ends = world.plan.end_at_entry == Some(world.entries);
        world.dead |= ends;
        world.operation()?;
        let sync = match (dir.parent(), world.last_entry) {
            (None, _) => Sync::Parent,
            (Some(_), None) => Sync::Sweep,
            (Some(_), Some(purpose)) => purpose,
        };
        if !world.leaves_out(sync) {
            let of_dir = |entry: &Entry| match entry {
                Entry::Set(path, _) | Entry::Unset(path) | Entry::Move(_, path, _) => path.parent() == Some(dir),
            };
            let (now, later) = std::mem::take(&mut world.pending).into_iter().partition(of_dir);
            world.pending = later;
            let now: Vec<Entry> = now;
            for entry in now {
                apply(&mut world.durable, entry);
            }
        }
        Ok(())
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        let mut world = self.0.lock();
        world.operation()?;
        match world.cache.get(path) {
            Some(Node::File(inode)) => Ok(world.identity(*inode)),
            Some(Node::Dir) => Ok(Identity { device: 1, inode: 0, bytes: 0 }),
            None if path.parent().is_none() => Ok(Identity { device: 1, inode: 0, bytes: 0 }),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        self.0.lock().operation()?;
        Ok(1 << 40)
    }
}

struct SimFile {
    world: Arc<Mutex<World>>,
    inode: u64,
    /// What its next sync is for.
    purpose: Mutex<Sync>,
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let world = &mut *self.world.lock();
        let offset = usize::try_from(offset).unwrap();
        let outcome = world.operation();
        // A write that fails may have got anywhere.
        let written = if outcome.is_ok() { bytes.len() } else { world.random.below(bytes.len() as u64 + 1) as usize };
        let file = world.files.get_mut(&self.inode).expect("files are never forgotten");
        put(&mut file.cache, offset, &bytes[..written]);
        file.pending.push((offset, bytes[..written].to_vec()));
        outcome
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.world.lock();
        world.operation()?;
        let content = &world.files[&self.inode].cache;
        let from = usize::try_from(offset).unwrap().min(content.len());
        let count = buffer.len().min(content.len() - from);
        buffer[..count].copy_from_slice(&content[from..from + count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let world = &mut *self.world.lock();
        let sync = std::mem::replace(&mut *self.purpose.lock(), Sync::Group);
        if sync == Sync::Group {
            world.groups += 1;
            world.dead |= world.plan.end_at_group == Some(world.groups);
        }
        let outcome = world.operation();
        let leaves_out = world.leaves_out(sync);
        let World { files, random, dead, .. } = world;
        let file = files.get_mut(&self.inode).expect("files are never forgotten");
        match outcome {
            Ok(()) if leaves_out => {}
            Ok(()) => {
                file.pending.clear();
                file.durable.clone_from(&file.cache);
            }
            Err(_) if *dead => {}
            Err(_) => {
                // As on Linux: what could not be written is clean from now on, and seen until it is evicted.
                settle(file, 50, random);
                if random.percent(50) {
                    file.cache.clone_from(&file.durable);
                }
            }
        }
        outcome
    }

    fn identity(&self) -> io::Result<Identity> {
        let mut world = self.world.lock();
        world.operation()?;
        Ok(world.identity(self.inode))
    }
}
