//! Reading archives the way several readers of one file would.

pub(crate) mod entry;
pub(crate) mod zip;
