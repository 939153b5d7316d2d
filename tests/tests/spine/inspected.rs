//! `haris inspect`, as a script runs it.

use std::fs;

use haris_tests::server::{binary, run_in};
use serde_json::{Value, json};

/// A batch is not lost to one text that is too long, nor is that text passed over in silence.
#[test]
fn a_line_that_is_too_long_is_answered_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let long = json!({ "id": 1, "text": format!("QID 28463400123 {}", "word ".repeat(3_400_000)) });
    fs::write(folder.path().join("texts.jsonl"), format!("{long}\n\n{}\n", json!({ "id": 2, "text": "x" }))).unwrap();
    let out = run_in(folder.path(), &binary("haris"), &["inspect", "--jsonl", "texts.jsonl"]);
    assert_eq!(out.status.code(), Some(2));
    let answers: Vec<Value> =
        String::from_utf8(out.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&answers[0]["id"], &answers[0]["line"]), (&Value::Null, &json!(1)));
    assert!(answers[0]["error"].as_str().unwrap().contains("longer than"));
    assert_eq!((&answers[1]["id"], &answers[1]["verdict"]), (&json!(2), &json!("allow")));
    assert!(String::from_utf8(out.stderr).unwrap().contains("line 1"));
}

/// What Windows programs write is read, whole or line by line.
#[test]
fn files_in_utf_16_are_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let utf_16 =
        |text: &str, mark: &[u8]| [mark, &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()].concat();
    let text = "رقمي الشخصي 28463400123\r\n";
    let line = json!({ "id": 1, "text": text }).to_string() + "\n";
    for (name, content, arguments) in [
        ("mark.txt", utf_16(text, b"\xff\xfe"), &["inspect", "mark.txt"][..]),
        ("plain.txt", utf_16(text, b""), &["inspect", "plain.txt"]),
        ("lines.jsonl", utf_16(&line, b"\xff\xfe"), &["inspect", "--jsonl", "lines.jsonl"]),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
        let out = run_in(folder.path(), &binary("haris"), arguments);
        let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
        let found = &answer["detections"][0];
        assert_eq!((&found["kind"], &found["start"], &found["end"]), (&json!("qid"), &json!(12), &json!(23)), "{name}");
        assert_eq!((out.status.code(), out.stderr.as_slice()), (Some(1), &b""[..]), "{name}");
    }
}

/// A copy of the data must not carry its keys along.
#[test]
fn keys_never_lie_in_the_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["serve", "--listen", "127.0.0.1:0", "--data", "data", "--keys", "data/keys"][..],
        &["serve", "--listen", "127.0.0.1:0", "--data", "data", "--keys", "data"],
    ] {
        let out = run_in(folder.path(), &binary("haris"), arguments);
        assert_eq!(out.status.code(), Some(2));
        assert!(String::from_utf8(out.stderr).unwrap().contains("--keys DIR elsewhere"));
    }
    assert!(!folder.path().join("data/keys").exists());
}
