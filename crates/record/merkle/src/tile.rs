//! C2SP tlog-tiles: names, widths and contents of hash tiles and entry bundles.
//!
//! A tile is eight levels of the binary tree, of which only the lowest is stored: hash `i` of tile `n` at level `l` is
//! the Merkle hash of the entries `[(n*256+i)*256^l, (n*256+i+1)*256^l)`. Only full tiles feed the level above, so a
//! full tile never changes and a partial one is replaced by a wider one.

use std::fmt;

use crate::{Hash, node_hash};

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// The longest entry: its length is written in two bytes.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// Levels run from 0 to 63 in a path, though 64-bit sizes reach level 7 only.
const LEVEL_MAX: u8 = 63;
/// A u64 index has at most 20 digits, so a path at most this many bytes.
const PATH_BYTES_MAX: usize = 64;

/// Names one hash tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// 0 holds leaf hashes; each level above stands for 256 times as many entries per hash.
    pub level: u8,
    /// Position in its level.
    pub index: u64,
    /// Hashes it holds: 1 to 256; below 256 it is a partial tile.
    pub width: u16,
}

/// Names one entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entries {
    /// Position: the bundle holds the entries from `index * 256` on.
    pub index: u64,
    /// Entries it holds: 1 to 256.
    pub width: u16,
}

impl Tile {
    /// The tile of `level` that covers hash `hash_index` of that level, as wide as a tree of `size` has it; none if
    /// the tree has no such hash.
    #[must_use]
    pub fn covering(level: u8, hash_index: u64, size: u64) -> Option<Self> {
        let index = hash_index / u64::from(TILE_WIDTH);
        let width = width_at(level, index, size);
        (hash_index % u64::from(TILE_WIDTH) < u64::from(width)).then_some(Self { level, index, width })
    }

    /// Whether it holds all 256 hashes.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full tile at the same place: what a reader falls back to when a partial one is gone.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// `tile/0/x001/x234/067` or `tile/0/067.p/12`: the same on disk, over HTTP and in S3.
    #[must_use]
    pub fn path(self) -> String {
        path(&self.level.to_string(), self.index, self.width)
    }

    /// Reads a path that [`Tile::path`] wrote, and no other spelling.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, index, width) = parse(path)?;
        let level = u8::try_from(crate::text::decimal(level)?).ok().filter(|level| *level <= LEVEL_MAX)?;
        Some(Self { level, index, width })
    }
}

impl Entries {
    /// The bundle that holds entry `entry_index` in a log of `size`, if the log has that entry.
    #[must_use]
    pub fn covering(entry_index: u64, size: u64) -> Option<Self> {
        Tile::covering(0, entry_index, size).map(|tile| Self { index: tile.index, width: tile.width })
    }

    /// Whether it holds all 256 entries.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.width == TILE_WIDTH
    }

    /// `tile/entries/x001/x234/067` or `tile/entries/067.p/12`.
    #[must_use]
    pub fn path(self) -> String {
        path("entries", self.index, self.width)
    }

    /// Reads a path that [`Entries::path`] wrote, and no other spelling.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let ("entries", index, width) = parse(path)? else { return None };
        Some(Self { index, width })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl fmt::Display for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

fn path(kind: &str, index: u64, width: u16) -> String {
    let digits = index.to_string();
    let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
    let groups: Vec<&str> = (0..padded.len()).step_by(3).map(|at| &padded[at..at + 3]).collect();
    let mut out = format!("tile/{kind}");
    for (position, group) in groups.iter().enumerate() {
        out.push_str(if position + 1 < groups.len() { "/x" } else { "/" });
        out.push_str(group);
    }
    if width < TILE_WIDTH {
        out.push_str(&format!(".p/{width}"));
    }
    out
}

fn parse(text: &str) -> Option<(&str, u64, u16)> {
    if text.len() > PATH_BYTES_MAX {
        return None;
    }
    let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let (number, width) = match rest.split_once(".p/") {
        Some((number, width)) => (number, u16::try_from(crate::text::decimal(width)?).ok()?),
        None => (rest, TILE_WIDTH),
    };
    let digits: String = number.split('/').map(|group| group.strip_prefix('x').unwrap_or(group)).collect();
    let index = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    // Writing it again settles every looser spelling at once: group lengths, `x` marks, needless zeros, widths.
    let canonical = (1..=TILE_WIDTH).contains(&width) && path(kind, index, width) == text;
    canonical.then_some((kind, index, width))
}

/// Hashes of `level` in a tree of `size`: one per complete run of 256^level entries.
#[must_use]
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * 8).unwrap_or(0)
}

/// Width of tile `index` at `level` in a tree of `size`: 0 when there is no such tile, 256 when it is full.
#[must_use]
pub fn width_at(level: u8, index: u64, size: u64) -> u16 {
    let beyond = hashes_at(level, size).saturating_sub(index.saturating_mul(u64::from(TILE_WIDTH)));
    u16::try_from(beyond).map_or(TILE_WIDTH, |width| width.min(TILE_WIDTH))
}

/// The right-most partial tiles of a tree of `size`, lowest level first. Together they give its root, and through the
/// root they vouch for every full tile.
#[must_use]
pub fn right_edge(size: u64) -> Vec<Tile> {
    (0..8)
        .filter_map(|level| {
            let hashes = hashes_at(level, size);
            let width = u16::try_from(hashes % u64::from(TILE_WIDTH)).ok()?;
            (width > 0).then_some(Tile { level, index: hashes / u64::from(TILE_WIDTH), width })
        })
        .collect()
}

/// The tiles that tie entry `index` to the root of a tree of `size`, beside its [`right_edge`]: the full tile that
/// holds its leaf hash, the one above, and so on until the right edge.
#[must_use]
pub fn chain(index: u64, size: u64) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for level in 0..8_u8 {
        match Tile::covering(level, index >> (u32::from(level) * 8), size) {
            Some(tile) if tile.is_full() => tiles.push(tile),
            _ => break,
        }
    }
    tiles
}

/// The tiles to write when a published tree grows from `old_size` to `new_size`, lowest level first.
#[must_use]
pub fn grown(old_size: u64, new_size: u64) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for level in 0..8_u8 {
        let (old, new) = (hashes_at(level, old_size), hashes_at(level, new_size));
        if new <= old {
            break;
        }
        let width = u64::from(TILE_WIDTH);
        for index in old / width..new.div_ceil(width) {
            tiles.push(Tile { level, index, width: width_at(level, index, new_size) });
        }
    }
    tiles
}

/// The partial tiles of a tree of `old_size` that a tree of `new_size` no longer needs. Each level-0 tile stands for
/// its entry bundle too.
#[must_use]
pub fn superseded(old_size: u64, new_size: u64) -> Vec<Tile> {
    right_edge(old_size).into_iter().filter(|tile| width_at(tile.level, tile.index, new_size) > tile.width).collect()
}

/// Why bytes are not a tile or an entry bundle.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadTile {
    /// A tile's length is not 32 bytes times its width.
    #[error("`{tile}` should have {expected_bytes} bytes and has {actual_bytes}")]
    Length {
        /// Which tile.
        tile: Tile,
        /// 32 times its width.
        expected_bytes: usize,
        /// What it has.
        actual_bytes: usize,
    },
    /// An entry bundle ends inside an entry.
    #[error("entry {position} of `{bundle}` is cut short")]
    CutEntry {
        /// Which bundle.
        bundle: Entries,
        /// Which entry in it, from 0.
        position: u16,
    },
    /// An entry bundle goes on after its last entry.
    #[error("`{bundle}` has {bytes} bytes after its last entry")]
    Trailing {
        /// Which bundle.
        bundle: Entries,
        /// How many bytes too many.
        bytes: usize,
    },
    /// An entry does not fit two bytes of length.
    #[error("an entry of {bytes} bytes is longer than {ENTRY_BYTES_MAX}")]
    EntryTooLong {
        /// How long it is.
        bytes: usize,
    },
}

impl Tile {
    /// Splits the tile's bytes into hashes.
    ///
    /// # Errors
    /// When the length does not fit the width.
    pub fn decode(self, bytes: &[u8]) -> Result<Vec<Hash>, BadTile> {
        let expected_bytes = usize::from(self.width) * HASH_BYTES;
        if bytes.len() != expected_bytes {
            return Err(BadTile::Length { tile: self, expected_bytes, actual_bytes: bytes.len() });
        }
        let (hashes, _) = bytes.as_chunks::<HASH_BYTES>();
        Ok(hashes.to_vec())
    }
}

/// The bytes of a tile that holds `hashes`.
#[must_use]
pub fn encode(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// The Merkle hash of a complete subtree, given its lowest stored hashes; their count is a power of two.
#[must_use]
pub fn complete_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    row.first().copied().unwrap_or_else(crate::empty_root)
}

/// Adds one entry to the bytes of a bundle.
///
/// # Errors
/// When the entry is longer than [`ENTRY_BYTES_MAX`].
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BadTile> {
    let length = u16::try_from(entry.len()).map_err(|_| BadTile::EntryTooLong { bytes: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The bytes of a bundle of `entries`.
///
/// # Errors
/// When one is longer than [`ENTRY_BYTES_MAX`].
pub fn encode_entries<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, BadTile> {
    let mut bundle = Vec::new();
    for entry in entries {
        push_entry(&mut bundle, entry)?;
    }
    Ok(bundle)
}

impl Entries {
    /// Splits the bundle's bytes into exactly `width` entries.
    ///
    /// # Errors
    /// When it ends early or goes on after its last entry.
    pub fn decode(self, bytes: &[u8]) -> Result<Vec<&[u8]>, BadTile> {
        let mut entries = Vec::with_capacity(usize::from(self.width));
        let mut rest = bytes;
        for position in 0..self.width {
            let cut = BadTile::CutEntry { bundle: self, position };
            let Some((length, after)) = rest.split_first_chunk::<2>() else { return Err(cut) };
            let Some((entry, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
                return Err(cut);
            };
            entries.push(entry);
            rest = after;
        }
        if rest.is_empty() { Ok(entries) } else { Err(BadTile::Trailing { bundle: self, bytes: rest.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_the_specs() {
        let check = |tile: Tile, path: &str| {
            assert_eq!(tile.path(), path);
            assert_eq!(Tile::parse(path), Some(tile), "{path}");
        };
        check(Tile { level: 0, index: 1_234_067, width: 256 }, "tile/0/x001/x234/067");
        check(Tile { level: 0, index: 273, width: 112 }, "tile/0/273.p/112");
        check(Tile { level: 1, index: 0, width: 256 }, "tile/1/000");
        check(Tile { level: 63, index: u64::MAX, width: 1 }, "tile/63/x018/x446/x744/x073/x709/x551/615.p/1");
        let bundle = Entries { index: 1_234_067, width: 8 };
        assert_eq!(bundle.path(), "tile/entries/x001/x234/067.p/8");
        assert_eq!(Entries::parse(&bundle.path()), Some(bundle));
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/x001/x000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p/1/",
            "/tile/0/000",
            "tile/0/../000",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/0/xx00",
            "tile/entries/000",
            "tile/entries/0",
            "TILE/0/000",
            "tile/0/٠٠٠",
        ] {
            assert_eq!(Tile::parse(bad), None, "{bad}");
        }
        assert_eq!(Entries::parse("tile/0/000"), None);
    }

    /// The worked example of tlog-tiles: a tree of 70,000 entries.
    #[test]
    fn widths_of_the_specs_example() {
        assert_eq!(
            right_edge(70_000),
            [
                Tile { level: 0, index: 273, width: 112 },
                Tile { level: 1, index: 1, width: 17 },
                Tile { level: 2, index: 0, width: 1 },
            ]
        );
        let all = grown(0, 70_000);
        let full = |level| all.iter().filter(|tile| tile.level == level && tile.is_full()).count();
        assert_eq!((full(0), full(1), full(2)), (273, 1, 0));
        assert_eq!(all.len(), 274 + 2 + 1);
        assert_eq!(grown(0, 256), [Tile { level: 0, index: 0, width: 256 }, Tile { level: 1, index: 0, width: 1 }]);
        assert_eq!(right_edge(0), []);
    }

    #[test]
    fn a_chain_ends_at_the_right_edge() {
        assert_eq!(chain(69_999, 70_000), []);
        assert_eq!(
            chain(0, 70_000),
            [Tile { level: 0, index: 0, width: 256 }, Tile { level: 1, index: 0, width: 256 }]
        );
        assert_eq!(chain(69_000, 70_000), [Tile { level: 0, index: 269, width: 256 }]);
        assert_eq!(chain(70_000, 70_000), []);
    }

    #[test]
    fn growing_replaces_partial_tiles() {
        assert_eq!(superseded(100, 101), [Tile { level: 0, index: 0, width: 100 }]);
        assert_eq!(superseded(256, 257), []);
        assert_eq!(
            superseded(70_000, 70_144),
            [Tile { level: 0, index: 273, width: 112 }, Tile { level: 1, index: 1, width: 17 }]
        );
        assert_eq!(grown(256, 257), [Tile { level: 0, index: 1, width: 1 }]);
        assert_eq!(grown(257, 257), []);
    }

    #[test]
    fn bundles_refuse_what_does_not_fit() {
        let bundle = Entries { index: 0, width: 2 };
        let bytes = encode_entries([b"a".as_slice(), b"".as_slice()]).unwrap();
        assert_eq!(bytes, b"\0\x01a\0\0");
        assert_eq!(bundle.decode(&bytes).unwrap(), [b"a".as_slice(), b"".as_slice()]);
        assert_eq!(bundle.decode(&bytes[..4]), Err(BadTile::CutEntry { bundle, position: 1 }));
        assert_eq!(bundle.decode(&[bytes.as_slice(), b"x"].concat()), Err(BadTile::Trailing { bundle, bytes: 1 }));
        assert!(encode_entries([vec![0; ENTRY_BYTES_MAX].as_slice()]).is_ok());
        assert!(encode_entries([vec![0; ENTRY_BYTES_MAX + 1].as_slice()]).is_err());
        assert!(Tile { level: 0, index: 0, width: 2 }.decode(&[0; 63]).is_err());
    }

    proptest! {
        #[test]
        fn paths_round_trip(level in 0..=63_u8, index in any::<u64>(), width in 1..=256_u16) {
            let tile = Tile { level, index, width };
            prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
            let bundle = Entries { index, width };
            prop_assert_eq!(Entries::parse(&bundle.path()), Some(bundle));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*", near in "tile/[0-9e]{0,3}/[x0-9/.p]{0,24}") {
            for text in [text, near] {
                if let Some(tile) = Tile::parse(&text) {
                    prop_assert_eq!(tile.path(), text);
                }
            }
        }

        #[test]
        fn growth_in_steps_writes_every_tile_of_the_whole(mut sizes in proptest::collection::vec(0..200_000_u64, 1..6)) {
            sizes.sort_unstable();
            let last = *sizes.last().unwrap();
            let mut have = std::collections::BTreeSet::new();
            let mut old = 0;
            for new in sizes {
                have.extend(grown(old, new));
                for tile in superseded(old, new) {
                    have.remove(&tile);
                }
                old = new;
            }
            let whole: std::collections::BTreeSet<_> = grown(0, last).into_iter().collect();
            prop_assert!(whole.is_subset(&have));
        }

        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), width in 0..=256_u16) {
            let _ = Entries { index: 0, width }.decode(&bytes);
            let _ = Tile { level: 0, index: 0, width }.decode(&bytes);
        }
    }
}
