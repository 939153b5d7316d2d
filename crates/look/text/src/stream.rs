//! A text that arrives in pieces.

use std::sync::Arc;

use haris_domain::{Context, Detection};

use crate::Engine;
use crate::detectors::hidden_unicode::Hidden;
use crate::resolve::{Cluster, Resolver};
use crate::scan::{Match, Scanner, Window};
use crate::spot::BEHIND;
use crate::view::{Folder, Map};

/// A part of a stream's text. All parts together, in order, are the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// No detection covers this.
    Clean(String),
    /// One or more overlapping detections.
    Match {
        /// Where `text` starts in the whole stream, in bytes.
        start: usize,
        /// Exactly the union of the detections' spans.
        text: String,
        /// By start, then end, then rule; spans are bytes of the whole stream.
        detections: Vec<Detection>,
    },
}

/// What has been decided and could be forgotten is forgotten once it is this long: moving the rest
/// to the front costs as much as the rest is long.
const FORGET_BYTES_MIN: usize = 4096;

/// One text on its way through the engine.
///
/// Text goes out as soon as it can no longer be part of a match. What stays is an unfinished word
/// of printable ASCII, the beginning of a phrase or token that a rule looks for, and the matches
/// themselves until it is known where they end.
pub struct Stream {
    engine: Arc<Engine>,
    scanner: Scanner,
    hidden: Hidden,
    resolver: Resolver,
    folder: Folder,
    map: Map,
    /// Not yet released, from byte `released` of the stream on.
    raw: String,
    released: usize,
    /// The folded view from byte `view_base` of the whole view on.
    view: String,
    view_base: usize,
    /// How much of the stream is folded.
    folded: usize,
    matches: Vec<Match>,
    clusters: Vec<Cluster>,
}

impl Stream {
    pub(crate) fn new(engine: Arc<Engine>, context: Context) -> Self {
        let scanner = Scanner::new(&engine.compiled, context);
        Self {
            engine,
            scanner,
            hidden: Hidden::default(),
            resolver: Resolver::default(),
            folder: Folder::default(),
            map: Map::default(),
            raw: String::new(),
            released: 0,
            view: String::new(),
            view_base: 0,
            folded: 0,
            matches: Vec::new(),
            clusters: Vec::new(),
        }
    }

    /// Takes the next part of the text and releases what can no longer be part of a match.
    pub fn push(&mut self, chunk: &str, out: &mut Vec<Piece>) {
        if !chunk.is_empty() {
            self.advance(chunk, false, out);
        }
    }

    /// Ends the text and releases all of the rest.
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        self.advance("", true, out);
    }

    /// How many bytes are held back at the moment.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Units of work so far: bytes searched and places looked at. A test holds them to a line.
    #[doc(hidden)]
    #[must_use]
    pub fn work(&self) -> u64 {
        self.scanner.work
    }

    fn advance(&mut self, chunk: &str, last: bool, out: &mut Vec<Piece>) {
        self.raw.push_str(chunk);
        let unfolded = &self.raw[self.folded - self.released..];
        self.folded += self.folder.fold(unfolded, self.folded, last, &mut self.view, self.view_base, &mut self.map);

        let window = Window { view: &self.view, base: self.view_base, map: &self.map, last };
        let view_horizon = self.scanner.advance(&self.engine.compiled, window, &mut self.matches);
        for found in self.matches.drain(..) {
            self.resolver.add(self.engine.compiled.claim(found));
        }
        let resolver = &mut self.resolver;
        let start = self.released + self.raw.len() - chunk.len();
        let hidden_horizon = self.hidden.advance(chunk, start, last, &mut |claim| resolver.add(claim));

        let horizon =
            if last { usize::MAX } else { self.map.raw_start(view_horizon).min(self.folded).min(hidden_horizon) };
        self.resolver.settle(horizon, &mut self.clusters);
        self.release(horizon, out);
        self.forget(view_horizon);
    }

    fn release(&mut self, horizon: usize, out: &mut Vec<Piece>) {
        let mut done = 0;
        for Cluster { span, claims } in self.clusters.drain(..) {
            let (start, end) = (span.start - self.released, span.end - self.released);
            if done < start {
                out.push(Piece::Clean(self.raw[done..start].to_owned()));
            }
            let detections = claims.into_iter().map(|claim| claim.detection).collect();
            out.push(Piece::Match { start: span.start, text: self.raw[start..end].to_owned(), detections });
            done = end;
        }
        let free = self.resolver.held_from().unwrap_or(horizon).min(horizon).min(self.released + self.raw.len());
        let free = free.saturating_sub(self.released);
        if done < free {
            out.push(Piece::Clean(self.raw[done..free].to_owned()));
            done = free;
        }
        self.raw.drain(..done);
        self.released += done;
    }

    /// Drops the part of the view that no detector can look back at any more.
    fn forget(&mut self, view_horizon: usize) {
        let needed = self.scanner.oldest_place(view_horizon).saturating_sub(BEHIND + 4);
        let mut passed = needed.saturating_sub(self.view_base);
        if passed < FORGET_BYTES_MIN.max(self.view.len() / 2) {
            return;
        }
        while !self.view.is_char_boundary(passed) {
            passed -= 1;
        }
        self.view.drain(..passed);
        self.view_base += passed;
        self.map.forget_before(self.view_base);
    }
}
