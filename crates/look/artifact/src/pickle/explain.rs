//! Values written as a person would write the call.

use crate::pickle::machine::Machine;
use crate::pickle::value::{Node, Sym, Value};

/// Levels of nesting shown.
const DEPTH_MAX: u32 = 5;
/// Items of one aggregate shown.
const ITEMS_MAX: usize = 12;
/// Characters of one literal shown.
const TEXT_CHARS_MAX: usize = 600;
/// Characters of one call shown.
const CALL_CHARS_MAX: usize = 3_000;

impl Machine<'_> {
    /// `os.system('id')`.
    pub(crate) fn show_call(&self, callable: &str, arguments: Value) -> String {
        let mut out = String::from(callable);
        match self.arena.tuple_items(arguments) {
            Some(items) => {
                out.push('(');
                self.show_items(items, 1, &mut out);
                out.push(')');
            }
            None if arguments.is_plain() => out.push_str("()"),
            None => {
                out.push_str("(*");
                self.show(arguments, 1, &mut out);
                out.push(')');
            }
        }
        out
    }

    fn show_items(&self, items: &[Value], depth: u32, out: &mut String) {
        for (index, item) in items.iter().take(ITEMS_MAX).enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            self.show(*item, depth, out);
        }
        if items.len() > ITEMS_MAX {
            out.push_str(", …");
        }
    }

    /// Recursion here ends at [`DEPTH_MAX`], whatever the pickle holds.
    fn show(&self, value: Value, depth: u32, out: &mut String) {
        if depth > DEPTH_MAX || out.len() > CALL_CHARS_MAX {
            out.push('…');
            return;
        }
        match value.sym() {
            Sym::None => out.push_str("None"),
            Sym::Bool(value) => out.push_str(if value { "True" } else { "False" }),
            Sym::Int(number) => out.push_str(&number.to_string()),
            Sym::Text(at) => out.push_str(&quoted(&self.texts.text(at))),
            Sym::Bytes(at) => {
                let shown: String = self
                    .texts
                    .bytes(at, 120)
                    .iter()
                    .flat_map(|b| std::ascii::escape_default(*b))
                    .map(char::from)
                    .collect();
                out.push_str(&format!("b'{shown}'"));
            }
            Sym::List(id) => self.show_container('[', ']', id, depth, out),
            Sym::Set(id) => self.show_container('{', '}', id, depth, out),
            Sym::Dict(id) => {
                out.push('{');
                let held = self.contents.get(&id).map(Vec::as_slice).unwrap_or_default();
                for (index, pair) in held.chunks(2).take(ITEMS_MAX).enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    for (side, item) in pair.iter().enumerate() {
                        if side > 0 {
                            out.push_str(": ");
                        }
                        self.show(*item, depth + 1, out);
                    }
                }
                out.push('}');
            }
            Sym::Global(index) => out.push_str(&self.path(index)),
            Sym::Module(index) => out.push_str(self.names.module_name(index)),
            Sym::Instance(index) => out.push_str(&format!("<{}>", self.path(index))),
            Sym::Function => out.push_str("<function from the pickle>"),
            Sym::Persistent => out.push_str("<persistent>"),
            Sym::Computed => out.push_str("<computed>"),
            Sym::Plain => out.push('…'),
            Sym::Unknown | Sym::Lost => out.push('?'),
            Sym::Node(index) => self.show_node(index, depth, out),
        }
    }

    fn show_node(&self, index: u32, depth: u32, out: &mut String) {
        match self.arena.get(index) {
            Some(Node::Tuple { start, len }) => {
                out.push('(');
                self.show_items(self.arena.range(*start, *len), depth + 1, out);
                out.push_str(if *len == 1 { ",)" } else { ")" });
            }
            Some(Node::Partial { callable, start, len }) => {
                out.push_str("functools.partial(");
                self.show(*callable, depth + 1, out);
                if *len > 0 {
                    out.push_str(", ");
                    self.show_items(self.arena.range(*start, *len), depth + 1, out);
                }
                out.push(')');
            }
            Some(Node::AttrGetter { name }) => {
                out.push_str("operator.attrgetter(");
                self.show(*name, depth + 1, out);
                out.push(')');
            }
            Some(Node::MethodCaller { name, start, len }) => {
                out.push_str("operator.methodcaller(");
                self.show(*name, depth + 1, out);
                if *len > 0 {
                    out.push_str(", ");
                    self.show_items(self.arena.range(*start, *len), depth + 1, out);
                }
                out.push(')');
            }
            Some(Node::Dtype { spec }) => {
                out.push_str("numpy.dtype(");
                self.show(*spec, depth + 1, out);
                out.push(')');
            }
            None => out.push('?'),
        }
    }

    fn show_container(&self, open: char, close: char, id: u64, depth: u32, out: &mut String) {
        out.push(open);
        if let Some(items) = self.contents.get(&id) {
            self.show_items(items, depth + 1, out);
        }
        out.push(close);
    }

    pub(crate) fn path(&self, index: u32) -> String {
        self.names.get(index).map_or_else(|| "?".to_owned(), |name| name.path())
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("'");
    for character in text.chars().take(TEXT_CHARS_MAX) {
        match character {
            '\'' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        out.push('…');
    }
    out.push('\'');
    out
}
