//! Paths of tiles and entry bundles: one spelling each.
#![no_main]

use haris_merkle::{Entries, Tile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    if let Some(tile) = Tile::parse(path) {
        assert_eq!(tile.path(), path);
    }
    if let Some(entries) = Entries::parse(path) {
        assert_eq!(entries.path(), path);
    }
});
