//! Receipts: a caller that asks for one can later show that its event was sealed, or that the operator broke the
//! promise.

use haris_domain::{Leaf, Timestamp};
use haris_merkle::{Receipt, Signer, leaf_hash};
use http::{HeaderMap, HeaderName, HeaderValue};

/// On a request: the caller wants a receipt. On its response: the receipt.
pub(crate) const RECEIPT_HEADER: HeaderName = HeaderName::from_static("x-haris-receipt");

/// From birth to the promised seal. Sealing takes a second; a spool that cannot be shipped, because the ledger's
/// database is down, takes as long as it is down. Certificate logs promise a day as well (RFC 6962 section 3).
const PROMISE_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Signs receipts for events of the traffic log.
pub struct Receipts {
    origin: String,
    signer: Box<dyn Signer + Send + Sync>,
}

impl std::fmt::Debug for Receipts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receipts({})", self.signer.key())
    }
}

impl Receipts {
    /// Receipts for the log of that origin.
    #[must_use]
    pub fn new(origin: &str, signer: Box<dyn Signer + Send + Sync>) -> Self {
        Self { origin: origin.to_owned(), signer }
    }

    /// The header's value for an event that is durable. None when it cannot be signed: the event stands all the same.
    pub(crate) fn of(&self, leaf: &Leaf, at: Timestamp) -> Option<HeaderValue> {
        let receipt = Receipt {
            origin: self.origin.clone(),
            event: leaf.id.to_string(),
            leaf: leaf_hash(&leaf.bytes),
            at: at.to_string(),
            by: at.plus_micros(PROMISE_MICROS).to_string(),
        };
        let signed = receipt.sign(&*self.signer).map_err(|error| tracing::error!(%error, "no receipt"));
        HeaderValue::from_str(&signed.ok()?).ok()
    }
}

/// Whether the caller wants a receipt. `0` and `false` are what a client writes that passes a setting on.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    headers.get(RECEIPT_HEADER).is_some_and(|value| !matches!(value.as_bytes(), b"" | b"0" | b"false"))
}
