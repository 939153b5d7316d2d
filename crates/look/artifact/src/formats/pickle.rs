//! Pickle: protocols 0 to 5, stacked, with joblib's inline arrays, dill's and cloudpickle's functions.

use crate::context::Context;
use crate::face::Face;
use crate::format::{Claim, Format};
use crate::formats::torch_legacy::{self, item_kind};
use crate::part::{Kind, Part};
use crate::pickle;
use crate::unread::Unread;
use crate::weights::{self, Weights};

/// What `pickle.load` would read.
pub(crate) struct Pickle;

impl Format for Pickle {
    fn name(&self) -> &'static str {
        "pickle"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> =
            std::sync::LazyLock::new(|| pickle::RULES.iter().copied().chain(weights::RULES).collect());
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if torch_legacy::is_one(&part.head) {
            return Claim::No;
        }
        // A file that begins like a pickle is opened as one, whatever follows. Inside containers lie raw
        // tensors, whose first bytes are anything: there it has to read like a pickle.
        if pickle::has_header(&part.head) && part.location.depth() == 0 {
            return Claim::Yes;
        }
        let knowledge = part.knowledge.clone();
        match pickle::is_pickle(&part.source, &knowledge, &part.budget) {
            Ok(true) => Claim::Yes,
            _ => Claim::No,
        }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let reading = pickle::read(&part.source, &part.knowledge, &part.budget)?;
        if let Some(dialect) = reading.dialect {
            context.name_it(dialect);
        }
        report(&reading, 0, part, context);
        storages(&reading, part, context)
    }
}

/// torch's zip keeps each storage as a member beside the pickle, under its key.
fn storages(reading: &pickle::Reading, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
    let (Some(members), Some(name)) = (&part.members, &part.name) else { return Ok(()) };
    let Some(stem) = name.strip_suffix(".pkl") else { return Ok(()) };
    let mut weights = Weights::default();
    for storage in &reading.storages {
        let Some(item) = item_kind(&storage.kind) else { continue };
        let member = format!("{stem}/{}", storage.key);
        // One that is missing or broken is said where members are opened.
        if members.has(&member)
            && let Ok(bytes) = members.open(&member)
        {
            weights.look(&storage.key, item, &bytes, context)?;
        }
    }
    weights.conclude(context);
    Ok(())
}

/// Turns a reading's notes into findings, its bytes literals into parts.
pub(crate) fn report(reading: &pickle::Reading, base: u64, part: &Part, context: &mut Context<'_>) {
    for note in &reading.notes {
        let finding = context.find_at(note.face, base + note.at, note.detail.clone());
        if let Some(explanation) = &note.explanation {
            finding.explain(explanation);
        }
    }
    for (start, len) in &reading.embedded {
        let start = base + start;
        context.embed(&format!("bytes at {start}"), part.source.slice(start, *len), Kind::Any);
    }
}
