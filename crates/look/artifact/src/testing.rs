//! What tests of formats ask: the verdict and the rules of some bytes.

use std::sync::Arc;

use crate::part::{Member, Members};
use crate::{Limits, Scan, Scanner, Source, Unread, Verdict};

/// Scans bytes as one artifact.
pub(crate) fn scan(bytes: Vec<u8>) -> Scan {
    Scanner::new(Limits::default()).scan("artifact", &Source::memory(bytes))
}

/// The verdict.
pub(crate) fn verdict_of(bytes: Vec<u8>) -> Verdict {
    scan(bytes).verdict()
}

/// Ids of all rules that spoke.
pub(crate) fn rules_of(bytes: Vec<u8>) -> Vec<String> {
    scan(bytes).findings.iter().map(|finding| finding.face.rule.id.to_string()).collect()
}

/// Members in memory.
pub(crate) struct Folder {
    list: Vec<Member>,
    files: Vec<(Arc<str>, Vec<u8>)>,
}

impl Folder {
    /// A folder of these files.
    pub(crate) fn of(files: &[(&str, &[u8])]) -> Arc<dyn Members> {
        let mut files: Vec<(Arc<str>, Vec<u8>)> =
            files.iter().map(|(name, bytes)| ((*name).into(), bytes.to_vec())).collect();
        files.sort();
        let list = files.iter().map(|(name, bytes)| Member { name: name.clone(), size: bytes.len() as u64 }).collect();
        Arc::new(Self { list, files })
    }
}

impl Members for Folder {
    fn list(&self) -> &[Member] {
        &self.list
    }

    fn open(&self, name: &str) -> Result<Source, Unread> {
        let found = self.files.iter().find(|(known, _)| &**known == name);
        found.map(|(_, bytes)| Source::memory(bytes.clone())).ok_or_else(|| Unread::malformed("member", 0))
    }
}

/// Scans a folder as one artifact.
pub(crate) fn scan_folder(files: &[(&str, &[u8])]) -> Scan {
    let scanner = Scanner::new(Limits::default());
    scanner.scan_members(&Folder::of(files), &scanner.budget())
}
