//! What operations work on.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use haris_access::Access;
use haris_domain::{SealedPayload, Stored, Timestamp};
use haris_ledger::Ledger;
use haris_spool::Spool;
use haris_witnessing::{Anchors, Cosigners};
use serde::{Deserialize, Serialize};

use crate::{Refusal, RefusalCode, Reserve, Vitals};

/// The part of a running gateway that operations reach: told when callers change, asked how it is.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// Callers were added or revoked: accept and refuse accordingly from now on.
    ///
    /// # Errors
    /// When the callers could not be read again.
    async fn callers_changed(&self) -> Result<(), Refusal>;

    /// How it is.
    fn status(&self) -> GatewayStatus;
}

/// A gateway's account of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Base URL for clients.
    pub url: String,
    /// Digest of the policy in force.
    pub policy: String,
    /// The text engine's version.
    pub engine: String,
    /// Digest of the rule set.
    pub rules: String,
    /// Names of the upstreams, with where they run.
    pub upstreams: Vec<String>,
    /// Keys that are accepted.
    pub callers: u64,
    /// Requests decided on since the start.
    pub requests: u64,
    /// Of those, blocked.
    pub blocked: u64,
    /// Of those, redacted.
    pub redacted: u64,
    /// Requests refused before inspection.
    pub refused: u64,
    /// Exchanges whose upstream failed.
    pub upstream_failed: u64,
    /// Requests turned away because their event could not be made durable.
    pub audit_refused: u64,
    /// Requests or answers let pass without a durable event, by a route that allows it.
    pub unaudited: u64,
    /// Requests in the gateway at this moment.
    pub in_flight: u64,
    /// Open connections at this moment.
    pub connections: u64,
}

/// Everything an operation may use. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The ledger.
    pub ledger: Ledger,
    /// Who may do what.
    pub access: Access,
    /// Held while a change that waited is made, refused or withdrawn.
    pub approving: Arc<tokio::sync::Mutex<()>>,
    /// Spools of this process, by the name they ship under.
    pub spools: Vec<(String, Spool)>,
    /// The gateway, where one runs in this process.
    pub gateway: Option<Arc<dyn Gateway>>,
    /// Witnesses, where some are configured.
    pub cosigners: Option<Cosigners>,
    /// Lesser anchors, where some are configured.
    pub anchors: Option<Anchors>,
    /// The data directory: for free space, and for bundles on their way out.
    pub data: PathBuf,
    /// What this process notices of its surroundings.
    pub vitals: Arc<Vitals>,
    /// What is set aside for operators on a full disk.
    pub reserve: Arc<Reserve>,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

impl Context {
    /// The time by this process's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Seals a text typed by a person as a payload of the event `draft` will be.
    pub(crate) fn seal_text(
        &self,
        draft: &haris_domain::Draft,
        name: &str,
        text: &str,
    ) -> Result<SealedPayload, Refusal> {
        let day = self.ledger.day_keys().for_day(draft.at).ok_or_else(|| {
            Refusal::new(RefusalCode::Unavailable, "there is no data key for today yet: try again in a moment")
        })?;
        Ok(haris_keys::seal_payload(&day, draft.id, name, Stored::Full, text.as_bytes(), None))
    }
}
