//! Logging in and out.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use haris_access::{LogIn, LogInError};
use haris_domain::Actor;
use http::{HeaderMap, StatusCode, header};
use maud::{Markup, html};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::door::{From, In, check, cookie, set_cookie};
use crate::{Console, page};

/// How long a browser keeps what tells that a device logged in before.
const DEVICE_SECONDS: u64 = 180 * 86_400;
/// The server decides when a session is over; the cookie goes with the browser's day.
const SESSION_SECONDS: u64 = 86_400;

#[derive(Default, Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    next: String,
}

/// A page of ours to go on to: never another site.
fn next(given: &str) -> &str {
    let ours = given.starts_with('/') && !given.starts_with("//") && !given.contains(['\\', '\r', '\n']);
    if ours { given } else { "/" }
}

pub(crate) async fn show(State(console): State<Console>, Query(wanted): Query<Wanted>) -> Response {
    match console.context.access.founded().await {
        Ok(true) => page::outside(StatusCode::OK, "Log in", form(&wanted.next, "", None)),
        Ok(false) => page::outside(
            StatusCode::OK,
            "Nobody is here yet",
            html! {
                p { "The first officer comes in by the link that the server printed when it started. It is good for half an \
                     hour and once." }
                p { "Too late? Start the server again: it prints a new one." }
            },
        ),
        Err(error) => page::refusal(None, &error.into()),
    }
}

fn form(next: &str, login: &str, wrong: Option<&str>) -> Markup {
    html! {
        @if let Some(wrong) = wrong { p.wrong role="alert" { (wrong) } }
        form.tall method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            label { span { "Name" }
                input name="login" value=(login) required autofocus autocomplete="username" maxlength="64" dir="ltr"; }
            label { span { "Passphrase" }
                input name="passphrase" type="password" required autocomplete="current-password" maxlength="1024"; }
            label { span { "Code from the authenticator" }
                input name="code" required autocomplete="one-time-code" inputmode="text" maxlength="32" dir="ltr"; }
            p.hint { "Lost the authenticator? Type a recovery code." }
            button { "Log in" }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Claimed {
    login: String,
    passphrase: Zeroizing<String>,
    code: Zeroizing<String>,
    #[serde(default)]
    next: String,
}

pub(crate) async fn log_in(
    State(console): State<Console>,
    From(address): From,
    headers: HeaderMap,
    Form(claimed): Form<Claimed>,
) -> Response {
    let device = cookie(&console, &headers, "device");
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let answer = console
        .context
        .access
        .log_in(LogIn {
            login: &claimed.login,
            passphrase: &claimed.passphrase,
            code: &claimed.code,
            address,
            device: device.as_deref(),
            agent,
        })
        .await;
    match answer {
        Ok(opened) => {
            let cookies = AppendHeaders([
                (header::SET_COOKIE, set_cookie(&console, "session", &opened.session, SESSION_SECONDS)),
                (header::SET_COOKIE, set_cookie(&console, "device", &opened.device, DEVICE_SECONDS)),
            ]);
            let to = if opened.recovery_used { "/account" } else { next(&claimed.next) };
            (cookies, Redirect::to(to)).into_response()
        }
        Err(error @ (LogInError::Wrong | LogInError::Wait { .. })) => {
            let status = match error {
                LogInError::Wait { .. } => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::UNAUTHORIZED,
            };
            let why = capital(&error.to_string());
            page::outside(status, "Log in", form(&claimed.next, &claimed.login, Some(&why)))
        }
        Err(LogInError::Access(error)) => page::refusal(None, &error.into()),
    }
}

/// As a sentence begins.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[derive(Deserialize)]
pub(crate) struct Bare {
    csrf: String,
}

pub(crate) async fn log_out(State(console): State<Console>, In(session): In, Form(form): Form<Bare>) -> Response {
    if let Err(refusal) = check(&session, &form.csrf) {
        return page::refusal(Some(&session), &refusal);
    }
    let account = session.who.account().unwrap_or_default();
    match console.context.access.end_session(account, &session.handle, &Actor::person(account)).await {
        Ok(_) => {
            let gone = AppendHeaders([(header::SET_COOKIE, set_cookie(&console, "session", "", 0))]);
            (gone, Redirect::to("/login")).into_response()
        }
        Err(error) => page::refusal(Some(&session), &error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_on_to_a_page_of_ours_only() {
        assert_eq!(next("/events?verdict=block"), "/events?verdict=block");
        for other in
            ["", "https://example.com", "//example.com", "/\\example.com", "javascript:1", "/a\r\nSet-Cookie: x"]
        {
            assert_eq!(next(other), "/", "{other}");
        }
    }
}
