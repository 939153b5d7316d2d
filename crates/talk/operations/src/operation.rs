//! What an operation is, and the list of all.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use haris_domain::{Actor, Draft, EventKind, kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    AcknowledgeAlert, AddCaller, CheckLedger, Context, EraseEvents, ExportEvidence, LiftHold, ListAlerts, ListCallers,
    ListEvents, ListHolds, PlaceHold, RebuildTables, RecoverDisk, Refusal, RefusalCode, RevealEvent, RevokeCaller,
    ShowEvent, ShowStatus,
};

/// Who must agree before an operation is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody else.
    None,
    /// A second person, to the exact change, once there are persons.
    SecondPerson,
}

/// What a door needs to know of an operation.
#[derive(Debug)]
pub struct OperationMeta {
    /// Stable public name, `subject.verb`.
    pub name: &'static str,
    /// One line for a list.
    pub tells: &'static str,
    /// The permission it takes.
    pub permission: &'static str,
    /// Who else must agree.
    pub approval: Approval,
    /// Kinds of event it writes; none for one that only reads.
    pub events: &'static [&'static EventKind],
}

/// One thing that can be asked of Haris.
#[async_trait]
pub trait Operation: Send + Sync + 'static {
    /// What a door needs to know.
    const META: OperationMeta;
    /// What is asked.
    type Input: DeserializeOwned + Serialize + Send;
    /// What is answered.
    type Answer: DeserializeOwned + Serialize + Send;

    /// Carries it out.
    ///
    /// # Errors
    /// When it is not carried out, in words for whoever asked.
    async fn run(context: &Context, actor: &Actor, input: Self::Input) -> Result<Self::Answer, Refusal>;
}

/// An operation with its types erased: JSON in, JSON out.
pub struct Entry {
    /// What a door needs to know.
    pub meta: &'static OperationMeta,
    run: for<'a> fn(&'a Context, &'a Actor, Value) -> BoxFuture<'a, Result<Value, Refusal>>,
}

const fn entry<O: Operation>() -> Entry {
    Entry { meta: &O::META, run: |context, actor, input| Box::pin(run_json::<O>(context, actor, input)) }
}

async fn run_json<O: Operation>(context: &Context, actor: &Actor, input: Value) -> Result<Value, Refusal> {
    let input = serde_json::from_value(input).map_err(|error| Refusal::invalid(error.to_string()))?;
    let answer = O::run(context, actor, input).await?;
    serde_json::to_value(answer).map_err(|error| Refusal::internal(&error))
}

/// All operations, in the order of their names.
pub const OPERATIONS: &[Entry] = &[
    entry::<AcknowledgeAlert>(),
    entry::<ListAlerts>(),
    entry::<AddCaller>(),
    entry::<ListCallers>(),
    entry::<RevokeCaller>(),
    entry::<RecoverDisk>(),
    entry::<ListEvents>(),
    entry::<RevealEvent>(),
    entry::<ShowEvent>(),
    entry::<CheckLedger>(),
    entry::<EraseEvents>(),
    entry::<ExportEvidence>(),
    entry::<PlaceHold>(),
    entry::<ListHolds>(),
    entry::<LiftHold>(),
    entry::<ShowStatus>(),
    entry::<RebuildTables>(),
];

/// Carries out the operation of that name. One that would have changed something and was refused
/// is recorded.
///
/// # Errors
/// When there is no such operation, or it is not carried out.
pub async fn perform(context: &Context, actor: &Actor, name: &str, input: Value) -> Result<Value, Refusal> {
    let Some(operation) = OPERATIONS.iter().find(|operation| operation.meta.name == name) else {
        return Err(Refusal::not_found(format!("there is no operation `{name}`")));
    };
    if let Err(error) = context.reserve.lend() {
        // It may still succeed, and says itself what is in the way if not.
        tracing::error!(%error, "the reserve could not be given back");
    }
    let answer = (operation.run)(context, actor, input).await;
    if let Err(refusal) = &answer
        && !operation.meta.events.is_empty()
        && matches!(refusal.code, RefusalCode::Conflict | RefusalCode::Forbidden)
    {
        let draft = Draft::new(&kind::OPERATION_REFUSED, context.now(), actor.clone())
            .with("operation", operation.meta.name)
            .with("code", serde_json::to_value(refusal.code).unwrap_or_default());
        context.ledger.append(vec![(draft, Vec::new())]).await?;
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_one_name_each_and_write_what_they_say() {
        let names: Vec<_> = OPERATIONS.iter().map(|operation| operation.meta.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted, "in order, without twins");
        for operation in OPERATIONS {
            assert!(operation.meta.permission.contains('.'), "{}", operation.meta.name);
            assert!(operation.meta.events.iter().all(|kind| haris_domain::kind::find(kind.name).is_some()));
        }
    }
}
