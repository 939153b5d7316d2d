//! Code that we did not write must accept what we write: tiles, checkpoints, proofs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use haris_merkle::{Checkpoint, Frontier, Hash, KeyKind, ReadTiles, Signer, Tile, leaf_hash, tree};
use support::key;

#[derive(Default)]
struct Shelf(BTreeMap<String, Vec<u8>>);

impl ReadTiles for Shelf {
    type Error = Infallible;
    fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(&tile.path()).cloned())
    }
}

fn entry(n: u64) -> Vec<u8> {
    format!("entry {n}").into_bytes()
}

fn log(size: u64) -> (Shelf, Hash) {
    let mut shelf = Shelf::default();
    let mut frontier = Frontier::new();
    for n in 0..size {
        frontier.push(leaf_hash(&entry(n)), |tile, bytes| drop(shelf.0.insert(tile.path(), bytes)));
    }
    shelf.0.extend(frontier.partials().map(|(tile, bytes)| (tile.path(), bytes)));
    (shelf, frontier.root())
}

/// The reader that `tlog_tiles` asks for tiles, under its own names for them.
struct Foreign<'a> {
    shelf: &'a Shelf,
    asked: RefCell<Vec<String>>,
}

impl tlog_tiles::TileReader for Foreign<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            // Its names are those of the Go checksum database: the height comes first.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let bytes = self.shelf.0.get(&path).unwrap_or_else(|| panic!("{path} is not among our tiles")).clone();
            self.asked.borrow_mut().push(path);
            bytes
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

#[test]
fn tlog_tiles_finds_and_verifies_our_tiles() {
    for size in [1, 2, 255, 256, 257, 1_000, 65_536, 70_000] {
        let (shelf, root) = log(size);
        let foreign = Foreign { shelf: &shelf, asked: RefCell::default() };
        let root = tlog_tiles::Hash(root);
        let reader = tlog_tiles::TileHashReader::new(size, root, &foreign);
        assert_eq!(tlog_tiles::tree_hash(size, &reader).unwrap(), root);
        for index in [0, size / 3, size - 1] {
            let theirs = tlog_tiles::prove_record(size, index, &reader).unwrap();
            let hash = tlog_tiles::record_hash(&entry(index));
            tlog_tiles::check_record(&theirs, size, root, index, hash).unwrap();
            let ours: Vec<_> =
                tree::inclusion(&shelf, index, size).unwrap().into_iter().map(tlog_tiles::Hash).collect();
            assert_eq!(ours, theirs, "inclusion of {index} in {size}");
        }
        for old in [1, size.div_ceil(2), size] {
            let old_root = tlog_tiles::Hash(tree::root_at(&shelf, old, size).unwrap());
            let theirs = tlog_tiles::prove_tree(size, old, &reader).unwrap();
            tlog_tiles::check_tree(&theirs, size, root, old, old_root).unwrap();
            let ours: Vec<_> =
                tree::consistency(&shelf, old, size).unwrap().into_iter().map(tlog_tiles::Hash).collect();
            assert_eq!(ours, theirs, "consistency of {old} with {size}");
        }
        assert!(!foreign.asked.borrow().is_empty());
        let mut theirs: Vec<_> = tlog_tiles::Tile::new_tiles(8, 0, size)
            .iter()
            .map(|tile| tile.path().replacen("tile/8/", "tile/", 1))
            .collect();
        theirs.sort();
        assert_eq!(shelf.0.keys().cloned().collect::<Vec<_>>(), theirs, "tiles of {size}");
    }
}

/// Their hash type has its home in a crate that we need for nothing else; inference finds it.
fn hash<T: for<'a> TryFrom<&'a [u8]>>(hash: Hash) -> T {
    T::try_from(&hash).ok().unwrap()
}

#[test]
fn sigstore_verifies_our_proofs() {
    use sigstore_merkle::{verify_consistency_proof, verify_inclusion_proof};
    let size = 1_000;
    let (shelf, root) = log(size);
    for index in (0..size).step_by(37).chain([size - 1]) {
        let path: Vec<_> = tree::inclusion(&shelf, index, size).unwrap().into_iter().map(hash).collect();
        verify_inclusion_proof(&hash(leaf_hash(&entry(index))), index, size, &path, &hash(root)).unwrap();
        let wrong = verify_inclusion_proof(&hash(leaf_hash(b"another")), index, size, &path, &hash(root));
        assert!(wrong.is_err());
    }
    for old in (1..size).step_by(37) {
        let path: Vec<_> = tree::consistency(&shelf, old, size).unwrap().into_iter().map(hash).collect();
        let old_root = tree::root_at(&shelf, old, size).unwrap();
        verify_consistency_proof(old, size, &path, &hash(old_root), &hash(root)).unwrap();
    }
}

#[test]
fn signed_note_verifies_our_checkpoint() {
    let origin = "haris.invalid/0123456789abcdef/evidence";
    let (log_key, ml) = (key(origin, KeyKind::Ed25519, 1), key(origin, KeyKind::CosignatureMlDsa44, 2));
    let (_, root) = log(300);
    let checkpoint = Checkpoint { origin: origin.to_owned(), size: 300, root, extensions: Vec::new() };
    let bytes = checkpoint.sign(&[&log_key, &ml], 1_795_503_909).unwrap().to_bytes();

    let verifier = signed_note::StandardVerifier::new(&log_key.key().to_string()).unwrap();
    let note = signed_note::Note::from_bytes(&bytes).unwrap();
    let (verified, unverified) = note.verify(&signed_note::VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 1));

    let theirs = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), (origin, 300, root));
    assert_eq!(theirs.to_bytes(), checkpoint.to_string().into_bytes());
}
