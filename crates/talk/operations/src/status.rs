//! How everything is: gateway, spool, disk, ledger, and what needs attention.

use async_trait::async_trait;
use haris_domain::{Actor, Timestamp};
use haris_ledger::LedgerStatus;
use haris_spool::Health;
use haris_witnessing::{Anchors, AnchorsStatus, Cosigners, WitnessStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alerts::{self, AlertAnswer};
use crate::refusal::chain;
use crate::{Approval, Context, GatewayStatus, Operation, OperationMeta, ProcessAnswer, Refusal};

/// Tells how everything is.
pub struct ShowStatus;

/// How everything is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StatusAnswer {
    /// `haris.status/1`.
    pub schema: String,
    /// Whether requests are served at this moment.
    pub ready: bool,
    /// What needs a person, most urgent first; empty when all is well.
    pub attention: Vec<String>,
    /// Alerts that are not over, most urgent first.
    #[serde(default)]
    pub alerts: Vec<AlertAnswer>,
    /// The process that answers.
    #[serde(default)]
    pub process: Option<ProcessAnswer>,
    /// The gateway, where one runs.
    pub gateway: Option<GatewayStatus>,
    /// Spools of this process.
    pub spool: Vec<SpoolAnswer>,
    /// The file system of the data directory.
    pub disk: DiskAnswer,
    /// The ledger.
    pub ledger: LedgerAnswer,
    /// How witnesses stand, where some are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<WitnessStatus>,
    /// How lesser anchors stand, where some are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<AnchorsStatus>,
    /// What events say of events that are missing, and of processes: newest first.
    #[serde(default)]
    pub continuity: Vec<String>,
}

/// One spool.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SpoolAnswer {
    /// The name it ships under.
    pub name: String,
    /// Whether it accepts events.
    pub healthy: bool,
    /// Why not, and what to do.
    pub why: Option<String>,
    /// Durable events that are not in the ledger yet.
    pub unshipped_records: u64,
    /// Bytes of the same.
    pub unshipped_bytes: u64,
    /// Events made durable since the start.
    pub durable_events: u64,
    /// How long the last sync took, in microseconds.
    pub sync_us_last: u64,
    /// Stretches found damaged, in words.
    pub damage: Vec<String>,
}

/// The file system of the data directory.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DiskAnswer {
    /// The data directory.
    pub path: String,
    /// Bytes free to this process.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// For how many whole days the free ones last at the present rate; none while that cannot be said.
    #[serde(default)]
    pub days_left: Option<u64>,
    /// Bytes set aside for operators' own events.
    #[serde(default)]
    pub reserve_bytes: u64,
    /// Bytes that are to be set aside.
    #[serde(default)]
    pub reserve_bytes_wanted: u64,
}

impl DiskAnswer {
    /// The free share, in whole percent.
    #[must_use]
    pub fn free_percent(&self) -> u64 {
        u64::try_from(u128::from(self.free_bytes) * 100 / u128::from(self.total_bytes.max(1))).unwrap_or(100)
    }
}

/// The ledger.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LedgerAnswer {
    /// `sqlite` or `postgresql`.
    pub engine: String,
    /// Both logs.
    pub logs: Vec<LogAnswer>,
    /// The traffic log's size when last anchored in the evidence log, and when.
    pub anchored: Option<(u64, String)>,
    /// Why nothing is sealed, if so.
    pub sealer_error: Option<String>,
    /// Legal holds in force.
    pub holds: u64,
    /// Events whose erasure is on record and not finished.
    #[serde(default)]
    pub erasures_unfinished: u64,
    /// Events of this start that are not on record yet, for want of room.
    #[serde(default)]
    pub owed_events: u64,
    /// What kept them from being recorded.
    #[serde(default)]
    pub owed_why: Option<String>,
    /// Why nothing is known of the logs, if so: the database does not answer.
    #[serde(default)]
    pub database_error: Option<String>,
    /// What a caller verifies receipts with.
    pub receipt_key: String,
}

/// One log.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LogAnswer {
    /// `evidence` or `traffic`.
    pub log: String,
    /// Its name in every checkpoint.
    pub origin: String,
    /// What an auditor verifies it with: give these over another way than the bundle.
    pub verifier_keys: Vec<String>,
    /// Entries on record.
    pub size: u64,
    /// Entries that the newest checkpoint covers.
    pub sealed: u64,
    /// When it was made.
    pub sealed_at: Option<String>,
    /// For how long entries have waited for their seal, in seconds, when the server last looked.
    #[serde(default)]
    pub seal_lag_seconds: u64,
}

#[async_trait]
impl Operation for ShowStatus {
    const META: OperationMeta = OperationMeta {
        name: "status.show",
        tells: "how gateway, spool, disk and ledger are, and what needs attention",
        permission: "status.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = Value;
    type Answer = StatusAnswer;

    async fn run(context: &Context, _actor: &Actor, _input: Value) -> Result<StatusAnswer, Refusal> {
        let mut status = collect(context).await?;
        let holding = alerts::holding(&status, context.now());
        // Without the database nobody knows what was raised; what holds is told all the same.
        if let Ok(open) = haris_register::alerts_open(&context.ledger).await {
            status.alerts = crate::alert_operations::shown(&open, &holding);
        }
        Ok(status)
    }
}

/// How everything is, without the alerts on record.
pub(crate) async fn collect(context: &Context) -> Result<StatusAnswer, Refusal> {
    let spool: Vec<_> = context.spools.iter().map(|(name, spool)| spool_answer(name, &spool.state())).collect();
    // Whoever looks because the database is away must learn just that.
    let (ledger, database_error) = match context.ledger.status().await {
        Ok(ledger) => (ledger, None),
        Err(error) => (unknown(context), Some(chain(&error))),
    };
    let logs = ledger.logs.iter().map(|log| LogAnswer {
        log: log.log.to_string(),
        origin: log.origin.clone(),
        verifier_keys: log.verifier_keys.clone(),
        size: log.size,
        sealed: log.size - log.unsealed(),
        sealed_at: log.checkpoint.as_ref().map(|checkpoint| checkpoint.at.to_string()),
        seal_lag_seconds: context.vitals.seal_lag_seconds(log.log.name()),
    });
    let continuity = match database_error {
        Some(_) => Vec::new(),
        None => context.ledger.continuity().await?,
    };
    let gateway = context.gateway.as_ref().map(|gateway| gateway.status());
    let receipt_key = context.ledger.receipt_signer().map_err(|error| Refusal::internal(&error))?;
    let mut status = StatusAnswer {
        schema: "haris.status/1".to_owned(),
        ready: gateway.is_some() && spool.iter().all(|one| one.healthy),
        attention: Vec::new(),
        alerts: Vec::new(),
        process: Some(context.vitals.answer()),
        gateway,
        spool,
        disk: disk(context)?,
        ledger: LedgerAnswer {
            engine: ledger.engine.to_owned(),
            logs: logs.collect(),
            anchored: ledger.anchored.map(|(size, at)| (size, at.to_string())),
            sealer_error: ledger.sealer_error,
            holds: ledger.holds.len() as u64,
            erasures_unfinished: ledger.erasures_unfinished,
            owed_events: ledger.owed.as_ref().map_or(0, |owed| owed.count as u64),
            owed_why: ledger.owed.map(|owed| owed.why),
            database_error,
            receipt_key: receipt_key.key().to_string(),
        },
        witnesses: context.cosigners.as_ref().map(Cosigners::status),
        anchors: context.anchors.as_ref().and_then(Anchors::status),
        continuity,
    };
    status.attention = attention(&status, context.now());
    Ok(status)
}

/// What needs a person, in words.
pub(crate) fn attention(status: &StatusAnswer, now: Timestamp) -> Vec<String> {
    alerts::holding(status, now).into_iter().map(|one| one.case.text).collect()
}

fn unknown(context: &Context) -> LedgerStatus {
    LedgerStatus {
        engine: context.ledger.store().engine().name(),
        logs: Vec::new(),
        anchored: None,
        sealer_error: None,
        holds: Vec::new(),
        erasures_unfinished: 0,
        owed: context.ledger.owed(),
    }
}

fn spool_answer(name: &str, state: &haris_spool::State) -> SpoolAnswer {
    let said = |refused: &haris_spool::Refused| format!("{}: {}", refused.why, refused.what_to_do);
    SpoolAnswer {
        name: name.to_owned(),
        healthy: state.health == Health::Healthy,
        why: match &state.health {
            Health::Refusing(refused) => Some(said(refused)),
            Health::Healthy => state.warning.as_ref().map(said),
        },
        unshipped_records: state.unshipped_records,
        unshipped_bytes: state.unshipped_bytes,
        durable_events: state.durable_events,
        sync_us_last: state.sync_us_last,
        damage: state.damage.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn disk(context: &Context) -> Result<DiskAnswer, Refusal> {
    let path = &context.data;
    let stat = rustix::fs::statvfs(path).map_err(|error| Refusal::internal(&error))?;
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    Ok(DiskAnswer {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string(),
        free_bytes,
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        days_left: context.vitals.days_left(free_bytes),
        reserve_bytes: context.reserve.held_bytes(),
        reserve_bytes_wanted: context.reserve.wanted_bytes(),
    })
}
