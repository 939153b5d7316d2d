//! Callers: the applications that may use the gateway.

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use haris_domain::{Actor, Draft, Timestamp, kind};
use haris_policy::Pattern;
use haris_register::Caller;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{Approval, Context, Operation, OperationMeta, Refusal, RefusalCode};

const DAY_MICROS: i64 = 86_400_000_000;
/// A name is an identifier of an application, not a sentence and not a person: it enters leaves.
const NAME_BYTES_MAX: usize = 64;

/// Issues a key to an application.
pub struct AddCaller;

/// Who gets a key, and for what.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AddCallerInput {
    /// The application's name: letters, digits, `-`, `_`, `.`; unique among callers not revoked.
    pub name: String,
    /// Patterns of the models it may use; all configured ones when empty.
    #[serde(default)]
    pub models: Vec<String>,
    /// For how many days the key is accepted; without end when not given.
    #[serde(default)]
    pub expires_days: Option<u32>,
    /// Who answers for it, as a person would write it; kept as an encrypted payload.
    #[serde(default)]
    pub owner: Option<String>,
}

/// The key, shown this once.
#[derive(Clone, Deserialize, Serialize)]
pub struct AddedCaller {
    /// `haris.caller-key/1`.
    pub schema: String,
    /// The caller.
    pub caller: CallerAnswer,
    /// Its key. Only its SHA-256 is kept.
    pub key: String,
}

/// A caller as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CallerAnswer {
    /// Opaque id; events say `caller:` and this.
    pub id: String,
    /// The application's name.
    pub name: String,
    /// Patterns of the models it may use.
    pub models: Vec<String>,
    /// When its key was issued.
    pub issued: String,
    /// When its key stops being accepted by itself.
    pub expires: Option<String>,
    /// When its key was revoked.
    pub revoked: Option<String>,
    /// Whether the key is accepted at this moment.
    pub accepted: bool,
    /// Who answers for it, where that was said and not erased.
    pub owner: Option<String>,
}

impl CallerAnswer {
    fn of(caller: &Caller, owner: Option<String>, now: Timestamp) -> Self {
        Self {
            id: caller.id.clone(),
            name: caller.name.clone(),
            models: caller.models.clone(),
            issued: caller.issued_at.to_string(),
            expires: caller.expires.map(|at| at.to_string()),
            revoked: caller.revoked_at.map(|at| at.to_string()),
            accepted: caller.revoked_at.is_none() && caller.expires.is_none_or(|at| now < at),
            owner,
        }
    }
}

#[async_trait]
impl Operation for AddCaller {
    const META: OperationMeta = OperationMeta {
        name: "callers.add",
        tells: "issues a key to an application",
        permission: "callers.write",
        approval: Approval::None,
        events: &[&kind::CALLER_ISSUED],
    };
    type Input = AddCallerInput;
    type Answer = AddedCaller;

    async fn run(context: &Context, actor: &Actor, input: AddCallerInput) -> Result<AddedCaller, Refusal> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if input.name.is_empty() || input.name.len() > NAME_BYTES_MAX || !input.name.bytes().all(plain) {
            return Err(Refusal::invalid(format!(
                "a caller's name is 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`: it names an application, for example mobile-app"
            )));
        }
        let mut models = Vec::new();
        for pattern in &input.models {
            let pattern: Pattern =
                pattern.parse().map_err(|bad: haris_policy::BadPattern| Refusal::invalid(bad.to_string()))?;
            models.push(pattern.to_string());
        }
        if models.is_empty() {
            models.push(Pattern::any().to_string());
        }
        let now = context.now();
        let known = haris_register::callers(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
        if known.iter().any(|caller| caller.name == input.name && caller.revoked_at.is_none()) {
            let message =
                format!("there is a caller `{}` already; revoke it first, or choose another name", input.name);
            return Err(Refusal::new(RefusalCode::Conflict, message));
        }

        let secret = random::<32>();
        let key = Zeroizing::new(format!("hk_{}", URL_SAFE_NO_PAD.encode(secret.as_slice())));
        let id = format!("c{}", random::<8>().iter().map(|b| format!("{b:02x}")).collect::<String>());
        let expires = input.expires_days.map(|days| now.plus_micros(i64::from(days).saturating_mul(DAY_MICROS)));
        let mut draft = Draft::new(&kind::CALLER_ISSUED, now, actor.clone())
            .about(format!("caller:{id}"))
            .with("caller", id.clone())
            .with("name", input.name.clone())
            .with("models", models.clone());
        if let Some(at) = expires {
            draft = draft.with("expires_us", at.micros());
        }
        let mut payloads = Vec::new();
        if let Some(owner) = &input.owner {
            payloads.push(context.seal_text(&draft, "owner", owner)?);
        }
        let hash = digest(&SHA256, key.as_bytes()).as_ref().try_into().expect("SHA-256 gives 32 bytes");
        let stored = haris_register::put_credential(&context.ledger, &id, hash).await;
        stored.map_err(|error| Refusal::internal(&error))?;
        let event = draft.id.to_string();
        context.ledger.append(vec![(draft, payloads)]).await?;
        tell_gateway(context).await?;
        let caller = Caller { id, name: input.name, models, issued_at: now, expires, revoked_at: None, event };
        Ok(AddedCaller {
            schema: "haris.caller-key/1".to_owned(),
            caller: CallerAnswer::of(&caller, input.owner, now),
            key: key.as_str().to_owned(),
        })
    }
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut())
        .expect("the system's random generator is initialised before any process runs");
    bytes
}

async fn tell_gateway(context: &Context) -> Result<(), Refusal> {
    match &context.gateway {
        Some(gateway) => gateway.callers_changed().await,
        None => Ok(()),
    }
}

/// Lists callers, revoked ones included.
pub struct ListCallers;

/// All callers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CallersAnswer {
    /// `haris.callers/1`.
    pub schema: String,
    /// By name, then age.
    pub callers: Vec<CallerAnswer>,
}

#[async_trait]
impl Operation for ListCallers {
    const META: OperationMeta = OperationMeta {
        name: "callers.list",
        tells: "lists the applications that have or had a key",
        permission: "callers.read",
        approval: Approval::None,
        events: &[],
    };
    type Input = Value;
    type Answer = CallersAnswer;

    async fn run(context: &Context, _actor: &Actor, _input: Value) -> Result<CallersAnswer, Refusal> {
        let now = context.now();
        let known = haris_register::callers(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
        let mut callers = Vec::with_capacity(known.len());
        for caller in &known {
            callers.push(CallerAnswer::of(caller, owner(context, caller).await, now));
        }
        Ok(CallersAnswer { schema: "haris.callers/1".to_owned(), callers })
    }
}

/// An owner that was erased or cannot be read is shown as not known; the list still serves.
async fn owner(context: &Context, caller: &Caller) -> Option<String> {
    let id = caller.event.parse().ok()?;
    match context.ledger.open_payload(id, "owner").await.ok()? {
        haris_ledger::Payload::Text { text, .. } => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    }
}

/// Stops accepting an application's key.
pub struct RevokeCaller;

/// Whose key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeCallerInput {
    /// The caller's name or id.
    pub caller: String,
}

/// Whose key is refused from now on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RevokedCaller {
    /// `haris.caller/1`.
    pub schema: String,
    /// The caller.
    #[serde(flatten)]
    pub caller: CallerAnswer,
}

#[async_trait]
impl Operation for RevokeCaller {
    const META: OperationMeta = OperationMeta {
        name: "callers.revoke",
        tells: "stops accepting an application's key, at once",
        permission: "callers.write",
        approval: Approval::None,
        events: &[&kind::CALLER_REVOKED],
    };
    type Input = RevokeCallerInput;
    type Answer = RevokedCaller;

    async fn run(context: &Context, actor: &Actor, input: RevokeCallerInput) -> Result<RevokedCaller, Refusal> {
        let known = haris_register::callers(&context.ledger).await.map_err(|error| Refusal::internal(&error))?;
        let named = |caller: &&Caller| caller.name == input.caller || caller.id == input.caller;
        let found = known.iter().filter(named).find(|caller| caller.revoked_at.is_none());
        let Some(caller) = found else {
            return Err(if known.iter().any(|caller| named(&caller)) {
                Refusal::new(RefusalCode::Conflict, format!("caller `{}` is revoked already", input.caller))
            } else {
                Refusal::not_found(format!("there is no caller `{}`; `haris callers list` shows them", input.caller))
            });
        };
        let now = context.now();
        let draft = Draft::new(&kind::CALLER_REVOKED, now, actor.clone())
            .about(format!("caller:{}", caller.id))
            .with("caller", caller.id.clone());
        context.ledger.append(vec![(draft, Vec::new())]).await?;
        let forgotten = haris_register::forget_credential(&context.ledger, &caller.id).await;
        forgotten.map_err(|error| Refusal::internal(&error))?;
        tell_gateway(context).await?;
        let revoked = Caller { revoked_at: Some(now), ..caller.clone() };
        let caller = CallerAnswer::of(&revoked, owner(context, caller).await, now);
        Ok(RevokedCaller { schema: "haris.caller/1".to_owned(), caller })
    }
}
