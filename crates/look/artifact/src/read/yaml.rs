//! YAML as a tree of values and the tags in it, with aliases left unexpanded.

use saphyr_parser::{Event, Parser};

use super::json::Json;
use crate::unread::Unread;
use crate::{Budget, Limit};

/// Configurations stay below; what is larger is data.
pub(crate) const BYTES_MAX: usize = 8 << 20;
const DEPTH_MAX: usize = 120;
const NODES_MAX: usize = 1_000_000;

/// A tag that is not of the core schema, and what stands under it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tag {
    /// In full: `tag:yaml.org,2002:python/object/apply:os.system`.
    pub(crate) name: String,
    /// 1-based line.
    pub(crate) line: usize,
    /// The tagged value.
    pub(crate) value: Json,
}

/// All documents of a stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The values, in order.
    pub(crate) documents: Vec<Json>,
    /// Tags of other schemas.
    pub(crate) tags: Vec<Tag>,
    /// How many values there would be with all aliases expanded.
    pub(crate) expanded: u64,
    /// Where the text stops being YAML, if it does: line and message.
    pub(crate) stop: Option<(usize, String)>,
}

struct Open {
    value: Json,
    key: Option<String>,
    tag: Option<(String, usize)>,
    anchor: usize,
    size: u64,
}

/// Reads a stream as far as it is YAML.
///
/// # Errors
/// When it is deeper or longer than any configuration.
pub(crate) fn read(text: &str, budget: &Budget) -> Result<Stream, Unread> {
    let mut stream = Stream::default();
    let mut open: Vec<Open> = Vec::new();
    let mut sizes: Vec<(usize, u64)> = Vec::new();
    let mut nodes = 0usize;
    let handles: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("%TAG"))
        .filter_map(|rest| rest.trim().split_once(char::is_whitespace))
        .map(|(handle, prefix)| (handle, prefix.trim()))
        .collect();
    let name = |tag: &saphyr_parser::Tag| {
        // The parser may leave a declared handle as it was written.
        let prefix =
            handles.iter().find(|(handle, _)| *handle == tag.handle).map_or(tag.handle.as_str(), |(_, prefix)| prefix);
        format!("{prefix}{}", tag.suffix)
    };
    for item in Parser::new_from_str(text) {
        let (event, span) = match item {
            Ok(found) => found,
            Err(error) => {
                stream.stop = Some((error.marker().line(), error.info().to_owned()));
                break;
            }
        };
        budget.steps(5)?;
        let line = span.start.line();
        nodes += 1;
        if nodes > NODES_MAX {
            return Err(Unread::Limit(Limit::Within("values of a YAML stream")));
        }
        let (value, tag, anchor, size) = match event {
            Event::Scalar(text, _, anchor, tag) => {
                (Json::Text(text.into_owned()), tag.map(|tag| name(&tag)), anchor, 1)
            }
            Event::Alias(anchor) => {
                let size = sizes.iter().rev().find(|(known, _)| *known == anchor).map_or(1, |(_, size)| *size);
                (Json::Null, None, 0, size)
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) if open.len() >= DEPTH_MAX => {
                let _ = (anchor, tag);
                return Err(Unread::Limit(Limit::Within("nesting in YAML")));
            }
            Event::SequenceStart(anchor, tag) => {
                let tag = tag.map(|tag| (name(&tag), line));
                open.push(Open { value: Json::List(Vec::new()), key: None, tag, anchor, size: 1 });
                continue;
            }
            Event::MappingStart(anchor, tag) => {
                let tag = tag.map(|tag| (name(&tag), line));
                open.push(Open { value: Json::Map(Vec::new()), key: None, tag, anchor, size: 1 });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(closed) = open.pop() else { continue };
                note(&mut stream.tags, closed.tag, &closed.value);
                (closed.value, None, closed.anchor, closed.size)
            }
            _ => continue,
        };
        note(&mut stream.tags, tag.map(|tag| (tag, line)), &value);
        if anchor > 0 {
            sizes.push((anchor, size));
        }
        match open.last_mut() {
            None => {
                stream.expanded = stream.expanded.saturating_add(size);
                stream.documents.push(value);
            }
            Some(parent) => {
                parent.size = parent.size.saturating_add(size);
                match &mut parent.value {
                    Json::List(items) => items.push(value),
                    Json::Map(pairs) => match parent.key.take() {
                        Some(key) => pairs.push((key, value)),
                        None => parent.key = Some(value.text().unwrap_or("").to_owned()),
                    },
                    _ => {}
                }
            }
        }
    }
    // What was open when the text broke off was read all the same.
    while let Some(closed) = open.pop() {
        note(&mut stream.tags, closed.tag, &closed.value);
        match open.last_mut().map(|parent| (&mut parent.value, parent.key.take())) {
            Some((Json::Map(pairs), Some(key))) => pairs.push((key, closed.value)),
            Some((Json::List(items), _)) => items.push(closed.value),
            Some(_) => {}
            None => stream.documents.push(closed.value),
        }
    }
    Ok(stream)
}

fn note(tags: &mut Vec<Tag>, tag: Option<(String, usize)>, value: &Json) {
    let Some((name, line)) = tag else { return };
    let core = name.strip_prefix("tag:yaml.org,2002:").is_some_and(|kind| {
        matches!(
            kind,
            "str"
                | "int"
                | "float"
                | "bool"
                | "null"
                | "seq"
                | "map"
                | "set"
                | "omap"
                | "pairs"
                | "binary"
                | "timestamp"
                | "merge"
                | "value"
        )
    });
    if !core && tags.len() < 1000 {
        tags.push(Tag { name, line, value: value.clone() });
    }
}
