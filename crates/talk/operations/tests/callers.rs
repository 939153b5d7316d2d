//! Callers: a key is shown once, a name is given once, and who was refused is on record.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use haris_operations::RefusalCode;
use serde_json::json;
use support::Scene;

#[tokio::test]
async fn a_key_is_shown_once_and_nobody_keeps_it() {
    let scene = Scene::new().await;
    let input = json!({ "name": "mobile-app", "models": ["gpt-*"], "expires_days": 90, "owner": "Noora Al-Haddad" });
    let added = scene.done("callers.add", input).await;
    assert_eq!(added["schema"], "haris.caller-key/1");
    let key = added["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("hk_") && key.len() > 40);

    let listed = scene.done("callers.list", json!(null)).await;
    let caller = &listed["callers"][0];
    assert_eq!((&listed["schema"], &caller["name"]), (&json!("haris.callers/1"), &json!("mobile-app")));
    assert_eq!((&caller["owner"], &caller["models"]), (&json!("Noora Al-Haddad"), &json!(["gpt-*"])));
    assert_eq!((&caller["expires"], &caller["accepted"]), (&json!("2027-02-22T07:00:00.000000Z"), &json!(true)));
    assert!(!listed.to_string().contains(&key));

    // The leaf names neither the key nor the person.
    let issued = serde_json::to_string(&scene.recorded("caller.key.issued/1").await).unwrap();
    assert!(issued.contains("mobile-app") && !issued.contains(&key) && !issued.contains("Noora"), "{issued}");
    let credentials = haris_register::credentials(&scene.context.ledger).await.unwrap();
    assert_eq!(credentials.len(), 1);
}

#[tokio::test]
async fn a_name_is_given_once_until_it_is_revoked() {
    let scene = Scene::new().await;
    scene.done("callers.add", json!({ "name": "web" })).await;
    assert_eq!(scene.refused("callers.add", json!({ "name": "web" })).await, RefusalCode::Conflict);
    assert_eq!(scene.only_refusal().await, ("callers.add".to_owned(), "conflict".to_owned()));

    let revoked = scene.done("callers.revoke", json!({ "caller": "web" })).await;
    assert_eq!((&revoked["schema"], &revoked["accepted"]), (&json!("haris.caller/1"), &json!(false)));
    assert!(haris_register::credentials(&scene.context.ledger).await.unwrap().is_empty(), "nothing is left to match");
    assert_eq!(scene.refused("callers.revoke", json!({ "caller": "web" })).await, RefusalCode::Conflict);
    scene.done("callers.add", json!({ "name": "web" })).await;
    assert_eq!(scene.done("callers.list", json!(null)).await["callers"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn mistakes_change_nothing_and_leave_no_trace() {
    let scene = Scene::new().await;
    for (input, why) in [
        (json!({ "name": "" }), RefusalCode::Invalid),
        (json!({ "name": "two words" }), RefusalCode::Invalid),
        (json!({ "name": "x".repeat(65) }), RefusalCode::Invalid),
        (json!({ "name": "ok", "models": [""] }), RefusalCode::Invalid),
        (json!({ "name": "ok", "colour": "red" }), RefusalCode::Invalid),
        (json!({}), RefusalCode::Invalid),
    ] {
        assert_eq!(scene.refused("callers.add", input.clone()).await, why, "{input}");
    }
    assert_eq!(scene.refused("callers.revoke", json!({ "caller": "nobody" })).await, RefusalCode::NotFound);
    assert_eq!(scene.refused("callers.burn", json!({})).await, RefusalCode::NotFound);
    assert!(scene.recorded("caller.*").await.is_empty());
    assert!(scene.recorded("operation.*").await.is_empty());
}
