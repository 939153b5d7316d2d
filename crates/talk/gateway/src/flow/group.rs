//! What clients read from the first part they get: the id and name of a tool call, an annotation.
//!
//! A name that goes out in parts cannot be redacted any more when it turns out to be a number that
//! identifies somebody. So what belongs together waits, as a whole, until its names are whole: until
//! the upstream goes on to the text they stand for (a call's arguments), or ends the choice. With
//! most servers that is one event.

use crate::json::Node;
use crate::naming::own_index;
use crate::part::{self, merge};
use crate::table::{PlaceId, Step, Table, steps};
use crate::walk::Lanes;

/// Repetitions shorter than this are no names.
const REPEATED_BYTES_MIN: usize = 4;

/// Members of one stream's answer that wait for their names.
#[derive(Debug)]
pub(crate) struct Group {
    /// The member of `delta`, or the item of a list there.
    pub(crate) place: PlaceId,
    pub(crate) lanes: Lanes,
    /// What came of it so far, names left out.
    waiting: Node<'static>,
    pub(crate) waits: bool,
}

impl Group {
    pub(crate) fn new(place: PlaceId, lanes: Lanes) -> Self {
        Self { place, lanes, waiting: Node::Object(Vec::new()), waits: false }
    }

    /// Takes what an event has of this group out of it.
    pub(crate) fn take(&mut self, table: &Table, node: &mut Node<'_>) {
        let path = &table.place(self.place).path;
        let (list, is_item) = match path.rfind('[').filter(|_| path.ends_with(']')) {
            Some(mark) => (&path[..mark], true),
            None => (path.as_str(), false),
        };
        let (above, name) = list.rsplit_once('.').unwrap_or(("", list));
        let Some(Node::Object(members)) = part::find(node, above, self.lanes) else { return };
        let Some(at) = members.iter().position(|(key, _)| key == name) else { return };
        if !is_item {
            let (_, value) = members.remove(at);
            merge(&mut self.waiting, value.into_owned());
            return;
        }
        let Node::Array(items) = &mut members[at].1 else { return };
        // Those that stay keep the index that their position gave them.
        for (position, item) in items.iter_mut().enumerate() {
            if let Some(index) = own_index(item, position) {
                set_index(item, index);
            }
        }
        let mut stay = Vec::with_capacity(items.len());
        for (position, item) in std::mem::take(items).into_iter().enumerate() {
            if own_index(&item, position) == self.lanes[1] {
                merge(&mut self.waiting, item.into_owned());
            } else {
                stay.push(item);
            }
        }
        *items = stay;
        if items.is_empty() {
            members.remove(at);
        }
    }

    /// Puts what waited into an event.
    pub(crate) fn put(&mut self, table: &Table, node: &mut Node<'_>) {
        self.waits = false;
        let waiting = std::mem::replace(&mut self.waiting, Node::Object(Vec::new()));
        part::insert(node, &table.place(self.place).path, self.lanes, part::Held::Members(waiting));
    }
}

/// Gives items that come without an index the one that clients count for them: whoever begins with
/// a type is a new one, another goes on with the one at its position.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    lists: Vec<List>,
}

/// One list of one choice.
#[derive(Debug)]
struct List {
    path: &'static str,
    lane: u32,
    /// The index of each item that came at a position.
    at: Vec<Vec<u32>>,
    count: u32,
}

impl Appended {
    pub(crate) fn number(&mut self, table: &Table, node: &mut Node<'_>) {
        for path in table.appended() {
            let mut way = steps(path.trim_end_matches("[+]"));
            let Some(Step::Name(choices)) = way.next() else { continue };
            let Some(Node::Array(choices)) = node.get_mut(choices) else { continue };
            for (position, choice) in choices.iter_mut().enumerate() {
                let Some(lane) = own_index(choice, position) else { continue };
                let mut below = steps(path.trim_end_matches("[+]")).skip(2);
                let found = below.try_fold(choice, |at, step| match step {
                    Step::Name(name) => at.get_mut(name),
                    _ => None,
                });
                if let Some(Node::Array(items)) = found {
                    self.list(path, lane).number(items);
                }
            }
        }
    }

    fn list(&mut self, path: &'static str, lane: u32) -> &mut List {
        let known = self.lists.iter().position(|list| list.path == path && list.lane == lane);
        let known = known.unwrap_or_else(|| {
            self.lists.push(List { path, lane, at: Vec::new(), count: 0 });
            self.lists.len() - 1
        });
        &mut self.lists[known]
    }

    /// Items of a choice that came at one position one after the other: some clients put them
    /// together.
    pub(crate) fn runs(&self, lane: Option<u32>) -> Vec<(&'static str, Vec<u32>)> {
        let lists = self.lists.iter().filter(|list| Some(list.lane) == lane);
        lists.flat_map(|list| list.at.iter().filter(|run| run.len() > 1).map(|run| (list.path, run.clone()))).collect()
    }
}

impl List {
    fn number(&mut self, items: &mut [Node<'_>]) {
        for (position, item) in items.iter_mut().enumerate() {
            match item.get("index") {
                None | Some(Node::Null) => {}
                Some(index) => {
                    let next =
                        index.as_u64().and_then(|index| u32::try_from(index).ok()).unwrap_or(0).saturating_add(1);
                    self.count = self.count.max(next);
                    continue;
                }
            }
            if self.at.len() <= position {
                self.at.resize(position + 1, Vec::new());
            }
            let here = &mut self.at[position];
            if here.is_empty() || item.get("type").is_some() {
                here.push(self.count);
                self.count = self.count.saturating_add(1);
            }
            set_index(item, here.last().copied().unwrap_or_default());
        }
    }
}

fn set_index(item: &mut Node<'_>, index: u32) {
    if let Node::Object(members) = item
        && !members.iter().any(|(key, value)| key == "index" && *value != Node::Null)
    {
        members.retain(|(key, _)| key != "index");
        members.insert(0, ("index".into(), Node::Number(index.to_string().into())));
    }
}

/// The one name that `parts` equal parts repeat, unless they are too short to be names.
pub(crate) fn repeated(text: &str, parts: usize) -> Option<&str> {
    let length = text.len().checked_div(parts)?;
    let one = text.get(..length).filter(|one| parts > 1 && one.len() >= REPEATED_BYTES_MIN)?;
    (one.repeat(parts) == text).then_some(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Bounds, parse};
    use crate::protocol::{OpenAiChat, Protocol as _};

    fn json(text: &str) -> Node<'_> {
        parse(text.as_bytes(), Bounds { depth: 9, values: 99 }).unwrap()
    }

    #[test]
    fn items_without_an_index_are_counted() {
        let table = OpenAiChat.chunk().unwrap();
        let mut appended = Appended::default();
        let mut numbered = |items: &str| {
            let text = format!(r#"{{"choices":[{{"index":3,"delta":{{"annotations":{items}}}}}]}}"#);
            let mut node = json(&text);
            appended.number(table, &mut node);
            let items = node.get("choices").unwrap().items()[0].get("delta").unwrap().get("annotations").unwrap();
            items.items().iter().map(|item| item.get("index").unwrap().as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(numbered(r#"[{"type":"a"},{"type":"a","index":null}]"#), [0, 1]);
        assert_eq!(numbered(r#"[{"x":1},{"type":"a"}]"#), [0, 2]);
        assert_eq!(numbered(r#"[{"index":7}]"#), [7]);
        assert_eq!(numbered(r#"[{"type":"a"}]"#), [8]);
        assert_eq!(
            appended.runs(Some(3)).iter().map(|(_, run)| run.clone()).collect::<Vec<_>>(),
            [vec![0, 8], vec![1, 2]]
        );
        assert!(appended.runs(Some(0)).is_empty());
    }

    #[test]
    fn a_group_leaves_the_event_and_comes_back_whole() {
        let table = OpenAiChat.chunk().unwrap();
        let place = table.find("choices[#].delta.tool_calls[#]");
        let mut group = Group::new(place, [Some(0), Some(1)]);
        let text = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"a"},{"id":null,"type":"function"},{"index":1,"function":{"arguments":""}}]}}]}"#;
        let mut node = json(text);
        group.take(table, &mut node);
        let left = String::from_utf8(node.to_json()).unwrap();
        assert_eq!(left, r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a"}]}}]}"#);
        let mut node = json(r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"type":"function"}]}}]}"#);
        group.take(table, &mut node);
        assert_eq!(node.to_json(), br#"{"choices":[{"index":0,"delta":{}}]}"#);
        group.put(table, &mut node);
        let whole = String::from_utf8(node.to_json()).unwrap();
        assert_eq!(
            whole,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":null,"type":"function","function":{"arguments":""}}]}}]}"#
        );
    }

    #[test]
    fn repetitions_are_told_from_parts() {
        assert_eq!(repeated("call_1call_1", 2), Some("call_1"));
        assert_eq!((repeated("aaaa", 4), repeated("call_1call_2", 2), repeated("call_1", 1)), (None, None, None));
        assert_eq!((repeated("", 0), repeated("é", 2)), (None, None));
    }
}
