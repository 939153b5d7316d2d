//! One log's leaves, from the first to the last: rows against bundles against tiles, and the tree computed anew.

use haris_domain::{EventId, Log};
use haris_merkle::tile::{Entries, TILE_WIDTH, Tile};
use haris_merkle::{Frontier, Hash, Peaks, VerifierKey, leaf_hash, tree};
use haris_verify::{ANCHOR_KIND, Continuity, LeafView};

use super::payloads::Committed;
use super::tree::first_difference;
use super::{FsckLog, PROBLEMS_MAX, Problem};
use crate::{CheckpointRow, EventRow, LogTiles, ReadError};

/// The rows of one bundle's entries as the database puts them together: one row of an answer instead of 256.
pub(super) struct Packed {
    /// Index of the first entry.
    pub(super) first: u64,
    /// How many there are.
    pub(super) count: u64,
    /// Their bytes, a newline between each two.
    pub(super) bytes: Vec<u8>,
    /// Their recorded hashes.
    pub(super) hashes: Vec<u8>,
    /// Their ids, a newline between each two.
    pub(super) ids: String,
}

/// Rows of a stretch of entries, and the checkpoints that end in it.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) packed: Vec<Packed>,
    pub(super) checkpoints: Vec<CheckpointRow>,
    /// Checkpoints whose rows cannot be read, by size, and why.
    pub(super) malformed: Vec<(u64, String)>,
}

/// A checkpoint of the traffic log, as entry `index` of the evidence log names it.
pub(super) struct Anchored {
    pub(super) index: u64,
    pub(super) size: u64,
    pub(super) root: String,
}

/// What is known of a log on the way through it.
pub(super) struct LogCheck {
    pub(super) account: FsckLog,
    pub(super) problems: Vec<Problem>,
    pub(super) problems_not_listed: u64,
    /// Anchors that this log holds.
    pub(super) anchors_found: Vec<Anchored>,
    /// Leaves that commit to payloads, since they were last taken from here.
    pub(super) committed: Vec<Committed>,
    /// Events that sealed erasures name, since they were last taken from here.
    pub(super) erased: Vec<EventId>,
    pub(super) log: Log,
    pub(super) tiles: LogTiles,
    pub(super) origin: String,
    pub(super) keys: Vec<VerifierKey>,
    /// Anchors that name this log's checkpoints, by size.
    pub(super) anchors: Vec<Anchored>,
    pub(super) frontier: Frontier,
    pub(super) peaks: Peaks,
    pub(super) continuity: Option<Continuity>,
    /// Bytes of the right-most bundle, for the partial copies of it.
    pub(super) bundle: Vec<u8>,
}

impl LogCheck {
    pub(super) fn new(
        tiles: LogTiles,
        origin: &str,
        keys: Vec<VerifierKey>,
        sealed: u64,
        size: u64,
        mut anchors: Vec<Anchored>,
    ) -> Self {
        let log = tiles.log();
        anchors.sort_by_key(|anchor| anchor.size);
        let findings = haris_verify::Findings::default();
        let mut check = Self {
            account: FsckLog { log, size, sealed, checkpoints: 0, findings },
            problems: Vec::new(),
            problems_not_listed: 0,
            anchors_found: Vec::new(),
            committed: Vec::new(),
            erased: Vec::new(),
            log,
            tiles,
            origin: origin.to_owned(),
            keys,
            anchors,
            frontier: Frontier::new(),
            peaks: Peaks::new(),
            continuity: Some(Continuity::new(true)),
            bundle: Vec::new(),
        };
        if size < sealed {
            let why = format!("it says {size} entries, of which {sealed} are sealed");
            check.problem(None, "its counter", why);
        }
        check.anchors_of_size(0);
        check
    }

    pub(super) fn problem(&mut self, index: Option<u64>, what: impl Into<String>, why: impl Into<String>) {
        let problem = Problem { log: Some(self.log), index, what: what.into(), why: why.into() };
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.problems_not_listed += 1;
        }
    }

    /// Checks the sealed entries `[from, to)`, bundle by bundle, while rows, bundle and tile say the same. Answers where
    /// it stopped: from there on [`LogCheck::rows`] finds out what differs. `from` is the start of a bundle.
    pub(super) fn packed(&mut self, from: u64, to: u64, chunk: &Chunk) -> Result<u64, ReadError> {
        let mut index = from;
        while let Some(name) = Entries::covering(index, self.account.sealed).filter(|_| index < to) {
            let packed = chunk.packed.iter().find(|packed| packed.first == index);
            let Some(packed) = packed.filter(|packed| packed.count == u64::from(name.width)) else { return Ok(index) };
            let bundle = match self.tiles.bundle(name) {
                Ok(bundle) => bundle,
                Err(ReadError::Damaged { .. }) => return Ok(index),
                Err(error) => return Err(error),
            };
            let tile = match tree::fetch(&self.tiles, Tile { level: 0, index: name.index, width: name.width }) {
                Ok(hashes) => hashes,
                Err(tree::TreeError::Read(error)) => return Err(error.into()),
                Err(_) => return Ok(index),
            };
            let Ok(entries) = name.decode(&bundle) else { return Ok(index) };
            let Some(views) = agreeing(&entries, &tile, packed) else { return Ok(index) };
            for (((at, hash), view), entry) in (index..).zip(&tile).zip(&views).zip(&entries) {
                self.event(at, view, entry);
                self.grow(*hash, true)?;
                let end = at + 1;
                if let Ok(row) = chunk.checkpoints.binary_search_by_key(&end, |row| row.size) {
                    self.checkpoint(&chunk.checkpoints[row]);
                }
                self.anchors_of_size(end);
            }
            drop(views);
            drop(entries);
            self.bundle = if name.is_full() { Vec::new() } else { bundle };
            index += u64::from(name.width);
        }
        Ok(index)
    }

    /// Checks the entries `[from, to)` one by one; `from` is the start of a bundle.
    pub(super) fn rows(
        &mut self,
        from: u64,
        to: u64,
        rows: &[EventRow],
        checkpoints: &[CheckpointRow],
    ) -> Result<(), ReadError> {
        let mut rows = rows.iter().peekable();
        let mut checkpoints = checkpoints.iter().filter(|row| row.size > from).peekable();
        let mut index = from;
        // Entries of which nothing is there, since this one: a forged counter makes thousands.
        let mut gone: Option<u64> = None;
        while index < to {
            let sealed = Entries::covering(index, self.account.sealed);
            let stored = match sealed {
                Some(name) => self.stored(name)?,
                None => Stored::default(),
            };
            let end = to.min(index + u64::from(TILE_WIDTH));
            let entries = sealed.and_then(|name| name.decode(&stored.bundle).ok());
            for index in index..end {
                let at = usize::try_from(index % u64::from(TILE_WIDTH)).expect("below 256");
                let row = rows.next_if(|row| row.index == index);
                let entry = entries.as_ref().and_then(|entries| entries.get(at)).copied();
                let hash = stored.hashes.get(at);
                if row.is_none() && entry.is_none() && hash.is_none() {
                    gone.get_or_insert(index);
                    self.grow([0; 32], sealed.is_some())?;
                } else {
                    self.rows_gone(gone.take(), index);
                    self.entry(index, row, entry, hash)?;
                }
                while let Some(row) = checkpoints.next_if(|row| row.size == index + 1) {
                    self.checkpoint(row);
                }
                self.anchors_of_size(index + 1);
            }
            if sealed.is_some() {
                self.bundle = if stored.full { Vec::new() } else { stored.bundle };
            }
            index = end;
        }
        self.rows_gone(gone, to);
        Ok(())
    }

    fn rows_gone(&mut self, first: Option<u64>, end: u64) {
        let Some(first) = first else { return };
        let all = if end - first > 1 { format!(", with all up to entry {}", end - 1) } else { String::new() };
        self.problem(Some(first), "its row", format!("it is missing{all}"));
    }

    /// A bundle and its tile as they are stored. What is missing or malformed is named and left empty.
    fn stored(&mut self, name: Entries) -> Result<Stored, ReadError> {
        let first = name.index * u64::from(TILE_WIDTH);
        let mut stored = Stored { full: name.is_full(), ..Stored::default() };
        match self.tiles.bundle(name) {
            Ok(bytes) => {
                if let Err(error) = name.decode(&bytes) {
                    self.problem(Some(first), format!("`{}`", self.tiles.path(&name.path())), error.to_string());
                }
                stored.bundle = bytes;
            }
            Err(ReadError::Damaged { what, why }) => self.problem(Some(first), format!("`{what}`"), why),
            Err(error) => return Err(error),
        }
        let tile = Tile { level: 0, index: name.index, width: name.width };
        match tree::fetch(&self.tiles, tile) {
            Ok(hashes) => stored.hashes = hashes,
            Err(tree::TreeError::Read(error)) => return Err(error.into()),
            Err(error) => self.problem(Some(first), format!("`{}`", self.tiles.path(&tile.path())), error.to_string()),
        }
        Ok(stored)
    }

    /// One entry: of row, bundle and tile two that agree name the third.
    fn entry(
        &mut self,
        index: u64,
        row: Option<&EventRow>,
        entry: Option<&[u8]>,
        tile: Option<&Hash>,
    ) -> Result<(), ReadError> {
        let is_sealed = index < self.account.sealed;
        let row_bytes = row.map(|row| row.bytes.as_slice());
        let same = row_bytes.is_some() && row_bytes == entry;
        let entry_hash = entry.map(leaf_hash);
        let row_hash = if same { entry_hash } else { row_bytes.map(leaf_hash) };
        let agreed = [entry_hash, row_hash].into_iter().flatten().find(|hash| Some(hash) == tile);
        // What two of them say, else the bundle, which is the truth once it is sealed.
        let truth = match agreed {
            Some(hash) => Some(hash),
            None if same => entry_hash,
            None => entry_hash.or(row_hash),
        };
        if row.is_none() {
            self.problem(Some(index), "its row", "it is missing");
        }
        if is_sealed && !(same && agreed.is_some()) {
            self.disagree(index, (row_bytes, row_hash), (entry, entry_hash), tile, agreed);
        }
        if let (Some(row), Some(hash)) = (row, row_hash)
            && row.leaf_hash != hash
        {
            self.problem(Some(index), "the hash in its row", "it is not the hash of the row's bytes");
        }
        // The bytes that the truth is the hash of.
        let bytes = if entry_hash.is_some() && entry_hash == truth { entry } else { row_bytes };
        match bytes.map(|bytes| (LeafView::parse(bytes), bytes)) {
            None => {}
            Some((Err(error), _)) => self.problem(Some(index), "its bytes", error.to_string()),
            Some((Ok(view), bytes)) => {
                if row.is_some_and(|row| row.id != view.id) {
                    self.problem(Some(index), "the id in its row", format!("the event is {}", view.id));
                }
                self.event(index, &view, bytes);
            }
        }
        self.grow(truth.or(tile.copied()).unwrap_or([0; 32]), is_sealed)
    }

    /// Names which of row, bundle and tile is the odd one.
    fn disagree(
        &mut self,
        index: u64,
        (row, row_hash): (Option<&[u8]>, Option<Hash>),
        (entry, entry_hash): (Option<&[u8]>, Option<Hash>),
        tile: Option<&Hash>,
        agreed: Option<Hash>,
    ) {
        let sealed = self.account.sealed;
        let path = |path: Option<String>| path.map_or_else(String::new, |path| self.tiles.path(&path));
        let in_bundle = format!("its bytes in `{}`", path(Entries::covering(index, sealed).map(Entries::path)));
        let in_tile = format!("its hash in `{}`", path(Tile::covering(0, index, sealed).map(Tile::path)));
        let differs = match (entry, row) {
            (Some(entry), Some(row)) => format!("row and bundle differ at byte {}", first_difference(entry, row)),
            _ => "it is not what the tile has the hash of".to_owned(),
        };
        match (row, entry, tile) {
            // What is missing altogether was named when it was looked for.
            (None, None, _) | (None, _, None) | (_, None, None) => {}
            (Some(_), Some(_), None) => self.problem(Some(index), "the bytes of its row", differs),
            (_, _, Some(_)) if agreed.is_some() => {
                if row.is_some() && row_hash != agreed {
                    self.problem(Some(index), "the bytes of its row", differs.as_str());
                }
                if entry.is_some() && entry_hash != agreed {
                    self.problem(Some(index), in_bundle, differs);
                }
            }
            (Some(row), Some(entry), Some(_)) if row != entry => {
                self.problem(Some(index), in_bundle, format!("{differs}, and the tile has the hash of neither"));
            }
            (_, _, Some(_)) => self.problem(Some(index), in_tile, "it is not the hash of the entry"),
        }
    }

    fn event(&mut self, index: u64, view: &LeafView<'_>, bytes: &[u8]) {
        if view.has_payloads() {
            self.committed.push(Committed { index, bytes: bytes.to_vec() });
        }
        // One that is not sealed explains nothing yet: keys are destroyed afterwards.
        if index < self.account.sealed {
            self.erased.extend(super::erased_by(view));
        }
        if let Some(continuity) = &mut self.continuity {
            continuity.push(index, view);
        }
        if view.kind == ANCHOR_KIND {
            let data = view.data();
            if let (Some(size), Some(root)) = (data["size"].as_u64(), data["root"].as_str()) {
                self.anchors_found.push(Anchored { index, size, root: root.to_owned() });
            }
        }
    }
}

#[derive(Default)]
struct Stored {
    bundle: Vec<u8>,
    hashes: Vec<Hash>,
    full: bool,
}

/// The events of a bundle, if rows, bundle and tile say the same of every one.
fn agreeing<'a>(entries: &[&'a [u8]], tile: &[Hash], packed: &Packed) -> Option<Vec<LeafView<'a>>> {
    // An entry is canonical JSON and so without a raw newline. Equal lengths, counts and separators then leave no way
    // to move bytes from one row to the next.
    let same_bytes = packed.bytes.split(|byte| *byte == b'\n').eq(entries.iter().copied());
    if !same_bytes || packed.hashes != tile.concat() || entries.len() != tile.len() {
        return None;
    }
    let mut ids = packed.ids.split('\n');
    let mut views = Vec::with_capacity(entries.len());
    for (entry, hash) in entries.iter().zip(tile) {
        let view = LeafView::parse(entry).ok().filter(|view| ids.next() == Some(view.id.as_ref()))?;
        if leaf_hash(entry) != *hash {
            return None;
        }
        views.push(view);
    }
    ids.next().is_none().then_some(views)
}
