//! One budget for everything that a scan of one artifact does, however deep the layers lie.
//!
//! Counters are shared by all readers of a scan (hence atomics), so that a hundred small bombs cost
//! no more than a large one. Time is an argument: this crate reads no clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::unread::Unread;

/// Bounds of one scan.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes that decompression may yield in all.
    pub bytes_out: u64,
    /// Decompressed bytes for each compressed one, once [`Limits::bytes_out_free`] has been yielded.
    /// An array of zeros is honest at any ratio, so small ones are let through.
    pub ratio: u64,
    /// Decompressed bytes that are nobody's business, whatever their ratio.
    pub bytes_out_free: u64,
    /// Layers inside layers.
    pub depth: u32,
    /// Members and embedded parts in all.
    pub members: u64,
    /// Units of work: one is about what a pickle opcode or a small record costs (some 10 ns).
    pub steps: u64,
    /// Findings of one artifact. More of the same tell nobody anything.
    pub findings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_out: 64 << 30,
            ratio: 100,
            bytes_out_free: 256 << 20,
            depth: 12,
            members: 200_000,
            steps: 20_000_000_000,
            findings: 200,
        }
    }
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::bytes_out`].
    BytesOut,
    /// [`Limits::ratio`].
    Ratio,
    /// [`Limits::depth`].
    Depth,
    /// [`Limits::members`].
    Members,
    /// [`Limits::steps`].
    Steps,
    /// The caller's clock, see [`Budget::expire`].
    Time,
    /// A bound inside one format; the text says which.
    Within(&'static str),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BytesOut => "decompressed bytes",
            Self::Ratio => "compression ratio",
            Self::Depth => "nested layers",
            Self::Members => "members",
            Self::Steps => "work",
            Self::Time => "time",
            Self::Within(what) => what,
        })
    }
}

/// What is left of [`Limits`]. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Spent>);

#[derive(Debug)]
struct Spent {
    limits: Limits,
    bytes_out: AtomicU64,
    members: AtomicU64,
    steps: AtomicU64,
    expired: AtomicBool,
}

impl Budget {
    /// A fresh budget.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Spent {
            limits,
            bytes_out: AtomicU64::new(0),
            members: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            expired: AtomicBool::new(false),
        }))
    }

    /// The bounds themselves.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Ends the scan at its next step: for a caller with a clock.
    pub fn expire(&self) {
        self.0.expired.store(true, Ordering::Relaxed);
    }

    /// Counts work. Call it in every loop whose length the file decides, in batches.
    ///
    /// # Errors
    /// When the work or the caller's time is used up.
    pub fn steps(&self, count: u64) -> Result<(), Unread> {
        if self.0.expired.load(Ordering::Relaxed) {
            return Err(Unread::Limit(Limit::Time));
        }
        let before = self.0.steps.fetch_add(count, Ordering::Relaxed);
        if before.saturating_add(count) > self.0.limits.steps { Err(Unread::Limit(Limit::Steps)) } else { Ok(()) }
    }

    /// Counts members or embedded parts.
    ///
    /// # Errors
    /// When there are too many.
    pub fn members(&self, count: u64) -> Result<(), Unread> {
        let before = self.0.members.fetch_add(count, Ordering::Relaxed);
        let over = before.saturating_add(count) > self.0.limits.members;
        if over { Err(Unread::Limit(Limit::Members)) } else { Ok(()) }
    }

    /// Counts decompressed bytes; `layer_in` and `layer_out` are what this layer has read and given.
    ///
    /// # Errors
    /// When the sum or the layer's ratio is too high.
    pub fn bytes_out(&self, count: u64, layer_in: u64, layer_out: u64) -> Result<(), Unread> {
        self.steps(count / 64)?;
        let limits = &self.0.limits;
        let out = self.0.bytes_out.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        if out > limits.bytes_out {
            return Err(Unread::Limit(Limit::BytesOut));
        }
        if out > limits.bytes_out_free && layer_out / layer_in.max(1) > limits.ratio {
            return Err(Unread::Limit(Limit::Ratio));
        }
        Ok(())
    }
}
