//! Readers without rules: bytes in, structure out, bounded in memory, depth and time on any input.

pub(crate) mod flatbuffer;
pub(crate) mod hdf5;
pub(crate) mod json;
pub(crate) mod marshal;
pub(crate) mod msgpack;
pub(crate) mod protobuf;
pub(crate) mod text;
pub(crate) mod xml;
pub(crate) mod yaml;
