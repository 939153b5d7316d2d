//! Reading archives the way several readers of one file would.

pub(crate) mod entry;
pub(crate) mod rar;
pub(crate) mod sevenzip;
pub(crate) mod shelf;
pub(crate) mod zip;
