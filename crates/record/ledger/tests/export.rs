//! Bundles as an auditor gets them: complete or chosen, opened or not, and never of a damaged ledger.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use std::fs::File;

use haris_domain::{Actor, Log};
use haris_ledger::{Export, ExportError, Exported, Ledger};
use haris_merkle::VerifierKey;
use haris_spool::Position;
use haris_store::testing::ENGINES;
use haris_store::{Blobs, Engine};
use haris_verify::{OPERATOR_ONLY, Report, Trust};
use support::{Place, Traffic, at, evidence};

fn all() -> Export {
    Export {
        from: None,
        to: None,
        filter: Vec::new(),
        complete: false,
        with_payloads: false,
        made_by: "haris test".into(),
        actor: Actor::local(1000),
        cosigners: 0,
    }
}

async fn filled(place: &Place) -> Ledger {
    let ledger = place.open("b1").await;
    let mut traffic = Traffic::new("g1");
    for round in 0..3_u32 {
        let now = at(i64::from(round) * 100);
        let mut records: Vec<_> = (0..98).map(|_| traffic.plain(now)).collect();
        records.extend(traffic.asked(&ledger, now, &format!("question {round}"), "28463400123"));
        ledger.ingest("s", &records, Position { segment: 1, offset: u64::from(round) + 1 }).await.unwrap();
        ledger.append(vec![evidence(now)]).await.unwrap();
        ledger.seal(now).await.unwrap();
    }
    ledger
}

async fn export(ledger: &Ledger, what: Export) -> (Result<Exported, ExportError>, File) {
    let file = tempfile::tempfile().unwrap();
    (ledger.export(what, file.try_clone().unwrap(), at(1000)).await, file)
}

fn verify(ledger: &Ledger, file: File) -> Report {
    let keys: Vec<VerifierKey> = Log::ALL.iter().flat_map(|log| ledger.verifier_keys(*log)).cloned().collect();
    haris_verify::verify(file, &Trust { keys, policy: None }, &mut ()).unwrap()
}

fn says(report: &Report) -> Vec<&str> {
    report.logs.iter().map(|log| log.says.as_str()).collect()
}

#[tokio::test]
async fn everything_is_complete() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = filled(&place).await;
        let (exported, file) = export(&ledger, all()).await;
        let exported = exported.unwrap();
        let report = verify(&ledger, file);
        assert_eq!((&report.problems, report.begins.as_str()), (&Vec::new(), OPERATOR_ONLY));
        let evidence = report.logs[0].size;
        let whole = format!("complete: {evidence} of {evidence} entries [0, {evidence})");
        assert_eq!(says(&report), [whole.as_str(), "complete: 300 of 300 entries [0, 300)"]);
        assert_eq!(report.logs[1].anchored_at, Some(evidence - 1));
        assert_eq!(report.logs[1].sealed_by, report.logs[0].sealed_by);
        assert_eq!((exported.payloads_erased, report.payloads_proven), (0, 0));
        // The export is on record, after what it holds.
        let found = ledger.find(exported.event).await.unwrap().unwrap();
        assert_eq!((found.log, found.index), (Log::Evidence, evidence));
    }
}

#[tokio::test]
async fn a_window_gives_the_range_that_holds_it() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = filled(&place).await;
        let window = Export { from: Some(at(100)), to: Some(at(101)), ..all() };
        let (exported, file) = export(&ledger, window).await;
        exported.unwrap();
        let report = verify(&ledger, file);
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(says(&report)[1], "complete: 102 of 102 entries [99, 201); 100 of them meet window and filter");
        let nothing = Export { from: Some(at(5000)), ..all() };
        let (exported, file) = export(&ledger, nothing).await;
        exported.unwrap();
        assert_eq!(
            says(&verify(&ledger, file))[1],
            "complete: 1 of 1 entries [299, 300); 0 of them meet window and filter"
        );
    }
}

#[tokio::test]
async fn a_filter_selects_or_is_shown_to_be_complete() {
    let place = Place::new(Engine::Sqlite);
    let ledger = filled(&place).await;
    let filter = vec!["verdict=redact".parse().unwrap()];
    let (exported, file) = export(&ledger, Export { filter: filter.clone(), ..all() }).await;
    assert_eq!(exported.unwrap().manifest.logs[1].leaves, 3);
    let report = verify(&ledger, file);
    assert_eq!(says(&report)[1], "selection: 3 proven; nothing is shown about events left out");
    assert_eq!(report.problems, Vec::<String>::new());
    let (exported, file) = export(&ledger, Export { filter, complete: true, ..all() }).await;
    exported.unwrap();
    assert_eq!(
        says(&verify(&ledger, file))[1],
        "complete: 300 of 300 entries [0, 300); 3 of them meet window and filter"
    );
}

#[tokio::test]
async fn payloads_are_opened_unless_they_were_erased() {
    let place = Place::new(Engine::Sqlite);
    let ledger = filled(&place).await;
    let what = Export { filter: vec!["kind=gw.*".parse().unwrap()], complete: true, with_payloads: true, ..all() };
    let (exported, file) = export(&ledger, what.clone()).await;
    // Per question: request and identifiers, and the response; of `raw` nothing was stored.
    assert_eq!(exported.unwrap().manifest.payloads, 9);
    let report = verify(&ledger, file);
    assert_eq!((report.payloads_proven, &report.problems), (9, &Vec::new()));
    support::tamper(&ledger, "DELETE FROM ledger_payload_key WHERE name = 'identifiers'").await;
    let (exported, file) = export(&ledger, what).await;
    assert_eq!(exported.unwrap().payloads_erased, 3);
    assert_eq!(verify(&ledger, file).payloads_proven, 6);
}

#[tokio::test]
async fn a_range_across_many_bundles_and_an_odd_start() {
    let place = Place::new(Engine::Sqlite);
    let ledger = place.open("b1").await;
    let mut traffic = Traffic::new("g1");
    for batch in 0..7 {
        let records: Vec<_> = (0..150).map(|n| traffic.plain(at(batch * 150 + n))).collect();
        let position = Position { segment: 1, offset: batch.unsigned_abs() + 1 };
        ledger.ingest("s", &records, position).await.unwrap();
        ledger.seal_and_anchor(at(batch)).await.unwrap();
    }
    let window = Export { from: Some(at(200)), to: Some(at(900)), ..all() };
    let (exported, file) = export(&ledger, window).await;
    exported.unwrap();
    let report = verify(&ledger, file);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(says(&report)[1], "complete: 702 of 702 entries [199, 901); 700 of them meet window and filter");
}

#[tokio::test]
async fn a_damaged_ledger_gives_no_bundle() {
    let place = Place::new(Engine::Sqlite);
    let ledger = filled(&place).await;
    let blobs = place.blobs();
    let mut bytes = blobs.get("traffic/tile/entries/000").unwrap().unwrap();
    bytes[60] ^= 1;
    blobs.put("traffic/tile/entries/000", &bytes).unwrap();
    let (exported, _) = export(&ledger, all()).await;
    let error = exported.unwrap_err();
    assert!(
        matches!(&error, ExportError::NotProven { problem } if problem.contains("entry 0 of `traffic`")),
        "{error}"
    );
}

#[tokio::test]
async fn a_ledger_without_traffic_has_a_bundle_too() {
    let place = Place::new(Engine::Sqlite);
    let ledger = place.open("b1").await;
    let (exported, file) = export(&ledger, all()).await;
    exported.unwrap();
    let report = verify(&ledger, file);
    assert_eq!(says(&report), ["complete: 1 of 1 entries [0, 1)"]);
}
