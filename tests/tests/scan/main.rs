//! `haris scan`, as a developer and a pipeline run it: on the project's own corpus, with waivers, in every format.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test's report")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use haris_tests::server::{binary, run_in};
use serde_json::Value;

fn scan(folder: &Path, arguments: &[&str]) -> Output {
    run_in(folder, &binary("haris"), &[&["scan"], arguments].concat())
}

fn report(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&out.stderr)))
}

/// Verdicts by file name.
fn verdicts(report: &Value) -> BTreeMap<String, String> {
    let artifacts = report["artifacts"].as_array().unwrap();
    artifacts
        .iter()
        .map(|artifact| {
            let path = artifact["path"].as_str().unwrap();
            let name = path.rsplit('/').next().unwrap().to_owned();
            (name, artifact["verdict"].as_str().unwrap().to_owned())
        })
        .collect()
}

fn corpus(kind: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/artifact/corpus.py");
    // Isolated, so that the packages of whoever runs this make no difference.
    let mut python = Command::new("python3");
    let done = python.args(["-I", "-S"]).arg(script).args([kind, "files"]).current_dir(folder.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    folder
}

/// Calls `os.system`.
const HOSTILE: &[u8] = b"cos\nsystem\n(S'echo harmless'\ntR.";
/// `{'a': 1}`.
const HONEST: &[u8] = b"\x80\x04\x95\x0a\0\0\0\0\0\0\0}\x94\x8c\x01a\x94K\x01s.";

/// What the generator makes is never passed, and what needs no judgement is blocked.
#[test]
fn nothing_hostile_is_clean() {
    let folder = corpus("hostile");
    let out = scan(folder.path(), &["files", "--format", "json", "--timeout", "60"]);
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    let report = report(&out);
    let artifacts = report["artifacts"].as_array().unwrap();
    assert!(artifacts.len() > 300);
    // Said all at once: a change of the scanner moves many.
    let wrong: Vec<String> = artifacts
        .iter()
        .map(|artifact| (artifact["path"].as_str().unwrap(), artifact["verdict"].as_str().unwrap()))
        .filter(|(path, verdict)| if path.contains("judged/") { *verdict == "clean" } else { *verdict != "blocked" })
        .map(|(path, verdict)| format!("{path}: {verdict}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn honest_files_are_clean() {
    let folder = corpus("benign");
    let out = scan(folder.path(), &["files", "--format", "json"]);
    let report = report(&out);
    assert_eq!(out.status.code(), Some(0), "{report}");
    assert!(verdicts(&report).values().all(|verdict| verdict == "clean"), "{report}");
    assert_eq!(report["schema"], "haris.scan/1");
    assert_eq!(report["summary"]["blocked"], 0);
}

/// A waiver is for one digest and one rule, until a day, and never from among what it waives.
#[test]
fn a_waiver_covers_what_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("models");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("a.pkl"), HOSTILE).unwrap();
    let first = report(&scan(folder.path(), &["models", "--format", "json"]));
    let finding = &first["artifacts"][0]["findings"][0];
    let waiver = |digest: &str, expires: &str| {
        format!(
            "[[waiver]]\nsha256 = \"{digest}\"\nrule = {}\nowner = \"model risk\"\nreason = \"read by two\"\nexpires = \"{expires}\"\n",
            finding["rule"]
        )
    };
    let digest = first["artifacts"][0]["sha256"].as_str().unwrap().to_owned();
    let with = |text: String, place: &str| {
        fs::write(folder.path().join(place), text).unwrap();
        scan(folder.path(), &["models", "--format", "json", "--waivers", place])
    };
    let waived = with(waiver(&digest, "2999-12-31"), "waivers.toml");
    assert_eq!(waived.status.code(), Some(0));
    assert_eq!(report(&waived)["artifacts"][0]["findings"][0]["waived"]["owner"], "model risk");
    let table = scan(folder.path(), &["models", "--format", "table", "--waivers", "waivers.toml"]);
    assert!(String::from_utf8(table.stdout).unwrap().contains("waived by model risk until 2999-12-31"));

    let expired = with(waiver(&digest, "2020-01-01"), "waivers.toml");
    assert_eq!(expired.status.code(), Some(1));
    assert!(String::from_utf8(expired.stderr).unwrap().contains("expired"));
    let other = with(waiver(&"0".repeat(64), "2999-12-31"), "waivers.toml");
    assert_eq!(other.status.code(), Some(1));
    let beside = with(waiver(&digest, "2999-12-31"), "models/waivers.toml");
    assert_eq!(beside.status.code(), Some(1));
    assert!(String::from_utf8(beside.stderr).unwrap().contains("ignored"));
    let broken = with("[[waiver]]\nsha256 = 1\n".to_owned(), "waivers.toml");
    assert_eq!(broken.status.code(), Some(2));
}

#[test]
fn exit_codes_and_formats_are_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("good.pkl", HONEST);
    write("bad.pkl", HOSTILE);
    write("cut.pkl", &HONEST[..HONEST.len() - 2]);
    write("odd.bin", &[7; 99]);
    let code = |arguments: &[&str]| scan(folder.path(), arguments).status.code();
    assert_eq!(code(&["good.pkl"]), Some(0));
    assert_eq!(code(&["odd.bin"]), Some(0));
    assert_eq!(code(&["odd.bin", "--fail-on", "review"]), Some(1));
    assert_eq!(code(&["cut.pkl"]), Some(1));
    assert_eq!(code(&["cut.pkl", "--fail-on", "blocked"]), Some(0));
    assert_eq!(code(&["bad.pkl", "--fail-on", "never"]), Some(0));
    assert_eq!(code(&["bad.pkl", "--fail-on", "critical"]), Some(1));
    assert_eq!(code(&["nowhere.pkl"]), Some(2));
    assert_eq!(code(&[]), Some(2));

    let all = report(&scan(folder.path(), &[".", "--format", "json", "--explain"]));
    assert_eq!(all["summary"], serde_json::json!({ "clean": 1, "review": 1, "blocked": 1, "incomplete": 1 }));
    let bad = all["artifacts"].as_array().unwrap().iter().find(|one| one["verdict"] == "blocked").unwrap();
    assert_eq!(bad["findings"][0]["explanation"], "os.system('echo harmless')");

    let sarif = report(&scan(folder.path(), &[".", "--format", "sarif"]));
    let run = &sarif["runs"][0];
    let rules: Vec<&Value> =
        run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|rule| &rule["id"]).collect();
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 3 && results.iter().all(|result| rules.contains(&&result["ruleId"])));

    let table = scan(folder.path(), &[".", "--format", "table", "--output", "report.txt"]);
    assert!(table.stdout.is_empty());
    let text = fs::read_to_string(folder.path().join("report.txt")).unwrap();
    assert!(
        text.contains("4 scanned: 1 clean, 1 review, 1 blocked, 1 incomplete") && !text.contains('\u{1b}'),
        "{text}"
    );
}

/// Nothing on a disk makes the command wait for ever or read outside of what it was given.
#[test]
fn pipes_and_links_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    fs::write(folder.path().join("secret.pkl"), HONEST).unwrap();
    let here = |name: &str| folder.path().join("models").join(name);
    assert!(Command::new("mkfifo").arg(here("pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("../secret.pkl", here("out.pkl")).unwrap();
    std::os::unix::fs::symlink("nowhere", here("dangling")).unwrap();
    fs::write(here("in.pkl"), HONEST).unwrap();
    std::os::unix::fs::symlink("in.pkl", here("alias.pkl")).unwrap();
    let report = report(&scan(folder.path(), &["models", "--format", "json"]));
    let verdicts = verdicts(&report);
    let wanted = [
        ("alias.pkl", "clean"),
        ("dangling", "incomplete"),
        ("in.pkl", "clean"),
        ("out.pkl", "incomplete"),
        ("pipe", "incomplete"),
    ];
    let wanted: BTreeMap<String, String> =
        wanted.iter().map(|(name, verdict)| ((*name).into(), (*verdict).into())).collect();
    assert_eq!(verdicts, wanted);
}
