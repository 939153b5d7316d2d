//! SHA-256 of a source, and what tells that a file stayed the same meanwhile.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use aws_lc_rs::digest::{Context, SHA256};
use haris_artifact::{Source, Unread};
use haris_domain::Digest;

/// One read. Large enough that system calls cost nothing beside hashing.
const CHUNK_BYTES: usize = 1 << 20;

/// SHA-256 of all bytes.
pub(crate) fn of(source: &Source) -> Result<Digest, Unread> {
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < source.len() {
        let count = source.read_at(at, &mut chunk)?;
        if count == 0 {
            return Err(Unread::Truncated { what: "file", at, wanted: source.len() - at, left: 0 });
        }
        context.update(&chunk[..count]);
        at += count as u64;
    }
    Ok(Digest(context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")))
}

/// Length and times of a file. The change time cannot be set back by whoever owns the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}
