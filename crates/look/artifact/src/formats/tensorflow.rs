//! TensorFlow graphs: SavedModel, MetaGraphDef, GraphDef (binary and text) and Keras' metadata beside them.
//!
//! A TensorFlow graph is a program: <https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md> says
//! so. What matters is which operators it runs; `rules/tensorflow-operators.toml` says which reach
//! files, processes or other machines, and which exist at all.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part};
use crate::read::protobuf::{Field, Message, Wire};
use crate::read::text::{self, shown};
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;

use super::onnx::CUSTOM;

const OPEN_MAX: usize = 4_000_000;

static DANGEROUS: Face = Face::new(
    "artifact.tensorflow-operator",
    Severity::Critical,
    Verdict::Blocked,
    "Graph that reaches files, processes or the network",
    "An operator of the graph reads or writes files by name, calls Python, or talks to another machine. It does so \
     whenever the model is used.",
    "Reject the model, and have it exported without the operator.",
    refs!["CWE-94", "CWE-73", "MITRE-ATLAS:AML.T0011.000"],
);
static DOUBTFUL: Face = Face::new(
    "artifact.tensorflow-input-operator",
    Severity::Medium,
    Verdict::Review,
    "Graph with an input pipeline or a remote call",
    "An operator of the graph opens data sets or runs elsewhere, which a model for inference does not need.",
    "Have a person look at what the operator is given.",
    refs!["CWE-73", "MITRE-ATLAS:AML.T0011.000"],
);

/// The tables of operators.
pub(super) struct Operators {
    dangerous: HashSet<String>,
    doubtful: HashSet<String>,
    known: HashSet<String>,
}

static OPERATORS: LazyLock<Operators> = LazyLock::new(|| {
    let text = include_str!("../../../../../rules/tensorflow-operators.toml");
    let mut table: BTreeMap<String, Vec<String>> =
        toml::from_str(text).expect("the table is part of the program, and a test reads it");
    let mut take = |key: &str| table.remove(key).unwrap_or_default().into_iter().collect();
    Operators { dangerous: take("dangerous"), doubtful: take("doubtful"), known: take("known") }
});

/// What using an operator means; nothing for the harmless ones.
pub(super) fn judge_operator(name: &str) -> Option<&'static Face> {
    let operators = &*OPERATORS;
    if operators.dangerous.contains(name) {
        return Some(&DANGEROUS);
    }
    if operators.doubtful.contains(name) {
        return Some(&DOUBTFUL);
    }
    (!operators.known.contains(name)).then_some(&CUSTOM)
}

/// The format.
pub(crate) struct TensorFlow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    SavedModel,
    MetaGraph,
    Graph,
    Library,
    Function,
    KerasMetadata,
}

impl Format for TensorFlow {
    fn name(&self) -> &'static str {
        "tensorflow-graph"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&DANGEROUS, &DOUBTFUL, &CUSTOM];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if shape(part).is_some() || is_text_graph(&part.head) { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let Some(what) = shape(part) else { return text_graph(part, context) };
        let mut found: BTreeMap<String, (usize, String)> = BTreeMap::new();
        if what == What::SavedModel {
            context.name_it("savedmodel");
        }
        let mut open = vec![(what, part.source.clone())];
        while let Some((what, source)) = open.pop() {
            if open.len() > OPEN_MAX {
                return Err(Unread::Limit(crate::Limit::Within("nodes of a graph")));
            }
            let mut message = Message::new(&source);
            while let Some(field) = message.next()? {
                context.budget().steps(1)?;
                let inner = match (what, field.number) {
                    (What::SavedModel, 2) => Some(What::MetaGraph),
                    (What::MetaGraph, 2) => Some(What::Graph),
                    (What::Graph, 2) => Some(What::Library),
                    (What::Library, 1) => Some(What::Function),
                    (What::Graph, 1) | (What::Function, 3) => {
                        node(&field, &mut found)?;
                        None
                    }
                    (What::KerasMetadata, 1) => {
                        keras(&field, context)?;
                        None
                    }
                    (What::MetaGraph, 7) => {
                        object_graph(&field, context)?;
                        None
                    }
                    _ => None,
                };
                if let (Some(inner), Some(bytes)) = (inner, field.bytes()) {
                    open.push((inner, bytes.clone()));
                }
            }
        }
        report(&found, context);
        Ok(())
    }
}

fn report(found: &BTreeMap<String, (usize, String)>, context: &mut Context<'_>) {
    for (op, (count, node)) in found {
        if let Some(face) = judge_operator(op) {
            let times = if *count > 1 { format!(", {count} times") } else { String::new() };
            context.find(face, format!("`{}` at node `{}`{times}", shown(op, 80), shown(node, 80)));
        }
    }
}

fn node(field: &Field, found: &mut BTreeMap<String, (usize, String)>) -> Result<(), Unread> {
    let Some(bytes) = field.bytes() else { return Ok(()) };
    let (mut name, mut op) = (String::new(), String::new());
    let mut message = Message::new(bytes);
    while let Some(field) = message.next()? {
        match field.number {
            1 => name = field.text(256)?,
            2 => op = field.text(256)?,
            _ => {}
        }
    }
    if found.len() < 20_000 {
        found.entry(op).or_insert((0, name)).0 += 1;
    }
    Ok(())
}

/// Keras writes each layer's configuration as JSON beside the graph, lambdas included.
fn keras(field: &Field, context: &mut Context<'_>) -> Result<(), Unread> {
    let Some(bytes) = field.bytes() else { return Ok(()) };
    let mut message = Message::new(bytes);
    while let Some(field) = message.next()? {
        if let (5, Some(json)) = (field.number, field.bytes()) {
            context.embed("keras-metadata", json.clone(), Kind::As("json"));
        }
    }
    Ok(())
}

/// Saved objects name the class that brings them back, and older ones carry Keras' JSON.
fn object_graph(field: &Field, context: &mut Context<'_>) -> Result<(), Unread> {
    let Some(bytes) = field.bytes() else { return Ok(()) };
    let mut message = Message::new(bytes);
    while let Some(object) = message.next()? {
        context.budget().steps(1)?;
        let (1, Some(object)) = (object.number, object.bytes()) else { continue };
        let mut object = Message::new(object);
        while let Some(kind) = object.next()? {
            // SavedUserObject: identifier 1, version 2, metadata 3.
            let (4, Some(user)) = (kind.number, kind.bytes()) else { continue };
            let mut user = Message::new(user);
            while let Some(field) = user.next()? {
                if let (3, Some(json)) = (field.number, field.bytes())
                    && json.len() > 2
                {
                    context.embed("object-metadata", json.clone(), Kind::As("json"));
                }
            }
        }
    }
    Ok(())
}

/// Which message the bytes are, by the shape of their first fields.
fn shape(part: &Part) -> Option<What> {
    let first = part.head.first().copied()?;
    if !matches!(first, 0x08 | 0x0a | 0x12 | 0x1a | 0x22) {
        return None;
    }
    let mut message = Message::new(&part.source);
    let mut seen: Vec<(u32, Wire)> = Vec::new();
    while seen.len() < 8 {
        match message.next() {
            Ok(Some(field)) => seen.push((field.number, field.value)),
            Ok(None) => break,
            Err(_) if seen.is_empty() => return None,
            Err(_) => break,
        }
    }
    let inner = |number: u32| {
        seen.iter().find_map(|(found, value)| match value {
            Wire::Bytes(source) if *found == number => Some(source.clone()),
            _ => None,
        })
    };
    let version = seen.iter().find_map(|(number, value)| match value {
        Wire::Number(value) if *number == 1 => Some(*value),
        _ => None,
    });
    if version.is_some_and(|version| version < 100) && inner(2).is_some_and(|meta| is_meta_graph(&meta)) {
        return Some(What::SavedModel);
    }
    if version.is_none() && inner(2).is_some() && is_meta_graph(&part.source) {
        return Some(What::MetaGraph);
    }
    if let Some(first) = inner(1) {
        if is_node(&first) {
            return Some(What::Graph);
        }
        if is_keras_object(&first) {
            return Some(What::KerasMetadata);
        }
    }
    // A graph of functions alone.
    inner(2)
        .and_then(|library| first_bytes(&library, 1))
        .and_then(|function| first_bytes(&function, 3))
        .filter(is_node)
        .map(|_| What::Graph)
}

fn first_bytes(source: &Source, number: u32) -> Option<Source> {
    let mut message = Message::new(source);
    for _ in 0..64 {
        let field = message.next().ok()??;
        if field.number == number {
            return field.bytes().cloned();
        }
    }
    None
}

fn is_node(source: &Source) -> bool {
    let text = |number: u32| {
        let bytes = first_bytes(source, number)?;
        let text = String::from_utf8(bytes.head(256).ok()?).ok()?;
        (bytes.len() < 256).then_some(text)
    };
    let (Some(name), Some(op)) = (text(1), text(2)) else { return false };
    !name.is_empty()
        && op.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && op.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '>' | '.' | ':'))
}

fn is_meta_graph(source: &Source) -> bool {
    // Its meta information names the version of TensorFlow, its graph begins with a node or a library.
    let graph = first_bytes(source, 2);
    let node = graph.as_ref().and_then(|graph| first_bytes(graph, 1)).is_some_and(|node| is_node(&node));
    let library = graph.as_ref().and_then(|graph| first_bytes(graph, 2)).is_some();
    node || (library && first_bytes(source, 1).is_some())
}

fn is_keras_object(source: &Source) -> bool {
    first_bytes(source, 4)
        .and_then(|identifier| identifier.head(64).ok())
        .is_some_and(|identifier| identifier.starts_with(b"_tf_keras_") || identifier.starts_with(b"_keras"))
}

fn is_text_graph(head: &[u8]) -> bool {
    if !text::is_text(head) {
        return false;
    }
    let head = text::decode(head);
    let lines: Vec<&str> =
        head.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).take(40).collect();
    let begins = lines.first().is_some_and(|line| {
        let line = line.replace(' ', "");
        ["node{", "library{", "saved_model_schema_version:", "meta_graphs{", "graph_def{", "meta_info_def{"]
            .iter()
            .any(|word| line.starts_with(word))
    });
    begins
        && (head.contains("op:")
            || head.contains("graph_def")
            || head.contains("meta_info_def")
            || head.contains("schema_version"))
}

/// The text form: every `op: "…"`, wherever it stands.
fn text_graph(part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
    let source = text::read(&part.source)?;
    context.name_it("tensorflow-graph-text");
    let mut found = BTreeMap::new();
    let mut name = String::new();
    for word in source.split(['\n', ';', '{', '}', ',']) {
        let Some((key, value)) = word.trim().split_once(':') else { continue };
        let value = crate::syntax::token::unescape(value.trim().trim_matches(['"', '\'']));
        match key.trim() {
            "name" => name = value,
            "op" => {
                found.entry(value).or_insert((0, name.clone())).0 += 1;
            }
            _ => {}
        }
    }
    report(&found, context);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::protobuf::write::{bytes, number, text as field};
    use crate::testing::{rules_of, scan, verdict_of};

    fn node(op: &str) -> Vec<u8> {
        [field(1, "a"), field(2, op)].concat()
    }

    fn saved(graph: &[u8]) -> Vec<u8> {
        let meta = [bytes(1, &field(4, "serve")), bytes(2, graph)].concat();
        [number(1, 1), bytes(2, &meta)].concat()
    }

    #[test]
    fn honest_graphs_are_clean() {
        let graph = [bytes(1, &node("Placeholder")), bytes(1, &node("MatMul")), bytes(1, &node("RestoreV2"))].concat();
        assert_eq!(verdict_of(graph.clone()), Verdict::Clean);
        assert_eq!(verdict_of(saved(&graph)), Verdict::Clean);
        assert_eq!(scan(saved(&graph)).format, "savedmodel");
        assert_eq!(
            verdict_of(b"node {\n  name: \"a\"\n  op: \"Placeholder\"\n}\nversions {\n}\n".to_vec()),
            Verdict::Clean
        );
    }

    #[test]
    fn dangerous_operators_are_found_wherever_they_stand() {
        let rule = "artifact.tensorflow-operator".to_owned();
        for op in
            ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "PyFuncStateless", "MatchingFiles", "ImmutableConst"]
        {
            assert!(rules_of(saved(&bytes(1, &node(op)))).contains(&rule), "{op}");
            let function = bytes(2, &bytes(1, &[bytes(1, &field(1, "f")), bytes(3, &node(op))].concat()));
            let graph = [bytes(1, &node("Placeholder")), function].concat();
            assert!(rules_of(saved(&graph)).contains(&rule), "{op} in a function");
            assert!(rules_of(graph).contains(&rule), "{op} in a function of a graph");
            let text = format!("node {{\n  name: \"a\"\n  op: \"{op}\"\n}}\n");
            assert!(rules_of(text.into_bytes()).contains(&rule), "{op} in text");
        }
        assert_eq!(verdict_of(saved(&bytes(1, &node("MyOwnOp")))), Verdict::Review);
        let whole = saved(&bytes(1, &node("MatMul")));
        assert!(verdict_of(whole[..whole.len() - 3].to_vec()) >= Verdict::Review);
    }
}
