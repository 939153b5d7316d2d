//! Events: found at once, chosen by conditions, shown with their proof; a look at a text is an event.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use haris_domain::EventId;
use haris_operations::{RefusalCode, why};
use serde_json::{Value, json};
use support::{Scene, clock};

#[tokio::test]
async fn events_are_chosen_by_conditions() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        scene.exchange("c1", "a question").await;
    }
    scene.settle().await;
    let list = async |input: Value| scene.done("events.list", input).await;
    let count = |answer: &Value| answer["events"].as_array().unwrap().len();
    assert_eq!(list(json!({})).await["schema"], "haris.events/1");
    assert_eq!(count(&list(json!({ "filter": ["verdict=redact"] })).await), 3);
    assert_eq!(count(&list(json!({ "filter": ["kind=gw.*", "verdict=allow"] })).await), 3);
    assert_eq!(count(&list(json!({ "filter": ["detections.rule=pii.*", "limit=2"] })).await), 2);
    assert_eq!(count(&list(json!({ "filter": ["kind=gw.*", "from=2026-11-25"] })).await), 0);
    assert_eq!(count(&list(json!({ "filter": ["kind=gw.*", "to=2026-11-25"] })).await), 6);
    for bad in ["verdict", "=x", "from=yesterday", "limit=many"] {
        assert_eq!(scene.refused("events.list", json!({ "filter": [bad] })).await, RefusalCode::Invalid, "{bad}");
    }
    let backwards = json!({ "from": "2026-11-25", "to": "2026-11-24" });
    assert_eq!(scene.refused("events.list", backwards).await, RefusalCode::Invalid);
}

/// Page by page down to the first event, whatever the conditions and however many a page: each once, none left out.
#[tokio::test]
async fn older_events_are_reached_page_by_page() {
    let scene = Scene::new().await;
    for round in 0..7 {
        scene.exchange("c1", "a question").await;
        scene.settle().await;
        if round % 3 == 0 {
            scene.done("ledger.hold", json!({ "everything": true })).await;
        }
    }
    for filter in [json!([]), json!(["kind=gw.*"]), json!(["verdict=redact"]), json!(["kind=hold.*"])] {
        let all = scene.done("events.list", json!({ "filter": filter, "limit": 1000 })).await;
        assert_eq!((&all["older"], &all["more"]), (&json!(null), &json!(false)), "{filter}");
        let ids = |answer: &Value| -> Vec<String> {
            answer["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
        };
        let mut expected = ids(&all);
        expected.sort();
        for limit in [1, 2, 5] {
            let (mut found, mut before) = (Vec::new(), json!(null));
            loop {
                let input = json!({ "filter": filter, "limit": limit, "before": before });
                let page = scene.done("events.list", input).await;
                assert!(ids(&page).len() <= limit);
                found.extend(ids(&page));
                if page["older"].is_null() {
                    break;
                }
                assert_ne!(page["older"], before, "each page goes on");
                before = page["older"].clone();
            }
            found.sort();
            assert_eq!(found, expected, "{filter} by {limit}");
        }
    }
    let both = json!({ "after": { "traffic": 0 }, "before": { "traffic": 1 } });
    assert_eq!(scene.refused("events.list", both).await, RefusalCode::Invalid);
}

#[tokio::test]
async fn whoever_follows_sees_each_event_once() {
    let scene = Scene::new().await;
    scene.exchange("c1", "first").await;
    scene.settle().await;
    let first = scene.done("events.list", json!({ "filter": ["kind=gw.*"] })).await;
    scene.exchange("c1", "second").await;
    scene.settle().await;
    let next = scene.done("events.list", json!({ "filter": ["kind=gw.*"], "after": first["next"] })).await;
    assert_eq!(next["events"].as_array().unwrap().len(), 2);
    assert_ne!(next["events"][0]["id"], first["events"][0]["id"]);
    let last = scene.done("events.list", json!({ "filter": ["kind=gw.*"], "after": next["next"] })).await;
    assert!(last["events"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn an_event_shows_its_counterpart_and_how_far_its_proof_has_come() {
    let scene = Scene::new().await;
    let (request, response) = scene.exchange("c1", "a question").await;
    // Still in the spool: whoever holds the id need not wait.
    let shown = scene.done("events.show", json!({ "id": request.to_string() })).await;
    assert_eq!((&shown["schema"], &shown["proof"]["state"]), (&json!("haris.event/1"), &json!("pending")));
    assert_eq!(shown["event"]["data"]["detections"][0]["rule"], "pii.qatari-id");
    assert_eq!(shown["payloads"], json!({ "request": "stored", "identifiers": "stored" }));
    assert_eq!(shown["counterpart"]["id"], response.to_string());
    scene.settle().await;
    let shown = scene.done("events.show", json!({ "id": response.to_string() })).await;
    assert_eq!((&shown["proof"]["state"], &shown["proof"]["checkpoint_size"]), (&json!("sealed"), &json!(2)));
    assert_eq!(shown["counterpart"]["id"], request.to_string());

    assert_eq!(scene.refused("events.show", json!({ "id": "seven" })).await, RefusalCode::Invalid);
    let nobody = EventId::now(clock()).to_string();
    assert_eq!(scene.refused("events.show", json!({ "id": nobody })).await, RefusalCode::NotFound);
}

#[tokio::test]
async fn a_look_at_a_text_is_an_event() {
    let scene = Scene::new().await;
    let (request, _) = scene.exchange("c1", "the question as it was stored").await;
    let id = request.to_string();
    assert_eq!(scene.refused("events.reveal", json!({ "id": id, "reason": " " })).await, RefusalCode::Invalid);
    assert!(scene.recorded("payload.text.revealed/1").await.is_empty());

    let revealed = scene.done("events.reveal", json!({ "id": id, "reason": "complaint 17 of Noora" })).await;
    assert_eq!(revealed["schema"], "haris.reveal/1");
    assert_eq!(revealed["texts"]["request"], "the question as it was stored");
    let looks = scene.recorded("payload.text.revealed/1").await;
    assert_eq!((looks.len(), &looks[0]["id"]), (1, &revealed["recorded"]));
    assert_eq!((&looks[0]["actor"], &looks[0]["data"]["event"]), (&json!("local:1000"), &json!(id)));
    assert!(!looks[0].to_string().contains("Noora"), "the reason is a payload");
}

#[tokio::test]
async fn an_application_learns_why_of_its_own_requests_only() {
    let scene = Scene::new().await;
    let (request, response) = scene.exchange("c1", "a question").await;
    let told = why(&scene.context, "c1", request).await.unwrap();
    assert_eq!((told.schema.as_str(), told.verdict.as_str()), ("haris.why/1", "redact"));
    assert_eq!((&told.request[0]["field"], &told.request[0]["start"]), (&json!("messages[0].content"), &json!(3)));
    assert_eq!(told.answer_verdict.as_deref(), Some("allow"));
    let stranger = why(&scene.context, "c2", request).await.unwrap_err();
    let unknown = why(&scene.context, "c2", EventId::now(clock())).await.unwrap_err();
    assert_eq!((stranger.code, unknown.code), (RefusalCode::NotFound, RefusalCode::NotFound));
    assert_eq!(stranger.message.replace(&request.to_string(), ""), {
        let id = unknown.message.split_whitespace().find_map(|word| word.trim_end_matches(';').parse::<EventId>().ok());
        unknown.message.replace(&id.unwrap().to_string(), "")
    });
    assert_eq!(why(&scene.context, "c1", response).await.unwrap_err().code, RefusalCode::NotFound);
}
