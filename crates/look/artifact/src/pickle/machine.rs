//! The pickle machine: what CPython's unpickler would do with each opcode, on symbolic values.
//!
//! It executes nothing and never recurses. Errors that would stop an unpickler are noted, and the
//! machine goes on where a more tolerant one could, for what was called before the error has run by
//! then. [`Machine::step`] sees a window of the file and one opcode at a time; content longer than
//! the window is skipped by the caller, so that an array of a gigabyte costs one seek.

mod stack;

use std::collections::HashMap;

use crate::knowledge::Knowledge;
use crate::pickle::literal::{self, Shape};
use crate::pickle::memo::Memo;
use crate::pickle::names::Names;
use crate::pickle::note::Note;
use crate::pickle::opcode as op;
use crate::pickle::texts::Texts;
use crate::pickle::value::{Arena, Value};
use crate::source::Source;
use crate::unread::Unread;

/// A `GLOBAL` line longer than this names nothing that could be imported.
const NAME_BYTES_MAX: usize = 4_096;
/// A line longer than this is passed by the caller.
const LINE_BYTES_MAX: usize = 64 << 10;
/// What [`Machine::step`] made of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes were used.
    Used(usize),
    /// The opcode needs a window of so many bytes.
    Need(usize),
    /// A literal: `head` bytes of opcode and count, then so many of content.
    Content { head: usize, len: u64 },
    /// A literal line that does not end in the window: pass it to its line feed.
    LongLine,
    /// An inline array follows after so many bytes, see [`crate::pickle::raw`].
    Array(usize),
    /// STOP.
    Stop,
    /// No opcode at all.
    NotAnOpcode,
}

/// The state of one pickle's reading, and what was noticed.
pub(crate) struct Machine<'k> {
    pub(crate) knowledge: &'k Knowledge,
    pub(crate) texts: Texts,
    pub(crate) stack: Vec<Value>,
    marks: Vec<u32>,
    memo: Memo,
    pub(crate) arena: Arena,
    /// What containers hold, by where they were opened, as far as it is kept.
    pub(crate) contents: HashMap<u64, Vec<Value>>,
    pub(crate) names: Names,
    pub(crate) notes: Vec<Note>,
    /// Bytes literals that something would unpickle or load: offset of the content, length.
    pub(crate) loaded: Vec<(u64, u64)>,
    /// Bytes literals that look like something that somebody will load.
    pub(crate) nested: Vec<(u64, u64)>,
    /// What an unpickler would stop at: offset and reason.
    pub(crate) breaks: Vec<(u64, &'static str)>,
    /// Opcodes so far.
    pub(crate) opcodes: u64,
    /// Calls so far, harmless ones included.
    pub(crate) calls: u64,
    /// An inline array whose header is known and whose bytes come next.
    pub(crate) array: Option<crate::pickle::raw::Array>,
    /// Codes given to `copyreg.add_extension` by this very pickle.
    pub(crate) extensions: HashMap<i64, Value>,
    /// A joblib wrapper is being built: everything it holds is kept.
    pub(crate) keep_all: bool,
    /// Tuples of a persistent id, for torch: storages in the order of their first use.
    pub(crate) persistent: Vec<Value>,
    /// Something mattered for which there had been no room.
    pub(crate) lost: bool,
}

/// Persistent ids that are kept for the caller.
pub(super) const PERSISTENT_MAX: usize = 100_000;

impl<'k> Machine<'k> {
    pub(crate) fn new(source: Source, knowledge: &'k Knowledge) -> Self {
        Self {
            knowledge,
            texts: Texts::new(source),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Memo::default(),
            arena: Arena::default(),
            contents: HashMap::new(),
            names: Names::default(),
            notes: Vec::new(),
            loaded: Vec::new(),
            nested: Vec::new(),
            breaks: Vec::new(),
            opcodes: 0,
            calls: 0,
            array: None,
            extensions: HashMap::new(),
            keep_all: false,
            persistent: Vec::new(),
            lost: false,
        }
    }

    /// Ready for the next pickle of the same file: a new unpickler, the same notes.
    pub(crate) fn restart(&mut self) {
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        self.persistent.clear();
    }

    /// Puts the outer pickle aside while one inside an inline array is read.
    pub(crate) fn set_aside(&mut self) -> Aside {
        Aside {
            stack: std::mem::take(&mut self.stack),
            marks: std::mem::take(&mut self.marks),
            memo: std::mem::take(&mut self.memo),
        }
    }

    /// Takes the outer pickle up again.
    pub(crate) fn take_up(&mut self, aside: Aside) {
        self.stack = aside.stack;
        self.marks = aside.marks;
        self.memo = aside.memo;
    }

    /// Reads one opcode at offset `at`, of which `rest` is the beginning.
    ///
    /// # Errors
    /// When a bound is reached.
    #[inline]
    pub(crate) fn step(&mut self, rest: &[u8], at: u64) -> Result<Step, Unread> {
        let Some(&opcode) = rest.first() else { return Ok(Step::Need(1)) };
        let fixed = ARGUMENT_BYTES[opcode as usize] as usize;
        if rest.len() <= fixed {
            return Ok(Step::Need(fixed + 1));
        }
        let argument = &rest[1..=fixed];
        self.opcodes += 1;
        match opcode {
            op::MARK => self.marks.push(u32::try_from(self.stack.len()).unwrap_or(u32::MAX)),
            op::NONE => self.push(Value::NONE)?,
            op::NEWTRUE => self.push(Value::bool(true))?,
            op::NEWFALSE => self.push(Value::bool(false))?,
            op::BININT1 => self.push(Value::int(argument[0].into()))?,
            op::BININT2 => self.push(Value::int(i64::from(argument[0]) | i64::from(argument[1]) << 8))?,
            op::BININT => {
                let bits = [argument[0], argument[1], argument[2], argument[3]];
                self.push(Value::int(i32::from_le_bytes(bits).into()))?;
            }
            op::BINFLOAT => self.push(Value::PLAIN)?,
            op::BINPUT => self.put(at, argument[0].into()),
            op::LONG_BINPUT => self.put(at, literal::count(argument, 4)),
            op::MEMOIZE => match self.stack.last() {
                Some(&top) => self.memo.append(top),
                None => self.broken(at, "memoizes from an empty stack"),
            },
            op::BINGET => self.get(at, argument[0].into())?,
            op::LONG_BINGET => self.get(at, literal::count(argument, 4))?,
            op::EMPTY_TUPLE => self.push(Value::PLAIN)?,
            op::TUPLE1 => self.small_tuple(at, 1)?,
            op::TUPLE2 => self.small_tuple(at, 2)?,
            op::TUPLE3 => self.small_tuple(at, 3)?,
            op::TUPLE => {
                let from = self.mark(at);
                self.tuple_from(from)?;
            }
            op::EMPTY_LIST => self.push(Value::list(at))?,
            op::EMPTY_DICT => self.push(Value::dict(at))?,
            op::EMPTY_SET => self.push(Value::set(at))?,
            op::APPEND => {
                let from = self.stack.len().saturating_sub(1);
                self.fill(at, from, "append")?;
            }
            op::APPENDS => {
                let from = self.mark(at);
                self.fill(at, from, "extend")?;
            }
            op::SETITEM => {
                let from = self.stack.len().saturating_sub(2);
                self.fill(at, from, "__setitem__")?;
            }
            op::SETITEMS => {
                let from = self.mark(at);
                self.fill(at, from, "__setitem__")?;
            }
            op::ADDITEMS => {
                let from = self.mark(at);
                self.fill(at, from, "add")?;
            }
            op::LIST => self.gather(at, Value::list(at))?,
            op::DICT => self.gather(at, Value::dict(at))?,
            op::FROZENSET => self.gather(at, Value::set(at))?,
            op::SHORT_BINUNICODE
            | op::BINUNICODE
            | op::BINUNICODE8
            | op::SHORT_BINSTRING
            | op::BINSTRING
            | op::SHORT_BINBYTES
            | op::BINBYTES
            | op::BINBYTES8
            | op::BYTEARRAY8 => return self.content(rest, at, opcode),
            op::POP => {
                // POP on a mark takes the mark away.
                if self.marks.last().is_some_and(|mark| *mark as usize == self.stack.len()) {
                    self.marks.pop();
                } else if self.stack.pop().is_none() {
                    self.broken(at, "pops from an empty stack");
                }
            }
            op::POP_MARK => {
                let from = self.mark(at);
                self.stack.truncate(from);
            }
            op::DUP => match self.stack.last() {
                Some(&top) => self.push(top)?,
                None => self.broken(at, "duplicates from an empty stack"),
            },
            op::PROTO | op::FRAME | op::READONLY_BUFFER => {}
            op::NEXT_BUFFER => self.push(Value::PLAIN)?,
            op::LONG1 => return self.long(rest, argument[0].into(), 2),
            op::LONG4 => return self.long(rest, literal::count(argument, 4), 5),
            op::STOP => return Ok(Step::Stop),
            _ => return self.rare(rest, at, opcode),
        }
        Ok(Step::Used(1 + fixed))
    }

    /// Opcodes with lines, names and calls.
    fn rare(&mut self, rest: &[u8], at: u64, opcode: u8) -> Result<Step, Unread> {
        match opcode {
            op::REDUCE => {
                let (arguments, callable) = (self.pop(at), self.pop(at));
                let result = self.reduce(at, callable, arguments);
                self.push(result)?;
            }
            op::NEWOBJ => {
                let (arguments, class) = (self.pop(at), self.pop(at));
                let result = self.new_object(at, class, arguments);
                self.push(result)?;
            }
            op::NEWOBJ_EX => {
                let (_keywords, arguments, class) = (self.pop(at), self.pop(at), self.pop(at));
                let result = self.new_object(at, class, arguments);
                self.push(result)?;
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop(at), self.pop(at));
                let value = self.stack_global(at, module, name);
                self.push(value)?;
            }
            op::BUILD => {
                let state = self.pop(at);
                let target = self.stack.last().copied().unwrap_or(Value::UNKNOWN);
                self.build(at, target, state);
                if self.array.is_some() {
                    return Ok(Step::Array(1));
                }
            }
            op::OBJ => {
                let from = self.mark(at);
                let arguments = self.tuple_of(from + 1);
                let class = self.stack.get(from).copied().unwrap_or(Value::UNKNOWN);
                self.stack.truncate(from);
                let result = self.reduce(at, class, arguments);
                self.push(result)?;
            }
            op::BINPERSID => {
                let id = self.pop(at);
                let result = self.persistent(at, id);
                self.push(result)?;
            }
            op::EXT1 | op::EXT2 | op::EXT4 => {
                let width = ARGUMENT_BYTES[opcode as usize] as usize;
                let code = literal::count(&rest[1..], width).cast_signed();
                let value = self.extension(at, code);
                self.push(value)?;
                return Ok(Step::Used(1 + width));
            }
            op::INT | op::LONG | op::FLOAT | op::GET | op::PUT | op::PERSID | op::STRING | op::UNICODE => {
                return self.lined(rest, at, opcode);
            }
            op::GLOBAL | op::INST => return self.named(rest, at, opcode),
            _ => return Ok(Step::NotAnOpcode),
        }
        Ok(Step::Used(1))
    }

    fn lined(&mut self, rest: &[u8], at: u64, opcode: u8) -> Result<Step, Unread> {
        let Some(end) = memchr::memchr(b'\n', &rest[1..]) else {
            let literal = matches!(opcode, op::STRING | op::UNICODE | op::LONG);
            return Ok(match rest.len() {
                0..=LINE_BYTES_MAX => {
                    self.opcodes -= 1;
                    Step::Need(LINE_BYTES_MAX + 1)
                }
                _ if literal => {
                    self.push(if opcode == op::LONG { Value::PLAIN } else { Value::text(at) })?;
                    Step::LongLine
                }
                _ => Step::NotAnOpcode,
            });
        };
        let line = &rest[1..=end];
        match opcode {
            op::INT | op::LONG => {
                let value = match trimmed(line).trim_end_matches('L') {
                    "00" if opcode == op::INT => Value::bool(false),
                    "01" if opcode == op::INT => Value::bool(true),
                    digits => match digits.parse::<i64>() {
                        Ok(number) => Value::int(number),
                        Err(_) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
                            Value::PLAIN
                        }
                        Err(_) => {
                            self.broken(at, "holds a number that is none");
                            Value::PLAIN
                        }
                    },
                };
                self.push(value)?;
            }
            op::FLOAT => {
                if trimmed(line).parse::<f64>().is_err() {
                    self.broken(at, "holds a number that is none");
                }
                self.push(Value::PLAIN)?;
            }
            op::GET => match trimmed(line).parse() {
                Ok(index) => self.get(at, index)?,
                Err(_) => self.broken(at, "reads a memo entry that has no number"),
            },
            op::PUT => match trimmed(line).parse() {
                Ok(index) => self.put(at, index),
                Err(_) => self.broken(at, "writes a memo entry that has no number"),
            },
            op::PERSID => {
                let result = self.persistent(at, Value::UNKNOWN);
                self.push(result)?;
            }
            _ => {
                if opcode == op::STRING && !quoted(line) {
                    self.broken(at, "holds a string without quotes");
                }
                self.texts.remember(at, || String::from_utf8_lossy(&literal::decode_line(opcode, line)).into_owned());
                self.push(Value::text(at))?;
            }
        }
        Ok(Step::Used(end + 2))
    }

    /// GLOBAL and INST: two lines.
    fn named(&mut self, rest: &[u8], at: u64, opcode: u8) -> Result<Step, Unread> {
        let mut ends = memchr::memchr_iter(b'\n', &rest[1..rest.len().min(2 * NAME_BYTES_MAX)]);
        let (Some(first), Some(second)) = (ends.next(), ends.next()) else {
            if rest.len() >= 2 * NAME_BYTES_MAX {
                return Ok(Step::NotAnOpcode);
            }
            self.opcodes -= 1;
            return Ok(Step::Need(2 * NAME_BYTES_MAX));
        };
        let module = String::from_utf8_lossy(&rest[1..=first]).into_owned();
        let name = String::from_utf8_lossy(&rest[first + 2..=second]).into_owned();
        let value = self.global(at, &module, &name);
        if opcode == op::INST {
            let from = self.mark(at);
            let arguments = self.tuple_of(from);
            self.stack.truncate(from);
            let result = self.reduce(at, value, arguments);
            self.push(result)?;
        } else {
            self.push(value)?;
        }
        Ok(Step::Used(second + 2))
    }

    /// A counted literal: short ones lie in the window, of others only the head is needed.
    fn content(&mut self, rest: &[u8], at: u64, opcode: u8) -> Result<Step, Unread> {
        let Some((Shape::Counted(width), is_bytes)) = literal::shape(opcode) else { return Ok(Step::NotAnOpcode) };
        let len = literal::count(&rest[1..], width);
        let head = 1 + width;
        self.push(if is_bytes { Value::bytes(at) } else { Value::text(at) })?;
        match usize::try_from(len).ok().and_then(|len| rest.get(head..head.checked_add(len)?)) {
            Some(content) => {
                if is_bytes {
                    self.look_nested(at + head as u64, len, content);
                } else {
                    self.texts.remember_bytes(at, content);
                }
                Ok(Step::Used(head + content.len()))
            }
            None => Ok(Step::Content { head, len }),
        }
    }

    fn long(&mut self, rest: &[u8], len: u64, head: usize) -> Result<Step, Unread> {
        let content = usize::try_from(len).ok().and_then(|len| rest.get(head..head.checked_add(len)?));
        let value = match content {
            Some([]) => Value::int(0),
            Some(bytes @ [.., top]) if bytes.len() <= 7 => {
                let fill = if top & 0x80 == 0 { 0 } else { 0xff };
                let mut wide = [fill; 8];
                wide[..bytes.len()].copy_from_slice(bytes);
                Value::int(i64::from_le_bytes(wide))
            }
            _ => Value::PLAIN,
        };
        self.push(value)?;
        Ok(match content {
            Some(bytes) => Step::Used(head + bytes.len()),
            None => Step::Content { head, len },
        })
    }
}

/// A pickle put aside.
pub(crate) struct Aside {
    stack: Vec<Value>,
    marks: Vec<u32>,
    memo: Memo,
}

fn trimmed(line: &[u8]) -> &str {
    std::str::from_utf8(line.strip_suffix(b"\n").unwrap_or(line)).unwrap_or_default().trim()
}

fn quoted(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    matches!(line.strip_suffix(b"\r").unwrap_or(line), [first @ (b'\'' | b'"'), .., last] if first == last)
}

/// Bytes of argument that must be there before an opcode can be read; counts of literals included,
/// their content not.
const ARGUMENT_BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    bytes[op::BININT as usize] = 4;
    bytes[op::BININT1 as usize] = 1;
    bytes[op::BININT2 as usize] = 2;
    bytes[op::BINFLOAT as usize] = 8;
    bytes[op::BINPUT as usize] = 1;
    bytes[op::LONG_BINPUT as usize] = 4;
    bytes[op::BINGET as usize] = 1;
    bytes[op::LONG_BINGET as usize] = 4;
    bytes[op::PROTO as usize] = 1;
    bytes[op::FRAME as usize] = 8;
    bytes[op::LONG1 as usize] = 1;
    bytes[op::LONG4 as usize] = 4;
    bytes[op::EXT1 as usize] = 1;
    bytes[op::EXT2 as usize] = 2;
    bytes[op::EXT4 as usize] = 4;
    bytes[op::SHORT_BINUNICODE as usize] = 1;
    bytes[op::BINUNICODE as usize] = 4;
    bytes[op::BINUNICODE8 as usize] = 8;
    bytes[op::SHORT_BINSTRING as usize] = 1;
    bytes[op::BINSTRING as usize] = 4;
    bytes[op::SHORT_BINBYTES as usize] = 1;
    bytes[op::BINBYTES as usize] = 4;
    bytes[op::BINBYTES8 as usize] = 8;
    bytes[op::BYTEARRAY8 as usize] = 8;
    bytes
};
