//! What a witness does (C2SP tlog-witness): remembers the newest checkpoint of each log that it was told to watch,
//! cosigns one that continues it, and refuses, keeps and shows one that does not.
//!
//! A cosignature is a promise: *nobody was shown, by me, a history that contradicts this one*. So what is remembered is
//! durable before the promise leaves, and checking and remembering are one step that no other submission can come
//! between. No network and no async here; `talk/witness` is the door.

mod disk;
mod refused;
mod steps;
mod witness;

pub use disk::DiskError;
pub use refused::{Refused, Why};
pub use witness::{Answer, LogFace, OpenError, Watched, Witness};
