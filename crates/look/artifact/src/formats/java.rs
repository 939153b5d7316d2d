//! Java's serialisation (<https://docs.oracle.com/en/java/javase/17/docs/specs/serialization/protocol.html>): Weka,
//! MOA, Mallet, OpenNLP, JPMML and whatever else writes models with `ObjectOutputStream`.
//!
//! Reading makes objects of whatever classes the stream names and runs their `readObject`; chains of such methods
//! that end in running code ("gadgets") need no class of the attacker's. Every class named is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

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

/// Contents that wait to be read.
const OPEN_MAX: usize = 1 << 20;
/// Handles of one stream: 16 bytes each.
const HANDLES_MAX: usize = 4_000_000;
/// Classes of one stream.
const CLASSES_MAX: usize = 20_000;
/// Fields of one class.
const FIELDS_MAX: u16 = 4_096;

static GADGET: Face = Face::new(
    "artifact.java-gadget",
    Severity::Critical,
    Verdict::Blocked,
    "Java object that runs code when it is read",
    "The stream holds a class that known chains from reading an object to running code are made of. No model uses it.",
    "Do not read it. Find out who made it and how it got here.",
    refs!["CWE-502", "MITRE-ATLAS:AML.T0011.000"],
);
static UNKNOWN: Face = Face::new(
    "artifact.java-unknown-class",
    Severity::Medium,
    Verdict::Review,
    "Java object of a class that nobody knows",
    "Reading the stream runs the class's own `readObject`, if the class is there.",
    "Ask which library the class belongs to, and vet that library.",
    refs!["CWE-502"],
);

/// Beginnings of names, see `rules/java-classes.toml`.
struct Names {
    gadgets: Vec<String>,
    known: Vec<String>,
    odd: Vec<String>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let text = include_str!("../../../../../rules/java-classes.toml");
    let mut table: BTreeMap<String, Vec<String>> =
        toml::from_str(text).expect("the table is part of the program, and a test reads it");
    let mut take = |key: &str| table.remove(key).unwrap_or_default();
    Names { gadgets: take("gadgets"), known: take("known"), odd: take("odd") }
});

/// The format.
pub(crate) struct Java;

impl Format for Java {
    fn name(&self) -> &'static str {
        "java-serialised"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![&GADGET, &UNKNOWN, trailing_face(), metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if part.has_at(0, &[0xac, 0xed, 0, 5]) && matches!(part.head.get(4), Some(0x70..=0x7e)) {
            Claim::Yes
        } else {
            Claim::No
        }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut tape = Tape::new(part.source.clone());
        tape.skip("Java stream", 4)?;
        let mut walk =
            Walk { tape, context, handles: Vec::new(), classes: Vec::new(), named: BTreeSet::new(), bytes: 0 };
        let outcome = walk.contents();
        let end = walk.tape.offset();
        walk.judge();
        if let Err(why) = outcome {
            // What follows an object is no content of a stream: a reader of one object stops there.
            if matches!(why, Unread::Malformed { .. })
                && end > 5
                && part.source.some(end.saturating_sub(1), 1)?.first().is_none_or(|tag| !(0x70..=0x7e).contains(tag))
            {
                context.find_at(
                    trailing_face(),
                    end - 1,
                    format!("{} bytes behind the objects", part.source.len() + 1 - end),
                );
                context.embed("trailing", part.source.from(end - 1), Kind::Any);
            }
            return Err(why);
        }
        Ok(())
    }
}

/// How a class's objects are written.
#[derive(Clone, Debug)]
struct Class {
    flags: u8,
    /// Type codes of its own fields, in their order.
    fields: Vec<u8>,
    above: Option<u32>,
}

/// What a handle stands for: only classes matter to reading on.
#[derive(Clone, Copy)]
enum Handle {
    Class(u32),
    Other,
}

/// What is to be read next.
enum Next {
    /// One content of any kind.
    Content,
    /// A class description, for what waits below it.
    ClassDesc,
    /// Contents up to the mark that ends a class's annotations.
    Annotations,
    /// The class above, given what the description just read is.
    Above(u32),
    /// An object's data, given its class.
    Object,
    /// An array's items.
    Array,
    /// A handle for a class object or an enumeration's constant; the latter has a name.
    Plain { named: bool },
    /// Fields of a class of this number, from that one on.
    Fields(u32, u16),
    /// This many items that are objects.
    Items(u32),
}

struct Walk<'a, 'b> {
    tape: Tape,
    context: &'a mut Context<'b>,
    handles: Vec<Handle>,
    classes: Vec<Class>,
    named: BTreeSet<String>,
    /// Bytes of block data so far.
    bytes: u64,
}

impl Walk<'_, '_> {
    fn byte(&mut self) -> Result<u8, Unread> {
        Ok(self.tape.take("Java stream", 1)?[0])
    }

    fn short(&mut self) -> Result<u16, Unread> {
        let bytes = self.tape.take("Java stream", 2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn int(&mut self) -> Result<u32, Unread> {
        let bytes = self.tape.take("Java stream", 4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn utf(&mut self) -> Result<String, Unread> {
        let len = self.short()?;
        Ok(String::from_utf8_lossy(self.tape.take("Java text", len.into())?).into_owned())
    }

    fn handle(&mut self, what: Handle) -> Result<(), Unread> {
        if self.handles.len() >= HANDLES_MAX {
            return Err(Unread::Limit(Limit::Within("objects of a Java stream")));
        }
        self.handles.push(what);
        Ok(())
    }

    /// All contents to the end of the stream.
    fn contents(&mut self) -> Result<(), Unread> {
        let mut open: Vec<Next> = Vec::new();
        // The class that was described last: descriptions come right before what they describe.
        let mut described: Option<u32> = None;
        loop {
            self.context.budget().steps(2)?;
            if open.len() > OPEN_MAX {
                return Err(Unread::Limit(Limit::Within("nesting of a Java stream")));
            }
            let Some(next) = open.pop() else {
                if self.tape.left() == 0 {
                    return Ok(());
                }
                open.push(Next::Content);
                continue;
            };
            match next {
                Next::Content => self.content(&mut open)?,
                Next::ClassDesc => described = self.class_desc(&mut open)?,
                Next::Annotations => {
                    open.push(Next::Annotations);
                    if self.peek()? == 0x78 {
                        self.byte()?;
                        open.pop();
                    } else {
                        open.push(Next::Content);
                    }
                }
                Next::Above(class) => {
                    if let Some(known) = self.classes.get_mut(class as usize) {
                        known.above = described;
                    }
                    described = Some(class);
                }
                Next::Object => {
                    self.handle(Handle::Other)?;
                    self.object(described, &mut open)?;
                }
                Next::Plain { named } => {
                    self.handle(Handle::Other)?;
                    if named {
                        open.push(Next::Content);
                    }
                }
                Next::Array => {
                    self.handle(Handle::Other)?;
                    self.array(described, &mut open)?;
                }
                Next::Fields(class, from) => self.fields(class, from, &mut open)?,
                Next::Items(0) => {}
                Next::Items(left) => {
                    open.push(Next::Items(left - 1));
                    open.push(Next::Content);
                }
            }
        }
    }

    fn peek(&mut self) -> Result<u8, Unread> {
        let byte = self.byte()?;
        self.tape.seek(self.tape.offset() - 1);
        Ok(byte)
    }

    fn content(&mut self, open: &mut Vec<Next>) -> Result<(), Unread> {
        let at = self.tape.offset();
        match self.byte()? {
            0x70 => {}
            0x71 => {
                self.int()?;
            }
            0x72 | 0x7d => {
                self.tape.seek(at);
                open.push(Next::ClassDesc);
            }
            0x73 => open.extend([Next::Object, Next::ClassDesc]),
            0x74 => {
                self.handle(Handle::Other)?;
                let len = u64::from(self.short()?);
                self.text(len)?;
            }
            0x75 => open.extend([Next::Array, Next::ClassDesc]),
            0x76 => open.extend([Next::Plain { named: false }, Next::ClassDesc]),
            0x77 => {
                let len = u64::from(self.byte()?);
                self.block(len)?;
            }
            0x79 => self.handles.clear(),
            0x7a => {
                let len = u64::from(self.int()?);
                self.block(len)?;
            }
            // An exception while writing: handles begin anew around it.
            0x7b => {
                self.handles.clear();
                open.push(Next::Content);
            }
            0x7c => {
                self.handle(Handle::Other)?;
                let bytes = self.tape.take("Java text", 8)?;
                let len = u64::from_be_bytes(bytes.try_into().expect("eight bytes were taken"));
                self.text(len)?;
            }
            0x7e => open.extend([Next::Plain { named: true }, Next::ClassDesc]),
            _ => return Err(Unread::malformed("content of a Java stream", at)),
        }
        Ok(())
    }

    fn block(&mut self, len: u64) -> Result<(), Unread> {
        self.bytes += len;
        self.tape.skip("Java block", len)
    }

    fn text(&mut self, len: u64) -> Result<(), Unread> {
        let at = self.tape.offset();
        self.tape.skip("Java text", len)?;
        if (16..=1 << 16).contains(&len) {
            let kept = self.tape.source().some(at, usize::try_from(len).unwrap_or(0))?;
            if let Some(why) = payload(&String::from_utf8_lossy(&kept)) {
                self.context.find_at(metadata_face(), at, why);
            }
        }
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), Unread> {
        // Arrays are named `[Lpackage.Class;`.
        let name = name.trim_start_matches('[');
        let name = name.strip_prefix('L').and_then(|name| name.strip_suffix(';')).unwrap_or(name);
        if self.named.len() >= CLASSES_MAX {
            return Err(Unread::Limit(Limit::Within("classes of a Java stream")));
        }
        self.named.insert(name.replace('/', "."));
        Ok(())
    }

    /// A description: new, by reference, of a proxy, or none.
    fn class_desc(&mut self, open: &mut Vec<Next>) -> Result<Option<u32>, Unread> {
        let at = self.tape.offset();
        match self.byte()? {
            0x70 => Ok(None),
            0x71 => {
                let index = self.int()?.checked_sub(0x007e_0000).and_then(|index| self.handles.get(index as usize));
                match index {
                    Some(Handle::Class(class)) => Ok(Some(*class)),
                    _ => Err(Unread::malformed("reference to a Java class", at)),
                }
            }
            0x72 => {
                let name = self.utf()?;
                self.name(&name)?;
                self.tape.skip("Java class", 8)?;
                let class = self.class(Class { flags: 0, fields: Vec::new(), above: None })?;
                let flags = self.byte()?;
                let count = self.short()?;
                if count > FIELDS_MAX {
                    return Err(Unread::malformed("fields of a Java class", at));
                }
                let mut fields =
                    if name.starts_with('[') { vec![name.as_bytes().get(1).copied().unwrap_or(0)] } else { Vec::new() };
                for _ in 0..count {
                    self.context.budget().steps(1)?;
                    let kind = self.byte()?;
                    self.utf()?;
                    if matches!(kind, b'L' | b'[') {
                        self.field_type()?;
                    }
                    fields.push(kind);
                }
                if let Some(known) = self.classes.get_mut(class as usize) {
                    (known.flags, known.fields) = (flags, fields);
                }
                open.extend([Next::Above(class), Next::ClassDesc, Next::Annotations]);
                Ok(Some(class))
            }
            0x7d => {
                let count = self.int()?;
                if count > FIELDS_MAX.into() {
                    return Err(Unread::malformed("interfaces of a Java proxy", at));
                }
                for _ in 0..count {
                    let name = self.utf()?;
                    self.name(&name)?;
                }
                self.named.insert("java.lang.reflect.Proxy".to_owned());
                let class = self.class(Class { flags: 2, fields: Vec::new(), above: None })?;
                open.extend([Next::Above(class), Next::ClassDesc, Next::Annotations]);
                Ok(Some(class))
            }
            _ => Err(Unread::malformed("description of a Java class", at)),
        }
    }

    /// A field's type is a text of its own, new or by reference.
    fn field_type(&mut self) -> Result<(), Unread> {
        let at = self.tape.offset();
        match self.byte()? {
            0x71 => {
                self.int()?;
            }
            0x74 => {
                self.handle(Handle::Other)?;
                self.utf()?;
            }
            _ => return Err(Unread::malformed("type of a Java field", at)),
        }
        Ok(())
    }

    fn class(&mut self, class: Class) -> Result<u32, Unread> {
        if self.classes.len() >= CLASSES_MAX {
            return Err(Unread::Limit(Limit::Within("classes of a Java stream")));
        }
        let index = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
        self.classes.push(class);
        self.handle(Handle::Class(index))?;
        Ok(index)
    }

    /// An object's data: of its topmost class first.
    fn object(&mut self, class: Option<u32>, open: &mut Vec<Next>) -> Result<(), Unread> {
        let mut next = class;
        let mut depth = 0;
        while let Some(index) = next {
            let Some(class) = self.classes.get(index as usize) else { break };
            // Pushed from the bottom up, so the topmost is read first.
            if class.flags & 4 != 0 {
                if class.flags & 8 == 0 {
                    return Err(Unread::Unsupported("a Java object that writes itself without marks".to_owned()));
                }
                open.push(Next::Annotations);
            } else {
                if class.flags & 1 != 0 {
                    open.push(Next::Annotations);
                }
                open.push(Next::Fields(index, 0));
            }
            next = class.above;
            depth += 1;
            if depth > 1_000 {
                return Err(Unread::Limit(Limit::Within("classes above a Java class")));
            }
        }
        Ok(())
    }

    fn fields(&mut self, class: u32, from: u16, open: &mut Vec<Next>) -> Result<(), Unread> {
        let kinds = self.classes.get(class as usize).map(|class| class.fields.as_slice()).unwrap_or_default();
        let mut index = usize::from(from);
        let mut bytes = 0;
        let mut object = false;
        while let Some(kind) = kinds.get(index) {
            index += 1;
            match width(*kind) {
                Some(width) => bytes += width,
                None => {
                    object = true;
                    break;
                }
            }
        }
        self.tape.skip("fields of a Java object", bytes)?;
        if object {
            open.push(Next::Fields(class, u16::try_from(index).unwrap_or(u16::MAX)));
            open.push(Next::Content);
        }
        Ok(())
    }

    fn array(&mut self, class: Option<u32>, open: &mut Vec<Next>) -> Result<(), Unread> {
        let count = self.int()?;
        let kind =
            class.and_then(|class| self.classes.get(class as usize)).and_then(|class| class.fields.first().copied());
        match kind.and_then(width) {
            Some(width) => {
                let (at, len) = (self.tape.offset(), width * u64::from(count));
                self.tape.skip("Java array", len)?;
                // Bytes may be anything, a class among them.
                if kind == Some(b'B') && len > 8 {
                    self.context.embed(&format!("bytes at {at}"), self.tape.source().slice(at, len), Kind::Any);
                }
            }
            None => open.push(Next::Items(count)),
        }
        Ok(())
    }

    fn judge(&mut self) {
        let primitive = |name: &str| name.len() == 1;
        let (mut gadgets, mut unknown) = (Vec::new(), Vec::new());
        for name in self.named.iter().filter(|name| !primitive(name)) {
            if NAMES.gadgets.iter().any(|gadget| is_within(name, gadget)) {
                gadgets.push(name.as_str());
            } else if begins(&NAMES.odd, name) || !begins(&NAMES.known, name) {
                unknown.push(name.as_str());
            }
        }
        if !gadgets.is_empty() {
            let detail = format!("names {}", gadgets.join(", "));
            self.context.find(&GADGET, detail);
        }
        if !unknown.is_empty() {
            let detail = format!("names {}", unknown.join(", "));
            self.context.find(&UNKNOWN, detail);
        }
    }
}

fn begins(list: &[String], name: &str) -> bool {
    list.iter().any(|one| name.starts_with(one))
}

/// Whether a class is one of a kind: at the beginning of its name, or, for what vendors repackage, behind a dot.
fn is_within(name: &str, gadget: &str) -> bool {
    name.match_indices(gadget).any(|(at, _)| {
        let end = at + gadget.len();
        let begins = at == 0 || name.as_bytes()[at - 1] == b'.';
        let ends = gadget.ends_with('.') || matches!(name.as_bytes().get(end), None | Some(b'$' | b'.'));
        begins && ends
    })
}

/// Bytes of a value of a primitive type; nothing for objects.
fn width(kind: u8) -> Option<u64> {
    match kind {
        b'B' | b'Z' => Some(1),
        b'C' | b'S' => Some(2),
        b'F' | b'I' => Some(4),
        b'D' | b'J' => Some(8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, scan, verdict_of};

    // Written by Java 17's own `ObjectOutputStream`, see `testdata/Samples.java`.
    const HONEST: &[u8] = include_bytes!("../../testdata/honest.ser");
    const PROXY: &[u8] = include_bytes!("../../testdata/proxy.ser");
    const LAMBDA: &[u8] = include_bytes!("../../testdata/lambda.ser");
    const ADDRESS: &[u8] = include_bytes!("../../testdata/address.ser");

    #[test]
    fn streams_of_java_are_read() {
        let honest = scan(HONEST.to_vec());
        assert_eq!((honest.format, honest.verdict()), ("java-serialised", Verdict::Clean), "{:?}", honest.findings);
        assert_eq!(verdict_of(PROXY.to_vec()), Verdict::Review);
        assert!(rules_of(LAMBDA.to_vec()).contains(&"artifact.java-gadget".to_owned()));
        assert_eq!(verdict_of(ADDRESS.to_vec()), Verdict::Blocked);
        // Behind each of its eight contents a stream may end.
        let clean = (5..HONEST.len()).filter(|end| verdict_of(HONEST[..*end].to_vec()) == Verdict::Clean).count();
        assert!(clean < 10, "clean at {clean} cuts");
        assert!(
            rules_of([HONEST, b"cos\nsystem\n(S'echo harmless'\ntR."].concat())
                .contains(&"artifact.trailing-data".to_owned())
        );
    }

    /// A stream that holds one object without fields.
    fn object(class: &str) -> Vec<u8> {
        let len = u16::try_from(class.len()).unwrap().to_be_bytes();
        [&[0xac, 0xed, 0, 5, 0x73, 0x72][..], &len, class.as_bytes(), &[0; 8], &[2, 0, 0, 0x78, 0x70]].concat()
    }

    #[test]
    fn classes_are_judged_by_their_names() {
        for (class, verdict) in [
            ("java.util.ArrayList", Verdict::Clean),
            ("weka.classifiers.trees.J48", Verdict::Clean),
            ("com.bank.models.Score", Verdict::Review),
            ("java.util.logging.FileHandler", Verdict::Review),
            ("org.apache.commons.collections4.functors.InvokerTransformer", Verdict::Blocked),
            ("com.sun.org.apache.xalan.internal.xsltc.trax.TemplatesImpl", Verdict::Blocked),
            ("shaded.org.apache.commons.collections.map.LazyMap", Verdict::Blocked),
            ("java.net.URL", Verdict::Blocked),
            ("java.net.URLish", Verdict::Review),
        ] {
            assert_eq!(verdict_of(object(class)), verdict, "{class}");
        }
    }

    #[test]
    fn nonsense_is_survived() {
        let deep = [
            &[0xac, 0xed, 0, 5][..],
            &[0x75, 0x72, 0, 2, b'[', b'L', 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0x78, 0x70],
            &[0x7f; 4],
        ]
        .concat();
        assert_eq!(verdict_of(deep), Verdict::Incomplete);
        assert_eq!(verdict_of([&[0xac, 0xed, 0, 5][..], &[0x7b; 500]].concat()), Verdict::Incomplete);
        let looped = [&[0xac, 0xed, 0, 5, 0x73][..], &[0x71, 0, 0x7e, 0, 9]].concat();
        assert_eq!(verdict_of(looped), Verdict::Incomplete);
    }
}
