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

/// What stands just before a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing that binds: a space, a bracket, `QID-`, `no.`.
    Free,
    /// `qid_`.
    Underscore,
    /// A letter of the Latin alphabet: `card4111`, and the middle of a hash.
    Latin,
    /// A letter of another script: what Arabic writes on to the next word. No hash has them.
    Letter,
    /// `+`, `#` or the sign of a currency.
    Sign,
    /// A digit and a comma, colon or slash: `17,` of a list.
    Listed,
    /// A digit and a hyphen.
    Dashed,
    /// A digit and a point: these are its decimals.
    Point,
}

/// What stands just behind a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Nothing that binds.
    Free,
    /// `_` or a letter of another script.
    Written,
    /// A letter of the Latin alphabet or a digit that did not fit.
    Joined,
    /// `.0`, as programs write a number that they took for one with decimals.
    Zero,
    /// One or two other decimals, as of an amount.
    Cents,
    /// A comma, colon or slash and a digit: a list goes on.
    Listed,
    /// A hyphen and a digit.
    Dashed,
    /// More decimals, or another number's group.
    Point,
}

pub(crate) fn left(spot: &Spot<'_>) -> Left {
    let mut last = spot.before().chars().rev();
    let Some(c) = last.next() else { return Left::Free };
    let after_digit = || spot.before().bytes().rev().nth(1).is_some_and(|b| b.is_ascii_digit());
    match c {
        '_' => Left::Underscore,
        c if c.is_ascii_alphanumeric() => Left::Latin,
        '+' | '#' | '$' | '€' | '£' => Left::Sign,
        '.' if after_digit() => Left::Point,
        // `0,4030…` has decimals too.
        ',' if spot.before().strip_suffix("0,").is_some_and(|rest| !rest.ends_with(|c: char| c.is_ascii_digit())) => {
            Left::Point
        }
        ',' | '/' | ':' if after_digit() => Left::Listed,
        '-' if after_digit() => Left::Dashed,
        c if !c.is_ascii() && c.is_alphanumeric() => Left::Letter,
        _ => Left::Free,
    }
}

pub(crate) fn right(spot: &Spot<'_>, offset: usize) -> Right {
    let digit = |offset| spot.byte(offset).is_some_and(|b| b.is_ascii_digit());
    match spot.byte(offset) {
        Some(b'_') => Right::Written,
        Some(b) if b.is_ascii_alphanumeric() => Right::Joined,
        Some(b) if !b.is_ascii() => {
            if spot.joined_at(offset) {
                Right::Written
            } else {
                Right::Free
            }
        }
        Some(b',' | b'/' | b':') if digit(offset + 1) => Right::Listed,
        Some(b'-') if digit(offset + 1) => Right::Dashed,
        Some(b'.') if digit(offset + 1) => {
            let decimals = (1..=3).take_while(|at| digit(offset + at)).count();
            let next = offset + 1 + decimals;
            let goes_on = spot.joined_at(next) || (spot.byte(next) == Some(b'.') && digit(next + 1));
            match decimals {
                1 | 2 if goes_on => Right::Point,
                1 if spot.byte(offset + 1) == Some(b'0') => Right::Zero,
                1 | 2 => Right::Cents,
                _ => Right::Point,
            }
        }
        _ => Right::Free,
    }
}

/// The letters and underscores that are written on to the number from the left.
pub(crate) fn word_before<'s>(spot: &Spot<'s>) -> &'s str {
    let before = spot.before();
    let word: usize = before.chars().rev().take_while(|c| c.is_alphabetic() || *c == '_').map(char::len_utf8).sum();
    &before[before.len() - word..]
}

/// Whether a number ends `offset` bytes after the spot: no letter, digit or decimals go on.
pub(crate) fn ends_number(spot: &Spot<'_>, offset: usize) -> bool {
    // A colon ends it: `4410: 10`.
    let right = right(spot, offset);
    right == Right::Free || right == Right::Listed && spot.byte(offset) == Some(b':')
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
