//! Requests whose answer never came, since the process that served them ended in between: closed at the next start.

use haris_domain::{Actor, Draft, kind};
use haris_ledger::Ledger;
use haris_spool::Spool;
use haris_store::is_no_room;
use serde_json::Value;

use crate::Failure;
use crate::home::clock;

/// Requests closed as interrupted per step.
const OPEN_REQUESTS_PER_STEP: u32 = 1_000;

/// What the spool holds goes into the ledger, and requests that starts other than `boot` left open are closed. False
/// where there is no room for that: status says why, and it is done when there is.
pub(crate) async fn close(ledger: &Ledger, spool: &Spool, name: &str, boot: &str) -> Result<bool, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::because("could not take over what was left open", error);
    loop {
        match ledger.drain(spool, name).await {
            Err(error) if is_no_room(&error) => {
                tracing::error!(%error, "no room to take over what the spool holds");
                return Ok(false);
            }
            drained => drained.map_err(|error| failed(&error))?,
        };
        let open = haris_register::open_requests(ledger, boot, OPEN_REQUESTS_PER_STEP).await;
        let open = open.map_err(|error| failed(&error))?;
        if open.is_empty() {
            return Ok(true);
        }
        let mut durable = Vec::with_capacity(open.len());
        for request in &open {
            let actor = request.actor.parse().unwrap_or_else(|_| Actor::service("gateway"));
            let draft = Draft::new(&kind::RESPONSE_DECIDED, clock(), actor)
                .about(request.id)
                .with("request", request.id.to_string())
                .with("environment", request.environment.clone())
                .with("verdict", "allow")
                .with("outcome", "interrupted")
                .with("detections", Value::Array(Vec::new()));
            match spool.append(draft, Vec::new()) {
                Ok(written) => durable.push(written),
                Err(refused) => {
                    tracing::error!(why = refused.why, open = open.len(), "open requests stay open for now");
                    return Ok(false);
                }
            }
        }
        for written in durable {
            written.await.map_err(|error| failed(&error))?;
        }
    }
}
