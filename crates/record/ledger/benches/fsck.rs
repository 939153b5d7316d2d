//! How fast the ledger checks itself: `cargo bench -p haris-ledger --bench fsck`.
//!
//! Fills a ledger with events of about 500 bytes, seals it as the sealer does, and runs `fsck`: every row against its
//! bundle against its tile, the tree computed anew, every checkpoint's root and signature checked, every event's count
//! followed. CPU time is the whole process's, the database's included where that runs inside (SQLite). A second ledger has
//! a payload of 1,000 bytes at each event: what opening them costs is the difference between the two.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints what it measured")]

use std::sync::Arc;
use std::time::Instant;

use haris_domain::{Actor, Draft, Source, Stored, Timestamp, kind};
use haris_keys::KeyDir;
use haris_ledger::{Ledger, Options};
use haris_spool::{Position, Record};
use haris_store::Engine;
use haris_store::testing::{ENGINES, Scratch};

const BATCH: u64 = 1_000;
const EVENTS: u64 = 300_000;
/// Of the ledger whose events have payloads.
const EVENTS_WITH_PAYLOADS: u64 = 50_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for engine in ENGINES {
        runtime.block_on(check(engine, EVENTS, None));
        runtime.block_on(check(engine, EVENTS_WITH_PAYLOADS, Some(&[b'x'; 1_000])));
    }
}

async fn check(engine: Engine, events: u64, payload: Option<&[u8]>) {
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
    for from in (0..events).step_by(usize::try_from(BATCH).unwrap()) {
        let position = Position { segment: 1, offset: from + 1 };
        ledger.ingest("bench", &records(&ledger, from, payload), position).await.unwrap();
    }
    ledger.seal_and_anchor(now()).await.unwrap();
    let each = if payload.is_some() { "events with a payload" } else { "events" };
    // The first time warms the file system's cache.
    for _ in 0..2 {
        let (start, before) = (Instant::now(), cpu_seconds());
        let fsck = ledger.fsck().await.unwrap();
        assert!(fsck.is_clean(), "{:?}", fsck.problems);
        let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - before);
        let rate = events as f64;
        let name = engine.name();
        println!("{name}: fsck {:.0} {each}/s, {:.0} per second of CPU", rate / wall, rate / cpu);
    }
}

fn now() -> Timestamp {
    "2026-11-24T07:00:00Z".parse().unwrap()
}

fn records(ledger: &Ledger, from: u64, payload: Option<&[u8]>) -> Vec<Record> {
    let day = ledger.day_keys().for_day(now()).unwrap();
    let stamp = |n: u64| {
        let draft = Draft::new(&kind::REQUEST_DECIDED, now(), Actor::caller("c1"))
            .with("verdict", "allow")
            .with("model", "practice/teller")
            .with("padding", "x".repeat(180));
        let source = Source { node: "bench".into(), boot: "b1".into(), n };
        let seal = |text: &[u8]| haris_keys::seal_payload(&day, draft.id, "request", Stored::Full, text, None);
        let payloads: Vec<_> = payload.into_iter().map(seal).collect();
        let references: Vec<_> = payloads.iter().map(|payload| payload.reference.clone()).collect();
        Record { leaf: draft.stamp(&source, &references).unwrap(), payloads }
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
