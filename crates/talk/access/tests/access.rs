//! From the first link to a session, a token and the end of both, over a real ledger.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use haris_access::{Access, BadScopes, Enrol, EnrolError, Invitation, LogIn, LogInError, LoggedIn, Options, Totp, Via};
use haris_domain::{Actor, Log, Timestamp};
use haris_keys::KeyDir;
use haris_ledger::Ledger;
use haris_register::{Accounts, Approvals, Tokens};
use haris_store::Engine;
use haris_store::testing::Scratch;
use serde_json::Value;
use zeroize::Zeroizing;

const PASSPHRASE: &str = "lantern orbit nine camels";
const START: i64 = 1_800_000_000_000_000;

/// Moved by tests; each runs in a process of its own.
static NOW: AtomicI64 = AtomicI64::new(START);

fn clock() -> Timestamp {
    Timestamp::from_micros(NOW.load(Ordering::SeqCst))
}

fn later(seconds: i64) {
    NOW.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
}

struct Scene {
    _scratch: Scratch,
    _keys: tempfile::TempDir,
    ledger: Ledger,
    access: Access,
}

/// Somebody who came in.
struct Person {
    account: String,
    totp: Totp,
    recovery: Vec<String>,
}

impl Person {
    fn code(&self) -> String {
        self.totp.code_at(clock())
    }
}

impl Scene {
    async fn new() -> Self {
        let (scratch, keys) = (Scratch::new(Engine::Sqlite), tempfile::tempdir().unwrap());
        let options = haris_ledger::Options {
            store: scratch.open().await.unwrap(),
            keys: Arc::new(KeyDir::open_or_create(&keys.path().join("keys")).unwrap()),
            node: "node1".to_owned(),
            boot: "boot1".to_owned(),
            projections: vec![Box::new(Accounts), Box::new(Approvals), Box::new(Tokens)],
            origin: None,
        };
        let ledger = Ledger::open(options, clock()).await.unwrap();
        ledger.ensure_day_keys(clock()).await.unwrap();
        let access = Access::new(Options {
            ledger: ledger.clone(),
            key: Zeroizing::new([7; 32]),
            clock,
            session_idle: Duration::from_secs(1_800),
            session_max: Duration::from_secs(12 * 3_600),
        });
        Self { _scratch: scratch, _keys: keys, ledger, access }
    }

    async fn founded() -> (Self, Person) {
        let scene = Self::new().await;
        let link = scene.access.first_link().await.unwrap().unwrap();
        let officer = scene.enrol(&link, "maryam").await.unwrap();
        later(60);
        (scene, officer)
    }

    async fn enrol(&self, link: &str, login: &str) -> Result<Person, EnrolError> {
        let totp = self.access.totp_of_link(link);
        let code = totp.code_at(clock());
        let chosen = Enrol { link, login, name: "Maryam Al-Kuwari", passphrase: PASSPHRASE, code: &code };
        let enrolled = self.access.enrol(chosen).await?;
        let recovery = enrolled.recovery.iter().map(|code| code.to_string()).collect();
        Ok(Person { account: enrolled.account, totp, recovery })
    }

    async fn log_in(&self, login: &str, passphrase: &str, code: &str) -> Result<LoggedIn, LogInError> {
        self.log_in_from([10, 0, 0, 1], login, passphrase, code, None).await
    }

    async fn log_in_from(
        &self,
        address: [u8; 4],
        login: &str,
        passphrase: &str,
        code: &str,
        device: Option<&str>,
    ) -> Result<LoggedIn, LogInError> {
        let address = IpAddr::from(address);
        self.access.log_in(LogIn { login, passphrase, code, address, device, agent: "test" }).await
    }

    /// Leaves of one kind.
    async fn recorded(&self, kind: &str) -> Vec<Value> {
        let size = self.ledger.size(Log::Evidence).await.unwrap();
        let rows = self.ledger.read(Log::Evidence, 0, size).await.unwrap();
        let leaves = rows.iter().map(|row| serde_json::from_slice::<Value>(&row.bytes).unwrap());
        leaves.filter(|leaf| leaf["kind"] == kind).collect()
    }
}

#[tokio::test]
async fn the_first_link_makes_one_officer_and_is_used_once() {
    let scene = Scene::new().await;
    assert!(!scene.access.founded().await.unwrap());
    let old = scene.access.first_link().await.unwrap().unwrap();
    let link = scene.access.first_link().await.unwrap().unwrap();
    assert!(link.len() > 64 && link.starts_with("hl_"));
    assert_eq!(scene.access.invitation(&link).await.unwrap(), Some(Invitation::First));
    for bad in [old.as_str(), "", "hl_", "hl_00"] {
        assert_eq!(scene.access.invitation(bad).await.unwrap(), None);
        assert!(matches!(scene.enrol(bad, "maryam").await, Err(EnrolError::Link { .. })));
    }
    let officer = scene.enrol(&link, " Maryam ").await.unwrap();
    assert!(scene.access.founded().await.unwrap());
    assert!(matches!(scene.enrol(&link, "second").await, Err(EnrolError::Link { .. })));
    assert!(scene.access.first_link().await.unwrap().is_none());

    let made = scene.recorded("access.account.created/1").await;
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["data"], serde_json::json!({ "account": officer.account, "roles": ["officer"] }));
    let leaf = made[0].to_string();
    assert!(!leaf.contains("Maryam") && !leaf.contains("maryam"), "a leaf holds no name: {leaf}");
    let faces = scene.access.faces().await.unwrap();
    assert_eq!((faces[0].login.as_str(), faces[0].name.as_str()), ("maryam", "Maryam Al-Kuwari"));
}

#[tokio::test]
async fn what_is_chosen_badly_is_refused_and_the_link_stays_good() {
    let scene = Scene::new().await;
    let link = scene.access.first_link().await.unwrap().unwrap();
    let code = scene.access.totp_of_link(&link).code_at(clock());
    let chosen = |login, name, passphrase, code| Enrol { link: &link, login, name, passphrase, code };
    let refused = |chosen| async { scene.access.enrol(chosen).await.err().unwrap() };
    assert!(matches!(refused(chosen("x", "X", PASSPHRASE, &code)).await, EnrolError::Login));
    assert!(matches!(refused(chosen("a b", "X", PASSPHRASE, &code)).await, EnrolError::Login));
    assert!(matches!(refused(chosen("maryam", " ", PASSPHRASE, &code)).await, EnrolError::Name));
    assert!(matches!(refused(chosen("maryam", "a\u{0}b", PASSPHRASE, &code)).await, EnrolError::Name));
    assert!(matches!(refused(chosen("maryam", "X", "short", &code)).await, EnrolError::Passphrase(_)));
    assert!(matches!(refused(chosen("maryam", "X", PASSPHRASE, "000000x")).await, EnrolError::Code));
    scene.enrol(&link, "maryam").await.unwrap();
}

#[tokio::test]
async fn a_session_opens_with_all_three_and_one_answer_tells_nothing_of_which_was_wrong() {
    let (scene, officer) = Scene::founded().await;
    let code = officer.code();
    for (login, passphrase, code) in [
        ("nobody", PASSPHRASE, code.as_str()),
        ("maryam", "lantern orbit nine camel", code.as_str()),
        ("maryam", PASSPHRASE, "000000"),
        ("", "", ""),
    ] {
        assert!(matches!(scene.log_in(login, passphrase, code).await, Err(LogInError::Wrong)), "{login}");
    }
    let opened = scene.log_in("MARYAM", PASSPHRASE, &code).await.unwrap();
    assert!(matches!(scene.log_in("maryam", PASSPHRASE, &code).await, Err(LogInError::Wrong)), "a code counts once");
    let session = scene.access.session(&opened.session).await.unwrap().unwrap();
    assert_eq!(session.who.account(), Some(officer.account.as_str()));
    assert_eq!(session.who.roles[0].name, "officer");
    assert!(session.is_own(session.csrf()) && !session.is_own("") && !session.csrf().contains(opened.session.as_str()));
    for bad in ["", "hs_", opened.device.as_str(), session.csrf()] {
        assert!(scene.access.session(bad).await.unwrap().is_none());
    }
    assert_eq!(scene.recorded("access.session.opened/1").await.len(), 1);
    scene.access.record_refusals(true).await.unwrap();
    let refused: u64 =
        scene.recorded("access.login.refused/1").await.iter().map(|leaf| leaf["data"]["count"].as_u64().unwrap()).sum();
    assert_eq!(refused, 5);
}

#[tokio::test]
async fn a_session_ends_idle_old_or_ended() {
    let (scene, officer) = Scene::founded().await;
    let open = || async { scene.log_in("maryam", PASSPHRASE, &officer.code()).await.unwrap().session };

    let session = open().await;
    later(1_700);
    let who = scene.access.session(&session).await.unwrap().unwrap();
    later(1_700);
    assert!(scene.access.session(&session).await.unwrap().is_some(), "it was used meanwhile");
    later(1_801);
    assert!(scene.access.session(&session).await.unwrap().is_none());
    assert!(!scene.access.end_session(&officer.account, &who.handle, &who.who.actor).await.unwrap());

    let session = open().await;
    for _ in 0..25 {
        later(1_790);
        let _ = scene.access.session(&session).await.unwrap();
    }
    assert!(scene.access.session(&session).await.unwrap().is_none(), "used without end, it is too old");

    let session = open().await;
    let handle = scene.access.session(&session).await.unwrap().unwrap().handle;
    assert!(!scene.access.end_session("p0", &handle, &Actor::person("p0")).await.unwrap(), "another's");
    assert!(scene.access.end_session(&officer.account, &handle, &Actor::person(&officer.account)).await.unwrap());
    assert!(scene.access.session(&session).await.unwrap().is_none());
    let why: Vec<_> = scene.recorded("access.session.ended/1").await;
    let why: Vec<_> = why.iter().map(|leaf| leaf["data"]["why"].as_str().unwrap().to_owned()).collect();
    assert_eq!(why, ["idle", "old", "ended"]);
}

#[tokio::test]
async fn a_recovery_code_counts_once_and_is_on_record() {
    let (scene, officer) = Scene::founded().await;
    assert_eq!(officer.recovery.len(), 10);
    let typed = officer.recovery[3].to_lowercase().replace('-', " ");
    let opened = scene.log_in("maryam", PASSPHRASE, &typed).await.unwrap();
    assert!(opened.recovery_used);
    assert!(matches!(scene.log_in("maryam", PASSPHRASE, &typed).await, Err(LogInError::Wrong)));
    scene.log_in("maryam", PASSPHRASE, &officer.recovery[4]).await.unwrap();
    assert_eq!(scene.recorded("access.recovery.used/1").await.len(), 2);
}

#[tokio::test]
async fn guessing_from_one_network_locks_neither_another_nor_a_known_device() {
    let (scene, officer) = Scene::founded().await;
    let device = scene.log_in("maryam", PASSPHRASE, &officer.code()).await.unwrap().device;
    later(60);
    let mut waits = 0;
    for _ in 0..20 {
        let guess = scene.log_in("maryam", "not this one, surely", "000000").await;
        waits += usize::from(matches!(guess, Err(LogInError::Wait { .. })));
    }
    assert_eq!(waits, 15);
    let right = scene.log_in("maryam", PASSPHRASE, &officer.code()).await;
    assert!(matches!(right, Err(LogInError::Wait { .. })), "a stranger from there waits, right or wrong");
    scene.log_in_from([10, 0, 0, 1], "maryam", PASSPHRASE, &officer.code(), Some(&device)).await.unwrap();
    later(60);
    scene.log_in_from([10, 9, 9, 9], "maryam", PASSPHRASE, &officer.code(), None).await.unwrap();
}

#[tokio::test]
async fn a_token_is_its_holder_within_its_scopes_until_its_day() {
    let (scene, officer) = Scene::founded().await;
    let who = scene.access.person(&officer.account).await.unwrap().unwrap();
    let scopes = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    let issued = scene.access.issue_token(&who, &scopes(&["events.read"]), 30).await.unwrap();
    let token = scene.access.token(&issued.secret).await.unwrap().unwrap();
    assert_eq!(token.actor, who.actor);
    assert!(matches!(&token.via, Via::Token { scopes } if scopes.contains("events.read")));
    for bad in ["", "ht_", "ht_00", &issued.id] {
        assert!(scene.access.token(bad).await.unwrap().is_none());
    }
    assert!(matches!(scene.access.issue_token(&who, &scopes(&[]), 30).await, Err(BadScopes::None)));
    assert!(matches!(
        scene.access.issue_token(&who, &scopes(&["ledger.erase"]), 30).await,
        Err(BadScopes::Beyond { .. })
    ));
    assert!(matches!(scene.access.issue_token(&who, &scopes(&["events.read"]), 0).await, Err(BadScopes::Days)));
    assert!(!scene.access.revoke_token("p0", &issued.id, &who.actor).await.unwrap(), "another's");
    assert!(scene.access.revoke_token(&officer.account, &issued.id, &who.actor).await.unwrap());
    assert!(scene.access.token(&issued.secret).await.unwrap().is_none());

    let issued = scene.access.issue_token(&who, &scopes(&["events.read"]), 1).await.unwrap();
    later(86_400);
    assert!(scene.access.token(&issued.secret).await.unwrap().is_none(), "it is over by itself");
}

#[tokio::test]
async fn an_invitation_is_good_for_one_account_from_its_hour_to_its_day() {
    let (scene, _) = Scene::founded().await;
    let draft = haris_domain::Draft::new(&haris_domain::kind::ACCOUNT_CREATED, clock(), Actor::local(0));
    let draft = draft.with("account", "p2").with("roles", vec!["deputy"]);
    scene.ledger.append(vec![(draft, Vec::new())]).await.unwrap();
    let delayed = scene.access.invite("p2", Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(scene.access.invitation(&delayed).await.unwrap(), None, "not yet");
    later(3_600);
    assert_eq!(scene.access.invitation(&delayed).await.unwrap(), Some(Invitation::Account("p2".to_owned())));
    let link = scene.access.invite("p2", Duration::ZERO).await.unwrap();
    assert_eq!(scene.access.invitation(&delayed).await.unwrap(), None, "a newer one takes its place");
    assert!(matches!(scene.enrol(&link, "maryam").await, Err(EnrolError::Taken)));
    let deputy = scene.enrol(&link, "hamad").await.unwrap();
    assert_eq!(deputy.account, "p2");
    assert!(matches!(scene.enrol(&link, "hamad2").await, Err(EnrolError::Link { .. })));
    let link = scene.access.invite("p2", Duration::ZERO).await.unwrap();
    later(86_400);
    assert_eq!(scene.access.invitation(&link).await.unwrap(), None, "its day is over");
}
