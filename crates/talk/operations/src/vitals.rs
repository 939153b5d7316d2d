//! What a process notices of its surroundings over time: its clock, its disk, how it came up.
//!
//! Filled by whoever watches, read by `status`. Nothing here reads a clock: both times are arguments.

use std::collections::{BTreeMap, VecDeque};

use haris_domain::Timestamp;
use haris_ledger::PreviousBoot;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// A wall clock that moves more than this against the monotonic one has been set, or runs at another speed.
const CLOCK_STEP_MICROS: i64 = 1_000_000;
/// A clock at another speed steps again and again. What follows a step in the same direction within a minute, or is as small
/// as this and follows within a day, is that step going on: one alert tells of it, not one every few seconds.
const CLOCK_DRIFT_MICROS: i64 = 60_000_000;
const CLOCK_SAME_MICROS: u64 = 60_000_000;
const CLOCK_DRIFT_WITHIN_MICROS: u64 = 86_400_000_000;
/// Steps that are kept: each has its alert and shows in the ledger besides.
const CLOCK_STEPS_MAX: usize = 16;
/// Samples of free space: a day of them.
const DISK_SAMPLES_MAX: usize = 288;
/// Time between two of them.
const DISK_SAMPLE_MICROS: u64 = 300_000_000;
/// A rate over less time than this says more about the last minute than about tomorrow.
const DISK_RATE_MICROS_MIN: u64 = 600_000_000;
const DAY_MICROS: u128 = 86_400_000_000;

/// What one process knows of itself and its surroundings.
#[derive(Debug, Default)]
pub struct Vitals(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    boot: String,
    unclean_previous: Option<UncleanPrevious>,
    /// Wall minus monotonic clock, in microseconds, when last compared and found settled.
    offset: Option<i64>,
    steps: VecDeque<ClockStep>,
    steps_seen: u64,
    /// When the newest one was seen, or seen to go on, by the monotonic clock.
    stepped_us: u64,
    disk: VecDeque<(u64, u64)>,
    delivery_error: Option<String>,
    config_error: Option<String>,
    /// For each log that has entries without a seal, how it stands.
    unsealed: BTreeMap<String, Unsealed>,
}

/// Entries that wait for their seal.
#[derive(Debug)]
struct Unsealed {
    /// How far the log was sealed when they began to wait, and when that was.
    sealed: u64,
    since_us: u64,
    /// How long that was ago when last looked at.
    lag_us: u64,
}

/// This process, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ProcessAnswer {
    /// This start.
    pub boot: String,
    /// The version that runs.
    pub version: String,
    /// The start before this one, if it did not stop cleanly.
    pub unclean_previous: Option<UncleanPrevious>,
    /// Steps of the wall clock since this start, the newest sixteen.
    pub clock_steps: Vec<ClockStep>,
    /// Why alerts do not reach their sink, if so.
    pub delivery_error: Option<String>,
    /// Why the configuration that was read again is not in force, if so.
    #[serde(default)]
    pub config_error: Option<String>,
}

/// A start that did not say goodbye.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct UncleanPrevious {
    /// Which start.
    pub boot: String,
    /// When it was last heard of.
    pub last_at: String,
}

/// The wall clock moved against the monotonic one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ClockStep {
    /// The start that saw it.
    pub boot: String,
    /// Counts from 1 in that start.
    pub number: u64,
    /// By how many microseconds, all of it while it goes on; negative when it was set back.
    pub micros: i64,
    /// The wall clock afterwards.
    pub at: String,
}

impl Vitals {
    /// What is known when a process has started.
    #[must_use]
    pub fn at_start(boot: &str, previous: Option<&PreviousBoot>) -> Self {
        let unclean = previous
            .filter(|previous| !previous.clean)
            .map(|previous| UncleanPrevious { boot: previous.boot.clone(), last_at: previous.last_at.to_string() });
        Self(Mutex::new(Inner { boot: boot.to_owned(), unclean_previous: unclean, ..Inner::default() }))
    }

    /// Compares both clocks; gives a step when there was one since the last comparison, or the newest when it goes on.
    ///
    /// A clock that runs at another speed shows the same way: what it gains or loses adds up until it is a step, and that
    /// one goes on.
    pub fn look_at_clock(&self, wall: Timestamp, monotonic_us: u64) -> Option<ClockStep> {
        let mut inner = self.0.lock();
        let offset = wall.micros().saturating_sub(i64::try_from(monotonic_us).unwrap_or(i64::MAX));
        let moved = offset.saturating_sub(*inner.offset.get_or_insert(offset));
        if moved.saturating_abs() <= CLOCK_STEP_MICROS {
            return None;
        }
        inner.offset = Some(offset);
        let since = monotonic_us.saturating_sub(std::mem::replace(&mut inner.stepped_us, monotonic_us));
        let small = moved.saturating_abs() <= CLOCK_DRIFT_MICROS && since <= CLOCK_DRIFT_WITHIN_MICROS;
        if let Some(newest) = inner.steps.back_mut()
            && newest.micros.signum() == moved.signum()
            && (small || since <= CLOCK_SAME_MICROS)
        {
            newest.micros = newest.micros.saturating_add(moved);
            newest.at = wall.to_string();
            return Some(newest.clone());
        }
        inner.steps_seen += 1;
        let step =
            ClockStep { boot: inner.boot.clone(), number: inner.steps_seen, micros: moved, at: wall.to_string() };
        if inner.steps.len() == CLOCK_STEPS_MAX {
            inner.steps.pop_front();
        }
        inner.steps.push_back(step.clone());
        Some(step)
    }

    /// Notes how much is free, at most each five minutes.
    pub fn look_at_disk(&self, free_bytes: u64, monotonic_us: u64) {
        let mut inner = self.0.lock();
        let due = |(at, _): &(u64, u64)| monotonic_us.saturating_sub(*at) >= DISK_SAMPLE_MICROS;
        if inner.disk.back().is_none_or(due) {
            if inner.disk.len() == DISK_SAMPLES_MAX {
                inner.disk.pop_front();
            }
            inner.disk.push_back((monotonic_us, free_bytes));
        }
    }

    /// For how many whole days `free_bytes` last at the rate of the last day; `None` while nothing can be said or
    /// the disk does not fill.
    #[must_use]
    pub fn days_left(&self, free_bytes: u64) -> Option<u64> {
        let inner = self.0.lock();
        let (from, before) = *inner.disk.front()?;
        let (to, after) = *inner.disk.back()?;
        let (passed, used) = (to.checked_sub(from)?, before.checked_sub(after)?);
        if passed < DISK_RATE_MICROS_MIN || used == 0 {
            return None;
        }
        let micros = u128::from(free_bytes) * u128::from(passed) / u128::from(used);
        u64::try_from(micros / DAY_MICROS).ok()
    }

    /// Notes how far a log is sealed: what waits for its seal has waited since that last moved.
    pub fn look_at_seal(&self, log: &str, size: u64, sealed: u64, monotonic_us: u64) {
        let unsealed = &mut self.0.lock().unsealed;
        if sealed >= size {
            unsealed.remove(log);
            return;
        }
        let anew = || Unsealed { sealed, since_us: monotonic_us, lag_us: 0 };
        let waiting = unsealed.entry(log.to_owned()).or_insert_with(anew);
        if waiting.sealed != sealed {
            *waiting = anew();
        }
        waiting.lag_us = monotonic_us.saturating_sub(waiting.since_us);
    }

    /// For how many seconds entries of a log have waited for their seal, when last looked at.
    #[must_use]
    pub fn seal_lag_seconds(&self, log: &str) -> u64 {
        self.0.lock().unsealed.get(log).map_or(0, |waiting| waiting.lag_us / 1_000_000)
    }

    /// Notes whether the configuration file could be read again.
    pub fn configuration(&self, error: Option<String>) {
        self.0.lock().config_error = error;
    }

    /// Notes whether alerts reach their sink.
    pub fn delivery(&self, error: Option<String>) {
        self.0.lock().delivery_error = error;
    }

    /// As `status` shows it.
    #[must_use]
    pub fn answer(&self) -> ProcessAnswer {
        let inner = self.0.lock();
        ProcessAnswer {
            boot: inner.boot.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            unclean_previous: inner.unclean_previous.clone(),
            clock_steps: inner.steps.iter().cloned().collect(),
            delivery_error: inner.delivery_error.clone(),
            config_error: inner.config_error.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_790_000_000 * SECOND + seconds * SECOND)
    }

    fn mono(seconds: i64) -> u64 {
        (seconds * SECOND).unsigned_abs()
    }

    #[test]
    fn a_clock_that_runs_as_it_should_never_steps() {
        let vitals = Vitals::default();
        assert!((0..100_000).all(|second| vitals.look_at_clock(at(second), mono(second)).is_none()));
    }

    #[test]
    fn steps_back_and_ahead_are_told_once_with_their_size() {
        let vitals = Vitals::at_start("b", None);
        let mut seen = Vec::new();
        for second in 0..100 {
            let offset = match second {
                0..10 => 0,
                10..50 => -3_600,
                _ => 86_400 * 365,
            };
            seen.extend(vitals.look_at_clock(at(second + offset), mono(second)).map(|step| (step.number, step.micros)));
        }
        assert_eq!(seen, [(1, -3_600 * SECOND), (2, (86_400 * 365 + 3_600) * SECOND)]);
        assert_eq!(vitals.answer().clock_steps.len(), 2);
    }

    #[test]
    fn a_clock_at_another_speed_shows_when_it_has_gained_a_second() {
        for (speed, first) in [(1_001, 1_001), (999, 1_001), (2_000, 2)] {
            let vitals = Vitals::default();
            let step = (0..5_000).find(|second| {
                let wall = Timestamp::from_micros(at(0).micros() + second * speed * 1_000);
                vitals.look_at_clock(wall, mono(*second)).is_some()
            });
            assert_eq!(step, Some(first), "speed {speed}/1000");
        }
    }

    /// One alert for each of them, however long they last.
    #[test]
    fn a_clock_that_stays_at_another_speed_is_one_step_that_goes_on() {
        for speed in [1_001, 1_100, 5_000, 900] {
            let vitals = Vitals::default();
            for second in (0..200_000).step_by(5) {
                let wall = Timestamp::from_micros(at(0).micros() + second * speed * 1_000);
                let _ = vitals.look_at_clock(wall, mono(second));
            }
            let steps = vitals.answer().clock_steps;
            let gained = 199_995 * (speed - 1_000) * 1_000;
            assert_eq!(steps.len(), 1, "speed {speed}/1000: {steps:?}");
            assert!((steps[0].micros - gained).abs() <= 21 * SECOND, "{gained}: {steps:?}");
        }
    }

    #[test]
    fn a_clock_that_is_set_without_end_fills_no_memory() {
        let vitals = Vitals::default();
        for second in 0..1_000 {
            let _ = vitals.look_at_clock(at(second + second % 2 * 100), mono(second));
        }
        assert_eq!(vitals.answer().clock_steps.len(), CLOCK_STEPS_MAX);
        assert_eq!(vitals.answer().clock_steps.last().unwrap().number, 999);
    }

    #[test]
    fn entries_wait_for_their_seal_since_it_last_moved() {
        let vitals = Vitals::default();
        let lag = |size, sealed, second| {
            vitals.look_at_seal("traffic", size, sealed, mono(second));
            vitals.seal_lag_seconds("traffic")
        };
        // A lone event after an hour of silence has not waited for an hour.
        assert_eq!((lag(5, 5, 0), lag(6, 5, 3_600), lag(6, 6, 3_601)), (0, 0, 0));
        assert_eq!((lag(9, 6, 3_605), lag(12, 6, 3_630), lag(20, 12, 3_635), lag(20, 20, 3_640)), (0, 25, 0, 0));
    }

    #[test]
    fn the_disk_lasts_as_many_days_as_its_rate_says() {
        let vitals = Vitals::default();
        let gib = 1_u64 << 30;
        assert_eq!(vitals.days_left(gib), None);
        // A gibibyte an hour.
        for hour in 0..4 {
            vitals.look_at_disk((100 - hour) * gib, hour * 3_600_000_000);
        }
        assert_eq!(vitals.days_left(97 * gib), Some(4));
        assert_eq!(vitals.days_left(gib), Some(0));
    }

    #[test]
    fn a_disk_that_does_not_fill_lasts() {
        let vitals = Vitals::default();
        for hour in 0..4_u64 {
            vitals.look_at_disk((10 + hour) << 30, hour * 3_600_000_000);
        }
        assert_eq!(vitals.days_left(1), None);
    }
}
