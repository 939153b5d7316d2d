//! Appending to a log without holding it: the right edge of the tree, and nothing else.

use crate::tile::{TILE_WIDTH, Tile, encode, right_edge};
use crate::tree::{ReadTiles, TreeError, fetch};
use crate::{Hash, empty_root, node_hash};

/// The right-most partial tile of every level. Takes leaf hashes, gives tiles and roots; at most 255 hashes a level.
///
/// ```
/// use haris_merkle::{Frontier, leaf_hash};
/// let mut frontier = Frontier::new();
/// let mut full = Vec::new();
/// for n in 0..300_u32 {
///     frontier.push(leaf_hash(&n.to_be_bytes()), |tile, bytes| full.push((tile, bytes)));
/// }
/// assert_eq!(full.len(), 1);
/// let partial: Vec<String> = frontier.partials().map(|(tile, _)| tile.path()).collect();
/// assert_eq!(partial, ["tile/0/001.p/44", "tile/1/000.p/1"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Per level the hashes after the last full tile.
    levels: Vec<Vec<Hash>>,
}

impl Frontier {
    /// The frontier of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of the tree of `size` entries, read from its right-edge tiles.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub fn load<R: ReadTiles>(tiles: &R, size: u64) -> Result<Self, TreeError<R::Error>> {
        let mut levels: Vec<Vec<Hash>> = Vec::new();
        for tile in right_edge(size) {
            levels.resize(usize::from(tile.level), Vec::new());
            levels.push(fetch(tiles, tile)?);
        }
        Ok(Self { size, levels })
    }

    /// Entries in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash; `full` receives each tile that it fills, lowest level first.
    pub fn push(&mut self, leaf: Hash, mut full: impl FnMut(Tile, Vec<u8>)) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..8_u8 {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[usize::from(level)];
            hashes.push(hash);
            if hashes.len() < usize::from(TILE_WIDTH) {
                return;
            }
            let index = crate::tile::hashes_at(level, self.size) / u64::from(TILE_WIDTH) - 1;
            full(Tile { level, index, width: TILE_WIDTH }, encode(hashes));
            hash = crate::tile::complete_root(hashes);
            hashes.clear();
        }
    }

    /// The partial tiles as they stand: with the full ones already given out, all that a checkpoint of this size needs.
    pub fn partials(&self) -> impl Iterator<Item = (Tile, Vec<u8>)> {
        right_edge(self.size).into_iter().map(|tile| (tile, encode(&self.levels[usize::from(tile.level)])))
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = Peaks::new();
        for (level, hashes) in self.levels.iter().enumerate().rev() {
            for hash in hashes {
                peaks.push_subtree(u32::try_from(level).unwrap_or(u32::MAX).saturating_mul(8), *hash);
            }
        }
        peaks.root()
    }
}

/// The roots of the complete subtrees that make up a tree, largest first: enough to append and to give the root, 64
/// hashes at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    peaks: Vec<(u32, Hash)>,
}

impl Peaks {
    /// The peaks of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_subtree(0, leaf);
    }

    /// Appends the complete subtree of 2^height entries that starts where the tree ends. The tree's size must be a
    /// multiple of 2^height, else what follows is the root of no tree.
    pub fn push_subtree(&mut self, height: u32, hash: Hash) {
        let (mut height, mut hash) = (height, hash);
        while let Some((_, left)) = self.peaks.pop_if(|(peak, _)| *peak == height) {
            hash = node_hash(&left, &hash);
            height += 1;
        }
        self.peaks.push((height, hash));
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut rightmost_first = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = rightmost_first.next() else { return empty_root() };
        rightmost_first.fold(last, |right, left| node_hash(&left, &right))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;
    use crate::hash::naive;
    use crate::tile::grown;

    struct Shelf(BTreeMap<Tile, Vec<u8>>);

    impl ReadTiles for Shelf {
        type Error = Infallible;
        fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, Infallible> {
            Ok(self.0.get(&tile).cloned())
        }
    }

    #[test]
    fn roots_follow_the_rfc_at_every_step() {
        let leaves = naive::leaves(600);
        let (mut frontier, mut peaks) = (Frontier::new(), Peaks::new());
        assert_eq!((frontier.root(), peaks.root()), (empty_root(), empty_root()));
        for (size, leaf) in (1..).zip(&leaves) {
            frontier.push(*leaf, |_, _| {});
            peaks.push(*leaf);
            if size % 7 == 0 || size > 500 {
                let expected = naive::root(&leaves[..size]);
                assert_eq!((frontier.root(), peaks.root()), (expected, expected), "{size}");
            }
        }
    }

    /// The spec's example once more, with contents: every tile of a tree of 70,000 entries is written, and the
    /// frontier read back from them is the one that wrote them.
    #[test]
    fn tiles_of_70_000_entries_are_all_written_and_read_back() {
        let leaves = naive::leaves(70_000);
        let mut shelf = Shelf(BTreeMap::new());
        let mut frontier = Frontier::new();
        for leaf in &leaves {
            frontier.push(*leaf, |tile, bytes| assert!(shelf.0.insert(tile, bytes).is_none(), "{tile} twice"));
        }
        shelf.0.extend(frontier.partials());
        let mut expected = grown(0, 70_000);
        expected.sort_unstable();
        assert_eq!(shelf.0.keys().copied().collect::<Vec<_>>(), expected);
        for (tile, bytes) in &shelf.0 {
            assert_eq!(tile.decode(bytes).unwrap().len(), usize::from(tile.width));
        }
        assert_eq!(Frontier::load(&shelf, 70_000).unwrap(), frontier);
        assert_eq!(frontier.root(), naive::root(&leaves));
    }
}
