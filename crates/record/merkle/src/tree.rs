//! Roots, inclusion proofs and consistency proofs, computed from tiles.

use std::cell::RefCell;
use std::rc::Rc;

use crate::tile::{BadTile, TILE_WIDTH, Tile, complete_root};
use crate::{Hash, empty_root, node_hash};

/// Where tiles come from: a folder, a bundle, a web server.
pub trait ReadTiles {
    /// What can go wrong on the way.
    type Error;

    /// The tile's bytes, or none if it is not there. A partial tile that is gone is asked for once more as a full one.
    ///
    /// # Errors
    /// When it cannot be said whether the tile is there.
    fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, Self::Error>;
}

impl<R: ReadTiles + ?Sized> ReadTiles for &R {
    type Error = R::Error;

    fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, Self::Error> {
        (**self).read(tile)
    }
}

/// Why something could not be computed from tiles.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError<E> {
    /// A tile that the tree must have is not there.
    #[error("`{tile}` is missing")]
    Missing {
        /// Which tile.
        tile: Tile,
    },
    /// A tile's bytes are not those of a tile.
    #[error(transparent)]
    Bad(#[from] BadTile),
    /// The entry or the older size lies beyond the tree.
    #[error("{what} lies beyond the tree of {size} entries")]
    Beyond {
        /// The index or size asked for.
        what: u64,
        /// Entries in the tree.
        size: u64,
    },
    /// Tiles could not be read.
    #[error("tiles could not be read")]
    Read(#[source] E),
}

/// Fetches the hashes of `tile` (width as in a tree of its size), falling back to the full tile.
///
/// # Errors
/// When neither is there, or what is there is not a tile.
pub fn fetch<R: ReadTiles>(tiles: &R, tile: Tile) -> Result<Vec<Hash>, TreeError<R::Error>> {
    if let Some(bytes) = tiles.read(tile).map_err(TreeError::Read)? {
        return Ok(tile.decode(&bytes)?);
    }
    if !tile.is_full()
        && let Some(bytes) = tiles.read(tile.full()).map_err(TreeError::Read)?
    {
        let mut hashes = tile.full().decode(&bytes)?;
        hashes.truncate(usize::from(tile.width));
        return Ok(hashes);
    }
    Err(TreeError::Missing { tile })
}

/// The root of the tree of `size` entries.
///
/// # Errors
/// When a tile of the right edge cannot be had.
pub fn root<R: ReadTiles>(tiles: &R, size: u64) -> Result<Hash, TreeError<R::Error>> {
    Tree::new(tiles, size).range(0, size)
}

/// The root that the tree of `size` entries had when it had `old_size`, computed from the tiles of today.
///
/// # Errors
/// When a tile cannot be had, or `old_size` is beyond `size`.
pub fn root_at<R: ReadTiles>(tiles: &R, old_size: u64, size: u64) -> Result<Hash, TreeError<R::Error>> {
    if old_size > size {
        return Err(TreeError::Beyond { what: old_size, size });
    }
    Tree::new(tiles, size).range(0, old_size)
}

/// The leaf hash of entry `index` in the tree of `size` entries.
///
/// # Errors
/// When its tile cannot be had.
pub fn leaf<R: ReadTiles>(tiles: &R, index: u64, size: u64) -> Result<Hash, TreeError<R::Error>> {
    if index >= size {
        return Err(TreeError::Beyond { what: index, size });
    }
    Tree::new(tiles, size).range(index, index + 1)
}

/// The inclusion proof of entry `index` in the tree of `size` entries, leaf's sibling first (RFC 6962 section 2.1.1).
///
/// # Errors
/// When a tile cannot be had, or the entry lies beyond the tree.
pub fn inclusion<R: ReadTiles>(tiles: &R, index: u64, size: u64) -> Result<Vec<Hash>, TreeError<R::Error>> {
    if index >= size {
        return Err(TreeError::Beyond { what: index, size });
    }
    let tree = Tree::new(tiles, size);
    let mut path = Vec::new();
    let (mut begin, mut end) = (0, size);
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            path.push(tree.range(middle, end)?);
            end = middle;
        } else {
            path.push(tree.range(begin, middle)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old_size` entries is a prefix of the tree of `size` (RFC 6962 section 2.1.2). Empty
/// when `old_size` is 0 or `size`.
///
/// # Errors
/// When a tile cannot be had, or `old_size` is beyond `size`.
pub fn consistency<R: ReadTiles>(tiles: &R, old_size: u64, size: u64) -> Result<Vec<Hash>, TreeError<R::Error>> {
    if old_size > size {
        return Err(TreeError::Beyond { what: old_size, size });
    }
    if old_size == 0 || old_size == size {
        return Ok(Vec::new());
    }
    let tree = Tree::new(tiles, size);
    let mut path = Vec::new();
    let (mut begin, mut end) = (0, size);
    // SUBPROOF's flag: while the old tree is still `[0, old_size)` itself, the verifier knows its hash.
    let mut whole = true;
    while end != old_size {
        let middle = begin + split(end - begin);
        if old_size <= middle {
            path.push(tree.range(middle, end)?);
            end = middle;
        } else {
            path.push(tree.range(begin, middle)?);
            begin = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(tree.range(begin, end)?);
    }
    path.reverse();
    Ok(path)
}

/// RFC 6962's k: the largest power of two below `n`, which is at least 2.
pub(crate) fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// A tree as its tiles show it. Keeps the tiles it has fetched, for one proof at a time.
struct Tree<'a, R> {
    tiles: &'a R,
    size: u64,
    fetched: RefCell<Vec<(Tile, Rc<[Hash]>)>>,
}

impl<'a, R: ReadTiles> Tree<'a, R> {
    fn new(tiles: &'a R, size: u64) -> Self {
        Self { tiles, size, fetched: RefCell::default() }
    }

    /// MTH(D[begin:end]), where `begin` is where RFC 6962 would split.
    fn range(&self, begin: u64, end: u64) -> Result<Hash, TreeError<R::Error>> {
        let count = end - begin;
        if count == 0 {
            return Ok(empty_root());
        }
        if count.is_power_of_two() {
            return self.complete(begin, count.trailing_zeros());
        }
        let middle = begin + split(count);
        Ok(node_hash(&self.range(begin, middle)?, &self.range(middle, end)?))
    }

    /// The root of the complete subtree of 2^height entries from `begin` on.
    fn complete(&self, begin: u64, height: u32) -> Result<Hash, TreeError<R::Error>> {
        // Eight levels of the binary tree to a level of tiles; the remainder is computed inside one tile.
        let level = u8::try_from(height / 8).expect("a height is below 64");
        let first = begin >> (u32::from(level) * 8);
        let count = 1_usize << (height % 8);
        let beyond = TreeError::Beyond { what: begin, size: self.size };
        let Some(tile) = Tile::covering(level, first, self.size) else { return Err(beyond) };
        let hashes = self.fetch(tile)?;
        let offset = usize::try_from(first % u64::from(TILE_WIDTH)).expect("below 256");
        hashes.get(offset..offset + count).map(complete_root).ok_or(beyond)
    }

    fn fetch(&self, tile: Tile) -> Result<Rc<[Hash]>, TreeError<R::Error>> {
        let known = self.fetched.borrow().iter().find(|(at, _)| *at == tile).map(|(_, hashes)| Rc::clone(hashes));
        if let Some(hashes) = known {
            return Ok(hashes);
        }
        let hashes: Rc<[Hash]> = fetch(self.tiles, tile)?.into();
        self.fetched.borrow_mut().push((tile, Rc::clone(&hashes)));
        Ok(hashes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;
    use crate::frontier::Frontier;
    use crate::hash::naive;
    use crate::proof::{verify_consistency, verify_inclusion};

    #[derive(Default)]
    struct Shelf(BTreeMap<Tile, Vec<u8>>);

    impl ReadTiles for Shelf {
        type Error = Infallible;
        fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, Infallible> {
            Ok(self.0.get(&tile).cloned())
        }
    }

    fn shelf(leaves: &[Hash]) -> Shelf {
        let mut shelf = Shelf::default();
        let mut frontier = Frontier::new();
        for leaf in leaves {
            frontier.push(*leaf, |tile, bytes| drop(shelf.0.insert(tile, bytes)));
        }
        shelf.0.extend(frontier.partials());
        shelf
    }

    fn agrees(size: usize, some: impl Iterator<Item = usize>) {
        let leaves = naive::leaves(size);
        let shelf = shelf(&leaves);
        let whole = size as u64;
        let root = super::root(&shelf, whole).unwrap();
        assert_eq!(root, naive::root(&leaves), "root of {size}");
        for m in some {
            let at = m as u64;
            let old_root = root_at(&shelf, at, whole).unwrap();
            assert_eq!(old_root, naive::root(&leaves[..m]), "root of {m} in {size}");
            let old = consistency(&shelf, at, whole).unwrap();
            if m > 0 {
                assert_eq!(old, naive::consistency(m, &leaves), "consistency of {m} in {size}");
            }
            verify_consistency(at, &old_root, whole, &root, &old).unwrap();
            if m < size {
                assert_eq!(leaf(&shelf, at, whole).unwrap(), leaves[m]);
                let path = inclusion(&shelf, at, whole).unwrap();
                assert_eq!(path, naive::path(m, &leaves), "inclusion of {m} in {size}");
                verify_inclusion(&leaves[m], at, whole, &path, &root).unwrap();
            }
        }
    }

    #[test]
    fn agrees_with_the_rfc_for_every_small_tree() {
        for size in 0..=300 {
            // Every prefix of the small ones; the borders of the rest.
            let step = if size <= 40 { 1 } else { 17 };
            agrees(size, (0..=size).step_by(step).chain([size.saturating_sub(1), size, size.min(256), size.min(255)]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn agrees_with_the_rfc_for_large_trees(size in 1..70_000_usize, picks in proptest::collection::vec(any::<proptest::sample::Index>(), 3)) {
            agrees(size, picks.iter().map(|pick| pick.index(size)));
        }
    }

    #[test]
    fn full_tiles_stand_in_for_partial_ones_that_are_gone() {
        let leaves = naive::leaves(600);
        let whole = shelf(&leaves);
        for size in [1_usize, 255, 256, 400, 511, 512] {
            let mut old =
                Shelf(whole.0.iter().filter(|(tile, _)| tile.level == 0).map(|(t, b)| (*t, b.clone())).collect());
            let above = shelf(&leaves[..size]).0;
            old.0.extend(above.into_iter().filter(|(tile, _)| tile.level > 0));
            assert_eq!(super::root(&old, size as u64).unwrap(), naive::root(&leaves[..size]), "{size}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let leaves = naive::leaves(300);
        let mut shelf = shelf(&leaves);
        assert!(matches!(inclusion(&shelf, 300, 300), Err(TreeError::Beyond { what: 300, size: 300 })));
        assert!(matches!(consistency(&shelf, 301, 300), Err(TreeError::Beyond { .. })));
        let edge = Tile { level: 0, index: 1, width: 44 };
        shelf.0.get_mut(&edge).unwrap().pop();
        assert!(matches!(super::root(&shelf, 300), Err(TreeError::Bad(BadTile::Length { tile, .. })) if tile == edge));
        shelf.0.remove(&edge);
        assert!(matches!(super::root(&shelf, 300), Err(TreeError::Missing { tile }) if tile == edge));
        assert!(matches!(super::root(&Shelf::default(), u64::MAX), Err(TreeError::Missing { .. })));
    }
}
