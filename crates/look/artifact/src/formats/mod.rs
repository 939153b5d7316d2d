//! One file a format; the list is [`crate::FORMATS`].

pub(crate) mod boosters;
pub(crate) mod bytecode;
pub(crate) mod compressed;
pub(crate) mod document;
pub(crate) mod executable;
pub(crate) mod gguf;
pub(crate) mod jinja;
pub(crate) mod json;
pub(crate) mod msgpack;
pub(crate) mod npy;
pub(crate) mod onnx;
pub(crate) mod pickle;
pub(crate) mod python;
pub(crate) mod requirements;
pub(crate) mod safetensors;
pub(crate) mod sevenzip;
pub(crate) mod shell;
pub(crate) mod tar;
pub(crate) mod tensorflow;
pub(crate) mod tensorrt;
pub(crate) mod tflite;
pub(crate) mod torch_legacy;
pub(crate) mod ubjson;
pub(crate) mod xml;
pub(crate) mod yaml;
pub(crate) mod zip;
