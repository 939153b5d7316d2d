//! A wall clock that is set back, jumps ahead and runs at another speed: order, proofs and retention stay right, service
//! goes on, and each step is told and listed. The clock is that of `libfaketime`, set while the server runs; the monotonic
//! one is left alone, as a kernel leaves it.

use std::fs;
use std::path::{Path, PathBuf};

use haris_tests::server::{config_for, eventually};
use haris_tests::{Client, Haris, Mock};

use super::proof::assert_whole;

/// Debian's package is `libfaketime`; elsewhere `HARIS_TEST_FAKETIME` names the library.
fn library() -> PathBuf {
    let given = std::env::var_os("HARIS_TEST_FAKETIME").map(PathBuf::from);
    let places =
        ["x86_64", "aarch64"].map(|arch| format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1").into());
    let found = given.into_iter().chain(places).find(|path: &PathBuf| path.exists());
    found.expect("libfaketimeMT.so.1: install the package `libfaketime`, or name the library with HARIS_TEST_FAKETIME")
}

/// Sets the clock: an offset in seconds from the real one, and a speed.
fn set(clock: &Path, offset: &str) {
    // Renamed into place: a clock that is read half-written is not the test's subject.
    let new = clock.with_extension("new");
    fs::write(&new, format!("{offset}\n")).unwrap();
    fs::rename(new, clock).unwrap();
}

fn steps(haris: &Haris) -> Vec<i64> {
    let status = haris.admin_json(&["status"]);
    status["process"]["clock_steps"].as_array().unwrap().iter().map(|step| step["micros"].as_i64().unwrap()).collect()
}

/// Asks until it is answered: while no data key is at hand a request is refused, never passed unrecorded.
async fn ask(client: &Client, model: &str) -> String {
    let mut refused = 0;
    loop {
        let answer = client.ask(model, "The cormorant dives at noon.", false).await;
        if answer.status == 200 {
            return answer.event();
        }
        assert_eq!(answer.status, 503, "{}", answer.body);
        refused += 1;
        assert!(refused < 300, "service does not resume");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

// The mock answers on this runtime while the test waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_ahead_and_to_another_speed_keeps_order_proofs_and_retention() {
    let mock = Mock::start().await;
    let dir = tempfile::tempdir().unwrap();
    let clock = dir.path().join("clock");
    set(&clock, "+0");
    let more = "[[routes]]\nname = \"full\"\nmodels = [\"gpt-*\"]\nupstream = \"mock\"\nstore = \"full\"\n";
    let mut haris = Haris::prepare(&config_for(&mock, more))
        .with_env("LD_PRELOAD", &library().display().to_string())
        .with_env("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string())
        .with_env("FAKETIME_NO_CACHE", "1")
        .with_env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    haris.launch();
    let client = haris.client("tests");
    let before = ask(&client, "gpt-4o-before").await;
    let mut asked = vec![before.clone()];

    let (hour, days) = (3_600_000_000_i64, 86_400_000_000 * 10);
    for (name, offset, told) in [("back", "-7200", 1), ("ahead", "+864000", 2), ("again", "+0", 3)] {
        set(&clock, offset);
        let seen = eventually("the step is noticed", || Some(steps(&haris)).filter(|steps| steps.len() >= told));
        assert_eq!(seen.len(), told, "each step is told once: {seen:?}");
        let size = seen[told - 1].abs();
        assert!(if told == 1 { (hour..3 * hour).contains(&size) } else { size > days / 2 }, "{seen:?}");
        for number in 0..2 {
            asked.push(ask(&client, &format!("gpt-4o-{name}-{number}")).await);
        }
    }
    // Twenty times as fast: one step that goes on, with one alert.
    set(&clock, "+0 x20");
    let first = eventually("the speed is noticed", || steps(&haris).get(3).copied());
    asked.push(ask(&client, "gpt-4o-fast").await);
    eventually("it goes on", || {
        let now = steps(&haris);
        assert_eq!(now.len(), 4, "one step: {now:?}");
        (now[3] > first).then_some(())
    });

    // The order is that in which it happened, whatever the clock said.
    let last = asked.last().unwrap().clone();
    let mut leaves: Vec<(u64, String)> = eventually("everything is in the ledger", || {
        let leaves = haris.events(&["kind=gw.request.decided/1", "limit=1000"]);
        let leaves: Vec<_> = leaves
            .iter()
            .map(|leaf| (leaf["index"].as_u64().unwrap(), leaf["id"].as_str().unwrap().to_owned()))
            .collect();
        leaves.iter().any(|(_, id)| *id == last).then_some(leaves)
    });
    leaves.sort();
    assert_eq!(leaves.into_iter().map(|(_, id)| id).collect::<Vec<_>>(), asked);
    let raised = haris.events(&["kind=alert.condition.raised/1", "limit=1000"]);
    let raised = raised.iter().filter(|event| event["data"]["alert"] == "clock-step").count();
    assert_eq!(raised, 4, "one alert for each");

    // Retention goes by the time that a text was stamped with: what seems to come from the future is not due.
    let at = haris.event(&before)["event"]["at"].as_str().unwrap().to_owned();
    let erase = ["ledger", "erase", "--before", &at, "--reason", "due", "--legal-basis", "PDPPL 5"];
    let erased = haris.admin_json(&erase);
    assert!(erased["payloads"].as_u64() > Some(0), "what was stamped two hours before is due: {erased}");
    for (place, id) in asked.iter().enumerate() {
        let payloads = haris.event(id)["payloads"].to_string();
        assert_eq!(payloads.contains("erased"), place == 1 || place == 2, "{place}: {payloads}");
    }

    haris.ask_to_stop();
    assert!(haris.wait().success(), "{}", haris.output());
    set(&clock, "+0");
    let checked = haris.run(&["ledger", "fsck", "--data", "{data}", "--keys", "{keys}", "--format", "json"]);
    let checked: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    let listed = checked["logs"][0]["findings"]["clock_steps"].as_array().unwrap().len();
    assert!(listed >= 4, "fsck lists the steps: {checked}");
    haris.launch();
    let _ = haris.admin(&["db", "rebuild", "--check"]);
    assert_whole(&haris);
}
