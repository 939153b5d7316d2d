//! The gateway.

use haris_domain::Severity;

use super::{Alert, Case, Lasts};

pub(super) const TRAFFIC_UNRECORDED: Alert = Alert {
    id: "traffic-unrecorded",
    title: "requests or answers passed without a durable event",
    severity: Severity::High,
    meaning: "A route says `on_audit_failure = \"dangerously_allow\"`, and events could not be made durable: this traffic is in no log.",
    remedy: "Mend what keeps events from being durable, and decide whether that route should refuse instead.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let unaudited = status.gateway.as_ref().map_or(0, |gateway| gateway.unaudited);
        if unaudited == 0 {
            return Vec::new();
        }
        vec![Case::only(format!(
            "gateway: {unaudited} requests or answers passed without a durable event, by a route that allows it"
        ))]
    },
};
