//! Symbolic values: what an unpickler would hold, in eight bytes each.
//!
//! A pickle of fifty million opcodes must not cost fifty million objects, so a value says only what
//! judging calls needs. Literals are known by where they stand in the file and are read again when
//! their content matters; numbers and plain aggregates hardly ever do. Containers are known by where
//! they were opened, so that a memo entry and the stack mean the same one.

/// One value: a tag in the top byte, a payload of 56 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Value(u64);

/// What a [`Value`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sym {
    /// Nothing is known of it: popped from an empty stack, missing in the memo, made by an unknown call.
    Unknown,
    /// A number, None, a boolean without its content, or an aggregate of such that needs no content.
    Plain,
    None,
    Bool(bool),
    /// An integer that fits; others are `Plain`.
    Int(i64),
    /// A string literal, by the offset of its opcode.
    Text(u64),
    /// A bytes literal, by the offset of its opcode.
    Bytes(u64),
    /// A string or bytes that a call computed: no pickler ever writes one where a name is needed.
    Computed,
    List(u64),
    Dict(u64),
    Set(u64),
    /// A node of the arena: a tuple with content, a partial, a getter.
    Node(u32),
    /// A callable or class or module attribute, by number.
    Global(u32),
    /// An imported module, by the number of its name.
    Module(u32),
    /// What calling or instantiating that global gave.
    Instance(u32),
    /// A function made from code inside the pickle.
    Function,
    /// What `persistent_load` would give.
    Persistent,
    /// An aggregate or memo entry for which there was no room: whoever needs its content must say so.
    Lost,
}

const SHIFT: u32 = 56;
const PAYLOAD: u64 = (1 << SHIFT) - 1;

impl Value {
    pub(crate) const UNKNOWN: Self = Self(0);
    pub(crate) const PLAIN: Self = Self(1 << SHIFT);
    pub(crate) const NONE: Self = Self(2 << SHIFT);
    pub(crate) const COMPUTED: Self = Self(7 << SHIFT);
    pub(crate) const FUNCTION: Self = Self(15 << SHIFT);
    pub(crate) const PERSISTENT: Self = Self(16 << SHIFT);
    pub(crate) const LOST: Self = Self(17 << SHIFT);
    /// No value at all: a gap in the memo.
    pub(crate) const EMPTY: Self = Self(u64::MAX);

    fn tagged(tag: u64, payload: u64) -> Self {
        Self(tag << SHIFT | payload & PAYLOAD)
    }

    pub(crate) fn bool(value: bool) -> Self {
        Self::tagged(3, u64::from(value))
    }

    pub(crate) fn int(value: i64) -> Self {
        // Sign survives because the payload is shifted up and down again when read.
        if (-(1 << 54)..1 << 54).contains(&value) { Self::tagged(4, value.cast_unsigned()) } else { Self::PLAIN }
    }

    pub(crate) fn text(offset: u64) -> Self {
        Self::tagged(5, offset)
    }

    pub(crate) fn bytes(offset: u64) -> Self {
        Self::tagged(6, offset)
    }

    pub(crate) fn list(offset: u64) -> Self {
        Self::tagged(8, offset)
    }

    pub(crate) fn dict(offset: u64) -> Self {
        Self::tagged(9, offset)
    }

    pub(crate) fn set(offset: u64) -> Self {
        Self::tagged(10, offset)
    }

    pub(crate) fn node(index: u32) -> Self {
        Self::tagged(11, index.into())
    }

    pub(crate) fn global(index: u32) -> Self {
        Self::tagged(12, index.into())
    }

    pub(crate) fn module(index: u32) -> Self {
        Self::tagged(13, index.into())
    }

    pub(crate) fn instance(index: u32) -> Self {
        Self::tagged(14, index.into())
    }

    /// Whether nothing in it can matter to a judgement: an aggregate of these needs no node.
    pub(crate) fn is_plain(self) -> bool {
        (1..=4).contains(&(self.0 >> SHIFT))
    }

    #[expect(clippy::cast_possible_truncation, reason = "indices were made from u32")]
    pub(crate) fn sym(self) -> Sym {
        let payload = self.0 & PAYLOAD;
        let index = payload as u32;
        match self.0 >> SHIFT {
            1 => Sym::Plain,
            2 => Sym::None,
            3 => Sym::Bool(payload != 0),
            4 => Sym::Int((payload << 8).cast_signed() >> 8),
            5 => Sym::Text(payload),
            6 => Sym::Bytes(payload),
            7 => Sym::Computed,
            8 => Sym::List(payload),
            9 => Sym::Dict(payload),
            10 => Sym::Set(payload),
            11 => Sym::Node(index),
            12 => Sym::Global(index),
            13 => Sym::Module(index),
            14 => Sym::Instance(index),
            15 => Sym::Function,
            16 => Sym::Persistent,
            17 => Sym::Lost,
            _ => Sym::Unknown,
        }
    }
}

/// What aggregates hold, as far as it is kept.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// A tuple; its items lie in the pool.
    Tuple { start: u32, len: u32 },
    /// `functools.partial(callable, *arguments)`; the arguments are a tuple's range of the pool.
    Partial { callable: Value, start: u32, len: u32 },
    /// `operator.attrgetter(name)`.
    AttrGetter { name: Value },
    /// `operator.methodcaller(name, *arguments)`.
    MethodCaller { name: Value, start: u32, len: u32 },
    /// `numpy.dtype(spec)`.
    Dtype { spec: Value },
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.sym().fmt(f)
    }
}

/// Nodes and their items, bounded: past [`Arena::NODES_MAX`] aggregates become [`Sym::Lost`].
#[derive(Debug, Default)]
pub(crate) struct Arena {
    nodes: Vec<Node>,
    pool: Vec<Value>,
}

impl Arena {
    /// 24 bytes each.
    const NODES_MAX: usize = 1_500_000;
    /// 8 bytes each.
    const POOL_MAX: usize = 4_000_000;
    /// Nobody needs more of one tuple.
    const ITEMS_MAX: usize = 4_096;

    /// A tuple, or nothing when there is no room.
    pub(crate) fn tuple(&mut self, items: &[Value]) -> Option<Value> {
        let (start, len) = self.items(items)?;
        self.node(Node::Tuple { start, len })
    }

    /// Keeps items in the pool.
    pub(crate) fn items(&mut self, items: &[Value]) -> Option<(u32, u32)> {
        let items = &items[..items.len().min(Self::ITEMS_MAX)];
        if self.pool.len() + items.len() > Self::POOL_MAX {
            return None;
        }
        let start = u32::try_from(self.pool.len()).ok()?;
        self.pool.extend_from_slice(items);
        Some((start, u32::try_from(items.len()).ok()?))
    }

    pub(crate) fn node(&mut self, node: Node) -> Option<Value> {
        if self.nodes.len() >= Self::NODES_MAX {
            return None;
        }
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).ok().map(Value::node)
    }

    pub(crate) fn replace(&mut self, index: u32, node: Node) {
        if let Some(old) = self.nodes.get_mut(index as usize) {
            *old = node;
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }

    pub(crate) fn range(&self, start: u32, len: u32) -> &[Value] {
        self.pool.get(start as usize..(start + len) as usize).unwrap_or_default()
    }

    /// A tuple's items; nothing for anything else.
    pub(crate) fn tuple_items(&self, value: Value) -> Option<&[Value]> {
        let Sym::Node(index) = value.sym() else { return None };
        let Some(Node::Tuple { start, len }) = self.get(index) else { return None };
        Some(self.range(*start, *len))
    }

    /// How full it is: below half everything is kept, above only what can matter.
    pub(crate) fn roomy(&self) -> bool {
        self.nodes.len() < Self::NODES_MAX / 2 && self.pool.len() < Self::POOL_MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_say_what_they_were_made_of() {
        for number in [0, 1, -1, (1 << 54) - 1, -(1 << 54)] {
            assert_eq!(Value::int(number).sym(), Sym::Int(number));
        }
        assert_eq!(Value::int(1 << 54).sym(), Sym::Plain);
        assert_eq!(Value::text(1 << 40).sym(), Sym::Text(1 << 40));
        assert_eq!(Value::global(7).sym(), Sym::Global(7));
        assert_eq!(Value::PERSISTENT.sym(), Sym::Persistent);
        assert!(Value::int(5).is_plain() && Value::NONE.is_plain() && !Value::text(5).is_plain());
        assert_eq!(size_of::<Value>(), 8);
    }
}
