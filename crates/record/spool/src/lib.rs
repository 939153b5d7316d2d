//! A process's durable queue of events.

mod disk;
mod spool;
mod state;

pub use disk::{Disk, DiskFile, Identity, Lock, RealDisk};
pub use spool::{Batch, Durable, Readable, Record, Spool};
pub use state::{Cause, Damage, Health, OpenError, Options, Position, ReadError, Refused, SourceName, State};
