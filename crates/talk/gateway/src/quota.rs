//! How much a caller had stored of late: one application must not fill the disk of all.
//!
//! Bytes are counted by hour, over the last 24, by a clock that nobody sets. A start begins anew: what was stored before
//! it is on the disk and under its watermarks. Requests only add to atomic counters here; what is stored in the instant
//! that an hour begins may be counted under the hour before or not at all.

use std::sync::atomic::{AtomicU64, Ordering};

const HOURS: u64 = 24;

/// Bytes stored for one caller in the last 24 hours.
#[derive(Debug, Default)]
pub struct Stored {
    bytes: [AtomicU64; HOURS as usize],
    newest: AtomicU64,
}

impl Stored {
    /// Counts what was stored in `hour`.
    pub(crate) fn add(&self, bytes: u64, hour: u64) {
        self.forget_before(hour);
        self.slot(hour).fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was stored in the 24 hours up to and with `hour`.
    pub(crate) fn bytes(&self, hour: u64) -> u64 {
        self.forget_before(hour);
        self.bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed)).fold(0, u64::saturating_add)
    }

    /// Forgets what is a day older than `hour`. Whoever moves the newest hour clears, once.
    fn forget_before(&self, hour: u64) {
        let newest = self.newest.fetch_max(hour, Ordering::Relaxed);
        for passed in 1..=hour.saturating_sub(newest).min(HOURS) {
            self.slot(newest + passed).store(0, Ordering::Relaxed);
        }
    }

    fn slot(&self, hour: u64) -> &AtomicU64 {
        &self.bytes[usize::try_from(hour % HOURS).expect("below 24")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_its_bytes_back_after_a_day() {
        let stored = Stored::default();
        assert_eq!(stored.bytes(0), 0);
        stored.add(60, 0);
        stored.add(39, 5);
        assert_eq!(stored.bytes(23), 99);
        stored.add(1, 23);
        assert_eq!(stored.bytes(23), 100);
        assert_eq!(stored.bytes(24), 40, "the first hour is a day ago");
        stored.add(60, 24);
        assert_eq!((stored.bytes(28), stored.bytes(29)), (100, 61));
        assert_eq!(stored.bytes(10_000), 0);
        assert!(stored.bytes.iter().all(|bytes| bytes.load(Ordering::Relaxed) == 0));
    }
}
