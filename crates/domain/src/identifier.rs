//! The normal form of an identifier: what is searched for, and what is erased by.
//!
//! Frozen per kind: a search term made today must meet one made in ten years. Digits of every
//! script become ASCII, separators and invisible characters go, letters are case-folded.

use crate::DetectionKind;

/// First code points (digit zero) of the decimal-digit runs of Unicode 16 that people type, and
/// of those that hide digits from a filter. Each run is ten consecutive digits.
const DIGIT_ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0,
    0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60,
    0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e950, 0x1fbf0,
];

/// The value 0 to 9 of a decimal digit of any script.
#[must_use]
pub fn digit_value(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.is_ascii_digit().then(|| c as u8 - b'0');
    }
    let point = u32::from(c);
    let zero = DIGIT_ZEROS[DIGIT_ZEROS.partition_point(|zero| *zero <= point).checked_sub(1)?];
    u8::try_from(point - zero).ok().filter(|value| *value < 10)
}

/// The normal form of `value` as an identifier of `kind`.
#[must_use]
pub fn normal_form(kind: DetectionKind, value: &str) -> String {
    match kind {
        DetectionKind::Email => value.trim().chars().filter(|c| !c.is_control()).flat_map(char::to_lowercase).collect(),
        // Names and addresses keep their word boundaries, one space each.
        DetectionKind::Name | DetectionKind::Address => {
            let folded: String =
                value.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).flat_map(char::to_lowercase).collect();
            ascii_digits(folded.split_whitespace().collect::<Vec<_>>().join(" ").chars())
        }
        DetectionKind::Phone => phone(value),
        // An address keeps its dots and colons: they carry its meaning.
        DetectionKind::Ip => ascii_digits(
            value.chars().filter(|c| c.is_alphanumeric() || ".:".contains(*c)).flat_map(char::to_lowercase),
        ),
        _ => ascii_digits(value.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)),
    }
}

/// International digits without `+` or `00`; a bare eight-digit Qatari number gets its country.
fn phone(value: &str) -> String {
    let digits: String = value.chars().filter_map(digit_value).map(|d| char::from(b'0' + d)).collect();
    let international = digits.strip_prefix("00").unwrap_or(&digits);
    if international.len() == 8 { format!("974{international}") } else { international.to_owned() }
}

fn ascii_digits(chars: impl Iterator<Item = char>) -> String {
    chars.map(|c| digit_value(c).map_or(c, |d| char::from(b'0' + d))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_identifier_has_one_form() {
        let check = |kind, given, expected: &str| assert_eq!(normal_form(kind, given), expected, "{given}");
        check(DetectionKind::Qid, "284 634 001 23", "28463400123");
        check(DetectionKind::Qid, "٢٨٤٦٣٤٠٠١٢٣", "28463400123");
        check(DetectionKind::Iban, "QA33 QISB 1071 3943 4789 7106 3295 4", "qa33qisb107139434789710632954");
        check(DetectionKind::Email, "Fatima@Example.QA", "fatima@example.qa");
        check(DetectionKind::Phone, "+974 5512-3456", "97455123456");
        check(DetectionKind::Phone, "55123456", "97455123456");
        check(DetectionKind::Phone, "00974 ٥٥١٢٣٤٥٦", "97455123456");
        check(DetectionKind::Card, "4111-1111-1111-1111", "4111111111111111");
        check(DetectionKind::Ip, "10.0.0.1", "10.0.0.1");
        check(DetectionKind::Name, "  Noora  AL-MARRI ", "noora al marri");
    }

    #[test]
    fn digits_of_many_scripts_have_values() {
        for (c, value) in [('7', 7), ('٧', 7), ('۷', 7), ('７', 7), ('𝟟', 7), ('७', 7)] {
            assert_eq!(digit_value(c), Some(value), "{c}");
        }
        for c in ['a', '²', '½', 'Ⅳ', ' '] {
            assert_eq!(digit_value(c), None, "{c}");
        }
        assert!(DIGIT_ZEROS.is_sorted());
    }
}
