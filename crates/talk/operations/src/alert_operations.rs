//! Listing alerts, and taking notice of one.

use async_trait::async_trait;
use haris_domain::{Actor, Draft, kind};
use haris_register::AlertRow;
use serde::{Deserialize, Serialize};

use crate::alerts::{self, AlertAnswer, Holding};
use crate::watch::is;
use crate::{Approval, Context, Operation, OperationMeta, Refusal, RefusalCode};

/// The most alerts that one list holds.
const LIMIT_MAX: u32 = 1_000;

/// Lists alerts.
pub struct ListAlerts;

/// Which ones.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AlertsInput {
    /// Those that are over as well, newest first.
    #[serde(default)]
    pub all: bool,
}

/// Alerts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AlertsAnswer {
    /// `haris.alerts/1`.
    pub schema: String,
    /// Open ones, most urgent first; with `all`, every one, newest first.
    pub alerts: Vec<AlertAnswer>,
}

#[async_trait]
impl Operation for ListAlerts {
    const META: OperationMeta = OperationMeta {
        name: "alerts.list",
        tells: "lists what needs a person, and what did",
        permission: "alerts.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = AlertsInput;
    type Answer = AlertsAnswer;

    async fn run(context: &Context, _actor: &Actor, input: AlertsInput) -> Result<AlertsAnswer, Refusal> {
        let status = crate::status::collect(context).await?;
        let holding = alerts::holding(&status, context.now());
        let rows = if input.all {
            haris_register::alerts_recent(&context.ledger, LIMIT_MAX).await
        } else {
            haris_register::alerts_open(&context.ledger).await
        };
        let rows = rows.map_err(|error| Refusal::internal(&error))?;
        Ok(AlertsAnswer { schema: "haris.alerts/1".to_owned(), alerts: shown(&rows, &holding) })
    }
}

/// Alerts on record with what is so at this moment, most urgent first; those that are over keep their order at the end.
pub(crate) fn shown(rows: &[AlertRow], holding: &[Holding]) -> Vec<AlertAnswer> {
    let mut answers: Vec<AlertAnswer> = rows.iter().map(|row| answer(row, holding)).collect();
    let rank = |one: &AlertAnswer| {
        let place = alerts::ALERTS.iter().position(|alert| alert.id == one.alert).unwrap_or(usize::MAX);
        (one.cleared_at.is_some(), if one.cleared_at.is_some() { 0 } else { place })
    };
    answers.sort_by_key(rank);
    answers
}

fn answer(row: &AlertRow, holding: &[Holding]) -> AlertAnswer {
    let alert = alerts::find(&row.alert);
    let now = holding.iter().find(|one| row.cleared_at.is_none() && is(row, one));
    let text = match (now, alert) {
        (Some(one), _) => one.case.text.clone(),
        (None, Some(alert)) => alert.title.to_owned(),
        (None, None) => row.alert.clone(),
    };
    AlertAnswer {
        id: Some(row.id.to_string()),
        alert: row.alert.clone(),
        about: row.about.clone(),
        severity: alert.map_or("high", |alert| alert.severity.name()).to_owned(),
        text,
        remedy: alert.map_or("", |alert| alert.remedy).to_owned(),
        raised_at: row.raised_at.to_string(),
        acknowledged_at: row.acknowledged_at.map(|at| at.to_string()),
        acknowledged_by: row.acknowledged_by.clone(),
        cleared_at: row.cleared_at.map(|at| at.to_string()),
    }
}

/// Takes notice of an alert: it is not repeated any more.
pub struct AcknowledgeAlert;

/// Which one, and why that is all for now.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeInput {
    /// The id of the event that raised it, or the alert's name when only one of that name is open.
    pub alert: String,
    /// What is being done about it; kept as an encrypted payload.
    pub reason: String,
}

/// The alert as it is now.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Acknowledged {
    /// `haris.alert-acknowledged/1`.
    pub schema: String,
    /// The alert.
    pub alert: AlertAnswer,
    /// The event that records it.
    pub recorded: String,
}

#[async_trait]
impl Operation for AcknowledgeAlert {
    const META: OperationMeta = OperationMeta {
        name: "alerts.acknowledge",
        tells: "takes notice of an alert, so that it is not repeated",
        permission: "alerts.write",
        approval: Approval::None,
        events: &[&kind::ALERT_ACKNOWLEDGED],
    };
    type Input = AcknowledgeInput;
    type Answer = Acknowledged;

    async fn run(context: &Context, actor: &Actor, input: AcknowledgeInput) -> Result<Acknowledged, Refusal> {
        if input.reason.trim().is_empty() {
            return Err(Refusal::invalid("say with --reason what is being done about it"));
        }
        let open = haris_register::alerts_open(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
        let named = |row: &&AlertRow| row.id.to_string() == input.alert || row.alert == input.alert;
        let found: Vec<&AlertRow> = open.iter().filter(named).collect();
        let row = match found.as_slice() {
            [row] => *row,
            [] => {
                return Err(Refusal::not_found(format!(
                    "no alert `{}` is open; `haris alerts` lists those that are",
                    input.alert
                )));
            }
            several => {
                return Err(Refusal::invalid(format!(
                    "{} alerts `{}` are open: name one by its id, as `haris alerts` shows it",
                    several.len(),
                    input.alert
                )));
            }
        };
        if row.acknowledged_at.is_some() {
            return Err(Refusal::new(RefusalCode::Conflict, format!("alert {} is acknowledged already", row.id)));
        }
        let now = context.now();
        let draft = Draft::new(&kind::ALERT_ACKNOWLEDGED, now, actor.clone())
            .about(row.id)
            .with("alert", row.alert.as_str())
            .with("raised", row.id.to_string());
        let reason = context.seal_text(&draft, "reason", &input.reason)?;
        let recorded = draft.id.to_string();
        context.ledger.append(vec![(draft, vec![reason])]).await?;
        let acknowledged =
            AlertRow { acknowledged_at: Some(now), acknowledged_by: Some(actor.as_str().to_owned()), ..row.clone() };
        Ok(Acknowledged {
            schema: "haris.alert-acknowledged/1".to_owned(),
            alert: answer(&acknowledged, &[]),
            recorded,
        })
    }
}
