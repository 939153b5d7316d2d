//! Numbers as people write them: groups of digits with something between.

use crate::spot::Spot;

/// More digits than any identifier has: an IBAN's 34.
const DIGITS_MAX: usize = 34;

/// Between two groups stand at most this many separators: a dash between spaces, a line break.
const SEPARATORS_MAX: usize = 3;

/// What any number may have between its groups.
pub(crate) const PLAIN: &[u8] = b" -.\n\r\t";

/// How far [`Number::read`] reads: all digits, each a group of its own, and what follows.
pub(crate) const NUMBER_REACH: usize = DIGITS_MAX * (1 + SEPARATORS_MAX) + 4;

/// Groups of digits that start at a spot.
pub(crate) struct Number {
    digits: [u8; DIGITS_MAX],
    len: usize,
    /// Per group: digits up to its end, offset of its start, offset of its end.
    groups: [(usize, usize, usize); DIGITS_MAX],
    count: usize,
}

impl Number {
    /// Reads at most `digits_max` digits in groups with any of `separators` between. A group that
    /// would exceed that ends the number before it; the first one may not be longer at all.
    pub(crate) fn read(spot: &Spot<'_>, digits_max: usize, separators: &[u8]) -> Option<Self> {
        let mut number = Self { digits: [0; DIGITS_MAX], len: 0, groups: [(0, 0, 0); DIGITS_MAX], count: 0 };
        let digits_max = digits_max.min(DIGITS_MAX);
        let mut at = 0;
        loop {
            let start = at;
            let mut len = number.len;
            while let Some(digit) = spot.byte(at).filter(u8::is_ascii_digit) {
                if len == digits_max {
                    return (number.count > 0).then_some(number);
                }
                number.digits[len] = digit - b'0';
                len += 1;
                at += 1;
            }
            number.groups[number.count] = (len, start, at);
            number.count += 1;
            number.len = len;
            if len == digits_max {
                return Some(number);
            }
            let mut next = at;
            while next - at < SEPARATORS_MAX && spot.byte(next).is_some_and(|b| separators.contains(&b)) {
                next += 1;
            }
            if next == at || !spot.byte(next).is_some_and(|b| b.is_ascii_digit()) {
                return Some(number);
            }
            at = next;
        }
    }

    /// All digits' values.
    pub(crate) fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    /// How many groups there are.
    pub(crate) fn groups(&self) -> usize {
        self.count
    }

    /// How many digits the group has.
    pub(crate) fn group_len(&self, group: usize) -> usize {
        self.groups[group].0 - group.checked_sub(1).map_or(0, |before| self.groups[before].0)
    }

    /// Where the group ends.
    pub(crate) fn group_end(&self, group: usize) -> usize {
        self.groups[group].2
    }

    /// Where the group starts.
    pub(crate) fn group_start(&self, group: usize) -> usize {
        self.groups[group].1
    }

    /// The group up to whose end there are exactly `digits` digits.
    pub(crate) fn group_with(&self, digits: usize) -> Option<usize> {
        self.groups[..self.count].iter().position(|(upto, ..)| *upto == digits)
    }

    /// The groups' lengths up to and with `last`.
    pub(crate) fn shape(&self, last: usize) -> Vec<usize> {
        (0..=last).map(|group| self.group_len(group)).collect()
    }
}

/// Whether the spot is the start of a number: no letter, digit, sign or decimal point belongs to
/// it from the left.
pub(crate) fn starts_number(spot: &Spot<'_>) -> bool {
    let before = spot.before();
    if spot.joined_before() || before.ends_with(['+', '#', '$', '€', '£']) {
        return false;
    }
    // `3.14`, `1,000` and `12-34` go on; `QID-284` and `no.5` start something.
    let mut last = before.bytes().rev();
    !(matches!(last.next(), Some(b'.' | b',' | b'-' | b'/' | b':')) && last.next().is_some_and(|b| b.is_ascii_digit()))
}

/// Whether a number ends `offset` bytes after the spot: no letter, digit or decimals go on.
pub(crate) fn ends_number(spot: &Spot<'_>, offset: usize) -> bool {
    if spot.joined_at(offset) {
        return false;
    }
    let goes_on = matches!(spot.byte(offset), Some(b'.' | b',' | b'-' | b'/' | b'%'));
    !goes_on || !spot.byte(offset + 1).is_some_and(|b| b.is_ascii_digit())
}

/// The check of ISO/IEC 7812 that a payment card's digits pass.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let value = u32::from(*digit);
            match (index % 2, value * 2) {
                (0, _) => value,
                (_, doubled @ 10..) => doubled - 9,
                (_, doubled) => doubled,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The value of a few digits.
pub(crate) fn value(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |value, digit| value * 10 + u32::from(*digit))
}
