//! The shape of a log that anyone can check: RFC 6962 hashing, C2SP tiles, signed notes, checkpoints, cosignatures,
//! proofs and witness policies.
//!
//! This crate does no I/O, reads no clock and holds no secret: tiles come in through [`tree::ReadTiles`], signatures
//! through [`note::Signer`], time as an argument. Every parser here reads bytes that an adversary may have written, so
//! each is bounded, strict (one spelling per meaning) and returns an error instead of panicking.
//!
//! The formats are public: RFC 6962 section 2.1, and C2SP tlog-tiles, signed-note, tlog-checkpoint, tlog-cosignature,
//! tlog-proof, tlog-witness and tlog-policy.

pub mod checkpoint;
pub mod frontier;
pub mod hash;
pub mod key;
pub mod note;
pub mod policy;
pub mod proof;
pub mod receipt;
pub mod submission;
pub mod subtrees;
pub mod tile;
pub mod tlog_proof;
pub mod tree;

mod text;

pub use checkpoint::Checkpoint;
pub use frontier::{Frontier, Peaks};
pub use hash::{Hash, empty_root, leaf_hash, node_hash};
pub use key::{KeyKind, VerifierKey};
pub use note::{Note, Signer};
pub use policy::Policy;
pub use proof::{verify_consistency, verify_inclusion};
pub use receipt::Receipt;
pub use submission::Submission;
pub use subtrees::Subtrees;
pub use tile::{Entries, Tile};
pub use tlog_proof::TlogProof;
pub use tree::ReadTiles;
