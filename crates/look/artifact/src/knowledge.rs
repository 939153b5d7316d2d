//! What is known of callables: which ones genuine models use, which ones no model needs, and which
//! packages the rest belongs to.
//!
//! The tables are data under `rules/callables/`. Constructors are harvested from genuine dumps of
//! pinned framework releases by `harvest.py` beside them, gadgets are found in their sources by
//! `gadgets.py`; each row names its origin. What is in no table is unknown, and never silently clean.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

const CONSTRUCTORS: &str = include_str!("../../../../rules/callables/constructors.tsv");
const LISTING: &str = include_str!("../../../../rules/callables/listing.tsv");
const DANGEROUS: &str = include_str!("../../../../rules/callables/dangerous.tsv");
const GADGETS: &str = include_str!("../../../../rules/callables/gadgets.tsv");
const STDLIB: &str = include_str!("../../../../rules/callables/stdlib.txt");

static BUILT_IN: LazyLock<Arc<Knowledge>> = LazyLock::new(|| {
    Arc::new(
        Knowledge::parse(CONSTRUCTORS, LISTING, DANGEROUS, GADGETS, STDLIB)
            .expect("the built-in tables are held by a test"),
    )
});

/// How genuine pickles use a callable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses(u8);

impl Uses {
    /// It is called with arguments (`REDUCE`).
    pub const CALLED: Self = Self(1);
    /// It is a class whose instances are made without running `__init__` (`NEWOBJ`).
    pub const NEW: Self = Self(2);
    /// It is only referred to.
    pub const NAMED: Self = Self(4);

    /// Whether all of `other` is in it.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// `c`, `n` and `g`, in any order.
    fn parse(letters: &str) -> Option<Self> {
        letters.bytes().try_fold(Self(0), |sum, letter| {
            let use_ = match letter {
                b'c' => Self::CALLED,
                b'n' => Self::NEW,
                b'g' => Self::NAMED,
                _ => return None,
            };
            Some(Self(sum.0 | use_.0))
        })
    }
}

/// What a dangerous callable does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Danger {
    /// Starts a program.
    Command,
    /// Runs Python code given as text, bytes or a code object.
    Code,
    /// Imports or runs a module by name.
    Import,
    /// Loads another pickle or the like, whose content decides.
    Load,
    /// Loads or calls machine code, or touches memory.
    Native,
    /// Opens a connection or a URL.
    Network,
    /// Reads, writes, moves or deletes files.
    File,
    /// Reaches into interpreter state: frames, globals, garbage, audit hooks.
    Reflect,
}

impl Danger {
    const NAMES: [(&'static str, Self); 8] = [
        ("command", Self::Command),
        ("code", Self::Code),
        ("import", Self::Import),
        ("load", Self::Load),
        ("native", Self::Native),
        ("network", Self::Network),
        ("file", Self::File),
        ("reflect", Self::Reflect),
    ];

    /// What it does, after "it": `runs a program`.
    #[must_use]
    pub fn does(self) -> &'static str {
        match self {
            Self::Command => "runs a program",
            Self::Code => "runs Python code",
            Self::Import => "imports or runs a module",
            Self::Load => "loads another serialised object",
            Self::Native => "reaches machine code or memory",
            Self::Network => "opens a connection",
            Self::File => "touches files",
            Self::Reflect => "reaches into the interpreter",
        }
    }
}

/// Where a callable stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Genuine models use it so.
    Known(Uses),
    /// No model needs it.
    Dangerous(Danger),
    /// Hands its arguments to something dangerous, as its source shows; harmless while it is not called.
    Gadget(Danger),
    /// In Python's standard library, and used by no genuine model.
    Stdlib,
    /// In a package of a known framework, and not used so by its models.
    Framework,
    /// Of nobody known.
    Unknown,
}

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the {table} table: {problem}; a row is {wanted}")]
pub struct BadTable {
    table: &'static str,
    line: usize,
    problem: &'static str,
    wanted: &'static str,
}

/// The tables, ready to be asked.
#[derive(Debug, Default)]
pub struct Knowledge {
    constructors: HashMap<Box<str>, Uses>,
    /// Last hop of classes by root package: classes move between modules from release to release.
    classes: HashSet<(Box<str>, Box<str>)>,
    /// Classes and functions that releases define, by module: comma-separated names.
    listing: HashMap<Box<str>, (Box<str>, Box<str>)>,
    dangers: HashMap<Box<str>, Danger>,
    gadgets: HashMap<Box<str>, Danger>,
    /// `os` for the row `os.*`.
    dangerous_trees: HashMap<Box<str>, Danger>,
    stdlib: HashSet<Box<str>>,
    frameworks: HashSet<Box<str>>,
}

impl Knowledge {
    /// The built-in tables.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        BUILT_IN.clone()
    }

    /// Reads tables: constructors (path, uses, origin), the listing (module, classes, functions, origin),
    /// dangers (path, kind, why), gadgets (the same), standard modules.
    ///
    /// # Errors
    /// Names the first row that is not of that form.
    pub fn parse(
        constructors: &str,
        listing: &str,
        dangerous: &str,
        gadgets: &str,
        stdlib: &str,
    ) -> Result<Self, BadTable> {
        let mut knowledge = Self { stdlib: rows(stdlib).map(|(_, row)| row.into()).collect(), ..Self::default() };
        for (line, row) in rows(constructors) {
            let bad =
                |problem| BadTable { table: "constructors", line, problem, wanted: "path, uses (c, n, g), origin" };
            let mut cells = row.split('\t');
            let (Some(path), Some(uses), Some(_origin)) = (cells.next(), cells.next(), cells.next()) else {
                return Err(bad("a cell is missing"));
            };
            let uses = Uses::parse(uses).ok_or_else(|| bad("the uses are not among c, n and g"))?;
            knowledge.know(path, uses);
        }
        for (line, row) in rows(listing) {
            let wanted = "module, classes, functions, origin";
            let bad = BadTable { table: "listing", line, problem: "a cell is missing", wanted };
            let mut cells = row.split('\t');
            let (Some(module), Some(classes), Some(functions), Some(_origin)) =
                (cells.next(), cells.next(), cells.next(), cells.next())
            else {
                return Err(bad);
            };
            let root = module.split('.').next().unwrap_or_default();
            knowledge.frameworks.insert(root.into());
            for class in classes.split(',').filter(|class| !class.is_empty()) {
                knowledge.classes.insert((root.into(), class.into()));
            }
            knowledge.listing.insert(module.into(), (classes.into(), functions.into()));
        }
        for (path, kind) in dangers("dangerous", dangerous)? {
            match path.strip_suffix(".*") {
                Some(tree) => knowledge.dangerous_trees.insert(tree.into(), kind),
                None => knowledge.dangers.insert(path.into(), kind),
            };
        }
        knowledge.gadgets = dangers("gadgets", gadgets)?.into_iter().map(|(path, kind)| (path.into(), kind)).collect();
        Ok(knowledge)
    }

    fn know(&mut self, path: &str, uses: Uses) {
        let path = match path.split_once('.') {
            Some((module, name)) => &*canonical(module, name),
            None => path,
        };
        let root = path.split('.').next().unwrap_or_default();
        if !self.stdlib.contains(root) {
            if !self.frameworks.contains(root) {
                self.frameworks.insert(root.into());
            }
            if uses.has(Uses::NEW) {
                let last = path.rsplit('.').next().unwrap_or_default();
                self.classes.insert((root.into(), last.into()));
            }
        }
        let known = self.constructors.entry(path.into()).or_insert(uses);
        known.0 |= uses.0;
    }

    /// How many constructors and how many dangers are listed.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.constructors.len(), self.dangers.len() + self.dangerous_trees.len())
    }

    /// Whether a path begins in Python's own library.
    #[must_use]
    pub fn is_of_python(&self, module: &str, name: &str) -> bool {
        self.stdlib.contains(canonical(module, name).split('.').next().unwrap_or_default())
    }

    /// Where `module.name` stands; `name` may be a path of attributes, judged by where it leads.
    #[must_use]
    pub fn standing(&self, module: &str, name: &str) -> Standing {
        let path = canonical(module, name);
        if let Some(uses) = self.constructor(&path) {
            return Standing::Known(uses);
        }
        if let Some(danger) = self.danger(&path, module.split('.').count()) {
            return Standing::Dangerous(danger);
        }
        if let Some(danger) = self.gadgets.get(path.as_str()) {
            return Standing::Gadget(*danger);
        }
        if let Some((classes, functions)) = self.listing.get(module) {
            if classes.split(',').any(|class| class == name) {
                return Standing::Known(Uses(Uses::NEW.0 | Uses::NAMED.0));
            }
            if functions.split(',').any(|function| function == name) {
                return Standing::Known(Uses::NAMED);
            }
        }
        let root = path.split('.').next().unwrap_or_default();
        let last = path.rsplit('.').next().unwrap_or_default();
        if self.classes.contains(&(Box::from(root), Box::from(last))) {
            return Standing::Known(Uses::NEW);
        }
        // TorchScript names its own classes so; only its C++ reader makes them.
        if root == "__torch__" {
            return Standing::Known(Uses::NEW);
        }
        if self.stdlib.contains(root) {
            return Standing::Stdlib;
        }
        if self.frameworks.contains(root) { Standing::Framework } else { Standing::Unknown }
    }

    fn constructor(&self, path: &str) -> Option<Uses> {
        let direct = self.constructors.get(path).copied();
        // NumPy 2 renamed its core; each release pickles under the name it has.
        direct
            .or_else(|| self.constructors.get(path.replacen("numpy.core.", "numpy._core.", 1).as_str()).copied())
            .or_else(|| self.constructors.get(path.replacen("numpy._core.", "numpy.core.", 1).as_str()).copied())
    }

    /// A danger anywhere along the way: `random._os.system` is `os.system`, and so is
    /// `future.moves.os.system`.
    fn danger(&self, path: &str, module_hops: usize) -> Option<Danger> {
        let hops: Vec<&str> = path.split('.').collect();
        // From the end: where the path leads counts more than where it sets out.
        for from in (0..hops.len()).rev() {
            let bare = hops[from].trim_start_matches('_');
            let mut spellings = vec![hops[from]];
            if bare != hops[from] && (from > 0 || self.stdlib.contains(bare)) {
                spellings.push(bare);
            }
            for first in spellings {
                if from > 0 && !self.stdlib.contains(first) {
                    continue;
                }
                let mut tail = first.to_owned();
                for hop in &hops[from + 1..] {
                    tail.push('.');
                    tail.push_str(hop);
                }
                if let Some(danger) = self.dangers.get(tail.as_str()) {
                    return Some(*danger);
                }
                // Within a module's own path a hop is only a word (`mylib.code.Model`) unless it is
                // where packages keep copies of others.
                let copies =
                    from > 0 && matches!(hops[from - 1], "moves" | "_vendor" | "vendor" | "extern" | "externals");
                if (from == 0 || from >= module_hops || copies)
                    && let Some(danger) = self.tree(&tail)
                {
                    return Some(danger);
                }
            }
        }
        // Whatever object it is reached through.
        let attributes = hops.get(module_hops.min(hops.len())..).unwrap_or_default();
        let through = attributes.iter().any(|hop| LEADING.contains(hop));
        if through {
            return Some(Danger::Reflect);
        }
        attributes.last().filter(|last| TELLING.contains(*last)).map(|_| Danger::Code)
    }

    fn tree(&self, path: &str) -> Option<Danger> {
        let mut end = path.len();
        loop {
            if let Some(danger) = self.dangerous_trees.get(&path[..end]) {
                return Some(*danger);
            }
            end = path[..end].rfind('.')?;
        }
    }
}

/// Attributes that lead from any object to the interpreter.
const LEADING: &[&str] = &[
    "__globals__",
    "__builtins__",
    "__subclasses__",
    "__getattribute__",
    "__dict__",
    "__code__",
    "__closure__",
    "__mro__",
    "__base__",
    "__bases__",
    "__loader__",
    "__spec__",
    "__import__",
    "__init_subclass__",
    "__reduce__",
    "__reduce_ex__",
    "f_globals",
    "f_builtins",
    "f_locals",
    "gi_frame",
    "tb_frame",
    "func_globals",
];

/// Last hops that mean the same wherever they are found.
const TELLING: &[&str] = &[
    "system",
    "popen",
    "Popen",
    "exec",
    "eval",
    "execfile",
    "exec_module",
    "import_module",
    "load_module",
    "check_output",
    "check_call",
    "getoutput",
    "getstatusoutput",
    "runcode",
    "runsource",
    "run_module",
    "run_path",
    "run_code",
    "runctx",
    "runcall",
    "runeval",
    "runstring",
    "spawnl",
    "spawnle",
    "spawnlp",
    "spawnv",
    "spawnve",
    "spawnvp",
    "spawnvpe",
    "execl",
    "execle",
    "execlp",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "fork_exec",
    "posix_spawn",
    "posix_spawnp",
    "startfile",
    "unsafe_load",
    "load_source",
    "load_dynamic",
    "subimport",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "subprocess_exec",
    "subprocess_shell",
];

/// Paths and kinds of a table of dangers.
fn dangers<'a>(name: &'static str, table: &'a str) -> Result<Vec<(&'a str, Danger)>, BadTable> {
    rows(table)
        .map(|(line, row)| {
            let bad = |problem| BadTable { table: name, line, problem, wanted: "path, kind, why" };
            let mut cells = row.split('\t');
            let (Some(path), Some(kind)) = (cells.next(), cells.next()) else { return Err(bad("a cell is missing")) };
            let kind = Danger::NAMES.iter().find(|(name, _)| *name == kind).ok_or_else(|| bad("no such kind"))?.1;
            Ok((path, kind))
        })
        .collect()
}

/// Rows of a table: no comments, no empty lines.
fn rows(table: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(table.lines()).filter(|(_, row)| !row.is_empty() && !row.starts_with('#'))
}

/// One path for a callable, whatever Python's release or accelerator module calls it.
fn canonical(module: &str, name: &str) -> String {
    let module = match module {
        "__builtin__" | "__builtins__" | "exceptions" => "builtins",
        "copy_reg" => "copyreg",
        "cPickle" | "_pickle" => "pickle",
        "posix" | "nt" | "_os" => "os",
        "posixpath" | "ntpath" => "os.path",
        "_operator" => "operator",
        "_functools" => "functools",
        "_io" | "_pyio" => "io",
        "_collections" => "collections",
        "_socket" => "socket",
        "_ctypes" => "ctypes",
        "_imp" => "imp",
        "_thread" | "thread" => "_thread",
        "commands" => "subprocess",
        "urllib2" => "urllib.request",
        "httplib" => "http.client",
        // Python's own table of old names (`_compat_pickle`) writes `collections` so.
        "UserDict" | "UserList" | "UserString" => "collections",
        other => other,
    };
    format!("{module}.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(module: &str, name: &str, wanted: Standing) {
        assert_eq!(Knowledge::built_in().standing(module, name), wanted, "{module}.{name}");
    }

    #[test]
    fn a_path_is_judged_by_where_it_leads() {
        let command = Standing::Dangerous(Danger::Command);
        check("os", "system", command);
        check("posix", "system", command);
        check("random", "_os.system", command);
        check("torch.serialization", "os.system", command);
        check("future.moves.subprocess", "Popen", command);
        check("sklearn.svm._classes", "SVC.fit.__globals__", Standing::Dangerous(Danger::Reflect));
        check("anything", "deep.down.eval", Standing::Dangerous(Danger::Code));
    }

    #[test]
    fn the_rest_belongs_to_somebody_or_nobody() {
        check("mylib.code", "Model", Standing::Unknown);
        check("fractions", "gcd", Standing::Stdlib);
        check("collections", "OrderedDict", Knowledge::built_in().standing("collections", "OrderedDict"));
        assert!(matches!(Knowledge::built_in().standing("collections", "OrderedDict"), Standing::Known(_)));
    }

    #[test]
    fn tables_are_whole_and_do_not_contradict_each_other() {
        let knowledge = Knowledge::built_in();
        let (constructors, dangers) = knowledge.counts();
        assert!(constructors > 1_000 && dangers > 500, "{constructors} constructors, {dangers} dangers");
        let both: Vec<&str> = knowledge
            .constructors
            .iter()
            .filter(|(path, uses)| uses.has(Uses::CALLED) && knowledge.dangers.contains_key(&***path))
            .map(|(path, _)| &**path)
            .collect();
        assert!(both.is_empty(), "{both:?}");
    }

    #[test]
    fn bad_rows_are_named() {
        let bad = Knowledge::parse("a.b\tx\tfrom", "", "", "", "").unwrap_err();
        assert!(bad.to_string().starts_with("line 1 of the constructors table"), "{bad}");
        assert!(Knowledge::parse("", "", "a.b\tnothing\tx", "", "").is_err());
    }
}
