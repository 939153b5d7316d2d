//! What an auditor runs: the evidence bundle `haris.bundle/1` and its checks.
//!
//! Nothing here trusts the file it reads: every length is bounded, every member has one form, and what the bundle says
//! of itself is held against its leaves, these against the tiles, these against the checkpoint, and that against keys
//! which the auditor brought along. Leaves are never written back: what is hashed is what lies there.
//!
//! No database, no async, and no network but one plain GET where an auditor names a witness: of our crates this one
//! imports `haris-merkle` alone. The ledger uses
//! [`BundleWriter`] to make what [`verify`] reads.

pub mod bundle;
pub mod cli;
pub mod continuity;
pub mod filter;
pub mod leaf;
pub mod moment;
pub mod outside;
pub mod report;
pub mod trust;

mod records;
mod tiles;
mod verify;
mod zip;

#[cfg(test)]
mod tests;

pub use bundle::{BundleWriter, LogPart, Manifest, Scope, Window};
pub use continuity::{Continuity, Findings};
pub use filter::Filter;
pub use leaf::LeafView;
pub use report::{EventLine, Leaf, LogReport, OPERATOR_ONLY, Report, Watch};
pub use trust::Trust;
pub use verify::{ANCHOR_KIND, Kept, Outside, Shown, verify, verify_proof, verify_receipt, verify_with};
pub use zip::{BYTES_MAX, MEMBERS_MAX, ZipError};
