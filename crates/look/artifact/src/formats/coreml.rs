//! Core ML (`Model.proto` of <https://github.com/apple/coremltools>): a model, or a pipeline of them, in Protocol Buffers.
//!
//! The engine runs it natively; what an attacker has is layers and models that the application's own classes
//! implement, models linked by path, weights at a path, and a serialised model in a form of its own.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::read::protobuf::{Field, Message, Wire, fields};
use crate::read::text::shown;
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;

use super::onnx::{CUSTOM, MISSING, PATH, strays};
use super::safetensors::{free_text, metadata_face};

const TEXT_BYTES_MAX: usize = 1 << 20;
/// Layers and operations of one model that wait to be read.
const OPEN_MAX: usize = 4_000_000;

static OPAQUE: Face = Face::new(
    "artifact.coreml-serialised-model",
    Severity::Medium,
    Verdict::Review,
    "Model in a form of its own",
    "The file wraps a serialised model that only the program which wrote it can read.",
    "Ask which program wrote it, and have the model exported as layers.",
    refs!["CWE-1104"],
);

/// The format.
pub(crate) struct CoreMl;

/// All kinds, as `Model.proto` numbers them.
const KINDS: &[u32] = &[
    200, 201, 202, 300, 301, 302, 303, 304, 400, 401, 402, 403, 404, 500, 501, 502, 555, 556, 560, 600, 601, 602, 603,
    604, 606, 607, 609, 610, 900, 2000, 2001, 2002, 2003, 2004, 2005, 2006, 3000,
];
const NETWORKS: [u32; 3] = [303, 403, 500];

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Model,
    Pipeline,
    /// A pipeline with a field for its kind around it.
    PipelineOf,
    Network,
    Layer,
    Program,
    /// An entry of a map from name to function.
    FunctionEntry,
    Function,
    BlockEntry,
    Block,
    Operation,
    /// An entry of a map from name to value.
    ValueEntry,
    Value,
    /// An argument: a list of bindings, each a name or a value.
    ArgumentEntry,
    Argument,
    Binding,
    Description,
    Linked,
}

impl Format for CoreMl {
    fn name(&self) -> &'static str {
        "coreml"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![&OPAQUE, &CUSTOM, &MISSING, &PATH, metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        // The version of the specification comes first; there have been fewer than twenty.
        if !matches!(part.head[..], [0x08, 1..=40, ..]) {
            return Claim::No;
        }
        let mut message = Message::new(&part.source);
        let (mut described, mut kind) = (false, false);
        loop {
            match message.next() {
                Ok(Some(Field { number: 1 | 10, value: Wire::Number(_), .. })) => {}
                Ok(Some(Field { number: 2, value: Wire::Bytes(_), .. })) => described = true,
                Ok(Some(Field { number, value: Wire::Bytes(_), .. })) if KINDS.contains(&number) => kind = true,
                // A whole model came before: a loader that stops there is enough.
                Ok(None) | Err(_) if described && kind => return Claim::Yes,
                _ => return Claim::No,
            }
        }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut open = vec![(What::Model, part.source.clone())];
        while let Some((what, source)) = open.pop() {
            if open.len() > OPEN_MAX {
                return Err(Unread::Limit(crate::Limit::Within("layers of a Core ML model")));
            }
            let mut message = Message::new(&source);
            while let Some(field) = message.next()? {
                context.budget().steps(1)?;
                if let Some(bytes) = field.bytes()
                    && let Some(inner) = inside(what, field.number)
                {
                    open.push((inner, bytes.clone()));
                } else {
                    look(what, &field, context)?;
                }
            }
        }
        Ok(())
    }
}

/// What a field of a message is, when it is a message that is read.
fn inside(what: What, number: u32) -> Option<What> {
    Some(match (what, number) {
        (What::Model, 2) => What::Description,
        (What::Model, 200 | 201) => What::PipelineOf,
        (What::Model, 202) | (What::PipelineOf, 1) => What::Pipeline,
        (What::Model, number) if NETWORKS.contains(&number) => What::Network,
        (What::Model, 502) => What::Program,
        (What::Model, 556) => What::Linked,
        (What::Pipeline, 1) => What::Model,
        (What::Network, 1) => What::Layer,
        (What::Program, 2) => What::FunctionEntry,
        (What::FunctionEntry, 2) => What::Function,
        (What::Function, 3) => What::BlockEntry,
        (What::BlockEntry, 2) | (What::Operation, 4) => What::Block,
        (What::Block, 3) => What::Operation,
        (What::Operation, 2) => What::ArgumentEntry,
        (What::ArgumentEntry, 2) => What::Argument,
        (What::Argument, 1) => What::Binding,
        (What::Program | What::Function | What::Block, 4) | (What::Operation, 5) => What::ValueEntry,
        (What::ValueEntry | What::Binding, 2) => What::Value,
        _ => return None,
    })
}

fn look(what: What, field: &Field, context: &mut Context<'_>) -> Result<(), Unread> {
    let Some(bytes) = field.bytes() else { return Ok(()) };
    match (what, field.number) {
        (What::Model, 555) => {
            context.find(&CUSTOM, format!("a model of the application's class `{}`", class_name(bytes, 10)?));
        }
        // `custom` among the kinds of layers.
        (What::Layer, 500) => {
            context.find(&CUSTOM, format!("a layer of the application's class `{}`", class_name(bytes, 10)?));
        }
        (What::Operation, 1) if field.text(64)? == "custom_layer" => {
            context.find(&CUSTOM, "an operation `custom_layer`, which the application's own class implements");
        }
        (What::Model, 3000) => {
            for inner in fields(bytes, 16)? {
                if inner.number == 1 {
                    context.find(&OPAQUE, format!("`{}`", shown(&inner.text(200)?, 120)));
                }
                if let (2, Some(model)) = (inner.number, inner.bytes()) {
                    context.embed("serialised model", model.clone(), Kind::Any);
                }
            }
        }
        (What::Linked, 1 | 2) => {
            // Both wrap a default text.
            let name = class_name(bytes, 1)?;
            if let Some(why) = strays(&name) {
                context.find(&PATH, format!("linked model `{name}`: {why}"));
            } else if field.number == 1 {
                context.find(&MISSING, format!("linked model `{name}`"));
            }
        }
        // A blob: file and offset. The package's own folder is written so.
        (What::Value, 5) => {
            let name = class_name(bytes, 1)?;
            if let Some(why) = strays(name.strip_prefix("@model_path/").unwrap_or(&name)) {
                context.find(&PATH, format!("weights in `{name}`: {why}"));
            }
        }
        (What::Description, 100) => {
            for field in fields(bytes, 10_000)? {
                match (field.number, field.bytes()) {
                    (1..=4, _) => free_text("description", &field.text(TEXT_BYTES_MAX)?, TextKind::Metadata, context),
                    (100, Some(entry)) => {
                        let pair = fields(entry, 8)?;
                        let text =
                            |number| pair.iter().find(|one| one.number == number).map(|one| one.text(TEXT_BYTES_MAX));
                        let (name, value) = (text(1).transpose()?, text(2).transpose()?);
                        free_text(&name.unwrap_or_default(), &value.unwrap_or_default(), TextKind::Metadata, context);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// A text field of a small message.
fn class_name(source: &Source, number: u32) -> Result<String, Unread> {
    let found = fields(source, 100_000)?.into_iter().find(|field| field.number == number);
    Ok(found.map(|field| field.text(256)).transpose()?.map(|name| shown(&name, 120)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::read::protobuf::write::{bytes, number, text};
    use crate::testing::{rules_of, scan, verdict_of};

    fn model(kind: u32, content: &[u8], metadata: &[u8]) -> Vec<u8> {
        [number(1, 5), bytes(2, &[bytes(1, &text(1, "x")), bytes(100, metadata)].concat()), bytes(kind, content)]
            .concat()
    }

    fn entry(name: &str, value: &[u8]) -> Vec<u8> {
        [text(1, name), bytes(2, value)].concat()
    }

    fn program(operation: &[u8]) -> Vec<u8> {
        let block = bytes(3, operation);
        let function = bytes(3, &entry("CoreML5", &block));
        model(502, &[number(1, 1), bytes(2, &entry("main", &function))].concat(), b"")
    }

    #[test]
    fn honest_models_are_clean() {
        let layer = bytes(1, &[text(1, "relu"), text(2, "x"), bytes(130, b"")].concat());
        let honest = model(500, &layer, &[text(1, "a network"), bytes(100, &entry("k", b"v"))].concat());
        let scanned = scan(honest.clone());
        assert_eq!((scanned.format, scanned.verdict()), ("coreml", Verdict::Clean), "{:?}", scanned.findings);
        assert_eq!(verdict_of(program(&text(1, "relu"))), Verdict::Clean);
        assert_ne!(verdict_of(honest[..honest.len() - 3].to_vec()), Verdict::Clean);
    }

    #[test]
    fn what_the_application_brings_is_named() {
        let custom = "artifact.custom-operator";
        let layer = bytes(1, &[text(1, "c"), bytes(500, &text(10, "Evil"))].concat());
        let inner = bytes(1, &model(555, &text(10, "Evil"), b""));
        let blob = |path: &str| {
            let value = bytes(5, &[text(1, path), number(2, 64)].concat());
            program(&[text(1, "const"), bytes(5, &entry("val", &value))].concat())
        };
        for (file, rule) in [
            (model(500, &layer, b""), custom),
            (model(555, &text(10, "Evil"), b""), custom),
            (model(202, &inner, b""), custom),
            (model(200, &bytes(1, &inner), b""), custom),
            (program(&text(1, "custom_layer")), custom),
            (
                model(3000, &[text(1, "other"), bytes(2, b"cos\nsystem\n(S'echo'\ntR.")].concat(), b""),
                "artifact.pickle-dangerous-call",
            ),
            (model(556, &bytes(1, &text(1, "../../etc/x")), b""), "artifact.external-path"),
            (model(556, &bytes(1, &text(1, "other.mlmodel")), b""), "artifact.external-missing"),
            (blob("/etc/passwd"), "artifact.external-path"),
            (model(500, b"", &text(1, "<script>alert(1)</script>")), "artifact.metadata-payload"),
        ] {
            let rules = rules_of(file);
            assert!(rules.contains(&rule.to_owned()), "{rule}: {rules:?}");
        }
        assert_eq!(verdict_of(blob("@model_path/weights/weight.bin")), Verdict::Clean);
    }
}
