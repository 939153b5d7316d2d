"""Harvests the callables that genuine models use from pinned framework releases.

Run by hand, once per environment, never by the build:

    python3 -m venv new && new/bin/pip install -r requirements-2026.txt
    new/bin/python harvest.py dump  constructors-2026.tsv
    new/bin/python harvest.py list  listing.tsv
    new/bin/python harvest.py shipped constructors-shipped.tsv
    python3 harvest.py merge constructors.tsv constructors-2026.tsv constructors-2023.tsv constructors-shipped.tsv

`dump` fits or builds every model that it can, pickles it with each protocol and each pickler (pickle, joblib,
cloudpickle, dill, torch.save), and reads the pickles back with a symbolic machine of its own to see which globals they
call (`c`), instantiate (`n`) or only name (`g`). A row is `path<TAB>uses<TAB>origin`; the origin is the release whose
dump it was seen in. `shipped` reads, in the same way and without loading them, the dumps that the packages ship to test
themselves with: releases of the last fifteen years wrote those. `list` reads the releases' sources without importing them: classes and public functions that an
object may refer to. A path that `dangerous.tsv` names is never listed.
"""

import ast
import importlib
import importlib.metadata
import io
import os
import pathlib
import pickle
import pickletools
import sys
import tempfile
import warnings

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
PROTOCOLS = range(0, 6)
SEEN: dict[str, tuple[set, set]] = {}


# --- reading pickles back -------------------------------------------------------------------------------------------

class Mark:
    pass


def read(data: bytes, origin: str, offset: int = 0) -> int:
    """Notes what one pickle at `offset` does with its globals; gives where it ends."""
    stack, memo, texts = [], {}, ("UNICODE", "STRING")
    end = offset

    def note(value, use):
        if isinstance(value, tuple) and value[0] == "global":
            uses, origins = SEEN.setdefault(value[1], (set(), set()))
            uses.add(use)
            origins.add(origin)

    def to_mark():
        items = []
        while stack:
            top = stack.pop()
            if isinstance(top, Mark):
                break
            items.append(top)
        return items[::-1]

    stream = io.BytesIO(data)
    stream.seek(offset)
    for opcode, argument, position in pickletools.genops(stream):
        name = opcode.name
        end = position + 1
        if name == "MARK":
            stack.append(Mark())
        elif name == "GLOBAL":
            stack.append(("global", argument.replace(" ", ".", 1)))
            note(stack[-1], "g")
        elif name == "STACK_GLOBAL":
            right, left = stack.pop(), stack.pop()
            stack.append(("global", f"{left[1]}.{right[1]}"))
            note(stack[-1], "g")
        elif name == "INST":
            to_mark()
            note(("global", argument.replace(" ", ".", 1)), "c")
            stack.append(None)
        elif name == "OBJ":
            note(to_mark()[0], "c")
            stack.append(None)
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            note(function, "c")
            if isinstance(function, tuple) and function[1] in ("copyreg._reconstructor", "copy_reg._reconstructor",
                                                              "copyreg.__newobj__"):
                note(arguments[1][0], "n")
            stack.append(None)
        elif name == "NEWOBJ":
            stack.pop()
            note(stack.pop(), "n")
            stack.append(None)
        elif name == "NEWOBJ_EX":
            stack.pop(), stack.pop()
            note(stack.pop(), "n")
            stack.append(None)
        elif name in ("BUILD", "APPEND"):
            stack.pop()
        elif name == "SETITEM":
            stack.pop(), stack.pop()
        elif name in ("APPENDS", "SETITEMS", "ADDITEMS"):
            to_mark()
        elif name in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            stack.append(("items", to_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            items = stack[-count:]
            del stack[-count:]
            stack.append(("items", items))
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            to_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo.get(argument))
        elif name == "BINPERSID":
            stack.pop()
            stack.append(None)
        elif name in ("PROTO", "FRAME", "STOP", "READONLY_BUFFER"):
            pass
        elif name in texts or name.endswith("UNICODE") or name.endswith("STRING") or name.endswith("UNICODE8"):
            stack.append(("text", argument))
        else:
            stack.append(None)
    return end


def dumps(thing, origin: str) -> None:
    """Pickles `thing` with everything that a data scientist would use, and reads it all back."""
    for protocol in PROTOCOLS:
        try:
            read(pickle.dumps(thing, protocol=protocol), f"pickle of {origin}")
        except Exception:
            pass
    for name in ("cloudpickle", "dill"):
        try:
            module = importlib.import_module(name)
            for protocol in (2, 4, 5):
                read(module.dumps(thing, protocol=protocol), f"{name} of {origin}")
        except Exception:
            pass
    try:
        import joblib
        import joblib.numpy_pickle

        # Arrays lie between the opcodes of a joblib file: keep them inside for the reader above.
        class Inline(joblib.numpy_pickle.NumpyArrayWrapper):
            def write_array(self, array, pickler):
                return None

        stream = io.BytesIO()
        original = joblib.numpy_pickle.NumpyArrayWrapper.write_array
        joblib.numpy_pickle.NumpyArrayWrapper.write_array = Inline.write_array
        try:
            joblib.dump(thing, stream)
        finally:
            joblib.numpy_pickle.NumpyArrayWrapper.write_array = original
        read(stream.getvalue(), f"joblib of {origin}")
    except Exception:
        pass


def isolated(work) -> None:
    """Runs `work` in a child and takes over what it saw: some objects take the whole process down when pickled."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        SEEN.clear()
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(SEEN, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    for path, (uses, origins) in (pickle.loads(data) if data else {}).items():
        known = SEEN.setdefault(path, (set(), set()))
        known[0].update(uses)
        known[1].update(origins)


def release(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"


# --- what there is to dump -----------------------------------------------------------------------------------------

def python() -> None:
    import array
    import collections
    import datetime
    import decimal
    import enum
    import fractions
    import functools
    import itertools
    import ipaddress
    import operator
    import pathlib
    import random
    import re
    import types
    import uuid
    import zoneinfo

    origin = "python {}.{}".format(*sys.version_info)
    utc = datetime.timezone.utc
    things = [
        collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]), collections.defaultdict(dict),
        collections.defaultdict(int), collections.defaultdict(set), collections.defaultdict(float),
        collections.defaultdict(str), collections.defaultdict(tuple), collections.defaultdict(collections.OrderedDict),
        collections.Counter("abc"), collections.deque([1], 3), collections.ChainMap({"a": 1}),
        collections.UserDict(a=1), collections.UserList([1]), collections.UserString("a"),
        datetime.datetime(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=utc), datetime.date(2026, 1, 1),
        datetime.time(1, 2), datetime.timedelta(1), utc, datetime.timezone(datetime.timedelta(hours=3)),
        decimal.Decimal("1.5"), decimal.Context(), fractions.Fraction(1, 3), complex(1, 2), bytearray(b"ab"), bytes(3),
        b"\xff\x00abc", {1, 2}, frozenset([1]), range(3), slice(1, 2), Ellipsis, NotImplemented, type(None),
        pathlib.PurePosixPath("a"), pathlib.PosixPath("a"), pathlib.PureWindowsPath("a"), uuid.UUID(int=5),
        re.compile("a+"), random.Random(3), array.array("d", [1.0]), types.SimpleNamespace(a=1),
        functools.partial(sorted, reverse=True), functools.partial(max), operator.itemgetter(1),
        operator.attrgetter("real"), operator.methodcaller("upper"), ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_network("10.0.0.0/8"), zoneinfo.ZoneInfo("UTC"), itertools.count(1), itertools.repeat(1, 2),
        itertools.chain([1]), itertools.cycle([1]), iter([1]), iter((1,)), enumerate([1]), zip([1], [2]),
        reversed([1]), re.IGNORECASE, object(), "text", "caf\xe9", 10**30, 1.5, float("nan"),
        len, max, min, sum, abs, round, sorted, str.lower, str.upper, str.split, dict, list, tuple, set, frozenset,
        int, float, str, bool, bytes, bytearray, complex, object, type, print, repr, hash, isinstance, zip, map,
    ]
    things += [getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "lt", "le", "eq", "ne", "ge", "gt",
                                                    "neg", "pos", "mod", "pow", "and_", "or_", "not_", "getitem")]
    import math
    import statistics
    things += [getattr(math, name) for name in ("sqrt", "log", "log2", "log10", "exp", "sin", "cos", "tanh", "floor", "ceil")]
    things += [statistics.mean, statistics.median]
    for thing in things:
        dumps(thing, origin)
    for name in dir(__builtins__):
        value = getattr(__builtins__, name)
        if isinstance(value, type) and issubclass(value, BaseException):
            try:
                dumps(value("x"), origin)
            except TypeError:
                dumps(value, origin)


def code() -> None:
    """What cloudpickle and dill call to carry functions and classes, besides the code itself."""
    import abc
    import collections
    import dataclasses
    import enum
    import functools
    import typing

    scope: dict = {"__name__": "__main__"}
    exec("""
import abc, collections, dataclasses, enum, functools, typing
def outer(a):
    def inner(b, c=1, *, d=2):
        nonlocal a
        a += b
        return a + c + d
    return inner
class Base(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class Child(Base):
    x: int = 1
    __slots__ = ()
    def f(self): return super().f()
    @property
    def p(self): return 1
    @classmethod
    def c(cls): return cls()
    @staticmethod
    def s(): return 2
class Colour(enum.Enum):
    RED = 1
@dataclasses.dataclass
class Data:
    a: int = 1
    b: list = dataclasses.field(default_factory=list)
Point = collections.namedtuple("Point", "x y")
class Typed(typing.NamedTuple):
    x: int
T = typing.TypeVar("T")
class Plain:
    def __init__(self): self.a = 1
@functools.lru_cache
def cached(a): return a
""", scope)
    for package in ("cloudpickle", "dill"):
        module = importlib.import_module(package)
        origin = f"{package} of functions and classes, {release(package)}"
        things = [scope["outer"], scope["outer"](1), scope["Base"], scope["Child"], scope["Child"](), scope["Colour"], scope["Colour"].RED,
                  scope["Data"], scope["Data"](), scope["Point"], scope["Point"](1, 2), scope["Typed"], scope["T"], scope["Plain"],
                  scope["Plain"](), scope["Child"]().f, scope["Child"].c, lambda x: x + 1, abc, collections, {}.keys(), {}.values(),
                  {}.items(), scope["cached"], type(None), type(Ellipsis), type(NotImplemented), typing.List[int], typing.Any, property(len)]
        for thing in things:
            for protocol in (2, 4, 5):
                for options in ({}, {"recurse": True}) if package == "dill" else ({},):
                    try:
                        read(module.dumps(thing, protocol=protocol, **options), origin)
                    except Exception:
                        pass


def numpy_() -> None:
    import numpy as np

    origin = release("numpy")
    things = [np.dtype(code) for code in "? b B h H i I l L q Q e f d g F D G S5 U5 V8 O M8[ns] m8[s]".split()]
    things += [np.dtype([("a", "f8"), ("b", "i4", (2,))])]
    for code in ("?", "i1", "u1", "i4", "i8", "f2", "f4", "f8", "c8", "c16", "S5", "U5", "M8[ns]", "m8[s]"):
        things += [np.zeros(3, code), np.zeros((2, 3), code, order="F"), np.zeros(1, code)[0]]
    things += [np.array([1, "a", None], object), np.zeros(2, [("a", "f8")]), np.zeros(2, [("a", "f8")])[0],
               np.ma.masked_array([1, 2], [0, 1]), np.matrix([[1]]), np.rec.array([(1, 2.0)]), np.ma.masked,
               np.char.array(["a"]), np.random.RandomState(3), np.random.default_rng(3), np.polynomial.Polynomial([1, 2]),
               np.poly1d([1, 2]), np.datetime64("2026-01-01"), np.timedelta64(1, "D"), np.bool_(True), np.float32(1),
               np.zeros(100_000)[::2], np.errstate(), np.vectorize(abs), np.ndindex(2), np.iinfo("i4"), np.finfo("f8")]
    things += [np.random.Generator(kind(3)) for kind in (np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM,
                                                          np.random.Philox, np.random.SFC64)]
    things += [np.random.SeedSequence(3), np.random.MT19937(1)]
    things += [value for value in vars(np).values() if isinstance(value, np.ufunc)]
    things += [value for name, value in vars(np).items() if callable(value) and not name.startswith("_")
               and getattr(value, "__module__", "") == "numpy" and name not in DANGEROUS_LAST]
    for thing in things:
        dumps(thing, origin)


def pandas_() -> None:
    import numpy as np
    import pandas as pd

    origin = release("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.Categorical(["u", "v"]), "d": [1.5, None],
                          "e": pd.date_range("2026-01-01", periods=2), "f": [True, False],
                          "g": pd.array([1, None], dtype="Int64"), "h": pd.array(["a", None], dtype="string"),
                          "i": pd.date_range("2026-01-01", periods=2, tz="UTC"), "j": pd.timedelta_range("1D", periods=2)})
    things = [frame, frame["a"], frame["b"], frame["c"], frame.set_index(["a", "b"]), frame.T, frame.iloc[:0],
              frame.describe(), pd.Index([1.5]), pd.RangeIndex(3), pd.MultiIndex.from_product([[1], [2, 3]]),
              pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-01", tz="Asia/Qatar"), pd.Timedelta("1D"), pd.NaT, pd.NA,
              pd.Period("2026-01", "M"), pd.Interval(0, 1), pd.period_range("2026", periods=2, freq="M"),
              pd.interval_range(0, 3), pd.CategoricalIndex(["a"]), pd.DatetimeIndex(["2026-01-01"]), pd.CategoricalDtype(),
              pd.TimedeltaIndex(["1D"]), pd.SparseDtype(), pd.arrays.SparseArray([0, 0, 1]), pd.Series([1], dtype="Sparse[int]"),
              pd.array([1.5, None], dtype="Float64"), pd.array([True, None], dtype="boolean"), pd.DatetimeTZDtype(tz="UTC"),
              pd.PeriodDtype("M"), pd.IntervalDtype("int64"), pd.Series(["a"], dtype=object), pd.DataFrame(np.zeros((2, 2)))]
    from pandas.tseries import frequencies, offsets
    for name in dir(offsets):
        kind = getattr(offsets, name)
        if isinstance(kind, type):
            try:
                things.append(kind())
            except Exception:
                pass
    for thing in things:
        dumps(thing, origin)


def scipy_() -> None:
    import numpy as np
    from scipy import interpolate, sparse, spatial, stats

    origin = release("scipy")
    matrix = np.eye(3)
    things = []
    for name in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil"):
        for suffix in ("matrix", "array"):
            kind = getattr(sparse, f"{name}_{suffix}", None)
            if kind:
                things.append(kind(matrix))
    x = np.linspace(0, 1, 8)
    things += [interpolate.interp1d(x, x), interpolate.CubicSpline(x, x), interpolate.UnivariateSpline(x, x),
               interpolate.BSpline.construct_fast(x, x, 1), interpolate.PchipInterpolator(x, x),
               interpolate.RegularGridInterpolator((x, x), np.outer(x, x)), interpolate.RBFInterpolator(x[:, None], x),
               spatial.cKDTree(matrix), spatial.KDTree(matrix), spatial.transform.Rotation.identity(),
               stats.gaussian_kde(np.random.rand(10)), stats.norm(0, 1), stats.rv_histogram(np.histogram(x))]
    things += [value for value in vars(stats).values() if isinstance(value, (stats.rv_continuous, stats.rv_discrete))]
    things += [getattr(stats, name)(1) for name in ("expon",)]
    for thing in things:
        dumps(thing, origin)


def sklearn_() -> None:
    import numpy as np
    import sklearn
    from sklearn.base import clone
    from sklearn.utils import all_estimators

    origin = release("scikit-learn")
    rng = np.random.RandomState(0)
    x, y = rng.rand(40, 4), np.array([0, 1] * 20)
    texts = ["a b c", "b c d", "c d e f"] * 4
    from sklearn import svm, linear_model, tree, ensemble, preprocessing, pipeline, compose, model_selection, feature_selection
    for name, kind in all_estimators():
        candidates = []
        for arguments in ((), (linear_model.LogisticRegression(),), ([("a", linear_model.LogisticRegression()),
                          ("b", tree.DecisionTreeClassifier())],), ([("a", linear_model.LinearRegression())],),
                          (preprocessing.StandardScaler(),), (linear_model.LogisticRegression(), {"C": [1, 2]})):
            try:
                candidates.append(kind(*arguments))
            except Exception:
                continue
        for estimator in candidates[:3]:
            dumps(estimator, origin)
            for data in ((x, y), (x, x), (texts, y[:12]), ([{"a": 1}] * 4, None), (x,), (abs(x), y.astype(float)), (y,)):
                try:
                    fitted = clone(estimator).fit(*[part for part in data if part is not None])
                    dumps(fitted, origin)
                    break
                except Exception:
                    continue
    extra = [
        pipeline.Pipeline([("s", preprocessing.StandardScaler()), ("m", svm.SVC())]).fit(x, y),
        compose.ColumnTransformer([("s", preprocessing.StandardScaler(), [0]), ("p", "passthrough", [1])]).fit(x),
        model_selection.GridSearchCV(svm.SVC(), {"C": [1, 2]}, cv=2).fit(x, y),
        model_selection.RandomizedSearchCV(svm.SVC(), {"C": [1, 2]}, n_iter=2, cv=2).fit(x, y),
        preprocessing.FunctionTransformer(np.log1p).fit(x), feature_selection.SelectKBest(k=2).fit(x, y),
        sklearn.utils.Bunch(a=1), model_selection.KFold(), model_selection.StratifiedKFold(), model_selection.TimeSeriesSplit(),
        svm.SVC(probability=True).fit(x, y), svm.SVC(kernel="linear").fit(x, y),
        linear_model.SGDClassifier(loss="log_loss").fit(x, y), ensemble.GradientBoostingClassifier(n_estimators=3).fit(x, y),
        ensemble.IsolationForest(n_estimators=3).fit(x), tree.ExtraTreeClassifier().fit(x, y),
        sklearn.metrics.make_scorer(sklearn.metrics.accuracy_score), sklearn.metrics.get_scorer("f1"),
    ]
    for loss in ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", "squared_error", "huber",
                 "epsilon_insensitive", "squared_epsilon_insensitive"):
        try:
            extra.append(linear_model.SGDClassifier(loss=loss).fit(x, y))
        except Exception:
            pass
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        extra.append(ensemble.GradientBoostingRegressor(loss=loss, n_estimators=2).fit(x, y))
    for loss in ("squared_error", "absolute_error", "gamma", "poisson"):
        try:
            extra.append(ensemble.HistGradientBoostingRegressor(loss=loss, max_iter=2).fit(x, y + 1.0))
        except Exception:
            pass
    for metric in ("euclidean", "manhattan", "chebyshev", "minkowski", "haversine", "cosine", "hamming", "jaccard", "canberra"):
        for algorithm in ("ball_tree", "kd_tree", "brute"):
            try:
                extra.append(sklearn.neighbors.KNeighborsClassifier(algorithm=algorithm, metric=metric).fit(x[:, :2], y))
            except Exception:
                pass
    kernels = sklearn.gaussian_process.kernels
    for kernel in (kernels.RBF() + kernels.WhiteKernel(), kernels.Matern() * kernels.ConstantKernel(), kernels.DotProduct() ** 2,
                   kernels.RationalQuadratic(), kernels.ExpSineSquared(), kernels.PairwiseKernel()):
        extra.append(sklearn.gaussian_process.GaussianProcessRegressor(kernel).fit(x, y))
    from sklearn.metrics import DistanceMetric
    for metric in ("euclidean", "manhattan", "chebyshev", "minkowski", "hamming", "jaccard", "dice", "canberra", "braycurtis"):
        extra.append(DistanceMetric.get_metric(metric))
    for thing in extra:
        dumps(thing, origin)


def boosters() -> None:
    import numpy as np

    rng = np.random.RandomState(0)
    x, y = rng.rand(40, 4), np.array([0, 1] * 20)
    for package, names in (("xgboost", "XGBClassifier XGBRegressor XGBRFClassifier XGBRFRegressor XGBRanker XGBModel"),
                           ("lightgbm", "LGBMClassifier LGBMRegressor LGBMRanker LGBMModel"),
                           ("catboost", "CatBoostClassifier CatBoostRegressor CatBoostRanker CatBoost")):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        origin = release(package)
        for name in names.split():
            arguments = {"iterations": 2, "verbose": 0, "allow_writing_files": False} if package == "catboost" else {"n_estimators": 2}
            if name == "CatBoost":
                arguments = {"params": arguments}
            for extra in ({}, {"group_id": [0] * 40}, {"group": [40]}):
                try:
                    model = getattr(module, name)(**arguments)
                    dumps(model, origin)
                    model.fit(x, y, **extra)
                    dumps(model, origin)
                    for part in ("get_booster", "booster_"):
                        inner = getattr(model, part, None)
                        dumps(inner() if callable(inner) and part == "get_booster" else inner, origin)
                    break
                except Exception:
                    continue
        if package == "xgboost":
            dumps(module.train({}, module.DMatrix(x, y), 2), origin)
        if package == "lightgbm":
            dumps(module.train({"verbose": -1}, module.Dataset(x, y), 2), origin)


def statsmodels_() -> None:
    import numpy as np
    import statsmodels.api as sm
    from statsmodels.tsa.api import ARIMA, ExponentialSmoothing, SARIMAX, VAR

    origin = release("statsmodels")
    rng = np.random.RandomState(0)
    x, y = sm.add_constant(rng.rand(40, 2)), rng.rand(40)
    import pandas as pd
    frame = pd.DataFrame({"y": y, "x": x[:, 1], "c": ["a", "b"] * 20})
    import statsmodels.formula.api as smf
    makers = [lambda: sm.OLS(y, x).fit(), lambda: sm.WLS(y, x).fit(), lambda: sm.GLS(y, x).fit(), lambda: sm.RLM(y, x).fit(),
              lambda: sm.Logit((y > .5).astype(int), x).fit(disp=0), lambda: sm.GLM(y, x).fit(), lambda: sm.QuantReg(y, x).fit(),
              lambda: sm.Poisson((y * 5).astype(int), x).fit(disp=0), lambda: ARIMA(y, order=(1, 0, 0)).fit(),
              lambda: SARIMAX(y, order=(1, 0, 0)).fit(disp=0), lambda: ExponentialSmoothing(y).fit(),
              lambda: VAR(rng.rand(40, 2)).fit(1), lambda: smf.ols("y ~ x + c", frame).fit(), lambda: smf.glm("y ~ x", frame).fit()]
    makers += [lambda family=family: sm.GLM(y + .1, x, family=family()).fit() for family in
               (sm.families.Gamma, sm.families.Poisson, sm.families.Gaussian, sm.families.Tweedie, sm.families.InverseGaussian)]
    for make in makers:
        try:
            result = make()
        except Exception:
            continue
        dumps(result, origin)
        dumps(result.model, origin)
        dumps(getattr(result, "_results", None), origin)


def companions() -> None:
    import numpy as np

    rng = np.random.RandomState(0)
    x, y = rng.rand(60, 4), np.array([0, 1, 1] * 20)
    import pandas as pd
    frame = pd.DataFrame(x, columns=list("abcd")).assign(e=["u", "v"] * 30)
    for package, distribution in (("imblearn", "imbalanced-learn"), ("category_encoders", "category-encoders"),
                                  ("feature_engine", "feature-engine"), ("hmmlearn.hmm", "hmmlearn"), ("lifelines", "lifelines"),
                                  ("mlxtend.classifier", "mlxtend"), ("mlxtend.preprocessing", "mlxtend")):
        try:
            module = importlib.import_module(package)
            origin = release(distribution)
        except Exception:
            continue
        modules = [module]
        for info in pathlib.Path(module.__file__).parent.iterdir():
            if package in ("imblearn", "feature_engine") and info.is_dir() and not info.name.startswith(("_", "test")):
                try:
                    modules.append(importlib.import_module(f"{package}.{info.name}"))
                except Exception:
                    pass
        for part in modules:
            for name in getattr(part, "__all__", dir(part)):
                kind = getattr(part, name, None)
                if not isinstance(kind, type):
                    continue
                try:
                    model = kind()
                except Exception:
                    continue
                dumps(model, origin)
                for data in ((x, y), (x,), (frame, y), (frame,), (y + 1, y), (y + 1,)):
                    try:
                        fitted = kind().fit(*data)
                        dumps(fitted if fitted is not None else model, origin)
                        break
                    except Exception:
                        continue
    try:
        import gensim
        origin = release("gensim")
        sentences = [["a", "b", "c"], ["b", "c", "d"]] * 20
        for model in (gensim.models.Word2Vec(sentences, min_count=1, vector_size=4), gensim.models.FastText(sentences, min_count=1, vector_size=4),
                      gensim.corpora.Dictionary(sentences), gensim.models.TfidfModel([[(0, 1)], [(1, 1)]])):
            dumps(model, origin)
            dumps(getattr(model, "wv", None), origin)
        dumps(gensim.models.LdaModel([[(0, 1)], [(1, 1)]], num_topics=2, id2word={0: "a", 1: "b"}), origin)
    except Exception:
        pass
    try:
        import nltk
        origin = release("nltk")
        dumps(nltk.NaiveBayesClassifier.train([({"a": 1}, "x"), ({"a": 0}, "y")]), origin)
        for thing in (nltk.PorterStemmer(), nltk.SnowballStemmer("english"), nltk.RegexpTokenizer(r"\w+"), nltk.FreqDist("abc"),
                      nltk.ConditionalFreqDist([("a", "b")]), nltk.TreebankWordTokenizer(), nltk.UnigramTagger([[("a", "N")]]),
                      nltk.tokenize.punkt.PunktSentenceTokenizer("a b. c d.")):
            dumps(thing, origin)
    except Exception:
        pass


def torch_() -> None:
    import collections
    import zipfile

    import torch
    from torch import nn, optim

    origin = release("torch")

    def save(thing):
        isolated(lambda: save_here(thing))

    def save_here(thing):
        for options in ({}, {"_use_new_zipfile_serialization": False}):
            try:
                stream = io.BytesIO()
                torch.save(thing, stream, **options)
            except Exception:
                continue
            data = stream.getvalue()
            if zipfile.is_zipfile(io.BytesIO(data)):
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    for name in archive.namelist():
                        if name.endswith(".pkl"):
                            read(archive.read(name), f"torch.save of {origin}")
            else:
                end = 0
                for _ in range(5):
                    end = read(data, f"torch.save of {origin}", end)
        for protocol in (2, 4):
            try:
                read(pickle.dumps(thing, protocol=protocol), f"pickle of {origin}")
            except Exception:
                pass

    kinds = [getattr(torch, name) for name in "float32 float64 float16 bfloat16 int8 int16 int32 int64 uint8 bool complex64 complex128".split()]
    for kind in kinds:
        save(torch.zeros(2, 3, dtype=kind))
        save(kind)
    for thing in (torch.zeros(2).to_sparse(), torch.eye(3).to_sparse_csr(), nn.Parameter(torch.zeros(2)), torch.Size([1]), torch.device("cpu"),
                  torch.quantize_per_tensor(torch.zeros(2), .1, 0, torch.qint8), torch.quantize_per_channel(torch.eye(2), torch.ones(2),
                  torch.zeros(2), 0, torch.qint8), torch.zeros(2).untyped_storage(), torch.zeros(2).storage(), torch.contiguous_format,
                  torch.strided, torch.zeros(2, device="meta"), torch.Generator(), torch.preserve_format, torch.qint8):
        save(thing)
    examples = [(), (4,), (4, 4), (4, 4, 3), (4, 2), (8, 2), (1, 4, 4), ([4, 4],), (nn.TransformerEncoderLayer(8, 2), 1),
                (nn.TransformerDecoderLayer(8, 2), 1), ([1, 2], 3), (1, 2, 3), (nn.ReLU(),), ([nn.ReLU()],), ({"a": nn.ReLU()},)]
    modules = []
    for name in sorted(set(dir(nn))):
        kind = getattr(nn, name)
        if isinstance(kind, type) and issubclass(kind, nn.Module):
            for arguments in examples:
                try:
                    modules.append(kind(*arguments))
                    break
                except Exception:
                    continue
    for module in modules:
        save(module)
        save(module.state_dict())
    net = nn.Sequential(collections.OrderedDict(a=nn.Linear(4, 4), b=nn.ReLU()))
    for wrap in (nn.utils.weight_norm, nn.utils.spectral_norm, nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm,
                 nn.utils.parametrizations.orthogonal):
        try:
            save(wrap(nn.Linear(4, 4)))
        except Exception:
            pass
    for name in dir(optim):
        kind = getattr(optim, name)
        if isinstance(kind, type) and issubclass(kind, optim.Optimizer) and kind is not optim.Optimizer:
            try:
                optimizer = kind(net.parameters(), lr=.1)
                net(torch.zeros(1, 4)).sum().backward()
                optimizer.step()
            except Exception:
                try:
                    optimizer = kind(net.parameters())
                except Exception:
                    continue
            save(optimizer)
            save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1})
    optimizer = optim.SGD(net.parameters(), lr=.1)
    for name, arguments in (("StepLR", (1,)), ("ExponentialLR", (.9,)), ("CosineAnnealingLR", (5,)), ("ReduceLROnPlateau", ()),
                            ("LambdaLR", (float,)), ("MultiStepLR", ([1, 2],)), ("OneCycleLR", (.1, 10))):
        try:
            scheduler = getattr(optim.lr_scheduler, name)(optimizer, *arguments)
            save(scheduler)
            save(scheduler.state_dict())
        except Exception:
            pass
    for thing in (torch.utils.data.TensorDataset(torch.zeros(2)), torch.utils.data.DataLoader([1, 2]), torch.distributions.Normal(0., 1.),
                  torch.utils.data.Subset([1, 2], [0]), torch.distributions.Categorical(torch.ones(3)), torch.amp.GradScaler("cpu").state_dict()):
        save(thing)
    try:
        dynamic = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear}, dtype=torch.qint8)
        save(dynamic)
        save(dynamic.state_dict())
        prepared = nn.Sequential(nn.Linear(4, 4))
        prepared.qconfig = torch.ao.quantization.get_default_qconfig("x86")
        prepared = torch.ao.quantization.prepare(prepared)
        prepared(torch.zeros(1, 4))
        save(prepared)
        save(torch.ao.quantization.convert(prepared))
    except Exception:
        pass
    for make in (lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU())), lambda: torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8))):
        try:
            stream = io.BytesIO()
            torch.jit.save(make().eval(), stream)
            with zipfile.ZipFile(stream) as archive:
                for name in archive.namelist():
                    if name.endswith("pkl"):
                        read(archive.read(name), f"torch.jit.save of {origin}")
        except Exception as error:
            print("torchscript:", error, file=sys.stderr)
    try:
        import torchvision
        origin = release("torchvision")
        for name in ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "vgg11", "densenet121", "efficientnet_b0", "shufflenet_v2_x0_5",
                     "squeezenet1_0", "alexnet", "googlenet", "inception_v3", "vit_b_16", "swin_t", "convnext_tiny", "regnet_y_400mf", "mnasnet0_5",
                     "maxvit_t"):
            try:
                save(getattr(torchvision.models, name)(weights=None))
            except Exception:
                pass
        for name in ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "maskrcnn_resnet50_fpn", "ssdlite320_mobilenet_v3_large"):
            try:
                save(getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None))
            except Exception:
                pass
        t = torchvision.transforms
        save(t.Compose([t.Resize(4), t.CenterCrop(4), t.ToTensor(), t.Normalize([.5], [.5]), t.RandomHorizontalFlip(), t.ColorJitter(),
                        t.RandomResizedCrop(4), t.RandomRotation(5), t.Grayscale()]))
    except Exception:
        pass


def hugging_face() -> None:
    import torch
    import transformers

    origin = release("transformers")

    def save(thing, of=origin):
        import zipfile
        try:
            stream = io.BytesIO()
            torch.save(thing, stream)
            with zipfile.ZipFile(stream) as archive:
                for name in archive.namelist():
                    if name.endswith(".pkl"):
                        read(archive.read(name), f"torch.save of {of}")
        except Exception:
            pass
        dumps(thing, of)

    try:
        save(transformers.TrainingArguments(output_dir="out", report_to=[]))
    except Exception as error:
        print("training arguments:", error, file=sys.stderr)
    for name in ("BertConfig", "GPT2Config", "LlamaConfig", "T5Config", "RobertaConfig", "DistilBertConfig", "ViTConfig"):
        try:
            config = getattr(transformers, name)(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=16)
        except Exception:
            try:
                config = getattr(transformers, name)()
            except Exception:
                continue
        save(config)
        try:
            save(transformers.AutoModel.from_config(config))
        except Exception:
            pass
    for name in dir(transformers):
        if name.endswith("Callback") or name.endswith("State") or name.endswith("Strategy") or name.endswith("Output"):
            try:
                save(getattr(transformers, name)())
            except Exception:
                pass
    try:
        import timm
        for name in ("resnet18", "vit_tiny_patch16_224", "efficientnet_b0", "convnext_atto", "mobilenetv3_small_050"):
            save(timm.create_model(name, pretrained=False), release("timm"))
    except Exception:
        pass
    try:
        from ultralytics.nn.tasks import ClassificationModel, DetectionModel, SegmentationModel
        for kind, config in ((DetectionModel, "yolov8n.yaml"), (DetectionModel, "yolo11n.yaml"), (SegmentationModel, "yolov8n-seg.yaml"),
                             (ClassificationModel, "yolov8n-cls.yaml")):
            save(kind(config), release("ultralytics"))
        import argparse
        from ultralytics.utils import IterableSimpleNamespace
        save(IterableSimpleNamespace(a=1), release("ultralytics"))
        save(argparse.Namespace(a=1), release("ultralytics"))
    except Exception as error:
        print("ultralytics:", error, file=sys.stderr)
    try:
        import pytorch_lightning as pl
        from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
        from pytorch_lightning.utilities.parsing import AttributeDict
        for thing in (AttributeDict(a=1), ModelCheckpoint(), EarlyStopping("loss"), ModelCheckpoint().state_dict()):
            save(thing, release("pytorch-lightning"))
    except Exception as error:
        print("lightning:", error, file=sys.stderr)


def torchscript() -> None:
    """TorchScript's own pickles, which its C++ reader and `torch.jit` both take."""
    import typing
    import zipfile

    import torch
    from torch import nn

    class Attributes(nn.Module):
        def __init__(self):
            super().__init__()
            self.integers: typing.List[int] = [1, 2]
            self.floats: typing.List[float] = [1.5]
            self.flags: typing.List[bool] = [True]
            self.texts: typing.List[str] = ["a"]
            self.tensors: typing.List[torch.Tensor] = [torch.zeros(2)]
            self.table: typing.Dict[str, torch.Tensor] = {"a": torch.zeros(1)}
            self.pair: typing.Tuple[int, typing.List[int]] = (1, [2])
            self.perhaps: typing.Optional[torch.Tensor] = None
            self.linear = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x) + float(self.integers[0]) + self.floats[0]

    convolution = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)).eval(), {nn.Linear}, dtype=torch.qint8)
    made = [lambda: torch.jit.script(Attributes()), lambda: torch.jit.trace(convolution, torch.rand(1, 3, 8, 8)),
            lambda: torch.jit.freeze(torch.jit.script(convolution)), lambda: torch.jit.script(quantised)]
    for make in made:
        try:
            stream = io.BytesIO()
            torch.jit.save(make(), stream)
            with zipfile.ZipFile(stream) as archive:
                for name in archive.namelist():
                    if name.endswith(".pkl"):
                        read(archive.read(name), f"torch.jit.save of {release('torch')}")
        except Exception as error:
            print("torchscript:", error, file=sys.stderr)


def mlflow_() -> None:
    """What a model of `mlflow.pyfunc` carries beside its author's class."""
    import cloudpickle
    import mlflow.pyfunc

    origin = f"cloudpickle of {release('mlflow-skinny')}"
    scope: dict = {"__name__": "__main__", "mlflow": mlflow}
    exec("""
class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context): self.a = 1
    def predict(self, context, model_input): return model_input
class Chat(mlflow.pyfunc.ChatModel):
    def predict(self, context, messages, params): return messages
""", scope)
    for name in ("Model", "Chat"):
        for thing in (scope[name], scope[name]()):
            for protocol in (2, 4, 5):
                try:
                    read(cloudpickle.dumps(thing, protocol=protocol), origin)
                except Exception as error:
                    print("mlflow:", error, file=sys.stderr)
        # What saving adds to the object: signatures and type hints.
        with tempfile.TemporaryDirectory() as folder:
            try:
                mlflow.pyfunc.save_model(f"{folder}/model", python_model=scope[name]())
                read(pathlib.Path(folder, "model", "python_model.pkl").read_bytes(), origin)
            except Exception as error:
                print("mlflow:", error, file=sys.stderr)


# --- commands ------------------------------------------------------------------------------------------------------

def dangerous() -> tuple[set, set]:
    exact, trees = set(), set()
    for row in (HERE / "dangerous.tsv").read_text().splitlines():
        if row and not row.startswith("#"):
            path = row.split("\t")[0]
            trees.add(path[:-2]) if path.endswith(".*") else exact.add(path)
    return exact, trees


EXACT, TREES = dangerous()
DANGEROUS_LAST = {"load", "fromfile", "loadtxt", "genfromtxt", "save", "savez", "savetxt", "memmap", "fromregex", "DataSource",
                  "system", "popen", "Popen", "exec", "eval", "execfile", "exec_module", "import_module", "load_module", "check_output",
                  "check_call", "getoutput", "getstatusoutput", "runcode", "runsource", "run_module", "run_path", "run_code", "runctx",
                  "runcall", "runeval", "runstring", "unsafe_load", "load_source", "load_dynamic", "subimport"}


def is_dangerous(path: str) -> bool:
    hops = path.split(".")
    return (path in EXACT or hops[-1] in DANGEROUS_LAST
            or any(".".join(hops[:count]) in TREES for count in range(1, len(hops) + 1)))


PARTS = (python, code, numpy_, pandas_, scipy_, sklearn_, boosters, statsmodels_, companions, torch_, torchscript, mlflow_, hugging_face)


def dump(output: str, *names: str) -> None:
    for part in PARTS:
        if names and part.__name__ not in names:
            continue
        before = len(SEEN)
        isolated(part)
        print(f"{part.__name__}: {len(SEEN) - before} new", file=sys.stderr)
    write(output, {path: ("".join(sorted(uses)), sorted(origins)[0]) for path, (uses, origins) in SEEN.items()
                   if not path.startswith("__main__.")})


def write(output: str, rows: dict) -> None:
    lines = ["# path, uses (c called, n instantiated, g named), and the release in whose dump it was first seen; by harvest.py"]
    lines += [f"{path}\t{uses}\t{origin}" for path, (uses, origin) in sorted(rows.items())]
    pathlib.Path(output).write_text("\n".join(lines) + "\n")


def merge(output: str, *inputs: str) -> None:
    rows: dict = {}
    for name in inputs:
        for row in pathlib.Path(name).read_text().splitlines():
            if row and not row.startswith("#"):
                path, uses, origin = row.split("\t")
                if path.replace("__builtin__.", "builtins.") in EXACT:
                    # dill and cloudpickle rebuild functions with a few of these; their code is judged anyway.
                    continue
                known = rows.get(path, ("", origin))
                rows[path] = ("".join(sorted(set(known[0]) | set(uses))), known[1])
    write(output, rows)


LISTED = {
    "numpy": "numpy", "scipy": "scipy", "pandas": "pandas", "sklearn": "scikit-learn", "xgboost": "xgboost", "lightgbm": "lightgbm",
    "catboost": "catboost", "statsmodels": "statsmodels", "imblearn": "imbalanced-learn", "category_encoders": "category-encoders",
    "hmmlearn": "hmmlearn", "feature_engine": "feature-engine", "lifelines": "lifelines", "gensim": "gensim", "nltk": "nltk", "pyod": "pyod",
    "mlxtend": "mlxtend", "torch": "torch", "torchvision": "torchvision", "transformers": "transformers", "timm": "timm",
    "pytorch_lightning": "pytorch-lightning", "sentence_transformers": "sentence-transformers", "ultralytics": "ultralytics", "skops": "skops",
}
# Modules whose classes and functions no model refers to: builders, test helpers, command lines, loaders.
UNLISTED_HOPS = {"tests", "test", "testing", "_testing", "conftest", "f2py", "distutils", "setup", "benchmarks", "_vendor", "externals",
                 "_inductor", "_dynamo", "_export", "_functorch", "package", "onnx", "hub", "cpp_extension", "__main__", "cli", "commands",
                 "serialization", "bottleneck", "collect_env", "_config_module", "multiprocessing", "distributed", "pickle_compat", "io",
                 "elastic", "fx", "export", "utils_test", "tools", "scripts", "downloader", "app", "datapipes", "profiler", "autocomplete"}
# In packages of this size only classes, and of the largest only what ends so.
CLASSES_ONLY = {"transformers", "timm", "torch", "ultralytics", "nltk", "gensim", "torchvision", "pytorch_lightning"}
FUNCTIONS_TOO = {"torch.nn.functional", "torch.nn.init"}


def list_(output: str) -> None:
    lines = ["# module, classes, public functions, and the release whose sources name them; by harvest.py"]
    for package, distribution in LISTED.items():
        spec = importlib.util.find_spec(package)
        if not spec or not spec.submodule_search_locations:
            continue
        root = pathlib.Path(list(spec.submodule_search_locations)[0])
        origin = release(distribution)
        for path in sorted(root.rglob("*.py")):
            hops = [package, *path.relative_to(root).with_suffix("").parts]
            if hops[-1] == "__init__":
                hops.pop()
            if UNLISTED_HOPS & set(hops) or any(hop.startswith("test_") for hop in hops):
                continue
            module = ".".join(hops)
            try:
                tree = ast.parse(path.read_text())
            except (SyntaxError, UnicodeDecodeError):
                continue
            classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
            functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
            if package in CLASSES_ONLY and module not in FUNCTIONS_TOO:
                functions = []
            classes = sorted({name for name in classes if not is_dangerous(f"{module}.{name}")})
            functions = sorted({name for name in functions if not is_dangerous(f"{module}.{name}")})
            if classes or functions:
                lines.append(f"{module}\t{','.join(classes)}\t{','.join(functions)}\t{origin}")
    pathlib.Path(output).write_text("\n".join(lines) + "\n")


SHIPPED_BYTES_MAX = 8 << 20


def unpacked(data: bytes):
    """The bytes, and what lies in them: compressed streams, archives of arrays, arrays of objects, joblib's old files."""
    import bz2
    import gzip
    import lzma
    import zipfile
    import zlib

    open_, seen = [data], 0
    while open_ and seen < 200:
        data = open_.pop()
        seen += 1
        yield data
        if data.startswith(b"ZF0x"):
            data = data[2:].split(b"x", 1)[1].lstrip(b"0123456789abcdef ")
        for unpack in (gzip.decompress, zlib.decompress, bz2.decompress, lzma.decompress):
            try:
                open_.append(unpack(data))
            except Exception:
                pass
        if data.startswith(b"PK"):
            try:
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    open_.extend(archive.read(name) for name in archive.namelist())
            except Exception:
                pass
        if data.startswith(b"\x93NUMPY") and b"O" in data[:128]:
            open_.append(data[data.index(b"\n") + 1:])


def shipped(output: str) -> None:
    for package, distribution in (LISTED | {"joblib": "joblib"}).items():
        spec = importlib.util.find_spec(package)
        if not spec or not spec.submodule_search_locations:
            continue
        root = pathlib.Path(list(spec.submodule_search_locations)[0])
        for path in sorted(root.rglob("*")):
            if path.suffix in (".py", ".pyc", ".so", ".pyi", ".txt", ".h") or not path.is_file() or path.stat().st_size > SHIPPED_BYTES_MAX:
                continue
            for data in unpacked(path.read_bytes()):
                if data[:1] in b"\x80(]}cld":
                    try:
                        read(data, f"test data of {release(distribution)}")
                    except Exception:
                        pass
    roots = set(LISTED) | {"joblib"}
    write(output, {path: ("".join(sorted(uses)), sorted(origins)[0]) for path, (uses, origins) in SEEN.items()
                   if path.split(".")[0] in roots and path not in EXACT and path.rsplit(".", 1)[-1] not in DANGEROUS_LAST
                   and "test" not in path and all(hop.isidentifier() for hop in path.split("."))})


if __name__ == "__main__":
    import importlib.util

    command, *arguments = sys.argv[1:] or ["help"]
    commands = {"dump": dump, "merge": merge, "list": list_, "shipped": shipped}
    if command not in commands:
        sys.exit(__doc__)
    commands[command](*arguments)
