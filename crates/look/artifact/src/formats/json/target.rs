//! Configurations that name what to call: Hydra's and NeMo's `_target_`, MONAI's `$` expressions.
//!
//! `hydra.utils.instantiate` imports the path and calls it with the other keys as arguments
//! (<https://hydra.cc/docs/advanced/instantiate_objects/overview/>): such a file is a program of calls.

use haris_domain::Severity;

use crate::code::python::{Runs, act};
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::formats::python;
use crate::part::Part;
use crate::read::json::Json;
use crate::read::text::shown;
use crate::refs;
use crate::unread::Unread;

use super::Shape;

static HOSTILE: Face = Face::new(
    "artifact.config-target",
    Severity::Critical,
    Verdict::Blocked,
    "Configuration that calls what no model needs",
    "`_target_` names a function that starts processes, runs code, or opens files and connections. Whoever \
     instantiates the configuration calls it.",
    "Reject the artifact and report who brought it.",
    refs!["CWE-94", "CWE-470", "CVE-2025-23304", "MITRE-ATLAS:AML.T0011.000"],
);
static UNKNOWN: Face = Face::new(
    "artifact.config-target-unknown",
    Severity::Medium,
    Verdict::Review,
    "Configuration that calls something unknown",
    "`_target_` names a class or function of a package that this version does not know.",
    "Vet the package that provides it as code.",
    refs!["CWE-470", "MITRE-ATLAS:AML.T0011.000"],
);

/// Packages whose classes configurations of models are made of.
const KNOWN: &[&str] = &[
    "nemo",
    "nemo_text_processing",
    "torch",
    "torchvision",
    "torchaudio",
    "torchmetrics",
    "pytorch_lightning",
    "lightning",
    "lightning_fabric",
    "transformers",
    "diffusers",
    "monai",
    "omegaconf",
    "hydra",
    "hydra_plugins",
    "timm",
    "sklearn",
    "numpy",
    "datasets",
    "tokenizers",
    "accelerate",
    "peft",
    "megatron",
    "apex",
    "ignite",
    "fairseq",
    "fvcore",
    "detectron2",
    "kornia",
    "albumentations",
    "torch_geometric",
    "optuna",
    "ray",
    "mlflow",
    "wandb",
    "tensorboard",
    "xgboost",
    "lightgbm",
    "catboost",
    "sentence_transformers",
    "torchtune",
    "recipes",
    "models",
    "losses",
    "src",
    "ldm",
    "sgm",
    "taming",
    "open_clip",
    "clip",
    "einops",
    "speechbrain",
    "espnet",
    "espnet2",
    "asteroid",
    "anomalib",
    "pytorch3d",
    "torchrl",
    "gymnasium",
    "stable_baselines3",
    "keras",
    "tensorflow",
    "flax",
    "optax",
    "jax",
    "collections",
    "builtins",
    "math",
    "datetime",
    "pathlib",
];

/// Calls within known packages that load, fetch or evaluate.
const GRAVE_CALLS: &[&str] = &[
    "torch.load",
    "torch.hub.load",
    "torch.ops.load_library",
    "torch.utils.cpp_extension.load",
    "numpy.load",
    "numpy.f2py.compile",
    "torch.hub.load_state_dict_from_url",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "hydra.utils.get_method",
    "hydra.utils.get_class",
    "hydra.utils.get_object",
    "hydra.utils.call",
    "hydra._internal.utils._locate",
    "transformers.dynamic_module_utils.get_class_from_dynamic_module",
    "monai.bundle.run",
    "monai.bundle.ConfigExpression",
    "torch.utils.collect_env.run",
    "torch.utils.data.datapipes.utils.decoder.basichandlers",
    "torch._inductor.codecache",
    "nemo.utils.model_utils.import_class_by_path",
    "nemo.core.classes.common.import_class_by_path",
    "numpy.testing.rundocs",
    "torch.distributed.run.main",
    "numpy.genfromtxt",
    "numpy.fromfile",
    "numpy.loadtxt",
    "sklearn.utils._testing",
    "omegaconf.OmegaConf.register_new_resolver",
    "tensorflow.io.read_file",
    "tensorflow.io.write_file",
    "tensorflow.py_function",
    "pathlib.Path.unlink",
    "pathlib.Path.write_text",
    "pathlib.Path.read_text",
    "pathlib.Path.rmdir",
    "wandb.init",
];

/// Judges a dotted path that something calls with `operands`.
pub(in crate::formats) fn judge(place: &str, path: &str, operands: &str, context: &mut Context<'_>) {
    let path = path.trim();
    let top = path.split('.').next().unwrap_or("");
    let detail = format!(
        "{place}: `{}`{}",
        shown(path, 160),
        if operands.is_empty() { String::new() } else { format!(" with {operands}") }
    );
    let builtin = path.strip_prefix("builtins.").or((!path.contains('.')).then_some(path));
    let grave_builtin = builtin.is_some_and(|name| {
        matches!(
            name,
            "eval"
                | "exec"
                | "compile"
                | "__import__"
                | "open"
                | "getattr"
                | "setattr"
                | "input"
                | "breakpoint"
                | "globals"
                | "vars"
                | "delattr"
        )
    });
    let grave = act(path).is_some()
        || grave_builtin
        || GRAVE_CALLS.iter().any(|call| path == *call || path.ends_with(&format!(".{call}")));
    let grave_module = super::keras::is_grave_module(top)
        && !matches!(
            top,
            "collections" | "math" | "datetime" | "pathlib" | "functools" | "operator" | "threading" | "io"
        )
        || path.split('.').any(|part| {
            matches!(
                part.trim_start_matches('_'),
                "os" | "sys" | "subprocess" | "importlib" | "ctypes" | "socket" | "shutil" | "builtins"
            ) && path != builtin.unwrap_or("")
        }) && !path.starts_with("builtins.")
        || path.split('.').any(|part| part.starts_with("__"));
    if grave
        || grave_module
        || !path.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ':')) && !path.contains("${")
    {
        context.find(&HOSTILE, detail);
    } else if path.contains("${") || !KNOWN.contains(&top) {
        context.find(&UNKNOWN, detail);
    }
}

/// Keys that name what to call, in Hydra, NeMo, latent diffusion and their kin.
fn names_call(key: &str, value: &str) -> bool {
    match key {
        "_target_" | "_target" | "__target__" | "_call_" | "cls_path" | "class_path" | "_class_" => true,
        // Latent diffusion says `target: package.Class`, much else says `target: "y"`.
        "target" => {
            value.contains('.')
                && value
                    .split('.')
                    .all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
                && !value.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => false,
    }
}

/// Looks at every call that a tree of values names.
pub(in crate::formats) fn look(value: &Json, context: &mut Context<'_>) -> Result<(), Unread> {
    for (path, value) in value.walk() {
        context.budget().steps(5)?;
        match value {
            Json::Map(pairs) => {
                for (key, target) in pairs {
                    let Json::Text(target) = target else { continue };
                    if names_call(key, target) {
                        let operands: Vec<String> = pairs
                            .iter()
                            .filter(|(other, _)| other != key)
                            .take(6)
                            .map(|(name, value)| format!("{name}={}", brief(value)))
                            .collect();
                        let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                        judge(&place, target, &operands.join(", "), context);
                    }
                }
            }
            // MONAI evaluates what begins with a dollar.
            Json::Text(text)
                if text.starts_with('$') && text.len() > 1 && !text.starts_with("${") && !text.starts_with("$(") =>
            {
                python::look(&text[1..], Runs::OnLoad, &format!("expression at {path}, "), context)?;
            }
            Json::Text(text) if text.contains("${oc.env:") || text.contains("${env:") => {}
            _ => {}
        }
    }
    Ok(())
}

fn brief(value: &Json) -> String {
    match value {
        Json::Text(text) => format!("{:?}", shown(text, 80)),
        Json::Number(number) => shown(number, 20),
        Json::Bool(value) => value.to_string(),
        Json::Null => "None".to_owned(),
        Json::List(items) => format!("[{}]", items.iter().take(4).map(brief_leaf).collect::<Vec<_>>().join(", ")),
        Json::Map(_) => "{…}".to_owned(),
    }
}

fn brief_leaf(value: &Json) -> String {
    match value {
        Json::List(_) | Json::Map(_) => "…".to_owned(),
        leaf => brief(leaf),
    }
}

/// The shape.
pub(super) struct Target;

impl Shape for Target {
    fn name(&self) -> &'static str {
        "config"
    }

    fn rules(&self) -> Vec<&'static Face> {
        [&HOSTILE, &UNKNOWN].into_iter().chain(python::RULES).collect()
    }

    fn claim(&self, value: &Json) -> bool {
        value.walk().iter().take(50_000).any(|(_, value)| match value {
            Json::Map(pairs) => pairs.iter().any(|(key, value)| value.text().is_some_and(|text| names_call(key, text))),
            Json::Text(text) => text.starts_with('$') && text.len() > 1,
            _ => false,
        })
    }

    fn look(&self, value: &Json, _: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        look(value, context)
    }
}

/// The rules, for YAML.
pub(in crate::formats) fn faces() -> [&'static Face; 2] {
    [&HOSTILE, &UNKNOWN]
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    #[test]
    fn calls_are_judged_by_what_they_name() {
        for (target, verdict) in [
            ("torch.nn.Linear", Verdict::Clean),
            ("nemo.collections.asr.modules.ConvASREncoder", Verdict::Clean),
            ("os.system", Verdict::Blocked),
            ("builtins.exec", Verdict::Blocked),
            ("eval", Verdict::Blocked),
            ("torch.hub.load", Verdict::Blocked),
            ("numpy.testing._private.utils.os.system", Verdict::Blocked),
            ("subprocess.Popen", Verdict::Blocked),
            ("somebody.Thing", Verdict::Review),
        ] {
            let text = format!(r#"{{"model":{{"encoder":{{"_target_":"{target}","_args_":["x"]}}}}}}"#);
            assert_eq!(verdict_of(text.clone().into_bytes()), verdict, "{target}: {:?}", rules_of(text.into_bytes()));
        }
        let monai = r#"{"a": "$__import__('os').system('id')"}"#;
        assert_eq!(verdict_of(monai.as_bytes().to_vec()), Verdict::Blocked);
        assert_eq!(verdict_of(br#"{"a": "$@network.parameters()", "price": "$5"}"#.to_vec()), Verdict::Clean);
    }
}
