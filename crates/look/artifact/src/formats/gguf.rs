//! GGUF (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): key-value metadata, tensor table, data.
//!
//! The metadata holds chat templates, which their readers render with Jinja: those go to the template
//! format. Counts and offsets are where native readers were attacked.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::refs;
use crate::source::{Source, Tape};
use crate::unread::Unread;
use crate::weights::{self, Item, Weights};

use super::safetensors::{free_text, metadata_face};

/// Keys and tensors of the largest published models are far below.
const COUNT_MAX: u64 = 1 << 20;
/// A key's length as the specification limits it.
const KEY_BYTES_MAX: u64 = 65_535;
/// Templates and licences; vocabularies are arrays and not read whole.
const TEXT_BYTES_MAX: u64 = 8 << 20;
const NESTING_MAX: u32 = 4;

static LIES: Face = Face::new(
    "artifact.gguf-structure",
    Severity::High,
    Verdict::Blocked,
    "Counts or offsets that lie",
    "A count, length or tensor offset cannot be true of this file. Native readers that trusted such numbers were \
     made to write beyond their memory.",
    "Reject the file and get the model from where it was made.",
    refs!["CWE-190", "CWE-122", "MITRE-ATLAS:AML.T0011"],
);
static TRAILING: Face = Face::new(
    "artifact.trailing-data",
    Severity::Medium,
    Verdict::Review,
    "Bytes behind the end",
    "Behind the last byte that belongs to the format lie more: a place to carry something past a review.",
    "Ask what they are, or write the file anew without them.",
    refs!["CWE-506", "CWE-912"],
);

pub(super) fn trailing_face() -> &'static Face {
    &TRAILING
}

/// The format.
pub(crate) struct Gguf;

impl Format for Gguf {
    fn name(&self) -> &'static str {
        "gguf"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> = std::sync::LazyLock::new(|| {
            [&LIES, &TRAILING, metadata_face()].into_iter().chain(weights::RULES).collect()
        });
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(b"GGUF") || part.starts_with(b"FUGG") { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let version = u32::from_le_bytes(part.head.get(4..8).and_then(|b| b.try_into().ok()).unwrap_or([0; 4]));
        let big = version > 0xffff;
        if part.starts_with(b"FUGG") {
            return Err(Unread::Unsupported("a GGUF of reversed magic".to_owned()));
        }
        let mut reader = Reader { tape: Tape::new(part.source.clone()), big, wide: true };
        reader.tape.skip("GGUF header", 4)?;
        let version = reader.u32()?;
        reader.wide = version > 1;
        if !(1..=3).contains(&version) {
            return Err(Unread::Unsupported(format!("GGUF version {version}")));
        }
        let tensors = reader.count()?;
        let pairs = reader.count()?;
        if tensors > COUNT_MAX || pairs > COUNT_MAX {
            context.find_at(&LIES, 8, format!("it claims {tensors} tensors and {pairs} keys"));
            return Err(Unread::malformed("count of tensors or keys", 8));
        }
        let mut alignment = 32;
        for _ in 0..pairs {
            context.budget().steps(10)?;
            let key = reader.text(KEY_BYTES_MAX, context)?;
            let kind = reader.u32()?;
            match kind {
                8 => {
                    let value = reader.text(TEXT_BYTES_MAX, context)?;
                    string(&key, &value, context);
                }
                4 if key == "general.alignment" => {
                    alignment = u64::from(reader.u32()?);
                    if alignment == 0 || !alignment.is_power_of_two() || alignment > 1 << 20 {
                        context.find(&LIES, format!("an alignment of {alignment}"));
                        alignment = 32;
                    }
                }
                _ => reader.value(&key, kind, 0, context)?,
            }
        }
        table(&mut reader, tensors, alignment, part, context)
    }
}

fn string(key: &str, value: &str, context: &mut Context<'_>) {
    let is_template = key.starts_with("tokenizer.chat_template") || value.contains("{%") || value.contains("{{");
    if is_template {
        context.embed(key, Source::memory(value.as_bytes().to_vec()), Kind::As("jinja"));
    } else {
        free_text(key, value, TextKind::Metadata, context);
    }
}

fn table(
    reader: &mut Reader,
    tensors: u64,
    alignment: u64,
    part: &Part,
    context: &mut Context<'_>,
) -> Result<(), Unread> {
    let (mut ranges, mut floats) = (Vec::new(), Vec::new());
    let mut unknown = false;
    for _ in 0..tensors {
        context.budget().steps(10)?;
        let name = reader.text(1024, context)?;
        let dimensions = reader.u32()?;
        if dimensions > 8 {
            context.find(&LIES, format!("tensor `{name}` has {dimensions} dimensions"));
            return Err(Unread::malformed("count of dimensions", reader.tape.offset()));
        }
        let mut elements = Some(1u64);
        for _ in 0..dimensions {
            let size = reader.count()?;
            elements = elements.and_then(|product| product.checked_mul(size));
        }
        let kind = reader.u32()?;
        let offset = reader.u64()?;
        let bytes =
            elements.zip(block(kind)).and_then(|(elements, (per, bytes))| elements.div_ceil(per).checked_mul(bytes));
        unknown |= block(kind).is_none();
        match (elements, bytes) {
            (None, _) => {
                context.find(&LIES, format!("the size of tensor `{name}` overflows"));
            }
            (_, Some(bytes)) => {
                if let Some(item) = item(kind) {
                    floats.push((offset, bytes, name.clone(), item));
                }
                ranges.push((offset, bytes, name));
            }
            _ => {}
        }
    }
    let start = reader.tape.offset().next_multiple_of(alignment);
    ranges.sort();
    let data = part.source.len().saturating_sub(start);
    let mut at = 0u64;
    for (offset, bytes, name) in &ranges {
        let end = offset.checked_add(*bytes);
        match end {
            Some(end) if end <= data => {
                if *offset < at {
                    context.find(&LIES, format!("tensor `{name}` begins within the one before it"));
                }
                at = at.max(end);
            }
            _ => {
                context.find(
                    &LIES,
                    format!("tensor `{name}`: {bytes} bytes at {offset} lie outside the {data} bytes of data"),
                );
            }
        }
    }
    let mut weights = Weights::default();
    for (offset, bytes, name, item) in floats {
        if !reader.big && offset.checked_add(bytes).is_some_and(|end| end <= data) {
            weights.look(&name, item, &part.source.slice(start + offset, bytes), context)?;
        }
    }
    weights.conclude(context);
    // The last tensor is padded to the alignment.
    let end = at.next_multiple_of(alignment);
    if !unknown && data > end && tensors > 0 {
        let rest = data - end;
        context.find_at(&TRAILING, start + end, format!("{rest} bytes behind the last tensor"));
        context.embed("trailing", part.source.from(start + end), Kind::Any);
    }
    Ok(())
}

/// How an element of a type that is not quantised is stored.
fn item(kind: u32) -> Option<Item> {
    Some(match kind {
        0 => Item::F32,
        1 => Item::F16,
        28 => Item::F64,
        30 => Item::Bf16,
        _ => return None,
    })
}

/// Elements and bytes of a block of each ggml type.
fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        24 => (1, 1),
        27 | 28 => (1, 8),
        2 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        20 => (32, 18),
        21 => (256, 110),
        22 => (256, 82),
        23 => (256, 136),
        29 => (256, 56),
        34 => (256, 54),
        35 => (256, 66),
        39 => (32, 17),
        _ => return None,
    })
}

struct Reader {
    tape: Tape,
    big: bool,
    wide: bool,
}

impl Reader {
    fn u32(&mut self) -> Result<u32, Unread> {
        let bytes = self.tape.take("GGUF number", 4)?;
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        Ok(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u64(&mut self) -> Result<u64, Unread> {
        let raw = self.tape.take("GGUF number", 8)?;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(raw);
        Ok(if self.big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// Version 1 counted in four bytes.
    fn count(&mut self) -> Result<u64, Unread> {
        if self.wide { self.u64() } else { self.u32().map(u64::from) }
    }

    fn text(&mut self, max: u64, context: &mut Context<'_>) -> Result<String, Unread> {
        let at = self.tape.offset();
        let len = self.count()?;
        if len > self.tape.left() {
            context.find_at(&LIES, at, format!("a text of {len} bytes in a file with {} left", self.tape.left()));
        }
        if len > max {
            self.tape.skip("GGUF text", len)?;
            return Err(Unread::Limit(crate::Limit::Within("length of a GGUF text")));
        }
        let bytes = self.tape.take("GGUF text", usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn value(&mut self, key: &str, kind: u32, depth: u32, context: &mut Context<'_>) -> Result<(), Unread> {
        let bytes = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                let at = self.tape.offset();
                let len = self.count()?;
                if len > self.tape.left() {
                    context.find_at(
                        &LIES,
                        at,
                        format!("a text of {len} bytes in a file with {} left", self.tape.left()),
                    );
                }
                return self.tape.skip("GGUF text", len);
            }
            9 if depth < NESTING_MAX => {
                let inner = self.u32()?;
                let count = self.count()?;
                let least = match inner {
                    8 | 10..=12 => {
                        if inner == 8 && !self.wide {
                            4
                        } else {
                            8
                        }
                    }
                    2 | 3 => 2,
                    4..=6 => 4,
                    9 => 12,
                    _ => 1,
                };
                if count.checked_mul(least).is_none_or(|bytes| bytes > self.tape.left()) {
                    context.find_at(&LIES, self.tape.offset(), format!("`{key}` claims {count} elements"));
                    return Err(Unread::malformed("count of elements", self.tape.offset()));
                }
                if !matches!(inner, 8 | 9) {
                    return self.tape.skip("GGUF array", count * least);
                }
                let is_template = key.contains("chat_template");
                for _ in 0..count {
                    context.budget().steps(1)?;
                    if inner == 8 && is_template {
                        let text = self.text(TEXT_BYTES_MAX, context)?;
                        string(key, &text, context);
                    } else {
                        self.value(key, inner, depth + 1, context)?;
                    }
                }
                return Ok(());
            }
            _ => {
                context.find_at(&LIES, self.tape.offset(), format!("`{key}` has the impossible type {kind}"));
                return Err(Unread::malformed("type of a GGUF value", self.tape.offset()));
            }
        };
        self.tape.skip("GGUF value", bytes)
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    fn text(value: &str) -> Vec<u8> {
        [&(value.len() as u64).to_le_bytes()[..], value.as_bytes()].concat()
    }

    fn file(template: &str, tensors: u64, tail: &[u8]) -> Vec<u8> {
        let mut out = [&b"GGUF"[..], &3u32.to_le_bytes(), &tensors.to_le_bytes(), &2u64.to_le_bytes()].concat();
        out.extend(text("tokenizer.chat_template"));
        out.extend(8u32.to_le_bytes());
        out.extend(text(template));
        out.extend(text("tokenizer.ggml.tokens"));
        out.extend(9u32.to_le_bytes());
        out.extend(8u32.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        out.extend(text("a"));
        out.extend(text("b"));
        if tensors == 1 {
            out.extend(text("t"));
            out.extend(1u32.to_le_bytes());
            out.extend(8u64.to_le_bytes());
            out.extend(0u32.to_le_bytes());
            out.extend(0u64.to_le_bytes());
            out.resize(out.len().next_multiple_of(32) + 32, 0);
        }
        out.extend(tail);
        out
    }

    #[test]
    fn honest_files_are_clean() {
        let template = "{% for message in messages %}{{ message['role'] + message['content'] }}{% endfor %}";
        assert_eq!(verdict_of(file(template, 1, b"")), Verdict::Clean);
    }

    #[test]
    fn templates_and_lies_are_found() {
        let hostile = "{{ cycler.__init__.__globals__.os.popen('id').read() }}";
        assert_eq!(verdict_of(file(hostile, 1, b"")), Verdict::Blocked);
        assert!(rules_of(file("x", 1, &[1; 40])).contains(&"artifact.trailing-data".to_owned()));
        assert_eq!(verdict_of(file("x", u64::MAX, b"")), Verdict::Blocked);
        let mut lying = file("x", 1, b"");
        lying[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(verdict_of(lying), Verdict::Blocked);
        assert_eq!(verdict_of(b"GGUF\x03\0\0\0".to_vec()), Verdict::Incomplete);
    }
}
