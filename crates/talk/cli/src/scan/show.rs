//! The report of a scan: a table for people, `haris.scan/1` for programs.

use std::io::{self, Write};

use haris_artifact::{Finding, Verdict};
use haris_scan::{Artifact, Waiver};
use serde_json::{Value, json};

/// The version of the JSON that this command writes.
const SCHEMA: &str = "haris.scan/1";

/// The whole report.
pub(super) fn document(artifacts: &[Artifact], explain: bool) -> Value {
    let summary: serde_json::Map<String, Value> =
        [Verdict::Clean, Verdict::Review, Verdict::Blocked, Verdict::Incomplete]
            .into_iter()
            .map(|verdict| (verdict.name().to_owned(), count(artifacts, verdict).into()))
            .collect();
    let artifacts: Vec<Value> = artifacts.iter().map(|one| artifact(one, explain)).collect();
    json!({ "schema": SCHEMA, "artifacts": artifacts, "summary": summary })
}

fn artifact(artifact: &Artifact, explain: bool) -> Value {
    let findings: Vec<Value> =
        artifact.findings.iter().map(|(one, waiver)| finding(one, waiver.as_ref(), explain)).collect();
    json!({
        "path": artifact.path.to_string_lossy(),
        "format": artifact.format,
        "size": artifact.size,
        "sha256": artifact.sha256.map(|digest| hex(&digest.0)),
        "verdict": artifact.verdict.name(),
        "findings": findings,
    })
}

fn finding(finding: &Finding, waiver: Option<&Waiver>, explain: bool) -> Value {
    let rule = &finding.face.rule;
    let mut value = json!({
        "rule": rule.id,
        "severity": rule.severity.name(),
        "location": finding.location.to_string(),
        "title": rule.title,
        "detail": finding.detail,
        "references": rule.references,
    });
    if explain {
        value["verdict"] = finding.face.verdict.name().into();
        value["explanation"] = finding.explanation.clone().into();
        value["meaning"] = rule.meaning.clone().into();
        value["remedy"] = rule.remedy.clone().into();
    }
    if let Some(waiver) = waiver {
        value["waived"] =
            json!({ "owner": waiver.owner, "reason": waiver.reason, "expires": waiver.expires.to_string() });
    }
    value
}

/// One line an artifact, its findings below it.
pub(super) fn table(artifacts: &[Artifact], explain: bool, out: &mut dyn Write) -> io::Result<()> {
    for artifact in artifacts {
        let style = style(artifact.verdict);
        let verdict = artifact.verdict.name();
        writeln!(
            out,
            "{style}{verdict:<10}{style:#}  {}  {}, {} bytes",
            clean(&artifact.path.to_string_lossy()),
            artifact.format,
            artifact.size
        )?;
        for (finding, waiver) in &artifact.findings {
            let rule = &finding.face.rule;
            let location = finding.location.to_string();
            let place = if location.is_empty() { String::new() } else { format!("  at {location}") };
            writeln!(out, "            {:<8}  {}{place}", rule.severity.name(), rule.id)?;
            writeln!(out, "                      {}: {}", rule.title, finding.detail)?;
            if let Some(waiver) = waiver {
                writeln!(
                    out,
                    "                      waived by {} until {}: {}",
                    clean(&waiver.owner),
                    waiver.expires,
                    clean(&waiver.reason)
                )?;
            }
            if explain {
                for line in finding.explanation.iter().flat_map(|text| text.lines()) {
                    writeln!(out, "                      > {line}")?;
                }
                writeln!(out, "                      {}", rule.meaning)?;
                writeln!(out, "                      {}", rule.remedy)?;
            }
        }
    }
    let count = |verdict| count(artifacts, verdict);
    writeln!(
        out,
        "{} scanned: {} clean, {} review, {} blocked, {} incomplete",
        artifacts.len(),
        count(Verdict::Clean),
        count(Verdict::Review),
        count(Verdict::Blocked),
        count(Verdict::Incomplete)
    )
}

fn count(artifacts: &[Artifact], verdict: Verdict) -> usize {
    artifacts.iter().filter(|artifact| artifact.verdict == verdict).count()
}

fn style(verdict: Verdict) -> anstyle::Style {
    let colour = match verdict {
        Verdict::Clean => anstyle::AnsiColor::Green,
        Verdict::Review => anstyle::AnsiColor::Yellow,
        Verdict::Incomplete => anstyle::AnsiColor::Magenta,
        Verdict::Blocked => anstyle::AnsiColor::Red,
    };
    anstyle::Style::new().fg_color(Some(colour.into())).bold()
}

/// A hostile file's name must not speak to the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
