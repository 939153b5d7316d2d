//! Which fields a protocol has, as data: what carries text, what is a word of the protocol, what is
//! media, and in whose mouth each text is.
//!
//! A row's path is the path in JSON: `messages[*].content[*].text`. `[*]` is any item, counted by
//! position; `[#]` is any item, counted by its own `index` member, as choices and tool calls of a
//! stream are; `[+]` is the same for lists whose items often come one an event and without an index;
//! `{*}` is any member of a map whose keys the caller chooses.
//!
//! The rows only ever make the walk milder: a string that no row excuses is inspected, and a member
//! that no row names is an unknown field.

use std::fmt::Write as _;

use haris_domain::Context;

/// One row: a place in the protocol's JSON and what is there.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Where.
    pub path: &'static str,
    /// What.
    pub form: Form,
    /// Whose words.
    pub from: From,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Free text.
    Text,
    /// A name, id or the like: short text that clients read from the first part they get, so a stream
    /// holds it until it is whole.
    Name,
    /// Free text; numbers in its place are tokens, which hide text.
    TextNotTokens,
    /// JSON source in a string (tool-call arguments): stays JSON when something is redacted.
    Source,
    /// One of the protocol's own words. Any other string is inspected as text.
    Word(&'static [&'static str]),
    /// A number, `true`, `false` or `null`; also long arrays of numbers. A string is inspected.
    Plain,
    /// Any JSON: keys, strings and long numbers are inspected.
    Any,
    /// Base64 of sound: nothing here listens to it. As text it is inspected.
    Media,
    /// The id of content that lies with the model's server and never passes here.
    Reference,
    /// A vector in base64: numbers by another name, passed on as they are.
    Vector,
    /// A URL or data URL of something the model will look at.
    Locator,
    /// A file's content as base64 or data URL.
    File,
    /// Entries whose `token`s spell the text beside them.
    Spelling,
    /// Padding: left out of what the caller gets.
    Padding,
}

/// Whose words a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// That of the message around it, by its `role`.
    Speaker,
    /// Fixed by the field.
    Is(Context),
}

/// A protocol's rows for one direction, compiled to a tree that is walked along with the JSON.
#[derive(Debug)]
pub struct Table {
    places: Vec<Place>,
    rows: Vec<Field>,
    context: Context,
    /// Ways to the lists marked `[+]`.
    appended: Vec<&'static str>,
}

/// A node of the tree.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Sorted by name.
    names: Vec<(&'static str, PlaceId)>,
    pub(crate) each: Option<PlaceId>,
    pub(crate) each_by_index: bool,
    pub(crate) map: Option<PlaceId>,
    pub(crate) row: Option<(Form, From)>,
    /// Items here are messages with a role.
    pub(crate) speaks: bool,
    /// The row's or the place's path, for building a part of a stream at this place.
    pub(crate) path: String,
    /// Below a `delta`: texts of one place are parts of one text.
    pub(crate) flows: bool,
    /// Below a `delta`: the member, or the item of a list, that this belongs to.
    pub(crate) group: Option<PlaceId>,
    /// The items' texts, put together, are one text: content that comes in parts.
    pub(crate) joins: bool,
    /// An item of a list that joins.
    pub(crate) joined: bool,
}

/// The member of a part of content that holds its text.
pub(crate) const PART_TEXT: &str = "text";

/// A place in a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PlaceId(u16);

/// The whole document.
pub(crate) const ROOT: PlaceId = PlaceId(0);

/// A step of a path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'p> {
    Name(&'p str),
    Each,
    /// `true` for items that may come without an index.
    EachByIndex(bool),
    Map,
}

/// Takes a pattern apart.
pub(crate) fn steps(path: &str) -> impl Iterator<Item = Step<'_>> + '_ {
    path.split('.').flat_map(|part| {
        let name_bytes = part.find(['[', '{']).unwrap_or(part.len());
        let (name, rest) = part.split_at(name_bytes);
        std::iter::once(Step::Name(name)).chain(rest.as_bytes().chunks(3).map(|mark| match mark {
            b"[*]" => Step::Each,
            b"[#]" => Step::EachByIndex(false),
            b"[+]" => Step::EachByIndex(true),
            b"{*}" => Step::Map,
            _ => unreachable!("a test reads every row of every protocol"),
        }))
    })
}

impl Table {
    /// Compiles rows. `speakers` is the pattern of messages whose `role` says who speaks; `context`
    /// is what texts are outside of any row.
    #[must_use]
    pub fn new(rows: &[&[Field]], speakers: Option<&'static str>, context: Context) -> Self {
        let mut table = Self { places: vec![Place::default()], rows: rows.concat(), context, appended: Vec::new() };
        for row in table.rows.clone() {
            let place = table.open(row.path);
            table.places[usize::from(place.0)].row = Some((row.form, row.from));
        }
        if let Some(path) = speakers {
            let place = table.open(path);
            table.places[usize::from(place.0)].speaks = true;
        }
        for index in 0..table.places.len() {
            let text = table.places[index].each.and_then(|each| table.place(each).member(PART_TEXT));
            let joins = text.is_some_and(|(_, text)| matches!(table.place(text).row, Some((Form::Text, _))));
            if let (true, Some(each)) = (joins, table.places[index].each) {
                table.places[index].joins = true;
                table.places[usize::from(each.0)].joined = true;
            }
        }
        table
    }

    /// The rows, for documentation and for tests that plant something in each.
    #[must_use]
    pub fn rows(&self) -> &[Field] {
        &self.rows
    }

    /// Whose words a text is when no row says.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// The ways to lists whose items may come without an index.
    pub(crate) fn appended(&self) -> &[&'static str] {
        &self.appended
    }

    /// Whether texts of this group's items are parts of one text.
    pub(crate) fn is_joined(&self, group: PlaceId) -> bool {
        self.place(group).joined
    }

    pub(crate) fn place(&self, id: PlaceId) -> &Place {
        &self.places[usize::from(id.0)]
    }

    /// The place of a path.
    #[cfg(test)]
    pub(crate) fn find(&self, path: &str) -> PlaceId {
        let index = self.places.iter().position(|place| place.path == path).unwrap();
        PlaceId(u16::try_from(index).unwrap())
    }

    fn open(&mut self, path: &'static str) -> PlaceId {
        let mut at = ROOT;
        let mut walked = String::new();
        let mut group = None;
        let mut steps_to_group = 0;
        for step in steps(path) {
            let next = PlaceId(u16::try_from(self.places.len()).expect("a protocol has a few hundred places"));
            // Items of a plain list come whole; only what has its own index is added to later.
            let flows = (self.place(at).flows && step != Step::Each) || step == Step::Name("delta");
            match step {
                Step::Name(name) => {
                    let dot = if walked.is_empty() { "" } else { "." };
                    let _ = write!(walked, "{dot}{name}");
                }
                Step::Each => walked.push_str("[*]"),
                Step::EachByIndex(false) => walked.push_str("[#]"),
                Step::EachByIndex(true) => {
                    walked.push_str("[+]");
                    let list = &path[..walked.len()];
                    if !self.appended.contains(&list) {
                        self.appended.push(list);
                    }
                }
                Step::Map => walked.push_str("{*}"),
            }
            let place = &mut self.places[usize::from(at.0)];
            let found = match step {
                Step::Name(name) => match place.names.binary_search_by_key(&name, |(known, _)| known) {
                    Ok(found) => Some(place.names[found].1),
                    Err(free) => {
                        place.names.insert(free, (name, next));
                        None
                    }
                },
                Step::Each | Step::EachByIndex(_) => {
                    place.each_by_index = step != Step::Each;
                    let found = place.each;
                    place.each.get_or_insert(next);
                    found
                }
                Step::Map => {
                    let found = place.map;
                    place.map.get_or_insert(next);
                    found
                }
            };
            let new = found.is_none();
            at = found.unwrap_or(next);
            // The member right below `delta`, or its item when it is a list.
            steps_to_group += usize::from(flows);
            if steps_to_group == 2 || (steps_to_group == 3 && matches!(step, Step::EachByIndex(_))) {
                group = Some(at);
            }
            if new {
                self.places.push(Place { path: walked.clone(), flows, group, ..Place::default() });
            }
        }
        at
    }
}

impl Place {
    /// The place of a member, if the table names it.
    pub(crate) fn member(&self, name: &str) -> Option<(&'static str, PlaceId)> {
        self.names.binary_search_by_key(&name, |(known, _)| known).ok().map(|found| self.names[found])
    }

    /// Whether a parser that ignores case would take `name` for one of the table's names.
    pub(crate) fn nearly_has(&self, name: &str) -> bool {
        // Through upper case first: `ſ` and the Kelvin sign fold to ASCII letters in some parsers.
        let folded: String = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
        self.names.binary_search_by_key(&folded.as_str(), |(known, _)| known).is_ok()
    }

    /// Whether objects may stand here.
    pub(crate) fn has_members(&self) -> bool {
        !self.names.is_empty() || self.map.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        const ROWS: &[Field] = &[
            Field { path: "a[*].b", form: Form::Text, from: From::Speaker },
            Field { path: "a[*].c[#].d", form: Form::Plain, from: From::Speaker },
            Field { path: "m{*}", form: Form::Text, from: From::Is(Context::Tool) },
        ];
        Table::new(&[ROWS], Some("a[*].b"), Context::User)
    }

    #[test]
    fn a_path_leads_to_its_row() {
        let table = table();
        let (_, a) = table.place(ROOT).member("a").unwrap();
        let item = table.place(a).each.unwrap();
        let (name, b) = table.place(item).member("b").unwrap();
        assert_eq!((name, table.place(b).row), ("b", Some((Form::Text, From::Speaker))));
        assert_eq!(table.place(b).path, "a[*].b");
        let (_, c) = table.place(item).member("c").unwrap();
        assert!(table.place(c).each_by_index && !table.place(a).each_by_index);
        assert!(table.place(item).member("x").is_none());
    }

    #[test]
    fn what_belongs_together_in_a_stream_has_one_group() {
        const ROWS: &[Field] = &[
            Field { path: "c[#].delta.content", form: Form::Text, from: From::Speaker },
            Field { path: "c[#].delta.content[#].text", form: Form::Text, from: From::Speaker },
            Field { path: "c[#].delta.calls[#].f.name", form: Form::Name, from: From::Speaker },
            Field { path: "c[#].delta.notes[+].title", form: Form::Name, from: From::Speaker },
        ];
        let table = Table::new(&[ROWS], None, Context::Output);
        let group = |path: &str| {
            let place = table.places.iter().find(|place| place.path == path).unwrap();
            place.group.map(|group| table.place(group).path.as_str())
        };
        assert_eq!(group("c[#].delta"), None);
        assert_eq!(group("c[#].delta.calls[#].f.name"), Some("c[#].delta.calls[#]"));
        assert_eq!(group("c[#].delta.notes[+].title"), Some("c[#].delta.notes[+]"));
        assert_eq!(group("c[#].delta.content[#].text"), Some("c[#].delta.content[#]"));
        assert_eq!(table.appended(), ["c[#].delta.notes[+]"]);
        assert!(table.places.iter().any(|place| place.joins && place.path == "c[#].delta.content"));
    }

    #[test]
    fn spellings_that_lax_parsers_accept_are_noticed() {
        let table = table();
        let root = table.place(ROOT);
        assert!(root.nearly_has("A") && root.nearly_has("M") && !root.nearly_has("z"));
    }
}
