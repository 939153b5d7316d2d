//! `haris ledger`: evidence, erasure, legal holds, and the ledger's check of itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use haris_operations::{
    CheckLedger, EraseEvents, EraseInput, ExportEvidence, ExportInput, HoldInput, LiftHold, LiftInput, ListHolds,
    PlaceHold,
};
use serde_json::Value;

use crate::events::text;
use crate::output::{self, Format};
use crate::remote::{Office, ask_any, ask_looking, block_on};
use crate::target::Target;
use crate::{Failure, Place};

/// Where and how, for every command.
#[derive(clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    place: Place,
    /// How to print [default: table on a terminal].
    #[arg(long)]
    format: Option<Format>,
}

/// `haris ledger`.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Makes an evidence bundle that an auditor verifies offline with `haris-verify`.
    Export {
        /// Events born at or after this RFC 3339 time or day.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Events born before this RFC 3339 time or day.
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// A condition, `key=value`; the bundle is then a selection, unless --complete.
        #[arg(long, value_name = "KEY=VALUE")]
        filter: Vec<String>,
        /// With --filter: every event of the range nevertheless, so that completeness is shown.
        #[arg(long)]
        complete: bool,
        /// Open the payloads of the events chosen.
        #[arg(long)]
        with_payloads: bool,
        /// Where to write the bundle [default: haris-evidence.zip].
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Derives rows, bundles, tiles and checkpoints anew, opens every payload, and names the first wrong entry. Changes
    /// nothing.
    Fsck {
        #[command(flatten)]
        common: Common,
    },
    /// Destroys payload keys; the texts are gone, the log still verifies. On record first.
    Erase {
        /// One event, with the question or answer that belongs to it.
        #[arg(long, value_name = "ID")]
        event: Option<String>,
        /// Every interaction in which this identifier was found, in any spelling.
        #[arg(long, value_name = "IDENTIFIER")]
        subject: Option<String>,
        /// What kind of identifier it is: qid, iban, card, … [default: any].
        #[arg(long, value_name = "KIND", requires = "subject")]
        kind: Option<String>,
        /// Every interaction born before this RFC 3339 time or day.
        #[arg(long, value_name = "TIME")]
        before: Option<String>,
        /// Why; kept encrypted.
        #[arg(long)]
        reason: Option<String>,
        /// Under which law.
        #[arg(long)]
        legal_basis: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Places a legal hold: nothing it covers is erased or pruned.
    Hold {
        /// An event; may be given several times.
        #[arg(long, value_name = "ID")]
        event: Vec<String>,
        /// Every event in which this identifier was or will be found.
        #[arg(long, value_name = "IDENTIFIER")]
        subject: Option<String>,
        /// What kind of identifier it is [default: any].
        #[arg(long, value_name = "KIND", requires = "subject")]
        kind: Option<String>,
        /// Events born at or after this time; with --to.
        #[arg(long, value_name = "TIME", requires = "to")]
        from: Option<String>,
        /// Events born before this time; with --from.
        #[arg(long, value_name = "TIME", requires = "from")]
        to: Option<String>,
        /// Every event, past and to come.
        #[arg(long)]
        everything: bool,
        /// Why; kept encrypted.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Lists the legal holds in force.
    Holds {
        #[command(flatten)]
        common: Common,
    },
    /// Lifts a legal hold.
    Lift {
        /// The hold's id, as `hold` printed it and `holds` lists it.
        hold: String,
        /// Why; kept encrypted.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Export { from, to, filter, complete, with_payloads, output, common } => {
            let input = ExportInput { from, to, filter, complete, with_payloads };
            export(&input, output.as_deref().unwrap_or(Path::new("haris-evidence.zip")), &common)?;
        }
        Command::Fsck { common } => return fsck(&common),
        Command::Erase { event, subject, kind, before, reason, legal_basis, common } => {
            let input = EraseInput { event, subject, subject_kind: kind, before, reason, legal_basis };
            let erased = block_on(ask_any::<EraseEvents>(&common.place, &input))?;
            if json(&common) {
                output::json(&erased)?;
            } else {
                output::line(&format!(
                    "{} payloads of {} events are erased; recorded as {}",
                    erased.payloads,
                    erased.events,
                    erased.recorded.join(", ")
                ))?;
            }
        }
        Command::Hold { event, subject, kind, from, to, everything, reason, common } => {
            let input = HoldInput { events: event, subject, subject_kind: kind, from, to, everything, reason };
            let hold = block_on(ask_any::<PlaceHold>(&common.place, &input))?;
            if json(&common) {
                output::json(&hold)?;
            } else {
                output::line(&format!("hold {} is in force ({})", hold.hold.hold, hold.hold.scope))?;
            }
        }
        Command::Holds { common } => {
            let answer = block_on(ask_looking::<ListHolds>(&common.place, &Value::Null))?;
            if json(&common) {
                output::json(&answer)?;
            } else if answer.holds.is_empty() {
                output::line("No legal hold is in force.")?;
            } else {
                let rows: Vec<_> =
                    answer.holds.into_iter().map(|hold| [hold.hold, hold.scope, hold.placed, hold.actor]).collect();
                output::table(["HOLD", "SCOPE", "PLACED", "BY"], &rows)?;
            }
        }
        Command::Lift { hold, reason, common } => {
            let lifted = block_on(ask_any::<LiftHold>(&common.place, &LiftInput { hold, reason }))?;
            if json(&common) {
                output::json(&lifted)?;
            } else {
                output::line(&format!("hold {} is lifted; recorded as {}", lifted.hold, lifted.recorded))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn json(common: &Common) -> bool {
    Format::or_by_terminal(common.format) == Format::Json
}

fn export(input: &ExportInput, output: &Path, common: &Common) -> Result<(), Failure> {
    // Before anything is made or recorded: a target that cannot be written is found out now.
    let mut target = Target::open(output)?;
    let answer = block_on(async {
        let office = Office::any(&common.place).await?;
        let made = office.ask::<ExportEvidence>(input).await.and_then(|answer| {
            target.fill(&answer.path)?;
            std::fs::remove_file(&answer.path)
                .map_err(|error| Failure::because("could not remove the bundle's first copy", &error))?;
            Ok(answer)
        });
        office.close().await?;
        made
    })?;
    target.keep()?;
    if json(common) {
        let mut value = serde_json::to_value(&answer).map_err(|error| Failure::because("output", &error))?;
        value["path"] = output.display().to_string().into();
        return output::json(&value);
    }
    let events: u64 =
        answer.manifest["logs"].as_array().into_iter().flatten().filter_map(|l| l["leaves"].as_u64()).sum();
    output::line(&format!(
        "{}: {events} events, {} bytes; recorded as {}",
        output.display(),
        answer.bytes,
        answer.recorded
    ))?;
    if events == 0 {
        output::line("no event is in it: none meets --from, --to and --filter")?;
    }
    if answer.payloads_erased > 0 {
        output::line(&format!("{} payloads are not in it: they were erased", answer.payloads_erased))?;
    }
    output::line(&format!("check it: haris-verify {} --key VKEY (`haris status` shows the keys)", output.display()))
}

/// Exit code 1 when anything is not as it was written.
fn fsck(common: &Common) -> Result<ExitCode, Failure> {
    let answer = block_on(async {
        let office = Office::looking(&common.place).await?;
        let answer = office.ask::<CheckLedger>(&Value::Null).await;
        office.close().await?;
        answer
    })?;
    let clean = answer["clean"].as_bool().unwrap_or(false);
    if json(common) {
        output::json(&answer)?;
        return Ok(ExitCode::from(u8::from(!clean)));
    }
    for log in answer["logs"].as_array().into_iter().flatten() {
        output::line(&format!(
            "{}: {} events, {} sealed, {} checkpoints",
            text(&log["log"]),
            log["size"],
            log["sealed"],
            log["checkpoints"]
        ))?;
        for (what, title) in [
            ("gaps", "events are missing"),
            ("repeated", "numbers used twice"),
            ("clock_steps", "clock steps"),
            ("unclean_stops", "stops that nobody announced"),
            ("downtime", "times without a process"),
            ("strays", "events of a start that cannot have written them"),
            ("changes", "changed binary or configuration"),
        ] {
            for one in log["findings"][what].as_array().into_iter().flatten() {
                output::line(&format!("  {title}: {}", text(one)))?;
            }
        }
    }
    let (payloads, terms) = (&answer["payloads"], &answer["search_terms"]);
    output::line(&format!(
        "payloads: {} opened, {} not stored, {} erased, {} cannot be opened",
        payloads["opened"], payloads["not_stored"], payloads["erased"], payloads["unreadable"]
    ))?;
    output::line(&format!("search terms: those of {} events derived anew", terms["checked"]))?;
    for (count, what) in [
        (&terms["unchecked"], "events have search terms that cannot be derived: their identifiers do not open"),
        (
            &payloads["events_unknown"],
            "events are of kinds that this version does not know: their payloads were not looked at",
        ),
    ] {
        if count.as_u64().is_some_and(|count| count > 0) {
            output::line(&format!("not checked: {count} {what}"))?;
        }
    }
    for problem in answer["problems"].as_array().into_iter().flatten() {
        let place = match (problem["log"].as_str(), problem["index"].as_u64()) {
            (Some(log), Some(index)) => format!("entry {index} of the {log} log: "),
            (Some(log), None) => format!("the {log} log: "),
            _ => String::new(),
        };
        output::line(&format!("WRONG {place}{}: {}", text(&problem["what"]), text(&problem["why"])))?;
    }
    if answer["problems_not_listed"].as_u64().is_some_and(|count| count > 0) {
        output::line(&format!("and {} more like these", answer["problems_not_listed"]))?;
    }
    if let (Some(log), Some(index)) = (answer["first_wrong"]["log"].as_str(), answer["first_wrong"]["index"].as_u64()) {
        output::line(&format!("the first wrong entry is {index} of the {log} log"))?;
    }
    output::line(if clean {
        "everything is as it was written"
    } else {
        "the ledger is damaged: restore from a backup"
    })?;
    Ok(ExitCode::from(u8::from(!clean)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evidence.zip");
        std::fs::write(&path, "the one before").unwrap();
        drop(Target::open(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"the one before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-made stays");
    }

    #[test]
    fn a_whole_bundle_takes_the_place_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (made, path) = (folder.path().join("made"), folder.path().join("evidence.zip"));
        std::fs::write(&made, "new").unwrap();
        std::fs::write(&path, "the one before").unwrap();
        let mut target = Target::open(&path).unwrap();
        target.fill(&made).unwrap();
        target.keep().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_file_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Target::open(folder.path()).err().unwrap().message.contains("is a directory"));
        // A socket stands for pipes and devices: there is nothing to put in its place.
        let path = folder.path().join("other");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(Target::open(&path));
        assert!(path.exists());
    }
}
