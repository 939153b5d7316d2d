//! `haris witness`: cosigns checkpoints of other installations.
//!
//! It shares nothing with an installation: a data directory, keys and an address of its own, and no database.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use haris_keys::witness_signers;
use haris_merkle::VerifierKey;
use haris_witness::{LogFace, Watched, Witness};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::Failure;
use crate::output::{self, Format};
use crate::serve::{log_to_stderr, stop_signal};

/// Where a witness listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:8788";
/// Nobody's configuration is longer, even with the keys of a thousand logs.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// `haris witness`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What it remembers; nobody else may use it.
    #[arg(long, env = "HARIS_WITNESS_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Its keys [default: DIR-keys beside the data].
    #[arg(long, env = "HARIS_WITNESS_KEYS", value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Its name in every cosignature, a URL without scheme; fixed at the first start.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A log to watch: its verifier key, or a file of keys, one a line. Repeatable.
    #[arg(long = "log", value_name = "KEY")]
    logs: Vec<String>,
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8788].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// A file that says the same: `name`, `listen`, `logs`, `ml_dsa`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Shows what it remembers, refused checkpoints included, and ends.
    #[arg(long)]
    show: bool,
    /// How to print what `--show` shows [default: table on a terminal].
    #[arg(long)]
    format: Option<Format>,
}

/// The file that `--config` names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    name: Option<String>,
    listen: Option<String>,
    logs: Vec<String>,
    /// ML-DSA-44 beside Ed25519; on unless turned off.
    ml_dsa: Option<bool>,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = read_config(arguments.config.as_deref())?;
    let watched = watched(arguments.logs.iter().chain(&config.logs))?;
    let keys = arguments.keys.clone().map_or_else(|| crate::home::beside(&arguments.data), Ok)?;
    if keys.starts_with(&arguments.data) {
        return Err(Failure::usage("the keys lie in the data directory: give another --keys"));
    }
    let name = name(&arguments.data, arguments.name.as_deref().or(config.name.as_deref()), !arguments.show)?;
    let signers = witness_signers(&keys, &name, config.ml_dsa.unwrap_or(true));
    let signers = signers.map_err(|error| Failure::because("keys", &error))?;
    let witness = Witness::open(&arguments.data, signers, watched);
    let witness = witness.map_err(|error| Failure::because("witness", &error))?;
    if arguments.show {
        return show(&witness, arguments.format);
    }
    log_to_stderr();
    let address = arguments.listen.as_deref().or(config.listen.as_deref()).unwrap_or(LISTEN).to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::because("could not start threads", &error))?;
    runtime.block_on(serve(&arguments.data, Arc::new(witness), &address))
}

async fn serve(data: &Path, witness: Arc<Witness>, address: &str) -> Result<(), Failure> {
    let stop = stop_signal()?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| Failure::because(&format!("could not listen on {address}"), &error))?;
    let address = listener.local_addr().map_err(|error| Failure::because("could not listen", &error))?;
    let listen = data.join("listen");
    let written = crate::home::write_private(&listen, &format!("{address}\n"));
    written.map_err(|error| Failure::because("could not write the address in use", &error))?;
    announce(&witness, &format!("http://{address}/"))?;
    haris_witnessing::serve(listener, witness, now, stop).await;
    let _ = std::fs::remove_file(listen);
    Ok(())
}

/// What an operator puts into `haris.toml`, and an auditor into a policy.
fn announce(witness: &Witness, url: &str) -> Result<(), Failure> {
    let keys: Vec<String> = witness.verifier_keys().map(ToString::to_string).collect();
    let name = witness.verifier_keys().next().map(VerifierKey::name).unwrap_or_default();
    let mut out = anstream::stdout().lock();
    writeln!(out, "witness: {url}")?;
    for log in witness.logs() {
        writeln!(out, "watches: {} ({} entries cosigned)", log.origin, log.size)?;
    }
    writeln!(out, "\nfor the haris.toml of what it watches:\n")?;
    writeln!(out, "[[witnesses]]\nname = \"{name}\"\nurl = \"{url}\"\nkeys = [")?;
    for key in &keys {
        writeln!(out, "    \"{key}\",")?;
    }
    writeln!(out, "]")?;
    out.flush()?;
    Ok(())
}

fn show(witness: &Witness, format: Option<Format>) -> Result<(), Failure> {
    let logs = witness.logs();
    if Format::or_by_terminal(format) == Format::Json {
        let keys: Vec<String> = witness.verifier_keys().map(ToString::to_string).collect();
        return output::json(&serde_json::json!({ "schema": "haris.witness/1", "keys": keys, "logs": logs }));
    }
    let time = |at: u64| haris_verify::moment::format_seconds(at);
    let face = |log: &LogFace| {
        let at = log.at.map_or_else(|| "never".to_owned(), time);
        [log.origin.clone(), log.size.to_string(), at, log.refused.len().to_string()]
    };
    output::table(["LOG", "ENTRIES", "COSIGNED", "REFUSED"], &logs.iter().map(face).collect::<Vec<_>>())?;
    for log in &logs {
        for refused in &log.refused {
            let (at, why) = (time(refused.at), refused.why.tells());
            output::line(&format!(
                "! {} {at}: a signed checkpoint of {} entries, when {} were cosigned: {why}",
                log.origin, refused.size, refused.cosigned
            ))?;
        }
    }
    Ok(())
}

fn read_config(path: Option<&Path>) -> Result<Config, Failure> {
    let Some(path) = path else { return Ok(Config::default()) };
    let text = small_file(path)?;
    toml::from_str(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn small_file(path: &Path) -> Result<String, Failure> {
    let failed = |why: String| Failure::usage(format!("could not read {}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if length > CONFIG_BYTES_MAX {
        return Err(failed(format!("it has {length} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

/// Keys of one origin are one log.
fn watched<'a>(given: impl Iterator<Item = &'a String>) -> Result<Vec<Watched>, Failure> {
    let mut logs: Vec<Watched> = Vec::new();
    for text in given {
        let is_key = text.split('+').count() >= 3 && !Path::new(text).exists();
        let lines = if is_key { text.clone() } else { small_file(Path::new(text))? };
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let key: VerifierKey =
                line.parse().map_err(|error: haris_merkle::key::BadKey| Failure::because("--log", &error))?;
            match logs.iter_mut().find(|log| log.keys[0].name() == key.name()) {
                Some(log) if log.keys.contains(&key) => {}
                Some(log) => log.keys.push(key),
                None => logs.push(Watched { keys: vec![key] }),
            }
        }
    }
    if logs.is_empty() {
        return Err(Failure::usage("give the verifier key of each log to watch with --log; `haris status` prints it"));
    }
    Ok(logs)
}

/// The name under which this witness signs. It is in every cosignature and policy, so it cannot change later.
fn name(data: &Path, given: Option<&str>, make: bool) -> Result<String, Failure> {
    let path = data.join("name");
    let failed = |error: std::io::Error| Failure::because(&format!("could not use {}", path.display()), &error);
    match (std::fs::read_to_string(&path), given) {
        (Ok(known), Some(given)) if known.trim() != given => Err(Failure::usage(format!(
            "this witness is called `{}`: its cosignatures would be worth nothing under another name",
            known.trim()
        ))),
        (Ok(known), _) => Ok(known.trim().to_owned()),
        (Err(error), Some(given)) if error.kind() == std::io::ErrorKind::NotFound && make => {
            let dir =
                std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700).create(data);
            dir.map_err(failed)?;
            crate::home::write_private(&path, given).map_err(failed)?;
            Ok(given.to_owned())
        }
        (Err(error), None) if error.kind() == std::io::ErrorKind::NotFound && make => Err(Failure::usage(
            "give the witness a --name, a URL without scheme such as witness.example.org/w1: it is in every cosignature",
        )),
        (Err(error), _) => Err(failed(error)),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
