//! Python statements: flattened, in order, each with its scope. Reads on after what it cannot read.

use super::expression::Parser;
use super::token::{Dialect, Kind};
use super::tree::{Expr, ExprId, Imported, Placed, Program, Scope, ScopeKind, Statement};

/// Generated sources of model repositories stay below; an arena of this many nodes stays near 100 MB.
const TOKENS_MAX: usize = 1_000_000;

/// Reads a Python source.
#[must_use]
pub(crate) fn python(source: &str) -> Program {
    let mut parser = Parser::new(source, Dialect::Python, TOKENS_MAX);
    parser.program.scopes.push(Scope { kind: ScopeKind::Module, name: String::new(), parent: 0 });
    let mut reader = Reader { parser, open: vec![(0, 0)], level: 0, pending: None };
    reader.statements();
    reader.parser.program
}

/// Reads one Jinja expression (or the words behind a tag's name).
#[must_use]
pub(crate) fn jinja_expression(source: &str, tokens_max: usize) -> (Program, ExprId) {
    let mut parser = Parser::new(source, Dialect::Jinja, tokens_max);
    let id = parser.expressions();
    if parser.kind().is_some() {
        parser.program.errors = parser.program.errors.saturating_add(1);
    }
    (parser.program, id)
}

struct Reader {
    parser: Parser,
    /// Open scopes: index, and the block level at which their body stands.
    open: Vec<(u32, u32)>,
    level: u32,
    /// The scope whose body comes next.
    pending: Option<u32>,
}

impl Reader {
    fn statements(&mut self) {
        while let Some(kind) = self.parser.kind() {
            match kind {
                Kind::Newline | Kind::Op(";") => self.parser.at += 1,
                Kind::Indent => {
                    self.parser.at += 1;
                    self.level = self.level.saturating_add(1);
                    if let Some(scope) = self.pending.take() {
                        self.open.push((scope, self.level));
                    }
                }
                Kind::Dedent => {
                    self.parser.at += 1;
                    self.level = self.level.saturating_sub(1);
                    while self.open.len() > 1 && self.open.last().is_some_and(|(_, level)| *level > self.level) {
                        self.open.pop();
                    }
                }
                _ => {
                    let before = self.parser.at;
                    self.statement();
                    if self.parser.at == before {
                        self.parser.at += 1;
                    }
                    if matches!(self.parser.kind(), Some(Kind::Newline)) {
                        self.forget_inline_scope();
                    }
                }
            }
        }
    }

    /// `def f(): body` on one line: the scope ends with the line, unless an indented body follows.
    fn forget_inline_scope(&mut self) {
        let next = self.parser.tokens.get(self.parser.at + 1).map(|token| &token.kind);
        if !matches!(next, Some(Kind::Indent | Kind::Newline)) {
            self.pending = None;
        }
    }

    fn scope(&self) -> u32 {
        self.pending.unwrap_or_else(|| self.open.last().map_or(0, |(scope, _)| *scope))
    }

    fn place(&mut self, statement: Statement, line: u32) {
        let scope = self.scope();
        self.parser.program.statements.push(Placed { statement, line, scope });
    }

    fn expression_statement(&mut self, line: u32) {
        let id = self.parser.expressions();
        self.place(Statement::Expression(id), line);
    }

    fn statement(&mut self) {
        let line = self.parser.line();
        if self.parser.take_op("@") {
            let id = self.parser.one();
            self.place(Statement::Decorator(id), line);
            return;
        }
        let word = match self.parser.kind() {
            Some(Kind::Name(word)) => word.clone(),
            _ => String::new(),
        };
        let begins = !word.is_empty();
        if begins {
            self.parser.at += 1;
        }
        match word.as_str() {
            "import" => self.import(line),
            "from" => self.import_from(line),
            "def" => self.function(line),
            "class" => self.class(line),
            "async" | "pass" | "break" | "continue" | "global" | "nonlocal" | "try" | "finally" | "else" => {}
            "if" | "elif" | "while" | "except" | "assert" | "raise" | "del" => {
                self.parser.take_op("*");
                // What stands under `if __name__ == "__main__":` runs as a script and not on import.
                let is_script = word == "if" && self.parser.is_word("__name__");
                if !self.parser.ends() {
                    self.expression_statement(line);
                }
                if is_script {
                    self.pending = Some(self.open_scope(ScopeKind::Function, "__main__"));
                }
                if self.parser.take_word("as") || self.parser.take_word("from") {
                    self.expression_statement(line);
                }
            }
            "for" => {
                let target = self.parser.targets();
                self.parser.take_word("in");
                let iter = self.parser.expressions();
                self.place(Statement::For { target, iter }, line);
            }
            "with" => self.with(line),
            "return" => {
                if !self.parser.ends() {
                    let id = self.parser.expressions();
                    self.place(Statement::Return(id), line);
                }
            }
            // Python 2: `exec "code"` and `print "text"`.
            "exec" | "print" if matches!(self.parser.kind(), Some(Kind::Text(_) | Kind::Name(_) | Kind::Format(_))) => {
                let of = self.parser.add(Expr::Name(word));
                let value = self.parser.one();
                let arguments = vec![super::tree::Argument { name: None, stars: 0, value }];
                let call = self.parser.add(Expr::Call { of, arguments });
                self.place(Statement::Expression(call), line);
            }
            // Words that are keywords only where an expression follows.
            "match" | "case" if self.expression_follows() => self.expression_statement(line),
            "type" if self.expression_follows() => self.simple(line),
            _ => {
                self.parser.at -= usize::from(begins);
                self.simple(line);
            }
        }
        // The colon of a compound statement: what follows on the line is its body.
        self.parser.take_op(":");
    }

    fn expression_follows(&self) -> bool {
        match self.parser.kind() {
            Some(Kind::Name(name)) => {
                !matches!(name.as_str(), "in" | "is" | "and" | "or" | "not" | "if" | "else" | "for")
            }
            Some(Kind::Text(_) | Kind::Bytes(_) | Kind::Number(_) | Kind::Format(_)) => true,
            _ => false,
        }
    }

    fn simple(&mut self, line: u32) {
        let first = self.parser.expressions();
        let mut targets = vec![first];
        if self.parser.take_op(":") {
            // An annotation; or the end of `match x:` and `case y:`, behind which the line ends.
            if self.parser.ends() {
                self.place(Statement::Expression(first), line);
                return;
            }
            let annotation = self.parser.one();
            self.place(Statement::Expression(annotation), line);
        }
        let op = match self.parser.kind() {
            Some(Kind::Op(op))
                if op.len() > 1 && op.ends_with('=') && !matches!(*op, "==" | "!=" | "<=" | ">=" | ":=") =>
            {
                Some(*op)
            }
            _ => None,
        };
        if let Some(op) = op {
            self.parser.at += 1;
            let value = self.parser.expressions();
            self.place(Statement::Assign { targets, op: Some(op), value }, line);
            return;
        }
        if !self.parser.is_op("=") {
            self.place(Statement::Expression(first), line);
            if !matches!(self.parser.kind(), None | Some(Kind::Newline | Kind::Op(";" | ":"))) {
                self.parser.program.errors = self.parser.program.errors.saturating_add(1);
            }
            return;
        }
        while self.parser.take_op("=") {
            let next = self.parser.expressions();
            targets.push(next);
        }
        let value = targets.pop().unwrap_or(first);
        self.place(Statement::Assign { targets, op: None, value }, line);
    }

    fn dotted(&mut self) -> String {
        let mut path = self.parser.take_name().unwrap_or_default();
        while self.parser.take_op(".") {
            let Some(name) = self.parser.take_name() else { break };
            path.push('.');
            path.push_str(&name);
        }
        path
    }

    fn import(&mut self, line: u32) {
        let mut names = Vec::new();
        loop {
            let path = self.dotted();
            if path.is_empty() {
                break;
            }
            // `import a.b` binds `a`; `import a.b as c` binds the whole path.
            let top = path.split('.').next().unwrap_or("").to_owned();
            let imported = if self.parser.take_word("as") {
                let bound = self.parser.take_name().unwrap_or_default();
                Imported { path, bound }
            } else {
                Imported { path, bound: top }
            };
            names.push(imported);
            if !self.parser.take_op(",") {
                break;
            }
        }
        self.place(Statement::Import { names, level: 0 }, line);
    }

    fn import_from(&mut self, line: u32) {
        let mut level = 0;
        loop {
            if self.parser.take_op(".") {
                level += 1;
            } else if self.parser.take_op("...") {
                level += 3;
            } else {
                break;
            }
        }
        let module = if self.parser.is_word("import") { String::new() } else { self.dotted() };
        self.parser.take_word("import");
        let bracket = self.parser.take_op("(");
        let mut names = Vec::new();
        loop {
            if self.parser.take_op("*") {
                names.push(Imported { path: module.clone(), bound: "*".to_owned() });
            } else if let Some(name) = self.parser.take_name() {
                let path = if module.is_empty() { name.clone() } else { format!("{module}.{name}") };
                let bound =
                    if self.parser.take_word("as") { self.parser.take_name().unwrap_or_default() } else { name };
                names.push(Imported { path, bound });
            }
            if !self.parser.take_op(",") {
                break;
            }
        }
        if bracket {
            self.parser.take_op(")");
        }
        self.place(Statement::Import { names, level }, line);
    }

    fn open_scope(&mut self, kind: ScopeKind, name: &str) -> u32 {
        let scope = u32::try_from(self.parser.program.scopes.len()).unwrap_or(u32::MAX);
        let parent = self.scope();
        self.parser.program.scopes.push(Scope { kind, name: name.to_owned(), parent });
        scope
    }

    fn type_parameters(&mut self) {
        if self.parser.take_op("[") {
            while !self.parser.take_op("]") && !matches!(self.parser.kind(), None | Some(Kind::Newline)) {
                self.parser.at += 1;
            }
        }
    }

    fn function(&mut self, line: u32) {
        let name = self.parser.take_name().unwrap_or_default();
        self.type_parameters();
        let (parameters, mut defaults) =
            if self.parser.take_op("(") { self.parser.parameters(")") } else { (Vec::new(), Vec::new()) };
        if self.parser.take_op("->") {
            defaults.push(self.parser.one());
        }
        let scope = self.open_scope(ScopeKind::Function, &name);
        self.place(Statement::Function { name, parameters, defaults, scope }, line);
        self.pending = Some(scope);
    }

    fn class(&mut self, line: u32) {
        let name = self.parser.take_name().unwrap_or_default();
        self.type_parameters();
        let arguments = if self.parser.take_op("(") { self.parser.arguments() } else { Vec::new() };
        let scope = self.open_scope(ScopeKind::Class, &name);
        self.place(Statement::Class { name, arguments, scope }, line);
        self.pending = Some(scope);
    }

    fn with(&mut self, line: u32) {
        let bracket = self.parser.is_op("(") && self.bracket_holds_as();
        if bracket {
            self.parser.at += 1;
        }
        loop {
            let value = self.parser.one();
            let target = if self.parser.take_word("as") {
                Some(self.parser.expression(super::expression::TARGET))
            } else {
                None
            };
            self.place(Statement::With { value, target }, line);
            if !self.parser.take_op(",") || self.parser.is_op(")") {
                break;
            }
        }
        if bracket {
            self.parser.take_op(")");
        }
    }

    /// `with (a as b, c as d):` is no tuple.
    fn bracket_holds_as(&self) -> bool {
        let rest = self.parser.tokens.get(self.parser.at..).unwrap_or(&[]);
        rest.iter()
            .take_while(|token| !matches!(token.kind, Kind::Newline | Kind::Op(":")))
            .any(|token| matches!(&token.kind, Kind::Name(name) if name == "as"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_follow_blocks() {
        let program = python(
            "import os as o\nclass A(B):\n    def f(self, x=1):\n        return o.x(x)\n    y = 2\ndef g(): pass\nz = 3\n",
        );
        let scopes: Vec<(u32, &str)> = program
            .statements
            .iter()
            .map(|placed| (placed.line, program.scopes[placed.scope as usize].name.as_str()))
            .collect();
        assert_eq!(scopes, [(1, ""), (2, ""), (3, "A"), (4, "f"), (5, "A"), (6, ""), (7, "")]);
        assert_eq!(program.errors, 0);
    }

    #[test]
    fn what_python_accepts_is_read_without_errors() {
        let source = r#"
from __future__ import annotations
from typing import (Any, Optional as Opt,)
x: int = 3
a, *b = c = [1, 2]
f"{x!r:>{width}} {y['k']} {{literal}}" "more"
d = {**a, 'b': 1, **c}
s = {i for i in range(3) if i if i > 1}
t = x[1:2, ..., ::-1]
g = (i async for i in z)
lambda *args, k=1, **kw: (yield)
@decorator(1)
async def h(a, /, b, *, c: int = 4, **kw) -> dict[str, int]:
    async with a as b, c as (d, e):
        await x
    with (open(a) as f, g as h):
        pass
    for i, (j, k) in enumerate(z): print(i); print(j)
    else:
        return not a in b, a not in b, a is not b
    try:
        raise ValueError("x") from e
    except (A, B) as e:
        assert x, "message"
    except* C:
        del a[0], b
    if (n := 10) > 5 and not x or y: pass
    x = a if b else c
    while True:
        break
    match x:
        case [1, *rest] if rest:
            pass
    return -x ** 2 @ y // ~z
class M[T](nn.Module, metaclass=Meta):
    """doc"""
    a: int
    global q
"#;
        let program = python(source);
        assert_eq!(program.errors, 0, "{:#?}", program.statements.iter().map(|p| p.line).collect::<Vec<_>>());
        assert!(!program.cut);
    }

    #[test]
    fn depth_and_nonsense_are_survived() {
        for source in [
            "(".repeat(100_000),
            "-".repeat(100_000),
            "a.".repeat(50_000),
            "f'{f'{f'{".repeat(1000),
            "lambda:".repeat(50_000),
            "x if ".repeat(50_000),
            "not ".repeat(50_000),
            "{".repeat(9999),
            "a[".repeat(9999),
            "def f(x=".repeat(999),
            "@".repeat(99),
        ] {
            let _ = python(&source);
            let _ = jinja_expression(&source, 100_000);
        }
        assert!(python(&"(".repeat(1000)).cut);
    }

    #[test]
    fn jinja_filters_and_tests() {
        let (program, id) =
            jinja_expression("messages[0].role|trim if x is not none and y is divisibleby 3 else 'a' ~ 'b'", 100);
        assert_eq!(program.errors, 0);
        assert!(matches!(program.expr(id), Expr::Choice { .. }));
    }
}
