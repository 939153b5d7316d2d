//! `docs/verify-by-hand.md`: its commands, as they stand there, on a fresh bundle and on tampered ones.

use std::fs;
use std::path::Path;
use std::process::Command;

use haris_tests::server::eventually;

use crate::support::{Watched, ask, said};

/// Every block of shell in the page, in order, as one script.
fn script() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/verify-by-hand.md");
    let text = fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> = text.split("```sh\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    assert!(blocks.len() >= 8, "the page has lost commands");
    blocks.join("\n")
}

fn run(folder: &Path, witness: &str) -> (bool, String) {
    let _ = fs::remove_dir_all(folder.join("bundle"));
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script()])
        .current_dir(folder)
        .env("WITNESS", witness)
        .output()
        .unwrap();
    (output.status.success(), said(&output))
}

#[tokio::test]
async fn the_commands_of_the_page_check_a_bundle_and_find_what_was_changed() {
    let bank = Watched::start("");
    let key = bank.haris.key("tests");
    let client = haris_tests::Client::new(&bank.haris.base(), &key);
    // One full tile of the traffic log and a part of the next: two events each.
    ask(&client, 130).await;
    let body =
        serde_json::json!({ "model": crate::support::MODEL, "messages": [{ "role": "user", "content": "Hello?" }] });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request =
        http.post(format!("{}/chat/completions", bank.haris.base())).bearer_auth(&key).header("x-haris-receipt", "1");
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    let receipt = answer.headers()["x-haris-receipt"].to_str().unwrap().to_owned();
    let event = answer.headers()["x-haris-event"].to_str().unwrap().to_owned();
    eventually("the event has reached the ledger", || {
        (!bank.haris.events(&[&format!("id={event}")]).is_empty()).then_some(())
    });
    let receipt_key = bank.haris.admin_json(&["status"])["ledger"]["receipt_key"].as_str().unwrap().to_owned();
    let path = bank.haris.home().join("bundle.zip");
    let _ = bank.haris.admin(&["ledger", "export", "--with-payloads", "--output", &path.display().to_string()]);

    let folder = tempfile::tempdir().unwrap();
    let give = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    give("bundle.zip", &fs::read(&path).unwrap());
    give("log.key", format!("{}\n", bank.logs[0]).as_bytes());
    give("witness.key", format!("{}\n", bank.witness_keys[0]).as_bytes());
    give("receipt", receipt.as_bytes());
    give("receipt.key", format!("{receipt_key}\n").as_bytes());
    let witness = bank.witness.url().trim_end_matches('/').to_owned();
    let (good, text) = run(folder.path(), &witness);
    assert!(good, "{text}");
    for words in [
        "Signature Verified Successfully",
        "witnessed no later than",
        "traffic: complete",
        "was kept",
        "the witness knows",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(text.matches("Signature Verified Successfully").count(), 5, "{text}");

    // One byte anywhere in the evidence, and the page's commands end with an error.
    let bundle = folder.path().join("bundle");
    let opened = fs::read_dir(bundle.join("payloads")).unwrap().next().unwrap().unwrap().path();
    let text_file = fs::read_dir(&opened)
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| path.extension().is_none())
        .unwrap();
    let relative = text_file.strip_prefix(&bundle).unwrap().display().to_string();
    for member in ["evidence/checkpoint", "evidence/leaves", "traffic/leaves", "traffic/anchor", relative.as_str()] {
        let changed = tampered(&bundle, member);
        give("bundle.zip", &changed);
        let (good, text) = run(folder.path(), "");
        assert!(!good, "{member} was changed: {text}");
    }
    give("bundle.zip", &fs::read(&path).unwrap());
    let (good, text) = run(folder.path(), "");
    assert!(good, "{text}");
}

/// The bundle's folder with one byte of a member changed, packed anew by a program that is not ours.
fn tampered(bundle: &Path, member: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    crate::support::copy_folder(bundle, folder.path());
    let path = folder.path().join(member);
    let mut bytes = fs::read(&path).unwrap();
    let at = if member.ends_with("checkpoint") {
        bytes.iter().position(|b| *b == b'\n').unwrap() + 1
    } else {
        bytes.len() - 2
    };
    bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
    fs::write(path, bytes).unwrap();
    let pack = "import shutil; shutil.make_archive('changed', 'zip', '.')";
    let done = Command::new("python3").args(["-c", pack]).current_dir(folder.path()).status().unwrap();
    assert!(done.success());
    fs::read(folder.path().join("changed.zip")).unwrap()
}
