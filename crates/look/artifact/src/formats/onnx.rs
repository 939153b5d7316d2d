//! ONNX (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>): a graph of operators in Protocol Buffers.
//!
//! The graph runs in a native engine; what an attacker has is paths of external data, operators that
//! bring their own library, functions that shadow standard operators, and fields that no reader shows.

mod walk;

use std::sync::Arc;

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Members, Part, TextKind};
use crate::read::protobuf::{Message, Wire};
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;

use self::walk::{Walk, What, embed_unknown, metadata};
use super::safetensors::free_text;

const TEXT_BYTES_MAX: usize = 1 << 20;
/// Graphs of the largest exported models have some 100,000 nodes.
const OPEN_MAX: usize = 4_000_000;

pub(super) static PATH: Face = Face::new(
    "artifact.external-path",
    Severity::High,
    Verdict::Blocked,
    "Weights at a path outside the model",
    "The file names data by an absolute path, a path that climbs out of its directory, or an address: loading it \
     reads a file of the machine that loads it, or fetches one.",
    "Reject the model; external data lies beside it under a plain name.",
    refs!["CWE-22", "CWE-73", "CVE-2024-27318", "MITRE-ATLAS:AML.T0011"],
);
pub(super) static MISSING: Face = Face::new(
    "artifact.external-missing",
    Severity::Low,
    Verdict::Review,
    "Weights that lie elsewhere",
    "Part of the model lies in another file that was not there to be scanned.",
    "Scan the model together with all its files.",
    refs!["CWE-1104"],
);
static SIZE: Face = Face::new(
    "artifact.external-range",
    Severity::Medium,
    Verdict::Blocked,
    "External data that does not fit its file",
    "The range that the model gives lies outside the file it names.",
    "Get the model from where it was exported.",
    refs!["CWE-125", "CWE-130"],
);
pub(super) static CUSTOM: Face = Face::new(
    "artifact.custom-operator",
    Severity::Medium,
    Verdict::Review,
    "Operator that brings its own library",
    "The graph uses an operator that no known engine has. It runs only with a native library that somebody \
     registers for it.",
    "Ask which library implements the operator, and vet that library as code.",
    refs!["CWE-829", "MITRE-ATLAS:AML.T0011.000"],
);
static PYTHON: Face = Face::new(
    "artifact.python-operator",
    Severity::Critical,
    Verdict::Blocked,
    "Operator that runs Python",
    "The graph calls back into the interpreter that loads it.",
    "Reject the model and have it exported without Python operators.",
    refs!["CWE-94", "MITRE-ATLAS:AML.T0011.000"],
);
static SHADOW: Face = Face::new(
    "artifact.onnx-shadowed-operator",
    Severity::High,
    Verdict::Review,
    "Function that replaces a standard operator",
    "A function in the file has the name and domain of a standard operator: what runs is not what the graph says.",
    "Have the model exported again, and compare.",
    refs!["CWE-1007", "MITRE-ATLAS:AML.T0018"],
);
static UNKNOWN: Face = Face::new(
    "artifact.unknown-field",
    Severity::Low,
    Verdict::Review,
    "Fields that the format does not have",
    "Readers skip what they do not know, so such a field can carry anything past a review.",
    "Ask what wrote it, or write the file anew.",
    refs!["CWE-912"],
);

/// The format.
pub(crate) struct Onnx;

/// Field numbers of a model, and the wire type that each has.
const MODEL: [(u32, u8); 12] =
    [(1, 0), (2, 2), (3, 2), (4, 2), (5, 0), (6, 2), (7, 2), (8, 2), (14, 2), (20, 2), (25, 2), (26, 2)];

const DOMAINS: &[&str] = &[
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
    "com.microsoft.nchwc",
    "com.microsoft.experimental",
    "com.microsoft.mlfeaturizers",
    "com.ms.internal.nhwc",
    "com.microsoft.dml",
    "org.pytorch.aten",
    "org.pytorch._caffe2",
    "ai.onnx.contrib",
    "org.openvinotoolkit",
    "onnx.brevitas",
    "qonnx.custom_op.general",
];

impl Format for Onnx {
    fn name(&self) -> &'static str {
        "onnx"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&PATH, &MISSING, &SIZE, &CUSTOM, &PYTHON, &SHADOW, &UNKNOWN];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        // Cheap first: the tag of one of a model's fields.
        let first = part.head.first().copied().unwrap_or(0);
        if !MODEL
            .iter()
            .any(|(number, kind)| (number << 3 | u32::from(*kind)) & 0xff == u32::from(first) || *number > 15)
        {
            return Claim::No;
        }
        let (outline, whole) = prefix(&part.source);
        let known = outline.iter().all(|field| MODEL.contains(field));
        let has = |number: u32| outline.iter().any(|(found, _)| *found == number);
        // Readers skip fields that they do not know: a message that reads to its end may have some. One that breaks
        // off, or goes on as something else, must begin as every writer begins.
        let likely = match (whole, known) {
            (true, true) => has(7) && (has(8) || has(1)),
            (true, false) => has(7) && has(8) && has(1),
            (false, _) => known && outline.first() == Some(&(1, 0)) && has(7) && has(8),
        };
        if likely { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut walk = Walk::default();
        let mut message = Message::new(&part.source);
        while let Some(field) = message.next()? {
            context.budget().steps(1)?;
            match field.number {
                2..=4 => {}
                6 => free_text("doc_string", &field.text(TEXT_BYTES_MAX)?, TextKind::Metadata, context),
                7 => walk.push(What::Graph, &field),
                14 => metadata(&field, context)?,
                20 => walk.push(What::Training, &field),
                25 => walk.push(What::Function, &field),
                1 | 5 | 8 | 26 => {}
                other => {
                    context.find_at(&UNKNOWN, field.offset, format!("field {other} of the model"));
                    embed_unknown(&field, context);
                }
            }
        }
        walk.run(context)?;
        walk.judge(part, context)
    }
}

/// Numbers and kinds of the fields, and whether the message was read to its end; of a file that breaks off, those before.
fn prefix(source: &Source) -> (Vec<(u32, u8)>, bool) {
    let mut message = Message::new(source);
    let mut out = Vec::new();
    while out.len() < 4096 {
        match message.next() {
            Ok(Some(field)) => {
                let kind = match field.value {
                    Wire::Number(_) => 0,
                    Wire::Eight => 1,
                    Wire::Bytes(_) => 2,
                    Wire::Four => 5,
                };
                out.push((field.number, kind));
            }
            Ok(None) => return (out, true),
            Err(_) => return (out, false),
        }
    }
    (out, true)
}

/// The file of that name beside a part.
pub(super) fn beside(part: &Part, location: &str) -> Option<Source> {
    let members: &Arc<dyn Members> = part.members.as_ref()?;
    let name = part.name.as_deref()?;
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let location = location.strip_prefix("./").unwrap_or(location);
    let path = if folder.is_empty() { location.to_owned() } else { format!("{folder}/{location}") };
    members.open(&path).ok()
}

/// Why a path leads out of the model's directory.
#[must_use]
pub(super) fn strays(path: &str) -> Option<&'static str> {
    let plain = path.replace('\\', "/");
    if plain.contains("://") || plain.starts_with("data:") {
        return Some("an address");
    }
    if plain.starts_with('/') || plain.starts_with('~') || plain.get(1..2) == Some(":") {
        return Some("an absolute path");
    }
    if plain.split('/').any(|step| step == "..") {
        return Some("a path that climbs out of its directory");
    }
    if plain.contains('\0') {
        return Some("a path with a NUL in it");
    }
    if plain.starts_with('$') || plain.starts_with('%') {
        return Some("a path that the environment completes");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::protobuf::write::{bytes, number, text};
    use crate::testing::{rules_of, scan_folder, verdict_of};

    fn node(op: &str, domain: &str) -> Vec<u8> {
        bytes(1, &[text(1, "x"), text(2, "y"), text(4, op), text(7, domain)].concat())
    }

    fn tensor(location: &str) -> Vec<u8> {
        let entry = |key: &str, value: &str| bytes(13, &[text(1, key), text(2, value)].concat());
        bytes(
            5,
            &[
                number(1, 4),
                number(2, 1),
                text(8, "w"),
                entry("location", location),
                entry("length", "16"),
                number(14, 1),
            ]
            .concat(),
        )
    }

    fn model(graph: &[u8], more: &[u8]) -> Vec<u8> {
        [number(1, 8), text(2, "pytorch"), bytes(7, graph), bytes(8, &number(2, 17)), more.to_vec()].concat()
    }

    #[test]
    fn honest_models_are_clean() {
        let graph = [node("MatMul", ""), node("Gelu", "com.microsoft"), text(2, "g")].concat();
        let note = bytes(14, &[text(1, "author"), text(2, "risk team")].concat());
        assert_eq!(verdict_of(model(&graph, &note)), Verdict::Clean);
        let function = bytes(25, &[text(1, "Block"), text(10, "pkg.mine"), bytes(7, &text(4, "Add"))].concat());
        assert_eq!(verdict_of(model(&node("Block", "pkg.mine"), &function)), Verdict::Clean);
        let whole = model(&tensor("w.bin"), b"");
        assert_eq!(scan_folder(&[("a/model.onnx", &whole), ("a/w.bin", &[0; 16])]).verdict(), Verdict::Clean);
    }

    #[test]
    fn hostile_models_are_found() {
        for (graph, more, rule) in [
            (tensor("../../etc/passwd"), vec![], "artifact.external-path"),
            (tensor("/etc/passwd"), vec![], "artifact.external-path"),
            (tensor("..\\..\\x"), vec![], "artifact.external-path"),
            (tensor("https://a.example/w"), vec![], "artifact.external-path"),
            (tensor("w.bin"), vec![], "artifact.external-missing"),
            (node("Evil", "com.attacker"), vec![], "artifact.custom-operator"),
            (node("PyOp", "ai.onnx.contrib"), vec![], "artifact.python-operator"),
            (node("Add", ""), bytes(25, &[text(1, "Add"), text(10, "")].concat()), "artifact.onnx-shadowed-operator"),
            (
                node("Add", ""),
                bytes(14, &[text(1, "k"), text(2, "__import__('os').system('id')")].concat()),
                "artifact.metadata-payload",
            ),
        ] {
            assert!(
                rules_of(model(&graph, &more)).contains(&rule.to_owned()),
                "{rule}: {:?}",
                rules_of(model(&graph, &more))
            );
        }
        // An operator hidden in a branch of a branch.
        let inner = bytes(
            1,
            &[text(4, "If"), bytes(5, &[text(1, "then_branch"), bytes(6, &node("Evil", "com.attacker"))].concat())]
                .concat(),
        );
        let outer = bytes(1, &[text(4, "If"), bytes(5, &[text(1, "then_branch"), bytes(6, &inner)].concat())].concat());
        assert!(rules_of(model(&outer, b"")).contains(&"artifact.custom-operator".to_owned()));
        let short = model(&tensor("w.bin"), b"");
        assert_eq!(scan_folder(&[("model.onnx", &short), ("w.bin", &[0; 8])]).verdict(), Verdict::Blocked);
        assert_eq!(verdict_of([model(&node("Add", ""), b""), vec![0, 0, 7]].concat()), Verdict::Incomplete);
    }
}
