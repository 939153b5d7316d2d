//! From how each name was used to what is said of it.

use crate::knowledge::{Danger, Standing, Uses};
use crate::pickle::machine::Machine;
use crate::pickle::names::Name;
use crate::pickle::note::{self, Note};

impl Machine<'_> {
    /// Everything noticed, in the order of the file.
    pub(crate) fn conclude(&mut self) -> Vec<Note> {
        let mut notes = std::mem::take(&mut self.notes);
        notes.extend(self.names.all().iter().filter_map(judge));
        notes.sort_by_key(|note| note.at);
        notes
    }
}

fn judge(name: &Name) -> Option<Note> {
    let path = name.path();
    let shown = name.call.as_ref().map_or_else(|| path.clone(), |call| call.shown.clone());
    let payload = name.call.as_ref().and_then(|call| call.payload.as_ref());
    let called = name.calls > 0;
    let at = name.call.as_ref().map(|call| call.at).or(name.made).unwrap_or(name.first);
    let say = |face, detail: String| Some(Note { face, at, detail, explanation: Some(shown.clone()) });
    let times = if name.calls > 1 { format!(" ({} calls)", name.calls) } else { String::new() };
    let unknown = |whose: &str| match (payload, called, name.made) {
        (Some(text), ..) => say(&note::PAYLOAD_CALL, format!("{shown} hands `{}` to {whose}{times}", excerpt(text))),
        (None, true, _) => say(&note::UNKNOWN_CALL, format!("{shown} calls {whose}{times}")),
        (None, false, Some(_)) => say(&note::UNKNOWN_CLASS, format!("an object of `{path}`, {whose}")),
        (None, false, None) => say(&note::UNKNOWN_NAME, format!("`{path}`, {whose}")),
    };
    match name.standing {
        Standing::Dangerous(danger) if called || name.made.is_some() => {
            say(&note::DANGEROUS_CALL, format!("{shown} {}{times}", danger.does()))
        }
        Standing::Dangerous(danger) => say(&note::DANGEROUS_NAME, format!("`{path}`, which {}", danger.does())),
        Standing::Known(uses) if !called || uses.has(Uses::CALLED) => None,
        Standing::Gadget(danger) if called && (danger != Danger::Import || !name.is_class_like()) => say(
            &note::DANGEROUS_CALL,
            format!("{shown} hands what it is given to something that {}{times}", danger.does()),
        ),
        Standing::Gadget(_) => unknown("a part of its framework that can run what it is given"),
        Standing::Known(_) | Standing::Stdlib if called && name.of_python && !name.is_class_like() => {
            say(&note::FOREIGN_CALL, format!("{shown} calls a part of Python that no model uses{times}"))
        }
        Standing::Stdlib => unknown("a part of Python that no model uses"),
        Standing::Known(_) => unknown("a part of its framework that genuine models do not call"),
        Standing::Framework if called => unknown("a part of its framework that genuine models do not call"),
        Standing::Framework => unknown("a part of its framework that genuine models do not use"),
        Standing::Unknown => unknown("of no known package"),
    }
}

fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}
