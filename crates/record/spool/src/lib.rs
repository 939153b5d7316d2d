//! A process's durable queue of events: acknowledged means durable.
//!
//! The gateway may not send a prompt upstream before its event is safe, and may not wait for a database either. So it
//! appends to this queue, waits for one local `fdatasync` that it shares with everybody who waits, and goes on; the
//! ledger takes the events from here in its own time.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use haris_domain::{Actor, Draft, Timestamp, kind};
//! # use haris_spool::{Options, Position, RealDisk, SourceName, Spool};
//! # async fn example(now: Timestamp) -> Result<(), Box<dyn std::error::Error>> {
//! let name = SourceName { node: "gateway-1".into(), boot: "9f3c".into() };
//! let spool = Spool::open("data/spool".as_ref(), name, Options::default(), Arc::new(RealDisk))?;
//!
//! let draft = Draft::new(&kind::REQUEST_DECIDED, now, Actor::caller("c1"));
//! let leaf = spool.append(draft, Vec::new())?.await?; // on disk when this returns
//!
//! let batch = spool.read(Position::START, 1000, 4 << 20)?;
//! assert_eq!(batch.records[0].leaf, leaf);
//! spool.release(batch.next); // once they are in the ledger
//! # Ok(())
//! # }
//! ```
//!
//! What it promises, and how:
//!
//! - **Acknowledged is durable.** The answer comes after the sync that covers the event, to a segment whose name was
//!   synced before its first event. A failed write or sync poisons the spool: nothing is retried, everything is refused
//!   until the next start, because after a failed sync nobody can know what the disk has.
//! - **A segment that lost its name counts as not writable.** After each sync the path is compared with the open file.
//! - **`n` has no gaps.** Events are stamped under the queue's lock, so what is durable of a boot is always a prefix.
//! - **Readers see only what is durable**, after a restart too: recovery syncs again what it found last.
//! - **Nothing is dropped silently.** A torn tail (a group that a crash cut, never acknowledged) is told from damage (bytes
//!   that were durable and are not readable), and damage is named with its position.
//!
//! `frame` describes the bytes of a segment. The tests put a disk under all this that loses, tears and reorders
//! whatever was not synced.

mod core;
mod disk;
mod frame;
mod keeper;
mod reader;
mod record;
mod recover;
mod spool;
mod state;
mod writer;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

pub use disk::{Disk, DiskFile, Identity, Lock, RealDisk};
pub use frame::{Salvage, salvage};
pub use record::Record;
pub use recover::Recovery;
pub use spool::{Batch, Durable, Readable, Spool};
pub use state::{Cause, Damage, Health, OpenError, Options, Position, ReadError, Refused, SourceName, State};
