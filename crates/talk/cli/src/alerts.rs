//! `haris alerts`: what needs a person, and who took notice.

use std::process::ExitCode;

use haris_operations::{AcknowledgeAlert, AcknowledgeInput, AlertAnswer, AlertsInput, ListAlerts};

use crate::output::{self, Format};
use crate::remote::{ask_any, ask_looking, block_on};
use crate::{Failure, Place};

/// `haris alerts`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

/// What to list.
#[derive(clap::Args)]
struct List {
    /// Those that are over as well, newest first.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
    /// How to print [default: table on a terminal].
    #[arg(long)]
    format: Option<Format>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Takes notice of an alert: it is not sent again.
    Ack {
        /// Its id, or its name when only one of that name is open.
        alert: String,
        /// What is being done about it; kept encrypted.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        place: Place,
        /// How to print [default: table on a terminal].
        #[arg(long)]
        format: Option<Format>,
    },
}

/// Exit code 1 when an alert is open that nobody acknowledged.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Some(Command::Ack { alert, reason, place, format }) => {
            let answer = block_on(ask_any::<AcknowledgeAlert>(&place, &AcknowledgeInput { alert, reason }))?;
            if Format::or_by_terminal(format) == Format::Json {
                output::json(&answer)?;
            } else {
                output::line(&format!("{} is acknowledged, on record as {}", answer.alert.alert, answer.recorded))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let List { all, place, format } = arguments.list;
            let answer = block_on(ask_looking::<ListAlerts>(&place, &AlertsInput { all }))?;
            if Format::or_by_terminal(format) == Format::Json {
                output::json(&answer)?;
            } else if answer.alerts.is_empty() {
                output::line("Nothing needs you.")?;
            } else {
                print(&answer.alerts)?;
            }
            let waiting = |alert: &AlertAnswer| alert.cleared_at.is_none() && alert.acknowledged_at.is_none();
            Ok(ExitCode::from(u8::from(answer.alerts.iter().any(waiting))))
        }
    }
}

fn print(alerts: &[AlertAnswer]) -> Result<(), Failure> {
    let second = |at: &str| at.get(..19).unwrap_or(at).to_owned();
    let row = |alert: &AlertAnswer| {
        let state = match (&alert.cleared_at, &alert.acknowledged_by) {
            (Some(at), _) => format!("over {}", second(at)),
            (None, Some(by)) => format!("acknowledged by {by}"),
            (None, None) => "open".to_owned(),
        };
        [
            alert.severity.clone(),
            alert.alert.clone(),
            second(&alert.raised_at),
            state,
            alert.id.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    output::table(["SEVERITY", "ALERT", "RAISED", "STATE", "ID"], &alerts.iter().map(row).collect::<Vec<_>>())?;
    for alert in alerts.iter().filter(|alert| alert.cleared_at.is_none()) {
        output::line(&format!("\n{}\n  {}", alert.text, alert.remedy))?;
    }
    Ok(())
}
