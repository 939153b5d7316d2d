//! One's own account: sessions and tokens.

use std::collections::BTreeSet;

use async_trait::async_trait;
use haris_domain::{Actor, kind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Approval, Context, Operation, OperationMeta, Refusal};

/// Whose account; whoever is not a person has none.
fn own(actor: &Actor) -> Result<&str, Refusal> {
    let account = actor.as_str().strip_prefix("person:");
    account.ok_or_else(|| Refusal::invalid("only a person has an account: log in to the console, or use a token"))
}

/// Shows one's own account.
pub struct ShowAccount;

/// One's own account.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AccountAnswer {
    /// `haris.account/1`.
    pub schema: String,
    /// Its id.
    pub account: String,
    /// The name to log in with.
    pub login: Option<String>,
    /// The person's name.
    pub name: Option<String>,
    /// The roles it holds.
    pub roles: Vec<String>,
    /// Open sessions, newest first.
    pub sessions: Vec<SessionAnswer>,
    /// Tokens, newest first.
    pub tokens: Vec<TokenAnswer>,
}

/// A session.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SessionAnswer {
    /// Its name; no secret.
    pub session: String,
    /// When it was opened.
    pub opened: String,
    /// When it was last used, to the minute.
    pub seen: String,
    /// What the browser said of itself.
    pub agent: String,
}

/// A token, without its secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TokenAnswer {
    /// Its id.
    pub token: String,
    /// The permissions it was given.
    pub scopes: Vec<String>,
    /// When it was made.
    pub issued: String,
    /// When it stops being accepted by itself.
    pub expires: String,
    /// When it was revoked.
    pub revoked: Option<String>,
}

#[async_trait]
impl Operation for ShowAccount {
    const META: OperationMeta = OperationMeta {
        name: "account.show",
        tells: "one's own account: roles, sessions, tokens",
        permission: "account.own",
        approval: Approval::None,
        events: &[],
    };
    type Input = Value;
    type Answer = AccountAnswer;

    async fn run(context: &Context, actor: &Actor, _input: Value) -> Result<AccountAnswer, Refusal> {
        let account = own(actor)?;
        let face = context.access.faces().await?.into_iter().find(|face| face.account == account);
        let person = context.access.person(account).await?;
        let sessions = context.access.sessions(account).await?;
        let tokens =
            haris_register::tokens(&context.ledger, account).await.map_err(|error| Refusal::internal(&error))?;
        Ok(AccountAnswer {
            schema: "haris.account/1".to_owned(),
            account: account.to_owned(),
            login: face.as_ref().map(|face| face.login.clone()),
            name: face.map(|face| face.name),
            roles: person.iter().flat_map(|who| &who.roles).map(|role| role.name.to_owned()).collect(),
            sessions: sessions
                .into_iter()
                .map(|row| SessionAnswer {
                    session: row.handle,
                    opened: row.opened_at.to_string(),
                    seen: row.seen_at.to_string(),
                    agent: row.agent,
                })
                .collect(),
            tokens: tokens
                .into_iter()
                .map(|token| TokenAnswer {
                    token: token.id,
                    scopes: token.scopes,
                    issued: token.issued_at.to_string(),
                    expires: token.expires.to_string(),
                    revoked: token.revoked_at.map(|at| at.to_string()),
                })
                .collect(),
        })
    }
}

/// Ends one of one's own sessions.
pub struct EndSession;

/// Which.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SessionInput {
    /// The session's name.
    pub session: String,
}

/// Whether there was one.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ended {
    /// `haris.ended/1`.
    pub schema: String,
    /// What ended.
    pub ended: String,
}

fn ended(what: String, was: bool) -> Result<Ended, Refusal> {
    match was {
        true => Ok(Ended { schema: "haris.ended/1".to_owned(), ended: what }),
        false => Err(Refusal::not_found("you have none of that name, or not any more")),
    }
}

#[async_trait]
impl Operation for EndSession {
    const META: OperationMeta = OperationMeta {
        name: "account.end-session",
        tells: "ends one of one's own sessions",
        permission: "account.own",
        approval: Approval::None,
        events: &[&kind::SESSION_ENDED],
    };
    type Input = SessionInput;
    type Answer = Ended;

    async fn run(context: &Context, actor: &Actor, input: SessionInput) -> Result<Ended, Refusal> {
        let was = context.access.end_session(own(actor)?, &input.session, actor).await?;
        ended(input.session, was)
    }
}

/// Makes a token.
pub struct IssueToken;

/// For what, and for how long.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IssueTokenInput {
    /// Permissions that its holder has, such as `events.read`.
    pub scopes: BTreeSet<String>,
    /// For how many days it is accepted.
    pub days: u32,
}

/// A token, shown this once.
#[derive(Clone, Deserialize, Serialize)]
pub struct IssuedTokenAnswer {
    /// `haris.token/1`.
    pub schema: String,
    /// Its id.
    pub token: String,
    /// What a program sends as `Authorization: Bearer`.
    pub secret: String,
}

#[async_trait]
impl Operation for IssueToken {
    const META: OperationMeta = OperationMeta {
        name: "account.issue-token",
        tells: "lets a program act in one's name, within scopes and for some days",
        permission: "account.own",
        approval: Approval::None,
        events: &[&kind::TOKEN_ISSUED],
    };
    type Input = IssueTokenInput;
    type Answer = IssuedTokenAnswer;

    async fn run(context: &Context, actor: &Actor, input: IssueTokenInput) -> Result<IssuedTokenAnswer, Refusal> {
        let who = context.access.person(own(actor)?).await?;
        let who = who.ok_or_else(|| Refusal::new(crate::RefusalCode::Forbidden, "that account is closed"))?;
        let issued = context.access.issue_token(&who, &input.scopes, input.days).await?;
        Ok(IssuedTokenAnswer {
            schema: "haris.token/1".to_owned(),
            token: issued.id,
            secret: issued.secret.to_string(),
        })
    }
}

/// Stops accepting a token.
pub struct RevokeToken;

/// Which.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenInput {
    /// The token's id.
    pub token: String,
}

#[async_trait]
impl Operation for RevokeToken {
    const META: OperationMeta = OperationMeta {
        name: "account.revoke-token",
        tells: "stops accepting one of one's own tokens",
        permission: "account.own",
        approval: Approval::None,
        events: &[&kind::TOKEN_REVOKED],
    };
    type Input = TokenInput;
    type Answer = Ended;

    async fn run(context: &Context, actor: &Actor, input: TokenInput) -> Result<Ended, Refusal> {
        let was = context.access.revoke_token(own(actor)?, &input.token, actor).await?;
        ended(input.token, was)
    }
}
