//! Log probabilities in a stream: tokens that spell the text beside them, held until it is out.

use std::collections::VecDeque;

use haris_domain::{Context, Verdict};
use haris_text::Piece;

use super::{BadStream, CHANNELS_MAX, Flow};
use crate::json::Node;
use crate::key::{self, Guard};
use crate::part::{find, lane_field};
use crate::spelling;
use crate::table::PlaceId;
use crate::walk::Lanes;

/// The tokens that spell one text, waiting for it.
pub(super) struct Spelt {
    pub(super) place: PlaceId,
    pub(super) lanes: Lanes,
    field: String,
    guard: Guard,
    stream: haris_text::Stream,
    pub(super) waiting: VecDeque<(usize, Node<'static>)>,
    pushed: usize,
    released: usize,
    pub(super) dropped: bool,
}

impl Spelt {
    fn take(&mut self, text: &str, key: Option<&str>, pieces: &mut Vec<Piece>) -> Result<(), key::Leak> {
        let mut passed = String::with_capacity(text.len());
        self.guard.push(text, key, 0, &mut passed)?;
        self.stream.push(&passed, pieces);
        Ok(())
    }

    pub(super) fn finish(&mut self, pieces: &mut Vec<Piece>) {
        let mut rest = String::new();
        self.guard.finish(&mut rest);
        self.stream.push(&rest, pieces);
        self.stream.finish(pieces);
    }
}

impl Flow<'_> {
    /// Entries come in; those whose text is out may go.
    pub(super) fn spell(
        &mut self,
        place: PlaceId,
        lanes: Lanes,
        entries: Node<'_>,
    ) -> Result<Node<'static>, BadStream> {
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
                    guard: Guard::default(),
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
            spelt.take(&text, self.key, &mut self.pieces)?;
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

    pub(super) fn release_spelling(&mut self, index: usize) {
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
    pub(super) fn drop_spelling(&mut self, lane: u32, node: &mut Node<'_>) {
        for spelt in self.spellings.iter_mut().filter(|spelt| spelt.lanes[0] == Some(lane)) {
            spelt.dropped = true;
            spelt.waiting.clear();
            let path = &self.table.place(spelt.place).path;
            if let Some(entries) = find(node, path, spelt.lanes) {
                *entries = Node::Null;
            }
        }
    }
}
