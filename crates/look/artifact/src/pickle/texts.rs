//! What literals say, read when it matters.
//!
//! Names that a `STACK_GLOBAL` needs were nearly always read a few opcodes ago, so a small ring holds
//! the last ones. Anything older is read from the source again; where going back is dear (a compressed
//! layer), short names are kept.

use std::collections::HashMap;

use crate::pickle::literal;
use crate::source::Source;

/// Literals of the last opcodes.
const RING: usize = 8;
/// A longer text is no name.
const NAME_BYTES_MAX: usize = 200;
/// Names kept where going back is dear.
const KEPT_MAX: usize = 65_536;
/// Of an operand, a judgement needs no more.
const OPERAND_BYTES_MAX: usize = 64 << 10;

pub(crate) struct Texts {
    source: Source,
    ring: [(u64, Vec<u8>); RING],
    next: usize,
    kept: HashMap<u64, Box<str>>,
}

impl Texts {
    pub(crate) fn new(source: Source) -> Self {
        let ring = std::array::from_fn(|_| (u64::MAX, Vec::new()));
        Self { source, ring, next: 0, kept: HashMap::new() }
    }

    /// Called for every short literal of a pickle, so it only copies.
    #[inline]
    pub(crate) fn remember_bytes(&mut self, at: u64, content: &[u8]) {
        if content.len() > NAME_BYTES_MAX {
            return;
        }
        let (offset, slot) = &mut self.ring[self.next];
        *offset = at;
        slot.clear();
        slot.extend_from_slice(content);
        self.next = (self.next + 1) % RING;
        if self.source.going_back_is_dear() && self.kept.len() < KEPT_MAX {
            self.kept.insert(at, String::from_utf8_lossy(content).into());
        }
    }

    pub(crate) fn remember(&mut self, at: u64, text: impl FnOnce() -> String) {
        let text = text();
        self.remember_bytes(at, text.as_bytes());
    }

    /// The text of the literal at `at`, cut to what a judgement can need.
    pub(crate) fn text(&self, at: u64) -> String {
        if let Some((_, content)) = self.ring.iter().find(|(offset, _)| *offset == at) {
            return String::from_utf8_lossy(content).into_owned();
        }
        if let Some(kept) = self.kept.get(&at) {
            return kept.to_string();
        }
        literal::read(&self.source, at, OPERAND_BYTES_MAX).map(|literal| literal.text()).unwrap_or_default()
    }

    /// The bytes literal at `at`: where its content begins and its length.
    pub(crate) fn extent(&self, at: u64) -> Option<(u64, u64)> {
        literal::read(&self.source, at, 0).ok().map(|literal| (literal.start, literal.len))
    }

    /// The first bytes of the literal at `at`.
    pub(crate) fn bytes(&self, at: u64, max: usize) -> Vec<u8> {
        literal::read(&self.source, at, max).map(|literal| literal.bytes).unwrap_or_default()
    }
}
