//! Reads a model's messages one by one: a graph in a branch of a graph waits like any other.

use super::{CUSTOM, DOMAINS, MISSING, OPEN_MAX, PATH, PYTHON, SHADOW, SIZE, TEXT_BYTES_MAX, UNKNOWN, beside, strays};
use crate::context::Context;
use crate::face::Face;
use crate::formats::safetensors::{free_text, metadata_face, payload};
use crate::part::{Kind, Part, TextKind};
use crate::read::protobuf::{self, Field, Message};
use crate::read::text::shown;
use crate::source::Source;
use crate::unread::Unread;

/// What a message is.
#[derive(Clone, Copy)]
pub(super) enum What {
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Function,
    Training,
}

/// Messages that wait to be read, and what is judged once all are.
#[derive(Default)]
pub(super) struct Walk {
    open: Vec<(What, Source)>,
    /// Domain and name of the model's own functions.
    functions: Vec<(String, String)>,
    /// Domain, operator and node of what is not in a known domain, or worse.
    used: Vec<(String, String, String)>,
    /// Location, offset and length of external data.
    external: Vec<(String, Option<u64>, Option<u64>)>,
}

impl Walk {
    pub(super) fn push(&mut self, what: What, field: &Field) {
        if let Some(bytes) = field.bytes() {
            self.open.push((what, bytes.clone()));
        }
    }

    pub(super) fn run(&mut self, context: &mut Context<'_>) -> Result<(), Unread> {
        while let Some((what, source)) = self.open.pop() {
            if self.open.len() > OPEN_MAX {
                return Err(Unread::Limit(crate::Limit::Within("nodes of an ONNX graph")));
            }
            let mut message = Message::new(&source);
            match what {
                What::Node => self.node(&mut message, context)?,
                What::Tensor => self.tensor(&mut message, context)?,
                What::Function => self.function(&mut message, context)?,
                What::Graph | What::Attribute | What::Sparse | What::Training => {
                    while let Some(field) = message.next()? {
                        context.budget().steps(1)?;
                        match (what, field.number) {
                            (What::Graph, 1) => self.push(What::Node, &field),
                            (What::Graph, 5) | (What::Attribute, 5 | 10) | (What::Sparse, 1 | 2) => {
                                self.push(What::Tensor, &field);
                            }
                            (What::Graph, 15) | (What::Attribute, 22 | 23) => self.push(What::Sparse, &field),
                            (What::Graph, 10) => {
                                free_text(
                                    "graph doc_string",
                                    &field.text(TEXT_BYTES_MAX)?,
                                    TextKind::Metadata,
                                    context,
                                );
                            }
                            (What::Graph, 16) => metadata(&field, context)?,
                            (What::Attribute, 6 | 11) | (What::Training, 1 | 2) => self.push(What::Graph, &field),
                            (What::Graph, number) if number > 16 => {
                                context.find(&UNKNOWN, format!("field {number} of the graph"));
                                embed_unknown(&field, context);
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn node(&mut self, message: &mut Message, context: &mut Context<'_>) -> Result<(), Unread> {
        let (mut name, mut op, mut domain) = (String::new(), String::new(), String::new());
        while let Some(field) = message.next()? {
            context.budget().steps(1)?;
            match field.number {
                3 => name = field.text(256)?,
                4 => op = field.text(256)?,
                5 => self.push(What::Attribute, &field),
                6 => {
                    let doc = field.text(TEXT_BYTES_MAX)?;
                    // Exporters write stack traces here: read for payloads, not handed on one by one.
                    if let Some(why) = payload(&doc).filter(|_| !doc.contains(".py(")) {
                        context.find(metadata_face(), format!("doc_string of a node: {why}"));
                    }
                }
                7 => domain = field.text(256)?,
                number if number > 10 => {
                    context.find(&UNKNOWN, format!("field {number} of a node"));
                    embed_unknown(&field, context);
                }
                _ => {}
            }
        }
        let python = ["PyOp", "PythonOp", "PyFunc", "PyCustomOp", "EagerPyFunc", "PythonOpGrad"].contains(&op.as_str());
        if !DOMAINS.contains(&domain.as_str()) || python {
            self.used.push((domain, op, name));
            if self.used.len() > 10_000 {
                self.used.dedup();
                self.used.truncate(10_000);
            }
        }
        Ok(())
    }

    fn tensor(&mut self, message: &mut Message, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut location = None;
        let (mut offset, mut length) = (None, None);
        while let Some(field) = message.next()? {
            context.budget().steps(1)?;
            match field.number {
                13 => {
                    if let Some(bytes) = field.bytes() {
                        let (key, value) = entry(bytes)?;
                        match key.as_str() {
                            "location" => location = Some(value),
                            "offset" => offset = value.parse().ok(),
                            "length" => length = value.parse().ok(),
                            _ => {}
                        }
                    }
                }
                12 => free_text("tensor doc_string", &field.text(TEXT_BYTES_MAX)?, TextKind::Metadata, context),
                number if number > 16 => {
                    context.find(&UNKNOWN, format!("field {number} of a tensor"));
                    embed_unknown(&field, context);
                }
                _ => {}
            }
        }
        if let Some(location) = location {
            self.external.push((location, offset, length));
        }
        Ok(())
    }

    fn function(&mut self, message: &mut Message, context: &mut Context<'_>) -> Result<(), Unread> {
        let (mut name, mut domain) = (String::new(), String::new());
        while let Some(field) = message.next()? {
            context.budget().steps(1)?;
            match field.number {
                1 => name = field.text(256)?,
                7 => self.push(What::Node, &field),
                8 => free_text("function doc_string", &field.text(TEXT_BYTES_MAX)?, TextKind::Metadata, context),
                10 => domain = field.text(256)?,
                11 => self.push(What::Attribute, &field),
                _ => {}
            }
        }
        self.functions.push((domain, name));
        Ok(())
    }

    pub(super) fn judge(&mut self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        for (domain, name) in &self.functions {
            if matches!(domain.as_str(), "" | "ai.onnx" | "ai.onnx.ml" | "com.microsoft") {
                context.find(&SHADOW, format!("function `{}` in the domain `{}`", shown(name, 80), shown(domain, 80)));
            }
        }
        self.used.sort();
        self.used.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
        for (domain, op, node) in &self.used {
            if self.functions.iter().any(|(known, name)| known == domain && name == op) {
                continue;
            }
            let is_python = DOMAINS.contains(&domain.as_str()) || op.starts_with("Py");
            let face: &'static Face = if is_python { &PYTHON } else { &CUSTOM };
            context.find(face, format!("`{}::{}` at node `{}`", shown(domain, 80), shown(op, 80), shown(node, 80)));
        }
        let mut external = std::mem::take(&mut self.external);
        external.sort();
        let mut locations: Vec<String> = external.iter().map(|(location, ..)| location.clone()).collect();
        locations.dedup();
        for location in locations {
            if let Some(why) = strays(&location) {
                context.find(&PATH, format!("`{}`: {why}", shown(&location, 120)));
                continue;
            }
            let beside = beside(part, &location);
            let Some(data) = beside else {
                context.find(&MISSING, format!("`{}`", shown(&location, 120)));
                continue;
            };
            let lies = external.iter().filter(|(named, ..)| *named == location).find(|(_, offset, length)| {
                offset.unwrap_or(0).checked_add(length.unwrap_or(0)).is_none_or(|end| end > data.len())
            });
            if let Some((_, offset, length)) = lies {
                context.find(
                    &SIZE,
                    format!("{length:?} bytes at {offset:?} of `{}`, which has {}", shown(&location, 120), data.len()),
                );
            }
        }
        Ok(())
    }
}

/// One key and value.
fn entry(source: &Source) -> Result<(String, String), Unread> {
    let (mut key, mut value) = (String::new(), String::new());
    for field in protobuf::fields(source, 16)? {
        match field.number {
            1 => key = field.text(4096)?,
            2 => value = field.text(TEXT_BYTES_MAX)?,
            _ => {}
        }
    }
    Ok((key, value))
}

pub(super) fn metadata(field: &Field, context: &mut Context<'_>) -> Result<(), Unread> {
    if let Some(bytes) = field.bytes() {
        let (key, value) = entry(bytes)?;
        free_text(&key, &value, TextKind::Metadata, context);
    }
    Ok(())
}

pub(super) fn embed_unknown(field: &Field, context: &mut Context<'_>) {
    if let Some(bytes) = field.bytes() {
        context.embed(&format!("field:{}", field.number), bytes.clone(), Kind::Any);
    }
}
