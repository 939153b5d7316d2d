//! Python's `marshal` format, as far as code objects need it: names, constants and nested code.
//!
//! The layout of a code object changed with Python 2.7, 3.0, 3.8 and 3.11 and is not written down in the
//! bytes, so each is tried, and what any of them gives counts: bytes can be made to suit two.

use std::rc::Rc;

/// Nested tuples and functions that a compiler makes stay far below.
const DEPTH_MAX: u32 = 60;
/// Objects of one code constant.
const OBJECTS_MAX: u32 = 200_000;
/// Code objects beyond this size are programs, not layers.
pub(crate) const BYTES_MAX: usize = 4 << 20;

/// What a code object and all code nested in it mention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Code {
    /// Names of globals, attributes and imported modules.
    pub(crate) names: Vec<String>,
    /// Text and bytes constants.
    pub(crate) constants: Vec<String>,
    /// How many code objects.
    pub(crate) count: u32,
}

/// How a code object's fields lie.
#[derive(Clone, Copy)]
struct Layout {
    /// Four-byte counts before the objects.
    numbers: usize,
    /// Objects before the first line number.
    objects: usize,
    /// Objects behind it.
    tail: usize,
    /// Which of the objects holds the names.
    names: usize,
    /// Whether constants may be slices, as from Python 3.14 on.
    slice: bool,
}

const LAYOUTS: [Layout; 4] = [
    // 3.11 and later: code, constants, names, locals, their kinds, file, name, qualified name.
    Layout { numbers: 5, objects: 8, tail: 2, names: 2, slice: true },
    // 3.8 to 3.10: code, constants, names, variables, free, cells, file, name.
    Layout { numbers: 6, objects: 8, tail: 1, names: 2, slice: false },
    // 3.0 to 3.7.
    Layout { numbers: 5, objects: 8, tail: 1, names: 2, slice: false },
    // 2.x.
    Layout { numbers: 4, objects: 8, tail: 1, names: 2, slice: false },
];

/// Reads a marshalled code object; nothing when no Python would.
#[must_use]
pub(crate) fn code(bytes: &[u8]) -> Option<Code> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let mut readings = LAYOUTS.iter().filter_map(|layout| {
        let mut reader = Reader { bytes, at: 0, layout: *layout, refs: Vec::new(), objects: 0, code: Code::default() };
        reader.object(0)?;
        (reader.code.count > 0).then_some(reader.code)
    });
    let mut code = readings.next()?;
    for other in readings {
        code.names.extend(other.names.into_iter().filter(|name| !code.names.contains(name)).collect::<Vec<_>>());
        let new = other.constants.into_iter().filter(|text| !code.constants.contains(text)).collect::<Vec<_>>();
        code.constants.extend(new);
    }
    Some(code)
}

#[derive(Clone, Debug)]
enum Object {
    Text(Rc<str>),
    /// Items, and how many levels of them there are: references could stack them without end.
    Many(Rc<[Object]>, u32),
    Other,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    layout: Layout,
    refs: Vec<Object>,
    objects: u32,
    code: Code,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let found = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(found)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn long(&mut self) -> Option<i32> {
        let bytes = self.take(4)?;
        Some(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(self.long()?).ok()
    }

    fn text(&mut self, count: usize) -> Option<Object> {
        let bytes = self.take(count)?;
        Some(Object::Text(String::from_utf8_lossy(bytes).into()))
    }

    fn object(&mut self, depth: u32) -> Option<Object> {
        self.objects += 1;
        if depth > DEPTH_MAX || self.objects > OBJECTS_MAX {
            return None;
        }
        let tag = self.byte()?;
        let slot = (tag & 0x80 != 0).then(|| {
            self.refs.push(Object::Other);
            self.refs.len() - 1
        });
        let object = self.body(tag & 0x7f, depth)?;
        if let Some(slot) = slot {
            self.refs[slot] = object.clone();
        }
        Some(object)
    }

    fn body(&mut self, tag: u8, depth: u32) -> Option<Object> {
        match tag {
            b'N' | b'F' | b'T' | b'S' | b'.' => Some(Object::Other),
            b'i' => self.take(4).map(|_| Object::Other),
            b'I' | b'g' => self.take(8).map(|_| Object::Other),
            b'y' => self.take(16).map(|_| Object::Other),
            b'l' => {
                let digits = self.long()?.unsigned_abs() as usize;
                self.take(digits.checked_mul(2)?).map(|_| Object::Other)
            }
            b'f' => {
                let count = usize::from(self.byte()?);
                self.take(count).map(|_| Object::Other)
            }
            b's' | b't' | b'u' | b'a' | b'A' => {
                let count = self.size()?;
                self.text(count)
            }
            b'z' | b'Z' => {
                let count = usize::from(self.byte()?);
                self.text(count)
            }
            b'r' | b'R' => {
                let index = self.size()?;
                Some(self.refs.get(index).cloned().unwrap_or(Object::Other))
            }
            b')' => {
                let count = usize::from(self.byte()?);
                self.many(count, depth)
            }
            b'(' | b'[' | b'<' | b'>' => {
                let count = self.size()?;
                self.many(count, depth)
            }
            b'{' => {
                let mut items = Vec::new();
                while self.bytes.get(self.at)? != &b'0' {
                    items.push(self.object(depth + 1)?);
                }
                self.at += 1;
                held(items)
            }
            b':' if self.layout.slice => self.many(3, depth),
            b'c' => self.code_object(depth),
            _ => None,
        }
    }

    fn many(&mut self, count: usize, depth: u32) -> Option<Object> {
        // Each object takes a byte at least.
        if count > self.bytes.len().checked_sub(self.at)? {
            return None;
        }
        let mut items = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            items.push(self.object(depth + 1)?);
        }
        held(items)
    }

    fn code_object(&mut self, depth: u32) -> Option<Object> {
        let layout = self.layout;
        for _ in 0..layout.numbers {
            let count = self.long()?;
            if !(0..0x4000_0000).contains(&count) {
                return None;
            }
        }
        for index in 0..layout.objects {
            let object = self.object(depth + 1)?;
            match (index, object) {
                (0, Object::Text(_)) => {}
                (0, _) => return None,
                (1, constants) => self.keep_constants(&constants)?,
                (index, names) if index == layout.names => self.keep_names(&names)?,
                _ => {}
            }
        }
        self.long()?;
        for _ in 0..layout.tail {
            self.object(depth + 1)?;
        }
        self.code.count += 1;
        Some(Object::Other)
    }

    fn keep_names(&mut self, object: &Object) -> Option<()> {
        let Object::Many(items, _) = object else { return None };
        for item in &**items {
            match item {
                Object::Text(name) => self.code.names.push(name.to_string()),
                _ => return None,
            }
        }
        Some(())
    }

    fn keep_constants(&mut self, object: &Object) -> Option<()> {
        let mut open = vec![object];
        while let Some(next) = open.pop() {
            // Tuples by reference count each time: few bytes could stand for very many.
            self.objects += 1;
            if self.objects > OBJECTS_MAX {
                return None;
            }
            match next {
                Object::Text(text) => self.code.constants.push(text.to_string()),
                Object::Many(items, _) => open.extend(&**items),
                Object::Other => {}
            }
        }
        Some(())
    }
}

fn held(items: Vec<Object>) -> Option<Object> {
    let below = items.iter().map(|item| if let Object::Many(_, depth) = item { *depth } else { 0 }).max();
    let depth = below.unwrap_or(0) + 1;
    (depth <= DEPTH_MAX).then(|| Object::Many(items.into(), depth))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What genuine Pythons wrote, see `testdata/make.py`: version, name, bytes.
    fn samples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
        let lines = include_str!("../../testdata/marshal.txt").lines();
        lines
            .map(|line| {
                let mut cells = line.split(' ');
                let (version, name) = (cells.next().unwrap(), cells.next().unwrap());
                (version, name, hex::decode(cells.next().unwrap()).unwrap())
            })
            .collect()
    }

    #[test]
    fn every_python_is_read() {
        for (version, name, bytes) in samples() {
            let code = code(&bytes).unwrap_or_else(|| panic!("{name} of {version}"));
            match name {
                "hostile" => {
                    assert_eq!(code.names, ["os", "system"], "{version}");
                    assert!(code.constants.iter().any(|text| text == "echo harmless"), "{version}");
                }
                "arithmetic" => assert_eq!((code.names, code.count), (vec!["f".to_owned()], 2), "{version}"),
                _ => assert!(code.names.iter().any(|name| name == "range"), "{version}: {code:?}"),
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [&b""[..], b"c", b"\xe3\0\0", b"(\xff\xff\xff\x7f", b"s\xff\xff\xff\xff", b"[\x01\0\0\0", b"{N"] {
            assert_eq!(code(bytes), None);
        }
        assert_eq!(code(&b"([".repeat(10_000)), None);
        // Each tuple holds the one before twice: 2^40 texts if they were all copied.
        let mut many = b"\xa9\x01N".to_vec();
        for index in 0..40u32 {
            many.extend(b"\xa9\x02r");
            many.extend(index.to_le_bytes());
            many.push(b'r');
            many.extend(index.to_le_bytes());
        }
        assert_eq!(code(&[b"\xa9\x29".to_vec(), many].concat()), None);
        // Cut anywhere, nothing is claimed to have been read.
        for (version, name, bytes) in samples() {
            for end in 0..bytes.len() {
                // The layout of another version may do without the last table; it sees the same names.
                let cut = code(&bytes[..end]);
                assert!(cut.is_none() || cut == code(&bytes), "{name} of {version} cut at {end}");
            }
        }
    }
}
