//! What tensors look like: numbers that cannot have been trained, and payloads among their lowest bits.
//!
//! Observations, but for one: they say that somebody should look, and never that a model is bad. A part of each
//! tensor is looked at, its beginning first, for that is where a program that takes a payload out again begins.
//!
//! False alarms. Trained weights have lowest bytes that are as good as random, or that are zero where they once were
//! of a narrower type. [`PAYLOAD`] speaks when such a plane reads as 96 characters of text in a row, or begins like an
//! executable, an archive or a pickle: one random plane in 10^38 does the first (95 of 256 bytes are characters), one
//! in 10^9 the second. [`UNEVEN`] speaks when chi-square over the 256 values of the lowest byte exceeds 600 while it
//! takes nearly all values: one random plane in 10^24, yet quantised or rounded weights do so honestly, so it is
//! only an observation.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::read::text::shown;
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;

/// The beginning of a tensor, and each of three stretches further in.
const FIRST_BYTES: usize = 256 << 10;
const FURTHER_BYTES: usize = 64 << 10;
/// What is read of all tensors of one file.
const ALL_BYTES_MAX: u64 = 64 << 20;
/// Names listed in one finding.
const NAMED_MAX: usize = 5;
/// Smaller tensors may well be constant: biases, counters, scales.
const CONSTANT_ITEMS_MIN: u64 = 1_024;
/// Characters in a row that make a plane a text.
const TEXT_RUN: usize = 96;
/// Items that the distribution of a byte is judged from.
const EVEN_ITEMS_MIN: usize = 16_384;

static PAYLOAD: Face = Face::new(
    "artifact.weights-payload",
    Severity::High,
    Verdict::Review,
    "Something else than numbers in the lowest bits of a tensor",
    "The lowest bits of the weights, which change nothing of what a model answers, read as text or as a program. A loader \
     that knows of them takes them out again.",
    "Ask who made the weights. Rounding them to a narrower type removes what is hidden so.",
    refs!["CWE-506", "MITRE-ATLAS:AML.T0018.002"],
);
static UNEVEN: Face = Face::new(
    "artifact.weights-uneven",
    Severity::Info,
    Verdict::Clean,
    "Lowest bits of a tensor that are not as random as trained ones",
    "Trained weights have lowest bits like noise. Here some values are far more frequent: rounded or quantised weights \
     do that, and so do hidden data.",
    "Compare with the weights that the publisher gives.",
    refs!["MITRE-ATLAS:AML.T0018"],
);
static NOT_NUMBERS: Face = Face::new(
    "artifact.weights-not-finite",
    Severity::Info,
    Verdict::Clean,
    "Tensor with items that are no numbers",
    "Infinity or NaN among weights spreads through every answer of the model, or only through those that touch them.",
    "Train again from a checkpoint before the numbers broke.",
    refs!["CWE-682"],
);
static CONSTANT: Face = Face::new(
    "artifact.weights-constant",
    Severity::Info,
    Verdict::Clean,
    "Large tensor of one value only",
    "Nothing was trained here, or what was trained has been wiped.",
    "Ask whether the layer was meant to be used.",
    refs![],
);

/// The rules that tensors may break, for formats that have tensors.
pub(crate) static RULES: [&Face; 4] = [&PAYLOAD, &UNEVEN, &NOT_NUMBERS, &CONSTANT];

/// How an item is stored, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    F64,
    F32,
    F16,
    Bf16,
}

impl Item {
    fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Whether the exponent says infinity or NaN.
    fn is_broken(self, item: &[u8]) -> bool {
        match self {
            Self::F64 => item[7] & 0x7f == 0x7f && item[6] & 0xf0 == 0xf0,
            Self::F32 => item[3] & 0x7f == 0x7f && item[2] & 0x80 == 0x80,
            Self::F16 => item[1] & 0x7c == 0x7c,
            Self::Bf16 => item[1] & 0x7f == 0x7f && item[0] & 0x80 == 0x80,
        }
    }
}

/// What was seen of one file's tensors.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    read: u64,
    payloads: Vec<String>,
    uneven: Named,
    broken: Named,
    constant: Named,
}

/// Some names, and how many there are.
#[derive(Debug, Default)]
struct Named {
    names: Vec<String>,
    count: usize,
}

impl Named {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < NAMED_MAX {
            self.names.push(format!("`{}`", shown(name, 80)));
        }
    }

    fn say(&self, face: &'static Face, context: &mut Context<'_>) {
        if self.count > 0 {
            let more = if self.count > self.names.len() { ", …" } else { "" };
            context.find(face, format!("{} tensors: {}{more}", self.count, self.names.join(", ")));
        }
    }
}

impl Weights {
    /// Looks at a tensor's bytes.
    ///
    /// # Errors
    /// When they cannot be read, or the budget is spent.
    pub(crate) fn look(
        &mut self,
        name: &str,
        item: Item,
        source: &Source,
        context: &Context<'_>,
    ) -> Result<(), Unread> {
        let width = item.bytes() as u64;
        let items = source.len() / width;
        if items < 64 || self.read >= ALL_BYTES_MAX {
            return Ok(());
        }
        let mut starts = vec![(0, FIRST_BYTES)];
        if source.len() > 4 * FIRST_BYTES as u64 && !source.going_back_is_dear() {
            // Aligned, so that planes stay planes.
            starts.extend((1..4_u64).map(|part| (source.len() / 4 * part / 64 * 64, FURTHER_BYTES)));
        }
        let (mut broken, mut constant) = (false, true);
        let mut first: Option<Vec<u8>> = None;
        for (start, count) in starts {
            let bytes = source.some(start, count)?;
            self.read += bytes.len() as u64;
            context.budget().steps(bytes.len() as u64 / 8)?;
            let whole = &bytes[..bytes.len() / item.bytes() * item.bytes()];
            broken |= whole.chunks_exact(item.bytes()).any(|one| item.is_broken(one));
            let first = first.get_or_insert_with(|| whole[..item.bytes()].to_vec());
            let same = whole.chunks_exact(item.bytes()).all(|one| one == first.as_slice());
            constant &= same;
            if !same {
                self.planes(name, item, whole, start == 0);
            }
        }
        if broken {
            self.broken.add(name);
        }
        if constant && items >= CONSTANT_ITEMS_MIN {
            self.constant.add(name);
        }
        Ok(())
    }

    /// The lowest byte of each item, and the lowest bit of each, as whoever hides something there would read them.
    fn planes(&mut self, name: &str, item: Item, bytes: &[u8], begins: bool) {
        let low: Vec<u8> = bytes.chunks_exact(item.bytes()).map(|one| one[0]).collect();
        let bits = |reversed: bool| -> Vec<u8> {
            let pack = |eight: &[u8]| {
                eight
                    .iter()
                    .enumerate()
                    .fold(0_u8, |sum, (index, byte)| sum | (byte & 1) << if reversed { index } else { 7 - index })
            };
            low.chunks_exact(8).map(pack).collect()
        };
        let planes = [("lowest bytes", low.clone()), ("lowest bits", bits(false)), ("lowest bits", bits(true))];
        for (what, plane) in &planes {
            if let Some(why) = payload(plane, begins)
                && self.payloads.len() < NAMED_MAX
            {
                self.payloads.push(format!("the {what} of `{}` {why}", shown(name, 80)));
                return;
            }
        }
        if matches!(item, Item::F32 | Item::F64) && is_uneven(&low) {
            self.uneven.add(name);
        }
    }

    /// Says what was seen.
    pub(crate) fn conclude(self, context: &mut Context<'_>) {
        for payload in &self.payloads {
            context.find(&PAYLOAD, payload.clone());
        }
        self.uneven.say(&UNEVEN, context);
        self.broken.say(&NOT_NUMBERS, context);
        self.constant.say(&CONSTANT, context);
    }
}

/// What a plane reads as, if it is no noise.
fn payload(plane: &[u8], begins: bool) -> Option<&'static str> {
    const MAGIC: &[(&[u8], &str)] = &[
        (b"\x7fELF", "begin like an executable"),
        (b"PK\x03\x04", "begin like an archive"),
        (b"\x1f\x8b\x08\x00", "begin like a compressed file"),
        (b"#!/bin/", "begin like a script"),
    ];
    // A frame of less than four gigabytes.
    if begins && plane.starts_with(b"\x80\x04\x95") && plane.get(7..11) == Some(&[0; 4]) {
        return Some("begin like a pickle");
    }
    if begins && let Some((_, what)) = MAGIC.iter().find(|(magic, _)| plane.starts_with(magic)) {
        return Some(what);
    }
    let (mut run, mut distinct) = (0_usize, [false; 256]);
    for byte in plane {
        if matches!(byte, b' '..=b'~' | b'\n' | b'\t') {
            run += 1;
            distinct[usize::from(*byte)] = true;
            // A rounded type repeats a few bytes; a text has many.
            if run >= TEXT_RUN && distinct.iter().filter(|seen| **seen).count() >= 12 {
                return Some("read as text");
            }
        } else {
            (run, distinct) = (0, [false; 256]);
        }
    }
    None
}

/// Whether a byte takes most of its values, and some far more often than chance allows.
fn is_uneven(plane: &[u8]) -> bool {
    if plane.len() < EVEN_ITEMS_MIN {
        return false;
    }
    let mut counts = [0_u64; 256];
    for byte in plane {
        counts[usize::from(*byte)] += 1;
    }
    // Fewer values: the weights were of a narrower type once.
    if counts.iter().filter(|count| **count > 0).count() < 224 {
        return false;
    }
    // Zero stands for pruned weights, which are many and honest.
    let rest = (plane.len() as u64 - counts[0]).max(1);
    let expected = rest / 255;
    if expected < 32 {
        return false;
    }
    let sum: u64 = counts[1..].iter().map(|count| count.abs_diff(expected).pow(2)).sum();
    sum / expected > 600
}

#[cfg(test)]
mod tests {
    /// Noise that is the same each time (xorshift64).
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            })
            .collect()
    }

    /// Weights between 0.5 and 2 with lowest bytes of one's choice.
    fn weights(low: &[u8]) -> Vec<u8> {
        noise(low.len() * 2)
            .chunks_exact(2)
            .zip(low)
            .flat_map(|(pair, low)| [*low, pair[0], pair[1] & 0x7f, 0x3f])
            .collect()
    }

    fn rules(bytes: Vec<u8>) -> Vec<String> {
        let header =
            format!(r#"{{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}}"#, bytes.len() / 4, bytes.len());
        crate::testing::rules_of([&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes].concat())
    }

    #[test]
    fn noise_is_no_alarm() {
        assert_eq!(rules(weights(&noise(200_000))), [""; 0]);
        // Weights that were of sixteen bits once.
        assert_eq!(rules(weights(&vec![0; 200_000])), [""; 0]);
    }

    #[test]
    fn hidden_texts_and_programs_are_seen() {
        let payload = ["artifact.weights-payload"];
        let script = b"import os\nos.system('echo harmless')  # nothing happens, and the text is long enough to be told from noise\n";
        let mut low = noise(100_000);
        low[..script.len()].copy_from_slice(script);
        assert_eq!(rules(weights(&low)), payload);
        let mut low = noise(100_000);
        low[..4].copy_from_slice(b"\x7fELF");
        assert_eq!(rules(weights(&low)), payload);
        // One bit of each weight, the highest of each letter first.
        let mut low = noise(100_000);
        for (index, byte) in low.iter_mut().enumerate().take(script.len() * 8) {
            *byte = *byte & 0xfe | script[index / 8] >> (7 - index % 8) & 1;
        }
        assert_eq!(rules(weights(&low)), payload);
    }

    #[test]
    fn odd_numbers_are_observed() {
        let mut broken = weights(&noise(5_000));
        broken[400..404].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(rules(broken), ["artifact.weights-not-finite"]);
        assert_eq!(rules(0.5_f32.to_le_bytes().repeat(5_000)), ["artifact.weights-constant"]);
        assert_eq!(rules(0.0_f32.to_le_bytes().repeat(500)), [""; 0]);
        let uneven: Vec<u8> =
            noise(200_000).iter().enumerate().map(|(i, byte)| if i % 3 == 0 { 0x41 } else { *byte }).collect();
        assert_eq!(rules(weights(&uneven)), ["artifact.weights-uneven"]);
    }
}
