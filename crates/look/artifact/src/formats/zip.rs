//! zip: torch's files since 1.6, npz, Keras v3, skops, and everything packed by hand.

use std::collections::HashSet;
use std::sync::Arc;

use haris_domain::Severity;

use crate::archive::entry::{self, Entry};
use crate::archive::zip::{self, Views};
use crate::budget::Budget;
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::formats::tar::{DUPLICATE, SPECIAL, TRAVERSAL, is_header, leads_out};
use crate::part::{Kind, Member, Members, Oddity, Part};
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;

/// Stored members up to this long are checksummed; longer ones are tensors.
const CHECKED_BYTES_MAX: u64 = 16 << 20;

static UNLISTED: Face = Face::new(
    "artifact.zip-unlisted-member",
    Severity::High,
    Verdict::Review,
    "A member is missing in the directory",
    "Readers that go by the directory never see it; readers that go from header to header do. It was scanned.",
    "Pack it anew.",
    refs!["CWE-436"],
);
static DISAGREES: Face = Face::new(
    "artifact.zip-headers-disagree",
    Severity::High,
    Verdict::Review,
    "Directory and local header say different things",
    "Name, flags, method, size or checksum of a member differ. Readers that believe one see another file than those \
     that believe the other, or refuse where others load.",
    "Pack it anew; ask who made it.",
    refs!["CWE-436", "CWE-345"],
);
static AROUND: Face = Face::new(
    "artifact.zip-bytes-around",
    Severity::Medium,
    Verdict::Review,
    "Bytes before, between or after the members",
    "The archive's readers skip them; another program may take the file for something else because of them.",
    "Pack it anew; ask what the bytes are for.",
    refs!["CWE-436"],
);
static OVERLAP: Face = Face::new(
    "artifact.zip-overlap",
    Severity::High,
    Verdict::Review,
    "Members lie over one another",
    "One stretch of bytes is several members: so are zip bombs made, and members that look different to each reader.",
    "Pack it anew; ask who made it.",
    refs!["CWE-409", "CWE-436"],
);

/// A zip archive, in all its views.
pub(crate) struct Zip;

impl Format for Zip {
    fn name(&self) -> &'static str {
        "zip"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&UNLISTED, &DISAGREES, &AROUND, &OVERLAP, &DUPLICATE, &TRAVERSAL, &SPECIAL];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        // A tar's last member may be a zip, whose end is then near the tar's; it is looked at as a member.
        let tar = part.head.get(..512).is_some_and(is_header);
        if !tar && zip::is_one(&part.source, &part.head) { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let views = zip::read(&part.source, &part.budget)?;
        if views.directories == 0 && views.unlisted.is_empty() {
            return Err(Unread::malformed("end of the central directory", part.source.len()));
        }
        self.around(part, &views, context)?;
        let mut names = HashSet::new();
        let mut members = Vec::new();
        for listed in &views.listed {
            part.budget.steps(50)?;
            check_name(listed, context);
            if !names.insert(listed.name.clone()) {
                context.find_at(&DUPLICATE, listed.header, format!("`{}`", listed.name));
            }
            match entry::local(&part.source, listed.header)? {
                Some((local, _)) => compare(listed, &local, context),
                None => return Err(Unread::malformed(format!("local header of `{}`", listed.name), listed.header)),
            }
            members.push(listed.clone());
        }
        for unlisted in &views.unlisted {
            check_name(unlisted, context);
            if views.directories > 0 {
                context.find_at(&UNLISTED, unlisted.header, format!("`{}`", unlisted.name));
            }
            members.push(unlisted.clone());
        }
        let truncated = views.directories == 0;
        members.retain(|member| !member.name.ends_with('/') || member.size > 0);
        part.budget.members(members.len() as u64 / 16)?;
        context.embed_members(Arc::new(Packed::new(members, part)));
        if truncated {
            return Err(Unread::Truncated { what: "central directory", at: part.source.len(), wanted: 22, left: 0 });
        }
        Ok(())
    }
}

impl Zip {
    /// What lies before, between and after.
    fn around(&self, part: &Part, views: &Views, context: &mut Context<'_>) -> Result<(), Unread> {
        if views.overlaps > 0 {
            context.find(&OVERLAP, format!("{} members", views.overlaps));
        }
        let starts_here = part.starts_with(b"PK\x03\x04");
        // Something else that carries a zip as bytes, a pickle for example, is told by its own format;
        // it is a disguise only when the zip ends where the file ends.
        if !starts_here && views.end != part.source.len() {
            return Ok(());
        }
        if views.directories > 1 {
            context.find(&DISAGREES, format!("{} directories", views.directories));
        }
        for &(start, len) in &views.gaps {
            context.find_at(&AROUND, start, format!("{len} bytes that belong to no member"));
            if start > 0 || !starts_here {
                context.embed(&format!("bytes at {start}"), part.source.slice(start, len), Kind::Any);
            }
        }
        if let Some(end) = views.suffix {
            let tail = part.source.some(end, 4096)?;
            if tail.iter().any(|byte| *byte != 0) {
                context.find_at(&AROUND, end, format!("{} bytes after the archive", part.source.len() - end));
                context.embed("after the archive", part.source.from(end), Kind::Any);
            }
        }
        Ok(())
    }
}

fn check_name(entry: &Entry, context: &mut Context<'_>) {
    if leads_out(&entry.name) {
        context.find_at(&TRAVERSAL, entry.header, format!("member `{}`", entry.name));
    }
    if entry.mode & 0o170_000 == 0o120_000 {
        context.find_at(&SPECIAL, entry.header, format!("`{}` is a link", entry.name));
    }
}

fn compare(listed: &Entry, local: &Entry, context: &mut Context<'_>) {
    let mut differences = Vec::new();
    if listed.name != local.name {
        differences.push(format!("name `{}` against `{}`", listed.name, local.name));
    }
    if listed.method != local.method {
        differences.push(format!("method {} against {}", listed.method, local.method));
    }
    if (listed.flags ^ local.flags) & entry::ENCRYPTED != 0 {
        differences.push("only one says encrypted".to_owned());
    }
    let deferred = local.flags & entry::DESCRIPTOR != 0;
    if !deferred && (listed.packed != local.packed || listed.size != local.size || listed.crc != local.crc) {
        differences.push("sizes or checksums".to_owned());
    }
    if !differences.is_empty() {
        context.find_at(&DISAGREES, listed.header, format!("`{}`: {}", listed.name, differences.join(", ")));
    }
}

/// Members unpacked when they are opened.
struct Packed {
    source: Source,
    budget: Budget,
    list: Vec<Member>,
    entries: Vec<Entry>,
}

impl Packed {
    fn new(mut entries: Vec<Entry>, part: &Part) -> Self {
        let mut seen: HashSet<String> = HashSet::new();
        for entry in &mut entries {
            let mut name = entry.name.clone();
            let mut copy = 1;
            while !seen.insert(name.clone()) {
                name = format!("{} ({copy})", entry.name);
                copy += 1;
                if copy > 64 {
                    name = format!("{} ({})", entry.name, entry.header);
                }
            }
            entry.name = name;
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let list = entries.iter().map(|entry| Member { name: entry.name.as_str().into(), size: entry.size }).collect();
        Self { source: part.source.clone(), budget: part.budget.clone(), list, entries }
    }
}

impl Members for Packed {
    fn list(&self) -> &[Member] {
        &self.list
    }

    fn open(&self, name: &str) -> Result<Source, Unread> {
        self.open_noting(name).map(|(source, _)| source)
    }

    /// Flags and checksums do not decide what is scanned: torch's reader ignores both.
    fn open_noting(&self, name: &str) -> Result<(Source, Option<Oddity>), Unread> {
        let index = self.list.binary_search_by(|member| (*member.name).cmp(name));
        let entry = &self.entries[index.map_err(|_| Unread::malformed(format!("member `{name}`"), 0))?];
        let (stored, start) = entry::data(&self.source, entry)?;
        if stored.len() < entry.packed {
            let (wanted, left) = (entry.packed, stored.len());
            return Err(Unread::Truncated { what: "member of the archive", at: start, wanted, left });
        }
        let encrypted = entry.flags & entry::ENCRYPTED != 0;
        let (bytes, stop) = match entry::unpack(&stored, entry.method, &self.budget) {
            Err(_) | Ok((_, Some(Unread::Malformed { .. }))) if encrypted => {
                return Err(Unread::Unsupported(format!("`{name}` is encrypted and")));
            }
            outcome => outcome?,
        };
        let mut note = None;
        if encrypted {
            note = Some((&DISAGREES, format!("`{name}` says that it is encrypted")));
        } else if bytes.len() != entry.size && stop.is_none() {
            note = Some((&DISAGREES, format!("`{name}` says {} bytes and has {}", entry.size, bytes.len())));
        } else if bytes.len() <= CHECKED_BYTES_MAX && stop.is_none() {
            let all = bytes.all("member", CHECKED_BYTES_MAX as usize)?;
            if crc32fast::hash(&all) != entry.crc {
                note = Some((&DISAGREES, format!("`{name}` has another checksum than its header says")));
            }
        }
        match stop {
            // What came out before the break is scanned; that there was one is said.
            Some(why @ Unread::Malformed { .. }) => {
                Ok((bytes, Some((&crate::face::walker::MALFORMED, why.to_string()))))
            }
            Some(why) => Err(why),
            None => Ok((bytes, note)),
        }
    }
}
