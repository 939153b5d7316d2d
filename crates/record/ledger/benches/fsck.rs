//! How fast the ledger checks itself: `cargo bench -p haris-ledger --bench fsck`.
//!
//! Fills a ledger with events of about 500 bytes, seals it as the sealer does, and runs `fsck`: every row against its
//! bundle against its tile, the tree computed anew, every checkpoint's root and signature checked, every event's count
//! followed. CPU time is the whole process's, the database's included where that runs inside (SQLite).

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints what it measured")]

use std::sync::Arc;
use std::time::Instant;

use haris_domain::{Actor, Draft, Source, Timestamp, kind};
use haris_keys::KeyDir;
use haris_ledger::{Ledger, Options};
use haris_spool::{Position, Record};
use haris_store::testing::{ENGINES, Scratch};

const BATCH: u64 = 1_000;
const EVENTS: u64 = 300_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for engine in ENGINES {
        runtime.block_on(async {
            let scratch = Scratch::new(engine);
            let options = Options {
                store: scratch.open().await.unwrap(),
                keys: Arc::new(KeyDir::open_or_create(&scratch.path().join("keys")).unwrap()),
                node: "bench".into(),
                boot: "b0".into(),
                projections: Vec::new(),
                origin: None,
            };
            let ledger = Ledger::open(options, now()).await.unwrap();
            for from in (0..EVENTS).step_by(usize::try_from(BATCH).unwrap()) {
                let position = Position { segment: 1, offset: from + 1 };
                ledger.ingest("bench", &records(from), position).await.unwrap();
            }
            ledger.seal_and_anchor(now()).await.unwrap();
            // The first time warms the file system's cache.
            for _ in 0..2 {
                let (start, before) = (Instant::now(), cpu_seconds());
                let fsck = ledger.fsck().await.unwrap();
                assert!(fsck.is_clean(), "{:?}", fsck.problems);
                let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - before);
                let rate = EVENTS as f64;
                let name = engine.name();
                println!("{name}: fsck {:.0} events/s, {:.0} per second of CPU", rate / wall, rate / cpu);
            }
        });
    }
}

fn now() -> Timestamp {
    "2026-11-24T07:00:00Z".parse().unwrap()
}

fn records(from: u64) -> Vec<Record> {
    let stamp = |n: u64| {
        let draft = Draft::new(&kind::REQUEST_DECIDED, now(), Actor::caller("c1"))
            .with("verdict", "allow")
            .with("model", "practice/teller")
            .with("padding", "x".repeat(180));
        let source = Source { node: "bench".into(), boot: "b1".into(), n };
        Record { leaf: draft.stamp(&source, &[]).unwrap(), payloads: Vec::new() }
    };
    (from + 1..=from + BATCH).map(stamp).collect()
}

/// User and system time of this process so far. The kernel counts in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<f64> = after_name.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // State, a letter, drops out; utime and stime are fields 14 and 15 of the whole line, 11 and 12 of these.
    (fields[10] + fields[11]) / 100.0
}
