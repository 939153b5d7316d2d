//! What it costs when each event is durable before anything else happens: the spool beside databases.
//!
//! `cargo bench -p haris-ledger --bench commit`: 64 writers, events of about 500 bytes, each writer waiting for the one
//! before. The spool gathers them under one `fdatasync`; SQLite (WAL, `synchronous=FULL`) and PostgreSQL commit a
//! transaction a row. The three take turns on the disk that holds the target directory, and every figure is the median
//! of the rounds'.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints what it measured")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use haris_domain::{Actor, Draft, Timestamp, kind};
use haris_spool::{Options, Position, RealDisk, SourceName, Spool};
use haris_store::testing::{ENGINES, Scratch};
use haris_store::{Engine, Store, Value, insert, sqlx};

const WRITERS: u64 = 64;
const ROUNDS: u64 = 9;
const ROUND: Duration = Duration::from_secs(1);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let name = SourceName { node: "bench".into(), boot: "b1".into() };
        let spool = Spool::open(&dir.path().join("spool"), name, Options::default(), Arc::new(RealDisk)).unwrap();
        let scratches: Vec<Scratch> = ENGINES.into_iter().map(Scratch::new).collect();
        let mut stores = Vec::new();
        for (engine, scratch) in ENGINES.into_iter().zip(&scratches) {
            stores.push(table(engine, scratch).await);
        }
        let mut taken: Vec<Vec<Round>> = vec![Vec::new(); stores.len() + 1];
        for round in 0..ROUNDS {
            taken[0].push(spooled(&spool).await);
            for (store, rounds) in stores.iter().zip(&mut taken[1..]) {
                rounds.push(committed(store, round).await);
            }
        }
        println!("{:12} {:>10} {:>10} {:>12}", "", "p50 ms", "p99 ms", "events/s");
        for (name, rounds) in std::iter::once("spool").chain(ENGINES.map(Engine::name)).zip(&taken) {
            let median = |of: fn(&Round) -> f64| {
                let mut all: Vec<f64> = rounds.iter().map(of).collect();
                all.sort_by(f64::total_cmp);
                all[all.len() / 2]
            };
            println!(
                "{name:12} {:>10.2} {:>10.2} {:>12.0}",
                median(|round| round.p50_ms),
                median(|round| round.p99_ms),
                median(|round| round.events_per_second)
            );
        }
    });
}

#[derive(Clone)]
struct Round {
    p50_ms: f64,
    p99_ms: f64,
    events_per_second: f64,
}

impl Round {
    fn new(mut latencies: Vec<Duration>, took: Duration) -> Self {
        latencies.sort_unstable();
        let at = |part: usize| latencies[latencies.len() * part / 100].as_secs_f64() * 1e3;
        Self { p50_ms: at(50), p99_ms: at(99), events_per_second: latencies.len() as f64 / took.as_secs_f64() }
    }
}

async fn table(engine: Engine, scratch: &Scratch) -> Store {
    let store = scratch.open().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let table = "CREATE TABLE single (id TEXT NOT NULL PRIMARY KEY, bytes BLOB NOT NULL)";
    sqlx::raw_sql(sqlx::AssertSqlSafe(engine.ddl(table))).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    store
}

fn draft() -> Draft {
    let now = Timestamp::of(std::time::SystemTime::now());
    Draft::new(&kind::REQUEST_DECIDED, now, Actor::caller("bench")).with("padding", "x".repeat(260))
}

async fn spooled(spool: &Spool) -> Round {
    let writing = spool.clone();
    let round = writers(move |_| {
        let spool = writing.clone();
        async move {
            spool.append(draft(), Vec::new()).unwrap().await.unwrap();
        }
    })
    .await;
    // As if shipped: old segments go, as they do in service.
    spool.release(Position { segment: spool.state().segment_newest - 1, offset: 0 });
    round
}

async fn committed(store: &Store, round: u64) -> Round {
    let (store, counter) = (store.clone(), Arc::new(std::sync::atomic::AtomicU64::new(0)));
    writers(move |writer| {
        let (store, bytes, counter) = (store.clone(), vec![b'x'; 500], counter.clone());
        async move {
            let n = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let row: [Value; 2] = [format!("{round}-{writer}-{n}").into(), bytes.into()];
            let mut tx = store.begin().await.unwrap();
            insert(&mut tx, "single", ["id", "bytes"], vec![row], "").await.unwrap();
            tx.commit().await.unwrap();
        }
    })
    .await
}

/// Every writer does one after another until the round is over.
async fn writers<F: Future<Output = ()> + Send + 'static>(one: impl Fn(u64) -> F + Clone + Send + 'static) -> Round {
    let start = Instant::now();
    let all: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let one = one.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < ROUND {
                    let before = Instant::now();
                    one(writer).await;
                    latencies.push(before.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for writer in all {
        latencies.extend(writer.await.unwrap());
    }
    Round::new(latencies, start.elapsed())
}
