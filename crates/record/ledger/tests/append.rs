//! What an append promises: all or nothing, once, in order, without gaps.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use haris_domain::{Actor, Draft, Event, Log, kind};
use haris_ledger::AppendError;
use haris_spool::Position;
use haris_store::testing::ENGINES;
use haris_store::{Engine, sqlx};
use support::{Place, Traffic, assert_no_gaps, at, evidence};

fn upto(offset: u64) -> Position {
    Position { segment: 1, offset }
}

#[tokio::test]
async fn the_first_event_names_the_logs() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let rows = ledger.read(Log::Evidence, 0, 10).await.unwrap();
        let event = Event::parse(&rows[0].bytes).unwrap();
        assert_eq!((rows.len(), event.kind.name), (1, "log.ledger.created/1"));
        let origin = event.data["evidence"]["origin"].as_str().unwrap();
        assert_eq!(origin, ledger.origin(Log::Evidence));
        assert!(origin.starts_with("haris.invalid/") && origin.ends_with("/evidence"), "{origin}");
        assert_eq!(event.data["traffic"]["keys"][0], ledger.verifier_keys(Log::Traffic)[0].to_string());
        drop(ledger);
        let again = place.open("b2").await;
        assert_eq!(again.size(Log::Evidence).await.unwrap(), 1, "created once");
    }
}

#[tokio::test]
async fn sixteen_writers_leave_no_gaps() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let writers: Vec<_> = (0..16)
            .map(|writer| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    let mut traffic = Traffic::new(&format!("gateway-{writer}"));
                    for round in 0..5 {
                        let drafts = (0..3).map(|_| evidence(at(round))).collect();
                        let appended = ledger.append(drafts).await.unwrap();
                        assert!(appended.is_sorted_by_key(|appended| appended.index));
                        let records: Vec<_> = (0..4).map(|_| traffic.plain(at(round))).collect();
                        let position = upto(u64::try_from(round).unwrap() + 1);
                        assert_eq!(ledger.ingest(&format!("spool-{writer}"), &records, position).await.unwrap(), 4);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(ledger.size(Log::Evidence).await.unwrap(), 1 + 16 * 5 * 3);
        assert_eq!(ledger.size(Log::Traffic).await.unwrap(), 16 * 5 * 4);
        assert_no_gaps(&ledger).await;
    }
}

#[tokio::test]
async fn a_batch_sent_twice_is_appended_once() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let mut traffic = Traffic::new("g1");
        let records: Vec<_> = (0..10).map(|second| traffic.plain(at(second))).collect();
        assert_eq!(ledger.spool_position("s").await.unwrap(), Position::START);
        assert_eq!(ledger.ingest("s", &records[..6], upto(600)).await.unwrap(), 6);
        assert_eq!(ledger.ingest("s", &records[..6], upto(600)).await.unwrap(), 0);
        assert_eq!(ledger.ingest("s", &records[..3], upto(300)).await.unwrap(), 0, "an older one moves nothing back");
        assert_eq!(ledger.spool_position("s").await.unwrap(), upto(600));
        // Batches need not be cut alike: what is new of this one is appended.
        assert_eq!(ledger.ingest("s", &records[2..], upto(1000)).await.unwrap(), 4);
        let (a, b) = tokio::join!(ledger.ingest("t", &records, upto(1)), ledger.ingest("t", &records, upto(2)));
        assert_eq!((a.unwrap(), b.unwrap()), (0, 0));
        assert_eq!(ledger.spool_position("t").await.unwrap(), upto(2));
        assert_eq!(ledger.size(Log::Traffic).await.unwrap(), 10);
        assert_no_gaps(&ledger).await;
    }
}

#[tokio::test]
async fn two_shippers_of_one_spool_append_each_event_once() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let mut traffic = Traffic::new("g1");
        let records: Vec<_> = (0..200).map(|second| traffic.plain(at(second))).collect();
        let shippers: Vec<_> = [7_usize, 11, 200]
            .map(|length| {
                let (ledger, records) = (ledger.clone(), records.clone());
                tokio::spawn(async move {
                    let mut new = 0;
                    for (part, number) in records.chunks(length).zip(1_u64..) {
                        let position = upto((number * length as u64).min(200));
                        new += ledger.ingest("s", part, position).await.unwrap();
                    }
                    new
                })
            })
            .into();
        let mut new = 0;
        for shipper in shippers {
            new += shipper.await.unwrap();
        }
        assert_eq!((new, ledger.size(Log::Traffic).await.unwrap()), (200, 200));
    }
}

#[tokio::test]
async fn a_failed_fold_undoes_everything_and_the_count_goes_on() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let poisoned = Draft::new(&kind::POLICY_LOADED, at(1), Actor::local(0)).with("poison", true);
        let refused = ledger.append(vec![evidence(at(1)), (poisoned, Vec::new())]).await;
        assert!(matches!(refused, Err(AppendError::Projection { projection: "test.seen", .. })));
        assert_eq!(ledger.size(Log::Evidence).await.unwrap(), 1);
        ledger.append(vec![evidence(at(2))]).await.unwrap();
        assert_no_gaps(&ledger).await;
    }
}

/// A caller may go away at any moment: its future is dropped in the middle.
#[tokio::test]
async fn a_dropped_append_leaves_no_gap() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        for polls in 0..60 {
            {
                let mut append = pin!(ledger.append(vec![evidence(at(polls)), evidence(at(polls))]));
                for _ in 0..polls {
                    let mut context = Context::from_waker(Waker::noop());
                    if let Poll::Ready(done) = append.as_mut().poll(&mut context) {
                        done.unwrap();
                        break;
                    }
                    // Gives the database's own threads and tasks a moment to answer.
                    for _ in 0..20 {
                        tokio::task::yield_now().await;
                    }
                    std::thread::yield_now();
                }
            }
        }
        ledger.append(vec![evidence(at(99))]).await.unwrap();
        assert_no_gaps(&ledger).await;
    }
}

#[tokio::test]
async fn what_does_not_belong_is_refused() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let draft = Draft::new(&kind::REQUEST_DECIDED, at(1), Actor::caller("c"));
        let refused = ledger.append(vec![(draft, Vec::new())]).await;
        assert!(matches!(refused, Err(AppendError::NotEvidence { .. })));

        let mut traffic = Traffic::new("g1");
        let first = traffic.plain(at(1));
        let mut altered = first.clone();
        altered.leaf.bytes = String::from_utf8(altered.leaf.bytes).unwrap().replace("allow", "block").into_bytes();
        ledger.ingest("s", &[first], upto(1)).await.unwrap();
        let refused = ledger.ingest("s", &[altered], upto(2)).await;
        assert!(matches!(refused, Err(AppendError::Taken { .. })), "{refused:?}");
        assert_eq!(ledger.spool_position("s").await.unwrap(), upto(1));

        let mut cut = traffic.plain(at(2));
        cut.leaf.bytes.pop();
        assert!(matches!(ledger.ingest("s", &[cut], upto(2)).await, Err(AppendError::NotEvent { .. })));
        let [mut bare, _] = traffic.asked(&ledger, at(2), "text", "28463400123");
        bare.payloads.pop();
        let refused = ledger.ingest("s", &[bare], upto(2)).await;
        assert!(matches!(refused, Err(AppendError::Mismatch { what: "its payloads", .. })));
        assert_eq!(ledger.size(Log::Traffic).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_start_tells_how_the_one_before_it_ended() {
    let start = || haris_ledger::ProcessStart {
        binary: haris_domain::Digest([1; 32]),
        version: "0.1.0".into(),
        config: haris_domain::Digest([2; 32]),
        config_changed: Vec::new(),
        keys: Vec::new(),
    };
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        assert_eq!(ledger.started(start(), at(1)).await.unwrap(), None);
        ledger.heartbeat(Default::default(), at(61)).await.unwrap();
        let ledger = place.open("b2").await;
        let previous = ledger.started(start(), at(100)).await.unwrap().unwrap();
        assert_eq!((previous.boot.as_str(), previous.clean, previous.last_at), ("b1", false, at(61)));
        ledger.stopped(Default::default(), at(110)).await.unwrap();
        let previous = place.open("b3").await.started(start(), at(120)).await.unwrap().unwrap();
        assert_eq!((previous.boot.as_str(), previous.clean, previous.last_at), ("b2", true, at(110)));
    }
}

/// PostgreSQL goes away in the middle of transactions and of commits, again and again. An append that said yes is on
/// record, one that said no is not, and whatever happened leaves no gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_leaves_no_gap() {
    let place = Place::new(Engine::Postgres);
    let ledger = place.open("b1").await;
    let killer = place.scratch.open().await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let killing = tokio::spawn(async move {
        while !*stopped.borrow() {
            let kill = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            // Its own connection may be one that it killed before.
            let _ = sqlx::query(kill).fetch_all(killer.pool()).await;
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
    });
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for round in 0..300 {
        let draft = evidence(at(round));
        let id = draft.0.id;
        match ledger.append(vec![draft]).await {
            Ok(_) => kept.push(id),
            // Nobody knew then; the count below knows.
            Err(AppendError::Unknown { .. }) => {}
            Err(_) => refused.push(id),
        }
    }
    stop.send(true).unwrap();
    killing.await.unwrap();
    // Connections that are dead and still in the pool fail once each.
    while ledger.append(vec![evidence(at(999))]).await.is_err() {}
    for id in kept {
        assert!(ledger.find(id).await.unwrap().is_some(), "{id} was acknowledged");
    }
    for id in refused {
        assert!(ledger.find(id).await.unwrap().is_none(), "{id} was refused");
    }
    assert_no_gaps(&ledger).await;
}
