//! What a bank puts around the guard: a proxy on the way out, and PostgreSQL underneath.

use haris_store::Engine;
use haris_store::testing::Scratch;
use haris_tests::server::{config_for, eventually};
use haris_tests::{Haris, Mock};

use super::proof::assert_whole;

#[tokio::test]
async fn a_proxy_named_by_the_environment_is_on_the_way_out() {
    let mock = Mock::start().await;
    // A name that nobody resolves: only a proxy can bring the request anywhere, and here it is the mock itself.
    let config = config_for(&mock, "").replace(&mock.url(), "http://models.bank.invalid/v1");
    let mut haris = Haris::prepare(&config).with_env("HTTP_PROXY", &format!("http://{}", mock.address));
    haris.launch();
    let answer = haris.client("tests").ask("gpt-4o", "When does the branch open?", true).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.done(), "{}", answer.body);
    assert_eq!(mock.only().path, "http://models.bank.invalid/v1/chat/completions");
}

#[tokio::test]
async fn from_a_prompt_to_a_proof_on_postgresql() {
    let database = tokio::task::spawn_blocking(|| Scratch::new(Engine::Postgres)).await.unwrap();
    let mock = Mock::start().await;
    let mut haris =
        Haris::prepare(&config_for(&mock, "[storage]\nsql_env = \"BANK_SQL\"\n")).with_env("BANK_SQL", database.sql());
    haris.launch();
    assert_eq!(haris.admin_json(&["status"])["ledger"]["engine"], "postgresql");
    let client = haris.client("tests");
    let answer = client.ask("gpt-mock.leak", "What do we know of her?", true).await;
    assert!(answer.said(0).contains("[REDACTED:IBAN]"), "{}", answer.body);
    let id = answer.event();
    let listed = |haris: &Haris| haris.events(&["verdict=allow"]).iter().any(|event| event["id"] == id.as_str());
    eventually("the decision is listed", || listed(&haris).then_some(()));
    let _ = haris.admin(&["ledger", "erase", "--event", &id, "--reason", "asked for", "--legal-basis", "PDPPL 5"]);

    haris.kill();
    haris.launch();
    assert!(listed(&haris), "what was decided is still there");
    assert_eq!(client.at(&haris.base()).ask("gpt-4o", "hello", false).await.status, 200, "and so is the caller");
    let _ = haris.admin(&["db", "rebuild", "--check"]);
    assert_whole(&haris);
    assert!(!haris.data().join("haris.db").exists(), "no second database beside it");
}
