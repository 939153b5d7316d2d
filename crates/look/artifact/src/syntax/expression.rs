//! Expressions of Python and Jinja by operator precedence, into an arena.

use super::token::{Dialect, Kind, Token, tokens};
use super::tree::{Argument, Clause, Expr, ExprId, Program};

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

    fn atom(&mut self, kind: Kind) -> ExprId {
        self.at += 1;
        match kind {
            Kind::Text(_) | Kind::Bytes(_) | Kind::Format(_) => self.literal(kind),
            Kind::Number(number) => self.add(Expr::Number(number)),
            Kind::Op("(") => {
                let found = self.sequence(")");
                match found {
                    Sequence::One(value) => value,
                    Sequence::Many(items) => self.add(Expr::Tuple(items)),
                    Sequence::Comprehension(id) => id,
                }
            }
            Kind::Op("[") => match self.sequence("]") {
                Sequence::One(item) => self.add(Expr::List(vec![item])),
                Sequence::Many(items) => self.add(Expr::List(items)),
                Sequence::Comprehension(id) => id,
            },
            Kind::Op("{") => self.braces(),
            Kind::Op("...") => self.add(Expr::Name("Ellipsis".to_owned())),
            _ => self.bad(),
        }
    }

    /// A literal and the ones right behind it, which Python joins.
    fn literal(&mut self, first: Kind) -> ExprId {
        let mut parts: Vec<ExprId> = Vec::new();
        let mut is_format = false;
        let mut text = String::new();
        let mut bytes: Option<Vec<u8>> = None;
        let mut next = Some(first);
        while let Some(kind) = next.take() {
            match kind {
                Kind::Text(more) => text.push_str(&more),
                Kind::Bytes(more) => bytes.get_or_insert_default().extend(more),
                Kind::Format(raw) => {
                    is_format = true;
                    if !text.is_empty() {
                        let part = self.add(Expr::Text(std::mem::take(&mut text)));
                        parts.push(part);
                    }
                    self.format(&raw, &mut parts);
                }
                _ => {}
            }
            if matches!(self.kind(), Some(Kind::Text(_) | Kind::Bytes(_) | Kind::Format(_))) {
                next = self.kind().cloned();
                self.at += 1;
            }
        }
        if is_format {
            if !text.is_empty() {
                let part = self.add(Expr::Text(text));
                parts.push(part);
            }
            return self.add(Expr::Format(parts));
        }
        match bytes {
            Some(bytes) => self.add(Expr::Bytes(bytes)),
            None => self.add(Expr::Text(text)),
        }
    }

    /// The parts of an f-string's body.
    fn format(&mut self, raw: &str, parts: &mut Vec<ExprId>) {
        let mut rest = raw;
        while let Some(open) = rest.find(['{', '}']) {
            if rest[open..].starts_with("{{") || rest[open..].starts_with("}}") {
                let part = self.add(Expr::Text(super::token::unescape(&rest[..=open])));
                parts.push(part);
                rest = &rest[open + 2..];
                continue;
            }
            if open > 0 {
                let part = self.add(Expr::Text(super::token::unescape(&rest[..open])));
                parts.push(part);
            }
            rest = &rest[open + 1..];
            let end = closing(rest);
            let inner = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or("");
            let part = self.inner_expression(inner);
            parts.push(part);
        }
        if !rest.is_empty() {
            let part = self.add(Expr::Text(super::token::unescape(rest)));
            parts.push(part);
        }
    }

    /// One expression of an f-string, read with a cursor of its own into the same arena.
    fn inner_expression(&mut self, source: &str) -> ExprId {
        if self.format_depth >= FORMAT_DEPTH_MAX {
            self.program.cut = true;
            return self.add(Expr::Bad);
        }
        let (inner, whole) = tokens(source, Dialect::Jinja, 10_000);
        self.program.cut |= !whole;
        let outer_tokens = std::mem::replace(&mut self.tokens, inner);
        let outer_at = std::mem::replace(&mut self.at, 0);
        self.format_depth += 1;
        let id = self.expressions();
        self.format_depth -= 1;
        self.tokens = outer_tokens;
        self.at = outer_at;
        id
    }

    fn sequence(&mut self, end: &str) -> Sequence {
        let mut items = Vec::new();
        let mut commas = false;
        loop {
            if self.take_op(end) || self.kind().is_none() {
                break;
            }
            if self.take_op(",") {
                commas = true;
                continue;
            }
            let before = self.at;
            let item = self.starred();
            if self.is_word("for") || self.is_word("async") {
                let id = self.comprehension(item, None, end);
                return Sequence::Comprehension(id);
            }
            items.push(item);
            if self.at == before {
                self.at += 1;
            }
        }
        match items.as_slice() {
            [only] if !commas => Sequence::One(*only),
            _ => Sequence::Many(items),
        }
    }

    pub(super) fn comprehension(&mut self, element: ExprId, value: Option<ExprId>, end: &str) -> ExprId {
        let mut clauses = Vec::new();
        loop {
            self.take_word("async");
            if !self.take_word("for") {
                break;
            }
            let target = self.targets();
            self.take_word("in");
            let iter = self.expression(LOWEST + 1);
            let mut conditions = Vec::new();
            while self.take_word("if") {
                let condition = self.expression(LOWEST + 1);
                conditions.push(condition);
            }
            clauses.push(Clause { target, iter, conditions });
        }
        if !self.take_op(end) {
            self.program.errors = self.program.errors.saturating_add(1);
        }
        self.add(Expr::Comprehension { element, value, clauses })
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

    fn braces(&mut self) -> ExprId {
        let mut pairs = Vec::new();
        let mut items = Vec::new();
        loop {
            if self.take_op("}") || self.kind().is_none() {
                break;
            }
            if self.take_op(",") {
                continue;
            }
            let before = self.at;
            if self.take_op("**") {
                let value = self.expression(TARGET);
                pairs.push((None, value));
                continue;
            }
            let key = self.starred();
            if self.take_op(":") {
                let value = self.expression(LOWEST);
                if self.is_word("for") || self.is_word("async") {
                    return self.comprehension(key, Some(value), "}");
                }
                pairs.push((Some(key), value));
            } else if self.is_word("for") || self.is_word("async") {
                return self.comprehension(key, None, "}");
            } else {
                items.push(key);
            }
            if self.at == before {
                self.at += 1;
            }
        }
        if items.is_empty() { self.add(Expr::Dict(pairs)) } else { self.add(Expr::Set(items)) }
    }
}

enum Sequence {
    One(ExprId),
    Many(Vec<ExprId>),
    Comprehension(ExprId),
}

/// Where an f-string's `{` closes, its format and conversion left to the parser, which stops before them.
fn closing(text: &str) -> usize {
    let mut depth = 0u32;
    let mut quote: Option<u8> = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), b) if b == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'{' | b'(' | b'[') => depth += 1,
            (None, b'}') if depth == 0 => return at,
            (None, b'}' | b')' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}
