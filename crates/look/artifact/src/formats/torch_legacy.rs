//! torch.save before 1.6: five pickles (magic number, protocol, system, object, storage keys), then the
//! storages, each with its count of items.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::formats::pickle::report;
use crate::part::{Kind, Part};
use crate::pickle::{self, Storage};
use crate::refs;
use crate::unread::Unread;
use crate::weights::{self, Item, Weights};

/// `0x1950a86a20f9469cfc6c` as a pickle of protocol 2, which is what `torch.load` looks for.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

static SIZES: Face = Face::new(
    "artifact.torch-storage-sizes",
    Severity::Medium,
    Verdict::Review,
    "Bytes that belong to no storage",
    "The storages that the object refers to do not fill the rest of the file. What lies there is seen by no loader.",
    "Ask what the bytes are for, or save the weights anew.",
    refs!["CWE-436"],
);

/// Whether `torch.load` would take it for its old format.
pub(crate) fn is_one(head: &[u8]) -> bool {
    // Any protocol may have written the number.
    match head {
        [0x80, _, rest @ ..] => rest.starts_with(MAGIC) || rest.get(9..).is_some_and(|rest| rest.starts_with(MAGIC)),
        _ => head.starts_with(b"L119547037146038801333356L\n."),
    }
}

/// The five pickles and the storages after them.
pub(crate) struct TorchLegacy;

impl Format for TorchLegacy {
    fn name(&self) -> &'static str {
        "torch-legacy"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| [&SIZES].into_iter().chain(weights::RULES).collect());
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if is_one(&part.head) { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut at = 0;
        let mut storages: Vec<Storage> = Vec::new();
        for _ in 0..5 {
            let rest = part.source.from(at);
            if rest.is_empty() {
                return Err(Unread::Truncated { what: "torch's pickles", at, wanted: 1, left: 0 });
            }
            let reading = pickle::read_one(&rest, &part.knowledge, &part.budget)?;
            report(&reading, at, part, context);
            if reading.notes.iter().any(|note| note.face.verdict == Verdict::Incomplete) {
                return Ok(());
            }
            if !reading.storages.is_empty() {
                storages = reading.storages;
            }
            at += reading.end;
        }
        // torch writes storages in the order of their keys' spelling.
        storages.sort_by(|a, b| a.key.cmp(&b.key));
        let mut weights = Weights::default();
        for storage in &storages {
            let Some(item) = item_bytes(&storage.kind) else {
                context.find_at(&SIZES, at, format!("a storage of unknown type `{}`", storage.kind));
                return Ok(());
            };
            let count = u64::from_le_bytes(
                part.source.exactly("count of a storage", at, 8)?.try_into().expect("eight bytes were read"),
            );
            let size = count.checked_mul(item).ok_or_else(|| Unread::malformed("count of a storage", at))?;
            let left = part.source.len() - at - 8;
            if size > left {
                return Err(Unread::Truncated { what: "storage", at, wanted: size, left });
            }
            if let Some(kind) = item_kind(&storage.kind) {
                weights.look(&storage.key, kind, &part.source.slice(at + 8, size), context)?;
            }
            at += 8 + size;
        }
        weights.conclude(context);
        let left = part.source.len() - at;
        if left > 0 {
            context.find_at(&SIZES, at, format!("{left} bytes after the last storage"));
            context.embed("after the storages", part.source.from(at), Kind::Any);
        }
        Ok(())
    }
}

/// How an item of a storage class is stored, of types that weights have.
pub(crate) fn item_kind(kind: &str) -> Option<Item> {
    Some(match kind {
        "FloatStorage" => Item::F32,
        "DoubleStorage" => Item::F64,
        "HalfStorage" => Item::F16,
        "BFloat16Storage" => Item::Bf16,
        _ => return None,
    })
}

/// Bytes of one item of a storage class.
pub(crate) fn item_bytes(kind: &str) -> Option<u64> {
    Some(match kind.trim_start_matches("Cuda").trim_end_matches("Storage") {
        "Byte" | "Char" | "Bool" | "Untyped" | "QInt8" | "QUInt8" | "QUInt4x2" | "QUInt2x4" | "" => 1,
        "Short" | "Half" | "BFloat16" => 2,
        "Int" | "Float" | "QInt32" => 4,
        "Long" | "Double" | "ComplexFloat" => 8,
        "ComplexDouble" => 16,
        _ => return None,
    })
}
