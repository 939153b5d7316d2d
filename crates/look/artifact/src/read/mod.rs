//! Readers without rules: bytes in, structure out, bounded in memory, depth and time on any input.

pub mod flatbuffer;
pub mod json;
pub mod marshal;
pub mod msgpack;
pub mod protobuf;
pub mod text;
pub mod xml;
pub mod yaml;
