//! What the seal promises: every event proven within a round, the same after any crash, nothing altered ever signed.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use haris_domain::{Actor, Digest, Draft, Event, EventId, Log, Source, kind};
use haris_ledger::{Ledger, OpenError, Options, ProofState, SealError};
use haris_merkle::tile::Entries;
use haris_spool::{Position, Record};
use haris_store::testing::ENGINES;
use haris_store::{Blobs, Engine};
use support::{Failing, Place, Traffic, assert_no_gaps, assert_sealed, at, evidence, tamper};

async fn ingest(ledger: &Ledger, traffic: &mut Traffic, count: usize) {
    let records: Vec<_> = (0..count).map(|_| traffic.plain(at(1))).collect();
    let offset = traffic.n;
    assert_eq!(ledger.ingest("s", &records, Position { segment: 1, offset }).await.unwrap(), count);
}

#[tokio::test]
async fn every_size_is_sealed_and_proven() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let mut traffic = Traffic::new("g1");
        for (round, count) in [1, 4, 250, 1, 1, 300, 5000].into_iter().enumerate() {
            ingest(&ledger, &mut traffic, count).await;
            let last = ledger.size(Log::Traffic).await.unwrap() - 1;
            assert_eq!(ledger.proof_state(Log::Traffic, last).await.unwrap(), ProofState::Pending);
            let now = at(i64::try_from(round).unwrap());
            let sealed = ledger.seal(now).await.unwrap();
            assert!(sealed.logs.iter().any(|log| log.log == Log::Traffic && log.size == last + 1));
            let state = ledger.proof_state(Log::Traffic, last).await.unwrap();
            assert_eq!(state, ProofState::Sealed { size: last + 1, at: now });
            assert_sealed(&ledger).await;
        }
        assert!(ledger.seal(at(9)).await.unwrap().logs.is_empty(), "nothing new, nothing signed");
        assert_no_gaps(&ledger).await;
        let again = place.open("b2").await;
        ingest(&again, &mut Traffic::new("g2"), 0).await;
        again.append(vec![evidence(at(10))]).await.unwrap();
        again.seal(at(10)).await.unwrap();
        assert_sealed(&again).await;
    }
}

#[tokio::test]
async fn partial_tiles_go_when_the_full_one_exists() {
    let place = Place::new(Engine::Sqlite);
    let ledger = place.open("b1").await;
    let mut traffic = Traffic::new("g1");
    for count in [3, 2, 200] {
        ingest(&ledger, &mut traffic, count).await;
        ledger.seal(at(1)).await.unwrap();
    }
    let blobs = place.blobs();
    assert_eq!(blobs.list("traffic/tile/0/000.p").unwrap().len(), 3, "one for each published size");
    assert_eq!(blobs.list("traffic/tile/entries/000.p").unwrap().len(), 3);
    ingest(&ledger, &mut traffic, 60).await;
    ledger.seal(at(1)).await.unwrap();
    let left = blobs.list("traffic/tile").unwrap();
    let wanted = ["0/000", "0/001.p/9", "1/000.p/1", "entries/000", "entries/001.p/9"];
    assert_eq!(left, wanted.map(|path| format!("traffic/tile/{path}")));
    assert!(!blobs.root().join("traffic/tile/0/000.p").exists());
}

/// The process dies at every single change of the blob store in turn; the next start goes on from there.
#[tokio::test]
async fn a_crash_between_any_two_steps_loses_and_forks_nothing() {
    for engine in ENGINES {
        for died_after in 0.. {
            let place = Place::new(engine);
            let ledger = place.open("b1").await;
            let mut traffic = Traffic::new("g1");
            ingest(&ledger, &mut traffic, 250).await;
            ledger.seal(at(1)).await.unwrap();
            ingest(&ledger, &mut traffic, 20).await;
            drop(ledger);
            let failing = Failing { inner: place.blobs(), changes_left: AtomicUsize::new(died_after) };
            let ledger = place.open_with("b2", Arc::new(failing)).await.unwrap();
            let done = ledger.seal(at(2)).await.is_ok();
            drop(ledger);
            let ledger = place.open("b3").await;
            ingest(&ledger, &mut traffic, 7).await;
            ledger.seal(at(3)).await.unwrap();
            assert_sealed(&ledger).await;
            let left = place.blobs().list("traffic/tile/0/000.p").unwrap();
            assert_eq!(left, Vec::<String>::new(), "died after {died_after} changes");
            if done {
                assert!(died_after >= 8, "the seal has that many steps at least");
                break;
            }
        }
    }
}

const BYTES: &str = "UPDATE ledger_event SET bytes = (SELECT bytes FROM ledger_event WHERE log = 'traffic' AND leaf_index = 1) \
    WHERE log = 'traffic' AND leaf_index = 3";
const BYTES_AND_HASH: &str = "UPDATE ledger_event SET \
    bytes = (SELECT bytes FROM ledger_event WHERE log = 'traffic' AND leaf_index = 1), \
    leaf_hash = (SELECT leaf_hash FROM ledger_event WHERE log = 'traffic' AND leaf_index = 1) \
    WHERE log = 'traffic' AND leaf_index = 3";
const DELETED: &str = "DELETE FROM ledger_event WHERE log = 'traffic' AND leaf_index = 3";
const MOVED: &str = "UPDATE ledger_event SET leaf_index = 77 WHERE log = 'traffic' AND leaf_index = 3";
const SWAPPED: &str = "UPDATE ledger_event SET leaf_index = 7 - leaf_index + 1000 WHERE log = 'traffic' AND leaf_index IN (3, 4); \
    UPDATE ledger_event SET leaf_index = leaf_index - 1000 WHERE leaf_index > 1000";

#[tokio::test]
async fn what_was_appended_is_sealed_whatever_became_of_its_row() {
    for engine in ENGINES {
        for sql in [BYTES, BYTES_AND_HASH, DELETED, MOVED, SWAPPED] {
            let place = Place::new(engine);
            let ledger = place.open("b1").await;
            ingest(&ledger, &mut Traffic::new("g1"), 6).await;
            let appended = ledger.read(Log::Traffic, 0, 6).await.unwrap();
            tamper(&ledger, sql).await;
            ledger.seal(at(2)).await.unwrap();
            let sealed = ledger.tiles(Log::Traffic).entries(Entries { index: 0, width: 6 }).unwrap();
            assert!(sealed.iter().eq(appended.iter().map(|row| &row.bytes)), "{sql}");
        }
    }
}

/// After a restart nothing is remembered of what was appended: recorded hashes and the rows' form are what is left.
#[tokio::test]
async fn rows_of_an_earlier_start_are_held_against_their_hash_and_form() {
    let changes = [
        BYTES,
        BYTES_AND_HASH,
        DELETED,
        MOVED,
        "UPDATE ledger_event SET bytes = CAST('{}' AS BLOB), leaf_hash = x'00' WHERE log = 'traffic' AND leaf_index = 3",
        // The leaf hash of `{}`: consistent, and no event.
        "UPDATE ledger_event SET bytes = CAST('{}' AS BLOB), leaf_hash = x'28a3a18f6cd6406b086e9ffda1f9b8a13dbcf44b0f3f32cb9031a11fd053acf9' WHERE log = 'traffic' AND leaf_index = 3",
        "UPDATE ledger_event SET id = 'x' WHERE log = 'traffic' AND leaf_index = 3",
    ];
    for sql in changes {
        let place = Place::new(Engine::Sqlite);
        let ledger = place.open("b1").await;
        ingest(&ledger, &mut Traffic::new("g1"), 6).await;
        tamper(&ledger, sql).await;
        let ledger = place.open("b2").await;
        let refused = ledger.seal(at(2)).await;
        assert!(matches!(refused, Err(SealError::Row { log: Log::Traffic, index: 3, .. })), "{sql}: {refused:?}");
        assert!(ledger.checkpoint(Log::Traffic).await.unwrap().is_none());
        let evidence = ledger.checkpoint(Log::Evidence).await.unwrap();
        assert_eq!(evidence.unwrap().size, 1, "a damaged traffic log keeps nobody from sealing evidence");
    }
}

#[tokio::test]
async fn a_tile_that_holds_something_else_is_refused() {
    let place = Place::new(Engine::Sqlite);
    let ledger = place.open("b1").await;
    ingest(&ledger, &mut Traffic::new("g1"), 6).await;
    place.blobs().put("traffic/tile/0/000.p/6", b"forged").unwrap();
    let refused = ledger.seal(at(2)).await;
    assert!(matches!(&refused, Err(SealError::Tile { path, .. }) if path == "traffic/tile/0/000.p/6"), "{refused:?}");
}

#[tokio::test]
async fn other_keys_and_other_origins_are_refused() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let options = Options { origin: Some("bank.example/haris/".into()), ..place.options("b1").await };
        let ledger = Ledger::open(options, at(0)).await.unwrap();
        assert_eq!(ledger.origin(Log::Traffic), "bank.example/haris/traffic");
        ledger.seal(at(1)).await.unwrap();
        drop(ledger);
        // No origin in the config means the recorded one.
        assert_eq!(place.open("b2").await.origin(Log::Evidence), "bank.example/haris/evidence");
        let options = Options { origin: Some("other.example".into()), ..place.options("b3").await };
        assert!(matches!(Ledger::open(options, at(2)).await.err(), Some(OpenError::Origin { .. })));
        let others = Place::new(Engine::Sqlite);
        let options = Options { keys: others.key_dir(), ..place.options("b4").await };
        assert!(matches!(Ledger::open(options, at(2)).await.err(), Some(OpenError::Keys { .. })));
        for bad in ["", "https://bank.example", "bank example", "a+b"] {
            let options = Options { origin: Some(bad.into()), ..Place::new(Engine::Sqlite).options("b").await };
            assert!(matches!(Ledger::open(options, at(2)).await.err(), Some(OpenError::BadOrigin { .. })), "{bad}");
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_at_start() {
    for engine in ENGINES {
        let damage: [(&str, &'static str); 2] = [
            ("an older database", "DELETE FROM ledger_checkpoint WHERE log = 'traffic' AND size = 20"),
            ("fewer rows than sealed", "UPDATE ledger_log SET next_index = 15 WHERE log = 'traffic'"),
        ];
        for (what, sql) in damage {
            let (place, ledger) = sealed_twice(engine).await;
            tamper(&ledger, sql).await;
            drop(ledger);
            let refused = Ledger::open(place.options("b2").await, at(3)).await.err();
            assert!(matches!(refused, Some(OpenError::Damaged { log: Log::Traffic, .. })), "{what}: {refused:?}");
        }
        for path in ["tile/0/000.p/20", "tile/entries/000.p/20"] {
            let (place, ledger) = sealed_twice(engine).await;
            drop(ledger);
            let path = format!("traffic/{path}");
            let mut bytes = place.blobs().get(&path).unwrap().unwrap();
            bytes[40] ^= 1;
            place.blobs().put(&path, &bytes).unwrap();
            let refused = Ledger::open(place.options("b2").await, at(3)).await.err();
            assert!(matches!(refused, Some(OpenError::Read(_))), "{path}: {refused:?}");
        }
        let (place, ledger) = sealed_twice(engine).await;
        drop(ledger);
        place.blobs().delete("traffic/checkpoint").unwrap();
        assert_sealed(&place.open("b2").await).await;
    }
}

async fn sealed_twice(engine: Engine) -> (Place, Ledger) {
    let place = Place::new(engine);
    let ledger = place.open("b1").await;
    let mut traffic = Traffic::new("g1");
    for now in 1..3 {
        ingest(&ledger, &mut traffic, 10).await;
        ledger.seal(at(now)).await.unwrap();
    }
    (place, ledger)
}

#[tokio::test]
async fn traffic_is_anchored_when_it_grew_and_not_too_often() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let mut traffic = Traffic::new("g1");
        let anchors = async || {
            let rows = ledger.read(Log::Evidence, 0, 1000).await.unwrap();
            let events = rows.iter().map(|row| Event::parse(&row.bytes).unwrap());
            events.filter(|event| *event.kind == kind::TRAFFIC_ANCHORED).collect::<Vec<_>>()
        };
        ledger.seal(at(0)).await.unwrap();
        assert_eq!(anchors().await.len(), 0, "nothing to anchor");
        for (now, total) in [(1, 1), (100, 1), (301, 2), (302, 2)] {
            ingest(&ledger, &mut traffic, 3).await;
            ledger.seal(at(now)).await.unwrap();
            assert_eq!(anchors().await.len(), total, "at {now}");
        }
        ledger.seal_and_anchor(at(303)).await.unwrap();
        ledger.seal_and_anchor(at(304)).await.unwrap();
        let anchors = anchors().await;
        assert_eq!(anchors.len(), 3, "once more, for what changed");
        let checkpoint = ledger.checkpoint(Log::Traffic).await.unwrap().unwrap();
        assert_eq!(anchors[2].data["size"], checkpoint.size);
        assert_eq!(anchors[2].data["root"], haris_domain::Digest(checkpoint.root).to_string());
        assert_eq!(ledger.status().await.unwrap().anchored, Some((checkpoint.size, at(303))));
        assert_sealed(&ledger).await;
    }
}

/// Two servers on one PostgreSQL: both append, one seals, and either can take over.
#[tokio::test]
async fn two_servers_make_one_log() {
    let place = Place::new(Engine::Postgres);
    let (one, two) = (place.open("b1").await, place.open("b2").await);
    let mut sealed_elsewhere = 0;
    for round in 0..10 {
        one.append(vec![evidence(at(round))]).await.unwrap();
        two.append(vec![evidence(at(round)), evidence(at(round))]).await.unwrap();
        let (a, b) = tokio::join!(one.seal(at(round)), two.seal(at(round)));
        sealed_elsewhere += usize::from(a.unwrap().elsewhere) + usize::from(b.unwrap().elsewhere);
    }
    one.seal(at(99)).await.unwrap();
    two.seal(at(99)).await.unwrap();
    assert!(sealed_elsewhere <= 10);
    assert_sealed(&one).await;
    assert_sealed(&two).await;
    assert_no_gaps(&one).await;
}

#[tokio::test]
async fn the_sealer_runs_by_itself_and_ends_with_an_anchor() {
    let place = Place::new(Engine::Sqlite);
    let ledger = place.open("b1").await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let sealer = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.run_sealer(|| at(1), stopped).await }
    });
    ingest(&ledger, &mut Traffic::new("g1"), 5).await;
    while ledger.proof_state(Log::Traffic, 4).await.unwrap() == ProofState::Pending {
        tokio::task::yield_now().await;
    }
    ledger.append(vec![evidence(at(2))]).await.unwrap();
    stop.send(true).unwrap();
    sealer.await.unwrap();
    assert_sealed(&ledger).await;
    assert_eq!(ledger.status().await.unwrap().anchored, Some((5, at(1))));
}

/// Changes a counter of the failing store while it is in use: the seal fails, says why, and goes on when it can.
#[tokio::test]
async fn a_seal_that_failed_goes_on_in_the_same_process() {
    let place = Place::new(Engine::Sqlite);
    drop(place.open("b1").await);
    let failing = Arc::new(Failing { inner: place.blobs(), changes_left: AtomicUsize::new(2) });
    let ledger = place.open_with("b2", failing.clone()).await.unwrap();
    ingest(&ledger, &mut Traffic::new("g1"), 300).await;
    assert!(ledger.seal(at(1)).await.is_err());
    failing.changes_left.store(1000, Ordering::SeqCst);
    ledger.seal(at(2)).await.unwrap();
    assert_sealed(&ledger).await;
}

/// The bytes of a sealed log, for good: a tree of frozen leaves has this root, these tiles and these bundles.
#[tokio::test]
async fn golden_log() {
    let mut sealed = Vec::new();
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let mut records = Vec::new();
        for n in 1..=260_u64 {
            let mut draft = Draft::new(&kind::REQUEST_DECIDED, at(0), Actor::caller("c1"));
            let mut random = [7; 10];
            random[2..].copy_from_slice(&n.to_be_bytes());
            draft.id = EventId::new(at(0), random);
            let source = Source { node: "n".into(), boot: "b".into(), n };
            records.push(Record { leaf: draft.stamp(&source, &[]).unwrap(), payloads: Vec::new() });
        }
        ledger.ingest("s", &records, Position { segment: 1, offset: 1 }).await.unwrap();
        ledger.seal(at(1)).await.unwrap();
        let mut text = format!("{}\n", Digest(ledger.checkpoint(Log::Traffic).await.unwrap().unwrap().root));
        let blobs = place.blobs();
        for path in blobs.list("traffic/tile").unwrap() {
            let digest = digest(&SHA256, &blobs.get(&path).unwrap().unwrap());
            text.push_str(&format!("{path} {}\n", Digest(digest.as_ref().try_into().unwrap())));
        }
        sealed.push(text);
    }
    assert_eq!(sealed[0], sealed[1], "both engines give the same log");
    expect_test::expect![[r#"
        sha256:ca3ec83c49c61909c5739be7aaf1efb17a6058ed0562a6a385351b07fdf94662
        traffic/tile/0/000 sha256:96b24b2d16b8633668ce14bdc723cd423fefe638028dd223c4e55e6a6dc880ae
        traffic/tile/0/001.p/4 sha256:06f6ff6073adcf12b76fec13f162018de10fd61cf9f9d083500ddc91bac500f4
        traffic/tile/1/000.p/1 sha256:c80edef83dcb01b8ac14bce5811c04f4d91338258d2f77147f66a83462aa1562
        traffic/tile/entries/000 sha256:33bf5d206c0e82ade1ae3ffda8f3e9718f46afd7707ecd1b3d8d78531c062c44
        traffic/tile/entries/001.p/4 sha256:9bf8aaa4afbdafc9ed1f02d293e075aa02742d3939c152a93d97d9e673330328
    "#]]
    .assert_eq(&sealed[0]);
}
