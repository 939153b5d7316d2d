//! Binary formats of models: nothing panics, and nothing is read beyond the budget.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The first byte of the input chooses.
const FORMATS: &[&str] = &[
    "onnx",
    "tensorflow-graph",
    "tflite",
    "safetensors",
    "gguf",
    "msgpack",
    "ubjson",
    "tensorrt",
    "catboost",
    "xgboost-binary",
    "executable",
    "hdf5",
    "r-serialised",
    "java-serialised",
    "torch7",
    "coreml",
    "paddle",
    "paddle-parameters",
];

fuzz_target!(|input: &[u8]| haris_fuzz::scan(FORMATS, input));
