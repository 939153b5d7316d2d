//! Folds one expression: constants, names, operators, comprehensions over constants.

use std::rc::Rc;

use super::Walker;
use crate::syntax::builtin;
use crate::syntax::tree::{Clause, Expr, ExprId};
use crate::syntax::value::Value;

impl Walker<'_> {
    pub(super) fn eval_inner(&mut self, id: ExprId) -> Value {
        let program = self.program;
        match program.expr(id) {
            Expr::Name(name) => self.name(name),
            Expr::Text(text) => Value::text(text),
            Expr::Bytes(bytes) => Value::bytes(bytes),
            Expr::Number(number) => builtin::integer(number).map_or(Value::Unknown, Value::Int),
            Expr::Format(parts) => self.format(parts),
            Expr::Attribute { of, name } => self.attribute(*of, name, id),
            Expr::Call { of, arguments } => self.call(*of, arguments, id),
            Expr::Index { of, index } => self.index(*of, *index),
            Expr::Slice(parts) => {
                for part in parts.iter().flatten() {
                    self.eval(*part);
                }
                Value::Unknown
            }
            Expr::Binary { op, left, right } => self.binary_chain(op, *left, *right),
            Expr::Unary { op, of } => {
                let value = self.eval(*of);
                match (*op, value) {
                    ("-", Value::Int(number)) => number.checked_neg().map_or(Value::Unknown, Value::Int),
                    ("~", Value::Int(number)) => Value::Int(!number),
                    ("await", value) => value,
                    _ => Value::Unknown,
                }
            }
            Expr::List(items) | Expr::Tuple(items) | Expr::Set(items) => {
                let values: Vec<Value> = items.iter().map(|item| self.eval(*item)).collect();
                Value::List(Rc::new(values))
            }
            Expr::Dict(pairs) => {
                let mut out = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    let key = key.map_or(Value::Unknown, |key| self.eval(key));
                    let value = self.eval(*value);
                    out.push((key, value));
                }
                Value::Dict(Rc::new(out))
            }
            Expr::Lambda { parameters, body } => {
                let unknown: Vec<(String, Value)> =
                    parameters.iter().map(|name| (name.clone(), Value::Unknown)).collect();
                let count = unknown.len();
                self.locals.extend(unknown);
                self.eval(*body);
                self.locals.truncate(self.locals.len() - count);
                Value::Function { parameters: Rc::new(parameters.clone()), body: *body }
            }
            Expr::Choice { test, yes, no } => {
                self.eval(*test);
                let yes = self.eval(*yes);
                let no = no.map_or(Value::Unknown, |no| self.eval(no));
                if yes.path().is_some() || no == Value::Unknown { yes } else { no }
            }
            Expr::Comprehension { element, value, clauses } => self.comprehension(*element, *value, clauses),
            Expr::Star(of) => self.eval(*of),
            Expr::Filter { .. } | Expr::Test { .. } | Expr::Bad => Value::Unknown,
        }
    }

    fn name(&mut self, name: &str) -> Value {
        match name {
            "__builtins__" | "__builtin__" => return Value::symbol("builtins"),
            "True" => return Value::Bool(true),
            "False" => return Value::Bool(false),
            "None" => return Value::None,
            _ => {}
        }
        self.lookup(name).unwrap_or_else(|| Value::symbol(name))
    }

    fn format(&mut self, parts: &[ExprId]) -> Value {
        let mut out = String::new();
        let mut known = true;
        for part in parts {
            match self.eval(*part) {
                Value::Int(number) => out.push_str(&number.to_string()),
                other => match other.as_text() {
                    Some(text) => out.push_str(&text),
                    None => {
                        known = false;
                        out.push('…');
                    }
                },
            }
        }
        if known || out.len() > 1 { self.text(out) } else { Value::Unknown }
    }

    /// A text within the budget of constants.
    fn text(&mut self, text: String) -> Value {
        match self.budget.bytes.checked_sub(text.len()) {
            Some(left) => {
                self.budget.bytes = left;
                Value::Text(Rc::from(text))
            }
            None => Value::Unknown,
        }
    }

    fn attribute(&mut self, of: ExprId, name: &str, id: ExprId) -> Value {
        let value = self.eval(of);
        if builtin::is_walking_dunder(name) && self.quiet == 0 {
            let line = self.place.line.unwrap_or_else(|| self.program.line(id));
            self.seen.dunders.push((name.to_owned(), line));
        }
        if let Expr::Name(owner) = self.program.expr(of)
            && let Some(bound) = self.bindings.first().and_then(|names| names.get(&format!("{owner}.{name}")))
        {
            return bound.clone();
        }
        member(&value, name)
    }

    fn index(&mut self, of: ExprId, index: ExprId) -> Value {
        let value = self.eval(of);
        if let Expr::Slice(parts) = self.program.expr(index) {
            let parts = *parts;
            let known: Vec<Option<Value>> = parts.iter().map(|part| part.map(|part| self.eval(part))).collect();
            return builtin::slice(&value, &known);
        }
        let key = self.eval(index);
        builtin::item(&value, &key)
    }

    /// `a + b + c + …` leans left: its spine is walked, not recursed into.
    fn binary_chain(&mut self, op: &'static str, left: ExprId, right: ExprId) -> Value {
        let mut spine = vec![(op, right)];
        let mut head = left;
        while let Expr::Binary { op, left, right } = self.program.expr(head) {
            spine.push((*op, *right));
            head = *left;
        }
        let mut value = self.eval(head);
        for (op, right) in spine.into_iter().rev() {
            let other = self.eval(right);
            value = match op {
                ":=" => {
                    self.assign(head, &other);
                    other
                }
                "or" | "and" if value.path().is_some() => value,
                "or" | "and" => other,
                _ => self.binary(op, value, other),
            };
        }
        value
    }

    pub(super) fn binary(&mut self, op: &str, left: Value, right: Value) -> Value {
        builtin::binary(op, &left, &right, &mut self.budget.bytes)
    }

    fn comprehension(&mut self, element: ExprId, value: Option<ExprId>, clauses: &[Clause]) -> Value {
        let before = self.locals.len();
        let mut items: Option<Vec<Value>> = None;
        for (index, clause) in clauses.iter().enumerate() {
            let walked = self.eval(clause.iter);
            if index == 0 && clauses.len() == 1 && clause.conditions.is_empty() {
                items = builtin::items(&walked);
            }
            self.bind_locals(clause.target, &Value::Unknown);
            for condition in &clause.conditions {
                self.eval(*condition);
            }
        }
        // Once for the calls in it, with unknown items.
        self.eval(element);
        if let Some(value) = value {
            self.eval(value);
        }
        self.locals.truncate(before);
        let (Some(items), None, Some(clause)) = (items, value, clauses.first()) else { return Value::Unknown };
        let mut out = Vec::with_capacity(items.len().min(4096));
        for item in items {
            self.bind_locals(clause.target, &item);
            let folded = self.quietly(element);
            self.locals.truncate(before);
            if folded == Value::Unknown || self.budget.steps == 0 {
                return Value::Unknown;
            }
            out.push(folded);
        }
        Value::List(Rc::new(out))
    }

    fn bind_locals(&mut self, target: ExprId, value: &Value) {
        match self.program.expr(target) {
            Expr::Name(name) => self.locals.push((name.clone(), value.clone())),
            Expr::Tuple(names) | Expr::List(names) => {
                let parts = match value {
                    Value::List(values) if values.len() == names.len() => values.to_vec(),
                    _ => vec![Value::Unknown; names.len()],
                };
                for (name, part) in names.iter().zip(parts) {
                    if let Expr::Name(name) = self.program.expr(*name) {
                        self.locals.push((name.clone(), part));
                    }
                }
            }
            _ => {}
        }
    }
}

/// `value.name`.
fn member(value: &Value, name: &str) -> Value {
    match value {
        Value::Symbol(path) => Value::symbol(&format!("{path}.{name}")),
        Value::Unknown | Value::Function { .. } => Value::Unknown,
        // The class of a constant is the first step of a walk to the interpreter.
        _ => Value::symbol(&format!("<constant>.{name}")),
    }
}
