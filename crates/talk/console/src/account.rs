//! One's own account.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use haris_access::Session;
use haris_operations::{
    AccountAnswer, EndSession, IssueToken, IssueTokenInput, IssuedTokenAnswer, Refusal, RevokeToken, SessionInput,
    ShowAccount, TokenInput,
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::door::{In, check};
use crate::page::{csrf, moment};
use crate::{Console, page};

pub(crate) async fn show(State(console): State<Console>, In(session): In) -> Response {
    match console.ask::<ShowAccount>(&session, &Value::Null).await {
        Ok(answer) => page::page(&session, "/account", "My account", body(&session, &answer)),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

fn body(session: &Session, account: &AccountAnswer) -> Markup {
    let held: Vec<_> = session.who.roles.iter().flat_map(|role| role.permissions).collect();
    html! {
        section.card {
            dl.facts {
                dt { "name" } dd dir="auto" { (account.name.as_deref().unwrap_or("–")) }
                dt { "log in as" } dd { code { (account.login.as_deref().unwrap_or("–")) } }
                dt { "in the ledger" } dd { code { "person:" (account.account) } }
                dt { "roles" } dd { (session.who.roles.iter().map(|role| role.title).collect::<Vec<_>>().join(", ")) }
            }
        }
        section.card {
            h2 { "Sessions" }
            div.scroll { table {
                thead { tr { th scope="col" { "Opened" } th scope="col" { "Last used" } th scope="col" { "Browser" } th scope="col" { "" } } }
                tbody {
                    @for one in &account.sessions {
                        tr {
                            td { (moment(&one.opened)) } td { (moment(&one.seen)) } td { (one.agent) }
                            td {
                                @if one.session == session.handle { span.dim { "this one" } }
                                @else { form method="post" action="/account/end" { (csrf(session)) input type="hidden" name="session" value=(one.session); button.quiet { "End" } } }
                            }
                        }
                    }
                }
            } }
        }
        section.card {
            h2 { "Tokens" }
            @if account.tokens.is_empty() { p.none { "None. A token lets a program do in your name what its scopes name, and nothing else." } }
            @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "Token" } th scope="col" { "Scopes" } th scope="col" { "Made" } th scope="col" { "Until" } th scope="col" { "" } } }
                    tbody {
                        @for token in &account.tokens {
                            tr.off[token.revoked.is_some()] {
                                td { code { (token.token) } } td { @for scope in &token.scopes { code { (scope) } " " } }
                                td { (moment(&token.issued)) } td { (moment(&token.expires)) }
                                td {
                                    @if token.revoked.is_some() { span.dim { "revoked" } }
                                    @else { form method="post" action="/account/revoke" { (csrf(session)) input type="hidden" name="token" value=(token.token); button.quiet { "Revoke" } } }
                                }
                            }
                        }
                    }
                } }
            }
            form.row method="post" action="/account/token" {
                (csrf(session))
                label { span { "Scopes, with spaces between" } input name="scopes" required placeholder="events.read ledger.export" dir="ltr" size="40"; }
                label { span { "Days" } input name="days" value="30" inputmode="numeric" size="4"; }
                button { "Make a token" }
            }
            p.hint { "You hold: " @for permission in held { code { (permission) } " " } }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Ending {
    csrf: String,
    session: String,
}

pub(crate) async fn end(State(console): State<Console>, In(session): In, Form(form): Form<Ending>) -> Response {
    let done = async {
        check(&session, &form.csrf)?;
        console.ask::<EndSession>(&session, &SessionInput { session: form.session }).await
    };
    back(&session, done.await)
}

#[derive(Deserialize)]
pub(crate) struct New {
    csrf: String,
    scopes: String,
    days: String,
}

pub(crate) async fn issue(State(console): State<Console>, In(session): In, Form(form): Form<New>) -> Response {
    let issued = async {
        check(&session, &form.csrf)?;
        let days = form.days.trim().parse().map_err(|_| Refusal::invalid("days: a whole number"))?;
        let scopes = form.scopes.split_whitespace().map(str::to_owned).collect();
        console.ask::<IssueToken>(&session, &IssueTokenInput { scopes, days }).await
    };
    match issued.await {
        Ok(issued) => page::page(&session, "/account", "A token, shown this once", token(&issued)),
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

fn token(issued: &IssuedTokenAnswer) -> Markup {
    html! {
        div.notice {
            p { "A program sends this as " code { "Authorization: Bearer" } ". Haris keeps only its hash." }
            pre.once { code data-copy { (issued.secret) } }
        }
        p { a.button href="/account" { "Back to my account" } }
    }
}

#[derive(Deserialize)]
pub(crate) struct Revoking {
    csrf: String,
    token: String,
}

pub(crate) async fn revoke(State(console): State<Console>, In(session): In, Form(form): Form<Revoking>) -> Response {
    let done = async {
        check(&session, &form.csrf)?;
        console.ask::<RevokeToken>(&session, &TokenInput { token: form.token }).await
    };
    back(&session, done.await)
}

fn back<T>(session: &Session, done: Result<T, Refusal>) -> Response {
    match done {
        Ok(_) => Redirect::to("/account").into_response(),
        Err(refusal) => page::refusal(Some(session), &refusal),
    }
}
