//! The one way to write: a batch becomes rows, keys, search terms and folds in one transaction.

use haris_domain::{Draft, Event, EventId, Leaf, Log, SealedPayload, Source};
use haris_merkle::{Hash, leaf_hash};
use haris_spool::{Position, Record};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, Value, insert};

use crate::payload::Pack;
use crate::read::{integer, natural};
use crate::search::Term;
use crate::{AppendError, Folded, Ledger, ReadError};

/// An event and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Which log.
    pub log: Log,
    /// Its place there.
    pub index: u64,
    /// Its bytes.
    pub leaf: Leaf,
}

/// This start's own counter, and what is not known of it.
///
/// `n` has no gaps in what is recorded: it moves when a transaction is known to have committed. Between sending a
/// commit and knowing, its outcome is in doubt, also when the caller's future is dropped in that moment; the next
/// append asks the database first.
#[derive(Debug, Default)]
pub(crate) struct Direct {
    n: u64,
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// An event of the transaction: it is on record if the transaction is.
    witness: EventId,
    /// What `n` is if it committed.
    n: u64,
    /// How many of the events that are owed went with it.
    owed: usize,
}

/// An event that was checked, on its way to a row.
pub(crate) struct Entry<'a> {
    pub(crate) leaf: &'a Leaf,
    pub(crate) hash: Hash,
    pub(crate) event: Event,
    pub(crate) payloads: &'a [SealedPayload],
}

/// What else one transaction does.
pub(crate) enum Along<'a> {
    /// Nothing.
    Nothing,
    /// The first start: the logs' own rows.
    Create { origins: [&'a str; 2], verifier_keys: [String; 2] },
    /// A spool was shipped up to here.
    Spool { name: &'a str, upto: Position },
    /// An erasure that is to follow, under these holds and no others.
    Erasure { id: EventId, targets: &'a [String], holds: &'a [String] },
}

/// How a transaction ended that did not fail.
pub(crate) enum Written {
    /// The place of each entry, in order.
    At(Vec<(Log, u64)>),
    /// The spool had been shipped that far before.
    Shipped,
    /// A hold was placed or lifted meanwhile: decide again.
    HoldsChanged,
}

/// How often a transaction whose commit got no answer is looked for and sent again.
const COMMIT_TRIES: usize = 3;
/// Parsing a long batch must not keep a server's other tasks waiting: after so many events they get their turn.
const ENTRIES_PER_TURN: usize = 64;

impl Ledger {
    /// Records events of the evidence log in one transaction: all of them or none.
    ///
    /// # Errors
    /// When a draft has no leaf, belongs to the traffic log, or the transaction fails.
    pub async fn append(&self, drafts: Vec<(Draft, Vec<SealedPayload>)>) -> Result<Vec<Appended>, AppendError> {
        let (appended, written) = self.append_along(&drafts, Along::Nothing).await?;
        debug_assert!(matches!(written, Written::At(_)), "nothing went along that could say otherwise");
        Ok(appended)
    }

    /// As [`Ledger::append`], with something else in the same transaction.
    pub(crate) async fn append_along(
        &self,
        drafts: &[(Draft, Vec<SealedPayload>)],
        along: Along<'_>,
    ) -> Result<(Vec<Appended>, Written), AppendError> {
        if let Some((draft, _)) = drafts.iter().find(|(draft, _)| draft.kind.log != Log::Evidence) {
            return Err(AppendError::NotEvidence { kind: draft.kind.name });
        }
        let mut direct = self.inner().direct.lock().await;
        self.resolve(&mut direct).await?;
        // What is owed goes first: it is older.
        let owed = self.owed_drafts();
        let drafts: Vec<&(Draft, Vec<SealedPayload>)> = owed.iter().chain(drafts).collect();
        let Some((first, _)) = drafts.first() else { return Ok((Vec::new(), Written::At(Vec::new()))) };
        let mut n = direct.n;
        let mut leaves = Vec::with_capacity(drafts.len());
        for (draft, payloads) in &drafts {
            n += 1;
            let source = Source { node: self.inner().node.clone(), boot: self.inner().boot.clone(), n };
            let references: Vec<_> = payloads.iter().map(|payload| payload.reference.clone()).collect();
            leaves.push(draft.stamp(&source, &references)?);
        }
        let entries = leaves.iter().zip(&drafts).map(|(leaf, (_, payloads))| (leaf, payloads.as_slice()));
        let entries =
            check_entries(entries, |id, source| AppendError::NotEvent { spool: "-".into(), id, source }).await?;
        direct.doubt = Some(Doubt { witness: first.id, n, owed: owed.len() });
        let written = self.write(entries, &along).await;
        match &written {
            Ok(Written::At(_)) => {
                *direct = Direct { n, doubt: None };
                self.paid(owed.len());
            }
            Err(AppendError::Unknown { .. }) => {}
            Ok(_) | Err(_) => direct.doubt = None,
        }
        let written = written?;
        let appended = match &written {
            Written::At(places) => {
                let place = |(leaf, (log, index)): (Leaf, &(Log, u64))| Appended { log: *log, index: *index, leaf };
                leaves.into_iter().zip(places).skip(owed.len()).map(place).collect()
            }
            Written::Shipped | Written::HoldsChanged => Vec::new(),
        };
        Ok((appended, written))
    }

    /// Records a spool's batch and moves its position to `upto`, in one transaction. A batch sent twice is appended
    /// once. Gives how many events were new.
    ///
    /// # Errors
    /// When a record is malformed or the transaction fails.
    pub async fn ingest(&self, spool: &str, records: &[Record], upto: Position) -> Result<usize, AppendError> {
        let entries = records.iter().map(|record| (&record.leaf, record.payloads.as_slice()));
        let entries =
            check_entries(entries, |id, source| AppendError::NotEvent { spool: spool.to_owned(), id, source }).await?;
        match self.write(entries, &Along::Spool { name: spool, upto }).await? {
            Written::At(places) => Ok(places.len()),
            Written::Shipped | Written::HoldsChanged => Ok(0),
        }
    }

    /// How far a spool was shipped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn spool_position(&self, spool: &str) -> Result<Position, ReadError> {
        let row = sqlx::query("SELECT segment, byte_offset FROM ledger_spool_position WHERE spool = $1")
            .bind(spool)
            .fetch_optional(self.sql())
            .await?;
        let Some(row) = row else { return Ok(Position::START) };
        Ok(Position { segment: natural(&row, "segment")?, offset: natural(&row, "byte_offset")? })
    }

    /// Finds out whether the last transaction committed, if that is in doubt.
    async fn resolve(&self, direct: &mut Direct) -> Result<(), AppendError> {
        let Some(doubt) = direct.doubt else { return Ok(()) };
        if self.is_recorded(doubt.witness).await? {
            direct.n = doubt.n;
            self.paid(doubt.owed);
        }
        direct.doubt = None;
        Ok(())
    }

    /// Whether an event is on record, once every transaction that was under way has ended: its log's row is theirs
    /// until then.
    async fn is_recorded(&self, id: EventId) -> Result<bool, sqlx::Error> {
        let mut tx = self.store().begin().await?;
        for log in Log::ALL {
            sqlx::query("UPDATE ledger_log SET next_index = next_index WHERE log = $1")
                .bind(log.name())
                .execute(&mut *tx)
                .await?;
        }
        let row = sqlx::query("SELECT id FROM ledger_event WHERE id = $1").bind(id.to_string());
        let found = row.fetch_optional(&mut *tx).await?.is_some();
        tx.rollback().await?;
        Ok(found)
    }

    async fn write(&self, mut entries: Vec<Entry<'_>>, along: &Along<'_>) -> Result<Written, AppendError> {
        let mut tries = 0;
        loop {
            // Ciphertext first: a key without its ciphertext would be a payload that is lost, ciphertext without its
            // key is noise.
            let pack = self.write_pack(&entries).await?;
            let terms = self.terms(&entries).await?;
            match self.transact(&entries, &pack, &terms, along).await {
                Ok(written) => {
                    if let Written::At(places) = &written {
                        self.remember(&entries, places);
                        self.inner().appended.notify_one();
                    }
                    return Ok(written);
                }
                // The rare way: some of the batch is on record already. Then the rest is appended without it.
                Err(Failed::Duplicate(error)) => {
                    let before = entries.len();
                    self.drop_recorded(&mut entries).await?;
                    if entries.len() == before {
                        return Err(error.into());
                    }
                }
                Err(Failed::Commit(source)) => {
                    tries += 1;
                    let Some(first) = entries.first().map(|entry| entry.leaf.id) else { return Err(source.into()) };
                    match self.is_recorded(first).await {
                        Ok(true) => return self.places(&entries).await,
                        Ok(false) if tries < COMMIT_TRIES => {}
                        Ok(false) => return Err(source.into()),
                        Err(_) => return Err(AppendError::Unknown { source }),
                    }
                }
                Err(Failed::Append(error)) => return Err(error),
            }
        }
    }

    async fn transact(
        &self,
        entries: &[Entry<'_>],
        pack: &Pack,
        terms: &[Term],
        along: &Along<'_>,
    ) -> Result<Written, Failed> {
        let mut tx = self.store().begin().await?;
        if let Along::Create { origins, verifier_keys } = along {
            for (log, (origin, keys)) in Log::ALL.into_iter().zip(origins.iter().zip(verifier_keys)) {
                sqlx::query("INSERT INTO ledger_log (log, origin, verifier_keys, next_index) VALUES ($1, $2, $3, 0)")
                    .bind(log.name())
                    .bind(*origin)
                    .bind(keys.as_str())
                    .execute(&mut *tx)
                    .await?;
            }
        }
        let places = reserve(&mut tx, entries).await?;
        match along {
            Along::Spool { name, upto } if !move_spool(&mut tx, name, *upto).await? => {
                tx.rollback().await?;
                return Ok(Written::Shipped);
            }
            Along::Erasure { id, targets, holds } => {
                if self.hold_ids(&mut tx).await? != *holds {
                    tx.rollback().await?;
                    return Ok(Written::HoldsChanged);
                }
                let id = id.to_string();
                let rows = targets.iter().map(|target| [id.clone().into(), target.clone().into()]).collect();
                insert(&mut tx, "ledger_erasure_target", ["erasure_id", "event_id"], rows, "").await?;
            }
            _ => {}
        }
        insert_events(&mut tx, entries, &places)
            .await
            .map_err(|error| if is_unique_violation(&error) { Failed::Duplicate(error) } else { error.into() })?;
        pack.insert_keys(&mut tx, entries).await?;
        crate::search::insert_terms(&mut tx, terms).await?;
        let folded: Vec<Folded<'_>> = entries
            .iter()
            .zip(&places)
            .map(|(entry, (log, index))| Folded { log: *log, index: *index, event: &entry.event })
            .collect();
        for projection in &self.inner().projections {
            projection
                .apply(&mut tx, &folded)
                .await
                .map_err(|source| AppendError::Projection { projection: projection.name(), source })?;
        }
        tx.commit().await.map_err(Failed::Commit)?;
        Ok(Written::At(places))
    }

    /// Takes out what is on record with the same bytes.
    async fn drop_recorded(&self, entries: &mut Vec<Entry<'_>>) -> Result<(), AppendError> {
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries.drain(..) {
            let row = sqlx::query("SELECT bytes FROM ledger_event WHERE id = $1").bind(entry.leaf.id.to_string());
            match row.fetch_optional(self.sql()).await? {
                None => kept.push(entry),
                Some(row) if row.try_get::<Vec<u8>, _>("bytes")? == entry.leaf.bytes => {}
                Some(_) => return Err(AppendError::Taken { id: entry.leaf.id }),
            }
        }
        *entries = kept;
        Ok(())
    }

    async fn places(&self, entries: &[Entry<'_>]) -> Result<Written, AppendError> {
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries {
            let located = self.find(entry.leaf.id).await?;
            let located = located.ok_or(AppendError::Taken { id: entry.leaf.id })?;
            places.push((located.log, located.index));
        }
        Ok(Written::At(places))
    }
}

/// Why a transaction did not happen, as far as it matters for what to do next.
enum Failed {
    /// An id is on record already.
    Duplicate(sqlx::Error),
    /// Nobody knows yet.
    Commit(sqlx::Error),
    /// Anything else.
    Append(AppendError),
}

impl<E: Into<AppendError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Append(error.into())
    }
}

/// Locks the counter of each log in use, in a fixed order so that no two appends wait for each other, and moves it.
async fn reserve(tx: &mut Tx<'_>, entries: &[Entry<'_>]) -> Result<Vec<(Log, u64)>, Failed> {
    let mut next = [0; 2];
    for log in Log::ALL {
        let count = entries.iter().filter(|entry| entry.event.kind.log == log).count() as u64;
        if count == 0 {
            continue;
        }
        let row = sqlx::query("UPDATE ledger_log SET next_index = next_index + $1 WHERE log = $2 RETURNING next_index")
            .bind(integer(count))
            .bind(log.name())
            .fetch_one(&mut **tx)
            .await?;
        next[log as usize] = natural(&row, "next_index")? - count;
    }
    let mut place = |entry: &Entry<'_>| {
        let log = entry.event.kind.log;
        let index = next[log as usize];
        next[log as usize] += 1;
        (log, index)
    };
    Ok(entries.iter().map(&mut place).collect())
}

async fn insert_events(tx: &mut Tx<'_>, entries: &[Entry<'_>], places: &[(Log, u64)]) -> Result<u64, sqlx::Error> {
    let row = |(entry, (log, index)): (&Entry<'_>, &(Log, u64))| -> [Value; 5] {
        [
            log.name().into(),
            integer(*index).into(),
            entry.leaf.id.to_string().into(),
            entry.hash.to_vec().into(),
            entry.leaf.bytes.clone().into(),
        ]
    };
    let rows = entries.iter().zip(places).map(row).collect();
    insert(tx, "ledger_event", ["log", "leaf_index", "id", "leaf_hash", "bytes"], rows, "").await
}

/// Moves a spool's position forward; false when it is there or further already.
async fn move_spool(tx: &mut Tx<'_>, spool: &str, upto: Position) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query(
        "INSERT INTO ledger_spool_position (spool, segment, byte_offset) VALUES ($1, $2, $3) \
         ON CONFLICT (spool) DO UPDATE SET segment = excluded.segment, byte_offset = excluded.byte_offset \
         WHERE excluded.segment > ledger_spool_position.segment \
         OR (excluded.segment = ledger_spool_position.segment AND excluded.byte_offset > ledger_spool_position.byte_offset)",
    )
    .bind(spool)
    .bind(integer(upto.segment))
    .bind(integer(upto.offset))
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected() > 0)
}

fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Reads each leaf and holds it against what came with it.
async fn check_entries<'a>(
    leaves: impl Iterator<Item = (&'a Leaf, &'a [SealedPayload])>,
    not_event: impl Fn(EventId, haris_domain::event::NotEvent) -> AppendError,
) -> Result<Vec<Entry<'a>>, AppendError> {
    let mut entries = Vec::new();
    for (leaf, payloads) in leaves {
        if entries.len() % ENTRIES_PER_TURN == ENTRIES_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
        let event = Event::parse(&leaf.bytes).map_err(|error| not_event(leaf.id, error))?;
        let mismatch = |what| AppendError::Mismatch { id: leaf.id, what };
        if event.id != leaf.id {
            return Err(mismatch("its id"));
        }
        if event.kind != leaf.kind {
            return Err(mismatch("its kind"));
        }
        if !event.payloads.iter().eq(payloads.iter().map(|payload| &payload.reference)) {
            return Err(mismatch("its payloads"));
        }
        entries.push(Entry { leaf, hash: leaf_hash(&leaf.bytes), event, payloads });
    }
    Ok(entries)
}
