//! The words of Haris: events, ids, times, rules, detections. Every floor speaks them.
//!
//! Nothing here reads a clock, a file or a socket. Types that end up in the ledger are written by
//! hand-made canonical encoders and never by `derive(Serialize)`, so that renaming a field in Rust
//! can never change bytes that an auditor must read in ten years.

pub mod canonical;
pub mod detection;
pub mod digest;
pub mod event;
pub mod histogram;
pub mod id;
pub mod identifier;
pub mod kind;
pub mod operation;
pub mod rule;
pub mod time;

pub use detection::{Context, Detection, DetectionKind, Verdict};
pub use digest::Digest;
pub use event::{Draft, Event, Leaf, PayloadRef, SealedPayload, Source, Stored};
pub use histogram::Histogram;
pub use id::{Actor, EventId};
pub use kind::{EventKind, Log};
pub use operation::{Approval, OperationMeta};
pub use rule::{Rule, RuleId, Severity};
pub use time::Timestamp;
