//! `haris disk`: how much room there is, for how long, and how to get out of a full one.

use std::process::ExitCode;

use haris_operations::{DiskAnswer, RecoverDisk, ShowStatus};
use serde_json::{Value, json};

use crate::output::{self, Format};
use crate::remote::{ask_any, ask_looking, block_on};
use crate::{Failure, Place};

/// `haris disk`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args)]
struct How {
    #[command(flatten)]
    place: Place,
    /// How to print [default: table on a terminal].
    #[arg(long)]
    format: Option<Format>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Gives back what Haris itself holds and no longer needs; works on a disk that is full.
    Recover(#[command(flatten)] How),
}

/// Exit code 1 when the reserve is not whole.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let (disk, next, answer, format) = match arguments.command {
        Some(Command::Recover(how)) => {
            let answer = block_on(ask_any::<RecoverDisk>(&how.place, &Value::Null))?;
            let value = serde_json::to_value(&answer).map_err(|error| Failure::because("output", &error))?;
            (answer.disk, answer.next, value, how.format)
        }
        None => {
            let status = block_on(ask_looking::<ShowStatus>(&arguments.how.place, &Value::Null))?;
            let value = json!({ "schema": "haris.disk/1", "disk": status.disk });
            (status.disk, None, value, arguments.how.format)
        }
    };
    if Format::or_by_terminal(format) == Format::Json {
        output::json(&answer)?;
    } else {
        print(&disk)?;
        if let Some(next) = next {
            output::line(&next)?;
        }
    }
    Ok(ExitCode::from(u8::from(disk.reserve_bytes < disk.reserve_bytes_wanted)))
}

fn print(disk: &DiskAnswer) -> Result<(), Failure> {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let days =
        disk.days_left.map_or_else(|| "not known yet, or it does not fill".to_owned(), |days| format!("{days} days"));
    let rows = [
        ["data".to_owned(), disk.path.clone()],
        [
            "free".to_owned(),
            format!("{} of {} ({} %)", mib(disk.free_bytes), mib(disk.total_bytes), disk.free_percent()),
        ],
        ["lasts".to_owned(), days],
        ["reserve".to_owned(), format!("{} of {}", mib(disk.reserve_bytes), mib(disk.reserve_bytes_wanted))],
    ];
    output::table(["DISK", ""], &rows)
}
