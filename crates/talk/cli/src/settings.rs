//! `haris config`: reading a configuration without starting anything.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::config::{Config, reference};
use crate::output::{self, Format};
use crate::{Failure, compile};

/// `haris config`.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Reads a file as a start would, and changes nothing.
    Check {
        #[command(flatten)]
        file: File,
        /// How to print [default: table on a terminal].
        #[arg(long)]
        format: Option<Format>,
    },
    /// Prints what would be in force, every default filled in.
    Show {
        #[command(flatten)]
        file: File,
        /// How to print: as TOML, or as JSON [default: TOML on a terminal].
        #[arg(long)]
        format: Option<Format>,
    },
    /// Prints what every setting means, in Markdown.
    Reference,
}

#[derive(clap::Args)]
pub(crate) struct File {
    /// Configuration file [default: none, which is a configuration too].
    #[arg(long, env = "HARIS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Check { file, format } => {
            let config = Config::read(file.config.as_deref())?;
            let rules = compile::rules(&config, &haris_text::Engine::new(), None)?;
            compile::rest(&config, None)?;
            let (upstreams, routes) = (rules.upstreams.iter().count(), rules.policy.routes().len());
            if Format::or_by_terminal(format) == Format::Json {
                output::json(&json!({
                    "schema": "haris.config-check/1", "config": config.digest().to_string(),
                    "policy": rules.policy.version(), "upstreams": upstreams, "routes": routes,
                }))?;
            } else {
                output::line(&format!("a start would accept it: {upstreams} upstreams, {routes} routes"))?;
            }
        }
        Command::Show { file, format } => {
            let config = Config::read(file.config.as_deref())?;
            let effective = config.effective();
            if Format::or_by_terminal(format) == Format::Json {
                output::json(&json!({
                    "schema": "haris.config/1", "digest": config.digest().to_string(), "config": effective,
                }))?;
            } else {
                let text = toml::to_string_pretty(&without_nulls(effective));
                output::line(text.map_err(|error| Failure::because("output", &error))?.trim_end())?;
            }
        }
        Command::Reference => {
            use std::io::Write as _;
            anstream::stdout().write_all(reference().as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// TOML knows no null: what is not set is not there.
fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        serde_json::Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        value => value,
    }
}
