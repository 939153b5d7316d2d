//! One log's tree: computed anew from its leaves, and held against tiles, checkpoints and anchors.

use haris_merkle::tile::{Entries, TILE_WIDTH, Tile, right_edge};
use haris_merkle::{Checkpoint, Hash, tree};

use super::Recorded;
use super::entries::{Anchored, LogCheck};
use crate::{CheckpointRow, ReadError};

impl LogCheck {
    /// What lies at the edge and in front of it, once all entries are through.
    pub(super) fn finish(mut self, published: Option<&[u8]>, recorded: Option<&Recorded>) -> Result<Self, ReadError> {
        self.partials()?;
        match (published, recorded) {
            (None, None) => {}
            (Some(published), Some(recorded)) if recorded.is_published_as(published) => {
                let size = Checkpoint::parse(published).map_or(0, |(parsed, _)| parsed.size);
                let newest = self.account.sealed;
                if size < newest {
                    let why = format!("the one of {size} entries is published, the newest on record has {newest}");
                    self.problem(None, "`checkpoint`", why);
                }
            }
            (None, Some(_)) => self.problem(None, "`checkpoint`", "it is missing; the row of it is there"),
            (Some(_), None) => {
                let why = "it is published and not on record: was the database put back to an older state?";
                self.problem(None, "`checkpoint`", why);
            }
            (Some(published), Some(recorded)) => {
                let why = format!(
                    "it differs from its row at byte {}",
                    first_difference(published, recorded.note.as_bytes())
                );
                self.problem(None, "`checkpoint`", why);
            }
        }
        let beyond: Vec<String> = self.anchors.iter().map(|anchor| beyond(anchor, self.account.sealed)).collect();
        for why in beyond {
            self.problem(None, "its checkpoints", why);
        }
        if let Some(continuity) = self.continuity.take() {
            self.account.findings = continuity.finish();
        }
        Ok(self)
    }

    /// Appends to the tree computed anew, and compares each tile that it fills. Level 0 was compared hash by hash.
    pub(super) fn grow(&mut self, hash: Hash, is_sealed: bool) -> Result<(), ReadError> {
        if !is_sealed {
            return Ok(());
        }
        self.peaks.push(hash);
        let mut filled: Vec<(Tile, Vec<u8>)> = Vec::new();
        self.frontier.push(hash, |tile, bytes| {
            if tile.level > 0 {
                filled.push((tile, bytes));
            }
        });
        filled.into_iter().try_for_each(|(tile, bytes)| self.tile(tile, &bytes))
    }

    fn tile(&mut self, tile: Tile, expected: &[u8]) -> Result<(), ReadError> {
        let span = 1_u64.checked_shl(u32::from(tile.level) * 8).unwrap_or(u64::MAX);
        let first = tile.index.saturating_mul(u64::from(TILE_WIDTH));
        let what = format!("`{}`", self.tiles.path(&tile.path()));
        match tree::fetch(&self.tiles, tile) {
            Ok(hashes) => {
                let stored = hashes.concat();
                if stored != expected {
                    let at = first_difference(&stored, expected);
                    let index = first.saturating_add(at as u64 / 32).saturating_mul(span);
                    self.problem(Some(index), what, format!("it differs from what its entries give at byte {at}"));
                }
            }
            Err(tree::TreeError::Read(error)) => return Err(error.into()),
            Err(error) => self.problem(Some(first.saturating_mul(span)), what, error.to_string()),
        }
        Ok(())
    }

    /// The right-most tiles, and the narrower copies of them that older checkpoints had.
    fn partials(&mut self) -> Result<(), ReadError> {
        let edge: Vec<(Tile, Vec<u8>)> = self.frontier.partials().collect();
        for (tile, bytes) in &edge {
            if tile.level > 0 {
                self.tile(*tile, bytes)?;
            }
        }
        let bundle = std::mem::take(&mut self.bundle);
        for tile in right_edge(self.account.sealed) {
            let Some((_, bytes)) = edge.iter().find(|(known, _)| *known == tile) else { continue };
            self.older(&tile.full().path(), tile, bytes)?;
            if tile.level == 0 {
                let name = Entries { index: tile.index, width: TILE_WIDTH };
                self.older(&name.path(), tile, &bundle)?;
            }
        }
        Ok(())
    }

    /// Narrower copies under `full.p/`: each is a prefix of the widest.
    fn older(&mut self, full: &str, edge: Tile, widest: &[u8]) -> Result<(), ReadError> {
        let folder = self.tiles.path(&format!("{full}.p"));
        for path in self.tiles.blobs().list(&folder)? {
            let width = path.rsplit('/').next().and_then(|width| width.parse::<u16>().ok());
            // A wider one was sealed meanwhile.
            if width.is_some_and(|width| width > edge.width) {
                continue;
            }
            let first = edge.index.saturating_mul(u64::from(TILE_WIDTH));
            let index = (edge.level == 0).then_some(first);
            let Some(bytes) = self.tiles.blobs().get(&path)? else { continue };
            let whole = width.is_some_and(|width| {
                if full.starts_with("tile/entries") {
                    Entries { index: edge.index, width }.decode(&bytes).is_ok()
                } else {
                    Tile { width, ..edge }.decode(&bytes).is_ok()
                }
            });
            if !whole || !widest.starts_with(&bytes) {
                self.problem(index, format!("`{path}`"), "it is not a prefix of the newest one");
            }
        }
        Ok(())
    }

    /// A recorded checkpoint, when the tree has its size.
    pub(super) fn checkpoint(&mut self, row: &CheckpointRow) {
        self.account.checkpoints += 1;
        let what = format!("the checkpoint of {} entries", row.size);
        let root = self.peaks.root();
        let (parsed, note) = match Checkpoint::parse(row.note.as_bytes()) {
            Ok(parsed) => parsed,
            Err(error) => return self.problem(None, what, error.to_string()),
        };
        if (parsed.origin.as_str(), parsed.size, parsed.root) != (self.origin.as_str(), row.size, row.root) {
            self.problem(None, what.as_str(), "its note says something else than its row");
        }
        if parsed.root != root {
            self.problem(None, what.as_str(), "its root is not the root of the entries");
        }
        match note.verify(&self.keys) {
            Ok(verified) if verified.len() == self.keys.len() => {
                let seconds = u64::try_from(row.at.micros() / 1_000_000).unwrap_or_default();
                if verified.iter().filter_map(|verified| verified.at).any(|at| at != seconds) {
                    self.problem(None, what, "its row says another time than was signed");
                }
            }
            Ok(_) => self.problem(None, what, "one of the log's keys has not signed it"),
            Err(error) => self.problem(None, what, error.to_string()),
        }
    }

    /// Anchors that name this log at `size`.
    pub(super) fn anchors_of_size(&mut self, size: u64) {
        let of_size = self.anchors.partition_point(|anchor| anchor.size <= size);
        if of_size == 0 || size > self.account.sealed {
            return;
        }
        let root = format!("sha256:{}", hex::encode(self.peaks.root()));
        let wrong: Vec<u64> = self
            .anchors
            .drain(..of_size)
            .filter(|anchor| anchor.size != size || anchor.root != root)
            .map(|anchor| anchor.index)
            .collect();
        for index in wrong {
            let why = format!("entry {index} of the evidence log names another root for {size} entries");
            self.problem(None, "its entries", why);
        }
    }
}

impl Recorded {
    /// The note, then any of the cosignatures that came in: one may have come between publishing and now.
    fn is_published_as(&self, published: &[u8]) -> bool {
        let Some(rest) = published.strip_prefix(self.note.as_bytes()) else { return false };
        rest.split_inclusive(|byte| *byte == b'\n')
            .all(|line| self.lines.iter().any(|known| line.strip_suffix(b"\n") == Some(known.as_bytes())))
    }
}

fn beyond(anchor: &Anchored, sealed: u64) -> String {
    let Anchored { index, size, .. } = anchor;
    format!("entry {index} of the evidence log names one of {size} entries, the newest on record has {sealed}")
}

/// The first byte at which two strings differ.
pub(super) fn first_difference(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()))
}
