//! One file a format; the list is [`crate::FORMATS`].

pub(crate) mod gzip;
