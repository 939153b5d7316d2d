//! Replies in the protocol's shape: one object, or a stream of chunks.

use serde_json::{Value, json};

use crate::MODEL;
use crate::chat::{Request, tokens};
use crate::script::Reply;

/// What is said of a whole completion: its id, when it was made, and its bill.
pub(crate) struct Envelope {
    id: String,
    created: u64,
    usage: Value,
}

/// One choice's reply, cut to the tokens that the caller allows.
pub(crate) struct Finished<'a> {
    reply: &'a Reply,
    text: &'a str,
    reason: &'static str,
    call_id: String,
}

/// How many characters of a tool call's arguments go into one chunk.
const ARGUMENT_CHUNK_CHARS: usize = 12;

impl<'a> Finished<'a> {
    /// The reply as a choice of the completion `seed`.
    pub(crate) fn new(reply: &'a Reply, request: &Request, seed: u64) -> Self {
        let call_id = format!("call_{seed:016x}");
        match reply {
            Reply::Call(_) => Self { reply, text: "", reason: "tool_calls", call_id },
            Reply::Say(text) => {
                let kept = cut(text, request.tokens_max);
                Self { reply, text: kept, reason: if kept.len() < text.len() { "length" } else { "stop" }, call_id }
            }
        }
    }

    fn message(&self) -> Value {
        match self.reply {
            Reply::Say(_) => json!({ "role": "assistant", "content": self.text, "refusal": null }),
            Reply::Call(call) => json!({
                "role": "assistant",
                "content": null,
                "refusal": null,
                "tool_calls": [{
                    "id": self.call_id,
                    "type": "function",
                    "function": { "name": call.name, "arguments": call.arguments },
                }],
            }),
        }
    }

    /// The deltas of a stream, in order.
    fn deltas(&self) -> Vec<Value> {
        match self.reply {
            Reply::Say(_) => {
                let first = json!({ "role": "assistant", "content": "", "refusal": null });
                let words = self.text.split_inclusive(' ').map(|word| json!({ "content": word }));
                std::iter::once(first).chain(words).collect()
            }
            Reply::Call(call) => {
                let head = json!({
                    "index": 0, "id": self.call_id, "type": "function",
                    "function": { "name": call.name, "arguments": "" },
                });
                let first = json!({ "role": "assistant", "content": null, "tool_calls": [head] });
                let characters: Vec<char> = call.arguments.chars().collect();
                let rest = characters.chunks(ARGUMENT_CHUNK_CHARS).map(|piece| {
                    json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece.iter().collect::<String>() } }] })
                });
                std::iter::once(first).chain(rest).collect()
            }
        }
    }

    fn tokens(&self) -> u64 {
        match self.reply {
            Reply::Say(_) => tokens(self.text),
            Reply::Call(call) => tokens(&call.arguments) + tokens(&call.name),
        }
    }
}

impl Envelope {
    pub(crate) fn new(request: &Request, choices: &[Finished<'_>], seed: u64, created: u64) -> Self {
        let completion: u64 = choices.iter().map(Finished::tokens).sum();
        let usage = json!({
            "prompt_tokens": request.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": request.prompt_tokens + completion,
        });
        Self { id: format!("chatcmpl-{seed:016x}"), created, usage }
    }

    /// The completion as one object.
    pub(crate) fn whole(&self, choices: &[Finished<'_>]) -> Value {
        let choices: Vec<Value> = (0..)
            .zip(choices)
            .map(|(index, choice): (u64, _)| {
                json!({ "index": index, "message": choice.message(), "logprobs": null, "finish_reason": choice.reason })
            })
            .collect();
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": MODEL,
            "choices": choices, "usage": self.usage,
        })
    }

    /// The completion as chunks; the choices take turns, as they do where several are sampled at once.
    pub(crate) fn chunks(&self, choices: &[Finished<'_>], with_usage: bool) -> Vec<Value> {
        let deltas: Vec<Vec<Value>> = choices.iter().map(Finished::deltas).collect();
        let rounds = deltas.iter().map(Vec::len).max().unwrap_or(0);
        let mut out = Vec::new();
        for round in 0..rounds {
            for (index, choice) in deltas.iter().enumerate() {
                if let Some(delta) = choice.get(round) {
                    out.push(
                        self.chunk(
                            json!([{ "index": index, "delta": delta, "logprobs": null, "finish_reason": null }]),
                        ),
                    );
                }
            }
        }
        for (index, choice) in choices.iter().enumerate() {
            out.push(
                self.chunk(json!([{ "index": index, "delta": {}, "logprobs": null, "finish_reason": choice.reason }])),
            );
        }
        if with_usage {
            let mut last = self.chunk(json!([]));
            last["usage"] = self.usage.clone();
            out.push(last);
        }
        out
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": MODEL,
            "choices": choices,
        })
    }
}

/// The first `tokens_max` tokens of a text.
fn cut(text: &str, tokens_max: Option<u64>) -> &str {
    let chars_max = tokens_max.and_then(|tokens| usize::try_from(tokens.saturating_mul(4)).ok());
    match chars_max.and_then(|max| text.char_indices().nth(max)) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_on_a_character() {
        assert_eq!(cut("صباح الخير", Some(1)), "صباح"[..8].to_owned());
        assert_eq!(cut("short", Some(100)), "short");
        assert_eq!(cut("short", None), "short");
        assert_eq!(cut("short", Some(u64::MAX)), "short");
        assert_eq!(cut("short", Some(0)), "");
    }
}
