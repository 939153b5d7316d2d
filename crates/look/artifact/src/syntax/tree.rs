//! Syntax trees as arenas: children are indices, so that neither walking nor dropping one recurses.

/// Index of an expression in its [`Program`].
pub(crate) type ExprId = u32;

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Argument {
    /// `name=value`.
    pub(crate) name: Option<String>,
    /// 1 for `*value`, 2 for `**value`.
    pub(crate) stars: u8,
    /// The value.
    pub(crate) value: ExprId,
}

/// `for target in iter if condition` of a comprehension.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clause {
    /// What each item is bound to.
    pub(crate) target: ExprId,
    /// What is walked.
    pub(crate) iter: ExprId,
    /// Conditions that follow.
    pub(crate) conditions: Vec<ExprId>,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// Identifier; `True`, `False` and `None` too.
    Name(String),
    /// Text literal (adjacent ones joined).
    Text(String),
    /// Bytes literal.
    Bytes(Vec<u8>),
    /// Number as written.
    Number(String),
    /// f-string: literal and computed parts in order.
    Format(Vec<ExprId>),
    /// `of.name`.
    Attribute { of: ExprId, name: String },
    /// `of(arguments)`.
    Call { of: ExprId, arguments: Vec<Argument> },
    /// `of[index]`.
    Index { of: ExprId, index: ExprId },
    /// `low:high:step` inside an index.
    Slice([Option<ExprId>; 3]),
    /// Operators, comparisons and `:=` alike.
    Binary { op: &'static str, left: ExprId, right: ExprId },
    /// `-`, `+`, `~`, `not`, `await`, `yield`.
    Unary { op: &'static str, of: ExprId },
    /// `[a, b]`.
    List(Vec<ExprId>),
    /// `(a, b)` or `a, b`.
    Tuple(Vec<ExprId>),
    /// `{a, b}`.
    Set(Vec<ExprId>),
    /// `{key: value}`; no key for `**value`.
    Dict(Vec<(Option<ExprId>, ExprId)>),
    /// `lambda parameters: body`.
    Lambda { parameters: Vec<String>, body: ExprId },
    /// `yes if test else no`.
    Choice { test: ExprId, yes: ExprId, no: Option<ExprId> },
    /// List, set, dictionary or generator comprehension.
    Comprehension { element: ExprId, value: Option<ExprId>, clauses: Vec<Clause> },
    /// `*value`.
    Star(ExprId),
    /// Jinja: `of | name(arguments)`.
    Filter { of: ExprId, name: String, arguments: Vec<Argument> },
    /// Jinja: `of is name argument`.
    Test { of: ExprId, name: String, arguments: Vec<Argument> },
    /// Could not be read.
    Bad,
}

/// One name that an import binds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Imported {
    /// Dotted path: module, or module and name.
    pub(crate) path: String,
    /// The name it is bound to here; `*` for all.
    pub(crate) bound: String,
}

/// A statement, blocks flattened: what matters is order and scope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    /// `import a.b as c`, `from a import b`. The number counts the leading dots.
    Import { names: Vec<Imported>, level: u32 },
    /// `target = value`, `target += value` (with its operator), `target: T = value`.
    Assign { targets: Vec<ExprId>, op: Option<&'static str>, value: ExprId },
    /// `for target in iter`.
    For { target: ExprId, iter: ExprId },
    /// `with value as target`.
    With { value: ExprId, target: Option<ExprId> },
    /// `def name(parameters)`: the scope it opens.
    Function { name: String, parameters: Vec<String>, defaults: Vec<ExprId>, scope: u32 },
    /// `class name(bases)`: the scope it opens.
    Class { name: String, arguments: Vec<Argument>, scope: u32 },
    /// `@expression`.
    Decorator(ExprId),
    /// `return value`.
    Return(ExprId),
    /// Any other expression: bare, condition, raised, asserted, deleted.
    Expression(ExprId),
}

/// What a scope is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    /// The file itself: runs on import.
    Module,
    /// A class body: runs on import.
    Class,
    /// A function: runs when called.
    Function,
}

/// A scope and the one around it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scope {
    /// What it is.
    pub(crate) kind: ScopeKind,
    /// Its name; empty for the module.
    pub(crate) name: String,
    /// The scope around it; its own index for the module.
    pub(crate) parent: u32,
}

/// A statement with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    /// What is said.
    pub(crate) statement: Statement,
    /// 1-based line.
    pub(crate) line: u32,
    /// Index into [`Program::scopes`].
    pub(crate) scope: u32,
}

/// A parsed source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Program {
    /// Expressions; children have smaller indices than their parents.
    pub(crate) exprs: Vec<Expr>,
    /// Lines of the expressions.
    pub(crate) lines: Vec<u32>,
    /// Statements in the order of the source.
    pub(crate) statements: Vec<Placed>,
    /// The module first.
    pub(crate) scopes: Vec<Scope>,
    /// Places that could not be read.
    pub(crate) errors: u32,
    /// Something was left out: too long or too deep.
    pub(crate) cut: bool,
}

impl Program {
    /// The expression of that id.
    #[must_use]
    pub(crate) fn expr(&self, id: ExprId) -> &Expr {
        self.exprs.get(id as usize).unwrap_or(&Expr::Bad)
    }

    /// The line on which it ends.
    #[must_use]
    pub(crate) fn line(&self, id: ExprId) -> u32 {
        self.lines.get(id as usize).copied().unwrap_or(0)
    }
}
