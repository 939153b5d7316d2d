//! SIGTERM: what was begun is finished, nothing new is taken, and the log says that it was a clean
//! stop.

use std::time::Duration;

use super::guarded;

#[tokio::test]
async fn a_stop_lets_answers_finish() {
    let (mock, mut haris, client) = guarded("").await;
    let running = {
        let client = client.clone();
        tokio::spawn(async move { client.ask("gpt-mock.slow-1500", "When does the branch open?", true).await })
    };
    while mock.received().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    haris.ask_to_stop();
    let answer = running.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.done() && !answer.broken, "{}", answer.body);
    let status = tokio::task::spawn_blocking(move || {
        let status = haris.wait();
        (status, haris)
    });
    let (status, mut haris) = status.await.unwrap();
    assert!(status.success(), "{status}");

    haris.launch();
    let kinds: Vec<String> = haris.events(&[]).iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
    assert!(kinds.iter().any(|kind| kind == "process.stopped/1"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "process.started/1").count(), 2, "{kinds:?}");
}
