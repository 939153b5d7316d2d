//! From the spool into the ledger: everything, once, and nothing left behind that was erased.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use std::path::Path;
use std::sync::Arc;

use haris_domain::{Actor, Draft, Log, SealedPayload, Stored, kind};
use haris_ledger::{Erase, EraseBy, EraseError, Ledger};
use haris_spool::{Options, Position, RealDisk, SourceName, Spool};
use haris_store::Engine;
use haris_store::testing::ENGINES;
use support::{NODE, Place, assert_no_gaps, assert_sealed, at};

fn spool(place: &Place, boot: &str) -> Spool {
    let name = SourceName { node: NODE.into(), boot: boot.into() };
    let options =
        Options { segment_bytes: 1 << 20, record_bytes_max: 1 << 18, free_bytes_min: 0, ..Options::default() };
    Spool::open(&place.scratch.path().join("spool"), name, options, Arc::new(RealDisk)).unwrap()
}

fn request(ledger: &Ledger, seconds: i64, qid: &str) -> (Draft, Vec<SealedPayload>) {
    let draft = Draft::new(&kind::REQUEST_DECIDED, at(seconds), Actor::caller("c1"));
    let day = ledger.day_keys().for_day(at(seconds)).unwrap();
    let identifiers = serde_json::json!([{ "kind": "qid", "value": qid }]).to_string();
    let payload = haris_keys::seal_payload(&day, draft.id, "identifiers", Stored::Full, identifiers.as_bytes(), None);
    (draft, vec![payload])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_spool_acknowledged_reaches_the_ledger_once() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let queue = spool(&place, "b1");
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let shipper = tokio::spawn({
            let (ledger, queue) = (ledger.clone(), queue.clone());
            async move { ledger.ship(queue, "gateway", stopped).await }
        });
        for second in 0..300 {
            let (draft, payloads) = request(&ledger, second, "28463400123");
            queue.append(draft, payloads).unwrap().await.unwrap();
        }
        stop.send(true).unwrap();
        shipper.await.unwrap();
        assert_eq!(ledger.size(Log::Traffic).await.unwrap(), 300);
        assert_eq!(queue.state().unshipped_records, 0);
        assert_eq!(ledger.search(None, "28463400123").await.unwrap().len(), 300);
        assert_no_gaps(&ledger).await;
        ledger.seal(at(1)).await.unwrap();
        assert_sealed(&ledger).await;
    }
}

/// Whoever shipped died before it could release: the next start finds the events in both places.
#[tokio::test]
async fn what_was_shipped_and_not_released_is_not_shipped_again() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let queue = spool(&place, "b1");
        for second in 0..20 {
            let (draft, payloads) = request(&ledger, second, "28463400123");
            queue.append(draft, payloads).unwrap().await.unwrap();
        }
        let batch = queue.read(Position::START, 15, 1 << 20).unwrap();
        assert_eq!(ledger.ingest("gateway", &batch.records, batch.next).await.unwrap(), 15);
        queue.close();
        drop((queue, ledger));
        let (ledger, queue) = (place.open("b2").await, spool(&place, "b2"));
        assert_eq!(ledger.drain(&queue, "gateway").await.unwrap(), 5);
        assert_eq!(ledger.drain(&queue, "gateway").await.unwrap(), 0);
        let (draft, payloads) = request(&ledger, 99, "28463400123");
        queue.append(draft, payloads).unwrap().await.unwrap();
        assert_eq!(ledger.drain(&queue, "gateway").await.unwrap(), 1);
        assert_eq!(ledger.size(Log::Traffic).await.unwrap(), 21);
        assert_no_gaps(&ledger).await;
    }
}

/// Somebody removed the spool's folder while Haris was down: what was in it is lost, what comes is not.
#[tokio::test]
async fn a_spool_that_was_replaced_is_shipped_from_its_start() {
    let place = Place::new(Engine::Sqlite);
    let ledger = place.open("b1").await;
    for boot in ["b1", "b2"] {
        let queue = spool(&place, boot);
        for second in 0..20 {
            let (draft, payloads) = request(&ledger, second, "28463400123");
            queue.append(draft, payloads).unwrap().await.unwrap();
            if boot == "b1" {
                queue.rotate();
            }
        }
        assert_eq!(ledger.drain(&queue, "gateway").await.unwrap(), 20, "{boot}");
        queue.close();
        drop(queue);
        std::fs::remove_dir_all(place.scratch.path().join("spool")).unwrap();
    }
    assert_eq!(ledger.size(Log::Traffic).await.unwrap(), 40);
}

#[tokio::test]
async fn nothing_of_what_is_erased_is_left_in_the_spool() {
    let place = Place::new(Engine::Sqlite);
    let ledger = place.open("b1").await;
    let queue = spool(&place, "b1");
    let (draft, payloads) = request(&ledger, 1, "28463400123");
    queue.append(draft, payloads.clone()).unwrap().await.unwrap();
    let key = &payloads[0].wrapped_key;
    assert!(contains(place.scratch.path(), key), "the test looks in the right places");
    let erase = Erase {
        by: EraseBy::Subject { kind: None, identifier: "28463400123".into() },
        reason: "asked by the customer".into(),
        legal_basis: "law".into(),
        actor: Actor::local(0),
    };
    let erased = ledger.erase(erase.clone(), &[("gateway", queue.clone())], at(10)).await.unwrap();
    assert_eq!(erased.payloads, 1, "what was still in the spool is found too");
    for part in [key, &payloads[0].ciphertext] {
        assert!(!contains(place.scratch.path(), part));
    }
    let none = Erase { by: EraseBy::Before(at(5)), ..erase };
    let nothing = ledger.erase(none, &[("gateway", queue.clone())], at(11)).await;
    assert!(matches!(nothing, Err(EraseError::Nothing)), "a spool that holds nothing is no obstacle");
    let (draft, payloads) = request(&ledger, 20, "28463400123");
    queue.append(draft, payloads).unwrap().await.unwrap();
    assert_eq!(ledger.drain(&queue, "gateway").await.unwrap(), 1, "the spool goes on");
}

fn contains(path: &Path, part: &[u8]) -> bool {
    std::fs::read_dir(path).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return contains(&path, part);
        }
        std::fs::read(path).unwrap().windows(part.len()).any(|window| window == part)
    })
}
