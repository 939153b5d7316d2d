//! 7z archives: models packed by hand. Members are unpacked and looked at like any other's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::archive::sevenzip::{self, Archive};
use crate::archive::shelf::number_doubles;
use crate::budget::Budget;
use crate::context::Context;
use crate::face::Face;
use crate::face::walker::MALFORMED;
use crate::format::{Claim, Format};
use crate::formats::tar::{DUPLICATE, TRAVERSAL, leads_out};
use crate::part::{Kind, Member, Members, Oddity, Part};
use crate::source::Source;
use crate::unread::Unread;

use super::gguf::trailing_face;

const MAGIC: &[u8] = b"7z\xbc\xaf\x27\x1c";

/// Folders that are held unpacked at once, each as a source holds it.
const UNPACKED_MAX: usize = 3;

/// The format.
pub(crate) struct SevenZip;

impl Format for SevenZip {
    fn name(&self) -> &'static str {
        "7z"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![&TRAVERSAL, &DUPLICATE, trailing_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(MAGIC) { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let archive = sevenzip::read(&part.source, &part.budget)?;
        // Packed streams lie between the first header and the last.
        let first = archive.packed.first().map_or(32, |(at, _)| *at);
        if first > 32 && !archive.packed.is_empty() {
            context.embed("before the members", part.source.slice(32, first - 32), Kind::Any);
        }
        for file in &archive.files {
            if leads_out(&file.name) {
                context.find(&TRAVERSAL, format!("member `{}`", file.name));
            }
        }
        let end = archive.end;
        let members = Packed::new(archive, part, context);
        context.embed_members(Arc::new(members));
        if end < part.source.len() {
            let left = part.source.len() - end;
            context.find_at(trailing_face(), end, format!("{left} bytes behind the archive"));
            context.embed("trailing", part.source.from(end), Kind::Any);
        }
        Ok(())
    }
}

/// Members, unpacked when their turn comes.
struct Packed {
    archive: Archive,
    source: Source,
    budget: Budget,
    list: Vec<Member>,
    /// Folder, first byte and length of each.
    places: Vec<(usize, u64, u64)>,
    /// What was unpacked last: members of one folder follow one another.
    unpacked: Mutex<VecDeque<(usize, Source, Option<String>)>>,
}

impl Packed {
    fn new(mut archive: Archive, part: &Part, context: &mut Context<'_>) -> Self {
        let files = std::mem::take(&mut archive.files);
        let mut files: Vec<_> = files.into_iter().filter_map(|file| Some((file.name, file.place?))).collect();
        number_doubles(&mut files, context);
        let list = files.iter().map(|(name, (.., size))| Member { name: name.as_str().into(), size: *size }).collect();
        let places = files.into_iter().map(|(_, place)| place).collect();
        let unpacked = Mutex::new(VecDeque::new());
        Self { archive, source: part.source.clone(), budget: part.budget.clone(), list, places, unpacked }
    }

    /// A folder's bytes, and what broke them off.
    fn folder(&self, index: usize) -> Result<(Source, Option<String>), Unread> {
        let mut unpacked = self.unpacked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, bytes, stop)) = unpacked.iter().find(|(known, ..)| *known == index) {
            return Ok((bytes.clone(), stop.clone()));
        }
        let (bytes, stop) = self.archive.unpack(index, &self.source, &self.budget)?;
        let stop = match stop {
            Some(why @ (Unread::Malformed { .. } | Unread::Truncated { .. })) => Some(why.to_string()),
            Some(why) => return Err(why),
            None => None,
        };
        unpacked.push_back((index, bytes.clone(), stop.clone()));
        if unpacked.len() > UNPACKED_MAX {
            unpacked.pop_front();
        }
        Ok((bytes, stop))
    }
}

impl Members for Packed {
    fn list(&self) -> &[Member] {
        &self.list
    }

    fn open(&self, name: &str) -> Result<Source, Unread> {
        self.open_noting(name).map(|(source, _)| source)
    }

    fn open_noting(&self, name: &str) -> Result<(Source, Option<Oddity>), Unread> {
        let index = self.list.binary_search_by(|member| (*member.name).cmp(name));
        let (folder, at, len) = self.places[index.map_err(|_| Unread::malformed(format!("member `{name}`"), 0))?];
        let (bytes, stop) = self.folder(folder)?;
        // What came out before the break is scanned; that there was one is said.
        Ok((bytes.slice(at, len), stop.map(|why| (&MALFORMED, why))))
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, scan, verdict_of};

    /// Made by py7zr (LZMA2, BCJ, solid), see `testdata/make.py`: a note, and a pickle that calls `os.system`.
    const HOSTILE: &[u8] = include_bytes!("../../testdata/hostile.7z");
    const HONEST: &[u8] = include_bytes!("../../testdata/honest.7z");
    const ENCRYPTED: &[u8] = include_bytes!("../../testdata/encrypted.7z");

    #[test]
    fn members_are_unpacked_and_read() {
        let honest = scan(HONEST.to_vec());
        assert_eq!((honest.format, honest.verdict()), ("7z", Verdict::Clean), "{:?}", honest.findings);
        assert_eq!(verdict_of(HOSTILE.to_vec()), Verdict::Blocked);
        assert_eq!(verdict_of(ENCRYPTED.to_vec()), Verdict::Incomplete);
        assert!(rules_of([HONEST, b"tail"].concat()).contains(&"artifact.trailing-data".to_owned()));
    }

    #[test]
    fn what_is_cut_or_changed_is_not_clean() {
        for end in 6..HONEST.len() {
            assert_ne!(verdict_of(HONEST[..end].to_vec()), Verdict::Clean, "cut at {end}");
        }
        for at in 0..HOSTILE.len() {
            let mut changed = HOSTILE.to_vec();
            changed[at] ^= 0x10;
            let _ = verdict_of(changed);
        }
    }
}
