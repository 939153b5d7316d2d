//! Strict spellings that several formats share: decimal without leading zeros, base64 with its padding, lower-case hex.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Hash;

/// A decimal number in its only spelling: no sign, no leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Standard base64 with padding; anything looser is refused, so that no two texts mean the same bytes.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A 32-byte hash in base64.
pub(crate) fn base64_hash(text: &str) -> Option<Hash> {
    base64(text)?.try_into().ok()
}

/// Writes standard base64 with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_each() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "00", "01", "+1", "-1", " 1", "1 ", "1e3", "18446744073709551616", "٣"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
        assert_eq!(base64("AA=="), Some(vec![0]));
        for bad in ["AA", "AB==", "AA==\n", "A===", "AA-_"] {
            assert_eq!(base64(bad), None, "{bad}");
        }
        assert_eq!(hex(&[0, 0xab, 0xff]), "00abff");
    }
}
