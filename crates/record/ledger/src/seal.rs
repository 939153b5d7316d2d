//! The sealer: from rows to tiles, from tiles to a signed checkpoint.
//!
//! Each round goes through the same steps, and a crash between any two of them loses nothing:
//!
//! 1. leaves are taken from memory if this process appended them, else from their rows, which are held against the
//!    hashes recorded with them;
//! 2. full tiles, full bundles and the partial ones of the new size are written and durable;
//! 3. the signed checkpoint becomes a row, unique by log and size: from here on it is the truth;
//! 4. the published `checkpoint` is replaced by a copy of it;
//! 5. partial tiles and bundles whose full one now exists are removed. Readers of an older checkpoint fall back to it.
//!
//! What step 2 wrote before a crash is written again with the same bytes, since leaves never change; other bytes there
//! are refused. One process seals: a mutex within it, and PostgreSQL's advisory lock between several.

use haris_domain::{Event, Log, Timestamp};
use haris_merkle::tile::{Entries, TILE_WIDTH, Tile, hashes_at, push_entry, width_at};
use haris_merkle::{Checkpoint, Frontier, Hash, Signer, leaf_hash};
use haris_store::sqlx::{self, Row};
use haris_store::{Blobs, Engine, Put, Tx};
use std::ops::Range;
use std::time::Duration;
use tokio::sync::watch;

use crate::read::{EventRow, integer};
use crate::{CheckpointRow, Ledger, LogTiles, OpenError, ReadError, SealError};

/// What one round sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// The logs that grew.
    pub logs: Vec<SealedLog>,
    /// Another process holds the sealer's lock and does this.
    pub elsewhere: bool,
}

/// One log's new checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedLog {
    /// Which log.
    pub log: Log,
    /// Entries it covers.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

/// What the sealer remembers of each log between rounds.
#[derive(Default)]
pub(crate) struct Sealer {
    edges: [Edge; 2],
}

/// The open end of a log: its right-most tiles, and the bytes of its right-most bundle.
#[derive(Clone, Default)]
struct Edge {
    frontier: Frontier,
    bundle: Vec<u8>,
    /// The size up to which superseded partials are known to be gone.
    tidy: u64,
}

/// Entries of one checkpoint: bounds what a round holds in memory when there is much to catch up with.
pub(crate) const ENTRIES_PER_ROUND: u64 = 2_048;
/// How often the traffic log is anchored in the evidence log while it grows.
const ANCHOR_EVERY_MICROS: i64 = 5 * 60 * 1_000_000;
/// New events gather this long, so that a burst makes one checkpoint; well within the second that is promised.
const GATHER: Duration = Duration::from_millis(400);
/// How often to look for events that another process appended, and to retry after an error.
const LOOK_EVERY: Duration = Duration::from_millis(700);
/// PostgreSQL's advisory lock of whoever seals. Locks are per database, so any fixed number will do.
const SEALER_LOCK: i64 = 0x6861_7269_7302;

impl Ledger {
    /// Seals what is new in both logs, and anchors the traffic log every five minutes while it grows.
    ///
    /// # Errors
    /// When a row is not what was appended, or a step fails; the next round goes on from there.
    pub async fn seal(&self, now: Timestamp) -> Result<Sealed, SealError> {
        self.seal_with(ANCHOR_EVERY_MICROS, now).await
    }

    /// Seals, and anchors the traffic log if it grew since the last anchor: before an export, at shutdown.
    ///
    /// # Errors
    /// As [`Ledger::seal`].
    pub async fn seal_and_anchor(&self, now: Timestamp) -> Result<Sealed, SealError> {
        self.seal_with(0, now).await
    }

    async fn seal_with(&self, anchor_older_than: i64, now: Timestamp) -> Result<Sealed, SealError> {
        let mut sealer = self.inner().sealer.lock().await;
        if let Some(why) = self.signing_barred() {
            return Err(SealError::Barred { why });
        }
        let Some(lock) = self.sealer_lock().await? else {
            return Ok(Sealed { logs: Vec::new(), elsewhere: true });
        };
        let mut sealed = Sealed::default();
        // Traffic first, so that its anchor is sealed in the same round. A damaged traffic log keeps nobody from
        // sealing evidence.
        let traffic = self.seal_log(&mut sealer, Log::Traffic, now).await;
        let anchored = match &traffic {
            Ok(_) => self.anchor(anchor_older_than, now).await.map(|_| ()),
            Err(_) => Ok(()),
        };
        let evidence = self.seal_log(&mut sealer, Log::Evidence, now).await;
        if let Some(lock) = lock {
            lock.commit().await?;
        }
        sealed.logs.extend(evidence?);
        sealed.logs.extend(traffic?);
        if !sealed.logs.is_empty() {
            self.inner().sealed.send_modify(|rounds| *rounds += 1);
        }
        anchored.map_err(Box::new)?;
        Ok(sealed)
    }

    /// Seals within a second of new events until `stop` says true or its sender is gone; then seals and anchors once
    /// more. Stop whatever appends first.
    pub async fn run_sealer(&self, clock: fn() -> Timestamp, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow_and_update() {
            tokio::select! {
                () = self.inner().appended.notified() => tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = self.inner().ripe.notified() => {}
                },
                () = tokio::time::sleep(LOOK_EVERY) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
            let sealed = self.seal(clock()).await;
            self.note_outcome(sealed);
        }
        let sealed = self.seal_and_anchor(clock()).await;
        self.note_outcome(sealed);
    }

    /// Keeps what went wrong for `status`, and says it once.
    fn note_outcome(&self, sealed: Result<Sealed, SealError>) {
        let error = sealed.err().map(|error| crate::error::chain(&error));
        let mut known = self.inner().sealer_error.lock();
        if *known != error {
            match &error {
                Some(error) => tracing::error!(error, "nothing new is sealed"),
                None => tracing::info!("sealing goes on"),
            }
            *known = error;
        }
    }

    /// The right to seal, while the transaction lasts; none when another process has it.
    async fn sealer_lock(&self) -> Result<Option<Option<Tx<'static>>>, sqlx::Error> {
        if self.store().engine() == Engine::Sqlite {
            return Ok(Some(None));
        }
        let mut tx = self.store().begin().await?;
        let row = sqlx::query("SELECT pg_try_advisory_xact_lock($1)").bind(SEALER_LOCK).fetch_one(&mut *tx).await?;
        Ok(row.try_get::<bool, _>(0)?.then_some(Some(tx)))
    }

    async fn seal_log(&self, sealer: &mut Sealer, log: Log, now: Timestamp) -> Result<Option<SealedLog>, SealError> {
        let edge = &mut sealer.edges[log as usize];
        let total = self.size(log).await?;
        let recorded = self.checkpoint(log).await?;
        if recorded.as_ref().map_or(0, |row| row.size) != edge.frontier.size() {
            // Another process sealed in the meantime.
            let tidy = edge.tidy;
            *edge = Edge { tidy, ..self.load_edge(log, recorded.as_ref()).await? };
        }
        let mut sealed = None;
        while edge.frontier.size() < total {
            let from = edge.frontier.size();
            let to = total.min(from + ENTRIES_PER_ROUND);
            let appended_here = self.inner().unsealed.lock()[log as usize].take(from..to);
            let leaves = match appended_here {
                Some(leaves) => leaves,
                None => check_rows(log, from..to, self.read(log, from, to).await?)?,
            };
            let (tiles, start) = (self.tiles(log), edge.clone());
            let work = self.blocking(move |blobs| write_tiles(blobs, &tiles, start, &leaves));
            let grown = work.await?;
            let row = self.record_checkpoint(log, &grown.frontier, now).await?;
            let tiles = self.tiles(log);
            let (size, root, tidy) = (row.size, row.root, edge.tidy);
            self.blocking(move |blobs| {
                blobs.put(&tiles.path("checkpoint"), row.note.as_bytes())?;
                remove_superseded(blobs, &tiles, tidy, size)
            })
            .await?;
            self.inner().unsealed.lock()[log as usize].forget_before(size);
            sealed = Some(SealedLog { log, size, root });
            *edge = Edge { tidy: size, ..grown };
        }
        Ok(sealed)
    }

    fn sign_head(&self, log: Log, size: u64, root: Hash, now: Timestamp) -> Result<String, SealError> {
        let face = self.face(log);
        let checkpoint = Checkpoint { origin: face.origin.clone(), size, root, extensions: Vec::new() };
        let signers: Vec<&dyn Signer> = face.signers.iter().map(|signer| &**signer as &dyn Signer).collect();
        let seconds = u64::try_from(now.micros() / 1_000_000).unwrap_or_default();
        let note = checkpoint.sign(&signers, seconds)?.to_bytes();
        Ok(String::from_utf8(note).expect("a note is a text and lines of base64"))
    }

    /// Signs the tree's head and writes its row. A row of that size that says the same is as good.
    async fn record_checkpoint(&self, log: Log, tree: &Frontier, now: Timestamp) -> Result<CheckpointRow, SealError> {
        let (size, root) = (tree.size(), tree.root());
        let note = self.sign_head(log, size, root, now)?;
        let mut tx = self.store().begin().await?;
        let inserted = sqlx::query(
            "INSERT INTO ledger_checkpoint (log, size, root, at, note) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(log.name())
        .bind(integer(size))
        .bind(root.to_vec())
        .bind(now.micros())
        .bind(note.as_str())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        if inserted.rows_affected() > 0 {
            return Ok(CheckpointRow { log, size, root, at: now, note });
        }
        let row = self.checkpoint_covering(log, size).await?;
        row.filter(|row| row.size == size && row.root == root).ok_or(SealError::Fork { log, size })
    }

    /// Brings the published copy up to the recorded checkpoint and the memory of the sealer up to both.
    pub(crate) async fn recover_seal(&self) -> Result<(), OpenError> {
        let mut sealer = self.inner().sealer.lock().await;
        for log in Log::ALL {
            let damaged = |what: String| OpenError::Damaged { log, what };
            let recorded = self.checkpoint(log).await?;
            let sealed = recorded.as_ref().map_or(0, |row| row.size);
            let total = self.size(log).await?;
            if total < sealed {
                return Err(damaged(format!("{sealed} entries are sealed, {total} are on record")));
            }
            let tiles = self.tiles(log);
            let reader = tiles.clone();
            let published = self.blocking(move |_| reader.checkpoint()).await.map_err(ReadError::from)?;
            if let Some(published) = &published {
                let parsed = Checkpoint::parse(published)
                    .map_err(|error| damaged(format!("the published checkpoint: {error}")))?;
                if parsed.0.size > sealed {
                    let what = format!(
                        "a checkpoint of {} entries is published, the database ends at {sealed}",
                        parsed.0.size
                    );
                    return Err(damaged(what));
                }
            }
            sealer.edges[log as usize] = Edge { tidy: sealed, ..self.load_edge(log, recorded.as_ref()).await? };
            let Some(row) = recorded else { continue };
            let before = self.checkpoint_before(log, row.size).await?;
            let note = self.cosigned_note(&row).await?;
            let done = self.blocking(move |blobs| {
                if published.as_deref() != Some(note.as_bytes()) {
                    blobs.put(&tiles.path("checkpoint"), note.as_bytes())?;
                }
                remove_superseded(blobs, &tiles, before, row.size)
            });
            match done.await {
                // The copy stays behind its row until the next seal.
                Err(error) if haris_store::is_no_room(&error) => {
                    tracing::error!(%error, "no room to publish a checkpoint")
                }
                done => done.map_err(ReadError::from)?,
            }
        }
        Ok(())
    }

    async fn checkpoint_before(&self, log: Log, size: u64) -> Result<u64, ReadError> {
        let row =
            sqlx::query("SELECT COALESCE(MAX(size), 0) AS size FROM ledger_checkpoint WHERE log = $1 AND size < $2")
                .bind(log.name())
                .bind(integer(size))
                .fetch_one(self.sql())
                .await?;
        crate::read::natural(&row, "size")
    }

    /// The open end of a log at its recorded checkpoint, from its tiles.
    async fn load_edge(&self, log: Log, recorded: Option<&CheckpointRow>) -> Result<Edge, ReadError> {
        let Some(row) = recorded else { return Ok(Edge::default()) };
        let tiles = self.tiles(log);
        let (size, root) = (row.size, row.root);
        self.blocking(move |_| read_edge(&tiles, size, &root)).await
    }
}

fn read_edge(tiles: &LogTiles, size: u64, root: &Hash) -> Result<Edge, ReadError> {
    let damaged =
        |why: &str| ReadError::Damaged { what: format!("the tree of the {} log", tiles.log()), why: why.into() };
    let frontier = tiles.frontier(size)?;
    if frontier.root() != *root {
        return Err(damaged("its tiles do not give the root that its checkpoint names"));
    }
    let width = width_at(0, size / u64::from(TILE_WIDTH), size);
    if width == 0 {
        return Ok(Edge { frontier, ..Edge::default() });
    }
    let name = Entries { index: size / u64::from(TILE_WIDTH), width };
    let bundle = tiles.bundle(name)?;
    let entries = name.decode(&bundle).map_err(|error| damaged(&error.to_string()))?;
    let leaves: Vec<u8> = entries.iter().flat_map(|entry| leaf_hash(entry)).collect();
    let tile = frontier.partials().find(|(tile, _)| tile.level == 0);
    if tile.is_none_or(|(_, bytes)| bytes != leaves) {
        return Err(damaged("its last entries do not have the hashes that its tiles hold"));
    }
    Ok(Edge { frontier, bundle, tidy: 0 })
}

/// The leaves of rows, with their hashes. Refuses a row that cannot be what was appended: this process did not see it
/// then, so the hash recorded with it and its form must hold.
fn check_rows(log: Log, range: Range<u64>, rows: Vec<EventRow>) -> Result<Vec<(Hash, Vec<u8>)>, SealError> {
    let refuse = |index: u64, why: String| Err(SealError::Row { log, index, why });
    let mut leaves = Vec::with_capacity(rows.len());
    let mut rows = rows.into_iter();
    for index in range {
        let Some(row) = rows.next().filter(|row| row.index == index) else {
            return refuse(index, "its row is missing".into());
        };
        let hash = leaf_hash(&row.bytes);
        if hash != *row.leaf_hash {
            return refuse(index, "its bytes differ from the hash recorded with them".into());
        }
        match Event::parse(&row.bytes) {
            Err(error) => return refuse(index, format!("its bytes are not an event: {error}")),
            Ok(event) if event.id.to_string() != row.id => {
                return refuse(index, "its id differs from its row's".into());
            }
            Ok(event) if event.kind.log != log => {
                return refuse(index, format!("`{}` does not belong to this log", event.kind.name));
            }
            Ok(_) => leaves.push((hash, row.bytes)),
        }
    }
    Ok(leaves)
}

/// Writes the tiles and bundles that these entries fill or extend, and gives the new open end.
fn write_tiles(
    blobs: &dyn Blobs,
    tiles: &LogTiles,
    start: Edge,
    leaves: &[(Hash, Vec<u8>)],
) -> Result<Edge, SealError> {
    let Edge { mut frontier, mut bundle, tidy } = start;
    let mut new: Vec<(String, Vec<u8>)> = Vec::new();
    for (hash, leaf) in leaves {
        push_entry(&mut bundle, leaf).map_err(|error| SealError::Row {
            log: tiles.log(),
            index: frontier.size(),
            why: error.to_string(),
        })?;
        frontier.push(*hash, |tile, bytes| new.push((tiles.path(&tile.path()), bytes)));
        if frontier.size() % u64::from(TILE_WIDTH) == 0 {
            let full = Entries { index: frontier.size() / u64::from(TILE_WIDTH) - 1, width: TILE_WIDTH };
            new.push((tiles.path(&full.path()), std::mem::take(&mut bundle)));
        }
    }
    for (tile, bytes) in frontier.partials() {
        if tile.level == 0 {
            let partial = Entries { index: tile.index, width: tile.width };
            new.push((tiles.path(&partial.path()), bundle.clone()));
        }
        new.push((tiles.path(&tile.path()), bytes));
    }
    let puts = blobs.put_all_if_absent(&new)?;
    for ((path, bytes), put) in new.iter().zip(puts) {
        if put == Put::Exists && blobs.get(path)?.as_ref() != Some(bytes) {
            return Err(SealError::Tile { log: tiles.log(), path: path.clone() });
        }
    }
    Ok(Edge { frontier, bundle, tidy })
}

/// Removes the partials of every tile and bundle that became full between the trees of `old` and `new` entries.
fn remove_superseded(blobs: &dyn Blobs, tiles: &LogTiles, old: u64, new: u64) -> Result<(), haris_store::BlobError> {
    let width = u64::from(TILE_WIDTH);
    for level in 0..8 {
        for index in hashes_at(level, old) / width..hashes_at(level, new) / width {
            let tile = Tile { level, index, width: TILE_WIDTH }.path();
            let bundle = (level == 0).then(|| Entries { index, width: TILE_WIDTH }.path());
            for full in std::iter::once(tile).chain(bundle) {
                for partial in blobs.list(&tiles.path(&format!("{full}.p")))? {
                    blobs.delete(&partial)?;
                }
            }
        }
    }
    Ok(())
}
