//! `/metrics` in Prometheus's text form, and who may read it.
//!
//! On the gateway's own address it takes the bearer token in `DATA/metrics.token`: what is counted tells an outsider when
//! the guard is weak. A second address, on loopback, may serve it without. Labels come from our own words and from the
//! configuration, never from a request: nobody can make their number grow.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use haris_domain::Histogram;
use haris_domain::histogram::BOUNDS_US;
use haris_gateway::{Counters, Upstreams};
use haris_operations::{ALERTS, Context, Operation as _, ShowStatus, StatusAnswer};
use haris_store::is_no_room;

use crate::Failure;
use crate::guard::Guard;
use crate::home::{Folders, write_private};

/// What the endpoint reads.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) context: Context,
    pub(crate) guard: Arc<Guard>,
    /// None where no token is asked for.
    pub(crate) token: Option<Arc<str>>,
}

/// The token of this installation, made at the first start.
pub(crate) fn token(folders: &Folders) -> Result<Arc<str>, Failure> {
    let path = folders.data.join("metrics.token");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 32 => Ok(text.trim().into()),
        _ => {
            let mut random = [0; 32];
            aws_lc_rs::rand::fill(&mut random).expect("the system's random generator is initialised");
            let token = hex::encode(random);
            match write_private(&path, &format!("{token}\n")) {
                Ok(()) => Ok(token.into()),
                // Nobody reads the page by it until a start finds room, and whoever has to make room is let in.
                Err(error) if is_no_room(&error) => {
                    tracing::error!(%error, path = %path.display(), "no room for the token of /metrics");
                    Ok(token.into())
                }
                Err(error) => Err(Failure::because(&format!("could not write {}", path.display()), &error)),
            }
        }
    }
}

pub(crate) fn router(metrics: Metrics) -> axum::Router {
    axum::Router::new().route("/metrics", get(answer)).with_state(metrics)
}

async fn answer(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    if let Some(token) = &metrics.token {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        // Compared in constant time: the reply's time is visible.
        if aws_lc_rs::constant_time::verify_slices_are_equal(given.trim().as_bytes(), token.as_bytes()).is_err() {
            return (StatusCode::UNAUTHORIZED, "give the token in DATA/metrics.token as bearer token\n")
                .into_response();
        }
    }
    let actor = haris_domain::Actor::service("metrics");
    match ShowStatus::run(&metrics.context, &actor, serde_json::Value::Null).await {
        Ok(status) => {
            let text = text(&status, &metrics);
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
    }
}

/// Writes families one after another.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP haris_{name} {help}\n# TYPE haris_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "haris_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Histogram) {
        self.family(name, "histogram", help);
        let seen = times.snapshot();
        for (bound, count) in BOUNDS_US.iter().zip(seen.at_most) {
            self.sample(&format!("{name}_bucket"), &[("le", &seconds(*bound))], count);
        }
        self.sample(&format!("{name}_bucket"), &[("le", "+Inf")], seen.count);
        self.sample(&format!("{name}_sum"), &[], seconds(seen.sum_us));
        self.sample(&format!("{name}_count"), &[], seen.count);
    }
}

fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Backslash, quote and line end, as the text form wants them.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn text(status: &StatusAnswer, metrics: &Metrics) -> String {
    let mut page = Page::default();
    let version = env!("CARGO_PKG_VERSION");
    page.family("build_info", "gauge", "Always 1; the version as a label.");
    page.sample("build_info", &[("version", version)], 1);
    page.one("ready", "gauge", "1 while requests are served.", u8::from(status.ready));
    gateway(&mut page, &metrics.guard.counters, &metrics.guard.rules.load().upstreams);
    spools(&mut page, status, metrics);
    ledger(&mut page, status);
    witnesses(&mut page, status);
    page.one("disk_free_bytes", "gauge", "Free on the file system of the data directory.", status.disk.free_bytes);
    page.one("disk_total_bytes", "gauge", "Size of that file system.", status.disk.total_bytes);
    page.one("disk_reserve_bytes", "gauge", "Set aside for operators on a full disk.", status.disk.reserve_bytes);
    page.family("alert", "gauge", "1 while the alert's condition holds or nobody acknowledged it.");
    for alert in ALERTS {
        let open = status.alerts.iter().any(|one| one.alert == alert.id);
        page.sample("alert", &[("alert", alert.id), ("severity", alert.severity.name())], u8::from(open));
    }
    page.0
}

fn gateway(page: &mut Page, counters: &Counters, upstreams: &Upstreams) {
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    page.family("requests_total", "counter", "Requests decided on, by their own verdict.");
    for (verdict, count) in ["allow", "observe", "redact", "block"].into_iter().zip(&counters.verdicts) {
        page.sample("requests_total", &[("verdict", verdict)], read(count));
    }
    page.family("exchanges_total", "counter", "Requests redacted or blocked, in the question or in the answer.");
    page.sample("exchanges_total", &[("outcome", "redacted")], read(&counters.redacted));
    page.sample("exchanges_total", &[("outcome", "blocked")], read(&counters.blocked));
    page.family("requests_refused_total", "counter", "Requests refused before inspection, by status.");
    for (status, count) in counters.refusals.iter() {
        page.sample("requests_refused_total", &[("status", &status.to_string())], count);
    }
    page.family("upstream_errors_total", "counter", "Exchanges whose upstream failed, since it was configured.");
    for (upstream, count) in upstreams.failures() {
        page.sample("upstream_errors_total", &[("upstream", upstream)], count);
    }
    let refused = read(&counters.audit_refused);
    page.one("audit_refused_total", "counter", "Requests turned away for want of a durable event.", refused);
    page.one("unrecorded_total", "counter", "Traffic passed without a durable event.", read(&counters.unaudited));
    page.one("requests_in_flight", "gauge", "Requests in the gateway.", read(&counters.in_flight));
    page.one("connections", "gauge", "Open connections.", read(&counters.connections));
    page.histogram("decision_seconds", "From a request's headers to its decision on disk.", &counters.decided);
    page.histogram("first_byte_seconds", "From the same to the upstream's first byte.", &counters.first_byte);
    page.histogram("exchange_seconds", "From the same to the answer's event on disk.", &counters.total);
}

fn spools(page: &mut Page, status: &StatusAnswer, metrics: &Metrics) {
    let total = |count: fn(&haris_operations::SpoolAnswer) -> u64| status.spool.iter().map(count).sum::<u64>();
    page.one(
        "spool_healthy",
        "gauge",
        "1 while events are accepted.",
        u8::from(status.spool.iter().all(|one| one.healthy)),
    );
    page.one("spool_records", "gauge", "Durable events not in the ledger yet.", total(|one| one.unshipped_records));
    page.one("spool_bytes", "gauge", "Bytes of the same.", total(|one| one.unshipped_bytes));
    page.one("spool_events_total", "counter", "Events made durable since the start.", total(|one| one.durable_events));
    if let Some((_, spool)) = metrics.context.spools.first() {
        page.histogram("spool_sync_seconds", "Write and fdatasync of a group of events.", spool.sync_times());
    }
}

fn ledger(page: &mut Page, status: &StatusAnswer) {
    page.family("log_entries", "gauge", "Entries on record, by log.");
    for log in &status.ledger.logs {
        page.sample("log_entries", &[("log", &log.log)], log.size);
    }
    page.family("log_sealed", "gauge", "Entries under a signed checkpoint, by log.");
    for log in &status.ledger.logs {
        page.sample("log_sealed", &[("log", &log.log)], log.sealed);
    }
    page.family("seal_lag_seconds", "gauge", "How long entries have waited for their seal, by log.");
    for log in &status.ledger.logs {
        page.sample("seal_lag_seconds", &[("log", &log.log)], log.seal_lag_seconds);
    }
}

fn witnesses(page: &mut Page, status: &StatusAnswer) {
    let Some(witnesses) = &status.witnesses else { return };
    let age = witnesses.age_seconds;
    page.one("witness_age_seconds", "gauge", "How old the newest cosignature of a quorum is.", age);
    page.one("witness_lagging", "gauge", "1 while that is older than allowed.", u8::from(witnesses.lagging));
    page.family("witness_cosigned", "gauge", "Entries that each witness has cosigned, by log.");
    for one in &witnesses.witnesses {
        for (log, size) in [("evidence", one.evidence), ("traffic", one.traffic)] {
            page.sample("witness_cosigned", &[("witness", &one.name), ("log", log)], size.unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_text_form() {
        let mut page = Page::default();
        let times = Histogram::default();
        times.note_us(150);
        times.note_us(200_000_000);
        page.one("ready", "gauge", "Help.", 1);
        page.sample("x", &[("upstream", "a\"b\\c\nd")], 2);
        page.histogram("t_seconds", "Help.", &times);
        let text = page.0;
        assert!(text.starts_with("# HELP haris_ready Help.\n# TYPE haris_ready gauge\nharis_ready 1\n"), "{text}");
        assert!(text.contains("haris_x{upstream=\"a\\\"b\\\\c\\nd\"} 2\n"), "{text}");
        assert!(
            text.contains("haris_t_seconds_bucket{le=\"0.0001\"} 0\nharis_t_seconds_bucket{le=\"0.00025\"} 1\n"),
            "{text}"
        );
        assert!(text.contains(
            "haris_t_seconds_bucket{le=\"+Inf\"} 2\nharis_t_seconds_sum 200.00015\nharis_t_seconds_count 2\n"
        ));
    }
}
