//! People: every operation by every role, the second person, and how far the host reaches once there is an officer.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use haris_access::{EVERYBODY, HOST, ROLES, Who};
use haris_domain::Approval;
use haris_operations::{OPERATIONS, RefusalCode, perform};
use serde_json::{Value, json};
use support::{Scene, later};

/// Whether `who` gets past the door of an operation: whatever its input would then lead to.
async fn lets_in(scene: &Scene, who: &Who, operation: &str) -> bool {
    // Nobody's input: what comes after the door refuses it as such.
    let answer = perform(&scene.context, who, operation, json!({ "no such field": 1 })).await;
    !matches!(answer, Err(refusal) if refusal.code == RefusalCode::Forbidden)
}

#[tokio::test]
async fn every_operation_is_open_to_the_roles_of_the_table_and_to_no_other() {
    let scene = Scene::new().await;
    scene.found().await;
    for role in ROLES {
        let person = scene.person(&[role.name]).await;
        let who = scene.context.access.person(&person.account).await.unwrap().unwrap();
        for operation in OPERATIONS {
            let permission = operation.meta.permission;
            let said = role.permissions.contains(&permission) || EVERYBODY.contains(&permission);
            let name = operation.meta.name;
            // Input that nobody reads is no change to the ledger, but for these, which take none at all.
            assert_eq!(lets_in(&scene, &who, name).await, said, "{} {name}", role.name);
        }
    }
    for operation in OPERATIONS {
        let said = HOST.contains(&operation.meta.permission);
        assert_eq!(lets_in(&scene, &Who::host(1000), operation.meta.name).await, said, "host {}", operation.meta.name);
    }
}

#[tokio::test]
async fn the_host_does_everything_until_there_is_an_officer() {
    let scene = Scene::new().await;
    for operation in OPERATIONS {
        assert!(lets_in(&scene, &Who::host(1000), operation.meta.name).await, "{}", operation.meta.name);
    }
    scene.found().await;
    let refused = scene.refused("events.reveal", json!({ "id": "x", "reason": "y" })).await;
    assert_eq!(refused, RefusalCode::Forbidden);
    assert_eq!(scene.only_refusal().await, ("events.reveal".to_owned(), "forbidden".to_owned()));
}

#[test]
fn making_raising_erasing_take_a_second_person() {
    let second: Vec<_> = OPERATIONS
        .iter()
        .filter(|operation| operation.meta.approval == Approval::SecondPerson)
        .map(|operation| operation.meta.name)
        .collect();
    for name in ["ledger.erase", "people.add", "people.change"] {
        assert!(second.contains(&name), "{name}");
    }
}

/// The one change that waits.
async fn waiting(scene: &Scene, account: &str) -> Value {
    let all = scene.ask_as(account, "approvals.list", Value::Null).await.unwrap();
    let all = all["approvals"].as_array().unwrap().clone();
    let waiting: Vec<_> = all.into_iter().filter(|one| one["state"] == "waiting").collect();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    waiting[0].clone()
}

fn agreement(change: &Value, code: &str) -> Value {
    json!({ "approval": change["approval"], "digest": change["digest"], "code": code })
}

#[tokio::test]
async fn an_account_is_made_when_a_second_person_agrees_to_just_that() {
    let scene = Scene::new().await;
    let officer = scene.found().await;
    let deputy = scene.person(&["deputy"]).await;
    later(60);
    let asked = json!({ "name": "Noor", "roles": ["analyst"] });
    let refusal = scene.ask_as(&officer.account, "people.add", asked.clone()).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Waiting, "{refusal}");
    let change = waiting(&scene, &deputy.account).await;
    assert_eq!(change["not_yours"], Value::Null);
    let shown =
        scene.ask_as(&deputy.account, "approvals.show", json!({ "approval": change["approval"] })).await.unwrap();
    assert_eq!((&shown["input"], &shown["changed"]), (&asked, &Value::Bool(false)));

    let own = scene.ask_as(&officer.account, "approvals.give", agreement(&change, &officer.code())).await.unwrap_err();
    assert_eq!(own.code, RefusalCode::Forbidden);
    let wrong = scene.ask_as(&deputy.account, "approvals.give", agreement(&change, "000000")).await.unwrap_err();
    assert_eq!(wrong.code, RefusalCode::Forbidden);
    let given = scene.ask_as(&deputy.account, "approvals.give", agreement(&change, &deputy.code())).await.unwrap();
    assert_eq!(given["answer"]["roles"], json!(["analyst"]));
    let twice = scene.ask_as(&deputy.account, "approvals.give", agreement(&change, &deputy.code())).await.unwrap_err();
    assert_eq!(twice.code, RefusalCode::Forbidden, "{twice}");

    let made = scene.recorded("access.account.created/1").await;
    let newest = made.last().unwrap();
    assert_eq!(newest["actor"], format!("person:{}", officer.account), "it is the officer's, agreed to by the deputy");
    let agreed = scene.recorded("approval.change.given/1").await;
    assert_eq!((agreed.len(), &agreed[0]["actor"]), (1, &json!(format!("person:{}", deputy.account))));
}

#[tokio::test]
async fn a_creature_of_the_requester_a_late_role_and_a_program_cannot_be_the_second_person() {
    let scene = Scene::new().await;
    let officer = scene.found().await;
    let deputy = scene.person(&["deputy"]).await;
    later(60);
    // The officer makes an account for themselves to agree with: the deputy lets it pass.
    let asked = json!({ "name": "Second self", "roles": ["deputy"] });
    scene.ask_as(&officer.account, "people.add", asked).await.unwrap_err();
    let change = waiting(&scene, &deputy.account).await;
    let made = scene.ask_as(&deputy.account, "approvals.give", agreement(&change, &deputy.code())).await.unwrap();
    let account = made["answer"]["account"].clone();
    let invited = scene.ask_as(&officer.account, "people.invite", json!({ "account": account })).await.unwrap();
    let second_self = scene.enrol(invited["link"].as_str().unwrap(), "self").await;

    let asked = json!({ "account": deputy.account, "roles": ["analyst"] });
    scene.ask_as(&officer.account, "people.change", asked).await.unwrap_err();
    let late = scene.person(&["deputy"]).await;
    let change = waiting(&scene, &officer.account).await;
    for person in [&second_self, &late] {
        let refused = scene.ask_as(&person.account, "approvals.give", agreement(&change, &person.code())).await;
        assert_eq!(refused.unwrap_err().code, RefusalCode::Forbidden);
    }
    let scopes = json!({ "scopes": ["approvals.give"], "days": 1 });
    let token = scene.ask_as(&deputy.account, "account.issue-token", scopes).await.unwrap_err();
    assert_eq!(token.code, RefusalCode::Forbidden);
    assert_eq!(scene.recorded("access.account.changed/1").await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_changed_meanwhile_voids_what_waits() {
    let scene = Scene::new().await;
    let officer = scene.found().await;
    let deputy = scene.person(&["deputy"]).await;
    let analyst = scene.person(&["analyst"]).await;
    later(60);
    let asked = json!({ "account": analyst.account, "roles": ["auditor"] });
    scene.ask_as(&officer.account, "people.change", asked).await.unwrap_err();
    let change = waiting(&scene, &deputy.account).await;
    let draft =
        haris_domain::Draft::new(&haris_domain::kind::ACCOUNT_CHANGED, support::clock(), scene.who.actor.clone());
    let draft = draft.with("account", analyst.account.clone()).with("roles", vec!["operator"]);
    scene.context.ledger.append(vec![(draft, Vec::new())]).await.unwrap();
    let shown =
        scene.ask_as(&deputy.account, "approvals.show", json!({ "approval": change["approval"] })).await.unwrap();
    assert_eq!(shown["changed"], true);
    let void = scene.ask_as(&deputy.account, "approvals.give", agreement(&change, &deputy.code())).await.unwrap_err();
    assert_eq!(void.code, RefusalCode::Conflict);
    let all = scene.ask_as(&deputy.account, "approvals.list", Value::Null).await.unwrap();
    assert_eq!(all["approvals"][0]["state"], "void");
    assert_eq!(scene.recorded("access.account.changed/1").await.len(), 1);
}

#[tokio::test]
async fn the_host_stands_in_only_while_nobody_else_could() {
    let scene = Scene::new().await;
    let officer = scene.found().await;
    later(60);
    let asked = json!({ "name": "Hamad", "roles": ["deputy"] });
    scene.ask_as(&officer.account, "people.add", asked).await.unwrap_err();
    let change = waiting(&scene, &officer.account).await;
    let stand_in = json!({ "approval": change["approval"] });
    assert_eq!(
        scene.ask_as(&officer.account, "approvals.stand-in", stand_in.clone()).await.unwrap_err().code,
        RefusalCode::Forbidden
    );
    let made = scene.done("approvals.stand-in", stand_in).await;
    let account = made["answer"]["account"].as_str().unwrap().to_owned();
    let invited = scene.ask_as(&officer.account, "people.invite", json!({ "account": account })).await.unwrap();
    let hamad = scene.enrol(invited["link"].as_str().unwrap(), "hamad").await;
    later(60);
    scene.ask_as(&officer.account, "people.add", json!({ "name": "Noor", "roles": ["analyst"] })).await.unwrap_err();
    let change = waiting(&scene, &officer.account).await;
    let refused = scene.refused("approvals.stand-in", json!({ "approval": change["approval"] })).await;
    assert_eq!(refused, RefusalCode::Forbidden, "there is somebody now");
    scene.ask_as(&hamad.account, "approvals.give", agreement(&change, &hamad.code())).await.unwrap();
}

#[tokio::test]
async fn the_last_officer_stays_and_a_closed_account_is_over() {
    let scene = Scene::new().await;
    let officer = scene.found().await;
    let deputy = scene.person(&["deputy"]).await;
    let conflict = |answer: Result<Value, haris_operations::Refusal>| answer.unwrap_err().code;
    let close = |who: String, whom: String| {
        let scene = &scene;
        async move { scene.ask_as(&who, "people.close", json!({ "account": whom })).await }
    };
    assert_eq!(conflict(close(deputy.account.clone(), officer.account.clone()).await), RefusalCode::Conflict);
    assert_eq!(conflict(close(deputy.account.clone(), deputy.account.clone()).await), RefusalCode::Conflict);
    close(officer.account.clone(), deputy.account.clone()).await.unwrap();
    assert!(scene.context.access.person(&deputy.account).await.unwrap().is_none());
    let people = scene.ask_as(&officer.account, "people.list", Value::Null).await.unwrap();
    let all = people["people"].as_array().unwrap();
    let closed = all.iter().find(|one| one["account"] == deputy.account.as_str()).unwrap();
    assert_eq!((&closed["login"], closed["closed"].is_string()), (&Value::Null, true), "{closed}");
}

#[tokio::test]
async fn whoever_lost_the_way_is_rescued_after_an_hour() {
    let scene = Scene::new().await;
    let officer = scene.found().await;
    let rescued = scene.done("people.rescue", json!({ "account": "officer" })).await;
    let link = rescued["link"].as_str().unwrap();
    assert_eq!(scene.context.access.invitation(link).await.unwrap(), None);
    later(3_600);
    let again = scene.enrol(link, "officer").await;
    assert_eq!(again.account, officer.account);
    assert_eq!(scene.recorded("access.person.invited/1").await.len(), 1);
}

#[tokio::test]
async fn a_bundle_that_opens_texts_takes_whoever_may_see_them() {
    let scene = Scene::new().await;
    let officer = scene.found().await;
    let auditor = scene.person(&["auditor"]).await;
    scene.exchange("mobile-app", "My QID is [REDACTED:QID]").await;
    scene.settle().await;
    let asked = |with_payloads: bool| json!({ "with_payloads": with_payloads });
    let refused = scene.ask_as(&auditor.account, "ledger.export", asked(true)).await.unwrap_err();
    assert_eq!(refused.code, RefusalCode::Forbidden, "{refused}");
    scene.ask_as(&auditor.account, "ledger.export", asked(false)).await.unwrap();
    scene.ask_as(&officer.account, "ledger.export", asked(true)).await.unwrap();

    let who = scene.context.access.person(&officer.account).await.unwrap().unwrap();
    let scopes = ["ledger.export".to_owned()].into();
    let token = scene.context.access.issue_token(&who, &scopes, 1).await.unwrap();
    let who = scene.context.access.token(&token.secret).await.unwrap().unwrap();
    let refused = perform(&scene.context, &who, "ledger.export", asked(true)).await.unwrap_err();
    assert_eq!(refused.code, RefusalCode::Forbidden, "a token for bundles is none for texts: {refused}");
}
