//! Legal holds and lawful erasure.

use async_trait::async_trait;
use haris_domain::{Actor, DetectionKind, kind};
use haris_ledger::{Erase, EraseBy, HoldScope};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::events::{event_id, moment};
use crate::{Approval, Context, Operation, OperationMeta, Refusal};

/// What stands where nobody gave a reason: shown to whoever asks later.
const NOT_STATED: &str = "not stated";

/// Destroys payload keys: the texts are gone, the log still verifies.
pub struct EraseEvents;

/// What to erase: exactly one of `event`, `subject` and `before`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EraseInput {
    /// One event, with the question or answer that belongs to it.
    #[serde(default)]
    pub event: Option<String>,
    /// Every interaction in which this identifier was found, in any spelling.
    #[serde(default)]
    pub subject: Option<String>,
    /// What kind of identifier `subject` is; any, when not given.
    #[serde(default)]
    pub subject_kind: Option<String>,
    /// Every interaction born before this RFC 3339 time or day.
    #[serde(default)]
    pub before: Option<String>,
    /// Why; kept as an encrypted payload.
    #[serde(default)]
    pub reason: Option<String>,
    /// Under which law.
    #[serde(default)]
    pub legal_basis: Option<String>,
}

/// What was erased.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EraseAnswer {
    /// `haris.erase/1`.
    pub schema: String,
    /// The events that record it.
    pub recorded: Vec<String>,
    /// Events that lost payloads.
    pub events: u64,
    /// Payloads whose keys are gone.
    pub payloads: u64,
}

#[async_trait]
impl Operation for EraseEvents {
    const META: OperationMeta = OperationMeta {
        name: "ledger.erase",
        tells: "destroys payload keys by event, subject or date; on record first",
        permission: "ledger.erase",
        approval: Approval::SecondPerson,
        events: &[&kind::PAYLOAD_ERASED],
    };
    type Input = EraseInput;
    type Answer = EraseAnswer;

    async fn run(context: &Context, actor: &Actor, input: EraseInput) -> Result<EraseAnswer, Refusal> {
        let by = match (&input.event, &input.subject, &input.before) {
            (Some(event), None, None) => EraseBy::Event(event_id(event)?),
            (None, Some(subject), None) => {
                EraseBy::Subject { kind: detection_kind(input.subject_kind.as_deref())?, identifier: subject.clone() }
            }
            (None, None, Some(before)) => EraseBy::Before(moment(Some(before))?.expect("a time was given")),
            _ => return Err(Refusal::invalid("say what to erase: exactly one of --event, --subject and --before")),
        };
        let basis = input.legal_basis.as_deref().unwrap_or(NOT_STATED);
        let reason = input.reason.as_deref().unwrap_or(NOT_STATED);
        let request = Erase {
            by,
            // The leaf takes a code; the words it was made from stay with the reason.
            reason: format!("legal basis: {basis}\nreason: {reason}"),
            legal_basis: code(basis),
            actor: actor.clone(),
        };
        let spools: Vec<_> = context.spools.iter().map(|(name, spool)| (name.as_str(), spool.clone())).collect();
        let erased = context.ledger.erase(request, &spools, context.now()).await?;
        Ok(EraseAnswer {
            schema: "haris.erase/1".to_owned(),
            recorded: erased.records.iter().map(ToString::to_string).collect(),
            events: erased.events as u64,
            payloads: erased.payloads,
        })
    }
}

fn detection_kind(name: Option<&str>) -> Result<Option<DetectionKind>, Refusal> {
    let named = |name: &str| {
        let kinds =
            || DetectionKind::ALL.iter().filter(|kind| kind.identifies()).map(|kind| kind.name()).collect::<Vec<_>>();
        DetectionKind::named(name)
            .ok_or_else(|| Refusal::invalid(format!("`{name}` is none of {}", kinds().join(", "))))
    };
    name.map(named).transpose()
}

/// `PDPPL art. 5` as a code: `PDPPL-art.-5`.
fn code(words: &str) -> String {
    const CODE_BYTES_MAX: usize = 64;
    let joined = words.split_whitespace().collect::<Vec<_>>().join("-");
    let code: String =
        joined.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.:/".contains(*c)).take(CODE_BYTES_MAX).collect();
    if code.is_empty() { "not-stated".to_owned() } else { code }
}

/// Places a legal hold: nothing it covers is erased or pruned.
pub struct PlaceHold;

/// What to hold: exactly one of `events`, `subject`, a range, or everything.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HoldInput {
    /// These events.
    #[serde(default)]
    pub events: Vec<String>,
    /// Every event in which this identifier was or will be found.
    #[serde(default)]
    pub subject: Option<String>,
    /// What kind of identifier `subject` is.
    #[serde(default)]
    pub subject_kind: Option<String>,
    /// Events born at or after this time; with `to`.
    #[serde(default)]
    pub from: Option<String>,
    /// Events born before this time; with `from`.
    #[serde(default)]
    pub to: Option<String>,
    /// Every event, past and to come.
    #[serde(default)]
    pub everything: bool,
    /// Why; kept as an encrypted payload.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A hold in force.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct HoldAnswer {
    /// Its id: that of the event which placed it.
    pub hold: String,
    /// `events`, `subject`, `range` or `everything`.
    pub scope: String,
    /// When it was placed.
    pub placed: String,
    /// By whom.
    pub actor: String,
}

/// A hold that was placed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PlacedHold {
    /// `haris.hold/1`.
    pub schema: String,
    /// The hold.
    #[serde(flatten)]
    pub hold: HoldAnswer,
}

#[async_trait]
impl Operation for PlaceHold {
    const META: OperationMeta = OperationMeta {
        name: "ledger.hold",
        tells: "places a legal hold: nothing it covers is erased or pruned",
        permission: "ledger.hold",
        approval: Approval::None,
        events: &[&kind::HOLD_PLACED],
    };
    type Input = HoldInput;
    type Answer = PlacedHold;

    async fn run(context: &Context, actor: &Actor, input: HoldInput) -> Result<PlacedHold, Refusal> {
        let range = (moment(input.from.as_deref())?, moment(input.to.as_deref())?);
        let scope = match (input.events.as_slice(), &input.subject, range, input.everything) {
            (ids @ [_, ..], None, (None, None), false) => {
                HoldScope::Events(ids.iter().map(|id| event_id(id)).collect::<Result<_, _>>()?)
            }
            ([], Some(subject), (None, None), false) => {
                HoldScope::Subject { kind: detection_kind(input.subject_kind.as_deref())?, identifier: subject.clone() }
            }
            ([], None, (Some(from), Some(to)), false) if from < to => HoldScope::Range { from, to },
            ([], None, (None, None), true) => HoldScope::Everything,
            _ => {
                let message =
                    "say what to hold: exactly one of --event, --subject, --from with a later --to, --everything";
                return Err(Refusal::invalid(message));
            }
        };
        let word = match &scope {
            HoldScope::Everything => "everything",
            HoldScope::Events(_) => "events",
            HoldScope::Range { .. } => "range",
            HoldScope::Subject { .. } => "subject",
        };
        let now = context.now();
        let reason = input.reason.as_deref().unwrap_or(NOT_STATED);
        let id = context.ledger.hold(scope, reason, actor.clone(), now).await?;
        let hold = HoldAnswer {
            hold: id.to_string(),
            scope: word.to_owned(),
            placed: now.to_string(),
            actor: actor.to_string(),
        };
        Ok(PlacedHold { schema: "haris.hold/1".to_owned(), hold })
    }
}

/// Lists the holds in force.
pub struct ListHolds;

/// The holds in force, oldest first.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HoldsAnswer {
    /// `haris.holds/1`.
    pub schema: String,
    /// The holds.
    pub holds: Vec<HoldAnswer>,
}

#[async_trait]
impl Operation for ListHolds {
    const META: OperationMeta = OperationMeta {
        name: "ledger.holds",
        tells: "lists the legal holds in force",
        permission: "ledger.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = Value;
    type Answer = HoldsAnswer;

    async fn run(context: &Context, _actor: &Actor, _input: Value) -> Result<HoldsAnswer, Refusal> {
        let holds = context.ledger.holds().await?.into_iter().map(|hold| HoldAnswer {
            hold: hold.id.to_string(),
            scope: hold.scope,
            placed: hold.at.to_string(),
            actor: hold.actor,
        });
        Ok(HoldsAnswer { schema: "haris.holds/1".to_owned(), holds: holds.collect() })
    }
}

/// Lifts a legal hold.
pub struct LiftHold;

/// Which hold.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LiftInput {
    /// Its id: that of the event which placed it.
    pub hold: String,
    /// Why; kept as an encrypted payload.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A hold that is in force no more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LiftAnswer {
    /// `haris.lift/1`.
    pub schema: String,
    /// The hold's id.
    pub hold: String,
    /// The event that records its end.
    pub recorded: String,
}

#[async_trait]
impl Operation for LiftHold {
    const META: OperationMeta = OperationMeta {
        name: "ledger.lift",
        tells: "lifts a legal hold",
        permission: "ledger.hold",
        approval: Approval::SecondPerson,
        events: &[&kind::HOLD_LIFTED],
    };
    type Input = LiftInput;
    type Answer = LiftAnswer;

    async fn run(context: &Context, actor: &Actor, input: LiftInput) -> Result<LiftAnswer, Refusal> {
        let id = event_id(&input.hold)?;
        let reason = input.reason.as_deref().unwrap_or(NOT_STATED);
        let recorded = context.ledger.lift(id, reason, actor.clone(), context.now()).await?;
        Ok(LiftAnswer { schema: "haris.lift/1".to_owned(), hold: id.to_string(), recorded: recorded.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_law_become_a_code() {
        assert_eq!(code("PDPPL art. 5"), "PDPPL-art.-5");
        assert_eq!(code("QA-law-13-2016:art-5"), "QA-law-13-2016:art-5");
        assert_eq!(code("قانون"), "not-stated");
        assert_eq!(code(&"x".repeat(100)).len(), 64);
    }
}
