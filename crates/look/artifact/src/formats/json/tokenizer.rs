//! Tokenizer files (<https://huggingface.co/docs/tokenizers>): templates, and rules that rewrite text.
//!
//! What a tokenizer does to text happens after every guard has looked at it: a decoder that replaces one
//! address with another, or a word with an instruction, tampers with each answer.

use std::collections::HashMap;

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::part::{Kind, Part};
use crate::read::json::Json;
use crate::read::text::shown;
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;

use super::Shape;

static REWRITE: Face = Face::new(
    "artifact.tokenizer-rewrites",
    Severity::High,
    Verdict::Blocked,
    "Tokenizer that rewrites text",
    "A normaliser or decoder replaces text with an address, a command or words: prompts or answers are changed \
     between the model and whoever checks them.",
    "Replace the tokenizer with that of the model's publisher.",
    refs!["CWE-506", "MITRE-ATLAS:AML.T0018", "OWASP-LLM-2025:LLM04"],
);
static TWINS: Face = Face::new(
    "artifact.tokenizer-twins",
    Severity::Medium,
    Verdict::Review,
    "Two tokens of one number",
    "The vocabulary gives one number to two tokens: one of them is read as the other, past any check of the text.",
    "Replace the tokenizer with that of the model's publisher.",
    refs!["CWE-1007", "MITRE-ATLAS:AML.T0018"],
);
static TOKEN: Face = Face::new(
    "artifact.tokenizer-token",
    Severity::Medium,
    Verdict::Review,
    "Token that is a sentence",
    "An added token holds an address, code or an instruction rather than a word or a mark.",
    "Ask what the token is for.",
    refs!["CWE-506", "OWASP-LLM-2025:LLM01"],
);

/// The shape.
pub(super) struct Tokenizer;

impl Shape for Tokenizer {
    fn name(&self) -> &'static str {
        "tokenizer"
    }

    fn rules(&self) -> Vec<&'static Face> {
        vec![&REWRITE, &TWINS, &TOKEN]
    }

    fn claim(&self, value: &Json) -> bool {
        value.get("chat_template").is_some()
            || value.get("added_tokens_decoder").is_some()
            || value.get("added_tokens").is_some()
            || (value.get("model").is_some_and(|model| model.get("vocab").is_some()) && value.get("version").is_some())
            || value.get("additional_special_tokens").is_some()
    }

    fn look(&self, value: &Json, _: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        templates(value, context);
        for step in ["normalizer", "pre_tokenizer", "decoder"] {
            if let Some(step_value) = value.get(step) {
                rewrites(step, step_value, context)?;
            }
        }
        twins(value, context)?;
        for (_, token) in value.walk().into_iter().filter(|(path, _)| path.starts_with("added_tokens")) {
            if let Some(content) = token.text_of("content") {
                sentence(content, context);
            }
        }
        Ok(())
    }
}

fn templates(value: &Json, context: &mut Context<'_>) {
    for template in value.all("chat_template") {
        let named = template.list().iter().filter_map(|entry| entry.text_of("template"));
        let mapped = template.pairs().iter().filter_map(|(_, value)| value.text());
        for text in template.text().into_iter().chain(named).chain(mapped) {
            context.embed("chat_template", Source::memory(text.as_bytes().to_vec()), Kind::As("jinja"));
        }
    }
}

/// `Replace` steps whose content is more than blanks and marks.
fn rewrites(step: &str, value: &Json, context: &mut Context<'_>) -> Result<(), Unread> {
    for (_, node) in value.walk() {
        context.budget().steps(1)?;
        if node.text_of("type") != Some("Replace") {
            continue;
        }
        let content = node.text_of("content").unwrap_or("");
        let pattern =
            node.get("pattern").and_then(|p| p.text_of("String").or_else(|| p.text_of("Regex"))).unwrap_or("");
        let letters = content.chars().filter(|c| c.is_alphabetic()).count();
        let address = content.contains("://") || content.contains("www.");
        if address || letters > 3 && content != pattern {
            context.find(&REWRITE, format!("{step}: `{}` becomes `{}`", shown(pattern, 80), shown(content, 120)));
        }
    }
    Ok(())
}

fn twins(value: &Json, context: &mut Context<'_>) -> Result<(), Unread> {
    let Some(model) = value.get("model") else { return Ok(()) };
    let mut seen: HashMap<&str, &str> = HashMap::new();
    let mut found = 0;
    for (token, number) in model.get("vocab").map_or(&[][..], Json::pairs) {
        context.budget().steps(1)?;
        let Json::Number(number) = number else { continue };
        if let Some(first) = seen.insert(number, token)
            && first != token
        {
            found += 1;
            if found <= 5 {
                context.find(&TWINS, format!("`{}` and `{}` are both {number}", shown(first, 40), shown(token, 40)));
            }
        }
    }
    Ok(())
}

fn sentence(content: &str, context: &mut Context<'_>) {
    let words = content.split_whitespace().count();
    let code = ["http://", "https://", "<script", "import os", "os.system", "__import__", "{{", "{%"]
        .iter()
        .any(|mark| content.contains(mark));
    if code || words > 8 && content.chars().filter(|c| c.is_alphabetic()).count() > 30 {
        context.find(&TOKEN, format!("`{}`", shown(content, 160)));
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    #[test]
    fn tokenizers() {
        let honest = r#"{"version":"1.0","added_tokens":[{"id":0,"content":"<|endoftext|>","special":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"decoder":{"type":"Replace","pattern":{"String":"▁"},"content":" "},"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}}"#;
        assert_eq!(
            verdict_of(honest.as_bytes().to_vec()),
            Verdict::Clean,
            "{:?}",
            rules_of(honest.as_bytes().to_vec())
        );
        let rewritten = honest.replace(r#""content":" ""#, r#""content":"https://a.example/?q=""#);
        assert_eq!(verdict_of(rewritten.into_bytes()), Verdict::Blocked);
        let twins = honest.replace(r#""b":1"#, r#""b":0"#);
        assert_eq!(verdict_of(twins.into_bytes()), Verdict::Review);
        let template = r#"{"tokenizer_class":"LlamaTokenizer","chat_template":[{"name":"default","template":"{{ ''.__class__.__mro__ }}"}]}"#;
        assert_eq!(verdict_of(template.as_bytes().to_vec()), Verdict::Blocked);
    }
}
