//! Whether bytes are text, and the text they are.

use crate::source::Source;
use crate::unread::Unread;

/// Sources and configurations beyond this are data.
pub(crate) const BYTES_MAX: usize = 16 << 20;

/// Whether a head reads as text: UTF-8 without control characters, or UTF-16 with its mark.
#[must_use]
pub(crate) fn is_text(head: &[u8]) -> bool {
    if head.is_empty() {
        return false;
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        let decoded = utf16(head);
        return !decoded.contains('\u{fffd}') && !decoded.chars().any(is_control);
    }
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end within a character.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or(""),
        // One stray Latin-1 byte in a comment does not make a program unreadable to its interpreter.
        Err(_) => {
            let odd = head.iter().filter(|byte| !byte.is_ascii() || byte.is_ascii_control()).count();
            let control = head.iter().filter(|byte| is_control(char::from(**byte)) && **byte < 0x80).count();
            return control == 0 && odd * 10 < head.len();
        }
    };
    !valid.is_empty() && !valid.chars().any(is_control)
}

fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c' | '\x1b' | '\x08') && u32::from(c) < 0x80
}

fn utf16(bytes: &[u8]) -> String {
    let big = bytes.starts_with(b"\xfe\xff");
    let units: Vec<u16> = bytes[2..]
        .chunks_exact(2)
        .map(|pair| if big { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) })
        .collect();
    String::from_utf16_lossy(&units)
}

/// Bytes as text, whatever they are.
#[must_use]
pub(crate) fn decode(bytes: &[u8]) -> String {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return utf16(bytes);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

/// All of a source as text.
///
/// # Errors
/// When it is longer than [`BYTES_MAX`] or cannot be read.
pub(crate) fn read(source: &Source) -> Result<String, Unread> {
    Ok(decode(&source.all("bytes of one text", BYTES_MAX)?))
}

/// A text cut to so many characters for a finding.
#[must_use]
pub(crate) fn shown(text: &str, chars_max: usize) -> String {
    let mut out: String = text.chars().take(chars_max).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}
