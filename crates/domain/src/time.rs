//! Moments as the ledger writes them: UTC, microseconds, RFC 3339 with a trailing `Z`.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Microseconds since 1970-01-01T00:00:00Z. Ranges over years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: what RFC 3339 can write.
const RANGE_MICROS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

impl Timestamp {
    /// From microseconds since the epoch; values outside years 1 to 9999 are clamped.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(*RANGE_MICROS.start(), *RANGE_MICROS.end()))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }

    /// What a system clock says. The caller reads the clock: `Timestamp::of(SystemTime::now())`.
    #[must_use]
    pub fn of(clock: std::time::SystemTime) -> Self {
        let micros = match clock.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |m| -m),
        };
        Self::from_micros(micros)
    }

    /// This moment shifted by a number of microseconds, clamped like [`Timestamp::from_micros`].
    #[must_use]
    pub fn plus_micros(self, micros: i64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The UTC day, `2026-11-24`: names a day's data key.
    #[must_use]
    pub fn day(self) -> String {
        self.to_string()[..10].to_owned()
    }

    /// The UTC month, `2026-11`: names a month's index key.
    #[must_use]
    pub fn month(self) -> String {
        self.to_string()[..7].to_owned()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1000)
            .expect("clamped to years 1..=9999 at construction");
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.microsecond()
        )
    }
}

/// A time that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{given}` is not an RFC 3339 time; write it like 2026-11-24T07:05:09Z, or a day like 2026-11-24")]
pub struct BadTimestamp {
    given: String,
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    /// Any RFC 3339 time (finer than a microsecond is cut off), or a bare day meaning its first
    /// moment in UTC.
    fn from_str(s: &str) -> Result<Self, BadTimestamp> {
        let bad = || BadTimestamp { given: s.chars().take(64).collect() };
        let whole = if s.len() == 10 { format!("{s}T00:00:00Z") } else { s.to_owned() };
        let at = OffsetDateTime::parse(&whole, &Rfc3339).map_err(|_| bad())?;
        let micros = at.unix_timestamp_nanos().div_euclid(1000);
        i64::try_from(micros).ok().filter(|m| RANGE_MICROS.contains(m)).map(Self).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_six_digits_and_reads_its_own_writing() {
        let at: Timestamp = "2026-11-24T07:05:09.123456Z".parse().unwrap();
        assert_eq!(at.to_string(), "2026-11-24T07:05:09.123456Z");
        assert_eq!(at.day(), "2026-11-24");
        assert_eq!(at.month(), "2026-11");
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn reads_offsets_and_days_and_refuses_the_rest() {
        let doha: Timestamp = "2026-11-24T10:05:09+03:00".parse().unwrap();
        assert_eq!(doha.to_string(), "2026-11-24T07:05:09.000000Z");
        assert_eq!("2026-11-24".parse::<Timestamp>().unwrap().to_string(), "2026-11-24T00:00:00.000000Z");
        for bad in ["", "yesterday", "2026-13-01", "2026-11-24 07:05", "24/11/2026"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn extremes_are_clamped_and_still_print() {
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_micros(i64::MIN).to_string(), "0001-01-01T00:00:00.000000Z");
    }
}
