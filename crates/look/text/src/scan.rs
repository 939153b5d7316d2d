//! The scanner: finds the places worth a look, asks the detectors, and knows what is still open.
//!
//! One scanner serves whole texts and streams. It moves left to right over the folded view, keeps a
//! queue per detector of places that cannot be decided yet, and reports a horizon: no match that is
//! still to come starts before it. A detector's places are found and asked in the order in which
//! they stand in the text; otherwise a match that consumes the next place would depend on the
//! chunking.
//!
//! Work is linear. Each byte is searched for triggers once. Each place costs at most its detector's
//! reach, and a place that waits for more text is asked again only after an eighth more has
//! arrived, so that one-byte pushes cost a constant factor, not a square.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;

use haris_domain::Context;

use crate::engine::{Compiled, Lane};
use crate::spot::{Found, Spot};
use crate::view::Map;

/// A word at the end of what has arrived may become an address or a token: at most this much of it
/// is held back.
pub(crate) const WORD_MAX: usize = 80;

/// Text is searched in blocks that stay in the first-level cache while the passes run over them.
const BLOCK: usize = 16 * 1024;

/// What has arrived and is still kept: the folded view from `base` on, and the map of the whole.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub(crate) view: &'a str,
    pub(crate) base: usize,
    pub(crate) map: &'a Map,
    /// Nothing follows.
    pub(crate) last: bool,
}

/// A match in bytes of the original text.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub(crate) span: Range<usize>,
    pub(crate) lane: usize,
    pub(crate) found: Found,
}

/// A place where a detector has still to be asked, in bytes of the whole view.
struct Place {
    at: usize,
    literal: usize,
    /// Where its match could start.
    hold: usize,
    /// Not before this much has arrived.
    retry: usize,
}

#[derive(Default)]
struct Queue {
    places: VecDeque<Place>,
    /// End of the last match: the next one starts no earlier.
    busy: usize,
}

/// The state of one text on its way through the detectors.
pub(crate) struct Scanner {
    context: Context,
    queues: Vec<Queue>,
    scanned: usize,
    /// Literals that start before it are found.
    compared: usize,
    after_digit: bool,
    /// Calls of detectors and bytes searched, so that a test can hold the work to a line.
    pub(crate) work: u64,
}

impl Scanner {
    pub(crate) fn new(compiled: &Compiled, context: Context) -> Self {
        Self {
            context,
            queues: compiled.lanes.iter().map(|_| Queue::default()).collect(),
            scanned: 0,
            compared: 0,
            after_digit: false,
            work: 0,
        }
    }

    /// Takes in what is new in `window`, adds matches to `out` and returns the horizon in bytes of
    /// the view: every match that starts before it is known.
    pub(crate) fn advance(&mut self, compiled: &Compiled, window: Window<'_>, out: &mut Vec<Match>) -> usize {
        let end = window.base + window.view.len();
        while self.scanned < end {
            let block = self.scanned..end.min(self.scanned + BLOCK);
            self.scanned = block.end;
            self.find_places(compiled, window, block);
            self.ask(compiled, window, out);
        }
        if window.last {
            if self.compared < end {
                self.find_literals(compiled, window, end);
            }
            self.ask(compiled, window, out);
            return end;
        }
        let queued = self.queues.iter().filter_map(|queue| queue.places.front()).map(|place| place.hold).min();
        let word = end - open_word(window.view.as_bytes());
        word.min(self.compared).min(queued.unwrap_or(end))
    }

    /// The smallest place that a detector may still have to look back from.
    pub(crate) fn oldest_place(&self, horizon: usize) -> usize {
        let oldest = self.queues.iter().filter_map(|queue| queue.places.front()).map(|place| place.at).min();
        oldest.unwrap_or(horizon).min(horizon).min(self.compared)
    }

    fn find_places(&mut self, compiled: &Compiled, window: Window<'_>, block: Range<usize>) {
        let bytes = &window.view.as_bytes()[block.start - window.base..block.end - window.base];
        self.work += bytes.len() as u64;
        self.find_numbers(compiled, window, bytes, block.start);
        for (byte, lanes) in &compiled.bytes {
            for index in memchr::memchr_iter(*byte, bytes) {
                for lane in lanes {
                    self.queue(compiled, window, *lane, block.start + index, 0);
                }
            }
        }
        self.find_literals(compiled, window, block.end);
    }

    fn find_numbers(&mut self, compiled: &Compiled, window: Window<'_>, bytes: &[u8], base: usize) {
        // Whole chunks without a digit are dismissed with vector instructions.
        const CHUNK: usize = 64;
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            if !chunk.iter().fold(false, |any, b| any | (b.wrapping_sub(b'0') < 10)) {
                self.after_digit = false;
                continue;
            }
            for (offset, byte) in chunk.iter().enumerate() {
                let digit = byte.is_ascii_digit();
                if digit && !self.after_digit {
                    for lane in &compiled.numbers {
                        self.queue(compiled, window, *lane, base + index * CHUNK + offset, 0);
                    }
                }
                self.after_digit = digit;
            }
        }
    }

    /// Finds the literals up to `end`, but for one that may still go on there.
    fn find_literals(&mut self, compiled: &Compiled, window: Window<'_>, end: usize) {
        let last = window.last && end == window.base + window.view.len();
        let bytes = &window.view.as_bytes()[..end - window.base];
        let from = self.compared - window.base;
        let mut queue =
            |at: usize, lane: usize, literal: usize| self.queue(compiled, window, lane, window.base + at, literal);
        self.compared = window.base + compiled.literals.find(bytes, from, last, &mut queue);
    }

    fn queue(&mut self, compiled: &Compiled, window: Window<'_>, lane: usize, at: usize, literal: usize) {
        let Lane { detector, behind, .. } = &compiled.lanes[lane];
        if !detector.works_in(self.context) {
            return;
        }
        let bytes = window.view.as_bytes();
        let index = at - window.base;
        let word =
            bytes[index.saturating_sub(*behind)..index].iter().rev().take_while(|b| b.is_ascii_graphic()).count();
        self.queues[lane].places.push_back(Place { at, literal, hold: at - word, retry: 0 });
    }

    /// Asks about all places that have enough text behind them.
    fn ask(&mut self, compiled: &Compiled, window: Window<'_>, out: &mut Vec<Match>) {
        let end = window.base + window.view.len();
        for (lane, (queue, Lane { detector, reach, .. })) in self.queues.iter_mut().zip(&compiled.lanes).enumerate() {
            while let Some(place) = queue.places.front_mut() {
                if place.retry > end && !window.last {
                    break;
                }
                let at = place.at;
                if at >= queue.busy {
                    let starved = Cell::new(false);
                    let about = (place.literal, self.context);
                    let spot = Spot::new(window.view, at - window.base, *reach, window.last, &starved, about);
                    self.work += 1 + ((end - at).min(*reach) / 8) as u64;
                    let found = detector.look(&spot);
                    if starved.get() {
                        place.retry = end + ((end - at) / 8).max(1);
                        break;
                    }
                    if let Some(found) = found {
                        let span = at.saturating_add_signed(found.start)..at + found.end;
                        if span.start >= queue.busy.max(place.hold) && span.start < span.end {
                            queue.busy = span.end;
                            out.push(Match { span: window.map.raw_span(span), lane, found });
                        }
                    }
                }
                queue.places.pop_front();
            }
        }
    }
}

/// How much of the end of `view` is an unfinished word of printable ASCII.
fn open_word(view: &[u8]) -> usize {
    view.iter().rev().take(WORD_MAX).take_while(|b| b.is_ascii_graphic()).count()
}
