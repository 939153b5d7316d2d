//! HDF5 (<https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html>) as far as models need it: groups, links, attributes,
//! and where datasets keep their bytes.
//!
//! Addresses in the file lead anywhere, so every object is visited once, from a list and not by recursion.

use crate::budget::Limit;
use crate::source::Source;
use crate::unread::Unread;

pub(crate) const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// Messages of one object header.
const MESSAGES_MAX: usize = 100_000;
/// Nodes of one group's tree.
const NODES_MAX: usize = 100_000;
/// One message; the format has 16 bits for its size.
const MESSAGE_BYTES_MAX: usize = 1 << 16;
/// A block of continued messages.
const BLOCK_BYTES_MAX: u64 = 16 << 20;
/// A text in a global heap.
const TEXT_BYTES_MAX: u64 = 64 << 20;
/// Names in a local heap.
const HEAP_BYTES_MAX: u64 = 64 << 20;

/// An open file.
#[derive(Debug)]
pub(crate) struct File {
    /// From the superblock's base address on.
    source: Source,
    offset_bytes: usize,
    length_bytes: usize,
    /// Address of the root group's object header.
    pub(crate) root: u64,
    /// Where the file's own bytes end, as it says.
    pub(crate) end: u64,
}

/// Something that an object's header says.
#[derive(Debug)]
pub(crate) enum Message {
    /// A member of a group.
    Link { name: String, to: Target },
    /// A group in the old style: addresses of its tree and its heap of names.
    SymbolTable { tree: u64, heap: u64 },
    /// Links or attributes in a fractal heap.
    Dense(&'static str),
    /// An attribute with its value.
    Attribute { name: String, value: Option<Value> },
    /// The dataset's bytes lie in these files.
    External(Vec<String>),
    /// The dataset's bytes lie here.
    Contiguous { at: u64, len: u64 },
    /// The dataset's bytes lie in other datasets, of other files perhaps.
    Virtual,
    /// The dataset is unpacked by these filters.
    Filters(Vec<u16>),
    /// What one element of the dataset is: class, and bytes.
    Element { class: u8, size: u32 },
}

/// Where a link leads.
#[derive(Debug)]
pub(crate) enum Target {
    /// An object header of this file.
    Object(u64),
    /// A path in this file.
    Soft,
    /// An object of another file.
    External(String),
    /// What a plug-in of the reader makes of it.
    UserDefined(u8),
}

/// An attribute's value, where it is text or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) Vec<u8>);

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where the superblock lies: at the beginning or behind a user block of 512 bytes or a power of two more.
pub(crate) fn superblock(head: &[u8]) -> Option<usize> {
    [0, 512, 1024, 2048].into_iter().find(|at| head.get(*at..).is_some_and(|rest| rest.starts_with(SIGNATURE)))
}

impl File {
    /// Reads the superblock at `at`.
    pub(crate) fn open(source: &Source, at: usize) -> Result<Self, Unread> {
        let at = at as u64;
        let block = source.exactly("HDF5 superblock", at, 48)?;
        let bad = |what: &str| Unread::malformed(what, at);
        let version = block[8];
        let (offset_bytes, length_bytes, fields) = match version {
            0 => (block[13], block[14], 24),
            1 => (block[13], block[14], 28),
            2 | 3 => (block[9], block[10], 12),
            _ => return Err(Unread::Unsupported(format!("version {version} of HDF5"))),
        };
        if !matches!(offset_bytes, 2 | 4 | 8) || !matches!(length_bytes, 2 | 4 | 8) {
            return Err(bad("sizes of HDF5 addresses"));
        }
        let size = usize::from(offset_bytes);
        // Base, free space or extension, end, driver or root, and in the old versions the root's entry.
        let addresses = source.exactly("HDF5 superblock", at + fields, size * 6)?;
        let field = |index: usize| number(&addresses[index * size..(index + 1) * size]);
        let (base, end, root) = (field(0), field(2), if version < 2 { field(5) } else { field(3) });
        // Files with a user block say so in the base address; others that were moved count from here all the same.
        let start = if base == at { base } else { at };
        let file =
            Self { source: source.from(start), offset_bytes: size, length_bytes: length_bytes.into(), root, end };
        Ok(file)
    }

    fn undefined(&self, address: u64) -> bool {
        address == u64::MAX >> (64 - 8 * self.offset_bytes)
    }

    /// All messages of the object at `address`, those in continued blocks included.
    pub(crate) fn object(&self, address: u64) -> Result<Vec<Message>, Unread> {
        let head = self.source.exactly("HDF5 object header", address, 16)?;
        let mut messages = Vec::new();
        let mut blocks: Vec<(u64, u64)> = Vec::new();
        let mut count = 0;
        if head.starts_with(b"OHDR") {
            let flags = head[5];
            let mut at = 6 + if flags & 0x20 != 0 { 16 } else { 0 } + if flags & 0x10 != 0 { 4 } else { 0 };
            let width = 1_usize << (flags & 3);
            let size = number(&self.source.exactly("HDF5 object header", address + at, width)?);
            at += width as u64;
            blocks.push((address + at, size));
            while let Some((start, len)) = blocks.pop() {
                let block = self.block(start, len)?;
                let mut rest = &block[..];
                let extra = if flags & 0x04 != 0 { 6 } else { 4 };
                while rest.len() >= extra {
                    let (kind, size, set) = (u16::from(rest[0]), number(&rest[1..3]) as usize, rest[3]);
                    let Some(data) = rest.get(extra..extra + size) else {
                        return Err(Unread::malformed("HDF5 message", start));
                    };
                    self.message(kind, set, data, start, &mut messages, &mut blocks, true)?;
                    rest = &rest[extra + size..];
                    count = bounded(count)?;
                }
            }
        } else if head[0] == 1 {
            let mut left = number(&head[2..4]);
            blocks.push((address + 16, number(&head[8..12])));
            while let Some((start, len)) = blocks.pop() {
                let block = self.block(start, len)?;
                let mut rest = &block[..];
                while rest.len() >= 8 && left > 0 {
                    let (kind, size, set) = (number(&rest[..2]) as u16, number(&rest[2..4]) as usize, rest[4]);
                    let Some(data) = rest.get(8..8 + size) else {
                        return Err(Unread::malformed("HDF5 message", start));
                    };
                    self.message(kind, set, data, start, &mut messages, &mut blocks, false)?;
                    rest = &rest[8 + size..];
                    left -= 1;
                    count = bounded(count)?;
                }
            }
        } else {
            return Err(Unread::malformed("HDF5 object header", address));
        }
        Ok(messages)
    }

    fn block(&self, start: u64, len: u64) -> Result<Vec<u8>, Unread> {
        if len > BLOCK_BYTES_MAX {
            return Err(Unread::Limit(Limit::Within("bytes of one HDF5 header block")));
        }
        self.source.exactly("HDF5 header block", start, usize::try_from(len).unwrap_or(usize::MAX))
    }

    #[expect(clippy::too_many_arguments, reason = "one call site a header version, and a struct of them says no more")]
    fn message(
        &self,
        kind: u16,
        set: u8,
        data: &[u8],
        at: u64,
        messages: &mut Vec<Message>,
        blocks: &mut Vec<(u64, u64)>,
        is_new: bool,
    ) -> Result<(), Unread> {
        let mut cut = Cut { rest: data, at };
        let (offset, length) = (self.offset_bytes, self.length_bytes);
        // A message that is kept elsewhere and shared: only types of elements are, and they do not matter there.
        if set & 0x02 != 0 {
            return Ok(());
        }
        match kind {
            0x01 | 0x04 | 0x05 | 0x00 => {}
            0x02 => {
                let flags = cut.skip(1)?.byte()?;
                let heap = cut.skip(if flags & 1 != 0 { 8 } else { 0 })?.number(offset)?;
                if !self.undefined(heap) {
                    messages.push(Message::Dense("links of an HDF5 group in a fractal heap"));
                }
            }
            0x03 => {
                let class = cut.byte()? & 0x0f;
                let size = cut.skip(3)?.number(4)?;
                messages.push(Message::Element { class, size: u32::try_from(size).unwrap_or(u32::MAX) });
            }
            0x06 => messages.push(self.link(&mut cut)?),
            0x07 => {
                let used = cut.skip(6)?.number(2)?;
                let heap = cut.number(offset)?;
                let mut files = Vec::new();
                for _ in 0..used {
                    let name = cut.number(length)?;
                    cut.skip(2 * length)?;
                    files.push(self.heap_text(heap, name)?);
                }
                messages.push(Message::External(files));
            }
            0x08 => {
                let (version, class) = (cut.byte()?, cut.byte()?);
                match (version, class) {
                    (3.., 1) => {
                        let (at, len) = (cut.number(offset)?, cut.number(length)?);
                        if !self.undefined(at) {
                            messages.push(Message::Contiguous { at, len });
                        }
                    }
                    (4.., 3) => messages.push(Message::Virtual),
                    _ => {}
                }
            }
            0x0b => {
                let (version, count) = (cut.byte()?, cut.byte()?);
                cut.skip(if version == 1 { 6 } else { 0 })?;
                let mut filters = Vec::new();
                for _ in 0..count {
                    let id = cut.number(2)? as u16;
                    let named = version == 1 || id >= 256;
                    let name = if named { cut.number(2)? as usize } else { 0 };
                    let values = cut.skip(2)?.number(2)? as usize;
                    let pad = if version == 1 { name.next_multiple_of(8) - name + 4 * (values % 2) } else { 0 };
                    cut.skip(name + 4 * values + pad)?;
                    filters.push(id);
                }
                messages.push(Message::Filters(filters));
            }
            0x0c => messages.push(self.attribute(&mut cut)?),
            0x10 => {
                let (at, mut len) = (cut.number(offset)?, cut.number(length)?);
                let mut start = at;
                if is_new {
                    // A signature before, a checksum behind.
                    start = at.saturating_add(4);
                    len = len.checked_sub(8).ok_or_else(|| Unread::malformed("HDF5 continuation", at))?;
                }
                if blocks.len() > MESSAGES_MAX {
                    return Err(Unread::Limit(Limit::Within("blocks of one HDF5 object")));
                }
                blocks.push((start, len));
            }
            0x11 => {
                let (tree, heap) = (cut.number(offset)?, cut.number(offset)?);
                messages.push(Message::SymbolTable { tree, heap });
            }
            0x15 => {
                let flags = cut.skip(1)?.byte()?;
                let heap = cut.skip(if flags & 1 != 0 { 2 } else { 0 })?.number(offset)?;
                if !self.undefined(heap) {
                    messages.push(Message::Dense("attributes of an HDF5 object in a fractal heap"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn link(&self, cut: &mut Cut<'_>) -> Result<Message, Unread> {
        let flags = cut.skip(1)?.byte()?;
        let kind = if flags & 0x08 != 0 { cut.byte()? } else { 0 };
        cut.skip(if flags & 0x04 != 0 { 8 } else { 0 })?.skip(usize::from(flags & 0x10 != 0))?;
        let len = cut.number(1 << (flags & 3))?;
        let name = String::from_utf8_lossy(cut.take(usize::try_from(len).unwrap_or(usize::MAX))?).into_owned();
        let to = match kind {
            0 => Target::Object(cut.number(self.offset_bytes)?),
            1 => Target::Soft,
            64 => {
                let len = cut.number(2)? as usize;
                let value = cut.take(len)?;
                Target::External(text_until_nul(value.get(1..).unwrap_or_default()))
            }
            other => Target::UserDefined(other),
        };
        Ok(Message::Link { name, to })
    }

    fn attribute(&self, cut: &mut Cut<'_>) -> Result<Message, Unread> {
        let version = cut.byte()?;
        let flags = cut.byte()?;
        let (name, kind, space) = (cut.number(2)? as usize, cut.number(2)? as usize, cut.number(2)? as usize);
        cut.skip(usize::from(version >= 3))?;
        let padded = |size: usize| if version == 1 { size.next_multiple_of(8) } else { size };
        let name_bytes = cut.take(padded(name))?;
        let name = text_until_nul(&name_bytes[..name.min(name_bytes.len())]);
        let kind = cut.take(padded(kind))?;
        cut.take(padded(space))?;
        let value = cut.rest;
        // A committed type is named and not written here; its text is fixed-length, so the value itself serves.
        let class = kind.first().map_or(0, |byte| byte & 0x0f);
        let value = match class {
            _ if version >= 2 && flags & 1 != 0 => Some(Value(value.to_vec())),
            // Numbers of one byte, texts, bits, opaque bytes.
            0 if kind.get(4) == Some(&1) => Some(Value(value.to_vec())),
            3..=5 => Some(Value(value.to_vec())),
            9 => self.variable(value)?,
            _ => None,
        };
        Ok(Message::Attribute { name, value })
    }

    /// Texts of variable length lie in a global heap; several are joined by line feeds.
    fn variable(&self, references: &[u8]) -> Result<Option<Value>, Unread> {
        let width = 8 + self.offset_bytes;
        let mut all = Vec::new();
        for reference in references.chunks_exact(width) {
            let len = number(&reference[..4]);
            let heap = number(&reference[4..4 + self.offset_bytes]);
            let index = number(&reference[4 + self.offset_bytes..]);
            if len == 0 || self.undefined(heap) || heap == 0 {
                continue;
            }
            if !all.is_empty() {
                all.push(b'\n');
            }
            all.extend(self.heap_object(heap, index)?);
            if all.len() as u64 > TEXT_BYTES_MAX {
                return Err(Unread::Limit(Limit::Within("bytes of one HDF5 attribute")));
            }
        }
        Ok(Some(Value(all)))
    }

    /// An object of a global heap collection.
    fn heap_object(&self, collection: u64, wanted: u64) -> Result<Vec<u8>, Unread> {
        let found = self.objects(collection)?.into_iter().find(|(index, ..)| *index == wanted);
        let (_, at, len) = found.ok_or_else(|| Unread::malformed("object of an HDF5 heap", collection))?;
        if len > TEXT_BYTES_MAX {
            return Err(Unread::Limit(Limit::Within("bytes of one HDF5 attribute")));
        }
        self.source.exactly("object of an HDF5 heap", at, usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Index, place and length of every object of a global heap collection.
    fn objects(&self, collection: u64) -> Result<Vec<(u64, u64, u64)>, Unread> {
        let head = self.source.exactly("HDF5 heap", collection, 8 + self.length_bytes)?;
        if !head.starts_with(b"GCOL") {
            return Err(Unread::malformed("HDF5 heap", collection));
        }
        let end = collection.saturating_add(number(&head[8..]));
        let mut at = collection + 8 + self.length_bytes as u64;
        let mut objects = Vec::new();
        while at + 8 + self.length_bytes as u64 <= end && objects.len() < 1 << 16 {
            let head = self.source.exactly("HDF5 heap", at, 8 + self.length_bytes)?;
            let (index, len) = (number(&head[..2]), number(&head[8..]));
            if index == 0 {
                break;
            }
            at += 8 + self.length_bytes as u64;
            objects.push((index, at, len));
            at = at.saturating_add(len).checked_next_multiple_of(8).unwrap_or(u64::MAX);
        }
        Ok(objects)
    }

    /// Members of a group in the old style.
    pub(crate) fn members(&self, tree: u64, heap: u64) -> Result<Vec<(String, Target)>, Unread> {
        let names = self.heap(heap)?;
        let name = |offset: u64| names.get(usize::try_from(offset).unwrap_or(usize::MAX)..).map(text_until_nul);
        let (offset, length) = (self.offset_bytes, self.length_bytes);
        let mut members = Vec::new();
        let mut open = vec![tree];
        let mut nodes = 0;
        while let Some(at) = open.pop() {
            nodes += 1;
            if nodes > NODES_MAX {
                return Err(Unread::Limit(Limit::Within("nodes of one HDF5 group")));
            }
            let head = self.source.exactly("HDF5 group", at, 8)?;
            if head.starts_with(b"TREE") {
                let count = number(&head[6..8]) as usize;
                let start = at + 8 + 2 * offset as u64;
                let size = count * (offset + length) + length;
                let body = self.source.exactly("HDF5 group", start, size)?;
                let children = (0..count).map(|index| length + index * (offset + length));
                open.extend(children.map(|from| number(&body[from..from + offset])));
            } else if head.starts_with(b"SNOD") {
                let (count, size) = (number(&head[6..8]) as usize, 2 * offset + 24);
                let body = self.source.exactly("HDF5 group", at + 8, count * size)?;
                for entry in body.chunks_exact(size) {
                    let name = name(number(&entry[..offset])).unwrap_or_default();
                    let to = match number(&entry[2 * offset..2 * offset + 4]) {
                        2 => Target::Soft,
                        _ => Target::Object(number(&entry[offset..2 * offset])),
                    };
                    members.push((name, to));
                }
            } else {
                return Err(Unread::malformed("HDF5 group", at));
            }
        }
        Ok(members)
    }

    fn heap(&self, at: u64) -> Result<Vec<u8>, Unread> {
        let head = self.source.exactly("HDF5 heap of names", at, 8 + 2 * self.length_bytes + self.offset_bytes)?;
        if !head.starts_with(b"HEAP") {
            return Err(Unread::malformed("HDF5 heap of names", at));
        }
        let size = number(&head[8..8 + self.length_bytes]);
        if size > HEAP_BYTES_MAX {
            return Err(Unread::Limit(Limit::Within("bytes of one HDF5 heap of names")));
        }
        let data = number(&head[8 + 2 * self.length_bytes..]);
        self.source.exactly("HDF5 heap of names", data, usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn heap_text(&self, heap: u64, offset: u64) -> Result<String, Unread> {
        let names = self.heap(heap)?;
        let name = names.get(usize::try_from(offset).unwrap_or(usize::MAX)..);
        name.map(text_until_nul).ok_or_else(|| Unread::malformed("name of an HDF5 file", heap))
    }

    /// The bytes of a dataset.
    pub(crate) fn bytes(&self, at: u64, len: u64) -> Result<Source, Unread> {
        if at.checked_add(len).is_none_or(|end| end > self.source.len()) {
            let left = self.source.len().saturating_sub(at);
            return Err(Unread::Truncated { what: "HDF5 dataset", at, wanted: len, left });
        }
        Ok(self.source.slice(at, len))
    }

    /// How many bytes there are from the base address on.
    pub(crate) fn len(&self) -> u64 {
        self.source.len()
    }
}

fn bounded(count: usize) -> Result<usize, Unread> {
    if count >= MESSAGES_MAX { Err(Unread::Limit(Limit::Within("messages of one HDF5 object"))) } else { Ok(count + 1) }
}

fn text_until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end.min(MESSAGE_BYTES_MAX)]).into_owned()
}

/// Takes fields off the front of a message.
struct Cut<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Cut<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unread> {
        let short = || Unread::malformed("HDF5 message", self.at);
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<&mut Self, Unread> {
        self.take(count)?;
        Ok(self)
    }

    fn byte(&mut self) -> Result<u8, Unread> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self, width: usize) -> Result<u64, Unread> {
        Ok(number(self.take(width)?))
    }
}
