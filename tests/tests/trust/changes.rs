//! A changed binary and configuration, events dropped before they are sealed, unclean stops: what cannot be refused is
//! listed, by `verify`, `fsck` and `status`.

use std::fs;

use haris_tests::Haris;
use haris_tests::server::eventually;

use crate::support::{Auditor, append_forged, ask, config, configure, export, fsck, log_keys, said, sql, stop};

#[tokio::test]
async fn a_changed_binary_and_configuration_are_listed_everywhere() {
    let mut haris = Haris::start(&config(&[], ""));
    let keys = log_keys(&haris);
    stop(&mut haris);
    configure(&haris, &config(&[], "[limits]\nbody_bytes = 4194304"));
    haris.launch();
    stop(&mut haris);
    // Another binary: the same program with a byte behind its end.
    let other = haris.home().join("haris-other");
    fs::copy(haris_tests::server::binary("haris"), &other).unwrap();
    let mut bytes = fs::read(&other).unwrap();
    bytes.push(0);
    fs::write(&other, bytes).unwrap();
    let mut run = std::process::Command::new(&other);
    let output = run
        .current_dir(haris.home())
        .env("HOME", haris.home())
        .args(["callers", "add", "x", "--data", "data", "--keys", "keys", "--config", "haris.toml"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    haris.launch();
    let status = haris.admin(&["status", "--format", "table"]);
    assert!(status.contains("changed configuration") && status.contains("limits.body_bytes"), "{status}");
    assert!(status.contains("changed binary"), "{status}");
    let bundle = fs::read(export(&haris, "b.zip")).unwrap();
    let auditor = Auditor::new(&[("b.zip", &bundle), ("keys", keys.join("\n").as_bytes())]);
    let (proven, text) = auditor.verify(&["b.zip", "--key", "keys"]);
    assert!(proven && text.contains("changed configuration (limits.body_bytes)"), "{text}");
    assert!(text.contains("changed binary"), "{text}");
    let (clean, text) = fsck(&haris);
    assert!(clean && text.contains("\"changes\"") && text.contains("limits.body_bytes"), "{text}");
}

/// Root kills the process and removes what it had acknowledged and not yet sealed.
#[tokio::test]
async fn events_dropped_before_their_seal_leave_an_unclean_stop_and_downtime() {
    let mut haris = Haris::start(&config(&[], ""));
    let keys = log_keys(&haris);
    let client = haris.client("tests");
    ask(&client, 3).await;
    haris.kill();
    let _ = fs::remove_dir_all(haris.data().join("spool"));
    haris.launch();
    ask(&client.at(&haris.base()), 1).await;
    eventually("status lists it", || {
        haris.admin(&["status", "--format", "table"]).contains("unclean stop").then_some(())
    });
    assert!(haris.admin(&["status", "--format", "table"]).contains("downtime"));
    let bundle = fs::read(export(&haris, "b.zip")).unwrap();
    let auditor = Auditor::new(&[("b.zip", &bundle), ("keys", keys.join("\n").as_bytes())]);
    let (proven, text) = auditor.verify(&["b.zip", "--key", "keys"]);
    assert!(proven && text.contains("unclean stop") && text.contains("downtime"), "{text}");
    let (_, text) = fsck(&haris);
    assert!(text.contains("\"unclean_stops\""), "{text}");
}

/// The same in the middle: a row taken out before the sealer came. The source's count has a hole.
#[tokio::test]
async fn an_event_dropped_from_the_middle_is_a_gap() {
    let mut haris = Haris::start(&config(&[], ""));
    let keys = log_keys(&haris);
    let client = haris.client("tests");
    ask(&client, 2).await;
    stop(&mut haris);
    drop_unsealed(&haris).await;
    haris.launch();
    let bundle = fs::read(export(&haris, "b.zip")).unwrap();
    let auditor = Auditor::new(&[("b.zip", &bundle), ("keys", keys.join("\n").as_bytes())]);
    let (proven, text) = auditor.verify(&["b.zip", "--key", "keys"]);
    assert!(proven && text.contains("gap: 1 event"), "{text}");
    assert!(haris.admin(&["status", "--format", "table"]).contains("gap: 1 events"), "status lists it");
}

/// Leaves the table as it is when two more events were appended, and the first of them taken away before its seal.
async fn drop_unsealed(haris: &Haris) {
    // The last event of the last start, moved on by two: the one between was there and is not any more.
    let (boot, n) = append_forged(haris, 2).await;
    // The fold that status reads saw the event when it was appended.
    let seen =
        format!("UPDATE ledger_source SET n_max = {n}, events = events + 1 WHERE boot = '{boot}' AND log = 'evidence'");
    sql(haris, &seen).await;
}
