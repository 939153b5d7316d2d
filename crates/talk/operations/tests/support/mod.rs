//! An installation in a scratch place, asked as a door asks.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use haris_access::{Access, Enrol, Totp, Who};
use haris_domain::{Actor, Draft, EventId, Stored, Timestamp, kind};
use haris_keys::KeyDir;
use haris_ledger::{Ledger, Options};
use haris_operations::{Context, Refusal, RefusalCode, perform};
use haris_register::{Accounts, Alerts, Approvals, Callers, Interactions, Tokens};
use haris_spool::{RealDisk, SourceName, Spool};
use haris_store::Engine;
use haris_store::testing::Scratch;
use serde_json::{Value, json};

pub(crate) const QID: &str = "28463400123";

static LATER_MICROS: AtomicI64 = AtomicI64::new(0);

/// 2026-11-24T07:00:00Z, and what [`later`] adds.
pub(crate) fn clock() -> Timestamp {
    let start: Timestamp = "2026-11-24T07:00:00Z".parse().unwrap();
    start.plus_micros(LATER_MICROS.load(Ordering::SeqCst))
}

/// Moves the clock, of this test alone: each runs in a process of its own.
pub(crate) fn later(seconds: i64) {
    LATER_MICROS.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
}

pub(crate) struct Scene {
    pub(crate) scratch: Scratch,
    _keys: tempfile::TempDir,
    pub(crate) context: Context,
    pub(crate) who: Who,
}

/// A person who came in, with their authenticator.
pub(crate) struct Person {
    pub(crate) account: String,
    totp: Totp,
}

impl Person {
    /// A code that was not used yet: time goes on.
    pub(crate) fn code(&self) -> String {
        later(60);
        self.totp.code_at(clock())
    }
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let (scratch, keys) = (Scratch::new(Engine::Sqlite), tempfile::tempdir().unwrap());
        let (node, boot) = ("node1".to_owned(), "boot1".to_owned());
        let options = Options {
            store: scratch.open().await.unwrap(),
            keys: Arc::new(KeyDir::open_or_create(&keys.path().join("keys")).unwrap()),
            node: node.clone(),
            boot: boot.clone(),
            projections: vec![
                Box::new(Accounts),
                Box::new(Alerts),
                Box::new(Approvals),
                Box::new(Callers),
                Box::new(Interactions),
                Box::new(Tokens),
            ],
            origin: None,
        };
        let ledger = Ledger::open(options, clock()).await.unwrap();
        ledger.ensure_day_keys(clock()).await.unwrap();
        let folder = scratch.path().join("spool");
        let spool =
            Spool::open(&folder, SourceName { node, boot }, haris_spool::Options::default(), Arc::new(RealDisk));
        let access = Access::new(haris_access::Options {
            ledger: ledger.clone(),
            key: zeroize::Zeroizing::new([7; 32]),
            clock,
            session_idle: Duration::from_secs(1_800),
            session_max: Duration::from_secs(43_200),
        });
        let context = Context {
            ledger,
            access,
            approving: Arc::default(),
            spools: vec![("node1:spool".to_owned(), spool.unwrap())],
            gateway: None,
            cosigners: None,
            anchors: None,
            data: scratch.path().to_owned(),
            vitals: Arc::default(),
            reserve: Arc::default(),
            clock,
        };
        Self { scratch, _keys: keys, context, who: Who::host(1000) }
    }

    /// Asks for an operation by name, as a door does.
    pub(crate) async fn ask(&self, operation: &str, input: Value) -> Result<Value, Refusal> {
        perform(&self.context, &self.who, operation, input).await
    }

    /// As a person asks in the console.
    pub(crate) async fn ask_as(&self, account: &str, operation: &str, input: Value) -> Result<Value, Refusal> {
        let who = self.context.access.person(account).await.unwrap().unwrap();
        perform(&self.context, &who, operation, input).await
    }

    /// Comes in by a link.
    pub(crate) async fn enrol(&self, link: &str, login: &str) -> Person {
        let totp = self.context.access.totp_of_link(link);
        let code = totp.code_at(clock());
        let passphrase = "lantern orbit nine camels";
        let chosen = Enrol { link, login, name: login, passphrase, code: &code };
        Person { account: self.context.access.enrol(chosen).await.unwrap().account, totp }
    }

    /// The first officer.
    pub(crate) async fn found(&self) -> Person {
        let link = self.context.access.first_link().await.unwrap().unwrap();
        self.enrol(&link, "officer").await
    }

    /// Somebody whose account the host's first days made: nobody's creature.
    pub(crate) async fn person(&self, roles: &[&str]) -> Person {
        let account = self.context.access.new_account();
        let draft = Draft::new(&kind::ACCOUNT_CREATED, clock(), Actor::local(1000));
        let draft = draft.with("account", account.clone()).with("roles", roles.to_vec());
        self.context.ledger.append(vec![(draft, Vec::new())]).await.unwrap();
        let link = self.context.access.invite(&account, Duration::ZERO).await.unwrap();
        self.enrol(&link, &account).await
    }

    /// What it answers, where it must be carried out.
    pub(crate) async fn done(&self, operation: &str, input: Value) -> Value {
        self.ask(operation, input).await.unwrap()
    }

    /// Why it is not carried out, where it must not be.
    pub(crate) async fn refused(&self, operation: &str, input: Value) -> RefusalCode {
        let refusal = self.ask(operation, input).await.unwrap_err();
        assert!(!refusal.message.is_empty());
        refusal.code
    }

    /// A question with one identifier in it, and its answer, in the spool as the gateway leaves
    /// them. Their ids.
    pub(crate) async fn exchange(&self, caller: &str, text: &str) -> (EventId, EventId) {
        let day = self.context.ledger.day_keys().for_day(clock()).unwrap();
        let seal = |event: EventId, name: &str, stored: Stored, text: &str| {
            haris_keys::seal_payload(&day, event, name, stored, text.as_bytes(), None)
        };
        let found = json!([{
            "rule": "pii.qatari-id", "kind": "qid", "field": "messages[0].content", "start": 3, "end": 14,
            "score": 990_000, "action": "redact",
        }]);
        let request = Draft::new(&kind::REQUEST_DECIDED, clock(), Actor::caller(caller))
            .with("environment", "production")
            .with("model", "gpt-4o")
            .with("verdict", "redact")
            .with("detections", found);
        let response = Draft::new(&kind::RESPONSE_DECIDED, clock().plus_micros(1_000), Actor::caller(caller))
            .about(request.id)
            .with("request", request.id.to_string())
            .with("environment", "production")
            .with("verdict", "allow")
            .with("outcome", "complete")
            .with("detections", json!([]));
        let ids = (request.id, response.id);
        let identifiers = json!([{ "kind": "qid", "value": QID }]).to_string();
        let question = vec![
            seal(ids.0, "request", Stored::Redacted, text),
            seal(ids.0, "identifiers", Stored::Full, &identifiers),
        ];
        let answer = vec![seal(ids.1, "response", Stored::Redacted, "certainly")];
        let (_, spool) = &self.context.spools[0];
        for (draft, payloads) in [(request, question), (response, answer)] {
            spool.append(draft, payloads).unwrap().await.unwrap();
        }
        ids
    }

    /// Ships what the spool holds and seals everything.
    pub(crate) async fn settle(&self) {
        let (name, spool) = &self.context.spools[0];
        self.context.ledger.drain(spool, name).await.unwrap();
        self.context.ledger.seal_and_anchor(clock()).await.unwrap();
    }

    /// Events of one kind, as their leaves say.
    pub(crate) async fn recorded(&self, kind: &str) -> Vec<Value> {
        let answer = self.done("events.list", json!({ "filter": [format!("kind={kind}")] })).await;
        answer["events"].as_array().unwrap().clone()
    }

    /// The one refusal on record: which operation, and its code.
    pub(crate) async fn only_refusal(&self) -> (String, String) {
        let refusals = self.recorded("operation.request.refused/1").await;
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        let word = |key: &str| refusals[0]["data"][key].as_str().unwrap().to_owned();
        assert_eq!(refusals[0]["actor"], "local:1000");
        (word("operation"), word("code"))
    }
}
