//! Events: what happened, what was decided, and how far its proof has come.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use haris_domain::{Actor, Draft, EventId, Log, Timestamp, kind};
use haris_ledger::{EventRow, Payload, ProofState};
use haris_verify::{Filter, LeafView};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Approval, Context, Operation, OperationMeta, Refusal};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 100_000;
/// Entries read at a time.
const PAGE: u64 = 1_000;
/// Entries of one log that one question looks through before it answers with what it has.
const SEARCHED_MAX: u64 = 200_000;

/// Lists events of both logs.
pub struct ListEvents;

/// Which events.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EventsInput {
    /// `key=value` conditions that all hold: `verdict=block`, `kind=gw.*`, `detections.rule=secret.*`.
    #[serde(default)]
    pub filter: Vec<String>,
    /// Born at or after this RFC 3339 time or day.
    #[serde(default)]
    pub from: Option<String>,
    /// Born before this RFC 3339 time or day.
    #[serde(default)]
    pub to: Option<String>,
    /// At most so many, the newest; default 50.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Only entries at or after these indices, oldest first: what `next` of an earlier answer said.
    #[serde(default)]
    pub after: Option<BTreeMap<String, u64>>,
    /// Only entries before these indices, the newest of them: what `older` of an earlier answer said. Not with `after`.
    #[serde(default)]
    pub before: Option<BTreeMap<String, u64>>,
}

/// Events, oldest first.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EventsAnswer {
    /// `haris.events/1`.
    pub schema: String,
    /// Each as its leaf says, with `log` and `index` beside.
    pub events: Vec<Value>,
    /// For `after`, to go on from here.
    pub next: BTreeMap<String, u64>,
    /// For `before`, to go on with older ones; none where there are none.
    #[serde(default)]
    pub older: Option<BTreeMap<String, u64>>,
    /// Entries looked through.
    pub searched: u64,
    /// Whether there are older entries, or with `after` newer ones, that were not looked at or not taken.
    pub more: bool,
}

/// The conditions of a question, read.
struct Wanted {
    filter: Vec<Filter>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    limit: usize,
}

impl Wanted {
    /// One grammar everywhere: `from`, `to` and `limit` may be written as conditions too.
    fn read(input: &EventsInput) -> Result<Self, Refusal> {
        let mut wanted = Self {
            filter: Vec::new(),
            from: moment(input.from.as_deref())?,
            to: moment(input.to.as_deref())?,
            limit: input.limit.unwrap_or(LIMIT_DEFAULT),
        };
        for condition in &input.filter {
            match condition.split_once('=') {
                Some(("from", at)) => wanted.from = moment(Some(at))?,
                Some(("to", at)) => wanted.to = moment(Some(at))?,
                Some(("limit", count)) => {
                    let bad = |_| Refusal::invalid(format!("`{condition}`: a limit is a number"));
                    wanted.limit = count.parse().map_err(bad)?;
                }
                _ => wanted.filter.push(condition.parse::<Filter>().map_err(|bad| Refusal::invalid(bad.to_string()))?),
            }
        }
        wanted.limit = wanted.limit.clamp(1, LIMIT_MAX);
        in_order(wanted.from, wanted.to)?;
        Ok(wanted)
    }

    /// The event as answered, if it meets the conditions.
    fn choose(&self, row: &EventRow) -> Option<Value> {
        let view = LeafView::parse(&row.bytes).ok()?;
        if !self.filter.iter().all(|filter| filter.matches(&view)) {
            return None;
        }
        let mut event: Value = serde_json::from_slice(&row.bytes).ok()?;
        let at: Timestamp = event["at"].as_str()?.parse().ok()?;
        if self.from.is_some_and(|from| at < from) || self.to.is_some_and(|to| at >= to) {
            return None;
        }
        event["log"] = row.log.name().into();
        event["index"] = row.index.into();
        Some(event)
    }
}

pub(crate) fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    text.map(|text| text.parse().map_err(|bad: haris_domain::time::BadTimestamp| Refusal::invalid(bad.to_string())))
        .transpose()
}

/// A window that ends before it begins is a mistake, and an empty answer would hide it.
pub(crate) fn in_order(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), Refusal> {
    match (from, to) {
        (Some(from), Some(to)) if from >= to => {
            Err(Refusal::invalid(format!("from {from} to {to} is no time at all: `to` must be later than `from`")))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl Operation for ListEvents {
    const META: OperationMeta = OperationMeta {
        name: "events.list",
        tells: "lists decisions and other events, newest last",
        permission: "events.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = EventsInput;
    type Answer = EventsAnswer;

    async fn run(context: &Context, _actor: &Actor, input: EventsInput) -> Result<EventsAnswer, Refusal> {
        let wanted = Wanted::read(&input)?;
        if input.after.is_some() && input.before.is_some() {
            return Err(Refusal::invalid("after and before: give one of them"));
        }
        let mut answer = EventsAnswer {
            schema: "haris.events/1".to_owned(),
            events: Vec::new(),
            next: BTreeMap::new(),
            older: None,
            searched: 0,
            more: false,
        };
        let mut stretches = Vec::new();
        for log in Log::ALL {
            let size = context.ledger.size(log).await?;
            if let Some(after) = &input.after {
                let from = after.get(log.name()).copied().unwrap_or(0);
                forwards(context, log, from, size, &wanted, &mut answer).await?;
            } else {
                let to = input.before.as_ref().map_or(size, |before| before.get(log.name()).copied().unwrap_or(0));
                answer.next.insert(log.name().to_owned(), size);
                stretches.push(backwards(context, log, to.min(size), &wanted, &mut answer).await?);
            }
        }
        if input.after.is_none() {
            newest(stretches, wanted.limit, &mut answer);
        }
        answer.events.sort_by(|a, b| a["at"].as_str().cmp(&b["at"].as_str()));
        Ok(answer)
    }
}

/// What was found in one log, newest first, and how far down it was looked at.
struct Stretch {
    log: Log,
    found: VecDeque<Value>,
    to: u64,
}

/// Of both logs together the newest, and from where to go on: of each log what is taken is all down to some entry, so
/// that the next question misses none and repeats none.
fn newest(mut stretches: Vec<Stretch>, limit: usize, answer: &mut EventsAnswer) {
    let at = |event: &Value| event["at"].as_str().map(str::to_owned);
    while answer.events.len() < limit {
        let newest = stretches.iter_mut().max_by_key(|stretch| stretch.found.front().and_then(at));
        let Some(event) = newest.and_then(|stretch| stretch.found.pop_front()) else { break };
        answer.events.push(event);
    }
    let mut older = BTreeMap::new();
    for stretch in stretches {
        let left = stretch.found.front().and_then(|event| event["index"].as_u64()).map(|index| index + 1);
        older.insert(stretch.log.name().to_owned(), left.unwrap_or(stretch.to));
    }
    answer.more = older.values().any(|to| *to > 0);
    answer.older = Some(older).filter(|_| answer.more);
}

async fn forwards(
    context: &Context,
    log: Log,
    from: u64,
    size: u64,
    wanted: &Wanted,
    answer: &mut EventsAnswer,
) -> Result<(), Refusal> {
    let mut at = from.min(size);
    let mut found = 0;
    while at < size && found < wanted.limit && at - from < SEARCHED_MAX {
        let rows = context.ledger.read(log, at, (at + PAGE).min(size)).await?;
        for row in &rows {
            at = row.index + 1;
            answer.searched += 1;
            if let Some(event) = wanted.choose(row) {
                answer.events.push(event);
                found += 1;
            }
            if found == wanted.limit {
                break;
            }
        }
        if rows.is_empty() {
            break;
        }
    }
    answer.next.insert(log.name().to_owned(), at);
    answer.more |= at < size;
    Ok(())
}

async fn backwards(
    context: &Context,
    log: Log,
    end: u64,
    wanted: &Wanted,
    answer: &mut EventsAnswer,
) -> Result<Stretch, Refusal> {
    let mut to = end;
    let mut found = VecDeque::new();
    while to > 0 && found.len() < wanted.limit && end - to < SEARCHED_MAX {
        let from = to.saturating_sub(PAGE);
        for row in context.ledger.read(log, from, to).await?.iter().rev() {
            answer.searched += 1;
            found.extend(wanted.choose(row));
        }
        to = from;
    }
    Ok(Stretch { log, found, to })
}

/// Shows one event.
pub struct ShowEvent;

/// Which event.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ShowInput {
    /// Its id.
    pub id: String,
}

/// One event with its proof and its counterpart.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EventAnswer {
    /// `haris.event/1`.
    pub schema: String,
    /// As its leaf says, with `log` and `index` beside.
    pub event: Value,
    /// `state` is `pending` or `sealed`; sealed ones name the checkpoint's size and time.
    pub proof: Value,
    /// Of each payload, by name: `stored`, `not-stored` or `erased`.
    pub payloads: BTreeMap<String, String>,
    /// The answer to this request, or the request of this answer, where there is one.
    pub counterpart: Option<Value>,
}

#[async_trait]
impl Operation for ShowEvent {
    const META: OperationMeta = OperationMeta {
        name: "events.show",
        tells: "one event: verdict, rules, spans, timing, proof",
        permission: "events.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = ShowInput;
    type Answer = EventAnswer;

    async fn run(context: &Context, _actor: &Actor, input: ShowInput) -> Result<EventAnswer, Refusal> {
        let id = event_id(&input.id)?;
        let (event, proof) = with_proof(context, id).await?;
        let mut payloads = BTreeMap::new();
        for payload in event["payloads"].as_array().into_iter().flatten() {
            let name = payload["name"].as_str().unwrap_or_default();
            let state = match context.ledger.open_payload(id, name).await? {
                Payload::Text { .. } => "stored",
                Payload::NotStored => "not-stored",
                Payload::Erased | Payload::Unknown => "erased",
            };
            payloads.insert(name.to_owned(), state.to_owned());
        }
        let counterpart = match event["data"]["request"].as_str().and_then(|id| id.parse().ok()) {
            Some(request) => context.ledger.find(request).await?.map(|located| located.bytes),
            None => answer_to(context, id).await?,
        };
        Ok(EventAnswer {
            schema: "haris.event/1".to_owned(),
            event,
            proof,
            payloads,
            counterpart: counterpart.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        })
    }
}

pub(crate) fn event_id(text: &str) -> Result<EventId, Refusal> {
    text.parse().map_err(|bad: haris_domain::id::BadEventId| Refusal::invalid(bad.to_string()))
}

/// An event as its leaf says, and its proof's state.
pub(crate) async fn with_proof(context: &Context, id: EventId) -> Result<(Value, Value), Refusal> {
    let mut located = context.ledger.find(id).await?;
    if located.is_none() {
        // Acknowledged means durable, in the spool; whoever holds an id need not wait for shipping.
        for (name, spool) in &context.spools {
            context.ledger.drain(spool, name).await.map_err(|error| Refusal::internal(&error))?;
        }
        located = context.ledger.find(id).await?;
    }
    let located = located.ok_or_else(|| Refusal::not_found(format!("there is no event {id} here")))?;
    let mut event: Value = serde_json::from_slice(&located.bytes).map_err(|error| Refusal::internal(&error))?;
    event["log"] = located.log.name().into();
    event["index"] = located.index.into();
    let proof = match context.ledger.proof_state(located.log, located.index).await? {
        ProofState::Pending => json!({ "state": "pending" }),
        ProofState::Sealed { size, at } => {
            json!({ "state": "sealed", "checkpoint_size": size, "sealed_at": at.to_string() })
        }
    };
    Ok((event, proof))
}

/// The answer on record to a request.
pub(crate) async fn answer_to(context: &Context, request: EventId) -> Result<Option<Vec<u8>>, Refusal> {
    let id = haris_register::response_of(&context.ledger, request).await.map_err(|error| Refusal::internal(&error))?;
    let Some(id) = id else { return Ok(None) };
    Ok(context.ledger.find(id).await?.map(|located| located.bytes))
}

/// Shows the text of an event's payload. Showing it is an event of its own.
pub struct RevealEvent;

/// Which payload, and why.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RevealInput {
    /// The event's id.
    pub id: String,
    /// Why the text must be seen; kept as an encrypted payload of the new event.
    pub reason: String,
}

/// The texts.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RevealAnswer {
    /// `haris.reveal/1`.
    pub schema: String,
    /// The event that records this look.
    pub recorded: String,
    /// Text by payload name; none where nothing was stored or it was erased.
    pub texts: BTreeMap<String, Option<String>>,
}

#[async_trait]
impl Operation for RevealEvent {
    const META: OperationMeta = OperationMeta {
        name: "events.reveal",
        tells: "shows the stored text of an event; doing so is an event",
        permission: "events.reveal",
        approval: Approval::None,
        events: &[&kind::PAYLOAD_REVEALED],
    };
    type Input = RevealInput;
    type Answer = RevealAnswer;

    async fn run(context: &Context, actor: &Actor, input: RevealInput) -> Result<RevealAnswer, Refusal> {
        let id = event_id(&input.id)?;
        if input.reason.trim().is_empty() {
            return Err(Refusal::invalid("say why the text must be seen: --reason \"…\""));
        }
        let (event, _) = with_proof(context, id).await?;
        let names: Vec<_> =
            event["payloads"].as_array().into_iter().flatten().filter_map(|p| p["name"].as_str()).collect();
        let draft = Draft::new(&kind::PAYLOAD_REVEALED, context.now(), actor.clone())
            .about(id)
            .with("event", id.to_string())
            .with("names", names.clone());
        let recorded = draft.id.to_string();
        let reason = context.seal_text(&draft, "reason", &input.reason)?;
        // On record before anything is shown: a look that could not be recorded does not happen.
        context.ledger.append(vec![(draft, vec![reason])]).await?;
        let mut texts = BTreeMap::new();
        for name in names {
            let text = match context.ledger.open_payload(id, name).await? {
                Payload::Text { text, .. } => Some(String::from_utf8_lossy(&text).into_owned()),
                Payload::NotStored | Payload::Erased | Payload::Unknown => None,
            };
            texts.insert(name.to_owned(), text);
        }
        Ok(RevealAnswer { schema: "haris.reveal/1".to_owned(), recorded, texts })
    }
}
