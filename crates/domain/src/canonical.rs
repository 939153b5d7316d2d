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

/// Reads bytes that are exactly the canonical form of a value; nothing for any others.
///
/// One pass, since every event is read at least once on its way into the ledger: whatever [`to_vec`] would not have
/// written (a space, keys out of order or twice, `1.0`, `-0`, an escape that was not needed) ends it.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader { text: std::str::from_utf8(bytes).ok()?, at: 0 };
    let value = reader.value(0)?;
    (reader.at == bytes.len()).then_some(value)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.peek()? == expected).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(Value::String),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.take(b'[')?;
        let mut items = Vec::new();
        if self.take(b']').is_some() {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(b']').is_some() {
                return Some(Value::Array(items));
            }
            self.take(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.take(b'{')?;
        let mut members: Vec<(String, Value)> = Vec::new();
        if self.take(b'}').is_some() {
            return Some(Value::Object(Map::new()));
        }
        loop {
            let key = self.string()?;
            if members.last().is_some_and(|(before, _)| !is_before(before, &key)) {
                return None;
            }
            self.take(b':')?;
            members.push((key, self.value(depth + 1)?));
            if self.take(b'}').is_some() {
                return Some(Value::Object(members.into_iter().collect()));
            }
            self.take(b',')?;
        }
    }

    fn number(&mut self) -> Option<Value> {
        let digits = self.text.as_bytes()[self.at..].iter();
        let length = digits.take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
        let text = &self.text[self.at..self.at + length];
        let number = text.parse::<i64>().ok().filter(|n| (-INTEGER_MAX..=INTEGER_MAX).contains(n))?;
        let first = text.trim_start_matches('-');
        let plain = if first.starts_with('0') { text == "0" } else { true };
        self.at += length;
        plain.then(|| number.into())
    }

    fn string(&mut self) -> Option<String> {
        self.take(b'"')?;
        let rest = &self.text[self.at..];
        let plain = plain_length(rest.as_bytes());
        let mut out = rest[..plain].to_owned();
        self.at += plain;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(out);
                }
                b'\\' => {
                    let (c, length) = unescape(&self.text.as_bytes()[self.at..])?;
                    out.push(char::from(c));
                    self.at += length;
                }
                0..0x20 => return None,
                _ => {
                    let rest = &self.text[self.at..];
                    let plain = plain_length(rest.as_bytes());
                    out.push_str(&rest[..plain]);
                    self.at += plain;
                }
            }
        }
    }
}

/// How much of a string stands for itself.
fn plain_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')).unwrap_or(bytes.len())
}

/// An escape as [`write_string`] writes it, and its length.
fn unescape(bytes: &[u8]) -> Option<(u8, usize)> {
    let short = match bytes.get(1)? {
        b'"' => b'"',
        b'\\' => b'\\',
        b'b' => 0x08,
        b't' => 0x09,
        b'n' => 0x0a,
        b'f' => 0x0c,
        b'r' => 0x0d,
        b'u' => {
            let digits = bytes.get(2..6)?.strip_prefix(b"00")?;
            let lower = |digit: u8| match digit {
                b'0'..=b'9' => Some(digit - b'0'),
                b'a'..=b'f' => Some(digit - b'a' + 10),
                _ => None,
            };
            let byte = (lower(digits[0])? << 4) | lower(digits[1])?;
            let has_short = matches!(byte, 0x08 | 0x09 | 0x0a | 0x0c | 0x0d);
            return (byte < 0x20 && !has_short).then_some((byte, 6));
        }
        _ => return None,
    };
    Some((short, 2))
}

/// RFC 8785 section 3.2.3 sorts by UTF-16 code units, which differs from UTF-8 order beyond the basic plane.
fn is_before(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() { a < b } else { a.encode_utf16().lt(b.encode_utf16()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Pieces of JSON in any order: mostly not canonical, often nearly so.
    fn json_like() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("-0".to_owned()),
            Just("01".to_owned()),
            Just("1.0".to_owned()),
            any::<i64>().prop_map(|n| n.to_string()),
            (-9i64..99).prop_map(|n| n.to_string()),
            "\"[a-z\\\\nu0-9é€😀]{0,6}\"",
            any::<String>().prop_map(|text| String::from_utf8(to_vec(&Value::from(text)).unwrap()).unwrap()),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let key = prop_oneof!["\"[abé€😀\u{fb33}]{0,2}\"".boxed(), Just("\"\\r\"".to_owned()).boxed()];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((key, inner), 0..4).prop_map(|members| {
                    let members: Vec<_> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    fn byte_like() -> impl Strategy<Value = u8> {
        prop_oneof![prop::sample::select(b" \t\n,:[]{}\"\\0-9eE.".to_vec()), any::<u8>()]
    }

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
            prop_assert_eq!(parse(&bytes), Some(value));
            prop_assert_eq!(parse(&[bytes.as_slice(), b" "].concat()), None);
        }

        /// The reader knows the form by itself; reading any JSON and writing it again must come to the same.
        #[test]
        fn what_is_read_is_what_would_be_written(text in json_like(), at in any::<prop::sample::Index>(), byte in byte_like()) {
            let mut bytes = text.into_bytes();
            for changed in [false, true] {
                if changed && !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                let again = serde_json::from_slice::<Value>(&bytes).ok().filter(|value| to_vec(value).as_deref() == Ok(&*bytes));
                prop_assert_eq!(parse(&bytes), again, "{}", String::from_utf8_lossy(&bytes));
            }
        }
    }
}
