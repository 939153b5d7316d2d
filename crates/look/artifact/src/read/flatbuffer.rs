//! FlatBuffers' binary form (<https://flatbuffers.dev/internals/>): tables, vectors and strings by offset.
//!
//! Every offset is checked against the source. Offsets may be shared and may point anywhere, so
//! whoever walks counts what it visits.

use crate::source::Source;
use crate::unread::Unread;

/// A table: where it and its vtable lie.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    source: Source,
    at: u64,
    vtable: u64,
    vtable_bytes: u64,
}

fn u16_at(source: &Source, at: u64) -> Result<u64, Unread> {
    let bytes = source.exactly("flatbuffer number", at, 2)?;
    Ok(u64::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

fn u32_at(source: &Source, at: u64) -> Result<u64, Unread> {
    let bytes = source.exactly("flatbuffer number", at, 4)?;
    Ok(u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
}

impl Table {
    /// The root table.
    ///
    /// # Errors
    /// When it lies outside the bytes.
    pub(crate) fn root(source: &Source) -> Result<Self, Unread> {
        Self::at(source, u32_at(source, 0)?)
    }

    fn at(source: &Source, at: u64) -> Result<Self, Unread> {
        let raw = source.exactly("flatbuffer table", at, 4)?;
        let back = i64::from(i32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
        let vtable = i64::try_from(at).ok().and_then(|at| at.checked_sub(back)).and_then(|at| u64::try_from(at).ok());
        let Some(vtable) = vtable else { return Err(Unread::malformed("flatbuffer vtable", at)) };
        let vtable_bytes = u16_at(source, vtable)?;
        Ok(Self { source: source.clone(), at, vtable, vtable_bytes })
    }

    /// Where the table lies.
    #[must_use]
    pub(crate) fn offset(&self) -> u64 {
        self.at
    }

    /// Where field number `index` lies; none when it is left out.
    fn field(&self, index: u64) -> Result<Option<u64>, Unread> {
        let slot = 4 + 2 * index;
        if slot + 2 > self.vtable_bytes {
            return Ok(None);
        }
        let offset = u16_at(&self.source, self.vtable + slot)?;
        Ok((offset != 0).then_some(self.at + offset))
    }

    /// A field of one byte.
    ///
    /// # Errors
    /// When it lies outside the bytes.
    pub(crate) fn byte(&self, index: u64) -> Result<u8, Unread> {
        match self.field(index)? {
            Some(at) => Ok(self.source.exactly("flatbuffer byte", at, 1)?[0]),
            None => Ok(0),
        }
    }

    /// A field of four bytes, signed.
    ///
    /// # Errors
    /// When it lies outside the bytes.
    pub(crate) fn int(&self, index: u64) -> Result<i32, Unread> {
        match self.field(index)? {
            Some(at) => {
                let bytes = self.source.exactly("flatbuffer number", at, 4)?;
                Ok(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            }
            None => Ok(0),
        }
    }

    /// A field of eight bytes.
    ///
    /// # Errors
    /// When it lies outside the bytes.
    pub(crate) fn long(&self, index: u64) -> Result<u64, Unread> {
        match self.field(index)? {
            Some(at) => {
                let bytes = self.source.exactly("flatbuffer number", at, 8)?;
                Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            None => Ok(0),
        }
    }

    fn follow(&self, index: u64) -> Result<Option<u64>, Unread> {
        match self.field(index)? {
            Some(at) => Ok(Some(at + u32_at(&self.source, at)?)),
            None => Ok(None),
        }
    }

    /// A vector's elements: where the first lies, and how many of `element_bytes` there are.
    ///
    /// # Errors
    /// When they do not fit into the bytes.
    pub(crate) fn vector(&self, index: u64, element_bytes: u64) -> Result<Option<(u64, u64)>, Unread> {
        let Some(at) = self.follow(index)? else { return Ok(None) };
        let count = u32_at(&self.source, at)?;
        let left = self.source.len().saturating_sub(at + 4);
        let wanted = count.saturating_mul(element_bytes);
        if wanted > left {
            return Err(Unread::Truncated { what: "flatbuffer vector", at, wanted, left });
        }
        Ok(Some((at + 4, count)))
    }

    /// A string, cut to `bytes_max`.
    ///
    /// # Errors
    /// When it does not fit into the bytes.
    pub(crate) fn text(&self, index: u64, bytes_max: usize) -> Result<Option<String>, Unread> {
        let Some((at, count)) = self.vector(index, 1)? else { return Ok(None) };
        let bytes = self.source.some(at, usize::try_from(count).unwrap_or(usize::MAX).min(bytes_max))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The tables of a vector, at most `max`.
    ///
    /// # Errors
    /// When there are more, or one lies outside the bytes.
    pub(crate) fn tables(&self, index: u64, max: u64) -> Result<Vec<Table>, Unread> {
        let Some((at, count)) = self.vector(index, 4)? else { return Ok(Vec::new()) };
        if count > max {
            return Err(Unread::Limit(crate::Limit::Within("tables of a flatbuffer vector")));
        }
        let mut out = Vec::new();
        for index in 0..count {
            let slot = at + 4 * index;
            out.push(Self::at(&self.source, slot + u32_at(&self.source, slot)?)?);
        }
        Ok(out)
    }
}
