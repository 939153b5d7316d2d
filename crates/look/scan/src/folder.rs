//! A folder as members, to the engine that looks at models of several files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use haris_artifact::{Member, Members, Source, Unread};
use haris_domain::Digest;
use rustix::fs::OFlags;

use crate::digest;

/// A model repository has hundreds of files; a folder of more is no single model.
const MEMBERS_MAX: usize = 20_000;

/// Everything below a folder, links inside it followed.
pub(crate) struct Folder {
    list: Vec<Member>,
    paths: Vec<PathBuf>,
    odd: Vec<String>,
}

impl Folder {
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let real = fs::canonicalize(root)?;
        let mut open = vec![root.to_owned()];
        let mut found: Vec<(String, PathBuf, u64)> = Vec::new();
        let mut odd = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                let kind = fs::symlink_metadata(&path)?;
                if kind.is_dir() {
                    open.push(path);
                    continue;
                }
                let target = fs::canonicalize(&path).ok().filter(|target| target.starts_with(&real));
                match target.and_then(|target| fs::metadata(target).ok()).filter(fs::Metadata::is_file) {
                    Some(file) => found.push((name, path, file.len())),
                    None => odd.push(format!("`{name}` is no file, or a link that leads out of the folder")),
                }
                if found.len() > MEMBERS_MAX {
                    return Err(io::Error::other("too many files for one model"));
                }
            }
        }
        found.sort();
        let list = found.iter().map(|(name, _, size)| Member { name: name.as_str().into(), size: *size }).collect();
        Ok(Self { list, paths: found.into_iter().map(|(_, path, _)| path).collect(), odd })
    }

    /// What lies in the folder and is no file of it.
    pub(crate) fn odd(&self) -> Vec<String> {
        self.odd.clone()
    }

    /// SHA-256 over the lines that `sha256sum` would print, sorted by name.
    pub(crate) fn digest(&self) -> Result<Digest, Unread> {
        let mut context = Context::new(&SHA256);
        for member in &self.list {
            let digest = digest::of(&self.open(&member.name)?)?;
            let hex: String = digest.0.iter().map(|byte| format!("{byte:02x}")).collect();
            context.update(format!("{hex}  {}\n", member.name).as_bytes());
        }
        Ok(Digest(context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")))
    }
}

impl Members for Folder {
    fn list(&self) -> &[Member] {
        &self.list
    }

    fn on_disk(&self) -> bool {
        true
    }

    fn open(&self, name: &str) -> Result<Source, Unread> {
        let index = self.list.binary_search_by(|member| (*member.name).cmp(name));
        let index = index.map_err(|_| Unread::malformed(format!("member `{name}`"), 0))?;
        open(&self.paths[index]).and_then(Source::file).map_err(Unread::Io)
    }
}

/// Opens a regular file. A pipe would block while it is opened, and a device never end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().try_into().unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}
