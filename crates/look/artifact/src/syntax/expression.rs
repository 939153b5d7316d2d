//! Expressions of Python and Jinja by operator precedence, into an arena.

mod atom;

use super::token::{Dialect, Kind, Token, tokens};
use super::tree::{Argument, Expr, ExprId, Program};

/// CPython refuses 200 open brackets and Jinja recurses out near there: what is deeper never runs.
const DEPTH_MAX: u32 = 200;

/// Nested f-strings that are read.
const FORMAT_DEPTH_MAX: u32 = 4;

/// A cursor over tokens that grows a [`Program`].
pub(super) struct Parser {
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
    pub(super) program: Program,
    pub(super) dialect: Dialect,
    depth: u32,
    pub(super) format_depth: u32,
}

const BINARY: [(&str, u8); 24] = [
    ("or", 2),
    ("and", 3),
    ("in", 5),
    ("is", 5),
    ("<", 5),
    (">", 5),
    ("<=", 5),
    (">=", 5),
    ("==", 5),
    ("!=", 5),
    ("<>", 5),
    ("|", 6),
    ("^", 7),
    ("&", 8),
    ("<<", 9),
    (">>", 9),
    ("+", 10),
    ("-", 10),
    ("~", 10),
    ("*", 11),
    ("/", 11),
    ("//", 11),
    ("%", 11),
    ("@", 11),
];

/// Lowest level, comparison level (what a `for` target must stay above), unary and power levels.
pub(super) const LOWEST: u8 = 1;
pub(super) const TARGET: u8 = 6;
const NOT: u8 = 4;
const UNARY: u8 = 12;

impl Parser {
    pub(super) fn new(source: &str, dialect: Dialect, tokens_max: usize) -> Self {
        let (tokens, whole) = tokens(source, dialect, tokens_max);
        let program = Program { cut: !whole, ..Program::default() };
        Self { tokens, at: 0, program, dialect, depth: 0, format_depth: 0 }
    }

    pub(super) fn kind(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    pub(super) fn line(&self) -> u32 {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens.get(self.at.min(last)).map_or(1, |token| token.line)
    }

    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.kind(), Some(Kind::Op(found)) if *found == op)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.kind(), Some(Kind::Name(found)) if found == word)
    }

    pub(super) fn take_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn take_name(&mut self) -> Option<String> {
        let Some(Kind::Name(name)) = self.kind() else { return None };
        let name = name.clone();
        self.at += 1;
        Some(name)
    }

    pub(super) fn add(&mut self, expr: Expr) -> ExprId {
        let id = u32::try_from(self.program.exprs.len()).unwrap_or(u32::MAX);
        self.program.exprs.push(expr);
        let line = self.tokens.get(self.at.saturating_sub(1)).map_or(1, |token| token.line);
        self.program.lines.push(line);
        id
    }

    pub(super) fn bad(&mut self) -> ExprId {
        self.program.errors = self.program.errors.saturating_add(1);
        self.add(Expr::Bad)
    }

    /// An expression, commas making a tuple.
    pub(super) fn expressions(&mut self) -> ExprId {
        let first = self.starred();
        if !self.is_op(",") {
            return first;
        }
        let mut items = vec![first];
        while self.take_op(",") {
            if self.ends() {
                break;
            }
            items.push(self.starred());
        }
        self.add(Expr::Tuple(items))
    }

    /// Whether no expression can begin here.
    pub(super) fn ends(&self) -> bool {
        match self.kind() {
            None | Some(Kind::Newline | Kind::Indent | Kind::Dedent) => true,
            Some(Kind::Op(op)) => {
                matches!(*op, ")" | "]" | "}" | ":" | "=" | ";" | ",") || (op.ends_with('=') && op.len() > 1)
            }
            _ => false,
        }
    }

    pub(super) fn starred(&mut self) -> ExprId {
        if self.take_op("*") || self.take_op("**") {
            let value = self.expression(TARGET);
            return self.add(Expr::Star(value));
        }
        self.expression(LOWEST)
    }

    pub(super) fn one(&mut self) -> ExprId {
        self.expression(LOWEST)
    }

    /// An expression whose operators bind at least as tightly as `level`.
    pub(super) fn expression(&mut self, level: u8) -> ExprId {
        if self.depth >= DEPTH_MAX {
            self.program.cut = true;
            self.at += 1;
            return self.add(Expr::Bad);
        }
        self.depth += 1;
        let mut left = self.operand();
        while let Some(next) = self.operator(left, level) {
            left = next;
        }
        self.depth -= 1;
        left
    }

    fn operator(&mut self, left: ExprId, level: u8) -> Option<ExprId> {
        let line_kind = self.kind()?.clone();
        let word = match &line_kind {
            Kind::Op(op) => *op,
            Kind::Name(name) => name.as_str(),
            _ => return None,
        };
        if level <= LOWEST {
            if word == ":=" {
                self.at += 1;
                let right = self.expression(LOWEST);
                return Some(self.add(Expr::Binary { op: ":=", left, right }));
            }
            if word == "if" {
                self.at += 1;
                let test = self.expression(LOWEST + 1);
                let no = if self.take_word("else") { Some(self.expression(LOWEST)) } else { None };
                return Some(self.add(Expr::Choice { test, yes: left, no }));
            }
        }
        if word == "not" && level <= 5 {
            let next_is_in = matches!(self.tokens.get(self.at + 1).map(|t| &t.kind), Some(Kind::Name(n)) if n == "in");
            if !next_is_in {
                return None;
            }
            self.at += 2;
            let right = self.expression(TARGET);
            return Some(self.add(Expr::Binary { op: "not in", left, right }));
        }
        if word == "**" && level <= 13 {
            self.at += 1;
            let right = self.expression(UNARY);
            return Some(self.add(Expr::Binary { op: "**", left, right }));
        }
        let (op, power) = BINARY.iter().copied().find(|(op, _)| *op == word)?;
        if power < level {
            return None;
        }
        self.at += 1;
        if op == "is" {
            let negated = self.take_word("not");
            if self.dialect == Dialect::Jinja {
                return Some(self.test(left));
            }
            let right = self.expression(TARGET);
            return Some(self.add(Expr::Binary { op: if negated { "is not" } else { "is" }, left, right }));
        }
        let right = self.expression(power + 1);
        Some(self.add(Expr::Binary { op, left, right }))
    }

    fn test(&mut self, of: ExprId) -> ExprId {
        let Some(name) = self.take_name() else { return self.bad() };
        let mut arguments = Vec::new();
        if self.take_op("(") {
            arguments = self.arguments();
        } else {
            let begins = match self.kind() {
                Some(Kind::Name(name)) => !matches!(name.as_str(), "and" | "or" | "else" | "if" | "is" | "in" | "not"),
                Some(Kind::Text(_) | Kind::Number(_)) => true,
                Some(Kind::Op(op)) => matches!(*op, "[" | "{"),
                _ => false,
            };
            if begins {
                let value = self.expression(UNARY);
                arguments.push(Argument { name: None, stars: 0, value });
            }
        }
        self.add(Expr::Test { of, name, arguments })
    }

    fn operand(&mut self) -> ExprId {
        let Some(kind) = self.kind().cloned() else { return self.bad() };
        match kind {
            Kind::Op(op @ ("-" | "+" | "~")) => {
                self.at += 1;
                let of = self.expression(UNARY);
                self.add(Expr::Unary { op, of })
            }
            Kind::Name(name) => match name.as_str() {
                "not" => {
                    self.at += 1;
                    let of = self.expression(NOT);
                    self.add(Expr::Unary { op: "not", of })
                }
                "lambda" if self.dialect == Dialect::Python => self.lambda(),
                "await" if self.dialect == Dialect::Python => {
                    self.at += 1;
                    let of = self.expression(UNARY);
                    self.add(Expr::Unary { op: "await", of })
                }
                "yield" if self.dialect == Dialect::Python => {
                    self.at += 1;
                    self.take_word("from");
                    let of = if self.ends() { self.add(Expr::Tuple(Vec::new())) } else { self.expressions() };
                    self.add(Expr::Unary { op: "yield", of })
                }
                _ => {
                    self.at += 1;
                    let atom = self.add(Expr::Name(name));
                    self.postfix(atom)
                }
            },
            Kind::Newline | Kind::Indent | Kind::Dedent => self.bad(),
            _ => {
                let atom = self.atom(kind);
                self.postfix(atom)
            }
        }
    }

    fn lambda(&mut self) -> ExprId {
        self.at += 1;
        let (parameters, _) = self.parameters(":");
        let body = self.expression(LOWEST);
        self.add(Expr::Lambda { parameters, body })
    }

    /// Parameters up to and with `end`, their names and default values.
    pub(super) fn parameters(&mut self, end: &str) -> (Vec<String>, Vec<ExprId>) {
        let (mut names, mut defaults) = (Vec::new(), Vec::new());
        loop {
            if self.take_op(end) || matches!(self.kind(), None | Some(Kind::Newline | Kind::Dedent)) {
                return (names, defaults);
            }
            if let Some(name) = self.take_name() {
                names.push(name);
            } else if !(self.take_op("*") || self.take_op("**") || self.take_op(",") || self.take_op("/")) {
                self.at += 1;
            }
            if end == ")" && self.take_op(":") {
                let annotation = self.expression(LOWEST);
                defaults.push(annotation);
            }
            if self.take_op("=") {
                let default = self.expression(LOWEST);
                defaults.push(default);
            }
        }
    }

    /// Names that a `for` binds.
    pub(super) fn targets(&mut self) -> ExprId {
        let first = self.expression(TARGET);
        if !self.is_op(",") {
            return first;
        }
        let mut items = vec![first];
        while self.take_op(",") {
            if self.is_word("in") {
                break;
            }
            let item = self.expression(TARGET);
            items.push(item);
        }
        self.add(Expr::Tuple(items))
    }
}
