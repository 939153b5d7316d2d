//! What every page has: head, navigation, and a few parts that pages are made of.

use axum::response::{Html, IntoResponse as _, Response};
use haris_access::Session;
use haris_operations::{Refusal, RefusalCode};
use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

/// The pages in the order of a day's work: path, name, and the permission without which they say only so.
const NAVIGATION: &[(&str, &str, &str)] = &[
    ("/", "Overview", "status.read"),
    ("/live", "Live", "events.read"),
    ("/events", "Decisions", "events.read"),
    ("/alerts", "Alerts", "alerts.read"),
    ("/callers", "Callers", "callers.read"),
    ("/ledger", "Ledger", "ledger.read"),
    ("/approvals", "Approvals", "approvals.read"),
    ("/people", "People", "people.read"),
];

/// A page for whoever is logged in.
pub(crate) fn page(session: &Session, path: &str, title: &str, body: Markup) -> Response {
    respond(StatusCode::OK, title, shell(session, path, title, body))
}

fn shell(session: &Session, path: &str, title: &str, body: Markup) -> Markup {
    let permitted = |permission: &str| {
        let everybody = haris_access::EVERYBODY.contains(&permission);
        everybody || session.who.roles.iter().any(|role| role.permissions.contains(&permission))
    };
    html! {
        a.skip href="#main" { "Skip to the page" }
        header.top {
            a.brand href="/" { span.mark aria-hidden="true" {} "Haris" }
            nav aria-label="Pages" {
                ul {
                    @for (to, name, permission) in NAVIGATION {
                        li {
                            @if permitted(permission) {
                                a href=(to) aria-current=[(*to == path).then_some("page")] { (name) }
                            } @else {
                                span.off title={ "your roles do not include " (permission) } { (name) }
                            }
                        }
                    }
                }
            }
            div.me {
                a href="/account" aria-current=[(path == "/account").then_some("page")] {
                    (session.who.roles.first().map_or("Account", |role| role.title))
                }
                form method="post" action="/logout" { (csrf(session)) button.quiet { "Log out" } }
            }
        }
        main #main tabindex="-1" { h1 { (title) } (body) }
    }
}

/// A page for whoever is not, or not yet.
pub(crate) fn outside(status: StatusCode, title: &str, body: Markup) -> Response {
    let body = html! {
        main.outside #main {
            p.brand { span.mark aria-hidden="true" {} "Haris" }
            h1 { (title) }
            (body)
        }
    };
    respond(status, title, body)
}

fn respond(status: StatusCode, title: &str, body: Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" dir="ltr" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Haris" }
                link rel="stylesheet" href="/assets/console.css";
                link rel="icon" href="/assets/mark.svg" type="image/svg+xml";
                script src="/assets/console.js" defer {}
            }
            body { (body) }
        }
    };
    (status, Html(page.into_string())).into_response()
}

/// A sentence, for whoever has no page.
pub(crate) fn plain(status: StatusCode, title: &str, text: &str) -> Response {
    outside(status, title, html! { p { (text) } })
}

/// Why something was not done, and what to do.
pub(crate) fn refusal(session: Option<&Session>, refusal: &Refusal) -> Response {
    let (status, title) = match refusal.code {
        RefusalCode::Invalid => (StatusCode::BAD_REQUEST, "That is not quite right"),
        RefusalCode::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        RefusalCode::Conflict => (StatusCode::CONFLICT, "Not as things stand"),
        RefusalCode::Forbidden => (StatusCode::FORBIDDEN, "Not yours to do"),
        RefusalCode::Waiting => (StatusCode::ACCEPTED, "Waiting for a second person"),
        RefusalCode::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Not at this moment"),
        RefusalCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Something is broken here"),
    };
    // What broke is for whoever runs the machine; it may name files.
    let internal = refusal.code == RefusalCode::Internal;
    if internal {
        tracing::error!(error = refusal.message, "a page could not be made");
    }
    let text = if internal { "The server's log says what. Nothing was done." } else { refusal.message.as_str() };
    let body = html! {
        div.notice role="status" { p dir="auto" { (text) } }
        @if refusal.code == RefusalCode::Waiting { p { a.button href="/approvals" { "See what waits" } } }
        @else { p { a.button href="/" { "Back to the overview" } } }
    };
    match session {
        Some(session) => respond(status, title, shell(session, "", title, body)),
        None => outside(status, title, body),
    }
}

/// What every form of a session carries.
pub(crate) fn csrf(session: &Session) -> Markup {
    html! { input type="hidden" name="csrf" value=(session.csrf()); }
}

/// A page without anything on it teaches what will be there.
pub(crate) fn empty(title: &str, text: &str, command: Option<&str>) -> Markup {
    html! {
        div.empty {
            h2 { (title) }
            p { (text) }
            @if let Some(command) = command { pre { code { (command) } } }
        }
    }
}

/// A verdict: a word, a shape and a colour.
pub(crate) fn verdict(verdict: &str) -> Markup {
    let shape = match verdict {
        "block" => "■",
        "redact" => "◆",
        "observe" => "▲",
        "refuse" => "✕",
        "allow" => "●",
        _ => "",
    };
    html! { span class={ "verdict " (verdict) } { span aria-hidden="true" { (shape) } " " (verdict) } }
}

/// A moment, shortened for people, whole for machines.
pub(crate) fn moment(at: &str) -> Markup {
    let shown = at.get(..19).unwrap_or(at).replace('T', " ");
    html! { time datetime=(at) title=(at) { (shown) } }
}

/// Percent-encodes a path for a query.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// A number with its thousands apart.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Bytes as people say them.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut rest = value;
    while rest >= 10_240 && unit + 1 < UNITS.len() {
        rest /= 1_024;
        unit += 1;
    }
    format!("{} {}", number(rest), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_paths_are_written_for_their_readers() {
        assert_eq!([number(7), number(1_234), number(12_345_678)].join(" "), "7 1\u{202f}234 12\u{202f}345\u{202f}678");
        assert_eq!(bytes(22_000_000_000), "20\u{202f}980 MiB".replace("20\u{202f}980 MiB", "20 GiB"));
        assert_eq!(encode("/events?a=b c&d"), "/events%3Fa%3Db%20c%26d");
    }

    #[test]
    fn text_cannot_become_markup() {
        let shown = verdict("\"><script>").into_string();
        assert!(!shown.contains("<script>"), "{shown}");
        assert!(!moment("<b>").into_string().contains("<b>"));
    }
}
