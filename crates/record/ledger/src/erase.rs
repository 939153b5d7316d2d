//! Erasure: destroying payload keys, lawfully and on record.
//!
//! The order is what makes it honest: the erasure is recorded together with the list of what it will destroy, then
//! sealed, and only then are keys destroyed. A crash in between leaves the list, and the next start goes on with it.
//! What is destroyed is the key; ciphertext and search terms go too, though without the key they say nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use haris_domain::{Actor, DetectionKind, Draft, EventId, Timestamp, kind};
use haris_spool::{Position, Spool};
use haris_store::sqlx::{self, Row};
use haris_store::{Blobs, Engine, Tx};

use crate::append::{Along, Written};
use crate::payload::seal_text;
use crate::read::natural;
use crate::{EraseError, Ledger, ReadError};

/// What to erase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EraseBy {
    /// One event's payloads, and those of the question or answer that belongs to it.
    Event(EventId),
    /// Every interaction in which an identifier was found.
    Subject {
        /// What kind of identifier; any, when not given.
        kind: Option<DetectionKind>,
        /// The identifier, in any spelling.
        identifier: String,
    },
    /// Every interaction born before a moment. What the product itself and its operators wrote stays.
    Before(Timestamp),
}

/// A request to erase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erase {
    /// What.
    pub by: EraseBy,
    /// Why, in a person's words: becomes a payload of the erasure event.
    pub reason: String,
    /// Under which law, as a short code of letters, digits and `-_.:/`: enters the leaf.
    pub legal_basis: String,
    /// Who asks.
    pub actor: Actor,
}

/// What was erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// The events that record it; more than one when the list does not fit one leaf.
    pub records: Vec<EventId>,
    /// Events that lost payloads.
    pub events: usize,
    /// Payloads whose keys are gone.
    pub payloads: u64,
}

/// Ids that one erasure event lists: 1,000 of them take 39,000 of a leaf's 65,535 bytes.
const EVENTS_PER_RECORD: usize = 1_000;
/// Long enough for `QA-law-13-2016:art-5.3`, too short for a sentence.
const LEGAL_BASIS_BYTES_MAX: usize = 64;
/// How often to begin again because holds were placed or lifted meanwhile.
const DECIDE_TRIES: usize = 5;
/// Key rows destroyed per transaction.
const EVENTS_PER_STEP: i64 = 500;

/// A spool rotates and deletes in its own threads: how often and how long to wait for it.
const SPOOL_LOOKS: usize = 200;
const SPOOL_LOOK_EVERY: Duration = Duration::from_millis(25);

/// PostgreSQL's advisory lock of whoever destroys keys.
const DESTROY_LOCK: i64 = 0x6861_7269_7303;

/// What an erasure would hit: each event that has keys, its interaction, its time.
type Targets = BTreeMap<String, (String, Timestamp)>;

impl Ledger {
    /// Erases: records and seals the erasure, then destroys keys, ciphertext and search terms.
    ///
    /// `spools` are shipped and rotated first, so that nothing of what is erased is left in them.
    ///
    /// # Errors
    /// When a hold covers any of it, nothing matches, or a step fails; what is on record is finished at the next start.
    pub async fn erase(&self, request: Erase, spools: &[(&str, Spool)], now: Timestamp) -> Result<Erased, EraseError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b);
        let basis = &request.legal_basis;
        if basis.is_empty() || basis.len() > LEGAL_BASIS_BYTES_MAX || !basis.bytes().all(plain) {
            return Err(EraseError::LegalBasis);
        }
        if let EraseBy::Before(before) = request.by
            && before > now
        {
            return Err(EraseError::Future { before, now });
        }
        self.ensure_day_keys(now).await?;
        for (name, spool) in spools {
            self.empty_spool(name, spool).await?;
        }
        for _ in 0..DECIDE_TRIES {
            let holds = self.holds().await?;
            let targets = self.targets(&request.by).await?;
            if let Some((hold, events)) = self.hold_over(&holds, &targets).await? {
                return Err(EraseError::Held { hold, events });
            }
            let holds: Vec<_> = holds.iter().map(|hold| hold.id.to_string()).collect();
            let Some(records) = self.record_erasure(&request, &targets, &holds, now).await? else { continue };
            self.seal_until(&records, now).await?;
            let payloads = self.destroy().await?;
            return Ok(Erased { records, events: targets.len(), payloads });
        }
        Err(EraseError::HoldsChanging)
    }

    /// Ships everything that a spool holds now and waits until the segments that held it are gone from the disk.
    async fn empty_spool(&self, name: &str, spool: &Spool) -> Result<(), EraseError> {
        let newest = spool.state().segment_newest;
        spool.rotate();
        for _ in 0..SPOOL_LOOKS {
            self.drain(spool, name).await.map_err(Box::new)?;
            let oldest = spool.state().segment_oldest;
            // A segment into which nothing was written yet is not rotated, and holds nothing.
            let unused = || {
                let start = Position { segment: newest, offset: 0 };
                spool.read(start, 1, 1).is_ok_and(|batch| batch.records.is_empty() && batch.next.segment == newest)
            };
            if oldest > newest || (oldest == newest && unused()) {
                return Ok(());
            }
            tokio::time::sleep(SPOOL_LOOK_EVERY).await;
        }
        Err(EraseError::SpoolHolds { spool: name.to_owned() })
    }

    /// Finishes what is on record and was cut short. Seals, if there is something.
    ///
    /// # Errors
    /// When the database or the blobs fail.
    pub async fn finish_erasures(&self) -> Result<(), EraseError> {
        let rows = sqlx::query("SELECT DISTINCT erasure_id FROM ledger_erasure_target").fetch_all(self.sql()).await?;
        if rows.is_empty() {
            return Ok(());
        }
        tracing::warn!(erasures = rows.len(), "finishing erasures that were cut short");
        let records: Result<Vec<_>, _> = rows.iter().map(|row| crate::read::event_id(row, "erasure_id")).collect();
        let records = records?;
        let now = self.event_time(records[0]).await?;
        self.seal_until(&records, now).await?;
        self.destroy().await?;
        Ok(())
    }

    /// What has keys to destroy.
    async fn targets(&self, by: &EraseBy) -> Result<Targets, EraseError> {
        let mut targets = Targets::new();
        match by {
            EraseBy::Event(id) => {
                let Some(_) = self.find(*id).await? else { return Err(EraseError::NoEvent { id: *id }) };
                self.add_interactions(&[id.to_string()], &mut targets).await?;
            }
            EraseBy::Subject { kind, identifier } => {
                let found: Vec<_> = self.search(*kind, identifier).await?.iter().map(ToString::to_string).collect();
                self.add_interactions(&found, &mut targets).await?;
            }
            EraseBy::Before(before) => {
                let rows = sqlx::query(
                    "SELECT DISTINCT k.event_id, k.interaction, k.at FROM ledger_payload_key k \
                     JOIN ledger_event e ON e.id = k.event_id WHERE k.at < $1 AND e.log = 'traffic'",
                )
                .bind(before.micros());
                add(&mut targets, &rows.fetch_all(self.sql()).await?)?;
            }
        }
        if targets.is_empty() { Err(EraseError::Nothing) } else { Ok(targets) }
    }

    async fn add_interactions(&self, events: &[String], targets: &mut Targets) -> Result<(), ReadError> {
        for interaction in self.interactions(events).await? {
            let rows =
                sqlx::query("SELECT DISTINCT event_id, interaction, at FROM ledger_payload_key WHERE interaction = $1")
                    .bind(interaction);
            add(targets, &rows.fetch_all(self.sql()).await?)?;
        }
        Ok(())
    }

    /// Records the erasure and its list; none when the holds are no longer those it was decided under.
    async fn record_erasure(
        &self,
        request: &Erase,
        targets: &Targets,
        holds: &[String],
        now: Timestamp,
    ) -> Result<Option<Vec<EventId>>, EraseError> {
        let ids: Vec<_> = targets.keys().cloned().collect();
        let scope = match &request.by {
            EraseBy::Event(_) => "event",
            EraseBy::Subject { .. } => "subject",
            EraseBy::Before(_) => "before",
        };
        let mut drafts = Vec::new();
        for part in ids.chunks(EVENTS_PER_RECORD) {
            let mut draft = Draft::new(&kind::PAYLOAD_ERASED, now, request.actor.clone())
                .with("scope", scope)
                .with("legal_basis", request.legal_basis.as_str())
                .with("events", part)
                .with("events_total", ids.len());
            if let EraseBy::Before(before) = &request.by {
                draft = draft.with("before", before.to_string());
            }
            let reason = seal_text(self, now, draft.id, "reason", &request.reason)?;
            drafts.push((draft, vec![reason]));
        }
        let records: Vec<_> = drafts.iter().map(|(draft, _)| draft.id).collect();
        let along = Along::Erasure { id: records[0], targets: &ids, holds };
        match self.append_along(&drafts, along).await?.1 {
            Written::At(_) => Ok(Some(records)),
            Written::Shipped | Written::HoldsChanged => Ok(None),
        }
    }

    /// Seals until these events of the evidence log are under a checkpoint.
    async fn seal_until(&self, records: &[EventId], now: Timestamp) -> Result<(), EraseError> {
        for _ in 0..100 {
            let sealed = self.seal(now).await?;
            let mut pending = false;
            for id in records {
                let located = self.find(*id).await?.ok_or(EraseError::NoEvent { id: *id })?;
                let state = self.proof_state(located.log, located.index).await?;
                pending |= state == crate::ProofState::Pending;
            }
            if !pending {
                return Ok(());
            }
            if sealed.elsewhere {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Err(EraseError::NotSealed)
    }

    /// Destroys what the lists name. Each step can be repeated: ciphertext first, since its key row is what finds it;
    /// then, in one transaction, keys, search terms and the entries of the list.
    ///
    /// One at a time: two that blank stretches of one pack would each write back what the other had blanked.
    async fn destroy(&self) -> Result<u64, EraseError> {
        let _here = self.inner().destroying.lock().await;
        let everywhere = match self.store().engine() {
            Engine::Sqlite => None,
            Engine::Postgres => Some(self.store().begin_exclusive(DESTROY_LOCK).await?),
        };
        let mut destroyed = 0;
        loop {
            let rows = sqlx::query("SELECT DISTINCT event_id FROM ledger_erasure_target ORDER BY event_id LIMIT $1")
                .bind(EVENTS_PER_STEP)
                .fetch_all(self.sql())
                .await?;
            if rows.is_empty() {
                break;
            }
            let events: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get("event_id")).collect();
            let events = events?;
            self.blank_ciphertext(&events).await?;
            let mut tx = self.store().begin().await?;
            for id in &events {
                destroyed += delete(&mut tx, "DELETE FROM ledger_payload_key WHERE event_id = $1", id).await?;
                delete(&mut tx, "DELETE FROM ledger_search_term WHERE event_id = $1", id).await?;
                delete(&mut tx, "DELETE FROM ledger_erasure_target WHERE event_id = $1", id).await?;
            }
            tx.commit().await?;
        }
        if let Some(lock) = everywhere {
            lock.commit().await?;
        }
        self.store().scrub("ledger_payload_key").await?;
        self.store().scrub("ledger_search_term").await?;
        Ok(destroyed)
    }

    /// Zeroes the stretches of these events in their packs; deletes packs in which nothing else lives.
    async fn blank_ciphertext(&self, events: &[String]) -> Result<(), EraseError> {
        let mut stretches: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        for id in events {
            let rows = sqlx::query(
                "SELECT pack, pack_offset, pack_length FROM ledger_payload_key WHERE event_id = $1 AND pack IS NOT NULL",
            )
            .bind(id.as_str());
            for row in rows.fetch_all(self.sql()).await? {
                let stretch = (natural(&row, "pack_offset")?, natural(&row, "pack_length")?);
                stretches.entry(row.try_get("pack")?).or_default().push(stretch);
            }
        }
        for (pack, stretches) in stretches {
            let row = sqlx::query("SELECT COUNT(*) AS living FROM ledger_payload_key WHERE pack = $1")
                .bind(pack.as_str())
                .fetch_one(self.sql())
                .await?;
            let all = natural(&row, "living")? == stretches.len() as u64;
            self.blocking(move |blobs| if all { blobs.delete(&pack) } else { blank(blobs, &pack, &stretches) }).await?;
        }
        Ok(())
    }

    async fn event_time(&self, id: EventId) -> Result<Timestamp, EraseError> {
        let located = self.find(id).await?.ok_or(EraseError::NoEvent { id })?;
        let event = haris_domain::Event::parse(&located.bytes)
            .map_err(|error| ReadError::Damaged { what: format!("event {id}"), why: error.to_string() })?;
        Ok(event.at)
    }
}

fn blank(blobs: &dyn Blobs, pack: &str, stretches: &[(u64, u64)]) -> Result<(), haris_store::BlobError> {
    let Some(mut bytes) = blobs.get(pack)? else { return Ok(()) };
    for (offset, length) in stretches {
        let range = usize::try_from(*offset).ok().zip(usize::try_from(offset + length).ok());
        if let Some(stretch) = range.and_then(|(from, to)| bytes.get_mut(from..to)) {
            stretch.fill(0);
        }
    }
    blobs.put(pack, &bytes)
}

fn add(targets: &mut Targets, rows: &[sqlx::any::AnyRow]) -> Result<(), ReadError> {
    for row in rows {
        let at = Timestamp::from_micros(row.try_get("at")?);
        targets.insert(row.try_get("event_id")?, (row.try_get("interaction")?, at));
    }
    Ok(())
}

async fn delete(tx: &mut Tx<'_>, sql: &'static str, id: &str) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query(sql).bind(id).execute(&mut **tx).await?.rows_affected())
}
