//! People: who has an account, what roles it holds, and how somebody gets in who lost the way.

use std::time::Duration;

use async_trait::async_trait;
use haris_access::roles;
use haris_domain::{Actor, Draft, kind};
use haris_register::Account;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Approval, Context, Operation, OperationMeta, Refusal, RefusalCode};

const NAME_CHARACTERS_MAX: usize = 80;
/// Between a rescue from the host and the link that it makes: long enough for the people whom it alerts to act.
const RESCUE_DELAY: Duration = Duration::from_secs(3_600);

/// Lists accounts.
pub struct ListPeople;

/// All accounts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PeopleAnswer {
    /// `haris.people/1`.
    pub schema: String,
    /// Oldest first, closed ones included.
    pub people: Vec<PersonAnswer>,
}

/// An account as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PersonAnswer {
    /// Opaque id; events say `person:` and this.
    pub account: String,
    /// What they log in with; none before they came in for the first time, or when it was forgotten.
    pub login: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// The roles they hold.
    pub roles: Vec<String>,
    /// When the account was made.
    pub created: String,
    /// By whom.
    pub created_by: String,
    /// When it was closed.
    pub closed: Option<String>,
}

async fn people(context: &Context) -> Result<Vec<PersonAnswer>, Refusal> {
    let accounts = haris_register::accounts(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
    let faces = context.access.faces().await?;
    let mut people = Vec::with_capacity(accounts.len());
    for account in &accounts {
        let face = faces.iter().find(|face| face.account == account.id);
        let name = match face {
            Some(face) => Some(face.name.clone()),
            None => called(context, account).await,
        };
        people.push(PersonAnswer {
            account: account.id.clone(),
            login: face.map(|face| face.login.clone()),
            name,
            roles: account.roles.iter().map(|held| held.role.clone()).collect(),
            created: account.created_at.to_string(),
            created_by: account.created_by.clone(),
            closed: account.closed_at.map(|at| at.to_string()),
        });
    }
    Ok(people)
}

/// The name that was given when the account was made, where it was not erased.
async fn called(context: &Context, account: &Account) -> Option<String> {
    let id = account.event.parse().ok()?;
    match context.ledger.open_payload(id, "name").await.ok()? {
        haris_ledger::Payload::Text { text, .. } => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    }
}

async fn open_account(context: &Context, given: &str) -> Result<Account, Refusal> {
    let all = people(context).await?;
    let named = |person: &&PersonAnswer| person.account == given || person.login.as_deref() == Some(given);
    let person = all.iter().find(named).ok_or_else(|| Refusal::not_found("there is no such account"))?;
    let account = haris_register::account(&context.ledger, &person.account).await;
    let account = account.map_err(|error| Refusal::internal(&error))?;
    account
        .filter(|account| account.closed_at.is_none())
        .ok_or_else(|| Refusal::new(RefusalCode::Conflict, "that account is closed"))
}

#[async_trait]
impl Operation for ListPeople {
    const META: OperationMeta = OperationMeta {
        name: "people.list",
        tells: "lists accounts and the roles they hold",
        permission: "people.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = Value;
    type Answer = PeopleAnswer;

    async fn run(context: &Context, _actor: &Actor, _input: Value) -> Result<PeopleAnswer, Refusal> {
        Ok(PeopleAnswer { schema: "haris.people/1".to_owned(), people: people(context).await? })
    }
}

/// Makes an account for somebody.
pub struct AddPerson;

/// For whom, with which roles.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AddPersonInput {
    /// Their name; kept as an encrypted payload.
    pub name: String,
    /// The roles it holds.
    pub roles: Vec<String>,
}

/// An account.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PersonChanged {
    /// `haris.person/1`.
    pub schema: String,
    /// The account's id.
    pub account: String,
    /// The roles it holds now.
    pub roles: Vec<String>,
}

impl PersonChanged {
    fn new(account: String, roles: Vec<String>) -> Self {
        Self { schema: "haris.person/1".to_owned(), account, roles }
    }
}

fn checked(given: &[String]) -> Result<Vec<String>, Refusal> {
    let held = roles(given).map_err(|bad| Refusal::invalid(bad.to_string()))?;
    Ok(held.iter().map(|role| role.name.to_owned()).collect())
}

#[async_trait]
impl Operation for AddPerson {
    const META: OperationMeta = OperationMeta {
        name: "people.add",
        tells: "makes an account for somebody, who comes in by an invitation",
        permission: "people.write",
        approval: Approval::SecondPerson,
        events: &[&kind::ACCOUNT_CREATED],
    };
    type Input = AddPersonInput;
    type Answer = PersonChanged;

    async fn before(_context: &Context, input: &AddPersonInput) -> Result<Value, Refusal> {
        checked(&input.roles)?;
        let name = input.name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || name.chars().any(char::is_control) {
            return Err(Refusal::invalid(format!("give the person's name, up to {NAME_CHARACTERS_MAX} characters")));
        }
        Ok(Value::Null)
    }

    async fn run(context: &Context, actor: &Actor, input: AddPersonInput) -> Result<PersonChanged, Refusal> {
        Self::before(context, &input).await?;
        let (roles, account) = (checked(&input.roles)?, context.access.new_account());
        let draft = Draft::new(&kind::ACCOUNT_CREATED, context.now(), actor.clone())
            .about(Actor::person(&account))
            .with("account", account.clone())
            .with("roles", roles.clone());
        let name = context.seal_text(&draft, "name", input.name.trim())?;
        context.ledger.append(vec![(draft, vec![name])]).await?;
        Ok(PersonChanged::new(account, roles))
    }
}

/// Sets an account's roles anew.
pub struct ChangePerson;

/// Whose, and which.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChangePersonInput {
    /// The account's id or log-in name.
    pub account: String,
    /// All roles it holds from then on.
    pub roles: Vec<String>,
}

#[async_trait]
impl Operation for ChangePerson {
    const META: OperationMeta = OperationMeta {
        name: "people.change",
        tells: "sets an account's roles anew; its sessions end",
        permission: "people.write",
        approval: Approval::SecondPerson,
        events: &[&kind::ACCOUNT_CHANGED],
    };
    type Input = ChangePersonInput;
    type Answer = PersonChanged;

    async fn before(context: &Context, input: &ChangePersonInput) -> Result<Value, Refusal> {
        let roles = checked(&input.roles)?;
        let account = open_account(context, &input.account).await?;
        let held: Vec<_> = account.roles.iter().map(|held| held.role.as_str()).collect();
        if !roles.iter().any(|role| role == "officer") {
            refuse_last_officer(context, &account).await?;
        }
        Ok(json!({ "account": account.id, "roles": held }))
    }

    async fn run(context: &Context, actor: &Actor, input: ChangePersonInput) -> Result<PersonChanged, Refusal> {
        Self::before(context, &input).await?;
        let account = open_account(context, &input.account).await?;
        let roles = checked(&input.roles)?;
        let draft = Draft::new(&kind::ACCOUNT_CHANGED, context.now(), actor.clone())
            .about(Actor::person(&account.id))
            .with("account", account.id.clone())
            .with("roles", roles.clone());
        context.ledger.append(vec![(draft, Vec::new())]).await?;
        context.access.end_sessions(&account.id, actor).await?;
        Ok(PersonChanged::new(account.id, roles))
    }
}

/// Without an officer the host would do everything again.
async fn refuse_last_officer(context: &Context, account: &Account) -> Result<(), Refusal> {
    let all = haris_register::accounts(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
    if account.holds("officer") && !all.iter().any(|other| other.id != account.id && other.holds("officer")) {
        return Err(Refusal::new(RefusalCode::Conflict, "this is the only officer: make another one first"));
    }
    Ok(())
}

/// Which account.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PersonInput {
    /// The account's id or log-in name.
    pub account: String,
}

/// Closes an account for good.
pub struct ClosePerson;

#[async_trait]
impl Operation for ClosePerson {
    const META: OperationMeta = OperationMeta {
        name: "people.close",
        tells: "closes an account for good: its sessions and tokens end, its name is forgotten",
        permission: "people.write",
        approval: Approval::None,
        events: &[&kind::ACCOUNT_CLOSED],
    };
    type Input = PersonInput;
    type Answer = PersonChanged;

    async fn run(context: &Context, actor: &Actor, input: PersonInput) -> Result<PersonChanged, Refusal> {
        let account = open_account(context, &input.account).await?;
        if *actor == Actor::person(&account.id) {
            return Err(Refusal::new(RefusalCode::Conflict, "nobody closes their own account: somebody else does"));
        }
        refuse_last_officer(context, &account).await?;
        let draft = Draft::new(&kind::ACCOUNT_CLOSED, context.now(), actor.clone())
            .about(Actor::person(&account.id))
            .with("account", account.id.clone());
        context.ledger.append(vec![(draft, Vec::new())]).await?;
        context.access.end_sessions(&account.id, actor).await?;
        context.access.forget(&account.id).await?;
        Ok(PersonChanged::new(account.id, Vec::new()))
    }
}

/// Makes a link by which somebody comes in for the first time.
pub struct InvitePerson;

/// A link to hand over, shown this once.
#[derive(Clone, Deserialize, Serialize)]
pub struct InvitationAnswer {
    /// `haris.invitation/1`.
    pub schema: String,
    /// The account's id.
    pub account: String,
    /// The secret part of the link: `/join?link=` and this.
    pub link: String,
    /// For how many seconds it is not good yet.
    pub delay_seconds: u64,
}

#[async_trait]
impl Operation for InvitePerson {
    const META: OperationMeta = OperationMeta {
        name: "people.invite",
        tells: "makes the link by which somebody comes in for the first time",
        permission: "people.write",
        approval: Approval::None,
        events: &[&kind::PERSON_INVITED],
    };
    type Input = PersonInput;
    type Answer = InvitationAnswer;

    async fn run(context: &Context, actor: &Actor, input: PersonInput) -> Result<InvitationAnswer, Refusal> {
        let account = open_account(context, &input.account).await?;
        if context.access.faces().await?.iter().any(|face| face.account == account.id) {
            let message = "this person has come in already; who lost passphrase or authenticator is rescued from the \
                           host: `haris people rescue`";
            return Err(Refusal::new(RefusalCode::Conflict, message));
        }
        invite(context, actor, &account, Duration::ZERO).await
    }
}

async fn invite(
    context: &Context,
    actor: &Actor,
    account: &Account,
    delay: Duration,
) -> Result<InvitationAnswer, Refusal> {
    let draft = Draft::new(&kind::PERSON_INVITED, context.now(), actor.clone())
        .about(Actor::person(&account.id))
        .with("account", account.id.clone())
        .with("delay_us", u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
    context.ledger.append(vec![(draft, Vec::new())]).await?;
    let link = context.access.invite(&account.id, delay).await?;
    Ok(InvitationAnswer {
        schema: "haris.invitation/1".to_owned(),
        account: account.id.clone(),
        link: link.to_string(),
        delay_seconds: delay.as_secs(),
    })
}

/// Breaks the glass: a new link for somebody who lost passphrase or authenticator, from the host, after an hour.
pub struct RescuePerson;

#[async_trait]
impl Operation for RescuePerson {
    const META: OperationMeta = OperationMeta {
        name: "people.rescue",
        tells: "makes a link, good in an hour, for somebody who lost passphrase or authenticator; from the host",
        permission: "people.rescue",
        approval: Approval::None,
        events: &[&kind::PERSON_INVITED],
    };
    type Input = PersonInput;
    type Answer = InvitationAnswer;

    async fn run(context: &Context, actor: &Actor, input: PersonInput) -> Result<InvitationAnswer, Refusal> {
        let account = open_account(context, &input.account).await?;
        invite(context, actor, &account, RESCUE_DELAY).await
    }
}
