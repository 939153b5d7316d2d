//! `haris status`: how everything is, and what needs attention.

use std::process::ExitCode;

use haris_operations::{ShowStatus, StatusAnswer};
use serde_json::Value;

use crate::output::{self, Format};
use crate::remote::{Office, block_on};
use crate::{Failure, Place};

/// `haris status`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// How to print [default: table on a terminal].
    #[arg(long)]
    format: Option<Format>,
}

/// Exit code 1 when requests are not served at this moment.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let status = block_on(async {
        let office = Office::server(&arguments.place).await?;
        office.ask::<ShowStatus>(&Value::Null).await
    })?;
    if Format::or_by_terminal(arguments.format) == Format::Json {
        output::json(&status)?;
    } else {
        print(&status)?;
    }
    Ok(ExitCode::from(u8::from(!status.ready)))
}

fn print(status: &StatusAnswer) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut row = |what: &str, value: String| rows.push([what.to_owned(), value]);
    row("ready", if status.ready { "yes" } else { "no" }.to_owned());
    if let Some(gateway) = &status.gateway {
        row("gateway", gateway.url.clone());
        row("upstreams", gateway.upstreams.join(", "));
        row("callers", gateway.callers.to_string());
        row(
            "requests",
            format!(
                "{} decided, {} redacted, {} blocked, {} refused, {} in flight",
                gateway.requests, gateway.redacted, gateway.blocked, gateway.refused, gateway.in_flight
            ),
        );
        row("policy", gateway.policy.clone());
        row("rules", format!("{} {}", gateway.engine, gateway.rules));
    }
    for spool in &status.spool {
        let health = if spool.healthy { "accepts events" } else { "REFUSES EVENTS" };
        row(
            "spool",
            format!("{health}; {} wait to be shipped; last sync {} µs", spool.unshipped_records, spool.sync_us_last),
        );
    }
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    row(
        "disk",
        format!("{} of {} free under {}", gib(status.disk.free_bytes), gib(status.disk.total_bytes), status.disk.path),
    );
    row("ledger", format!("{}, {} holds", status.ledger.engine, status.ledger.holds));
    for log in &status.ledger.logs {
        let sealed = log.sealed_at.as_deref().unwrap_or("never");
        row(&log.log, format!("{} events, {} sealed, last {sealed}", log.size, log.sealed));
        for key in &log.verifier_keys {
            row("verify with", abbreviated(key));
        }
    }
    row("receipts", format!("verify with {}", status.ledger.receipt_key));
    if let Some(witnesses) = &status.witnesses {
        let state = if witnesses.lagging { "LAGGING" } else { "cosign" };
        let (quorum, age, most) = (witnesses.quorum, witnesses.age_seconds, witnesses.max_age_seconds);
        row("witnesses", format!("{state}; {quorum} of them {age} s ago, at most {most} s are allowed"));
        for one in &witnesses.witnesses {
            let size = |size: Option<u64>| size.map_or_else(|| "none".to_owned(), |size| size.to_string());
            let last = one.last_at.as_deref().unwrap_or("never since the start");
            let (evidence, traffic) = (size(one.evidence), size(one.traffic));
            row(&one.name, format!("{evidence} entries of evidence, {traffic} of traffic, last {last}"));
        }
    }
    if let Some(anchors) = &status.anchors {
        let last = anchors.last_at.as_deref().unwrap_or("never since the start");
        row("anchors", format!("{} written, last {last}", anchors.written));
    }
    for finding in &status.continuity {
        row("continuity", finding.clone());
    }
    output::table(["STATUS", ""], &rows)?;
    for need in &status.attention {
        output::line(&format!("! {need}"))?;
    }
    Ok(())
}

/// An ML-DSA key has 1,800 characters: a table shows where it begins, JSON all of it.
fn abbreviated(key: &str) -> String {
    const SHOWN: usize = 160;
    if key.len() <= SHOWN {
        return key.to_owned();
    }
    let start: String = key.chars().take(SHOWN / 2).collect();
    format!("{start}… (--format json shows it whole)")
}
