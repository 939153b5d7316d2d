//! Receipts: kept, and broken by an operator who drops what it had promised to seal.

use std::fs;

use serde_json::json;

use crate::support::{Auditor, MODEL, config, export, log_keys, stop};

async fn receipt(base: &str, key: &str) -> String {
    let body = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "Hello?" }] });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{base}/chat/completions")).bearer_auth(key).header("x-haris-receipt", "1");
    let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.headers()["x-haris-receipt"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_receipt_is_kept_and_one_for_a_dropped_event_is_not() {
    let mut haris = haris_tests::Haris::start(&config(&[], ""));
    let key = haris.key("tests");
    let receipt_key = haris.admin_json(&["status"])["ledger"]["receipt_key"].as_str().unwrap().to_owned();
    let keys = [log_keys(&haris), vec![receipt_key]].concat().join("\n");
    let kept = receipt(&haris.base(), &key).await;
    let before = haris.home().join("before");
    let _ = fs::read(export(&haris, "first.zip")).unwrap();
    stop(&mut haris);
    crate::support::copy_folder(&haris.data(), &before);
    haris.launch();
    let dropped = receipt(&haris.base(), &key).await;
    stop(&mut haris);
    // The operator goes back to where the second event had not been written.
    crate::support::put_back(&before, &haris.data());
    haris.launch();
    let bundle = fs::read(export(&haris, "b.zip")).unwrap();
    let auditor = Auditor::new(&[
        ("b.zip", &bundle),
        ("keys", keys.as_bytes()),
        ("kept", kept.as_bytes()),
        ("dropped", dropped.as_bytes()),
    ]);
    let (proven, said) = auditor.verify(&["kept", "--key", "keys", "--in", "b.zip"]);
    assert!(proven && said.contains("kept: it is entry"), "{said}");
    let (proven, said) = auditor.verify(&["kept", "--key", "keys"]);
    assert!(!proven && said.contains("give it with --in"), "{said}");
    // The promise runs for a day: until then its absence shows nothing, and the answer says so.
    let (proven, said) = auditor.verify(&["dropped", "--key", "keys", "--in", "b.zip"]);
    assert!(!proven && said.contains("sealed before the promised time"), "{said}");
    let (proven, said) = auditor.verify(&["dropped", "--key", "keys", "--in", "b.zip", "--format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(!proven && answer["receipt"]["promise"] == "not-shown", "{said}");
    assert_eq!(answer["receipt"]["event"].as_str().unwrap().len(), 36);
}
