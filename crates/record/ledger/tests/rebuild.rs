//! The tables say what the events say, and a rebuild shows it.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use haris_domain::{Actor, Log};
use haris_ledger::{HoldScope, Ledger, Options};
use haris_spool::Position;
use haris_store::sqlx::{self, Row};
use haris_store::testing::ENGINES;
use support::{Place, Seen, Traffic, at, evidence, tamper};

async fn filled(place: &Place) -> Ledger {
    let ledger = place.open("b1").await;
    let mut traffic = Traffic::new("g1");
    for (round, count) in [300, 40].into_iter().enumerate() {
        let records: Vec<_> = (0..count).map(|_| traffic.plain(at(1))).collect();
        let position = Position { segment: 1, offset: traffic.n };
        ledger.ingest("s", &records, position).await.unwrap();
        ledger.append(vec![evidence(at(2)), evidence(at(3))]).await.unwrap();
        if round == 0 {
            ledger.seal(at(4)).await.unwrap();
        }
    }
    ledger.hold(HoldScope::Everything, "a court asks", Actor::local(0), at(5)).await.unwrap();
    ledger
}

async fn seen(ledger: &Ledger) -> Vec<(String, i64, Vec<u8>)> {
    let rows = sqlx::query("SELECT id, leaf_index, mark FROM test_seen ORDER BY id").fetch_all(ledger.sql()).await;
    rows.unwrap().iter().map(|row| (row.get("id"), row.get("leaf_index"), row.get("mark"))).collect()
}

#[tokio::test]
async fn a_rebuild_gives_the_same_tables() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = filled(&place).await;
        let (before, holds) = (seen(&ledger).await, ledger.holds().await.unwrap());
        let events = ledger.size(Log::Evidence).await.unwrap() + ledger.size(Log::Traffic).await.unwrap();
        for check in [true, false, true] {
            let rebuilt = ledger.rebuild(check).await.unwrap();
            assert_eq!((rebuilt.events, rebuilt.differences), (events, vec![]));
            assert_eq!((seen(&ledger).await, ledger.holds().await.unwrap()), (before.clone(), holds.clone()));
        }
        ledger.append(vec![evidence(at(9))]).await.unwrap();
        assert_eq!(seen(&ledger).await.len(), before.len() + 1, "writing goes on");
    }
}

#[tokio::test]
async fn an_edited_table_is_named_and_mended() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = filled(&place).await;
        let before = seen(&ledger).await;
        tamper(&ledger, "UPDATE test_seen SET kind = 'edited' WHERE log = 'traffic' AND leaf_index = 7").await;
        tamper(&ledger, "DELETE FROM test_seen WHERE log = 'traffic' AND leaf_index = 9").await;
        tamper(&ledger, "UPDATE ledger_hold SET lifted_by = 'nobody'").await;
        let rebuilt = ledger.rebuild(true).await.unwrap();
        let found: Vec<_> = rebuilt.differences.iter().map(|d| (d.table, d.missing, d.extra)).collect();
        assert_eq!(found, [("ledger_hold", 1, 1), ("test_seen", 2, 1)]);
        let examples = rebuilt.differences[1].examples.join("\n");
        assert!(examples.contains("extra: ") && examples.contains("kind=edited"), "{examples}");
        assert_eq!(ledger.holds().await.unwrap(), [], "checking mends nothing");
        assert_eq!(ledger.rebuild(false).await.unwrap().differences.len(), 2);
        assert_eq!(ledger.rebuild(true).await.unwrap().differences, []);
        assert_eq!((seen(&ledger).await, ledger.holds().await.unwrap().len()), (before, 1));
    }
}

/// Sealed bundles are the truth: a row that was edited after it was sealed changes no table.
#[tokio::test]
async fn sealed_events_are_folded_from_their_bundles() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = filled(&place).await;
        tamper(&ledger, "DELETE FROM ledger_event WHERE log = 'traffic' AND leaf_index = 5").await;
        assert_eq!(ledger.rebuild(true).await.unwrap().differences, []);
        tamper(&ledger, "DELETE FROM ledger_event WHERE log = 'traffic' AND leaf_index = 310").await;
        let unreadable = ledger.rebuild(true).await.unwrap_err().to_string();
        assert!(unreadable.contains("entry 310 of the traffic log"), "{unreadable}");
    }
}

#[tokio::test]
async fn a_fold_that_is_new_or_changed_is_folded_at_start() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = filled(&place).await;
        let count = seen(&ledger).await.len();
        drop(ledger);
        let options = Options { projections: vec![Box::new(Seen { version: 2 })], ..place.options("b2").await };
        let ledger = Ledger::open(options, at(10)).await.unwrap();
        let rows = seen(&ledger).await;
        assert_eq!(rows.len(), count);
        assert!(rows.iter().all(|(_, _, mark)| mark == &[2]), "folded by the new version");
    }
}
