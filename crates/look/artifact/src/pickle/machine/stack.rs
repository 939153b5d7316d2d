//! The machine's stack, marks and memo, and what containers hold.

use super::Machine;
use crate::budget::Limit;
use crate::pickle::value::{Sym, Value};
use crate::unread::Unread;

/// Values that an unpickler may hold: 8 bytes each.
const STACK_MAX: usize = 8_000_000;
/// Containers whose content is kept while all of it is plain or text.
const CONTENTS_ROOMY: usize = 50_000;
/// Containers whose content is kept at all, and how much of each.
const CONTENTS_MAX: usize = 200_000;
const CONTENT_ITEMS_MAX: usize = 32;
/// Breaks listed of one pickle.
const BREAKS_MAX: usize = 4;

impl Machine<'_> {
    pub(crate) fn push(&mut self, value: Value) -> Result<(), Unread> {
        if self.stack.len() >= STACK_MAX {
            return Err(Unread::Limit(Limit::Within("values on a pickle's stack")));
        }
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn pop(&mut self, at: u64) -> Value {
        let floor = self.marks.last().map_or(0, |mark| *mark as usize);
        if self.stack.len() <= floor {
            self.broken(at, "pops from an empty stack");
        }
        self.stack.pop().unwrap_or(Value::UNKNOWN)
    }

    /// Where the topmost mark lies in the stack, which is taken away.
    pub(super) fn mark(&mut self, at: u64) -> usize {
        match self.marks.pop() {
            Some(mark) => (mark as usize).min(self.stack.len()),
            None => {
                self.broken(at, "misses a mark");
                0
            }
        }
    }

    pub(super) fn put(&mut self, at: u64, index: u64) {
        match self.stack.last() {
            Some(&top) => self.memo.put(index, top),
            None => self.broken(at, "memoizes from an empty stack"),
        }
    }

    pub(super) fn get(&mut self, at: u64, index: u64) -> Result<(), Unread> {
        let value = self.memo.get(index);
        if value.is_none() {
            self.broken(at, "reads a memo entry that was never written");
        }
        self.push(value.unwrap_or(Value::UNKNOWN))
    }

    pub(super) fn small_tuple(&mut self, at: u64, len: usize) -> Result<(), Unread> {
        if self.stack.len() < len {
            self.broken(at, "pops from an empty stack");
        }
        self.tuple_from(self.stack.len().saturating_sub(len))
    }

    pub(super) fn tuple_from(&mut self, from: usize) -> Result<(), Unread> {
        let tuple = self.tuple_of(from);
        self.stack.truncate(from);
        self.push(tuple)
    }

    /// A tuple of the stack's values from `from` on, which stay there.
    pub(super) fn tuple_of(&mut self, from: usize) -> Value {
        let items = self.stack.get(from..).unwrap_or_default();
        let wanted = self.keep_all || self.arena.roomy() || !items.iter().all(|item| item.is_plain());
        if !wanted || items.is_empty() {
            return Value::PLAIN;
        }
        self.arena.tuple(items).unwrap_or(Value::LOST)
    }

    /// LIST, DICT, FROZENSET: everything from the mark on, in one go.
    pub(super) fn gather(&mut self, at: u64, container: Value) -> Result<(), Unread> {
        let from = self.mark(at);
        self.keep(container, from);
        self.stack.truncate(from);
        self.push(container)
    }

    /// APPENDS and its like: values from `from` on go into what lies below them.
    pub(super) fn fill(&mut self, at: u64, from: usize, method: &'static str) -> Result<(), Unread> {
        let Some(target) = from.checked_sub(1).and_then(|below| self.stack.get(below)).copied() else {
            self.broken(at, "fills what is not there");
            self.stack.truncate(from);
            return Ok(());
        };
        match target.sym() {
            Sym::List(_) | Sym::Dict(_) | Sym::Set(_) => self.keep(target, from),
            _ => self.fill_other(at, target, method),
        }
        self.stack.truncate(from);
        Ok(())
    }

    /// Remembers what a container holds, while it can matter and there is room.
    fn keep(&mut self, container: Value, from: usize) {
        let (Sym::List(id) | Sym::Dict(id) | Sym::Set(id)) = container.sym() else { return };
        let items = self.stack.get(from..).unwrap_or_default();
        let limit = if self.keep_all {
            2 * CONTENTS_MAX
        } else if items.iter().all(|item| item.is_plain() || matches!(item.sym(), Sym::Text(_) | Sym::Bytes(_))) {
            CONTENTS_ROOMY
        } else {
            CONTENTS_MAX
        };
        if self.contents.len() >= limit && !(self.contents.len() < 2 * CONTENTS_MAX && self.contents.contains_key(&id))
        {
            return;
        }
        let held = self.contents.entry(id).or_default();
        let room = CONTENT_ITEMS_MAX.saturating_sub(held.len());
        held.extend(items.iter().take(room));
    }

    /// Notes what would stop an unpickler.
    pub(crate) fn broken(&mut self, at: u64, reason: &'static str) {
        if self.breaks.len() < BREAKS_MAX {
            self.breaks.push((at, reason));
        }
    }
}
