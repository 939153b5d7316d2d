//! Python sources: scripts beside the weights, and modules that loading the model imports.

use haris_domain::Severity;

use crate::code::python::{Deed, Runs, Weight, judge};
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Kind, Part, TextKind};
use crate::read::text;
use crate::refs;
use crate::source::Source;
use crate::syntax::fold::{Seen, follow};
use crate::syntax::tree::{Expr, Statement};
use crate::syntax::value::Value;
use crate::unread::Unread;

/// Pickles in one source that are looked into.
const PICKLES_MAX: usize = 20;

static HOSTILE: Face = Face::new(
    "artifact.python-hostile",
    Severity::Critical,
    Verdict::Blocked,
    "Python that does what no model needs",
    "The source starts processes, runs code that it unwraps or fetches, opens a way in, or sends secrets away, and \
     it does so as soon as it is loaded or run.",
    "Reject the artifact and report who brought it.",
    refs!["CWE-506", "CWE-94", "MITRE-ATLAS:AML.T0011.000", "OWASP-LLM-2025:LLM03"],
);
static DOUBTFUL: Face = Face::new(
    "artifact.python-doubtful",
    Severity::Medium,
    Verdict::Review,
    "Python that a person should read",
    "The source starts processes, talks to other machines or makes code out of data in a way that may be honest.",
    "Have a person read the lines named.",
    refs!["CWE-829", "MITRE-ATLAS:AML.T0011.000"],
);
static NOTED: Face = Face::new(
    "artifact.python-noted",
    Severity::Info,
    Verdict::Clean,
    "Python that does what scripts do",
    "The source fetches data, starts an everyday program or loads objects in a format that can run code.",
    "Nothing, unless the source is to run where it must not.",
    refs!["CWE-829"],
);
static UNSEEN: Face = Face::new(
    "artifact.python-unread",
    Severity::Medium,
    Verdict::Review,
    "Python that could not be followed to its end",
    "The source is longer or deeper than any person writes, or much of it is no Python that is known.",
    "Have a person read it.",
    refs!["CWE-1104"],
);

/// Rules of Python wherever it is found: sources, notebooks, layers, metadata.
pub(super) static RULES: [&Face; 4] = [&HOSTILE, &DOUBTFUL, &NOTED, &UNSEEN];

/// Notes of one source; more tell nothing.
const NOTES_MAX: usize = 5;

/// A source that a person runs.
pub(crate) struct PythonSource;

/// A source that loading the model imports: only what names it says so.
pub(crate) struct PythonModule;

impl Format for PythonSource {
    fn name(&self) -> &'static str {
        "python"
    }

    fn rules(&self) -> &'static [&'static Face] {
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if !text::is_text(&part.head) {
            return Claim::No;
        }
        // Python's own import goes by this name: whatever the content looks like, it would be run.
        let named = part.name.as_deref().is_some_and(|name| name.ends_with(".py") || name.ends_with(".pyw"));
        if named {
            return Claim::Yes;
        }
        if reads_as_python(&text::decode(&part.head), part.source.len() > part.head.len() as u64) {
            Claim::Perhaps
        } else {
            Claim::No
        }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let name = part.name.as_deref().unwrap_or("");
        let hook = matches!(
            name.rsplit('/').next(),
            Some("setup.py" | "conftest.py" | "sitecustomize.py" | "usercustomize.py" | "__init__.py")
        );
        source(part, if hook { Runs::OnLoad } else { Runs::Beside }, context)
    }
}

impl Format for PythonModule {
    fn name(&self) -> &'static str {
        "python-module"
    }

    fn rules(&self) -> &'static [&'static Face] {
        &RULES
    }

    fn claim(&self, _: &Part) -> Claim {
        Claim::No
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        source(part, Runs::OnLoad, context)
    }
}

fn source(part: &Part, runs: Runs, context: &mut Context<'_>) -> Result<(), Unread> {
    let text = text::read(&part.source)?;
    look(&text, runs, "", context)?;
    context.embed("source", part.source.clone(), Kind::Text(TextKind::Code));
    Ok(())
}

/// Looks at a Python text; `place` goes before the line in findings.
pub(super) fn look(text: &str, runs: Runs, place: &str, context: &mut Context<'_>) -> Result<(), Unread> {
    context.budget().steps(text.len() as u64)?;
    let seen = follow(text);
    let lines = text.lines().count().max(1);
    if seen.cut {
        context.find(&UNSEEN, format!("{place}longer or deeper than it can be followed"));
    } else if runs == Runs::OnLoad && seen.errors as usize > 3 + lines / 5 {
        context.find(&UNSEEN, format!("{place}{} places are no Python that is known", seen.errors));
    }
    report(&judge(&seen, runs), text, place, context);
    pickles(&seen, context);
    Ok(())
}

/// Bytes that the source itself unpickles: what is in them decides.
fn pickles(seen: &Seen, context: &mut Context<'_>) {
    for call in seen.calls.iter().filter(|call| call.symbol.ends_with(".loads")).take(PICKLES_MAX) {
        let root = call.symbol.split('.').next().unwrap_or_default();
        if let Some(Value::Bytes(bytes)) = call.arguments.first()
            && matches!(root, "pickle" | "cPickle" | "_pickle" | "dill" | "cloudpickle")
        {
            context.embed(&format!("line {}", call.line), Source::memory(bytes.to_vec()), Kind::As("pickle"));
        }
    }
}

/// Makes findings of deeds.
pub(super) fn report(deeds: &[Deed], text: &str, place: &str, context: &mut Context<'_>) {
    let mut notes = 0;
    for deed in deeds {
        let face = match deed.weight {
            Weight::Block => &HOSTILE,
            Weight::Review => &DOUBTFUL,
            Weight::Note => {
                notes += 1;
                &NOTED
            }
        };
        if deed.weight == Weight::Note && notes > NOTES_MAX {
            continue;
        }
        let line = text.lines().nth((deed.line as usize).saturating_sub(1)).unwrap_or("").trim();
        let detail = format!("{place}line {}: {}: {}", deed.line, deed.what, deed.shown);
        context.find(face, detail).explain(&format!("{}\n{}", deed.shown, text::shown(line, 400)));
    }
}

/// Whether a head reads as Python: statements that prose and configuration do not have, few errors.
pub(super) fn reads_as_python(head: &str, is_cut: bool) -> bool {
    let whole = if is_cut { head.rsplit_once('\n').map_or(head, |(whole, _)| whole) } else { head };
    if whole.starts_with("#!") && whole.lines().next().is_some_and(|line| line.contains("python")) {
        return true;
    }
    let program = crate::syntax::python(whole);
    let mut marks = 0usize;
    let mut acts = false;
    for placed in &program.statements {
        match &placed.statement {
            Statement::Import { names, .. } => marks += usize::from(!names.is_empty()),
            Statement::Function { .. } | Statement::Class { .. } => marks += 1,
            Statement::Expression(id) | Statement::Return(id) => {
                acts |= matches!(program.expr(*id), Expr::Call { .. });
            }
            _ => {}
        }
    }
    let errors = program.errors as usize;
    let lines = whole.lines().filter(|line| !line.trim().is_empty()).count();
    if errors * 8 > lines {
        return false;
    }
    marks > 0 || (acts && calls_something_grave(whole))
}

/// One line is enough when it says `exec(…)`.
fn calls_something_grave(text: &str) -> bool {
    follow(text).calls.iter().any(|call| crate::code::python::act(&call.symbol).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{scan, scan_folder, verdict_of};

    #[test]
    fn sources_are_known_by_content() {
        assert_eq!(scan(b"import os\n\ndef f():\n    return os.getcwd()\n".to_vec()).format, "python");
        assert_eq!(verdict_of(b"import os\n\ndef f():\n    return os.getcwd()\n".to_vec()), Verdict::Clean);
        assert_eq!(
            verdict_of(b"exec(__import__('base64').b64decode('aW1wb3J0IG9zO29zLnN5c3RlbSgnaWQnKQ=='))".to_vec()),
            Verdict::Blocked
        );
        assert_eq!(verdict_of(b"import os\nos.system('touch x')\n".to_vec()), Verdict::Blocked);
        let prose = "We import the data from the warehouse. Please class the results by hand, and return them.\nDefinitely (see above).\n";
        assert!(!reads_as_python(prose, false));
        assert!(!reads_as_python(
            "# Model card\n\nUse it like this:\n\n```python\nimport torch\nmodel = load()\n```\n\nIt's good & cheap, isn't it?\n",
            false
        ));
        assert!(!reads_as_python("torch==2.1\nnumpy>=1.2\n", false));
        assert!(!reads_as_python("name: x\nchannels:\n  - defaults\n", false));
    }

    #[test]
    fn pickles_within_a_source_are_read() {
        let call = |bytes: &str| format!("import pickle\nx = pickle.loads({bytes})\n").into_bytes();
        assert_eq!(verdict_of(call(r#"b"cos\nsystem\n(S'echo harmless'\ntR.""#)), Verdict::Blocked);
        assert_eq!(verdict_of(call(r#"b"\x80\x04K\x01.""#)), Verdict::Clean);
    }

    #[test]
    fn a_module_of_any_content_is_read() {
        let found = scan_folder(&[("a.py", b"(lambda: 1)()\n__import__('os').system('x')"), ("b.bin", b"\0\0")]);
        assert_eq!(found.verdict(), Verdict::Blocked);
    }
}
