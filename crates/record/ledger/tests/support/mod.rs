//! A ledger in a scratch place, on either engine, and events to put into it.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use haris_domain::{Actor, Draft, Event, EventId, Log, SealedPayload, Source, Stored, Timestamp, kind};
use haris_keys::KeyDir;
use haris_ledger::{Folded, Ledger, OpenError, Options, Projection};
use haris_spool::Record;
use haris_store::testing::Scratch;
use haris_store::{BlobError, Blobs, Engine, Folder, Put, Store, Tx, insert, sqlx};

pub(crate) const NODE: &str = "node-1";

/// 2026-11-24T07:00:00Z and so many seconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-11-24T07:00:00Z".parse::<Timestamp>().unwrap().plus_micros(seconds * 1_000_000)
}

pub(crate) struct Place {
    pub(crate) scratch: Scratch,
    pub(crate) keys: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { scratch: Scratch::new(engine), keys: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn key_dir(&self) -> Arc<KeyDir> {
        Arc::new(KeyDir::open_or_create(&self.keys.path().join("keys")).unwrap())
    }

    pub(crate) async fn options(&self, boot: &str) -> Options {
        Options {
            store: self.scratch.open().await.unwrap(),
            keys: self.key_dir(),
            node: NODE.into(),
            boot: boot.into(),
            projections: vec![Box::new(Seen { version: 1 })],
            origin: None,
        }
    }

    pub(crate) async fn open(&self, boot: &str) -> Ledger {
        Ledger::open(self.options(boot).await, at(0)).await.unwrap()
    }

    pub(crate) async fn open_with(&self, boot: &str, blobs: Arc<dyn Blobs>) -> Result<Ledger, OpenError> {
        let store = Store::open_with(self.scratch.sql(), blobs).await.unwrap();
        Ledger::open(Options { store, ..self.options(boot).await }, at(0)).await
    }

    pub(crate) fn blobs(&self) -> Folder {
        Folder::open(&self.scratch.path().join("blobs")).unwrap()
    }
}

/// Folds every event into one row of `test_seen`.
pub(crate) struct Seen {
    pub(crate) version: u32,
}

#[async_trait]
impl Projection for Seen {
    fn name(&self) -> &'static str {
        "test.seen"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn tables(&self) -> &'static [&'static str] {
        &["test_seen"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS test_seen (id TEXT PRIMARY KEY, log TEXT NOT NULL, leaf_index INTEGER NOT NULL, \
         kind TEXT NOT NULL, at INTEGER NOT NULL, mark BLOB NOT NULL)"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        if events.iter().any(|folded| folded.event.data.contains_key("poison")) {
            return Err(sqlx::Error::Protocol("poisoned for the test".into()));
        }
        let mut rows = Vec::new();
        for Folded { log, index, event } in events {
            rows.push([
                event.id.to_string().into(),
                log.name().into(),
                i64::try_from(*index).unwrap().into(),
                event.kind.name.into(),
                event.at.micros().into(),
                vec![u8::try_from(self.version).unwrap()].into(),
            ]);
        }
        insert(tx, "test_seen", ["id", "log", "leaf_index", "kind", "at", "mark"], rows, "").await.map(|_| ())
    }
}

pub(crate) fn evidence(now: Timestamp) -> (Draft, Vec<SealedPayload>) {
    (Draft::new(&kind::POLICY_LOADED, now, Actor::local(0)), Vec::new())
}

/// A gateway's request with its identifiers, and its answer: as a spool would hand them over.
pub(crate) struct Traffic {
    pub(crate) boot: String,
    pub(crate) n: u64,
}

impl Traffic {
    pub(crate) fn new(boot: &str) -> Self {
        Self { boot: boot.into(), n: 0 }
    }

    fn stamp(&mut self, draft: &Draft, payloads: Vec<SealedPayload>) -> Record {
        self.n += 1;
        let source = Source { node: NODE.into(), boot: self.boot.clone(), n: self.n };
        let references: Vec<_> = payloads.iter().map(|payload| payload.reference.clone()).collect();
        Record { leaf: draft.stamp(&source, &references).unwrap(), payloads }
    }

    /// Without payloads.
    pub(crate) fn plain(&mut self, now: Timestamp) -> Record {
        self.stamp(&Draft::new(&kind::REQUEST_DECIDED, now, Actor::caller("c1")).with("verdict", "allow"), Vec::new())
    }

    /// With payloads in question and answer; `qid` goes to the question's identifiers.
    pub(crate) fn asked(&mut self, ledger: &Ledger, now: Timestamp, text: &str, qid: &str) -> [Record; 2] {
        let day = ledger.day_keys().for_day(now).unwrap();
        let request = Draft::new(&kind::REQUEST_DECIDED, now, Actor::caller("c1")).with("verdict", "redact");
        let identifiers = serde_json::json!([{ "kind": "qid", "value": qid }]).to_string();
        let seal = |event: EventId, name: &str, stored: Stored, text: &str| {
            haris_keys::seal_payload(&day, event, name, stored, text.as_bytes(), None)
        };
        let payloads = vec![
            seal(request.id, "request", Stored::Redacted, text),
            seal(request.id, "identifiers", Stored::Full, &identifiers),
        ];
        let response = Draft::new(&kind::RESPONSE_DECIDED, now.plus_micros(1000), Actor::caller("c1"))
            .with("request", request.id.to_string())
            .about(request.id);
        let answer = vec![
            seal(response.id, "response", Stored::Full, &format!("answer to {text}")),
            seal(response.id, "raw", Stored::None, ""),
        ];
        [self.stamp(&request, payloads), self.stamp(&response, answer)]
    }
}

/// Both logs' rows are gap-free, and so is every source's count.
pub(crate) async fn assert_no_gaps(ledger: &Ledger) {
    for log in Log::ALL {
        let size = ledger.size(log).await.unwrap();
        let rows = ledger.read(log, 0, u64::MAX).await.unwrap();
        assert_eq!(rows.len() as u64, size, "{log}");
        let mut counts = std::collections::BTreeMap::<(String, String), u64>::new();
        for (row, index) in rows.iter().zip(0..) {
            assert_eq!(row.index, index, "{log}");
            let source = Event::parse(&row.bytes).unwrap().source;
            let n = counts.entry((source.node, source.boot)).or_default();
            *n += 1;
            assert_eq!(source.n, *n, "{log}: the count of each start follows the order of its entries");
        }
    }
}

/// Every entry of both logs is proven by the newest checkpoint, which is published and verifies.
pub(crate) async fn assert_sealed(ledger: &Ledger) {
    use haris_merkle::{Checkpoint, leaf_hash, tree, verify_inclusion};

    for log in Log::ALL {
        let size = ledger.size(log).await.unwrap();
        let Some(row) = ledger.checkpoint(log).await.unwrap() else {
            assert_eq!(size, 0, "{log}");
            continue;
        };
        assert_eq!(row.size, size, "{log}");
        let tiles = ledger.tiles(log);
        let published = tiles.checkpoint().unwrap().unwrap();
        assert_eq!(published, row.note.as_bytes(), "{log}");
        let (checkpoint, note) = Checkpoint::parse(&published).unwrap();
        assert_eq!(note.verify(ledger.verifier_keys(log)).unwrap().len(), ledger.verifier_keys(log).len());
        assert_eq!(
            (checkpoint.origin.as_str(), checkpoint.size, checkpoint.root),
            (ledger.origin(log), size, row.root)
        );
        let rows = ledger.read(log, 0, size).await.unwrap();
        let mut frontier = haris_merkle::Frontier::new();
        for row in &rows {
            frontier.push(leaf_hash(&row.bytes), |_, _| {});
        }
        assert_eq!(frontier.root(), checkpoint.root, "{log}");
        for row in rows.iter().step_by(1 + rows.len() / 50) {
            let proof = tree::inclusion(&tiles, row.index, size).unwrap();
            let hash = leaf_hash(&row.bytes);
            verify_inclusion(&hash, row.index, size, &proof, &checkpoint.root).unwrap();
            let bundle = haris_merkle::Entries::covering(row.index, size).unwrap();
            let leaves = tiles.entries(bundle).unwrap();
            assert_eq!(leaves[usize::try_from(row.index % 256).unwrap()], row.bytes);
        }
    }
}

/// Blobs that fail from the n-th change on, as if the process had died there.
pub(crate) struct Failing {
    pub(crate) inner: Folder,
    pub(crate) changes_left: AtomicUsize,
}

impl Failing {
    fn change(&self, path: &str) -> Result<(), BlobError> {
        let left = self.changes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(|_| ()).map_err(|_| BlobError::Io {
            action: "write",
            path: path.into(),
            source: std::io::Error::other("the process died here"),
        })
    }
}

impl Blobs for Failing {
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<Put, BlobError> {
        self.change(path)?;
        self.inner.put_if_absent(path, bytes)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), BlobError> {
        self.change(path)?;
        self.inner.put(path, bytes)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, BlobError> {
        self.inner.get(path)
    }

    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, BlobError> {
        self.inner.get_range(path, offset, length)
    }

    fn delete(&self, path: &str) -> Result<(), BlobError> {
        self.change(path)?;
        self.inner.delete(path)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, BlobError> {
        self.inner.list(folder)
    }
}

/// Runs SQL that no part of Haris would: the insider at work.
pub(crate) async fn tamper(ledger: &Ledger, sql: &'static str) {
    let mut tx = ledger.store().begin().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}
