//! Times as leaves write them, `2026-11-24T07:05:09.123456Z`, read and written without a calendar library.

/// Microseconds since 1970 of a time in exactly that form; none for any other text.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let form = b"0000-00-00T00:00:00.000000Z";
    let fits = |(b, f): (&u8, &u8)| if *f == b'0' { b.is_ascii_digit() } else { b == f };
    if bytes.len() != form.len() || !bytes.iter().zip(form).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| bytes[from..to].iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0'));
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    let valid = year >= 1 && (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = ((days_before(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000 + number(20, 26))
}

/// Microseconds since 1970 as text; beyond the years 1 to 9999 as a bare number.
#[must_use]
pub fn format(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let Some((year, month, day)) = date(days) else { return format!("{micros} µs since 1970") };
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// POSIX seconds as text, without a fraction.
#[must_use]
pub fn format_seconds(seconds: u64) -> String {
    let micros = i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1_000_000));
    micros.map_or_else(|| format!("{seconds} s since 1970"), |micros| format(micros).replace(".000000Z", "Z"))
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let years = before * 365 + before / 4 - before / 100 + before / 400;
    let months: i64 = (1..month).map(|month| month_days(year, month)).sum();
    years + months + day - 1 - 719_162
}

fn date(days: i64) -> Option<(i64, i64, i64)> {
    // A first guess that is never too late, then at most one step.
    let mut year = (days + 719_162).div_euclid(366) + 1;
    if !(1..=9999).contains(&year) {
        return None;
    }
    while days_before(year + 1, 1, 1) <= days {
        year += 1;
    }
    if year > 9999 {
        return None;
    }
    let mut left = days - days_before(year, 1, 1);
    let mut month = 1;
    while left >= month_days(year, month) {
        left -= month_days(year, month);
        month += 1;
    }
    Some((year, month, left + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments() {
        for (text, micros) in [
            ("1970-01-01T00:00:00.000000Z", 0),
            ("2026-11-24T07:05:09.123456Z", 1_795_503_909_123_456),
            ("2000-02-29T23:59:59.999999Z", 951_868_799_999_999),
            ("0001-01-01T00:00:00.000000Z", -62_135_596_800_000_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ] {
            assert_eq!(parse(text), Some(micros), "{text}");
            assert_eq!(format(micros), text);
        }
        assert_eq!(format_seconds(1_795_503_909), "2026-11-24T07:05:09Z");
        assert_eq!(format_seconds(u64::MAX), "18446744073709551615 s since 1970");
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in [
            "",
            "2026-11-24",
            "2026-11-24T07:05:09Z",
            "2026-11-24 07:05:09.123456Z",
            "2026-13-24T07:05:09.123456Z",
            "2026-02-29T07:05:09.123456Z",
            "2026-11-24T24:05:09.123456Z",
            "0000-11-24T07:05:09.123456Z",
            "2026-11-24T07:05:60.123456Z",
            "2026-11-24T07:05:09.123456+",
            "２026-11-24T07:05:09.123456Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(micros in -62_135_596_800_000_000..=253_402_300_799_999_999_i64, any in any::<i64>()) {
            prop_assert_eq!(parse(&format(micros)), Some(micros));
            let _ = (format(any), format_seconds(any.unsigned_abs()));
        }
    }
}
