//! Walks a whole request or answer along its protocol's table and inspects every string.
//!
//! Nothing is changed here: the walk returns what it saw and where, and `edit` applies a verdict to
//! it. That way the text that travels on and the text that is stored come from one inspection.

mod seen;
mod texts;

use haris_domain::Context;
use haris_policy::OnUnknown;
use haris_text::Engine;

use crate::json::Node;
use crate::naming::{Part, field_name, own_index, schema_word};
use crate::problem::Problem;
use crate::table::{Form, From, Place, PlaceId, ROOT, Table};

pub(crate) use seen::{Flowing, Hit, Identifiers, Lanes, NOT_SCANNED_MAX, NotScanned, Repeated, Seen, Shape, Spelling};

/// How a walk treats what it cannot read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Treatment {
    pub(crate) unknown: OnUnknown,
    pub(crate) media: OnUnknown,
    /// Requests are refused; of answers the part is left out.
    pub(crate) request: bool,
}

/// Inspects every string of `node`.
///
/// # Errors
/// When a request holds what the route refuses.
pub(crate) fn walk(
    engine: &Engine,
    table: &Table,
    treatment: Treatment,
    node: &Node<'_>,
) -> Result<Seen, Box<Problem>> {
    walk_with(engine, table, treatment, node, None)
}

/// Walks one event of a stream: parts of longer texts are listed and not inspected here.
pub(crate) fn walk_chunk(
    engine: &Engine,
    table: &Table,
    treatment: Treatment,
    node: &Node<'_>,
    repeated: &mut Repeated,
) -> Seen {
    walk_with(engine, table, treatment, node, Some(repeated)).expect("only walks of requests refuse")
}

fn walk_with(
    engine: &Engine,
    table: &Table,
    treatment: Treatment,
    node: &Node<'_>,
    repeated: Option<&mut Repeated>,
) -> Result<Seen, Box<Problem>> {
    let mut walk = Walk {
        engine,
        table,
        treatment,
        names: Vec::with_capacity(16),
        steps: Vec::with_capacity(16),
        lanes: [None; 2],
        speaker: table.context(),
        repeated,
        seen: Seen::default(),
    };
    walk.visit(node, ROOT)?;
    Ok(walk.seen)
}

struct Walk<'w> {
    engine: &'w Engine,
    table: &'w Table,
    treatment: Treatment,
    names: Vec<Part>,
    steps: Vec<u32>,
    lanes: Lanes,
    speaker: Context,
    /// There for an event of a stream.
    repeated: Option<&'w mut Repeated>,
    seen: Seen,
}

type Outcome = Result<(), Box<Problem>>;

impl Walk<'_> {
    fn visit(&mut self, node: &Node<'_>, id: PlaceId) -> Outcome {
        let table = self.table;
        let place = table.place(id);
        let context = match place.row {
            Some((_, From::Is(context))) => context,
            Some((_, From::Speaker)) | None => self.speaker,
        };
        let form = place.row.map(|(form, _)| form);
        match form {
            Some(Form::Any) => return self.visit_any(node, context),
            Some(Form::Spelling) => return self.spelling(node, id),
            _ => {}
        }
        match node {
            Node::Null | Node::Bool(_) => Ok(()),
            Node::String(text) => {
                if self.repeated.is_some() && self.sets_aside(text, id, place, context) {
                    return Ok(());
                }
                self.string(text, id, form, context)
            }
            Node::Number(digits) | Node::Numbers(digits) => match form {
                Some(Form::TextNotTokens) if self.treatment.request => Err(self.token_array()),
                _ => {
                    // Measurements have long fractions, which identify nobody.
                    let measured = matches!(form, Some(Form::Plain | Form::Vector));
                    self.digits(digits, context, !measured && (self.treatment.request || form.is_some()));
                    Ok(())
                }
            },
            Node::Array(items) => match place.each {
                // A list of lists of numbers, where lists of texts are expected.
                _ if form == Some(Form::TextNotTokens)
                    && self.treatment.request
                    && items.iter().any(|item| matches!(item, Node::Numbers(_) | Node::Number(_))) =>
                {
                    Err(self.token_array())
                }
                Some(each) => {
                    let before = self.seen.hits.len();
                    self.items(items, place, each)?;
                    if place.joins && items.len() > 1 && self.repeated.is_none() {
                        self.join(items, before);
                    }
                    Ok(())
                }
                None if items.is_empty() => Ok(()),
                None => self.unknown(node, None),
            },
            Node::Object(members) if members.is_empty() => Ok(()),
            Node::Object(_) if place.has_members() => self.members(node, place),
            Node::Object(_) => self.unknown(node, None),
        }
    }

    fn items(&mut self, items: &[Node<'_>], place: &Place, each: PlaceId) -> Outcome {
        let speaks = self.table.place(each).speaks;
        for (position, item) in items.iter().enumerate() {
            let index = if place.each_by_index { own_index(item, position) } else { None };
            self.seen.bad_index |= place.each_by_index && index.is_none();
            let step = u32::try_from(position).unwrap_or(u32::MAX);
            self.names.push(Part::Index(index.unwrap_or(step)));
            self.steps.push(step);
            let lanes = self.lanes;
            if place.each_by_index {
                let free = usize::from(lanes[0].is_some());
                self.lanes[free] = Some(index.unwrap_or(step));
            }
            let before = self.speaker;
            if speaks {
                self.speaker = match item.get("role").and_then(Node::as_str) {
                    Some("tool" | "function") => Context::Tool,
                    _ => Context::User,
                };
            }
            self.visit(item, each)?;
            self.speaker = before;
            self.lanes = lanes;
            self.steps.pop();
            self.names.pop();
        }
        Ok(())
    }

    fn members(&mut self, node: &Node<'_>, place: &Place) -> Outcome {
        for (position, (key, value)) in node.members().iter().enumerate() {
            let step = u32::try_from(position).unwrap_or(u32::MAX);
            self.steps.push(step);
            match (place.member(key), place.map) {
                (Some((name, next)), _) => {
                    self.names.push(Part::Name(name));
                    self.visit(value, next)?;
                    self.names.pop();
                }
                (None, Some(next)) => {
                    self.names.push(Part::Key(step));
                    self.inspect(key, self.speaker, Shape::Key);
                    self.names.pop();
                    self.names.push(Part::Value(step));
                    self.visit(value, next)?;
                    self.names.pop();
                }
                (None, None) => {
                    self.names.push(Part::Unknown(step));
                    self.unknown(value, Some((key, place)))?;
                    self.names.pop();
                }
            }
            self.steps.pop();
        }
        Ok(())
    }

    /// A member that the table does not name, or a value of a kind it does not expect.
    fn unknown(&mut self, node: &Node<'_>, member: Option<(&str, &Place)>) -> Outcome {
        // A server that ignores case would read `Content` as `content`, uninspected as such.
        let confusable = member.is_some_and(|(key, place)| place.nearly_has(key));
        let refused = confusable || self.treatment.unknown == OnUnknown::Refuse;
        if refused && self.treatment.request {
            let field = field_name(&self.names);
            let plain =
                |key: &str| key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
            let named = match member {
                Some((key, _)) if plain(key) => format!("The field `{key}`"),
                Some(_) => "A field".to_owned(),
                None => format!("The value of `{field}`"),
            };
            let message = format!("{named} is not one that the gateway can inspect, and this route refuses those.");
            return Err(Box::new(Problem::new(400, "unknown_field", "unknown-field", message).in_field(field)));
        }
        self.seen.not_scanned(field_name(&self.names), "unknown-field");
        if refused {
            self.seen.drops.push(self.steps.clone());
            return Ok(());
        }
        // What it means is not known, but whatever is text in it is looked at all the same.
        if self.treatment.request { self.visit_any(node, self.speaker) } else { Ok(()) }
    }

    /// Any JSON: schemas, and the insides of unknown fields.
    fn visit_any(&mut self, node: &Node<'_>, context: Context) -> Outcome {
        match node {
            Node::Null | Node::Bool(_) => {}
            Node::String(text) => self.inspect(text, context, Shape::Text),
            Node::Number(digits) | Node::Numbers(digits) => self.digits(digits, context, self.treatment.request),
            Node::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    let step = u32::try_from(position).unwrap_or(u32::MAX);
                    self.names.push(Part::Index(step));
                    self.steps.push(step);
                    self.visit_any(item, context)?;
                    self.steps.pop();
                    self.names.pop();
                }
            }
            Node::Object(members) => {
                for (position, (key, value)) in members.iter().enumerate() {
                    let step = u32::try_from(position).unwrap_or(u32::MAX);
                    self.steps.push(step);
                    let part = match schema_word(key) {
                        Some(word) => Part::Name(word),
                        None => {
                            self.names.push(Part::Key(step));
                            self.inspect(key, context, Shape::Key);
                            self.names.pop();
                            Part::Value(step)
                        }
                    };
                    self.names.push(part);
                    self.visit_any(value, context)?;
                    self.names.pop();
                    self.steps.pop();
                }
            }
        }
        Ok(())
    }
}
