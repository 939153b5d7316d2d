//! Why a request was stopped or changed, told to the application that sent it.

use haris_domain::EventId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::events::{answer_to, with_proof};
use crate::{Context, Refusal};

/// What an application's developer may know of their own request: rules, fields and spans, never
/// the text.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct WhyAnswer {
    /// `haris.why/1`.
    pub schema: String,
    /// The request's event.
    pub id: String,
    /// When it was decided on.
    pub at: String,
    /// The verdict on the request, or the reason of its refusal.
    pub verdict: String,
    /// What was found in the request: rule, kind, field, span in bytes of the field's text, action.
    pub request: Vec<Value>,
    /// The verdict on the answer, where there was one.
    pub answer_verdict: Option<String>,
    /// What was found in the answer.
    pub answer: Vec<Value>,
    /// What was not scanned, in both.
    pub not_scanned: Vec<Value>,
}

/// Tells `caller` (id without prefix) about its own request `id`.
///
/// # Errors
/// When there is no such request of this caller: whether another caller has one is not told.
pub async fn why(context: &Context, caller: &str, id: EventId) -> Result<WhyAnswer, Refusal> {
    let unknown = || {
        Refusal::not_found(format!(
            "this key has no request {id}; the id is in the x-haris-event header of each answer, and takes a moment to arrive"
        ))
    };
    let (event, _) = with_proof(context, id).await.map_err(|_| unknown())?;
    let kind = event["kind"].as_str().unwrap_or_default();
    if event["actor"] != format!("caller:{caller}").as_str() || !kind.starts_with("gw.request.") {
        return Err(unknown());
    }
    let answer: Option<Value> = answer_to(context, id).await?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let list = |event: &Value, key: &str| event["data"][key].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let mut not_scanned = list(&event, "not_scanned");
    not_scanned.extend(answer.iter().flat_map(|answer| list(answer, "not_scanned")));
    Ok(WhyAnswer {
        schema: "haris.why/1".to_owned(),
        id: id.to_string(),
        at: word(&event["at"]).unwrap_or_default(),
        verdict: word(&event["data"]["verdict"]).or_else(|| word(&event["data"]["reason"])).unwrap_or_default(),
        request: list(&event, "detections"),
        answer_verdict: answer.as_ref().and_then(|answer| word(&answer["data"]["verdict"])),
        answer: answer.as_ref().map(|answer| list(answer, "detections")).unwrap_or_default(),
        not_scanned,
    })
}
