//! How long things took, as a monitoring system reads it: counts under fixed bounds, a few nanoseconds to note one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds, from a fast disk to a slow model.
pub const BOUNDS_US: [u64; 18] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    120_000_000,
];

/// Counts of durations under [`BOUNDS_US`], and one more for what is longer.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How many took at most each bound of [`BOUNDS_US`].
    pub at_most: [u64; BOUNDS_US.len()],
    /// How many there were.
    pub count: u64,
    /// How long all of them took together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Notes one.
    pub fn note(&self, took: Duration) {
        self.note_us(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Notes one, in microseconds.
    pub fn note_us(&self, us: u64) {
        let place = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What was noted so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut total = 0;
        let at_most = std::array::from_fn(|place| {
            total += self.counts[place].load(Ordering::Relaxed);
            total
        });
        let count = total + self.counts[BOUNDS_US.len()].load(Ordering::Relaxed);
        Snapshot { at_most, count, sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_counts_under_every_bound_it_keeps() {
        let times = Histogram::default();
        for us in [0, 100, 101, 1_000_000, 120_000_001] {
            times.note(Duration::from_micros(us));
        }
        let seen = times.snapshot();
        assert_eq!((seen.count, seen.sum_us), (5, 121_000_202));
        assert_eq!(&seen.at_most[..2], [2, 3]);
        assert_eq!(seen.at_most[12], 4);
        assert_eq!(seen.at_most[17], 4);
    }
}
