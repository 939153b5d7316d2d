//! The newest lines of a server's log, as far as they may leave the bank.
//!
//! The log holds no prompt and no key by rule. A rule is not enough for a file that leaves: here each line is looked at as
//! if it were a prompt, and whatever the guard would redact is redacted.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use haris_domain::{Context, Verdict};
use haris_text::Engine;
use serde_json::{Map, Value, json};

use crate::Failure;

/// So many lines go along.
const LINES_MAX: usize = 500;
/// A longer line is none of ours.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// The newest lines that are ours: JSON objects with a level.
pub(super) fn newest(path: &Path) -> Result<Value, Failure> {
    let failed = |error: std::io::Error| Failure::because(&format!("could not read {}", path.display()), &error);
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    let mut input = BufReader::new(input);
    let (mut kept, mut left_out) = (VecDeque::new(), 0_u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            break;
        }
        match ours(&line) {
            Some(line) => {
                if kept.len() == LINES_MAX {
                    kept.pop_front();
                    left_out += 1;
                }
                kept.push_back(line);
            }
            None => left_out += 1,
        }
    }
    let engine = Engine::new();
    let lines: Vec<Value> = kept.into_iter().map(|line| redacted(&engine, line)).collect();
    Ok(json!({ "lines": lines, "left_out": left_out }))
}

fn ours(line: &[u8]) -> Option<Map<String, Value>> {
    let line: Map<String, Value> = serde_json::from_slice(line).ok()?;
    line.get("level").is_some_and(Value::is_string).then_some(line)
}

/// Whatever is text in it, looked at.
fn redacted(engine: &Engine, line: Map<String, Value>) -> Value {
    let looked_at = |(key, value): (String, Value)| {
        let value = match value {
            Value::String(text) if key != "timestamp" => Value::String(clean(engine, &text)),
            Value::Object(fields) => redacted(engine, fields),
            other => other,
        };
        (key, value)
    };
    Value::Object(line.into_iter().map(looked_at).collect())
}

/// One text of ours that may name what it was about.
pub(super) fn scrubbed(text: &str) -> String {
    clean(&Engine::new(), text)
}

fn clean(engine: &Engine, text: &str) -> String {
    let found = engine.inspect(text, Context::Document);
    haris_text::redact(text, 0, &found.detections, |_| Verdict::Redact).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ours_are_kept_and_what_the_guard_would_redact_is_redacted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut text = "Nov 25 haris[1]: something else about 28463400123\n".to_owned();
        for number in 0..LINES_MAX + 10 {
            text.push_str(&format!("{{\"level\":\"INFO\",\"fields\":{{\"message\":\"number {number}\"}}}}\n"));
        }
        text.push_str(
            "{\"timestamp\":\"2026-11-25T10:00:00Z\",\"level\":\"WARN\",\"fields\":\
             {\"message\":\"QID 28463400123 and AKIAHARISPRACTICE234\"}}\n",
        );
        text.push_str(&"x".repeat(3 * 65_536));
        std::fs::write(&path, text).unwrap();
        let log = newest(&path).unwrap();
        let said = log.to_string();
        assert!(!said.contains("28463400123") && !said.contains("AKIAHARIS"), "{said}");
        let lines = log["lines"].as_array().unwrap();
        assert_eq!((lines.len(), lines[0]["fields"]["message"].as_str()), (LINES_MAX, Some("number 11")));
        assert_eq!(lines[LINES_MAX - 1]["timestamp"], "2026-11-25T10:00:00Z");
        assert_eq!(log["left_out"], 1 + 11 + 3);
    }
}
