//! Files that are whole or not there, and durable when a call returns.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The operating system refused.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} `{path}`")]
pub struct DiskError {
    what: &'static str,
    path: String,
    source: io::Error,
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.display().to_string();
    move |source| DiskError { what, path, source }
}

/// Makes a folder that only its owner reads, and its parents.
pub(crate) fn make_folder(path: &Path) -> Result<(), DiskError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    above.map_or(Ok(()), sync_folder)
}

/// Replaces a file: after a crash the old or the new one is there, after a return the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new);
    let written = file.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string()));
    written.and_then(|file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(failed("write", &new))?;
    fs::rename(&new, path).map_err(failed("replace", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Adds to the end of a file.
pub(crate) fn append(path: &Path, bytes: &[u8], durable: bool) -> Result<(), DiskError> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed("open", path))?;
    file.write_all(bytes).map_err(failed("write", path))?;
    if durable { file.sync_all().map_err(failed("sync", path)) } else { Ok(()) }
}

/// A file's bytes, if it is there; at most `bytes_max` of them, from its start.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed("open", path))?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).map_err(failed("read", path))?;
    Ok(Some(bytes))
}

fn sync_folder(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}
