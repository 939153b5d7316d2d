//! Atoms: names, literals and their pieces, brackets and what stands in them.

use super::{FORMAT_DEPTH_MAX, LOWEST, Parser, TARGET};
use crate::syntax::token::{Dialect, Kind, tokens};
use crate::syntax::tree::{Clause, Expr, ExprId};

impl Parser {
    pub(super) fn atom(&mut self, kind: Kind) -> ExprId {
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
                let part = self.add(Expr::Text(crate::syntax::token::unescape(&rest[..=open])));
                parts.push(part);
                rest = &rest[open + 2..];
                continue;
            }
            if open > 0 {
                let part = self.add(Expr::Text(crate::syntax::token::unescape(&rest[..open])));
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
            let part = self.add(Expr::Text(crate::syntax::token::unescape(rest)));
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

    pub(in crate::syntax) fn comprehension(&mut self, element: ExprId, value: Option<ExprId>, end: &str) -> ExprId {
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
