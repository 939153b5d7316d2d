//! A changed binary and configuration, events dropped before they are sealed, unclean stops: what cannot be refused is
//! listed, by `verify`, `fsck` and `status`.

use std::fs;

use haris_tests::Haris;
use haris_tests::server::eventually;

use crate::support::{Auditor, ask, config, configure, export, fsck, log_keys, said, stop};

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
    use haris_store::sqlx::{self, Row as _};
    use haris_store::{Store, StoreOptions};
    let data = haris.data();
    let options =
        StoreOptions { sql: format!("sqlite:{}", data.join("haris.db").display()), blobs: data.join("blobs") };
    let store = Store::open(options).await.unwrap();
    let row = sqlx::query(
        "SELECT leaf_index, id, bytes FROM ledger_event WHERE log = 'evidence' ORDER BY leaf_index DESC LIMIT 1",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    // The last event of the last start, moved on by two: the one between was there and is not any more.
    let (index, id): (i64, String) = (row.try_get("leaf_index").unwrap(), row.try_get("id").unwrap());
    let text = String::from_utf8(row.try_get::<Vec<u8>, _>("bytes").unwrap()).unwrap();
    let event: serde_json::Value = serde_json::from_str(&text).unwrap();
    let n = event["source"]["n"].as_u64().unwrap();
    let other = format!("{}{}", &id[..id.len() - 4], "0bad");
    let later = text.replace(&id, &other).replace(&format!("\"n\":{n},"), &format!("\"n\":{},", n + 2));
    let hash = crate::database::leaf_hash(&later);
    let mut tx = store.begin().await.unwrap();
    sqlx::query("INSERT INTO ledger_event (log, leaf_index, id, leaf_hash, bytes) VALUES ('evidence', $1, $2, $3, $4)")
        .bind(index + 1)
        .bind(other)
        .bind(hash)
        .bind(later.into_bytes())
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("UPDATE ledger_log SET next_index = next_index + 1 WHERE log = 'evidence'")
        .execute(&mut *tx)
        .await
        .unwrap();
    // The fold that status reads saw the event when it was appended.
    sqlx::query("UPDATE ledger_source SET n_max = $1, events = events + 1 WHERE boot = $2 AND log = 'evidence'")
        .bind(i64::try_from(n + 2).unwrap())
        .bind(event["source"]["boot"].as_str().unwrap())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}
