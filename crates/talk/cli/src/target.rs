//! A file that leaves: under its name whole, or not at all.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::Failure;

/// Where a bundle goes. A file appears under its name whole or not at all, and one that was there
/// stays until then; a pipe or a device is written as it is.
pub(crate) struct Target {
    path: PathBuf,
    file: File,
    /// Where the bundle lies until it is whole.
    unready: Option<PathBuf>,
}

impl Target {
    /// Finds out whether it can be written, before anything is made for it.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::because(&format!("could not write {}", path.display()), &error);
        let mut options = OpenOptions::new();
        options.write(true);
        let unready = match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => {
                return Err(Failure::usage(format!("{} is a directory: name a file in it", path.display())));
            }
            Ok(there) if !there.is_file() => None,
            _ => {
                let name = path.file_name().ok_or_else(|| failed(ErrorKind::InvalidInput.into()))?;
                // A bundle may hold opened payloads: its owner's alone, until they give it away.
                options.create(true).truncate(true).mode(0o600);
                Some(path.with_file_name(format!(".{}.unready", name.display())))
            }
        };
        let file = options.open(unready.as_deref().unwrap_or(path)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, unready })
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::because(&format!("could not write {}", self.path.display()), error)
    }

    /// Copies a file into it.
    pub(crate) fn fill(&mut self, bundle: &Path) -> Result<(), Failure> {
        let copied = File::open(bundle).and_then(|mut made| std::io::copy(&mut made, &mut self.file));
        copied.map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// Writes into it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// The bundle is whole: it gets its name.
    pub(crate) fn keep(mut self) -> Result<(), Failure> {
        let Some(unready) = self.unready.take() else { return Ok(()) };
        let kept = self.file.sync_all().and_then(|()| std::fs::rename(&unready, &self.path));
        kept.map_err(|error| self.failed(&error))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(unready) = &self.unready {
            let _ = std::fs::remove_file(unready);
        }
    }
}
