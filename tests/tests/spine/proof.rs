//! From a prompt to a proof: a bundle is exported, and `haris-verify`, alone in an empty folder,
//! accepts it with the log's public key and nothing else, and rejects it when a byte is changed.

use std::fs;
use std::path::Path;

use haris_tests::Haris;
use haris_tests::server::{binary, eventually, run_in};

use super::guarded;

/// The public keys of the logs, as `haris status` prints them.
fn vkeys(haris: &Haris) -> Vec<String> {
    let status = haris.admin_json(&["status"]).to_string();
    let mut keys: Vec<String> = status
        .split(['"', ' ', '\n'])
        .filter(|word| word.split('+').count() >= 3 && word.contains('/'))
        .map(|word| word.replace("\\/", "/"))
        .collect();
    keys.sort();
    keys.dedup();
    assert!(!keys.is_empty(), "verifier keys in {status}");
    keys
}

/// Exports everything from `from` on.
pub(crate) fn export(haris: &Haris, name: &str) -> Vec<u8> {
    let file = haris.home().join(name);
    let path = file.display().to_string();
    let _ = haris.admin(&["ledger", "export", "--from", "2020-01-01", "--to", "2100-01-01", "--output", &path]);
    fs::read(file).unwrap()
}

/// What an auditor's folder holds: the program, the bundle, and what it says.
pub(crate) fn audit(bundle: &[u8], keys: &[String]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("haris-verify");
    fs::copy(binary("haris-verify"), &program).unwrap();
    fs::write(folder.path().join("bundle.zip"), bundle).unwrap();
    let mut arguments = vec!["bundle.zip"];
    for key in keys {
        arguments.extend(["--key", key]);
    }
    let output = run_in(folder.path(), Path::new(&program), &arguments);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[tokio::test]
async fn a_decision_is_an_event_within_a_moment_and_a_proof_for_ever() {
    let (_mock, haris, client) = guarded("").await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let answer = client.ask(&format!("gpt-mock.leak.r-{number}"), "What do we know of her?", number % 2 == 0).await;
        ids.push(answer.event());
    }
    for id in &ids {
        eventually("the decision is listed", || {
            haris.events(&[]).iter().any(|event| event["id"] == id.as_str()).then_some(())
        });
        eventually("the decision is sealed", || haris.event(id).to_string().contains("sealed").then_some(()));
    }

    let keys = vkeys(&haris);
    let bundle = export(&haris, "bundle.zip");
    let (accepted, said) = audit(&bundle, &keys);
    assert!(accepted, "{said}");
    assert!(said.contains("signed by the operator only"), "{said}");
    assert!(said.contains("complete:"), "a range bundle shows completeness: {said}");

    let (accepted, said) = audit(&bundle, &[]);
    assert!(!accepted, "keys inside a bundle are never trusted: {said}");

    // One byte changed anywhere: every part of the file is under some check. A few hundred places,
    // spread over the whole, here; every byte in the room of `verify`.
    let step = (bundle.len() / 150).max(1);
    for at in (0..bundle.len()).step_by(step) {
        let mut changed = bundle.clone();
        changed[at] ^= 0x01;
        let (accepted, said) = audit(&changed, &keys);
        assert!(!accepted, "byte {at} of {} changed and still accepted: {said}", bundle.len());
    }
    let (accepted, _) = audit(&bundle[..bundle.len() - 1], &keys);
    assert!(!accepted, "a cut bundle is not accepted");
}

#[tokio::test]
async fn the_ledger_checks_itself_and_rebuilds_its_tables() {
    let (_mock, haris, client) = guarded("").await;
    for number in 0..5 {
        let _ = client.ask(&format!("gpt-4o-{number}"), "When does the branch open?", false).await;
    }
    let _ = haris.admin(&["ledger", "fsck"]);
    let _ = haris.admin(&["db", "rebuild", "--check"]);
}

#[tokio::test]
async fn an_erased_payload_is_gone_and_the_log_still_verifies() {
    let more = "[[routes]]\nname = \"full\"\nmodels = [\"gpt-*\"]\nupstream = \"mock\"\nstore = \"full\"\n";
    let (_mock, haris, client) = guarded(more).await;
    let answer = client.ask("gpt-4o", "The cormorant dives at noon.", false).await;
    let id = answer.event();
    eventually("the decision is listed", || {
        haris.events(&[]).iter().any(|event| event["id"] == id.as_str()).then_some(())
    });
    let shown = haris.admin(&["events", "show", &id, "--reveal", "--reason", "a test"]);
    assert!(shown.contains("cormorant"), "{shown}");

    let hold = haris.admin_json(&["ledger", "hold", "--event", &id, "--reason", "a lawsuit"]);
    let hold = hold["hold"].as_str().unwrap();
    let erase = ["ledger", "erase", "--event", &id, "--reason", "asked for", "--legal-basis", "PDPPL 5"];
    let refused = haris.run(&[erase.as_slice(), &["--data", "{data}"]].concat());
    assert!(!refused.status.success(), "a hold blocks erasure");
    let _ = haris.admin(&["ledger", "lift", hold, "--reason", "settled"]);
    let _ = haris.admin(&erase);

    let after = haris.run(&["events", "show", &id, "--reveal", "--reason", "a test", "--data", "{data}"]);
    assert!(!String::from_utf8_lossy(&after.stdout).contains("cormorant"));
    let _ = haris.admin(&["ledger", "fsck"]);
    let (accepted, said) = audit(&export(&haris, "after.zip"), &vkeys(&haris));
    assert!(accepted, "{said}");
}

/// What the crash tests end with: the ledger is whole, and an auditor accepts it.
pub(crate) fn assert_whole(haris: &Haris) {
    let _ = haris.admin(&["ledger", "fsck"]);
    let (accepted, said) = audit(&export(haris, "whole.zip"), &vkeys(haris));
    assert!(accepted, "{said}");
}
