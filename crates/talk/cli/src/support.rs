//! `haris support-bundle`: how everything is, in one file that may leave the bank: no text, no secret, nobody's name.
//!
//! It is JSON, so that whoever sends it can read it first. It works without a server as well, and on an installation that
//! does not open: it changes nothing, and each part that cannot be had says why.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use haris_operations::{AlertsInput, CheckLedger, EventsInput, ListAlerts, ListEvents, Operation, ShowStatus};
use haris_store::{SCHEMA_VERSION, Schema};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::home::{Folders, binary_digest, clock};
use crate::remote::{Office, block_on};
use crate::target::Target;
use crate::{Failure, Place};

mod lines;
mod machine;

/// Kinds of which the newest events go along: what became of the installation. Their leaves name nobody; what was asked of
/// models, by whom and about whom is in none of them.
const KINDS: [&str; 6] = ["process.*", "config.*", "policy.*", "alert.*", "disk.*", "witness.*"];
/// Of each kind.
const EVENTS_MAX: usize = 50;
/// `/metrics` answers at once, or something is wrong that the bundle should say.
const METRICS_WAIT: Duration = Duration::from_secs(10);

/// `haris support-bundle`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to write it.
    #[arg(long, short, value_name = "FILE", default_value = "haris-support.json")]
    output: PathBuf,
    /// What the service manager kept of the server's log, `-` for standard input; its newest lines go along.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Leave out the ledger's check of itself, which reads everything.
    #[arg(long)]
    no_fsck: bool,
    #[command(flatten)]
    place: Place,
}

/// Exit code 1 when a part could not be had; what is there is written all the same.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let folders = Folders::of(&arguments.place)?;
    let config = Config::read(arguments.place.config.as_deref());
    // Before anything that takes long: a file that cannot be written or read is found out now.
    let mut target = Target::open(&arguments.output)?;
    let lines = arguments.log.as_deref().map(lines::newest).transpose()?;
    let (asked, schema, metrics) = block_on(async {
        Ok((asked(arguments, config.is_ok()).await, schema(&config, &folders).await, metrics(&folders).await))
    })?;
    let bundle = json!({
        "schema": "haris.support-bundle/1",
        "made_at": clock().to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "binary": part(binary_digest().map(|digest| digest.to_string())),
        "machine": machine::facts(&folders.data),
        "config": configuration(&config),
        "database": part(schema),
        "data": machine::files(&folders.data),
        "keys": machine::mode(&folders.keys),
        "answers": asked,
        "metrics": part(metrics),
        "log": lines,
    });
    let text = serde_json::to_string_pretty(&bundle).map_err(|error| Failure::because("output", &error))?;
    let text = without_places(text, &folders);
    target.write(format!("{text}\n").as_bytes())?;
    target.keep()?;
    // On stderr: the bundle itself may go to standard output.
    let mut said = anstream::stderr().lock();
    let name = arguments.output.display();
    writeln!(said, "{name} holds no texts, no secrets and nobody's name; read it before you send it")?;
    let lacking = missing("", &bundle);
    if !lacking.is_empty() {
        writeln!(said, "not in it, and it says why: {}", lacking.join(", "))?;
    }
    Ok(ExitCode::from(u8::from(!lacking.is_empty())))
}

/// Where folders lie is nobody's concern, and a home directory has a person's name.
fn without_places(mut text: String, folders: &Folders) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let named = [(Some(&folders.data), "DATA"), (Some(&folders.keys), "KEYS"), (home.as_ref(), "HOME")];
    let absolute = named.into_iter().filter_map(|(path, name)| Some((std::path::absolute(path?).ok()?, name)));
    for (path, name) in absolute.filter(|(path, _)| path.components().count() > 1) {
        // As it stands in JSON.
        let path = Value::from(path.display().to_string()).to_string();
        text = text.replace(path.trim_matches('"'), name);
    }
    text
}

/// What could be had, or why not.
fn part<T: Serialize>(had: Result<T, Failure>) -> Value {
    match had {
        Ok(value) => serde_json::to_value(value).unwrap_or_else(|error| json!({ "error": error.to_string() })),
        Err(failure) => json!({ "error": lines::scrubbed(&failure.message) }),
    }
}

/// Where the bundle says `error` in place of what was asked for.
fn missing(path: &str, value: &Value) -> Vec<String> {
    let Value::Object(map) = value else { return Vec::new() };
    if map.len() == 1 && map.get("error").is_some_and(Value::is_string) {
        return vec![path.trim_start_matches('.').to_owned()];
    }
    map.iter().flat_map(|(key, value)| missing(&format!("{path}.{key}"), value)).collect()
}

/// What a running server says, or the installation itself when none runs.
async fn asked(arguments: &Arguments, configured: bool) -> Value {
    let office = match Office::looking(&arguments.place).await {
        Ok(office) => office,
        // What else would be said is where the mistake stands, and with it the line.
        Err(_) if !configured => return json!({ "error": NOT_CONFIGURED }),
        Err(failure) => return part::<()>(Err(failure)),
    };
    let mut events = serde_json::Map::new();
    for kind in KINDS {
        let filter = vec![format!("kind={kind}")];
        let input = EventsInput { filter, limit: Some(EVENTS_MAX), ..EventsInput::default() };
        let listed = office.ask::<ListEvents>(&input).await;
        events.insert(kind.to_owned(), part(listed.map(|answer| answer.events)));
    }
    let mut answers = json!({
        "by": if matches!(office, Office::Server(_)) { "a running server" } else { "the command: no server runs" },
        "status": ask::<ShowStatus>(&office, &Value::Null).await,
        "alerts": ask::<ListAlerts>(&office, &AlertsInput { all: true }).await,
        "events": events,
    });
    if !arguments.no_fsck {
        answers["fsck"] = ask::<CheckLedger>(&office, &Value::Null).await;
    }
    // Nothing was opened that would have to be told.
    let _ = office.close().await;
    answers
}

async fn ask<O: Operation>(office: &Office, input: &O::Input) -> Value {
    part(office.ask::<O>(input).await)
}

/// All that is said of a configuration that cannot be read.
const NOT_CONFIGURED: &str = "the configuration has a mistake, or cannot be read: `haris config check` says which";

/// What is in force. Of a file that cannot be read only that: the line with the mistake may hold what should not be there.
fn configuration(config: &Result<Config, Failure>) -> Value {
    match config {
        Ok(config) => {
            let mut in_force = config.effective();
            // What follows the program may be a token: a configuration should not hold one there, and may.
            if let Some(words) = in_force["alerts"]["command"].as_array_mut() {
                words.truncate(1);
            }
            json!({ "digest": config.digest().to_string(), "in_force": in_force })
        }
        Err(_) => json!({ "error": NOT_CONFIGURED }),
    }
}

async fn schema(config: &Result<Config, Failure>, folders: &Folders) -> Result<Value, Failure> {
    let Ok(config) = config else { return Err(Failure::usage("it is not known without the configuration")) };
    match Schema::of(&config.sql(&folders.data)?).await {
        Ok(Some(schema)) => Ok(json!({
            "engine": schema.engine.name(), "found": schema.found, "known": SCHEMA_VERSION, "pending": schema.pending,
        })),
        Ok(None) => Err(Failure::usage("there is none")),
        Err(error) => Err(Failure::because("storage", &error)),
    }
}

/// The page of `/metrics`, line by line.
async fn metrics(folders: &Folders) -> Result<Vec<String>, Failure> {
    let read = |name: PathBuf| std::fs::read_to_string(name).map(|text| text.trim().to_owned());
    let none = |_| Failure::usage("no server runs");
    let (address, token) =
        (read(folders.listen()).map_err(none)?, read(folders.data.join("metrics.token")).map_err(none)?);
    let failed = |error: reqwest::Error| Failure::because("/metrics", &error.without_url());
    let client = reqwest::Client::builder().no_proxy().timeout(METRICS_WAIT).build().map_err(failed)?;
    let page = client.get(format!("http://{address}/metrics")).bearer_auth(token).send().await;
    let page = page.and_then(reqwest::Response::error_for_status).map_err(failed)?.text().await.map_err(failed)?;
    Ok(page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_where_it_is() {
        let bundle = json!({ "a": { "error": "x" }, "b": { "error": "x", "more": 1 }, "c": { "d": { "error": "y" } } });
        assert_eq!(missing("", &bundle), ["a", "c.d"]);
    }
}
