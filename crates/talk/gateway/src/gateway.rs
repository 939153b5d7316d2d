//! What all requests of one gateway share, and how events are written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use haris_domain::{Actor, Draft, EventId, Leaf, SealedPayload};
use haris_policy::{Environment, OnAuditFailure, OnWitnessLag, Policy, Route};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::watch;

use crate::bounds::{Memory, Places, Refusal, RefusalGate};
use crate::io::{Reply, Response};
use crate::problem::Problem;
use crate::protocol::Protocol;
use crate::record::{self, Basis};
use crate::{Caller, Counters, Wiring};

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
    /// Held by everything that is open; closed when nothing is.
    _open: watch::Receiver<()>,
    refusals: RefusalGate,
}

/// An event could not be made durable.
#[derive(Debug)]
pub(crate) struct NotRecorded;

impl Gateway {
    pub(crate) fn new(wiring: Wiring, stop: watch::Receiver<bool>, open: watch::Receiver<()>) -> Self {
        Self {
            memory: Memory::new(wiring.limits.buffered_bytes),
            places: Arc::default(),
            refusals: RefusalGate::new(wiring.limits.refusals_per_second),
            stop,
            _open: open,
            wiring,
        }
    }

    pub(crate) fn basis<'g>(&'g self, policy: &'g Policy, environment: Environment) -> Basis<'g> {
        Basis { environment: environment.name(), policy: policy.version(), versions: &self.wiring.versions }
    }

    /// How much of an upstream's JSON is read.
    pub(crate) fn answer_bounds(&self) -> crate::json::Bounds {
        let limits = &self.wiring.limits;
        crate::json::Bounds { depth: limits.json_depth, values: limits.json_values }
    }

    /// Makes an event durable, and gives its final bytes. Without payloads (no day key was at hand) nothing is written.
    pub(crate) async fn record(&self, draft: Draft, payloads: Option<Vec<SealedPayload>>) -> Result<Leaf, NotRecorded> {
        let (kind, event) = (draft.kind.name, draft.id);
        let Some(payloads) = payloads else {
            tracing::error!(kind, %event, "no data key for today: events with payloads are refused");
            return Err(NotRecorded);
        };
        let appended = match self.wiring.spool.append(draft, payloads) {
            Ok(durable) => durable.await,
            Err(refused) => Err(refused),
        };
        appended.map_err(|refused| {
            tracing::error!(kind, %event, why = %refused, "an event could not be made durable");
            NotRecorded
        })
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

    /// Records a refusal and answers it. `caller` is known or not; the protocol too.
    pub(crate) async fn refuse(
        &self,
        problem: &Problem,
        protocol: &dyn Protocol,
        caller: Option<&Caller>,
        environment: Option<Environment>,
    ) -> Response {
        Counters::add(&self.wiring.counters.refused);
        let at = (self.wiring.clock)();
        let id = EventId::now(at);
        let (actor, suppressed) = match caller {
            Some(caller) => (Actor::caller(&caller.id), 0),
            None => match self.refusals.pass(at, id) {
                Refusal::Record { suppressed } => (Actor::service("gateway"), suppressed),
                Refusal::Count { like } => return answer(problem, protocol, like.map(Trace::Event)),
            },
        };
        let policy = self.wiring.policy.load();
        let basis = self.basis(&policy, environment.unwrap_or(Environment::Production));
        let refused = record::Refused {
            reason: problem.reason,
            status: problem.status,
            protocol: protocol.name(),
            field: problem.field.as_deref(),
            suppressed,
        };
        let draft = record::refused(id, at, actor, basis, &refused);
        drop(policy);
        // Refusing stays possible when recording is not: nothing passes either way.
        let recorded = self.record(draft, Some(Vec::new())).await.is_ok();
        answer(problem, protocol, Some(Trace::of(id, recorded)))
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
