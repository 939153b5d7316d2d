//! What an unpickler or an unpacker does not notice changes no verdict: inserted opcodes without effect, another
//! numbering of the memo, other frames and protocols, members in another order or packed anew.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test's report")]

use std::io::Write as _;

use haris_artifact::{Limits, Scanner, Source, Verdict};
use proptest::prelude::*;

/// One opcode with its arguments.
type Op = Vec<u8>;

fn scan(bytes: &[u8]) -> Verdict {
    Scanner::new(Limits::default()).scan("sample", &Source::memory(bytes.to_vec())).verdict()
}

/// How many bytes of arguments follow the opcode that begins `rest`.
fn argument(rest: &[u8]) -> usize {
    let lines = |count: usize| {
        rest[1..].iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(count - 1).map_or(0, |(at, _)| at + 1)
    };
    let long = |width: usize| {
        let len = rest[1..=width].iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        width + len
    };
    match rest[0] {
        b'c' | b'i' => lines(2),
        b'F' | b'I' | b'L' | b'S' | b'V' | b'P' | b'g' | b'p' => lines(1),
        b'K' | b'h' | b'q' | 0x80 | 0x82 => 1,
        b'M' | 0x83 => 2,
        b'J' | b'j' | b'r' | 0x84 => 4,
        b'G' | 0x95 => 8,
        b'U' | b'C' | 0x8c | 0x8a => long(1),
        b'T' | b'X' | b'B' | 0x8b => long(4),
        0x8d | 0x8e | 0x96 => long(8),
        _ => 0,
    }
}

/// The opcodes of one pickle, frames left out: they say nothing of what is done.
fn opcodes(bytes: &[u8]) -> Vec<Op> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (op, left) = rest.split_at(1 + argument(rest));
        if op[0] != 0x95 {
            out.push(op.to_vec());
        }
        rest = left;
        if op[0] == b'.' {
            break;
        }
    }
    out
}

fn text(value: &str) -> Op {
    [&[0x8c, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
}

fn global(module: &str, name: &str) -> Op {
    format!("c{module}\n{name}\n").into_bytes()
}

/// Pickles of every verdict, with their opcodes.
fn samples() -> Vec<(&'static str, Vec<Op>)> {
    let call = |module: &str, name: &str, argument: &[Op]| {
        let mut ops = vec![vec![0x80, 3], global(module, name), vec![b'q', 0], vec![b'(']];
        ops.extend_from_slice(argument);
        ops.extend([vec![b't'], vec![b'R'], vec![b'q', 1], vec![b'.']]);
        ops
    };
    let run = text("echo harmless");
    let dict = opcodes(b"\x80\x04\x95\x0a\0\0\0\0\0\0\0}\x94\x8c\x01a\x94K\x01s.");
    let array = opcodes(
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02c_codecs\nencode\nq\x03X\x01\0\0\0bq\x04X\x06\0\0\0latin1q\x05\x86q\x06Rq\x07\x87q\x08Rq\x09.",
    );
    let getattr = opcodes(b"cbuiltins\ngetattr\np0\n(cbuiltins\n__import__\np1\n(S'os'\np2\ntRp3\nS'system'\np4\ntRp5\n(S'echo harmless'\ntR.");
    let stacked = vec![
        vec![0x80, 4],
        text("os"),
        vec![0x94],
        vec![b'0'],
        text("system"),
        vec![0x94],
        vec![b'0'],
        vec![b'h', 0],
        vec![b'h', 1],
        vec![0x93],
        run.clone(),
        vec![0x85],
        vec![b'R'],
        vec![b'.'],
    ];
    let partial = opcodes(b"\x80\x02cfunctools\npartial\nq\x00cbuiltins\nlen\nq\x01\x85Rq\x02(cos\nsystem\nq\x03(S'echo harmless'\ntq\x04}q\x05Ntb)R.");
    vec![
        ("dictionary", dict),
        ("array", array),
        ("command", call("os", "system", std::slice::from_ref(&run))),
        ("code", call("builtins", "exec", &[text("print('harmless')")])),
        ("unknown", call("acme.models", "restore", &[vec![b'K', 1]])),
        ("getattr", getattr),
        ("memo", stacked),
        ("partial", partial),
    ]
}

/// Every MEMOIZE as a numbered put, and all numbers moved on by `shift`.
fn renumbered(ops: &[Op], shift: u32) -> Vec<Op> {
    let mut known: Vec<u32> = Vec::new();
    let decimal = |op: &Op| String::from_utf8_lossy(&op[1..]).trim().parse::<u32>().unwrap();
    let wide = |code: u8, index: u32| [&[code][..], &(index + shift).to_le_bytes()].concat();
    ops.iter()
        .map(|op| {
            let put = match op[0] {
                0x94 => Some(u32::try_from(known.len()).unwrap()),
                b'q' => Some(u32::from(op[1])),
                b'p' => Some(decimal(op)),
                _ => None,
            };
            if let Some(index) = put {
                if !known.contains(&index) {
                    known.push(index);
                }
                return wide(b'r', index);
            }
            match op[0] {
                b'h' => wide(b'j', u32::from(op[1])),
                b'g' => wide(b'j', decimal(op)),
                _ => op.clone(),
            }
        })
        .collect()
}

/// Stretches that leave stack and memo as they were.
const NEUTRAL: &[&[u8]] = &[
    b"N0",
    b"(1",
    b"K\x050",
    b"]0",
    b"}0",
    b")0",
    b"\x8c\x03abc0",
    b"(NN1",
    b"I5\n0",
    b"S'x'\n0",
    b"(lp900\n0",
    b"\x8f0",
    b"G\0\0\0\0\0\0\0\x000",
    b"(K\x01K\x02t0",
    b"Vx\n0",
];

/// The same argument, spelt as another protocol does.
fn respelt(op: &Op, choice: u8) -> Vec<Op> {
    let one = |bytes: Vec<u8>| vec![bytes];
    match (op[0], choice % 4) {
        (0x8c, 0) => one([&b"X"[..], &u32::from(op[1]).to_le_bytes(), &op[2..]].concat()),
        (0x8c, 1) => one([&[0x8d][..], &u64::from(op[1]).to_le_bytes(), &op[2..]].concat()),
        (0x8c, 2) => one([b"V", &op[2..], b"\n"].concat()),
        (b'K', 0) => one([&b"J"[..], &u32::from(op[1]).to_le_bytes()].concat()),
        (b'K', 1) => one(format!("I{}\n", op[1]).into_bytes()),
        (b'K', 2) => one(vec![b'M', op[1], 0]),
        (b'S', 0) => {
            let inner = &op[2..op.len() - 2];
            one([&[0x8c, u8::try_from(inner.len()).unwrap()], inner].concat())
        }
        (b'c', 0 | 1) => {
            let lines = String::from_utf8(op[1..].to_vec()).unwrap();
            let (module, name) = lines.trim_end().split_once('\n').unwrap();
            vec![text(module), text(name), vec![0x93]]
        }
        (b')', 0) => vec![vec![b'('], vec![b't']],
        (b'}', 0) => vec![vec![b'('], vec![b'd']],
        (b']', 0) => vec![vec![b'('], vec![b'l']],
        _ => vec![op.clone()],
    }
}

/// Opcodes in frames of so many each.
fn framed(ops: &[Op], sizes: &[usize]) -> Vec<u8> {
    let (head, mut rest) = ops.split_at(usize::from(ops[0][0] == 0x80));
    let mut out: Vec<u8> = if head.is_empty() { vec![0x80, 4] } else { head.concat() };
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (frame, left) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        let bytes = frame.concat();
        out.push(0x95);
        out.extend((bytes.len() as u64).to_le_bytes());
        out.extend(bytes);
        rest = left;
    }
    out
}

/// A zip of stored or deflated members.
fn zipped(members: &[(&str, &[u8])], deflated: &[bool]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (index, (name, content)) in members.iter().enumerate() {
        let is_deflated = deflated[index % deflated.len()];
        let packed = if is_deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let at = u32::try_from(out.len()).unwrap();
        let u32_of = |len: usize| u32::try_from(len).unwrap().to_le_bytes();
        let fields = [
            &[20, 0, 0, 0, if is_deflated { 8 } else { 0 }, 0, 0, 0, 0, 0][..],
            &crc32fast::hash(content).to_le_bytes(),
            &u32_of(packed.len()),
            &u32_of(content.len()),
            &u16::try_from(name.len()).unwrap().to_le_bytes(),
        ]
        .concat();
        out.extend([b"PK\x03\x04", &fields[..], &[0, 0], name.as_bytes(), &packed].concat());
        directory.extend([b"PK\x01\x02\x14\x00", &fields[..], &[0; 12], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let (size, at) =
        (u32::try_from(directory.len()).unwrap().to_le_bytes(), u32::try_from(out.len()).unwrap().to_le_bytes());
    [&out[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &size, &at, &[0, 0]].concat()
}

fn packed(bytes: &[u8], how: u8) -> Vec<u8> {
    match how % 4 {
        0 => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(u32::from(how) % 9 + 1));
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        1 => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::stream::encode_all(bytes, i32::from(how % 9)).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn opcodes_without_effect_change_nothing(places in prop::collection::vec((any::<prop::sample::Index>(), 0..NEUTRAL.len()), 1..12)) {
        for (name, ops) in samples() {
            // A put within the insertion would move the numbers that MEMOIZE gives.
            let mut ops = renumbered(&ops, 0);
            let before = scan(&ops.concat());
            for (at, which) in &places {
                // Not before the header, not behind STOP.
                let at = 1 + at.index(ops.len() - 1);
                ops.insert(at, NEUTRAL[*which].to_vec());
            }
            prop_assert_eq!(scan(&ops.concat()), before, "{}", name);
        }
    }

    #[test]
    fn another_numbering_of_the_memo_changes_nothing(shift in 0_u32..3_000_000) {
        for (name, ops) in samples() {
            prop_assert_eq!(scan(&renumbered(&ops, shift).concat()), scan(&ops.concat()), "{}", name);
        }
    }

    #[test]
    fn other_spellings_frames_and_protocols_change_nothing(
        choices in prop::collection::vec(any::<u8>(), 1..16),
        sizes in prop::collection::vec(1_usize..9, 1..6),
        protocol in 0_u8..6,
    ) {
        for (name, ops) in samples() {
            let before = scan(&ops.concat());
            let mut other: Vec<Op> =
                ops.iter().enumerate().flat_map(|(index, op)| respelt(op, choices[index % choices.len()])).collect();
            prop_assert_eq!(scan(&other.concat()), before, "{} respelt", name);
            prop_assert_eq!(scan(&framed(&other, &sizes)), before, "{} in frames", name);
            if other[0][0] == 0x80 {
                other[0][1] = protocol;
            } else {
                other.insert(0, vec![0x80, protocol]);
            }
            prop_assert_eq!(scan(&other.concat()), before, "{} as protocol {}", name, protocol);
        }
    }

    #[test]
    fn members_in_another_order_or_packed_anew_change_nothing(
        order in Just([0_usize, 1, 2]).prop_shuffle(),
        deflated in prop::collection::vec(any::<bool>(), 3),
        layers in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        for (name, ops) in samples() {
            let pickle = ops.concat();
            let members = [("net/data.pkl", &pickle[..]), ("net/version", b"3\n"), ("net/data/0", &[7; 64])];
            let before = scan(&zipped(&members, &[false]));
            let shuffled: Vec<(&str, &[u8])> = order.iter().map(|index| members[*index]).collect();
            let mut file = zipped(&shuffled, &deflated);
            prop_assert_eq!(scan(&file), before, "{} in another order", name);
            for layer in &layers {
                file = packed(&file, *layer);
            }
            prop_assert_eq!(scan(&file), before, "{} in {} layers", name, layers.len());
        }
    }
}

#[test]
fn samples_have_every_verdict_that_matters() {
    let verdicts: Vec<Verdict> = samples().iter().map(|(_, ops)| scan(&ops.concat())).collect();
    for verdict in [Verdict::Clean, Verdict::Review, Verdict::Blocked] {
        assert!(verdicts.contains(&verdict), "{verdicts:?}");
    }
}
