//! Configurations of Hugging Face repositories: what else would loading one import?

use haris_domain::Severity;

use crate::code::python::act;
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::part::{Embedded, Kind, Part};
use crate::read::json::Json;
use crate::read::text::shown;
use crate::refs;
use crate::source::Source;
use crate::unread::Unread;

use super::Shape;
use super::keras::is_grave_module;

static REMOTE: Face = Face::new(
    "artifact.remote-code",
    Severity::Medium,
    Verdict::Review,
    "Model that brings its own Python",
    "The configuration makes `transformers` import a module from this repository when it is told to trust remote \
     code.",
    "Vet the module as code, pin the revision, and load without `trust_remote_code` where that is possible.",
    refs!["CWE-829", "CWE-94", "MITRE-ATLAS:AML.T0011.000", "OWASP-LLM-2025:LLM03"],
);
static ELSEWHERE: Face = Face::new(
    "artifact.remote-code-elsewhere",
    Severity::High,
    Verdict::Blocked,
    "Model that brings Python from another repository",
    "The configuration names a module of another repository: what runs can change without a byte of this model \
     changing.",
    "Reject the model, or have the module copied into it and vetted.",
    refs!["CWE-829", "CWE-494", "MITRE-ATLAS:AML.T0010.001", "OWASP-LLM-2025:LLM03"],
);
static IMPORT: Face = Face::new(
    "artifact.hub-import",
    Severity::Critical,
    Verdict::Blocked,
    "Configuration that imports what no model needs",
    "A class or library named in the configuration starts processes or runs code once it is imported or made.",
    "Reject the model and report who brought it.",
    refs!["CWE-94", "CWE-470", "MITRE-ATLAS:AML.T0011.000"],
);

/// Libraries that a diffusers pipeline or a sentence encoder is made of.
const LIBRARIES: &[&str] = &[
    "diffusers",
    "transformers",
    "onnxruntime",
    "optimum",
    "flax",
    "sentence_transformers",
    "peft",
    "tokenizers",
    "k_diffusion",
    "stable_diffusion",
    "diffusers_modules",
    "torch",
    "timm",
    "open_clip",
    "sentencepiece",
    "pylate",
    "setfit",
    "span_marker",
    "gliner",
];

/// The shape.
pub(super) struct Hub;

impl Shape for Hub {
    fn name(&self) -> &'static str {
        "huggingface-config"
    }

    fn rules(&self) -> Vec<&'static Face> {
        vec![&REMOTE, &ELSEWHERE, &IMPORT]
    }

    fn claim(&self, value: &Json) -> bool {
        [
            "auto_map",
            "custom_pipelines",
            "model_type",
            "architectures",
            "_diffusers_version",
            "trust_remote_code",
            "peft_type",
            "auto_mapping",
            "_class_name",
            "transformers_version",
            "tokenizer_class",
            "feature_extractor_type",
            "processor_class",
        ]
        .iter()
        .any(|key| value.get(key).is_some())
            || value.list().first().is_some_and(|first| first.has(&["idx", "type"]))
            || value.walk().iter().take(5_000).any(|(_, value)| value.get("auto_map").is_some())
    }

    fn look(&self, value: &Json, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        for (path, value) in value.walk() {
            context.budget().steps(5)?;
            for map in value.all("auto_map") {
                for (class, named) in map.pairs() {
                    let names = named.text().into_iter().chain(named.list().iter().filter_map(Json::text));
                    for name in names {
                        module(&format!("auto_map.{class}"), name, part, context);
                    }
                }
                if let Some(name) = map.text() {
                    module("auto_map", name, part, context);
                }
            }
            for (task, pipeline) in value.get("custom_pipelines").map_or(&[][..], Json::pairs) {
                if let Some(name) = pipeline.text_of("impl") {
                    module(&format!("custom_pipelines.{task}"), name, part, context);
                }
            }
            if value.get("trust_remote_code") == Some(&Json::Bool(true)) {
                let place = if path.is_empty() { "the configuration" } else { &path };
                context.find(&REMOTE, format!("{place} asks to trust remote code"));
            }
            if let Some(library) = value.get("auto_mapping").and_then(|map| map.text_of("parent_library")) {
                library_name("auto_mapping.parent_library", library, context);
            }
        }
        if value.get("_diffusers_version").is_some() || value.get("_class_name").is_some() {
            pipeline(value, part, context);
        }
        for entry in value.list().iter().filter(|entry| entry.has(&["idx", "type"])) {
            let name = entry.text_of("type").unwrap_or("");
            if LIBRARIES.iter().any(|library| name.starts_with(&format!("{library}."))) {
                continue;
            }
            if act(name).is_some() || is_grave_module(name.split('.').next().unwrap_or("")) {
                context.find(&IMPORT, format!("module `{}`", shown(name, 120)));
            } else {
                module("modules", name, part, context);
            }
        }
        Ok(())
    }
}

fn pipeline(value: &Json, part: &Part, context: &mut Context<'_>) {
    if let Some([file, _]) = value.get("_class_name").map(Json::list) {
        module("_class_name", file.text().unwrap_or(""), part, context);
    }
    for (key, entry) in value.pairs().iter().filter(|(key, _)| !key.starts_with('_')) {
        let [library, class] = entry.list() else { continue };
        let (Some(library), Some(class)) = (library.text(), class.text()) else { continue };
        let path = format!("{library}.{class}");
        let top = library.split('.').next().unwrap_or("");
        if act(&path).is_some() || is_grave_module(top) {
            context.find(&IMPORT, format!("`{key}` is `{}`", shown(&path, 120)));
        } else if !LIBRARIES.contains(&top) {
            module(key, &path, part, context);
        }
    }
}

fn library_name(place: &str, library: &str, context: &mut Context<'_>) {
    let top = library.split('.').next().unwrap_or("");
    if is_grave_module(top) {
        context.find(&IMPORT, format!("`{place}` is `{}`", shown(library, 120)));
    } else if !LIBRARIES.contains(&top) && top != "transformers_modules" {
        context.find(&REMOTE, format!("`{place}` is `{}`", shown(library, 120)));
    }
}

/// `module.Class`, or `repository--module.Class`: its source is read as what loading imports.
fn module(place: &str, name: &str, part: &Part, context: &mut Context<'_>) {
    if let Some((repository, _)) = name.split_once("--") {
        context.find(&ELSEWHERE, format!("`{place}` is `{}` of `{}`", shown(name, 120), shown(repository, 80)));
        return;
    }
    let module = name.rsplit_once('.').map_or(name, |(module, _)| module);
    if act(name).is_some() || (is_grave_module(module.split('.').next().unwrap_or("")) && !module.contains('_')) {
        context.find(&IMPORT, format!("`{place}` is `{}`", shown(name, 120)));
        return;
    }
    let file = format!("{}.py", module.replace('.', "/"));
    context.find(&REMOTE, format!("`{place}` is `{}`", shown(name, 120)));
    if let Some(source) = super::super::onnx::beside(part, &file) {
        open(&file, source, part, context);
    }
}

fn open(file: &str, source: Source, part: &Part, context: &mut Context<'_>) {
    let location = context.location().inside(file);
    let mut embedded = Embedded::new(source, Kind::As("python-module"), location);
    embedded.name = Some(file.into());
    embedded.members.clone_from(&part.members);
    context.embed_part(embedded);
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, scan_folder, verdict_of};

    #[test]
    fn what_a_repository_imports() {
        assert_eq!(
            verdict_of(br#"{"architectures":["LlamaForCausalLM"],"model_type":"llama"}"#.to_vec()),
            Verdict::Clean
        );
        let custom = br#"{"model_type":"x","auto_map":{"AutoModel":"modeling_x.XModel"}}"#;
        assert_eq!(verdict_of(custom.to_vec()), Verdict::Review);
        let elsewhere = br#"{"model_type":"x","auto_map":{"AutoModel":"someone/else--modeling_x.XModel"}}"#;
        assert_eq!(verdict_of(elsewhere.to_vec()), Verdict::Blocked);
        let hostile = b"import os\nclass XModel:\n    def __init__(self, config):\n        os.system('touch x')\n";
        assert_eq!(scan_folder(&[("config.json", custom), ("modeling_x.py", hostile)]).verdict(), Verdict::Blocked);
        let harmless = b"import torch\nclass XModel(torch.nn.Module):\n    def forward(self, x):\n        return x\n";
        assert_eq!(scan_folder(&[("config.json", custom), ("modeling_x.py", harmless)]).verdict(), Verdict::Review);
        assert_eq!(
            verdict_of(
                br#"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"}]"#.to_vec()
            ),
            Verdict::Clean
        );
        assert_eq!(verdict_of(br#"[{"idx":0,"name":"0","path":"","type":"os.system"}]"#.to_vec()), Verdict::Blocked);
        let diffusers = br#"{"_class_name":"StableDiffusionPipeline","_diffusers_version":"0.3","unet":["diffusers","UNet2DConditionModel"],"safety_checker":[null,null]}"#;
        assert_eq!(verdict_of(diffusers.to_vec()), Verdict::Clean, "{:?}", rules_of(diffusers.to_vec()));
        let evil =
            br#"{"_class_name":"StableDiffusionPipeline","_diffusers_version":"0.3","unet":["subprocess","Popen"]}"#;
        assert_eq!(verdict_of(evil.to_vec()), Verdict::Blocked);
    }
}
