//! Coming in for the first time, by a link.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::Response;
use haris_access::{Enrol, EnrolError, Invitation};
use http::StatusCode;
use maud::{Markup, PreEscaped, html};
use qrcode::QrCode;
use qrcode::render::svg;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::login::capital;
use crate::{Console, page};

#[derive(Default, Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    link: Zeroizing<String>,
}

pub(crate) async fn show(State(console): State<Console>, Query(link): Query<Link>) -> Response {
    match console.context.access.invitation(&link.link).await {
        Ok(Some(invitation)) => form(&console, &link.link, &invitation, ("", ""), None, StatusCode::OK),
        Ok(None) => dead(),
        Err(error) => page::refusal(None, &error.into()),
    }
}

fn dead() -> Response {
    page::outside(
        StatusCode::NOT_FOUND,
        "This link is over",
        html! {
            p { "A link is good once: the first officer's for half an hour after the server started, an invitation for a day." }
            p { "For a new one start the server again, or ask the officer who invited you." }
        },
    )
}

fn form(
    console: &Console,
    link: &str,
    invitation: &Invitation,
    (login, name): (&str, &str),
    wrong: Option<&str>,
    status: StatusCode,
) -> Response {
    let totp = console.context.access.totp_of_link(link);
    let uri = totp.uri(if login.is_empty() { "officer" } else { login });
    let first = *invitation == Invitation::First;
    let body = html! {
        @if first { p { "You are the first: this account is the AI security officer's." } }
        @if let Some(wrong) = wrong { p.wrong role="alert" { (wrong) } }
        form.tall method="post" action="/join" {
            input type="hidden" name="link" value=(link);
            fieldset {
                legend { "1. You" }
                label { span { "Name to log in with" }
                    input name="login" value=(login) required autofocus autocomplete="username" pattern="[A-Za-z0-9._\\-]{2,32}"
                        title="2 to 32 letters, digits, dots, dashes" dir="ltr"; }
                label { span { "Your name" } input name="name" value=(name) required autocomplete="name" maxlength="80" dir="auto"; }
                label { span { "Passphrase" }
                    input name="passphrase" type="password" required minlength="12" maxlength="1024" autocomplete="new-password"; }
                p.hint { "Twelve characters or more. Four or five words that do not belong together are good." }
            }
            fieldset {
                legend { "2. Your authenticator" }
                div.enrol {
                    (picture(&uri))
                    div {
                        p { "Scan this with an authenticator app, or type the secret:" }
                        p { code.secret dir="ltr" { (*totp.typed()) } }
                        label { span { "The code that it shows" }
                            input name="code" required autocomplete="one-time-code" inputmode="numeric" maxlength="8" dir="ltr"; }
                    }
                }
            }
            button { "Come in" }
        }
    };
    page::outside(status, if first { "Set up Haris" } else { "Welcome" }, body)
}

fn picture(uri: &str) -> Markup {
    // A secret that is too long for a code of this kind can still be typed.
    let Ok(code) = QrCode::new(uri.as_bytes()) else { return html! {} };
    let mut renderer = code.render::<svg::Color<'_>>();
    let drawn =
        renderer.min_dimensions(176, 176).dark_color(svg::Color("#000")).light_color(svg::Color("#fff")).build();
    // Without the XML declaration it stands in a page.
    let from = drawn.find("<svg").unwrap_or(0);
    html! { div.qr role="img" aria-label="The secret as a QR code" { (PreEscaped(&drawn[from..])) } }
}

#[derive(Deserialize)]
pub(crate) struct Chosen {
    link: Zeroizing<String>,
    login: String,
    name: String,
    passphrase: Zeroizing<String>,
    code: Zeroizing<String>,
}

pub(crate) async fn enrol(State(console): State<Console>, Form(chosen): Form<Chosen>) -> Response {
    let access = &console.context.access;
    let answer = access
        .enrol(Enrol {
            link: &chosen.link,
            login: &chosen.login,
            name: &chosen.name,
            passphrase: &chosen.passphrase,
            code: &chosen.code,
        })
        .await;
    let error = match answer {
        Ok(enrolled) => return codes(&enrolled.recovery),
        Err(EnrolError::Link { .. }) => return dead(),
        Err(EnrolError::Access(error)) => return page::refusal(None, &error.into()),
        Err(error) => error,
    };
    match access.invitation(&chosen.link).await {
        Ok(Some(invitation)) => {
            let typed = (chosen.login.as_str(), chosen.name.as_str());
            let why = capital(&error.to_string());
            form(&console, &chosen.link, &invitation, typed, Some(&why), StatusCode::UNPROCESSABLE_ENTITY)
        }
        _ => dead(),
    }
}

fn codes(codes: &[Zeroizing<String>]) -> Response {
    let body = html! {
        p { "You can come in now. These ten codes are for the day when the authenticator is lost: each counts once, and this is \
             the only time that they are shown. Keep them on paper, apart from the authenticator." }
        ol.codes dir="ltr" { @for code in codes { li { code { (**code) } } } }
        p { a.button href="/login" { "I have kept them: log in" } }
    };
    page::outside(StatusCode::OK, "Ten codes to keep", body)
}
