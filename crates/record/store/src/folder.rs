//! Blobs in a local folder: one file each, 0600, under directories of 0700.
//!
//! A blob is written to `.tmp/` and moved into place when its bytes are on the disk, so that no
//! crash leaves half a blob under its name. The directories that hold the name are synced before
//! the call returns: a file without its directory entry is lost by a power cut.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::blobs::{BlobError, Blobs, Put, check_path};

/// Inside the folder, so that moving out of it never crosses file systems. No blob path can name
/// it: parts do not begin with a dot.
const TEMPORARY: &str = ".tmp";

/// A folder of blobs.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    next: AtomicU64,
}

impl Folder {
    /// Opens the folder, making it if need be, and clears what a crash left unfinished.
    ///
    /// # Errors
    /// When it cannot be made or cleared.
    pub fn open(root: &Path) -> io::Result<Self> {
        make_directories(root)?;
        let temporary = root.join(TEMPORARY);
        if temporary.exists() {
            fs::remove_dir_all(&temporary)?;
        }
        make_directories(&temporary)?;
        Ok(Self::at(root))
    }

    /// The folder as it is, for reading: nothing is made or cleared.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), next: AtomicU64::new(0) }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A synced file in `.tmp/` with these bytes.
    fn stage(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Space on a full disk matters more than this error's error.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }

    /// Gives a staged file its name unless the name is taken. The directory is not synced yet.
    fn settle(&self, staged: &Path, target: &Path) -> io::Result<Put> {
        make_directories(parent(target))?;
        // A link fails where the name exists; a rename would replace it.
        let put = match fs::hard_link(staged, target) {
            Ok(()) => Ok(Put::Created),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Put::Exists),
            Err(error) => Err(error),
        };
        fs::remove_file(staged)?;
        put
    }

    fn target(&self, path: &str) -> Result<PathBuf, BlobError> {
        check_path(path)?;
        Ok(self.root.join(path))
    }
}

impl Blobs for Folder {
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<Put, BlobError> {
        let target = self.target(path)?;
        let put = || {
            let put = self.settle(&self.stage(bytes)?, &target)?;
            // Also when it exists: whoever wrote it may have crashed before its own sync.
            sync_directory(parent(&target))?;
            Ok(put)
        };
        put().map_err(failed("write", path))
    }

    fn put_all_if_absent(&self, blobs: &[(String, Vec<u8>)]) -> Result<Vec<Put>, BlobError> {
        let mut directories = BTreeSet::new();
        let mut done = Vec::with_capacity(blobs.len());
        for (path, bytes) in blobs {
            let target = self.target(path)?;
            let put = self.stage(bytes).and_then(|staged| self.settle(&staged, &target));
            done.push(put.map_err(failed("write", path))?);
            directories.insert(parent(&target).to_owned());
        }
        for directory in directories {
            sync_directory(&directory).map_err(failed("write", &directory.to_string_lossy()))?;
        }
        Ok(done)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), BlobError> {
        let target = self.target(path)?;
        let put = || {
            let staged = self.stage(bytes)?;
            make_directories(parent(&target))?;
            fs::rename(&staged, &target)?;
            sync_directory(parent(&target))
        };
        put().map_err(failed("write", path))
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, BlobError> {
        absent_is_none(fs::read(self.target(path)?)).map_err(failed("read", path))
    }

    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, BlobError> {
        let target = self.target(path)?;
        let read = || {
            let mut file = File::open(&target)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(length).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        absent_is_none(read()).map_err(failed("read", path))
    }

    fn delete(&self, path: &str) -> Result<(), BlobError> {
        let target = self.target(path)?;
        let delete = || {
            fs::remove_file(&target)?;
            let directory = parent(&target);
            // The folder of a tile's partials goes with the last of them: nothing is ever put there again.
            if directory.extension().is_some_and(|extension| extension == "p") && fs::remove_dir(directory).is_ok() {
                return sync_directory(parent(directory));
            }
            sync_directory(directory)
        };
        absent_is_none(delete()).map(|_| ()).map_err(failed("delete", path))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, BlobError> {
        let mut found = Vec::new();
        walk(&self.target(folder)?, folder, &mut found).map_err(failed("list", folder))?;
        found.sort_unstable();
        Ok(found)
    }
}

fn walk(directory: &Path, path: &str, found: &mut Vec<String>) -> io::Result<()> {
    let Some(entries) = absent_is_none(fs::read_dir(directory))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        // A name that is not ASCII is none of ours.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{path}/{name}");
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn failed(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Io { action, path, source }
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("a blob's file lies under the folder's root")
}

/// Makes a directory and what is missing above it, each entry durable.
fn make_directories(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = directory.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directories(above)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => sync_directory(above),
        // Another thread was faster, and syncs it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => sync_directory(above),
        Err(error) => Err(error),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(&directory.path().join("blobs")).unwrap();
        (directory, folder)
    }

    #[test]
    fn a_blob_is_written_once_and_replaced_only_by_put() {
        let (_keep, folder) = folder();
        assert_eq!(folder.put_if_absent("tile/0/000", b"one").unwrap(), Put::Created);
        assert_eq!(folder.put_if_absent("tile/0/000", b"two").unwrap(), Put::Exists);
        assert_eq!(folder.get("tile/0/000").unwrap().unwrap(), b"one");
        folder.put("tile/0/000", b"three").unwrap();
        assert_eq!(folder.get_range("tile/0/000", 2, 2).unwrap().unwrap(), b"re");
        assert_eq!(folder.get_range("tile/0/000", 4, 9).unwrap().unwrap(), b"e");
        assert_eq!(folder.get("tile/0/001").unwrap(), None);
    }

    #[test]
    fn many_are_written_together() {
        let (_keep, folder) = folder();
        folder.put_if_absent("a/x", b"old").unwrap();
        let blobs = [("a/x".to_owned(), b"new".to_vec()), ("b/y/z".to_owned(), b"new".to_vec())];
        assert_eq!(folder.put_all_if_absent(&blobs).unwrap(), [Put::Exists, Put::Created]);
        assert_eq!(folder.get("a/x").unwrap().unwrap(), b"old");
    }

    #[test]
    fn listing_is_sorted_and_sees_no_temporaries() {
        let (_keep, folder) = folder();
        for path in ["t/b", "t/a/2", "t/a/1", "u/c"] {
            folder.put(path, b"").unwrap();
        }
        assert_eq!(folder.list("t").unwrap(), ["t/a/1", "t/a/2", "t/b"]);
        folder.delete("t/a/1").unwrap();
        folder.delete("t/a/1").unwrap();
        assert_eq!(folder.list("t/a").unwrap(), ["t/a/2"]);
        assert_eq!(folder.list("nothing").unwrap(), Vec::<String>::new());
        assert_eq!(fs::read_dir(folder.root().join(TEMPORARY)).unwrap().count(), 0);
    }

    #[test]
    fn paths_cannot_leave_the_folder_or_hide_in_it() {
        let (_keep, folder) = folder();
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", ".tmp/x", "a/.b", "a b", "a/", "ä", "a\0"] {
            assert!(matches!(folder.put(bad, b""), Err(BlobError::Path { .. })), "{bad:?}");
        }
        assert!(folder.put(&"x/".repeat(300), b"").is_err());
    }

    #[test]
    fn only_the_owner_may_look() {
        let (_keep, folder) = folder();
        folder.put("a/b", b"").unwrap();
        let mode = |path: &str| fs::metadata(folder.root().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a"), mode("a/b")), (0o700, 0o600));
    }

    #[test]
    fn what_a_crash_left_unfinished_is_cleared() {
        let (_keep, folder) = folder();
        fs::write(folder.root().join(TEMPORARY).join("1-1"), b"half").unwrap();
        let again = Folder::open(folder.root()).unwrap();
        assert_eq!(fs::read_dir(again.root().join(TEMPORARY)).unwrap().count(), 0);
    }
}
