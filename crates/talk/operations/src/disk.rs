//! Room on the disk, when there is none left.

use async_trait::async_trait;
use haris_domain::{Actor, Draft, kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Approval, Context, DiskAnswer, Operation, OperationMeta, Refusal};

/// Gives back what Haris itself holds and no longer needs.
pub struct RecoverDisk;

/// What became of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RecoveredDisk {
    /// `haris.disk-recovered/1`.
    pub schema: String,
    /// Bytes free before, and after.
    pub freed_bytes: i64,
    /// The disk afterwards.
    pub disk: DiskAnswer,
    /// Whether requests are served now, where a gateway runs.
    pub ready: bool,
    /// What to do next, if that was not enough.
    pub next: Option<String>,
    /// The event that records it.
    pub recorded: String,
}

#[async_trait]
impl Operation for RecoverDisk {
    const META: OperationMeta = OperationMeta {
        name: "disk.recover",
        tells: "gives back disk that Haris holds and no longer needs, and says what else would help",
        permission: "disk.write",
        approval: Approval::None,
        events: &[&kind::DISK_RECOVERED],
    };
    type Input = Value;
    type Answer = RecoveredDisk;

    async fn run(context: &Context, actor: &Actor, _input: Value) -> Result<RecoveredDisk, Refusal> {
        let before = crate::status::disk(context)?;
        crate::evidence::clear_outgoing(&context.data).map_err(|error| Refusal::internal(&error))?;
        // A long write-ahead log is folded into the database and cut.
        context.ledger.store().scrub("ledger_event").await.map_err(|error| Refusal::internal(&error))?;
        let after = crate::status::disk(context)?;
        let freed =
            i64::try_from(after.free_bytes).unwrap_or(i64::MAX) - i64::try_from(before.free_bytes).unwrap_or(i64::MAX);
        let draft = Draft::new(&kind::DISK_RECOVERED, context.now(), actor.clone())
            .with("freed_bytes", freed)
            .with("free_bytes", after.free_bytes)
            .with("total_bytes", after.total_bytes);
        let recorded = draft.id.to_string();
        context.ledger.append(vec![(draft, Vec::new())]).await?;
        // Only now: what an operator's own event needed is theirs first.
        let whole = context.reserve.restore().map_err(|error| Refusal::internal(&error))?;
        let status = crate::status::collect(context).await?;
        let next = (!whole).then(|| {
            format!(
                "{} bytes are free: prune what its retention allows, remove what is not Haris's from the file system of \
                 {}, or enlarge it; the reserve is set aside anew, and service resumes, by themselves",
                status.disk.free_bytes, status.disk.path
            )
        });
        Ok(RecoveredDisk {
            schema: "haris.disk-recovered/1".to_owned(),
            freed_bytes: freed,
            ready: status.ready,
            disk: status.disk,
            next,
            recorded,
        })
    }
}
