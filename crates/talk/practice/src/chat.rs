//! A chat request as the teller reads it: leniently, because the guard in front was strict.

use serde_json::Value;

use crate::script::{Choice, Conversation, Speaker, Turn};
use crate::tools::Tool;

/// More choices than this are a load test, not a conversation.
const CHOICES_MAX: u64 = 16;

/// A chat request.
pub(crate) struct Request {
    pub(crate) conversation: Conversation,
    pub(crate) choices: u64,
    pub(crate) stream: bool,
    pub(crate) stream_usage: bool,
    pub(crate) tokens_max: Option<u64>,
    /// How many tokens the messages have, for the bill.
    pub(crate) prompt_tokens: u64,
}

impl Request {
    /// Reads a request; the error is a sentence for the caller and the field it is about.
    pub(crate) fn parse(body: &Value) -> Result<Self, (&'static str, &'static str)> {
        let messages = body["messages"].as_array().filter(|list| !list.is_empty());
        let messages = messages.ok_or(("`messages` must be a list of at least one message", "messages"))?;
        let turns = messages.iter().map(turn).collect::<Option<Vec<Turn>>>();
        let turns = turns.ok_or(("a message needs a `role` that the protocol knows", "messages"))?;
        let choices = body["n"].as_u64().unwrap_or(1);
        if !(1..=CHOICES_MAX).contains(&choices) {
            return Err(("`n` must be between 1 and 16", "n"));
        }
        let prompt_tokens = turns.iter().map(|turn| 4 + tokens(&turn.text)).sum();
        Ok(Self {
            conversation: Conversation { turns, tools: tools(body), choice: choice(body) },
            choices,
            stream: body["stream"].as_bool().unwrap_or(false),
            stream_usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
            tokens_max: body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64()),
            prompt_tokens,
        })
    }
}

fn turn(message: &Value) -> Option<Turn> {
    let speaker = match message["role"].as_str()? {
        "system" | "developer" => Speaker::Instructions,
        "user" => Speaker::User,
        "assistant" => Speaker::Assistant,
        "tool" | "function" => Speaker::Tool,
        _ => return None,
    };
    Some(Turn { speaker, text: text(&message["content"]) })
}

/// A message's text: a string, or the text parts of a list.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

fn tools(body: &Value) -> Vec<Tool> {
    let functions = body["tools"].as_array().into_iter().flatten().map(|tool| &tool["function"]);
    functions
        .filter_map(|function| {
            Some(Tool {
                name: function["name"].as_str()?.to_owned(),
                description: function["description"].as_str().unwrap_or_default().to_owned(),
                parameters: function["parameters"].clone(),
            })
        })
        .collect()
}

fn choice(body: &Value) -> Choice {
    match &body["tool_choice"] {
        Value::String(word) if word == "none" => Choice::Never,
        Value::String(word) if word == "required" => Choice::Must,
        Value::Object(chosen) => match chosen.get("function").and_then(|function| function["name"].as_str()) {
            Some(name) => Choice::This(name.to_owned()),
            None => Choice::AsFits,
        },
        _ => Choice::AsFits,
    }
}

/// A count in the size of what real tokenisers count: a token for every four characters begun.
pub(crate) fn tokens(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn content_is_text_or_parts() {
        assert_eq!(text(&json!("a")), "a");
        assert_eq!(
            text(&json!([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}])),
            "a\nb"
        );
        assert_eq!(text(&Value::Null), "");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_field() {
        for (body, field) in [
            (json!({}), "messages"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": [{"role": "wizard"}]}), "messages"),
            (json!({"messages": [{"role": "user", "content": "a"}], "n": 0}), "n"),
            (json!({"messages": [{"role": "user", "content": "a"}], "n": 17}), "n"),
        ] {
            assert_eq!(Request::parse(&body).err().map(|(_, field)| field), Some(field), "{body}");
        }
    }
}
