//! What the gateway is given: it opens nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use haris_domain::Timestamp;
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
    /// The compiled policy in force.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Who may call.
    pub callers: Arc<ArcSwap<CallerTable>>,
    /// Where requests go.
    pub upstreams: Upstreams,
    /// Where decisions become durable: the traffic log's spool.
    pub spool: Spool,
    /// Keys for payloads.
    pub day_keys: Arc<DayKeys>,
    /// Bounds.
    pub limits: Limits,
    /// What every event names as the versions that decided.
    pub versions: Versions,
    /// Counts for `status` and the heartbeat.
    pub counters: Arc<Counters>,
    /// Whether witnesses have not cosigned for too long; a route may refuse then.
    pub witness_lag: Arc<AtomicBool>,
    /// What promises a caller that its event will be sealed.
    pub receipts: Arc<Receipts>,
    /// The clock events are stamped with.
    pub clock: fn() -> Timestamp,
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
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
