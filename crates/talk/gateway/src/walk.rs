//! Walks a whole request or answer along its protocol's table and inspects every string.
//!
//! Nothing is changed here: the walk returns what it saw and where, and `edit` applies a verdict to
//! it. That way the text that travels on and the text that is stored come from one inspection.

use haris_domain::identifier::normal_form;
use haris_domain::{Context, Detection, DetectionKind};
use haris_policy::OnUnknown;
use haris_text::Engine;

use crate::json::Node;
use crate::media::{self, Content, Wrapping};
use crate::naming::{Part, field_name, own_index, schema_word};
use crate::problem::Problem;
use crate::table::{Form, From, PART_TEXT, Place, PlaceId, ROOT, Table};
use crate::{joined, numbers};

/// A text in which something was found.
#[derive(Debug)]
pub(crate) struct Hit {
    /// Positions of members and items, from the root.
    pub(crate) steps: Vec<u32>,
    /// The field as records name it.
    pub(crate) field: String,
    pub(crate) shape: Shape,
    pub(crate) detections: Vec<Detection>,
}

/// How the text sits in the JSON, and so how it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A string.
    Text,
    /// A string that holds JSON source; spans are of the source with its numbers in plain notation.
    Source,
    /// A member's name.
    Key,
    /// A number, or a raw array of numbers; spans are of its plain notation.
    Digits,
    /// Text in a data URL or file.
    Wrapped(Wrapping),
    /// A URL without its percent-encoding.
    Decoded,
    /// The tokens of a list of entries, joined.
    Spelling,
}

/// Something that nobody read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotScanned {
    pub(crate) field: String,
    pub(crate) why: &'static str,
}

/// More than this is counted, not listed.
pub(crate) const NOT_SCANNED_MAX: usize = 64;

/// A text of a stream's event that belongs to a longer one.
#[derive(Debug)]
pub(crate) struct Flowing {
    pub(crate) steps: Vec<u32>,
    pub(crate) place: PlaceId,
    pub(crate) lanes: Lanes,
    pub(crate) form: Form,
    pub(crate) context: Context,
}

/// The indices that tell texts of one place apart: the choice, and the tool call in it.
pub(crate) type Lanes = [Option<u32>; 2];

/// What a walk saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) hits: Vec<Hit>,
    pub(crate) not_scanned: Vec<NotScanned>,
    pub(crate) not_scanned_more: u64,
    /// Members that do not travel on.
    pub(crate) drops: Vec<Vec<u32>>,
    /// Lists of entries that spell a text, and the lane they are in.
    pub(crate) spellings: Vec<Spelling>,
    /// Identifiers that were found, in normal form.
    pub(crate) identifiers: Identifiers,
    /// Parts of longer texts, in an event of a stream only.
    pub(crate) flows: Vec<Flowing>,
    pub(crate) fields: u64,
    pub(crate) text_bytes: u64,
    /// An item has an `index` that is no plain number: readers would disagree where it belongs.
    pub(crate) bad_index: bool,
    /// The texts of a whole answer, each with its choice.
    pub(crate) said: Vec<(Option<u32>, String)>,
}

/// A list of entries that spell a text.
#[derive(Debug)]
pub(crate) struct Spelling {
    pub(crate) steps: Vec<u32>,
    pub(crate) place: PlaceId,
    pub(crate) lanes: Lanes,
}

/// Identifiers in normal form: what an investigation looks for.
#[derive(Debug, Default)]
pub(crate) struct Identifiers(pub(crate) std::collections::BTreeSet<(DetectionKind, String)>);

/// More than this many in one text is a data set, not a conversation; the text itself is stored.
const IDENTIFIERS_MAX: usize = 1000;

impl Identifiers {
    /// Adds those among `detections`, which are of `text`.
    pub(crate) fn add(&mut self, text: &str, detections: &[Detection]) {
        for detection in detections.iter().filter(|detection| detection.kind.identifies()) {
            if let (Some(value), true) = (text.get(detection.span.clone()), self.0.len() < IDENTIFIERS_MAX) {
                self.0.insert((detection.kind, normal_form(detection.kind, value)));
            }
        }
    }
}

/// Values of a stream's envelope that were inspected before and hold nothing: they repeat in every
/// event.
#[derive(Debug, Default)]
pub(crate) struct Repeated(Vec<(PlaceId, String)>);

impl Seen {
    pub(crate) fn not_scanned(&mut self, field: String, why: &'static str) {
        if self.not_scanned.len() < NOT_SCANNED_MAX {
            self.not_scanned.push(NotScanned { field, why });
        } else {
            self.not_scanned_more += 1;
        }
    }
}

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

    fn string(&mut self, text: &str, place: PlaceId, form: Option<Form>, context: Context) -> Outcome {
        match form {
            Some(Form::Word(words)) if words.contains(&text) => {}
            Some(Form::Source) => {
                self.say(text);
                self.inspect(&numbers::plain(text), context, Shape::Source);
            }
            Some(Form::Media) => return self.media(text, context),
            Some(Form::Reference) => {
                self.inspect(text, context, Shape::Text);
                return self.opaque("media-reference");
            }
            Some(Form::Vector) if is_base64(text) => {}
            Some(Form::Padding) => self.seen.drops.push(self.steps.clone()),
            Some(Form::Locator) => return self.content(text, media::locator(text), context),
            Some(Form::File) => return self.content(text, media::file(text), context),
            _ => {
                self.say(text);
                let hits = self.seen.hits.len();
                self.inspect(text, context, Shape::Text);
                if let (Some(Repeated(known)), true) = (self.repeated.as_deref_mut(), hits == self.seen.hits.len()) {
                    known.retain(|(at, _)| *at != place);
                    known.push((place, text.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Whether an event's text needs no inspection here: it is part of a longer one, which flows
    /// through its own stream, or repeats what was inspected.
    fn sets_aside(&mut self, text: &str, id: PlaceId, place: &Place, context: Context) -> bool {
        if let (true, Some((form @ (Form::Text | Form::Source | Form::Name), _))) = (place.flows, place.row) {
            let (steps, lanes) = (self.steps.clone(), self.lanes);
            self.seen.flows.push(Flowing { steps, place: id, lanes, form, context });
            return true;
        }
        if let (true, Some((Form::Media, _)), OnUnknown::Record) = (place.flows, place.row, self.treatment.media) {
            self.seen.not_scanned(field_name(&self.names), "media");
            let (steps, lanes) = (self.steps.clone(), self.lanes);
            self.seen.flows.push(Flowing { steps, place: id, lanes, form: Form::Text, context });
            return true;
        }
        // Some clients put together whatever comes in parts, words of the protocol too.
        if let (true, Some((Form::Word(words), _))) = (place.flows, place.row)
            && !text.is_empty()
            && !words.contains(&text)
        {
            let (steps, lanes) = (self.steps.clone(), self.lanes);
            self.seen.flows.push(Flowing { steps, place: id, lanes, form: Form::Text, context });
            return true;
        }
        let Some(Repeated(known)) = self.repeated.as_deref_mut() else { return false };
        known.iter().any(|(at, value)| *at == id && value == text)
    }

    fn content(&mut self, value: &str, content: Content, context: Context) -> Outcome {
        let before = self.seen.hits.len();
        match &content {
            Content::Text { text, wrapping } => {
                self.inspect(text, Context::Document, Shape::Wrapped(*wrapping));
                // Whatever stands around the content, or would do as content without its wrapping.
                let around = wrapping.around(value);
                self.inspect(around, context, Shape::Text);
            }
            Content::Elsewhere | Content::Opaque => self.inspect(value, context, Shape::Text),
        }
        if before == self.seen.hits.len()
            && let Some(decoded) = media::decoded(value)
        {
            self.inspect(&decoded, context, Shape::Decoded);
        }
        match content {
            Content::Text { .. } => Ok(()),
            Content::Elsewhere => self.opaque("remote-media"),
            Content::Opaque => self.opaque("media"),
        }
    }

    /// Sound: nobody here listens to it, but what is written in its place is read.
    fn media(&mut self, value: &str, context: Context) -> Outcome {
        if self.treatment.request {
            if let Content::Text { text, wrapping } = media::file(value) {
                self.inspect(&text, Context::Document, Shape::Wrapped(wrapping));
            }
            self.inspect(value, context, Shape::Text);
        } else if self.treatment.media == OnUnknown::Record {
            self.inspect(value, context, Shape::Text);
        }
        self.opaque("media")
    }

    /// Inspects the parts of one message put together; what was found in each alone is in `hits` from
    /// `before` on.
    fn join(&mut self, items: &[Node<'_>], before: usize) {
        let mut texts: Vec<&str> = Vec::new();
        let mut places: Vec<(Vec<u32>, String)> = Vec::new();
        for (position, item) in items.iter().enumerate() {
            let mut steps = self.steps.clone();
            let mut names = self.names.clone();
            let step = u32::try_from(position).unwrap_or(u32::MAX);
            steps.push(step);
            names.push(Part::Index(step));
            let text = match item {
                Node::String(text) => Some(&**text),
                _ => item.members().iter().position(|(key, _)| key == PART_TEXT).and_then(|member| {
                    steps.push(u32::try_from(member).unwrap_or(u32::MAX));
                    names.push(Part::Name(PART_TEXT));
                    item.members()[member].1.as_str()
                }),
            };
            if let Some(text) = text {
                texts.push(text);
                places.push((steps, field_name(&names)));
            }
        }
        if texts.len() < 2 {
            return;
        }
        let identifiers = &mut self.seen.identifiers;
        let found = joined::across(self.engine, &texts, self.speaker, |text, found| identifiers.add(text, found));
        // Hits are in the order of their places so far.
        let alone = before..self.seen.hits.len();
        for (part, detections) in found {
            let (steps, field) = std::mem::take(&mut places[part]);
            let hits = &mut self.seen.hits[alone.clone()];
            match hits.binary_search_by(|hit| hit.steps.cmp(&steps)) {
                Ok(index) => {
                    let own = std::mem::take(&mut hits[index].detections);
                    hits[index].detections = joined::in_order([own, detections].concat());
                }
                Err(_) => self.seen.hits.push(Hit { steps, field, shape: Shape::Text, detections }),
            }
        }
    }

    /// Keeps a text of a whole answer for a look at all of its choice together.
    fn say(&mut self, text: &str) {
        if self.treatment.request || self.repeated.is_some() {
            return;
        }
        self.seen.said.push((self.lanes[0], text.to_owned()));
    }

    fn opaque(&mut self, why: &'static str) -> Outcome {
        let field = field_name(&self.names);
        if self.treatment.media == OnUnknown::Refuse {
            if self.treatment.request {
                let message =
                    format!("`{field}` holds content that the gateway cannot inspect, and this route refuses it.");
                return Err(Box::new(Problem::new(400, "media_not_allowed", "media", message).in_field(field)));
            }
            self.seen.drops.push(self.steps.clone());
        }
        self.seen.not_scanned(field, why);
        Ok(())
    }

    fn token_array(&self) -> Box<Problem> {
        let field = field_name(&self.names);
        let message = format!("`{field}` is given as tokens, which hide the text they stand for. Send the text.");
        Box::new(Problem::new(400, "token_array", "token-array", message).in_field(field))
    }

    fn digits(&mut self, digits: &str, context: Context, fractions: bool) {
        let digits = numbers::plain(digits);
        if numbers::is_long(&digits, fractions) {
            self.inspect(&digits, context, Shape::Digits);
        }
    }

    fn spelling(&mut self, node: &Node<'_>, place: PlaceId) -> Outcome {
        if *node == Node::Null {
            return Ok(());
        }
        self.seen.spellings.push(Spelling { steps: self.steps.clone(), place, lanes: self.lanes });
        if self.repeated.is_some() {
            return Ok(());
        }
        let tokens = crate::spelling::tokens(node);
        // A text of its own, beside the one that it should spell.
        if !self.treatment.request {
            self.seen.said.push((None, tokens.clone()));
        }
        self.inspect(&tokens, Context::Output, Shape::Spelling);
        for alternative in crate::spelling::alternatives(node) {
            self.inspect(alternative, Context::Output, Shape::Spelling);
        }
        Ok(())
    }

    fn inspect(&mut self, text: &str, context: Context, shape: Shape) {
        if text.is_empty() {
            return;
        }
        self.seen.fields += 1;
        self.seen.text_bytes += text.len() as u64;
        let detections = self.engine.inspect(text, context).detections;
        if !detections.is_empty() {
            self.seen.identifiers.add(text, &detections);
            let (steps, field) = (self.steps.clone(), field_name(&self.names));
            self.seen.hits.push(Hit { steps, field, shape, detections });
        }
    }
}

fn is_base64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte))
}
