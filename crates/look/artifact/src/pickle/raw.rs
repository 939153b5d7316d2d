//! Arrays that joblib writes between the opcodes.
//!
//! When joblib's unpickler builds a `NumpyArrayWrapper`, it reads the array's bytes from the file right
//! there, then goes on with opcodes. How many bytes follows from shape and dtype in the wrapper's state.

use crate::pickle::machine::Machine;
use crate::pickle::value::{Node, Sym, Value};

/// An array that follows in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Array {
    /// Bytes of data; nothing when the items are objects, which follow as a pickle of their own, or
    /// when the header does not tell.
    pub(crate) bytes: Option<u64>,
    /// The items are Python objects.
    pub(crate) objects: bool,
    /// A padding count of one byte and so much padding stand before the data.
    pub(crate) padded: bool,
}

/// Whether a class is joblib's wrapper, wherever old releases kept it.
pub(crate) fn is_wrapper(module: &str, name: &str) -> bool {
    name == "NumpyArrayWrapper" && module.ends_with("joblib.numpy_pickle")
}

impl Array {
    /// From the wrapper's state, a dictionary.
    pub(crate) fn of(machine: &Machine<'_>, state: Value) -> Option<Self> {
        let Sym::Dict(id) = state.sym() else { return None };
        let held = machine.contents.get(&id)?;
        let field = |wanted: &str| {
            let pair = held.chunks_exact(2).find(|pair| machine.literal(pair[0]).as_deref() == Some(wanted))?;
            Some(pair[1])
        };
        let shape = field("shape")?;
        let count = match machine.arena.tuple_items(shape) {
            Some(items) => items.iter().try_fold(1_u64, |product, item| match item.sym() {
                Sym::Int(size) => product.checked_mul(u64::try_from(size).ok()?),
                _ => None,
            }),
            // `()` is a scalar's shape.
            None => (shape == Value::PLAIN).then_some(1),
        };
        let item = field("dtype").and_then(|dtype| item_bytes(machine, dtype));
        let objects = item == Some(Item::Object);
        let bytes = match (count, item) {
            (Some(count), Some(Item::Bytes(size))) => count.checked_mul(size),
            _ => None,
        };
        let padded = field("numpy_array_alignment_bytes").is_some_and(|bytes| matches!(bytes.sym(), Sym::Int(_)));
        Some(Self { bytes, objects, padded })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Bytes(u64),
    Object,
}

fn item_bytes(machine: &Machine<'_>, dtype: Value) -> Option<Item> {
    let Sym::Node(index) = dtype.sym() else { return None };
    let Some(Node::Dtype { spec }) = machine.arena.get(index) else { return None };
    code_bytes(&machine.literal(*spec)?)
}

/// Bytes of one item by NumPy's type code: `f8`, `<i4`, `U10`, `V24`, `O8`.
fn code_bytes(code: &str) -> Option<Item> {
    let code = code.trim_start_matches(['<', '>', '=', '|']);
    let kind = code.chars().next()?;
    let digits: String = code.chars().skip(1).take_while(char::is_ascii_digit).collect();
    let size: Option<u64> = digits.parse().ok();
    match kind {
        'O' => Some(Item::Object),
        'U' => Some(Item::Bytes(size?.checked_mul(4)?)),
        'b' | 'i' | 'u' | 'f' | 'c' | 'S' | 'a' | 'V' | 'M' | 'm' | '?' => {
            Some(Item::Bytes(size.or((kind == '?').then_some(1))?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_codes_have_sizes() {
        assert_eq!(code_bytes("f8"), Some(Item::Bytes(8)));
        assert_eq!(code_bytes("<U10"), Some(Item::Bytes(40)));
        assert_eq!(code_bytes("|O"), Some(Item::Object));
        assert_eq!(code_bytes("M8[ns]"), Some(Item::Bytes(8)));
        assert_eq!(code_bytes("q"), None);
    }
}
