//! RAR archives: names are read, stored members are looked at, compressed ones make the artifact `incomplete`.

use std::sync::Arc;

use crate::archive::rar::{self, FIVE, FOUR};
use crate::archive::shelf::{Held, Shelf};
use crate::context::Context;
use crate::face::Face;
use crate::format::{Claim, Format};
use crate::formats::tar::{DUPLICATE, SPECIAL, TRAVERSAL, leads_out};
use crate::part::{Kind, Part};
use crate::unread::Unread;

use super::gguf::trailing_face;

/// The format.
pub(crate) struct Rar;

impl Format for Rar {
    fn name(&self) -> &'static str {
        "rar"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![&TRAVERSAL, &SPECIAL, &DUPLICATE, trailing_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(FIVE) || part.starts_with(FOUR) { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let archive = rar::read(&part.source, &part.budget)?;
        let mut held = Vec::new();
        for file in archive.files {
            if leads_out(&file.name) {
                context.find_at(&TRAVERSAL, file.start, format!("member `{}`", file.name));
            }
            if let Some(link) = &file.link {
                let face: &'static Face = if leads_out(link) { &TRAVERSAL } else { &SPECIAL };
                context.find_at(face, file.start, format!("`{}` is a link to `{link}`", file.name));
            }
            if file.folder || file.link.is_some() {
                continue;
            }
            let bytes = match (file.encrypted, file.split, file.stored) {
                (true, ..) => Held::Closed(format!("`{}` is encrypted and", file.name)),
                (_, true, _) => Held::Closed(format!("`{}` goes on in another volume and", file.name)),
                (.., false) => Held::Closed(format!("`{}` is compressed with RAR's own method and", file.name)),
                _ => Held::Bytes(part.source.slice(file.start, file.packed)),
            };
            held.push((file.name, bytes));
        }
        let shelf = Shelf::new(held, context);
        context.embed_members(Arc::new(shelf));
        if archive.end < part.source.len() {
            let left = part.source.len() - archive.end;
            context.find_at(trailing_face(), archive.end, format!("{left} bytes behind the archive"));
            context.embed("trailing", part.source.from(archive.end), Kind::Any);
        }
        if archive.cut {
            return Err(Unread::Truncated { what: "end of a RAR archive", at: archive.end, wanted: 7, left: 0 });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, scan, verdict_of};

    const CALL: &[u8] = b"cos\nsystem\n(S'echo harmless'\ntR.";

    fn with_sum(body: &[u8]) -> Vec<u8> {
        [&crc32fast::hash(body).to_le_bytes()[..], body].concat()
    }

    /// A header of version 5: length, and what is said.
    fn header(body: &[u8]) -> Vec<u8> {
        with_sum(&[&[u8::try_from(body.len()).unwrap()], body].concat())
    }

    fn five(name: &str, data: &[u8], method: u8, extra: &[u8]) -> Vec<u8> {
        let flags = if extra.is_empty() { 2 } else { 3 };
        let mut body = vec![2, flags];
        if !extra.is_empty() {
            body.push(u8::try_from(extra.len()).unwrap());
        }
        let len = u8::try_from(data.len()).unwrap();
        body.extend([len, 0, len, 0x20]);
        // The method lies in bits 7 to 9.
        body.extend(if method == 0 { vec![0] } else { vec![0x80, method] });
        body.extend([1, u8::try_from(name.len()).unwrap()]);
        body.extend(name.as_bytes());
        body.extend(extra);
        [&b"Rar!\x1a\x07\x01\x00"[..], &header(&[1, 0, 0]), &header(&body), data, &header(&[5, 0, 0])].concat()
    }

    fn four(name: &str, data: &[u8], method: u8, flags: u16) -> Vec<u8> {
        let block = |kind: u8, flags: u16, rest: &[u8]| {
            let size = u16::try_from(7 + rest.len()).unwrap();
            let body = [&[kind][..], &flags.to_le_bytes(), &size.to_le_bytes(), rest].concat();
            let sum = crc32fast::hash(&body) & 0xffff;
            [&u16::try_from(sum).unwrap().to_le_bytes()[..], &body].concat()
        };
        let len = u32::try_from(data.len()).unwrap().to_le_bytes();
        let name_len = u16::try_from(name.len()).unwrap().to_le_bytes();
        let rest = [&len[..], &len, &[3], &[0; 8], &[20, method], &name_len, &[0; 4], name.as_bytes()].concat();
        let member = block(0x74, flags | 0x8000, &rest);
        [&b"Rar!\x1a\x07\x00"[..], &block(0x73, 0, &[0; 6]), &member, data, &block(0x7b, 0, &[])].concat()
    }

    #[test]
    fn stored_members_are_read() {
        for (honest, hostile) in [
            (five("a.txt", b"a note", 0, b""), five("m.pkl", CALL, 0, b"")),
            (four("a.txt", b"a note", 0x30, 0), four("m.pkl", CALL, 0x30, 0)),
        ] {
            let scanned = scan(honest.clone());
            assert_eq!((scanned.format, scanned.verdict()), ("rar", Verdict::Clean), "{:?}", scanned.findings);
            assert_eq!(verdict_of(hostile), Verdict::Blocked);
            assert!(rules_of([&honest[..], b"tail"].concat()).contains(&"artifact.trailing-data".to_owned()));
            for end in 8..honest.len() {
                assert_ne!(verdict_of(honest[..end].to_vec()), Verdict::Clean, "cut at {end}");
            }
        }
    }

    #[test]
    fn what_cannot_be_opened_is_incomplete() {
        assert_eq!(verdict_of(five("m.pkl", CALL, 3, b"")), Verdict::Incomplete);
        assert_eq!(verdict_of(four("m.pkl", CALL, 0x33, 0)), Verdict::Incomplete);
        assert_eq!(verdict_of(four("m.pkl", CALL, 0x30, 4)), Verdict::Incomplete);
        assert_eq!(verdict_of(five("m.pkl", CALL, 0, &[2, 1, 0])), Verdict::Incomplete);
        assert_eq!(verdict_of(five("../../m", b"a note", 0, b"")), Verdict::Blocked);
        let link = [&[10, 5, 1, 0, 6][..], b"/etc/x"].concat();
        assert!(rules_of(five("m", b"", 0, &link)).contains(&"artifact.archive-path-traversal".to_owned()));
        let mut broken = five("m.pkl", CALL, 0, b"");
        broken[9] ^= 1;
        assert_eq!(verdict_of(broken), Verdict::Incomplete);
    }
}
