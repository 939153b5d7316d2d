//! The spool: whether events are accepted, and whether all of them can be read.

use haris_domain::Severity;

use super::{Alert, Case, Lasts};

pub(super) const SPOOL_STOPPED: Alert = Alert {
    id: "spool-stopped",
    title: "the spool refuses events, so requests are refused",
    severity: Severity::Critical,
    meaning: "No event can be made durable, and without its event no request passes: applications get 503.",
    remedy: "The text names the cause. Room: run `haris disk recover`. A failed write or sync: check the disk and the kernel's log, then restart.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let stopped = status.spool.iter().filter(|spool| !spool.healthy);
        stopped.map(|spool| Case { about: spool.name.clone(), text: said(spool) }).collect()
    },
};

pub(super) const SPOOL_NEARLY_FULL: Alert = Alert {
    id: "spool-nearly-full",
    title: "the spool accepts events, but cannot make room for more",
    severity: Severity::High,
    meaning: "The segment in use is the last one: when it is full, requests are refused.",
    remedy: "The text names the cause: free space, or find out why the ledger does not take the spool's events.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let warned = status.spool.iter().filter(|spool| spool.healthy && spool.why.is_some());
        warned.map(|spool| Case { about: spool.name.clone(), text: said(spool) }).collect()
    },
};

pub(super) const SPOOL_DAMAGED: Alert = Alert {
    id: "spool-damaged",
    title: "a stretch of the spool that was durable cannot be read",
    severity: Severity::High,
    meaning: "Events that were acknowledged are lost, or the disk lies. `fsck` and `verify` show the gap in the source's count.",
    remedy: "Keep the damaged segment (it is renamed, not removed), check the disk, and run `haris ledger fsck`.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let damaged = status.spool.iter().filter(|spool| !spool.damage.is_empty());
        damaged
            .map(|spool| Case {
                about: spool.name.clone(),
                text: format!("spool {}: damaged {}", spool.name, spool.damage.join("; ")),
            })
            .collect()
    },
};

fn said(spool: &crate::SpoolAnswer) -> String {
    format!("spool {}: {}", spool.name, spool.why.as_deref().unwrap_or("accepts no events"))
}
