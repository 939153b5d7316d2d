//! Folding the tables anew.

use async_trait::async_trait;
use haris_domain::Actor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Approval, Context, Operation, OperationMeta, Refusal};

/// Folds every table anew from the sealed events.
pub struct RebuildTables;

/// Whether to change anything.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RebuildInput {
    /// Compare with a fresh fold and leave the tables as they are.
    #[serde(default)]
    pub check: bool,
}

#[async_trait]
impl Operation for RebuildTables {
    const META: OperationMeta = OperationMeta {
        name: "tables.rebuild",
        tells: "folds every table anew from the sealed events, or compares",
        permission: "tables.rebuild",
        approval: Approval::None,
        events: &[],
    };
    type Input = RebuildInput;
    type Answer = Value;

    async fn run(context: &Context, _actor: &Actor, input: RebuildInput) -> Result<Value, Refusal> {
        let rebuilt = context.ledger.rebuild(input.check).await.map_err(|error| Refusal::internal(&error))?;
        let differences: Vec<_> = rebuilt
            .differences
            .iter()
            .map(|one| json!({ "table": one.table, "missing": one.missing, "extra": one.extra, "examples": one.examples }))
            .collect();
        Ok(
            json!({ "schema": "haris.rebuild/1", "events": rebuilt.events, "checked": input.check, "differences": differences }),
        )
    }
}
