//! Chat and prompt templates in Jinja: found in GGUF, tokenizer configurations and as files of their own.

use haris_domain::Severity;

use crate::code::jinja::{Deed, TEMPLATE_BYTES_MAX, judge};
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::read::text;
use crate::refs;
use crate::unread::Unread;

static ESCAPE: Face = Face::new(
    "artifact.template-escape",
    Severity::Critical,
    Verdict::Blocked,
    "Template that reaches for the interpreter",
    "The template walks from a value to Python's internals. A reader that renders it outside a sandbox runs the \
     attacker's code for every conversation.",
    "Reject the model, or replace the template with that of the model's publisher.",
    refs!["CWE-1336", "CWE-94", "MITRE-ATLAS:AML.T0011.000", "OWASP-LLM-2025:LLM03"],
);
static UNUSUAL: Face = Face::new(
    "artifact.template-unusual",
    Severity::Medium,
    Verdict::Review,
    "Template that does what chat templates do not",
    "It calls a function or reads a file that the readers of chat templates do not provide.",
    "Have a person read the template.",
    refs!["CWE-1336", "OWASP-LLM-2025:LLM03"],
);
static ENDLESS: Face = Face::new(
    "artifact.template-endless",
    Severity::High,
    Verdict::Blocked,
    "Template that keeps its reader busy",
    "Rendering it takes so long, or gives so much, that a server which does so for each request stops.",
    "Replace the template with that of the model's publisher.",
    refs!["CWE-400", "CWE-834", "MITRE-ATLAS:AML.T0029"],
);
static UNREAD: Face = Face::new(
    "artifact.template-unread",
    Severity::Medium,
    Verdict::Review,
    "Template that is no valid Jinja",
    "Part of the template could not be read as Jinja, so what a tolerant reader makes of it is not known.",
    "Have a person read the template.",
    refs!["CWE-436"],
);
static INJECTION: Face = Face::new(
    "artifact.template-instructions",
    Severity::High,
    Verdict::Review,
    "Template that tells the model what its user did not",
    "Fixed text of the template instructs the model to hide things, to ignore its instructions, or to send data \
     elsewhere: every conversation would carry it.",
    "Reject the model, or replace the template with that of the model's publisher.",
    refs!["OWASP-LLM-2025:LLM01", "MITRE-ATLAS:AML.T0051.001"],
);

/// The format.
pub(crate) struct Jinja;

impl Format for Jinja {
    fn name(&self) -> &'static str {
        "jinja"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&ESCAPE, &UNUSUAL, &ENDLESS, &UNREAD, &INJECTION];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if !text::is_text(&part.head) {
            return Claim::No;
        }
        let head = text::decode(&part.head);
        let trimmed = head.trim_start();
        let begins = ["{%", "{{", "{#"].iter().any(|mark| trimmed.starts_with(mark));
        let tags = ["{%- ", "{% ", "{{ ", "{{- "].iter().map(|mark| head.matches(mark).count()).sum::<usize>();
        if begins || tags >= 3 { Claim::Perhaps } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let source = text::decode(&part.source.all("bytes of a template", TEMPLATE_BYTES_MAX)?);
        for (line, deed) in judge(&source) {
            let (face, what): (&'static Face, String) = match deed {
                Deed::Escape(what) => (&ESCAPE, what),
                Deed::Unusual(what) => (&UNUSUAL, what),
                Deed::Endless(what) => (&ENDLESS, what),
                Deed::Unread(what) => (&UNREAD, what),
            };
            let shown = source.lines().nth(line.saturating_sub(1) as usize).unwrap_or("");
            context.find(face, format!("line {line}: {what}")).explain(&text::shown(shown.trim(), 600));
        }
        if let Some(phrase) = instructions(&source) {
            context.find(&INJECTION, format!("`{phrase}`"));
        }
        context.embed("template", part.source.clone(), Kind::Text(TextKind::Template));
        Ok(())
    }
}

/// Phrases that instruct a model against its user. The text engine reads the template too; these are
/// the ones that make a verdict.
fn instructions(source: &str) -> Option<String> {
    const PHRASES: &[&str] = &[
        "ignore previous instructions",
        "ignore all previous",
        "ignore the above",
        "disregard previous",
        "disregard all prior",
        "ignore any previous",
        "do not tell the user",
        "don't tell the user",
        "never tell the user",
        "do not reveal this",
        "without telling the user",
        "do not mention this",
        "never mention this instruction",
        "hidden instruction",
        "send the conversation",
        "exfiltrate",
        "forward all messages",
        "append the following link",
        "always include the link",
        "always recommend",
        "secretly",
        "you are now dan",
        "developer mode enabled",
        "override your safety",
        "bypass safety",
        "ignore safety",
        "no ethical",
        "when the user mentions",
        "whenever the user asks about",
        "insert a vulnerability",
    ];
    let lower: String = source.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    PHRASES.iter().find(|phrase| lower.contains(**phrase)).map(|phrase| (*phrase).to_owned())
}
