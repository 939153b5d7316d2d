//! Checking the ledger against itself: rows, entry bundles, tiles and checkpoints all derive from the same leaves, so
//! whichever was changed differs from the others.
//!
//! Each leaf is looked at once: its bytes in the bundle, its bytes and hash in the row, its hash in the tile. Two that
//! agree name the third. From the leaves every tile is computed again and every checkpoint's root and signature
//! checked. What the events say of events that are missing (gaps in `n`, clock steps, unclean stops) is listed too.
//! Payloads and search terms are held against the leaves that commit to them, in steps of their own.

mod entries;
mod payloads;
mod tree;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haris_domain::{EventId, Log, kind};
use haris_merkle::VerifierKey;
use haris_merkle::tile::Entries;
use haris_store::Engine;
use haris_store::sqlx::{self, Row};
use haris_verify::{Findings, LeafView};

use crate::read::{checkpoint_row, integer, natural};
use crate::{EventRow, Ledger, ReadError};
use entries::{Anchored, Chunk, LogCheck, Packed};
use payloads::PayloadCheck;

/// Most problems that are listed; the rest is counted.
const PROBLEMS_MAX: usize = 1000;
/// Entries that are held in memory at once: sixteen bundles.
const CHUNK: u64 = 4_096;
/// Cosignatures that are looked at together.
const COSIGNATURES: i64 = 1_000;
/// Chunks without a row or a bundle, one after the other, after which the rest counts as gone: a forged counter or
/// checkpoint may name a size that nobody could ever walk through.
const CHUNKS_GONE_MAX: u32 = 16;
/// How often a long check says in the log how far it is.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Which log, if it belongs to one.
    pub log: Option<Log>,
    /// The first entry that it concerns, if it concerns entries.
    pub index: Option<u64>,
    /// What is wrong: a row, a bundle, a tile, a checkpoint, a pack or a key.
    pub what: String,
    /// How it shows.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.log, self.index) {
            (Some(log), Some(index)) => write!(f, "entry {index} of the {log} log: {}: {}", self.what, self.why),
            (Some(log), None) => write!(f, "the {log} log: {}: {}", self.what, self.why),
            _ => write!(f, "{}: {}", self.what, self.why),
        }
    }
}

/// One log's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsckLog {
    /// Which log.
    pub log: Log,
    /// Entries on record.
    pub size: u64,
    /// Those of them under a checkpoint.
    pub sealed: u64,
    /// Checkpoints whose root and signatures were checked.
    pub checkpoints: u64,
    /// Gaps, clock steps, stops and downtime.
    pub findings: Findings,
}

/// What was seen of payloads and search terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsckPayloads {
    /// Payloads that were opened and are what their events committed to.
    pub opened: u64,
    /// Payloads of which only the commitment was kept, and whose keys fit it: there is no text to check.
    pub not_stored: u64,
    /// Payloads whose keys a sealed erasure destroyed, or is destroying: there is nothing left to check.
    pub erased: u64,
    /// Payloads that are there and cannot be opened: each is due to a problem that is listed.
    pub unreadable: u64,
    /// Events whose search terms were derived anew.
    pub terms_checked: u64,
    /// Events whose search terms could not be, because their identifiers or the month's key do not open.
    pub terms_unchecked: u64,
    /// Events of kinds that this version does not know: their payloads were not looked at.
    pub events_unknown: u64,
}

/// How far a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsckProgress {
    /// Entries that were checked.
    pub entries: u64,
    /// Of so many in both logs.
    pub of: u64,
    /// Payloads that were opened.
    pub payloads: u64,
}

/// How far the newest check of this process is.
#[derive(Default)]
pub(crate) struct Progress {
    entries: AtomicU64,
    of: AtomicU64,
    payloads: AtomicU64,
}

impl Progress {
    fn begin(&self, of: u64) {
        self.entries.store(0, Ordering::Relaxed);
        self.payloads.store(0, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }

    fn payloads(&self, opened: u64) {
        self.payloads.store(opened, Ordering::Relaxed);
    }
}

/// The events whose payloads an entry says were erased.
fn erased_by(view: &LeafView<'_>) -> Vec<EventId> {
    if view.kind != kind::PAYLOAD_ERASED.name {
        return Vec::new();
    }
    let data = view.data();
    let ids = data["events"].as_array().into_iter().flatten().filter_map(|id| id.as_str());
    ids.filter_map(|id| id.parse().ok()).collect()
}

/// The whole account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fsck {
    /// Both logs, evidence first.
    pub logs: Vec<FsckLog>,
    /// What is wrong, by log and entry.
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub problems_not_listed: u64,
    /// Payload keys on record.
    pub payload_keys: u64,
    /// What was seen of the payloads.
    pub payloads: FsckPayloads,
}

impl Fsck {
    /// Whether everything is as it was written. Gaps and clock steps do not count: they are facts, not damage.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The first entry of which something is wrong: evidence before traffic, then in order.
    #[must_use]
    pub fn first_wrong(&self) -> Option<(Log, u64)> {
        self.problems.iter().filter_map(|problem| Some((problem.log?, problem.index?))).min()
    }

    fn add(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX { self.problems.push(problem) } else { self.problems_not_listed += 1 }
    }
}

/// A checkpoint on record, with the cosignature lines that the published copy may carry.
pub(super) struct Recorded {
    pub(super) note: String,
    pub(super) lines: Vec<String>,
}

fn wrong_cosignature(keys: &[VerifierKey], signer: &str, at: u64, line: &str, note: Option<&str>) -> Option<String> {
    let Some(note) = note else { return Some("there is no such checkpoint on record".to_owned()) };
    let read = haris_merkle::note::signatures(&format!("{line}\n")).ok();
    let Some(signature) = read.filter(|lines| lines.len() == 1).and_then(|mut lines| lines.pop()) else {
        return Some("its line is no signature".to_owned());
    };
    if signer != format!("{}+{}", signature.name, hex::encode(signature.id)) {
        return Some("its line is of another key".to_owned());
    }
    // A witness that is no longer configured: whoever has its key can still check the line.
    let key = keys.iter().find(|key| key.name() == signature.name && key.id() == signature.id)?;
    let text = haris_merkle::Note::parse(note.as_bytes()).ok()?;
    match key.verify(text.text(), &signature.blob) {
        Ok(Some(signed)) if signed == at => None,
        Ok(_) => Some("its row says another time than was signed".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

impl Ledger {
    /// Checks everything that was sealed, the rows after it, payloads and search terms. Reads only; events that are
    /// appended meanwhile are left for the next time. Memory is bounded, but for 16 bytes an erased event.
    ///
    /// # Errors
    /// When the database or the blobs cannot be read at all; what is wrong with what they hold is in the answer.
    pub async fn fsck(&self) -> Result<Fsck, ReadError> {
        let mut fsck = Fsck::default();
        match self.fsck_all(&mut fsck).await {
            Err(error) if error.is_damage() => {
                let why = format!("{}; what depends on that was not looked at", crate::error::chain(&error));
                fsck.add(Problem { log: None, index: None, what: "the database".to_owned(), why });
            }
            other => other?,
        }
        // Entries first: whoever looks for the first wrong one finds it at the top.
        let place = |problem: &Problem| (problem.log.is_none(), problem.log, problem.index.is_none(), problem.index);
        fsck.problems.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.cmp(b)));
        Ok(fsck)
    }

    /// How far the newest check in this process is.
    #[must_use]
    pub fn fsck_progress(&self) -> FsckProgress {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Progress { entries, of, payloads } = &self.inner().fsck;
        FsckProgress { entries: read(entries), of: read(of), payloads: read(payloads) }
    }

    async fn fsck_all(&self, fsck: &mut Fsck) -> Result<(), ReadError> {
        let mut payloads = self.payload_check().await?;
        let mut of = 0;
        for log in Log::ALL {
            of += self.counted(log).await?.unwrap_or_default();
        }
        self.inner().fsck.begin(of);
        let mut anchors = Vec::new();
        // Evidence first: its entries name the traffic log's checkpoints, and what was erased.
        for log in Log::ALL {
            let check = self.fsck_log(log, anchors, &mut payloads).await?;
            anchors = check.anchors_found;
            fsck.logs.push(check.account);
            check.problems.into_iter().for_each(|problem| fsck.add(problem));
            fsck.problems_not_listed += check.problems_not_listed;
        }
        self.fsck_payload_rest(payloads, fsck).await
    }

    async fn fsck_log(
        &self,
        log: Log,
        anchors: Vec<Anchored>,
        payloads: &mut PayloadCheck,
    ) -> Result<LogCheck, ReadError> {
        // The counter after the checkpoint: both only grow, and sealed entries are on record before they are sealed.
        let sealed = self.sealed_size(log).await?;
        let counted = self.counted(log).await?;
        let size = match counted {
            Some(size) => size,
            None => self.rows_end(log).await?,
        };
        let keys = self.verifier_keys(log).to_vec();
        let mut check = LogCheck::new(self.tiles(log), self.origin(log), keys, sealed, size, anchors);
        self.fsck_log_row(&mut check, log, counted.is_some()).await?;
        let end = size.max(sealed);
        let (mut from, mut gone, mut said) = (0, 0, Instant::now());
        let mut chunk = self.fsck_chunk(log, from, sealed).await?;
        while from < end && gone < CHUNKS_GONE_MAX {
            let to = if from < sealed { (from + CHUNK).min(sealed) } else { (from + CHUNK).min(end) };
            for (size, why) in std::mem::take(&mut chunk.malformed) {
                check.problem(None, format!("the checkpoint of {size} entries"), why);
            }
            // While one chunk is checked the next is fetched: two cores, where there are two.
            let work = self.blocking(move |_| {
                let reached = check.packed(from, to, &chunk);
                (check, chunk.checkpoints, reached)
            });
            let ((checked, checkpoints, reached), next) = tokio::join!(work, self.fsck_chunk(log, to, sealed));
            let (mut checked, reached) = (checked, reached?);
            gone += 1;
            if reached < to {
                let rows = self.fsck_read(&mut checked, log, reached, to).await?;
                if rows.is_empty() && !self.bundle_is_there(log, reached, sealed).await? {
                    let all =
                        if to - reached > 1 { format!(", with all up to entry {}", to - 1) } else { String::new() };
                    checked.problem(Some(reached), "its row", format!("it is missing{all}"));
                } else {
                    gone = 0;
                    let work = self.blocking(move |_| {
                        let done = checked.rows(reached, to, &rows, &checkpoints);
                        (checked, done)
                    });
                    let (slowly, done) = work.await;
                    done?;
                    checked = slowly;
                }
            }
            if reached > from {
                gone = 0;
            }
            self.inner().fsck.entries.fetch_add(to - from, Ordering::Relaxed);
            (check, chunk, from) = (checked, next?, to);
            payloads.erased.extend(check.erased.drain(..));
            let committed = std::mem::take(&mut check.committed);
            self.fsck_committed(log, committed, payloads).await?;
            if said.elapsed() >= SAY_EVERY {
                let FsckProgress { entries, of, payloads } = self.fsck_progress();
                tracing::info!(entries, of, payloads, "checking the ledger");
                said = Instant::now();
            }
        }
        if from < end {
            let why =
                format!("neither rows nor bundles are there, up to {end}, which the counter or a checkpoint names");
            check.problem(Some(from), "what follows", why);
        }
        self.fsck_rows_beyond(&mut check, log, size).await?;
        self.fsck_cosignatures(&mut check, log, sealed).await?;
        // A round of the sealer that is under way records its checkpoint first and publishes it a moment later.
        drop(self.inner().sealer.lock().await);
        let published = self.tiles(log);
        let published = self.blocking(move |_| published.checkpoint()).await?;
        let newest = match self.checkpoints_as_published(log, published.as_deref()).await {
            // A row that cannot be read was named among the others.
            Err(error) if error.is_damage() => None,
            newest => newest?,
        };
        let check = self.blocking(move |_| check.finish(published.as_deref(), newest.as_ref())).await?;
        Ok(check)
    }

    /// Whether the bundle of a sealed entry is there, whatever it holds.
    async fn bundle_is_there(&self, log: Log, index: u64, sealed: u64) -> Result<bool, ReadError> {
        let Some(name) = Entries::covering(index, sealed) else { return Ok(false) };
        let tiles = self.tiles(log);
        match self.blocking(move |_| tiles.bundle(name)).await {
            Err(ReadError::Damaged { .. }) => Ok(false),
            bundle => bundle.map(|_| true),
        }
    }

    /// The log's own row: its counter, its name, and the keys that sign it.
    async fn fsck_log_row(&self, check: &mut LogCheck, log: Log, counted: bool) -> Result<(), ReadError> {
        let row = sqlx::query("SELECT origin, verifier_keys FROM ledger_log WHERE log = $1").bind(log.name());
        let Some(row) = row.fetch_optional(self.sql()).await? else {
            check.problem(None, "its row in `ledger_log`", "it is missing");
            return Ok(());
        };
        if !counted {
            check.problem(None, "its counter", "it holds no number of entries");
        }
        let column = |name: &'static str| row.try_get::<String, _>(name).unwrap_or_default();
        let origin = column("origin");
        if origin != self.origin(log) {
            let why = format!("it says `{origin}`, and checkpoints are signed as `{}`", self.origin(log));
            check.problem(None, "its origin in `ledger_log`", why);
        }
        let keys: Vec<_> = self.verifier_keys(log).iter().map(ToString::to_string).collect();
        if column("verifier_keys") != keys.join("\n") {
            check.problem(None, "its keys in `ledger_log`", "they are not those that sign it");
        }
        Ok(())
    }

    /// What the log's counter says, if it can be read.
    async fn counted(&self, log: Log) -> Result<Option<u64>, ReadError> {
        let row = sqlx::query("SELECT next_index FROM ledger_log WHERE log = $1").bind(log.name());
        Ok(row.fetch_optional(self.sql()).await?.and_then(|row| natural(&row, "next_index").ok()))
    }

    /// The entries that the newest checkpoint on record covers, whatever else its row says.
    async fn sealed_size(&self, log: Log) -> Result<u64, ReadError> {
        let row = sqlx::query("SELECT COALESCE(MAX(size), 0) AS size FROM ledger_checkpoint WHERE log = $1");
        natural(&row.bind(log.name()).fetch_one(self.sql()).await?, "size")
    }

    /// The end of the rows, where no counter says it.
    async fn rows_end(&self, log: Log) -> Result<u64, ReadError> {
        let row = sqlx::query("SELECT COALESCE(MAX(leaf_index), -1) + 1 AS rows_end FROM ledger_event WHERE log = $1");
        natural(&row.bind(log.name()).fetch_one(self.sql()).await?, "rows_end")
    }

    /// The rows of entries `[from, to)`, one by one where the database cannot read them together.
    async fn fsck_read(&self, check: &mut LogCheck, log: Log, from: u64, to: u64) -> Result<Vec<EventRow>, ReadError> {
        match self.read(log, from, to).await {
            Err(error) if error.is_damage() => {}
            rows => return rows,
        }
        let mut rows = Vec::new();
        for index in from..to {
            match self.read(log, index, index + 1).await {
                Ok(row) => rows.extend(row),
                Err(error) if error.is_damage() => check.problem(Some(index), "its row", crate::error::chain(&error)),
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    /// The rows of sealed entries from `from` on, put together by the database: a row fetched on its own costs more
    /// than all that is done with it.
    async fn fsck_chunk(&self, log: Log, from: u64, sealed: u64) -> Result<Chunk, ReadError> {
        if from >= sealed {
            return Ok(Chunk::default());
        }
        let to = (from + CHUNK).min(sealed);
        // Whatever order the database takes, another one only means that the entries are looked at one by one.
        let sql = match self.store().engine() {
            Engine::Sqlite => {
                "SELECT MIN(leaf_index) AS first, COUNT(*) AS entries, \
                 CAST(group_concat(CAST(bytes AS TEXT), char(10)) AS BLOB) AS bytes, \
                 CAST(group_concat(CAST(leaf_hash AS TEXT), '') AS BLOB) AS hashes, group_concat(id, char(10)) AS ids \
                 FROM (SELECT leaf_index, id, leaf_hash, bytes FROM ledger_event \
                 WHERE log = $1 AND leaf_index >= $2 AND leaf_index < $3 ORDER BY leaf_index) GROUP BY leaf_index / 256"
            }
            Engine::Postgres => {
                "SELECT MIN(leaf_index) AS first, COUNT(*) AS entries, \
                 string_agg(bytes, '\\x0a'::bytea ORDER BY leaf_index) AS bytes, \
                 string_agg(leaf_hash, ''::bytea ORDER BY leaf_index) AS hashes, \
                 string_agg(id, chr(10) ORDER BY leaf_index) AS ids \
                 FROM ledger_event WHERE log = $1 AND leaf_index >= $2 AND leaf_index < $3 GROUP BY leaf_index / 256"
            }
        };
        let rows = sqlx::query(sql).bind(log.name()).bind(integer(from)).bind(integer(to)).fetch_all(self.sql()).await;
        let rows = match rows.map_err(ReadError::from) {
            Err(error) if error.is_damage() => Vec::new(),
            rows => rows?,
        };
        let read = |row: &sqlx::any::AnyRow| {
            Some(Packed {
                first: natural(row, "first").ok()?,
                count: natural(row, "entries").ok()?,
                bytes: row.try_get("bytes").ok()?,
                hashes: row.try_get("hashes").ok()?,
                ids: row.try_get("ids").ok()?,
            })
        };
        // What is not of its column's type is left out here, and so looked at one by one.
        let mut chunk = Chunk { packed: rows.iter().filter_map(read).collect(), ..Chunk::default() };
        let rows = sqlx::query(
            "SELECT log, size, root, at, note FROM ledger_checkpoint \
             WHERE log = $1 AND size > $2 AND size <= $3 ORDER BY size",
        )
        .bind(log.name())
        .bind(integer(from))
        .bind(integer(to))
        .fetch_all(self.sql())
        .await?;
        for row in &rows {
            match checkpoint_row(row) {
                Ok(row) => chunk.checkpoints.push(row),
                Err(error) => chunk.malformed.push((natural(row, "size")?, crate::error::chain(&error))),
            }
        }
        Ok(chunk)
    }

    /// Rows and checkpoints outside what the counters allow.
    async fn fsck_rows_beyond(&self, check: &mut LogCheck, log: Log, size: u64) -> Result<(), ReadError> {
        let row = sqlx::query(
            "SELECT leaf_index FROM ledger_event WHERE log = $1 AND (leaf_index < 0 OR leaf_index >= $2) \
             ORDER BY leaf_index LIMIT 1",
        )
        .bind(log.name())
        .bind(integer(size))
        .fetch_optional(self.sql())
        .await?;
        // One that was appended meanwhile moved the counter with it.
        if let Some(row) = row {
            let index: i64 = row.try_get("leaf_index")?;
            let size = self.size(log).await?;
            if index < 0 || index >= integer(size) {
                let why = format!("its index {index} lies outside what the counter allows, which says {size}");
                check.problem(u64::try_from(index).ok(), "a row", why);
            }
        }
        Ok(())
    }

    /// The recorded checkpoint of the size that is published.
    async fn checkpoints_as_published(
        &self,
        log: Log,
        published: Option<&[u8]>,
    ) -> Result<Option<Recorded>, ReadError> {
        let size =
            published.and_then(|bytes| haris_merkle::Checkpoint::parse(bytes).ok()).map(|(parsed, _)| parsed.size);
        let row = match size {
            None => self.checkpoint(log).await?,
            Some(size) => self.checkpoint_covering(log, size).await?.filter(|row| row.size == size),
        };
        let Some(row) = row else { return Ok(None) };
        let cosignatures = self.cosignatures(log, row.size).await?;
        Ok(Some(Recorded { note: row.note, lines: cosignatures.into_iter().map(|one| one.line).collect() }))
    }

    /// Cosignatures on record: each belongs to a checkpoint, reads as its row says and, where its key is known, is
    /// valid.
    async fn fsck_cosignatures(&self, check: &mut LogCheck, log: Log, sealed: u64) -> Result<(), ReadError> {
        let keys = self.inner().witness_keys.lock().clone();
        let (mut size, mut signer) = (-1_i64, String::new());
        loop {
            let rows = sqlx::query(
                "SELECT s.size AS size, s.signer AS signer, s.at AS at, s.line AS line, c.note AS note \
                 FROM ledger_cosignature s LEFT JOIN ledger_checkpoint c ON c.log = s.log AND c.size = s.size \
                 WHERE s.log = $1 AND s.size <= $2 AND (s.size > $3 OR (s.size = $3 AND s.signer > $4)) \
                 ORDER BY s.size, s.signer LIMIT $5",
            )
            .bind(log.name())
            .bind(integer(sealed))
            .bind(size)
            .bind(signer.as_str())
            .bind(COSIGNATURES)
            .fetch_all(self.sql())
            .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            (size, signer) = (last.try_get("size")?, last.try_get("signer")?);
            for row in &rows {
                let (size, signer) = (natural(row, "size")?, row.try_get::<String, _>("signer")?);
                let (at, line) = (natural(row, "at")?, row.try_get::<String, _>("line")?);
                let note: Option<String> = row.try_get("note")?;
                if let Some(why) = wrong_cosignature(&keys, &signer, at, &line, note.as_deref()) {
                    let what = format!("the cosignature of {size} entries by `{signer}`");
                    check.problem(None, what, why);
                }
            }
        }
    }
}
