//! How much each caller had stored of late: one application must not fill the disk of all.
//!
//! Bytes are counted by hour, over the last 24, by a clock that nobody sets. A start begins anew: what was stored before
//! it is on the disk and under its watermarks.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

const HOURS: usize = 24;

/// Bytes stored for each caller in the last 24 hours.
#[derive(Debug)]
pub(crate) struct Quota {
    started: Instant,
    max: u64,
    by_caller: Mutex<HashMap<String, Hours>>,
}

#[derive(Debug, Default)]
struct Hours {
    bytes: [u64; HOURS],
    newest: u64,
}

impl Quota {
    pub(crate) fn new(max: u64) -> Self {
        Self { started: Instant::now(), max, by_caller: Mutex::default() }
    }

    /// The hour that this moment lies in.
    pub(crate) fn hour(&self) -> u64 {
        self.started.elapsed().as_secs() / 3_600
    }

    /// Counts what was stored for a caller.
    pub(crate) fn add(&self, caller: &str, bytes: u64, hour: u64) {
        let mut by_caller = self.by_caller.lock();
        if let Some(hours) = by_caller.get_mut(caller) {
            hours.at(hour);
            hours.bytes[slot(hour)] += bytes;
        } else {
            let mut hours = Hours { newest: hour, ..Hours::default() };
            hours.bytes[slot(hour)] = bytes;
            by_caller.insert(caller.to_owned(), hours);
        }
    }

    /// Whether a caller may have no more stored for now.
    pub(crate) fn is_used_up(&self, caller: &str, hour: u64) -> bool {
        let mut by_caller = self.by_caller.lock();
        let Some(hours) = by_caller.get_mut(caller) else { return false };
        hours.at(hour);
        hours.bytes.iter().sum::<u64>() >= self.max
    }
}

impl Hours {
    /// Forgets what is older than a day.
    fn at(&mut self, hour: u64) {
        for passed in 1..=hour.saturating_sub(self.newest).min(HOURS as u64) {
            self.bytes[slot(self.newest + passed)] = 0;
        }
        self.newest = self.newest.max(hour);
    }
}

fn slot(hour: u64) -> usize {
    usize::try_from(hour % HOURS as u64).expect("below 24")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_its_bytes_back_after_a_day() {
        let quota = Quota::new(100);
        assert!(!quota.is_used_up("a", 0));
        quota.add("a", 60, 0);
        quota.add("a", 39, 5);
        assert!(!quota.is_used_up("a", 23));
        quota.add("a", 1, 23);
        assert!(quota.is_used_up("a", 23) && !quota.is_used_up("b", 23));
        assert!(!quota.is_used_up("a", 24), "the first hour is a day ago");
        quota.add("a", 60, 24);
        assert!(quota.is_used_up("a", 28) && !quota.is_used_up("a", 29));
        assert!(!quota.is_used_up("a", 10_000));
        assert!(quota.by_caller.lock()["a"].bytes.iter().all(|bytes| *bytes == 0));
    }
}
