//! A configuration that is checked before it is used, shown as it is in force, and read again while the server runs.

use std::fs;

use haris_tests::server::{config_for, eventually};
use haris_tests::{Haris, Mock};
use serde_json::Value;

/// What `haris config` says of a file: exit code, output, errors.
fn config(haris: &Haris, command: &str, text: &str) -> (Option<i32>, String, String) {
    fs::write(haris.home().join("tried.toml"), text).unwrap();
    let output = haris.run(&["config", command, "--config", "tried.toml", "--format", "json"]);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), said(&output.stdout), said(&output.stderr))
}

#[tokio::test]
async fn a_configuration_is_checked_and_shown_without_a_server() {
    let mock = Mock::start().await;
    let haris = Haris::prepare("");
    let good = config_for(&mock, "[limits]\ncaller_requests = 7\n");
    let (code, said, _) = config(&haris, "check", &good);
    let checked: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, checked["schema"].as_str(), checked["upstreams"].as_u64()),
        (Some(0), Some("haris.config-check/1"), Some(1))
    );
    for (bad, expected) in [
        ("[limits]\nbody_byte = 1\n", "`limits.body_byte` is no setting; did you mean `limits.body_bytes`?"),
        ("[alerts]\ncommand = [\"page\"]\n", "full path"),
        ("[alerts]\nwebhook = \"http://siem.bank.example/\"\n", "https"),
        ("[metrics]\nlisten = \"0.0.0.0:9187\"\n", "other machines"),
        ("[storage]\nsql_env = \"NOBODY_SET_THIS\"\n", "NOBODY_SET_THIS"),
        ("[[witnesses]]\nname = \"w\"\nurl = \"http://w\"\nkeys = [\"nonsense\"]\n", "[[witnesses]]"),
        ("[[routes]]\nname = \"r\"\nmodels = [\"*\"]\nupstream = \"nobody\"\n", "nobody"),
        ("listen = 5\n", "listen"),
    ] {
        // What a check refuses, a start refuses in the same words.
        let (code, _, checked) = config(&haris, "check", bad);
        assert_eq!(code, Some(2), "{bad}: {checked}");
        assert!(checked.contains(expected), "{bad}: {checked}");
        let started = haris.run(&["serve", "--config", "tried.toml", "--data", "{data}", "--keys", "{keys}"]);
        assert_eq!(String::from_utf8_lossy(&started.stderr), checked, "{bad}");
        assert!(!haris.data().join("haris.db").exists(), "nothing was opened: {bad}");
    }
    let (code, said, _) = config(&haris, "show", &good);
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, shown["schema"].as_str()), (Some(0), Some("haris.config/1")));
    assert_eq!(shown["config"]["limits"]["caller_requests"], 7);
    assert_eq!(shown["config"]["limits"]["body_bytes"], 8 << 20, "defaults are filled in");
    assert_eq!(shown["digest"], checked["config"]);
    let webhook = "[alerts]\nwebhook = \"https://bank:hunter2@siem.bank.example/in?token=hunter3\"\n";
    let (_, said, _) = config(&haris, "show", webhook);
    assert!(said.contains("siem.bank.example") && !said.contains("hunter"), "{said}");

    let reference = haris.run(&["config", "reference"]);
    let reference = String::from_utf8(reference.stdout).unwrap();
    assert!(reference.contains("| `caller_requests` | 256 |"), "{reference}");
}

// The mocks answer on this runtime while the test waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_is_read_again_and_a_mistake_changes_nothing() {
    let (one, two) = (Mock::start().await, Mock::start().await);
    let haris = Haris::start(&config_for(&one, ""));
    let client = haris.client("tests");
    assert_eq!(client.ask("gpt-4o", "one", false).await.status, 200);
    let before = haris.admin_json(&["status"]);

    haris.reconfigure(&config_for(&two, "[limits]\nbody_bytes = 4096\n"));
    let reloaded = eventually("the configuration is read again", || {
        haris.events(&["kind=config.settings.reloaded/1"]).first().cloned()
    });
    let reloaded = haris.event(reloaded["id"].as_str().unwrap());
    assert_eq!(reloaded["event"]["data"]["changed"], serde_json::json!(["upstreams.mock.url"]), "{reloaded}");
    assert_eq!(reloaded["event"]["data"]["after_restart"], serde_json::json!(["limits.body_bytes"]));
    eventually("requests go to the other upstream", || {
        let client = client.clone();
        let asked = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move { client.ask("gpt-4o", "two", false).await.status })
        });
        assert_eq!(asked.join().unwrap(), 200, "no request fails while a configuration is read");
        (!two.received().is_empty()).then_some(())
    });
    let config = haris.admin_json(&["status"])["gateway"]["policy"].clone();
    assert_eq!(config, before["gateway"]["policy"], "the policy is the same, the upstream is another");

    haris.reconfigure("[limit]\nbody_bytes = 1\n");
    eventually("the mistake is on record", || haris.events(&["kind=config.settings.refused/1"]).first().cloned());
    eventually("and needs a person", || {
        let attention = haris.admin_json(&["status"])["attention"].to_string();
        attention.contains("did you mean `limits`?").then_some(())
    });
    let count = two.received().len();
    assert_eq!(client.ask("gpt-4o", "three", false).await.status, 200);
    assert_eq!(two.received().len(), count + 1, "what was in force is in force");

    haris.reconfigure(&config_for(&one, ""));
    eventually("the next good file takes its place", || {
        (!haris.admin_json(&["status"])["attention"].to_string().contains("did you mean")).then_some(())
    });
    let count = one.received().len();
    assert_eq!(client.ask("gpt-4o", "four", false).await.status, 200);
    assert_eq!(one.received().len(), count + 1);
}
