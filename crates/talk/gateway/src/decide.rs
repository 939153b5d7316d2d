//! From a request's bytes to a decision: read, route, inspect, redact, seal. No waiting in here.

use std::time::Instant;

use haris_domain::{Actor, Detection, Draft, EventId, SealedPayload, Stored, Verdict};
use haris_policy::{Direction, Environment, Policy, Route};

use crate::found::Found;
use crate::gateway::Gateway;
use crate::json::{self, Node};
use crate::problem::{BLOCKED, Problem};
use crate::protocol::{Ask, Protocol};
use crate::record::{self, Asked, Inspected};
use crate::walk::{self, Treatment};
use crate::{Caller, edit};

/// What a request's inspection came to.
pub(crate) struct Decided {
    pub(crate) id: EventId,
    pub(crate) ask: Ask,
    pub(crate) verdict: Verdict,
    /// The answer, when the request goes no further.
    pub(crate) block: Option<Problem>,
    pub(crate) draft: Draft,
    /// Nothing when there is no key to seal them with.
    pub(crate) payloads: Option<Vec<SealedPayload>>,
    /// What goes upstream: written from what was parsed, inspected and redacted.
    pub(crate) body: Vec<u8>,
}

/// A refusal, and the environment of the route if one was found.
pub(crate) struct Refused {
    pub(crate) problem: Box<Problem>,
    pub(crate) environment: Option<Environment>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), environment: None }
    }
}

/// Decides on a request.
pub(crate) fn decide(
    gateway: &Gateway,
    protocol: &dyn Protocol,
    policy: &Policy,
    caller: &Caller,
    received: &[u8],
) -> Result<Decided, Refused> {
    let wiring = &gateway.wiring;
    let started = Instant::now();
    let bounds = json::Bounds { depth: wiring.limits.json_depth, values: wiring.limits.json_values };
    let mut node = json::parse(received, bounds).map_err(|bad| Problem::bad_json(&bad))?;
    let ask = protocol.ask(&node)?;
    let (route, ready) = find_route(gateway, policy, caller, &ask.model)?;

    let treatment = Treatment { unknown: route.unknown_fields, media: route.media, request: true };
    let mut seen = walk::walk(&wiring.engine, protocol.request(), treatment, &node)
        .map_err(|problem| Refused { problem, environment: Some(route.environment) })?;

    let verdict_of = |detection: &Detection| route.verdict(Direction::Request, detection);
    let mut found = Found::default();
    for hit in &seen.hits {
        for detection in &hit.detections {
            found.add(&hit.field, detection, verdict_of(detection));
        }
    }
    let verdict = found.worst();
    let kept = kept_copy(&node, &seen, route.store, &verdict_of);
    edit::apply(&mut node, &seen, &verdict_of);
    let body = node.to_json();

    let at = (wiring.clock)();
    let id = EventId::now(at);
    let payloads = wiring.day_keys.for_day(at).map(|day| {
        let text = record::Text { name: "request", received, kept: kept.as_deref().unwrap_or(&body) };
        record::payloads(&day, id, route.store, &text, &seen.identifiers)
    });
    let block = (verdict == Verdict::Block).then(|| blocked(&found, "request"));
    let model_found = seen.hits.iter().any(|hit| hit.field == "model");
    let upstream = &ready.upstream;
    let asked = Asked {
        protocol: protocol.name(),
        route: &route.name,
        model: record::model_name(&ask.model, model_found),
        upstream: &upstream.name,
        provider: &upstream.provider,
        place: &upstream.place,
        stream: ask.stream,
        fields: seen.fields,
        text_bytes: seen.text_bytes,
        inspect_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX).min(1 << 50),
    };
    let inspected = Inspected {
        found,
        not_scanned: std::mem::take(&mut seen.not_scanned),
        not_scanned_more: seen.not_scanned_more,
    };
    let basis = gateway.basis(policy, route.environment);
    let draft = record::request(id, at, Actor::caller(&caller.id), basis, &asked, inspected);
    Ok(Decided { id, ask, verdict, block, draft, payloads, body })
}

fn find_route<'g>(
    gateway: &'g Gateway,
    policy: &'g Policy,
    caller: &Caller,
    model: &str,
) -> Result<(&'g Route, &'g crate::upstream::Ready), Problem> {
    if !caller.models.iter().any(|pattern| pattern.matches(model)) {
        let message = "This key may not use the model that the request names. `GET /v1/models` lists those it may.";
        return Err(Problem::new(403, "model_not_allowed", "model-not-allowed", message).in_field("model"));
    }
    let found = policy.route(model).and_then(|route| Some((route, gateway.wiring.upstreams.ready(&route.upstream)?)));
    found.ok_or_else(|| {
        let message = "No route serves the model that the request names. `GET /v1/models` lists the models.";
        Problem::new(404, "model_not_found", "unknown-model", message).in_field("model")
    })
}

/// The form that is stored, when it differs from the one that is sent.
pub(crate) fn kept_copy(
    node: &Node<'_>,
    seen: &walk::Seen,
    stored: Stored,
    verdict: &dyn Fn(&Detection) -> Verdict,
) -> Option<Vec<u8>> {
    let storage = |detection: &Detection| record::storage_verdict(stored, detection, verdict(detection));
    let redacts = |verdict: Verdict| verdict == Verdict::Redact;
    let mut detections = seen.hits.iter().flat_map(|hit| &hit.detections);
    let differs = detections.any(|detection| redacts(storage(detection)) != redacts(verdict(detection)));
    (stored != Stored::None && differs).then(|| {
        let mut copy = node.clone();
        edit::apply(&mut copy, seen, &storage);
        copy.to_json()
    })
}

/// The answer to a block: which rules spoke and where, and nothing of what they saw.
pub(crate) fn blocked(found: &Found, what: &str) -> Problem {
    let (findings, field) = found.blocking();
    let rules = findings.join(", ");
    let place = field.as_deref().map(|field| format!(" in `{field}`")).unwrap_or_default();
    let message = format!("The {what} was blocked by policy: {rules}{place}.");
    let mut problem = Problem::new(400, BLOCKED, "blocked", message);
    problem.field = field;
    problem.findings = findings;
    problem
}
