//! Legal holds: what they cover is neither erased nor pruned.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use haris_domain::{Actor, DetectionKind, Draft, EventId, Timestamp, kind};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, Value as Sql, insert};
use serde_json::{Value, json};

use crate::payload::{Payload, seal_text};
use crate::read::integer;
use crate::{EraseError, Folded, Ledger, Projection, ReadError};

/// What a hold covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldScope {
    /// Every event, past and to come.
    Everything,
    /// These events, with the question or answer that belongs to each. At most [`HOLD_EVENTS_MAX`].
    Events(Vec<EventId>),
    /// Events born from `from` up to but not including `to`.
    Range {
        /// The first moment.
        from: Timestamp,
        /// The first moment after it.
        to: Timestamp,
    },
    /// Every event in which an identifier was found, past and to come. The identifier is kept as a payload of the hold.
    Subject {
        /// What kind of identifier; any, when not given.
        kind: Option<DetectionKind>,
        /// The identifier, in any spelling.
        identifier: String,
    },
}

/// Ids that one hold lists: they must fit a leaf. More are several holds.
pub const HOLD_EVENTS_MAX: usize = 1_000;

/// A hold in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The event that placed it.
    pub id: EventId,
    /// `everything`, `events`, `range` or `subject`.
    pub scope: String,
    /// When it was placed.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
}

/// The payload of a hold that says whom it is about.
const SUBJECT: &str = "subject";

impl Ledger {
    /// Places a hold and gives its id.
    ///
    /// # Errors
    /// When it lists too many events, or cannot be recorded.
    pub async fn hold(
        &self,
        scope: HoldScope,
        reason: &str,
        actor: Actor,
        now: Timestamp,
    ) -> Result<EventId, EraseError> {
        self.ensure_day_keys(now).await?;
        let mut draft = Draft::new(&kind::HOLD_PLACED, now, actor);
        let mut payloads = vec![seal_text(self, now, draft.id, "reason", reason)?];
        draft = match scope {
            HoldScope::Everything => draft.with("scope", "everything"),
            HoldScope::Events(ids) => {
                if ids.is_empty() || ids.len() > HOLD_EVENTS_MAX {
                    return Err(EraseError::HoldEvents { count: ids.len() });
                }
                let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
                draft.with("scope", "events").with("events", ids)
            }
            HoldScope::Range { from, to } => {
                draft.with("scope", "range").with("from", from.to_string()).with("to", to.to_string())
            }
            HoldScope::Subject { kind, identifier } => {
                let subject = json!({ "kind": kind.map(DetectionKind::name), "value": identifier }).to_string();
                payloads.push(seal_text(self, now, draft.id, SUBJECT, &subject)?);
                draft.with("scope", "subject")
            }
        };
        let id = draft.id;
        self.append(vec![(draft, payloads)]).await?;
        Ok(id)
    }

    /// Lifts a hold, and gives the id of the event that says so.
    ///
    /// # Errors
    /// When there is no such hold in force, or it cannot be recorded.
    pub async fn lift(&self, id: EventId, reason: &str, actor: Actor, now: Timestamp) -> Result<EventId, EraseError> {
        if !self.holds().await?.iter().any(|hold| hold.id == id) {
            return Err(EraseError::NoHold { id });
        }
        self.ensure_day_keys(now).await?;
        let draft = Draft::new(&kind::HOLD_LIFTED, now, actor).with("hold", id.to_string()).about(id);
        let lifted = draft.id;
        let reason = seal_text(self, now, lifted, "reason", reason)?;
        self.append(vec![(draft, vec![reason])]).await?;
        Ok(lifted)
    }

    /// The holds in force, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holds(&self) -> Result<Vec<Hold>, ReadError> {
        let rows =
            sqlx::query("SELECT id, scope, at, actor FROM ledger_hold WHERE lifted_by IS NULL ORDER BY leaf_index");
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Hold {
                id: crate::read::event_id(row, "id")?,
                scope: row.try_get("scope")?,
                at: Timestamp::from_micros(row.try_get("at")?),
                actor: row.try_get("actor")?,
            })
        };
        rows.fetch_all(self.sql()).await?.iter().map(read).collect()
    }

    /// The ids of the holds in force, within a transaction that is about to record an erasure.
    pub(crate) async fn hold_ids(&self, tx: &mut Tx<'_>) -> Result<Vec<String>, sqlx::Error> {
        let rows = sqlx::query("SELECT id FROM ledger_hold WHERE lifted_by IS NULL ORDER BY leaf_index");
        rows.fetch_all(&mut **tx).await?.iter().map(|row| row.try_get("id")).collect()
    }

    /// The first hold in force that covers any of these events (each with its interaction and time), and how many.
    pub(crate) async fn hold_over(
        &self,
        holds: &[Hold],
        events: &BTreeMap<String, (String, Timestamp)>,
    ) -> Result<Option<(EventId, usize)>, ReadError> {
        for hold in holds {
            let row =
                sqlx::query("SELECT from_at, to_at, events FROM ledger_hold WHERE id = $1").bind(hold.id.to_string());
            let row = row.fetch_one(self.sql()).await?;
            let covered = match hold.scope.as_str() {
                "range" => {
                    let (from, to): (i64, i64) = (row.try_get("from_at")?, row.try_get("to_at")?);
                    events.values().filter(|(_, at)| (from..to).contains(&at.micros())).count()
                }
                "events" => {
                    let listed: Vec<String> =
                        serde_json::from_str(&row.try_get::<String, _>("events")?).unwrap_or_default();
                    count_with_interactions(events, &self.interactions(&listed).await?, &listed)
                }
                "subject" => {
                    let listed = self.held_subject(hold.id).await?;
                    count_with_interactions(events, &self.interactions(&listed).await?, &listed)
                }
                // `everything`, and what a newer version may have meant: a hold that is not understood holds.
                _ => events.len(),
            };
            if covered > 0 {
                return Ok(Some((hold.id, covered)));
            }
        }
        Ok(None)
    }

    /// The events in which the subject of a hold is found today.
    async fn held_subject(&self, hold: EventId) -> Result<Vec<String>, ReadError> {
        let damaged = |why: &str| ReadError::Damaged { what: format!("hold {hold}"), why: why.to_owned() };
        let Payload::Text { text, .. } = self.open_payload(hold, SUBJECT).await? else {
            return Err(damaged("its subject cannot be read"));
        };
        let subject: Value = serde_json::from_slice(&text).map_err(|_| damaged("its subject is malformed"))?;
        let kind = subject["kind"].as_str().and_then(DetectionKind::named);
        let identifier = subject["value"].as_str().ok_or_else(|| damaged("its subject is malformed"))?;
        Ok(self.search(kind, identifier).await?.iter().map(ToString::to_string).collect())
    }

    /// The interactions that these events belong to.
    pub(crate) async fn interactions(&self, events: &[String]) -> Result<BTreeSet<String>, ReadError> {
        let mut interactions = BTreeSet::new();
        for id in events {
            let rows = sqlx::query("SELECT DISTINCT interaction FROM ledger_payload_key WHERE event_id = $1").bind(id);
            for row in rows.fetch_all(self.sql()).await? {
                interactions.insert(row.try_get("interaction")?);
            }
        }
        Ok(interactions)
    }
}

fn count_with_interactions(
    events: &BTreeMap<String, (String, Timestamp)>,
    interactions: &BTreeSet<String>,
    listed: &[String],
) -> usize {
    let covered = |(id, (interaction, _)): &(&String, &(String, Timestamp))| {
        interactions.contains(interaction) || listed.contains(id)
    };
    events.iter().filter(covered).count()
}

/// Folds holds into `ledger_hold`.
pub(crate) struct Holds;

#[async_trait]
impl Projection for Holds {
    fn name(&self) -> &'static str {
        "ledger.holds"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["ledger_hold"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS ledger_hold (
            id TEXT PRIMARY KEY,
            leaf_index INTEGER NOT NULL,
            scope TEXT NOT NULL,
            from_at INTEGER,
            to_at INTEGER,
            events TEXT NOT NULL,
            at INTEGER NOT NULL,
            actor TEXT NOT NULL,
            lifted_by TEXT
        )"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        for folded in events {
            let event = folded.event;
            let data = &event.data;
            if *event.kind == kind::HOLD_PLACED {
                let moment = |key: &str| {
                    let at = data.get(key).and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
                    Sql::MaybeInteger(at.map(Timestamp::micros))
                };
                let row: [Sql; 8] = [
                    event.id.to_string().into(),
                    integer(folded.index).into(),
                    data.get("scope").and_then(Value::as_str).unwrap_or_default().into(),
                    moment("from"),
                    moment("to"),
                    data.get("events").map_or_else(|| "[]".to_owned(), ToString::to_string).into(),
                    event.at.micros().into(),
                    event.actor.as_str().into(),
                ];
                let columns = ["id", "leaf_index", "scope", "from_at", "to_at", "events", "at", "actor"];
                insert(tx, "ledger_hold", columns, vec![row], "").await?;
            } else if *event.kind == kind::HOLD_LIFTED {
                sqlx::query("UPDATE ledger_hold SET lifted_by = $1 WHERE id = $2 AND lifted_by IS NULL")
                    .bind(event.id.to_string())
                    .bind(data.get("hold").and_then(Value::as_str).unwrap_or_default())
                    .execute(&mut **tx)
                    .await?;
            }
        }
        Ok(())
    }
}
