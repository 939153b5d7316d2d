//! The running gateway, as operations reach it: whom it lets in, and how it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use haris_gateway::{Caller, CallerTable, Counters, InForce};
use haris_ledger::Ledger;
use haris_operations::{Gateway, GatewayStatus, Refusal};

/// What operations see of the gateway in this process.
pub(crate) struct Guard {
    pub(crate) ledger: Ledger,
    pub(crate) url: String,
    pub(crate) rules: Arc<ArcSwap<InForce>>,
    pub(crate) callers: Arc<ArcSwap<CallerTable>>,
    pub(crate) counters: Arc<Counters>,
}

#[async_trait]
impl Gateway for Guard {
    async fn callers_changed(&self) -> Result<(), Refusal> {
        let now = callers(&self.ledger).await?;
        self.callers.store(Arc::new(now.after(&self.callers.load())));
        Ok(())
    }

    fn status(&self) -> GatewayStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let rules = self.rules.load();
        let place = |upstream: &haris_gateway::Upstream| format!("{} ({})", upstream.name, upstream.place);
        GatewayStatus {
            url: self.url.clone(),
            policy: rules.version().to_owned(),
            engine: rules.versions.engine.clone(),
            rules: rules.versions.rules.clone(),
            upstreams: rules.upstreams.iter().map(place).collect(),
            callers: self.callers.load().len() as u64,
            requests: read(&self.counters.requests),
            blocked: read(&self.counters.blocked),
            redacted: read(&self.counters.redacted),
            refused: read(&self.counters.refused),
            upstream_failed: read(&self.counters.upstream_failed),
            audit_refused: read(&self.counters.audit_refused),
            unaudited: read(&self.counters.unaudited),
            in_flight: read(&self.counters.in_flight),
            connections: read(&self.counters.connections),
        }
    }
}

/// The keys that the gateway accepts at this moment. Revoked ones are not among them; expiry it
/// checks itself.
pub(crate) async fn callers(ledger: &Ledger) -> Result<CallerTable, Refusal> {
    let credentials = haris_register::credentials(ledger).await.map_err(|error| Refusal::internal(&error))?;
    let entry = |credential: haris_register::Credential| {
        let caller = credential.caller;
        // A pattern that this version cannot read matches nothing: the caller is let into less, not more.
        let models = caller.models.iter().filter_map(|model| model.parse().ok()).collect();
        (credential.key_hash, Caller { id: caller.id, models, expires: caller.expires, stored: Arc::default() })
    };
    Ok(credentials.into_iter().map(entry).collect())
}
