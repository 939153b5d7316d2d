//! What appending costs beside the bare rows, and how fast a proof is found.
//!
//! `cargo bench -p haris-ledger` prints, for SQLite and PostgreSQL: `append` in batches of 1,000 beside bare multi-row
//! inserts of the same rows into a table of the same shape, taken in turns; the same with a fold; sealing; and an
//! inclusion proof from a log of 10 million entries, whose tiles are made up for it.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints what it measured")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use haris_domain::{Actor, Draft, Log, Source, Timestamp, kind};
use haris_keys::KeyDir;
use haris_ledger::{Folded, Ledger, Options, Projection};
use haris_merkle::{Frontier, leaf_hash, tree};
use haris_spool::{Position, Record};
use haris_store::testing::{ENGINES, Scratch};
use haris_store::{Blobs, Engine, Folder, Store, Tx, Value, insert, sqlx};

const BATCH: usize = 1_000;
const ROUNDS: usize = 60;
const PROOF_LOG: u64 = 10_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for engine in ENGINES {
            beside_bare_rows(engine, false).await;
            beside_bare_rows(engine, true).await;
        }
    });
    proofs();
}

fn now() -> Timestamp {
    "2026-11-24T07:00:00Z".parse().unwrap()
}

/// Events of about 500 bytes.
fn records(from: u64) -> Vec<Record> {
    let stamp = |n: u64| {
        let draft = Draft::new(&kind::REQUEST_DECIDED, now(), Actor::caller("c1"))
            .with("verdict", "allow")
            .with("model", "practice/teller")
            .with("padding", "x".repeat(180));
        let source = Source { node: "bench".into(), boot: "b1".into(), n };
        Record { leaf: draft.stamp(&source, &[]).unwrap(), payloads: Vec::new() }
    };
    (from + 1..=from + BATCH as u64).map(stamp).collect()
}

async fn open(scratch: &Scratch, keys: &std::path::Path, fold: bool) -> (Store, Ledger) {
    let store = scratch.open().await.unwrap();
    let options = Options {
        store: store.clone(),
        keys: Arc::new(KeyDir::open_or_create(keys).unwrap()),
        node: "bench".into(),
        boot: "b0".into(),
        projections: if fold { vec![Box::new(Kinds)] } else { Vec::new() },
        origin: None,
    };
    (store, Ledger::open(options, now()).await.unwrap())
}

async fn beside_bare_rows(engine: Engine, fold: bool) {
    let scratch = Scratch::new(engine);
    let keys = scratch.path().join("keys");
    let (store, ledger) = open(&scratch, &keys, fold).await;
    let mut tx = store.begin().await.unwrap();
    let table = "CREATE TABLE bare (log TEXT NOT NULL, leaf_index INTEGER NOT NULL, id TEXT NOT NULL UNIQUE, \
        leaf_hash BLOB NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (log, leaf_index))";
    sqlx::raw_sql(sqlx::AssertSqlSafe(engine.ddl(table))).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();

    let (mut appending, mut inserting) = (Duration::ZERO, Duration::ZERO);
    let mut bytes = 0;
    for round in 0..ROUNDS {
        let from = (round * BATCH) as u64;
        let batch = records(from);
        let rows: Vec<[Value; 5]> = batch.iter().zip(from..).map(row).collect();
        bytes += batch.iter().map(|record| record.leaf.bytes.len()).sum::<usize>();
        let append = async {
            let start = Instant::now();
            let position = Position { segment: 1, offset: from + 1 };
            assert_eq!(ledger.ingest("bench", &batch, position).await.unwrap(), BATCH);
            start.elapsed()
        };
        let bare = async {
            let start = Instant::now();
            let mut tx = store.begin().await.unwrap();
            insert(&mut tx, "bare", ["log", "leaf_index", "id", "leaf_hash", "bytes"], rows, "").await.unwrap();
            tx.commit().await.unwrap();
            start.elapsed()
        };
        // In turns, and each first as often as the other: caches and checkpoints favour neither.
        let (a, b) = if round % 2 == 0 {
            let a = append.await;
            (a, bare.await)
        } else {
            let b = bare.await;
            (append.await, b)
        };
        appending += a;
        inserting += b;
    }
    let rate = |time: Duration| (ROUNDS * BATCH) as f64 / time.as_secs_f64();
    let fold = if fold { "one fold" } else { "folds off" };
    println!(
        "{}: {fold}, {} B events in batches of {BATCH}: append {:.0}/s, bare rows {:.0}/s, ratio {:.2}",
        engine.name(),
        bytes / (ROUNDS * BATCH),
        rate(appending),
        rate(inserting),
        inserting.as_secs_f64() / appending.as_secs_f64(),
    );
    let start = Instant::now();
    ledger.seal(now()).await.unwrap();
    println!("{}: sealing {:.0} entries/s", engine.name(), rate(start.elapsed()));
}

fn row((record, index): (&Record, u64)) -> [Value; 5] {
    [
        Log::Traffic.name().into(),
        i64::try_from(index).unwrap().into(),
        record.leaf.id.to_string().into(),
        leaf_hash(&record.leaf.bytes).to_vec().into(),
        record.leaf.bytes.clone().into(),
    ]
}

/// A fold that writes one row per event.
struct Kinds;

#[async_trait]
impl Projection for Kinds {
    fn name(&self) -> &'static str {
        "bench.kinds"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["bench_kind"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS bench_kind (id TEXT PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL)"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        let mut rows: Vec<[Value; 3]> = Vec::new();
        for Folded { event, .. } in events {
            rows.push([event.id.to_string().into(), event.kind.name.into(), event.at.micros().into()]);
        }
        insert(tx, "bench_kind", ["id", "kind", "at"], rows, "").await.map(|_| ())
    }
}

fn proofs() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Folder::open(folder.path()).unwrap();
    let mut frontier = Frontier::new();
    let mut tiles = Vec::new();
    for n in 0..PROOF_LOG {
        frontier.push(leaf_hash(&n.to_be_bytes()), |tile, bytes| tiles.push((tile, bytes)));
    }
    tiles.extend(frontier.partials());
    // Without the syncs of a real seal, which are not what is measured.
    for (tile, bytes) in tiles {
        let path = folder.path().join(tile.path());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    struct Tiles(Folder);
    impl tree::ReadTiles for Tiles {
        type Error = haris_store::BlobError;
        fn read(&self, tile: haris_merkle::Tile) -> Result<Option<Vec<u8>>, Self::Error> {
            self.0.get(&tile.path())
        }
    }
    let tiles = Tiles(blobs);
    let mut times: Vec<Duration> = (0..2_000_u64)
        .map(|round| {
            let index = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % PROOF_LOG;
            let start = Instant::now();
            let proof = tree::inclusion(&tiles, index, PROOF_LOG).unwrap();
            let time = start.elapsed();
            let leaf = leaf_hash(&index.to_be_bytes());
            haris_merkle::verify_inclusion(&leaf, index, PROOF_LOG, &proof, &frontier.root()).unwrap();
            time
        })
        .collect();
    times.sort_unstable();
    println!(
        "proof from a log of {PROOF_LOG} entries: p50 {:?}, p99 {:?}, worst {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1]
    );
}
