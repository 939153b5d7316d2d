//! What can go wrong with a request, in words for the caller; each protocol gives it its own shape.

use std::borrow::Cow;

use haris_domain::EventId;

use crate::json::BadJson;

/// An answer that is not the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// A stable code the caller's program can act on.
    pub code: &'static str,
    /// What is wrong and what to do. Never holds anything from the request or the answer.
    pub message: String,
    /// The field it is about, as a path of schema names.
    pub field: Option<String>,
    /// Rules that spoke, for a block.
    pub findings: Vec<String>,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<u32>,
    /// The stable reason that the ledger keeps.
    pub reason: &'static str,
}

/// A request is blocked with this code, whatever the protocol.
pub(crate) const BLOCKED: &str = "content_policy_violation";

impl Problem {
    /// A problem with status, code for the caller and reason for the ledger.
    #[must_use]
    pub fn new(status: u16, code: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), field: None, findings: Vec::new(), retry_after: None, reason }
    }

    /// About one field.
    #[must_use]
    pub fn in_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Worth trying again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// A block also says where to read more, if there is an event to read.
    pub(crate) fn pointing_to(&self, event: Option<EventId>) -> Cow<'_, Self> {
        match event.filter(|_| self.code == BLOCKED) {
            None => Cow::Borrowed(self),
            Some(event) => {
                let message = format!("{} `haris why {event}` tells more.", self.message);
                Cow::Owned(Self { message, ..self.clone() })
            }
        }
    }

    pub(crate) fn bad_json(bad: &BadJson) -> Self {
        Self::new(400, "invalid_json", bad.reason(), format!("The request body is not acceptable JSON: {bad}."))
    }

    pub(crate) fn audit_unavailable() -> Self {
        Self::new(
            503,
            "audit_unavailable",
            "audit-unavailable",
            "The gateway cannot record this request, so it does not pass it on. Try again later; the operator sees the cause in `haris status`.",
        )
        .retry_after(5)
    }

    pub(crate) fn witness_unavailable() -> Self {
        Self::new(
            503,
            "witness_unavailable",
            "witness-unavailable",
            "No independent witness has confirmed the gateway's record for too long, and this route does not serve without one. Try again later; the operator sees the cause in `haris status`.",
        )
        .retry_after(10)
    }

    pub(crate) fn upstream(status: u16, code: &'static str, message: &'static str) -> Self {
        Self::new(status, code, "upstream", message)
    }
}
