//! One file a format; the list is [`crate::FORMATS`].

pub(crate) mod compressed;
pub(crate) mod npy;
pub(crate) mod pickle;
pub(crate) mod tar;
pub(crate) mod torch_legacy;
pub(crate) mod zip;
