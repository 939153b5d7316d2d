//! Follows names, constants and decoders through a Python source, and lists the calls it makes.
//!
//! Nothing runs. A value that only running would give stays unknown, but what an obfuscator does to a
//! constant (joins, slices, `chr`, base64, XOR over a literal) is undone, so that a call is judged by the
//! name and the operands it really has. Order is the source's; of two assignments the later wins.

mod evaluate;

use std::collections::HashMap;
use std::rc::Rc;

use super::builtin;
use super::tree::{Expr, ExprId, Imported, Program, Statement};
use super::value::Value;

/// Steps over one source: each visits one node. 20 million take about a second.
const STEPS_MAX: u32 = 4_000_000;

/// Below any thread's stack at the frame sizes of these functions.
const DEPTH_MAX: u32 = 220;

/// Total of constants that folding may make, so that `'a' * n * n` stays small.
pub(super) const CONSTANT_BYTES_MAX: usize = 8 << 20;

/// Begins the path of what the source itself defines.
pub(crate) const LOCAL: &str = "<local>.";

/// A call and what it is called with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// What is called: `os.system`, `subprocess.Popen`, `exec`.
    pub(crate) symbol: String,
    /// Positional arguments.
    pub(crate) arguments: Vec<Value>,
    /// Named arguments.
    pub(crate) named: Vec<(String, Value)>,
    /// 1-based line of the outermost source.
    pub(crate) line: u32,
    /// Runs when the file is imported, not only when one of its functions is called.
    pub(crate) on_import: bool,
    /// The function it stands in; empty outside.
    pub(crate) function: String,
    /// The name was not written but computed: `getattr(os, "sys" + "tem")`.
    pub(crate) disguised: bool,
    /// Stands in code that the source unwraps and executes.
    pub(crate) unwrapped: bool,
}

impl Call {
    /// As a person reads it.
    #[must_use]
    pub(crate) fn shown(&self) -> String {
        let mut parts: Vec<String> = self.arguments.iter().take(6).map(|value| value.shown(120)).collect();
        parts.extend(self.named.iter().take(6).map(|(name, value)| format!("{name}={}", value.shown(60))));
        format!("{}({})", self.symbol, parts.join(", "))
    }
}

/// What was seen in a source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Its calls, in order.
    pub(crate) calls: Vec<Call>,
    /// Modules it imports, with their line.
    pub(crate) imports: Vec<(String, u32)>,
    /// Attributes of the kind that walks from an object to the interpreter (`__globals__`), with their line.
    pub(crate) dunders: Vec<(String, u32)>,
    /// Classes defined: name, bases as written.
    pub(crate) classes: Vec<(String, Vec<String>)>,
    /// Methods and functions defined: `Class.name` or `name`.
    pub(crate) functions: Vec<String>,
    /// The reader or a budget gave up: not all was seen.
    pub(crate) cut: bool,
    /// Places that could not be read.
    pub(crate) errors: u32,
}

/// Reads and follows a Python source.
#[must_use]
pub(crate) fn follow(source: &str) -> Seen {
    let mut seen = Seen::default();
    let mut budget = Budget { steps: STEPS_MAX, bytes: CONSTANT_BYTES_MAX };
    follow_into(source, &mut seen, &mut budget, &Place::default());
    seen
}

pub(super) struct Budget {
    pub(super) steps: u32,
    pub(super) bytes: usize,
}

/// Where an unwrapped source came from.
#[derive(Clone, Default)]
pub(super) struct Place {
    pub(super) line: Option<u32>,
    pub(super) in_function: Option<String>,
    pub(super) level: u32,
}

pub(super) fn follow_into(source: &str, seen: &mut Seen, budget: &mut Budget, place: &Place) {
    let program = super::python(source);
    seen.cut |= program.cut;
    seen.errors = seen.errors.saturating_add(program.errors);
    let mut walker = Walker {
        bindings: vec![HashMap::new(); program.scopes.len().max(1)],
        program: &program,
        seen,
        budget,
        place,
        scope: 0,
        locals: Vec::new(),
        depth: 0,
        quiet: 0,
    };
    walker.run();
}

pub(super) struct Walker<'a> {
    pub(super) program: &'a Program,
    pub(super) seen: &'a mut Seen,
    pub(super) budget: &'a mut Budget,
    pub(super) place: &'a Place,
    bindings: Vec<HashMap<String, Value>>,
    pub(super) scope: u32,
    /// Parameters of functions and comprehensions being folded.
    pub(super) locals: Vec<(String, Value)>,
    depth: u32,
    /// Above zero while a function's body is folded a second time: its calls were listed already.
    pub(super) quiet: u32,
}

impl Walker<'_> {
    fn run(&mut self) {
        // Functions of one expression first: decoders stand above or below their use.
        self.bind_functions();
        let program = self.program;
        for placed in &program.statements {
            self.scope = placed.scope;
            self.statement(&placed.statement, placed.line);
            if self.budget.steps == 0 {
                self.seen.cut = true;
                return;
            }
        }
    }

    fn bind_functions(&mut self) {
        let program = self.program;
        let mut returns: HashMap<u32, (usize, ExprId)> = HashMap::new();
        for placed in &program.statements {
            if let Statement::Return(id) = placed.statement {
                let entry = returns.entry(placed.scope).or_insert((0, id));
                entry.0 += 1;
                entry.1 = id;
            }
        }
        for placed in &program.statements {
            if let Statement::Function { name, parameters, scope, .. } = &placed.statement
                && let Some((1, body)) = returns.get(scope)
            {
                let value = Value::Function { parameters: Rc::new(parameters.clone()), body: *body };
                self.bind_in(placed.scope, name, value);
            }
        }
    }

    fn statement(&mut self, statement: &Statement, line: u32) {
        match statement {
            Statement::Import { names, level } => self.import(names, *level, line),
            Statement::Assign { targets, op, value } => {
                let mut found = self.eval(*value);
                if let (Some(op), Some(target)) = (op, targets.first()) {
                    let before = self.quietly(*target);
                    found = self.binary(op.trim_end_matches('='), before, found);
                }
                for target in targets {
                    self.assign(*target, &found);
                }
            }
            Statement::For { target, iter } => {
                let value = self.eval(*iter);
                // One item is known when it is the only one; else the names are unknown.
                let item = match &value {
                    Value::List(items) if items.len() == 1 => items[0].clone(),
                    _ => Value::Unknown,
                };
                self.assign(*target, &item);
            }
            Statement::With { value, target } => {
                let found = self.eval(*value);
                if let Some(target) = target {
                    self.assign(*target, &found);
                }
            }
            Statement::Function { name, parameters, defaults, scope } => {
                for default in defaults {
                    self.eval(*default);
                }
                for parameter in parameters {
                    self.bind_in(*scope, parameter, Value::Unknown);
                }
                let class = self.scope_name();
                let full = if class.is_empty() { name.clone() } else { format!("{class}.{name}") };
                self.seen.functions.push(full);
                let known = matches!(self.bindings[self.scope as usize].get(name), Some(Value::Function { .. }));
                if !known {
                    self.bind_in(self.scope, name, Value::symbol(&format!("{LOCAL}{name}")));
                }
            }
            Statement::Class { name, arguments, .. } => {
                let mut bases = Vec::new();
                for argument in arguments {
                    let base = self.eval(argument.value);
                    bases.push(base.path().unwrap_or("").to_owned());
                }
                self.seen.classes.push((name.clone(), bases));
                self.bind_in(self.scope, name, Value::symbol(&format!("{LOCAL}{name}")));
            }
            Statement::Return(id) => {
                let value = self.eval(*id);
                if self.scope_name().starts_with("__reduce") {
                    self.reduction(&value, line);
                }
            }
            Statement::Decorator(id) | Statement::Expression(id) => {
                self.eval(*id);
            }
        }
    }

    /// What `__reduce__` returns is called by whoever unpickles the object.
    fn reduction(&mut self, value: &Value, line: u32) {
        let Value::List(parts) = value else { return };
        let Some(Value::Symbol(path)) = parts.first() else { return };
        let arguments = match parts.get(1) {
            Some(Value::List(arguments)) => arguments.to_vec(),
            _ => Vec::new(),
        };
        let call = Call {
            symbol: path.to_string(),
            arguments,
            named: Vec::new(),
            line: self.place.line.unwrap_or(line),
            on_import: false,
            function: self.function_around(),
            disguised: false,
            unwrapped: self.place.level > 0,
        };
        self.seen.calls.push(call);
    }

    fn scope_name(&self) -> &str {
        self.program.scopes.get(self.scope as usize).map_or("", |scope| scope.name.as_str())
    }

    fn import(&mut self, names: &[Imported], level: u32, line: u32) {
        for imported in names {
            let prefix = if level > 0 { "." } else { "" };
            self.seen.imports.push((format!("{prefix}{}", imported.path), self.place.line.unwrap_or(line)));
            if level > 0 || imported.bound == "*" {
                continue;
            }
            // `import a.b` binds `a`, `import a.b as c` all of it, `from a import b` `a.b`.
            let top = imported.path.split('.').next().unwrap_or("");
            let path = if imported.bound == top { top } else { imported.path.as_str() };
            let full =
                if imported.path.ends_with(&format!(".{}", imported.bound)) { imported.path.as_str() } else { path };
            self.bind_in(self.scope, &imported.bound, Value::symbol(full));
        }
        for imported in names.iter().filter(|imported| imported.bound == "*" && level == 0) {
            for name in builtin::star_names(&imported.path) {
                self.bind_in(self.scope, name, Value::symbol(&format!("{}.{name}", imported.path)));
            }
        }
    }

    fn bind_in(&mut self, scope: u32, name: &str, value: Value) {
        if let Some(names) = self.bindings.get_mut(scope as usize) {
            names.insert(name.to_owned(), value);
        }
    }

    fn assign(&mut self, target: ExprId, value: &Value) {
        match self.program.expr(target) {
            Expr::Name(name) => {
                let name = name.clone();
                self.bind_in(self.scope, &name, value.clone());
            }
            Expr::Tuple(items) | Expr::List(items) => {
                let parts = match value {
                    Value::List(values) if values.len() == items.len() => values.to_vec(),
                    _ => vec![Value::Unknown; items.len()],
                };
                let items = items.clone();
                for (item, part) in items.iter().zip(parts) {
                    if matches!(self.program.expr(*item), Expr::Name(_)) {
                        self.assign(*item, &part);
                    }
                }
            }
            Expr::Attribute { of, name } => {
                // `self.x = os.system`: remembered under its written path.
                if let Expr::Name(owner) = self.program.expr(*of) {
                    let key = format!("{owner}.{name}");
                    self.bind_in(0, &key, value.clone());
                }
                self.eval(*of);
            }
            _ => {
                self.eval(target);
            }
        }
    }

    fn lookup(&self, name: &str) -> Option<Value> {
        if let Some((_, value)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return Some(value.clone());
        }
        let mut scope = self.scope;
        for _ in 0..self.program.scopes.len().max(1) {
            if let Some(value) = self.bindings.get(scope as usize).and_then(|names| names.get(name)) {
                return Some(value.clone());
            }
            if scope == 0 {
                return None;
            }
            scope = self.program.scopes.get(scope as usize).map_or(0, |scope| scope.parent);
        }
        None
    }

    pub(super) fn quietly(&mut self, id: ExprId) -> Value {
        self.quiet += 1;
        let value = self.eval(id);
        self.quiet -= 1;
        value
    }

    /// Folds an expression and lists the calls in it.
    pub(super) fn eval(&mut self, id: ExprId) -> Value {
        if self.budget.steps == 0 || self.depth >= DEPTH_MAX {
            self.seen.cut = true;
            return Value::Unknown;
        }
        self.budget.steps -= 1;
        self.depth += 1;
        let value = self.eval_inner(id);
        self.depth -= 1;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(source: &str) -> Vec<String> {
        follow(source).calls.iter().map(Call::shown).collect()
    }

    fn reaches(source: &str, call: &str) {
        let found = symbols(source);
        assert!(found.iter().any(|shown| shown == call), "{call} not in {found:?}\n{source}");
    }

    #[test]
    fn disguises_are_undone() {
        reaches("import os as o\no.system('id')", "os.system(\"id\")");
        reaches("from os import system as s\ns('id')", "os.system(\"id\")");
        reaches("__import__('o'+'s').system('id')", "os.system(\"id\")");
        reaches("getattr(__import__('so'[::-1]), 'metsys'[::-1])('id')", "os.system(\"id\")");
        reaches(
            "import importlib\nm = importlib.import_module(''.join([chr(111), chr(115)]))\nm.popen('x').read()",
            "os.popen(\"x\")",
        );
        reaches("import base64\nexec(base64.b64decode('aW1wb3J0IG9zCm9zLnN5c3RlbSgiaWQiKQ=='))", "os.system(\"id\")");
        reaches("globals()['__builtins__'].__dict__['ev'+'al']('1+1')", "builtins.eval(\"1+1\")");
        reaches(
            "x = lambda s: bytes([b ^ 1 for b in s]).decode()\n__import__(x(b'nr')).system(x(b'he'))",
            "os.system(\"id\")",
        );
        reaches(
            "def d(s):\n    return ''.join(chr(c - 1) for c in s)\n__import__(d([112, 116])).system('id')",
            "os.system(\"id\")",
        );
        reaches(
            "import codecs\ngetattr(__import__('os'), codecs.decode('flfgrz', 'rot13'))('id')",
            "os.system(\"id\")",
        );
        reaches("import operator\noperator.attrgetter('system')(__import__('os'))('id')", "os.system(\"id\")");
        reaches("import operator, os\noperator.methodcaller('system', 'id')(os)", "os.system(os)");
        reaches("import sys\nsys.modules['os'].system('id')", "os.system(\"id\")");
        reaches(
            "class A:\n  def __reduce__(self):\n    import os\n    return (os.system, ('id',))",
            "os.system(\"id\")",
        );
        reaches("f'{__import__(\"os\").system(\"id\")}'", "os.system(\"id\")");
        reaches("import os\nclass A:\n  x = os.system('id')", "os.system(\"id\")");
        reaches("(lambda m: m.system('id'))(__import__('os'))", "os.system(\"id\")");
        reaches("for m in ['os']:\n  __import__(m).system('id')", "os.system(\"id\")");
        reaches("a, b = 'os', 'system'\ngetattr(__import__(a), b)('id')", "os.system(\"id\")");
        reaches("exec('%s%s' % ('import os;os.sys', 'tem(\"id\")'))", "os.system(\"id\")");
    }

    #[test]
    fn methods_of_models_are_not_builtins() {
        let calls = symbols(
            "def f(model):\n    model.eval()\n    self.model.compile('x')\nmodel.eval()\nimport re\nre.compile('import os')",
        );
        assert!(calls.iter().all(|call| !call.starts_with("eval") && !call.starts_with("compile")), "{calls:?}");
    }

    #[test]
    fn where_it_runs_is_told() {
        let seen = follow("import os\nos.system('a')\ndef f():\n    os.system('b')\n");
        let places: Vec<(bool, &str)> =
            seen.calls.iter().map(|call| (call.on_import, call.function.as_str())).collect();
        assert_eq!(places, [(true, ""), (false, "f")]);
    }

    #[test]
    fn growth_is_bounded() {
        let _ = follow("a = 'x' * 1000\nb = a * 1000\nc = b * 1000\nd = [c * 1000 for i in range(100000)]\n");
        let _ = follow(&"a = lambda x: a(x)\na(1)\n".repeat(10));
        let _ = follow(&"exec('".repeat(1000));
    }
}
