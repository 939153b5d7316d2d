//! How findings are written: JSON for programs, a table for people.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use haris_domain::{Detection, DetectionKind, Rule, Severity, Verdict};
use haris_text::LONE_SURROGATE;
use serde_json::{Map, Value, json};

use super::{Inspector, Report, SCHEMA};

/// An excerpt of an attack is cut here.
const EXCERPT_CHARS_MAX: usize = 56;

/// One line of JSON, its end included. `id` is JSON already. `lone_surrogates` are code points of
/// `text` where half of a surrogate pair stood.
pub(super) fn json(inspector: &Inspector, id: &str, text: &str, report: &Report, lone_surrogates: &[usize]) -> String {
    let explanation = &report.explanation;
    let mut offsets = CodePoints::new(text, &explanation.inspection.detections);
    let mut detections: Vec<(usize, usize, Value)> = Vec::new();
    for (index, detection) in explanation.inspection.detections.iter().enumerate() {
        let (start, end) = (offsets.of(detection.span.start), offsets.of(detection.span.end));
        let mut value = json!({
            "rule": detection.rule, "kind": detection.kind.name(), "start": start, "end": end, "score": score(detection.score),
        });
        let why = explanation.reasons.get(index).copied();
        explain(inspector, &mut value, &detection.rule, why);
        detections.push((start, end, value));
    }
    for at in lone_surrogates {
        let mut value = json!({
            "rule": LONE_SURROGATE, "kind": DetectionKind::HiddenUnicode.name(), "start": at, "end": at + 1, "score": 1.0,
        });
        explain(inspector, &mut value, LONE_SURROGATE, Some("half of a surrogate pair in the JSON"));
        detections.push((*at, at + 1, value));
    }
    detections.sort_by_key(|(start, end, _)| (*start, *end));

    let mut scores = Map::new();
    scores.insert(DetectionKind::Injection.name().to_owned(), score(0));
    for (kind, best) in &explanation.inspection.scores {
        scores.insert(kind.name().to_owned(), score(*best));
    }
    let mut verdict = report.verdict;
    if !lone_surrogates.is_empty() {
        scores.insert(DetectionKind::HiddenUnicode.name().to_owned(), json!(1.0));
        // The gateway refuses a request that carries one, whatever its policy.
        verdict = Verdict::Block;
    }
    let detections: Vec<Value> = detections.into_iter().map(|(_, _, value)| value).collect();
    let mut line = format!(
        "{{\"schema\":\"{SCHEMA}\",\"id\":{id},\"verdict\":\"{verdict}\",\"scores\":{},\"detections\":{}",
        Value::Object(scores),
        Value::Array(detections),
    );
    if inspector.explain {
        let views: Vec<Value> =
            explanation.views.iter().map(|view| json!({"name": view.name, "changes": view.changes})).collect();
        line.push_str(&format!(",\"views\":{}", Value::Array(views)));
        line.push_str(&format!(",\"engine\":{}", json!(inspector.engine.version())));
    }
    line.push_str("}\n");
    line
}

/// Millionths as the number from 0 to 1 that readers expect.
fn score(millionths: u32) -> Value {
    json!(f64::from(millionths) / 1e6)
}

fn explain(inspector: &Inspector, detection: &mut Value, rule: &str, why: Option<&str>) {
    let (true, Some(fields)) = (inspector.explain, detection.as_object_mut()) else { return };
    if let Some(why) = why {
        fields.insert("why".to_owned(), json!(why));
    }
    if let Some(rule) = inspector.engine.rule(rule) {
        fields.insert("title".to_owned(), json!(rule.title));
        fields.insert("severity".to_owned(), json!(rule.severity.name()));
        fields.insert("meaning".to_owned(), json!(rule.meaning));
        fields.insert("remedy".to_owned(), json!(rule.remedy));
        fields.insert("references".to_owned(), json!(rule.references));
    }
}

/// Code point offsets of the bytes where detections start and end, counted in one pass.
struct CodePoints(BTreeMap<usize, usize>);

impl CodePoints {
    fn new(text: &str, detections: &[Detection]) -> Self {
        let mut ends: Vec<usize> = detections.iter().flat_map(|d| [d.span.start, d.span.end]).collect();
        ends.sort_unstable();
        let (mut byte, mut point) = (0, 0);
        let count = |end: usize| {
            point += text[byte..end].chars().count();
            byte = end;
            (end, point)
        };
        Self(ends.into_iter().map(count).collect())
    }

    fn of(&mut self, byte: usize) -> usize {
        self.0.get(&byte).copied().unwrap_or(byte)
    }
}

/// A table for a person: where, how bad, which rule, and an excerpt that gives nothing away.
pub(super) fn table(
    inspector: &Inspector,
    name: &str,
    text: &str,
    report: &Report,
    out: &mut dyn Write,
) -> io::Result<()> {
    let explanation = &report.explanation;
    let detections = &explanation.inspection.detections;
    let mut lines = Lines::new(text);
    let rows: Vec<_> = detections.iter().map(|d| (lines.of(d.span.start), excerpt(text, d, detections))).collect();
    let place_width = rows.iter().map(|((line, column), _)| format!("{line}:{column}").len()).max().unwrap_or(0);
    let rule_width = detections.iter().map(|d| d.rule.len()).max().unwrap_or(0);
    for (index, (detection, ((line, column), excerpt))) in detections.iter().zip(&rows).enumerate() {
        let severity = inspector.severity(detection);
        let (style, shape) = look(severity);
        writeln!(
            out,
            "{name}:{:<place_width$}  {style}{shape} {:<8}{style:#}  {:<rule_width$}  {excerpt}",
            format!("{line}:{column}"),
            severity.name(),
            detection.rule,
        )?;
        if inspector.explain {
            details(inspector.engine.rule(&detection.rule), detection, explanation.reasons.get(index), out)?;
        }
    }
    if inspector.explain {
        for view in explanation.views.iter().filter(|view| view.changes > 0) {
            writeln!(out, "view {}: differs from the original in {} places", view.name, view.changes)?;
        }
    }
    summary(name, report, out)
}

fn details(rule: Option<&Rule>, detection: &Detection, why: Option<&&str>, out: &mut dyn Write) -> io::Result<()> {
    if let Some(why) = why {
        writeln!(out, "    because  {why} (score {:.2})", f64::from(detection.score) / 1e6)?;
    }
    if let Some(rule) = rule {
        writeln!(out, "    means    {}", rule.meaning)?;
        writeln!(out, "    do       {}", rule.remedy)?;
    }
    Ok(())
}

fn summary(name: &str, report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for detection in &report.explanation.inspection.detections {
        *counts.entry(detection.kind.name()).or_default() += 1;
    }
    if counts.is_empty() {
        return writeln!(out, "{name}: nothing found; verdict {}", report.verdict);
    }
    let total: usize = counts.values().sum();
    let kinds: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let noun = if total == 1 { "finding" } else { "findings" };
    writeln!(out, "{name}: {total} {noun} ({}); verdict {}", kinds.join(", "), report.verdict)
}

/// A severity is a word, a shape and a colour.
fn look(severity: Severity) -> (Style, char) {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match severity {
        Severity::Critical => (colour(AnsiColor::Red).bold(), '◆'),
        Severity::High => (colour(AnsiColor::Red), '▲'),
        Severity::Medium => (colour(AnsiColor::Yellow), '■'),
        Severity::Low => (colour(AnsiColor::Cyan), '●'),
        Severity::Info => (Style::new(), '○'),
    }
}

/// What may be shown of a finding. A secret shows its length, an identifier its last characters, an
/// attack its words, but for what another finding in it covers.
fn excerpt(text: &str, detection: &Detection, all: &[Detection]) -> String {
    let found = &text[detection.span.clone()];
    let chars = found.chars().count();
    match detection.kind {
        DetectionKind::Secret => format!("•••• ({chars} characters)"),
        DetectionKind::HiddenUnicode => format!("{chars} characters that do not show"),
        DetectionKind::Injection | DetectionKind::Exfiltration | DetectionKind::Unsafe => {
            let masked = |byte: usize| {
                all.iter()
                    .any(|other| other.kind != detection.kind && other.span.contains(&(detection.span.start + byte)))
            };
            let shown: String = found
                .char_indices()
                .take(EXCERPT_CHARS_MAX)
                .map(|(byte, c)| if masked(byte) { '•' } else { plain(c) })
                .collect();
            if chars > EXCERPT_CHARS_MAX { format!("“{shown}…”") } else { format!("“{shown}”") }
        }
        _ => {
            // The last four digits are what people compare; of a short value two give less away.
            let keep = if chars >= 12 { 4 } else { usize::from(chars >= 6) * 2 };
            let tail: String = found.chars().skip(chars - keep).map(plain).collect();
            format!("••••{tail}")
        }
    }
}

/// A character that cannot drive the terminal it is shown on.
fn plain(c: char) -> char {
    if c.is_whitespace() {
        ' '
    } else if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    {
        '·'
    } else {
        c
    }
}

/// Line and column, both from 1, of places asked for in order.
struct Lines<'a> {
    text: &'a str,
    byte: usize,
    line: usize,
    line_start: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, byte: 0, line: 1, line_start: 0 }
    }

    fn of(&mut self, byte: usize) -> (usize, usize) {
        for (offset, _) in self.text[self.byte..byte].match_indices('\n') {
            self.line += 1;
            self.line_start = self.byte + offset + 1;
        }
        self.byte = byte;
        (self.line, self.text[self.line_start..byte].chars().count() + 1)
    }
}
