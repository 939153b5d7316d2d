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
