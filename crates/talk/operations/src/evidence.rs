//! Evidence: what an auditor takes away, and the ledger's check of itself.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use haris_domain::{Actor, EventId, kind};
use haris_ledger::{Export, ExportError};
use haris_verify::Filter;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::events::{in_order, moment};
use crate::{Approval, Context, Operation, OperationMeta, Refusal, RefusalCode};

/// Bundles lie here until the door has handed them out.
const OUTGOING: &str = "outgoing";

/// Makes an evidence bundle.
pub struct ExportEvidence;

/// What to export.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExportInput {
    /// Events born at or after this RFC 3339 time or day.
    #[serde(default)]
    pub from: Option<String>,
    /// Events born before this RFC 3339 time or day.
    #[serde(default)]
    pub to: Option<String>,
    /// `key=value` conditions that all hold.
    #[serde(default)]
    pub filter: Vec<String>,
    /// With a filter: every leaf of the range nevertheless, so that completeness is shown.
    #[serde(default)]
    pub complete: bool,
    /// Open the payloads of the events chosen.
    #[serde(default)]
    pub with_payloads: bool,
}

/// A bundle that was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ExportAnswer {
    /// `haris.export/1`.
    pub schema: String,
    /// Where it lies in the data directory; the door takes it from there and removes it.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What the bundle says of itself.
    pub manifest: Value,
    /// Payloads that are not in it because they were erased.
    pub payloads_erased: u64,
    /// The event that records the export.
    pub recorded: String,
}

#[async_trait]
impl Operation for ExportEvidence {
    const META: OperationMeta = OperationMeta {
        name: "ledger.export",
        tells: "makes an evidence bundle that an auditor verifies offline",
        permission: "ledger.export",
        approval: Approval::None,
        events: &[&kind::BUNDLE_EXPORTED],
    };
    type Input = ExportInput;
    type Answer = ExportAnswer;

    fn also(input: &ExportInput) -> Option<&'static str> {
        // A bundle that opens texts shows them.
        input.with_payloads.then_some("events.reveal")
    }

    async fn run(context: &Context, actor: &Actor, input: ExportInput) -> Result<ExportAnswer, Refusal> {
        let filter = input.filter.iter().map(|one| one.parse::<Filter>()).collect::<Result<Vec<_>, _>>();
        let now = context.now();
        let what = Export {
            from: moment(input.from.as_deref())?,
            to: moment(input.to.as_deref())?,
            filter: filter.map_err(|bad| Refusal::invalid(bad.to_string()))?,
            complete: input.complete,
            with_payloads: input.with_payloads,
            made_by: format!("haris {}", env!("CARGO_PKG_VERSION")),
            actor: actor.clone(),
            cosigners: context.cosigners.as_ref().map_or(0, haris_witnessing::Cosigners::keys),
        };
        in_order(what.from, what.to)?;
        // What was acknowledged before somebody asked belongs in: it may still lie in a spool.
        for (name, spool) in &context.spools {
            context.ledger.drain(spool, name).await.map_err(|error| Refusal::internal(&error))?;
        }
        let folder = context.data.join(OUTGOING);
        let path = folder.join(format!("{}.zip", EventId::now(now)));
        let file = create(&folder, &path).map_err(|error| Refusal::internal(&error))?;
        match context.ledger.export(what, file, now).await {
            Ok(exported) => Ok(ExportAnswer {
                schema: "haris.export/1".to_owned(),
                path,
                bytes: exported.bytes,
                manifest: serde_json::to_value(&exported.manifest).map_err(|error| Refusal::internal(&error))?,
                payloads_erased: exported.payloads_erased,
                recorded: exported.event.to_string(),
            }),
            Err(error) => {
                // Best effort: what stays is cleared when the next process starts.
                let _ = std::fs::remove_file(&path);
                Err(refusal(&error))
            }
        }
    }
}

/// Removes bundles that a process left behind when it ended between making and handing out.
///
/// # Errors
/// When the folder is there and cannot be cleared.
pub fn clear_outgoing(data: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(data.join(OUTGOING)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn create(folder: &Path, path: &Path) -> std::io::Result<File> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn refusal(error: &ExportError) -> Refusal {
    let code = match error {
        ExportError::Nothing | ExportError::NotAnchored | ExportError::ErasedMeanwhile { .. } => {
            RefusalCode::Unavailable
        }
        ExportError::TooMuch { .. } => RefusalCode::Invalid,
        _ => RefusalCode::Internal,
    };
    Refusal { code, ..Refusal::internal(error) }
}

/// Derives everything anew from the leaves and compares.
pub struct CheckLedger;

#[async_trait]
impl Operation for CheckLedger {
    const META: OperationMeta = OperationMeta {
        name: "ledger.check",
        tells: "re-derives rows, bundles, tiles and checkpoints, opens every payload, and names the first wrong entry",
        permission: "ledger.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = Value;
    type Answer = Value;

    async fn run(context: &Context, _actor: &Actor, _input: Value) -> Result<Value, Refusal> {
        let checked = context.ledger.fsck().await?;
        let logs: Vec<_> = checked
            .logs
            .iter()
            .map(|log| {
                json!({
                    "log": log.log.name(), "size": log.size, "sealed": log.sealed, "checkpoints": log.checkpoints,
                    "findings": log.findings,
                })
            })
            .collect();
        let problems: Vec<_> = checked
            .problems
            .iter()
            .map(|problem| {
                json!({
                    "log": problem.log.map(haris_domain::Log::name), "index": problem.index,
                    "what": problem.what, "why": problem.why,
                })
            })
            .collect();
        let payloads = checked.payloads;
        Ok(json!({
            "schema": "haris.fsck/1", "clean": checked.is_clean(), "logs": logs, "problems": problems,
            "first_wrong": checked.first_wrong().map(|(log, index)| json!({ "log": log.name(), "index": index })),
            "problems_not_listed": checked.problems_not_listed, "payload_keys": checked.payload_keys,
            "payloads": {
                "opened": payloads.opened, "not_stored": payloads.not_stored, "erased": payloads.erased,
                "unreadable": payloads.unreadable, "events_unknown": payloads.events_unknown,
            },
            "search_terms": { "checked": payloads.terms_checked, "unchecked": payloads.terms_unchecked },
        }))
    }
}
