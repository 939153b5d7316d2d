//! Data URLs and files: those that hold text are decoded and inspected like any text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Something a model will look at, as far as it can be read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Text, and how it was wrapped.
    Text { text: String, wrapping: Wrapping },
    /// A URL: what lies there is fetched by the model's server and never passes here.
    Elsewhere,
    /// Bytes that are not text, or say that they are not.
    Opaque,
}

/// How a text was wrapped, so that a redacted one can be wrapped again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrapping {
    /// Length of `data:…,` before the content; 0 for bare base64.
    header_bytes: usize,
    base64: bool,
}

impl Wrapping {
    /// What of `value` is not the wrapped content: the head of a data URL, or all of bare base64,
    /// which may be read as it stands.
    pub(crate) fn around<'v>(&self, value: &'v str) -> &'v str {
        if self.header_bytes == 0 { value } else { &value[..self.header_bytes] }
    }
}

/// What behind a media type is text. `+xml` and `+json` are matched as endings.
const TEXTUAL: &[&str] = &[
    "application/json",
    "application/xml",
    "application/x-ndjson",
    "application/jsonl",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "application/javascript",
    "application/x-javascript",
    "application/sql",
    "application/x-sh",
    "application/rtf",
    "application/csv",
    "message/rfc822",
];

/// Reads the URL of an image or the like.
pub(crate) fn locator(value: &str) -> Content {
    if is_data(value) { data_url(value) } else { Content::Elsewhere }
}

/// Reads a file's content: a data URL, or bare base64 that is taken for text when it decodes to it.
pub(crate) fn file(value: &str) -> Content {
    if is_data(value) {
        return data_url(value);
    }
    let plain = |text: &String| !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    match decode_base64(value).filter(plain) {
        Some(text) => Content::Text { text, wrapping: Wrapping { header_bytes: 0, base64: true } },
        None => Content::Opaque,
    }
}

/// Wraps a changed text like the one in `value` was.
pub(crate) fn wrap(value: &str, wrapping: Wrapping, text: &str) -> String {
    let mut out = value[..wrapping.header_bytes].to_owned();
    if wrapping.base64 {
        STANDARD.encode_string(text, &mut out);
    } else {
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// A URL without its percent-encoding, if it has one; also when that was applied twice.
pub(crate) fn decoded(url: &str) -> Option<String> {
    let once =
        |url: &str| memchr::memchr(b'%', url.as_bytes()).map(|_| String::from_utf8_lossy(&unescape(url)).into_owned());
    let first = once(url)?;
    let second = once(&first).unwrap_or(first);
    (second != url).then_some(second)
}

fn is_data(value: &str) -> bool {
    value.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

fn data_url(value: &str) -> Content {
    let Some(comma) = value.find(',') else { return Content::Opaque };
    let header = value[5..comma].to_ascii_lowercase();
    let mut parts = header.split(';').map(str::trim);
    let mime = parts.next().unwrap_or_default();
    let (mut base64, mut readable) = (false, true);
    for part in parts {
        match part.strip_prefix("charset=") {
            Some("utf-8" | "utf8" | "us-ascii") => {}
            // Another character set, or a parameter that may change what the content means.
            Some(_) => readable = false,
            None if part == "base64" => base64 = true,
            None => {}
        }
    }
    let textual = mime.is_empty()
        || mime.starts_with("text/")
        || mime.ends_with("+json")
        || mime.ends_with("+xml")
        || TEXTUAL.contains(&mime);
    if !textual || !readable {
        return Content::Opaque;
    }
    let body = &value[comma + 1..];
    let text = if base64 { decode_base64(unescape(body)) } else { String::from_utf8(unescape(body)).ok() };
    let wrapping = Wrapping { header_bytes: comma + 1, base64 };
    text.map_or(Content::Opaque, |text| Content::Text { text, wrapping })
}

fn decode_base64(body: impl AsRef<[u8]>) -> Option<String> {
    let packed: Vec<u8> = body
        .as_ref()
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace() && **byte != b'=')
        // The URL-safe alphabet means the same characters.
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    String::from_utf8(STANDARD_NO_PAD.decode(packed).ok()?).ok()
}

/// Percent-decoding; a stray `%` stays.
pub(crate) fn unescape(body: &str) -> Vec<u8> {
    let bytes = body.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(content: &Content) -> Option<&str> {
        match content {
            Content::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    #[test]
    fn textual_data_urls_are_read() {
        for url in [
            "data:text/plain;base64,aGVsbG8=",
            "DATA:text/plain;charset=UTF-8;base64,aGVsbG8",
            "data:,hello",
            "data:application/json,%68ello",
            "data:image/svg+xml;base64,aGVs\nbG8=",
            "data:text/plain;base64,aGVsbG8%3D",
        ] {
            assert_eq!(text_of(&locator(url)), Some("hello"), "{url}");
        }
    }

    #[test]
    fn the_rest_is_said_to_be_opaque() {
        for url in [
            "data:image/png;base64,aGVsbG8=",
            "data:text/plain;charset=utf-16;base64,aGVsbG8=",
            "data:text/plain;base64,////",
            "data:text/plain",
        ] {
            assert_eq!(locator(url), Content::Opaque, "{url}");
        }
        assert_eq!(locator("https://example.com/a.png"), Content::Elsewhere);
        assert_eq!(text_of(&file("aGVsbG8=")), Some("hello"));
        assert_eq!(file("AAECAw=="), Content::Opaque);
    }

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(decoded("https://x/%32%2538?é=%zz").as_deref(), Some("https://x/28?é=%zz"));
        assert_eq!((decoded("https://x/28"), decoded("100%")), (None, None));
    }

    #[test]
    fn what_was_changed_is_wrapped_again() {
        for url in ["data:text/plain;base64,aGVsbG8=", "data:,hel%20lo", "aGVsbG8="] {
            let Content::Text { wrapping, .. } = file(url) else { panic!("{url}") };
            let again = wrap(url, wrapping, "[R] é");
            assert_eq!(text_of(&file(&again)), Some("[R] é"), "{again}");
        }
    }
}
