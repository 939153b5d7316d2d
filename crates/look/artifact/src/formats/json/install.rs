//! Files beside a model that make a tool run something: npm scripts, editor tasks, development containers.

use haris_domain::Severity;

use crate::code::shell::{self, Command};
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::part::Part;
use crate::read::json::Json;
use crate::read::text::shown;
use crate::refs;
use crate::unread::Unread;

use super::Shape;

pub(in crate::formats) static HOOK: Face = Face::new(
    "artifact.install-hook",
    Severity::Critical,
    Verdict::Blocked,
    "Install step that does what an attacker wants",
    "Installing what lies beside the model, or opening its folder, runs a hostile command.",
    "Reject the artifact and report who brought it.",
    refs!["CWE-506", "CWE-829", "MITRE-ATLAS:AML.T0010.001"],
);
pub(in crate::formats) static DOUBTFUL: Face = Face::new(
    "artifact.install-step",
    Severity::Medium,
    Verdict::Review,
    "Install step from a place of its own",
    "Requirements beside the model come from an address, another index or a local path, or run a command.",
    "Have a person look at where they come from.",
    refs!["CWE-829", "CWE-1357", "MITRE-ATLAS:AML.T0010.001"],
);

/// The shape.
pub(super) struct Package;

/// Keys whose value a tool runs without being asked.
const RUN_KEYS: &[&str] = &[
    "preinstall",
    "install",
    "postinstall",
    "prepare",
    "prepublish",
    "preprepare",
    "postprepare",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
    "onCreateCommand",
    "initializeCommand",
    "updateContentCommand",
];

impl Shape for Package {
    fn name(&self) -> &'static str {
        "package"
    }

    fn rules(&self) -> Vec<&'static Face> {
        vec![&HOOK, &DOUBTFUL]
    }

    fn claim(&self, value: &Json) -> bool {
        value.get("scripts").is_some_and(|scripts| !scripts.pairs().is_empty())
            || value.get("tasks").is_some_and(|tasks| tasks.list().iter().any(|task| task.get("command").is_some()))
            || RUN_KEYS.iter().any(|key| value.get(key).is_some())
    }

    fn look(&self, value: &Json, _: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let scripts = value.get("scripts").map_or(&[][..], Json::pairs);
        for (key, command) in scripts.iter().chain(value.pairs()) {
            if RUN_KEYS.contains(&key.as_str())
                && let Some(command) = command.text()
            {
                run(key, command, context);
            }
        }
        for task in value.get("tasks").map_or(&[][..], Json::list) {
            let opens = task.get("runOptions").and_then(|options| options.text_of("runOn")) == Some("folderOpen");
            if let (true, Some(command)) = (opens, task.text_of("command")) {
                run("tasks", command, context);
            }
        }
        Ok(())
    }
}

/// A command that a tool would run.
pub(in crate::formats) fn run(place: &str, command: &str, context: &mut Context<'_>) {
    let shown_command = shown(command, 200);
    match shell::read(command) {
        Command::Hostile(why) => context.find(&HOOK, format!("{place}: {why}")).explain(&shown_command),
        _ => context.find(&DOUBTFUL, format!("{place}: `{shown_command}`")),
    };
}
