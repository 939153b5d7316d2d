//! Alerts, from being raised to being over.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use haris_ledger::PreviousBoot;
use haris_operations::{Vitals, Watch, Watched};
use serde_json::json;
use support::{Scene, clock};

const SECOND: i64 = 1_000_000;

async fn look(watch: &Watch, scene: &Scene, seconds: u64) -> Watched {
    // As the sealer of a server does, while it can.
    let _ = scene.context.ledger.seal(clock()).await;
    watch.look(&scene.context, Duration::from_secs(seconds)).await.unwrap()
}

/// Which alerts the messages tell of, and whether they are new or over.
fn told(watched: &Watched) -> Vec<(String, String)> {
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    // The disk of whoever runs the tests may be full for all we know.
    let ours = watched.messages.iter().filter(|one| !word(&one.body["alert"]).starts_with("disk-"));
    ours.map(|one| (word(&one.body["alert"]), word(&one.body["state"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(alert, state)| ((*alert).to_owned(), (*state).to_owned())).collect()
}

#[tokio::test]
async fn what_happened_once_is_told_until_somebody_takes_notice_and_never_again() {
    let mut scene = Scene::new().await;
    let previous = PreviousBoot { boot: "boot0".into(), clean: false, last_at: clock() };
    scene.context.vitals = Arc::new(Vitals::at_start("boot1", Some(&previous)));
    let watch = Watch::default();
    for seconds in [0, 5, 3_600] {
        assert_eq!(told(&look(&watch, &scene, seconds).await), pairs(&[("unclean-start", "raised")]));
    }
    assert_eq!(
        scene
            .recorded("alert.condition.raised/1")
            .await
            .iter()
            .filter(|e| e["data"]["alert"] == "unclean-start")
            .count(),
        1
    );

    let taken = scene.done("alerts.acknowledge", json!({ "alert": "unclean-start", "reason": "power cut" })).await;
    assert_eq!(taken["alert"]["acknowledged_by"], "local:1000");
    let twice = scene.ask("alerts.acknowledge", json!({ "alert": "unclean-start", "reason": "again" })).await;
    assert!(twice.unwrap_err().message.contains("acknowledged already"));
    assert_eq!(told(&look(&watch, &scene, 3_605).await), pairs(&[("unclean-start", "cleared")]));
    // The same start sees the same facts, also with a watch that remembers nothing.
    assert_eq!(told(&look(&Watch::default(), &scene, 3_615).await), pairs(&[("unclean-start", "cleared")]));
    let all = scene.done("alerts.list", json!({ "all": true })).await;
    let ours: Vec<_> = all["alerts"].as_array().unwrap().iter().filter(|a| a["alert"] == "unclean-start").collect();
    assert_eq!(ours.len(), 1);
    assert!(ours[0]["cleared_at"].is_string());
}

#[tokio::test]
async fn each_step_of_the_clock_is_an_alert_of_its_own() {
    let mut scene = Scene::new().await;
    scene.context.vitals = Arc::new(Vitals::at_start("boot1", None));
    let vitals = &scene.context.vitals;
    let step =
        |offset: i64, seconds: u64| vitals.look_at_clock(clock().plus_micros(offset * SECOND), seconds * 1_000_000);
    assert!(step(0, 0).is_none());
    assert_eq!(step(-600 + 5, 5).unwrap().micros, -600 * SECOND);
    assert_eq!(step(86_400 + 10, 10).unwrap().micros, (86_400 + 600) * SECOND);
    let watched = look(&Watch::default(), &scene, 10).await;
    assert_eq!(told(&watched), pairs(&[("clock-step", "raised"), ("clock-step", "raised")]));
    assert!(watched.status.attention.iter().any(|text| text.contains("-600000 ms")), "{:?}", watched.status.attention);
    // Two are open: a name is not enough.
    let refused = scene.ask("alerts.acknowledge", json!({ "alert": "clock-step", "reason": "ntp" })).await;
    assert!(refused.unwrap_err().message.contains("name one by its id"));
}

#[tokio::test]
async fn a_condition_that_comes_and_goes_is_one_alert() {
    let scene = Scene::new().await;
    let watch = Watch::default();
    let sink = |why: Option<&str>| scene.context.vitals.delivery(why.map(str::to_owned));
    for seconds in [0, 10, 20, 30] {
        sink(Some("webhook at h refused"));
        assert_eq!(told(&look(&watch, &scene, seconds).await), pairs(&[("alerts-undelivered", "raised")]));
        sink(None);
        assert_eq!(told(&look(&watch, &scene, seconds + 5).await), pairs(&[("alerts-undelivered", "raised")]));
    }
    let status = scene.done("status.show", serde_json::Value::Null).await;
    assert!(status["alerts"].as_array().unwrap().iter().any(|alert| alert["alert"] == "alerts-undelivered"));
    assert_eq!(told(&look(&watch, &scene, 94).await), pairs(&[("alerts-undelivered", "raised")]));
    assert_eq!(told(&look(&watch, &scene, 95).await), pairs(&[("alerts-undelivered", "cleared")]));
    let raised = scene.recorded("alert.condition.raised/1").await;
    assert_eq!(raised.iter().filter(|e| e["data"]["alert"] == "alerts-undelivered").count(), 1, "{raised:?}");
}

#[tokio::test]
async fn taking_notice_needs_a_reason_which_is_no_part_of_the_leaf() {
    let scene = Scene::new().await;
    scene.context.vitals.delivery(Some("down".into()));
    let _ = look(&Watch::default(), &scene, 0).await;
    let empty = scene.ask("alerts.acknowledge", json!({ "alert": "alerts-undelivered", "reason": " " })).await;
    assert!(empty.unwrap_err().message.contains("--reason"));
    let unknown = scene.ask("alerts.acknowledge", json!({ "alert": "no-such", "reason": "x" })).await;
    assert!(unknown.unwrap_err().message.contains("haris alerts"));
    scene.done("alerts.acknowledge", json!({ "alert": "alerts-undelivered", "reason": "Fatima looks at it" })).await;
    let recorded = scene.recorded("alert.condition.acknowledged/1").await;
    assert_eq!(recorded[0]["payloads"][0]["name"], "reason");
    assert!(!recorded[0].to_string().contains("Fatima"));
}

#[tokio::test]
async fn a_database_that_is_away_is_told_of_and_so_is_what_was_known() {
    let scene = Scene::new().await;
    scene.context.vitals.delivery(Some("down".into()));
    let watch = Watch::default();
    let before = look(&watch, &scene, 0).await;
    assert_eq!(told(&before), pairs(&[("alerts-undelivered", "raised")]));
    scene.context.ledger.store().close().await;
    for seconds in [5, 100] {
        let away = look(&watch, &scene, seconds).await;
        assert_eq!(told(&away), pairs(&[("alerts-undelivered", "raised"), ("database-unreachable", "raised")]));
        let key = |watched: &Watched| {
            watched.messages.iter().find(|one| one.body["alert"] == "alerts-undelivered").unwrap().key.clone()
        };
        assert_eq!(key(&away), key(&before), "a sink is not told twice of one thing");
    }
    let status = scene.done("status.show", serde_json::Value::Null).await;
    assert!(status["attention"].to_string().contains("the database does not answer"), "{status}");
}

#[tokio::test]
async fn what_waits_for_its_seal_is_told_by_how_long_it_waits_not_by_the_age_of_the_last_checkpoint() {
    let scene = Scene::new().await;
    let watch = Watch::default();
    assert_eq!(told(&look(&watch, &scene, 0).await), []);
    let only = async |seconds| told(&watch.look(&scene.context, Duration::from_secs(seconds)).await.unwrap());
    scene.done("callers.add", json!({ "name": "late", "owner": "o", "models": ["*"] })).await;
    assert_eq!(only(3_600).await, [], "an hour of silence is no lag");
    assert_eq!(only(3_605).await, []);
    assert_eq!(only(3_615).await, pairs(&[("seal-lag", "raised")]));
    assert_eq!(told(&look(&watch, &scene, 3_620).await), pairs(&[("seal-lag", "raised")]), "it is cleared later");
    assert_eq!(told(&look(&watch, &scene, 3_700).await), pairs(&[("seal-lag", "cleared")]));
}
