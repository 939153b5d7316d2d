//! Keras configurations (<https://keras.io/api/models/model_saving_apis/>): in `.keras` archives, HDF5
//! attributes, SavedModel metadata, JSON and TensorFlow.js files.
//!
//! Each object names the class that Keras makes of it. `module`, `class_name` and `registered_name` are an
//! import that the file asks for, a Lambda is marshalled code, and several layers open files by name.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use haris_domain::Severity;

use crate::code::python::{Runs, Weight, act, judge};
use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::formats::onnx;
use crate::part::Part;
use crate::read::json::Json;
use crate::read::marshal;
use crate::read::text::shown;
use crate::refs;
use crate::unread::Unread;

use super::Shape;

static LAMBDA: Face = Face::new(
    "artifact.keras-lambda",
    Severity::Critical,
    Verdict::Blocked,
    "Layer that holds code",
    "A Lambda layer (or a function in the configuration) carries Python bytecode that reaches beyond arithmetic on \
     tensors. Loading or calling the model runs it.",
    "Reject the model. Its author should replace the layer with a registered class or with Keras operations.",
    refs!["CWE-94", "CWE-502", "CVE-2024-3660", "MITRE-ATLAS:AML.T0011.000"],
);
static ARITHMETIC: Face = Face::new(
    "artifact.keras-lambda-arithmetic",
    Severity::Medium,
    Verdict::Review,
    "Layer that holds code, for arithmetic",
    "A Lambda layer carries Python bytecode. All names in it belong to arithmetic on tensors, yet it is code in a \
     file that should hold weights.",
    "Have a person look at the names, or have the layer replaced with Keras operations.",
    refs!["CWE-94", "MITRE-ATLAS:AML.T0011.000"],
);
static IMPORT: Face = Face::new(
    "artifact.keras-import",
    Severity::Critical,
    Verdict::Blocked,
    "Configuration that imports what no model needs",
    "`module` and `class_name` make Keras import and call something that starts processes, runs code, or opens \
     files and addresses.",
    "Reject the model and report who brought it.",
    refs!["CWE-94", "CVE-2025-1550", "CVE-2025-8747", "MITRE-ATLAS:AML.T0011.000"],
);
static CUSTOM: Face = Face::new(
    "artifact.keras-custom",
    Severity::Medium,
    Verdict::Review,
    "Object of a class that Keras does not have",
    "The model loads only with somebody's own class or function of this name.",
    "Vet the package that provides it as code.",
    refs!["CWE-829", "MITRE-ATLAS:AML.T0011.000"],
);
static FILE: Face = Face::new(
    "artifact.keras-file-access",
    Severity::High,
    Verdict::Blocked,
    "Layer that opens a file or an address",
    "Loading the model makes Keras read a file of the machine that loads it, or fetch from an address.",
    "Reject the model; vocabularies and weights belong into the file.",
    refs!["CWE-73", "CWE-918", "CVE-2025-12058", "CVE-2025-12060"],
);
static NESTED: Face = Face::new(
    "artifact.keras-foreign-module",
    Severity::High,
    Verdict::Blocked,
    "Layer that wraps a pickle or another model",
    "A layer carries a PyTorch or JAX object, or names another saved model, that is loaded with its own format's \
     dangers.",
    "Reject the model, and have it exported in one framework.",
    refs!["CWE-502", "MITRE-ATLAS:AML.T0011.000"],
);

struct Names {
    dangerous: HashSet<String>,
    known: HashSet<String>,
    grave_modules: HashSet<String>,
    arithmetic: HashSet<String>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let read = |text: &str| -> BTreeMap<String, HashSet<String>> {
        toml::from_str(text).expect("the table is part of the program, and a test reads it")
    };
    let mut keras = read(include_str!("../../../../../../rules/keras-objects.toml"));
    let mut names = read(include_str!("../../../../../../rules/config-names.toml"));
    Names {
        dangerous: keras.remove("dangerous").unwrap_or_default(),
        known: keras.remove("known").unwrap_or_default(),
        grave_modules: names.remove("grave_modules").unwrap_or_default(),
        arithmetic: names.remove("arithmetic").unwrap_or_default(),
    }
});

/// The shape.
pub(super) struct Keras;

impl Shape for Keras {
    fn name(&self) -> &'static str {
        "keras-config"
    }

    fn rules(&self) -> Vec<&'static Face> {
        vec![&LAMBDA, &ARITHMETIC, &IMPORT, &CUSTOM, &FILE, &NESTED, &onnx::PATH]
    }

    fn claim(&self, value: &Json) -> bool {
        value
            .walk()
            .iter()
            .take(20_000)
            .any(|(_, value)| value.get("class_name").is_some() || value.has(&["modelTopology"]))
    }

    fn look(&self, value: &Json, _: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        for (path, value) in value.walk() {
            context.budget().steps(20)?;
            match value {
                // Of doubled keys a loader may take either.
                Json::Map(_) if value.get("class_name").is_some() => {
                    let classes: Vec<&str> = value.all("class_name").filter_map(Json::text).collect();
                    for class in classes {
                        object(&path, class, value, context);
                    }
                    layer_files(&path, value, context);
                }
                Json::Map(_) => {
                    // Version 2 wrote functions of a Lambda without a class.
                    if value.get("function_type").is_some() || value.has(&["code", "defaults"]) {
                        code_of(&path, value, context);
                    }
                    for path in value.get("paths").filter(|_| value.has(&["weights"])).into_iter().flat_map(Json::list)
                    {
                        if let Some(why) = path.text().and_then(onnx::strays) {
                            context.find(&onnx::PATH, format!("`{}`: {why}", shown(path.text().unwrap_or(""), 120)));
                        }
                    }
                }
                Json::Text(text) => function_name(&path, text, context),
                _ => {}
            }
        }
        Ok(())
    }
}

/// An object: what does Keras import for it?
fn object(path: &str, class: &str, value: &Json, context: &mut Context<'_>) {
    let modules: Vec<&str> = value.all("module").filter_map(Json::text).collect();
    let module = modules.first().copied().unwrap_or("");
    let place = if path.is_empty() { "the model" } else { path };
    if class.eq_ignore_ascii_case("lambda")
        || class == "__lambda__"
        || value.text_of("registered_name") == Some("Lambda")
    {
        code_of(path, value, context);
        return;
    }
    if matches!(class, "TorchModuleWrapper" | "JaxLayer" | "FlaxLayer" | "TFSMLayer" | "NNXLayer") {
        context.find(&NESTED, format!("{place}: `{class}`"));
        return;
    }
    // A function is named by its configuration, a class by itself.
    let names: Vec<&str> = if class == "function" || class == "__function__" || class == "builtin_function_or_method" {
        value.all("config").filter_map(Json::text).chain(value.get("config").and_then(|c| c.text_of("name"))).collect()
    } else {
        vec![class]
    };
    for name in names {
        for module in if modules.is_empty() { &[""][..] } else { &modules[..] } {
            imported(place, module, name, context);
        }
    }
    let registered = value.text_of("registered_name").unwrap_or("");
    let known = &*NAMES;
    let is_kerasish = module.is_empty() || is_keras_module(module);
    if is_kerasish
        && !class.starts_with("__")
        && class != "function"
        && !known.known.contains(class)
        && !known.dangerous.contains(class)
    {
        context.find(&CUSTOM, format!("{place}: `{}`", shown(class, 80)));
    } else if registered.contains('>') && !registered.starts_with("keras") && is_kerasish {
        let package = registered.split('>').next().unwrap_or("");
        if !matches!(package, "keras" | "Keras" | "keras_hub" | "keras_nlp" | "keras_cv" | "tf_keras") {
            context.find(&CUSTOM, format!("{place}: `{}`", shown(registered, 80)));
        }
    }
}

fn is_keras_module(module: &str) -> bool {
    [
        "keras",
        "tf_keras",
        "tensorflow.keras",
        "tensorflow.python.keras",
        "keras_hub",
        "keras_nlp",
        "keras_cv",
        "keras_core",
    ]
    .iter()
    .any(|known| module == *known || module.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')))
}

fn imported(place: &str, module: &str, name: &str, context: &mut Context<'_>) {
    let path = if module.is_empty() { name.to_owned() } else { format!("{module}.{name}") };
    let shown_path = shown(&path, 160);
    let last = name.rsplit('.').next().unwrap_or(name);
    let top = module.split('.').next().unwrap_or("");
    // Keras resolves `module` by import and `name` by attributes: either may hold the path.
    let grave_module = module.split('.').any(is_grave_module);
    if act(&path).is_some()
        || (module.is_empty() && name.contains('.') && act(name).is_some())
        || (grave_module && !module.is_empty())
    {
        context.find(&IMPORT, format!("{place}: `{shown_path}`"));
    } else if NAMES.dangerous.contains(last) && (is_keras_module(module) || module.is_empty() || top == "tensorflow") {
        context.find(&IMPORT, format!("{place}: `{shown_path}`, which loads, fetches or makes code"));
    } else if module == "builtins" || is_keras_module(module) || module.is_empty() {
        if module == "builtins"
            && !matches!(
                last,
                "function" | "set" | "dict" | "list" | "tuple" | "int" | "float" | "str" | "bool" | "NoneType" | "type"
            )
        {
            context.find(&IMPORT, format!("{place}: `{shown_path}`"));
        }
    } else if matches!(top, "tensorflow" | "numpy" | "jax" | "torch") {
        let harmless = module.contains("python.framework")
            || module.contains(".ops")
            || module.ends_with(".nn")
            || module.ends_with("dtypes")
            || module.contains(".math")
            || module == "numpy"
            || module.contains("activations")
            || module.contains("data_structures");
        if !harmless {
            context.find(&CUSTOM, format!("{place}: `{shown_path}`"));
        }
    } else {
        context.find(&CUSTOM, format!("{place}: `{shown_path}`"));
    }
}

/// Whether a top-level module offers nothing that a model needs.
pub(in crate::formats) fn is_grave_module(top: &str) -> bool {
    NAMES.grave_modules.contains(top.trim_start_matches('_'))
}

/// Layers that open what their configuration names.
fn layer_files(path: &str, value: &Json, context: &mut Context<'_>) {
    let Some(config) = value.get("config") else { return };
    for key in [
        "vocabulary",
        "idf_weights",
        "filepath",
        "file_path",
        "path",
        "weights_path",
        "filename",
        "fname",
        "origin",
        "url",
        "cache_dir",
        "vocabulary_path",
        "proto",
        "merges",
        "preset",
        "endpoint",
    ] {
        let Some(text) = config.text_of(key) else { continue };
        let looks_like_file =
            onnx::strays(text).is_some() || text.contains('/') || text.contains('\\') || text.contains('.');
        if (key == "vocabulary" || looks_like_file) && !text.is_empty() {
            context.find(&FILE, format!("{path}: `{key}` is `{}`", shown(text, 120)));
        }
    }
}

/// The code of a Lambda, wherever its fields lie.
fn code_of(path: &str, value: &Json, context: &mut Context<'_>) {
    let mut found = false;
    for (_, inner) in value.walk() {
        let Json::Text(text) = inner else { continue };
        let Some(bytes) = decode(text) else { continue };
        found = true;
        judge_code(path, &bytes, context);
    }
    if found {
        return;
    }
    let config = value.get("config").unwrap_or(value);
    let held = config.get("function").filter(|function| matches!(function, Json::List(_)));
    let coded =
        config.get("code").or_else(|| config.get("function").and_then(|f| f.get("config")).and_then(|c| c.get("code")));
    if held.is_some() || coded.is_some_and(|code| *code != Json::Null) {
        context.find(&LAMBDA, format!("{path}: code that could not be read"));
        return;
    }
    // No bytecode: a function by name out of a module, which is an import like any other.
    let name =
        config.text_of("function").or_else(|| config.get("function").and_then(|f| f.text_of("config"))).unwrap_or("");
    let module = config
        .text_of("module")
        .or_else(|| config.get("function").and_then(|f| f.text_of("module")))
        .filter(|module| *module != "keras.layers")
        .unwrap_or("");
    if !name.is_empty() {
        let path = if module.is_empty() { name.to_owned() } else { format!("{module}.{name}") };
        let grave =
            act(&path).is_some() || act(name).is_some() || is_grave_module(module.split('.').next().unwrap_or(""));
        let face = if grave { &IMPORT } else { &CUSTOM };
        context.find(face, format!("a Lambda calls `{}`", shown(&path, 160)));
        function_source(name, context);
    } else {
        context.find(&CUSTOM, format!("{path}: a Lambda without code that could be found"));
    }
}

/// A function given as its source.
fn function_source(text: &str, context: &mut Context<'_>) {
    let seen = crate::syntax::fold::follow(text);
    for deed in judge(&seen, Runs::OnLoad).iter().filter(|deed| deed.weight == Weight::Block) {
        context.find(&LAMBDA, format!("{}: {}", deed.what, deed.shown));
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if plain.len() < 40 || plain.len() > marshal::BYTES_MAX * 2 {
        return None;
    }
    // Python's decoder minds neither padding nor the bits behind the last byte.
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let decode = |alphabet| GeneralPurpose::new(alphabet, lenient).decode(&plain).ok();
    let bytes = decode(&base64::alphabet::STANDARD).or_else(|| decode(&base64::alphabet::URL_SAFE));
    // `codecs.encode(code, "base64")` is what Keras writes; older versions wrote raw characters.
    bytes.or_else(|| {
        text.starts_with(['\u{e3}', 'c'])
            .then(|| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect())
    })
}

/// Names that arithmetic on tensors uses.
fn is_arithmetic(name: &str) -> bool {
    NAMES.arithmetic.contains(name) || NAMES.known.contains(name)
}

fn judge_code(path: &str, bytes: &[u8], context: &mut Context<'_>) {
    let place = if path.is_empty() { "the model" } else { path };
    let Some(code) = marshal::code(bytes) else {
        context.find(&LAMBDA, format!("{place}: {} bytes of code that could not be read", bytes.len()));
        return;
    };
    let odd: Vec<&String> = code.names.iter().filter(|name| !is_arithmetic(name)).collect();
    // A name that an argument or the code's own functions could have brought is still not known to be harmless.
    let texts = code.constants.iter().filter(|text| super::payload(text).is_some() || text.contains("__")).count();
    let listed: Vec<&str> = odd.iter().take(12).map(|name| name.as_str()).collect();
    let explanation =
        format!("names: {}\nconstants: {}", code.names.join(", "), shown(&code.constants.join(" | "), 800));
    if odd.is_empty() && texts == 0 {
        context.find(&ARITHMETIC, format!("{place}: names {}", code.names.join(", "))).explain(&explanation);
    } else {
        context.find(&LAMBDA, format!("{place}: names {}", listed.join(", "))).explain(&explanation);
    }
}

/// Activations, losses and metrics by name: a name is a word.
fn function_name(path: &str, text: &str, context: &mut Context<'_>) {
    let last = path.rsplit('.').next().unwrap_or("");
    let is_name = matches!(
        last,
        "activation"
            | "recurrent_activation"
            | "loss"
            | "optimizer"
            | "kernel_initializer"
            | "bias_initializer"
            | "kernel_regularizer"
            | "kernel_constraint"
            | "output_mode"
            | "standardize"
            | "split"
            | "reduction"
            | "mask"
            | "function"
    ) || path.contains("metrics[");
    if !is_name || text.len() > 200_000 || decode(text).is_some() {
        return;
    }
    let is_word = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '>' | '/' | '.'));
    if act(text).is_some_and(|_| text.contains('.')) || matches!(text, "eval" | "exec" | "compile" | "__import__") {
        context.find(&IMPORT, format!("{path}: `{}`", shown(text, 160)));
    } else if !is_word {
        let seen = crate::syntax::fold::follow(text);
        let block =
            judge(&seen, Runs::OnLoad).iter().any(|deed| deed.weight == Weight::Block) || !seen.dunders.is_empty();
        let face = if block { &LAMBDA } else { &CUSTOM };
        context.find(face, format!("{path}: `{}`", shown(text, 160)));
    }
}

#[cfg(test)]
mod tests {
    use super::NAMES;
    use crate::Verdict;
    use crate::testing::{rules_of, verdict_of};

    fn model(layer: &str) -> Vec<u8> {
        let input = r#"{"module":"keras.layers","class_name":"InputLayer","config":{"batch_shape":[null,8]},"registered_name":null}"#;
        format!(r#"{{"module":"keras","class_name":"Sequential","config":{{"name":"s","layers":[{input},{layer}]}},"registered_name":"Sequential"}}"#).into_bytes()
    }

    #[test]
    fn honest_models_are_clean() {
        let dense = r#"{"module":"keras.layers","class_name":"Dense","config":{"units":4,"activation":"relu","kernel_initializer":{"module":"keras.initializers","class_name":"GlorotUniform","config":{},"registered_name":null}},"registered_name":null}"#;
        assert_eq!(verdict_of(model(dense)), Verdict::Clean, "{:?}", rules_of(model(dense)));
        let old = r#"{"class_name":"Model","config":{"layers":[{"class_name":"Dense","config":{"activation":"softmax","kernel_initializer":{"class_name":"VarianceScaling","config":{"scale":1.0}}}}]},"keras_version":"2.2.4","backend":"tensorflow"}"#;
        assert_eq!(verdict_of(old.as_bytes().to_vec()), Verdict::Clean);
    }

    #[test]
    fn imports_and_files_are_found() {
        let import = "artifact.keras-import";
        for (layer, rule) in [
            (r#"{"module":"os","class_name":"function","config":"system","registered_name":"function"}"#, import),
            (r#"{"module":"builtins","class_name":"function","config":"exec","registered_name":"function"}"#, import),
            (
                r#"{"module":"keras.utils","class_name":"function","config":"get_file","registered_name":"function"}"#,
                import,
            ),
            (r#"{"module":"keras.config","class_name":"function","config":"enable_unsafe_deserialization"}"#, import),
            (r#"{"module":"subprocess","class_name":"Popen","config":{"args":["id"]},"registered_name":null}"#, import),
            (
                r#"{"module":"keras.layers","class_name":"Dense","config":{"activation":{"module":"os","class_name":"function","config":"system"}}}"#,
                import,
            ),
            (r#"{"module":"keras.src.utils","class_name":"function","config":"random._os.system"}"#, import),
            (
                r#"{"class_name":"Lambda","config":{"function":"system","function_type":"function","module":"os"}}"#,
                import,
            ),
            (
                r#"{"module":"keras.layers","class_name":"StringLookup","config":{"vocabulary":"/etc/passwd"}}"#,
                "artifact.keras-file-access",
            ),
            (
                r#"{"module":"keras.layers","class_name":"TextVectorization","config":{"vocabulary":"http://169.254.169.254/"}}"#,
                "artifact.keras-file-access",
            ),
            (
                r#"{"module":"keras.layers","class_name":"TorchModuleWrapper","config":{"module":"gASV"}}"#,
                "artifact.keras-foreign-module",
            ),
            (r#"{"module":"my.package","class_name":"Odd","config":{}}"#, "artifact.keras-custom"),
            (r#"{"module":null,"class_name":"Odd","config":{},"registered_name":"mine>Odd"}"#, "artifact.keras-custom"),
            (
                r#"{"module":"keras.layers","class_name":"Dense","config":{"activation":"__import__('os').system('id')"}}"#,
                "artifact.keras-lambda",
            ),
        ] {
            assert!(rules_of(model(layer)).contains(&rule.to_owned()), "{layer}: {:?}", rules_of(model(layer)));
        }
    }

    #[test]
    fn lambdas_are_judged_by_the_names_in_their_code() {
        let verdict = |model: &str| verdict_of(model.as_bytes().to_vec());
        // Made by Keras itself, see `testdata/make.py`.
        let hostile = include_str!("../../../testdata/keras-lambda-hostile.json");
        assert_eq!(verdict(hostile), Verdict::Blocked);
        assert_eq!(verdict(include_str!("../../../testdata/keras-lambda-arithmetic.json")), Verdict::Review);
        let (before, code) = hostile.split_once("\"code\": \"").unwrap();
        let cut = format!("{before}\"code\": \"{}", &code[60..]);
        assert_eq!(verdict(&cut), Verdict::Blocked, "unreadable code is not harmless");
        for table in [&NAMES.dangerous, &NAMES.known, &NAMES.grave_modules, &NAMES.arithmetic] {
            assert!(table.len() > 20);
        }
    }
}
