//! Evidence bundles: what an auditor takes away.
//!
//! Leaves and tiles come from the sealed bundles, never from the rows, which are a cache. An export is itself an event,
//! recorded before the bundle is handed out; and a bundle that does not verify is not handed out at all.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::time::Duration;

use haris_domain::{Actor, Draft, Event, EventId, Log, PayloadRef, Stored, Timestamp, kind};
use haris_merkle::tile::{Entries, TILE_WIDTH, Tile, chain, encode, right_edge};
use haris_merkle::tree;
use haris_store::sqlx::{self, Row};
use haris_verify::{BundleWriter, Filter, LeafView, LogPart, Manifest, Scope, Trust, Window, ZipError};
use zeroize::Zeroizing;

use crate::payload::seal_text;
use crate::read::{integer, natural};
use crate::{AppendError, CheckpointRow, Ledger, LogTiles, Payload, ReadError, SealError};

/// Leaves of a selection, whose indices are held in memory.
const SELECTED_MAX: usize = 4_000_000;
/// How long an export waits for witnesses. Without them the bundle says that the operator alone signed.
const COSIGNERS_WAIT: Duration = Duration::from_secs(5);
/// Payloads of one bundle: two members each, and a bundle holds 65,535.
const PAYLOADS_MAX: usize = 30_000;

/// What to export.
#[derive(Clone, Debug)]
pub struct Export {
    /// Events born at or after this moment.
    pub from: Option<Timestamp>,
    /// Events born before this moment.
    pub to: Option<Timestamp>,
    /// Conditions that all hold.
    pub filter: Vec<Filter>,
    /// With a filter: every leaf of the range nevertheless, so that completeness is shown. Without one that is so
    /// anyway.
    pub complete: bool,
    /// Whether to open the payloads of the events that meet window and filter.
    pub with_payloads: bool,
    /// What makes the bundle: `haris 0.1.0`.
    pub made_by: String,
    /// Who asked.
    pub actor: Actor,
    /// How many keys of witnesses should have signed the checkpoints. They are waited for, not insisted on.
    pub cosigners: usize,
}

/// What was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// What the bundle says of itself.
    pub manifest: Manifest,
    /// Its length.
    pub bytes: u64,
    /// Payloads that are not in it because they were erased.
    pub payloads_erased: u64,
    /// The event that records the export; it is not in the bundle.
    pub event: EventId,
}

/// No bundle was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is nothing sealed yet.
    #[error("nothing is sealed yet: try again in a second")]
    Nothing,
    /// Another process seals, and has not come to the newest anchor.
    #[error("the process that seals has not yet tied the traffic log to the evidence log: try again in a second")]
    NotAnchored,
    /// Too much for one bundle.
    #[error("{what}: narrow the window or the filter, or export in parts")]
    TooMuch {
        /// What is too much.
        what: String,
    },
    /// A payload was erased while the export ran.
    #[error("payload `{name}` of event {id} was erased meanwhile: export again")]
    ErasedMeanwhile {
        /// Which event.
        id: EventId,
        /// Which payload.
        name: String,
    },
    /// The bundle does not verify: the ledger is damaged.
    #[error("the bundle does not verify, so the ledger is damaged: {problem}; run `haris ledger fsck`")]
    NotProven {
        /// The first thing that is wrong.
        problem: String,
    },
    /// The export could not be recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Writing the bundle failed.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// The bundle could not be read back.
    #[error("could not read the bundle back")]
    Io(#[from] std::io::Error),
    /// The database refused.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
}

/// One log of an export.
#[derive(Clone)]
struct Part {
    log: Log,
    tiles: LogTiles,
    checkpoint: CheckpointRow,
    from: u64,
    to: u64,
    /// The leaves of a selection; none for a range.
    selected: Option<Vec<u64>>,
    /// Payloads to open.
    payloads: Vec<(EventId, PayloadRef)>,
}

/// The entry of the evidence log that names the traffic log's checkpoint.
type Anchor = Option<(u64, Vec<u8>)>;

impl Ledger {
    /// Seals, then writes an evidence bundle into `file`, which is open for reading and writing and empty. Memory is
    /// bounded, however long the range.
    ///
    /// # Errors
    /// When there is nothing to export, it does not fit a bundle, or the ledger is damaged.
    pub async fn export(&self, what: Export, file: File, now: Timestamp) -> Result<Exported, ExportError> {
        self.seal_and_anchor(now).await?;
        let sealed = self.checkpoint(Log::Evidence).await?.ok_or(ExportError::Nothing)?;
        let evidence = self.best_witnessed(Log::Evidence, sealed.size, what.cosigners, COSIGNERS_WAIT).await?;
        let (mut parts, anchor) = self.parts(&what, evidence.unwrap_or(sealed)).await?;
        let scope = if what.filter.is_empty() || what.complete { Scope::Range } else { Scope::Selection };
        if scope == Scope::Selection || what.with_payloads {
            for part in &mut parts {
                let (one, what) = (part.clone(), what.clone());
                *part = self.blocking(move |_| choose(one, scope, &what)).await?;
            }
        }
        let payloads_erased = self.drop_erased(&mut parts).await?;
        let manifest = self.manifest(&what, scope, &parts, now);
        let event = self.record_export(&what, &manifest, now).await?;
        let opened: Vec<_> = parts.iter_mut().flat_map(|part| std::mem::take(&mut part.payloads)).collect();
        let named = manifest.clone();
        let writer = self.blocking(move |_| write_logs(file, &named, &parts, &anchor));
        let file = self.write_payloads(writer.await?, opened).await?;
        let keys = Log::ALL.iter().flat_map(|log| self.verifier_keys(*log)).cloned().collect();
        let bytes = self.blocking(move |_| check(file, &Trust { keys, policy: None })).await?;
        Ok(Exported { manifest, bytes, payloads_erased, event })
    }

    /// The newest checkpoints that belong together, and the ranges that the window covers.
    async fn parts(&self, what: &Export, evidence: CheckpointRow) -> Result<(Vec<Part>, Anchor), ExportError> {
        let row = sqlx::query(
            "SELECT leaf_index, size FROM ledger_anchor WHERE leaf_index < $1 ORDER BY leaf_index DESC LIMIT 1",
        )
        .bind(integer(evidence.size))
        .fetch_optional(self.sql())
        .await?;
        let mut anchor = None;
        let mut checkpoints = vec![(Log::Evidence, evidence.clone())];
        if let Some(row) = row {
            let (index, size) = (natural(&row, "leaf_index")?, natural(&row, "size")?);
            let traffic = self.checkpoint_covering(Log::Traffic, size).await?.filter(|row| row.size == size);
            let traffic = traffic.ok_or_else(|| ReadError::Damaged {
                what: format!("the traffic log's checkpoint of {size} entries"),
                why: "it was anchored and is not on record".to_owned(),
            })?;
            let (tiles, size) = (self.tiles(Log::Evidence), evidence.size);
            anchor = Some((index, self.blocking(move |_| entry(&tiles, index, size)).await?));
            checkpoints.push((Log::Traffic, traffic));
        } else if self.checkpoint(Log::Traffic).await?.is_some_and(|row| row.size > 0) {
            return Err(ExportError::NotAnchored);
        }
        let mut parts = Vec::new();
        for (log, mut checkpoint) in checkpoints {
            checkpoint.note = self.cosigned_note(&checkpoint).await?;
            let (from, to) = self.range(log, what, checkpoint.size).await?;
            let tiles = self.tiles(log);
            parts.push(Part { log, tiles, checkpoint, from, to, selected: None, payloads: Vec::new() });
        }
        Ok((parts, anchor))
    }

    /// The indices that hold every event of the window and one beyond each edge, which shows the verifier that the
    /// window ends there. An event id starts with its time, so the ids' index finds them.
    async fn range(&self, log: Log, what: &Export, size: u64) -> Result<(u64, u64), ExportError> {
        if what.from.is_none() && what.to.is_none() {
            return Ok((0, size));
        }
        // Ids carry milliseconds: up to the one after the last.
        let bound = |at: Timestamp| EventId::new(at, [0; 10]).to_string();
        let first = what.from.map_or_else(String::new, bound);
        let end = what.to.map_or_else(|| "g".to_owned(), |to| bound(to.plus_micros(999)));
        let row = sqlx::query(
            "SELECT MIN(leaf_index) AS first, MAX(leaf_index) AS last FROM ledger_event \
             WHERE log = $1 AND id >= $2 AND id < $3 AND leaf_index < $4",
        )
        .bind(log.name())
        .bind(first.as_str())
        .bind(end)
        .bind(integer(size))
        .fetch_one(self.sql())
        .await?;
        let (first, end) = if row.try_get::<Option<i64>, _>("first")?.is_some() {
            (natural(&row, "first")?, natural(&row, "last")? + 1)
        } else {
            // Nothing in the window: the place where it would be.
            let sql = "SELECT COALESCE(MAX(leaf_index) + 1, 0) AS place FROM ledger_event \
                       WHERE log = $1 AND id < $2 AND leaf_index < $3";
            let row = sqlx::query(sql).bind(log.name()).bind(first).bind(integer(size)).fetch_one(self.sql()).await?;
            let place = natural(&row, "place")?;
            (place, place)
        };
        Ok((first.saturating_sub(1), (end + 1).min(size)))
    }

    /// Forgets payloads that were erased; gives how many.
    async fn drop_erased(&self, parts: &mut [Part]) -> Result<u64, ExportError> {
        let mut erased = 0;
        for part in parts {
            let mut living = Vec::with_capacity(part.payloads.len());
            for (id, reference) in std::mem::take(&mut part.payloads) {
                let row = sqlx::query("SELECT 1 FROM ledger_payload_key WHERE event_id = $1 AND name = $2")
                    .bind(id.to_string())
                    .bind(reference.name.as_str())
                    .fetch_optional(self.sql())
                    .await?;
                if row.is_some() { living.push((id, reference)) } else { erased += 1 }
            }
            part.payloads = living;
        }
        Ok(erased)
    }

    fn manifest(&self, what: &Export, scope: Scope, parts: &[Part], now: Timestamp) -> Manifest {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let window = Window { from: text(what.from), to: text(what.to) };
        let part = |part: &Part| LogPart {
            log: part.log.name().to_owned(),
            origin: self.origin(part.log).to_owned(),
            size: part.checkpoint.size,
            root: format!("sha256:{}", hex::encode(part.checkpoint.root)),
            scope,
            from: part.from,
            to: part.to,
            leaves: part.selected.as_ref().map_or(part.to - part.from, |selected| selected.len() as u64),
            keys: self.verifier_keys(part.log).iter().map(ToString::to_string).collect(),
        };
        Manifest {
            schema: haris_verify::bundle::SCHEMA.to_owned(),
            made_at: now.to_string(),
            made_by: what.made_by.clone(),
            window: (what.from.is_some() || what.to.is_some()).then_some(window),
            filter: what.filter.iter().map(ToString::to_string).collect(),
            logs: parts.iter().map(part).collect(),
            payloads: parts.iter().map(|part| part.payloads.len() as u64).sum(),
        }
    }

    /// Records who takes what away. The filter was typed by a person: it is a payload, not part of the leaf.
    async fn record_export(&self, what: &Export, manifest: &Manifest, now: Timestamp) -> Result<EventId, ExportError> {
        let logs: serde_json::Map<String, serde_json::Value> = manifest
            .logs
            .iter()
            .map(|part| {
                let range =
                    serde_json::json!({ "size": part.size, "from": part.from, "to": part.to, "leaves": part.leaves });
                (part.log.clone(), range)
            })
            .collect();
        let draft = Draft::new(&kind::BUNDLE_EXPORTED, now, what.actor.clone())
            .with(
                "scope",
                if manifest.logs.iter().all(|part| part.scope == Scope::Range) { "range" } else { "selection" },
            )
            .with("logs", logs)
            .with("filters", manifest.filter.len())
            .with("payloads", manifest.payloads);
        let mut payloads = Vec::new();
        if !manifest.filter.is_empty() {
            payloads.push(seal_text(self, now, draft.id, "filter", &manifest.filter.join("\n"))?);
        }
        let id = draft.id;
        self.append(vec![(draft, payloads)]).await?;
        Ok(id)
    }

    async fn write_payloads(
        &self,
        mut writer: BundleWriter<File>,
        payloads: Vec<(EventId, PayloadRef)>,
    ) -> Result<File, ExportError> {
        for (id, reference) in payloads {
            let Payload::Text { text, commit_key } = self.open_reference(id, &reference).await? else {
                return Err(ExportError::ErasedMeanwhile { id, name: reference.name });
            };
            let name = reference.name;
            let written = self.blocking(move |_| write_payload(writer, id, &name, &text, &commit_key));
            writer = written.await?;
        }
        Ok(self.blocking(move |_| writer.finish()).await?)
    }
}

fn write_payload(
    mut writer: BundleWriter<File>,
    id: EventId,
    name: &str,
    text: &Zeroizing<Vec<u8>>,
    commit_key: &[u8; 32],
) -> Result<BundleWriter<File>, ZipError> {
    writer.payload(&id.to_string(), name, text, commit_key)?;
    Ok(writer)
}

/// Goes through the leaves of a range once to choose those of a selection, and the payloads to open.
fn choose(mut part: Part, scope: Scope, what: &Export) -> Result<Part, ExportError> {
    let mut selected = Vec::new();
    let mut payloads = Vec::new();
    for_leaves(&part.tiles, part.from, part.to, part.checkpoint.size, |index, leaf| {
        let view = LeafView::parse(leaf).map_err(|error| damaged(part.log, index, &error))?;
        let at = view.at_micros();
        let in_window = what.from.is_none_or(|from| at.is_some_and(|at| at >= from.micros()))
            && what.to.is_none_or(|to| at.is_some_and(|at| at < to.micros()));
        if !in_window || !what.filter.iter().all(|filter| filter.matches(&view)) {
            return Ok(());
        }
        if scope == Scope::Selection {
            selected.push(index);
        }
        if what.with_payloads {
            let event = Event::parse(leaf).map_err(|error| damaged(part.log, index, &error))?;
            let stored = event.payloads.into_iter().filter(|payload| payload.stored != Stored::None);
            payloads.extend(stored.map(|payload| (event.id, payload)));
        }
        if selected.len() > SELECTED_MAX {
            return Err(ExportError::TooMuch { what: format!("more than {SELECTED_MAX} events meet the filter") });
        }
        if payloads.len() > PAYLOADS_MAX {
            return Err(ExportError::TooMuch { what: format!("more than {PAYLOADS_MAX} payloads would be opened") });
        }
        Ok(())
    })?;
    part.selected = (scope == Scope::Selection).then_some(selected);
    part.payloads = payloads;
    Ok(part)
}

fn write_logs(
    file: File,
    manifest: &Manifest,
    parts: &[Part],
    anchor: &Anchor,
) -> Result<BundleWriter<File>, ExportError> {
    let mut writer = BundleWriter::new(file, manifest)?;
    for part in parts {
        let name = part.log.name();
        writer.checkpoint(name, part.checkpoint.note.as_bytes())?;
        let anchor_index = anchor.as_ref().map(|(index, _)| *index).filter(|_| part.log == Log::Evidence);
        for tile in needed_tiles(part, anchor_index)? {
            let hashes = tree::fetch(&part.tiles, tile).map_err(|error| part.tiles.tree_error(error))?;
            writer.tile(name, tile, &encode(&hashes))?;
        }
        if let Some((index, leaf)) = anchor.as_ref().filter(|_| part.log == Log::Traffic) {
            writer.anchor(name, *index, leaf)?;
        }
        writer.leaves(name)?;
        let mut chosen = part.selected.as_ref().map(|selected| selected.iter().copied().peekable());
        let spans: Vec<(u64, u64)> = match &part.selected {
            None => vec![(part.from, part.to)],
            // Only the bundles that hold something chosen are read.
            Some(selected) => spans(selected),
        };
        for (from, to) in spans {
            for_leaves(&part.tiles, from, to, part.checkpoint.size, |index, leaf| {
                if chosen.as_mut().is_none_or(|chosen| chosen.next_if_eq(&index).is_some()) {
                    writer.leaf(index, leaf)?;
                }
                Ok(())
            })?;
        }
    }
    Ok(writer)
}

/// The chosen indices as runs within one entry bundle each: `[first, last + 1)`.
fn spans(selected: &[u64]) -> Vec<(u64, u64)> {
    let width = u64::from(TILE_WIDTH);
    selected.chunk_by(|a, b| a / width == b / width).map(|run| (run[0], run[run.len() - 1] + 1)).collect()
}

/// The tiles that tie a part's leaves to its checkpoint.
fn needed_tiles(part: &Part, anchor: Option<u64>) -> Result<BTreeSet<Tile>, ExportError> {
    let (size, width) = (part.checkpoint.size, u64::from(TILE_WIDTH));
    let mut tiles: BTreeSet<Tile> = right_edge(size).into_iter().collect();
    let mut add = |index: u64| {
        tiles.extend(chain(index, size));
        if tiles.len() < haris_verify::MEMBERS_MAX {
            return Ok(());
        }
        Err(ExportError::TooMuch { what: format!("more than {} tiles are needed", haris_verify::MEMBERS_MAX) })
    };
    anchor.map_or(Ok(()), &mut add)?;
    match &part.selected {
        None => (part.from / width..part.to.div_ceil(width)).try_for_each(|tile| add((tile * width).max(part.from)))?,
        Some(selected) => selected.iter().try_for_each(|index| add(*index))?,
    }
    Ok(tiles)
}

/// Hands out the leaves of `[from, to)`, bundle by bundle.
fn for_leaves(
    tiles: &LogTiles,
    from: u64,
    to: u64,
    size: u64,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let mut index = from;
    while index < to {
        let Some(name) = Entries::covering(index, size) else { break };
        let bytes = tiles.bundle(name)?;
        let entries = name.decode(&bytes).map_err(|error| damaged(tiles.log(), index, &error))?;
        let start = name.index * u64::from(TILE_WIDTH);
        for (at, leaf) in (start..to).zip(entries) {
            if at >= index {
                each(at, leaf)?;
            }
        }
        index = start + u64::from(name.width);
    }
    Ok(())
}

fn entry(tiles: &LogTiles, index: u64, size: u64) -> Result<Vec<u8>, ExportError> {
    let mut found = Vec::new();
    for_leaves(tiles, index, index + 1, size, |_, leaf| {
        found = leaf.to_vec();
        Ok(())
    })?;
    Ok(found)
}

fn damaged(log: Log, index: u64, why: &dyn std::fmt::Display) -> ExportError {
    ReadError::Damaged { what: format!("entry {index} of the {log} log"), why: why.to_string() }.into()
}

/// Reads the bundle as an auditor will, with the keys that they should be given.
fn check(mut file: File, trust: &Trust) -> Result<u64, ExportError> {
    file.sync_all()?;
    let bytes = file.seek(SeekFrom::End(0))?;
    let report = haris_verify::verify(&mut file, trust, &mut ())?;
    match report.problems.into_iter().next() {
        None => Ok(bytes),
        Some(problem) => Err(ExportError::NotProven { problem }),
    }
}
