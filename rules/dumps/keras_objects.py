"""Writes rules/keras-objects.toml from a genuine Keras: every class and function that its own loader knows.

    pip install keras==3.14.0 tensorflow-cpu==2.21.0
    python rules/dumps/keras_objects.py > rules/keras-objects.toml

Which of them load files, fetch, or bring code is decided here, by a person.
"""
import inspect
import textwrap

import keras

# Loads a file or a model by name, fetches, or makes code: no configuration of a layer needs them.
DANGEROUS = """
get_file load_model load_weights enable_unsafe_deserialization func_load func_dump deserialize_lambda
clone_model model_from_json model_from_yaml model_from_config image_dataset_from_directory
text_dataset_from_directory audio_dataset_from_directory load_img save_img load_dataset extract_archive
extract_open_archive makedirs open_file File copy rmtree remove run eval exec ReloadFromDirectory
python_func_load load_from_file save_model serialize_keras_object deserialize_keras_object pip_install
"""

# Legacy names that older files carry.
LEGACY = """
Model Functional Sequential CuDNNLSTM CuDNNGRU ThresholdedReLU AlphaDropout RandomFourierFeatures SyncBatchNormalization
LocallyConnected1D LocallyConnected2D Conv2DTranspose TFOpLambda SlicingOpLambda ClassMethod InstanceMethod
InstanceProperty TensorFlowOpLayer DenseFeatures LossScaleOptimizer SGDOld Experimental ModuleWrapper KerasTensor
BatchNormalizationV1 BatchNormalizationV2 LSTMV2 GRUV2 RNN StackedRNNCells VarianceScaling GlorotUniformV2 ZerosV2 OnesV2
GlorotUniform Zeros Ones Constant RandomNormal RandomUniform TruncatedNormal Orthogonal Identity HeNormal HeUniform
LecunNormal LecunUniform GlorotNormal NormalizationV1 StringLookupV1 IntegerLookupV1 Policy PolicyV1 DTypePolicy
FloatDTypePolicy QuantizedDTypePolicy QuantizedFloat8DTypePolicy DTypePolicyMap TensorShape TypeSpec __tuple__ __tensor__
__numpy__ __bytes__ __ellipsis__ __typespec__ __keras_tensor__ __none__ __slice__ __lambda__ function builtins set dict
InputSpec CompileConfig Operation
"""

names = set(LEGACY.split())
modules = [keras] + [m for _, m in inspect.getmembers(keras, inspect.ismodule)]
for module in list(modules):
    modules += [m for _, m in inspect.getmembers(module, inspect.ismodule) if m.__name__.startswith("keras")]
for module in modules:
    for name, thing in inspect.getmembers(module):
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and not name.startswith("_"):
            if str(getattr(thing, "__module__", "")).startswith("keras"):
                names.add(name)
        if inspect.isclass(thing) and str(thing.__module__).startswith("keras.src"):
            names.add(thing.__name__)
import keras.src.ops.numpy, keras.src.ops.nn, keras.src.ops.core, keras.src.ops.math, keras.src.ops.linalg, keras.src.ops.image  # noqa: E401,E402

for module in [keras.src.ops.numpy, keras.src.ops.nn, keras.src.ops.core, keras.src.ops.math, keras.src.ops.linalg, keras.src.ops.image]:
    for name, thing in inspect.getmembers(module, inspect.isclass):
        names.add(name)
dangerous = set(DANGEROUS.split())
known = names - dangerous


def table(key, items):
    text = " ".join(f'"{name}",' for name in sorted(items))
    return f"{key} = [\n" + textwrap.indent("\n".join(textwrap.wrap(text, 116, break_long_words=False)), "    ") + "\n]\n"


print(f"# Names of Keras {keras.__version__}, written by rules/dumps/keras_objects.py: edit that.\n")
print("# Loads a file or a model by name, fetches, or makes code.")
print(table("dangerous", dangerous))
print("# Every class and function that Keras' own loader knows, and legacy names.")
print(table("known", known), end="")
