//! `haris scan`: what is in model files, without running any of them.
//!
//! Works alone: no server, no configuration, no network.

mod sarif;
mod show;

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use haris_artifact::{Scanner, Verdict};
use haris_domain::Severity;
use haris_scan::{Artifact, Options, Waivers};
use time::OffsetDateTime;

use crate::Failure;
use crate::progress::Waiting;

/// Scan model files and folders; nothing in them is executed
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Files and folders; a folder that is one model is one artifact
    #[arg(required = true)]
    paths: Vec<PathBuf>,

    /// How to write the report [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Write the report to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Exit with 1 from this verdict, or this severity, on
    #[arg(long, value_enum, default_value_t = Threshold::Incomplete)]
    fail_on: Threshold,

    /// Show the decompiled call, what each finding means and what to do
    #[arg(long)]
    explain: bool,

    /// Accepted findings, by digest and rule; a file among what is scanned is ignored
    #[arg(long, value_name = "FILE")]
    waivers: Option<PathBuf>,

    /// Do not hash: faster, but no waiver applies
    #[arg(long)]
    no_digest: bool,

    /// Seconds that one artifact may take before it is incomplete
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Table,
    /// `haris.scan/1`
    Json,
    /// SARIF 2.1.0, for code scanning services
    Sarif,
}

/// From what on the exit code is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Threshold {
    Review,
    Incomplete,
    Blocked,
    Info,
    Low,
    Medium,
    High,
    Critical,
    Never,
}

impl Threshold {
    fn reached(self, artifact: &Artifact) -> bool {
        let severity = |least| {
            let open = artifact.findings.iter().filter(|(_, waiver)| waiver.is_none());
            open.map(|(finding, _)| finding.face.rule.severity).any(|severity| severity >= least)
        };
        match self {
            Self::Review => artifact.verdict >= Verdict::Review,
            Self::Incomplete => artifact.verdict >= Verdict::Incomplete,
            Self::Blocked => artifact.verdict >= Verdict::Blocked,
            Self::Info => severity(Severity::Info),
            Self::Low => severity(Severity::Low),
            Self::Medium => severity(Severity::Medium),
            Self::High => severity(Severity::High),
            Self::Critical => severity(Severity::Critical),
            Self::Never => false,
        }
    }
}

/// Scans and reports: 0 when nothing reaches the threshold, 1 when something does, 2 when a path cannot be read.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let waivers = match &arguments.waivers {
        Some(path) => waivers(path, &arguments.paths)?,
        None => Waivers::default(),
    };
    let options = Options {
        digest: !arguments.no_digest,
        time_max: Duration::from_secs(arguments.timeout),
        ..Options::default()
    };
    let scanner = Scanner::new(options.limits.clone());
    let mut artifacts: Vec<Artifact> = Vec::new();
    let mut unreadable = false;
    {
        let _waiting = Waiting::while_("scanning");
        for path in &arguments.paths {
            let outcome =
                haris_scan::scan(path, &scanner, &options, &waivers, &mut |artifact| artifacts.push(artifact));
            if let Err(error) = outcome {
                unreadable = true;
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                complain(&format!("{error}{cause}"));
            }
        }
    }
    let to_terminal = arguments.output.is_none() && io::stdout().is_terminal();
    let mut out: Box<dyn Write> = match &arguments.output {
        Some(path) => {
            let file = File::create(path)
                .map_err(|error| Failure::usage(format!("could not write `{}`: {error}", path.display())))?;
            Box::new(BufWriter::new(anstream::StripStream::new(file)))
        }
        None => Box::new(BufWriter::new(anstream::stdout())),
    };
    match arguments.format.unwrap_or(if to_terminal { Format::Table } else { Format::Json }) {
        Format::Table => show::table(&artifacts, arguments.explain, &mut out)?,
        Format::Json => json(&show::document(&artifacts, arguments.explain), &mut out)?,
        Format::Sarif => json(&sarif::document(&artifacts), &mut out)?,
    }
    out.flush()?;
    if unreadable {
        return Ok(ExitCode::from(2));
    }
    Ok(ExitCode::from(u8::from(artifacts.iter().any(|artifact| arguments.fail_on.reached(artifact)))))
}

/// Reads the waiver file, unless it came with what is scanned: then the artifact would waive itself.
fn waivers(path: &Path, scanned: &[PathBuf]) -> Result<Waivers, Failure> {
    let bad = |error: io::Error| Failure::usage(format!("could not read `{}`: {error}", path.display()));
    let real = fs::canonicalize(path).map_err(bad)?;
    let among = scanned.iter().filter_map(|scanned| fs::canonicalize(scanned).ok()).any(|scanned| {
        let folder = if scanned.is_dir() { scanned } else { scanned.parent().map(Path::to_owned).unwrap_or_default() };
        real.starts_with(folder)
    });
    if among {
        complain(&format!("`{}` lies among what is scanned and is ignored; keep waivers elsewhere", path.display()));
        return Ok(Waivers::default());
    }
    let text = fs::read_to_string(path).map_err(bad)?;
    let waivers = Waivers::parse(&text, OffsetDateTime::now_utc())
        .map_err(|error| Failure::because(&format!("`{}`", path.display()), &error))?;
    if waivers.expired > 0 {
        complain(&format!("{} waivers of `{}` have expired", waivers.expired, path.display()));
    }
    Ok(waivers)
}

fn json(document: &serde_json::Value, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    writeln!(out)
}

fn complain(message: &str) {
    let _ = writeln!(anstream::stderr(), "haris: {message}");
}
