//! Protocol Buffers' wire format (<https://protobuf.dev/programming-guides/encoding/>), without schemas.
//!
//! A message is a range of a source: fields are read where they lie, and a length-delimited field is
//! another range, so that a tensor of gigabytes costs nothing and nothing recurses.

use crate::source::{Source, Tape};
use crate::unread::Unread;

/// What stands behind a field's tag.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    /// Varint (wire type 0).
    Number(u64),
    /// Eight bytes (type 1): a number that no rule asks for.
    Eight,
    /// Length-delimited (type 2): text, bytes, packed numbers or a message.
    Bytes(Source),
    /// Four bytes (type 5), the same.
    Four,
}

/// A field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Its number.
    pub(crate) number: u32,
    /// Its value.
    pub(crate) value: Wire,
    /// Where its tag begins in the message.
    pub(crate) offset: u64,
}

impl Field {
    /// The bytes of a length-delimited field.
    #[must_use]
    pub(crate) fn bytes(&self) -> Option<&Source> {
        if let Wire::Bytes(source) = &self.value { Some(source) } else { None }
    }

    /// The text of a length-delimited field, cut to `bytes_max`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn text(&self, bytes_max: usize) -> Result<String, Unread> {
        match &self.value {
            Wire::Bytes(source) => Ok(String::from_utf8_lossy(&source.head(bytes_max)?).into_owned()),
            _ => Ok(String::new()),
        }
    }
}

/// Reads the fields of a message in order.
#[derive(Debug)]
pub(crate) struct Message {
    tape: Tape,
}

impl Message {
    /// The message that fills `source`.
    #[must_use]
    pub(crate) fn new(source: &Source) -> Self {
        Self { tape: Tape::new(source.clone()) }
    }

    /// The next field; none at the end.
    ///
    /// # Errors
    /// When a tag or a length is impossible.
    pub(crate) fn next(&mut self) -> Result<Option<Field>, Unread> {
        let offset = self.tape.offset();
        if self.tape.left() == 0 {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..=0x1fff_ffff).contains(number));
        let Some(number) = number else { return Err(Unread::malformed("protobuf field number", offset)) };
        let value = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => {
                self.tape.skip("protobuf field", 8)?;
                Wire::Eight
            }
            2 => {
                let length = self.varint()?;
                let start = self.tape.offset();
                self.tape.skip("protobuf field", length)?;
                Wire::Bytes(self.tape.source().slice(start, length))
            }
            5 => {
                self.tape.skip("protobuf field", 4)?;
                Wire::Four
            }
            _ => return Err(Unread::malformed("protobuf wire type", offset)),
        };
        Ok(Some(Field { number, value, offset }))
    }

    fn varint(&mut self) -> Result<u64, Unread> {
        let offset = self.tape.offset();
        let mut number = 0u64;
        for shift in 0..10u32 {
            let byte = self.tape.take("protobuf varint", 1)?[0];
            let bits = u64::from(byte & 0x7f);
            number |= bits.checked_shl(shift * 7).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Unread::malformed("protobuf varint", offset))
    }
}

/// All fields of `source`, at most `count`.
///
/// # Errors
/// When it is no message, or has more.
pub(crate) fn fields(source: &Source, count: usize) -> Result<Vec<Field>, Unread> {
    let mut message = Message::new(source);
    let mut out = Vec::new();
    while let Some(field) = message.next()? {
        if out.len() >= count {
            return Err(Unread::Limit(crate::Limit::Within("fields of one message")));
        }
        out.push(field);
    }
    Ok(out)
}

/// A writer, so that tests need no compiler of schemas.
#[cfg(test)]
pub(crate) mod write {
    pub(crate) fn varint(mut number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while number >= 0x80 {
            out.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
        out
    }

    pub(crate) fn number(field: u32, value: u64) -> Vec<u8> {
        [varint(u64::from(field) << 3), varint(value)].concat()
    }

    pub(crate) fn bytes(field: u32, value: &[u8]) -> Vec<u8> {
        [varint(u64::from(field) << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
    }

    pub(crate) fn text(field: u32, value: &str) -> Vec<u8> {
        bytes(field, value.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_where_they_lie() {
        let bytes = [write::number(1, 300), write::text(2, "abc"), vec![0x1d, 1, 2, 3, 4]].concat();
        let found = fields(&Source::memory(bytes), 10).unwrap();
        assert!(matches!(found[0].value, Wire::Number(300)));
        assert_eq!(found[1].text(10).unwrap(), "abc");
        assert!(matches!(found[2].value, Wire::Four));
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [&[0x00_u8][..], &[0x0a, 0x05, 1], &[0x08], &[0xff; 12], &[0x0b]] {
            assert!(fields(&Source::memory(bytes.to_vec()), 10).is_err(), "{bytes:?}");
        }
    }
}
