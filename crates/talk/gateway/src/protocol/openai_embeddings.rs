//! `POST /v1/embeddings`.

use std::sync::LazyLock;

use haris_domain::{Context, EventId};

use super::openai::{self, FAILURE, OUTPUT, USER, row};
use super::{Ask, Protocol, Usage};
use crate::json::Node;
use crate::problem::Problem;
use crate::table::Form::{Any, Plain, Text, TextNotTokens, Vector, Word};
use crate::table::{Field, Table};

/// The embeddings protocol. It has no streams.
#[derive(Debug)]
pub struct OpenAiEmbeddings;

const REQUEST: &[Field] = &[
    row("model", Text, USER),
    row("input", TextNotTokens, USER),
    row("input[*]", TextNotTokens, USER),
    row("encoding_format", Word(&["float", "base64"]), USER),
    row("dimensions", Plain, USER),
    row("user", Text, USER),
];

const ANSWER: &[Field] = &[
    row("object", Word(&["list"]), OUTPUT),
    row("id", Text, OUTPUT),
    row("created", Plain, OUTPUT),
    row("model", Text, OUTPUT),
    row("usage", Any, OUTPUT),
    row("data[*].object", Word(&["embedding"]), OUTPUT),
    row("data[*].index", Plain, OUTPUT),
    row("data[*].embedding", Vector, OUTPUT),
];

static REQUEST_TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(&[REQUEST], None, Context::User));
static ANSWER_TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(&[ANSWER], None, Context::Output));

impl Protocol for OpenAiEmbeddings {
    fn name(&self) -> &'static str {
        "openai.embeddings"
    }

    fn path(&self) -> &'static str {
        "/v1/embeddings"
    }

    fn request(&self) -> &'static Table {
        &REQUEST_TABLE
    }

    fn answer(&self) -> &'static Table {
        &ANSWER_TABLE
    }

    fn chunk(&self) -> Option<&'static Table> {
        None
    }

    fn failure(&self) -> &'static Table {
        &FAILURE
    }

    fn ask(&self, body: &Node<'_>) -> Result<Ask, Problem> {
        // `stream` is no field of this protocol: the walk sees it as unknown.
        openai::ask(body).map(|ask| Ask { stream: false, ..ask })
    }

    fn usage(&self, answer: &Node<'_>) -> Usage {
        openai::usage(answer)
    }

    fn ended_lanes(&self, _chunk: &Node<'_>) -> Vec<u32> {
        Vec::new()
    }

    fn complete_part(&self, _part: &mut Node<'_>) {}

    fn is_failure(&self, body: &Node<'_>) -> bool {
        body.get("error").is_some_and(|error| *error != Node::Null)
    }

    fn stream_end(&self) -> &'static [u8] {
        b"[DONE]"
    }

    fn problem(&self, problem: &Problem, event: Option<EventId>) -> Vec<u8> {
        openai::problem(problem, event)
    }

    fn problem_event(&self, problem: &Problem, event: Option<EventId>) -> Vec<u8> {
        [b"data: ", openai::problem(problem, event).as_slice(), b"\n\n"].concat()
    }
}
