//! What an operation is, and the list of all.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use haris_access::Who;
use haris_domain::{Actor, Approval, Draft, OperationMeta, kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    AcknowledgeAlert, AddCaller, AddPerson, ChangePerson, CheckLedger, ClosePerson, Context, EndSession, EraseEvents,
    ExportEvidence, GiveApproval, InvitePerson, IssueToken, LiftHold, ListAlerts, ListApprovals, ListCallers,
    ListEvents, ListHolds, ListPeople, PlaceHold, RebuildTables, RecoverDisk, Refusal, RefusalCode, RefuseApproval,
    RescuePerson, RevealEvent, RevokeCaller, RevokeToken, ShowAccount, ShowApproval, ShowEvent, ShowStatus, StandIn,
    approvals,
};

/// One thing that can be asked of Haris.
#[async_trait]
pub trait Operation: Send + Sync + 'static {
    /// What a door needs to know.
    const META: OperationMeta;
    /// What is asked.
    type Input: DeserializeOwned + Serialize + Send + Sync;
    /// What is answered.
    type Answer: DeserializeOwned + Serialize + Send;

    /// A permission that this input takes besides.
    fn also(_input: &Self::Input) -> Option<&'static str> {
        None
    }

    /// What it would change, as that is now: a second person agrees to a change from just this. Refuses what could not be
    /// carried out in any case.
    ///
    /// # Errors
    /// When it could not be carried out.
    async fn before(_context: &Context, _input: &Self::Input) -> Result<Value, Refusal> {
        Ok(Value::Null)
    }

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
    also: fn(Value) -> Result<Option<&'static str>, Refusal>,
    pub(crate) before: for<'a> fn(&'a Context, Value) -> BoxFuture<'a, Result<Value, Refusal>>,
    pub(crate) run: for<'a> fn(&'a Context, &'a Actor, Value) -> BoxFuture<'a, Result<Value, Refusal>>,
}

const fn entry<O: Operation>() -> Entry {
    Entry {
        meta: &O::META,
        also: |input| Ok(O::also(&read::<O>(input)?)),
        before: |context, input| Box::pin(before_json::<O>(context, input)),
        run: |context, actor, input| Box::pin(run_json::<O>(context, actor, input)),
    }
}

fn read<O: Operation>(input: Value) -> Result<O::Input, Refusal> {
    serde_json::from_value(input).map_err(|error| Refusal::invalid(error.to_string()))
}

async fn before_json<O: Operation>(context: &Context, input: Value) -> Result<Value, Refusal> {
    O::before(context, &read::<O>(input)?).await
}

async fn run_json<O: Operation>(context: &Context, actor: &Actor, input: Value) -> Result<Value, Refusal> {
    let answer = O::run(context, actor, read::<O>(input)?).await?;
    serde_json::to_value(answer).map_err(|error| Refusal::internal(&error))
}

/// All operations, in the order of their names.
pub const OPERATIONS: &[Entry] = &[
    entry::<EndSession>(),
    entry::<IssueToken>(),
    entry::<RevokeToken>(),
    entry::<ShowAccount>(),
    entry::<AcknowledgeAlert>(),
    entry::<ListAlerts>(),
    entry::<GiveApproval>(),
    entry::<ListApprovals>(),
    entry::<RefuseApproval>(),
    entry::<ShowApproval>(),
    entry::<StandIn>(),
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
    entry::<AddPerson>(),
    entry::<ChangePerson>(),
    entry::<ClosePerson>(),
    entry::<InvitePerson>(),
    entry::<ListPeople>(),
    entry::<RescuePerson>(),
    entry::<ShowStatus>(),
    entry::<RebuildTables>(),
];

/// Carries out the operation of that name, if `who` may, or puts it before a second person. What was refused and would
/// have changed something, or reached further than whoever asked, is recorded.
///
/// # Errors
/// When there is no such operation, or it is not carried out.
pub async fn perform(context: &Context, who: &Who, name: &str, input: Value) -> Result<Value, Refusal> {
    let Some(operation) = OPERATIONS.iter().find(|operation| operation.meta.name == name) else {
        return Err(Refusal::not_found(format!("there is no operation `{name}`")));
    };
    if let Err(error) = context.reserve.lend() {
        // It may still succeed, and says itself what is in the way if not.
        tracing::error!(%error, "the reserve could not be given back");
    }
    let answer = allowed(context, who, operation, input).await;
    if let Err(refusal) = &answer
        && (refusal.code == RefusalCode::Forbidden
            || refusal.code == RefusalCode::Conflict && !operation.meta.events.is_empty())
    {
        let draft = Draft::new(&kind::OPERATION_REFUSED, context.now(), who.actor.clone())
            .with("operation", operation.meta.name)
            .with("code", serde_json::to_value(refusal.code).unwrap_or_default());
        context.ledger.append(vec![(draft, Vec::new())]).await?;
    }
    answer
}

async fn allowed(context: &Context, who: &Who, operation: &Entry, input: Value) -> Result<Value, Refusal> {
    if let Err(reason) = context.access.may(who, operation.meta).await? {
        return Err(Refusal::new(RefusalCode::Forbidden, reason.to_string()));
    }
    if let Some(permission) = (operation.also)(input.clone())?
        && !context.access.reaches(who, permission).await?
    {
        let message = format!("`{}` of this kind takes the permission `{permission}` besides", operation.meta.name);
        return Err(Refusal::new(RefusalCode::Forbidden, message));
    }
    // Until there is an officer there are no two persons: whoever runs the host is alone responsible.
    if operation.meta.approval == Approval::SecondPerson && context.access.founded().await? {
        return Err(approvals::ask(context, &who.actor, operation, input).await?);
    }
    (operation.run)(context, &who.actor, input).await
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
