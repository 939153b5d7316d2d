//! JSON: configurations, tokenizers, notebooks, models of trees. One document may be several of these, so
//! every shape that recognises it looks at it.
//!
//! Add a shape: one file here, one line in [`SHAPES`].

mod hub;
pub(super) mod install;
pub(super) mod keras;
mod notebook;
mod paddle;
mod skops;
pub(super) mod target;
mod tokenizer;
mod trees;

use std::sync::LazyLock;

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::Part;
use crate::read::json::{Documents, Json, begins_list, begins_object};
use crate::read::text::{self, shown};
use crate::refs;
use crate::unread::Unread;

use super::gguf::trailing_face;
use super::safetensors::{metadata_face, payload};

static DOUBLE: Face = Face::new(
    "artifact.json-double-key",
    Severity::Medium,
    Verdict::Review,
    "A key that stands twice",
    "Of two equal keys some readers take the first and some the last: a review may see another value than the \
     loader.",
    "Have the file written anew by its own program.",
    refs!["CWE-436", "CWE-1286"],
);

/// A kind of JSON document.
pub(super) trait Shape: Send + Sync {
    /// Name in reports: `notebook`.
    fn name(&self) -> &'static str;
    /// All rules that it may speak.
    fn rules(&self) -> Vec<&'static Face>;
    /// Whether the document is of this kind.
    fn claim(&self, value: &Json) -> bool;
    /// Looks.
    fn look(&self, value: &Json, part: &Part, context: &mut Context<'_>) -> Result<(), Unread>;
}

/// All shapes, most specific first.
pub(super) static SHAPES: &[&dyn Shape] = &[
    &notebook::Notebook,
    &tokenizer::Tokenizer,
    &trees::Trees,
    &paddle::Paddle,
    &skops::Skops,
    &hub::Hub,
    &keras::Keras,
    &target::Target,
    &install::Package,
];

/// The format.
pub(crate) struct JsonFormat;

impl Format for JsonFormat {
    fn name(&self) -> &'static str {
        "json"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: LazyLock<Vec<&'static Face>> = LazyLock::new(|| {
            let shapes = SHAPES.iter().flat_map(|shape| shape.rules());
            [&DOUBLE, trailing_face(), metadata_face()].into_iter().chain(shapes).collect()
        });
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        let begins = begins_object(&part.head) || begins_list(&part.head);
        if begins && text::is_text(&part.head) { Claim::Perhaps } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let budget = context.budget().clone();
        let mut documents = Documents::new(&part.source, &budget)?;
        let mut count = 0u64;
        let mut end = 0;
        loop {
            let next = match documents.next() {
                Ok(next) => next,
                // Behind a whole document: JSON Lines that break off, or something of another kind.
                Err(Unread::Malformed { .. } | Unread::Truncated { .. }) if count > 0 => {
                    context.find_at(
                        trailing_face(),
                        end,
                        format!("{} bytes behind the document", part.source.len() - end),
                    );
                    context.embed("trailing", part.source.from(end), crate::part::Kind::Any);
                    return Ok(());
                }
                Err(why) => return Err(why),
            };
            let Some(document) = next else { return Ok(()) };
            count += 1;
            end = document.end;
            if document.cut {
                return Err(Unread::Limit(crate::Limit::Within("values of one JSON document")));
            }
            if count == 1 {
                for name in document.doubles.iter().filter(|name| matters(name)) {
                    context.find(&DOUBLE, format!("`{}`", shown(name, 80)));
                }
                if matches!(document.value, Json::Map(_)) {
                    texts(&document.value, context);
                }
            }
            for shape in SHAPES.iter().filter(|shape| shape.claim(&document.value)) {
                if count == 1 {
                    context.name_it(shape.name());
                }
                shape.look(&document.value, part, context)?;
            }
        }
    }
}

/// Doubles in vocabularies are clumsy; in what decides how something is loaded they are not.
fn matters(name: &str) -> bool {
    matches!(
        name,
        "class_name"
            | "module"
            | "config"
            | "registered_name"
            | "auto_map"
            | "_target_"
            | "chat_template"
            | "function"
            | "source"
            | "cells"
            | "trust_remote_code"
            | "architectures"
            | "model_type"
            | "type"
    )
}

/// Strings that are programs, whoever evaluates them.
fn texts(value: &Json, context: &mut Context<'_>) {
    const MARKS: &[&str] = &[
        "__import__",
        "os.system",
        "subprocess",
        "eval(",
        "exec(",
        "popen",
        "<script",
        "javascript:",
        "curl ",
        "wget ",
        "/dev/tcp",
        "base64 -d",
        "powershell",
        "__globals__",
        "__subclasses__",
    ];
    let mut judged = 0;
    for (path, value) in value.walk() {
        let Json::Text(text) = value else { continue };
        // Templates, notebooks and code in documents have readers of their own.
        let elsewhere = ["chat_template", "cells[", "worksheets[", "vocab", "scripts.", "outputs"]
            .iter()
            .any(|part| path.contains(part));
        if elsewhere || text.len() > 100_000 || !MARKS.iter().any(|mark| text.contains(mark)) || judged > 200 {
            continue;
        }
        judged += 1;
        if let Some(why) = payload(text) {
            context.find(metadata_face(), format!("`{path}`: {why}")).explain(&shown(text, 600));
        }
    }
}
