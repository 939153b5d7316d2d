//! People: who has an account, and what it reaches.

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use haris_access::{ROLES, Session};
use haris_operations::{
    AddPerson, AddPersonInput, ChangePerson, ChangePersonInput, ClosePerson, InvitePerson, ListPeople, PersonAnswer,
    PersonInput, Refusal,
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::door::{In, check};
use crate::page::{csrf, moment};
use crate::words::{Names, choice};
use crate::{Console, page};

pub(crate) async fn show(State(console): State<Console>, In(session): In) -> Response {
    match (console.ask::<ListPeople>(&session, &Value::Null).await, console.names().await) {
        (Ok(answer), Ok(names)) => {
            page::page(&session, "/people", "People", body(&console, &session, &answer.people, &names))
        }
        (Err(refusal), _) | (_, Err(refusal)) => page::refusal(Some(&session), &refusal),
    }
}

fn roles() -> Vec<(&'static str, &'static str)> {
    ROLES.iter().map(|role| (role.name, role.title)).collect()
}

fn body(console: &Console, session: &Session, people: &[PersonAnswer], names: &Names) -> Markup {
    let may = console.may::<AddPerson>(session);
    html! {
        div.scroll { table {
            thead { tr { th scope="col" { "Name" } th scope="col" { "Roles" } th scope="col" { "Since" } th scope="col" { "Made by" } th scope="col" { "" } } }
            tbody { @for person in people { (row(session, person, may, names)) } }
        } }
        @if may {
            section.card {
                h2 { "Make an account" }
                form.row method="post" action="/people/add" {
                    (csrf(session))
                    label { span { "Name" } input name="name" required maxlength="80" dir="auto"; }
                    (choice("role", "Role", &roles(), "analyst"))
                    button { "Ask for it" }
                }
                p.hint { "A second person agrees first, under Approvals. While there is none, the host stands in: " code { "haris approvals stand-in" } "." }
            }
        }
        section.card {
            h2 { "Roles" }
            dl.facts { @for role in ROLES { dt { (role.title) } dd { (role.tells) } } }
        }
    }
}

fn row(session: &Session, person: &PersonAnswer, may: bool, names: &Names) -> Markup {
    let own = session.who.account() == Some(person.account.as_str());
    let titles: Vec<_> =
        person.roles.iter().map(|name| haris_access::role(name).map_or(name.as_str(), |role| role.title)).collect();
    html! {
        tr.off[person.closed.is_some()] {
            td { span dir="auto" { (person.name.as_deref().unwrap_or("(forgotten)")) } br; code.dim { (person.login.as_deref().unwrap_or(&person.account)) } }
            td { (titles.join(", ")) }
            td { (moment(&person.created)) }
            td { span title=(person.created_by) dir="auto" { (names.of(&person.created_by)) } }
            td {
                @if let Some(at) = &person.closed { span.dim { "closed " (moment(at)) } }
                @else if may && !own {
                    @if person.login.is_none() {
                        form method="post" action="/people/invite" { (csrf(session)) input type="hidden" name="account" value=(person.account); button { "Invite" } }
                    }
                    details.confirm { summary { "Change" }
                        form.row method="post" action="/people/change" {
                            (csrf(session)) input type="hidden" name="account" value=(person.account);
                            (choice("role", "Role", &roles(), person.roles.first().map_or("", String::as_str)))
                            button { "Ask for it" }
                        }
                        form method="post" action="/people/close" {
                            (csrf(session)) input type="hidden" name="account" value=(person.account);
                            p { "Closing ends sessions and tokens, and forgets the name. It cannot be undone." } button.danger { "Close this account" }
                        }
                    }
                }
                @else if own { span.dim { "you" } }
            }
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct New {
    csrf: String,
    name: String,
    role: String,
}

pub(crate) async fn add(State(console): State<Console>, In(session): In, Form(form): Form<New>) -> Response {
    let done = async {
        check(&session, &form.csrf)?;
        console.ask::<AddPerson>(&session, &AddPersonInput { name: form.name, roles: vec![form.role] }).await
    };
    back(&session, done.await)
}

#[derive(Deserialize)]
pub(crate) struct Changed {
    csrf: String,
    account: String,
    role: String,
}

pub(crate) async fn change(State(console): State<Console>, In(session): In, Form(form): Form<Changed>) -> Response {
    let done = async {
        check(&session, &form.csrf)?;
        console
            .ask::<ChangePerson>(&session, &ChangePersonInput { account: form.account, roles: vec![form.role] })
            .await
    };
    back(&session, done.await)
}

#[derive(Deserialize)]
pub(crate) struct Whom {
    csrf: String,
    account: String,
}

pub(crate) async fn close(State(console): State<Console>, In(session): In, Form(form): Form<Whom>) -> Response {
    let done = async {
        check(&session, &form.csrf)?;
        console.ask::<ClosePerson>(&session, &PersonInput { account: form.account }).await
    };
    back(&session, done.await)
}

pub(crate) async fn invite(State(console): State<Console>, In(session): In, Form(form): Form<Whom>) -> Response {
    let invited = async {
        check(&session, &form.csrf)?;
        console.ask::<InvitePerson>(&session, &PersonInput { account: form.account }).await
    };
    match invited.await {
        Ok(invited) => {
            let body = html! {
                div.notice {
                    p { "Hand this over in person. It is good for a day and once; who has it becomes this person." }
                    pre.once { code data-copy { "/join?link=" (invited.link) } }
                }
                p { a.button href="/people" { "Back to the people" } }
            };
            page::page(&session, "/people", "An invitation, shown this once", body)
        }
        Err(refusal) => page::refusal(Some(&session), &refusal),
    }
}

fn back<T>(session: &Session, done: Result<T, Refusal>) -> Response {
    match done {
        Ok(_) => Redirect::to("/people").into_response(),
        Err(refusal) => page::refusal(Some(session), &refusal),
    }
}
