//! Numbers by their value: `2.8463400123e10`, `28463400123.0` and `28463400123` are one number, and
//! whoever reads the JSON gets the same identifier from each. They are inspected in the last form.

use std::borrow::Cow;

/// Shorter numbers identify nobody; schemas and statistics are full of them.
const DIGITS_MIN: usize = 11;

/// Longer ones are no identifiers, and writing out `1e300` helps nobody.
const DIGITS_MAX: usize = 40;

/// A number that goes on longer than this in JSON source passes as it is.
const WORD_BYTES_MAX: usize = 128;

/// Whether a text of numbers has one with so many digits in a row that it could identify somebody;
/// digits behind the point count only with `fractions`.
pub(crate) fn is_long(numbers: &str, fractions: bool) -> bool {
    let mut run = 0;
    let mut behind_point = false;
    for byte in numbers.bytes() {
        if byte.is_ascii_digit() {
            run += usize::from(fractions || !behind_point);
            if run >= DIGITS_MIN {
                return true;
            }
        } else {
            run = 0;
            behind_point = byte == b'.';
        }
    }
    false
}

fn is_part(c: char) -> bool {
    matches!(c, '0'..='9' | '.' | '+' | '-' | 'e' | 'E')
}

/// The plain form of a number whose whole part is long enough to identify somebody, unless it has
/// that form already.
fn decimal(number: &str) -> Option<String> {
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    if mantissa.len() == unsigned.len() && !unsigned.contains('.') {
        return None;
    }
    let exponent: i64 = exponent.parse::<i32>().ok()?.into();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if !digits().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let zeros = digits().take_while(|byte| *byte == b'0').count();
    let all = whole.len() + fraction.len();
    let length = usize::try_from(i64::try_from(whole.len()).ok()? + exponent - i64::try_from(zeros).ok()?).ok()?;
    if zeros == all || !(DIGITS_MIN..=DIGITS_MAX).contains(&length) {
        return None;
    }
    let mut form = String::with_capacity(length + 2);
    form.push_str(&number[..number.len() - unsigned.len()]);
    let significant = || digits().skip(zeros).map(char::from);
    form.extend(significant().chain(std::iter::repeat('0')).take(length));
    let behind: String = significant().skip(length).collect();
    let behind = behind.trim_end_matches('0');
    if !behind.is_empty() {
        form.push('.');
        form.push_str(behind);
    }
    Some(form)
}

/// JSON source (a number, an array of them, arguments) with its numbers in plain decimal notation
/// where that makes a difference, and with a space where the comma between two could be read as part
/// of a long one. Strings in it stay as they are.
pub(crate) fn plain(source: &str) -> Cow<'_, str> {
    let pair = |two: &[u8]| two[0].is_ascii_digit() && matches!(two[1], b'.' | b'e' | b'E' | b',');
    if !source.as_bytes().windows(2).any(pair) {
        return Cow::Borrowed(source);
    }
    let mut numbers = SourceNumbers::default();
    let mut out = String::with_capacity(source.len() + 16);
    numbers.push(source, &mut out);
    numbers.finish(&mut out);
    Cow::Owned(out)
}

/// The same for source that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct SourceNumbers {
    in_string: bool,
    escaped: bool,
    /// A number whose end has not come.
    pending: String,
    before: Before,
}

/// What stands right before a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Other,
    /// A number, long or not.
    Number { is_long: bool },
    /// A comma right behind a number.
    Comma { is_long: bool },
}

impl SourceNumbers {
    pub(crate) fn push(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            if self.in_string {
                out.push(c);
                (self.in_string, self.escaped) = (self.escaped || c != '"', !self.escaped && c == '\\');
                continue;
            }
            let begins = c.is_ascii_digit() || c == '-';
            if begins || (!self.pending.is_empty() && is_part(c)) {
                self.pending.push(c);
                if self.pending.len() > WORD_BYTES_MAX {
                    out.push_str(&self.pending);
                    self.pending.clear();
                    self.before = Before::Other;
                }
                continue;
            }
            self.finish(out);
            out.push(c);
            self.before = match self.before {
                Before::Number { is_long } if c == ',' => Before::Comma { is_long },
                _ => Before::Other,
            };
            self.in_string = c == '"';
        }
    }

    /// The end of a number, or of the text.
    pub(crate) fn finish(&mut self, out: &mut String) {
        if self.pending.is_empty() {
            return;
        }
        let form = decimal(&self.pending);
        let form = form.as_deref().unwrap_or(&self.pending);
        let long = is_long(form, false);
        if matches!(self.before, Before::Comma { is_long } if is_long || long) {
            out.push(' ');
        }
        out.push_str(form);
        self.before = Before::Number { is_long: long };
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_has_one_form() {
        for (given, form) in [
            ("28463400123.0", "28463400123"),
            ("2.8463400123e10", "28463400123"),
            ("2.8463400123E+10", "28463400123"),
            ("284634001230e-1", "28463400123"),
            ("0.000028463400123e15", "28463400123"),
            ("-28463400123.500", "-28463400123.5"),
            ("2.84634e10", "28463400000"),
            ("[1,2.8463400123e10,3.5]", "[1, 28463400123, 3.5]"),
            ("[1,2, 28463400123,\"3\"]", "[1,2, 28463400123,\"3\"]"),
            // Nothing to gain.
            ("28463400123", "28463400123"),
            ("0.28463400123", "0.28463400123"),
            ("1.5e3", "1.5e3"),
            ("1e300", "1e300"),
            ("1e99999999999", "1e99999999999"),
            ("0.0e15", "0.0e15"),
            ("2.8e-5", "2.8e-5"),
        ] {
            assert_eq!(plain(given), form, "{given}");
        }
    }

    #[test]
    fn strings_in_source_are_no_numbers() {
        assert_eq!(
            plain(r#"{"a":2.8463400123e10,"b":"2.8463400123e10 \" 28463400123.0","c":[28463400123.0]}"#),
            r#"{"a":28463400123,"b":"2.8463400123e10 \" 28463400123.0","c":[28463400123]}"#
        );
        assert_eq!(plain("28463400123.0"), "28463400123");
    }

    #[test]
    fn only_long_numbers_are_looked_at() {
        assert!(is_long("[1,28463400123]", false) && !is_long("1700000000", true));
        assert!(is_long("0.28463400123", true) && !is_long("0.28463400123", false));
    }

    proptest! {
        #[test]
        fn cutting_source_changes_nothing(text in r#"[{}:,"\\0-9.eE+ -]{0,40}"#, cut in 0usize..40) {
            let cut = cut.min(text.len());
            let mut numbers = SourceNumbers::default();
            let mut out = String::new();
            numbers.push(&text[..cut], &mut out);
            numbers.push(&text[cut..], &mut out);
            numbers.finish(&mut out);
            let mut whole = String::new();
            let mut numbers = SourceNumbers::default();
            numbers.push(&text, &mut whole);
            numbers.finish(&mut whole);
            prop_assert_eq!(&out, &whole);
            prop_assert_eq!(plain(&text), whole);
        }
    }
}
