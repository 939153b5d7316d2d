//! Damage to payloads, keys and search terms, and to what keeps a ledger from opening: named by the process that has the
//! ledger open and by one that only looks, on both engines; and whoever looks changes nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haris_domain::{Actor, Log};
use haris_keys::KeyDir;
use haris_ledger::{Erase, EraseBy, EraseError, Fsck, Ledger, OpenError};
use haris_spool::Position;
use haris_store::testing::ENGINES;
use haris_store::{Blobs, Engine};
use support::{Place, Traffic, at, evidence, tamper};

const QID: &str = "28463400123";

struct Scene {
    place: Place,
    ledger: Ledger,
}

impl Scene {
    /// Two interactions at entries 0 and 1, 5 and 6 of the traffic log, each in a pack of its own.
    async fn new(engine: Engine) -> Self {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let mut traffic = Traffic::new("g1");
        for round in 0..2_u32 {
            let now = at(i64::from(round));
            let mut records = traffic.asked(&ledger, now, "a question", QID).to_vec();
            records.extend((0..3).map(|_| traffic.plain(now)));
            ledger.ingest("s", &records, Position { segment: 1, offset: u64::from(round) + 1 }).await.unwrap();
            ledger.append(vec![evidence(now)]).await.unwrap();
            ledger.seal_and_anchor(now).await.unwrap();
        }
        Self { place, ledger }
    }

    async fn looking(&self) -> Ledger {
        looking(&self.place).await.unwrap()
    }

    /// Demands that both find it, and that some problem says all of these words.
    async fn named(&self, case: &str, words: &[&str]) {
        let looked = self.looking().await;
        for (who, fsck) in [("online", self.ledger.fsck().await), ("offline", looked.fsck().await)] {
            named(&format!("{who}: {case}"), &fsck.unwrap(), words);
        }
        looked.store().close().await;
    }
}

async fn looking(place: &Place) -> Result<Ledger, OpenError> {
    let keys = Arc::new(KeyDir::open(&place.keys.path().join("keys")).unwrap());
    Ledger::open_reading(place.scratch.open_reading().await.unwrap(), keys).await
}

#[track_caller]
fn named(case: &str, fsck: &Fsck, words: &[&str]) {
    let said: Vec<String> = fsck.problems.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| words.iter().all(|word| said.contains(word))), "{case}: {words:?} in {said:#?}");
}

#[tokio::test]
async fn a_sound_ledger_is_clean_for_whoever_looks() {
    for engine in ENGINES {
        let scene = Scene::new(engine).await;
        let looked = scene.looking().await;
        for ledger in [&scene.ledger, &looked] {
            let fsck = ledger.fsck().await.unwrap();
            assert_eq!(fsck.problems, []);
            let payloads = fsck.payloads;
            assert_eq!((payloads.opened, payloads.not_stored, payloads.erased, payloads.unreadable), (6, 2, 0, 0));
            assert_eq!((payloads.terms_checked, payloads.terms_unchecked, fsck.payload_keys), (2, 0, 8));
            let progress = ledger.fsck_progress();
            assert_eq!((progress.entries, progress.payloads), (progress.of, 6));
        }
        looked.append(vec![evidence(at(9))]).await.unwrap_err();
    }
}

#[tokio::test]
async fn changed_keys_and_terms_are_named() {
    let cases: [(&str, &[&str]); 17] = [
        (
            "DELETE FROM ledger_payload_key WHERE name = 'request' \
             AND event_id = (SELECT id FROM ledger_event WHERE log = 'traffic' AND leaf_index = 5)",
            &["entry 5 of the traffic log", "the key of payload `request`", "no sealed erasure"],
        ),
        (
            "DELETE FROM ledger_payload_key WHERE name = 'raw' \
             AND event_id = (SELECT id FROM ledger_event WHERE log = 'traffic' AND leaf_index = 1)",
            &["entry 1 of the traffic log", "the key of payload `raw`", "no sealed erasure"],
        ),
        (
            "UPDATE ledger_payload_key SET wrapped = (SELECT wrapped FROM ledger_payload_key WHERE name = 'request' \
             ORDER BY event_id LIMIT 1) WHERE name = 'response'",
            &["entry 1 of the traffic log", "the key of payload `response`", "does not open"],
        ),
        (
            "UPDATE ledger_payload_key SET pack_offset = pack_offset + 1 WHERE name = 'request'",
            &["entry 0 of the traffic log", "of pack `payloads/", "does not open"],
        ),
        (
            "UPDATE ledger_payload_key SET pack_length = 4611686018427387904 WHERE name = 'request'",
            &["entry 0 of the traffic log", "the key of payload `request`", "4611686018427387904 bytes are stored"],
        ),
        (
            "UPDATE ledger_payload_key SET pack = '../../etc/passwd' WHERE name = 'request'",
            &["entry 0 of the traffic log", "the key of payload `request`", "no place"],
        ),
        (
            "UPDATE ledger_payload_key SET interaction = 'none' WHERE name = 'response'",
            &["entry 1 of the traffic log", "the key of payload `response`", "an erasure would miss it"],
        ),
        (
            "DELETE FROM ledger_search_term \
             WHERE event_id = (SELECT id FROM ledger_event WHERE log = 'traffic' AND leaf_index = 5)",
            &["entry 5 of the traffic log", "its search terms", "1 of 1 are missing"],
        ),
        (
            "INSERT INTO ledger_search_term (term, event_id) \
             SELECT leaf_hash, id FROM ledger_event WHERE log = 'traffic' AND leaf_index = 5",
            &["entry 5 of the traffic log", "its search terms", "that its identifiers do not give"],
        ),
        (
            "INSERT INTO ledger_search_term (term, event_id) \
             SELECT leaf_hash, id FROM ledger_event WHERE log = 'traffic' AND leaf_index = 3",
            &["search terms of event", "no identifiers on record explain them"],
        ),
        (
            "INSERT INTO ledger_payload_key SELECT e.id, k.name, k.interaction, k.at, k.wrapped, k.pack, k.pack_offset, \
             k.pack_length FROM ledger_payload_key k, ledger_event e \
             WHERE e.log = 'traffic' AND e.leaf_index = 3 AND k.name = 'raw' ORDER BY k.event_id LIMIT 1",
            &["entry 3 of the traffic log", "its event commits to no such payload"],
        ),
        (
            "INSERT INTO ledger_payload_key SELECT 'nobody', name, interaction, at, wrapped, pack, pack_offset, \
             pack_length FROM ledger_payload_key WHERE name = 'raw' ORDER BY event_id LIMIT 1",
            &["the key of payload `raw`", "nobody", "not on record"],
        ),
        (
            "DELETE FROM ledger_day_key WHERE day = '2026-11-24'",
            &["entry 0 of the traffic log", "day key `day:2026-11-24"],
        ),
        ("DELETE FROM ledger_index_key", &["index key `2026-11`", "missing"]),
        (
            "UPDATE ledger_index_key SET wrapped = (SELECT wrapped FROM ledger_day_key ORDER BY day LIMIT 1)",
            &["index key `2026-11`", "does not open"],
        ),
        (
            "UPDATE ledger_log SET origin = 'elsewhere.example' WHERE log = 'traffic'",
            &["the traffic log", "its origin"],
        ),
        ("UPDATE ledger_log SET verifier_keys = 'x' WHERE log = 'evidence'", &["the evidence log", "its keys"]),
    ];
    for engine in ENGINES {
        for (sql, words) in cases {
            let scene = Scene::new(engine).await;
            tamper(&scene.ledger, sql).await;
            scene.named(sql, words).await;
        }
    }
}

/// Sizes that nobody could walk through, and rows that say nothing: the check ends, and says so.
#[tokio::test]
async fn forged_counters_end_the_check() {
    let cases: [(&str, &[&str]); 5] = [
        ("UPDATE ledger_log SET next_index = 1000000000000 WHERE log = 'traffic'", &["what follows", "1000000000000"]),
        (
            "INSERT INTO ledger_checkpoint SELECT log, 1000000000000, root, at, note FROM ledger_checkpoint \
             WHERE log = 'traffic' AND size = 10",
            &["the traffic log", "what follows", "1000000000000"],
        ),
        ("DELETE FROM ledger_log WHERE log = 'traffic'", &["the traffic log", "its row in `ledger_log`", "missing"]),
        ("UPDATE ledger_log SET next_index = -5 WHERE log = 'traffic'", &["the traffic log", "its counter"]),
        ("DELETE FROM ledger_event WHERE log = 'traffic'", &["entry 0 of the traffic log", "its row", "missing"]),
    ];
    for engine in ENGINES {
        for (sql, words) in cases {
            let scene = Scene::new(engine).await;
            tamper(&scene.ledger, sql).await;
            scene.named(sql, words).await;
        }
    }
}

/// SQLite keeps whatever it is given in a column.
#[tokio::test]
async fn values_of_another_type_are_named() {
    let cases: [(&str, &[&str]); 4] = [
        (
            "UPDATE ledger_checkpoint SET root = x'00' WHERE log = 'traffic' AND size = 10",
            &["the traffic log", "the checkpoint of 10 entries", "not 32"],
        ),
        (
            "UPDATE ledger_payload_key SET wrapped = 'text' WHERE name = 'request'",
            &["entry 0", "in `ledger_payload_key`"],
        ),
        ("UPDATE ledger_event SET bytes = 7 WHERE log = 'traffic' AND leaf_index = 5", &["entry 5 of the traffic log"]),
        ("UPDATE ledger_day_key SET wrapped = 'text' WHERE day = '2026-11-24'", &["day key `day:2026-11-24"]),
    ];
    for (sql, words) in cases {
        let scene = Scene::new(Engine::Sqlite).await;
        tamper(&scene.ledger, sql).await;
        scene.named(sql, words).await;
    }
}

#[tokio::test]
async fn changed_packs_are_named() {
    for engine in ENGINES {
        let scene = Scene::new(engine).await;
        let blobs = scene.place.blobs();
        let packs = blobs.list("payloads").unwrap();
        let sound: Vec<_> = packs.iter().map(|pack| blobs.get(pack).unwrap().unwrap()).collect();
        // Every byte belongs to some payload.
        for at in (0..sound[0].len()).step_by(23).chain([sound[0].len() - 1]) {
            let mut flipped = sound[0].clone();
            flipped[at] ^= 1;
            blobs.put(&packs[0], &flipped).unwrap();
            scene
                .named(&format!("byte {at} flipped"), &["of the traffic log", &format!("of pack `{}`", packs[0])])
                .await;
        }
        blobs.put(&packs[0], &sound[0][..sound[0].len() - 1]).unwrap();
        scene.named("cut", &["entry 1 of the traffic log", &format!("pack `{}`", packs[0]), "ends early"]).await;
        blobs.put(&packs[0], &sound[1]).unwrap();
        scene.named("exchanged", &["entry 0 of the traffic log", &format!("pack `{}`", packs[0])]).await;
        blobs.delete(&packs[0]).unwrap();
        scene.named("deleted", &["entry 0 of the traffic log", &format!("pack `{}`", packs[0]), "missing"]).await;
        blobs.put(&packs[0], &sound[0]).unwrap();
        assert!(scene.ledger.fsck().await.unwrap().is_clean());
    }
}

fn erase(by: EraseBy) -> Erase {
    Erase { by, reason: "asked".into(), legal_basis: "law".into(), actor: Actor::local(0) }
}

#[tokio::test]
async fn a_sealed_erasure_explains_what_is_gone_and_nothing_else_does() {
    for engine in ENGINES {
        let scene = Scene::new(engine).await;
        let ledger = &scene.ledger;
        tamper(ledger, "CREATE TABLE kept AS SELECT * FROM ledger_payload_key").await;
        let row = ledger.read(Log::Traffic, 0, 1).await.unwrap().remove(0);
        ledger.erase(erase(EraseBy::Event(row.id.parse().unwrap())), &[], at(20)).await.unwrap();
        let looked = scene.looking().await;
        for ledger in [ledger, &looked] {
            let fsck = ledger.fsck().await.unwrap();
            assert_eq!(fsck.problems, []);
            assert_eq!((fsck.payloads.erased, fsck.payloads.unreadable, fsck.payloads.terms_checked), (4, 0, 1));
        }
        // Another event's key is not explained by it.
        tamper(
            ledger,
            "DELETE FROM ledger_payload_key \
             WHERE event_id = (SELECT id FROM ledger_event WHERE log = 'traffic' AND leaf_index = 6)",
        )
        .await;
        scene.named("another's", &["entry 6 of the traffic log", "no sealed erasure"]).await;
        // An older database put back brings keys along that were destroyed.
        tamper(ledger, "DELETE FROM ledger_payload_key").await;
        tamper(ledger, "INSERT INTO ledger_payload_key SELECT * FROM kept").await;
        scene
            .named("put back", &["entry 0 of the traffic log", "its erasure is on record, and the key is still there"])
            .await;
    }
}

#[tokio::test]
async fn what_is_not_there_yet_is_not_erased() {
    let scene = Scene::new(Engine::Sqlite).await;
    let later = erase(EraseBy::Before(at(3_600)));
    let refused = scene.ledger.erase(later, &[], at(20)).await.unwrap_err();
    assert!(matches!(refused, EraseError::Future { .. }), "{refused}");
    assert!(refused.to_string().contains("2026-11-24T08:00:00"), "{refused}");
    assert_eq!(scene.ledger.fsck().await.unwrap().payloads.erased, 0);
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

/// What a start refuses, and what a start would mend without a word.
#[tokio::test]
async fn a_ledger_that_does_not_open_is_looked_at_and_left_as_it_is() {
    let other: &'static [u8] = b"another note altogether\n";
    for engine in ENGINES {
        let scene = Scene::new(engine).await;
        scene.ledger.store().close().await;
        let Scene { place, .. } = scene;
        let blobs = place.blobs();
        type Case = (&'static str, Option<&'static [u8]>, &'static [&'static str]);
        let cases: [Case; 5] = [
            ("traffic/tile/0/000.p/10", None, &["entry 0 of the traffic log", "missing"]),
            ("traffic/tile/entries/000.p/10", None, &["entry 0 of the traffic log", "missing"]),
            ("traffic/tile/entries/000.p/10", Some(other), &["entry 0 of the traffic log", "tile/entries/000.p/10"]),
            ("traffic/checkpoint", Some(other), &["the traffic log", "`checkpoint`"]),
            ("evidence/checkpoint", None, &["the evidence log", "`checkpoint`", "missing"]),
        ];
        for (path, bytes, words) in cases {
            let sound = blobs.get(path).unwrap().unwrap();
            match bytes {
                Some(bytes) => blobs.put(path, bytes).unwrap(),
                None => blobs.delete(path).unwrap(),
            }
            let before = files(place.scratch.path());
            let ledger = looking(&place).await.unwrap();
            named(path, &ledger.fsck().await.unwrap(), words);
            ledger.store().close().await;
            assert_eq!(files(place.scratch.path()), before, "{path}");
            blobs.put(path, &sound).unwrap();
        }
        let ledger = looking(&place).await.unwrap();
        assert!(ledger.fsck().await.unwrap().is_clean());
    }
}

/// The write-ahead log of a process that was killed is read along, and stays.
#[tokio::test]
async fn a_database_that_was_not_closed_is_read_with_its_log() {
    let scene = Scene::new(Engine::Sqlite).await;
    let copy = Place::new(Engine::Sqlite);
    for (path, bytes) in files(scene.place.scratch.path()) {
        let to = copy.scratch.path().join(path.strip_prefix(scene.place.scratch.path()).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    let logged = || std::fs::read(copy.scratch.path().join("haris.db-wal")).unwrap();
    let before = logged();
    assert!(!before.is_empty());
    let keys = Arc::new(KeyDir::open(&scene.place.keys.path().join("keys")).unwrap());
    let ledger = Ledger::open_reading(copy.scratch.open_reading().await.unwrap(), keys).await.unwrap();
    let fsck = ledger.fsck().await.unwrap();
    assert!(fsck.is_clean() && fsck.logs[1].size == 10, "{fsck:?}");
    ledger.store().close().await;
    assert_eq!(logged(), before);
}

#[tokio::test]
async fn another_ledgers_keys_are_refused_and_an_empty_place_is_said_to_be() {
    let (scene, other) = (Scene::new(Engine::Sqlite).await, Place::new(Engine::Sqlite));
    other.open("b1").await;
    let keys = Arc::new(KeyDir::open(&other.keys.path().join("keys")).unwrap());
    let refused = Ledger::open_reading(scene.place.scratch.open_reading().await.unwrap(), keys).await.err().unwrap();
    assert!(matches!(refused, OpenError::Keys { .. }), "{refused}");
    let nothing = haris_store::testing::Scratch::new(Engine::Sqlite);
    assert!(nothing.open_reading().await.is_err());
    assert_eq!(files(nothing.path()), BTreeMap::new(), "whoever looks makes nothing");
}

/// A page of SQLite's file that was wiped: what lay in it is named.
#[tokio::test]
async fn a_wiped_page_of_the_database_is_named() {
    let scene = Scene::new(Engine::Sqlite).await;
    let row = scene.ledger.read(Log::Traffic, 7, 8).await.unwrap().remove(0);
    scene.ledger.store().close().await;
    let path = scene.place.scratch.path().join("haris.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let found = bytes.windows(row.bytes.len()).position(|window| window == row.bytes).unwrap();
    let page = found / 4096 * 4096;
    bytes[page..page + 4096].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let ledger = looking(&scene.place).await.unwrap();
    named("wiped", &ledger.fsck().await.unwrap(), &["entry 7 of the traffic log", "its row"]);
}
