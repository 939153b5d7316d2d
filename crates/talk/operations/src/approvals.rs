//! The second person: a change that takes one waits, is shown exactly as it would be made, and is made when another
//! person agrees to just that.
//!
//! What is approved is a digest over the operation, its input, and what it changes as that is at the moment; if any of
//! it is different when somebody agrees, the change is void and must be asked for anew.

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use haris_access::{Via, Who, may_approve};
use haris_domain::{Actor, Draft, EventId, Timestamp, canonical, kind};
use haris_ledger::Payload;
use haris_register::ApprovalRow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::operation::Entry;
use crate::{Approval, Context, OPERATIONS, Operation, OperationMeta, Refusal, RefusalCode};

/// A change that nobody looked at in so long is asked for again.
const OPEN_MICROS: i64 = 72 * 3_600 * 1_000_000;
const LISTED_MAX: u32 = 200;

/// The exact change, as its event's payload holds it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Change {
    operation: String,
    input: Value,
    /// What it changes, as it was when it was asked for.
    before: Value,
}

impl Change {
    /// Canonical (RFC 8785): one change has one text, whatever order its fields came in.
    fn text(&self) -> Result<String, Refusal> {
        let value = json!({ "before": self.before, "input": self.input, "operation": self.operation });
        let bytes = canonical::to_vec(&value).map_err(|error| Refusal::invalid(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| Refusal::internal(&error))
    }
}

fn digest_of(text: &str) -> String {
    format!(
        "sha256:{}",
        digest(&SHA256, text.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>()
    )
}

/// Puts a change before a second person. Always a refusal: nothing is done yet.
pub(crate) async fn ask(context: &Context, actor: &Actor, entry: &Entry, input: Value) -> Result<Refusal, Refusal> {
    let before = (entry.before)(context, input.clone()).await?;
    let change = Change { operation: entry.meta.name.to_owned(), input, before };
    let (text, now) = (change.text()?, context.now());
    let draft = Draft::new(&kind::APPROVAL_REQUESTED, now, actor.clone())
        .with("operation", entry.meta.name)
        .with("permission", entry.meta.permission)
        .with("digest", digest_of(&text))
        .with("expires_us", now.plus_micros(OPEN_MICROS).micros());
    let id = draft.id;
    let payload = context.seal_text(&draft, "change", &text)?;
    context.ledger.append(vec![(draft, vec![payload])]).await?;
    Ok(Refusal::new(
        RefusalCode::Waiting,
        format!(
            "`{}` takes a second person: it waits as {id}, for three days, under Approvals in the console",
            entry.meta.name
        ),
    ))
}

async fn change(context: &Context, id: EventId) -> Result<(Change, String), Refusal> {
    let gone =
        || Refusal::new(RefusalCode::NotFound, "the change as it was asked for is not there any more: it was erased");
    let payload = context.ledger.open_payload(id, "change").await?;
    let Payload::Text { text, .. } = payload else { return Err(gone()) };
    let text = String::from_utf8(text.to_vec()).map_err(|_| gone())?;
    let change = serde_json::from_str(&text).map_err(|error| Refusal::internal(&error))?;
    Ok((change, text))
}

/// Lists changes that wait, and what became of others.
pub struct ListApprovals;

/// Changes that took a second person.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ApprovalsAnswer {
    /// `haris.approvals/1`.
    pub schema: String,
    /// Newest first.
    pub approvals: Vec<ApprovalAnswer>,
}

/// A change that took a second person.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ApprovalAnswer {
    /// Its id.
    pub approval: String,
    /// The operation.
    pub operation: String,
    /// Digest of the exact change.
    pub digest: String,
    /// Who asked.
    pub requested_by: String,
    /// When.
    pub requested: String,
    /// Until when it may be approved.
    pub expires: String,
    /// `waiting`, `expired`, `approved`, `refused` or `void`.
    pub state: String,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided: Option<String>,
    /// Why whoever looks cannot be its second person; none when they can.
    pub not_yours: Option<String>,
}

impl ApprovalAnswer {
    fn of(row: &ApprovalRow, not_yours: Option<String>, now: Timestamp) -> Self {
        let expired = row.state == "waiting" && now >= row.expires;
        Self {
            approval: row.id.to_string(),
            operation: row.operation.clone(),
            digest: row.digest.clone(),
            requested_by: row.requested_by.clone(),
            requested: row.requested_at.to_string(),
            expires: row.expires.to_string(),
            state: if expired { "expired".to_owned() } else { row.state.clone() },
            decided_by: row.decided_by.clone(),
            decided: row.decided_at.map(|at| at.to_string()),
            not_yours,
        }
    }
}

#[async_trait]
impl Operation for ListApprovals {
    const META: OperationMeta = OperationMeta {
        name: "approvals.list",
        tells: "lists changes that wait for a second person, and what became of others",
        permission: "approvals.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = Value;
    type Answer = ApprovalsAnswer;

    async fn run(context: &Context, actor: &Actor, _input: Value) -> Result<ApprovalsAnswer, Refusal> {
        let (rows, accounts) = (
            haris_register::approvals(&context.ledger, LISTED_MAX).await.map_err(|error| Refusal::internal(&error))?,
            haris_register::accounts(&context.ledger).await.map_err(|error| Refusal::internal(&error))?,
        );
        let (who, now) = (in_person(actor), context.now());
        let answer = |row: &ApprovalRow| {
            let not_yours = may_approve(&who, &accounts, row, now).err().map(|why| why.to_string());
            ApprovalAnswer::of(row, not_yours, now)
        };
        Ok(ApprovalsAnswer { schema: "haris.approvals/1".to_owned(), approvals: rows.iter().map(answer).collect() })
    }
}

/// Doors have checked who it is and how they came; here it counts whom.
fn in_person(actor: &Actor) -> Who {
    Who { actor: actor.clone(), roles: Vec::new(), via: Via::Session }
}

/// Which change.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalInput {
    /// Its id.
    pub approval: String,
}

/// Shows the exact change.
pub struct ShowApproval;

/// A change, exactly.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ShownApproval {
    /// `haris.approval/1`.
    pub schema: String,
    /// What is known of it.
    #[serde(flatten)]
    pub approval: ApprovalAnswer,
    /// What would be asked.
    pub input: Value,
    /// What it changes, as it was when it was asked for.
    pub before: Value,
    /// Whether that is different by now: the change would be void.
    pub changed: bool,
}

#[async_trait]
impl Operation for ShowApproval {
    const META: OperationMeta = OperationMeta {
        name: "approvals.show",
        tells: "shows a change that takes a second person, exactly as it would be made",
        permission: "approvals.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = ApprovalInput;
    type Answer = ShownApproval;

    async fn run(context: &Context, actor: &Actor, input: ApprovalInput) -> Result<ShownApproval, Refusal> {
        let row = find(context, &input.approval).await?;
        let accounts = haris_register::accounts(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
        let now = context.now();
        let not_yours = may_approve(&in_person(actor), &accounts, &row, now).err().map(|why| why.to_string());
        let (change, _) = change(context, row.id).await?;
        let changed = match entry(&change.operation) {
            Some(entry) => (entry.before)(context, change.input.clone()).await.ok() != Some(change.before.clone()),
            None => true,
        };
        Ok(ShownApproval {
            schema: "haris.approval/1".to_owned(),
            approval: ApprovalAnswer::of(&row, not_yours, now),
            input: change.input,
            before: change.before,
            changed: row.state == "waiting" && changed,
        })
    }
}

fn entry(name: &str) -> Option<&'static Entry> {
    OPERATIONS.iter().find(|entry| entry.meta.name == name)
}

async fn find(context: &Context, id: &str) -> Result<ApprovalRow, Refusal> {
    let unknown =
        || Refusal::not_found(format!("no change waits, or waited, as `{}`", id.chars().take(64).collect::<String>()));
    let id = id.parse().map_err(|_| unknown())?;
    let row = haris_register::approval(&context.ledger, id).await.map_err(|error| Refusal::internal(&error))?;
    row.ok_or_else(unknown)
}

/// Agrees to a change, which is then made.
pub struct GiveApproval;

/// Agreement to one exact change, by somebody who has their authenticator in hand.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GiveInput {
    /// Its id.
    pub approval: String,
    /// The digest that was shown.
    pub digest: String,
    /// A one-time code.
    pub code: String,
}

/// A change that was made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GivenApproval {
    /// `haris.approved/1`.
    pub schema: String,
    /// The change's id.
    pub approval: String,
    /// What the operation answered.
    pub answer: Value,
}

#[async_trait]
impl Operation for GiveApproval {
    const META: OperationMeta = OperationMeta {
        name: "approvals.give",
        tells: "agrees to a change as its second person, and makes it",
        permission: "approvals.give",
        approval: Approval::None,
        events: &[&kind::APPROVAL_GIVEN, &kind::APPROVAL_VOIDED],
    };
    type Input = GiveInput;
    type Answer = GivenApproval;

    async fn run(context: &Context, actor: &Actor, input: GiveInput) -> Result<GivenApproval, Refusal> {
        let row = find(context, &input.approval).await?;
        let accounts = haris_register::accounts(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
        let now = context.now();
        may_approve(&in_person(actor), &accounts, &row, now)
            .map_err(|why| Refusal::new(RefusalCode::Forbidden, why.to_string()))?;
        let account = actor.as_str().strip_prefix("person:").unwrap_or_default();
        context.access.confirm(account, &input.code).await?;
        let requester =
            row.requested_by.parse().map_err(|error: haris_domain::id::BadActor| Refusal::internal(&error))?;
        carry_out(context, actor, &requester, &row, &input.digest).await
    }
}

/// Makes the change, in the name of `maker`, if it is still the one that was asked for and shown.
async fn carry_out(
    context: &Context,
    actor: &Actor,
    maker: &Actor,
    row: &ApprovalRow,
    shown: &str,
) -> Result<GivenApproval, Refusal> {
    // One at a time: of two who agree at once the second finds it made.
    let _turn = context.approving.lock().await;
    let row = find(context, &row.id.to_string()).await?;
    if row.state != "waiting" {
        return Err(Refusal::new(
            RefusalCode::Conflict,
            format!("this change is not waiting any more: it is {}", row.state),
        ));
    }
    let (change, text) = change(context, row.id).await?;
    let entry = entry(&change.operation).ok_or_else(|| Refusal::not_found("this version has no such operation"))?;
    let before = (entry.before)(context, change.input.clone()).await?;
    if row.digest != digest_of(&text) || row.digest != shown || before != change.before {
        let draft = Draft::new(&kind::APPROVAL_VOIDED, context.now(), actor.clone());
        context.ledger.append(vec![(draft.about(row.id).with("approval", row.id.to_string()), Vec::new())]).await?;
        return Err(Refusal::new(
            RefusalCode::Conflict,
            "what this would change is not as it was when it was asked for: the change is void, ask for it again",
        ));
    }
    let draft = Draft::new(&kind::APPROVAL_GIVEN, context.now(), actor.clone())
        .about(row.id)
        .with("approval", row.id.to_string())
        .with("digest", row.digest.clone());
    context.ledger.append(vec![(draft, Vec::new())]).await?;
    let answer = (entry.run)(context, maker, change.input).await?;
    Ok(GivenApproval { schema: "haris.approved/1".to_owned(), approval: row.id.to_string(), answer })
}

/// Refuses a change, or withdraws one's own.
pub struct RefuseApproval;

/// A change that will not be made.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RefusedApproval {
    /// `haris.approval-refused/1`.
    pub schema: String,
    /// Its id.
    pub approval: String,
}

#[async_trait]
impl Operation for RefuseApproval {
    const META: OperationMeta = OperationMeta {
        name: "approvals.refuse",
        tells: "refuses a change that waits, or withdraws one's own",
        permission: "approvals.read",
        approval: Approval::None,
        events: &[&kind::APPROVAL_REFUSED],
    };
    type Input = ApprovalInput;
    type Answer = RefusedApproval;

    async fn run(context: &Context, actor: &Actor, input: ApprovalInput) -> Result<RefusedApproval, Refusal> {
        let _turn = context.approving.lock().await;
        let row = find(context, &input.approval).await?;
        let own = row.requested_by == actor.as_str();
        if !own {
            let accounts =
                haris_register::accounts(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
            may_approve(&in_person(actor), &accounts, &row, context.now())
                .map_err(|why| Refusal::new(RefusalCode::Forbidden, why.to_string()))?;
        } else if row.state != "waiting" {
            return Err(Refusal::new(RefusalCode::Conflict, format!("this change is {} already", row.state)));
        }
        let draft = Draft::new(&kind::APPROVAL_REFUSED, context.now(), actor.clone())
            .about(row.id)
            .with("approval", row.id.to_string())
            .with("withdrawn", own);
        context.ledger.append(vec![(draft, Vec::new())]).await?;
        Ok(RefusedApproval { schema: "haris.approval-refused/1".to_owned(), approval: row.id.to_string() })
    }
}

/// Lets the host stand in for the second person while there is none.
pub struct StandIn;

#[async_trait]
impl Operation for StandIn {
    const META: OperationMeta = OperationMeta {
        name: "approvals.stand-in",
        tells: "agrees to a change from the host, while fewer than two people could",
        permission: "people.rescue",
        approval: Approval::None,
        events: &[&kind::APPROVAL_GIVEN, &kind::APPROVAL_VOIDED],
    };
    type Input = ApprovalInput;
    type Answer = GivenApproval;

    async fn run(context: &Context, actor: &Actor, input: ApprovalInput) -> Result<GivenApproval, Refusal> {
        if !actor.as_str().starts_with("local:") {
            return Err(Refusal::new(
                RefusalCode::Forbidden,
                "only the host stands in: run `haris approvals stand-in` there",
            ));
        }
        let accounts = haris_register::accounts(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
        let row = find(context, &input.approval).await?;
        let now = context.now();
        if now >= row.expires {
            return Err(Refusal::new(
                RefusalCode::Conflict,
                "this change was open for three days and is over: ask for it again",
            ));
        }
        let could = accounts.iter().find(|account| {
            let who = in_person(&Actor::person(&account.id));
            may_approve(&who, &accounts, &row, now).is_ok()
        });
        if could.is_some() {
            return Err(Refusal::new(
                RefusalCode::Forbidden,
                "there is a person who can be the second one: the host stands in only while there is none",
            ));
        }
        // The host makes it: an account that it lets an officer have is not the officer's creature, or the first deputy
        // could never be the officer's second person.
        carry_out(context, actor, actor, &row, &row.digest).await
    }
}
