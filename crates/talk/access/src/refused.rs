//! Refused log-ins, counted: anybody can cause them without end, and the ledger must not fill with them.
//!
//! The first of a minute is recorded at once and says how many before it had no event of their own.

use std::time::Instant;

use haris_domain::{Actor, Draft, kind};
use parking_lot::Mutex;

use crate::{Access, AccessError};

const MINUTE_SECONDS: u64 = 60;

#[derive(Debug)]
pub(crate) struct Refusals {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The minute of the newest event.
    minute: Option<u64>,
    /// Refusals since that event.
    more: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { started: Instant::now(), state: Mutex::default() }
    }
}

impl Refusals {
    /// Counts one; how many an event now stands for, if one is due.
    fn count(&self, minute: u64) -> Option<u64> {
        let mut state = self.state.lock();
        state.more += 1;
        if state.minute == Some(minute) {
            return None;
        }
        state.minute = Some(minute);
        Some(std::mem::take(&mut state.more))
    }

    /// What no event stands for yet, once its minute is over.
    fn left(&self, minute: u64) -> Option<u64> {
        let mut state = self.state.lock();
        (state.more > 0 && state.minute != Some(minute)).then(|| {
            state.minute = Some(minute);
            std::mem::take(&mut state.more)
        })
    }

    fn minute(&self) -> u64 {
        self.started.elapsed().as_secs() / MINUTE_SECONDS
    }
}

impl Access {
    /// A log-in was refused. `why` is one of a few words of ours.
    pub(crate) async fn refused(&self, why: &'static str) -> Result<(), AccessError> {
        match self.0.refusals.count(self.0.refusals.minute()) {
            Some(count) => self.record_refused(count, why).await,
            None => Ok(()),
        }
    }

    /// Records refusals that no event stands for. Call it every minute, and when the server stops.
    ///
    /// # Errors
    /// When they cannot be recorded.
    pub async fn record_refusals(&self, stopping: bool) -> Result<(), AccessError> {
        let minute = if stopping { u64::MAX } else { self.0.refusals.minute() };
        match self.0.refusals.left(minute) {
            Some(count) => self.record_refused(count, "more").await,
            None => Ok(()),
        }
    }

    async fn record_refused(&self, count: u64, why: &'static str) -> Result<(), AccessError> {
        let draft = Draft::new(&kind::LOGIN_REFUSED, self.now(), Actor::service("access"));
        self.record(draft.with("count", count).with("why", why), None).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_a_minute_stands_for_all() {
        let refusals = Refusals::default();
        assert_eq!(refusals.count(0), Some(1));
        for _ in 0..100_000 {
            assert_eq!(refusals.count(0), None);
        }
        assert_eq!(refusals.left(0), None);
        assert_eq!(refusals.count(1), Some(100_001));
        assert_eq!(refusals.count(1), None);
        assert_eq!(refusals.left(2), Some(1));
        assert_eq!(refusals.left(3), None);
    }
}
