//! R's serialisation (`src/main/serialize.c` of R, "R Internals" 1.8): RDS files and, behind a line of five characters,
//! RData; in all three ways to write a number.
//!
//! Loading makes objects and calls nothing, with one exception: a promise is evaluated as soon as somebody looks at
//! it, whatever its expression (CVE-2024-27322). Closures run when the model is used.

use haris_domain::Severity;

use crate::Limit;
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part};
use crate::refs;
use crate::source::Tape;
use crate::unread::Unread;

use super::gguf::trailing_face;
use super::safetensors::{metadata_face, payload};

/// Items that wait to be read. Lists are chains, so this is depth and not length.
const OPEN_MAX: usize = 1 << 20;
/// A name or a text that is looked at.
const TEXT_BYTES_MAX: u64 = 1 << 16;
/// Names of what a call could reach.
const NAMES_MAX: usize = 10_000;

static PROMISE: Face = Face::new(
    "artifact.r-promise",
    Severity::Critical,
    Verdict::Blocked,
    "Promise that R evaluates when it is looked at",
    "The object holds an expression that R evaluates as soon as the object is used, printed or assigned.",
    "Do not load it. R's own `saveRDS` writes no promise for a model.",
    refs!["CWE-502", "CVE-2024-27322"],
);
static DANGER: Face = Face::new(
    "artifact.r-dangerous-name",
    Severity::Critical,
    Verdict::Blocked,
    "Code that runs programs or other code",
    "A function or an expression in the object names what starts programs, loads native code, or evaluates text.",
    "Do not load it. Find out who made it and how it got here.",
    refs!["CWE-502", "CWE-94"],
);
static CODE: Face = Face::new(
    "artifact.r-code",
    Severity::Low,
    Verdict::Review,
    "Holds functions",
    "R models often keep functions of their packages. They run when the model is used.",
    "Have somebody read them, or have the model exported as PMML or ONNX.",
    refs!["CWE-502"],
);

/// Functions of R that no model calls.
const DANGEROUS: &[&str] = &[
    "system",
    "system2",
    "shell",
    "shell.exec",
    "dyn.load",
    "library.dynam",
    "sys.source",
    "download.file",
    "socketConnection",
    "unlink",
    "file.remove",
    "install.packages",
];

/// Functions that run what they are given, or read it from elsewhere.
const EVALUATING: &[&str] = &[
    "eval",
    "evalq",
    "eval.parent",
    "parse",
    "str2lang",
    "str2expression",
    "source",
    "do.call",
    "match.fun",
    "get",
    "mget",
    ".Call",
    ".External",
    ".C",
    ".Internal",
    "pipe",
    "fifo",
    "file",
    "url",
    "readRDS",
    "load",
    "library",
    "require",
    "loadNamespace",
    "attachNamespace",
    "makeActiveBinding",
    "delayedAssign",
    "reg.finalizer",
];

/// The format.
pub(crate) struct Rds;

impl Format for Rds {
    fn name(&self) -> &'static str {
        "r-serialised"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![&PROMISE, &DANGER, &CODE, trailing_face(), metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        let body = body(&part.head);
        let binary = part.has_at(body, b"X\n\0\0\0") && matches!(part.head.get(body + 5), Some(2 | 3));
        let text =
            [&b"A\n2\n"[..], b"A\n3\n", b"B\n\x02\0\0\0", b"B\n\x03\0\0\0"].iter().any(|line| part.has_at(body, line));
        if binary || text { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let start = body(&part.head);
        let mode = match part.head.get(start) {
            Some(b'A') => Mode::Text,
            Some(b'B') => Mode::Native,
            _ => Mode::Xdr,
        };
        let mut tape = Tape::new(part.source.clone());
        tape.skip("R header", start as u64 + 2)?;
        let mut walk = Walk { tape, mode, context, code: Vec::new(), promises: 0, functions: 0, inside: 0 };
        let version = walk.int()?;
        let (_writer, _reader) = (walk.int()?, walk.int()?);
        if version == 3 {
            let len = u64::try_from(walk.int()?).unwrap_or(u64::MAX);
            walk.string("R header", len)?;
        }
        let outcome = walk.items();
        let mut end = walk.tape.offset();
        walk.conclude();
        outcome?;
        // The last line of a text ends in a line feed.
        if mode == Mode::Text && part.source.some(end, 1)? == b"\n" {
            end += 1;
        }
        if end < part.source.len() {
            context.find_at(trailing_face(), end, format!("{} bytes behind the object", part.source.len() - end));
            context.embed("trailing", part.source.from(end), Kind::Any);
        }
        Ok(())
    }
}

/// RData begins with a line of its own.
fn body(head: &[u8]) -> usize {
    let is_rdata = [&b"RDX2\n"[..], b"RDX3\n", b"RDA2\n", b"RDA3\n", b"RDB2\n", b"RDB3\n"]
        .iter()
        .any(|line| head.starts_with(line));
    if is_rdata { 5 } else { 0 }
}

/// What is to be read next.
enum Next {
    Item,
    /// This many items.
    Items(u64),
    /// Byte-compiled code: its numbers, and its constants.
    Bytecode,
    /// This many constants of byte-compiled code, each with its type before it.
    Constants(u64),
    /// An expression within byte-compiled code.
    Expression,
    /// Back outside of code.
    Leave,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Big-endian, as `saveRDS` does unasked.
    Xdr,
    /// In the byte order of the machine, which is little-endian wherever R runs today.
    Native,
    /// A word a number, `ascii = TRUE`.
    Text,
}

struct Walk<'a, 'b> {
    tape: Tape,
    mode: Mode,
    context: &'a mut Context<'b>,
    /// Names and texts within functions, calls and promises.
    code: Vec<String>,
    promises: u64,
    functions: u64,
    /// Functions, calls and promises around what is read now.
    inside: u64,
}

impl Walk<'_, '_> {
    fn int(&mut self) -> Result<i32, Unread> {
        let at = self.tape.offset();
        if self.mode == Mode::Text {
            let word = self.tape.word("R integer")?;
            let number = if word == "NA" { Ok(i32::MIN) } else { word.parse() };
            return number.map_err(|_| Unread::malformed("R integer", at));
        }
        let bytes = self.tape.take("R integer", 4)?;
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        Ok(if self.mode == Mode::Xdr { i32::from_be_bytes(bytes) } else { i32::from_le_bytes(bytes) })
    }

    /// Passes a vector of `count` items of `width` bytes, each `words` words in a text.
    fn vector(&mut self, count: u64, width: u64, words: u64) -> Result<(), Unread> {
        if self.mode != Mode::Text {
            return self.tape.skip("R vector", count.saturating_mul(width));
        }
        let words = count.saturating_mul(words);
        if words > self.tape.left() {
            let (at, left) = (self.tape.offset(), self.tape.left());
            return Err(Unread::Truncated { what: "R vector", at, wanted: words, left });
        }
        for _ in 0..words {
            self.context.budget().steps(3)?;
            self.tape.word("R vector")?;
        }
        Ok(())
    }

    /// Passes a text of `len` bytes; gives where it begins, and its first bytes as they mean.
    fn string(&mut self, what: &'static str, len: u64) -> Result<(u64, Vec<u8>), Unread> {
        let kept = usize::try_from(len.min(TEXT_BYTES_MAX)).unwrap_or(0);
        if self.mode != Mode::Text {
            let at = self.tape.offset();
            let bytes = self.tape.source().some(at, kept)?;
            self.tape.skip(what, len)?;
            return Ok((at, bytes));
        }
        // What is no graphic character of ASCII is escaped as C does it.
        let mut bytes = Vec::new();
        let at = self.tape.offset();
        for index in 0..len {
            if index % 64 == 0 {
                self.context.budget().steps(64)?;
            }
            let byte = match self.tape.take(what, 1)?[0] {
                b'\\' => match self.tape.take(what, 1)?[0] {
                    first @ b'0'..=b'7' => {
                        let mut value = u32::from(first - b'0');
                        self.tape.fill(2)?;
                        for _ in 0..2 {
                            if let Some(digit @ b'0'..=b'7') = self.tape.buffered().first().copied() {
                                value = value * 8 + u32::from(digit - b'0');
                                self.tape.advance(1);
                            }
                        }
                        u8::try_from(value & 0xff).unwrap_or(b'?')
                    }
                    b'n' => b'\n',
                    b't' => b'\t',
                    other => other,
                },
                byte => byte,
            };
            if bytes.len() < kept {
                bytes.push(byte);
            }
        }
        Ok((at, bytes))
    }

    /// A length; vectors of 2^31 elements or more write it in three integers.
    fn length(&mut self) -> Result<u64, Unread> {
        let at = self.tape.offset();
        match self.int()? {
            -1 => {
                let (high, low) = (self.int()?, self.int()?);
                Ok(u64::from(high.cast_unsigned()) << 32 | u64::from(low.cast_unsigned()))
            }
            len => u64::try_from(len).map_err(|_| Unread::malformed("length in an R object", at)),
        }
    }

    fn items(&mut self) -> Result<(), Unread> {
        let mut open = vec![Next::Item];
        while let Some(next) = open.pop() {
            self.context.budget().steps(2)?;
            if open.len() > OPEN_MAX {
                return Err(Unread::Limit(Limit::Within("nesting of an R object")));
            }
            match next {
                Next::Leave => self.inside = self.inside.saturating_sub(1),
                Next::Items(0) => {}
                Next::Items(left) => {
                    open.push(Next::Items(left - 1));
                    open.push(Next::Item);
                }
                Next::Item => self.item(&mut open)?,
                Next::Bytecode => {
                    self.code_numbers()?;
                    let count = self.length()?;
                    open.push(Next::Constants(count));
                }
                Next::Constants(0) => {}
                Next::Constants(left) => {
                    open.push(Next::Constants(left - 1));
                    match self.int()? {
                        21 => open.push(Next::Bytecode),
                        kind => self.expression(kind, &mut open)?,
                    }
                }
                Next::Expression => {
                    let kind = self.int()?;
                    self.expression(kind, &mut open)?;
                }
            }
        }
        Ok(())
    }

    /// The instructions: a vector of integers.
    fn code_numbers(&mut self) -> Result<(), Unread> {
        let at = self.tape.offset();
        if self.int()? & 0xff != 13 {
            return Err(Unread::malformed("R bytecode", at));
        }
        let len = self.length()?;
        self.vector(len, 4, 1)
    }

    /// `ReadBCLang`: a list with shared parts, or anything else.
    fn expression(&mut self, mut kind: i32, open: &mut Vec<Next>) -> Result<(), Unread> {
        // Defines a shared part: its number, and then the part itself.
        while kind == 244 {
            self.context.budget().steps(1)?;
            self.int()?;
            kind = self.int()?;
        }
        match kind {
            243 => {
                self.int()?;
            }
            2 | 6 | 239 | 240 => {
                // Attributes where the type says so, the tag, then head and rest, each with its type.
                open.extend([Next::Expression, Next::Expression, Next::Item]);
                if kind >= 239 {
                    open.push(Next::Item);
                }
            }
            _ => open.push(Next::Item),
        }
        Ok(())
    }

    fn item(&mut self, open: &mut Vec<Next>) -> Result<(), Unread> {
        let at = self.tape.offset();
        let flags = self.int()?.cast_unsigned();
        let (has_attributes, has_tag) = (flags & 0x200 != 0, flags & 0x400 != 0);
        // Read last, so pushed first.
        let attributes = |open: &mut Vec<Next>| {
            if has_attributes {
                open.push(Next::Item);
            }
        };
        match flags & 0xff {
            0 | 241 | 242 | 250..=254 => {}
            255 => {
                if flags >> 8 == 0 {
                    self.int()?;
                }
            }
            1 => open.push(Next::Item),
            kind @ (2 | 3 | 5 | 6 | 17) => {
                if kind == 5 {
                    self.promises += 1;
                }
                if kind == 3 {
                    self.functions += 1;
                }
                if matches!(kind, 3 | 5 | 6) {
                    self.inside += 1;
                    open.push(Next::Leave);
                }
                open.push(Next::Items(2 + u64::from(has_attributes) + u64::from(has_tag)));
            }
            4 => {
                self.int()?;
                open.push(Next::Items(4));
            }
            7 | 8 => {
                let len = self.length()?;
                self.text(len)?;
            }
            9 => match self.int()? {
                -1 => {}
                len => {
                    let len = u64::try_from(len).map_err(|_| Unread::malformed("length of an R text", at))?;
                    self.text(len)?;
                }
            },
            10 | 13 => {
                let len = self.length()?;
                self.vector(len, 4, 1)?;
                attributes(open);
            }
            14 => {
                let len = self.length()?;
                self.vector(len, 8, 1)?;
                attributes(open);
            }
            15 => {
                let len = self.length()?;
                self.vector(len, 16, 2)?;
                attributes(open);
            }
            24 => {
                let len = self.length()?;
                let start = self.tape.offset();
                self.vector(len, 1, 1)?;
                if len > 8 && self.mode != Mode::Text {
                    let bytes = self.tape.source().slice(start, len);
                    self.context.embed(&format!("bytes at {start}"), bytes, Kind::Any);
                }
                attributes(open);
            }
            16 | 19 | 20 => {
                let len = self.length()?;
                attributes(open);
                open.push(Next::Items(len));
            }
            21 => {
                self.int()?;
                attributes(open);
                open.push(Next::Bytecode);
            }
            22 => {
                attributes(open);
                open.push(Next::Items(2));
            }
            23 | 25 => attributes(open),
            238 => open.push(Next::Items(3)),
            247..=249 => {
                self.int()?;
                let len = self.length()?;
                open.push(Next::Items(len));
            }
            _ => return Err(Unread::malformed("type of an R object", at)),
        }
        Ok(())
    }

    fn text(&mut self, len: u64) -> Result<(), Unread> {
        let (at, kept) = self.string("R text", len)?;
        if len == 0 || len > TEXT_BYTES_MAX || self.code.len() >= NAMES_MAX {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&kept).into_owned();
        if self.inside > 0 {
            self.code.push(text);
        } else if text.len() > 24
            && let Some(why) = payload(&text)
        {
            self.context.find_at(metadata_face(), at, why);
        }
        Ok(())
    }

    fn conclude(&mut self) {
        // Named as a symbol, or within a text that something like `eval(parse(text = …))` reads.
        let calls = |text: &str, name: &str| {
            text.match_indices(name).any(|(at, _)| {
                text[at + name.len()..].trim_start().starts_with('(')
                    && !text[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'))
            })
        };
        let mut named: Vec<&str> = Vec::new();
        for text in &self.code {
            named.extend(DANGEROUS.iter().filter(|name| text == *name || calls(text, name)));
        }
        let evaluates = self.code.iter().any(|text| EVALUATING.contains(&text.as_str()));
        named.sort_unstable();
        named.dedup();
        if self.promises > 0 {
            let shown: Vec<&str> = self.code.iter().map(String::as_str).take(40).collect();
            let detail = format!("{} promises; names in its code: {}", self.promises, shown.join(" "));
            self.context.find(&PROMISE, detail);
        }
        if !named.is_empty() {
            self.context.find(&DANGER, format!("names {}", named.join(", ")));
        } else if self.promises == 0 && self.functions > 0 {
            self.context.find(&CODE, format!("{} functions", self.functions));
        } else if self.promises == 0 && evaluates {
            self.context.find(&CODE, "an expression that evaluates text or opens files");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    /// The header that R 4 writes, in UTF-8.
    const HEADER: &[u8] = b"X\n\0\0\0\x03\0\x04\x03\x01\0\x03\x05\0\0\0\0\x05UTF-8";

    fn int(number: u32) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn symbol(name: &str) -> Vec<u8> {
        [int(1), int(0x0004_0009), int(u32::try_from(name.len()).unwrap()), name.as_bytes().to_vec()].concat()
    }

    fn text(value: &str) -> Vec<u8> {
        [int(16), int(1), int(0x0004_0009), int(u32::try_from(value.len()).unwrap()), value.as_bytes().to_vec()]
            .concat()
    }

    /// `function(value)`, as R writes a call: a list of two without tags.
    fn call(function: &str, value: &str) -> Vec<u8> {
        [int(6), symbol(function), int(2), text(value), int(254)].concat()
    }

    fn file(item: &[u8]) -> Vec<u8> {
        [HEADER, item].concat()
    }

    #[test]
    fn data_is_clean_and_code_is_judged() {
        let numbers = file(&[int(14), int(2), vec![0; 16]].concat());
        assert_eq!(verdict_of(numbers.clone()), Verdict::Clean, "{:?}", rules_of(numbers.clone()));
        assert_eq!(verdict_of([&b"RDX3\n"[..], &numbers].concat()), Verdict::Clean);
        for end in HEADER.len()..numbers.len() {
            assert_eq!(verdict_of(numbers[..end].to_vec()), Verdict::Incomplete);
        }
        assert_eq!(verdict_of(file(&call("lm", "y ~ x"))), Verdict::Clean);
        assert_eq!(verdict_of(file(&call("system", "echo harmless"))), Verdict::Blocked);
        assert_eq!(verdict_of(file(&call("eval", "x"))), Verdict::Review);
        assert_eq!(verdict_of(file(&call("eval", "system('echo harmless')"))), Verdict::Blocked);
        // Environment, arguments, body.
        let function = |body: &[u8]| file(&[&int(0x403)[..], &int(253), &int(254), body].concat());
        assert_eq!(verdict_of(function(&call("mean", "x"))), Verdict::Review);
        assert_eq!(verdict_of(function(&call("system2", "x"))), Verdict::Blocked);
        // Environment, no value yet, expression.
        let promise = file(&[&int(0x405)[..], &int(253), &int(252), &call("print", "x")].concat());
        assert!(rules_of(promise).contains(&"artifact.r-promise".to_owned()));
    }

    #[test]
    fn texts_and_native_numbers_are_read() {
        let numbers = b"A\n3\n262657\n197888\n5\nUTF-8\n14\n3\n0.5\nNA\nInf\n";
        assert_eq!(verdict_of(numbers.to_vec()), Verdict::Clean, "{:?}", rules_of(numbers.to_vec()));
        let call = b"A\n2\n262657\n131840\n6\n1\n262153\n6\nsyst\\145m\n2\n16\n1\n262153\n4\necho\n254\n";
        assert_eq!(verdict_of(call.to_vec()), Verdict::Blocked, "{:?}", rules_of(call.to_vec()));
        let native = |numbers: &[u32]| {
            let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            [&b"B\n"[..], &numbers].concat()
        };
        assert_eq!(verdict_of(native(&[2, 0x40301, 0x20300, 13, 2, 7, 8])), Verdict::Clean);
        assert_eq!(verdict_of(native(&[2, 0x40301, 0x20300, 13, 2, 7])), Verdict::Incomplete);
    }

    #[test]
    fn nonsense_is_survived() {
        assert_eq!(
            verdict_of(file(&int(19).iter().chain(&int(0x7fff_ffff)).copied().collect::<Vec<u8>>())),
            Verdict::Incomplete
        );
        let deep: Vec<u8> = [int(19), int(1)].concat().repeat(50_000);
        assert_eq!(verdict_of(file(&deep)), Verdict::Incomplete);
        let shared: Vec<u8> =
            [&[int(21), int(1), int(13), int(0), int(1)].concat()[..], &[int(244), int(0)].concat().repeat(50_000)]
                .concat();
        assert_eq!(verdict_of(file(&shared)), Verdict::Incomplete);
        assert_eq!(verdict_of(b"A\n3\n1\n".to_vec()), Verdict::Incomplete);
        assert_eq!(verdict_of(b"A\n2\n1\n1\n14\n2147483647\n1\n".to_vec()), Verdict::Incomplete);
    }
}
