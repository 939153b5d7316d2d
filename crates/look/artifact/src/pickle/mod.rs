//! Pickles, read as CPython's unpickler would and never executed.
//!
//! [`read`] follows one file of one or more pickles on the symbolic machine and says what it noticed.
//! [`is_pickle`] answers for bytes without a header whether an unpickler would get anywhere with them.

mod calls;
mod explain;
mod literal;
mod machine;
mod memo;
mod names;
mod note;
mod opcode;
mod payload;
mod raw;
mod texts;
mod value;
mod verdict;

pub(crate) use note::{Note, RULES};

use crate::budget::{Budget, Limit};
use crate::knowledge::Knowledge;
use crate::pickle::machine::{Aside, Machine, Step};
use crate::pickle::names::Name;
use crate::pickle::value::Sym;
use crate::source::{Source, Tape};
use crate::unread::Unread;

/// Opcodes between two looks at the budget.
const OPCODES_AT_ONCE: u64 = 65_536;
/// Pickles inside inline arrays inside pickles.
const ASIDE_MAX: usize = 64;
/// Padding after a pickle that is looked through.
const PADDING_BYTES_MAX: u64 = 1 << 20;
/// Bytes literals that are looked into.
const NESTED_MAX: usize = 64;
/// A trial gives up after so many opcodes: whoever came that far is a pickle.
const TRIAL_OPCODES_MAX: u64 = 2_000_000;

/// What reading a file of pickles gave.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) notes: Vec<Note>,
    /// Bytes that the pickle loads, or that look like something to be loaded: offset and length.
    pub(crate) embedded: Vec<(u64, u64)>,
    /// `joblib`, `dill`, `cloudpickle`, when its names say so.
    pub(crate) dialect: Option<&'static str>,
    /// Where the last pickle stopped.
    pub(crate) end: u64,
    /// torch storages that it refers to.
    pub(crate) storages: Vec<Storage>,
}

/// A torch storage, as a persistent id names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    /// `FloatStorage`.
    pub(crate) kind: String,
    pub(crate) key: String,
}

/// How one pickle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stop,
    /// The byte there is no opcode.
    NotAnOpcode(u64),
    Truncated(u64),
    /// A trial came to a break, or saw enough.
    Trial,
}

/// Reads all pickles of `source`, one after the other.
///
/// # Errors
/// When the bytes cannot be read, or a bound is reached.
pub(crate) fn read(source: &Source, knowledge: &Knowledge, budget: &Budget) -> Result<Reading, Unread> {
    let mut reader = Reader::new(source, knowledge, budget, false);
    let mut end = reader.one()?;
    let mut stopped_at = reader.tape.offset();
    while end == End::Stop {
        stopped_at = reader.tape.offset();
        let rest = source.from(stopped_at);
        if rest.is_empty() || !(has_header(&rest.head(2)?) || is_pickle(&rest, knowledge, budget)?) {
            break;
        }
        budget.steps(100)?;
        reader.machine.restart();
        end = reader.one()?;
    }
    if end == End::Stop {
        reader.trailing(stopped_at)?;
    } else {
        stopped_at = source.len();
    }
    reader.conclude(end, stopped_at)
}

/// Reads exactly one pickle from the start of `source`; what follows is the caller's.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_one(source: &Source, knowledge: &Knowledge, budget: &Budget) -> Result<Reading, Unread> {
    let mut reader = Reader::new(source, knowledge, budget, false);
    let end = reader.one()?;
    let stopped_at = reader.tape.offset();
    reader.conclude(end, stopped_at)
}

/// Whether the bytes begin with a protocol that exists.
pub(crate) fn has_header(head: &[u8]) -> bool {
    matches!(head, [opcode::PROTO, 0..=5, ..])
}

/// Whether an unpickler would get anywhere with bytes that have no header: it would call something,
/// or come to a STOP that makes sense.
///
/// # Errors
/// As [`read`].
pub(crate) fn is_pickle(source: &Source, knowledge: &Knowledge, budget: &Budget) -> Result<bool, Unread> {
    // `P` asks the loader for an object by name, and pickle's own unpickler stops at that; a zip begins so.
    if source.head(4)?.starts_with(b"PK\x03\x04") {
        return Ok(false);
    }
    // No pickle begins with these, and every text does.
    if source.head(1)?.first().is_none_or(|first| b" \t\r\n#<\"'{".contains(first)) {
        return Ok(false);
    }
    let mut reader = Reader::new(source, knowledge, budget, true);
    let end = reader.one()?;
    let machine = &reader.machine;
    let called = machine.names.all().iter().any(|name| (name.calls > 0 || name.made.is_some()) && importable(name));
    let computed = machine.notes.iter().any(|note| note.face.verdict == crate::Verdict::Blocked);
    let whole = end == End::Stop && machine.opcodes > 1 && {
        let named = machine.names.all().iter().any(importable);
        named || reader.tape.left() == 0 || reader.padding_from(reader.tape.offset())?
    };
    let unbroken = machine.breaks.is_empty();
    Ok(called && (unbroken || end != End::Stop || computed) || whole && unbroken)
}

/// Whether Python could import a name so spelt.
fn importable(name: &Name) -> bool {
    let spelt = |path: &str| {
        !path.is_empty()
            && path.split('.').all(|hop| {
                let mut characters = hop.chars();
                characters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
                    && characters.all(|c| c.is_alphanumeric() || c == '_')
            })
    };
    spelt(&name.module) && spelt(&name.name)
}

struct Reader<'k> {
    machine: Machine<'k>,
    tape: Tape,
    budget: Budget,
    trial: bool,
    /// Where inline arrays began, for a look at them with other eyes.
    arrays: Vec<u64>,
}

impl<'k> Reader<'k> {
    fn new(source: &Source, knowledge: &'k Knowledge, budget: &Budget, trial: bool) -> Self {
        Self {
            machine: Machine::new(source.clone(), knowledge),
            tape: Tape::new(source.clone()),
            budget: budget.clone(),
            trial,
            arrays: Vec::new(),
        }
    }

    /// Follows one pickle to its end.
    fn one(&mut self) -> Result<End, Unread> {
        let mut asides: Vec<Aside> = Vec::new();
        loop {
            let base = self.tape.offset();
            let (used, step) = self.window(base)?;
            let had = self.tape.buffered().len() - used;
            self.tape.advance(used);
            let at = base + used as u64;
            if self.trial && (!self.machine.breaks.is_empty() || self.machine.opcodes > TRIAL_OPCODES_MAX) {
                return Ok(End::Trial);
            }
            match step {
                Step::Used(_) => {}
                Step::Need(count) => {
                    if self.tape.fill(count)? <= had {
                        return Ok(End::Truncated(at));
                    }
                }
                Step::Content { head, len } => {
                    if self.tape.fill(head + 16)? > head {
                        let content = &self.tape.buffered()[head..];
                        let content = &content[..content.len().min(16)];
                        self.machine.look_nested(at + head as u64, len, content);
                    }
                    if self.tape.skip("literal of a pickle", (head as u64).saturating_add(len)).is_err() {
                        return Ok(End::Truncated(at));
                    }
                }
                Step::LongLine => {
                    if !self.pass_line()? {
                        return Ok(End::Truncated(at));
                    }
                }
                Step::Array(count) => {
                    self.tape.advance(count);
                    match self.array(&mut asides)? {
                        true => {}
                        false => return Ok(End::Truncated(at)),
                    }
                }
                Step::Stop => {
                    self.tape.advance(1);
                    match asides.pop() {
                        Some(aside) => self.machine.take_up(aside),
                        None => return Ok(End::Stop),
                    }
                }
                Step::NotAnOpcode => return Ok(End::NotAnOpcode(at)),
            }
        }
    }

    /// Runs the machine over what is buffered; gives how much of it was used and why it paused.
    fn window(&mut self, base: u64) -> Result<(usize, Step), Unread> {
        let rest = self.tape.buffered();
        let mut used = 0;
        let mut until = self.machine.opcodes + OPCODES_AT_ONCE;
        loop {
            match self.machine.step(&rest[used..], base + used as u64)? {
                Step::Used(count) => {
                    used += count;
                    if self.machine.opcodes >= until {
                        self.budget.steps(OPCODES_AT_ONCE)?;
                        until += OPCODES_AT_ONCE;
                        if self.trial {
                            return Ok((used, Step::Used(0)));
                        }
                    }
                    if self.trial && !self.machine.breaks.is_empty() {
                        return Ok((used, Step::Used(0)));
                    }
                }
                other => return Ok((used, other)),
            }
        }
    }

    /// Passes a line that is longer than the window.
    fn pass_line(&mut self) -> Result<bool, Unread> {
        loop {
            if self.tape.fill(1)? == 0 {
                return Ok(false);
            }
            let buffered = self.tape.buffered();
            match memchr::memchr(b'\n', buffered) {
                Some(end) => {
                    self.tape.advance(end + 1);
                    return Ok(true);
                }
                None => {
                    let count = buffered.len();
                    self.budget.steps(count as u64 / 64)?;
                    self.tape.advance(count);
                }
            }
        }
    }

    /// Passes an inline array, or begins the pickle of its objects. False when it is cut.
    fn array(&mut self, asides: &mut Vec<Aside>) -> Result<bool, Unread> {
        let Some(array) = self.machine.array.take() else { return Ok(true) };
        if self.arrays.len() < NESTED_MAX {
            self.arrays.push(self.tape.offset());
        }
        if array.objects {
            if asides.len() >= ASIDE_MAX {
                return Err(Unread::Limit(Limit::Depth));
            }
            asides.push(self.machine.set_aside());
            return Ok(true);
        }
        if array.padded {
            let Ok(&[padding]) = self.tape.take("padding of an array", 1) else { return Ok(false) };
            if self.tape.skip("padding of an array", padding.into()).is_err() {
                return Ok(false);
            }
        }
        let Some(bytes) = array.bytes else {
            let at = self.tape.offset();
            self.machine.broken(at, "has an inline array of unknown length");
            return Ok(true);
        };
        Ok(self.tape.skip("inline array", bytes).is_ok())
    }

    /// Whether only padding follows from an offset on.
    fn padding_from(&self, offset: u64) -> Result<bool, Unread> {
        let left = self.tape.source().len() - offset;
        if left > PADDING_BYTES_MAX {
            return Ok(false);
        }
        let rest = self.tape.source().some(offset, usize::try_from(left).unwrap_or_default())?;
        Ok(rest.iter().all(|byte| matches!(byte, 0 | b'\n' | b'\r')))
    }

    /// Notes what follows the last STOP.
    fn trailing(&mut self, end: u64) -> Result<(), Unread> {
        let len = self.tape.source().len();
        if end < len && !self.padding_from(end)? {
            self.machine.note(&note::TRAILING, end, &format!("{} bytes after the end of the pickle", len - end), "");
            self.machine.nested.push((end, len - end));
        }
        Ok(())
    }

    fn conclude(mut self, end: End, stopped_at: u64) -> Result<Reading, Unread> {
        let knowledge = self.machine.knowledge;
        match end {
            End::Stop | End::Trial => {}
            End::NotAnOpcode(at) => self.machine.broken(at, "holds a byte that is no opcode"),
            End::Truncated(at) => self.machine.broken(at, "ends before its STOP"),
        }
        // Who reads a joblib file with a plain unpickler takes the arrays' bytes for opcodes.
        for start in std::mem::take(&mut self.arrays) {
            let rest = self.tape.source().from(start);
            if has_header(&rest.head(2)?) || is_pickle(&rest, knowledge, &self.budget)? {
                let mut other = Reader::new(&rest, knowledge, &self.budget, true);
                let _ = other.one()?;
                let notes = other.machine.conclude();
                self.machine.notes.extend(notes.into_iter().map(|note| Note { at: note.at + start, ..note }));
            }
        }
        if let Some((at, reason)) = self.machine.breaks.first().copied() {
            self.machine.note(&note::BROKEN, at, &format!("the pickle {reason}"), "");
        }
        let storages = self.storages();
        let mut embedded = std::mem::take(&mut self.machine.loaded);
        for (start, len) in std::mem::take(&mut self.machine.nested) {
            embedded.push((start, len));
        }
        let lost = self.machine.lost || self.machine.names.overflowed;
        let dialect = dialect(self.machine.names.all());
        let notes = self.machine.conclude();
        if lost && !notes.iter().any(|note| note.face.verdict == crate::Verdict::Blocked) {
            return Err(Unread::Limit(Limit::Within("objects of a pickle that can be followed")));
        }
        Ok(Reading { notes, embedded, dialect, end: stopped_at, storages })
    }

    fn storages(&self) -> Vec<Storage> {
        let machine = &self.machine;
        let mut storages: Vec<Storage> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for id in &machine.persistent {
            let Some([_, kind, key, ..]) = machine.arena.tuple_items(*id) else { continue };
            let (Sym::Global(kind), Some(key)) = (kind.sym(), machine.literal(*key)) else { continue };
            if seen.insert(key.clone()) {
                let kind = machine.names.get(kind).map(|name| name.name.to_string()).unwrap_or_default();
                storages.push(Storage { kind, key });
            }
        }
        storages
    }
}

impl Machine<'_> {
    /// Keeps a bytes literal in mind when it looks like something that somebody will load.
    fn look_nested(&mut self, start: u64, len: u64, head: &[u8]) {
        let pickle = matches!(head, [opcode::PROTO, 2..=5, next, ..] if NEXT_AFTER_PROTO.contains(next));
        let other = [&b"PK\x03\x04"[..], b"\x7fELF", b"\x1f\x8b\x08"].iter().any(|magic| head.starts_with(magic));
        if (pickle || other) && len > 8 && self.nested.len() < NESTED_MAX {
            self.nested.push((start, len));
        }
    }
}

/// What follows the header of nearly every pickle.
const NEXT_AFTER_PROTO: &[u8] = &[
    opcode::FRAME,
    opcode::EMPTY_DICT,
    opcode::EMPTY_LIST,
    opcode::EMPTY_TUPLE,
    opcode::MARK,
    opcode::GLOBAL,
    opcode::SHORT_BINUNICODE,
    opcode::BINUNICODE,
    opcode::SHORT_BINBYTES,
    opcode::BINBYTES,
    opcode::BININT1,
];

fn dialect(names: &[Name]) -> Option<&'static str> {
    let has = |root: &str| names.iter().any(|name| name.module.split('.').next() == Some(root));
    if names.iter().any(|name| raw::is_wrapper(&name.module, &name.name)) {
        Some("joblib")
    } else if has("cloudpickle") {
        Some("cloudpickle")
    } else if has("dill") {
        Some("dill")
    } else {
        None
    }
}

/// Values that only a test looks at.
#[cfg(test)]
mod tests;
