//! Interactions: what was asked of a model, what was decided, and what came back.
//!
//! Question and answer are two tables that are only ever added to, joined when read: a gateway's
//! events arrive by the thousand, and one multi-row insert is far cheaper than as many updates.

use async_trait::async_trait;
use haris_domain::{Event, EventId, Timestamp, kind};
use haris_ledger::{Folded, Ledger, Projection};
use haris_store::sqlx::{self, Row};
use haris_store::{Tx, Value, insert};

use crate::decode::{flag, integer, text};

/// The fold of `gw.*` events.
pub struct Interactions;

const REQUEST_COLUMNS: [&str; 12] = [
    "id",
    "leaf_index",
    "at",
    "boot",
    "actor",
    "environment",
    "protocol",
    "route",
    "model",
    "upstream",
    "stream",
    "verdict",
];
const RESPONSE_COLUMNS: [&str; 8] =
    ["id", "request", "at", "verdict", "outcome", "status", "first_byte_us", "total_us"];
const REFUSAL_COLUMNS: [&str; 5] = ["id", "at", "actor", "reason", "status"];
const FINDING_COLUMNS: [&str; 6] = ["event", "place", "at", "rule", "kind", "action"];

#[async_trait]
impl Projection for Interactions {
    fn name(&self) -> &'static str {
        "register_interaction"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["register_request", "register_response", "register_refusal", "register_finding"]
    }

    fn schema(&self) -> &'static str {
        "CREATE TABLE IF NOT EXISTS register_request (
            id TEXT PRIMARY KEY,
            leaf_index INTEGER NOT NULL,
            at INTEGER NOT NULL,
            boot TEXT NOT NULL,
            actor TEXT NOT NULL,
            environment TEXT NOT NULL,
            protocol TEXT NOT NULL,
            route TEXT NOT NULL,
            model TEXT NOT NULL,
            upstream TEXT NOT NULL,
            stream INTEGER NOT NULL,
            verdict TEXT NOT NULL
        );
        CREATE INDEX IF NOT EXISTS register_request_at ON register_request (at);
        CREATE TABLE IF NOT EXISTS register_response (
            id TEXT PRIMARY KEY,
            request TEXT NOT NULL,
            at INTEGER NOT NULL,
            verdict TEXT NOT NULL,
            outcome TEXT NOT NULL,
            status INTEGER,
            first_byte_us INTEGER,
            total_us INTEGER
        );
        CREATE INDEX IF NOT EXISTS register_response_request ON register_response (request);
        CREATE TABLE IF NOT EXISTS register_refusal (
            id TEXT PRIMARY KEY,
            at INTEGER NOT NULL,
            actor TEXT NOT NULL,
            reason TEXT NOT NULL,
            status INTEGER
        );
        CREATE TABLE IF NOT EXISTS register_finding (
            event TEXT NOT NULL,
            place INTEGER NOT NULL,
            at INTEGER NOT NULL,
            rule TEXT NOT NULL,
            kind TEXT NOT NULL,
            action TEXT NOT NULL,
            PRIMARY KEY (event, place)
        );
        CREATE INDEX IF NOT EXISTS register_finding_rule ON register_finding (rule, at);"
    }

    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error> {
        let mut requests = Vec::new();
        let mut responses = Vec::new();
        let mut refusals = Vec::new();
        let mut findings = Vec::new();
        for folded in events {
            let event = folded.event;
            if *event.kind == kind::REQUEST_DECIDED {
                requests.push(request(folded));
                findings.extend(found(event));
            } else if *event.kind == kind::RESPONSE_DECIDED {
                responses.push(response(event));
                findings.extend(found(event));
            } else if *event.kind == kind::REQUEST_REFUSED {
                refusals.push(refusal(event));
            }
        }
        const TWICE: &str = "ON CONFLICT DO NOTHING";
        insert(tx, "register_request", REQUEST_COLUMNS, requests, TWICE).await?;
        insert(tx, "register_response", RESPONSE_COLUMNS, responses, TWICE).await?;
        insert(tx, "register_refusal", REFUSAL_COLUMNS, refusals, TWICE).await?;
        insert(tx, "register_finding", FINDING_COLUMNS, findings, TWICE).await?;
        Ok(())
    }
}

fn request(folded: &Folded<'_>) -> [Value; REQUEST_COLUMNS.len()] {
    let event = folded.event;
    [
        event.id.to_string().into(),
        i64::try_from(folded.index).unwrap_or(i64::MAX).into(),
        event.at.micros().into(),
        event.source.boot.clone().into(),
        event.actor.as_str().into(),
        text(&event.data, "environment").into(),
        text(&event.data, "protocol").into(),
        text(&event.data, "route").into(),
        text(&event.data, "model").into(),
        text(&event.data, "upstream").into(),
        flag(&event.data, "stream").into(),
        text(&event.data, "verdict").into(),
    ]
}

fn response(event: &Event) -> [Value; RESPONSE_COLUMNS.len()] {
    [
        event.id.to_string().into(),
        text(&event.data, "request").into(),
        event.at.micros().into(),
        text(&event.data, "verdict").into(),
        text(&event.data, "outcome").into(),
        Value::MaybeInteger(integer(&event.data, "status")),
        Value::MaybeInteger(integer(&event.data, "first_byte_us")),
        Value::MaybeInteger(integer(&event.data, "total_us")),
    ]
}

fn refusal(event: &Event) -> [Value; REFUSAL_COLUMNS.len()] {
    [
        event.id.to_string().into(),
        event.at.micros().into(),
        event.actor.as_str().into(),
        text(&event.data, "reason").into(),
        Value::MaybeInteger(integer(&event.data, "status")),
    ]
}

fn found(event: &Event) -> impl Iterator<Item = [Value; FINDING_COLUMNS.len()]> {
    let detections = event.data.get("detections").and_then(|all| all.as_array()).map(Vec::as_slice).unwrap_or_default();
    detections.iter().zip(0_i64..).map(|(detection, place)| {
        let word = |key: &str| Value::from(detection[key].as_str().unwrap_or_default());
        [
            event.id.to_string().into(),
            place.into(),
            event.at.micros().into(),
            word("rule"),
            word("kind"),
            word("action"),
        ]
    })
}

/// A request that was let pass and of which no answer is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    /// The request's event.
    pub id: EventId,
    /// When it was decided on.
    pub at: Timestamp,
    /// Whether its traffic counts.
    pub environment: String,
    /// Who asked.
    pub actor: String,
}

/// Requests without an answer that another start of this process than `boot` left behind, oldest
/// first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn open_requests(ledger: &Ledger, boot: &str, limit: u32) -> Result<Vec<OpenRequest>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT q.id, q.at, q.environment, q.actor FROM register_request q \
         LEFT JOIN register_response a ON a.request = q.id \
         WHERE a.id IS NULL AND q.verdict <> 'block' AND q.boot <> $1 ORDER BY q.at LIMIT $2",
    )
    .bind(boot)
    .bind(i64::from(limit))
    .fetch_all(ledger.sql())
    .await?;
    let mut open = Vec::with_capacity(rows.len());
    for row in &rows {
        let Ok(id) = row.try_get::<&str, _>("id")?.parse() else { continue };
        open.push(OpenRequest {
            id,
            at: Timestamp::from_micros(row.try_get("at")?),
            environment: row.try_get("environment")?,
            actor: row.try_get("actor")?,
        });
    }
    Ok(open)
}

/// The event that answered a request, if one is on record.
///
/// # Errors
/// When the database fails.
pub async fn response_of(ledger: &Ledger, request: EventId) -> Result<Option<EventId>, sqlx::Error> {
    let row = sqlx::query("SELECT id FROM register_response WHERE request = $1 ORDER BY at LIMIT 1")
        .bind(request.to_string())
        .fetch_optional(ledger.sql())
        .await?;
    Ok(match row {
        Some(row) => row.try_get::<&str, _>("id")?.parse().ok(),
        None => None,
    })
}
