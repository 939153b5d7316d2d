//! `haris db`: upkeep of the database: its schema, and the tables that fold from the ledger.

use std::process::ExitCode;

use haris_operations::{RebuildInput, RebuildTables};

use crate::events::text;
use crate::output::{self, Format};
use crate::remote::{ask_any, block_on};
use crate::{Failure, Place, migrate};

/// `haris db`.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Brings the schema up to date, as a start does; keeps a copy of the database from before.
    Migrate(migrate::Arguments),
    /// Folds every table anew from the sealed events.
    Rebuild {
        /// Compare with a fresh fold, and leave the tables as they are.
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        place: Place,
        /// How to print [default: table on a terminal].
        #[arg(long)]
        format: Option<Format>,
    },
}

/// Exit code 1 when tables differed from what the events say.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    let (check, place, format) = match command {
        Command::Migrate(arguments) => return migrate::run(&arguments),
        Command::Rebuild { check, place, format } => (check, place, format),
    };
    let answer = block_on(ask_any::<RebuildTables>(&place, &RebuildInput { check }))?;
    let differences = answer["differences"].as_array().map(Vec::as_slice).unwrap_or_default();
    if Format::or_by_terminal(format) == Format::Json {
        output::json(&answer)?;
    } else {
        let did = if check { "compared with" } else { "made anew from" };
        output::line(&format!("tables {did} {} events", answer["events"]))?;
        for one in differences {
            output::line(&format!(
                "{} was not what the events say: {} rows missing, {} rows that no event explains",
                text(&one["table"]),
                one["missing"],
                one["extra"]
            ))?;
            for example in one["examples"].as_array().into_iter().flatten() {
                output::line(&format!("  {}", text(example)))?;
            }
        }
    }
    Ok(ExitCode::from(u8::from(check && !differences.is_empty())))
}
