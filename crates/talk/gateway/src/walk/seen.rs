//! What a walk saw, and where.

use std::collections::BTreeSet;

use haris_domain::identifier::normal_form;
use haris_domain::{Context, Detection, DetectionKind};

use crate::media::Wrapping;
use crate::table::{Form, PlaceId};

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
pub(crate) struct Identifiers(pub(crate) BTreeSet<(DetectionKind, String)>);

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
pub(crate) struct Repeated(pub(super) Vec<(PlaceId, String)>);

impl Seen {
    pub(crate) fn not_scanned(&mut self, field: String, why: &'static str) {
        if self.not_scanned.len() < NOT_SCANNED_MAX {
            self.not_scanned.push(NotScanned { field, why });
        } else {
            self.not_scanned_more += 1;
        }
    }
}
