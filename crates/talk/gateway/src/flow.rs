//! A streamed answer on its way to the caller.
//!
//! Every text of every choice has a stream of its own through the engine: content, refusal,
//! reasoning, each tool call's arguments. A text is released as soon as it can no longer be part of
//! a match, so an event goes out with what its upstream put in it, less what is held, plus what was.
//! Nothing depends on how the upstream cut its answer.
//!
//! Events keep their structure. What is still held when a choice ends goes out before the event that
//! ends it, in an event of the gateway's own with the same envelope.

use std::collections::VecDeque;
use std::sync::Arc;

use haris_domain::{Context, Detection, Verdict};
use haris_text::{Engine, Piece, redact};

use crate::arguments::Rewriter;
use crate::edit;
use crate::found::Found;
use crate::json::{self, Node};
use crate::part::{Held, carries, envelope, find, frame, insert, lane_field};
use crate::protocol::{Protocol, Usage};
use crate::spelling;
use crate::table::{Form, PlaceId, Table};
use crate::walk::{self, Flowing, Identifiers, Lanes, NotScanned, Repeated, Seen, Treatment};

/// Texts in one answer: choices times fields times tool calls.
const CHANNELS_MAX: usize = 256;

/// Repetitions of a name are put together up to here: longer than what identifies anybody.
const REPEATED_BYTES: usize = 128;

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
    repeated: Repeated,
    channels: Vec<Channel>,
    spellings: Vec<Spelt>,
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
    stream: haris_text::Stream,
    rewriter: Rewriter,
    original: String,
    detections: Vec<Detection>,
    ended: bool,
    /// How often a name came again as it was.
    repeated: usize,
}

/// The tokens that spell one text, waiting for it.
struct Spelt {
    place: PlaceId,
    lanes: Lanes,
    field: String,
    stream: haris_text::Stream,
    waiting: VecDeque<(usize, Node<'static>)>,
    pushed: usize,
    released: usize,
    dropped: bool,
}

impl<'f> Flow<'f> {
    pub(crate) fn new(
        protocol: &'static dyn Protocol,
        table: &'static Table,
        engine: &'f Arc<Engine>,
        treatment: Treatment,
        decide: &'f Decide<'f>,
    ) -> Self {
        Self {
            protocol,
            table,
            engine,
            treatment,
            decide,
            repeated: Repeated::default(),
            channels: Vec::new(),
            spellings: Vec::new(),
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

        let mut seen = walk::walk_chunk(self.engine, self.table, self.treatment, &node, &mut self.repeated);
        if seen.bad_index {
            return Err(BadStream::Index);
        }
        self.take_in(&mut seen);
        let mut redacted_lanes = Vec::new();
        for flow in std::mem::take(&mut seen.flows) {
            let Some(Node::String(text)) = edit::at(&mut node, &flow.steps) else { continue };
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
        edit::apply(&mut node, &seen, &self.decide);
        if self.envelope.is_none() {
            self.envelope = Some(envelope(&node).to_json());
        }

        let mut before = None;
        for lane in ending {
            self.end_lane(Some(lane), Some(&mut node), &mut before, &mut redacted_lanes);
            if !self.ended.contains(&lane) {
                self.ended.push(lane);
            }
        }
        for lane in redacted_lanes {
            self.drop_spelling(lane, &mut node);
        }
        self.emit(before, out);
        frame(&node, out);
        Ok(())
    }

    /// The end of the stream: appends what is still held.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let mut part = None;
        let mut redacted = Vec::new();
        let mut lanes: Vec<Option<u32>> = self.channels.iter().map(|channel| channel.lanes[0]).collect();
        lanes.extend(self.spellings.iter().map(|spelt| spelt.lanes[0]));
        lanes.sort_unstable();
        lanes.dedup();
        for lane in lanes {
            self.end_lane(lane, None, &mut part, &mut redacted);
        }
        self.emit(part, out);
        // Names are judged as wholes: only now is each one whole.
        for channel in self.channels.iter().filter(|channel| channel.form == Form::Name) {
            for detection in &channel.detections {
                self.found.add(&channel.field, detection, (self.decide)(detection));
            }
        }
        for channel in &self.channels {
            self.identifiers.add(&channel.original, &channel.detections);
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
        if flow.lanes[0].is_some_and(|lane| self.ended.contains(&lane)) {
            return Err(BadStream::TextAfterEnd);
        }
        let index = self.channel(flow)?;
        let channel = &mut self.channels[index];
        if channel.form == Form::Name {
            return self.name_part(index, text);
        }
        channel.original.push_str(text);
        channel.stream.push(text, &mut self.pieces);
        let mut out = String::with_capacity(text.len());
        let redacted = self.release(index, &mut out);
        Ok((out, redacted))
    }

    fn channel(&mut self, flow: &Flowing) -> Result<usize, BadStream> {
        let same = |channel: &Channel| channel.place == flow.place && channel.lanes == flow.lanes;
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
            stream: self.engine.stream(flow.context),
            rewriter: Rewriter::default(),
            original: String::new(),
            detections: Vec::new(),
            ended: false,
            repeated: 0,
        });
        Ok(self.channels.len() - 1)
    }

    /// Names are not held back, but looked at again as a whole with each part.
    fn name_part(&mut self, index: usize, text: &str) -> Result<(String, bool), BadStream> {
        let channel = &mut self.channels[index];
        let mut start = channel.original.len();
        // Some servers repeat id and name with every part of the arguments, and some clients put them together all the
        // same: what is found only then is found.
        if channel.original == text {
            start = 0;
            channel.repeated += 1;
            let times = (channel.repeated + 1).min(REPEATED_BYTES / text.len() + 2);
            let spelt = text.repeat(times);
            let found = self.engine.inspect(&spelt, channel.context).detections;
            if found.iter().any(|detection| detection.span.start / text.len() < (detection.span.end - 1) / text.len()) {
                start = spelt.len() - text.len();
                channel.original = spelt;
            }
        } else {
            channel.original.push_str(text);
        }
        if channel.original.len() > NAME_BYTES_MAX {
            return Err(BadStream::NameTooLong);
        }
        channel.detections = self.engine.inspect(&channel.original, channel.context).detections;
        self.blocked |= channel.detections.iter().any(|detection| (self.decide)(detection) == Verdict::Block);
        Ok(redact(text, start, &channel.detections, self.decide))
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
        before: &mut Option<Node<'n>>,
        redacted_lanes: &mut Vec<u32>,
    ) {
        for index in 0..self.channels.len() {
            let channel = &mut self.channels[index];
            if channel.lanes[0] != lane || channel.ended || channel.form == Form::Name {
                continue;
            }
            channel.ended = true;
            channel.stream.finish(&mut self.pieces);
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
            let spelt = &mut self.spellings[index];
            spelt.stream.finish(&mut self.pieces);
            self.release_spelling(index);
            let spelt = &mut self.spellings[index];
            if !spelt.dropped && !lane.is_some_and(|lane| redacted_lanes.contains(&lane)) {
                let entries: Vec<_> = spelt.waiting.drain(..).map(|(_, entry)| entry).collect();
                let (place, lanes) = (spelt.place, spelt.lanes);
                self.deliver(place, lanes, Held::Entries(entries), node.as_deref_mut(), before);
            }
        }
    }

    fn deliver<'n>(
        &self,
        place: PlaceId,
        lanes: Lanes,
        held: Held,
        node: Option<&mut Node<'n>>,
        before: &mut Option<Node<'n>>,
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
        insert(before.get_or_insert_with(|| self.read_envelope()), path, lanes, held);
    }

    /// Entries come in; those whose text is out may go.
    fn spell(&mut self, place: PlaceId, lanes: Lanes, entries: Node<'_>) -> Result<Node<'static>, BadStream> {
        let Node::Array(entries) = entries else { return Ok(Node::Null) };
        let same = |spelt: &Spelt| spelt.place == place && spelt.lanes == lanes;
        let index = match self.spellings.iter().position(same) {
            Some(index) => index,
            None if self.spellings.len() >= CHANNELS_MAX => return Err(BadStream::TooManyTexts),
            None => {
                self.spellings.push(Spelt {
                    place,
                    lanes,
                    field: lane_field(&self.table.place(place).path, lanes),
                    stream: self.engine.stream(Context::Output),
                    waiting: VecDeque::new(),
                    pushed: 0,
                    released: 0,
                    dropped: false,
                });
                self.spellings.len() - 1
            }
        };
        for mut entry in entries {
            let spelt = &mut self.spellings[index];
            if !matches!(entry, Node::Object(_)) {
                continue;
            }
            for alternative in spelling::alternatives_of(&entry) {
                for detection in self.engine.inspect(alternative, Context::Output).detections {
                    let action = (self.decide)(&detection);
                    self.found.add(&spelt.field, &detection, action);
                    spelt.dropped |= action >= Verdict::Redact;
                    self.blocked |= action == Verdict::Block;
                }
            }
            let text = spelling::token(&entry).unwrap_or_default().to_owned();
            spelling::normalise(&mut entry);
            spelt.stream.push(&text, &mut self.pieces);
            spelt.pushed += text.len();
            spelt.waiting.push_back((spelt.pushed, entry.into_owned()));
            self.release_spelling(index);
        }
        let spelt = &mut self.spellings[index];
        if spelt.dropped {
            spelt.waiting.clear();
            return Ok(Node::Null);
        }
        let out = spelt.waiting.iter().take_while(|(end, _)| *end <= spelt.released).count();
        Ok(Node::Array(spelt.waiting.drain(..out).map(|(_, entry)| entry).collect()))
    }

    fn release_spelling(&mut self, index: usize) {
        let spelt = &mut self.spellings[index];
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::Clean(text) => spelt.released += text.len(),
                Piece::Match { text, detections, .. } => {
                    spelt.released += text.len();
                    for detection in &detections {
                        let action = (self.decide)(detection);
                        self.found.add(&spelt.field, detection, action);
                        spelt.dropped |= action >= Verdict::Redact;
                        self.blocked |= action == Verdict::Block;
                    }
                }
            }
        }
    }

    /// The text of a lane was redacted: its spelling goes, now and from now on.
    fn drop_spelling(&mut self, lane: u32, node: &mut Node<'_>) {
        for spelt in self.spellings.iter_mut().filter(|spelt| spelt.lanes[0] == Some(lane)) {
            spelt.dropped = true;
            spelt.waiting.clear();
            let path = &self.table.place(spelt.place).path;
            if let Some(entries) = find(node, path, spelt.lanes) {
                *entries = Node::Null;
            }
        }
    }

    fn emit(&self, part: Option<Node<'_>>, out: &mut Vec<u8>) {
        if let Some(mut part) = part {
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
