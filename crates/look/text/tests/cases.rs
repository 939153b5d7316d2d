//! The detectors' case files: prose, inputs, and what is found in them.
//!
//! A case is a fenced block. Its first line, `user`, `document`, `tool` or `output`, says where the
//! text came from; `---` divides the text from what is expected: one `rule  matched text` a line,
//! or `nothing`. In the text, `{U+200B}` stands for that character. Adding a case is adding a
//! paragraph.

use std::fs;
use std::path::Path;

use haris_domain::Context;
use haris_text::Engine;

#[test]
fn cases() {
    let engine = Engine::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut failures = Vec::new();
    let mut count = 0;
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "md")) {
        let content = fs::read_to_string(file).unwrap();
        for (number, block) in content.split("\n```").skip(1).step_by(2).enumerate() {
            count += 1;
            let name = format!("{}, case {}", file.file_name().unwrap().display(), number + 1);
            if let Err(difference) = check(&engine, block) {
                failures.push(format!("{name}:\n{difference}"));
            }
        }
    }
    assert!(count > 40, "only {count} cases were found");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(engine: &Engine, block: &str) -> Result<(), String> {
    let (context, rest) = block.split_once('\n').ok_or("a case has a first line")?;
    let context = Context::named(context.trim()).ok_or(format!("`{context}` is not a context"))?;
    let (text, expected) = rest.rsplit_once("\n---\n").ok_or("a case has a line `---`")?;
    let text = unescape(text);
    let found: Vec<String> = engine
        .inspect(&text, context)
        .detections
        .iter()
        .map(|d| format!("{}  {}", d.rule, escape(&text[d.span.clone()])))
        .collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { found.join("\n") };
    if found == expected.trim() {
        Ok(())
    } else {
        Err(format!("text: {text}\nexpected:\n{expected}\nfound:\n{found}\n"))
    }
}

fn unescape(text: &str) -> String {
    let mut parts = text.split("{U+");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let (hex, rest) = part.split_once('}').expect("a character ends with a bracket");
        out.push(u32::from_str_radix(hex, 16).ok().and_then(char::from_u32).expect("a code point"));
        out.push_str(rest);
    }
    out
}

/// On one line, with what does not show spelled out.
fn escape(text: &str) -> String {
    let show = |c: char| match c {
        '\n' => "\\n".to_owned(),
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{a0}'
        | '\u{2000}'..='\u{200a}'
        | '\u{2011}'
        | '\u{2013}'
        | '\u{202f}'
        | '\u{ad}'
        | '\u{2060}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{e0000}'..='\u{e01ef}' => {
            format!("{{U+{:04X}}}", u32::from(c))
        }
        c => c.to_string(),
    };
    text.chars().map(show).collect()
}
