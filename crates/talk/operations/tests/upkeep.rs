//! Holds, erasure, evidence, and the ledger's checks of itself, as doors ask for them.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;

use haris_domain::Log;
use haris_operations::{RefusalCode, clear_outgoing};
use haris_verify::Trust;
use serde_json::{Value, json};
use support::{QID, Scene};

#[tokio::test]
async fn a_hold_keeps_what_an_erasure_would_take() {
    let scene = Scene::new().await;
    let (request, _) = scene.exchange("c1", "a question").await;
    let id = request.to_string();
    let held = scene.done("ledger.hold", json!({ "subject": QID, "subject_kind": "qid", "reason": "court" })).await;
    assert_eq!((&held["schema"], &held["scope"]), (&json!("haris.hold/1"), &json!("subject")));
    assert_eq!(scene.refused("ledger.erase", json!({ "event": id })).await, RefusalCode::Conflict);
    assert_eq!(scene.only_refusal().await, ("ledger.erase".to_owned(), "conflict".to_owned()));
    assert!(scene.recorded("payload.key.erased/1").await.is_empty());
    let holds = scene.done("ledger.holds", json!(null)).await;
    assert_eq!((&holds["schema"], &holds["holds"][0]["hold"]), (&json!("haris.holds/1"), &held["hold"]));

    let lifted = scene.done("ledger.lift", json!({ "hold": held["hold"] })).await;
    assert_eq!((&lifted["schema"], &lifted["hold"]), (&json!("haris.lift/1"), &held["hold"]));
    let input = json!({ "event": id, "reason": "request of Noora", "legal_basis": "PDPPL art. 5" });
    let erased = scene.done("ledger.erase", input).await;
    assert_eq!((&erased["schema"], &erased["events"]), (&json!("haris.erase/1"), &json!(2)), "the answer goes along");
    let records = scene.recorded("payload.key.erased/1").await;
    assert_eq!(
        (&records[0]["id"], &records[0]["data"]["legal_basis"]),
        (&erased["recorded"][0], &json!("PDPPL-art.-5"))
    );
    assert!(!records[0].to_string().contains("Noora"), "the reason is a payload");

    let shown = scene.done("events.show", json!({ "id": id })).await;
    assert_eq!(shown["payloads"], json!({ "request": "erased", "identifiers": "erased" }));
    let texts = scene.done("events.reveal", json!({ "id": id, "reason": "to see" })).await;
    assert_eq!(texts["texts"], json!({ "request": null, "identifiers": null }));
    scene.settle().await;
    assert_eq!(scene.done("ledger.check", json!(null)).await["clean"], true);
}

#[tokio::test]
async fn a_subject_is_found_in_any_spelling_and_erased_once() {
    let scene = Scene::new().await;
    scene.exchange("c1", "a question").await;
    let spelled = json!({ "subject": "2846 3400 123", "subject_kind": "qid" });
    assert_eq!(scene.done("ledger.erase", spelled.clone()).await["events"], 2);
    assert_eq!(scene.refused("ledger.erase", spelled).await, RefusalCode::NotFound);
}

#[tokio::test]
async fn what_to_hold_or_erase_is_said_exactly() {
    let scene = Scene::new().await;
    let (request, _) = scene.exchange("c1", "a question").await;
    let id = request.to_string();
    for input in [
        json!({}),
        json!({ "event": id, "before": "2027-01-01" }),
        json!({ "event": "seven" }),
        json!({ "before": "soon" }),
        json!({ "subject": QID, "subject_kind": "shoe-size" }),
    ] {
        assert_eq!(scene.refused("ledger.erase", input.clone()).await, RefusalCode::Invalid, "{input}");
    }
    for input in [
        json!({}),
        json!({ "from": "2026-11-24" }),
        json!({ "from": "2026-11-24", "to": "2026-11-23" }),
        json!({ "events": [id], "everything": true }),
    ] {
        assert_eq!(scene.refused("ledger.hold", input.clone()).await, RefusalCode::Invalid, "{input}");
    }
    assert_eq!(scene.refused("ledger.lift", json!({ "hold": id })).await, RefusalCode::NotFound);
    assert!(scene.recorded("hold.*").await.is_empty());
}

#[tokio::test]
async fn a_bundle_waits_for_its_door_and_convinces_an_auditor() {
    let scene = Scene::new().await;
    scene.exchange("c1", "a question").await;
    scene.settle().await;
    let made = scene.done("ledger.export", json!({ "filter": ["verdict=redact"], "with_payloads": true })).await;
    assert_eq!(made["schema"], "haris.export/1");
    let path = std::path::PathBuf::from(made["path"].as_str().unwrap());
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!((json!(found.len()), found.permissions().mode() & 0o777), (made["bytes"].clone(), 0o600));
    let ledger = &scene.context.ledger;
    let keys = Log::ALL.iter().flat_map(|log| ledger.verifier_keys(*log)).cloned().collect();
    let report = haris_verify::verify(File::open(&path).unwrap(), &Trust { keys, policy: None }, &mut ()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(scene.recorded("bundle.evidence.exported/1").await[0]["id"], made["recorded"]);

    // What no door took is cleared at the next start.
    clear_outgoing(&scene.context.data).unwrap();
    assert!(!path.exists());
    clear_outgoing(&scene.context.data).unwrap();
}

#[tokio::test]
async fn an_export_that_fails_leaves_nothing() {
    let scene = Scene::new().await;
    for input in [
        json!({ "from": "soon" }),
        json!({ "filter": ["verdict"] }),
        json!({ "from": "2026-11-25", "to": "2026-11-24" }),
    ] {
        assert_eq!(scene.refused("ledger.export", input.clone()).await, RefusalCode::Invalid, "{input}");
    }
    let left = std::fs::read_dir(scene.context.data.join("outgoing")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
    assert!(scene.recorded("bundle.evidence.exported/1").await.is_empty());
}

#[tokio::test]
async fn tables_that_say_more_than_the_events_are_found_and_made_anew() {
    let scene = Scene::new().await;
    scene.exchange("c1", "a question").await;
    scene.settle().await;
    let check = json!({ "check": true });
    let clean = scene.done("tables.rebuild", check.clone()).await;
    assert_eq!((&clean["schema"], &clean["differences"]), (&json!("haris.rebuild/1"), &json!([])));

    let mut tx = scene.context.ledger.store().begin().await.unwrap();
    let sql = "UPDATE register_request SET verdict = 'allow'";
    haris_store::sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let found = scene.done("tables.rebuild", check.clone()).await;
    assert_eq!(found["differences"][0]["table"], "register_request");
    scene.done("tables.rebuild", json!({ "check": false })).await;
    assert_eq!(scene.done("tables.rebuild", check).await["differences"], json!([]));
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let scene = Scene::new().await;
    scene.exchange("c1", "a question").await;
    scene.settle().await;
    let checked = scene.done("ledger.check", json!(null)).await;
    assert_eq!((&checked["schema"], &checked["clean"]), (&json!("haris.fsck/1"), &json!(true)));

    let mut tx = scene.context.ledger.store().begin().await.unwrap();
    let sql = "UPDATE ledger_event SET bytes = CAST(replace(CAST(bytes AS TEXT), 'redact', 'allow_') AS BLOB) WHERE log = 'traffic'";
    haris_store::sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let checked = scene.done("ledger.check", json!(null)).await;
    assert_eq!(checked["clean"], false);
    let named = |one: &&Value| one["log"] == "traffic" && one["index"] == 0;
    assert!(checked["problems"].as_array().unwrap().iter().any(|one| named(&one)), "{checked}");
}

#[tokio::test]
async fn status_tells_of_every_part() {
    let scene = Scene::new().await;
    scene.exchange("c1", "a question").await;
    let waiting = scene.done("status.show", json!(null)).await;
    assert_eq!((&waiting["schema"], &waiting["ready"]), (&json!("haris.status/1"), &json!(false)), "no gateway here");
    assert_eq!((&waiting["spool"][0]["healthy"], &waiting["spool"][0]["unshipped_records"]), (&json!(true), &json!(2)));
    scene.settle().await;
    let status = scene.done("status.show", json!(null)).await;
    assert_eq!(status["spool"][0]["unshipped_records"], 0);
    let traffic = &status["ledger"]["logs"][1];
    assert_eq!((&traffic["log"], &traffic["size"], &traffic["sealed"]), (&json!("traffic"), &json!(2), &json!(2)));
    assert!(!traffic["verifier_keys"].as_array().unwrap().is_empty());
    assert!(std::path::Path::new(status["disk"]["path"].as_str().unwrap()).is_absolute());
}

#[tokio::test]
async fn status_answers_while_the_database_does_not() {
    let scene = Scene::new().await;
    scene.context.ledger.store().close().await;
    let status = scene.done("status.show", json!(null)).await;
    assert_eq!(status["schema"], "haris.status/1");
    let attention = status["attention"].to_string();
    assert!(attention.contains("the database does not answer"), "{attention}");
}

#[tokio::test]
async fn a_date_in_the_future_erases_nothing() {
    let scene = Scene::new().await;
    scene.exchange("c1", "a question").await;
    scene.settle().await;
    let later = json!({ "before": "2027-01-01", "reason": "a slip of the pen" });
    assert_eq!(scene.refused("ledger.erase", later).await, RefusalCode::Invalid);
    assert!(scene.recorded("payload.key.erased/1").await.is_empty());
}

/// A text is gone without a record of it, and a payload's bytes are not what they were.
#[tokio::test]
async fn damaged_payloads_are_named_and_what_cannot_be_checked_is_counted() {
    let scene = Scene::new().await;
    scene.exchange("c1", "a question").await;
    scene.settle().await;
    let checked = scene.done("ledger.check", json!(null)).await;
    let sound = json!({ "opened": 3, "not_stored": 0, "erased": 0, "unreadable": 0, "events_unknown": 0 });
    assert_eq!((&checked["payloads"], &checked["first_wrong"]), (&sound, &json!(null)));
    assert_eq!(checked["search_terms"], json!({ "checked": 1, "unchecked": 0 }));
    let mut tx = scene.context.ledger.store().begin().await.unwrap();
    let sql = "DELETE FROM ledger_payload_key WHERE name = 'request'; \
               UPDATE ledger_payload_key SET pack_offset = pack_offset + 1 WHERE name = 'identifiers'";
    haris_store::sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let checked = scene.done("ledger.check", json!(null)).await;
    assert_eq!(checked["first_wrong"], json!({ "log": "traffic", "index": 0 }));
    assert_eq!((&checked["payloads"]["unreadable"], &checked["search_terms"]["unchecked"]), (&json!(2), &json!(1)));
}
