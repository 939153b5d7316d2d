//! One file a layout; the list is [`crate::LAYOUTS`].
