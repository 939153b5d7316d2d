//! A support bundle may leave the bank: it tells how everything is, and nothing of what was said, is secret or is a
//! person's.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use haris_tests::server::{config_for, eventually};
use haris_tests::{Client, Haris, Mock, marks};
use serde_json::{Value, json};

const PROVIDER_KEY: &str = "sk-provider-0123456789";
const WEBHOOK_SECRET: &str = "whsec-0123456789";
const ARGUMENTS: [&str; 9] =
    ["support-bundle", "--data", "{data}", "--keys", "{keys}", "--config", "haris.toml", "--output", "support.json"];

fn bundle(haris: &Haris, more: &[&str]) -> (Option<i32>, String, Value) {
    let made = haris.run(&[ARGUMENTS.as_slice(), more].concat());
    let text = fs::read_to_string(haris.home().join("support.json"))
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&made.stderr)));
    let value = serde_json::from_str(&text).unwrap();
    (made.status.code(), text, value)
}

/// Everything in a folder of keys that a text could carry: each file's own text, and the same in hex.
fn key_material(haris: &Haris) -> Vec<String> {
    let files = fs::read_dir(haris.home().join("keys")).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files
        .flat_map(|bytes| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            [hex, String::from_utf8_lossy(&bytes).trim().to_owned()]
        })
        .filter(|text| text.len() >= 16)
        .collect()
}

#[tokio::test]
async fn a_support_bundle_tells_how_everything_is_and_holds_no_text_no_secret_and_no_name() {
    let mock = Mock::start().await;
    let more = "[[routes]]\nname = \"full\"\nmodels = [\"gpt-*\"]\nupstream = \"mock\"\nstore = \"full\"\n\
                [alerts]\nwebhook = \"http://bank:hunter2@127.0.0.1:9/in?token=hunter3\"\nwebhook_secret_env = \"HOOK\"\n";
    let mut haris =
        Haris::prepare(&config_for(&mock, more)).with_env("MOCK_KEY", PROVIDER_KEY).with_env("HOOK", WEBHOOK_SECRET);
    haris.launch();
    // A start that was killed is an alert.
    haris.kill();
    haris.launch();
    let key = haris.key_with("payroll-robot", &["--owner", "Noor Al-Kuwari"]);
    let client = Client::new(&haris.base(), &key);
    let asked = format!("The cormorant of QID 28463400123 dives at noon. {}", marks::leaking_text());
    let mut ids = Vec::new();
    for stream in [false, true] {
        let answer = client.ask("gpt-mock.leak", &asked, stream).await;
        ids.push(answer.event());
        let _ = haris.event(&answer.event());
    }
    let reason = ["--reason", "the pelican case of Noor Al-Kuwari"];
    let _ = haris.admin(&[&["ledger", "hold", "--event", &ids[0]], reason.as_slice()].concat());
    let erase = ["ledger", "erase", "--subject", marks::QID, "--legal-basis", "PDPPL 5"];
    let _ = haris.run(&[erase.as_slice(), &reason, &["--data", "{data}"]].concat());
    let _ = haris.admin(&["ledger", "export", "--filter", "actor=caller:payroll-robot", "--output", "x.zip"]);
    let _ = client.with_key("hk_wrong").ask("gpt-4o", "x", false).await;
    let id = eventually("alerts are raised", || {
        let alerts = haris.run(&["alerts", "--data", "{data}", "--format", "json"]);
        let alerts: Value = serde_json::from_slice(&alerts.stdout).ok()?;
        let alerts = alerts["alerts"].as_array()?;
        alerts.iter().find(|one| one["alert"] == "alerts-undelivered")?;
        Some(alerts.iter().find(|one| one["alert"] == "unclean-start")?["id"].as_str()?.to_owned())
    });
    let _ = haris.admin(&[&["alerts", "ack", &id], reason.as_slice()].concat());
    // What a service manager would have kept, and somebody else's line with what must not leave.
    let log = haris.home().join("log");
    let mut lines = haris.output();
    lines.push_str(
        &json!({ "level": "WARN", "fields": { "message": format!("of {}", marks::leaking_text()) } }).to_string(),
    );
    fs::write(&log, lines).unwrap();

    let (code, text, value) = bundle(&haris, &["--log", "log"]);
    assert_eq!((code, value["schema"].as_str()), (Some(0), Some("haris.support-bundle/1")), "{text}");
    assert_eq!(value["answers"]["by"], "a running server");
    assert_eq!(value["answers"]["status"]["ready"], true);
    assert_eq!(value["answers"]["fsck"]["clean"], true);
    assert_eq!(value["database"]["pending"], json!([]));
    assert_eq!(value["config"]["in_force"]["limits"]["body_bytes"], 8 << 20);
    assert!(value["data"]["haris.db"]["bytes"].as_u64().unwrap() > 0, "{text}");
    assert_eq!(value["keys"]["mode"], "700");
    assert!(!value["answers"]["events"]["process.*"].as_array().unwrap().is_empty(), "{text}");
    assert!(!value["answers"]["alerts"]["alerts"].as_array().unwrap().is_empty(), "{text}");
    assert!(text.contains("haris_requests_total") && text.contains("Max open files"), "{text}");
    assert!(value["log"]["lines"].as_array().unwrap().len() > 2, "{text}");
    assert!(text.contains("of The customer's QID is [REDACTED:QID]"), "the text of a log line is looked at: {text}");
    let token = fs::read_to_string(haris.data().join("metrics.token")).unwrap();
    let host = Command::new("uname").arg("-n").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let mut never = vec![
        PROVIDER_KEY,
        WEBHOOK_SECRET,
        "hunter2",
        "hunter3",
        &key,
        "hk_",
        token.trim(),
        marks::QID,
        marks::CARD,
        marks::IBAN,
        marks::SECRET,
        "28463400123",
        "cormorant",
        "pelican",
        "Noor",
        "Kuwari",
        "payroll",
        "PDPPL",
        "branch",
    ];
    let material = key_material(&haris);
    assert!(!material.is_empty());
    never.extend(material.iter().map(String::as_str));
    let home = haris.home().display().to_string();
    never.push(&home);
    if host.trim().len() > 3 {
        never.push(host.trim());
    }
    let found: Vec<&&str> = never.iter().filter(|secret| text.contains(**secret)).collect();
    assert!(found.is_empty(), "{found:?} in the bundle: {text}");
    let mode = fs::metadata(haris.home().join("support.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Without a server, the log from a pipe, and a configuration that holds what it must not: it tells what it can.
    haris.kill();
    let before = fs::read(haris.data().join("haris.db")).unwrap();
    fs::write(haris.home().join("haris.toml"), format!("key = {PROVIDER_KEY}\n")).unwrap();
    let (code, text, value) = bundle(&haris, &["--no-fsck"]);
    assert_eq!(code, Some(1), "something could not be had: {text}");
    assert!(value["config"]["error"].is_string() && value["answers"]["error"].is_string(), "{text}");
    assert!(value["data"]["haris.db"]["bytes"].as_u64().unwrap() > 0, "{text}");
    fs::write(haris.home().join("haris.toml"), config_for(&mock, "")).unwrap();
    let (_, without, value) = bundle(&haris, &[]);
    assert_eq!(value["answers"]["fsck"]["clean"], true, "{without}");
    assert!(value["answers"]["by"].as_str().unwrap().contains("no server runs"), "{without}");
    for text in [text, without] {
        let found: Vec<&&str> = never.iter().filter(|secret| text.contains(**secret)).collect();
        assert!(found.is_empty(), "{found:?} in the bundle: {text}");
    }
    assert!(fs::read(haris.data().join("haris.db")).unwrap() == before, "nothing was changed");
}

#[tokio::test]
async fn a_log_comes_from_a_pipe_and_the_bundle_goes_into_one() {
    let mut haris = Haris::start_bare();
    haris.ask_to_stop();
    assert!(haris.wait().success());
    let mut command = Command::new(haris_tests::server::binary("haris"));
    command.current_dir(haris.home()).args(["support-bundle", "--data", "data", "--keys", "keys", "--log", "-"]);
    command.args(["--output", "/dev/stdout"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(haris.output().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("not in it, and it says why: metrics"), "{output:?}");
    let bundle: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!bundle["log"]["lines"].as_array().unwrap().is_empty(), "{bundle}");
}
