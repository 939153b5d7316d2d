//! One file a kind of layout; the list is [`crate::LAYOUTS`].

pub(crate) mod folder;
