//! Alerts: what needs a person, told apart from what merely is.
//!
//! An alert is one [`Alert`] constant and one line in [`ALERTS`]. Its condition reads the answer that `haris status`
//! gives and nothing else: what a person can see, and what raises an alert, are the same facts. To add one:
//!
//! 1. Put what it looks at into [`StatusAnswer`], where `status` shows it.
//! 2. Write the constant in the file of its subject here, and its line in [`ALERTS`].
//! 3. Write its entry in `docs/operations.md`: a heading that is its id, in the order of the list. A test compares.
//!
//! [`Watch`](crate::Watch) raises, repeats and clears.

mod disk;
mod gateway;
mod ledger;
mod process;
mod spool;
mod witness;

use haris_domain::{Severity, Timestamp};
use serde::{Deserialize, Serialize};

use crate::StatusAnswer;

/// One kind of alert.
#[derive(Debug)]
pub struct Alert {
    /// Stable public id that reads as what is wrong: `disk-low`. It enters the ledger and is never reused.
    pub id: &'static str,
    /// One line for a list.
    pub title: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// When it is over.
    pub lasts: Lasts,
    /// Everything about which it holds at this moment.
    pub condition: fn(&StatusAnswer, Timestamp) -> Vec<Case>,
}

/// When an alert is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// When its condition no longer holds.
    WhileTrue,
    /// It happened, and is over when a person took notice.
    UntilAcknowledged,
}

/// One thing about which an alert holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Which thing, in a form that may stand in a leaf: a spool's name, a key's id, a start. Empty where there is only one.
    pub about: String,
    /// What is so, in words and numbers for whoever has to act.
    pub text: String,
}

impl Case {
    /// The only case of its alert.
    fn only(text: String) -> Self {
        Self { about: String::new(), text }
    }
}

/// All alerts, most urgent first.
pub const ALERTS: &[&Alert] = &[
    &spool::SPOOL_STOPPED,
    &witness::WITNESS_CONTRADICTED,
    &ledger::DATABASE_UNREACHABLE,
    &ledger::SEALER_STOPPED,
    &disk::DISK_RESERVE_IN_USE,
    &disk::DISK_CRITICAL,
    &ledger::START_UNRECORDED,
    &spool::SPOOL_DAMAGED,
    &gateway::TRAFFIC_UNRECORDED,
    &spool::SPOOL_NEARLY_FULL,
    &ledger::SEAL_LAG,
    &witness::WITNESS_LAG,
    &ledger::ERASURE_UNFINISHED,
    &disk::DISK_LOW,
    &witness::WITNESS_FAILING,
    &witness::ANCHOR_FAILING,
    &process::CLOCK_STEP,
    &process::UNCLEAN_START,
    &process::ALERTS_UNDELIVERED,
    &process::CONFIG_REFUSED,
];

/// The alert of that id.
#[must_use]
pub(crate) fn find(id: &str) -> Option<&'static Alert> {
    ALERTS.iter().copied().find(|alert| alert.id == id)
}

/// An alert that holds at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Which alert.
    pub alert: &'static Alert,
    /// About what.
    pub case: Case,
}

impl PartialEq for Alert {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Alert {}

/// Everything that needs a person at this moment, most urgent first.
#[must_use]
pub fn holding(status: &StatusAnswer, now: Timestamp) -> Vec<Holding> {
    let cases =
        |alert: &'static Alert| (alert.condition)(status, now).into_iter().map(move |case| Holding { alert, case });
    ALERTS.iter().copied().flat_map(cases).collect()
}

/// An alert as `status` and `haris alerts` show it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AlertAnswer {
    /// The event that raised it; `haris alerts ack` takes it. None while it could not be recorded.
    pub id: Option<String>,
    /// Which alert of the table.
    pub alert: String,
    /// About what, where it can be about several things.
    pub about: String,
    /// How bad it is.
    pub severity: String,
    /// What is so; for one that is over, its title.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// When it was raised.
    pub raised_at: String,
    /// When a person took notice.
    pub acknowledged_at: Option<String>,
    /// Who did.
    pub acknowledged_by: Option<String>,
    /// When it was over.
    pub cleared_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_an_id_of_its_own_and_says_what_to_do() {
        let mut seen = std::collections::BTreeSet::new();
        for alert in ALERTS {
            assert!(seen.insert(alert.id), "{} twice", alert.id);
            assert!(alert.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", alert.id);
            assert!(alert.title.len() < 100 && !alert.title.ends_with('.'), "{}", alert.id);
            assert!(alert.meaning.ends_with('.') && alert.remedy.ends_with('.'), "{}", alert.id);
            assert_eq!(find(alert.id), Some(*alert));
        }
    }

    /// The operations manual has one entry for each alert, in the same order.
    #[test]
    fn the_manual_explains_every_alert() {
        let manual = include_str!("../../../../../docs/operations.md");
        let entries: Vec<&str> =
            manual.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
        let ids: Vec<&str> = ALERTS.iter().map(|alert| alert.id).collect();
        assert_eq!(entries, ids, "one `### `id`` heading each, in the order of ALERTS");
    }
}
