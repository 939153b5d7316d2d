//! The spool against bare `fdatasync` of the same bytes, in one run.
//!
//! `cargo bench -p haris-spool`, on the disk that holds the target directory. Rounds of both alternate, since a disk's
//! mood changes within seconds; every figure is the median of the rounds'. Quote the ratios.
//!
//! - `fdatasync`: one thread writes what 64 events take to a preallocated, zero-filled file and syncs it.
//! - `spool, tasks`: 64 tasks on a tokio runtime, as in the gateway; each appends an event of 500 bytes, waits until it
//!   is durable, and appends the next.
//! - `spool, threads`: the same with 64 threads.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its figures")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haris_domain::{Actor, Draft, Timestamp, kind};
use haris_spool::{Options, Position, RealDisk, SourceName, Spool};

const WRITERS: usize = 64;
const EVENT_BYTES: usize = 500;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1500);

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the bench");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let frame_bytes = frame_bytes(&dir.path().join("probe"));
    let mut bare = Vec::new();
    let mut tasks = Vec::new();
    let mut threads = Vec::new();
    for round in 0..ROUNDS {
        bare.push(fdatasync(&dir.path().join("bare"), frame_bytes * WRITERS));
        tasks.push(spool(&dir.path().join(format!("tasks-{round}")), |spool, until| {
            runtime.block_on(async {
                let each = (0..WRITERS).map(|_| tokio::spawn(task(spool.clone(), until))).collect::<Vec<_>>();
                let mut all = Vec::new();
                for one in each {
                    all.extend(one.await.expect("a writer never panics"));
                }
                all
            })
        }));
        threads.push(spool(&dir.path().join(format!("threads-{round}")), |spool, until| {
            std::thread::scope(|scope| {
                let each = (0..WRITERS).map(|_| scope.spawn(|| thread(spool, until))).collect::<Vec<_>>();
                each.into_iter().flat_map(|one| one.join().expect("a writer never panics")).collect()
            })
        }));
    }
    println!("{WRITERS} writers, events of {EVENT_BYTES} bytes, {frame_bytes} with framing; medians of {ROUNDS} rounds");
    println!("{:16} {:>10} {:>10} {:>12}", "", "p50 us", "p99 us", "events/s");
    for (name, rounds) in [("fdatasync", &bare), ("spool, tasks", &tasks), ("spool, threads", &threads)] {
        println!(
            "{name:16} {:>10.0} {:>10.0} {:>12.0}",
            median(rounds, |r| r.p50_us),
            median(rounds, |r| r.p99_us),
            median(rounds, |r| r.events_per_second)
        );
    }
    let sync_us = median(&bare, |r| r.p50_us);
    for (name, rounds) in [("tasks", &tasks), ("threads", &threads)] {
        let p50_us = median(rounds, |r| r.p50_us);
        let allowed_us = 2.2 * sync_us + 300.0;
        println!(
            "{name}: p50 is {:.2} x fdatasync; {:.2} of what is allowed (2.2 x fdatasync + 0.3 ms = {allowed_us:.0} us)",
            p50_us / sync_us,
            p50_us / allowed_us
        );
    }
}

struct Round {
    p50_us: f64,
    p99_us: f64,
    events_per_second: f64,
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut all: Vec<f64> = rounds.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn round(mut latencies: Vec<Duration>, took: Duration, events: usize) -> Round {
    latencies.sort();
    let at = |part: f64| latencies[(latencies.len() as f64 * part) as usize].as_secs_f64() * 1e6;
    Round { p50_us: at(0.5), p99_us: at(0.99), events_per_second: events as f64 / took.as_secs_f64() }
}

fn fdatasync(path: &Path, bytes: usize) -> Round {
    let size = Options::default().segment_bytes as usize;
    let file = File::create(path).expect("a file for the bench");
    file.write_all_at(&vec![0; size], 0).expect("zeros");
    file.sync_all().expect("synced");
    let content: Vec<u8> = (0..bytes).map(|i| i as u8 | 1).collect();
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut offset = 0;
    while start.elapsed() < ROUND {
        let before = Instant::now();
        file.write_all_at(&content, offset).expect("written");
        file.sync_data().expect("synced");
        latencies.push(before.elapsed());
        offset = if offset as usize + 2 * bytes > size { 0 } else { offset + bytes as u64 };
    }
    let events = latencies.len() * WRITERS;
    round(latencies, start.elapsed(), events)
}

fn spool(dir: &Path, work: impl FnOnce(&Spool, Instant) -> Vec<Duration>) -> Round {
    let spool = open(dir);
    let start = Instant::now();
    let latencies = work(&spool, start + ROUND);
    let took = start.elapsed();
    spool.close();
    let events = latencies.len();
    assert_eq!(spool.state().durable_events, events as u64);
    std::fs::remove_dir_all(dir).expect("removed");
    round(latencies, took, events)
}

fn open(dir: &Path) -> Spool {
    let name = SourceName { node: "bench-node".into(), boot: "0123456789abcdef".into() };
    Spool::open(dir, name, Options::default(), Arc::new(RealDisk)).expect("a spool for the bench")
}

async fn task(spool: Spool, until: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let draft = draft();
        let before = Instant::now();
        spool.append(draft, Vec::new()).expect("accepted").await.expect("durable");
        latencies.push(before.elapsed());
    }
    latencies
}

fn thread(spool: &Spool, until: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let draft = draft();
        let before = Instant::now();
        spool.append(draft, Vec::new()).expect("accepted").wait().expect("durable");
        latencies.push(before.elapsed());
    }
    latencies
}

/// An event whose leaf has about [`EVENT_BYTES`].
fn draft() -> Draft {
    let now = Timestamp::of(std::time::SystemTime::now());
    let mut draft = Draft::new(&kind::REQUEST_DECIDED, now, Actor::caller("bench"))
        .with("environment", "production")
        .with("protocol", "openai.chat")
        .with("route", "default")
        .with("verdict", "allow")
        .with("inspect_us", 321)
        .with("text_bytes", 1024);
    let rest = EVENT_BYTES - 371;
    draft = draft.with("policy", "p".repeat(rest));
    draft
}

fn frame_bytes(dir: &Path) -> usize {
    let spool = open(dir);
    let leaf = spool.append(draft(), Vec::new()).expect("accepted").wait().expect("durable");
    assert!((EVENT_BYTES - 10..EVENT_BYTES + 10).contains(&leaf.bytes.len()), "a leaf has {} bytes", leaf.bytes.len());
    let first = spool.read(Position::START, 1, 1).expect("readable").next;
    spool.append(draft(), Vec::new()).expect("accepted").wait().expect("durable");
    let second = spool.read(first, 1, 1).expect("readable").next;
    usize::try_from(second.offset - first.offset).expect("small")
}
