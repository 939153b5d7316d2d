//! Payloads and search terms, held against the leaves that commit to them.
//!
//! Each payload of a leaf has a key on record, opens with it, and is what the leaf committed to; where the key is gone,
//! a sealed erasure names the event. Search terms are derived anew from the `identifiers` payloads that open. What lies
//! outside that (the text of an erased payload, one of which only the commitment was kept) cannot be checked by anybody,
//! and is counted as such.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use haris_domain::{Event, EventId, Log, PayloadRef, Stored};
use haris_keys::{DayKey, IndexKey, OpenError, search_term};
use haris_store::sqlx::{self, Row, any::AnyRow};
use haris_store::{BlobError, Blobs, Engine};

use super::{Fsck, FsckPayloads, PROBLEMS_MAX, Problem};
use crate::payload::interaction;
use crate::read::{integer, natural};
use crate::search::{IDENTIFIERS, identifiers};
use crate::{Ledger, ReadError};

/// Events whose keys and terms are fetched together.
const EVENTS_PER_STEP: usize = 512;
/// Rows that are looked through together when some belong to no event.
const ROWS_PER_STEP: i64 = 1_000;
/// A stretch of a pack that is read at once; beyond it each ciphertext is read alone. A batch's pack has 8 MiB.
const PACK_BYTES_MAX: u64 = 32 << 20;
/// What AES-256-GCM adds to a text.
const TAG_BYTES: u64 = 16;
/// Payloads without a key that are kept until every erasure is known.
const ABSENT_MAX: usize = 100_000;

/// A leaf that commits to payloads.
pub(super) struct Committed {
    pub(super) index: u64,
    pub(super) bytes: Vec<u8>,
}

/// What is known of payloads on the way through both logs.
#[derive(Default)]
pub(super) struct PayloadCheck {
    pub(super) account: FsckPayloads,
    /// Events that sealed erasures name.
    pub(super) erased: HashSet<EventId>,
    pub(super) problems: Vec<Problem>,
    pub(super) problems_not_listed: u64,
    /// By id; none where it is missing or does not open, which was said.
    day_keys: HashMap<String, Option<Arc<DayKey>>>,
    /// By month, likewise.
    index_keys: HashMap<String, Option<Arc<IndexKey>>>,
    /// Key rows and term rows on record at the beginning, and those that some leaf explains.
    keys: (u64, u64),
    terms: (u64, u64),
    /// Packs and keys that were named, so that each is named once.
    named: HashSet<String>,
    absent: Vec<Absent>,
}

/// A payload that has no key.
struct Absent {
    log: Log,
    index: u64,
    event: EventId,
    name: String,
}

/// What does not fit, unless an erasure ran meanwhile.
struct Suspect {
    index: u64,
    event: EventId,
    name: String,
    what: String,
    why: String,
    /// What is named once, however many payloads suffer from it.
    once: Option<String>,
}

/// A row of `ledger_payload_key`.
struct KeyRow {
    name: String,
    interaction: String,
    at: i64,
    wrapped: Vec<u8>,
    pack: Option<String>,
    offset: u64,
    length: u64,
}

/// Where a payload belongs.
#[derive(Clone, Copy)]
struct At {
    log: Log,
    index: u64,
    event: EventId,
}

/// What came of opening a payload.
enum Opened {
    /// It is what its event committed to.
    Text(zeroize::Zeroizing<Vec<u8>>),
    /// It cannot be opened, for a reason that was named before.
    Said,
    /// It cannot be opened; `once` names what is wrong for others too.
    Not { what: String, why: String, once: Option<String> },
}

/// What one step works on, where it may block.
struct Step {
    events: Vec<(u64, Event)>,
    keys: HashMap<String, Vec<KeyRow>>,
    terms: HashMap<String, BTreeSet<Vec<u8>>>,
}

impl PayloadCheck {
    pub(super) fn problem(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX { self.problems.push(problem) } else { self.problems_not_listed += 1 }
    }

    fn once(&mut self, key: &str, log: Option<Log>, index: Option<u64>, what: String, why: &str) {
        if self.named.insert(key.to_owned()) {
            self.problem(Problem { log, index, what, why: why.to_owned() });
        }
    }
}

impl Ledger {
    /// The keys that everything else hangs on, opened as they are on record and not as a process has them in memory.
    pub(super) async fn payload_check(&self) -> Result<PayloadCheck, ReadError> {
        let mut check = PayloadCheck {
            keys: (self.count("ledger_payload_key").await?, 0),
            terms: (self.count("ledger_search_term").await?, 0),
            ..PayloadCheck::default()
        };
        let keys = &self.inner().keys;
        for row in sqlx::query("SELECT id, day, wrapped FROM ledger_day_key ORDER BY day").fetch_all(self.sql()).await?
        {
            let id = row.try_get::<String, _>("id")?;
            let opened = row.try_get::<Vec<u8>, _>("wrapped").ok();
            let opened = opened.map(|wrapped| keys.unwrap_day_key(&id, &wrapped));
            let why = match &opened {
                Some(Ok(_)) if id.split(':').nth(1) == row.try_get::<String, _>("day").ok().as_deref() => None,
                Some(Ok(_)) => Some("its row is that of another day".to_owned()),
                Some(Err(error)) => Some(crate::error::chain(error)),
                None => Some("its row does not hold bytes".to_owned()),
            };
            if let Some(why) = why {
                check.once(&id, None, None, format!("day key `{id}`"), &why);
            }
            check.day_keys.insert(id, opened.and_then(Result::ok).map(Arc::new));
        }
        for row in
            sqlx::query("SELECT month, wrapped FROM ledger_index_key ORDER BY month").fetch_all(self.sql()).await?
        {
            let month = row.try_get::<String, _>("month")?;
            let opened = self.index_key_of(&month, &row);
            if opened.is_none() {
                let why = "it does not open under this key directory: it was altered, or moved from another month";
                check.once(&month, None, None, format!("index key `{month}`"), why);
            }
            check.index_keys.insert(month, opened);
        }
        Ok(check)
    }

    fn index_key_of(&self, month: &str, row: &AnyRow) -> Option<Arc<IndexKey>> {
        let wrapped: Vec<u8> = row.try_get("wrapped").ok()?;
        self.inner().keys.unwrap_index_key(month, &wrapped).ok().map(Arc::new)
    }

    async fn count(&self, table: &'static str) -> Result<u64, ReadError> {
        let sql = format!("SELECT COUNT(*) AS rows_in_all FROM {table}");
        natural(&sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(self.sql()).await?, "rows_in_all")
    }

    /// The payloads of some leaves of a log.
    pub(super) async fn fsck_committed(
        &self,
        log: Log,
        mut committed: Vec<Committed>,
        check: &mut PayloadCheck,
    ) -> Result<(), ReadError> {
        while !committed.is_empty() {
            let rest = committed.split_off(committed.len().min(EVENTS_PER_STEP));
            let part = std::mem::replace(&mut committed, rest);
            let leaves = part.len();
            let parse = |one: Committed| Event::parse(&one.bytes).ok().map(|event| (one.index, event));
            let events: Vec<_> = self.blocking(move |_| part.into_iter().filter_map(parse).collect()).await;
            check.account.events_unknown += (leaves - events.len()) as u64;
            let step = self.fsck_step(log, events, check).await?;
            // What a blocking thread needs is lent to it for that long.
            let lent = std::mem::take(check);
            let (lent, suspects) = self
                .blocking(move |blobs| {
                    let mut lent = lent;
                    let suspects = lent.look(log, &step, blobs);
                    (lent, suspects)
                })
                .await;
            *check = lent;
            for suspect in suspects? {
                self.confirm(log, suspect, check).await?;
            }
            self.inner().fsck.payloads(check.account.opened);
        }
        Ok(())
    }

    /// Keys and terms of these events, and the day and index keys that they need.
    async fn fsck_step(
        &self,
        log: Log,
        events: Vec<(u64, Event)>,
        check: &mut PayloadCheck,
    ) -> Result<Step, ReadError> {
        let ids: Vec<String> = events.iter().map(|(_, event)| event.id.to_string()).collect();
        let (ids, among) = match self.store().engine() {
            Engine::Sqlite => (serde_json::json!(ids).to_string(), "IN (SELECT value FROM json_each($1))"),
            Engine::Postgres => (ids.join(","), "= ANY(string_to_array($1, ','))"),
        };
        // Keys before terms: an erasure takes both away at once, and one that runs in between leaves keys without
        // terms, which is looked at again.
        let sql = format!(
            "SELECT event_id, name, interaction, at, wrapped, pack, pack_offset, pack_length \
             FROM ledger_payload_key WHERE event_id {among}"
        );
        let mut step = Step { events, keys: HashMap::new(), terms: HashMap::new() };
        for row in sqlx::query(sqlx::AssertSqlSafe(sql)).bind(ids.as_str()).fetch_all(self.sql()).await? {
            let event: String = row.try_get("event_id")?;
            check.keys.1 += 1;
            match key_row(&row) {
                Ok(key) => step.keys.entry(event).or_default().push(key),
                Err(error) => {
                    let index = step.events.iter().find(|(_, known)| known.id.to_string() == event).map(|(at, _)| *at);
                    let what = format!("a row of event {event} in `ledger_payload_key`");
                    check.problem(Problem { log: Some(log), index, what, why: crate::error::chain(&error) });
                }
            }
        }
        let sql = format!("SELECT event_id, term FROM ledger_search_term WHERE event_id {among}");
        for row in sqlx::query(sqlx::AssertSqlSafe(sql)).bind(ids.as_str()).fetch_all(self.sql()).await? {
            // One that is no string of bytes is none that was derived.
            let term = row.try_get("term").unwrap_or_default();
            step.terms.entry(row.try_get("event_id")?).or_default().insert(term);
        }
        for (_, event) in &step.events {
            for reference in &event.payloads {
                if !check.day_keys.contains_key(&reference.key) {
                    // Made since the beginning, or gone.
                    let key = match self.day_key_on_record(&reference.key).await {
                        Ok(key) => Some(Arc::new(key)),
                        Err(ReadError::NoKey { .. } | ReadError::Key { .. }) => None,
                        Err(error) => return Err(error),
                    };
                    check.day_keys.insert(reference.key.clone(), key);
                }
            }
            let month = event.at.month();
            if !check.index_keys.contains_key(&month) {
                let row = sqlx::query("SELECT wrapped FROM ledger_index_key WHERE month = $1").bind(month.as_str());
                let row = row.fetch_optional(self.sql()).await?;
                check.index_keys.insert(month.clone(), row.and_then(|row| self.index_key_of(&month, &row)));
            }
        }
        Ok(step)
    }

    /// A suspect is a problem unless an erasure has begun on it meanwhile.
    async fn confirm(&self, log: Log, suspect: Suspect, check: &mut PayloadCheck) -> Result<(), ReadError> {
        let Suspect { index, event, name, what, why, once } = suspect;
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM ledger_payload_key WHERE event_id = $1 AND name = $2) AS has_key, \
             (SELECT COUNT(*) FROM ledger_erasure_target WHERE event_id = $1) AS is_target",
        )
        .bind(event.to_string())
        .bind(name.as_str())
        .fetch_one(self.sql())
        .await?;
        if natural(&row, "is_target")? > 0 {
            check.account.erased += 1;
        } else if natural(&row, "has_key")? == 0 {
            check.absent.push(Absent { log, index, event, name });
        } else {
            check.account.unreadable += 1;
            match once {
                Some(key) => check.once(&key, Some(log), Some(index), what, &why),
                None => check.problem(Problem { log: Some(log), index: Some(index), what, why }),
            }
        }
        Ok(())
    }

    /// What is left once every leaf is through: keys that nothing explains the absence of, and rows without a leaf.
    pub(super) async fn fsck_payload_rest(&self, mut check: PayloadCheck, fsck: &mut Fsck) -> Result<(), ReadError> {
        if !check.absent.is_empty() {
            self.newer_erasures(fsck.logs[Log::Evidence as usize].sealed, &mut check).await?;
        }
        for absent in std::mem::take(&mut check.absent) {
            if check.erased.contains(&absent.event) {
                check.account.erased += 1;
                continue;
            }
            check.account.unreadable += 1;
            let what = format!("the key of payload `{}`", absent.name);
            let why = "it is missing, and no sealed erasure explains that".to_owned();
            check.problem(Problem { log: Some(absent.log), index: Some(absent.index), what, why });
        }
        if check.keys.0 > check.keys.1 {
            self.stray_keys(&mut check).await?;
        }
        if check.terms.0 > check.terms.1 {
            self.stray_terms(&mut check).await?;
        }
        fsck.payload_keys = check.keys.0;
        fsck.payloads = check.account;
        check.problems.into_iter().for_each(|problem| fsck.add(problem));
        fsck.problems_not_listed += check.problems_not_listed;
        Ok(())
    }

    /// Erasures that were sealed while the check ran.
    async fn newer_erasures(&self, from: u64, check: &mut PayloadCheck) -> Result<(), ReadError> {
        let sealed = self.checkpoint(Log::Evidence).await?.map_or(0, |row| row.size);
        for from in (from..sealed).step_by(EVENTS_PER_STEP) {
            for row in self.read(Log::Evidence, from, sealed.min(from + EVENTS_PER_STEP as u64)).await? {
                if let Ok(view) = haris_verify::LeafView::parse(&row.bytes) {
                    check.erased.extend(super::erased_by(&view));
                }
            }
        }
        Ok(())
    }

    /// Keys of no event, or of an event that commits to no such payload.
    async fn stray_keys(&self, check: &mut PayloadCheck) -> Result<(), ReadError> {
        let (mut event, mut name) = (String::new(), String::new());
        loop {
            let rows = sqlx::query(
                "SELECT k.event_id AS event_id, k.name AS name, e.log AS log, e.leaf_index AS leaf_index, e.bytes AS bytes \
                 FROM ledger_payload_key k LEFT JOIN ledger_event e ON e.id = k.event_id \
                 WHERE k.event_id > $1 OR (k.event_id = $1 AND k.name > $2) ORDER BY k.event_id, k.name LIMIT $3",
            )
            .bind(event.as_str())
            .bind(name.as_str())
            .bind(ROWS_PER_STEP)
            .fetch_all(self.sql())
            .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            (event, name) = (last.try_get("event_id")?, last.try_get("name")?);
            for row in &rows {
                let what = format!("the key of payload `{}`", row.try_get::<String, _>("name")?);
                let leaf: Option<Vec<u8>> = row.try_get("bytes").unwrap_or_default();
                let Some(leaf) = leaf else {
                    let why = format!(
                        "it belongs to event {}, which is not on record",
                        row.try_get::<String, _>("event_id")?
                    );
                    check.problem(Problem { log: None, index: None, what, why });
                    continue;
                };
                // An event with payloads was looked at, with all its keys.
                if haris_verify::LeafView::parse(&leaf).is_ok_and(|view| !view.has_payloads()) {
                    let (log, index) = (crate::read::log(row)?, natural(row, "leaf_index")?);
                    let why = "its event commits to no such payload".to_owned();
                    check.problem(Problem { log: Some(log), index: Some(index), what, why });
                }
            }
        }
    }

    /// Terms of events that have no identifiers on record.
    async fn stray_terms(&self, check: &mut PayloadCheck) -> Result<(), ReadError> {
        let rows = sqlx::query(
            "SELECT t.event_id AS event_id, COUNT(*) AS terms FROM ledger_search_term t \
             LEFT JOIN ledger_payload_key k ON k.event_id = t.event_id AND k.name = $1 \
             WHERE k.event_id IS NULL GROUP BY t.event_id ORDER BY t.event_id LIMIT $2",
        )
        .bind(IDENTIFIERS)
        .bind(integer(PROBLEMS_MAX as u64))
        .fetch_all(self.sql())
        .await?;
        for row in &rows {
            let what = format!("search terms of event {}", row.try_get::<String, _>("event_id")?);
            let why = format!("{} of them, and no identifiers on record explain them", natural(row, "terms")?);
            check.problem(Problem { log: None, index: None, what, why });
        }
        Ok(())
    }
}

impl PayloadCheck {
    /// Opens what can be opened, and says what does not fit.
    fn look(&mut self, log: Log, step: &Step, blobs: &dyn Blobs) -> Result<Vec<Suspect>, ReadError> {
        let mut packs = Packs::of(step);
        let mut suspects = Vec::new();
        for (index, event) in &step.events {
            let id = event.id.to_string();
            let keys = step.keys.get(&id).map_or(&[][..], Vec::as_slice);
            let suspect = |name: &str, what: String, why: &str, once: Option<String>| Suspect {
                index: *index,
                event: event.id,
                name: name.to_owned(),
                what,
                why: why.to_owned(),
                once,
            };
            let erased = self.erased.contains(&event.id);
            let mut found = None;
            for reference in &event.payloads {
                let name = &reference.name;
                let Some(key) = keys.iter().find(|key| key.name == *name) else {
                    self.account.erased += u64::from(erased);
                    if !erased && self.absent.len() < ABSENT_MAX {
                        self.absent.push(Absent { log, index: *index, event: event.id, name: name.clone() });
                    } else if !erased {
                        self.problems_not_listed += 1;
                    }
                    continue;
                };
                if erased {
                    let why = "its erasure is on record, and the key is still there: was an older database put back?";
                    suspects.push(suspect(name, format!("the key of payload `{name}`"), why, None));
                    continue;
                }
                if key.interaction != interaction(event).to_string() || key.at != event.at.micros() {
                    let why = "its row names another interaction or time than its event: an erasure would miss it";
                    suspects.push(suspect(name, format!("the key of payload `{name}`"), why, None));
                }
                match self.open(At { log, index: *index, event: event.id }, reference, key, &mut packs, blobs)? {
                    Opened::Text(text) => {
                        let count = match reference.stored {
                            Stored::None => &mut self.account.not_stored,
                            Stored::Full | Stored::Redacted => &mut self.account.opened,
                        };
                        *count += 1;
                        if name == IDENTIFIERS {
                            found = Some(text);
                        }
                    }
                    Opened::Said => self.account.unreadable += 1,
                    Opened::Not { what, why, once } => suspects.push(suspect(name, what, &why, once)),
                }
            }
            for key in keys.iter().filter(|key| event.payloads.iter().all(|known| known.name != key.name)) {
                let what = format!("the key of payload `{}`", key.name);
                let why = "its event commits to no such payload".to_owned();
                self.problem(Problem { log: Some(log), index: Some(*index), what, why });
            }
            let has_key = keys.iter().any(|key| key.name == IDENTIFIERS);
            if let Some(why) = self.terms(event, found.as_deref().map(Vec::as_slice), has_key, step.terms.get(&id)) {
                suspects.push(suspect(IDENTIFIERS, "its search terms".to_owned(), &why, None));
            }
        }
        Ok(suspects)
    }

    /// Opens one payload.
    fn open(
        &mut self,
        at: At,
        reference: &PayloadRef,
        key: &KeyRow,
        packs: &mut Packs,
        blobs: &dyn Blobs,
    ) -> Result<Opened, BlobError> {
        let (name, id) = (&reference.name, &reference.key);
        let Some(Some(day)) = self.day_keys.get(id).cloned() else {
            let why = "it is missing or does not open: the payloads under it cannot be read";
            self.once(id, Some(at.log), Some(at.index), format!("day key `{id}`"), why);
            return Ok(Opened::Said);
        };
        let of_key = |why: String| Ok(Opened::Not { what: format!("the key of payload `{name}`"), why, once: None });
        let wanted = if reference.stored == Stored::None { 0 } else { reference.bytes + TAG_BYTES };
        if key.length != wanted || key.pack.is_some() != (wanted > 0) {
            return of_key(format!("its row says that {} bytes are stored, its event {wanted}", key.length));
        }
        let ciphertext = match &key.pack {
            None => Vec::new(),
            Some(pack) => {
                let of_pack = |why: &str| {
                    Ok(Opened::Not { what: format!("pack `{pack}`"), why: why.to_owned(), once: Some(pack.clone()) })
                };
                match packs.read(pack, key.offset, key.length, blobs) {
                    Ok(Some(bytes)) if bytes.len() as u64 == key.length => bytes,
                    Ok(Some(_)) => return of_pack("it ends early: not all of its payloads can be opened"),
                    Ok(None) => return of_pack("it is missing: its payloads cannot be opened"),
                    Err(BlobError::Path { .. }) => {
                        return of_key("its row names no place where a pack can lie".to_owned());
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        match haris_keys::open_payload(&day, at.event, reference, &key.wrapped, &ciphertext) {
            Ok(opened) if opened.text.len() as u64 == reference.bytes => Ok(Opened::Text(opened.text)),
            Ok(_) => of_key("its text has another length than its event says".to_owned()),
            Err(error @ OpenError::Ciphertext { .. }) => {
                let pack = key.pack.as_deref().unwrap_or_default();
                let what = format!("bytes {}..{} of pack `{pack}`", key.offset, key.offset + key.length);
                Ok(Opened::Not { what, why: error.to_string(), once: None })
            }
            Err(error) => of_key(error.to_string()),
        }
    }

    /// What is wrong with an event's search terms, if anything is. `text` is what its identifiers payload says, where
    /// that could be opened; without a key of it, terms are looked for at the end, among all.
    fn terms(
        &mut self,
        event: &Event,
        text: Option<&[u8]>,
        has_key: bool,
        stored: Option<&BTreeSet<Vec<u8>>>,
    ) -> Option<String> {
        if !has_key {
            return None;
        }
        let nothing = BTreeSet::new();
        let stored = stored.unwrap_or(&nothing);
        self.terms.1 += stored.len() as u64;
        let Some(text) = text else {
            self.account.terms_unchecked += 1;
            return None;
        };
        // What is no list of identifiers was never searchable.
        let found = identifiers(text).unwrap_or_default();
        let month = event.at.month();
        let derived: BTreeSet<Vec<u8>> = match self.index_keys.get(&month) {
            Some(Some(key)) => found.iter().map(|(kind, value)| search_term(key, *kind, value).to_vec()).collect(),
            _ if found.is_empty() => BTreeSet::new(),
            _ => {
                let why = "it is missing or does not open: the search terms under it cannot be checked";
                self.once(&month, None, None, format!("index key `{month}`"), why);
                self.account.terms_unchecked += 1;
                return None;
            }
        };
        self.account.terms_checked += 1;
        let (missing, extra) = (derived.difference(stored).count(), stored.difference(&derived).count());
        (missing + extra > 0).then(|| {
            let all = derived.len();
            format!("{missing} of {all} are missing, and {extra} are there that its identifiers do not give")
        })
    }
}

/// Packs as they are read: a stretch at a time, for a batch's payloads lie one behind the other.
struct Packs {
    /// The stretch of each pack that one step needs.
    spans: HashMap<String, (u64, u64)>,
    loaded: Option<(String, u64, Vec<u8>)>,
}

impl Packs {
    fn of(step: &Step) -> Self {
        let mut spans: HashMap<String, (u64, u64)> = HashMap::new();
        for key in step.keys.values().flatten() {
            let Some(pack) = &key.pack else { continue };
            let (from, to) = (key.offset, key.offset.saturating_add(key.length));
            let span = spans.entry(pack.clone()).or_insert((from, to));
            *span = (span.0.min(from), span.1.max(to));
        }
        Self { spans, loaded: None }
    }

    /// `length` bytes from `offset`, or fewer where the pack ends, if there is one.
    fn read(&mut self, pack: &str, offset: u64, length: u64, blobs: &dyn Blobs) -> Result<Option<Vec<u8>>, BlobError> {
        let (from, to) = self.spans.get(pack).copied().unwrap_or((offset, offset.saturating_add(length)));
        if to - from > PACK_BYTES_MAX {
            return blobs.get_range(pack, offset, length);
        }
        if self.loaded.as_ref().is_none_or(|(loaded, ..)| loaded != pack) {
            let Some(bytes) = blobs.get_range(pack, from, to - from)? else { return Ok(None) };
            self.loaded = Some((pack.to_owned(), from, bytes));
        }
        let Some((_, from, bytes)) = &self.loaded else { return Ok(None) };
        let at = |place: u64| usize::try_from(place.saturating_sub(*from)).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Some(bytes[at(offset)..at(offset.saturating_add(length))].to_vec()))
    }
}

fn key_row(row: &AnyRow) -> Result<KeyRow, ReadError> {
    Ok(KeyRow {
        name: row.try_get("name")?,
        interaction: row.try_get("interaction")?,
        at: row.try_get("at")?,
        wrapped: row.try_get("wrapped")?,
        pack: row.try_get("pack")?,
        offset: natural(row, "pack_offset")?,
        length: natural(row, "pack_length")?,
    })
}
