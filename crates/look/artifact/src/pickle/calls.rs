//! What happens when a pickle names, calls, makes, builds or fills something.
//!
//! CPython's `REDUCE` is `callable(*arguments)`, with no questions asked. What the callable is may be
//! hidden behind attribute paths, partials, getters and computed names; all of them are followed here.

use crate::knowledge::{Standing, Uses};
use crate::pickle::machine::Machine;
use crate::pickle::names::{Call, Special};
use crate::pickle::note::{self, Note};
use crate::pickle::payload;
use crate::pickle::raw;
use crate::pickle::value::{Node, Sym, Value};

/// Partials of partials that are followed.
const CHAIN_MAX: usize = 64;
/// Calls of one callable whose arguments are read for payloads.
const CALLS_READ_MAX: u64 = 200;
/// Texts of one call that are read.
const TEXTS_READ_MAX: usize = 64;

/// What a call leads to.
enum Next {
    /// Its result.
    Done(Value),
    /// Another call.
    Call(Value, Value),
}

impl Machine<'_> {
    /// GLOBAL: names a callable.
    pub(crate) fn global(&mut self, at: u64, module: &str, name: &str) -> Value {
        self.names.intern(at, module, name, self.knowledge).map_or(Value::LOST, Value::global)
    }

    /// STACK_GLOBAL: the names are values.
    pub(crate) fn stack_global(&mut self, at: u64, module: Value, name: Value) -> Value {
        match (self.literal(module), self.literal(name)) {
            (Some(module), Some(name)) => self.global(at, &module, &name),
            _ if module == Value::LOST || name == Value::LOST => self.lose(at),
            _ => {
                self.note(&note::COMPUTED_CALL, at, "a global whose name is computed", "");
                Value::UNKNOWN
            }
        }
    }

    /// REDUCE, INST, OBJ: `callable(*arguments)`.
    pub(crate) fn reduce(&mut self, at: u64, callable: Value, arguments: Value) -> Value {
        self.calls += 1;
        let (mut callable, mut arguments) = (callable, arguments);
        for _ in 0..CHAIN_MAX {
            let next = match callable.sym() {
                Sym::Global(index) => self.call(at, index, arguments),
                Sym::Node(index) => self.call_node(at, index, arguments),
                Sym::Function => {
                    let shown = self.show_call("<function from the pickle>", arguments);
                    self.note(&note::CARRIED_CODE_CALL, at, "calls a function that it made from its own code", &shown);
                    Next::Done(Value::UNKNOWN)
                }
                Sym::Lost => Next::Done(self.lose(at)),
                Sym::Instance(index) if self.makes_classes(index) => {
                    let path = self.path(index);
                    self.note(&note::UNKNOWN_CALL, at, &format!("calls a class made by `{path}`"), "");
                    Next::Done(callable)
                }
                Sym::Instance(index) => {
                    let shown = self.show_call(&format!("<{}>", self.path(index)), arguments);
                    self.note(&note::COMPUTED_CALL, at, &format!("calls an object it has made: {shown}"), &shown);
                    Next::Done(Value::UNKNOWN)
                }
                Sym::Unknown | Sym::Computed | Sym::Persistent => {
                    let shown = self.show_call("<computed>", arguments);
                    self.note(&note::COMPUTED_CALL, at, &format!("calls what it has computed: {shown}"), &shown);
                    Next::Done(Value::UNKNOWN)
                }
                _ => {
                    self.broken(at, "calls what cannot be called");
                    Next::Done(Value::UNKNOWN)
                }
            };
            match next {
                Next::Done(value) => return value,
                Next::Call(another, with) => (callable, arguments) = (another, with),
            }
        }
        self.note(&note::COMPUTED_CALL, at, "calls through a long chain of partials", "");
        Value::UNKNOWN
    }

    /// NEWOBJ: `class.__new__(class, *arguments)`, which runs no `__init__`.
    pub(crate) fn new_object(&mut self, at: u64, class: Value, arguments: Value) -> Value {
        let Sym::Global(index) = class.sym() else {
            return match class.sym() {
                Sym::Instance(_) => class,
                _ => self.reduce(at, class, arguments),
            };
        };
        let Some(name) = self.names.get_mut(index) else { return Value::UNKNOWN };
        if name.special != Special::No || matches!(name.standing, Standing::Dangerous(_)) {
            return self.reduce(at, class, arguments);
        }
        name.made.get_or_insert(at);
        self.keep_all |= raw::is_wrapper(&name.module, &name.name);
        Value::instance(index)
    }

    /// BUILD: gives an object its state.
    pub(crate) fn build(&mut self, at: u64, target: Value, state: Value) {
        match target.sym() {
            Sym::Global(_) | Sym::Module(_) => {
                let shown = self.show_call("setstate", target);
                self.note(&note::OVERWRITES, at, "sets attributes of something it did not make", &shown);
            }
            Sym::Instance(index) => {
                let wrapper = self.names.get(index).is_some_and(|name| raw::is_wrapper(&name.module, &name.name));
                if wrapper {
                    self.keep_all = false;
                    self.array = raw::Array::of(self, state);
                }
            }
            Sym::Node(index) => self.build_node(index, state),
            _ => {}
        }
    }

    /// `partial.__setstate__` takes `(callable, arguments, keywords, attributes)` and replaces all.
    fn build_node(&mut self, index: u32, state: Value) {
        if !matches!(self.arena.get(index), Some(Node::Partial { .. })) {
            return;
        }
        let Some([callable, arguments, ..]) = self.arena.tuple_items(state) else { return };
        let (callable, arguments) = (*callable, *arguments);
        let items = self.arena.tuple_items(arguments).map(<[Value]>::to_vec).unwrap_or_default();
        if let Some((start, len)) = self.arena.items(&items) {
            self.arena.replace(index, Node::Partial { callable, start, len });
        }
    }

    /// APPENDS and its like on something that is no plain container: a method is called.
    pub(crate) fn fill_other(&mut self, at: u64, target: Value, method: &'static str) {
        match target.sym() {
            Sym::Global(index) => {
                let path = self.path(index);
                self.note(&note::OVERWRITES, at, &format!("calls `{path}.{method}`"), "");
            }
            Sym::Module(_) | Sym::Function => self.note(&note::OVERWRITES, at, &format!("calls `{method}` on it"), ""),
            Sym::Plain | Sym::None | Sym::Bool(_) | Sym::Int(_) | Sym::Text(_) | Sym::Bytes(_) => {
                self.broken(at, "fills what is no container");
            }
            _ => {}
        }
    }

    /// PERSID, BINPERSID: the loader provides the object.
    pub(crate) fn persistent(&mut self, at: u64, id: Value) -> Value {
        let kind = self.arena.tuple_items(id).and_then(|items| items.first().copied());
        match kind.and_then(|kind| self.literal(kind)).as_deref() {
            Some("storage") => {
                self.keep_persistent(id);
                Value::PERSISTENT
            }
            // torch's old way to note the source of a module: the class itself comes back.
            Some("module") => {
                self.arena.tuple_items(id).and_then(|items| items.get(1).copied()).unwrap_or(Value::UNKNOWN)
            }
            _ => {
                if !self.notes.iter().any(|known| std::ptr::eq(known.face, &raw const note::PERSISTENT_ID)) {
                    let shown = self.show_call("persistent_load", id);
                    self.note(&note::PERSISTENT_ID, at, "asks the loader for an object", &shown);
                }
                Value::PERSISTENT
            }
        }
    }

    /// EXT: a callable by its number in `copyreg`'s registry.
    pub(crate) fn extension(&mut self, at: u64, code: i64) -> Value {
        if let Some(known) = self.extensions.get(&code) {
            return *known;
        }
        self.note(&note::EXTENSION, at, &format!("extension code {code}"), "");
        Value::UNKNOWN
    }

    /// Calls a named callable.
    fn call(&mut self, at: u64, index: u32, arguments: Value) -> Next {
        let Some(name) = self.names.get_mut(index) else { return Next::Done(Value::UNKNOWN) };
        name.calls += 1;
        let (special, standing, calls) = (name.special, name.standing, name.calls);
        let listed = matches!(standing, Standing::Known(uses) if uses.has(Uses::CALLED));
        let told = name.call.as_ref().is_some_and(|call| call.payload.is_some());
        self.keep_all |= raw::is_wrapper(&name.module, &name.name);
        if (!listed || special != Special::No) && !told && calls <= CALLS_READ_MAX {
            self.read_call(at, index, arguments);
        }
        if special == Special::No {
            // What a dangerous call gives is nobody's guess; calling it in turn adds nothing.
            return Next::Done(Value::instance(index));
        }
        let items = self.arena.tuple_items(arguments).map(<[Value]>::to_vec).unwrap_or_default();
        if arguments == Value::LOST {
            return Next::Done(self.lose(at));
        }
        self.call_special(at, index, special, &items)
    }

    fn call_special(&mut self, at: u64, index: u32, special: Special, items: &[Value]) -> Next {
        let first = items.first().copied().unwrap_or(Value::UNKNOWN);
        let second = items.get(1).copied().unwrap_or(Value::UNKNOWN);
        let node = |machine: &mut Self, node| Next::Done(machine.arena.node(node).unwrap_or(Value::LOST));
        match special {
            Special::GetAttr => Next::Done(self.get_attribute(at, first, second)),
            Special::AttrGetter => node(self, Node::AttrGetter { name: first }),
            Special::MethodCaller => match self.arena.items(items.get(1..).unwrap_or_default()) {
                Some((start, len)) => node(self, Node::MethodCaller { name: first, start, len }),
                None => Next::Done(Value::LOST),
            },
            Special::Partial => match self.arena.items(items.get(1..).unwrap_or_default()) {
                Some((start, len)) => node(self, Node::Partial { callable: first, start, len }),
                None => Next::Done(Value::LOST),
            },
            Special::Import => Next::Done(match self.literal(first) {
                Some(module) => Value::module(self.names.module(&module)),
                None => Value::UNKNOWN,
            }),
            Special::NewObject => {
                let rest = self.arena.tuple(items.get(1..).unwrap_or_default()).unwrap_or(Value::LOST);
                Next::Done(self.new_object(at, first, rest))
            }
            Special::Reconstructor => Next::Done(self.new_object(at, first, Value::PLAIN)),
            Special::Type => self.call_type(at, index, items),
            Special::TypeByName => match self.literal(first) {
                // `CodeType` is of `types`; dill names built-in types in the same way.
                Some(name) => {
                    let module = if name.ends_with("Type") { "types" } else { "builtins" };
                    Next::Done(self.global(at, module, &name))
                }
                None => Next::Done(Value::UNKNOWN),
            },
            Special::MakeFunction | Special::MakeCode => {
                self.carried(at, index, items);
                Next::Done(if special == Special::MakeCode { Value::COMPUTED } else { Value::FUNCTION })
            }
            Special::Compute => Next::Done(Value::COMPUTED),
            Special::LoadBytes => {
                if let Sym::Bytes(literal) = first.sym()
                    && let Some(extent) = self.texts.extent(literal)
                {
                    self.loaded.push(extent);
                }
                Next::Done(Value::instance(index))
            }
            // `func(*args)` for `(func, type, args, state)`.
            Special::Apply => {
                let arguments = items.get(2).copied().unwrap_or(Value::PLAIN);
                Next::Call(first, arguments)
            }
            Special::AddExtension => {
                let value = self.stack_global(at, first, second);
                if let Some(Sym::Int(code)) = items.get(2).map(|code| code.sym()) {
                    self.extensions.insert(code, value);
                }
                Next::Done(Value::NONE)
            }
            Special::Dtype => node(self, Node::Dtype { spec: first }),
            Special::No => Next::Done(Value::instance(index)),
        }
    }

    /// Calls a partial, a getter or a method caller.
    fn call_node(&mut self, at: u64, index: u32, arguments: Value) -> Next {
        let Some(node) = self.arena.get(index).cloned() else { return Next::Done(Value::UNKNOWN) };
        let items = self.arena.tuple_items(arguments).map(<[Value]>::to_vec).unwrap_or_default();
        let first = items.first().copied().unwrap_or(Value::UNKNOWN);
        match node {
            Node::Partial { callable, start, len } => {
                let mut all = self.arena.range(start, len).to_vec();
                all.extend(items);
                let all = if all.is_empty() { Value::PLAIN } else { self.arena.tuple(&all).unwrap_or(Value::LOST) };
                Next::Call(callable, all)
            }
            Node::AttrGetter { name } => Next::Done(self.get_attribute(at, first, name)),
            Node::MethodCaller { name, start, len } => {
                let method = self.get_attribute(at, first, name);
                let with = self.arena.range(start, len).to_vec();
                let with = if with.is_empty() { Value::PLAIN } else { self.arena.tuple(&with).unwrap_or(Value::LOST) };
                Next::Call(method, with)
            }
            Node::Tuple { .. } | Node::Dtype { .. } => {
                self.broken(at, "calls what cannot be called");
                Next::Done(Value::UNKNOWN)
            }
        }
    }

    /// `getattr(target, name)`, the name possibly a path (`attrgetter('a.b')`).
    fn get_attribute(&mut self, at: u64, target: Value, name: Value) -> Value {
        let Some(attribute) = self.literal(name) else {
            if name == Value::LOST {
                return self.lose(at);
            }
            self.note(&note::COMPUTED_CALL, at, "reads an attribute whose name is computed", "");
            return Value::UNKNOWN;
        };
        let (module, path, owner) = match target.sym() {
            Sym::Global(index) | Sym::Instance(index) => match self.names.get(index) {
                Some(owner) => (owner.module.to_string(), format!("{}.{attribute}", owner.name), Some(owner.standing)),
                None => return Value::UNKNOWN,
            },
            Sym::Module(index) => (self.names.module_name(index).to_owned(), attribute, None),
            Sym::Lost => return self.lose(at),
            Sym::Unknown | Sym::Computed | Sym::Persistent => ("<computed>".to_owned(), attribute, None),
            Sym::Function => ("<function>".to_owned(), attribute, None),
            _ => ("builtins".to_owned(), format!("object.{attribute}"), None),
        };
        let Some(index) = self.names.intern(at, &module, &path, self.knowledge) else { return Value::LOST };
        // An attribute of a known class (an enumeration's member, a class method) is as known as the
        // class; calling it is another matter.
        if matches!(owner, Some(Standing::Known(_)))
            && let Some(named) = self.names.get_mut(index)
            && !matches!(named.standing, Standing::Dangerous(_) | Standing::Known(_))
        {
            named.standing = Standing::Known(Uses::NAMED);
        }
        Value::global(index)
    }

    /// `type(x)` asks, `type(name, bases, members)` makes a class out of what it is given.
    fn call_type(&mut self, at: u64, index: u32, items: &[Value]) -> Next {
        if items.len() >= 3 {
            let shown = self.arena.tuple(items).map(|all| self.show_call("type", all)).unwrap_or_default();
            self.note(&note::COMPUTED_CALL, at, "makes a class of its own", &shown);
            return Next::Done(Value::UNKNOWN);
        }
        Next::Done(Value::instance(index))
    }

    /// A function or its code, made from the pickle's own.
    fn carried(&mut self, at: u64, index: u32, items: &[Value]) {
        let path = self.path(index);
        let texts = self.texts_in(items);
        let danger = texts.iter().find(|text| payload::is_danger_in_code(text));
        let shown = self.arena.tuple(items).map(|all| self.show_call(&path, all)).unwrap_or_default();
        match danger {
            Some(word) => {
                let detail = format!("a function made by `{path}` refers to `{word}`");
                self.note(&note::CARRIED_DANGER, at, &detail, &shown);
            }
            None => self.note(&note::CARRIED_CODE, at, &format!("a function made by `{path}`"), &shown),
        }
    }

    /// Renders a call, and reads its arguments for what looks like a payload.
    fn read_call(&mut self, at: u64, index: u32, arguments: Value) {
        let items = self.arena.tuple_items(arguments).map(<[Value]>::to_vec).unwrap_or_default();
        let payload = self.texts_in(&items).into_iter().find(|text| payload::is_payload(text));
        let Some(name) = self.names.get(index) else { return };
        if name.call.is_some() && payload.is_none() {
            return;
        }
        let shown = self.show_call(&name.path(), arguments);
        if let Some(name) = self.names.get_mut(index) {
            name.call = Some(Call { at, shown, payload });
        }
    }

    /// Texts in the items and in what they hold, a few levels down.
    fn texts_in(&self, items: &[Value]) -> Vec<String> {
        let mut texts = Vec::new();
        let mut open: Vec<(Value, u8)> = items.iter().map(|item| (*item, 0)).collect();
        let mut seen = 0;
        while let Some((value, depth)) = open.pop() {
            seen += 1;
            if texts.len() >= TEXTS_READ_MAX || seen > 4 * TEXTS_READ_MAX {
                break;
            }
            let inner: &[Value] = match value.sym() {
                Sym::Text(at) => {
                    texts.push(self.texts.text(at));
                    &[]
                }
                Sym::Bytes(at) => {
                    texts.push(String::from_utf8_lossy(&self.texts.bytes(at, 4_096)).into_owned());
                    &[]
                }
                Sym::List(id) | Sym::Dict(id) | Sym::Set(id) => {
                    self.contents.get(&id).map(Vec::as_slice).unwrap_or_default()
                }
                _ => self.arena.tuple_items(value).unwrap_or_default(),
            };
            if depth < 4 {
                open.extend(inner.iter().map(|item| (*item, depth + 1)));
            }
        }
        texts
    }

    /// What a text or bytes literal says.
    pub(crate) fn literal(&self, value: Value) -> Option<String> {
        match value.sym() {
            Sym::Text(at) | Sym::Bytes(at) => Some(self.texts.text(at)),
            _ => None,
        }
    }

    fn keep_persistent(&mut self, id: Value) {
        if self.persistent.len() < super::machine::PERSISTENT_MAX {
            self.persistent.push(id);
        }
    }

    fn makes_classes(&self, index: u32) -> bool {
        self.names.get(index).is_some_and(|name| {
            matches!(
                &*name.name,
                "_make_skeleton_class" | "_make_skeleton_enum" | "_create_type" | "_create_namedtuple"
            )
        })
    }

    /// Something was needed for which there had been no room.
    fn lose(&mut self, _at: u64) -> Value {
        self.lost = true;
        Value::UNKNOWN
    }

    pub(crate) fn note(&mut self, face: &'static crate::Face, at: u64, detail: &str, explanation: &str) {
        const NOTES_MAX: usize = 100;
        if self.notes.len() < NOTES_MAX {
            let explanation = (!explanation.is_empty()).then(|| explanation.to_owned());
            self.notes.push(Note { face, at, detail: detail.to_owned(), explanation });
        }
    }
}
