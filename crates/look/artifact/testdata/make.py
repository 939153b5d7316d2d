"""Makes the samples in this folder with the genuine libraries. Run by hand when one is to be renewed:

    for python in python3.6 python3.8 python3.10 python3.11 python3.12 python3.13; do $python make.py marshal >> marshal.txt; done
    VENV/bin/python make.py keras          # a virtual environment with keras and tensorflow

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


def keras_models():
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    def save(name, function):
        layers = [keras.layers.Input((8,)), keras.layers.Dense(4), keras.layers.Lambda(function, output_shape=(4,))]
        (HERE / name).write_text(keras.Sequential(layers).to_json() + "\n")

    save("keras-lambda-arithmetic.json", lambda x: x * 2 + 1)
    save("keras-lambda-hostile.json", lambda x: x * (__import__("os").system("echo harmless") if x is None else 1))


if __name__ == "__main__":
    {"marshal": marshalled, "keras": keras_models}[sys.argv[1]]()
