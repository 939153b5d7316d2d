//! Torch7's serialisation (`File.lua` of <https://github.com/torch/torch7>): `.t7` and `.net` files of the Lua years.
//!
//! Tables, tensors and objects of named classes; besides, functions as Lua's compiler left them, which run when the
//! model does. Bytecode of Lua is not checked by any Lua: a forged function is machine code in all but name.

use std::collections::{BTreeSet, HashSet};

use haris_domain::Severity;

use crate::Limit;
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::Part;
use crate::read::text::shown;
use crate::refs;
use crate::source::Tape;
use crate::unread::Unread;

use super::gguf::trailing_face;
use super::safetensors::{metadata_face, payload};

/// Values that wait to be read: nesting, and what is left of tables.
const OPEN_MAX: usize = 1 << 20;
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// A function's bytecode that is looked through.
const CODE_BYTES_MAX: u64 = 4 << 20;
const CLASSES_MAX: usize = 10_000;
/// Dimensions of a tensor.
const DIMENSIONS_MAX: u64 = 64;

static DANGER: Face = Face::new(
    "artifact.lua-dangerous-function",
    Severity::Critical,
    Verdict::Blocked,
    "Lua code that runs programs, loads code or opens files",
    "A function within the model names what starts programs, loads other code, calls native libraries or opens files.",
    "Do not load it. Find out who made it and how it got here.",
    refs!["CWE-502", "CWE-94", "MITRE-ATLAS:AML.T0011.000"],
);
static CODE: Face = Face::new(
    "artifact.lua-function",
    Severity::Medium,
    Verdict::Review,
    "Carries Lua functions",
    "Functions within the model run when it is used. They are bytecode, which shows no source to a reviewer.",
    "Have the weights exported as tensors, without functions.",
    refs!["CWE-502"],
);
static CLASS: Face = Face::new(
    "artifact.torch7-unknown-class",
    Severity::Low,
    Verdict::Review,
    "Object of a class that nobody knows",
    "Loading the file runs the class's own `read`, if a package of it is there.",
    "Ask which package the class belongs to, and vet that package.",
    refs!["CWE-502"],
);

/// What Lua code of a model does not name: ends of names, as constants of bytecode hold them.
const DANGEROUS: &[&str] = &[
    "execute",
    "popen",
    "loadstring",
    "loadfile",
    "dofile",
    "load",
    "loadlib",
    "require",
    "cdef",
    "getfenv",
    "setfenv",
    "debug",
    "package",
    "ffi",
    "io",
    "os",
    "remove",
    "rename",
    "tmpname",
    "getenv",
    "socket",
    "http",
    "sys.execute",
    "paths",
];
/// Among those, what is harmless unless something else is named along with it.
const WEAK: &[&str] =
    &["load", "os", "io", "debug", "package", "remove", "paths", "require", "ffi", "http", "socket", "getenv"];

/// Packages whose classes genuine models hold.
const KNOWN: &[&str] = &[
    "torch", "nn", "cunn", "cudnn", "cutorch", "nngraph", "nnx", "graph", "optim", "rnn", "dpnn", "image", "tds",
    "stn", "inn", "fbcunn", "fbnn", "xlua", "tnt", "nninit", "clnn", "cltorch",
];

/// The format.
pub(crate) struct Torch7;

/// Numbers as bytes, or as lines of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Binary,
    Ascii,
}

impl Format for Torch7 {
    fn name(&self) -> &'static str {
        "torch7"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![&DANGER, &CODE, &CLASS, trailing_face(), metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if mode(&part.head).is_some() { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mode = mode(&part.head).unwrap_or(Mode::Binary);
        let tape = Tape::new(part.source.clone());
        let mut walk = Walk {
            tape,
            mode,
            context,
            seen: HashSet::new(),
            classes: BTreeSet::new(),
            functions: 0,
            named: BTreeSet::new(),
        };
        let outcome = walk.object();
        let end = walk.tape.offset();
        walk.judge();
        outcome?;
        let rest = part.source.some(end, 4096)?;
        if rest.iter().any(|byte| !byte.is_ascii_whitespace() && *byte != 0) {
            context.find_at(trailing_face(), end, format!("{} bytes behind the object", part.source.len() - end));
            context.embed("trailing", part.source.from(end), crate::part::Kind::Any);
        }
        Ok(())
    }
}

/// Whether a head begins a table or an object, with what must follow it.
fn mode(head: &[u8]) -> Option<Mode> {
    let number = |at: usize| head.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    match (number(0), number(4)) {
        // An object: its number, `V 1`, the name of its class.
        (Some(4), Some(1..=0xffff)) if number(8) == Some(3) && head.get(12..15) == Some(b"V 1") => {
            return Some(Mode::Binary);
        }
        // A table: its number, how many pairs, then the first key's type, which is a number or a text.
        (Some(3), Some(1..=0xffff)) => {
            let (count, key) = (number(8)?, number(12)?);
            let plausible = match key {
                1 => count > 0 && head.get(16..24) == Some(&1_f64.to_le_bytes()[..]),
                2 => {
                    count > 0
                        && number(16).is_some_and(|len| len < 1000)
                        && head.get(20).is_some_and(u8::is_ascii_graphic)
                }
                _ => false,
            };
            return (count < 10_000_000 && plausible).then_some(Mode::Binary);
        }
        // A function by itself.
        (Some(8), Some(1..=0xffff)) if head.get(12..15) == Some(b"\x1bLJ") || head.get(12..16) == Some(b"\x1bLua") => {
            return Some(Mode::Binary);
        }
        _ => {}
    }
    let text = head.get(..head.len().min(64)).and_then(|head| std::str::from_utf8(head).ok())?;
    let mut lines = text.split('\n');
    let (kind, index) = (lines.next()?, lines.next()?);
    index.parse::<u32>().ok()?;
    match kind {
        "4" => (lines.next()? == "3" && lines.next()? == "V 1").then_some(Mode::Ascii),
        // Lists of numbers begin so as well: the first key must be a text of the length that is said.
        "3" => {
            lines.next()?.parse::<u32>().ok()?;
            let is_text = lines.next()? == "2";
            let len: usize = lines.next()?.parse().ok()?;
            let key = lines.next()?;
            (is_text && key.len() == len && key.bytes().any(|byte| byte.is_ascii_alphabetic())).then_some(Mode::Ascii)
        }
        _ => None,
    }
}

/// What is to be read next.
enum Next {
    Value,
    /// This many values: the pairs of a table.
    Values(u64),
}

struct Walk<'a, 'b> {
    tape: Tape,
    mode: Mode,
    context: &'a mut Context<'b>,
    /// Numbers of what has been read: later mentions are references.
    seen: HashSet<u64>,
    classes: BTreeSet<String>,
    functions: u64,
    named: BTreeSet<&'static str>,
}

impl Walk<'_, '_> {
    /// The next number of a file of text.
    fn line(&mut self) -> Result<String, Unread> {
        self.tape.word("number in a Torch7 file")
    }

    fn int(&mut self) -> Result<u64, Unread> {
        let at = self.tape.offset();
        let number = match self.mode {
            Mode::Binary => {
                let bytes = self.tape.take("Torch7 number", 4)?;
                i64::from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            }
            Mode::Ascii => self.line()?.parse().map_err(|_| Unread::malformed("number in a Torch7 file", at))?,
        };
        u64::try_from(number).map_err(|_| Unread::malformed("number in a Torch7 file", at))
    }

    fn long(&mut self) -> Result<u64, Unread> {
        let at = self.tape.offset();
        let number: i64 = match self.mode {
            Mode::Binary => {
                let bytes = self.tape.take("Torch7 number", 8)?;
                i64::from_le_bytes(bytes.try_into().expect("eight bytes were taken"))
            }
            Mode::Ascii => self.line()?.parse().map_err(|_| Unread::malformed("number in a Torch7 file", at))?,
        };
        u64::try_from(number).map_err(|_| Unread::malformed("number in a Torch7 file", at))
    }

    /// A text: its length and its bytes. Where it lies, as well.
    fn text(&mut self, max: u64) -> Result<(u64, String), Unread> {
        let len = self.int()?;
        let at = self.tape.offset();
        let kept = self.tape.source().some(at, usize::try_from(len.min(max)).unwrap_or(0))?;
        self.tape.skip("Torch7 text", len)?;
        if self.mode == Mode::Ascii && self.tape.left() > 0 {
            self.tape.skip("Torch7 text", 1)?;
        }
        Ok((at, String::from_utf8_lossy(&kept).into_owned()))
    }

    fn object(&mut self) -> Result<(), Unread> {
        let mut open = vec![Next::Value];
        while let Some(next) = open.pop() {
            self.context.budget().steps(3)?;
            if open.len() > OPEN_MAX {
                return Err(Unread::Limit(Limit::Within("nesting of a Torch7 file")));
            }
            match next {
                Next::Values(0) => {}
                Next::Values(left) => {
                    open.push(Next::Values(left - 1));
                    open.push(Next::Value);
                }
                Next::Value => self.value(&mut open)?,
            }
        }
        Ok(())
    }

    /// Whether the thing of the next number is new, and is to be read.
    fn is_new(&mut self) -> Result<bool, Unread> {
        let index = self.int()?;
        if self.seen.len() > 4_000_000 {
            return Err(Unread::Limit(Limit::Within("objects of a Torch7 file")));
        }
        Ok(self.seen.insert(index))
    }

    fn value(&mut self, open: &mut Vec<Next>) -> Result<(), Unread> {
        let at = self.tape.offset();
        match self.int()? {
            0 => {}
            1 => match self.mode {
                Mode::Binary => self.tape.skip("Torch7 number", 8)?,
                Mode::Ascii => {
                    self.line()?;
                }
            },
            2 => {
                let (at, text) = self.text(TEXT_BYTES_MAX)?;
                if text.len() > 24
                    && let Some(why) = payload(&text)
                {
                    self.context.find_at(metadata_face(), at, why).explain(&shown(&text, 600));
                }
            }
            3 => {
                if self.is_new()? {
                    let count = self.int()?;
                    open.push(Next::Values(count.saturating_mul(2)));
                }
            }
            4 => {
                if self.is_new()? {
                    self.instance(open)?;
                }
            }
            5 => {
                self.int()?;
            }
            // Functions: before 2012 without upvalues, then with, then under a number.
            6 => {
                self.function()?;
                open.push(Next::Value);
            }
            7 | 8 => {
                if self.is_new()? {
                    self.function()?;
                    open.push(Next::Value);
                }
            }
            _ => return Err(Unread::malformed("type of a Torch7 value", at)),
        }
        Ok(())
    }

    /// The bytecode of a function, in which names stand as they are.
    fn function(&mut self) -> Result<(), Unread> {
        self.functions += 1;
        let (at, _) = self.text(0)?;
        let len = self.tape.offset().saturating_sub(at).min(CODE_BYTES_MAX);
        self.context.budget().steps(len / 8)?;
        let code = self.tape.source().some(at, usize::try_from(len).unwrap_or(0))?;
        for word in code.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'.')) {
            // The bytes before a constant are its length, which may be a letter as well.
            let found = DANGEROUS.iter().find(|name| {
                word.ends_with(name.as_bytes())
                    && (word.len() - name.len() <= 1 || word[word.len() - name.len() - 1] == b'.')
            });
            self.named.extend(found.copied());
        }
        Ok(())
    }

    fn instance(&mut self, open: &mut Vec<Next>) -> Result<(), Unread> {
        let (_, version) = self.text(64)?;
        // Before versions, the class's name stood here.
        let class = if version.starts_with("V ") { self.text(256)?.1 } else { version };
        if self.classes.len() < CLASSES_MAX {
            self.classes.insert(class.clone());
        }
        let bare = class.strip_prefix("torch.").unwrap_or("");
        if let Some(kind) = bare.strip_suffix("Storage") {
            let count = self.long()?;
            return self.items(kind, count);
        }
        if bare.ends_with("Tensor") {
            let dimensions = self.int()?;
            if dimensions > DIMENSIONS_MAX {
                return Err(Unread::malformed("dimensions of a Torch7 tensor", self.tape.offset()));
            }
            for _ in 0..dimensions * 2 + 1 {
                // Strides may be anything; sizes and the offset are counted from one.
                match self.mode {
                    Mode::Binary => self.tape.skip("Torch7 tensor", 8)?,
                    Mode::Ascii => {
                        self.line()?;
                    }
                }
            }
        }
        open.push(Next::Value);
        Ok(())
    }

    fn items(&mut self, kind: &str, count: u64) -> Result<(), Unread> {
        let width = match kind.trim_start_matches("Cuda") {
            "Byte" | "Char" => 1,
            "Short" | "Half" => 2,
            "Int" | "Float" | "" => 4,
            "Long" | "Double" => 8,
            _ => return Err(Unread::Unsupported(format!("a Torch7 storage of type `{}`", shown(kind, 40)))),
        };
        match (self.mode, width) {
            (Mode::Binary, _) => self.tape.skip("Torch7 storage", count.saturating_mul(width)),
            // Characters of old text files are bytes all the same.
            (Mode::Ascii, 1) => self.tape.skip("Torch7 storage", count.saturating_add(u64::from(count > 0))),
            (Mode::Ascii, _) => {
                for _ in 0..count {
                    self.context.budget().steps(4)?;
                    self.line()?;
                }
                Ok(())
            }
        }
    }

    fn judge(&mut self) {
        if self.functions > 0 {
            let strong = self.named.iter().any(|name| !WEAK.contains(name)) || self.named.len() > 1;
            let names = self.named.iter().copied().collect::<Vec<_>>().join(", ");
            if strong {
                self.context.find(&DANGER, format!("{} functions, which name {names}", self.functions));
            } else {
                self.context.find(&CODE, format!("{} functions", self.functions));
            }
        }
        let unknown: Vec<String> = self
            .classes
            .iter()
            .filter(|class| !class.split_once('.').is_some_and(|(package, _)| KNOWN.contains(&package)))
            .map(|class| shown(class, 60))
            .take(20)
            .collect();
        if !unknown.is_empty() {
            self.context.find(&CLASS, format!("`{}`", unknown.join("`, `")));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, scan, verdict_of};

    fn int(number: i32) -> Vec<u8> {
        number.to_le_bytes().to_vec()
    }

    fn text(value: &str) -> Vec<u8> {
        [int(i32::try_from(value.len()).unwrap()), value.as_bytes().to_vec()].concat()
    }

    fn tensor(index: i32) -> Vec<u8> {
        let long = |number: i64| number.to_le_bytes().to_vec();
        let storage = [int(4), int(index + 1), text("V 1"), text("torch.FloatStorage"), long(2), vec![7; 8]].concat();
        [int(4), int(index), text("V 1"), text("torch.FloatTensor"), int(1), long(2), long(1), long(1), storage]
            .concat()
    }

    fn module(class: &str, pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut out =
            [int(4), int(1), text("V 1"), text(class), int(3), int(2), int(i32::try_from(pairs.len()).unwrap())]
                .concat();
        for (key, value) in pairs {
            out.extend([int(2), text(key), value.clone()].concat());
        }
        out
    }

    fn function(code: &[u8]) -> Vec<u8> {
        let upvalues = [int(3), int(90), int(0)].concat();
        [int(8), int(80), int(i32::try_from(code.len()).unwrap()), code.to_vec(), upvalues].concat()
    }

    #[test]
    fn tensors_and_modules_are_clean() {
        let number = [int(1), 1.5_f64.to_le_bytes().to_vec()].concat();
        let honest = module(
            "nn.Linear",
            &[
                ("weight", tensor(10)),
                ("train", [int(5), int(1)].concat()),
                ("rate", number),
                ("same", [int(3), int(2)].concat()),
            ],
        );
        let scanned = scan(honest.clone());
        assert_eq!((scanned.format, scanned.verdict()), ("torch7", Verdict::Clean), "{:?}", scanned.findings);
        for end in 20..honest.len() {
            assert_ne!(verdict_of(honest[..end].to_vec()), Verdict::Clean, "cut at {end}");
        }
        let table = [int(3), int(1), int(1), int(2), text("w"), tensor(5)].concat();
        assert_eq!(verdict_of(table), Verdict::Clean);
        let ascii =
            b"4\n1\n3\nV 1\n17\ntorch.FloatTensor\n1\n2\n1\n1\n4\n2\n3\nV 1\n18\ntorch.FloatStorage\n2\n0.5 1.5\n";
        let scanned = scan(ascii.to_vec());
        assert_eq!((scanned.format, scanned.verdict()), ("torch7", Verdict::Clean), "{:?}", scanned.findings);
        assert!(
            rules_of([&honest[..], b"cos\nsystem\n(S'echo'\ntR."].concat())
                .contains(&"artifact.trailing-data".to_owned())
        );
    }

    #[test]
    fn lists_of_numbers_are_text() {
        assert_ne!(scan(b"3\n1\n2\n1\n0\n4\n".to_vec()).format, "torch7");
    }

    #[test]
    fn functions_are_code() {
        let harmless = module("nn.Lambda", &[("f", function(b"\x1bLJ\x01\x02\x09math\x08max\x00"))]);
        assert!(rules_of(harmless.clone()).contains(&"artifact.lua-function".to_owned()));
        assert_eq!(verdict_of(harmless), Verdict::Review);
        for code in [
            &b"\x1bLJ\x01\x02\x07os\x0cexecute\x13echo harmless\x00"[..],
            b"\x1bLJ\x01\x02\x07io\x0apopen\x00",
            b"\x1bLua\x51\x0bloadstring\x00",
        ] {
            let hostile = module("nn.Sequential", &[("forward", function(code))]);
            assert!(rules_of(hostile).contains(&"artifact.lua-dangerous-function".to_owned()), "{code:?}");
        }
        assert_eq!(verdict_of(module("acme.Layer", &[])), Verdict::Review);
        assert_eq!(
            verdict_of(module(
                "nn.Linear",
                &[("note", [int(2), text("__import__('os').system('echo harmless')")].concat())]
            )),
            Verdict::Blocked
        );
    }

    #[test]
    fn nonsense_is_survived() {
        // Tables in tables, the key of each a number.
        let deep: Vec<u8> = (1..50_000)
            .flat_map(|index| [int(3), int(index), int(1), int(1), 1_f64.to_le_bytes().to_vec()].concat())
            .collect();
        assert_eq!(verdict_of(deep), Verdict::Incomplete);
        let huge = [int(3), int(1), int(9_999_999), int(2), text("w"), tensor(5)].concat();
        assert_eq!(verdict_of(huge), Verdict::Incomplete);
    }
}
