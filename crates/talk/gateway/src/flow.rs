//! A streamed answer on its way to the caller.
//!
//! Every text of every choice has a stream of its own through the engine: content, refusal,
//! reasoning, each tool call's arguments. A text is released as soon as it can no longer be part of
//! a match, so an event goes out with what its upstream put in it, less what is held, plus what was.
//! Nothing depends on how the upstream cut its answer.
//!
//! Events keep their structure. What is still held when a choice ends goes out before the event that
//! ends it, in an event of the gateway's own with the same envelope.

mod group;
mod names;
mod spelt;

use std::sync::Arc;

use haris_domain::{Context, Detection, Verdict};
use haris_text::{Engine, Piece, redact};

use group::{Appended, Group};
use spelt::Spelt;

use crate::arguments::Rewriter;
use crate::edit;
use crate::found::Found;
use crate::json::{self, Node};
use crate::key::{self, Guard, Latest};
use crate::numbers::SourceNumbers;
use crate::part::{Held, carries, envelope, frame, has_room, insert, lane_field};
use crate::protocol::{Protocol, Usage};
use crate::table::{Form, PlaceId, Table};
use crate::walk::{self, Flowing, Identifiers, Lanes, NotScanned, Repeated, Seen, Treatment};

/// Texts in one answer: choices times fields times tool calls.
const CHANNELS_MAX: usize = 256;

/// A name that arrives in parts is put together up to here.
const NAME_BYTES_MAX: usize = 4096;

/// An upstream's stream that makes no sense. Ends the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadStream {
    #[error("text for a choice that had ended")]
    TextAfterEnd,
    #[error("more than {CHANNELS_MAX} texts in one answer")]
    TooManyTexts,
    #[error("an index that is no plain number")]
    Index,
    #[error("a name longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    #[error("a name that goes on behind what it names, into something to redact")]
    NameGoesOn,
    #[error("the provider's key")]
    Key,
}

impl From<key::Leak> for BadStream {
    fn from(_: key::Leak) -> Self {
        Self::Key
    }
}

/// How detections in the answer are acted on.
pub(crate) type Decide<'d> = dyn Fn(&Detection) -> Verdict + Send + Sync + 'd;

/// The state of one streamed answer.
pub(crate) struct Flow<'f> {
    protocol: &'static dyn Protocol,
    table: &'static Table,
    engine: &'f Arc<Engine>,
    treatment: Treatment,
    decide: &'f Decide<'f>,
    /// The provider's.
    key: Option<&'f str>,
    repeated: Repeated,
    channels: Vec<Channel>,
    groups: Vec<Group>,
    appended: Appended,
    spellings: Vec<Spelt>,
    /// By choice.
    latest: Vec<(Option<u32>, Latest)>,
    ended: Vec<u32>,
    envelope: Option<Vec<u8>>,
    pieces: Vec<Piece>,
    pub(crate) found: Found,
    pub(crate) identifiers: Identifiers,
    pub(crate) not_scanned: Vec<NotScanned>,
    pub(crate) not_scanned_more: u64,
    pub(crate) usage: Usage,
    blocked: bool,
}

/// One text.
struct Channel {
    place: PlaceId,
    lanes: Lanes,
    form: Form,
    context: Context,
    field: String,
    guard: Guard,
    numbers: SourceNumbers,
    stream: haris_text::Stream,
    rewriter: Rewriter,
    original: String,
    detections: Vec<Detection>,
    ended: bool,
    /// Of a name: where the current one begins in `original`, how much of it is out, in how many
    /// parts it came.
    begins: usize,
    out: usize,
    parts: usize,
}

impl Channel {
    /// The next part of the text: past the guard, which holds the last `hold` bytes of it at least,
    /// numbers in source in plain notation, to the engine.
    fn take(&mut self, text: &str, key: Option<&str>, hold: usize, pieces: &mut Vec<Piece>) -> Result<(), key::Leak> {
        let from = self.original.len();
        if self.form == Form::Source {
            let mut passed = String::with_capacity(text.len());
            self.guard.push(text, key, hold, &mut passed)?;
            self.numbers.push(&passed, &mut self.original);
        } else {
            self.guard.push(text, key, hold, &mut self.original)?;
        }
        self.stream.push(&self.original[from..], pieces);
        Ok(())
    }

    fn finish(&mut self, pieces: &mut Vec<Piece>) {
        let from = self.original.len();
        let mut rest = String::new();
        self.guard.finish(&mut rest);
        if self.form == Form::Source {
            self.numbers.push(&rest, &mut self.original);
            self.numbers.finish(&mut self.original);
        } else {
            self.original.push_str(&rest);
        }
        self.stream.push(&self.original[from..], pieces);
        self.stream.finish(pieces);
    }
}

impl<'f> Flow<'f> {
    pub(crate) fn new(
        protocol: &'static dyn Protocol,
        table: &'static Table,
        engine: &'f Arc<Engine>,
        treatment: Treatment,
        decide: &'f Decide<'f>,
        key: Option<&'f str>,
    ) -> Self {
        Self {
            protocol,
            table,
            engine,
            treatment,
            decide,
            key,
            repeated: Repeated::default(),
            channels: Vec::new(),
            groups: Vec::new(),
            appended: Appended::default(),
            spellings: Vec::new(),
            latest: Vec::new(),
            ended: Vec::new(),
            envelope: None,
            pieces: Vec::new(),
            found: Found::default(),
            identifiers: Identifiers::default(),
            not_scanned: Vec::new(),
            not_scanned_more: 0,
            usage: Usage::default(),
            blocked: false,
        }
    }

    /// Whether something was found that blocks. What was appended to `out` by the call that found
    /// it must not go out.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether every lane that spoke has ended.
    pub(crate) fn is_complete(&self) -> bool {
        !self.ended.is_empty()
            && self.channels.iter().all(|channel| channel.lanes[0].is_none_or(|lane| self.ended.contains(&lane)))
    }

    /// Takes one event of the upstream and appends what goes to the caller, framed.
    pub(crate) fn chunk(&mut self, mut node: Node<'_>, out: &mut Vec<u8>) -> Result<(), BadStream> {
        let ending = self.protocol.ended_lanes(&node);
        let usage = self.protocol.usage(&node);
        self.usage.tokens_in = usage.tokens_in.or(self.usage.tokens_in);
        self.usage.tokens_out = usage.tokens_out.or(self.usage.tokens_out);

        self.appended.number(self.table, &mut node);
        let mut seen = walk::walk_chunk(self.engine, self.table, self.treatment, &node, &mut self.repeated);
        if seen.bad_index {
            return Err(BadStream::Index);
        }
        self.take_in(&mut seen);
        let mut redacted_lanes = Vec::new();
        let (mut names, mut spoke) = (Vec::new(), Vec::new());
        for flow in std::mem::take(&mut seen.flows) {
            if flow.form == Form::Name {
                names.push(flow);
                continue;
            }
            let Some(Node::String(text)) = edit::at(&mut node, &flow.steps) else { continue };
            let place = self.table.place(flow.place);
            if let (Some(group), false, false) =
                (place.group, text.is_empty(), matches!(place.row, Some((Form::Word(_), _))))
            {
                spoke.push((group, flow.lanes));
            }
            let (released, redacted) = self.part(&flow, text)?;
            if redacted {
                redacted_lanes.extend(flow.lanes[0]);
            }
            if let Some(value) = edit::at(&mut node, &flow.steps) {
                *value = Node::text(released);
            }
        }
        for spelling in std::mem::take(&mut seen.spellings) {
            if let Some(value) = edit::at(&mut node, &spelling.steps) {
                let entries = std::mem::replace(value, Node::Null);
                *value = self.spell(spelling.place, spelling.lanes, entries)?;
            }
        }
        self.name_parts(names, &spoke, &mut node)?;
        edit::apply(&mut node, &seen, &self.decide);
        self.regroup(&spoke, &mut node)?;
        if self.envelope.is_none() {
            self.envelope = Some(envelope(&node).to_json());
        }

        let mut before = Vec::new();
        let ends = !ending.is_empty();
        for lane in ending {
            self.end_lane(Some(lane), Some(&mut node), &mut before, &mut redacted_lanes)?;
            if !self.ended.contains(&lane) {
                self.ended.push(lane);
            }
        }
        if ends {
            self.look_for_key()?;
        }
        for lane in redacted_lanes {
            self.drop_spelling(lane, &mut node);
        }
        self.emit(before, out);
        frame(&node, out);
        Ok(())
    }

    /// The end of the stream: appends what is still held.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BadStream> {
        let mut parts = Vec::new();
        let mut redacted = Vec::new();
        let mut lanes: Vec<Option<u32>> = self.channels.iter().map(|channel| channel.lanes[0]).collect();
        lanes.extend(self.spellings.iter().map(|spelt| spelt.lanes[0]));
        lanes.sort_unstable();
        lanes.dedup();
        let ended = lanes.into_iter().try_for_each(|lane| self.end_lane(lane, None, &mut parts, &mut redacted));
        let ended = ended.and_then(|()| self.look_for_key());
        if ended.is_ok() {
            self.emit(parts, out);
        }
        for channel in &self.channels {
            self.identifiers.add(&channel.original, &channel.detections);
        }
        ended
    }

    /// Looks for the provider's key cut over the texts of a choice, in any order.
    fn look_for_key(&self) -> Result<(), BadStream> {
        let texts = self.channels.iter().map(|channel| (channel.lanes[0], channel.original.as_str()));
        match self.key {
            Some(key) if key::is_in_texts(texts, key) => Err(BadStream::Key),
            _ => Ok(()),
        }
    }

    /// The answer as one document, once as it was written and once with what `decide` redacts
    /// redacted.
    pub(crate) fn transcript(&self, decide: &dyn Fn(&Detection) -> Verdict) -> (Vec<u8>, Vec<u8>) {
        let mut original = self.read_envelope();
        let mut kept = self.read_envelope();
        for channel in &self.channels {
            let path = self.table.place(channel.place).path.replace(".delta", ".message");
            let text = match channel.form {
                Form::Source => edit::redact_source(&channel.original, &channel.detections, decide),
                _ => redact(&channel.original, 0, &channel.detections, decide).0,
            };
            insert(&mut kept, &path, channel.lanes, Held::Text(text));
            insert(&mut original, &path, channel.lanes, Held::Text(channel.original.clone()));
        }
        (original.to_json(), kept.to_json())
    }

    /// What the walk saw outside of the flowing texts.
    fn take_in(&mut self, seen: &mut Seen) {
        for hit in &seen.hits {
            for detection in &hit.detections {
                let action = (self.decide)(detection);
                self.found.add(&hit.field, detection, action);
                self.blocked |= action == Verdict::Block;
            }
        }
        self.identifiers.0.append(&mut seen.identifiers.0);
        for missed in seen.not_scanned.drain(..) {
            // The same unknown member comes with every event.
            if self.not_scanned.contains(&missed) {
                continue;
            }
            if self.not_scanned.len() < walk::NOT_SCANNED_MAX {
                self.not_scanned.push(missed);
            } else {
                self.not_scanned_more += 1;
            }
        }
        self.not_scanned_more += seen.not_scanned_more;
    }

    /// A part of a text comes in; what may go out instead, and whether that was redacted.
    fn part(&mut self, flow: &Flowing, text: &str) -> Result<(String, bool), BadStream> {
        if text.is_empty() {
            return Ok((String::new(), false));
        }
        let hold = self.watch(flow.lanes[0], text)?;
        if flow.lanes[0].is_some_and(|lane| self.ended.contains(&lane)) {
            return Err(BadStream::TextAfterEnd);
        }
        let index = self.channel(flow)?;
        self.channels[index].take(text, self.key, hold, &mut self.pieces)?;
        let mut out = String::with_capacity(text.len());
        let redacted = self.release(index, &mut out);
        Ok((out, redacted))
    }

    /// Looks for the provider's key in the texts of a choice behind each other, and says how many
    /// bytes at the end of the latest may be part of it.
    fn watch(&mut self, lane: Option<u32>, text: &str) -> Result<usize, BadStream> {
        if self.key.is_none() {
            return Ok(0);
        }
        let known = self.latest.iter().position(|(known, _)| *known == lane);
        let known = known.unwrap_or_else(|| {
            self.latest.push((lane, Latest::default()));
            self.latest.len() - 1
        });
        Ok(self.latest[known].1.push(text, self.key)?)
    }

    fn channel(&mut self, flow: &Flowing) -> Result<usize, BadStream> {
        // The parts of one content are one text.
        let group = self.table.place(flow.place).group;
        let joins = group.is_some_and(|group| self.table.is_joined(group));
        let same = |channel: &Channel| {
            channel.place == flow.place && (channel.lanes == flow.lanes || (joins && channel.lanes[0] == flow.lanes[0]))
        };
        if let Some(index) = self.channels.iter().position(same) {
            return Ok(index);
        }
        if self.channels.len() >= CHANNELS_MAX {
            return Err(BadStream::TooManyTexts);
        }
        self.channels.push(Channel {
            place: flow.place,
            lanes: flow.lanes,
            form: flow.form,
            context: flow.context,
            field: lane_field(&self.table.place(flow.place).path, flow.lanes),
            guard: Guard::default(),
            numbers: SourceNumbers::default(),
            stream: self.engine.stream(flow.context),
            rewriter: Rewriter::default(),
            original: String::new(),
            detections: Vec::new(),
            ended: false,
            begins: 0,
            out: 0,
            parts: 0,
        });
        Ok(self.channels.len() - 1)
    }

    /// Moves released pieces of a channel to `out`; whether anything was redacted.
    fn release(&mut self, index: usize, out: &mut String) -> bool {
        let channel = &mut self.channels[index];
        let mut any_redacted = false;
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::Clean(text) if channel.form == Form::Source => channel.rewriter.clean(&text, out),
                Piece::Clean(text) => out.push_str(&text),
                Piece::Match { start, text, detections } => {
                    let mut worst = Verdict::Allow;
                    for detection in &detections {
                        let action = (self.decide)(detection);
                        self.found.add(&channel.field, detection, action);
                        worst = worst.max(action);
                    }
                    any_redacted |= worst >= Verdict::Redact;
                    if worst == Verdict::Block {
                        self.blocked = true;
                    } else if channel.form == Form::Source {
                        edit::feed(&mut channel.rewriter, &text, start, &detections, &self.decide, out);
                    } else {
                        out.push_str(&redact(&text, start, &detections, self.decide).0);
                    }
                    channel.detections.extend(detections);
                }
            }
        }
        any_redacted
    }

    /// Releases all that a lane holds: into `node` where it already carries that text, else into an
    /// event of our own that goes before it.
    fn end_lane<'n>(
        &mut self,
        lane: Option<u32>,
        mut node: Option<&mut Node<'n>>,
        before: &mut Vec<Node<'n>>,
        redacted_lanes: &mut Vec<u32>,
    ) -> Result<(), BadStream> {
        self.end_names(lane, before)?;
        for index in 0..self.channels.len() {
            let channel = &mut self.channels[index];
            if channel.lanes[0] != lane || channel.ended || channel.form == Form::Name {
                continue;
            }
            channel.ended = true;
            channel.finish(&mut self.pieces);
            let mut text = String::new();
            if self.release(index, &mut text) {
                redacted_lanes.extend(lane);
            }
            let channel = &mut self.channels[index];
            channel.rewriter.finish(&mut text);
            let (place, lanes) = (channel.place, channel.lanes);
            self.deliver(place, lanes, Held::Text(text), node.as_deref_mut(), before);
        }
        for index in 0..self.spellings.len() {
            if self.spellings[index].lanes[0] != lane {
                continue;
            }
            self.spellings[index].finish(&mut self.pieces);
            self.release_spelling(index);
            let spelt = &mut self.spellings[index];
            if !spelt.dropped && !lane.is_some_and(|lane| redacted_lanes.contains(&lane)) {
                let entries: Vec<_> = spelt.waiting.drain(..).map(|(_, entry)| entry).collect();
                let (place, lanes) = (spelt.place, spelt.lanes);
                self.deliver(place, lanes, Held::Entries(entries), node.as_deref_mut(), before);
            }
        }
        Ok(())
    }

    fn deliver<'n>(
        &self,
        place: PlaceId,
        lanes: Lanes,
        held: Held,
        node: Option<&mut Node<'n>>,
        before: &mut Vec<Node<'n>>,
    ) {
        if held.is_empty() {
            return;
        }
        let path = &self.table.place(place).path;
        if let Some(node) = node
            && carries(node, path, lanes)
        {
            insert(node, path, lanes, held);
            return;
        }
        let part = self.room(path, lanes, before);
        insert(&mut before[part], path, lanes, held);
    }

    /// Which of the gateway's own events has room for a text; a new one if need be.
    fn room(&self, path: &str, lanes: Lanes, before: &mut Vec<Node<'_>>) -> usize {
        before.iter().position(|part| has_room(part, path, lanes)).unwrap_or_else(|| {
            before.push(self.read_envelope());
            before.len() - 1
        })
    }

    fn emit(&self, parts: Vec<Node<'_>>, out: &mut Vec<u8>) {
        for mut part in parts {
            self.protocol.complete_part(&mut part);
            frame(&part, out);
        }
    }

    fn read_envelope(&self) -> Node<'static> {
        const BOUNDS: json::Bounds = json::Bounds { depth: 2, values: 64 };
        let envelope = self.envelope.as_deref().and_then(|bytes| json::parse(bytes, BOUNDS).ok());
        envelope.map_or_else(|| Node::Object(Vec::new()), Node::into_owned)
    }
}
