//! tar: v7, ustar, GNU and pax headers. NeMo's `.nemo`, torch before 0.2, and models packed by hand.

use std::sync::Arc;

use haris_domain::Severity;

use crate::archive::shelf::{Held, Shelf};
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part};
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;

const BLOCK: u64 = 512;
/// A long name or a pax header needs no more.
const EXTENDED_BYTES_MAX: u64 = 1 << 20;

pub(crate) static TRAVERSAL: Face = Face::new(
    "artifact.archive-path-traversal",
    Severity::High,
    Verdict::Blocked,
    "A member would be unpacked outside its folder",
    "The member's name or its link leads upwards or to an absolute path. Whoever unpacks the archive overwrites a \
     file of the attacker's choice.",
    "Do not unpack it.",
    refs!["CWE-22", "CWE-59"],
);
pub(crate) static SPECIAL: Face = Face::new(
    "artifact.archive-special-member",
    Severity::Medium,
    Verdict::Review,
    "A member is a device, a pipe or a link",
    "No model needs one; unpacked, it may give access to something outside.",
    "Ask what it is for; unpack without links and devices.",
    refs!["CWE-59"],
);
pub(crate) static DUPLICATE: Face = Face::new(
    "artifact.archive-duplicate-member",
    Severity::Medium,
    Verdict::Review,
    "Two members have one name",
    "Some readers take the first, some the last; both were scanned.",
    "Pack it anew.",
    refs!["CWE-436"],
);
static TAIL: Face = Face::new(
    "artifact.tar-trailing-data",
    Severity::Medium,
    Verdict::Review,
    "Bytes follow after the archive's end",
    "Readers stop at the end mark and never see what follows; another program may.",
    "Ask what the bytes are for.",
    refs!["CWE-436"],
);

/// A tar archive.
pub(crate) struct Tar;

impl Format for Tar {
    fn name(&self) -> &'static str {
        "tar"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&TRAVERSAL, &SPECIAL, &DUPLICATE, &TAIL];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if is_header(part.head.get(..BLOCK as usize).unwrap_or_default()) { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let (files, end) = walk(part, context)?;
        let left = part.source.len().saturating_sub(end);
        if left > 0 && !is_padding(&part.source, end)? {
            context.find_at(&TAIL, end, format!("{left} bytes after the end mark"));
            context.embed("after the archive", part.source.from(end), Kind::Any);
        }
        let held = files.into_iter().map(|file| (file.name, Held::Bytes(part.source.slice(file.start, file.size))));
        let shelf = Shelf::new(held.collect(), context);
        context.embed_members(Arc::new(shelf));
        Ok(())
    }
}

/// Whether a block is a header: its checksum, with the checksum's own field as spaces.
pub(crate) fn is_header(block: &[u8]) -> bool {
    if block.len() < BLOCK as usize || block[0] == 0 {
        return false;
    }
    let sum: u64 =
        block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u64::from(*b) }).sum();
    number(&block[148..156]) == Some(sum)
}

/// Octal digits, or GNU's base 256.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        return rest.iter().try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? + u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

struct File {
    name: String,
    start: u64,
    size: u64,
}

/// All members, and where the archive ends.
fn walk(part: &Part, context: &mut Context<'_>) -> Result<(Vec<File>, u64), Unread> {
    let source = &part.source;
    let mut files = Vec::new();
    let mut at = 0;
    let (mut long_name, mut long_link, mut long_size) = (None::<String>, None::<String>, None::<u64>);
    while at < source.len() {
        part.budget.steps(10)?;
        let block = source.exactly("tar header", at, BLOCK as usize)?;
        if block.iter().all(|byte| *byte == 0) {
            // Readers differ on whether one block of zeros is the end, so members after it count as well.
            let next = source.some(at + BLOCK, BLOCK as usize)?;
            if is_header(&next) {
                at += BLOCK;
                continue;
            }
            return Ok((files, at + BLOCK + if next.iter().all(|byte| *byte == 0) { next.len() as u64 } else { 0 }));
        }
        if !is_header(&block) {
            return Err(Unread::malformed("tar header", at));
        }
        let size = long_size.take().or_else(|| number(&block[124..136]));
        let size = size.ok_or_else(|| Unread::malformed("size of a member", at))?;
        let data = at + BLOCK;
        if size > source.len() - data {
            return Err(Unread::Truncated {
                what: "member of the archive",
                at: data,
                wanted: size,
                left: source.len() - data,
            });
        }
        let kind = block[156];
        match kind {
            b'L' | b'K' | b'x' | b'g' if size > EXTENDED_BYTES_MAX => {
                return Err(Unread::malformed("size of an extended header", at));
            }
            b'L' => long_name = Some(string(&source.some(data, size as usize)?)),
            b'K' => long_link = Some(string(&source.some(data, size as usize)?)),
            b'x' => {
                for (key, value) in pax(&source.some(data, size as usize)?) {
                    match key.as_str() {
                        "path" => long_name = Some(value),
                        "linkpath" => long_link = Some(value),
                        "size" => long_size = value.parse().ok(),
                        _ => {}
                    }
                }
            }
            b'g' => {}
            _ => {
                let name = long_name.take().unwrap_or_else(|| name_of(&block));
                let link = long_link.take().unwrap_or_else(|| string(&block[157..257]));
                inspect(kind, &name, &link, at, context);
                if matches!(kind, b'0' | 0 | b'7') || size > 0 && !matches!(kind, b'1'..=b'6') {
                    part.budget.members(1)?;
                    files.push(File { name, start: data, size });
                }
            }
        }
        at = data + size.div_ceil(BLOCK) * BLOCK;
    }
    Ok((files, at.min(source.len())))
}

fn inspect(kind: u8, name: &str, link: &str, at: u64, context: &mut Context<'_>) {
    if leads_out(name) {
        context.find_at(&TRAVERSAL, at, format!("member `{name}`"));
    }
    match kind {
        b'1' | b'2' if leads_out(link) => {
            context.find_at(&TRAVERSAL, at, format!("`{name}` is a link to `{link}`"));
        }
        b'1' | b'2' => {
            context.find_at(&SPECIAL, at, format!("`{name}` is a link to `{link}`"));
        }
        b'3' | b'4' | b'6' => {
            context.find_at(&SPECIAL, at, format!("`{name}` is a device or a pipe"));
        }
        _ => {}
    }
}

/// Whether a path is absolute or climbs above where it starts.
pub(crate) fn leads_out(path: &str) -> bool {
    let path = path.replace('\\', "/");
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    if path.starts_with('/') || drive {
        return true;
    }
    let mut depth = 0_i32;
    for hop in path.split('/') {
        match hop {
            ".." => depth -= 1,
            "" | "." => {}
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

fn name_of(block: &[u8]) -> String {
    let name = string(&block[..100]);
    let prefix = if block[257..262] == *b"ustar" { string(&block[345..500]) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

fn string(bytes: &[u8]) -> String {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Records of `LENGTH KEY=VALUE\n`.
fn pax(bytes: &[u8]) -> Vec<(String, String)> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while let Some(space) = memchr::memchr(b' ', rest) {
        let Some(len) = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse::<usize>().ok()) else {
            break;
        };
        let Some(record) = rest.get(space + 1..len) else { break };
        let text = String::from_utf8_lossy(record);
        if let Some((key, value)) = text.trim_end_matches('\n').split_once('=') {
            records.push((key.to_owned(), value.to_owned()));
        }
        rest = &rest[len..];
    }
    records
}

fn is_padding(source: &Source, from: u64) -> Result<bool, Unread> {
    let mut at = from;
    while at < source.len() {
        let some = source.some(at, 64 << 10)?;
        if some.is_empty() || some.iter().any(|byte| *byte != 0) {
            return Ok(some.is_empty());
        }
        at += some.len() as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_are_told_from_those_that_do_not() {
        for path in ["../x", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "a/b/../../../x"] {
            assert!(leads_out(path), "{path}");
        }
        for path in ["a/b", "./a", "a/../b", "..a/b", "a.b/c"] {
            assert!(!leads_out(path), "{path}");
        }
    }

    #[test]
    fn numbers_in_both_spellings() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"\x80\0\0\x01\0"), Some(256));
        assert_eq!(number(b"9"), None);
    }
}
