//! What is done with each text that a walk comes to.

use haris_domain::Context;
use haris_policy::OnUnknown;

use super::{Flowing, Hit, Outcome, Repeated, Shape, Spelling, Walk};
use crate::json::Node;
use crate::media::{self, Content};
use crate::naming::{Part, field_name};
use crate::problem::Problem;
use crate::table::{Form, PART_TEXT, Place, PlaceId};
use crate::{joined, numbers};

impl Walk<'_> {
    pub(super) fn string(&mut self, text: &str, place: PlaceId, form: Option<Form>, context: Context) -> Outcome {
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
    pub(super) fn sets_aside(&mut self, text: &str, id: PlaceId, place: &Place, context: Context) -> bool {
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
    pub(super) fn join(&mut self, items: &[Node<'_>], before: usize) {
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

    pub(super) fn token_array(&self) -> Box<Problem> {
        let field = field_name(&self.names);
        let message = format!("`{field}` is given as tokens, which hide the text they stand for. Send the text.");
        Box::new(Problem::new(400, "token_array", "token-array", message).in_field(field))
    }

    pub(super) fn digits(&mut self, digits: &str, context: Context, fractions: bool) {
        let digits = numbers::plain(digits);
        if numbers::is_long(&digits, fractions) {
            self.inspect(&digits, context, Shape::Digits);
        }
    }

    pub(super) fn spelling(&mut self, node: &Node<'_>, place: PlaceId) -> Outcome {
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

    pub(super) fn inspect(&mut self, text: &str, context: Context, shape: Shape) {
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
