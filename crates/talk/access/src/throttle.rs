//! Guessing is slowed where it comes from, never where it aims: a stranger's failures cannot lock the officer out.
//!
//! Failures are counted for each network, and for each device that has logged in before. After a few, the next attempt
//! from there waits, twice as long each time. A device that once came in has a count of its own, so that it gets in from
//! a network where somebody guesses. Nothing is counted for an account: it would be a button that locks it. Guessing
//! from many networks meets a passphrase, a code that changes, and hashes that run two at a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Attempts that wait for nothing.
const FREE: u32 = 5;
const WAIT_FIRST: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(900);
/// A source that was silent so long starts anew.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// Sources with a count of their own; whoever owns more addresses shares one.
const SOURCES_MAX: usize = 4_096;

/// Where an attempt comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum From {
    /// A network: of IPv6 the /64 that one customer is given.
    Network(IpAddr),
    /// A device that logged in before, by the hash of what it was given then.
    Device([u8; 32]),
    /// A person who is in already, and proves again who they are.
    Account(String),
    /// All beyond the first few thousand.
    Others,
}

impl From {
    /// The network of an address.
    #[must_use]
    pub(crate) fn network(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
            v4 => v4,
        })
    }
}

#[derive(Debug)]
struct Count {
    failures: u32,
    last: Instant,
}

/// Counts failures by where they come from.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    counts: Mutex<HashMap<From, Count>>,
}

impl Throttle {
    /// Takes an attempt, or says for how long to wait. Counted as a failure until [`Throttle::succeeded`]: attempts
    /// that run at the same time do not slip through.
    ///
    /// # Errors
    /// The time to wait.
    pub(crate) fn attempt(&self, from: &From, now: Instant) -> Result<(), Duration> {
        let mut counts = self.counts.lock();
        let from = if counts.contains_key(from) || counts.len() < SOURCES_MAX { from } else { &From::Others };
        if counts.len() >= SOURCES_MAX {
            counts.retain(|_, count| now.saturating_duration_since(count.last) < FORGOTTEN);
        }
        let count = counts.entry(from.clone()).or_insert(Count { failures: 0, last: now });
        let since = now.saturating_duration_since(count.last);
        if since >= FORGOTTEN {
            count.failures = 0;
        }
        if let Some(beyond) = count.failures.checked_sub(FREE) {
            let wait = WAIT_FIRST.saturating_mul(1 << beyond.min(16)).min(WAIT_MAX);
            if since < wait {
                return Err(wait - since);
            }
        }
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        Ok(())
    }

    /// The attempt was right: its source starts anew.
    pub(crate) fn succeeded(&self, from: &From) {
        self.counts.lock().remove(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u32) -> From {
        From::network(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn failures_wait_twice_as_long_each_and_no_longer_than_the_bound() {
        let throttle = Throttle::default();
        let mut now = Instant::now();
        for _ in 0..FREE {
            throttle.attempt(&network(1), now).unwrap();
        }
        let mut waited = Vec::new();
        for _ in 0..12 {
            let wait = throttle.attempt(&network(1), now).unwrap_err();
            waited.push(wait.as_secs());
            now += wait;
            throttle.attempt(&network(1), now).unwrap();
        }
        assert_eq!(waited, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        throttle.succeeded(&network(1));
        throttle.attempt(&network(1), now).unwrap();
    }

    #[test]
    fn a_known_device_comes_in_from_where_somebody_guesses() {
        let throttle = Throttle::default();
        let now = Instant::now();
        while throttle.attempt(&network(1), now).is_ok() {}
        throttle.attempt(&From::Device([1; 32]), now).unwrap();
        throttle.attempt(&network(2), now).unwrap();
    }

    #[test]
    fn a_hundred_thousand_networks_fill_no_memory() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let let_in = (0..100_000).filter(|n| throttle.attempt(&network(*n), now).is_ok()).count();
        assert_eq!(let_in, SOURCES_MAX + FREE as usize);
        assert!(throttle.counts.lock().len() <= SOURCES_MAX + 1);
    }
}
