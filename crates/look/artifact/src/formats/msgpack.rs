//! MessagePack as Flax writes it (<https://flax.readthedocs.io>): maps of names to arrays in extension 1.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part};
use crate::read::msgpack::{Event, walk};
use crate::read::text::shown;
use crate::refs;
use crate::unread::Unread;

use super::gguf::trailing_face;
use super::safetensors::{metadata_face, payload};

static EXTENSION: Face = Face::new(
    "artifact.msgpack-extension",
    Severity::Medium,
    Verdict::Review,
    "Extension that Flax does not write",
    "A value of an application's own type: a reader with a hook for it makes an object of it, which can run code.",
    "Ask which program wrote it, and how it is read.",
    refs!["CWE-502", "MITRE-ATLAS:AML.T0011.000"],
);
static OBJECT: Face = Face::new(
    "artifact.msgpack-object",
    Severity::Critical,
    Verdict::Blocked,
    "MessagePack that carries an object to be run",
    "A binary value is a pickle or an executable, or a text is a program: its reader would run it.",
    "Reject the file; weights are arrays.",
    refs!["CWE-502", "CWE-506", "MITRE-ATLAS:AML.T0011.000"],
);

/// The format.
pub(crate) struct MsgPack;

impl Format for MsgPack {
    fn name(&self) -> &'static str {
        "msgpack"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![&EXTENSION, &OBJECT, trailing_face(), metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        // A map whose first key is text.
        let at = match part.head.first() {
            Some(0x81..=0x8f) => 1,
            Some(0xde) => 3,
            Some(0xdf) => 5,
            _ => return Claim::No,
        };
        let (length, start) = match part.head.get(at) {
            Some(tag @ 0xa1..=0xbf) => (usize::from(tag & 31), at + 1),
            Some(0xd9) => (usize::from(part.head.get(at + 1).copied().unwrap_or(0)), at + 2),
            _ => return Claim::No,
        };
        let key = part.head.get(start..start + length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let named = key.is_some_and(|key| !key.is_empty() && key.chars().all(|c| !c.is_control()));
        let value = part.head.get(start + length).is_some_and(|tag| *tag != 0xc1);
        if named && value { Claim::Perhaps } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let budget = context.budget().clone();
        let mut found: Vec<(&'static Face, u64, String)> = Vec::new();
        let mut inner = Vec::new();
        let source = &part.source;
        let end = walk(source, &budget, |_, is_key, event| {
            match event {
                // 1 array, 2 complex number, 3 numpy scalar, -1 timestamp.
                Event::Extension { kind: 1..=3 | -1, .. } => {}
                Event::Extension { kind, at, len } => {
                    found.push((&EXTENSION, at, format!("type {kind}, {len} bytes")));
                    inner.push((at, len));
                }
                Event::Binary { at, len } if len >= 4 => {
                    let head = source.some(at, 16)?;
                    if is_object(&head) {
                        found.push((&OBJECT, at, format!("{len} bytes of a pickle or an executable")));
                        inner.push((at, len));
                    }
                }
                Event::Text(text) if !is_key && text.len() > 8 => {
                    if let Some(why) = payload(&text) {
                        found.push((&OBJECT, 0, format!("`{}`: {why}", shown(&text, 120))));
                    }
                }
                Event::Text(key)
                    if is_key
                        && (key.starts_with("__reduce")
                            || matches!(
                                key.as_str(),
                                "__pickle__" | "py/object" | "py/reduce" | "__class__" | "__module__"
                            )) =>
                {
                    found.push((&OBJECT, 0, format!("the key `{}` makes an object", shown(&key, 60))));
                }
                _ => {}
            }
            if found.len() > 1000 { Err(Unread::Limit(crate::Limit::Within("findings in msgpack"))) } else { Ok(()) }
        })?;
        for (face, at, detail) in found {
            context.find_at(face, at, detail);
        }
        for (at, len) in inner {
            context.embed("binary", source.slice(at, len), Kind::Any);
        }
        if end < source.len() {
            context.find_at(trailing_face(), end, format!("{} bytes behind the object", source.len() - end));
            context.embed("trailing", source.from(end), Kind::Any);
        }
        Ok(())
    }
}

fn is_object(head: &[u8]) -> bool {
    let pickle = matches!(head, [0x80, 2..=5, ..]);
    pickle
        || head.starts_with(b"\x7fELF")
        || head.starts_with(b"cos\n")
        || head.starts_with(b"cposix\n")
        || head.starts_with(b"c__builtin__")
        || head.starts_with(b"cbuiltins")
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    #[test]
    fn weights_and_what_is_none() {
        // {"params": {"kernel": ext 1 of 4 bytes}}
        let honest = [&b"\x81\xa6params\x81\xa6kernel\xd6\x01abcd"[..]].concat();
        assert_eq!(verdict_of(honest.clone()), Verdict::Clean);
        assert_eq!(verdict_of(b"\x81\xa6params\x81\xa6kernel\xd6\x63abcd".to_vec()), Verdict::Review);
        assert_eq!(verdict_of(b"\x81\xa6params\xc4\x06\x80\x04abc.".to_vec()), Verdict::Blocked);
        assert_eq!(verdict_of([honest.clone(), vec![1; 20]].concat()), Verdict::Review);
        assert_eq!(verdict_of(honest[..honest.len() - 2].to_vec()), Verdict::Incomplete);
        assert!(
            rules_of(b"\x81\xa4note\xd9\x1f__import__('os').system('touch')".to_vec())
                .contains(&"artifact.msgpack-object".to_owned())
        );
    }
}
