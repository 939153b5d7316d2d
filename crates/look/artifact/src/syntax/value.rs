//! What an expression is known to be without running it.

use std::rc::Rc;

/// A folded value. `Unknown` is the honest answer most of the time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Not known.
    Unknown,
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// Text.
    Text(Rc<str>),
    /// Bytes.
    Bytes(Rc<[u8]>),
    /// List, tuple or set.
    List(Rc<Vec<Value>>),
    /// Dictionary with its pairs.
    Dict(Rc<Vec<(Value, Value)>>),
    /// Something reached through imports and attributes: `os.system`; a call's result ends in `()`.
    Symbol(Rc<str>),
    /// A function of this source whose body is one expression.
    Function { parameters: Rc<Vec<String>>, body: super::tree::ExprId },
}

impl Value {
    /// A symbol of that path, unless it grew past any name that a person writes.
    #[must_use]
    pub(crate) fn symbol(path: &str) -> Self {
        if path.len() > 300 { Self::Unknown } else { Self::Symbol(Rc::from(path)) }
    }

    /// Text of that content.
    #[must_use]
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(Rc::from(text))
    }

    /// Bytes of that content.
    #[must_use]
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(Rc::from(bytes))
    }

    /// The symbol's path.
    #[must_use]
    pub(crate) fn path(&self) -> Option<&str> {
        match self {
            Self::Symbol(path) => Some(path),
            _ => None,
        }
    }

    /// The text, or bytes read as text.
    #[must_use]
    pub(crate) fn as_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.to_string()),
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The bytes, or text as UTF-8.
    #[must_use]
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// As a person reads it in a finding, cut to `chars_max`.
    #[must_use]
    pub(crate) fn shown(&self, chars_max: usize) -> String {
        let mut out = String::new();
        self.show(&mut out, chars_max, 0);
        if out.chars().count() > chars_max {
            out = out.chars().take(chars_max).collect();
            out.push('…');
        }
        out
    }

    fn show(&self, out: &mut String, chars_max: usize, depth: u32) {
        if out.len() > chars_max || depth > 8 {
            return;
        }
        match self {
            Self::Unknown | Self::Function { .. } => out.push('…'),
            Self::None => out.push_str("None"),
            Self::Bool(true) => out.push_str("True"),
            Self::Bool(false) => out.push_str("False"),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Text(text) => {
                let head: String = text.chars().take(chars_max).collect();
                out.push_str(&format!("{head:?}"));
            }
            Self::Bytes(bytes) => {
                let head = &bytes[..bytes.len().min(chars_max)];
                out.push_str(&format!("b\"{}\"", head.escape_ascii()));
            }
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    item.show(out, chars_max, depth + 1);
                    if out.len() > chars_max {
                        return;
                    }
                }
                out.push(']');
            }
            Self::Dict(pairs) => {
                out.push('{');
                for (key, value) in pairs.iter() {
                    key.show(out, chars_max, depth + 1);
                    out.push_str(": ");
                    value.show(out, chars_max, depth + 1);
                    out.push_str(", ");
                    if out.len() > chars_max {
                        return;
                    }
                }
                out.push('}');
            }
            Self::Symbol(path) => out.push_str(path),
        }
    }
}
