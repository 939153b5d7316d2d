//! How everything is: gateway, spool, disk, ledger, and what needs attention.

use async_trait::async_trait;
use haris_domain::Actor;
use haris_ledger::LedgerStatus;
use haris_spool::Health;
use haris_witnessing::{Anchors, AnchorsStatus, Cosigners, WitnessStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::refusal::chain;
use crate::{Approval, Context, GatewayStatus, Operation, OperationMeta, Refusal};

/// Below this share of free space `status` asks for attention.
const FREE_PERCENT_LOW: u64 = 10;
/// A second passes between seals; several times that, and something is wrong.
const SEAL_LAG_MICROS_MAX: i64 = 10_000_000;

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
        let now = context.now();
        let mut attention = Vec::new();
        let spool: Vec<_> = context.spools.iter().map(|(name, spool)| spool_answer(name, &spool.state())).collect();
        for one in &spool {
            attention.extend(one.why.iter().map(|why| format!("spool {}: {why}", one.name)));
            attention.extend(one.damage.iter().map(|damage| format!("spool {}: damaged {damage}", one.name)));
        }
        let disk = disk(&context.data)?;
        if disk.total_bytes > 0 && disk.free_bytes / (disk.total_bytes / 100).max(1) < FREE_PERCENT_LOW {
            attention.push(format!(
                "disk: less than {FREE_PERCENT_LOW} % free under {}: make room or move the data",
                disk.path
            ));
        }
        let ledger = match context.ledger.status().await {
            Ok(ledger) => ledger,
            // Whoever looks because the database is away must learn just that.
            Err(error) => {
                attention.push(format!("ledger: the database does not answer: {}", chain(&error)));
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
        };
        if let Some(owed) = &ledger.owed {
            attention.push(format!(
                "ledger: {} events of this start are not on record yet ({}): make room, and they are recorded by themselves",
                owed.count, owed.why
            ));
        }
        if let Some(error) = &ledger.sealer_error {
            attention.push(format!("ledger: nothing is sealed: {error}"));
        }
        let mut logs = Vec::new();
        for log in &ledger.logs {
            let lag = log.checkpoint.as_ref().map_or(0, |checkpoint| now.micros() - checkpoint.at.micros());
            if log.unsealed() > 0 && lag > SEAL_LAG_MICROS_MAX && ledger.sealer_error.is_none() {
                attention.push(format!("ledger: {} events of the {} log wait for their seal", log.unsealed(), log.log));
            }
            logs.push(LogAnswer {
                log: log.log.to_string(),
                origin: log.origin.clone(),
                verifier_keys: log.verifier_keys.clone(),
                size: log.size,
                sealed: log.size - log.unsealed(),
                sealed_at: log.checkpoint.as_ref().map(|checkpoint| checkpoint.at.to_string()),
            });
        }
        if ledger.erasures_unfinished > 0 {
            attention.push(format!("ledger: {} events wait for their erasure to finish", ledger.erasures_unfinished));
        }
        let witnesses = context.cosigners.as_ref().map(Cosigners::status);
        attention.extend(witnesses.iter().flat_map(witness_attention));
        let anchors = context.anchors.as_ref().and_then(Anchors::status);
        attention.extend(anchors.iter().flat_map(|anchors| anchors.attention.iter().cloned()));
        let gateway = context.gateway.as_ref().map(|gateway| gateway.status());
        if let Some(unaudited) = gateway.as_ref().map(|gateway| gateway.unaudited).filter(|count| *count > 0) {
            attention.push(format!(
                "gateway: {unaudited} requests or answers passed without a durable event, by a route that allows it"
            ));
        }
        // What cannot be read is not known, and the attention above says that the database does not answer.
        let continuity = if ledger.logs.is_empty() { Vec::new() } else { context.ledger.continuity().await? };
        let receipt_key = context.ledger.receipt_signer().map_err(|error| Refusal::internal(&error))?;
        Ok(StatusAnswer {
            schema: "haris.status/1".to_owned(),
            ready: gateway.is_some() && spool.iter().all(|one| one.healthy),
            attention,
            gateway,
            spool,
            disk,
            ledger: LedgerAnswer {
                engine: ledger.engine.to_owned(),
                logs,
                anchored: ledger.anchored.map(|(size, at)| (size, at.to_string())),
                sealer_error: ledger.sealer_error,
                holds: ledger.holds.len() as u64,
                receipt_key: receipt_key.key().to_string(),
            },
            witnesses,
            anchors,
            continuity,
        })
    }
}

fn witness_attention(witnesses: &WitnessStatus) -> Vec<String> {
    let mut needs: Vec<String> =
        witnesses.contradicted.iter().map(|why| format!("witnesses: nothing is signed any more: {why}")).collect();
    if witnesses.lagging && witnesses.contradicted.is_none() {
        let WitnessStatus { quorum, age_seconds, max_age_seconds, .. } = witnesses;
        needs.push(format!(
            "witnesses: {quorum} of {} have not cosigned for {age_seconds} s, and {max_age_seconds} s are allowed: until they do, \
             the operator could change what was recorded since",
            witnesses.witnesses.len()
        ));
    }
    let failing =
        witnesses.witnesses.iter().filter_map(|one| Some(format!("witness {}: {}", one.name, one.error.as_ref()?)));
    needs.extend(failing);
    needs
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

fn disk(path: &std::path::Path) -> Result<DiskAnswer, Refusal> {
    let stat = rustix::fs::statvfs(path).map_err(|error| Refusal::internal(&error))?;
    Ok(DiskAnswer {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string(),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}
