//! Before and after every page: who it is, from where, and what a browser may do with the answer.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use haris_access::Session;
use haris_operations::{Operation, Refusal, RefusalCode, perform};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::{Console, page};

/// Nothing from elsewhere, no script but ours, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Where somebody comes from, as the server saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From(pub(crate) IpAddr);

/// Refuses what a browser was lured into, and marks every answer.
pub(crate) async fn guard(State(console): State<Console>, request: Request, next: Next) -> Response {
    let mut response = match refused(&console, &request) {
        Some(why) => page::plain(StatusCode::FORBIDDEN, "Refused", why),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refused(console: &Console, request: &Request) -> Option<&'static str> {
    let from = request.extensions().get::<IpAddr>();
    if !console.secure && from.is_none_or(|from| !from.to_canonical().is_loopback()) {
        return Some("Over plain HTTP the console serves this machine alone.");
    }
    // A name that somebody points at this address is not ours: a page of theirs would be of the same origin.
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !console.secure && !is_loopback(host) {
        return Some("The console answers to 127.0.0.1, [::1] and localhost here, and to no other name.");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let word = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        // Browsers that keep to `no-referrer` say `null` for an origin; where a form came from they say apart.
        let foreign = match (word("sec-fetch-site"), word("origin")) {
            (Some(site), _) => site != "same-origin",
            (None, Some(origin)) => origin.split_once("://").is_none_or(|(_, name)| name != host),
            (None, None) => false,
        };
        if foreign {
            return Some("This form comes from another site.");
        }
    }
    None
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost")
        || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let from = parts.extensions.get::<IpAddr>().copied();
        from.map(Self)
            .ok_or_else(|| page::plain(StatusCode::FORBIDDEN, "Refused", "It is not known where you come from."))
    }
}

/// The name of a cookie: bound to the host and to TLS where there is TLS.
pub(crate) fn cookie_name(console: &Console, name: &str) -> String {
    if console.secure { format!("__Host-haris-{name}") } else { format!("haris-{name}") }
}

/// A cookie that no script reads and no other site sends.
pub(crate) fn set_cookie(console: &Console, name: &str, value: &str, seconds: u64) -> String {
    let secure = if console.secure { "; Secure" } else { "" };
    let name = cookie_name(console, name);
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

/// A cookie's value.
pub(crate) fn cookie(console: &Console, headers: &HeaderMap, name: &str) -> Option<String> {
    let name = cookie_name(console, name);
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// Whoever is logged in. Everybody else is sent to the log-in page.
pub(crate) struct In(pub(crate) Session);

impl FromRequestParts<Console> for In {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let session = match cookie(console, &parts.headers, "session") {
            Some(secret) => console.context.access.session(&secret).await,
            None => Ok(None),
        };
        match session {
            Ok(Some(session)) => Ok(Self(session)),
            Ok(None) => {
                let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                let next = if parts.method == Method::GET { path } else { "/" };
                Err(Redirect::to(&format!("/login?next={}", page::encode(next))).into_response())
            }
            Err(error) => Err(page::refusal(None, &error.into())),
        }
    }
}

impl Console {
    /// Asks for an operation in the name of whoever is logged in.
    pub(crate) async fn ask<O: Operation>(&self, session: &Session, input: &O::Input) -> Result<O::Answer, Refusal> {
        let input = serde_json::to_value(input).map_err(|error| Refusal::internal(&error))?;
        let answer = perform(&self.context, &session.who, O::META.name, input).await?;
        serde_json::from_value(answer).map_err(|error| Refusal::internal(&error))
    }

    /// Whether whoever is logged in may ask for an operation.
    pub(crate) fn may<O: Operation>(&self, session: &Session) -> bool {
        self.context.access.holds(&session.who, O::META.permission)
    }
}

/// A form that did not come from a page of this session.
pub(crate) fn check(session: &Session, csrf: &str) -> Result<(), Refusal> {
    if session.is_own(csrf) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::Forbidden,
        "this form is not of your session: go back, load the page again and repeat it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_ours() {
        for ours in ["127.0.0.1", "127.0.0.1:8787", "localhost:1", "LOCALHOST", "[::1]:8787", "[::1]"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for other in ["", "example.com", "127.0.0.1.example.com:80", "10.0.0.1:8787", "localhost.evil", "a:b"] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
