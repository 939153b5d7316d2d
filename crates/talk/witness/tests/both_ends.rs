//! A ledger and its witness over loopback: cosignatures, a witness that stops, histories that contradict, clients that
//! stall.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use haris_domain::{Actor, Draft, Log, Timestamp, kind};
use haris_keys::{KeyDir, witness_signers};
use haris_ledger::{Ledger, Options, SealError};
use haris_merkle::{Checkpoint, VerifierKey};
use haris_store::testing::Scratch;
use haris_store::{Engine, Store, StoreOptions};
use haris_witness::{Watched, Witness};
use haris_witnessing::{Cosigners, Peer, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

fn clock() -> Timestamp {
    Timestamp::of(std::time::SystemTime::now())
}

fn seconds() -> u64 {
    u64::try_from(clock().micros() / 1_000_000).unwrap()
}

async fn ledger(sql: &str, folder: &Path, keys: &Path) -> Ledger {
    static BOOTS: AtomicU64 = AtomicU64::new(0);
    let blobs = folder.join("blobs");
    let options = Options {
        store: Store::open(StoreOptions { sql: sql.to_owned(), blobs }).await.unwrap(),
        keys: Arc::new(KeyDir::open_or_create(keys).unwrap()),
        node: "node1".into(),
        boot: format!("boot{}", BOOTS.fetch_add(1, Ordering::Relaxed)),
        projections: Vec::new(),
        origin: None,
    };
    Ledger::open(options, clock()).await.unwrap()
}

async fn grow(ledger: &Ledger, events: usize) {
    let drafts = (0..events).map(|_| (Draft::new(&kind::POLICY_LOADED, clock(), Actor::local(0)), Vec::new()));
    ledger.append(drafts.collect()).await.unwrap();
    ledger.seal(clock()).await.unwrap();
}

/// A witness at a fixed address, which can be stopped and started.
struct Running {
    address: String,
    folder: tempfile::TempDir,
    keys: Vec<VerifierKey>,
    stop: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
}

impl Running {
    async fn start(ledger: &Ledger) -> Self {
        let mut running =
            Self { address: "127.0.0.1:0".into(), folder: tempfile::tempdir().unwrap(), keys: Vec::new(), stop: None };
        running.launch(ledger).await;
        running
    }

    async fn launch(&mut self, ledger: &Ledger) {
        let signers = witness_signers(&self.folder.path().join("keys"), "witness.example/w1", true).unwrap();
        let watched = Log::ALL.map(|log| Watched { keys: ledger.verifier_keys(log).to_vec() }).to_vec();
        let witness = Arc::new(Witness::open(&self.folder.path().join("data"), signers, watched).unwrap());
        self.keys = witness.verifier_keys().cloned().collect();
        let listener = TcpListener::bind(&self.address).await.unwrap();
        self.address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = haris_witnessing::serve(listener, witness, seconds, async {
            let _ = stopped.await;
        });
        self.stop = Some((stop, tokio::spawn(serving)));
    }

    async fn halt(&mut self) {
        let (stop, served) = self.stop.take().unwrap();
        drop(stop);
        served.await.unwrap();
    }

    fn peer(&self) -> Peer {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Peer::new("w1", format!("http://{}", self.address).parse().unwrap(), &keys, client).unwrap()
    }
}

fn cosigners(peers: Vec<Peer>, ledger: &Ledger, max_age_ms: u64) -> Cosigners {
    let settings = Settings { peers, quorum: None, max_age: Duration::from_millis(max_age_ms) };
    Cosigners::new(settings, ledger.clone(), clock)
}

/// Asks again until it is so. The bound only keeps a failed test from hanging.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn both_logs_are_cosigned_and_every_copy_carries_it() {
    let (scratch, dir) = (Scratch::new(Engine::Sqlite), tempfile::tempdir().unwrap());
    let ledger = ledger(scratch.sql(), scratch.path(), &dir.path().join("keys")).await;
    let witness = Running::start(&ledger).await;
    let cosigners = cosigners(vec![witness.peer()], &ledger, 60_000);
    cosigners.compare().await.unwrap();
    let (stop, stopping) = watch::channel(false);
    let tasks = cosigners.run(&stopping);
    let mut size = 0;
    for events in [1, 300, 2] {
        grow(&ledger, events).await;
        size = ledger.checkpoint(Log::Evidence).await.unwrap().unwrap().size;
        until("cosigned", async || !ledger.cosignatures(Log::Evidence, size).await.unwrap().is_empty()).await;
    }
    let row = ledger.checkpoint(Log::Evidence).await.unwrap().unwrap();
    let note = ledger.cosigned_note(&row).await.unwrap().into_bytes();
    // The row comes first, then its copy.
    until("published", async || ledger.tiles(Log::Evidence).checkpoint().unwrap().unwrap() == note).await;
    let published = note;
    let (checkpoint, note) = Checkpoint::parse(&published).unwrap();
    assert_eq!((checkpoint.size, note.verify(&witness.keys).unwrap().len()), (size, 2), "Ed25519 and ML-DSA-44");
    assert_eq!(note.verify(ledger.verifier_keys(Log::Evidence)).unwrap().len(), 2);
    assert!(ledger.fsck().await.unwrap().is_clean());
    let status = cosigners.status();
    assert!(!status.lagging && status.contradicted.is_none());
    assert_eq!((status.witnesses[0].evidence, status.witnesses[0].error.as_deref()), (Some(size), None));

    // Another process that remembers nothing finds out where the witness is.
    let sql = "DELETE FROM ledger_cosignature";
    let mut tx = ledger.store().begin().await.unwrap();
    haris_store::sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    stop.send_replace(true);
    for task in tasks {
        task.await.unwrap();
    }
    grow(&ledger, 5).await;
    let fresh = self::cosigners(vec![witness.peer()], &ledger, 60_000);
    fresh.finish(Duration::from_secs(20)).await;
    assert_eq!(fresh.status().witnesses[0].evidence, Some(size + 5), "{:?}", fresh.status());

    // What is on record of a witness is checked as well.
    for (sql, expected) in [
        ("UPDATE ledger_cosignature SET at = at + 1", "another time"),
        ("UPDATE ledger_cosignature SET line = 'x'", "no signature"),
        ("UPDATE ledger_cosignature SET size = size - 1", "is wrong"),
    ] {
        let mut tx = ledger.store().begin().await.unwrap();
        haris_store::sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let problems = ledger.fsck().await.unwrap().problems;
        assert!(problems.iter().any(|problem| problem.what.contains("cosignature")), "{expected}: {problems:?}");
    }
}

#[tokio::test]
async fn an_old_copy_and_another_history_get_no_signature() {
    let (scratch, dir) = (Scratch::new(Engine::Sqlite), tempfile::tempdir().unwrap());
    let keys = dir.path().join("keys");
    let ours = ledger(scratch.sql(), scratch.path(), &keys).await;
    grow(&ours, 3).await;
    let witness = Running::start(&ours).await;
    cosigners(vec![witness.peer()], &ours, 60_000).finish(Duration::from_secs(20)).await;
    ours.store().close().await;

    // A copy of everything, put back later, twice.
    let copies = ["old", "fork"].map(|name| {
        let copy = dir.path().join(name);
        copy_folder(scratch.path(), &copy);
        copy
    });
    let ours = ledger(scratch.sql(), scratch.path(), &keys).await;
    grow(&ours, 4).await;
    cosigners(vec![witness.peer()], &ours, 60_000).finish(Duration::from_secs(20)).await;
    let known = ours.checkpoint(Log::Evidence).await.unwrap().unwrap().size;

    // At its start: compared before anything is signed.
    let sql = |copy: &Path| format!("sqlite:{}", copy.join("haris.db").display());
    let old = ledger(&sql(&copies[0]), &copies[0], &keys).await;
    let asked = cosigners(vec![witness.peer()], &old, 60_000);
    let why = asked.compare().await.unwrap_err();
    assert!(why.contains(&format!("{known} entries")) && why.contains("older copy"), "{why}");
    let draft = Draft::new(&kind::POLICY_LOADED, clock(), Actor::local(0));
    old.append(vec![(draft, Vec::new())]).await.unwrap();
    assert!(matches!(old.seal(clock()).await, Err(SealError::Barred { .. })));
    assert!(asked.status().contradicted.is_some());

    // While the witness is away it signs, and is found out when the witness is back.
    let fork = ledger(&sql(&copies[1]), &copies[1], &keys).await;
    grow(&fork, 9).await;
    let asked = cosigners(vec![witness.peer()], &fork, 60_000);
    let why = asked.compare().await.unwrap_err();
    assert!(why.contains("another history"), "{why}");
    let late = ledger(&sql(&copies[1]), &copies[1], &keys).await;
    let asked = cosigners(vec![witness.peer()], &late, 60_000);
    asked.finish(Duration::from_secs(20)).await;
    assert!(late.signing_barred().unwrap().contains("another history"));
    let events = late.read(Log::Evidence, 0, 100).await.unwrap();
    let last = String::from_utf8(events.last().unwrap().bytes.clone()).unwrap();
    assert!(last.contains("witness.checkpoint.contradicted/1"), "{last}");
    // The witness has kept what contradicts.
    let body = reqwest::get(format!("http://{}/", witness.address)).await.unwrap().text().await.unwrap();
    let shown: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(shown["logs"][0]["refused"].as_array().is_some_and(|refused| !refused.is_empty()), "{body}");
}

#[tokio::test]
async fn a_witness_that_stops_is_noticed_recorded_and_taken_back() {
    let (scratch, dir) = (Scratch::new(Engine::Sqlite), tempfile::tempdir().unwrap());
    let ledger = ledger(scratch.sql(), scratch.path(), &dir.path().join("keys")).await;
    grow(&ledger, 1).await;
    let mut witness = Running::start(&ledger).await;
    let cosigners = cosigners(vec![witness.peer()], &ledger, 3_000);
    let lagging = cosigners.lagging();
    let (stop, stopping) = watch::channel(false);
    let tasks = cosigners.run(&stopping);
    until("cosigned", async || cosigners.status().witnesses[0].evidence.is_some()).await;
    assert!(!lagging.load(Ordering::Relaxed));
    witness.halt().await;
    until("noticed", async || lagging.load(Ordering::Relaxed)).await;
    until("said", async || cosigners.status().witnesses[0].error.is_some()).await;
    witness.launch(&ledger).await;
    until("taken back", async || !lagging.load(Ordering::Relaxed)).await;
    stop.send_replace(true);
    for task in tasks {
        task.await.unwrap();
    }
    let kinds: Vec<String> = ledger
        .read(Log::Evidence, 0, 100)
        .await
        .unwrap()
        .iter()
        .filter_map(|row| {
            serde_json::from_slice::<serde_json::Value>(&row.bytes).unwrap()["kind"].as_str().map(str::to_owned)
        })
        .filter(|kind| kind.starts_with("witness."))
        .collect();
    assert_eq!(kinds, ["witness.checkpoint.lagged/1", "witness.checkpoint.resumed/1"]);
}

/// Answers every request alike, whatever was asked.
async fn saying(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_witness_that_lies_stops_nobody_and_signs_nothing() {
    let (scratch, dir) = (Scratch::new(Engine::Sqlite), tempfile::tempdir().unwrap());
    let ledger = ledger(scratch.sql(), scratch.path(), &dir.path().join("keys")).await;
    grow(&ledger, 3).await;
    let honest = Running::start(&ledger).await;
    for (answer, expected) in [
        (
            "HTTP/1.1 409 Conflict\r\ncontent-length: 4\r\nconnection: close\r\n\r\n999\n",
            "not a checkpoint that this log",
        ),
        ("HTTP/1.1 422 No\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n", "not a checkpoint that this log"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nhi\n", "no signature"),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "500"),
        ("nonsense", "not reached"),
    ] {
        let mut peer = honest.peer();
        peer.url = format!("http://{}/", saying(answer).await).parse().unwrap();
        let cosigners = cosigners(vec![peer], &ledger, 60_000);
        cosigners.compare().await.unwrap();
        cosigners.finish(Duration::from_secs(20)).await;
        let error = cosigners.status().witnesses[0].error.clone().unwrap();
        let known = error.contains(expected) || error.contains("answered 409") || error.contains("answered 422");
        assert!(known, "{answer}: {error}");
        assert_eq!(ledger.signing_barred(), None);
    }
    grow(&ledger, 1).await;
}

#[tokio::test]
async fn slow_and_greedy_clients_keep_nobody_from_the_witness() {
    let (scratch, dir) = (Scratch::new(Engine::Sqlite), tempfile::tempdir().unwrap());
    let ledger = ledger(scratch.sql(), scratch.path(), &dir.path().join("keys")).await;
    grow(&ledger, 3).await;
    let witness = Running::start(&ledger).await;
    let mut slow = Vec::new();
    for n in 0..64 {
        let mut stream = TcpStream::connect(&witness.address).await.unwrap();
        let part: &[u8] = if n % 2 == 0 {
            b"POST /add-ch"
        } else {
            b"POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: 99\r\n\r\nold"
        };
        stream.write_all(part).await.unwrap();
        slow.push(stream);
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |body: Vec<u8>| {
        let request = client.post(format!("http://{}/add-checkpoint", witness.address)).body(body);
        request.send().await.map(|answer| answer.status().as_u16())
    };
    let row = ledger.checkpoint(Log::Evidence).await.unwrap().unwrap();
    let good = ledger.submission(&row, 0).await.unwrap().to_bytes();
    assert_eq!(post(good.clone()).await.unwrap(), 200);
    assert_eq!(post(good).await.unwrap(), 409);
    assert_eq!(post(b"old 0\n".to_vec()).await.unwrap(), 400);
    // The connection may be closed before all of it was sent.
    assert!(post(vec![b'a'; 4 << 20]).await.is_ok_and(|status| status == 413) || slow.len() == 64);
    let get = async |path: &str| {
        client.get(format!("http://{}{path}", witness.address)).send().await.unwrap().status().as_u16()
    };
    assert_eq!((get("/add-checkpoint").await, get("/nothing").await, get("/00/checkpoint").await), (405, 404, 404));
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
