//! What the gateway is given: it opens nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use haris_domain::{Histogram, Timestamp, Verdict};
use haris_keys::DayKeys;
use haris_policy::Policy;
use haris_spool::Spool;
use haris_text::Engine;

use crate::{CallerTable, Limits, Receipts, Upstreams};

/// Everything [`crate::serve`] works with. Policy and callers are swapped under it while it runs;
/// one request sees one version of each from start to end.
#[derive(Clone)]
pub struct Wiring {
    /// Looks at text.
    pub engine: Arc<Engine>,
    /// What is in force; swapped as a whole when the configuration is read again.
    pub rules: Arc<ArcSwap<InForce>>,
    /// Who may call.
    pub callers: Arc<ArcSwap<CallerTable>>,
    /// Where decisions become durable: the traffic log's spool.
    pub spool: Spool,
    /// Keys for payloads.
    pub day_keys: Arc<DayKeys>,
    /// Bounds.
    pub limits: Limits,
    /// Counts for `status` and the heartbeat.
    pub counters: Arc<Counters>,
    /// Whether witnesses have not cosigned for too long; a route may refuse then.
    pub witness_lag: Arc<AtomicBool>,
    /// What promises a caller that its event will be sealed.
    pub receipts: Arc<Receipts>,
    /// The clock events are stamped with.
    pub clock: fn() -> Timestamp,
}

/// What decides and where it leads: one request sees one of these from start to end, whatever is read again meanwhile.
#[derive(Debug)]
pub struct InForce {
    /// The compiled policy.
    pub policy: Policy,
    /// Where requests go.
    pub upstreams: Upstreams,
    /// What every event names as the versions that decided.
    pub versions: Versions,
}

impl std::ops::Deref for InForce {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

/// Versions that enter every decision.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// The text engine's version.
    pub engine: String,
    /// Digest of the rule set.
    pub rules: String,
    /// Digest of the configuration.
    pub config: String,
}

/// What passed since the start. Read by `status` and the heartbeat.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that were decided on.
    pub requests: AtomicU64,
    /// Of those, blocked, in the request or in the answer.
    pub blocked: AtomicU64,
    /// Of those, redacted, in the request or in the answer.
    pub redacted: AtomicU64,
    /// Requests refused before inspection.
    pub refused: AtomicU64,
    /// Exchanges whose upstream failed.
    pub upstream_failed: AtomicU64,
    /// Requests turned away because their event could not be made durable.
    pub audit_refused: AtomicU64,
    /// Requests or answers let pass without a durable event, by a route that allows it.
    pub unaudited: AtomicU64,
    /// Requests in the gateway at this moment.
    pub in_flight: AtomicU64,
    /// Connections open at this moment.
    pub connections: AtomicU64,
    /// Requests by their own verdict: allow, observe, redact, block.
    pub verdicts: [AtomicU64; 4],
    /// From a request's headers to its decision on disk.
    pub decided: Histogram,
    /// From the same to the answer's first byte.
    pub first_byte: Histogram,
    /// From the same to the answer's event on disk.
    pub total: Histogram,
    /// Refusals by their status.
    pub refusals: Refusals,
}

impl Counters {
    pub(crate) fn verdict(&self, verdict: Verdict) {
        let place = match verdict {
            Verdict::Allow => 0,
            Verdict::Observe => 1,
            Verdict::Redact => 2,
            Verdict::Block => 3,
        };
        Self::add(&self.verdicts[place]);
    }

    pub(crate) fn refused(&self, status: u16) {
        Self::add(&self.refused);
        if let Some(count) = usize::from(status).checked_sub(STATUS_FIRST).and_then(|at| self.refusals.0.get(at)) {
            Self::add(count);
        }
    }

    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

const STATUS_FIRST: usize = 400;

/// How many were refused with each status from 400 to 599.
#[derive(Debug)]
pub struct Refusals([AtomicU64; 200]);

impl Default for Refusals {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; 200])
    }
}

impl Refusals {
    /// Statuses that occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        counts.enumerate().filter(|(_, count)| *count > 0).map(|(at, count)| (STATUS_FIRST + at, count))
    }
}
