//! Checking the ledger against itself: rows, entry bundles, tiles and checkpoints all derive from the same leaves, so
//! whichever was changed differs from the others.
//!
//! Each leaf is looked at once: its bytes in the bundle, its bytes and hash in the row, its hash in the tile. Two that
//! agree name the third. From the leaves every tile is computed again and every checkpoint's root and signature
//! checked. What the events say of events that are missing (gaps in `n`, clock steps, unclean stops) is listed too.

mod entries;
mod tree;

use std::fmt;

use haris_domain::Log;
use haris_merkle::VerifierKey;
use haris_store::Engine;
use haris_store::sqlx::{self, Row};
use haris_verify::Findings;

use crate::read::{integer, natural};
use crate::{Ledger, ReadError};
use entries::{Anchored, Chunk, LogCheck, Packed};

/// Most problems that are listed; the rest is counted.
const PROBLEMS_MAX: usize = 1000;
/// Entries that are held in memory at once: sixteen bundles.
const CHUNK: u64 = 4_096;
/// Cosignatures that are looked at together.
const COSIGNATURES: i64 = 1_000;
/// Packs that are looked up at once.
const PACKS: i64 = 1_000;

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
}

impl Fsck {
    /// Whether everything is as it was written. Gaps and clock steps do not count: they are facts, not damage.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
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
    /// Checks everything that was sealed, the rows after it, and the payloads' keys. Reads only; events that are
    /// appended meanwhile are left for the next time. Memory is bounded.
    ///
    /// # Errors
    /// When the database or the blobs cannot be read at all; what is wrong with what they hold is in the answer.
    pub async fn fsck(&self) -> Result<Fsck, ReadError> {
        let mut fsck = Fsck::default();
        let mut anchors = Vec::new();
        // Evidence first: its entries name the traffic log's checkpoints.
        for log in Log::ALL {
            let check = self.fsck_log(log, anchors).await?;
            anchors = check.anchors_found;
            fsck.logs.push(check.account);
            check.problems.into_iter().for_each(|problem| fsck.add(problem));
            fsck.problems_not_listed += check.problems_not_listed;
        }
        self.fsck_payloads(&mut fsck).await?;
        fsck.problems.sort();
        Ok(fsck)
    }

    async fn fsck_log(&self, log: Log, anchors: Vec<Anchored>) -> Result<LogCheck, ReadError> {
        // The counter after the checkpoint: both only grow, and sealed entries are on record before they are sealed.
        let sealed = self.checkpoint(log).await?.map_or(0, |row| row.size);
        let size = self.size(log).await?;
        let keys = self.verifier_keys(log).to_vec();
        let mut check = LogCheck::new(self.tiles(log), self.origin(log), keys, sealed, size, anchors);
        let end = size.max(sealed);
        let mut from = 0;
        let mut chunk = self.fsck_chunk(log, from, sealed).await?;
        while from < end {
            let to = if from < sealed { (from + CHUNK).min(sealed) } else { (from + CHUNK).min(end) };
            // While one chunk is checked the next is fetched: two cores, where there are two.
            let work = self.blocking(move |_| {
                let reached = check.packed(from, to, &chunk);
                (check, chunk.checkpoints, reached)
            });
            let ((checked, checkpoints, reached), next) = tokio::join!(work, self.fsck_chunk(log, to, sealed));
            let (mut checked, reached) = (checked, reached?);
            if reached < to {
                let rows = self.read(log, reached, to).await?;
                let work = self.blocking(move |_| {
                    let done = checked.rows(reached, to, &rows, &checkpoints);
                    (checked, done)
                });
                let (slowly, done) = work.await;
                done?;
                checked = slowly;
            }
            (check, chunk, from) = (checked, next?, to);
        }
        self.fsck_rows_beyond(&mut check, log, size).await?;
        self.fsck_cosignatures(&mut check, log, sealed).await?;
        // A round of the sealer that is under way records its checkpoint first and publishes it a moment later.
        drop(self.inner().sealer.lock().await);
        let published = self.tiles(log);
        let published = self.blocking(move |_| published.checkpoint()).await?;
        let newest = self.checkpoints_as_published(log, published.as_deref()).await?;
        let check = self.blocking(move |_| check.finish(published.as_deref(), newest.as_ref())).await?;
        Ok(check)
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
        let rows =
            sqlx::query(sql).bind(log.name()).bind(integer(from)).bind(integer(to)).fetch_all(self.sql()).await?;
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
        let packed = rows.iter().filter_map(read).collect();
        Ok(Chunk { packed, checkpoints: self.checkpoints(log, from + 1, to).await? })
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

    /// Keys that should open, and packs that should be there.
    async fn fsck_payloads(&self, fsck: &mut Fsck) -> Result<(), ReadError> {
        let row = sqlx::query("SELECT COUNT(*) AS keys FROM ledger_payload_key").fetch_one(self.sql()).await?;
        fsck.payload_keys = natural(&row, "keys")?;
        for row in sqlx::query("SELECT id, wrapped FROM ledger_day_key ORDER BY day").fetch_all(self.sql()).await? {
            let (id, wrapped) = (row.try_get::<String, _>("id")?, row.try_get::<Vec<u8>, _>("wrapped")?);
            // As it is on record, not as this process may still have it in memory.
            if let Err(error) = self.inner().keys.unwrap_day_key(&id, &wrapped) {
                let (what, why) = (format!("day key `{id}`"), crate::error::chain(&error));
                fsck.add(Problem { log: None, index: None, what, why });
            }
        }
        let mut after = String::new();
        loop {
            let rows = sqlx::query(
                "SELECT pack, MAX(pack_offset + pack_length) AS pack_end FROM ledger_payload_key \
                 WHERE pack > $1 GROUP BY pack ORDER BY pack LIMIT $2",
            )
            .bind(after.as_str())
            .bind(PACKS)
            .fetch_all(self.sql())
            .await?;
            let mut packs: Vec<(String, u64)> = Vec::with_capacity(rows.len());
            for row in &rows {
                packs.push((row.try_get("pack")?, natural(row, "pack_end")?));
            }
            let Some((last, _)) = packs.last() else { return Ok(()) };
            after.clone_from(last);
            let missing = self.blocking(move |blobs| {
                let short = |(pack, end): &(String, u64)| {
                    let last = end.checked_sub(1).map(|at| blobs.get_range(pack, at, 1)).transpose();
                    last.map(|byte| byte.flatten().is_none_or(|byte| byte.is_empty()))
                };
                let mut missing = Vec::new();
                for pack in &packs {
                    if short(pack)? {
                        missing.push(pack.0.clone());
                    }
                }
                Ok::<_, haris_store::BlobError>(missing)
            });
            for pack in missing.await? {
                // An erasure that ran meanwhile takes the rows away with the pack.
                let still = sqlx::query("SELECT 1 FROM ledger_payload_key WHERE pack = $1 LIMIT 1").bind(pack.as_str());
                if still.fetch_optional(self.sql()).await?.is_some() {
                    let why = "it is missing or ends early: its payloads cannot be opened".to_owned();
                    fsck.add(Problem { log: None, index: None, what: format!("pack `{pack}`"), why });
                }
            }
        }
    }
}
