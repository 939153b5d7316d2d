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
const ROUNDS: usize = 40;
const ROUND: Duration = Duration::from_millis(300);

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory for the bench");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let spool = open(&dir.path().join("spool"));
    let frame_bytes = frame_bytes(&spool);
    let bare_file = bare_file(&dir.path().join("bare"));
    let (mut bare, mut tasks, mut threads) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(fdatasync(&bare_file, frame_bytes * WRITERS));
        tasks.push(round(&spool, |until| {
            runtime.block_on(async {
                let each = (0..WRITERS).map(|_| tokio::spawn(task(spool.clone(), until))).collect::<Vec<_>>();
                let mut all = Vec::new();
                for one in each {
                    all.extend(one.await.expect("a writer never panics"));
                }
                all
            })
        }));
        threads.push(round(&spool, |until| {
            std::thread::scope(|scope| {
                let each = (0..WRITERS).map(|_| scope.spawn(|| thread(&spool, until))).collect::<Vec<_>>();
                each.into_iter().flat_map(|one| one.join().expect("a writer never panics")).collect()
            })
        }));
    }
    println!(
        "{WRITERS} writers, events of {EVENT_BYTES} bytes, {frame_bytes} with framing; medians of {ROUNDS} rounds"
    );
    println!("{:16} {:>8} {:>8} {:>10} {:>13}", "", "p50 us", "p99 us", "events/s", "CPU us/event");
    for (name, rounds) in [("fdatasync", &bare), ("spool, tasks", &tasks), ("spool, threads", &threads)] {
        println!(
            "{name:16} {:>8.0} {:>8.0} {:>10.0} {:>13.1}",
            median(rounds.iter().map(|r| r.p50_us)),
            median(rounds.iter().map(|r| r.p99_us)),
            median(rounds.iter().map(|r| r.events_per_second)),
            median(rounds.iter().map(|r| r.cpu_us_per_event))
        );
    }
    for (name, rounds) in [("tasks", &tasks), ("threads", &threads)] {
        let pairs = || rounds.iter().zip(&bare);
        println!(
            "{name}: p50 is {:.2} x fdatasync, and {:.2} of what is allowed (2.2 x fdatasync + 0.3 ms)",
            median(pairs().map(|(spool, bare)| spool.p50_us / bare.p50_us)),
            median(pairs().map(|(spool, bare)| spool.p50_us / (2.2 * bare.p50_us + 300.0)))
        );
    }
}

struct Round {
    p50_us: f64,
    p99_us: f64,
    events_per_second: f64,
    cpu_us_per_event: f64,
}

impl Round {
    fn new(mut latencies: Vec<Duration>, took: Duration, cpu: Duration, events: usize) -> Self {
        latencies.sort();
        let at = |part: f64| latencies[(latencies.len() as f64 * part) as usize].as_secs_f64() * 1e6;
        Self {
            p50_us: at(0.5),
            p99_us: at(0.99),
            events_per_second: events as f64 / took.as_secs_f64(),
            cpu_us_per_event: cpu.as_secs_f64() * 1e6 / events as f64,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Of the whole process, the kernel's part included.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).expect("after the start"), u32::try_from(now.tv_nsec).expect("below 1e9"))
}

fn bare_file(path: &Path) -> File {
    let file = File::create(path).expect("a file for the bench");
    file.write_all_at(&vec![0; FILE_BYTES], 0).expect("zeros");
    file.sync_all().expect("synced");
    file
}

const FILE_BYTES: usize = 32 << 20;

fn fdatasync(file: &File, bytes: usize) -> Round {
    let content: Vec<u8> = (0..bytes).map(|i| i as u8 | 1).collect();
    let mut latencies = Vec::new();
    let (start, cpu_before) = (Instant::now(), cpu());
    let mut offset = 0;
    while start.elapsed() < ROUND {
        let before = Instant::now();
        file.write_all_at(&content, offset).expect("written");
        file.sync_data().expect("synced");
        latencies.push(before.elapsed());
        offset = if offset as usize + 2 * bytes > FILE_BYTES { 0 } else { offset + bytes as u64 };
    }
    let events = latencies.len() * WRITERS;
    Round::new(latencies, start.elapsed(), cpu() - cpu_before, events)
}

fn round(spool: &Spool, work: impl FnOnce(Instant) -> Vec<Duration>) -> Round {
    let durable = spool.state().durable_events;
    let (start, cpu_before) = (Instant::now(), cpu());
    let latencies = work(start + ROUND);
    let (took, cpu) = (start.elapsed(), cpu() - cpu_before);
    let events = latencies.len();
    assert_eq!(spool.state().durable_events - durable, events as u64);
    // As if shipped: old segments go, as they do in service.
    spool.release(Position { segment: spool.state().segment_newest - 1, offset: 0 });
    Round::new(latencies, took, cpu, events)
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

fn frame_bytes(spool: &Spool) -> usize {
    let mut ends = (0..2).map(|_| {
        let leaf = spool.append(draft(), Vec::new()).expect("accepted").wait().expect("durable");
        let bytes = leaf.bytes.len();
        assert!((EVENT_BYTES - 10..EVENT_BYTES + 10).contains(&bytes), "a leaf has {bytes} bytes");
        spool.read(Position::START, 9, usize::MAX).expect("readable").next.offset
    });
    let (first, second) = (ends.next().expect("two"), ends.next().expect("two"));
    usize::try_from(second - first).expect("small")
}
