//! One event of a stream, part by part: where a text has its place in it, and how it is put there.

use crate::json::{self, Node};
use crate::naming::own_index;
use crate::table::{Step, steps};
use crate::walk::Lanes;

/// Text, entries or whole members that wait for their place.
pub(crate) enum Held {
    Text(String),
    Entries(Vec<Node<'static>>),
    Members(Node<'static>),
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Entries(entries) => entries.is_empty(),
            Self::Members(members) => members.members().is_empty(),
        }
    }
}

/// One event, framed.
pub(crate) fn frame(node: &Node<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    json::write(node, out);
    out.extend_from_slice(b"\n\n");
}

/// The members that every event of a stream repeats: its id, model and the like.
pub(crate) fn envelope<'n>(node: &Node<'n>) -> Node<'n> {
    let scalar = |value: &Node<'_>| matches!(value, Node::String(_) | Node::Number(_) | Node::Bool(_));
    Node::Object(node.members().iter().filter(|(_, value)| scalar(value)).take(16).cloned().collect())
}

/// `choices[1].message.tool_calls[0].function.arguments`: the place with its lanes filled in.
pub(crate) fn lane_field(path: &str, lanes: Lanes) -> String {
    let mut out = path.replace(".delta", ".message");
    for lane in lanes.into_iter().flatten() {
        if let Some(mark) = out.find("[#]").or_else(|| out.find("[+]")) {
            out.replace_range(mark..mark + 3, &format!("[{lane}]"));
        }
    }
    out
}

/// Whether an event already has a text (or entries) at that place.
pub(crate) fn carries(node: &mut Node<'_>, path: &str, lanes: Lanes) -> bool {
    match find(node, path, lanes) {
        Some(Node::String(text)) => !text.is_empty(),
        Some(Node::Array(entries)) => !entries.is_empty(),
        _ => false,
    }
}

pub(crate) fn find<'n, 'a>(node: &'n mut Node<'a>, path: &str, lanes: Lanes) -> Option<&'n mut Node<'a>> {
    let mut lanes = lanes.into_iter().flatten();
    let mut at = node;
    for step in steps(path) {
        at = match step {
            Step::Name(name) => at.get_mut(name)?,
            Step::EachByIndex(_) => {
                let lane = lanes.next()?;
                let Node::Array(items) = at else { return None };
                let position = items.iter().enumerate().position(|(i, item)| own_index(item, i) == Some(lane))?;
                &mut items[position]
            }
            Step::Each | Step::Map => return None,
        };
    }
    Some(at)
}

/// Adds to the text or entries at that place, and makes the way there where it is missing.
pub(crate) fn insert(node: &mut Node<'_>, path: &str, lanes: Lanes, held: Held) {
    let mut lanes = lanes.into_iter().flatten();
    let mut at = node;
    for step in steps(path) {
        at = match step {
            Step::Name(name) => {
                if !matches!(at, Node::Object(_)) {
                    *at = Node::Object(Vec::new());
                }
                let Node::Object(members) = at else { return };
                let position = members.iter().position(|(key, _)| key == name).unwrap_or_else(|| {
                    members.push((name.to_owned().into(), Node::Null));
                    members.len() - 1
                });
                &mut members[position].1
            }
            Step::EachByIndex(_) => {
                let Some(lane) = lanes.next() else { return };
                if !matches!(at, Node::Array(_)) {
                    *at = Node::Array(Vec::new());
                }
                let Node::Array(items) = at else { return };
                let same = |(i, item): (usize, &Node<'_>)| own_index(item, i) == Some(lane);
                let position = items.iter().enumerate().position(same).unwrap_or_else(|| {
                    let index = Node::Number(lane.to_string().into());
                    items.push(Node::Object(vec![("index".into(), index)]));
                    items.len() - 1
                });
                &mut items[position]
            }
            Step::Each | Step::Map => return,
        };
    }
    match held {
        Held::Text(text) => match at {
            Node::String(there) => there.to_mut().push_str(&text),
            _ => *at = Node::text(text),
        },
        Held::Entries(entries) => match at {
            Node::Array(there) => there.extend(entries),
            _ => *at = Node::Array(entries),
        },
        Held::Members(members) => merge(at, members),
    }
}

/// Adds what came later to what came before.
pub(crate) fn merge<'n>(into: &mut Node<'n>, from: Node<'n>) {
    let (members, from) = match (into, from) {
        (Node::Object(members), Node::Object(from)) => (members, from),
        (Node::String(before), Node::String(more)) => {
            // Servers repeat words such as `function`; other strings come in parts.
            if *before != more {
                before.to_mut().push_str(&more);
            }
            return;
        }
        (_, Node::Null) => return,
        (into, from) => {
            *into = from;
            return;
        }
    };
    for (key, value) in from {
        match members.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => merge(known, value),
            None => members.push((key, value)),
        }
    }
}

/// Whether something can be put at that place without taking away what is there.
pub(crate) fn has_room(node: &Node<'_>, path: &str, lanes: Lanes) -> bool {
    let mut lanes = lanes.into_iter().flatten();
    let mut at = node;
    for step in steps(path) {
        let next = match (step, at) {
            (_, Node::Null) => return true,
            (Step::Name(name), Node::Object(_)) => at.get(name),
            (Step::EachByIndex(_), Node::Array(items)) => {
                let lane = lanes.next();
                items.iter().enumerate().find(|(i, item)| own_index(item, *i) == lane).map(|(_, item)| item)
            }
            _ => return false,
        };
        match next {
            Some(next) => at = next,
            None => return true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_built_along_its_path() {
        let mut node = Node::Object(vec![("id".into(), Node::text("x"))]);
        let path = "choices[#].delta.tool_calls[#].function.arguments";
        insert(&mut node, path, [Some(1), Some(0)], Held::Text("{}".into()));
        insert(&mut node, path, [Some(1), Some(2)], Held::Text("[".into()));
        insert(&mut node, path, [Some(1), Some(2)], Held::Text("]".into()));
        assert_eq!(
            String::from_utf8(node.to_json()).unwrap(),
            r#"{"id":"x","choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}},{"index":2,"function":{"arguments":"[]"}}]}}]}"#
        );
        assert!(has_room(&node, path, [Some(1), Some(0)]) && !has_room(&node, "id.x", [None; 2]));
        assert!(carries(&mut node, path, [Some(1), Some(2)]) && !carries(&mut node, path, [Some(0), Some(2)]));
        assert_eq!(lane_field(path, [Some(1), Some(2)]), "choices[1].message.tool_calls[2].function.arguments");
    }
}
