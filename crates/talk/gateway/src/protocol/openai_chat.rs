//! `POST /v1/chat/completions`, plain and streamed.
//!
//! The rows follow the public API description; a few fields that widespread compatible servers add
//! (reasoning text, stop reasons, content-filter results) have rows too, so that they are inspected
//! instead of unknown.

use std::sync::LazyLock;

use haris_domain::{Context, EventId};

use super::openai::{self, DOCUMENT, FAILURE, OUTPUT, TOOL, USER, row};
use super::{Ask, Protocol, Usage};
use crate::json::Node;
use crate::problem::Problem;
use crate::table::Form::{
    Any, File, Locator, Media, Name, Padding, Plain, Reference, Source, Spelling, Text, TextNotTokens, Word,
};
use crate::table::{Field, From, Table};

/// The chat protocol.
#[derive(Debug)]
pub struct OpenAiChat;

const SPEAKER: From = From::Speaker;
const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool", "function"];
const PART_TYPES: &[&str] = &["text", "refusal", "image_url", "input_audio", "file"];
const TOOL_TYPES: &[&str] = &["function", "custom"];
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh"];
const TIERS: &[&str] = &["auto", "default", "flex", "scale", "priority"];
const DETAILS: &[&str] = &["auto", "low", "high"];
const FINISHES: &[&str] = &["stop", "length", "tool_calls", "content_filter", "function_call"];

const REQUEST: &[Field] = &[
    row("model", Text, USER),
    row("messages[*].role", Word(ROLES), SPEAKER),
    row("messages[*].content", TextNotTokens, SPEAKER),
    row("messages[*].content[*].type", Word(PART_TYPES), SPEAKER),
    row("messages[*].content[*].text", Text, SPEAKER),
    row("messages[*].content[*].refusal", Text, SPEAKER),
    row("messages[*].content[*].image_url", Locator, SPEAKER),
    row("messages[*].content[*].image_url.url", Locator, SPEAKER),
    row("messages[*].content[*].image_url.detail", Word(DETAILS), SPEAKER),
    row("messages[*].content[*].input_audio.data", Media, SPEAKER),
    row("messages[*].content[*].input_audio.format", Word(&["wav", "mp3"]), SPEAKER),
    row("messages[*].content[*].file.file_data", File, DOCUMENT),
    row("messages[*].content[*].file.file_id", Reference, DOCUMENT),
    row("messages[*].content[*].file.filename", Text, DOCUMENT),
    row("messages[*].name", Text, SPEAKER),
    row("messages[*].refusal", Text, SPEAKER),
    row("messages[*].reasoning_content", Text, SPEAKER),
    row("messages[*].reasoning", Text, SPEAKER),
    row("messages[*].audio.id", Reference, SPEAKER),
    row("messages[*].tool_call_id", Text, SPEAKER),
    row("messages[*].tool_calls[*].id", Text, SPEAKER),
    row("messages[*].tool_calls[*].index", Plain, SPEAKER),
    row("messages[*].tool_calls[*].type", Word(TOOL_TYPES), SPEAKER),
    row("messages[*].tool_calls[*].function.name", Text, SPEAKER),
    row("messages[*].tool_calls[*].function.arguments", Source, SPEAKER),
    row("messages[*].tool_calls[*].custom.name", Text, SPEAKER),
    row("messages[*].tool_calls[*].custom.input", Text, SPEAKER),
    row("messages[*].function_call.name", Text, SPEAKER),
    row("messages[*].function_call.arguments", Source, SPEAKER),
    row("messages[*].annotations[*].type", Word(&["url_citation"]), SPEAKER),
    row("messages[*].annotations[*].url_citation.title", Text, SPEAKER),
    row("messages[*].annotations[*].url_citation.url", Text, SPEAKER),
    row("messages[*].annotations[*].url_citation.start_index", Plain, SPEAKER),
    row("messages[*].annotations[*].url_citation.end_index", Plain, SPEAKER),
    row("modalities[*]", Word(&["text", "audio"]), USER),
    row("audio.format", Word(&["wav", "aac", "mp3", "flac", "opus", "pcm16"]), USER),
    row("audio.voice", Text, USER),
    row("audio.voice.id", Text, USER),
    row("frequency_penalty", Plain, USER),
    row("presence_penalty", Plain, USER),
    row("temperature", Plain, USER),
    row("top_p", Plain, USER),
    row("n", Plain, USER),
    row("seed", Plain, USER),
    row("max_tokens", Plain, USER),
    row("max_completion_tokens", Plain, USER),
    row("logprobs", Plain, USER),
    row("top_logprobs", Plain, USER),
    row("logit_bias{*}", Plain, USER),
    row("store", Plain, USER),
    row("stream", Plain, USER),
    row("stream_options.include_usage", Plain, USER),
    row("stream_options.include_obfuscation", Plain, USER),
    row("parallel_tool_calls", Plain, USER),
    row("metadata{*}", Text, USER),
    row("user", Text, USER),
    row("safety_identifier", Text, USER),
    row("prompt_cache_key", Text, USER),
    row("prompt_cache_retention", Word(&["in-memory", "in_memory", "24h"]), USER),
    row("service_tier", Word(TIERS), USER),
    row("reasoning_effort", Word(EFFORTS), USER),
    row("verbosity", Word(&["low", "medium", "high"]), USER),
    row("stop", Text, USER),
    row("stop[*]", Text, USER),
    row("prediction.type", Word(&["content"]), USER),
    row("prediction.content", TextNotTokens, USER),
    row("prediction.content[*].type", Word(&["text"]), USER),
    row("prediction.content[*].text", Text, USER),
    row("response_format.type", Word(&["text", "json_object", "json_schema"]), USER),
    row("response_format.json_schema.name", Text, USER),
    row("response_format.json_schema.description", Text, USER),
    row("response_format.json_schema.strict", Plain, USER),
    row("response_format.json_schema.schema", Any, USER),
    row("tools[*].type", Word(TOOL_TYPES), TOOL),
    row("tools[*].function.name", Text, TOOL),
    row("tools[*].function.description", Text, TOOL),
    row("tools[*].function.parameters", Any, TOOL),
    row("tools[*].function.strict", Plain, TOOL),
    row("tools[*].custom.name", Text, TOOL),
    row("tools[*].custom.description", Text, TOOL),
    row("tools[*].custom.format.type", Word(&["text", "grammar"]), TOOL),
    row("tools[*].custom.format.grammar.definition", Text, TOOL),
    row("tools[*].custom.format.grammar.syntax", Word(&["lark", "regex"]), TOOL),
    row("tool_choice", Word(&["none", "auto", "required"]), TOOL),
    row("tool_choice.type", Word(&["function", "custom", "allowed_tools"]), TOOL),
    row("tool_choice.function.name", Text, TOOL),
    row("tool_choice.custom.name", Text, TOOL),
    row("tool_choice.allowed_tools.mode", Word(&["auto", "required"]), TOOL),
    row("tool_choice.allowed_tools.tools", Any, TOOL),
    row("functions[*].name", Text, TOOL),
    row("functions[*].description", Text, TOOL),
    row("functions[*].parameters", Any, TOOL),
    row("function_call", Word(&["none", "auto"]), TOOL),
    row("function_call.name", Text, TOOL),
    row("web_search_options.search_context_size", Word(&["low", "medium", "high"]), USER),
    row("web_search_options.user_location.type", Word(&["approximate"]), USER),
    row("web_search_options.user_location.approximate.city", Text, USER),
    row("web_search_options.user_location.approximate.country", Text, USER),
    row("web_search_options.user_location.approximate.region", Text, USER),
    row("web_search_options.user_location.approximate.timezone", Text, USER),
];

/// Around the choices, alike in answers and events.
const ENVELOPE: &[Field] = &[
    row("id", Text, OUTPUT),
    row("object", Word(&["chat.completion", "chat.completion.chunk"]), OUTPUT),
    row("created", Plain, OUTPUT),
    row("model", Text, OUTPUT),
    row("provider", Text, OUTPUT),
    row("system_fingerprint", Text, OUTPUT),
    row("service_tier", Word(TIERS), OUTPUT),
    row("usage", Any, OUTPUT),
    row("prompt_filter_results", Any, OUTPUT),
    row("obfuscation", Padding, OUTPUT),
    row("choices[#].index", Plain, OUTPUT),
    row("choices[#].finish_reason", Word(FINISHES), OUTPUT),
    row("choices[#].native_finish_reason", Text, OUTPUT),
    row("choices[#].stop_reason", Text, OUTPUT),
    row("choices[#].content_filter_results", Any, OUTPUT),
    row("choices[#].logprobs.content", Spelling, OUTPUT),
    row("choices[#].logprobs.refusal", Spelling, OUTPUT),
];

/// The rows of a message under `choices[#].message` or `choices[#].delta`.
macro_rules! message {
    ($under:literal, $parts:literal, $notes:literal) => {
        &[
            row(concat!($under, ".role"), Word(ROLES), OUTPUT),
            row(concat!($under, ".content"), Text, OUTPUT),
            row(concat!($under, ".content", $parts), Text, OUTPUT),
            row(concat!($under, ".content", $parts, ".index"), Plain, OUTPUT),
            row(concat!($under, ".content", $parts, ".type"), Word(PART_TYPES), OUTPUT),
            row(concat!($under, ".content", $parts, ".text"), Text, OUTPUT),
            row(concat!($under, ".content", $parts, ".refusal"), Text, OUTPUT),
            row(concat!($under, ".refusal"), Text, OUTPUT),
            row(concat!($under, ".reasoning_content"), Text, OUTPUT),
            row(concat!($under, ".reasoning"), Text, OUTPUT),
            row(concat!($under, ".annotations", $notes, ".index"), Plain, OUTPUT),
            row(concat!($under, ".annotations", $notes, ".type"), Word(&["url_citation"]), OUTPUT),
            row(concat!($under, ".annotations", $notes, ".url_citation.title"), Name, OUTPUT),
            row(concat!($under, ".annotations", $notes, ".url_citation.url"), Name, OUTPUT),
            row(concat!($under, ".annotations", $notes, ".url_citation.start_index"), Plain, OUTPUT),
            row(concat!($under, ".annotations", $notes, ".url_citation.end_index"), Plain, OUTPUT),
            row(concat!($under, ".tool_calls", $parts, ".index"), Plain, OUTPUT),
            row(concat!($under, ".tool_calls", $parts, ".id"), Name, OUTPUT),
            row(concat!($under, ".tool_calls", $parts, ".type"), Word(TOOL_TYPES), OUTPUT),
            row(concat!($under, ".tool_calls", $parts, ".function.name"), Name, OUTPUT),
            row(concat!($under, ".tool_calls", $parts, ".function.arguments"), Source, OUTPUT),
            row(concat!($under, ".tool_calls", $parts, ".custom.name"), Name, OUTPUT),
            row(concat!($under, ".tool_calls", $parts, ".custom.input"), Text, OUTPUT),
            row(concat!($under, ".function_call.name"), Name, OUTPUT),
            row(concat!($under, ".function_call.arguments"), Source, OUTPUT),
            row(concat!($under, ".audio.id"), Name, OUTPUT),
            row(concat!($under, ".audio.transcript"), Text, OUTPUT),
            row(concat!($under, ".audio.data"), Media, OUTPUT),
            row(concat!($under, ".audio.expires_at"), Plain, OUTPUT),
        ]
    };
}

const MESSAGE: &[Field] = message!("choices[#].message", "[*]", "[*]");
const DELTA: &[Field] = message!("choices[#].delta", "[#]", "[+]");

static REQUEST_TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(&[REQUEST], Some("messages[*]"), Context::User));
static ANSWER_TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(&[ENVELOPE, MESSAGE], None, Context::Output));
static CHUNK_TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(&[ENVELOPE, DELTA], None, Context::Output));

impl Protocol for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai.chat"
    }

    fn path(&self) -> &'static str {
        "/v1/chat/completions"
    }

    fn request(&self) -> &'static Table {
        &REQUEST_TABLE
    }

    fn answer(&self) -> &'static Table {
        &ANSWER_TABLE
    }

    fn chunk(&self) -> Option<&'static Table> {
        Some(&CHUNK_TABLE)
    }

    fn failure(&self) -> &'static Table {
        &FAILURE
    }

    fn ask(&self, body: &Node<'_>) -> Result<Ask, Problem> {
        if !matches!(body.get("messages"), None | Some(Node::Array(_))) {
            let message = "`messages` is a list of messages.";
            return Err(Problem::new(400, "invalid_request", "malformed-request", message).in_field("messages"));
        }
        openai::ask(body)
    }

    fn usage(&self, answer: &Node<'_>) -> Usage {
        openai::usage(answer)
    }

    fn ended_lanes(&self, chunk: &Node<'_>) -> Vec<u32> {
        let choices = chunk.get("choices").map(Node::items).unwrap_or_default();
        let ended = choices
            .iter()
            .enumerate()
            .filter(|(_, choice)| choice.get("finish_reason").is_some_and(|reason| *reason != Node::Null));
        ended.filter_map(|(position, choice)| crate::naming::own_index(choice, position)).collect()
    }

    fn complete_part(&self, part: &mut Node<'_>) {
        if let Some(Node::Array(choices)) = part.get_mut("choices") {
            for choice in choices {
                if let Node::Object(members) = choice {
                    members.push(("finish_reason".into(), Node::Null));
                }
            }
        }
    }

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
