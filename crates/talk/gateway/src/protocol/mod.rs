//! The protocols that the gateway speaks: one file each, one line in [`PROTOCOLS`].
//!
//! A protocol is data and shapes: which path it answers, which fields it has, how it asks for a
//! stream, how its errors look. Limits, authentication, inspection, recording and forwarding are
//! the same for all and live elsewhere. `docs/recipes` shows how to add one.

mod openai;
mod openai_chat;
mod openai_embeddings;

pub use openai_chat::OpenAiChat;
pub use openai_embeddings::OpenAiEmbeddings;

use haris_domain::EventId;

use crate::json::Node;
use crate::problem::Problem;
use crate::table::Table;

/// Every protocol.
pub const PROTOCOLS: &[&dyn Protocol] = &[&OpenAiChat, &OpenAiEmbeddings];

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The model, as the caller wrote it.
    pub model: String,
    /// Whether the answer comes as a stream.
    pub stream: bool,
}

/// Tokens that the upstream counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In the request.
    pub tokens_in: Option<u64>,
    /// In the answer.
    pub tokens_out: Option<u64>,
}

/// One way of talking to a model.
pub trait Protocol: Send + Sync {
    /// The name in records: `openai.chat`.
    fn name(&self) -> &'static str;

    /// The path that callers post to, and that is appended to an upstream's base URL.
    fn path(&self) -> &'static str;

    /// Fields of a request.
    fn request(&self) -> &'static Table;

    /// Fields of a whole answer.
    fn answer(&self) -> &'static Table;

    /// Fields of one event of a streamed answer; `None` when the protocol has no streams.
    fn chunk(&self) -> Option<&'static Table>;

    /// Fields of an upstream's error.
    fn failure(&self) -> &'static Table;

    /// Reads what the gateway itself needs of a request.
    ///
    /// # Errors
    /// When the request lacks what every request needs.
    fn ask(&self, body: &Node<'_>) -> Result<Ask, Problem>;

    /// Whether an answer, or an event of a stream, says how many tokens it took.
    fn usage(&self, answer: &Node<'_>) -> Usage;

    /// The lanes (choices) of a stream that end with this event.
    fn ended_lanes(&self, chunk: &Node<'_>) -> Vec<u32>;

    /// Adds what every event of a stream has to one that the gateway makes to release held text.
    fn complete_part(&self, part: &mut Node<'_>);

    /// Whether this event of a stream, or this body, is the upstream's error.
    fn is_failure(&self, body: &Node<'_>) -> bool;

    /// The data of the last event of a stream.
    fn stream_end(&self) -> &'static [u8];

    /// A problem as a response body.
    fn problem(&self, problem: &Problem, event: Option<EventId>) -> Vec<u8>;

    /// A problem as the last event of a stream, framing included.
    fn problem_event(&self, problem: &Problem, event: Option<EventId>) -> Vec<u8>;
}

impl std::fmt::Debug for dyn Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The protocol that answers a path.
pub(crate) fn at_path(path: &str) -> Option<&'static dyn Protocol> {
    PROTOCOLS.iter().copied().find(|protocol| protocol.path() == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_unique_and_tables_compile() {
        let mut seen = std::collections::BTreeSet::new();
        for protocol in PROTOCOLS {
            assert!(seen.insert(protocol.name()) && seen.insert(protocol.path()));
            assert!(!protocol.request().rows().is_empty() && !protocol.answer().rows().is_empty());
            assert!(protocol.chunk().is_none_or(|table| !table.rows().is_empty()));
            assert!(!protocol.failure().rows().is_empty());
        }
    }
}
