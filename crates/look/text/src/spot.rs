//! What a detector may see of a text when it is asked about one place.
//!
//! A decision must not depend on how the text was cut into pieces, so a detector never holds the
//! text. It reads through a [`Spot`], which shows at most [`BEHIND`] bytes before the place and the
//! detector's own [`Reach`] after it, and which remembers when it was asked for bytes that have not
//! arrived: then the answer does not count and the detector is asked again later.

use std::cell::Cell;

use haris_domain::{Context, DetectionKind};

/// Context before a place that a detector may read, in bytes of the view.
pub(crate) const BEHIND: usize = 128;

/// One place in the folded view.
pub(crate) struct Spot<'a> {
    view: &'a str,
    at: usize,
    limit: usize,
    last: bool,
    starved: &'a Cell<bool>,
    /// Which of the detector's literals was found here.
    pub(crate) literal: usize,
    /// Where the text came from.
    pub(crate) context: Context,
}

/// A match, in offsets from the spot's place: negative lies before it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) start: isize,
    pub(crate) end: usize,
    /// Which of the detector's rules speaks.
    pub(crate) rule: usize,
    pub(crate) kind: DetectionKind,
    pub(crate) score: u32,
    /// What convinced the detector, for `--explain`.
    pub(crate) why: &'static str,
}

impl<'a> Spot<'a> {
    /// `view` is what has arrived, `at` the place in it; `last` says that nothing follows `view`.
    /// The detector sees `reach` bytes from `at` on. `starved` is set when it asks for bytes that
    /// have not arrived: then its answer does not count.
    pub(crate) fn new(
        view: &'a str,
        at: usize,
        reach: usize,
        last: bool,
        starved: &'a Cell<bool>,
        (literal, context): (usize, Context),
    ) -> Self {
        Self { view, at, limit: at.saturating_add(reach), last, starved, literal, context }
    }

    /// The same place with a shorter reach, for a detector whose rules differ in length.
    pub(crate) fn narrowed(&self, reach: usize) -> Self {
        Self { limit: self.limit.min(self.at + reach), ..*self }
    }

    /// The byte `offset` bytes after the place. `None` behind the end of the text or of the reach.
    pub(crate) fn byte(&self, offset: usize) -> Option<u8> {
        let index = self.at + offset;
        if index >= self.limit {
            return None;
        }
        let byte = self.view.as_bytes().get(index).copied();
        if byte.is_none() && !self.last {
            self.starved.set(true);
        }
        byte
    }

    /// The character that starts `offset` bytes after the place.
    pub(crate) fn char(&self, offset: usize) -> Option<char> {
        self.byte(offset)?;
        self.view.get(self.at + offset..)?.chars().next()
    }

    /// The text between two offsets that [`Spot::byte`] has seen, both on character boundaries.
    pub(crate) fn slice(&self, from: usize, to: usize) -> &'a str {
        self.view.get(self.at + from..self.at + to).unwrap_or("")
    }

    /// The text before the place, at most [`BEHIND`] bytes of it.
    pub(crate) fn before(&self) -> &'a str {
        let mut from = self.at.saturating_sub(BEHIND);
        while !self.view.is_char_boundary(from) {
            from += 1;
        }
        &self.view[from..self.at]
    }

    /// The text from `offset` on, at most `bytes` of it: what is said behind a match.
    pub(crate) fn after(&self, offset: usize, bytes: usize) -> &'a str {
        let mut end = offset;
        while end < offset + bytes && self.byte(end).is_some() {
            end += 1;
        }
        while !self.view.is_char_boundary(self.at + end) {
            end -= 1;
        }
        self.slice(offset, end)
    }

    /// The byte just before the place.
    pub(crate) fn byte_before(&self) -> Option<u8> {
        self.at.checked_sub(1).map(|index| self.view.as_bytes()[index])
    }

    /// Whether a letter, digit or underscore of any script stands just before the place.
    pub(crate) fn joined_before(&self) -> bool {
        joined_end(self.before())
    }

    /// Whether a letter, digit or underscore of any script stands `offset` bytes after the place.
    pub(crate) fn joined_at(&self, offset: usize) -> bool {
        match self.byte(offset) {
            None => false,
            Some(b) if b.is_ascii() => b.is_ascii_alphanumeric() || b == b'_',
            Some(_) => self.char(offset).is_some_and(char::is_alphanumeric),
        }
    }
}

/// Whether `text` ends with a letter, digit or underscore of any script.
pub(crate) fn joined_end(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}
