//! Paddle: programs (`.pdmodel`, `framework.proto` of <https://github.com/PaddlePaddle/Paddle>) and their parameters (`.pdiparams`).
//!
//! A program is a list of operators, of which some read files, load others, or call back into Python;
//! `rules/paddle-operators.toml` says which. Programs of Paddle 3 are JSON ([`super::json`]), parameters of training
//! (`.pdparams`) are pickles.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part};
use crate::read::protobuf::{Field, Message, Wire};
use crate::read::text::shown;
use crate::refs;
use crate::source::{Source, Tape};
use crate::unread::Unread;

use super::onnx::CUSTOM;

const OPEN_MAX: usize = 4_000_000;
/// Ranks and levels beyond this are lies.
const LEVELS_MAX: u64 = 64;
/// The description of one tensor.
const DESCRIPTION_BYTES_MAX: u64 = 4_096;

static DANGEROUS: Face = Face::new(
    "artifact.paddle-operator",
    Severity::Critical,
    Verdict::Blocked,
    "Program that reaches files or Python",
    "An operator of the program reads or writes files by name, or calls Python, whenever the model is used.",
    "Reject the model, and have it exported without the operator.",
    refs!["CWE-94", "CWE-73", "MITRE-ATLAS:AML.T0011.000"],
);
static DOUBTFUL: Face = Face::new(
    "artifact.paddle-engine-operator",
    Severity::Medium,
    Verdict::Review,
    "Program that runs another, or on another machine",
    "An operator of the program carries a program for another engine, or talks to other machines, which a model for \
     inference does not need.",
    "Have a person look at what the operator is given.",
    refs!["CWE-829", "MITRE-ATLAS:AML.T0011.000"],
);

struct Operators {
    dangerous: HashSet<String>,
    doubtful: HashSet<String>,
    known: HashSet<String>,
}

static OPERATORS: LazyLock<Operators> = LazyLock::new(|| {
    let text = include_str!("../../../../../rules/paddle-operators.toml");
    let mut table: BTreeMap<String, Vec<String>> =
        toml::from_str(text).expect("the table is part of the program, and a test reads it");
    let mut take = |key: &str| table.remove(key).unwrap_or_default().into_iter().collect();
    Operators { dangerous: take("dangerous"), doubtful: take("doubtful"), known: take("known") }
});

/// What using an operator means; nothing for the harmless ones.
pub(super) fn judge_operator(name: &str) -> Option<&'static Face> {
    let operators = &*OPERATORS;
    if operators.dangerous.contains(name) {
        return Some(&DANGEROUS);
    }
    if operators.doubtful.contains(name) {
        return Some(&DOUBTFUL);
    }
    (!operators.known.contains(name)).then_some(&CUSTOM)
}

/// Rules that its programs speak, whichever way they are written.
pub(super) fn program_rules() -> [&'static Face; 3] {
    [&DANGEROUS, &DOUBTFUL, &CUSTOM]
}

/// A program.
pub(crate) struct PaddleProgram;

#[derive(Clone, Copy)]
enum What {
    Program,
    Block,
    Operator,
    Attribute,
}

/// Whether a block begins as Paddle writes it: its number and its parent's.
fn is_block(source: &Source) -> bool {
    let mut message = Message::new(source);
    let first = message.next();
    let second = message.next();
    matches!(first, Ok(Some(Field { number: 1, value: Wire::Number(0..=10_000), .. })))
        && matches!(second, Ok(Some(Field { number: 2, value: Wire::Number(_), .. })))
}

impl Format for PaddleProgram {
    fn name(&self) -> &'static str {
        "paddle"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: LazyLock<Vec<&'static Face>> = LazyLock::new(|| program_rules().to_vec());
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.head.first() != Some(&0x0a) {
            return Claim::No;
        }
        match Message::new(&part.source).next() {
            Ok(Some(Field { number: 1, value: Wire::Bytes(block), .. })) if is_block(&block) => Claim::Yes,
            _ => Claim::No,
        }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut open = vec![(What::Program, part.source.clone())];
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        while let Some((what, source)) = open.pop() {
            if open.len() > OPEN_MAX {
                return Err(Unread::Limit(crate::Limit::Within("operators of a Paddle program")));
            }
            let mut message = Message::new(&source);
            while let Some(field) = message.next()? {
                context.budget().steps(1)?;
                let inner = match (what, field.number) {
                    (What::Program, 1) => Some(What::Block),
                    (What::Block, 4) => Some(What::Operator),
                    (What::Operator, 4) => Some(What::Attribute),
                    _ => None,
                };
                if let (Some(inner), Some(bytes)) = (inner, field.bytes()) {
                    open.push((inner, bytes.clone()));
                } else if let (What::Operator, 3) = (what, field.number) {
                    *found.entry(field.text(128)?).or_default() += 1;
                } else if let (What::Attribute, 5, Some(bytes)) = (what, field.number, field.bytes())
                    && bytes.len() > 64
                {
                    // A serialised engine or program, by another name.
                    context.embed("attribute", bytes.clone(), Kind::Any);
                } else if let (What::Program, 2 | 3 | 6..) = (what, field.number) {
                    return Err(Unread::malformed("field of a Paddle program", field.offset));
                }
            }
        }
        for (name, count) in found {
            if let Some(face) = judge_operator(&name) {
                context.find(face, format!("`{}`, {count} times", shown(&name, 80)));
            }
        }
        Ok(())
    }
}

/// Parameters: tensors one behind the other, each described by a message.
pub(crate) struct PaddleParameters;

/// Bytes of one item, by the number of its type.
fn item_bytes(kind: u64) -> Option<u64> {
    Some(match kind {
        0 | 20 | 21 | 32 | 33 => 1,
        1 | 4 | 22 => 2,
        2 | 5 => 4,
        3 | 6 | 19 | 23 => 8,
        24 => 16,
        _ => return None,
    })
}

/// Type and number of items from a tensor's description.
fn description(source: &Source) -> Result<(u64, u64), Unread> {
    let mut message = Message::new(source);
    let (mut kind, mut items) = (u64::MAX, 1_u64);
    while let Some(field) = message.next()? {
        let mut size = |size: u64| -> Result<(), Unread> {
            items = items.checked_mul(size).ok_or_else(|| Unread::malformed("shape of a Paddle tensor", 0))?;
            Ok(())
        };
        match (field.number, &field.value) {
            (1, Wire::Number(number)) => kind = *number,
            (2, Wire::Number(number)) => size(*number)?,
            (2, Wire::Bytes(packed)) => {
                let bytes = packed.all("dimensions of a Paddle tensor", 1 << 10)?;
                let (mut value, mut shift) = (0_u64, 0);
                for byte in bytes {
                    value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
                    shift += 7;
                    if byte & 0x80 == 0 {
                        size(value)?;
                        (value, shift) = (0, 0);
                    }
                }
            }
            _ => return Err(Unread::malformed("description of a Paddle tensor", field.offset)),
        }
    }
    Ok((kind, items))
}

impl Format for PaddleParameters {
    fn name(&self) -> &'static str {
        "paddle-parameters"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        // Version, no levels, version, then the description: its type first.
        let length = part.head.get(16..20).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let is_one = part.head.get(..16) == Some(&[0; 16][..])
            && (2..=256).contains(&length)
            && part.head.get(20) == Some(&8)
            && part.head.get(21).is_some_and(|kind| item_bytes((*kind).into()).is_some())
            && (length == 2 || matches!(part.head.get(22), Some(0x10 | 0x12)));
        if is_one { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut tape = Tape::new(part.source.clone());
        while tape.left() > 0 {
            context.budget().steps(20)?;
            let at = tape.offset();
            let number = |tape: &mut Tape, count: usize| -> Result<u64, Unread> {
                let bytes = tape.take("Paddle tensor", count)?;
                Ok(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
            };
            if number(&mut tape, 4)? != 0 {
                return Err(Unread::malformed("version of a Paddle tensor", at));
            }
            let levels = number(&mut tape, 8)?;
            if levels > LEVELS_MAX {
                return Err(Unread::malformed("levels of a Paddle tensor", at));
            }
            for _ in 0..levels {
                let len = number(&mut tape, 8)?;
                tape.skip("level of a Paddle tensor", len)?;
            }
            if number(&mut tape, 4)? != 0 {
                return Err(Unread::malformed("version of a Paddle tensor", at));
            }
            let len = number(&mut tape, 4)?;
            if len > DESCRIPTION_BYTES_MAX {
                return Err(Unread::malformed("description of a Paddle tensor", at));
            }
            let (kind, items) = description(&part.source.slice(tape.offset(), len))?;
            tape.skip("description of a Paddle tensor", len)?;
            let width = item_bytes(kind).ok_or_else(|| Unread::malformed("type of a Paddle tensor", at))?;
            let bytes = items.checked_mul(width).ok_or_else(|| Unread::malformed("shape of a Paddle tensor", at))?;
            tape.skip("items of a Paddle tensor", bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::read::protobuf::write::{bytes, number, text};
    use crate::testing::{rules_of, scan, verdict_of};

    fn program(operator: &str, attribute: &[u8]) -> Vec<u8> {
        let operator =
            [text(3, operator), bytes(4, &[text(1, "a"), number(2, 2), bytes(5, attribute)].concat())].concat();
        let block = [number(1, 0), number(2, u64::MAX), bytes(3, &text(1, "x")), bytes(4, &operator)].concat();
        [bytes(1, &block), bytes(4, &number(1, 0))].concat()
    }

    #[test]
    fn operators_are_judged() {
        let honest = scan(program("matmul_v2", b""));
        assert_eq!((honest.format, honest.verdict()), ("paddle", Verdict::Clean), "{:?}", honest.findings);
        assert_eq!(verdict_of(program("py_func", b"")), Verdict::Blocked);
        assert_eq!(verdict_of(program("load_combine", b"/etc/x")), Verdict::Blocked);
        assert_eq!(verdict_of(program("tensorrt_engine", b"")), Verdict::Review);
        assert!(rules_of(program("acme_layer", b"")).contains(&"artifact.custom-operator".to_owned()));
        let carried = program("assign", &[&b"\x7fELF\x02\x01\x01"[..], &[0; 80]].concat());
        assert_eq!(verdict_of(carried), Verdict::Blocked);
        let whole = program("relu", b"");
        assert_ne!(verdict_of(whole[..whole.len() - 3].to_vec()), Verdict::Clean);
        let json = r##"{"base_code":{"magic":"pir","version":4},"program":{"regions":[{"#":"region_0","blocks":[{"#":"block_0","ops":[{"#":"1.OP","A":[]}]}]}]}}"##;
        for (operator, verdict) in [("matmul", Verdict::Clean), ("read_file", Verdict::Blocked)] {
            let scanned = scan(json.replace("OP", operator).into_bytes());
            assert_eq!((scanned.format, scanned.verdict()), ("paddle", verdict), "{:?}", scanned.findings);
        }
        assert_eq!(verdict_of(json.replace("1.OP", "7.acme").into_bytes()), Verdict::Review);
    }

    #[test]
    fn parameters_fill_the_file() {
        let tensor = |kind: u8| [&[0; 16][..], &[6, 0, 0, 0], &[8, kind, 0x10, 2, 0x10, 3], &[1; 24]].concat();
        let two = [tensor(5), tensor(5)].concat();
        let scanned = scan(two.clone());
        assert_eq!(
            (scanned.format, scanned.verdict()),
            ("paddle-parameters", Verdict::Clean),
            "{:?}",
            scanned.findings
        );
        for end in (23..two.len()).filter(|end| *end != 50) {
            assert_eq!(verdict_of(two[..end].to_vec()), Verdict::Incomplete, "cut at {end}");
        }
        assert_eq!(verdict_of([&two[..], b"tail of it"].concat()), Verdict::Incomplete);
    }
}
