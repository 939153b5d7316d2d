//! What a blob store promises, whichever it is.
//!
//! The trait is synchronous: its callers (the sealer, proofs, fsck) are plain functions that run
//! on a blocking thread, and read tiles through the synchronous traits of the tree. A client of an
//! object store blocks on its own runtime behind the same face.

/// What [`Blobs::put_if_absent`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The blob is new and durable.
    Created,
    /// A blob of that path exists and was left as it is.
    Exists,
}

/// A blob operation that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The path is not one that every store can hold.
    #[error("`{path}` is no blob path: parts of letters, digits, `-`, `_` and `.` (not first), joined by `/`")]
    Path {
        /// The path as given.
        path: String,
    },
    /// The store refused or failed.
    #[error("could not {action} blob `{path}`")]
    Io {
        /// `read`, `write`, `delete` or `list`.
        action: &'static str,
        /// Which blob, or the folder of a listing.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A flat store of immutable blobs, and a few that are replaced whole.
///
/// When a writing method returns, its effect survives a power cut.
pub trait Blobs: Send + Sync + 'static {
    /// Writes a blob unless one of that path exists.
    ///
    /// # Errors
    /// A malformed path, or a failure of the store.
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<Put, BlobError>;

    /// Writes several blobs, each unless it exists; what happened to each is in their order.
    /// A store that can make many durable at once does.
    ///
    /// # Errors
    /// As [`Blobs::put_if_absent`]; some may have been written.
    fn put_all_if_absent(&self, blobs: &[(String, Vec<u8>)]) -> Result<Vec<Put>, BlobError> {
        blobs.iter().map(|(path, bytes)| self.put_if_absent(path, bytes)).collect()
    }

    /// Writes a blob, replacing one of that path whole: a reader sees the old or the new one.
    ///
    /// # Errors
    /// A malformed path, or a failure of the store.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), BlobError>;

    /// The blob, if there is one.
    ///
    /// # Errors
    /// A malformed path, or a failure of the store.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, BlobError>;

    /// `length` bytes of the blob from `offset`, or fewer where it ends, if there is one.
    ///
    /// # Errors
    /// A malformed path, or a failure of the store.
    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, BlobError>;

    /// Removes a blob. One that is absent is no error.
    ///
    /// # Errors
    /// A malformed path, or a failure of the store.
    fn delete(&self, path: &str) -> Result<(), BlobError>;

    /// The paths of all blobs under a folder, sorted.
    ///
    /// # Errors
    /// A malformed path, or a failure of the store.
    fn list(&self, folder: &str) -> Result<Vec<String>, BlobError>;
}

/// Blobs that are looked at and left as they are.
pub struct ReadOnly<B>(pub B);

impl<B: Blobs> Blobs for ReadOnly<B> {
    fn put_if_absent(&self, path: &str, _bytes: &[u8]) -> Result<Put, BlobError> {
        Err(refused("write", path))
    }

    fn put(&self, path: &str, _bytes: &[u8]) -> Result<(), BlobError> {
        Err(refused("write", path))
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, BlobError> {
        self.0.get(path)
    }

    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, BlobError> {
        self.0.get_range(path, offset, length)
    }

    fn delete(&self, path: &str) -> Result<(), BlobError> {
        Err(refused("delete", path))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, BlobError> {
        self.0.list(folder)
    }
}

fn refused(action: &'static str, path: &str) -> BlobError {
    let source = std::io::Error::new(std::io::ErrorKind::ReadOnlyFilesystem, "it was opened for reading alone");
    BlobError::Io { action, path: path.to_owned(), source }
}

/// No path of ours is longer; file systems stop at 4,096.
const PATH_BYTES_MAX: usize = 512;

/// Refuses what could leave the folder, hide in it, or mean different things on two stores.
pub(crate) fn check_path(path: &str) -> Result<(), BlobError> {
    let part_ok = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if path.len() <= PATH_BYTES_MAX && path.split('/').all(part_ok) {
        return Ok(());
    }
    Err(BlobError::Path { path: path.chars().take(PATH_BYTES_MAX).collect() })
}
