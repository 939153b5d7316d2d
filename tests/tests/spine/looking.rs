//! Commands that only look: without a server they leave an installation as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use haris_tests::Haris;
use haris_tests::server::{config_for, eventually};
use haris_tests::{Mock, SmallDisk};

use super::proof::assert_whole;

/// Every file below, byte for byte; the lock is empty and may come and go.
fn everything(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(everything(&entry.path()));
        } else if entry.file_type().unwrap().is_file() && entry.file_name() != "reserve" {
            found.insert(entry.path().display().to_string(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn whoever_only_looks_writes_nothing() {
    let mock = Mock::start().await;
    let mut haris = Haris::start(&config_for(&mock, ""));
    let client = haris.client("tests");
    let id = client.ask("gpt-mock.leak", "What do we know of her?", false).await.event();
    let shown = haris.event(&id);
    haris.ask_to_stop();
    assert!(haris.wait().success(), "{}", haris.output());
    let files = everything(&haris.data());
    let look = |arguments: &[&str]| {
        let output = haris.run(&[arguments, &["--data", "{data}", "--keys", "{keys}", "--format", "json"]].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.is_empty(), "{arguments:?}: {told}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let listed = look(&["events", "--limit", "1000"]);
    let kinds: Vec<&str> = listed["events"].as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
    let count = |kind: &str| kinds.iter().filter(|one| **one == kind).count();
    assert_eq!(
        (count("process.started/1"), count("process.stopped/1"), kinds.last()),
        (1, 1, Some(&"process.stopped/1"))
    );
    assert_eq!(look(&["events", "show", &id])["event"], shown["event"]);
    assert_eq!(look(&["callers", "list"])["callers"][0]["name"], "tests");
    assert_eq!(look(&["ledger", "holds"])["holds"], serde_json::json!([]));
    assert!(look(&["disk"])["disk"]["reserve_bytes"].as_u64().unwrap() > 0);
    let _ = look(&["alerts"]);
    assert!(everything(&haris.data()) == files, "nothing was changed");

    // What a killed server left in its spool is not passed over in silence.
    haris.launch();
    haris.kill();
    let output = haris.run(&["events", "--data", "{data}", "--keys", "{keys}"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did not stop cleanly"));
}

/// Not a byte is free and the reserve is spent: it stops, and says what is not on record.
#[tokio::test]
async fn a_stop_without_room_has_an_exit_code_of_its_own() {
    let mock = Mock::start().await;
    let mut haris = Haris::prepare(&config_for(&mock, "[storage]\nreserve_bytes = 0\n"));
    let Some(disk) = SmallDisk::mount(haris.data(), 256) else {
        println!("not run: only root can mount a small disk");
        return;
    };
    haris.launch();
    let client = haris.client("tests");
    let id = client.ask("gpt-4o", "hello", false).await.event();
    let _ = haris.event(&id);
    let ballast = disk.fill("ballast");
    haris.ask_to_stop();
    assert_eq!(haris.wait().code(), Some(1), "{}", haris.output());
    assert!(haris.output().contains("not on record"), "{}", haris.output());
    fs::remove_file(ballast).unwrap();
    haris.launch();
    let continuity = haris.admin_json(&["status"])["continuity"].to_string();
    assert!(continuity.contains("unclean stop"), "{continuity}");
    assert!(!haris.events(&["kind=gw.request.decided/1"]).is_empty());
    assert_whole(&haris);
    haris.kill();
}

/// Killed, and started on a disk that filled meanwhile: not ready from the first answer on.
#[tokio::test]
async fn a_start_after_a_crash_on_a_full_disk_is_not_ready_before_the_first_request() {
    let mock = Mock::start().await;
    let mut haris = Haris::prepare(&config_for(&mock, ""));
    let Some(disk) = SmallDisk::mount(haris.data(), 256) else {
        println!("not run: only root can mount a small disk");
        return;
    };
    haris.launch();
    let client = haris.client("tests");
    assert_eq!(client.ask("gpt-4o", "hello", false).await.status, 200);
    haris.kill();
    let ballast = disk.fill("ballast");
    // The segment that was made ahead is one more start's room: that one is used up here.
    haris.launch_until(|haris| haris.get_status("/healthz") == Some(200));
    let _ = client.at(&haris.base()).ask("gpt-4o", "hello", false).await;
    haris.kill();
    haris.launch_until(|haris| haris.get_status("/healthz") == Some(200));
    assert_eq!(haris.get_status("/readyz"), Some(503));
    let status = haris.run(&["status", "--data", "{data}", "--format", "json"]);
    assert_eq!(status.status.code(), Some(1), "{}", String::from_utf8_lossy(&status.stdout));
    fs::remove_file(ballast).unwrap();
    eventually("there is room again", || haris.is_ready().then_some(()));
    assert_eq!(client.at(&haris.base()).ask("gpt-4o", "hello", false).await.status, 200);
    assert_whole(&haris);
    haris.kill();
}
