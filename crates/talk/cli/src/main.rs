//! `haris`: the AI security officer's platform in one binary.
//!
//! Commands, configuration and wiring; no rules live here. A command that needs a running server
//! reaches it over the Unix socket in the data directory; most work without one as well.

mod alerts;
mod callers;
mod compile;
mod config;
mod country;
mod disk;
mod door;
mod events;
mod guard;
mod home;
mod inspect;
mod interrupted;
mod ledger;
mod manager;
mod manual;
mod metrics;
mod migrate;
mod newcomer;
mod output;
mod people;
mod progress;
mod reload;
mod remote;
mod room;
mod scan;
mod serve;
mod settings;
mod status;
mod support;
mod tables;
mod target;
mod watching;
mod why;
mod witness;
mod witnesses;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use haris_domain::Digest;
use haris_operations::{Refusal, RefusalCode};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Guards a bank's AI and proves that it did.
#[derive(Parser)]
#[command(name = "haris", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Gateway and administration socket, on embedded storage unless the config names a database.
    Serve(serve::Arguments),
    /// Text on stdin or in files: what is in it, and the verdict.
    Inspect(inspect::InspectArgs),
    /// Model files and folders: what is in them, and the verdict; nothing is executed.
    Scan(scan::Arguments),
    /// Checks an evidence bundle, or a proof, offline.
    #[command(disable_help_flag = true)]
    Verify {
        /// What `haris-verify` takes; `haris verify --help` lists it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// How gateway, spool, disk and ledger are, and what needs attention.
    Status(status::Arguments),
    /// What needs a person, and who took notice.
    Alerts(alerts::Arguments),
    /// Decisions and other events, as they happen or by id.
    Events(events::Arguments),
    /// Why a request of yours was stopped or changed; asks with your own key.
    Why(why::Arguments),
    /// Applications that may use the gateway.
    #[command(subcommand)]
    Callers(callers::Command),
    /// Who has an account, and the way back in for somebody who lost theirs.
    #[command(subcommand)]
    People(people::Command),
    /// Changes that wait for a second person.
    #[command(subcommand)]
    Approvals(people::ApprovalsCommand),
    /// Room on the disk, and the way out when there is none.
    Disk(disk::Arguments),
    /// Evidence, erasure, legal holds, and the ledger's check of itself.
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Upkeep of the database: its schema, and the tables that fold from the ledger.
    #[command(subcommand)]
    Db(tables::Command),
    /// How everything is, in one file that may leave the bank: no texts, no secrets, nobody's name.
    SupportBundle(support::Arguments),
    /// Cosigns checkpoints of other installations; runs apart from them.
    Witness(witness::Arguments),
    /// Reading a configuration without starting anything.
    #[command(subcommand)]
    Config(settings::Command),
    /// A shell's completion script.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Manual pages, one for each command.
    Manual {
        /// The folder that they are written to.
        folder: PathBuf,
    },
}

/// Where an installation keeps its data and keys.
#[derive(clap::Args, Clone)]
struct Place {
    /// Data directory [default: haris in the user's data folder].
    #[arg(long, env = "HARIS_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Key directory, apart from the data [default: haris-keys beside the default data directory].
    #[arg(long, env = "HARIS_KEYS", value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Configuration file.
    #[arg(long, env = "HARIS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// A command that did not do what was asked: said on stderr, and in the exit code.
#[derive(Debug)]
struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Bad usage or unreadable input: exit code 2.
    fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// Something did not work, with all that led to it.
    fn because(what: &str, error: &dyn std::error::Error) -> Self {
        let mut message = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self { message, code: 2 }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = if matches!(refusal.code, RefusalCode::Conflict | RefusalCode::Waiting) { 1 } else { 2 };
        Self { message: refusal.message, code }
    }
}

impl From<std::io::Error> for Failure {
    /// Only printing reaches this: every other place says what it was doing.
    fn from(error: std::io::Error) -> Self {
        // Whoever read our output has had enough, as `head` does.
        let code = if error.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { 2 };
        Self { message: format!("could not write the output: {error}"), code }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(failure) => {
            if failure.code != 0 {
                let _ = writeln!(anstream::stderr(), "haris: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(arguments) => serve::run(arguments)?,
        Command::Inspect(arguments) => return Ok(inspect::run(&arguments)),
        Command::Scan(arguments) => return scan::run(&arguments),
        Command::Verify { arguments } => return Ok(verify(arguments)),
        Command::Status(arguments) => return status::run(arguments),
        Command::Alerts(arguments) => return alerts::run(arguments),
        Command::Events(arguments) => events::run(arguments)?,
        Command::Why(arguments) => why::run(arguments)?,
        Command::Callers(command) => callers::run(command)?,
        Command::People(command) => people::run(command)?,
        Command::Approvals(command) => people::run_approvals(command)?,
        Command::Disk(arguments) => return disk::run(arguments),
        Command::Ledger(command) => return ledger::run(command),
        Command::Config(command) => return settings::run(command),
        Command::Db(command) => return tables::run(command),
        Command::SupportBundle(arguments) => return support::run(&arguments),
        Command::Witness(arguments) => witness::run(arguments)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "haris", &mut script);
            anstream::stdout().write_all(&script)?;
        }
        Command::Manual { folder } => manual::run(&folder)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(arguments: Vec<std::ffi::OsString>) -> ExitCode {
    let code = haris_verify::cli::main_with(arguments, &mut std::io::stdout(), &mut std::io::stderr());
    ExitCode::from(u8::try_from(code).unwrap_or(2))
}

/// SHA-256.
fn sha256(bytes: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    Digest(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
