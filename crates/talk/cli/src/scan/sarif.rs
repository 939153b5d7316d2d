//! SARIF 2.1.0 of a scan.

use haris_artifact::Verdict;
use haris_domain::Severity;
use haris_scan::Artifact;
use serde_json::{Value, json};

/// The whole report: every rule of the engine, every finding with the artifact's path as its location.
pub(super) fn document(artifacts: &[Artifact]) -> Value {
    let rules: Vec<Value> = haris_scan::rules()
        .map(|face| {
            json!({
                "id": face.rule.id,
                "shortDescription": { "text": face.rule.title },
                "fullDescription": { "text": face.rule.meaning },
                "help": { "text": face.rule.remedy },
                "defaultConfiguration": { "level": level(face.rule.severity) },
                "properties": { "tags": face.rule.references, "security-severity": score(face.rule.severity) },
            })
        })
        .collect();
    let results: Vec<Value> = artifacts.iter().flat_map(results).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "haris", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": results,
        }],
    })
}

fn results(artifact: &Artifact) -> Vec<Value> {
    artifact
        .findings
        .iter()
        .filter(|(finding, _)| finding.face.verdict != Verdict::Clean)
        .map(|(finding, waiver)| {
            let mut location = json!({ "physicalLocation": { "artifactLocation": { "uri": uri(artifact) } } });
            if let Some(offset) = finding.location.offset {
                location["physicalLocation"]["region"] = json!({ "byteOffset": offset });
            }
            location["logicalLocations"] = json!([{ "fullyQualifiedName": finding.location.to_string() }]);
            let mut result = json!({
                "ruleId": finding.face.rule.id,
                "level": level(finding.face.rule.severity),
                "message": { "text": format!("{}: {}", finding.face.rule.title, finding.detail) },
                "locations": [location],
            });
            if let Some(waiver) = waiver {
                result["suppressions"] =
                    json!([{ "kind": "external", "justification": format!("{}: {}", waiver.owner, waiver.reason) }]);
            }
            result
        })
        .collect()
}

/// A relative reference, its odd characters percent-encoded.
fn uri(artifact: &Artifact) -> String {
    let path = artifact.path.to_string_lossy();
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info | Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    }
}

fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "0.0",
        Severity::Low => "3.0",
        Severity::Medium => "5.5",
        Severity::High => "8.0",
        Severity::Critical => "9.5",
    }
}
