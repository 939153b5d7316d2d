//! YAML: NeMo's and Hydra's configurations, MLflow's `MLmodel`, conda environments, and tags that make objects.

use std::sync::LazyLock;

use haris_domain::Severity;

use crate::code::python::act;
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::{Embedded, Kind, Part};
use crate::read::json::Json;
use crate::read::text::{self, shown};
use crate::read::yaml::{self, Tag};
use crate::refs;
use crate::unread::Unread;

use super::json::keras::is_grave_module;
use super::json::{install, target};
use super::{onnx, python, requirements};

static TAG: Face = Face::new(
    "artifact.yaml-object-tag",
    Severity::Critical,
    Verdict::Blocked,
    "YAML that makes objects",
    "A tag makes an unsafe loader (`yaml.load`, `yaml.unsafe_load`) import and call something while it reads.",
    "Reject the file; a configuration needs no tags of a programming language.",
    refs!["CWE-502", "CWE-94", "MITRE-ATLAS:AML.T0011.000"],
);
static HARMLESS_TAG: Face = Face::new(
    "artifact.yaml-python-tag",
    Severity::Medium,
    Verdict::Review,
    "YAML that asks for an unsafe loader",
    "A tag of a programming language makes plain values or names a class. Reading it takes a loader that makes \
     arbitrary objects.",
    "Write the file anew without tags, and read it with a safe loader.",
    refs!["CWE-502"],
);
static BOMB: Face = Face::new(
    "artifact.yaml-alias-bomb",
    Severity::High,
    Verdict::Blocked,
    "YAML that multiplies",
    "Aliases of aliases stand for more values than memory holds.",
    "Reject the file.",
    refs!["CWE-776"],
);
static LOADER: Face = Face::new(
    "artifact.mlflow-loader",
    Severity::Critical,
    Verdict::Blocked,
    "MLflow model that loads what no model needs",
    "`loader_module` names a module that starts processes or runs code, or a path of the model leads out of it.",
    "Reject the model and report who brought it.",
    refs!["CWE-94", "CWE-22", "MITRE-ATLAS:AML.T0011.000"],
);
static CODE: Face = Face::new(
    "artifact.mlflow-code",
    Severity::Medium,
    Verdict::Review,
    "MLflow model that brings its own Python",
    "Loading the model imports code that lies in it, or a loader that MLflow does not have.",
    "Vet that code, and pin its version.",
    refs!["CWE-829", "MITRE-ATLAS:AML.T0011.000"],
);

/// Values that a person could have meant.
const EXPANDED_MAX: u64 = 5_000_000;

/// The format.
pub(crate) struct Yaml;

impl Format for Yaml {
    fn name(&self) -> &'static str {
        "yaml"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: LazyLock<Vec<&'static Face>> = LazyLock::new(|| {
            let shared = target::faces().into_iter().chain(python::RULES).chain([&install::HOOK, &install::DOUBTFUL]);
            [&TAG, &HARMLESS_TAG, &BOMB, &LOADER, &CODE].into_iter().chain(shared).collect()
        });
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if text::is_text(&part.head) && reads_as_yaml(&text::decode(&part.head)) { Claim::Perhaps } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let source = text::decode(&part.source.all("bytes of a YAML file", yaml::BYTES_MAX)?);
        let budget = context.budget().clone();
        let stream = yaml::read(&source, &budget)?;
        for tag in &stream.tags {
            judge_tag(tag, context);
        }
        if stream.expanded > EXPANDED_MAX {
            context.find(&BOMB, format!("{} values once aliases are expanded", stream.expanded));
        }
        for document in &stream.documents {
            target::look(document, context)?;
            if document.get("flavors").is_some() {
                context.name_it("mlmodel");
                mlflow(document, part, context);
            }
            if let Some(dependencies) = document.get("dependencies") {
                environment(dependencies, context);
            }
        }
        match stream.stop {
            Some((line, why)) => {
                // A reader of another library may go on: its tags are looked for in the raw text.
                for (number, line) in (1..)
                    .zip(source.lines())
                    .filter(|(_, line)| line.contains("!!python/") || line.contains(":python/"))
                {
                    context.find(&TAG, format!("line {number}: `{}`", shown(line.trim(), 160)));
                }
                Err(Unread::malformed(format!("YAML in line {line} ({why})"), 0))
            }
            None => Ok(()),
        }
    }
}

/// Most lines at the margin are keys.
fn reads_as_yaml(head: &str) -> bool {
    if head.contains("!!python/")
        || head.contains("tag:yaml.org,2002:python")
        || head.starts_with("%YAML")
        || head.starts_with("%TAG")
    {
        return true;
    }
    let mut lines = head.lines();
    // A model card has front matter and then prose.
    if head.starts_with("---") {
        let closing = lines.clone().skip(1).position(|line| line.trim_end() == "---");
        if closing.is_some_and(|at| head.lines().skip(at + 2).any(|line| line.starts_with('#') || line.contains(". ")))
        {
            return false;
        }
    }
    let (mut keys, mut others) = (0usize, 0usize);
    let mut block = false;
    for line in lines.by_ref() {
        let trimmed = line.trim_end();
        if trimmed.is_empty() || trimmed.starts_with('#') || matches!(trimmed, "---" | "...") {
            continue;
        }
        if trimmed.starts_with([' ', '\t', ']', '}']) && (keys > 0 || block) {
            continue;
        }
        let item = trimmed.strip_prefix("- ").unwrap_or(trimmed);
        block = trimmed.starts_with("- ");
        let key = item.split_once(':').filter(|(key, rest)| {
            (rest.is_empty() || rest.starts_with(' '))
                && !key.is_empty()
                && key.len() < 80
                && !key.contains(['(', ';', '=', '{', '<'])
                && key.split_whitespace().count() <= 3
        });
        if key.is_some() || block {
            keys += 1;
        } else {
            others += 1;
        }
    }
    keys > 0 && others * 8 <= keys && head.contains(':')
}

fn judge_tag(tag: &Tag, context: &mut Context<'_>) {
    let lower = tag.name.to_ascii_lowercase();
    let named = tag.name.split_once(':').map_or("", |_| tag.name.rsplit(':').next().unwrap_or(""));
    let detail = format!("line {}: `{}`", tag.line, shown(&tag.name, 160));
    let language = ["python/", "ruby/", "javax.", "java.", "com.sun.", "org.", "perl/", "php/", "!js/", "clr"]
        .iter()
        .any(|part| lower.contains(part));
    if !language {
        return;
    }
    let calls = [
        "object/apply",
        "object/new",
        "python/name",
        "python/module",
        "ruby/",
        "javax.",
        "java.",
        "com.sun.",
        "js/function",
    ]
    .iter()
    .any(|part| lower.contains(part));
    let plain = [
        "python/tuple",
        "python/str",
        "python/unicode",
        "python/int",
        "python/long",
        "python/float",
        "python/bool",
        "python/none",
        "python/complex",
        "python/list",
        "python/dict",
        "python/bytes",
    ]
    .iter()
    .any(|part| lower.ends_with(part));
    let top = named.split('.').next().unwrap_or("");
    let known = [
        "torch",
        "numpy",
        "collections",
        "omegaconf",
        "pathlib",
        "datetime",
        "argparse",
        "easydict",
        "yacs",
        "pytorch_lightning",
        "lightning",
        "sklearn",
        "transformers",
        "detectron2",
        "enum",
    ]
    .contains(&top);
    let grave = act(named).is_some()
        || is_grave_module(top) && !known
        || top == "builtins"
            && !matches!(
                named,
                "builtins.tuple"
                    | "builtins.set"
                    | "builtins.list"
                    | "builtins.dict"
                    | "builtins.object"
                    | "builtins.slice"
            );
    if plain || (known && !grave) {
        context.find(&HARMLESS_TAG, detail);
    } else if grave || calls {
        context.find(&TAG, detail);
    } else {
        context.find(&HARMLESS_TAG, detail);
    }
}

fn mlflow(document: &Json, part: &Part, context: &mut Context<'_>) {
    for (flavour, settings) in document.get("flavors").map_or(&[][..], Json::pairs) {
        for (key, value) in settings.pairs() {
            let Some(value) = value.text().filter(|value| !value.is_empty()) else { continue };
            match key.as_str() {
                "loader_module" => loader(flavour, value, part, context),
                "code" => folder(value, part, context),
                "model_code_path" => {
                    let file = value.rsplit('/').next().unwrap_or(value);
                    context.find(&CODE, format!("`{flavour}` runs `{}`", shown(file, 120)));
                    module(file, part, context);
                }
                "data" | "model_path" | "pickled_model" | "python_model" | "saved_model_dir" | "model_data"
                | "cloudpickle_path" | "save_path" | "model_binary" | "onnx_model" => {
                    if let Some(why) = onnx::strays(value).filter(|_| value != "null") {
                        context.find(&LOADER, format!("`{flavour}`: `{key}` is `{}`: {why}", shown(value, 120)));
                    }
                }
                _ => {}
            }
        }
        for (name, artifact) in settings.get("artifacts").map_or(&[][..], Json::pairs) {
            if let Some(why) = artifact.text_of("path").and_then(onnx::strays) {
                context.find(&LOADER, format!("artifact `{}`: {why}", shown(name, 80)));
            }
        }
    }
}

fn loader(flavour: &str, value: &str, part: &Part, context: &mut Context<'_>) {
    let top = value.split('.').next().unwrap_or("");
    if value == "mlflow" || value.starts_with("mlflow.") {
        return;
    }
    let detail = format!("`{flavour}` is loaded by `{}`", shown(value, 120));
    if is_grave_module(top) || act(value).is_some() {
        context.find(&LOADER, detail);
    } else {
        context.find(&CODE, detail);
        module(&format!("{}.py", value.replace('.', "/")), part, context);
        for folder in ["code", "loader"] {
            module(&format!("{folder}/{}.py", value.replace('.', "/")), part, context);
        }
    }
}

/// Everything under a folder of code is imported.
fn folder(value: &str, part: &Part, context: &mut Context<'_>) {
    if let Some(why) = onnx::strays(value) {
        context.find(&LOADER, format!("`code` is `{}`: {why}", shown(value, 120)));
        return;
    }
    let Some(members) = &part.members else { return };
    let prefix = part
        .name
        .as_deref()
        .and_then(|name| name.rsplit_once('/'))
        .map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let inside = format!("{prefix}{}/", value.trim_end_matches('/'));
    let files: Vec<String> = members
        .list()
        .iter()
        .map(|member| member.name.to_string())
        .filter(|name| name.starts_with(&inside) && name.ends_with(".py"))
        .take(2000)
        .collect();
    if !files.is_empty() {
        context.find(&CODE, format!("{} files of Python under `{}`", files.len(), shown(value, 120)));
    }
    for file in files {
        module(file.strip_prefix(prefix.as_str()).unwrap_or(&file), part, context);
    }
}

fn module(file: &str, part: &Part, context: &mut Context<'_>) {
    let Some(source) = onnx::beside(part, file) else { return };
    let mut embedded = Embedded::new(source, Kind::As("python-module"), context.location().inside(file));
    embedded.name = Some(file.into());
    context.embed_part(embedded);
}

/// A conda environment: its `pip` list is a requirements file.
fn environment(dependencies: &Json, context: &mut Context<'_>) {
    for entry in dependencies.list() {
        if let Some(line) = entry.text() {
            requirements::line("dependencies", line, context);
        }
        for line in entry.get("pip").map_or(&[][..], Json::list).iter().filter_map(Json::text) {
            requirements::line("pip", line, context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{rules_of, scan_folder, verdict_of};

    #[test]
    fn honest_configurations_are_clean() {
        for source in [
            "name: base\nmodel:\n  encoder:\n    _target_: nemo.collections.asr.modules.ConvASREncoder\n    feat_in: 64\n",
            "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    python_version: 3.11.7\n  sklearn:\n    code: null\nmlflow_version: 2.9\n",
            "channels:\n- conda-forge\ndependencies:\n- python=3.11\n- pip<=24\n- pip:\n  - mlflow==2.9\n  - scikit-learn==1.3\nname: mlflow-env\n",
            "a: &x [1, 2]\nb: *x\n",
        ] {
            assert_eq!(
                verdict_of(source.as_bytes().to_vec()),
                Verdict::Clean,
                "{source}: {:?}",
                rules_of(source.as_bytes().to_vec())
            );
        }
        assert!(!reads_as_yaml("---\nlicense: mit\n---\n# Model card\nThis is it.\n"));
        assert!(!reads_as_yaml("def f():\n    x: int = 3\n"));
        assert!(!reads_as_yaml("Note: this is prose. It goes on for a while.\nAnd on and on.\n"));
    }

    #[test]
    fn tags_targets_and_loaders_are_found() {
        for (source, verdict) in [
            ("a: !!python/object/apply:os.system ['id']\n", Verdict::Blocked),
            ("!!python/object/new:subprocess.Popen [['id']]\n", Verdict::Blocked),
            ("a: !<tag:yaml.org,2002:python/object/apply:os.system> ['id']\n", Verdict::Blocked),
            ("%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!object/apply:os.system ['id']\n", Verdict::Blocked),
            ("a: !!python/tuple [1, 2]\n", Verdict::Review),
            ("model:\n  _target_: os.system\n  command: id\n", Verdict::Blocked),
            ("flavors:\n  python_function:\n    loader_module: os\n", Verdict::Blocked),
            ("flavors:\n  python_function:\n    loader_module: my_loader\n", Verdict::Review),
            (
                "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: ../../secret.pkl\n",
                Verdict::Blocked,
            ),
            ("dependencies:\n- pip:\n  - http://192.0.2.1/x.whl\n", Verdict::Blocked),
        ] {
            assert_eq!(
                verdict_of(source.as_bytes().to_vec()),
                verdict,
                "{source}: {:?}",
                rules_of(source.as_bytes().to_vec())
            );
        }
        let bomb = (0..30).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, i| {
            format!("{text}a{}: &a{} [*a{i}, *a{i}, *a{i}, *a{i}, *a{i}, *a{i}, *a{i}, *a{i}]\n", i + 1, i + 1)
        });
        assert_eq!(verdict_of(bomb.into_bytes()), Verdict::Blocked);
        assert!(matches!(verdict_of(b"a: [1, 2\nb: }\n".to_vec()), Verdict::Incomplete));
        let model = b"flavors:\n  python_function:\n    loader_module: my_loader\n    code: code\n";
        let hostile = b"import os\nos.system('touch x')\n";
        assert_eq!(scan_folder(&[("MLmodel", model), ("code/my_loader.py", hostile)]).verdict(), Verdict::Blocked);
    }
}
