//! How witnesses stand: who cosigned last, when, and what keeps the others.

use std::time::{Duration, Instant};

use haris_domain::{Log, Timestamp};
use serde::{Deserialize, Serialize};

/// How all witnesses stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessStatus {
    /// How many of them must have cosigned within `max_age_seconds`.
    pub quorum: usize,
    /// How old the newest cosignature of a quorum may be.
    pub max_age_seconds: u64,
    /// How old it is, for the log that is worse off.
    pub age_seconds: u64,
    /// Whether that is too old.
    pub lagging: bool,
    /// Why nothing is signed any more, if so.
    pub contradicted: Option<String>,
    /// Each of them.
    pub witnesses: Vec<PeerStatus>,
}

/// How one witness stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Entries of the evidence log that it has cosigned.
    pub evidence: Option<u64>,
    /// Entries of the traffic log that it has cosigned.
    pub traffic: Option<u64>,
    /// When it last cosigned.
    pub last_at: Option<String>,
    /// Why not since, if so.
    pub error: Option<String>,
}

/// What one process knows of one witness.
#[derive(Debug, Default)]
pub(crate) struct PeerState {
    pub(crate) cosigned: [Option<u64>; 2],
    pub(crate) fresh: [Option<Instant>; 2],
    pub(crate) last_at: Option<Timestamp>,
    pub(crate) error: Option<String>,
}

impl PeerState {
    pub(crate) fn face(&self, name: &str) -> PeerStatus {
        PeerStatus {
            name: name.to_owned(),
            evidence: self.cosigned[Log::Evidence as usize],
            traffic: self.cosigned[Log::Traffic as usize],
            last_at: self.last_at.map(|at| at.to_string()),
            error: self.error.clone(),
        }
    }
}

/// How long ago `quorum` of the witnesses had cosigned each log that has something to cosign. A process that has just
/// started is given the time since then.
pub(crate) fn age(states: &[PeerState], quorum: usize, in_use: [bool; 2], started: Instant, now: Instant) -> Duration {
    let of_log = |log: Log| {
        let mut times: Vec<Instant> = states.iter().map(|state| state.fresh[log as usize].unwrap_or(started)).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let reached = quorum.checked_sub(1).and_then(|at| times.get(at)).copied().unwrap_or(started);
        now.saturating_duration_since(reached)
    };
    Log::ALL.into_iter().filter(|log| in_use[*log as usize]).map(of_log).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_that_of_the_quorum_and_of_the_worse_log() {
        let started = Instant::now();
        let at = |seconds: u64| Some(started + Duration::from_secs(seconds));
        let states = [
            PeerState { fresh: [at(100), at(90)], ..PeerState::default() },
            PeerState { fresh: [at(50), None], ..PeerState::default() },
        ];
        let now = started + Duration::from_secs(120);
        let seconds = |quorum, in_use| age(&states, quorum, in_use, started, now).as_secs();
        assert_eq!(seconds(1, [true, true]), 30, "the first witness, the traffic log");
        assert_eq!(seconds(1, [true, false]), 20);
        assert_eq!(seconds(2, [true, false]), 70);
        assert_eq!(seconds(2, [true, true]), 120, "never since the start");
        assert_eq!(seconds(2, [false, false]), 0, "nothing to cosign");
    }
}
