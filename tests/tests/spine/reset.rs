//! A client that resets its connection one byte early, while it asks and while it is answered: nothing
//! goes upstream that the ledger lacks, and what went there has an end on record.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use haris_tests::server::eventually;
use haris_tests::upstream::Received;
use haris_tests::{Haris, Mock};
use serde_json::{Value, json};

use super::guarded;

/// A whole request as it goes over the wire.
fn request(haris: &Haris, key: &str, model: &str, stream: bool) -> Vec<u8> {
    let messages = json!([{"role": "user", "content": "When does the branch open?"}]);
    let body = json!({"model": model, "stream": stream, "messages": messages}).to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        haris.address().unwrap(),
        body.len()
    )
    .into_bytes()
}

/// Sends `bytes`, takes up to `answer_bytes` of the answer, and resets. Gives how many it took.
fn reset_after(haris: &Haris, bytes: &[u8], answer_bytes: usize) -> usize {
    let mut stream = TcpStream::connect(haris.address().unwrap()).unwrap();
    stream.write_all(bytes).unwrap();
    let mut taken = 0;
    let mut buffer = vec![0; 64 << 10];
    while taken < answer_bytes {
        let most = (answer_bytes - taken).min(buffer.len());
        match stream.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(count) => taken += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("the guard broke off: {error}"),
        }
    }
    // Closing a socket that lingers for no time sends a reset.
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    taken
}

fn models(mock: &Mock) -> Vec<String> {
    mock.received().iter().map(Received::model).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_its_last_byte_goes_nowhere() {
    let (mock, haris, client) = guarded("").await;
    let key = haris.key("early");
    let haris = tokio::task::spawn_blocking(move || {
        for number in 0..20 {
            let whole = request(&haris, &key, &format!("gpt-mock.r-early-{number}"), number % 2 == 0);
            reset_after(&haris, &whole[..whole.len() - 1], 0);
        }
        haris
    });
    let haris = haris.await.unwrap();
    // The guard has read past the resets once it answers this.
    client.ask("gpt-mock.r-whole", "When does the branch open?", false).await;
    assert_eq!(models(&mock), ["gpt-mock.r-whole"]);
    drop(haris);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_not_taken_to_its_end_is_on_record() {
    let (mock, haris, _) = guarded("").await;
    let key = haris.key("early");
    let haris = tokio::task::spawn_blocking(move || {
        for stream in [false, true] {
            let name = |number: usize| format!("gpt-mock.chunk-2.slow-5.r-{stream}-{number:03}");
            let total = reset_after(&haris, &request(&haris, &key, &name(0), stream), usize::MAX);
            // Before the head, within it, within the body, and one byte before the end.
            for (number, bytes) in [0, 1, 50, total / 2, total * 3 / 4, total - 2, total - 1].into_iter().enumerate() {
                reset_after(&haris, &request(&haris, &key, &name(number + 1), stream), bytes);
            }
        }
        haris
    });
    let haris = haris.await.unwrap();
    let open = |events: &[Value]| -> Vec<String> {
        let of = |event: &Value, key: &str| event["data"][key].as_str().map(str::to_owned);
        let decided: Vec<_> = events.iter().filter(|event| event["kind"] == "gw.request.decided/1").collect();
        let recorded: BTreeSet<_> = decided.iter().filter_map(|event| of(event, "model")).collect();
        let ended: BTreeSet<_> = events.iter().filter_map(|event| of(event, "request")).collect();
        let lacking = models(&mock).into_iter().filter(|model| !recorded.contains(model));
        let without_end = decided.iter().filter_map(|event| event["id"].as_str()).filter(|id| !ended.contains(*id));
        lacking.chain(without_end.map(str::to_owned)).collect()
    };
    eventually("every prompt that went upstream is on record, with its end", || {
        open(&haris.events(&["limit=1000"])).is_empty().then_some(())
    });
    assert!(models(&mock).len() >= 14, "{:?}", models(&mock));
}
