//! MessagePack (<https://github.com/msgpack/msgpack/blob/master/spec.md>) as a stream of events.
//!
//! Flax keeps weights in it: an array is an extension whose payload is skipped, so that a model of
//! gigabytes is walked in the time its few thousand keys take.

use crate::source::{Source, Tape};
use crate::unread::Unread;
use crate::{Budget, Limit};

/// Deeper than any tree of layers.
const DEPTH_MAX: usize = 128;
/// Keys are names.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What comes next in the stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// nil, booleans and numbers.
    Scalar,
    /// Text, cut to a megabyte.
    Text(String),
    /// Binary data: where and how long.
    Binary { at: u64, len: u64 },
    /// An extension: its type, where its payload lies and how long it is.
    Extension { kind: i8, at: u64, len: u64 },
    /// An array of so many elements.
    List(u64),
    /// A map of so many pairs.
    Map(u64),
}

/// Reads one object, giving each event with its depth and whether it is a map's key.
///
/// # Errors
/// When it is no MessagePack, too deep, or `see` says so.
pub(crate) fn walk(
    source: &Source,
    budget: &Budget,
    mut see: impl FnMut(usize, bool, Event) -> Result<(), Unread>,
) -> Result<u64, Unread> {
    let mut tape = Tape::new(source.clone());
    // Objects still to come in each open container, and whether it is a map.
    let mut open: Vec<(u64, bool)> = vec![(1, false)];
    while let Some((left, is_map)) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        let is_key = *is_map && *left % 2 == 1;
        budget.steps(1)?;
        let event = next(&mut tape)?;
        let depth = open.len() - 1;
        let inner = match &event {
            Event::List(count) => Some((*count, false)),
            Event::Map(count) => Some((count.saturating_mul(2), true)),
            _ => None,
        };
        see(depth, is_key, event)?;
        if let Some(inner) = inner {
            // Each element takes a byte: a count beyond the rest is a lie.
            if inner.0 > tape.left() {
                return Err(Unread::Truncated {
                    what: "msgpack container",
                    at: tape.offset(),
                    wanted: inner.0,
                    left: tape.left(),
                });
            }
            if open.len() >= DEPTH_MAX {
                return Err(Unread::Limit(Limit::Within("nesting in msgpack")));
            }
            open.push(inner);
        }
    }
    Ok(tape.offset())
}

fn next(tape: &mut Tape) -> Result<Event, Unread> {
    let at = tape.offset();
    let tag = tape.take("msgpack tag", 1)?[0];
    Ok(match tag {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Event::Scalar,
        0x80..=0x8f => Event::Map(u64::from(tag & 15)),
        0x90..=0x9f => Event::List(u64::from(tag & 15)),
        0xa0..=0xbf => text(tape, u64::from(tag & 31))?,
        0xc4..=0xc6 => {
            let len = number(tape, 1 << (tag - 0xc4))?;
            let at = tape.offset();
            tape.skip("msgpack binary", len)?;
            Event::Binary { at, len }
        }
        0xc7..=0xc9 => {
            let len = number(tape, 1 << (tag - 0xc7))?;
            extension(tape, len)?
        }
        0xcc | 0xd0 => scalar(tape, 1)?,
        0xcd | 0xd1 => scalar(tape, 2)?,
        0xca | 0xce | 0xd2 => scalar(tape, 4)?,
        0xcb | 0xcf | 0xd3 => scalar(tape, 8)?,
        0xd4..=0xd8 => extension(tape, 1 << (tag - 0xd4))?,
        0xd9..=0xdb => {
            let len = number(tape, 1 << (tag - 0xd9))?;
            text(tape, len)?
        }
        0xdc => Event::List(number(tape, 2)?),
        0xdd => Event::List(number(tape, 4)?),
        0xde => Event::Map(number(tape, 2)?),
        0xdf => Event::Map(number(tape, 4)?),
        0xc1 => return Err(Unread::malformed("msgpack tag", at)),
    })
}

fn scalar(tape: &mut Tape, bytes: u64) -> Result<Event, Unread> {
    tape.skip("msgpack number", bytes)?;
    Ok(Event::Scalar)
}

fn extension(tape: &mut Tape, len: u64) -> Result<Event, Unread> {
    let kind = i8::from_be_bytes([tape.take("msgpack extension", 1)?[0]]);
    let at = tape.offset();
    tape.skip("msgpack extension", len)?;
    Ok(Event::Extension { kind, at, len })
}

fn number(tape: &mut Tape, bytes: usize) -> Result<u64, Unread> {
    let read = tape.take("msgpack length", bytes)?;
    Ok(read.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn text(tape: &mut Tape, len: u64) -> Result<Event, Unread> {
    let at = tape.offset();
    tape.skip("msgpack text", len)?;
    let kept = usize::try_from(len).unwrap_or(usize::MAX).min(TEXT_BYTES_MAX);
    let bytes = tape.source().some(at, kept)?;
    Ok(Event::Text(String::from_utf8_lossy(&bytes).into_owned()))
}
