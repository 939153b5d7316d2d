//! NumPy's npy: a header that is a Python literal, then the array, or a pickle when it holds objects.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part};
use crate::refs;
use crate::unread::Unread;
use crate::weights::{self, Item, Weights};

/// NumPy itself refuses longer headers unless told otherwise.
const HEADER_BYTES_MAX: usize = 1 << 20;

static HEADER: Face = Face::new(
    "artifact.npy-header",
    Severity::High,
    Verdict::Blocked,
    "The header is no plain literal",
    "NumPy writes a dictionary of descr, fortran_order and shape. Old readers evaluate the header as Python code.",
    "Do not load it. Ask for the array anew.",
    refs!["CWE-95", "CWE-502"],
);
static SIZE: Face = Face::new(
    "artifact.npy-trailing-data",
    Severity::Medium,
    Verdict::Review,
    "Bytes follow after the array",
    "Shape and type say where the array ends; readers never see what follows.",
    "Ask what the bytes are for.",
    refs!["CWE-436"],
);

/// One array.
pub(crate) struct Npy;

impl Format for Npy {
    fn name(&self) -> &'static str {
        "npy"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| [&HEADER, &SIZE].into_iter().chain(weights::RULES).collect());
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.starts_with(b"\x93NUMPY") { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let source = &part.source;
        let fixed = source.exactly("npy header", 6, 2)?;
        let (len_bytes, len) = match fixed[0] {
            1 => {
                let bytes = source.exactly("npy header", 8, 2)?;
                (2, usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
            }
            2 | 3 => {
                let bytes = source.exactly("npy header", 8, 4)?;
                (4, u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
            }
            version => return Err(Unread::Unsupported(format!("npy version {version}"))),
        };
        if len > HEADER_BYTES_MAX {
            return Err(Unread::malformed("length of the npy header", 8));
        }
        let start = 8 + len_bytes;
        let header = source.exactly("npy header", start, len)?;
        let data = start + len as u64;
        let Some(header) = Header::parse(&String::from_utf8_lossy(&header)) else {
            context.find_at(&HEADER, start, "the header is not a dictionary of descr, fortran_order and shape");
            // Whatever it says, a reader that accepts it may take the rest for a pickle.
            context.embed("array", source.from(data), Kind::Any);
            return Ok(());
        };
        if header.objects {
            context.embed("objects", source.from(data), Kind::As("pickle"));
            return Ok(());
        }
        let Some(bytes) = header.bytes else { return Ok(()) };
        let left = source.len() - data;
        if bytes > left {
            return Err(Unread::Truncated { what: "array", at: data, wanted: bytes, left });
        }
        if let Some(item) = header.item {
            let mut weights = Weights::default();
            weights.look("the array", item, &source.slice(data, bytes), context)?;
            weights.conclude(context);
        }
        if bytes < left {
            context.find_at(&SIZE, data + bytes, format!("{} bytes after the array", left - bytes));
            context.embed("after the array", source.from(data + bytes), Kind::Any);
        }
        Ok(())
    }
}

/// What matters of the header.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    objects: bool,
    /// Bytes of data, where they follow from a simple type.
    bytes: Option<u64>,
    /// How an item is stored, of types that weights have.
    item: Option<Item>,
}

impl Header {
    /// Only what `numpy.lib.format` writes; nothing when there is a call, an operator or another name in it.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let inner = text.strip_prefix('{')?.strip_suffix('}')?;
        for key in ["'descr'", "'fortran_order'", "'shape'"] {
            inner.contains(key).then_some(())?;
        }
        let words = inner.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        let unquoted = outside_quotes(inner);
        if unquoted.contains(['*', '+', '=', ';', '[']) && !unquoted.contains('[') || has_call(&unquoted) {
            return None;
        }
        drop(words);
        let shape = &inner[inner.find("'shape'")?..];
        let shape = &shape[shape.find('(')? + 1..];
        let shape = &shape[..shape.find(')')?];
        let mut count = 1_u64;
        for size in shape.split(',').map(str::trim).filter(|size| !size.is_empty()) {
            count = count.checked_mul(size.trim_end_matches('L').parse().ok()?)?;
        }
        let descr = inner[inner.find("'descr'")? + 7..].trim_start().strip_prefix(':')?.trim_start();
        let Some(quoted) = descr.strip_prefix('\'') else {
            // A structured type: a list of fields. An object among them shows as its code.
            let end = descr.find("'fortran_order'").unwrap_or(descr.len());
            let objects = descr[..end].split('\'').skip(1).step_by(2).any(is_object);
            return Some(Self { objects, bytes: None, item: None });
        };
        let code = &quoted[..quoted.find('\'')?];
        let item = match code {
            "<f8" => Some(Item::F64),
            "<f4" => Some(Item::F32),
            "<f2" => Some(Item::F16),
            _ => None,
        };
        Some(Self { objects: is_object(code), bytes: item_bytes(code).and_then(|size| size.checked_mul(count)), item })
    }
}

fn is_object(code: &str) -> bool {
    code.trim_start_matches(['<', '>', '=', '|']).starts_with('O')
}

fn item_bytes(code: &str) -> Option<u64> {
    let code = code.trim_start_matches(['<', '>', '=', '|']);
    let digits: String = code.chars().skip(1).take_while(char::is_ascii_digit).collect();
    let size: u64 = digits.parse().ok()?;
    match code.chars().next()? {
        'U' => size.checked_mul(4),
        'b' | 'i' | 'u' | 'f' | 'c' | 'S' | 'V' | 'M' | 'm' => Some(size),
        _ => None,
    }
}

/// The text with quoted parts left out.
fn outside_quotes(text: &str) -> String {
    text.split('\'').step_by(2).collect()
}

/// A parenthesis after a word is a call; numpy's header has them only after a colon or bracket.
fn has_call(unquoted: &str) -> bool {
    let mut before = ' ';
    for character in unquoted.chars() {
        if character == '(' && (before.is_alphanumeric() || before == '_' || before == ')') {
            return true;
        }
        if !character.is_whitespace() {
            before = character;
        }
    }
    unquoted.contains("__") || unquoted.contains("import") || unquoted.contains("lambda")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_numpy_are_read() {
        let plain = Header::parse("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }   \n").unwrap();
        assert_eq!(plain, Header { objects: false, bytes: Some(96), item: Some(Item::F64) });
        assert!(Header::parse("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }").unwrap().objects);
        let fields = "{'descr': [('a', '<f8'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }";
        assert!(Header::parse(fields).unwrap().objects);
    }

    #[test]
    fn code_in_a_header_is_no_literal() {
        let code = "{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': (1,), }";
        assert_eq!(Header::parse(code), None);
        assert_eq!(Header::parse("__import__('os')"), None);
    }
}
