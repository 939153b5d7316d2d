//! The ledger: sealing, and what is left to do.

use haris_domain::Severity;

use super::{Alert, Case, Lasts};

/// A second passes between seals; several times that, and something is wrong.
const SEAL_LAG_SECONDS_MAX: u64 = 10;

pub(super) const DATABASE_UNREACHABLE: Alert = Alert {
    id: "database-unreachable",
    title: "the database does not answer",
    severity: Severity::Critical,
    meaning: "Requests are served and their events are durable in the spool, but nothing reaches the ledger, and nothing is sealed. When the spool is full, requests are refused.",
    remedy: "The text says what the database answered. When it is back, what waits is taken in by itself.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let error = status.ledger.database_error.iter();
        error.map(|error| Case::only(format!("ledger: the database does not answer: {error}"))).collect()
    },
};

pub(super) const SEALER_STOPPED: Alert = Alert {
    id: "sealer-stopped",
    title: "nothing new is sealed",
    severity: Severity::Critical,
    meaning: "New events are on record but under no signed checkpoint. A row that differs from its leaf stops the sealer: that is damage, or somebody's hand.",
    remedy: "The text names the cause. Run `haris ledger fsck`, and do not edit the database: keep it as evidence.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let error = status.ledger.sealer_error.iter();
        error.map(|error| Case::only(format!("ledger: nothing is sealed: {error}"))).collect()
    },
};

pub(super) const SEAL_LAG: Alert = Alert {
    id: "seal-lag",
    title: "events wait for their seal",
    severity: Severity::High,
    meaning: "Sealing should take a second. Until an event is sealed the operator could still change it.",
    remedy: "Look at the load of disk and database. If it lasts, restart, and run `haris ledger fsck`.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        if status.ledger.sealer_error.is_some() {
            return Vec::new();
        }
        let late = status.ledger.logs.iter().filter(|log| log.seal_lag_seconds > SEAL_LAG_SECONDS_MAX);
        late.map(|log| Case {
            about: log.log.clone(),
            text: format!(
                "ledger: {} events of the {} log wait for their seal, for {} s",
                log.size - log.sealed,
                log.log,
                log.seal_lag_seconds
            ),
        })
        .collect()
    },
};

pub(super) const START_UNRECORDED: Alert = Alert {
    id: "start-unrecorded",
    title: "what this start has to record is not on record yet",
    severity: Severity::High,
    meaning: "The server started on a disk without room. That it started, and with which policy, is recorded before anything else of this start.",
    remedy: "Make room: `haris disk recover`, then free or add space. What is owed is recorded by itself.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let why = status.ledger.owed_why.iter();
        why.map(|why| {
            Case::only(format!(
                "ledger: {} events of this start are not on record yet ({why}): make room, and they are recorded by \
                 themselves",
                status.ledger.owed_events
            ))
        })
        .collect()
    },
};

pub(super) const ERASURE_UNFINISHED: Alert = Alert {
    id: "erasure-unfinished",
    title: "an erasure that is on record has not destroyed everything yet",
    severity: Severity::High,
    meaning: "Keys or ciphertext that were to be destroyed may still be there.",
    remedy: "Erasures finish by themselves within moments, and at the next start. If this stays, the log on stderr says what is in the way.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| match status.ledger.erasures_unfinished {
        0 => Vec::new(),
        count => vec![Case::only(format!("ledger: {count} events wait for their erasure to finish"))],
    },
};
