//! The sealed log in the blob store: hash tiles, entry bundles, the published checkpoint.
//!
//! Paths are those of tlog-tiles under the log's name: `evidence/tile/0/000`, `evidence/checkpoint`.

use std::sync::Arc;

use haris_domain::Log;
use haris_merkle::tile::{Entries, Tile};
use haris_merkle::tree::{ReadTiles, TreeError};
use haris_merkle::{Frontier, Hash};
use haris_store::{BlobError, Blobs};

use crate::ReadError;

/// Reads one log's tiles and bundles. Synchronous: call it from a blocking thread.
#[derive(Clone)]
pub struct LogTiles {
    log: Log,
    blobs: Arc<dyn Blobs>,
}

impl LogTiles {
    pub(crate) fn new(log: Log, blobs: Arc<dyn Blobs>) -> Self {
        Self { log, blobs }
    }

    /// Where they lie, for what has no name in tlog-tiles.
    pub(crate) fn blobs(&self) -> &dyn Blobs {
        &*self.blobs
    }

    /// Which log.
    #[must_use]
    pub fn log(&self) -> Log {
        self.log
    }

    /// The blob path of a tlog-tiles path of this log.
    #[must_use]
    pub fn path(&self, resource: &str) -> String {
        format!("{}/{resource}", self.log.name())
    }

    /// The published checkpoint, if there is one.
    ///
    /// # Errors
    /// When the blob store fails.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, BlobError> {
        self.blobs.get(&self.path("checkpoint"))
    }

    /// The bytes of the bundle as it is stored: of that width or, where that is gone, the full one cut to it.
    ///
    /// # Errors
    /// When it is not there, or what is there is no bundle.
    pub fn bundle(&self, bundle: Entries) -> Result<Vec<u8>, ReadError> {
        if let Some(bytes) = self.blobs.get(&self.path(&bundle.path()))? {
            return Ok(bytes);
        }
        let full = Entries { width: haris_merkle::tile::TILE_WIDTH, ..bundle };
        let missing = || ReadError::Damaged { what: self.path(&bundle.path()), why: "it is missing".into() };
        let bytes = self.blobs.get(&self.path(&full.path()))?.ok_or_else(missing)?;
        let entries = full.decode(&bytes).map_err(|error| self.damaged(&full.path(), &error))?;
        let kept: usize = entries.iter().take(usize::from(bundle.width)).map(|entry| entry.len() + 2).sum();
        Ok(bytes[..kept].to_vec())
    }

    /// The leaves of one bundle.
    ///
    /// # Errors
    /// As [`LogTiles::bundle`].
    pub fn entries(&self, bundle: Entries) -> Result<Vec<Vec<u8>>, ReadError> {
        let bytes = self.bundle(bundle)?;
        let entries = bundle.decode(&bytes).map_err(|error| self.damaged(&bundle.path(), &error))?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The frontier of the tree of `size` entries, from its right-most tiles.
    pub(crate) fn frontier(&self, size: u64) -> Result<Frontier, ReadError> {
        Frontier::load(self, size).map_err(|error| self.tree_error(error))
    }

    /// The root of the tree of `size` entries.
    ///
    /// # Errors
    /// When a tile is missing or malformed.
    pub fn root(&self, size: u64) -> Result<Hash, ReadError> {
        haris_merkle::tree::root(self, size).map_err(|error| self.tree_error(error))
    }

    /// Turns an error of the tree into one that names this log's tile.
    pub fn tree_error(&self, error: TreeError<BlobError>) -> ReadError {
        match error {
            TreeError::Read(error) => error.into(),
            other => ReadError::Damaged { what: format!("the tree of the {} log", self.log), why: other.to_string() },
        }
    }

    fn damaged(&self, path: &str, why: &dyn std::fmt::Display) -> ReadError {
        ReadError::Damaged { what: self.path(path), why: why.to_string() }
    }
}

impl ReadTiles for LogTiles {
    type Error = BlobError;

    fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, BlobError> {
        self.blobs.get(&self.path(&tile.path()))
    }
}
