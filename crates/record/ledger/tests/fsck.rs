//! Every kind of tampering in rows, tiles, bundles, checkpoints, packs and keys is caught, and named.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use haris_domain::Log;
use haris_ledger::{Fsck, Ledger};
use haris_spool::Position;
use haris_store::sqlx;
use haris_store::testing::ENGINES;
use haris_store::{Blobs, Engine};
use support::{Place, Traffic, at, evidence, tamper};

/// Entries of the traffic log: one full tile and a partial one.
const ENTRIES: u64 = 300;

struct Sealed {
    place: Place,
    ledger: Ledger,
}

/// A ledger with a full tile, payloads, several checkpoints and an anchor.
async fn sealed(engine: Engine) -> Sealed {
    let place = Place::new(engine);
    let ledger = place.open("b1").await;
    let mut traffic = Traffic::new("g1");
    for round in 0..3_u32 {
        let now = at(i64::from(round));
        let mut records: Vec<_> = (0..97).map(|_| traffic.plain(now)).collect();
        records.extend(traffic.asked(&ledger, now, "a question", "28463400123"));
        records.push(traffic.plain(now));
        ledger.ingest("s", &records, Position { segment: 1, offset: u64::from(round) + 1 }).await.unwrap();
        ledger.append(vec![evidence(now)]).await.unwrap();
        ledger.seal_and_anchor(now).await.unwrap();
    }
    assert_eq!(ledger.size(Log::Traffic).await.unwrap(), ENTRIES);
    Sealed { place, ledger }
}

impl Sealed {
    async fn fsck(&self) -> Fsck {
        self.ledger.fsck().await.unwrap()
    }

    /// Demands that something is found and that some problem says all of these words.
    #[track_caller]
    fn named(fsck: &Fsck, case: &str, words: &[&str]) {
        let said: Vec<String> = fsck.problems.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|said| words.iter().all(|word| said.contains(word))), "{case}: {words:?} in {said:#?}");
    }

    fn flip(&self, path: &str, byte: usize) {
        let blobs = self.place.blobs();
        let mut bytes = blobs.get(path).unwrap().unwrap();
        bytes[byte] ^= 1;
        blobs.put(path, &bytes).unwrap();
    }

    async fn set_bytes(&self, index: i64, bytes: &[u8]) {
        let mut tx = self.ledger.store().begin().await.unwrap();
        sqlx::query("UPDATE ledger_event SET bytes = $1 WHERE log = 'traffic' AND leaf_index = $2")
            .bind(bytes.to_vec())
            .bind(index)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_sound_ledger_is_clean() {
    for engine in ENGINES {
        let ledger = sealed(engine).await;
        let fsck = ledger.fsck().await;
        assert_eq!(fsck.problems, []);
        let sizes: Vec<_> = fsck.logs.iter().map(|log| (log.size, log.sealed)).collect();
        assert_eq!(sizes, [(7, 7), (300, 300)]);
        assert!(fsck.logs.iter().all(|log| log.checkpoints >= 3 && log.findings.gaps.is_empty()), "{:?}", fsck.logs);
        assert_eq!(fsck.payload_keys, 3 * 4);
        // Rows that nobody sealed yet are checked too.
        ledger.ledger.append(vec![evidence(at(9))]).await.unwrap();
        let fsck = ledger.fsck().await;
        assert!(fsck.is_clean() && fsck.logs[0].size == 8 && fsck.logs[0].sealed == 7, "{fsck:?}");
    }
}

#[tokio::test]
async fn an_empty_ledger_is_clean() {
    let place = Place::new(Engine::Sqlite);
    assert_eq!(place.open("b1").await.fsck().await.unwrap().problems, []);
}

#[tokio::test]
async fn changed_rows_are_named() {
    for engine in ENGINES {
        let cases: [(&str, &[&str]); 9] = [
            (
                "UPDATE ledger_event SET bytes = (SELECT bytes FROM ledger_event WHERE log = 'traffic' AND leaf_index = 3) \
                 WHERE log = 'traffic' AND leaf_index = 5",
                &["entry 5 of the traffic log", "bytes of its row", "differ at byte"],
            ),
            (
                "UPDATE ledger_event SET leaf_hash = (SELECT leaf_hash FROM ledger_event WHERE log = 'traffic' AND leaf_index = 3) \
                 WHERE log = 'traffic' AND leaf_index = 270",
                &["entry 270 of the traffic log", "the hash in its row"],
            ),
            (
                "UPDATE ledger_event SET id = '019ab3c1-5c4e-7d2a-9f00-3f6f0a4b1c22' WHERE log = 'traffic' AND leaf_index = 7",
                &["entry 7 of the traffic log", "the id in its row"],
            ),
            (
                "DELETE FROM ledger_event WHERE log = 'traffic' AND leaf_index = 255",
                &["entry 255 of the traffic log", "missing"],
            ),
            (
                "DELETE FROM ledger_event WHERE log = 'evidence' AND leaf_index = 6",
                &["entry 6 of the evidence log", "missing"],
            ),
            (
                "UPDATE ledger_event SET leaf_index = 1000 WHERE log = 'traffic' AND leaf_index = 299",
                &["entry 1000 of the traffic log", "outside what the counter allows"],
            ),
            ("UPDATE ledger_log SET next_index = 290 WHERE log = 'traffic'", &["the traffic log", "counter", "290"]),
            (
                "DELETE FROM ledger_checkpoint WHERE log = 'traffic' AND size = 300",
                &["the traffic log", "entry 6 of the evidence log"],
            ),
            (
                "UPDATE ledger_checkpoint SET root = (SELECT root FROM ledger_checkpoint WHERE log = 'traffic' AND size = 100) \
                 WHERE log = 'traffic' AND size = 200",
                &["the traffic log", "checkpoint of 200 entries", "its note says something else"],
            ),
        ];
        for (sql, words) in cases {
            let ledger = sealed(engine).await;
            tamper(&ledger.ledger, sql).await;
            Sealed::named(&ledger.fsck().await, sql, words);
        }
    }
}

/// Two rows changed places, with their hashes and ids: each is well-formed in itself.
#[tokio::test]
async fn swapped_and_forged_rows_are_named() {
    let ledger = sealed(Engine::Sqlite).await;
    for sql in [
        "UPDATE ledger_event SET leaf_index = 5000 WHERE log = 'traffic' AND leaf_index = 10",
        "UPDATE ledger_event SET leaf_index = 10 WHERE log = 'traffic' AND leaf_index = 20",
        "UPDATE ledger_event SET leaf_index = 20 WHERE log = 'traffic' AND leaf_index = 5000",
    ] {
        tamper(&ledger.ledger, sql).await;
    }
    let fsck = ledger.fsck().await;
    assert_eq!(fsck.problems[0].index, Some(10), "the first wrong entry comes first");
    Sealed::named(&fsck, "swapped", &["entry 10 of the traffic log", "bytes of its row"]);
    Sealed::named(&fsck, "swapped", &["entry 20 of the traffic log", "bytes of its row"]);

    let ledger = sealed(Engine::Sqlite).await;
    let row = ledger.ledger.read(Log::Traffic, 40, 41).await.unwrap().remove(0);
    let forged = String::from_utf8(row.bytes).unwrap().replace("allow", "block");
    let byte = forged.find("block").unwrap();
    ledger.set_bytes(40, forged.as_bytes()).await;
    Sealed::named(&ledger.fsck().await, "forged", &["entry 40 of the traffic log", &format!("differ at byte {byte}")]);
}

/// The forger takes care of everything but the signature.
#[tokio::test]
async fn a_forged_history_does_not_fit_its_checkpoints() {
    let ledger = sealed(Engine::Sqlite).await;
    let row = ledger.ledger.read(Log::Traffic, 299, 300).await.unwrap().remove(0);
    let forged = String::from_utf8(row.bytes.clone()).unwrap().replace("allow", "block").into_bytes();
    let hash = haris_merkle::leaf_hash(&forged);
    let mut tx = ledger.ledger.store().begin().await.unwrap();
    sqlx::query("UPDATE ledger_event SET bytes = $1, leaf_hash = $2 WHERE log = 'traffic' AND leaf_index = 299")
        .bind(forged.clone())
        .bind(hash.to_vec())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let blobs = ledger.place.blobs();
    let change = |path: &str, from: &[u8], to: &[u8]| {
        let mut bytes = blobs.get(path).unwrap().unwrap();
        let start = bytes.len() - from.len();
        assert_eq!(&bytes[start..], from);
        bytes[start..].copy_from_slice(to);
        blobs.put(path, &bytes).unwrap();
    };
    change("traffic/tile/entries/001.p/44", &row.bytes, &forged);
    change("traffic/tile/0/001.p/44", &row.leaf_hash, &hash);
    let fsck = ledger.fsck().await;
    Sealed::named(&fsck, "forged", &["checkpoint of 300 entries", "not the root of the entries"]);
    Sealed::named(&fsck, "forged", &["entry 6 of the evidence log names another root for 300 entries"]);
}

#[tokio::test]
async fn changed_tiles_and_bundles_are_named() {
    let cases: [(&str, usize, &[&str]); 6] = [
        (
            "traffic/tile/0/000",
            33,
            &["entry 1 of the traffic log", "`traffic/tile/0/000`", "not the hash of the entry"],
        ),
        ("traffic/tile/0/001.p/44", 0, &["entry 256 of the traffic log", "`traffic/tile/0/001.p/44`"]),
        ("traffic/tile/1/000.p/1", 0, &["entry 0 of the traffic log", "`traffic/tile/1/000.p/1`", "at byte 0"]),
        (
            "traffic/tile/entries/000",
            60,
            &["entry 0 of the traffic log", "`traffic/tile/entries/000`", "differ at byte 58"],
        ),
        ("traffic/tile/entries/001.p/44", 60, &["entry 256 of the traffic log", "`traffic/tile/entries/001.p/44`"]),
        ("evidence/tile/entries/000.p/5", 60, &["`evidence/tile/entries/000.p/5`", "not a prefix"]),
    ];
    for (path, byte, words) in cases {
        let ledger = sealed(Engine::Sqlite).await;
        ledger.flip(path, byte);
        Sealed::named(&ledger.fsck().await, path, words);
    }
    for path in [
        "traffic/tile/0/000",
        "traffic/tile/0/001.p/44",
        "traffic/tile/1/000.p/1",
        "traffic/tile/entries/000",
        "evidence/checkpoint",
    ] {
        let ledger = sealed(Engine::Sqlite).await;
        let blobs = ledger.place.blobs();
        let bytes = blobs.get(path).unwrap().unwrap();
        blobs.put(path, &bytes[..bytes.len() - 1]).unwrap();
        let name = path.split_once('/').unwrap().1;
        Sealed::named(&ledger.fsck().await, &format!("{path} cut"), &[name]);
        blobs.delete(path).unwrap();
        Sealed::named(&ledger.fsck().await, &format!("{path} deleted"), &[name, "missing"]);
    }
}

#[tokio::test]
async fn changed_and_replayed_checkpoints_are_named() {
    let ledger = sealed(Engine::Sqlite).await;
    ledger.flip("traffic/checkpoint", 90);
    Sealed::named(&ledger.fsck().await, "flip", &["the traffic log", "`checkpoint`", "byte 90"]);
    // An older one, which was true once: a reader would be shown a shorter log.
    let ledger = sealed(Engine::Sqlite).await;
    let old = ledger.ledger.checkpoint_covering(Log::Traffic, 50).await.unwrap().unwrap();
    ledger.place.blobs().put("traffic/checkpoint", old.note.as_bytes()).unwrap();
    Sealed::named(&ledger.fsck().await, "replay", &["the traffic log", "`checkpoint`", "100 entries"]);
    // A note by another key.
    let ledger = sealed(Engine::Sqlite).await;
    tamper(
        &ledger.ledger,
        "UPDATE ledger_checkpoint SET note = replace(note, 'evidence', 'evidense') WHERE log = 'evidence' AND size = 3",
    )
    .await;
    Sealed::named(&ledger.fsck().await, "origin", &["the evidence log", "checkpoint of 3 entries"]);
    let ledger = sealed(Engine::Sqlite).await;
    tamper(&ledger.ledger, "UPDATE ledger_checkpoint SET at = at + 5000000 WHERE log = 'evidence' AND size = 3").await;
    Sealed::named(&ledger.fsck().await, "time", &["checkpoint of 3 entries", "another time"]);
}

#[tokio::test]
async fn lost_packs_and_changed_keys_are_named() {
    let ledger = sealed(Engine::Sqlite).await;
    let pack = ledger.place.blobs().list("payloads").unwrap().remove(0);
    ledger.place.blobs().delete(&pack).unwrap();
    Sealed::named(&ledger.fsck().await, "pack", &[&format!("pack `{pack}`"), "missing"]);
    tamper(
        &ledger.ledger,
        "UPDATE ledger_day_key SET wrapped = (SELECT wrapped FROM ledger_day_key ORDER BY day DESC LIMIT 1)",
    )
    .await;
    Sealed::named(&ledger.fsck().await, "key", &["day key `day:2026-11-24"]);
}

/// Two starts of a process, the first of which never said that it stopped, and numbers that are not there.
#[tokio::test]
async fn what_is_missing_from_the_sources_is_listed() {
    let place = Place::new(Engine::Sqlite);
    let ledger = place.open("b1").await;
    let mut traffic = Traffic::new("g1");
    let mut records: Vec<_> = (0..10).map(|second| traffic.plain(at(second))).collect();
    records.remove(4);
    ledger.ingest("s", &records, Position { segment: 1, offset: 1 }).await.unwrap();
    ledger.seal_and_anchor(at(20)).await.unwrap();
    let fsck = ledger.fsck().await.unwrap();
    assert!(fsck.is_clean(), "{:?}", fsck.problems);
    let gap = &fsck.logs[1].findings.gaps[0];
    assert_eq!((gap.boot.as_str(), gap.from, gap.to), ("g1", 5, 6));
}
