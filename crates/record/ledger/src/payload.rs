//! Payloads: ciphertext in packs, keys in rows, text only when asked for.
//!
//! A batch's ciphertexts go into one blob, a pack: one file and one sync instead of hundreds. A pack is named for its
//! first event and its digest, so that a batch sent twice writes it once. Erasing a payload destroys its key row and
//! zeroes its stretch of the pack; a pack without living payloads is deleted.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use haris_domain::{Event, EventId, Log, PayloadRef, Stored, Timestamp};
use haris_keys::OpenedPayload;
use haris_store::sqlx::{self, Row};
use haris_store::{Blobs, Tx, Value, insert};
use zeroize::Zeroizing;

use crate::append::Entry;
use crate::read::{integer, natural};
use crate::{AppendError, Ledger, ReadError};

/// What is left of a payload.
pub enum Payload {
    /// Its text, which matches the leaf's commitment.
    Text {
        /// The stored bytes.
        text: Zeroizing<Vec<u8>>,
        /// Given to an auditor together with the text.
        commit_key: Zeroizing<[u8; 32]>,
    },
    /// Only its commitment was kept.
    NotStored,
    /// Its key was destroyed.
    Erased,
    /// There is no such event, or it has no payload of that name.
    Unknown,
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text { .. } => "Text",
            Self::NotStored => "NotStored",
            Self::Erased => "Erased",
            Self::Unknown => "Unknown",
        })
    }
}

/// Where a batch's ciphertexts lie.
pub(crate) struct Pack {
    path: String,
}

impl Ledger {
    /// Opens one payload of an event. Showing it to a person is an event of its own, which the caller writes.
    ///
    /// # Errors
    /// When something is damaged or cannot be read.
    pub async fn open_payload(&self, id: EventId, name: &str) -> Result<Payload, ReadError> {
        let Some(located) = self.find(id).await? else { return Ok(Payload::Unknown) };
        let event = Event::parse(&located.bytes)
            .map_err(|error| ReadError::Damaged { what: format!("event {id}"), why: error.to_string() })?;
        let Some(reference) = event.payloads.iter().find(|payload| payload.name == name) else {
            return Ok(Payload::Unknown);
        };
        self.open_reference(id, reference).await
    }

    /// Opens the payload that a leaf refers to.
    pub(crate) async fn open_reference(&self, id: EventId, reference: &PayloadRef) -> Result<Payload, ReadError> {
        if reference.stored == Stored::None {
            return Ok(Payload::NotStored);
        }
        let row = sqlx::query(
            "SELECT wrapped, pack, pack_offset, pack_length FROM ledger_payload_key WHERE event_id = $1 AND name = $2",
        )
        .bind(id.to_string())
        .bind(reference.name.as_str())
        .fetch_optional(self.sql())
        .await?;
        let Some(row) = row else { return Ok(Payload::Erased) };
        let Some(pack) = row.try_get::<Option<String>, _>("pack")? else { return Ok(Payload::NotStored) };
        let (offset, length) = (natural(&row, "pack_offset")?, natural(&row, "pack_length")?);
        let damaged = |why: &str| ReadError::Damaged { what: format!("pack `{pack}`"), why: why.to_owned() };
        let path = pack.clone();
        let ciphertext = self.blocking(move |blobs| blobs.get_range(&path, offset, length)).await?;
        let ciphertext = ciphertext.ok_or_else(|| damaged("it is missing"))?;
        if ciphertext.len() as u64 != length {
            return Err(damaged("it ends early"));
        }
        let day = self.day_key(&reference.key).await?;
        let wrapped: Vec<u8> = row.try_get("wrapped")?;
        let OpenedPayload { text, commit_key } =
            haris_keys::open_payload(&day, id, reference, &wrapped, &ciphertext)
                .map_err(|source| ReadError::Payload { id, name: reference.name.clone(), source })?;
        Ok(Payload::Text { text, commit_key })
    }

    /// Makes a batch's ciphertexts durable.
    pub(crate) async fn write_pack(&self, entries: &[Entry<'_>]) -> Result<Pack, AppendError> {
        let ciphertexts =
            || entries.iter().flat_map(|entry| entry.payloads).map(|payload| payload.ciphertext.as_slice());
        let length = ciphertexts().map(<[u8]>::len).sum();
        let Some(first) = entries.first().filter(|_| length > 0) else { return Ok(Pack { path: String::new() }) };
        let mut bytes = Vec::with_capacity(length);
        ciphertexts().for_each(|ciphertext| bytes.extend_from_slice(ciphertext));
        let name = hex::encode(&digest(&SHA256, &bytes).as_ref()[..8]);
        let path = format!("payloads/{}/{}-{name}", first.event.at.day(), first.leaf.id);
        let to = path.clone();
        self.blocking(move |blobs| blobs.put_if_absent(&to, &bytes)).await?;
        Ok(Pack { path })
    }

    /// Runs something on the blobs where it may block.
    pub(crate) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&dyn Blobs) -> T + Send + 'static) -> T {
        let blobs = Arc::clone(self.store().blobs());
        tokio::task::spawn_blocking(move || work(&*blobs))
            .await
            .expect("blob operations do not panic and are not aborted")
    }
}

impl Pack {
    /// Writes the key rows of a batch. The order of payloads is the one in which the pack was put together.
    pub(crate) async fn insert_keys(&self, tx: &mut Tx<'_>, entries: &[Entry<'_>]) -> Result<(), sqlx::Error> {
        let mut offset = 0;
        let mut rows: Vec<[Value; 8]> = Vec::new();
        for entry in entries {
            let interaction = interaction(&entry.event).to_string();
            for payload in entry.payloads {
                let length = payload.ciphertext.len() as u64;
                rows.push([
                    entry.leaf.id.to_string().into(),
                    payload.reference.name.as_str().into(),
                    interaction.as_str().into(),
                    entry.event.at.micros().into(),
                    payload.wrapped_key.clone().into(),
                    Value::MaybeText((length > 0).then(|| self.path.clone())),
                    integer(offset).into(),
                    integer(length).into(),
                ]);
                offset += length;
            }
        }
        let columns = ["event_id", "name", "interaction", "at", "wrapped", "pack", "pack_offset", "pack_length"];
        insert(tx, "ledger_payload_key", columns, rows, "").await?;
        Ok(())
    }
}

/// The request that an event of the traffic log belongs to: an answer names its request in `about`. An event of the
/// evidence log stands alone, whatever it is about: erasing a request does not erase why somebody looked at it.
pub(crate) fn interaction(event: &Event) -> EventId {
    let request = event.about.iter().find_map(|id| id.parse().ok());
    request.filter(|_| event.kind.log == Log::Traffic).unwrap_or(event.id)
}

/// Seals one payload of an event that Haris itself writes, under the data key of `at`.
pub(crate) fn seal_text(
    ledger: &Ledger,
    at: Timestamp,
    event: EventId,
    name: &str,
    text: &str,
) -> Result<haris_domain::SealedPayload, ReadError> {
    let day =
        ledger.inner().day_keys.for_day(at).ok_or_else(|| ReadError::NoKey { id: format!("day:{}", at.day()) })?;
    Ok(haris_keys::seal_payload(&day, event, name, Stored::Full, text.as_bytes(), None))
}
