//! Finding events by an identifier that occurred in them.
//!
//! A search term is an HMAC of the normalised identifier under the month's index key: without that key the table says
//! nothing, and with it only what one already knows can be looked for. Terms are derived from `identifiers` payloads
//! when they are recorded, and are deleted with them.

use std::collections::BTreeSet;

use haris_domain::identifier::normal_form;
use haris_domain::{DetectionKind, EventId, Stored};
use haris_keys::search_term;
use haris_store::sqlx;
use haris_store::{Tx, insert};
use serde_json::Value;

use crate::append::Entry;
use crate::{AppendError, Ledger, ReadError};

/// The payload that holds an event's identifiers: `[{"kind":"qid","value":"28463400123"}, …]`.
pub(crate) const IDENTIFIERS: &str = "identifiers";

/// One row of the search table.
pub(crate) struct Term {
    term: [u8; 32],
    event: EventId,
}

impl Ledger {
    /// The events in which an identifier was found, oldest first. Without a kind, every identifying kind is tried.
    ///
    /// # Errors
    /// When the database fails or an index key does not open.
    pub async fn search(&self, kind: Option<DetectionKind>, identifier: &str) -> Result<Vec<EventId>, ReadError> {
        let kinds: Vec<_> = match kind {
            Some(kind) => vec![kind],
            None => DetectionKind::ALL.iter().copied().filter(|kind| kind.identifies()).collect(),
        };
        let mut found = BTreeSet::new();
        for key in self.all_index_keys().await? {
            for kind in &kinds {
                let term = search_term(&key, *kind, &normal_form(*kind, identifier));
                let rows = sqlx::query("SELECT event_id FROM ledger_search_term WHERE term = $1").bind(term.to_vec());
                for row in rows.fetch_all(self.sql()).await? {
                    found.insert(crate::read::event_id(&row, "event_id")?);
                }
            }
        }
        // Ids are version 7: their order is that of birth.
        Ok(found.into_iter().collect())
    }

    /// The search terms of a batch.
    pub(crate) async fn terms(&self, entries: &[Entry<'_>]) -> Result<Vec<Term>, AppendError> {
        let mut terms = Vec::new();
        for entry in entries {
            let Some(payload) = entry.payloads.iter().find(|payload| payload.reference.name == IDENTIFIERS) else {
                continue;
            };
            if payload.reference.stored == Stored::None {
                continue;
            }
            let event = entry.leaf.id;
            let day = self.day_key(&payload.reference.key).await?;
            let opened =
                haris_keys::open_payload(&day, event, &payload.reference, &payload.wrapped_key, &payload.ciphertext)
                    .map_err(|source| ReadError::Payload { id: event, name: IDENTIFIERS.into(), source })?;
            let index = self.index_key(entry.event.at).await?;
            let Some(identifiers) = identifiers(&opened.text) else {
                // The event itself is sound; holding up the log for its search terms would help nobody.
                tracing::warn!(%event, "identifiers payload is not a list of kinds and values: not searchable");
                continue;
            };
            terms.extend(
                identifiers.iter().map(|(kind, value)| Term { term: search_term(&index, *kind, value), event }),
            );
        }
        Ok(terms)
    }
}

/// What an `identifiers` payload says. Kinds that this version does not know are left out.
pub(crate) fn identifiers(text: &[u8]) -> Option<BTreeSet<(DetectionKind, String)>> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let mut found = BTreeSet::new();
    for item in value.as_array()? {
        let value = item["value"].as_str()?;
        if let Some(kind) = DetectionKind::named(item["kind"].as_str()?) {
            found.insert((kind, normal_form(kind, value)));
        }
    }
    Some(found)
}

pub(crate) async fn insert_terms(tx: &mut Tx<'_>, terms: &[Term]) -> Result<(), sqlx::Error> {
    let rows = terms.iter().map(|term| [term.term.to_vec().into(), term.event.to_string().into()]).collect();
    insert(tx, "ledger_search_term", ["term", "event_id"], rows, "ON CONFLICT DO NOTHING").await?;
    Ok(())
}
