//! How records name a field: schema names and positions, never a word of the caller's.

use std::fmt::Write as _;

use crate::json::Node;

/// A part of a field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Name(&'static str),
    Index(u32),
    /// The name of a map's member, by position: the name itself is the caller's.
    Key(u32),
    Value(u32),
    Unknown(u32),
}

/// Longer names are cut: a leaf has room for 64 of them.
const FIELD_BYTES_MAX: usize = 200;

/// `messages[2].content[0].text`: schema names and positions, never a word of the caller's.
pub(crate) fn field_name(parts: &[Part]) -> String {
    let mut out = String::with_capacity(48);
    for part in parts {
        let dot = if out.is_empty() { "" } else { "." };
        // Parts of a stream have the names of the whole they make.
        let _ = match part {
            Part::Name("delta") => write!(out, "{dot}message"),
            Part::Name(name) => write!(out, "{dot}{name}"),
            Part::Index(index) => write!(out, "[{index}]"),
            Part::Key(index) => write!(out, "[{index}].key"),
            Part::Value(index) => write!(out, "[{index}].value"),
            Part::Unknown(index) => write!(out, "{dot}unknown[{index}]"),
        };
        if out.len() > FIELD_BYTES_MAX {
            out.truncate(FIELD_BYTES_MAX - 3);
            out.push_str("...");
            break;
        }
    }
    out
}

/// The item's own `index`, or its position when it has none; nothing when its index is nonsense.
pub(crate) fn own_index(item: &Node<'_>, position: usize) -> Option<u32> {
    match item.get("index") {
        None | Some(Node::Null) => u32::try_from(position).ok(),
        Some(index) => index.as_u64().and_then(|index| u32::try_from(index).ok()),
    }
}

/// The words of JSON Schema. Other names inside a schema are the caller's: property names and the
/// like are inspected, and records number them.
const SCHEMA_WORDS: &[&str] = &[
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "description",
    "discriminator",
    "else",
    "enum",
    "example",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "function",
    "if",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "name",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "strict",
    "then",
    "title",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "writeOnly",
];

/// The name, if it is one of JSON Schema's words.
pub(crate) fn schema_word(name: &str) -> Option<&'static str> {
    SCHEMA_WORDS.binary_search(&name).ok().map(|found| SCHEMA_WORDS[found])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_schema_words_and_numbers_only() {
        use Part::{Index, Key, Name, Unknown, Value};
        let check = |parts: &[Part], expected: &str| assert_eq!(field_name(parts), expected);
        check(&[Name("messages"), Index(2), Name("content"), Index(0), Name("text")], "messages[2].content[0].text");
        check(&[Name("metadata"), Key(1)], "metadata[1].key");
        check(&[Name("metadata"), Value(1)], "metadata[1].value");
        check(&[Name("choices"), Index(0), Name("delta"), Name("content")], "choices[0].message.content");
        check(&[Unknown(3)], "unknown[3]");
        assert_eq!(field_name(&vec![Value(7); 100]).len(), FIELD_BYTES_MAX);
    }

    #[test]
    fn schema_words_can_be_searched() {
        assert!(SCHEMA_WORDS.is_sorted());
    }
}
