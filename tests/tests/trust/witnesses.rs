//! A witness that is stopped, and what a route does then; bundles that carry cosignatures; anchors.

use std::fs;

use haris_tests::server::eventually;

use crate::support::{Auditor, Watched, ask, config, configure, export, fsck, said, stop};

// The mock answers on this runtime while the test waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_witness_shows_in_status_is_an_event_and_stops_the_route_that_wants_one() {
    let mock = haris_tests::Mock::start().await;
    let route = format!(
        "witness_max_age_seconds = 2\n[upstreams.mock]\nurl = \"{}\"\nprovider = \"Mock\"\nplace = \"US\"\n\
         key_env = \"MOCK_KEY\"\nmodels = [\"gpt-*\"]\n\n[[routes]]\nname = \"witnessed\"\nmodels = [\"gpt-*\"]\n\
         upstream = \"mock\"\non_witness_lag = \"refuse\"\n",
        mock.url()
    );
    let mut bank = Watched::start(&route);
    let client = bank.haris.client("tests");
    assert_eq!(client.ask("gpt-mock", "Hello?", false).await.status, 200);
    bank.settled();
    bank.witness.kill();
    let refused = eventually("the route refuses", || {
        let client = client.clone();
        let answer = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move { client.ask("gpt-mock", "Hello?", false).await })
        });
        Some(answer.join().unwrap()).filter(|answer| answer.status == 503)
    });
    assert_eq!(refused.json()["error"]["code"], "witness_unavailable", "{}", refused.body);
    let status = bank.haris.admin_json(&["status"]);
    assert_eq!(status["witnesses"]["lagging"], true);
    assert!(status["attention"].to_string().contains("have not cosigned for"), "{status}");
    assert!(!bank.haris.events(&["kind=witness.checkpoint.lagged/1"]).is_empty());
    bank.witness.launch();
    eventually("the witness is taken back", || {
        (bank.haris.admin_json(&["status"])["witnesses"]["lagging"] == false).then_some(())
    });
    assert_eq!(client.ask("gpt-mock", "Hello?", false).await.status, 200);
    eventually("and that is an event", || {
        (!bank.haris.events(&["kind=witness.checkpoint.resumed/1"]).is_empty()).then_some(())
    });
}

#[tokio::test]
async fn a_bundle_carries_its_witnesses_and_the_witness_proves_an_old_one() {
    let bank = Watched::start("");
    let client = bank.haris.client("tests");
    ask(&client, 3).await;
    let bundle = fs::read(export(&bank.haris, "b.zip")).unwrap();
    let keys = [bank.logs.clone(), bank.witness_keys.clone()].concat().join("\n");
    let auditor = Auditor::new(&[("b.zip", &bundle), ("keys", keys.as_bytes()), ("policy", bank.policy().as_bytes())]);
    for arguments in [["b.zip", "--key", "keys"], ["b.zip", "--policy", "policy"]] {
        let (proven, said) = auditor.verify(&arguments);
        assert!(proven && said.starts_with("signed by the operator and witnessed by witness.example/w1"), "{said}");
        assert!(said.contains("witnessed no later than"), "{said}");
    }
    // Life goes on; later the witness still shows that this bundle is a prefix of what it knows.
    for round in 0..3 {
        ask(&client, 2).await;
        bank.settled();
        let url = bank.witness.url();
        let (proven, said) = auditor.verify(&["b.zip", "--policy", "policy", "--witness", &url]);
        assert!(proven && said.contains("this is a prefix of it"), "round {round}: {said}");
    }
    // From a file that somebody else fetched, with the operator's tiles to bridge the gap.
    let origin = bank.logs[0].split('+').next().unwrap().to_owned();
    let path = format!("{}{}/checkpoint", bank.witness.url(), hex_sha256(&origin));
    let note = reqwest::get(path).await.unwrap().bytes().await.unwrap();
    auditor.give("newest", &note);
    let (proven, said) = auditor.verify(&["b.zip", "--policy", "policy", "--witness", "newest"]);
    assert!(!proven && said.contains("--tiles"), "{said}");
    let tiles = bank.haris.data().join("blobs").display().to_string();
    let (proven, said) = auditor.verify(&["b.zip", "--policy", "policy", "--witness", "newest", "--tiles", &tiles]);
    assert!(proven, "{said}");
    let (clean, said) = fsck(&bank.haris);
    assert!(clean, "{said}");
}

fn hex_sha256(text: &str) -> String {
    let mut child = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

#[tokio::test]
async fn anchors_are_written_to_a_file_and_to_syslog_and_a_changed_file_is_noticed() {
    let collector = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let syslog = format!("udp:{}", collector.local_addr().unwrap());
    let mut haris = haris_tests::Haris::prepare("");
    configure(&haris, &config(&[], &format!("[anchors]\nfile = \"anchors.jsonl\"\nsyslog = \"{syslog}\"")));
    haris.launch();
    let file = haris.home().join("anchors.jsonl");
    let lines = || fs::read_to_string(&file).unwrap_or_default().lines().count();
    eventually("the first anchors are written", || (lines() > 0).then_some(()));
    let mut buffer = [0; 4096];
    let read = collector.recv(&mut buffer).unwrap();
    let message = String::from_utf8_lossy(&buffer[..read]).into_owned();
    assert!(message.starts_with("<109>1 ") && message.contains("haris.anchor/1"), "{message}");
    // The note in it is the log's own checkpoint, signed.
    let keys = crate::support::log_keys(&haris);
    let anchor: serde_json::Value =
        serde_json::from_str(fs::read_to_string(&file).unwrap().lines().next().unwrap()).unwrap();
    let origin = keys[0].split('+').next().unwrap();
    assert!(anchor["note"].as_str().unwrap().contains(origin.rsplit_once('/').unwrap().0), "{anchor}");
    fs::remove_file(&file).unwrap();
    let _ = haris.key("another");
    eventually("the missing file is noticed", || {
        haris.admin_json(&["status"])["attention"].to_string().contains("replaced, removed or cut").then_some(())
    });
    stop(&mut haris);
    assert!(lines() > 0, "the last checkpoint is anchored at the stop");
}

#[tokio::test]
async fn a_witness_refuses_bad_settings_and_says_what_to_do() {
    let bank = Watched::start("");
    let run = |arguments: &[&str]| bank.haris.run(&[&["witness", "--data", "w"], arguments].concat());
    for (arguments, expected) in [
        (vec!["--name", "w"], "give the verifier key of each log"),
        (vec!["--log", &bank.logs[0]], "give the witness a --name"),
        (vec!["--name", "two words", "--log", &bank.logs[0]], "name"),
        (vec!["--name", "w", "--log", "nonsense+x+y"], "--log"),
        (vec!["--name", "w", "--keys", "w/keys", "--log", &bank.logs[0]], "data directory"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
}
