"""Finds the functions of Python and of frameworks that hand their arguments to something that runs code.

    python3 gadgets.py gadgets.tsv SITE_PACKAGES...

Run by hand, never by the build. Sources are read and never imported. A function is a gadget when one of its parameters
reaches, through assignments and expressions, an argument of a known sink (`exec`, `os.system`, `pickle.load`,
`importlib.import_module`, ...), or of another gadget at most two calls away from one. A row is
`path<TAB>kind<TAB>the release, and what it hands the argument to`. Paths in `constructors.tsv` stay constructors, and
what `dangerous.tsv` covers needs no row.
"""

import ast
import importlib.metadata
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
SINKS = {
    "command": "os.system os.popen os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp os.execvpe os.spawnl os.spawnle "
               "os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe os.posix_spawn os.posix_spawnp os.startfile "
               "subprocess.Popen subprocess.run subprocess.call subprocess.check_call subprocess.check_output subprocess.getoutput "
               "subprocess.getstatusoutput pty.spawn asyncio.create_subprocess_shell asyncio.create_subprocess_exec",
    "code": "exec eval builtins.exec builtins.eval code.interact types.FunctionType types.CodeType runpy.run_path runpy.run_module "
            "runpy.run_code timeit.timeit cProfile.run",
    "import": "__import__ importlib.import_module importlib.__import__ imp.load_source imp.load_module imp.load_dynamic "
              "importlib.machinery.SourceFileLoader importlib.util.spec_from_file_location pkgutil.resolve_name zipimport.zipimporter",
    "load": "pickle.load pickle.loads pickle.Unpickler cPickle.load cPickle.loads _pickle.load _pickle.loads dill.load dill.loads "
            "cloudpickle.load cloudpickle.loads joblib.load torch.load marshal.load marshal.loads shelve.open yaml.unsafe_load",
    "native": "ctypes.CDLL ctypes.PyDLL ctypes.cdll.LoadLibrary ctypes.WinDLL cffi.FFI torch.ops.load_library torch.classes.load_library",
}
SINK_KIND = {path: kind for kind, paths in SINKS.items() for path in paths.split()}
# The first of `kinds` that a function reaches names it.
KINDS = ["command", "code", "native", "load", "import"]
# Calls on the way to a sink. Further away an argument is a name or a number by the time it arrives.
ROUNDS = 3
# Evaluates annotations, not arguments.
NO_WAY_THROUGH = ("inspect.", "typing.", "functools.", "dataclasses.", "warnings.", "enum.")
SKIPPED = {"tests", "test", "testing", "conftest", "benchmarks", "examples", "__main__", "setup", "site-packages", "lib2to3", "idlelib"}
# Whoever calls one of these with a value of its own has not been handed it from outside.
SAFE_CALLS = {"isinstance", "len", "type", "id", "hash", "bool", "int", "float", "issubclass", "callable", "hasattr"}


class Function:
    def __init__(self, path, parameters, calls):
        self.path, self.parameters, self.calls = path, parameters, calls
        self.reached = {}


def dotted(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return ".".join([node.id, *reversed(parts)])
    return None


def names_in(node):
    """Names whose value gets into the value of an expression."""
    found, open_ = set(), [node]
    while open_:
        one = open_.pop()
        if isinstance(one, ast.Name):
            found.add(one.id)
        elif isinstance(one, (ast.Lambda, ast.Compare)):
            continue
        elif isinstance(one, ast.Call) and dotted(one.func) in SAFE_CALLS:
            continue
        else:
            open_.extend(ast.iter_child_nodes(one))
    return found


class Reader(ast.NodeVisitor):
    """All functions of a module, with what they call and which of their parameters get into the arguments."""

    def __init__(self, module, is_package):
        self.module, self.is_package, self.aliases, self.scope, self.functions = module, is_package, {}, [], []

    def visit_Import(self, node):
        for alias in node.names:
            self.aliases[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]

    def visit_ImportFrom(self, node):
        base = node.module or ""
        if node.level:
            hops = self.module.split(".")
            hops = hops[: len(hops) - node.level + (1 if self.is_package else 0)]
            base = ".".join([*hops, base]) if base else ".".join(hops)
        for alias in node.names:
            self.aliases[alias.asname or alias.name] = f"{base}.{alias.name}"

    def visit_ClassDef(self, node):
        self.scope.append(node.name)
        self.generic_visit(node)
        self.scope.pop()

    def visit_FunctionDef(self, node):
        arguments = node.args
        ordered = [one.arg for one in [*arguments.posonlyargs, *arguments.args]]
        extra = [one.arg for one in [*arguments.kwonlyargs, *filter(None, [arguments.vararg, arguments.kwarg])]]
        parameters = [name for name in ordered + extra if name not in ("self", "cls")]
        flows = {name: {name} for name in parameters}
        calls = []
        for _ in range(2):
            for one in ast.walk(node):
                pairs = []
                if isinstance(one, (ast.Assign, ast.AugAssign, ast.AnnAssign)) and one.value is not None:
                    pairs = [(target, one.value) for target in (one.targets if isinstance(one, ast.Assign) else [one.target])]
                elif isinstance(one, (ast.For, ast.comprehension)):
                    pairs = [(one.target, one.iter)]
                elif isinstance(one, ast.withitem) and one.optional_vars is not None:
                    pairs = [(one.optional_vars, one.context_expr)]
                elif isinstance(one, ast.NamedExpr):
                    pairs = [(one.target, one.value)]
                for target, value in pairs:
                    origins = set().union(*(flows.get(name, set()) for name in names_in(value)), set())
                    if origins:
                        for name in (each.id for each in ast.walk(target) if isinstance(each, ast.Name)):
                            flows[name] = flows.get(name, set()) | origins
        for one in ast.walk(node):
            if isinstance(one, (ast.Import, ast.ImportFrom)):
                self.visit(one)
        for one in ast.walk(node):
            if isinstance(one, ast.Call) and (called := dotted(one.func)):
                handed = [set().union(*(flows.get(name, set()) for name in names_in(value)), set())
                          for value in [*one.args, *(word.value for word in one.keywords)]]
                words = [word.arg for word in one.keywords]
                calls.append((self.resolve(called), handed, [None] * len(one.args) + words))
        self.functions.append(Function(".".join([self.module, *self.scope, node.name]), parameters, calls))
        self.scope.append(node.name)
        for child in node.body:
            if isinstance(child, ast.ClassDef):
                self.visit(child)
        self.scope.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def resolve(self, called):
        first, _, rest = called.partition(".")
        if first in ("self", "cls") and self.scope:
            return ".".join([self.module, self.scope[0], rest])
        if first in self.aliases:
            return ".".join(filter(None, [self.aliases[first], rest]))
        if called in SINK_KIND or first in dir(__builtins__):
            return called
        return f"{self.module}.{called}"


def sources(folder):
    """Modules below a folder of packages."""
    for path in sorted(folder.rglob("*.py")):
        hops = list(path.relative_to(folder).with_suffix("").parts)
        is_package = hops[-1] == "__init__"
        if is_package:
            hops.pop()
        if hops and not SKIPPED & set(hops) and not any(hop.startswith("test_") or "-" in hop for hop in hops):
            yield ".".join(hops), is_package, path


def releases(folder):
    """Top-level module to `name version`."""
    table = {}
    for distribution in importlib.metadata.distributions(path=[str(folder)]):
        name = f"{distribution.metadata['Name']} {distribution.version}"
        for file in distribution.files or []:
            table.setdefault(file.parts[0].removesuffix(".py"), name)
    return table


def wanted():
    """Packages that models are made with, and Python's own."""
    rows = [row for table in ("constructors.tsv", "listing.tsv") for row in (HERE / table).read_text().splitlines() if not row.startswith("#")]
    roots = {row.split("\t")[0].split(".")[0] for row in rows}
    return roots | {"keras", "tensorflow", "mlflow", "flax", "jax", "onnx", "joblib", "dill", "cloudpickle", "networkx", "sympy", "huggingface_hub", "datasets"}


def main(output, *folders):
    functions, origin, roots = {}, {}, wanted()
    stdlib = set((HERE / "stdlib.txt").read_text().split())
    python = f"python {sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    for folder in [pathlib.Path(ast.__file__).parent, *map(pathlib.Path, folders)]:
        names = releases(folder)
        for module, is_package, path in sources(folder):
            root = module.split(".")[0]
            if root not in (roots | stdlib):
                continue
            try:
                tree = ast.parse(path.read_text(errors="replace"))
                reader = Reader(module, is_package)
                reader.visit(tree)
            except (SyntaxError, ValueError, RecursionError):
                continue
            for function in reader.functions:
                functions.setdefault(function.path, function)
                origin.setdefault(function.path, names.get(root, python))
        print(folder, len(functions), file=sys.stderr)
    # Which parameters of which function reach a sink; each round looks one call further.
    for _ in range(ROUNDS):
        found = []
        for function in functions.values():
            for called, handed, words in function.calls:
                inner = functions.get(called) or functions.get(f"{called}.__init__")
                if called.startswith(NO_WAY_THROUGH):
                    continue
                for position, (origins, word) in enumerate(zip(handed, words)):
                    if not origins:
                        continue
                    kinds = {}
                    if called in SINK_KIND:
                        # Where the code runs, and what it is called with, is not what runs.
                        if position == 0 or word in ("args", "cmd", "source", "name", "file", "code"):
                            kinds = {SINK_KIND[called]: called}
                    elif inner is not None:
                        name = word if word is not None else (inner.parameters[position] if position < len(inner.parameters) else None)
                        kinds = {kind: inner.path for kind, (names, _) in inner.reached.items() if name in names}
                    found += [(function, kind, through, origins) for kind, through in kinds.items()]
        for function, kind, through, origins in found:
            function.reached.setdefault(kind, (set(), through))[0].update(origins)
    paths = lambda table: {row.split("\t")[0] for row in (HERE / table).read_text().splitlines() if row[:1] != "#"}
    known, dangers = paths("constructors.tsv"), paths("dangerous.tsv")
    trees = tuple(path[:-1] for path in dangers if path.endswith(".*"))
    rows = []
    for path, function in sorted(functions.items()):
        kind = next((kind for kind in KINDS if kind in function.reached), None)
        path = path.removesuffix(".__init__") if path.count(".") > 1 else path
        if kind is None or path in known or path in dangers or path.startswith((*NO_WAY_THROUGH, *trees)):
            continue
        rows.append(f"{path}\t{kind}\t{origin[function.path]}, hands it to {function.reached[kind][1]}")
    head = "# path, kind, and the release with what it hands its argument to; by gadgets.py"
    pathlib.Path(output).write_text("\n".join([head, *dict.fromkeys(rows)]) + "\n")
    print(len(rows), "gadgets", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
