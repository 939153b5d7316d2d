//! The page that is read in ten seconds: what passed, what was stopped, what needs a person.

use axum::extract::{Query, State};
use axum::response::Response;
use haris_access::Session;
use haris_domain::Timestamp;
use haris_figure::{Bar, Bars, Part};
use haris_operations::{Refusal, ShowStatus, StatusAnswer};
use haris_register::{By, HourCount, traffic_hours, traffic_top};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use serde_json::Value;

use crate::door::In;
use crate::page::{bytes, moment, number};
use crate::{Console, page};

const HOUR_MICROS: i64 = 3_600_000_000;
const TOP: u32 = 6;

/// From the bottom of a bar up: what let pass first.
const PARTS: &[(&str, Part)] = &[
    ("allow", Part { name: "allowed", class: "fig-allow" }),
    ("observe", Part { name: "observed", class: "fig-observe" }),
    ("redact", Part { name: "redacted", class: "fig-redact" }),
    ("block", Part { name: "blocked", class: "fig-block" }),
    ("refuse", Part { name: "refused", class: "fig-refuse" }),
];

#[derive(Default, Deserialize)]
pub(crate) struct Period {
    #[serde(default)]
    period: String,
}

/// A period's name, its hours, and the hours of one bar.
const PERIODS: &[(&str, &str, i64, i64)] =
    &[("day", "24 hours", 24, 1), ("week", "7 days", 168, 6), ("month", "30 days", 720, 24)];

pub(crate) async fn show(State(console): State<Console>, In(session): In, Query(period): Query<Period>) -> Response {
    let period = PERIODS.iter().find(|one| one.0 == period.period).unwrap_or(&PERIODS[0]);
    match body(&console, &session, *period).await {
        Ok(body) => page::page(&session, "/", "Overview", body),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

async fn body(
    console: &Console,
    session: &Session,
    (name, shown, hours, hours_a_bar): (&str, &str, i64, i64),
) -> Result<Markup, Refusal> {
    let status = console.ask::<ShowStatus>(session, &Value::Null).await?;
    let now = console.context.now();
    let this_hour = now.micros().div_euclid(HOUR_MICROS);
    let first = this_hour - hours + 1;
    let from = Timestamp::from_micros(first * HOUR_MICROS);
    let (ledger, environment) = (&console.context.ledger, console.environment);
    let failed = |error| Refusal::internal(&error);
    let counts = traffic_hours(ledger, environment, from).await.map_err(failed)?;
    let rules = traffic_top(ledger, environment, By::Rule, from, TOP).await.map_err(failed)?;
    let callers = traffic_top(ledger, environment, By::Caller, from, TOP).await.map_err(failed)?;
    let names = console.names().await?;
    let sum = |verdict: &str| counts.iter().filter(|hour| hour.verdict == verdict).map(|hour| hour.count).sum::<u64>();
    let total: u64 = counts.iter().map(|hour| hour.count).sum();
    Ok(html! {
        (attention(&status))
        section.tiles aria-label="In short" {
            (tile("Requests", &number(total), shown, "/events"))
            (tile("Blocked", &number(sum("block")), &percent(sum("block"), total), "/events?verdict=block"))
            (tile("Redacted", &number(sum("redact")), &percent(sum("redact"), total), "/events?verdict=redact"))
            (tile("Refused", &number(sum("refuse")), "before inspection", "/events?kind=gw.request.refused/1"))
        }
        section.card {
            div.head {
                h2 { "Requests by verdict" }
                nav.pills aria-label="Period" {
                    @for (other, label, ..) in PERIODS {
                        a href={ "/?period=" (other) } aria-current=[(*other == name).then_some("true")] { (label) }
                    }
                }
            }
            @if total == 0 {
                (page::empty(
                    "No traffic in this time",
                    "Each request that passes the guard is counted here by what became of it. Point an application's base \
                     URL at Haris, with a key:",
                    Some("haris callers add mobile-app"),
                ))
            } @else {
                (figure(&counts, first, hours, hours_a_bar))
                ul.legend { @for (_, part) in PARTS { li { span.swatch.(part.class) {} (part.name) } } }
            }
        }
        div.columns {
            (top("Rules that found something", "rule", &rules, |rule| (rule.to_owned(), format!("/events?rule={}", page::encode(rule)))))
            (top("Callers", "caller", &callers, |actor| (names.of(actor).to_owned(), format!("/events?actor={}", page::encode(actor)))))
        }
        (health(&status))
    })
}

fn attention(status: &StatusAnswer) -> Markup {
    html! {
        @if status.attention.is_empty() {
            p.well { span aria-hidden="true" { "✓" } " Nothing needs you: the gateway serves, the ledger is sealed, the disk has room." }
        } @else {
            section.attention aria-label="Needs attention" {
                h2 { "Needs attention" }
                ul { @for text in &status.attention { li dir="auto" { (text) } } }
                p { a href="/alerts" { "See the alerts and what to do" } }
            }
        }
    }
}

fn tile(name: &str, value: &str, below: &str, to: &str) -> Markup {
    html! { a.tile href=(to) { span.name { (name) } span.value { (value) } span.below { (below) } } }
}

fn percent(part: u64, of: u64) -> String {
    match of {
        0 => "none yet".to_owned(),
        _ => format!("{:.1} % of all", u128::from(part) as f64 * 100.0 / of as f64),
    }
}

fn figure(counts: &[HourCount], first: i64, hours: i64, hours_a_bar: i64) -> Markup {
    let bars = (0..hours / hours_a_bar).map(|place| {
        let begin = first + place * hours_a_bar;
        let at = Timestamp::from_micros(begin * HOUR_MICROS).to_string();
        let label = if hours_a_bar == 1 { at.get(11..16) } else { at.get(5..10) };
        let values = PARTS.iter().map(|(verdict, _)| {
            let here = |hour: &&HourCount| {
                let hour_number = hour.hour.micros().div_euclid(HOUR_MICROS);
                hour.verdict == *verdict && (begin..begin + hours_a_bar).contains(&hour_number)
            };
            counts.iter().filter(here).map(|hour| hour.count).sum()
        });
        Bar { label: label.unwrap_or_default().to_owned(), values: values.collect() }
    });
    let bars: Vec<_> = bars.collect();
    let parts: Vec<_> = PARTS.iter().map(|(_, part)| *part).collect();
    PreEscaped(Bars { title: "Requests by verdict", parts: &parts, bars: &bars }.svg())
}

fn top(title: &str, what: &str, rows: &[(String, u64, u64)], face: impl Fn(&str) -> (String, String)) -> Markup {
    html! {
        section.card {
            h2 { (title) }
            @if rows.is_empty() { p.none { "None in this time." } }
            @else {
                div.scroll { table {
                    thead { tr { th scope="col" { (what) } th.number scope="col" { "requests" } th.number scope="col" { "stopped" } } }
                    tbody {
                        @for (name, total, stopped) in rows {
                            @let (shown, to) = face(name);
                            tr { td { a href=(to) dir="auto" { (shown) } } td.number { (number(*total)) } td.number { (number(*stopped)) } }
                        }
                    }
                } }
            }
        }
    }
}

fn health(status: &StatusAnswer) -> Markup {
    let witnesses = match &status.witnesses {
        None => "none configured".to_owned(),
        Some(_) => "configured".to_owned(),
    };
    html! {
        section.card {
            div.head { h2 { "Ledger and machine" } a href="/ledger" { "details" } }
            dl.facts {
                @for log in &status.ledger.logs {
                    dt { (log.log) }
                    dd { (number(log.sealed)) " of " (number(log.size)) " entries sealed"
                        @if let Some(at) = &log.sealed_at { ", last " (moment(at)) } }
                }
                dt { "witnesses" } dd { (witnesses) }
                @for spool in &status.spool {
                    dt { "spool" } dd { @if spool.healthy { "accepts events" } @else { "does not accept events" }
                        ", " (number(spool.unshipped_records)) " on their way" }
                }
                dt { "disk" } dd { (bytes(status.disk.free_bytes)) " free, " (status.disk.free_percent()) " %"
                    @if let Some(days) = status.disk.days_left { ", for " (number(days)) " days at this rate" } }
                @if let Some(gateway) = &status.gateway {
                    dt { "gateway" } dd { code { (gateway.url) } ", " (number(gateway.callers)) " keys accepted" }
                }
            }
        }
    }
}
