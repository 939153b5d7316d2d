//! HDF5: Keras' old models and weights, PyTables, hickle.
//!
//! Keras reads the configuration of a model, Lambdas included, from attributes. PyTables unpickles attributes and
//! objects. Datasets may keep their bytes in other files, and links lead there.

use std::collections::HashSet;

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::read::hdf5::{File, Message, SIGNATURE, Target, superblock};
use crate::read::text::shown;
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;
use crate::{Limit, Members};

use super::gguf::trailing_face;
use super::onnx::strays;
use super::safetensors::{free_text, metadata_face};

/// Objects of one file.
const OBJECTS_MAX: usize = 200_000;

static EXTERNAL: Face = Face::new(
    "artifact.hdf5-external",
    Severity::High,
    Verdict::Blocked,
    "Reads another file of the machine",
    "A dataset or a link of the file lies in another file, by a path that leads out of the model's folder. Loading the \
     model reads that file of whoever loads it.",
    "Reject the model; weights belong into the file.",
    refs!["CWE-73"],
);
static ELSEWHERE: Face = Face::new(
    "artifact.hdf5-elsewhere",
    Severity::Medium,
    Verdict::Review,
    "Bytes that lie in another file",
    "A dataset or a link of the file lies in another file beside it, which this scan does not take for a part of it.",
    "Have the model saved in one file.",
    refs!["CWE-73"],
);
static PLUGIN: Face = Face::new(
    "artifact.hdf5-plugin",
    Severity::Medium,
    Verdict::Review,
    "Needs a plug-in to be read",
    "A link or a dataset asks for a filter that HDF5 loads as a native library of the machine.",
    "Ask which plug-in it is, or have the file written with HDF5's own filters.",
    refs!["CWE-427"],
);

/// The format.
pub(crate) struct Hdf5;

impl Format for Hdf5 {
    fn name(&self) -> &'static str {
        "hdf5"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| vec![&EXTERNAL, &ELSEWHERE, &PLUGIN, trailing_face(), metadata_face()]);
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if superblock(&part.head).is_some() { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let Some(at) = superblock(&part.head) else { return Err(Unread::malformed("HDF5 superblock", 0)) };
        if at > 0 {
            context.embed("user block", part.source.slice(0, at as u64), Kind::Any);
        }
        let file = File::open(&part.source, at)?;
        let mut walk = Walk { file: &file, seen: HashSet::new(), open: vec![(file.root, String::new())], dense: None };
        walk.run(part.members.as_deref(), context)?;
        if file.end > file.len() {
            return Err(Unread::Truncated { what: "HDF5 file", at: 0, wanted: file.end, left: file.len() });
        }
        let behind = file.len() - file.end;
        if behind > 0 && !part.source.some(at as u64 + file.end, 4096)?.iter().all(|byte| *byte == 0) {
            context.find_at(trailing_face(), at as u64 + file.end, format!("{behind} bytes behind the end"));
            context.embed("trailing", part.source.from(at as u64 + file.end), Kind::Any);
        }
        walk.dense.map_or(Ok(()), |what| Err(Unread::Unsupported(what.to_owned())))
    }
}

struct Walk<'a> {
    file: &'a File,
    seen: HashSet<u64>,
    open: Vec<(u64, String)>,
    /// Something that could not be looked into; the rest is read first.
    dense: Option<&'static str>,
}

impl Walk<'_> {
    fn run(&mut self, beside: Option<&dyn Members>, context: &mut Context<'_>) -> Result<(), Unread> {
        while let Some((address, path)) = self.open.pop() {
            if !self.seen.insert(address) {
                continue;
            }
            if self.seen.len() > OBJECTS_MAX {
                return Err(Unread::Limit(Limit::Within("objects of one HDF5 file")));
            }
            let messages = self.file.object(address)?;
            context.budget().steps(100 + 20 * messages.len() as u64)?;
            // The bytes of what is no number may be anything.
            let is_text = messages.iter().any(|message| match message {
                Message::Element { class, size } => matches!(class, 3 | 5) || *class == 0 && *size == 1,
                _ => false,
            });
            for message in messages {
                self.message(message, &path, is_text, beside, context)?;
            }
        }
        Ok(())
    }

    fn message(
        &mut self,
        message: Message,
        path: &str,
        is_text: bool,
        beside: Option<&dyn Members>,
        context: &mut Context<'_>,
    ) -> Result<(), Unread> {
        match message {
            Message::Link { name, to } => self.follow(&format!("{path}/{name}"), to, beside, context),
            Message::SymbolTable { tree, heap } => {
                let members = self.file.members(tree, heap)?;
                context.budget().steps(20 * members.len() as u64)?;
                for (name, to) in members {
                    self.follow(&format!("{path}/{name}"), to, beside, context);
                }
            }
            Message::Attribute { name, value: Some(value) } => attribute(path, &name, &value.0, context),
            Message::External(files) => {
                for file in files {
                    outside(&format!("{path}: external storage"), &file, beside, context);
                }
            }
            Message::Contiguous { at, len } => {
                let bytes = self.file.bytes(at, len)?;
                if is_text && len > 8 {
                    context.embed(if path.is_empty() { "dataset" } else { path }, bytes, Kind::Any);
                }
            }
            Message::Virtual => {
                context.find(&ELSEWHERE, format!("{path}: a virtual dataset"));
            }
            // 1 to 6 are HDF5's own; 32000 is LZF, which h5py brings along.
            Message::Filters(filters) => {
                for id in filters.into_iter().filter(|id| *id >= 256 && *id != 32_000) {
                    context.find(&PLUGIN, format!("{path}: filter {id}"));
                }
            }
            Message::Dense(what) => self.dense = Some(what),
            Message::Attribute { .. } | Message::Element { .. } => {}
        }
        Ok(())
    }

    fn follow(&mut self, path: &str, to: Target, beside: Option<&dyn Members>, context: &mut Context<'_>) {
        match to {
            Target::Object(address) => self.open.push((address, path.to_owned())),
            Target::Soft => {}
            Target::External(file) => outside(&format!("{path}: external link"), &file, beside, context),
            Target::UserDefined(kind) => {
                context.find(&PLUGIN, format!("{path}: link of type {kind}"));
            }
        }
    }
}

/// A file that HDF5 opens besides.
fn outside(place: &str, file: &str, beside: Option<&dyn Members>, context: &mut Context<'_>) {
    let named = shown(file, 160);
    match strays(file) {
        Some(why) => context.find(&EXTERNAL, format!("{place} in `{named}`, {why}")),
        None => {
            let there = if beside.is_some_and(|members| members.has(file)) { "" } else { ", which is not there" };
            context.find(&ELSEWHERE, format!("{place} in `{named}`{there}"))
        }
    };
}

/// An attribute that is text or bytes: a configuration, a pickle, or a remark.
fn attribute(path: &str, name: &str, value: &[u8], context: &mut Context<'_>) {
    let end = value.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let value = &value[..end];
    let layer = format!("{path}@{name}");
    let trimmed = value.trim_ascii_start();
    if trimmed.first().is_some_and(|first| b"{[".contains(first)) && value.len() > 2 {
        context.embed(&layer, Source::memory(value.to_vec()), Kind::As("json"));
    } else if value.len() > 2 && value.ends_with(b".") || value.starts_with(SIGNATURE) || value.starts_with(b"PK") {
        // PyTables unpickles what ends so.
        context.embed(&layer, Source::memory(value.to_vec()), Kind::Any);
    } else if value.len() > 24 {
        free_text(name, &String::from_utf8_lossy(value), TextKind::Metadata, context);
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    #[track_caller]
    fn check(bytes: &[u8], verdict: Verdict, rule: &str) {
        let rules = rules_of(bytes.to_vec());
        assert_eq!(verdict_of(bytes.to_vec()), verdict, "{rules:?}");
        assert!(rule.is_empty() || rules.iter().any(|found| found == rule), "{rules:?}");
    }

    // Made by h5py and Keras, see `testdata/make.py`.
    const KERAS: &[u8] = include_bytes!("../../testdata/keras.h5");

    #[test]
    fn models_of_keras_are_read() {
        check(KERAS, Verdict::Clean, "");
        check(include_bytes!("../../testdata/keras-lambda.h5"), Verdict::Blocked, "artifact.keras-lambda");
    }

    #[test]
    fn other_files_and_pickles_are_found() {
        check(include_bytes!("../../testdata/external-storage.h5"), Verdict::Blocked, "artifact.hdf5-external");
        check(include_bytes!("../../testdata/external-link.h5"), Verdict::Blocked, "artifact.hdf5-external");
        check(include_bytes!("../../testdata/pickled.h5"), Verdict::Blocked, "artifact.pickle-dangerous-call");
        check(include_bytes!("../../testdata/latest.h5"), Verdict::Clean, "");
        check(include_bytes!("../../testdata/virtual.h5"), Verdict::Review, "artifact.hdf5-elsewhere");
    }

    #[test]
    fn cut_and_longer_files_are_not_clean() {
        for end in (100..KERAS.len()).step_by(KERAS.len() / 60) {
            assert_ne!(verdict_of(KERAS[..end].to_vec()), Verdict::Clean, "cut at {end}");
        }
        check(&[KERAS, b"cos\nsystem\n(S'echo harmless'\ntR."].concat(), Verdict::Blocked, "artifact.trailing-data");
    }
}
