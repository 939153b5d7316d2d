"""Makes the samples in this folder with the genuine libraries. Run by hand when one is to be renewed:

    for python in python3.6 python3.8 python3.10 python3.11 python3.12 python3.13; do $python make.py marshal >> marshal.txt; done
    VENV/bin/python make.py keras          # a virtual environment with keras, tensorflow and h5py
    VENV/bin/python make.py hdf5
    VENV/bin/python make.py sevenzip       # one with py7zr
    VENV/bin/python make.py xgboost        # one with xgboost==1.7.6, the last that wrote its binary unasked

`marshal.txt` has a line for each sample: the Python that made it, a name, the bytes in hexadecimal. Nothing here is ever
run; commands are harmless.
"""

import marshal
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
SOURCES = {
    "hostile": "import os\nos.system('echo harmless')\n",
    "arithmetic": "f = lambda x: x * 2 + 1\n",
    "function": "def f(a, b=3, *c, d=None, **e):\n    '''Adds.'''\n    return [a + b for _ in range(3)], {'k': (1.5, 2j, b'x', True, 10**30, ...)}, frozenset({1, 2})\n",
}


def marshalled():
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name, source in SOURCES.items():
        print(version, name, marshal.dumps(compile(source, "sample.py", "exec")).hex())


CALL = b"cos\nsystem\n(S'echo harmless'\ntR."


def sevenzip():
    import py7zr

    def save(name, members, **options):
        with py7zr.SevenZipFile(HERE / name, "w", **options) as archive:
            for member, content in members.items():
                archive.writestr(content, member)

    filtered = [{"id": py7zr.FILTER_X86}, {"id": py7zr.FILTER_LZMA2, "preset": 6}]
    save("honest.7z", {"note.txt": b"A note.\n" * 20, "values.json": b"[1, 2]", "empty.txt": b""}, filters=filtered)
    save("hostile.7z", {"note.txt": b"A note.\n", "model.pkl": CALL}, filters=[{"id": py7zr.FILTER_LZMA, "preset": 6}])
    save("encrypted.7z", {"model.pkl": CALL}, password="secret")


def keras_models():
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    def save(name, function):
        layers = [keras.layers.Input((8,)), keras.layers.Dense(4), keras.layers.Lambda(function, output_shape=(4,))]
        (HERE / name).write_text(keras.Sequential(layers).to_json() + "\n")

    save("keras-lambda-arithmetic.json", lambda x: x * 2 + 1)
    save("keras-lambda-hostile.json", lambda x: x * (__import__("os").system("echo harmless") if x is None else 1))


def hdf5_files():
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import h5py
    import keras
    import numpy as np

    def model(name, *more):
        layers = [keras.layers.Input((2,)), keras.layers.Dense(1), *more]
        keras.Sequential(layers).save(HERE / name)

    model("keras.h5")
    model("keras-lambda.h5", keras.layers.Lambda(lambda x: x * (__import__("os").system("echo harmless") if x is None else 1), output_shape=(1,)))
    with h5py.File(HERE / "external-storage.h5", "w") as file:
        file.create_dataset("w", (4,), "u1", external=[("/etc/hostname", 0, 4)])
    with h5py.File(HERE / "external-link.h5", "w") as file:
        file["w"] = h5py.ExternalLink("../other.h5", "/w")
    with h5py.File(HERE / "pickled.h5", "w") as file:
        file.attrs["CLASS"] = np.bytes_(b"cos\nsystem\n(S'echo harmless'\ntR.")
    with h5py.File(HERE / "latest.h5", "w", libver="latest") as file:
        group = file.create_group("layers/dense")
        group.attrs["units"] = 4
        group.attrs["note"] = "a text of variable length that says nothing"
        group.create_dataset("kernel", data=np.zeros((8, 8)), chunks=(4, 4), compression="gzip")
    with h5py.File(HERE / "virtual.h5", "w", libver="latest") as file:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "w", (4,))
        file.create_virtual_dataset("w", layout)


def xgboost_models():
    import numpy as np
    import xgboost

    x = np.random.RandomState(0).rand(60, 3)
    two, three = (x[:, 0] > 0.5).astype(int), (x[:, 0] * 3).astype(int)
    kinds = {
        "tree": ({"objective": "binary:logistic", "max_depth": 2}, two, 2),
        "linear": ({"objective": "reg:squarederror", "booster": "gblinear"}, two, 2),
        "dart": ({"objective": "multi:softprob", "num_class": 3, "booster": "dart", "max_depth": 1}, three, 2),
        "poisson": ({"objective": "count:poisson", "eval_metric": ["rmse", "mae"], "max_depth": 1}, three, 1),
    }
    for name, (options, y, rounds) in kinds.items():
        xgboost.train(options, xgboost.DMatrix(x, y), rounds).save_model(str(HERE / f"xgboost-1.7-{name}.model"))


if __name__ == "__main__":
    {"marshal": marshalled, "keras": keras_models, "hdf5": hdf5_files, "xgboost": xgboost_models}[sys.argv[1]]()
