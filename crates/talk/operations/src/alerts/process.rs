//! This process: how it came up, and what its clock does.

use haris_domain::Severity;

use super::{Alert, Case, Lasts};

pub(super) const CLOCK_STEP: Alert = Alert {
    id: "clock-step",
    title: "the wall clock was set, or runs at another speed",
    severity: Severity::Medium,
    meaning: "The wall clock and the machine's monotonic clock disagree by more than a second since they were last compared. Times in events are this clock's; their order does not depend on it.",
    remedy: "Find out who or what set the clock (time synchronisation, a suspended machine, a person). `haris ledger fsck` and `verify` list the step.",
    lasts: Lasts::UntilAcknowledged,
    condition: |status, _| {
        let steps = status.process.iter().flat_map(|process| &process.clock_steps);
        steps
            .map(|step| Case {
                about: format!("{}:{}", step.boot, step.number),
                text: format!(
                    "clock: the wall clock moved by {} ms against the monotonic one, seen at {}",
                    step.micros / 1_000,
                    step.at
                ),
            })
            .collect()
    },
};

pub(super) const UNCLEAN_START: Alert = Alert {
    id: "unclean-start",
    title: "the start before this one did not stop cleanly",
    severity: Severity::Medium,
    meaning: "The process was killed, crashed, or the machine lost power. Acknowledged events were durable and are in the ledger; requests that were open are closed as interrupted.",
    remedy: "Find out why: the service manager's and the kernel's log. `haris ledger fsck` lists the stop and the time nobody was there.",
    lasts: Lasts::UntilAcknowledged,
    condition: |status, _| {
        let previous = status.process.as_ref().and_then(|process| process.unclean_previous.as_ref());
        previous
            .map(|previous| Case {
                about: previous.boot.clone(),
                text: format!(
                    "start: the start before this one did not stop cleanly; last heard of at {}",
                    previous.last_at
                ),
            })
            .into_iter()
            .collect()
    },
};

pub(super) const ALERTS_UNDELIVERED: Alert = Alert {
    id: "alerts-undelivered",
    title: "alerts do not reach their sink",
    severity: Severity::High,
    meaning: "What `[alerts]` in the configuration names did not take a message. It is tried again until it does; until then nobody is told.",
    remedy: "The text says what the sink answered. Until it is mended, look at `haris alerts`.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let error = status.process.iter().filter_map(|process| process.delivery_error.as_ref());
        error.map(|error| Case::only(format!("alerts: {error}"))).collect()
    },
};

pub(super) const CONFIG_REFUSED: Alert = Alert {
    id: "config-refused",
    title: "the configuration that was read again is not in force",
    severity: Severity::Medium,
    meaning: "After SIGHUP the file held a mistake. The configuration from before goes on; a restart with this file would fail.",
    remedy: "Mend the file, try it with `haris config check`, and send SIGHUP again.",
    lasts: Lasts::WhileTrue,
    condition: |status, _| {
        let error = status.process.iter().filter_map(|process| process.config_error.as_ref());
        error.map(|error| Case::only(format!("configuration: {error}"))).collect()
    },
};
