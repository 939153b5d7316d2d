//! What all requests of one gateway share, and how events are written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use haris_domain::{Actor, Draft, EventId, Leaf, SealedPayload};
use haris_policy::{Environment, OnAuditFailure, OnWitnessLag, Route};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::watch;

use crate::bounds::{Memory, Places};
use crate::io::{Reply, Response};
use crate::problem::Problem;
use crate::protocol::Protocol;
use crate::record::{self, Basis};
use crate::strangers::{Left, Refusal, Source, Strangers};
use crate::{Caller, Counters, InForce, Wiring};

/// On every response that an event stands behind.
pub(crate) const EVENT_HEADER: HeaderName = HeaderName::from_static("x-haris-event");

/// On a response whose event could not be written: the id under which logs speak of the request.
pub(crate) const REQUEST_HEADER: HeaderName = HeaderName::from_static("x-haris-request");

/// On a response that the ledger lacks something of: `no`, or `request` where it has the request's
/// event but not the answer's.
pub(crate) const RECORDED_HEADER: HeaderName = HeaderName::from_static("x-haris-recorded");

/// What stands behind a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    /// This event.
    Event(EventId),
    /// None could be written; logs name it by this id.
    Unrecorded(EventId),
}

impl Trace {
    pub(crate) fn of(id: EventId, recorded: bool) -> Self {
        if recorded { Self::Event(id) } else { Self::Unrecorded(id) }
    }

    pub(crate) fn event(self) -> Option<EventId> {
        match self {
            Self::Event(id) => Some(id),
            Self::Unrecorded(_) => None,
        }
    }
}

pub(crate) struct Gateway {
    pub(crate) wiring: Wiring,
    pub(crate) memory: Arc<Memory>,
    pub(crate) places: Arc<Places>,
    /// Turns true when open requests must end.
    pub(crate) stop: watch::Receiver<bool>,
    /// Everything that is open holds a receiver of it; closed when nothing is.
    pub(crate) open: watch::Sender<()>,
    /// Hours since the start, as quotas count them.
    hour: AtomicU64,
    pub(crate) strangers: Strangers,
}

/// An event could not be made durable.
#[derive(Debug)]
pub(crate) struct NotRecorded;

impl Gateway {
    pub(crate) fn new(wiring: Wiring, stop: watch::Receiver<bool>, open: watch::Sender<()>) -> Self {
        Self {
            memory: Memory::new(wiring.limits.buffered_bytes),
            places: Arc::default(),
            hour: AtomicU64::new(0),
            strangers: Strangers::new(),
            stop,
            open,
            wiring,
        }
    }

    pub(crate) fn basis<'g>(&self, rules: &'g InForce, environment: Environment) -> Basis<'g> {
        Basis { environment: environment.name(), policy: rules.version(), versions: &rules.versions }
    }

    /// How much of an upstream's JSON is read.
    pub(crate) fn answer_bounds(&self) -> crate::json::Bounds {
        let limits = &self.wiring.limits;
        crate::json::Bounds { depth: limits.json_depth, values: limits.json_values }
    }

    /// Makes an event durable, and gives its final bytes. Without payloads (no day key was at hand) nothing is written.
    /// What is stored counts towards the quota of `caller`.
    pub(crate) async fn record(
        &self,
        draft: Draft,
        payloads: Option<Vec<SealedPayload>>,
        caller: Option<&Caller>,
    ) -> Result<Leaf, NotRecorded> {
        let (kind, event) = (draft.kind.name, draft.id);
        let Some(payloads) = payloads else {
            tracing::error!(kind, %event, "no data key for today: events with payloads are refused");
            return Err(NotRecorded);
        };
        let stored: usize = payloads.iter().map(|payload| payload.ciphertext.len()).sum();
        let appended = match self.wiring.spool.append(draft, payloads) {
            Ok(durable) => durable.await,
            Err(refused) => Err(refused),
        };
        match appended {
            Ok(leaf) => {
                if let Some(caller) = caller {
                    caller.stored.add((stored + leaf.bytes.len()) as u64, self.hour.load(Ordering::Relaxed));
                }
                Ok(leaf)
            }
            Err(refused) => {
                tracing::error!(kind, %event, why = %refused, "an event could not be made durable");
                Err(NotRecorded)
            }
        }
    }

    /// Whether traffic passes, given that its event was recorded or not. Counts what happened.
    pub(crate) fn may_pass(&self, recorded: bool, route: &Route) -> bool {
        let counters = &self.wiring.counters;
        match (recorded, route.on_audit_failure) {
            (true, _) => return true,
            (false, OnAuditFailure::Refuse) => Counters::add(&counters.audit_refused),
            (false, OnAuditFailure::Allow) => Counters::add(&counters.unaudited),
        }
        route.on_audit_failure == OnAuditFailure::Allow
    }

    /// Why a route does not serve at this moment though all else is well: it wants witnesses, and they lag.
    pub(crate) fn witnesses_lag(&self, route: &Route) -> bool {
        route.on_witness_lag == OnWitnessLag::Refuse && self.wiring.witness_lag.load(Ordering::Relaxed)
    }

    /// Records a refusal of a known caller and answers it.
    pub(crate) async fn refuse(
        &self,
        problem: &Problem,
        protocol: &dyn Protocol,
        caller: &Caller,
        environment: Option<Environment>,
    ) -> Response {
        self.wiring.counters.refused(problem.status);
        let id = EventId::now((self.wiring.clock)());
        let refused = refused(problem, protocol.name(), 0);
        let draft = self.refusal(id, Actor::caller(&caller.id), environment, &refused);
        // Refusing stays possible when recording is not: nothing passes either way.
        let recorded = self.record(draft, Some(Vec::new()), Some(caller)).await.is_ok();
        answer(problem, protocol, Some(Trace::of(id, recorded)))
    }

    /// Counts a refusal that can be caused without end, records it where its source has no event in this minute yet, and
    /// answers.
    pub(crate) async fn refuse_counted(&self, problem: &Problem, protocol: &dyn Protocol, source: Source) -> Response {
        self.wiring.counters.refused(problem.status);
        let id = EventId::now((self.wiring.clock)());
        let minute = self.strangers.minute();
        let suppressed = match self.strangers.refused(source.clone(), problem.reason, problem.status, minute, id) {
            Refusal::Record { suppressed } => suppressed,
            Refusal::Count { like } => return answer(problem, protocol, Some(Trace::Event(like))),
        };
        let recorded = self.record_counted(id, &source, &refused(problem, protocol.name(), suppressed)).await;
        answer(problem, protocol, Some(Trace::of(id, recorded)))
    }

    /// Whether a caller may have no more stored for now.
    pub(crate) fn quota_used_up(&self, caller: &Caller) -> bool {
        caller.stored.bytes(self.hour.load(Ordering::Relaxed)) >= self.wiring.limits.caller_stored_bytes
    }

    /// A minute has passed: quotas learn of the hour, and refusals that were only counted are recorded.
    pub(crate) async fn tick(&self) {
        let minute = self.strangers.minute();
        self.hour.store(minute / 60, Ordering::Relaxed);
        self.record_left(minute).await;
    }

    /// Records what is left of the minutes before `minute`.
    pub(crate) async fn record_left(&self, minute: u64) {
        for Left { source, reason, status, count } in self.strangers.over(minute) {
            let id = EventId::now((self.wiring.clock)());
            // The last of them has this event; those before it are the suppressed ones.
            let refused = record::Refused { reason, status, protocol: "any", field: None, suppressed: count - 1 };
            self.record_counted(id, &source, &refused).await;
        }
    }

    /// An address is a person's as often as not: it goes into a payload, never into the leaf.
    async fn record_counted(&self, id: EventId, source: &Source, refused: &record::Refused<'_>) -> bool {
        let (actor, peer) = match source {
            Source::Caller(caller) => (Actor::caller(caller), None),
            Source::Network(address) => (Actor::service("gateway"), Some(address.to_string())),
            Source::Others => (Actor::service("gateway"), None),
        };
        let day = self.wiring.day_keys.for_day((self.wiring.clock)());
        let sealed = peer.zip(day).map(|(peer, day)| {
            haris_keys::seal_payload(&day, id, "peer", haris_domain::Stored::Full, peer.as_bytes(), None)
        });
        let draft = self.refusal(id, actor, None, refused);
        self.record(draft, Some(sealed.into_iter().collect()), None).await.is_ok()
    }

    fn refusal(
        &self,
        id: EventId,
        actor: Actor,
        environment: Option<Environment>,
        refused: &record::Refused<'_>,
    ) -> Draft {
        let at = (self.wiring.clock)();
        let policy = self.wiring.rules.load();
        let basis = self.basis(&policy, environment.unwrap_or(Environment::Production));
        record::refused(id, at, actor, basis, refused)
    }
}

fn refused<'p>(problem: &'p Problem, protocol: &'p str, suppressed: u64) -> record::Refused<'p> {
    record::Refused {
        reason: problem.reason,
        status: problem.status,
        protocol,
        field: problem.field.as_deref(),
        suppressed,
    }
}

/// A problem as a response.
pub(crate) fn answer(problem: &Problem, protocol: &dyn Protocol, trace: Option<Trace>) -> Response {
    let event = trace.and_then(Trace::event);
    json(problem.status, protocol.problem(&problem.pointing_to(event), event), trace, problem.retry_after)
}

/// A JSON response.
pub(crate) fn json(status: u16, body: Vec<u8>, trace: Option<Trace>, retry_after: Option<u32>) -> Response {
    let mut response = Response::new(Reply::whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    stamp(headers, trace);
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Names the event, or says that there is none.
pub(crate) fn stamp(headers: &mut http::HeaderMap, trace: Option<Trace>) {
    let (name, id) = match trace {
        None => return,
        Some(Trace::Event(id)) => (EVENT_HEADER, id),
        Some(Trace::Unrecorded(id)) => {
            headers.insert(RECORDED_HEADER, HeaderValue::from_static("no"));
            (REQUEST_HEADER, id)
        }
    };
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(name, value);
    }
}
