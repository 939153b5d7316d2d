//! Watching: raises an alert when its condition holds, clears it when that is over, and says what an operator must hear.
//!
//! What is raised and cleared are events, so the ledger tells when something was wrong and who took notice. When the
//! ledger cannot be written, operators are told all the same, and the event follows when it can.

use std::collections::BTreeMap;
use std::time::Duration;

use haris_domain::{Actor, Draft, EventKind, kind};
use haris_outbox::Message;
use haris_register::AlertRow;
use parking_lot::Mutex;
use serde_json::json;

use crate::alerts::{self, Holding, Lasts};
use crate::{Alert, Context, Refusal, StatusAnswer};

/// A condition that comes and goes is over when it stayed away for this long: a disk on the edge of its watermark must
/// not fill the ledger.
const CLEAR_AFTER: Duration = Duration::from_secs(60);
/// Alerts over for less than this many others may still have to be told of as over.
const CLEARED_LOOKED_AT: u32 = 50;

/// Watches one process. Told of the time by whoever drives it.
#[derive(Debug, Default)]
pub struct Watch {
    /// Alerts on record that are not over, as last read.
    known: Mutex<Vec<AlertRow>>,
    /// Alerts on record whose condition does not hold at this moment, and since when.
    absent: Mutex<BTreeMap<String, Duration>>,
    /// Alerts that could not be recorded, by alert and subject, and what they are called meanwhile.
    unrecorded: Mutex<BTreeMap<(&'static str, String), String>>,
}

/// What one look came to.
#[derive(Debug)]
pub struct Watched {
    /// How everything is.
    pub status: StatusAnswer,
    /// What operators must hear: not acknowledged, or over; in the order in which it happened.
    pub messages: Vec<Message>,
}

impl Watch {
    /// Looks once. `monotonic` is the time since this process started.
    ///
    /// # Errors
    /// When not even the state of things can be read.
    pub async fn look(&self, context: &Context, monotonic: Duration) -> Result<Watched, Refusal> {
        let mut status = crate::status::collect(context).await?;
        let micros = u64::try_from(monotonic.as_micros()).unwrap_or(u64::MAX);
        for log in &mut status.ledger.logs {
            context.vitals.look_at_seal(&log.log, log.size, log.sealed, micros);
            log.seal_lag_seconds = context.vitals.seal_lag_seconds(&log.log);
        }
        status.attention = crate::status::attention(&status, context.now());
        let holding = alerts::holding(&status, context.now());
        let node = context.ledger.node().to_owned();
        let mut open = self.open(context, &node).await;
        if self.follow(context, &holding, &open, monotonic).await {
            open = self.open(context, &node).await;
        }
        // Without the database what is over is told later.
        let mut messages = self.over(context, &node).await.unwrap_or_default();
        for row in open.iter().filter(|row| row.acknowledged_at.is_none()) {
            let now = holding.iter().find(|one| is(row, one));
            messages.push(raised(row, now));
        }
        for ((alert, about), name) in &*self.unrecorded.lock() {
            if let Some(one) = holding.iter().find(|one| one.alert.id == *alert && one.case.about == *about) {
                messages.push(message(name, one.alert, about, "raised", &one.case.text, &node, None));
            }
        }
        status.alerts = crate::alert_operations::shown(&open, &holding);
        Ok(Watched { status, messages })
    }

    /// Alerts of this process that are not over. While the database does not answer, those that were known before.
    async fn open(&self, context: &Context, node: &str) -> Vec<AlertRow> {
        let rows = haris_register::alerts_open(&context.ledger).await;
        let mut known = self.known.lock();
        if let Ok(rows) = rows {
            *known = rows.into_iter().filter(|row| row.node == node).collect();
        }
        known.clone()
    }

    /// Records what began and what is over; whether anything was recorded.
    async fn follow(&self, context: &Context, holding: &[Holding], open: &[AlertRow], monotonic: Duration) -> bool {
        let mut recorded = false;
        self.unrecorded
            .lock()
            .retain(|(alert, about), _| holding.iter().any(|one| one.alert.id == *alert && one.case.about == *about));
        for one in holding.iter().filter(|one| !open.iter().any(|row| is(row, one))) {
            if one.alert.lasts == Lasts::UntilAcknowledged {
                // It happened once, and a person has dealt with it; or nobody can say at this moment.
                let known = haris_register::alert_known(&context.ledger, one.alert.id, &one.case.about).await;
                if known.unwrap_or(true) {
                    continue;
                }
            }
            let key = (one.alert.id, one.case.about.clone());
            let data = json!({
                "alert": one.alert.id, "about": one.case.about, "severity": one.alert.severity.name(),
            });
            match self.record(context, &kind::ALERT_RAISED, data).await {
                Ok(()) => {
                    tracing::warn!(alert = one.alert.id, text = one.case.text, "alert");
                    self.unrecorded.lock().remove(&key);
                    recorded = true;
                }
                Err(error) => {
                    self.unrecorded.lock().entry(key).or_insert_with(|| {
                        tracing::error!(alert = one.alert.id, text = one.case.text, %error, "an alert cannot be recorded");
                        format!("{}:{}:{}", one.alert.id, one.case.about, context.now().micros())
                    });
                }
            }
        }
        for row in open {
            if self.is_over(row, holding, monotonic) {
                let data = json!({ "alert": row.alert, "raised": row.id.to_string() });
                if self.record(context, &kind::ALERT_CLEARED, data).await.is_ok() {
                    tracing::info!(alert = row.alert, "alert is over");
                    self.absent.lock().remove(&row.id.to_string());
                    recorded = true;
                }
            }
        }
        recorded
    }

    fn is_over(&self, row: &AlertRow, holding: &[Holding], monotonic: Duration) -> bool {
        if alerts::find(&row.alert).is_some_and(|alert| alert.lasts == Lasts::UntilAcknowledged) {
            return row.acknowledged_at.is_some();
        }
        let mut absent = self.absent.lock();
        if holding.iter().any(|one| is(row, one)) {
            absent.remove(&row.id.to_string());
            return false;
        }
        let since = *absent.entry(row.id.to_string()).or_insert(monotonic);
        monotonic.saturating_sub(since) >= CLEAR_AFTER
    }

    async fn record(
        &self,
        context: &Context,
        kind: &'static EventKind,
        data: serde_json::Value,
    ) -> Result<(), Refusal> {
        // On a full disk this is what the reserve is for: somebody has to be told.
        let _ = context.reserve.lend();
        let mut draft = Draft::new(kind, context.now(), Actor::service("haris"));
        draft.data = data.as_object().cloned().unwrap_or_default();
        context.ledger.append(vec![(draft, Vec::new())]).await?;
        Ok(())
    }

    /// What is over and may not have been told yet; oldest first.
    async fn over(&self, context: &Context, node: &str) -> Result<Vec<Message>, Refusal> {
        let recent = haris_register::alerts_recent(&context.ledger, CLEARED_LOOKED_AT).await;
        let recent = recent.map_err(|error| Refusal::internal(&error))?;
        let over = recent.iter().rev().filter(|row| row.node == node && row.cleared_at.is_some());
        Ok(over
            .filter_map(|row| {
                let alert = alerts::find(&row.alert)?;
                let key = format!("{}:cleared", row.id);
                let text = format!("over: {}", alert.title);
                let at = row.raised_at.to_string();
                Some(message(&key, alert, &row.about, "cleared", &text, node, Some(at)))
            })
            .collect())
    }
}

pub(crate) fn is(row: &AlertRow, one: &Holding) -> bool {
    row.alert == one.alert.id && row.about == one.case.about
}

fn raised(row: &AlertRow, now: Option<&Holding>) -> Message {
    let id = row.id.to_string();
    let at = Some(row.raised_at.to_string());
    match (alerts::find(&row.alert), now) {
        (_, Some(one)) => message(&id, one.alert, &row.about, "raised", &one.case.text, &row.node, at),
        (Some(alert), None) => message(&id, alert, &row.about, "raised", alert.title, &row.node, at),
        // Raised by another version, and open still: better an odd message than none.
        (None, None) => Message {
            key: id,
            severity: haris_domain::Severity::High,
            text: row.alert.clone(),
            body: json!({ "schema": "haris.alert/1", "alert": row.alert, "about": row.about, "state": "raised" }),
            repeats: true,
        },
    }
}

fn message(
    key: &str,
    alert: &Alert,
    about: &str,
    state: &str,
    text: &str,
    node: &str,
    raised_at: Option<String>,
) -> Message {
    let id = key.split(":cleared").next().unwrap_or(key);
    let body = json!({
        "schema": "haris.alert/1",
        "id": id,
        "alert": alert.id,
        "about": about,
        "state": state,
        "severity": alert.severity.name(),
        "title": alert.title,
        "text": text,
        "remedy": alert.remedy,
        "node": node,
        "raised_at": raised_at,
    });
    Message { key: key.to_owned(), severity: alert.severity, text: text.to_owned(), body, repeats: state == "raised" }
}
