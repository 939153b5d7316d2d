//! One request from its body to the last byte of its answer.
//!
//! It runs as a task of its own, so that a caller who goes away takes nothing from the record: the
//! upstream is cancelled, and the answer's event says so. The order is the promise: the decision is
//! durable before the first byte goes upstream, the answer's event before its last byte, or the
//! block, reaches the caller.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use haris_domain::{Actor, Detection, Draft, EventId, Verdict};
use haris_policy::{Direction, Route};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::sync::{mpsc, oneshot};

use crate::bounds::{MemoryLease, Place};
use crate::decide::{self, Decided};
use crate::flow::Flow;
use crate::gateway::{Gateway, RECORDED_HEADER, Trace, answer, json, stamp};
use crate::io::{Reply, Response};
use crate::judge::{Answer, Judged, unreadable};
use crate::problem::Problem;
use crate::protocol::{Protocol, Usage};
use crate::receipt::RECEIPT_HEADER;
use crate::record::{self, Answered, Inspected, Outcome};
use crate::walk::Identifiers;
use crate::{Caller, Counters, InForce, stream};

/// Inspecting a body longer than this would keep others of this thread waiting for milliseconds.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// Parts of a stream that wait for a slow caller; then the upstream waits.
const PARTS_WAITING_MAX: usize = 4;

/// A request whose body is there and whose caller is known.
pub(crate) struct Exchange {
    pub(crate) gateway: Arc<Gateway>,
    /// As long as this is held, the gateway waits for it to end.
    pub(crate) _open: tokio::sync::watch::Receiver<()>,
    pub(crate) protocol: &'static dyn Protocol,
    pub(crate) caller: Arc<Caller>,
    pub(crate) body: Vec<u8>,
    pub(crate) place: Place,
    pub(crate) memory: MemoryLease,
    pub(crate) started: Instant,
    /// Whether the caller asked for a receipt.
    pub(crate) wants_receipt: bool,
    /// The request's event, once it is durable.
    pub(crate) recorded: Arc<OnceLock<EventId>>,
}

/// Where the answer goes.
pub(crate) type ReplyTo = oneshot::Sender<Response>;

/// The caller's end of an exchange.
pub(crate) enum Line {
    /// Nothing was answered yet.
    Waiting(ReplyTo),
    /// The head is out, parts follow.
    Streaming(mpsc::Sender<Bytes>),
}

impl Line {
    /// Resolves when the caller went away.
    async fn closed(&mut self) {
        match self {
            Self::Waiting(reply) => reply.closed().await,
            Self::Streaming(parts) => parts.closed().await,
        }
    }
}

/// Why waiting ended before what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The caller went away.
    Gone,
    /// The gateway stops.
    Stopped,
    /// Time ran out.
    Late,
}

/// What one exchange knows after its decision; borrowed by every step that follows.
#[derive(Clone, Copy)]
pub(crate) struct Course<'c> {
    pub(crate) gateway: &'c Arc<Gateway>,
    pub(crate) protocol: &'static dyn Protocol,
    pub(crate) policy: &'c Arc<InForce>,
    pub(crate) route: &'c Route,
    pub(crate) caller: &'c Caller,
    pub(crate) request: EventId,
    /// Whether the request's event was written, which a route may do without.
    pub(crate) trace: Trace,
    /// For the caller, if it asked for one.
    pub(crate) receipt: Option<&'c HeaderValue>,
    pub(crate) verdict: Verdict,
    pub(crate) started: Instant,
    pub(crate) deadline: tokio::time::Instant,
}

/// What an answer's event is made of.
pub(crate) struct Ending<'e> {
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    pub(crate) inspected: Inspected,
    pub(crate) usage: Usage,
    pub(crate) first_byte: Option<Instant>,
    /// The answer as it came and as it may be stored.
    pub(crate) text: Option<(&'e [u8], &'e [u8])>,
    pub(crate) identifiers: &'e Identifiers,
}

impl Exchange {
    pub(crate) async fn run(mut self, reply: ReplyTo) {
        let policy = self.gateway.wiring.rules.load_full();
        let (gateway, protocol, caller) = (Arc::clone(&self.gateway), self.protocol, Arc::clone(&self.caller));
        let body = std::mem::take(&mut self.body);
        let decided = if body.len() <= INLINE_BYTES_MAX {
            decide::decide(&gateway, protocol, &policy, &caller, &body)
        } else {
            let (gateway, policy, caller) = (Arc::clone(&gateway), Arc::clone(&policy), Arc::clone(&caller));
            let decide = move || decide::decide(&gateway, protocol, &policy, &caller, &body);
            // A panic there drops the reply, and the connection answers for it.
            let Ok(decided) = tokio::task::spawn_blocking(decide).await else { return };
            decided
        };
        let response = match decided {
            Ok(decided) => {
                self.decided(&policy, decided, reply).await;
                return;
            }
            Err(refused) => gateway.refuse(&refused.problem, protocol, &caller, refused.environment).await,
        };
        let _ = reply.send(response);
    }

    async fn decided(mut self, policy: &Arc<InForce>, decided: Decided, reply: ReplyTo) {
        let Decided { id, ask, verdict, block, draft, payloads, body } = decided;
        let (gateway, protocol) = (Arc::clone(&self.gateway), self.protocol);
        let wiring = &gateway.wiring;
        let Some(route) = policy.route(&ask.model) else { return };
        if ask.stream && !self.place.stream(wiring.limits.caller_streams) {
            let message = "This key has as many streams open as it may. Close one, or try again later.";
            let problem = Problem::new(429, "too_many_streams", "concurrency", message).retry_after(1);
            let response = gateway.refuse(&problem, protocol, &self.caller, Some(route.environment)).await;
            let _ = reply.send(response);
            return;
        }
        if gateway.witnesses_lag(route) {
            let problem = Problem::witness_unavailable();
            let response = gateway.refuse(&problem, protocol, &self.caller, Some(route.environment)).await;
            let _ = reply.send(response);
            return;
        }
        let at = draft.at;
        let recorded = gateway.record(draft, payloads, Some(&self.caller)).await.ok();
        let receipt = recorded.as_ref().filter(|_| self.wants_receipt).and_then(|leaf| wiring.receipts.of(leaf, at));
        if !gateway.may_pass(recorded.is_some(), route) {
            let _ = reply.send(answer(&Problem::audit_unavailable(), protocol, Some(Trace::Unrecorded(id))));
            return;
        }
        if recorded.is_some() {
            let _ = self.recorded.set(id);
        }
        let trace = Trace::of(id, recorded.is_some());
        Counters::add(&wiring.counters.requests);
        wiring.counters.verdict(verdict);
        wiring.counters.decided.note(self.started.elapsed());
        match verdict {
            Verdict::Block => Counters::add(&wiring.counters.blocked),
            Verdict::Redact => Counters::add(&wiring.counters.redacted),
            Verdict::Allow | Verdict::Observe => {}
        }
        if let Some(problem) = block {
            let mut response = answer(&problem, protocol, Some(trace));
            receipt.map(|receipt| response.headers_mut().insert(RECEIPT_HEADER, receipt));
            let _ = reply.send(response);
            return;
        }
        let course = Course {
            receipt: receipt.as_ref(),
            gateway: &gateway,
            protocol,
            policy,
            route,
            caller: &self.caller,
            request: id,
            trace,
            verdict,
            started: self.started,
            deadline: tokio::time::Instant::now() + wiring.limits.total,
        };
        course.forward(body, ask.stream, Line::Waiting(reply), &mut self.memory).await;
    }
}

impl Course<'_> {
    /// Waits for `work`, but not longer than `limit`, the caller or the gateway.
    pub(crate) async fn wait<T>(
        &self,
        line: &mut Line,
        limit: std::time::Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Cut> {
        let mut stop = self.gateway.stop.clone();
        let until = self.deadline.min(tokio::time::Instant::now() + limit);
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = line.closed() => Err(Cut::Gone),
            () = tokio::time::sleep_until(until) => Err(Cut::Late),
            // An error means that nobody can stop the gateway any more: wait for the rest.
            true = async { stop.wait_for(|stop| *stop).await.is_ok() } => Err(Cut::Stopped),
        }
    }

    async fn forward(self, body: Vec<u8>, wants_stream: bool, mut line: Line, memory: &mut MemoryLease) {
        let limits = &self.gateway.wiring.limits;
        let Some(ready) = self.policy.upstreams.ready(&self.route.upstream) else { return };
        let sent = ready.send(self.protocol.path(), body, wants_stream);
        let response = match self.wait(&mut line, limits.first_byte, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                // Without its URL: that may hold what the operator would not log.
                tracing::warn!(upstream = %self.route.upstream, error = %error.without_url(), "upstream not reached");
                let message = "The model's server could not be reached.";
                let problem = Problem::upstream(502, "upstream_unreachable", message);
                return self.settle(line, Judged::failed(problem, Outcome::UpstreamError), None, &[]).await;
            }
            Err(cut) => return self.settle(line, cut_short(cut), None, &[]).await,
        };
        let (status, headers) = (response.status(), passed_on(response.headers(), |value| ready.leaks_key(value)));
        let unusable = status.is_redirection() || status.is_informational();
        if unusable || crate::upstream::is_still_encoded(response.headers()) {
            return self.settle(line, Judged::failed(unreadable(), Outcome::UpstreamError), None, &[]).await;
        }
        let is_stream = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"));
        if status.is_success() && wants_stream != is_stream {
            return self.settle(line, Judged::failed(unreadable(), Outcome::UpstreamError), None, &[]).await;
        }
        if is_stream && status.is_success() {
            return self.stream(line, response, headers, ready, memory).await;
        }
        self.whole(line, response, headers, ready, memory).await;
    }

    async fn whole(
        self,
        mut line: Line,
        mut response: reqwest::Response,
        headers: HeaderMap,
        ready: &crate::upstream::Ready,
        memory: &mut MemoryLease,
    ) {
        let limits = &self.gateway.wiring.limits;
        let status = response.status().as_u16();
        let mut received = Vec::new();
        let mut first_byte = None;
        loop {
            let failed = |problem| Judged::failed(problem, Outcome::UpstreamError);
            match self.wait(&mut line, limits.idle, response.chunk()).await {
                Ok(Ok(None)) => break,
                Ok(Ok(Some(part))) => {
                    first_byte.get_or_insert_with(Instant::now);
                    if received.len() + part.len() > limits.answer_bytes || !memory.grow(part.len()) {
                        let message = "The model's answer is longer than the gateway passes on.";
                        let problem = Problem::upstream(502, "answer_too_large", message);
                        return self.settle(line, failed(problem), first_byte, &[]).await;
                    }
                    received.extend_from_slice(&part);
                }
                Ok(Err(_)) => {
                    let message = "The model's server broke off its answer.";
                    let problem = Problem::upstream(502, "upstream_error", message);
                    return self.settle(line, failed(problem), first_byte, &[]).await;
                }
                Err(cut) => return self.settle(line, cut_short(cut), first_byte, &[]).await,
            }
        }
        let judged = if ready.leaks_key(&received) {
            Judged::failed(unreadable(), Outcome::UpstreamError)
        } else if received.len() <= INLINE_BYTES_MAX {
            self.judge(self.gateway, self.route, status, &received)
        } else {
            let (gateway, policy) = (Arc::clone(self.gateway), Arc::clone(self.policy));
            let (name, protocol) = (self.route.name.clone(), self.protocol);
            let judge = move || {
                let route = policy.routes().iter().find(|route| route.name == name)?;
                let upstreams = &policy.upstreams;
                let answer = Answer { gateway: &gateway, upstreams, protocol, route, status, received: &received };
                let judged = answer.judge();
                Some((judged, received))
            };
            let Ok(Some((judged, back))) = tokio::task::spawn_blocking(judge).await else { return };
            received = back;
            judged
        };
        self.deliver(line, judged, headers, first_byte, &received).await;
    }

    fn give_receipt(&self, headers: &mut HeaderMap) {
        if let Some(receipt) = self.receipt {
            headers.insert(RECEIPT_HEADER, receipt.clone());
        }
    }

    fn judge(&self, gateway: &Gateway, route: &Route, status: u16, received: &[u8]) -> Judged {
        let upstreams = &self.policy.upstreams;
        Answer { gateway, upstreams, protocol: self.protocol, route, status, received }.judge()
    }

    /// Records an answer of which nothing came, and answers in its stead.
    async fn settle(self, line: Line, judged: Judged, first_byte: Option<Instant>, received: &[u8]) {
        self.deliver(line, judged, HeaderMap::new(), first_byte, received).await;
    }

    /// Records a whole answer, then sends it.
    async fn deliver(
        self,
        line: Line,
        judged: Judged,
        headers: HeaderMap,
        first_byte: Option<Instant>,
        received: &[u8],
    ) {
        let body_to_keep = match (&judged.kept, &judged.body) {
            (Some(kept), _) => Some(kept.as_slice()),
            (None, Ok(body)) => Some(body.as_slice()),
            (None, Err(_)) => None,
        };
        let recorded = self
            .end(Ending {
                status: judged.status,
                outcome: judged.outcome,
                inspected: judged.inspected,
                usage: judged.usage,
                first_byte,
                text: body_to_keep.map(|kept| (received, kept)),
                identifiers: &judged.identifiers,
            })
            .await;
        let Line::Waiting(reply) = line else { return };
        if !self.gateway.may_pass(recorded, self.route) {
            let mut response = answer(&Problem::audit_unavailable(), self.protocol, Some(self.trace));
            self.give_receipt(response.headers_mut());
            let _ = reply.send(response);
            return;
        }
        let mut response = match judged.body {
            Ok(body) => json(judged.status, body, Some(self.trace), None),
            Err(problem) => answer(&problem, self.protocol, Some(self.trace)),
        };
        if !recorded && self.trace.event().is_some() {
            response.headers_mut().insert(RECORDED_HEADER, HeaderValue::from_static("request"));
        }
        for (name, value) in &headers {
            response.headers_mut().append(name, value.clone());
        }
        self.give_receipt(response.headers_mut());
        // Fails when the caller went away: the event is written, and that is all that is left.
        let _ = reply.send(response);
    }

    async fn stream(
        self,
        line: Line,
        response: reqwest::Response,
        headers: HeaderMap,
        ready: &crate::upstream::Ready,
        memory: &mut MemoryLease,
    ) {
        let Some(table) = self.protocol.chunk() else {
            return self.settle(line, Judged::failed(unreadable(), Outcome::UpstreamError), None, &[]).await;
        };
        let Line::Waiting(reply) = line else { return };
        let (parts, body) = mpsc::channel(PARTS_WAITING_MAX);
        let mut head = Response::new(Reply::Parts(body));
        *head.headers_mut() = headers;
        head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        head.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        stamp(head.headers_mut(), Some(self.trace));
        self.give_receipt(head.headers_mut());
        // When the caller is gone by now, the first wait says so.
        let _ = reply.send(head);
        let route = self.route;
        let verdict_of = move |detection: &Detection| route.verdict(Direction::Answer, detection);
        let treatment = crate::walk::Treatment { unknown: route.unknown_fields, media: route.media, request: false };
        let flow = Flow::new(self.protocol, table, &self.gateway.wiring.engine, treatment, &verdict_of, ready.key());
        stream::run(self, Line::Streaming(parts), response, flow, ready, memory).await;
    }

    /// Makes the answer's event durable; whether that succeeded.
    pub(crate) async fn end(&self, ending: Ending<'_>) -> bool {
        let wiring = &self.gateway.wiring;
        let verdict = ending.inspected.found.worst();
        match verdict {
            Verdict::Block => Counters::add(&wiring.counters.blocked),
            // Counted once for request and answer together.
            Verdict::Redact if self.verdict != Verdict::Redact => Counters::add(&wiring.counters.redacted),
            _ => {}
        }
        if ending.outcome == Outcome::UpstreamError || ending.outcome == Outcome::Timeout {
            Counters::add(&wiring.counters.upstream_failed);
            if let Some(ready) = self.policy.upstreams.ready(&self.route.upstream) {
                Counters::add(&ready.failures);
            }
        }
        let micros =
            |at: Instant| u64::try_from(at.duration_since(self.started).as_micros()).unwrap_or(u64::MAX).min(1 << 50);
        let now = Instant::now();
        let answered = Answered {
            status: ending.status,
            outcome: ending.outcome,
            tokens_in: ending.usage.tokens_in,
            tokens_out: ending.usage.tokens_out,
            first_byte_us: ending.first_byte.map_or(0, micros),
            total_us: micros(now),
        };
        let at = (wiring.clock)();
        let basis = self.gateway.basis(self.policy, self.route.environment);
        let actor = Actor::caller(&self.caller.id);
        let draft: Draft = record::response(self.request, at, actor, basis, &answered, ending.inspected);
        let payloads = match ending.text {
            None => Some(Vec::new()),
            Some((received, kept)) => wiring.day_keys.for_day(at).map(|day| {
                let text = record::Text { name: "response", received, kept };
                record::payloads(&day, draft.id, self.route.store, &text, ending.identifiers)
            }),
        };
        // Until here: what is left is the event, which the answer waits for.
        if let Some(at) = ending.first_byte {
            wiring.counters.first_byte.note(at.duration_since(self.started));
        }
        wiring.counters.total.note(now.duration_since(self.started));
        self.gateway.record(draft, payloads, Some(self.caller)).await.is_ok()
    }
}

/// What an exchange comes to whose waiting was cut.
pub(crate) fn cut_short(cut: Cut) -> Judged {
    match cut {
        Cut::Late => {
            let message = "The model's server took too long.";
            Judged::failed(Problem::upstream(504, "upstream_timeout", message), Outcome::Timeout)
        }
        Cut::Stopped => {
            let message = "The gateway is shutting down.";
            Judged::failed(Problem::upstream(503, "shutting_down", message).retry_after(5), Outcome::Interrupted)
        }
        // Nobody reads this answer; 499 is what logs of other proxies say of it.
        Cut::Gone => Judged::failed(Problem::upstream(499, "client_gone", "The caller went away."), Outcome::Cancelled),
    }
}

/// Headers of an upstream's answer that a caller gets: what clients act on, and nothing that could
/// carry text.
fn passed_on(headers: &HeaderMap, leaks_key: impl Fn(&[u8]) -> bool) -> HeaderMap {
    let wanted = |name: &HeaderName| {
        matches!(name.as_str(), "x-request-id" | "openai-processing-ms" | "retry-after" | "retry-after-ms")
            || name.as_str().starts_with("x-ratelimit-")
    };
    let plain = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        bytes.len() <= 128 && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:,= ".contains(byte))
    };
    headers
        .iter()
        .filter(|(name, value)| wanted(name) && plain(value) && !leaks_key(value.as_bytes()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_headers_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-request-id", "req_123"),
            ("x-ratelimit-remaining-tokens", "9"),
            ("set-cookie", "a=b"),
            ("server", "x"),
            ("openai-organization", "bank"),
            ("retry-after", "<script>"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut passed: Vec<_> = passed_on(&headers, |_| false).keys().map(ToString::to_string).collect();
        passed.sort();
        assert_eq!(passed, ["x-ratelimit-remaining-tokens", "x-request-id"]);
        let passed = passed_on(&headers, |value| value == b"req_123");
        assert_eq!(passed.keys().collect::<Vec<_>>(), ["x-ratelimit-remaining-tokens"]);
    }
}
