//! Calls: what is called in the end, with which operands, and what that gives.

use super::builtin;
use super::fold::{Call, Place, Walker, follow_into};
use super::tree::{Argument, Expr, ExprId, ScopeKind};
use super::value::Value;

/// Code that unwraps code: deeper is hostile anyway and reported by the outer `exec`.
const NESTED_SOURCES_MAX: u32 = 6;

/// Calls kept.
const CALLS_MAX: usize = 50_000;

impl Walker<'_> {
    pub(super) fn call(&mut self, of: ExprId, arguments: &[Argument], id: ExprId) -> Value {
        let callee = self.callee(of);
        let mut positional = Vec::with_capacity(arguments.len());
        let mut named = Vec::new();
        for argument in arguments {
            let value = self.eval(argument.value);
            match (&argument.name, argument.stars) {
                (Some(name), _) => named.push((name.clone(), value)),
                (None, 1) => match value {
                    Value::List(items) => positional.extend(items.iter().cloned()),
                    _ => positional.push(Value::Unknown),
                },
                (None, 2) => {}
                (None, _) => positional.push(value),
            }
        }
        let folded = self.apply(&callee, &positional, &named);
        self.list(of, &callee, positional, named, id);
        folded
    }

    /// What is called; a method of a constant keeps its owner in `Method`.
    fn callee(&mut self, of: ExprId) -> Callee {
        if let Expr::Attribute { of: owner, name } = self.program.expr(of) {
            let (owner, name) = (*owner, name.clone());
            let is_constant = {
                let value = self.quietly(owner);
                matches!(value, Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Int(_) | Value::Dict(_))
            };
            if is_constant {
                let value = self.eval(owner);
                return Callee::Method(value, name);
            }
        }
        Callee::Value(self.eval(of))
    }

    fn apply(&mut self, callee: &Callee, arguments: &[Value], named: &[(String, Value)]) -> Value {
        match callee {
            Callee::Method(owner, name) => builtin::method(owner, name, arguments, &mut self.budget.bytes),
            Callee::Value(Value::Symbol(path)) => {
                // `partial(f, x)` is `f` to whoever looks for what is called in the end.
                builtin::call(path, arguments, named, &mut self.budget.bytes)
            }
            Callee::Value(Value::Function { parameters, body }) => {
                let before = self.locals.len();
                let values = parameters.iter().zip(arguments.iter().cloned().chain(std::iter::repeat(Value::Unknown)));
                let bound: Vec<(String, Value)> = values.map(|(name, value)| (name.clone(), value)).collect();
                self.locals.extend(bound);
                // `def f(m): return m.system("id")` does what it does with the module it is given.
                let is_given_symbol = arguments.iter().any(|value| value.path().is_some());
                let value = if is_given_symbol { self.eval(*body) } else { self.quietly(*body) };
                self.locals.truncate(before);
                value
            }
            Callee::Value(_) => Value::Unknown,
        }
    }

    fn list(&mut self, of: ExprId, callee: &Callee, arguments: Vec<Value>, named: Vec<(String, Value)>, id: ExprId) {
        let Callee::Value(Value::Symbol(path)) = callee else { return };
        if self.quiet > 0 {
            return;
        }
        if self.seen.calls.len() >= CALLS_MAX {
            self.seen.cut = true;
            return;
        }
        let path = match (path.strip_prefix("operator.methodcaller:"), arguments.first()) {
            (Some(name), Some(Value::Symbol(owner))) => format!("{owner}.{name}"),
            _ => path.to_string(),
        };
        let line = self.place.line.unwrap_or_else(|| self.program.line(id));
        let function = self.place.in_function.clone().unwrap_or_else(|| self.function_around());
        let disguised = !self.is_written(of, &path);
        // What exec runs is read too, as if it stood here.
        if ["exec", "eval", "compile"].iter().any(|name| builtin::is_builtin(&path, name))
            && let Some(source) = arguments.first().and_then(Value::as_text)
        {
            if self.place.level < NESTED_SOURCES_MAX {
                let place =
                    Place { line: Some(line), in_function: Some(function.clone()), level: self.place.level + 1 };
                follow_into(&source, self.seen, self.budget, &place);
            } else {
                self.seen.cut = true;
            }
        }
        let call = Call {
            symbol: path,
            arguments,
            named,
            line,
            on_import: function.is_empty(),
            function,
            disguised,
            unwrapped: self.place.level > 0,
        };
        self.seen.calls.push(call);
    }

    /// Whether the call's last name stands in the source as it is called.
    fn is_written(&self, of: ExprId, path: &str) -> bool {
        let last = builtin::last(path);
        match self.program.expr(of) {
            // An alias is written where it is bound: `import os as o`, `s = os.system`.
            Expr::Name(_) => true,
            Expr::Attribute { name, .. } => name == last,
            _ => false,
        }
    }

    pub(super) fn function_around(&self) -> String {
        let mut scope = self.scope;
        for _ in 0..self.program.scopes.len() {
            let Some(found) = self.program.scopes.get(scope as usize) else { break };
            if found.kind == ScopeKind::Function {
                let class = self.program.scopes.get(found.parent as usize);
                return match class {
                    Some(class) if class.kind == ScopeKind::Class => format!("{}.{}", class.name, found.name),
                    _ => found.name.clone(),
                };
            }
            scope = found.parent;
            if scope == 0 {
                break;
            }
        }
        String::new()
    }
}

enum Callee {
    Value(Value),
    Method(Value, String),
}
