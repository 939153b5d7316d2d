//! Looks at text: prompts, documents, tool results and outputs in, detections out.
//!
//! No network, no clock, no file. [`Engine::inspect`] looks at a whole text, [`Stream`] at one that
//! arrives in pieces, and both run the same scanner, so they cannot disagree: a decision about a
//! match depends on a bounded neighbourhood only, and is taken when that neighbourhood is there.

mod detectors;
mod engine;
mod fnv;
mod literals;
mod redact;
mod resolve;
mod scan;
mod spot;
mod stream;
mod view;

pub use detectors::hidden_unicode::LONE_SURROGATE;
pub use engine::{Engine, Explanation, Inspection, View};
pub use redact::{placeholder, redact};
pub use stream::{Piece, Stream};
