//! Universal Binary JSON (<https://ubjson.org>), XGBoost's default: walked without being kept.

use crate::Limit;
use crate::context::Context;
use crate::face::Face;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::source::Tape;
use crate::unread::Unread;

use super::gguf::trailing_face;
use super::safetensors::{free_text, metadata_face};

const DEPTH_MAX: usize = 100;
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The format.
pub(crate) struct UbJson;

impl Format for UbJson {
    fn name(&self) -> &'static str {
        "ubjson"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![trailing_face(), metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        // An object whose first key has a length of a sensible type and size.
        let length = match part.head.get(..10) {
            Some([b'{', b'L', 0, 0, 0, 0, 0, 0, 0, length]) => (usize::from(*length), 10),
            Some([b'{', b'i' | b'U', length, ..]) => (usize::from(*length), 3),
            Some([b'{', b'l', 0, 0, 0, length, ..]) => (usize::from(*length), 6),
            _ => return Claim::No,
        };
        let key = part.head.get(length.1..length.1 + length.0);
        let named = key
            .is_some_and(|key| !key.is_empty() && key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'));
        if named { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut walk = Walk { tape: Tape::new(part.source.clone()), context };
        walk.run()?;
        let end = walk.tape.offset();
        if end < part.source.len() {
            context.find_at(trailing_face(), end, format!("{} bytes behind the object", part.source.len() - end));
            context.embed("trailing", part.source.from(end), Kind::Any);
        }
        Ok(())
    }
}

/// An open container: object or array, the type all elements share, how many are left.
struct Open {
    is_object: bool,
    shared: Option<u8>,
    left: Option<u64>,
}

struct Walk<'a, 'b> {
    tape: Tape,
    context: &'a mut Context<'b>,
}

impl Walk<'_, '_> {
    fn byte(&mut self) -> Result<u8, Unread> {
        Ok(self.tape.take("UBJSON marker", 1)?[0])
    }

    fn run(&mut self) -> Result<(), Unread> {
        let mut open: Vec<Open> = Vec::new();
        let mut key = String::new();
        let mut first = true;
        loop {
            self.context.budget().steps(1)?;
            if !first && open.is_empty() {
                return Ok(());
            }
            first = false;
            let mut marker = None;
            if let Some(top) = open.last_mut() {
                match &mut top.left {
                    Some(0) => {
                        open.pop();
                        continue;
                    }
                    Some(left) => *left -= 1,
                    None => {
                        let next = self.byte()?;
                        if next == if top.is_object { b'}' } else { b']' } {
                            open.pop();
                            continue;
                        }
                        marker = Some(next);
                    }
                }
                if top.is_object {
                    let (is_counted, shared) = (top.left.is_some(), top.shared);
                    let kind = if is_counted { self.byte()? } else { marker.unwrap_or(0) };
                    let length = self.number(kind)?;
                    key = self.text(length)?;
                    marker = shared;
                } else if let Some(shared) = top.shared {
                    marker = Some(shared);
                }
            }
            let kind = match marker {
                Some(kind) => kind,
                None => self.byte()?,
            };
            self.value(kind, &key, &mut open)?;
        }
    }

    fn value(&mut self, kind: u8, key: &str, open: &mut Vec<Open>) -> Result<(), Unread> {
        match kind {
            b'Z' | b'N' | b'T' | b'F' => Ok(()),
            b'S' | b'H' => {
                let kind = self.byte()?;
                let length = self.number(kind)?;
                let text = self.text(length)?;
                if text.len() > 24 {
                    free_text(key, &text, TextKind::Metadata, self.context);
                }
                Ok(())
            }
            b'{' | b'[' => {
                if open.len() >= DEPTH_MAX {
                    return Err(Unread::Limit(Limit::Within("nesting in UBJSON")));
                }
                let (mut shared, mut left) = (None, None);
                self.tape.fill(2)?;
                if self.tape.buffered().first() == Some(&b'$') {
                    self.tape.advance(1);
                    shared = Some(self.byte()?);
                    self.tape.fill(1)?;
                }
                if self.tape.buffered().first() == Some(&b'#') {
                    self.tape.advance(1);
                    let kind = self.byte()?;
                    left = Some(self.number(kind)?);
                }
                if let (b'[', Some(shared), Some(count)) = (kind, shared, left)
                    && let Some(bytes) = size(shared)
                {
                    return self.tape.skip("UBJSON array", count.saturating_mul(bytes));
                }
                // Each element takes a byte at least, unless its type takes none.
                if left.is_some_and(|count| count > self.tape.left()) {
                    return Err(Unread::malformed("count of UBJSON elements", self.tape.offset()));
                }
                open.push(Open { is_object: kind == b'{', shared, left });
                Ok(())
            }
            other => match size(other) {
                Some(bytes) => self.tape.skip("UBJSON number", bytes),
                None => Err(Unread::malformed("UBJSON marker", self.tape.offset())),
            },
        }
    }

    fn number(&mut self, kind: u8) -> Result<u64, Unread> {
        let at = self.tape.offset();
        let Some(bytes) = size(kind).filter(|_| matches!(kind, b'i' | b'U' | b'I' | b'l' | b'L')) else {
            return Err(Unread::malformed("UBJSON length", at));
        };
        let raw = self.tape.take("UBJSON length", usize::try_from(bytes).unwrap_or(8))?;
        let negative = raw[0] & 0x80 != 0 && kind != b'U';
        let number = raw.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        if negative { Err(Unread::malformed("UBJSON length", at)) } else { Ok(number) }
    }

    fn text(&mut self, length: u64) -> Result<String, Unread> {
        let at = self.tape.offset();
        self.tape.skip("UBJSON text", length)?;
        let kept = usize::try_from(length).unwrap_or(usize::MAX).min(TEXT_BYTES_MAX);
        Ok(String::from_utf8_lossy(&self.tape.source().some(at, kept)?).into_owned())
    }
}

fn size(kind: u8) -> Option<u64> {
    Some(match kind {
        b'i' | b'U' | b'C' | b'B' => 1,
        b'I' => 2,
        b'l' | b'd' => 4,
        b'L' | b'D' => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    #[test]
    fn objects_are_walked() {
        let honest = b"{i\x01a[$l#i\x02\0\0\0\x01\0\0\0\x02i\x01b{i\x01cSi\x02xy}}".to_vec();
        assert_eq!(verdict_of(honest.clone()), Verdict::Clean, "{:?}", rules_of(honest.clone()));
        assert_eq!(verdict_of([honest.clone(), vec![9; 30]].concat()), Verdict::Review);
        assert_eq!(verdict_of(honest[..20].to_vec()), Verdict::Incomplete);
        assert_eq!(verdict_of(b"{i\x01aSi\x20__import__('os').system('touch')}".to_vec()), Verdict::Blocked);
    }
}
