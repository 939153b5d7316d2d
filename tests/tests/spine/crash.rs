//! SIGKILL at random moments under load: the upstream never holds a prompt that the ledger lacks,
//! no acknowledged answer is missing, and the log always verifies.
//!
//! The page cache survives a killed process, so this proves the order of things and not that a sync
//! is one; the simulated disk in the spool's own tests proves that.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haris_tests::server::{config_for, eventually};
use haris_tests::{Client, Haris, Mock};
use tokio::sync::Mutex;

use super::proof::assert_whole;

/// Callers that ask at once.
const CALLERS: usize = 8;
/// The longest that a server lives before it is killed.
const LIFE_MS_MAX: u64 = 700;

/// Every request asks for a model of its own, which the leaf names: the ledger can be compared with
/// what the mock received.
#[derive(Default)]
struct Heard {
    /// Answers that arrived whole: model and event id.
    whole: Mutex<Vec<(String, String)>>,
    next: AtomicUsize,
    stop: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_prompt_leaves_and_no_answer_arrives_without_its_event() {
    let crashes: u64 = std::env::var("HARIS_TEST_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let mut seed = std::env::var("HARIS_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into());
    println!("HARIS_TEST_SEED={seed}");
    let mock = Mock::start().await;
    let mut haris = Haris::start(&config_for(&mock, ""));
    let key = haris.key("crash");
    let heard = Arc::new(Heard::default());

    for round in 0..crashes {
        heard.stop.store(false, Ordering::SeqCst);
        let client = Client::new(&haris.base(), &key);
        let load: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(ask_on(client.clone(), Arc::clone(&heard)))).collect();
        seed = next(seed);
        tokio::time::sleep(Duration::from_millis(seed % LIFE_MS_MAX)).await;
        haris.kill();
        heard.stop.store(true, Ordering::SeqCst);
        for task in load {
            task.await.unwrap();
        }
        haris.launch();
        println!("crash {}: {} answers arrived whole so far", round + 1, heard.whole.lock().await.len());
    }

    let received: BTreeSet<String> = mock.received().iter().map(haris_tests::upstream::Received::model).collect();
    let whole = heard.whole.lock().await;
    assert!(whole.len() > 10, "the load was too light to prove anything: {} answers", whole.len());
    let leaves = eventually("everything durable is in the ledger", || {
        let leaves = haris.events(&["limit=1000000"]);
        let asked: BTreeSet<&str> = leaves.iter().filter_map(|leaf| leaf["data"]["model"].as_str()).collect();
        received.iter().all(|model| asked.contains(model.as_str())).then_some(leaves)
    });
    let ids: BTreeSet<&str> = leaves.iter().filter_map(|leaf| leaf["id"].as_str()).collect();
    let answered: BTreeSet<&str> = leaves.iter().filter_map(|leaf| leaf["data"]["request"].as_str()).collect();
    for (model, id) in whole.iter() {
        assert!(ids.contains(id.as_str()), "the decision on {model} ({id}) is missing");
        assert!(answered.contains(id.as_str()), "the answer to {model} ({id}) arrived and is missing");
    }
    // Requests whose answer died with the server are closed as interrupted at the next start.
    let open =
        leaves.iter().filter(|leaf| leaf["kind"] == "gw.request.decided/1" && leaf["data"]["verdict"] != "block");
    let open: Vec<&str> = open.filter_map(|leaf| leaf["id"].as_str()).filter(|id| !answered.contains(id)).collect();
    assert!(open.is_empty(), "requests without an end: {open:?}");
    assert_whole(&haris);
    println!(
        "{crashes} kills: {} prompts reached the upstream, {} answers arrived whole, every event of theirs is in the ledger",
        received.len(),
        whole.len()
    );
}

/// Asks until told to stop or until the server is gone.
async fn ask_on(client: Client, heard: Arc<Heard>) {
    while !heard.stop.load(Ordering::SeqCst) {
        let number = heard.next.fetch_add(1, Ordering::SeqCst);
        let model = format!("gpt-mock.chunk-4.slow-5.r-{number}");
        let stream = number.is_multiple_of(2);
        let body = serde_json::json!({
            "model": model, "stream": stream,
            "messages": [{"role": "user", "content": "When does the branch open?"}],
        });
        let Ok(answer) = client.post_raw("/chat/completions", body.to_string()).await else { return };
        let complete = !answer.broken && answer.status == 200 && (!stream || answer.done());
        if complete {
            heard.whole.lock().await.push((model, answer.event()));
        }
    }
}

/// xorshift: repeatable, and good enough to pick a moment.
fn next(mut x: u64) -> u64 {
    x = x.max(1);
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}

#[tokio::test]
async fn a_server_killed_while_the_upstream_thinks_has_recorded_the_prompt() {
    let mock = Mock::start().await;
    let mut haris = Haris::start(&config_for(&mock, ""));
    let client = haris.client("tests");
    let asking = tokio::spawn(async move {
        let body =
            serde_json::json!({"model": "gpt-mock.slow-30000", "messages": [{"role": "user", "content": "hello"}]});
        client.post_raw("/chat/completions", body.to_string()).await.is_err()
    });
    while mock.received().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    haris.kill();
    assert!(asking.await.unwrap(), "no answer came");
    haris.launch();
    let events = eventually("the request is closed", || {
        let events = haris.events(&[]);
        let closed = events.iter().any(|event| event["data"]["outcome"] == "interrupted");
        closed.then_some(events)
    });
    let decided: Vec<_> = events.iter().filter(|event| event["data"]["model"] == "gpt-mock.slow-30000").collect();
    assert_eq!(decided.len(), 1, "{events:?}");
    assert_whole(&haris);
}
