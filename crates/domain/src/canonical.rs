//! RFC 8785 canonical JSON for values without floats.
//!
//! The ledger has no floats (scores are millionths, money minor units), so the one hard part of
//! RFC 8785, printing doubles as ECMAScript does, never arises and is refused instead.

use serde_json::{Map, Value};

/// Integers beyond ±(2^53 − 1) lose digits in readers that use doubles.
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// How deep arrays and objects may nest. Events are flat; depth is somebody's attack.
pub const DEPTH_MAX: usize = 32;

/// Why a value has no canonical form here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotCanonical {
    /// A float, or an integer that a reader with doubles could not hold.
    #[error("`{number}` is not an integer within ±(2^53 − 1)")]
    Number {
        /// The number as JSON wrote it.
        number: String,
    },
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// Writes `value` in canonical form.
///
/// # Errors
/// Floats, integers beyond ±(2^53 − 1), and nesting beyond [`DEPTH_MAX`].
pub fn to_vec(value: &Value) -> Result<Vec<u8>, NotCanonical> {
    let mut out = Vec::with_capacity(512);
    write(value, 0, &mut out)?;
    Ok(out)
}

/// Whether `bytes` are exactly the canonical form of what they say.
#[must_use]
pub fn is_canonical(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|value| to_vec(&value).is_ok_and(|again| again == bytes))
}

pub(crate) fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    if depth > DEPTH_MAX {
        return Err(NotCanonical::TooDeep);
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let integer = number.as_i64().filter(|n| (-INTEGER_MAX..=INTEGER_MAX).contains(n));
            let Some(integer) = integer else {
                return Err(NotCanonical::Number { number: number.to_string() });
            };
            std::io::Write::write_fmt(out, format_args!("{integer}")).expect("a Vec takes any bytes");
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, depth + 1, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => write_object(map, depth, out)?,
    }
    Ok(())
}

/// Writes an integer as it stands in an event; those that [`write`] would refuse are refused.
pub(crate) fn write_count(count: u64, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    if count > INTEGER_MAX.unsigned_abs() {
        return Err(NotCanonical::Number { number: count.to_string() });
    }
    std::io::Write::write_fmt(out, format_args!("{count}")).expect("a Vec takes any bytes");
    Ok(())
}

pub(crate) fn write_object(map: &Map<String, Value>, depth: usize, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    // RFC 8785 section 3.2.3 sorts by UTF-16 code units, which differs from UTF-8 order beyond the
    // basic plane. Nothing is assumed of the map's own order: a dependency may switch it.
    if map.keys().all(|key| key.is_ascii()) && map.keys().is_sorted() {
        return write_entries(map.iter(), depth, out);
    }
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    write_entries(entries.into_iter(), depth, out)
}

fn write_entries<'m>(
    entries: impl Iterator<Item = (&'m String, &'m Value)>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), NotCanonical> {
    out.push(b'{');
    for (index, (key, value)) in entries.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write(value, depth + 1, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// RFC 8785 section 3.2.2.2: the short escapes, `\u00xx` in lower case for other controls, all
/// else as it is.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    // Most strings need no escape at all, and are found to need none sixteen bytes at a time.
    let needs =
        |bytes: &[u8]| bytes.iter().fold(false, |any, byte| any | (*byte < 0x20) | matches!(byte, b'"' | b'\\'));
    if !needs(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    let mut plain_from = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            0x08 => b"\\b",
            0x09 => b"\\t",
            0x0a => b"\\n",
            0x0c => b"\\f",
            0x0d => b"\\r",
            0x00..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain_from..index]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        plain_from = index + 1;
    }
    out.extend_from_slice(&text.as_bytes()[plain_from..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: &Value, expected: &str) {
        assert_eq!(String::from_utf8(to_vec(value).unwrap()).unwrap(), expected);
    }

    /// The sorting example of RFC 8785 section 3.2.3.
    #[test]
    fn keys_sort_by_utf16_code_units() {
        check(
            &json!({"\u{20ac}":"Euro Sign","\r":"Carriage Return","\u{fb33}":"Hebrew Letter Dalet With Dagesh",
                "1":"One","\u{1f600}":"Emoji: Grinning Face","\u{80}":"Control","\u{f6}":"Latin Small Letter O With Diaeresis"}),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
        );
    }

    #[test]
    fn strings_escape_as_the_rfc_says() {
        check(&json!("\u{20ac}$\u{f}\nA'B\"\\\\\"/\u{7f}"), "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\"");
    }

    #[test]
    fn floats_and_huge_integers_are_refused() {
        for bad in [json!(1.5), json!(9_007_199_254_740_992_i64), json!(u64::MAX), json!(-1e30)] {
            assert!(matches!(to_vec(&bad), Err(NotCanonical::Number { .. })), "{bad}");
        }
        check(&json!(-9_007_199_254_740_991_i64), "-9007199254740991");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = (0..=DEPTH_MAX).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(to_vec(&deep), Err(NotCanonical::TooDeep));
    }

    proptest! {
        #[test]
        fn writing_is_stable_and_recognised(key in any::<String>(), text in any::<String>(), n in -INTEGER_MAX..=INTEGER_MAX) {
            let value = json!({ key: [text, n, null, true], "z": {} });
            let bytes = to_vec(&value).unwrap();
            prop_assert!(is_canonical(&bytes));
            prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value);
            prop_assert!(!is_canonical(&[bytes.as_slice(), b" "].concat()));
        }
    }
}
