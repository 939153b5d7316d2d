//! A file system without a byte left: requests are refused, and the people who have to mend it are not locked out.

use std::fs;

use haris_tests::server::{config_for, eventually};
use haris_tests::{Haris, Mock, SmallDisk};

use super::proof::assert_whole;

const REASON: [&str; 2] = ["--reason", "the disk is full"];

/// What operators must be able to do: look, take notice, hold, lift, revoke, erase.
fn assert_operators_can_work(haris: &Haris, name: &str, event: &str, alert: &str) {
    let status = haris.run(&["status", "--data", "{data}", "--format", "json"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("disk") && said.contains("spool"), "{said}{}", String::from_utf8_lossy(&status.stderr));
    let hold = haris.admin_json(&[&["ledger", "hold", "--event", event], REASON.as_slice()].concat());
    let id = hold["hold"].as_str().unwrap_or_else(|| panic!("{hold}")).to_owned();
    let _ = haris.admin(&[&["ledger", "lift", &id], REASON.as_slice()].concat());
    let _ = haris.admin(&["callers", "revoke", name]);
    let _ = haris.admin(&[&["ledger", "erase", "--event", event], REASON.as_slice()].concat());
    let id = eventually(alert, || {
        let alerts = haris.run(&["alerts", "--data", "{data}", "--format", "json"]);
        let alerts: serde_json::Value = serde_json::from_slice(&alerts.stdout).ok()?;
        let open = alerts["alerts"].as_array()?.iter().find(|one| one["alert"] == alert)?;
        Some(open["id"].as_str()?.to_owned())
    });
    let _ = haris.admin(&[&["alerts", "ack", &id], REASON.as_slice()].concat());
}

#[tokio::test]
async fn a_really_full_disk_leaves_operators_their_reserve_and_one_command_mends_it() {
    let mock = Mock::start().await;
    let mut haris = Haris::prepare(&config_for(&mock, ""));
    let Some(disk) = SmallDisk::mount(haris.data(), 256) else {
        println!("not run: only root can mount a small disk");
        return;
    };
    haris.launch();
    let client = haris.client("tests");
    let names = ["one", "two", "three"];
    for name in names {
        let _ = haris.key(name);
    }
    let mut events = Vec::new();
    for _ in names {
        events.push(client.ask("gpt-4o", "My QID is 28463400123", false).await.event());
    }
    let reserve = || fs::metadata(haris.data().join("reserve")).unwrap().len();
    let whole = reserve();
    assert!(whole >= 8 << 20, "{whole} bytes are set aside");
    // Shipped, so that they can be erased.
    for id in &events {
        let _ = haris.event(id);
    }

    let ballast = disk.fill("ballast");
    assert_operators_can_work(&haris, names[0], &events[0], "disk-reserve-in-use");
    assert!(reserve() < whole, "they worked from the reserve");
    // Whoever filled it takes what was given back as well.
    let more = disk.fill("ballast.more");
    assert_operators_can_work(&haris, names[1], &events[1], "disk-low");
    let refused = haris.run(&["disk", "recover", "--data", "{data}", "--format", "json"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&refused.stderr));
    assert!(said.contains("prune"), "it says what else would help: {said}");

    // A rescuer's restart must not fail for want of room either.
    haris.kill();
    haris.launch_until(|haris| haris.get_status("/healthz") == Some(200));
    let status = haris.run(&["status", "--data", "{data}"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("disk"), "{}", haris.output());

    fs::remove_file(ballast).unwrap();
    fs::remove_file(more).unwrap();
    let recovered = haris.admin_json(&["disk", "recover"]);
    assert!(recovered["next"].is_null() && recovered["freed_bytes"].is_i64(), "{recovered}");
    assert_eq!(recovered["disk"]["reserve_bytes"], whole, "the reserve is whole again: {recovered}");
    let client = haris.client("after");
    let mut waited = 0;
    // The spool looks for room again every second.
    while client.ask("gpt-4o", "hello", false).await.status != 200 {
        waited += 1;
        assert!(waited < 100, "service resumes by itself");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    eventually("and says so", || haris.is_ready().then_some(()));
    for kind in ["disk.space.recovered/1", "alert.condition.raised/1", "hold.legal.placed/1", "payload.key.erased/1"] {
        assert!(!haris.events(&[&format!("kind={kind}")]).is_empty(), "{kind} is on record");
    }
    assert_whole(&haris);
    haris.kill();
}
