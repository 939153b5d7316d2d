//! A streamed answer: read, inspect, release, record, end.

use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use haris_domain::{Detection, Verdict};
use haris_policy::Direction;

use crate::bounds::MemoryLease;
use crate::decide::blocked;
use crate::exchange::{Course, Cut, Ending, Line, cut_short};
use crate::flow::Flow;
use crate::found::Found;
use crate::json;
use crate::judge::{failure_treatment, unreadable};
use crate::problem::Problem;
use crate::record::{self, Inspected, Outcome};
use crate::sse::{Item, SseReader};
use crate::upstream::Ready;
use crate::walk::NotScanned;
use crate::{edit, walk};

/// Why reading ended.
enum End {
    /// The upstream said so, with or without a reason for each choice. What it sends behind that is
    /// of no interest.
    Said,
    /// The upstream closed.
    Closed,
    /// The upstream reports an error, as an event ready to be sent.
    Reported(Vec<u8>),
    /// The upstream's stream cannot be used.
    Bad(Problem),
    Cut(Cut),
}

/// Reads an upstream's stream: what came together is taken together.
///
/// A server's events often arrive several at once, and each write to a caller costs more than all that is done with an
/// event before it.
struct Arrivals {
    response: reqwest::Response,
    gathered: Vec<u8>,
    /// How reading ended, behind what is gathered.
    end: Option<reqwest::Result<()>>,
}

/// More than this at once only takes memory.
const GATHERED_MAX: usize = 16 << 10;

impl Arrivals {
    fn new(response: reqwest::Response) -> Self {
        Self { response, gathered: Vec::new(), end: None }
    }

    /// The next part; nothing at the end. Waits for one, and for no second.
    async fn next(&mut self) -> reqwest::Result<Option<Vec<u8>>> {
        while self.end.is_none() && self.gathered.len() < GATHERED_MAX {
            if self.gathered.is_empty() {
                let first = self.response.chunk().await;
                self.take(first);
                continue;
            }
            // What reads the connection is another task; it goes on when this one pauses.
            tokio::task::yield_now().await;
            let Some(next) = self.response.chunk().now_or_never() else { break };
            self.take(next);
        }
        if !self.gathered.is_empty() {
            return Ok(Some(std::mem::take(&mut self.gathered)));
        }
        self.end.take().unwrap_or(Ok(())).map(|()| None)
    }

    fn take(&mut self, arrived: reqwest::Result<Option<Bytes>>) {
        match arrived {
            Ok(Some(part)) => self.gathered.extend_from_slice(&part),
            Ok(None) => self.end = Some(Ok(())),
            Err(error) => self.end = Some(Err(error)),
        }
    }
}

/// Reads the upstream to its end and writes to the caller, and to the record.
pub(crate) async fn run(
    course: Course<'_>,
    mut line: Line,
    response: reqwest::Response,
    mut flow: Flow<'_>,
    ready: &Ready,
    memory: &mut MemoryLease,
) {
    let limits = &course.gateway.wiring.limits;
    let mut reader = SseReader::new(limits.sse_event_bytes);
    let mut arrivals = Arrivals::new(response);
    let mut first_byte = None;
    let mut total = 0;
    // After a block reading goes on for a moment, for the record alone.
    let mut reading_until: Option<tokio::time::Instant> = None;
    let mut out = Vec::new();
    let end = loop {
        let limit = match reading_until {
            None => limits.idle,
            Some(until) => until.saturating_duration_since(tokio::time::Instant::now()),
        };
        let part = match course.wait(&mut line, limit, arrivals.next()).await {
            Ok(Ok(Some(part))) => part,
            Ok(Ok(None)) => break End::Closed,
            Ok(Err(_)) => break End::Bad(broken_off()),
            Err(cut) => break End::Cut(cut),
        };
        first_byte.get_or_insert_with(Instant::now);
        total += part.len();
        if total > limits.answer_bytes || !memory.grow(part.len()) {
            let message = "The model's answer is longer than the gateway passes on.";
            break End::Bad(Problem::upstream(502, "answer_too_large", message));
        }
        reader.push(&part);
        let ended = events(&course, &mut reader, &mut flow, ready, &mut out);
        if flow.is_blocked() && reading_until.is_none() {
            reading_until = Some(tokio::time::Instant::now() + limits.after_block);
        }
        if let Some(end) = ended {
            break end;
        }
        if !out.is_empty()
            && let Err(cut) = send(&course, &mut line, std::mem::take(&mut out)).await
        {
            break End::Cut(cut);
        }
    };
    // Before the record is written the upstream is let go: nothing more of it is wanted.
    let cut_mid_event = matches!(end, End::Closed) && reader.is_mid_event();
    drop(arrivals);

    let stopped_reading = flow.is_blocked() && !matches!(end, End::Said | End::Closed);
    let mark = out.len();
    let end = match flow.finish(&mut out) {
        Err(bad) if matches!(end, End::Said | End::Closed) => {
            tracing::warn!(upstream = %course.route.upstream, %bad, "unusable stream");
            End::Bad(unreadable())
        }
        _ => end,
    };
    let is_bad = matches!(end, End::Bad(_));
    let (outcome, status, last) = conclude(&course, &mut flow, end, cut_mid_event);
    // What was held when the upstream's answer turned out to be unusable stays here.
    if flow.is_blocked() || is_bad {
        out.truncate(mark);
    }
    let recorded = write_record(&course, &mut flow, outcome, status, first_byte, stopped_reading).await;
    if outcome == Outcome::Cancelled {
        return;
    }
    if course.gateway.may_pass(recorded, course.route) {
        out.extend_from_slice(&last);
    } else {
        out.truncate(mark);
        out.extend_from_slice(&course.protocol.problem_event(&Problem::audit_unavailable(), course.trace.event()));
    }
    let _ = send(&course, &mut line, out).await;
}

async fn send(course: &Course<'_>, line: &mut Line, bytes: Vec<u8>) -> Result<(), Cut> {
    let Line::Streaming(parts) = line else { return Err(Cut::Gone) };
    let parts = parts.clone();
    let limits = &course.gateway.wiring.limits;
    match course.wait(line, limits.client_stall, parts.send(Bytes::from(bytes))).await {
        Ok(Ok(())) => Ok(()),
        // A caller that takes nothing counts as gone.
        Ok(Err(_)) | Err(Cut::Late) => Err(Cut::Gone),
        Err(cut) => Err(cut),
    }
}

/// Takes what the reader has; the end, if one of the events is it.
fn events(
    course: &Course<'_>,
    reader: &mut SseReader,
    flow: &mut Flow<'_>,
    ready: &Ready,
    out: &mut Vec<u8>,
) -> Option<End> {
    loop {
        let data = match reader.next() {
            Ok(None) => return None,
            Ok(Some(Item::Comment)) => {
                if !flow.is_blocked() {
                    out.extend_from_slice(b":\n\n");
                }
                continue;
            }
            Ok(Some(Item::Data(data))) => data,
            Err(_) => return Some(End::Bad(unreadable())),
        };
        if data == course.protocol.stream_end() {
            return Some(End::Said);
        }
        if ready.leaks_key(data) {
            return Some(End::Bad(unreadable()));
        }
        let Ok(node) = json::parse(data, course.gateway.answer_bounds()) else { return Some(End::Bad(unreadable())) };
        if !matches!(node, json::Node::Object(_)) {
            return Some(End::Bad(unreadable()));
        }
        if course.protocol.is_failure(&node) {
            return Some(reported(course, node, ready, &mut flow.found));
        }
        let mark = out.len();
        if let Err(bad) = flow.chunk(node, out) {
            tracing::warn!(upstream = %course.route.upstream, %bad, "unusable stream");
            out.truncate(mark);
            return Some(End::Bad(unreadable()));
        }
        if flow.is_blocked() {
            out.truncate(mark);
        }
    }
}

/// An upstream's error in the middle of a stream: inspected like any text.
fn reported(course: &Course<'_>, mut node: json::Node<'_>, ready: &Ready, found: &mut Found) -> End {
    let engine = &course.gateway.wiring.engine;
    let seen = walk::walk(engine, course.protocol.failure(), failure_treatment(), &node)
        .expect("only walks of requests refuse");
    let verdict_of = |detection: &Detection| course.route.verdict(Direction::Answer, detection);
    let mut worst = Verdict::Allow;
    for hit in &seen.hits {
        for detection in &hit.detections {
            let action = verdict_of(detection);
            found.add(&hit.field, detection, action);
            worst = worst.max(action);
        }
    }
    if worst == Verdict::Block || ready.leaks_key_in(&seen.said) {
        return End::Bad(broken_off());
    }
    edit::apply(&mut node, &seen, &verdict_of);
    let mut event = b"data: ".to_vec();
    json::write(&node, &mut event);
    event.extend_from_slice(b"\n\n");
    End::Reported(event)
}

/// What the caller gets last, and what the record calls it.
fn conclude(course: &Course<'_>, flow: &mut Flow<'_>, end: End, cut_mid_event: bool) -> (Outcome, u16, Vec<u8>) {
    let event = |problem: &Problem| {
        let event = course.trace.event();
        course.protocol.problem_event(&problem.pointing_to(event), event)
    };
    if flow.is_blocked() {
        // Also when the caller left meanwhile: the block is what the record must say.
        return (Outcome::Blocked, 400, event(&blocked(&flow.found, "answer")));
    }
    match end {
        End::Closed if cut_mid_event || !flow.is_complete() => (Outcome::UpstreamError, 502, event(&broken_off())),
        End::Said | End::Closed => {
            (Outcome::Complete, 200, [b"data: ", course.protocol.stream_end(), b"\n\n"].concat())
        }
        End::Reported(event) => (Outcome::UpstreamError, 502, event),
        End::Bad(problem) => (Outcome::UpstreamError, problem.status, event(&problem)),
        End::Cut(cut) => {
            let judged = cut_short(cut);
            (judged.outcome, judged.status, judged.body.err().map(|problem| event(&problem)).unwrap_or_default())
        }
    }
}

async fn write_record(
    course: &Course<'_>,
    flow: &mut Flow<'_>,
    outcome: Outcome,
    status: u16,
    first_byte: Option<Instant>,
    stopped_reading: bool,
) -> bool {
    let mut not_scanned = std::mem::take(&mut flow.not_scanned);
    if stopped_reading {
        not_scanned.push(NotScanned { field: "choices".to_owned(), why: "stopped-after-block" });
    }
    let storage = |detection: &Detection| {
        record::storage_verdict(course.route.store, detection, course.route.verdict(Direction::Answer, detection))
    };
    let (original, kept) = flow.transcript(&storage);
    course
        .end(Ending {
            status,
            outcome,
            inspected: Inspected {
                found: std::mem::take(&mut flow.found),
                not_scanned,
                not_scanned_more: flow.not_scanned_more,
            },
            usage: flow.usage,
            first_byte,
            text: Some((&original, &kept)),
            identifiers: &flow.identifiers,
        })
        .await
}

fn broken_off() -> Problem {
    Problem::upstream(502, "upstream_error", "The model's server broke off its answer.")
}
