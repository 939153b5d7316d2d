//! skops' `schema.json`: the tree of objects that `skops.io.load` makes. Each names its class and who loads it.
//!
//! skops loads what its user trusts by name, so the names are what there is to judge.

use std::collections::BTreeMap;

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::knowledge::Standing;
use crate::part::Part;
use crate::read::json::Json;
use crate::read::text::shown;
use crate::refs;
use crate::unread::Unread;

use super::Shape;

static DANGER: Face = Face::new(
    "artifact.skops-dangerous-type",
    Severity::Critical,
    Verdict::Blocked,
    "skops file that names what runs code",
    "Loading the file with this type trusted calls it. No estimator needs it.",
    "Reject the file, and never pass its own list of types to `trusted`.",
    refs!["CWE-502", "CVE-2025-54412", "CVE-2025-54413", "MITRE-ATLAS:AML.T0011.000"],
);
static UNKNOWN: Face = Face::new(
    "artifact.skops-unknown-type",
    Severity::Medium,
    Verdict::Review,
    "skops file with a type that nobody knows",
    "Loading the file imports the type's module and makes an object of it, once its user trusts the name.",
    "Ask which package the type belongs to, and vet that package.",
    refs!["CWE-502"],
);

/// Types that skops itself writes for data.
const DATA: &[&str] = &[
    "NoneType",
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "type",
];

/// The shape.
pub(super) struct Skops;

impl Shape for Skops {
    fn name(&self) -> &'static str {
        "skops"
    }

    fn rules(&self) -> Vec<&'static Face> {
        vec![&DANGER, &UNKNOWN]
    }

    fn claim(&self, value: &Json) -> bool {
        value.has(&["__class__", "__module__", "__loader__"])
    }

    fn look(&self, value: &Json, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let mut named: BTreeMap<(String, String), String> = BTreeMap::new();
        for (_, value) in value.walk() {
            context.budget().steps(2)?;
            // Until 0.10 a function's own name stood in its content.
            for (module, name) in [("__module__", "__class__"), ("module_path", "function")] {
                if let (Some(module), Some(name)) = (value.text_of(module), value.text_of(name)) {
                    let loader = value.text_of("__loader__").unwrap_or("FunctionNode");
                    named.insert((module.to_owned(), name.to_owned()), loader.to_owned());
                }
            }
        }
        for ((module, name), loader) in named {
            if module == "builtins" && DATA.contains(&name.as_str()) {
                continue;
            }
            let path = format!("`{}` as {}", shown(&format!("{module}.{name}"), 120), shown(&loader, 40));
            match part.knowledge.standing(&module, &name) {
                Standing::Dangerous(danger) => {
                    context.find(&DANGER, format!("{path}, which {}", danger.does()));
                }
                Standing::Gadget(danger) => {
                    context.find(
                        &DANGER,
                        format!("{path}, which hands what it is given to something that {}", danger.does()),
                    );
                }
                Standing::Known(_) => {}
                Standing::Stdlib
                    if matches!(module.as_str(), "functools" | "operator")
                        && matches!(loader.as_str(), "PartialNode" | "OperatorFuncNode") => {}
                Standing::Stdlib | Standing::Framework | Standing::Unknown => {
                    context.find(&UNKNOWN, path);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::verdict_of;

    #[test]
    fn types_are_judged_by_their_names() {
        let file = |module: &str, class: &str, loader: &str| {
            format!(
                r#"{{"__class__":"dict","__module__":"builtins","__loader__":"DictNode","content":{{"m":{{"__class__":"{class}","__module__":"{module}","__loader__":"{loader}","content":{{}}}}}}}}"#
            )
            .into_bytes()
        };
        for (module, class, loader, verdict) in [
            ("sklearn.linear_model._logistic", "LogisticRegression", "ObjectNode", Verdict::Clean),
            ("numpy", "log1p", "FunctionNode", Verdict::Clean),
            ("functools", "partial", "PartialNode", Verdict::Clean),
            ("os", "system", "FunctionNode", Verdict::Blocked),
            ("builtins", "eval", "OperatorFuncNode", Verdict::Blocked),
            ("acme.models", "Score", "ObjectNode", Verdict::Review),
        ] {
            assert_eq!(verdict_of(file(module, class, loader)), verdict, "{module}.{class}");
        }
    }
}
