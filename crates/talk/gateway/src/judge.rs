//! From a whole answer's bytes to what the caller gets. No waiting in here.

use haris_domain::{Detection, Verdict};
use haris_policy::{Direction, OnUnknown, Route};

use crate::decide::{blocked, kept_copy};
use crate::edit;
use crate::found::Found;
use crate::gateway::Gateway;
use crate::json::{self, Node};
use crate::problem::Problem;
use crate::protocol::{Protocol, Usage};
use crate::record::{Inspected, Outcome};
use crate::table::Table;
use crate::walk::{self, Identifiers, Treatment};

/// An answer and what it answers.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) protocol: &'static dyn Protocol,
    pub(crate) route: &'a Route,
    pub(crate) status: u16,
    pub(crate) received: &'a [u8],
}

/// What an answer's inspection came to.
pub(crate) struct Judged {
    pub(crate) status: u16,
    /// What the caller gets.
    pub(crate) body: Result<Vec<u8>, Problem>,
    pub(crate) outcome: Outcome,
    pub(crate) inspected: Inspected,
    /// What may be stored, when that is not the body.
    pub(crate) kept: Option<Vec<u8>>,
    pub(crate) identifiers: Identifiers,
    pub(crate) usage: Usage,
}

impl Judged {
    /// An answer of which nothing is passed on.
    pub(crate) fn failed(problem: Problem, outcome: Outcome) -> Self {
        Self {
            status: problem.status,
            body: Err(problem),
            outcome,
            inspected: Inspected::nothing(),
            kept: None,
            identifiers: Identifiers::default(),
            usage: Usage::default(),
        }
    }
}

impl Answer<'_> {
    /// Decides on an answer.
    pub(crate) fn judge(self) -> Judged {
        if self.status >= 400 { self.failure() } else { self.success() }
    }

    fn success(self) -> Judged {
        match self.read() {
            Some(node) if !self.protocol.is_failure(&node) => {
                let treatment =
                    Treatment { unknown: self.route.unknown_fields, media: self.route.media, request: false };
                let usage = self.protocol.usage(&node);
                Judged { usage, ..self.inspect(node, self.protocol.answer(), treatment) }
            }
            _ => Judged::failed(unreadable(), Outcome::UpstreamError),
        }
    }

    /// The words of an upstream's error come from outside like any answer's.
    fn failure(self) -> Judged {
        let problem = |message: String| Problem::new(self.status, "upstream_error", "upstream", message);
        let generic = || problem(format!("The model's server answered with status {}.", self.status));
        if self.status == 401 {
            // Its words would speak of the provider's key, which is not the caller's.
            let message = "The model's server does not accept the gateway's own credentials.";
            return Judged::failed(problem(message.to_owned()), Outcome::UpstreamError);
        }
        let Some(node) = self.read() else { return Judged::failed(generic(), Outcome::UpstreamError) };
        let in_shape = self.protocol.is_failure(&node);
        let judged = self.inspect(node, self.protocol.failure(), failure_treatment());
        let body = match judged.body {
            Ok(body) if in_shape => Ok(body),
            Ok(body) => {
                let node = json::parse(&body, self.gateway.answer_bounds()).ok();
                let words =
                    node.as_ref().and_then(|node| ["message", "detail"].iter().find_map(|key| node.get(key)?.as_str()));
                Err(words.map_or_else(generic, |words| problem(words.to_owned())))
            }
            Err(_) => Err(generic()),
        };
        Judged { status: self.status, body, outcome: Outcome::UpstreamError, ..judged }
    }

    /// The answer's JSON; nothing when it is none, or speaks of the provider's key.
    fn read(&self) -> Option<Node<'_>> {
        let node = json::parse(self.received, self.gateway.answer_bounds()).ok()?;
        matches!(node, Node::Object(_)).then_some(node)
    }

    fn inspect(&self, mut node: Node<'_>, table: &Table, treatment: Treatment) -> Judged {
        let mut seen =
            walk::walk(&self.gateway.wiring.engine, table, treatment, &node).expect("only walks of requests refuse");
        let ready = self.gateway.wiring.upstreams.ready(&self.route.upstream);
        if seen.bad_index || ready.is_some_and(|ready| ready.leaks_key_in(&seen.said)) {
            return Judged::failed(unreadable(), Outcome::UpstreamError);
        }
        let verdict_of = |detection: &Detection| self.route.verdict(Direction::Answer, detection);
        let mut found = Found::default();
        for hit in &seen.hits {
            for detection in &hit.detections {
                found.add(&hit.field, detection, verdict_of(detection));
            }
        }
        let block = (found.worst() == Verdict::Block).then(|| blocked(&found, "answer"));
        let mut kept = kept_copy(&node, &seen, self.route.store, &verdict_of);
        edit::apply(&mut node, &seen, &verdict_of);
        let body = node.to_json();
        if block.is_some() && kept.is_none() {
            kept = Some(body.clone());
        }
        Judged {
            status: if block.is_some() { 400 } else { self.status },
            outcome: if block.is_some() { Outcome::Blocked } else { Outcome::Complete },
            body: block.map_or(Ok(body), Err),
            inspected: Inspected {
                found,
                not_scanned: std::mem::take(&mut seen.not_scanned),
                not_scanned_more: seen.not_scanned_more,
            },
            kept,
            identifiers: seen.identifiers,
            usage: Usage::default(),
        }
    }
}

/// What an error holds beyond the known members is for its own server's operators.
pub(crate) fn failure_treatment() -> Treatment {
    Treatment { unknown: OnUnknown::Refuse, media: OnUnknown::Refuse, request: false }
}

pub(crate) fn unreadable() -> Problem {
    let message = "The model's server gave an answer that the gateway cannot read, so it cannot inspect it.";
    Problem::upstream(502, "upstream_error", message)
}
