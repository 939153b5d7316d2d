//! `haris people` and `haris approvals`: what the host does for people. Everything else about them takes a person, in the
//! console.

use haris_operations::{
    ApprovalInput, InvitationAnswer, ListApprovals, ListPeople, PersonInput, RescuePerson, ShowApproval, StandIn,
};
use serde_json::Value;

use crate::output::{self, Format};
use crate::remote::{ask_any, block_on};
use crate::{Failure, Place};

/// `haris people`.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Accounts, and the roles they hold.
    List(Bare),
    /// A new link, good in an hour, for somebody who lost passphrase or authenticator.
    Rescue(Rescue),
}

/// `haris approvals`.
#[derive(clap::Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// Changes that wait for a second person, and what became of others.
    List(Bare),
    /// One of them, exactly as it would be made.
    Show(One),
    /// Agrees from the host, while fewer than two people could.
    StandIn(One),
}

#[derive(clap::Args)]
pub(crate) struct Bare {
    #[command(flatten)]
    place: Place,
    /// How to print [default: table on a terminal, json otherwise].
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(clap::Args)]
pub(crate) struct Rescue {
    /// The account's id or log-in name.
    account: String,
    #[command(flatten)]
    bare: Bare,
}

#[derive(clap::Args)]
pub(crate) struct One {
    /// The change's id.
    id: String,
    #[command(flatten)]
    bare: Bare,
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(bare) => list(&bare),
        Command::Rescue(rescue) => {
            let input = PersonInput { account: rescue.account };
            let answer = block_on(ask_any::<RescuePerson>(&rescue.bare.place, &input))?;
            match Format::or_by_terminal(rescue.bare.format) {
                Format::Json => output::json(&answer),
                Format::Table => say(&answer),
            }
        }
    }
}

fn say(answer: &InvitationAnswer) -> Result<(), Failure> {
    output::line(&format!("/join?link={}", answer.link))?;
    let minutes = answer.delay_seconds / 60;
    output::line(&format!(
        "Good in {minutes} minutes, for a day and once. It is on record; the old credentials work until it is used."
    ))
}

fn list(bare: &Bare) -> Result<(), Failure> {
    let answer = block_on(ask_any::<ListPeople>(&bare.place, &Value::Null))?;
    if Format::or_by_terminal(bare.format) == Format::Json {
        return output::json(&answer);
    }
    if answer.people.is_empty() {
        return output::line("Nobody has an account yet: `haris serve` prints the link for the first officer.");
    }
    let rows: Vec<_> = answer
        .people
        .into_iter()
        .map(|person| {
            let state = if person.closed.is_some() {
                "closed"
            } else if person.login.is_none() {
                "invited"
            } else {
                "open"
            };
            [
                person.account,
                person.login.unwrap_or_default(),
                person.name.unwrap_or_default(),
                person.roles.join(", "),
                state.to_owned(),
            ]
        })
        .collect();
    output::table(["ACCOUNT", "LOGIN", "NAME", "ROLES", "STATE"], &rows)
}

pub(crate) fn run_approvals(command: ApprovalsCommand) -> Result<(), Failure> {
    match command {
        ApprovalsCommand::List(bare) => {
            let answer = block_on(ask_any::<ListApprovals>(&bare.place, &Value::Null))?;
            if Format::or_by_terminal(bare.format) == Format::Json {
                return output::json(&answer);
            }
            if answer.approvals.is_empty() {
                return output::line("Nothing waits for a second person.");
            }
            let row = |one: haris_operations::ApprovalAnswer| {
                [one.approval, one.operation, one.requested_by, one.state, one.expires]
            };
            let rows: Vec<_> = answer.approvals.into_iter().map(row).collect();
            output::table(["ID", "CHANGE", "ASKED BY", "STATE", "OPEN UNTIL"], &rows)
        }
        ApprovalsCommand::Show(one) => {
            let answer = block_on(ask_any::<ShowApproval>(&one.bare.place, &ApprovalInput { approval: one.id }))?;
            output::json(&answer)
        }
        ApprovalsCommand::StandIn(one) => {
            let answer = block_on(ask_any::<StandIn>(&one.bare.place, &ApprovalInput { approval: one.id }))?;
            output::json(&answer)
        }
    }
}
