//! What may stand behind an expression: attributes, calls with their arguments, indices, Jinja filters.

use super::expression::{LOWEST, Parser};
use super::token::{Dialect, Kind};
use super::tree::{Argument, Expr, ExprId};

impl Parser {
    /// Attributes, calls, indices and Jinja filters behind an atom.
    pub(super) fn postfix(&mut self, mut of: ExprId) -> ExprId {
        loop {
            if self.take_op(".") {
                let name = match self.kind().cloned() {
                    Some(Kind::Name(name) | Kind::Number(name)) => {
                        self.at += 1;
                        name
                    }
                    _ => return self.bad(),
                };
                of = self.add(Expr::Attribute { of, name });
            } else if self.take_op("(") {
                let arguments = self.arguments();
                of = self.add(Expr::Call { of, arguments });
            } else if self.take_op("[") {
                let index = self.index();
                of = self.add(Expr::Index { of, index });
            } else if self.dialect == Dialect::Jinja && self.format_depth == 0 && self.is_op("|") {
                self.at += 1;
                let Some(name) = self.take_name() else { return self.bad() };
                let arguments = if self.take_op("(") { self.arguments() } else { Vec::new() };
                of = self.add(Expr::Filter { of, name, arguments });
            } else {
                return of;
            }
        }
    }

    /// Arguments of a call, the opening bracket taken.
    pub(super) fn arguments(&mut self) -> Vec<Argument> {
        let mut out = Vec::new();
        loop {
            if self.take_op(")") || matches!(self.kind(), None | Some(Kind::Newline)) {
                return out;
            }
            if self.take_op(",") {
                continue;
            }
            let before = self.at;
            let stars = if self.take_op("**") { 2 } else { u8::from(self.take_op("*")) };
            let named = matches!(self.tokens.get(self.at + 1).map(|t| &t.kind), Some(Kind::Op("=")));
            let name = if named && stars == 0 { self.take_name() } else { None };
            if name.is_some() {
                self.at += 1;
            }
            let mut value = self.expression(LOWEST);
            if self.is_word("for") || self.is_word("async") {
                value = self.comprehension(value, None, ")");
                out.push(Argument { name, stars, value });
                return out;
            }
            out.push(Argument { name, stars, value });
            if self.at == before {
                self.at += 1;
            }
        }
    }

    fn index(&mut self) -> ExprId {
        let mut items = Vec::new();
        loop {
            if self.take_op("]") || self.kind().is_none() {
                break;
            }
            if self.take_op(",") {
                continue;
            }
            let before = self.at;
            let item = self.slice();
            items.push(item);
            if self.at == before {
                self.at += 1;
            }
        }
        match items.as_slice() {
            [only] => *only,
            _ => self.add(Expr::Tuple(items)),
        }
    }

    fn slice(&mut self) -> ExprId {
        let mut parts = [None; 3];
        let mut colons = 0;
        loop {
            if self.take_op(":") {
                colons += 1;
                if colons > 2 {
                    return self.bad();
                }
            } else if self.ends() || parts[colons].is_some() {
                break;
            } else {
                let value = self.starred();
                parts[colons] = Some(value);
            }
        }
        match parts {
            [Some(only), None, None] if colons == 0 => only,
            _ => self.add(Expr::Slice(parts)),
        }
    }
}
