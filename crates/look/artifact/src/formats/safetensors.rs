//! safetensors (<https://huggingface.co/docs/safetensors>): a JSON header, then bytes of tensors.
//!
//! Nothing in it runs, so what is left to an attacker is to lie: in the header's length, in ranges that
//! overlap or leave gaps for something else, in bytes behind the end, in the free text of its metadata; or to hide
//! something in the numbers themselves.

use std::sync::Arc;

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::read::json::{self, Json};
use crate::read::text::shown;
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;
use crate::weights::{self, Item, Weights};

/// The reference reader's own limit of the header.
const HEADER_BYTES_MAX: u64 = 100_000_000;
/// Headers of the largest sharded models stay below 10 MB.
const METADATA_TEXT_BYTES: usize = 64 << 10;

static LIES: Face = Face::new(
    "artifact.safetensors-range",
    Severity::High,
    Verdict::Blocked,
    "Tensor ranges that lie",
    "The header gives a tensor a range that overlaps another, does not fit its type and shape, or lies outside the \
     file. Honest writers cannot produce this; readers that trust it read what they should not.",
    "Reject the file and get the weights from where they were trained.",
    refs!["CWE-130", "CWE-125", "MITRE-ATLAS:AML.T0011"],
);
static HIDDEN: Face = Face::new(
    "artifact.safetensors-hidden-data",
    Severity::High,
    Verdict::Blocked,
    "Bytes that belong to no tensor",
    "Between or behind the tensors lie bytes that no reader of the format looks at: a place to carry a payload past \
     a review.",
    "Reject the file, or write it anew from its tensors alone.",
    refs!["CWE-506", "CWE-912"],
);
static HEADER: Face = Face::new(
    "artifact.safetensors-header",
    Severity::High,
    Verdict::Blocked,
    "Header that readers take differently",
    "The header names a tensor twice or breaks the rules of the format, so that what one reader loads is not what \
     another saw.",
    "Reject the file, or write it anew from its tensors alone.",
    refs!["CWE-436", "CWE-1286"],
);
static METADATA: Face = Face::new(
    "artifact.metadata-payload",
    Severity::High,
    Verdict::Blocked,
    "Code or a payload in metadata",
    "Free text of the file's metadata holds a program, a pickle, or markup that runs when it is shown.",
    "Reject the file; metadata of a model is names and numbers.",
    refs!["CWE-506", "CWE-79", "MITRE-ATLAS:AML.T0011.000"],
);

/// The format.
pub(crate) struct Safetensors;

fn header_len(part: &Part) -> Option<u64> {
    let bytes: [u8; 8] = part.head.get(..8)?.try_into().ok()?;
    Some(u64::from_le_bytes(bytes))
}

impl Format for Safetensors {
    fn name(&self) -> &'static str {
        "safetensors"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> = std::sync::LazyLock::new(|| {
            [&LIES, &HIDDEN, &HEADER, &METADATA].into_iter().chain(weights::RULES).collect()
        });
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        let begins = part.head.get(8..).is_some_and(json::begins_object);
        // The length may be the lie: what looks like a header of tensors behind it is claimed all the same.
        let fits = header_len(part).is_some_and(|len| len <= part.source.len());
        let tensors = ["\"dtype\"", "\"data_offsets\"", "\"__metadata__\""]
            .iter()
            .any(|word| part.head.windows(word.len()).any(|window| window == word.as_bytes()));
        // Eight letters are no length: that is JSON, of which tensors may be a part.
        let is_text = part.head.iter().take(8).all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r'));
        if begins && (fits || tensors && !is_text) { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let len = header_len(part).unwrap_or(u64::MAX);
        let total = part.source.len();
        if len > HEADER_BYTES_MAX || len > total.saturating_sub(8) {
            context.find(&LIES, format!("the header claims {len} bytes, the file has {total}"));
        }
        let header = part.source.slice(8, len);
        let document = json::read(&header, context.budget())?;
        if document.cut {
            return Err(Unread::Limit(crate::Limit::Within("entries of a safetensors header")));
        }
        for name in &document.doubles {
            context.find_at(&HEADER, 8, format!("`{}` stands twice in one object", shown(name, 80)));
        }
        let padding = header.some(document.end, 4096)?;
        if document.end < header.len() && padding.iter().any(|byte| *byte != b' ') {
            context.find_at(&HIDDEN, 8 + document.end, "bytes between the end of the header's JSON and the tensors");
        }
        let (mut ranges, mut floats) = (Vec::new(), Vec::new());
        for (name, entry) in document.value.pairs() {
            if name == "__metadata__" {
                metadata(entry, context);
            } else {
                tensor(name, entry, context, &mut ranges, &mut floats);
            }
        }
        let (data, base) = (total.saturating_sub(8 + header.len()), 8 + header.len());
        let mut weights = Weights::default();
        for (item, start, end, name) in floats {
            if start < end && end <= data {
                weights.look(&name, item, &part.source.slice(base + start, end - start), context)?;
            }
        }
        weights.conclude(context);
        cover(ranges, data, base, &part.source, context);
        Ok(())
    }
}

/// How an element of a type that weights have is stored.
fn item(dtype: &str) -> Option<Item> {
    Some(match dtype {
        "F64" => Item::F64,
        "F32" => Item::F32,
        "F16" => Item::F16,
        "BF16" => Item::Bf16,
        _ => return None,
    })
}

/// Bits of an element.
fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        "F4" | "F4_E2M1" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "C128" => 128,
        _ => return None,
    })
}

fn numbers(entry: &Json, key: &str) -> Option<Vec<u64>> {
    entry
        .get(key)?
        .list()
        .iter()
        .map(|item| if let Json::Number(number) = item { number.parse().ok() } else { None })
        .collect()
}

fn tensor(
    name: &str,
    entry: &Json,
    context: &mut Context<'_>,
    ranges: &mut Vec<(u64, u64, String)>,
    floats: &mut Vec<(Item, u64, u64, String)>,
) {
    let name = shown(name, 80);
    let (Some(dtype), Some(shape), Some(offsets)) =
        (entry.text_of("dtype"), numbers(entry, "shape"), numbers(entry, "data_offsets"))
    else {
        context.find_at(&HEADER, 8, format!("`{name}` lacks a type, a shape or a range"));
        return;
    };
    let [start, end] = offsets[..] else {
        context.find_at(&HEADER, 8, format!("`{name}` has {} offsets", offsets.len()));
        return;
    };
    let elements = shape.iter().try_fold(1u64, |product, size| product.checked_mul(*size));
    let wanted =
        elements.zip(bits(dtype)).and_then(|(elements, bits)| elements.checked_mul(bits)).map(|bits| bits.div_ceil(8));
    match (bits(dtype), wanted) {
        (None, _) => {
            context.find_at(&HEADER, 8, format!("`{name}` has the unknown type `{}`", shown(dtype, 40)));
        }
        (Some(_), Some(wanted)) if end.checked_sub(start) == Some(wanted) => {}
        _ => {
            context.find_at(
                &LIES,
                8,
                format!("`{name}`: bytes {start} to {end} do not hold {dtype} of shape {shape:?}"),
            );
        }
    }
    if let Some(item) = item(dtype) {
        floats.push((item, start, end, name.clone()));
    }
    ranges.push((start, end, name));
}

/// Checks that the ranges cover the data exactly once.
fn cover(mut ranges: Vec<(u64, u64, String)>, data: u64, base: u64, source: &Source, context: &mut Context<'_>) {
    ranges.sort();
    let mut at = 0;
    for (start, end, name) in &ranges {
        if *end > data || end < start {
            context.find(&LIES, format!("`{name}`: bytes {start} to {end} lie outside the {data} bytes of data"));
        }
        if *start < at {
            context.find(&LIES, format!("`{name}` begins at {start}, within the tensor before it"));
        }
        if *start > at {
            hidden(base + at, start - at, "between tensors", source, context);
        }
        at = at.max(*end);
    }
    if at < data {
        hidden(base + at, data - at, "behind the last tensor", source, context);
    }
}

fn hidden(at: u64, len: u64, place: &str, source: &Source, context: &mut Context<'_>) {
    context.find_at(&HIDDEN, at, format!("{len} bytes {place} belong to none"));
    context.embed("hidden", source.slice(at, len), Kind::Any);
}

fn metadata(entry: &Json, context: &mut Context<'_>) {
    for (key, value) in entry.pairs() {
        let Json::Text(text) = value else {
            context.find_at(&HEADER, 8, format!("metadata `{}` is no text", shown(key, 80)));
            continue;
        };
        if let Some(why) = payload(text) {
            context.find_at(&METADATA, 8, format!("metadata `{}`: {why}", shown(key, 80))).explain(&shown(text, 600));
        }
        let kept = text.as_bytes()[..text.len().min(METADATA_TEXT_BYTES)].to_vec();
        context.embed(&format!("metadata:{}", shown(key, 60)), Source::memory(kept), Kind::Text(TextKind::Metadata));
    }
}

/// Why a text of metadata is no description.
pub(super) fn payload(text: &str) -> Option<String> {
    use crate::code::{python, shell};
    let head: String = text.chars().take(20_000).collect();
    let lower = head.to_ascii_lowercase();
    for mark in ["<script", "javascript:", "onerror=", "<iframe", "<?php", "<!entity"] {
        if lower.contains(mark) {
            return Some(format!("`{mark}` runs where it is shown"));
        }
    }
    if let shell::Command::Hostile(why) = shell::read(&head) {
        return Some(format!("a shell command: {why}"));
    }
    let trimmed = head.trim();
    let decoded = base64_payload(trimmed);
    for candidate in [Some(head.as_str()), decoded.as_deref()].into_iter().flatten() {
        let seen = crate::syntax::fold::follow(candidate);
        let worst = python::judge(&seen, python::Runs::OnLoad).into_iter().max_by_key(|deed| deed.weight);
        if let Some(deed) = worst.filter(|deed| deed.weight == python::Weight::Block) {
            return Some(format!("a program that {}: {}", deed.what, shown(&deed.shown, 100)));
        }
    }
    // A pickle or an executable behind base64.
    use base64::Engine;
    let plain = trimmed.len() > 16
        && trimmed.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n'));
    let bytes =
        plain.then(|| base64::engine::general_purpose::STANDARD.decode(trimmed.replace('\n', "")).ok()).flatten()?;
    let magic: &[(&[u8], &str)] = &[
        (b"\x80\x02", "a pickle"),
        (b"\x80\x03", "a pickle"),
        (b"\x80\x04", "a pickle"),
        (b"\x80\x05", "a pickle"),
        (b"\x7fELF", "an executable"),
        (b"MZ", "an executable"),
        (b"PK\x03\x04", "an archive"),
    ];
    magic.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, what)| format!("{what} in base64"))
}

fn base64_payload(text: &str) -> Option<String> {
    use base64::Engine;
    if text.len() < 16 || !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n')) {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.replace('\n', "")).ok()?;
    String::from_utf8(bytes).ok()
}

/// Names shared with other formats that carry free text.
pub(super) fn metadata_face() -> &'static Face {
    &METADATA
}

/// Hands a text of metadata to the text engine and looks for payloads in it.
pub(super) fn free_text(name: &str, text: &str, kind: TextKind, context: &mut Context<'_>) {
    if let Some(why) = payload(text) {
        context.find(&METADATA, format!("`{}`: {why}", shown(name, 80))).explain(&shown(text, 600));
    }
    let kept = text.as_bytes()[..text.len().min(METADATA_TEXT_BYTES)].to_vec();
    let layer: Arc<str> = format!("metadata:{}", shown(name, 60)).into();
    context.embed(&layer, Source::memory(kept), Kind::Text(kind));
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    fn file(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![7; data]].concat()
    }

    #[test]
    fn honest_files_are_clean() {
        let header = r#"{"__metadata__":{"format":"pt","note":"trained on 2026-01-01"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"e":{"dtype":"F32","shape":[0],"data_offsets":[16,16]},"b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}}   "#;
        assert_eq!(verdict_of(file(header, 19)), Verdict::Clean);
        assert_eq!(verdict_of(file("{}", 0)), Verdict::Clean);
    }

    #[test]
    fn lies_are_found() {
        let range = "artifact.safetensors-range";
        for (header, data, rule) in [
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                12,
                range,
            ),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}}"#, 16, range),
            (r#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#, 8, range),
            (r#"{"a":{"dtype":"F32","shape":[18446744073709551615,4],"data_offsets":[0,16]}}"#, 16, range),
            (r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 100, "artifact.safetensors-hidden-data"),
            (r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[50,54]}}"#, 54, "artifact.safetensors-hidden-data"),
            (
                r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
                4,
                "artifact.safetensors-header",
            ),
            (r#"{"a":{"dtype":"Q8","shape":[4],"data_offsets":[0,4]}}"#, 4, "artifact.safetensors-header"),
            (r#"{"__metadata__":{"x":"__import__('os').system('id')"}}"#, 0, "artifact.metadata-payload"),
            (r#"{"__metadata__":{"x":"<script>alert(1)</script>"}}"#, 0, "artifact.metadata-payload"),
        ] {
            let bytes = file(header, data);
            assert!(rules_of(bytes.clone()).contains(&rule.to_owned()), "{header}: {:?}", rules_of(bytes));
        }
        let mut lying = file(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 4);
        lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(verdict_of(lying), Verdict::Blocked);
        assert_eq!(verdict_of(file("{\"a\":", 4)), Verdict::Incomplete);
    }
}
