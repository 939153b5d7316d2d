//! `haris callers`: applications that may use the gateway.

use haris_operations::{AddCaller, AddCallerInput, CallerAnswer, ListCallers, RevokeCaller, RevokeCallerInput};
use serde_json::Value;

use crate::output::{self, Format};
use crate::remote::{ask_any, ask_looking, block_on};
use crate::{Failure, Place};

/// `haris callers`.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Issues a key to an application; it is shown this once.
    Add {
        /// The application's name: letters, digits, `-`, `_`, `.`.
        name: String,
        /// Patterns of the models it may use, separated by commas [default: all].
        #[arg(long, value_delimiter = ',', value_name = "MODEL")]
        models: Vec<String>,
        /// For how long the key is accepted, in days: `90d` [default: until revoked].
        #[arg(long, value_name = "DAYS", value_parser = days)]
        expires: Option<u32>,
        /// Who answers for it; kept encrypted.
        #[arg(long)]
        owner: Option<String>,
        #[command(flatten)]
        place: Place,
        /// How to print [default: the key on the last line].
        #[arg(long)]
        format: Option<Format>,
    },
    /// Lists callers, revoked ones included.
    List {
        #[command(flatten)]
        place: Place,
        /// How to print [default: table on a terminal].
        #[arg(long)]
        format: Option<Format>,
    },
    /// Stops accepting an application's key, at once.
    Revoke {
        /// The caller's name or id.
        caller: String,
        #[command(flatten)]
        place: Place,
        /// How to print [default: table on a terminal].
        #[arg(long)]
        format: Option<Format>,
    },
}

/// `90d`, `12w` or `90`.
fn days(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix('w') {
        Some(weeks) => (weeks, 7),
        None => (text.strip_suffix('d').unwrap_or(text), 1),
    };
    let days = number.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).filter(|days| (1..=36_500).contains(days));
    days.ok_or_else(|| "write a number of days from 1 to 36500, like 90d".to_owned())
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { name, models, expires, owner, place, format } => {
            let input = AddCallerInput { name, models, expires_days: expires, owner };
            let added = block_on(ask_any::<AddCaller>(&place, &input))?;
            if format == Some(Format::Json) {
                return output::json(&added);
            }
            output::line(&describe(&added.caller))?;
            output::line("Its key, shown this once:")?;
            output::line(&added.key)
        }
        Command::List { place, format } => {
            let answer = block_on(ask_looking::<ListCallers>(&place, &Value::Null))?;
            if Format::or_by_terminal(format) == Format::Json {
                return output::json(&answer);
            }
            if answer.callers.is_empty() {
                return output::line("No application has a key yet: `haris callers add NAME` issues one.");
            }
            let rows: Vec<_> = answer.callers.iter().map(row).collect();
            output::table(["NAME", "ID", "MODELS", "ISSUED", "EXPIRES", "STATE", "OWNER"], &rows)
        }
        Command::Revoke { caller, place, format } => {
            let revoked = block_on(ask_any::<RevokeCaller>(&place, &RevokeCallerInput { caller }))?;
            if Format::or_by_terminal(format) == Format::Json {
                return output::json(&revoked);
            }
            let caller = revoked.caller;
            output::line(&format!("{} ({}) is revoked: its key is refused from now on", caller.name, caller.id))
        }
    }
}

fn describe(caller: &CallerAnswer) -> String {
    let expires = caller.expires.as_ref().map_or_else(|| "until revoked".to_owned(), |at| format!("until {at}"));
    format!("{} ({}) may use {} {expires}.", caller.name, caller.id, caller.models.join(", "))
}

fn row(caller: &CallerAnswer) -> [String; 7] {
    let second = |at: &str| at.get(..19).unwrap_or(at).to_owned();
    let state = match (&caller.revoked, caller.accepted) {
        (Some(_), _) => "revoked",
        (None, true) => "accepted",
        (None, false) => "expired",
    };
    [
        caller.name.clone(),
        caller.id.clone(),
        caller.models.join(","),
        second(&caller.issued),
        caller.expires.as_deref().map_or_else(|| "-".to_owned(), second),
        state.to_owned(),
        caller.owner.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_days() {
        assert_eq!(days("90d"), Ok(90));
        assert_eq!(days("2w"), Ok(14));
        assert_eq!(days("7"), Ok(7));
        for bad in ["", "d", "0d", "-1", "90m", "99999d", "9999999999w"] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }
}
