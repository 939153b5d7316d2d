//! One file a format; the list is [`crate::FORMATS`].

pub(crate) mod boosters;
pub(crate) mod bytecode;
pub(crate) mod document;
pub(crate) mod executable;
pub(crate) mod gguf;
pub(crate) mod gzip;
pub(crate) mod jinja;
pub(crate) mod json;
pub(crate) mod msgpack;
pub(crate) mod onnx;
pub(crate) mod python;
pub(crate) mod requirements;
pub(crate) mod safetensors;
pub(crate) mod sevenzip;
pub(crate) mod shell;
pub(crate) mod tensorflow;
pub(crate) mod tensorrt;
pub(crate) mod tflite;
pub(crate) mod ubjson;
pub(crate) mod xml;
pub(crate) mod yaml;
