//! The engine: built once, shared by every thread.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use haris_domain::{Context, Detection, DetectionKind, Rule};

use crate::Stream;
use crate::detectors::hidden_unicode::{self, Hidden};
use crate::detectors::{DETECTORS, Detector, Trigger};
use crate::literals::{self, Literals, Place};
use crate::resolve::{Claim, Cluster, Resolver};
use crate::scan::{Match, Scanner, WORD_MAX, Window};
use crate::view::{self, Folder, Map};

/// The built-in rules, compiled. Immutable: build one, share it in an [`Arc`].
pub struct Engine {
    rules: Vec<Rule>,
    pub(crate) compiled: Compiled,
}

/// What was found in one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// By start, then end, then rule.
    pub detections: Vec<Detection>,
    /// The best score per kind, in millionths. A kind that was not found is absent.
    pub scores: BTreeMap<DetectionKind, u32>,
}

/// An inspection with what led to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// What [`Engine::inspect`] says.
    pub inspection: Inspection,
    /// For each detection, what convinced its rule. Never quotes the text.
    pub reasons: Vec<&'static str>,
    /// The views that were looked at.
    pub views: Vec<View>,
}

/// One reading of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// `original` or `folded`.
    pub name: &'static str,
    /// How many stretches read differently from the original.
    pub changes: usize,
}

impl Engine {
    /// The engine with its built-in rules.
    #[must_use]
    pub fn new() -> Self {
        let compiled = Compiled::new(DETECTORS.iter().map(|build| build()).collect());
        let rules = compiled.lanes.iter().flat_map(|lane| lane.rules.clone()).chain(hidden_unicode::rules()).collect();
        Self { rules, compiled }
    }

    /// Everything the rules find in `text`, which came from `context`. Any text takes time in
    /// proportion to its length.
    #[must_use]
    pub fn inspect(&self, text: &str, context: Context) -> Inspection {
        Inspection::of(self.look(text, context).0.into_iter().map(|claim| claim.detection).collect())
    }

    /// As [`Engine::inspect`], with the reasons.
    #[must_use]
    pub fn explain(&self, text: &str, context: Context) -> Explanation {
        let (claims, changes) = self.look(text, context);
        let (detections, reasons) = claims.into_iter().map(|claim| (claim.detection, claim.why)).unzip();
        let views = vec![View { name: "original", changes: 0 }, View { name: "folded", changes }];
        Explanation { inspection: Inspection::of(detections), reasons, views }
    }

    /// A text that will arrive in pieces.
    #[must_use]
    pub fn stream(self: &Arc<Self>, context: Context) -> Stream {
        Stream::new(Arc::clone(self), context)
    }

    /// The face of every rule.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of that id.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// The crate's version; together with [`Engine::rules`] it says which engine decided.
    #[must_use]
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The claims in order, and in how many places the folded view differs.
    fn look(&self, text: &str, context: Context) -> (Vec<Claim>, usize) {
        let mut map = Map::default();
        let view = if view::is_plain(text) {
            Cow::Borrowed(text)
        } else {
            let mut folded = String::with_capacity(text.len());
            Folder::default().fold(text, 0, true, &mut folded, 0, &mut map);
            Cow::Owned(folded)
        };
        let mut resolver = Resolver::default();
        let mut matches = Vec::new();
        let window = Window { view: &view, base: 0, map: &map, last: true };
        Scanner::new(&self.compiled, context).advance(&self.compiled, window, &mut matches);
        for found in matches {
            resolver.add(self.compiled.claim(found));
        }
        Hidden::default().advance(text, 0, true, &mut |claim| resolver.add(claim));
        let mut clusters: Vec<Cluster> = Vec::new();
        resolver.settle(usize::MAX, &mut clusters);
        (clusters.into_iter().flat_map(|cluster| cluster.claims).collect(), map.edits())
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Inspection {
    fn of(detections: Vec<Detection>) -> Self {
        let mut scores = BTreeMap::new();
        for detection in &detections {
            let best = scores.entry(detection.kind).or_insert(0);
            *best = detection.score.max(*best);
        }
        Self { detections, scores }
    }
}

/// A detector with what the scanner asks of it on every place.
pub(crate) struct Lane {
    pub(crate) detector: Box<dyn Detector>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) behind: usize,
    pub(crate) reach: usize,
}

/// The detectors, sorted by what triggers them.
pub(crate) struct Compiled {
    pub(crate) lanes: Vec<Lane>,
    /// Lanes to ask at numbers.
    pub(crate) numbers: Vec<usize>,
    /// Lanes to ask at single bytes.
    pub(crate) bytes: Vec<(u8, Vec<usize>)>,
    /// All literals of all lanes.
    pub(crate) literals: Literals,
}

impl Compiled {
    pub(crate) fn new(detectors: Vec<Box<dyn Detector>>) -> Self {
        let mut numbers = Vec::new();
        let mut bytes: Vec<(u8, Vec<usize>)> = Vec::new();
        let mut literals = literals::Builder::default();
        for (lane, detector) in detectors.iter().enumerate() {
            match detector.trigger() {
                Trigger::Number => numbers.push(lane),
                Trigger::Byte(byte) => match bytes.iter_mut().find(|(other, _)| *other == byte) {
                    Some((_, lanes)) => lanes.push(lane),
                    None => bytes.push((byte, vec![lane])),
                },
                Trigger::Words(own) => literals.add_all(&own, Place::Word, lane),
                Trigger::Literals(own) => literals.add_all(&own, Place::WordStart, lane),
                Trigger::Parts(own) => literals.add_all(&own, Place::Anywhere, lane),
            }
        }
        let lanes = detectors
            .into_iter()
            .map(|detector| {
                let behind = detector.behind();
                assert!(behind < WORD_MAX, "a match starts in the word that is held back");
                Lane { rules: detector.rules(), behind, reach: detector.reach(), detector }
            })
            .collect();
        Self { lanes, numbers, bytes, literals: literals.build() }
    }

    /// A scanner's match as a claim.
    pub(crate) fn claim(&self, Match { span, lane, found }: Match) -> Claim {
        let Lane { detector, rules, .. } = &self.lanes[lane];
        Claim {
            layer: detector.layer(),
            rank: detector.rank(),
            detection: Detection { rule: rules[found.rule].id.clone(), kind: found.kind, span, score: found.score },
            why: found.why,
        }
    }
}
