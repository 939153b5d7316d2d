//! Real receivers: what is sent, how often, and what happens when nobody takes it.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::time::Duration;

use haris_domain::{Severity, Timestamp};
use haris_outbox::{Command, Message, Outbox, Sink, Syslog, Webhook};
use haris_store::Engine;
use haris_store::testing::Scratch;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixDatagram};

const HOUR: Duration = Duration::from_secs(3_600);

fn now() -> Timestamp {
    "2026-11-24T07:00:00Z".parse().unwrap()
}

fn message(key: &str, repeats: bool) -> Message {
    let body = json!({ "schema": "haris.alert/1", "id": key, "text": "two\nlines" });
    Message { key: key.into(), severity: Severity::High, text: "t".into(), body, repeats }
}

/// A command that appends what it reads to a file; what the file holds.
struct Tape(tempfile::TempDir);

impl Tape {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn sink(&self) -> Sink {
        let file = self.0.path().join("tape").display().to_string();
        let words = ["/bin/sh", "-c", "cat >>\"$0\"; test ! -e \"$0.broken\"", &file].map(str::to_owned);
        Sink::Command(Command::new(&words).unwrap())
    }

    fn breaks(&self, broken: bool) {
        let flag = self.0.path().join("tape.broken");
        if broken { std::fs::write(flag, "").unwrap() } else { std::fs::remove_file(flag).unwrap() }
    }

    fn keys(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.path().join("tape")).unwrap_or_default();
        let key =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        text.lines().map(key).collect()
    }
}

#[tokio::test]
async fn a_message_is_sent_once_and_again_only_where_somebody_must_act() {
    let (scratch, tape) = (Scratch::new(Engine::Sqlite), Tape::new());
    let store = scratch.open().await.unwrap();
    let outbox = Outbox::new(store.clone(), tape.sink(), HOUR);
    let both = [message("a", true), message("b", false)];
    for minutes in [0, 1, 59, 60, 61, 121] {
        outbox.tend(&both, now(), Duration::from_secs(minutes * 60)).await.unwrap();
    }
    assert_eq!(tape.keys(), ["a", "b", "a", "a"]);
    assert!(outbox.was_delivered("b").await && !outbox.was_delivered("c").await);

    // The next start knows what this one delivered, and by the wall clock when.
    let next = Outbox::new(store, tape.sink(), HOUR);
    let later = |minutes: i64| now().plus_micros(minutes * 60_000_000);
    assert_eq!(next.tend(&both, later(30), Duration::ZERO).await.unwrap(), 0);
    assert_eq!(next.tend(&both, later(60), Duration::ZERO).await.unwrap(), 1);
    // A clock set back says nothing about when: rather twice than never.
    let store = scratch.open().await.unwrap();
    let set_back = Outbox::new(store, tape.sink(), HOUR);
    assert_eq!(set_back.tend(&both, later(-600), Duration::ZERO).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_not_taken_waits_in_order_and_arrives() {
    let (scratch, tape) = (Scratch::new(Engine::Sqlite), Tape::new());
    let outbox = Outbox::new(scratch.open().await.unwrap(), tape.sink(), HOUR);
    let both = [message("a", false), message("b", false)];
    tape.breaks(true);
    let error = outbox.tend(&both, now(), Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().contains("command /bin/sh refused"), "{error}");
    assert_eq!(tape.keys(), ["a"], "the second waits for the first");
    assert_eq!(outbox.tend(&both, now(), Duration::from_secs(1)).await.unwrap(), 0, "it rests after a failure");
    tape.breaks(false);
    assert_eq!(outbox.tend(&both, now(), Duration::from_secs(60)).await.unwrap(), 2);
    assert_eq!(tape.keys(), ["a", "a", "b"], "at least once");
}

#[tokio::test]
async fn a_database_that_is_gone_keeps_nobody_from_being_told() {
    let (scratch, tape) = (Scratch::new(Engine::Sqlite), Tape::new());
    let store = scratch.open().await.unwrap();
    store.close().await;
    let outbox = Outbox::new(store, tape.sink(), HOUR);
    for second in [0, 5, 10] {
        outbox.tend(&[message("a", true)], now(), Duration::from_secs(second)).await.unwrap();
    }
    assert_eq!(tape.keys(), ["a"]);
}

#[tokio::test]
async fn syslog_gets_rfc_5424_over_tcp_and_over_the_local_socket() {
    let scratch = Scratch::new(Engine::Sqlite);
    let store = scratch.open().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    let heard = tokio::spawn(async move {
        let mut text = String::new();
        listener.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
        text
    });
    let outbox = Outbox::new(store.clone(), Sink::Syslog(Syslog::new(&address).unwrap()), HOUR);
    outbox.tend(&[message("a", false)], now(), Duration::ZERO).await.unwrap();
    let text = heard.await.unwrap();
    let (length, line) = text.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), line.len(), "octet counting of RFC 6587");
    assert!(line.starts_with("<107>1 2026-11-24T07:00:00.000000Z ") && line.contains(" haris "), "{line}");

    let socket = scratch.path().join("log");
    let daemon = UnixDatagram::bind(&socket).unwrap();
    let sink = Sink::Syslog(Syslog::new(&format!("unix:{}", socket.display())).unwrap());
    Outbox::new(store, sink, HOUR).tend(&[message("b", false)], now(), Duration::ZERO).await.unwrap();
    let mut buffer = [0; 4_096];
    let count = daemon.recv(&mut buffer).await.unwrap();
    assert!(String::from_utf8_lossy(&buffer[..count]).contains("\"id\":\"b\""));
}

#[tokio::test]
async fn a_webhook_gets_a_signed_post_and_only_2xx_is_delivery() {
    let scratch = Scratch::new(Engine::Sqlite);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=quiet", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        for status in ["500 No", "302 Found\r\nlocation: http://127.0.0.1:1/", "204 No Content"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"lines\"}") {
                let mut part = [0; 1_024];
                let count = stream.read(&mut part).await.unwrap();
                request.extend_from_slice(&part[..count]);
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            requests.push(String::from_utf8(request).unwrap());
        }
        requests
    });
    let webhook = Webhook::new(&url, Some("secret".into()), &[]).unwrap();
    let outbox = Outbox::new(scratch.open().await.unwrap(), Sink::Webhook(webhook), HOUR);
    for (second, expected) in [(0, "HTTP 500"), (600, "HTTP 302")] {
        let error = outbox.tend(&[message("a", false)], now(), Duration::from_secs(second)).await.unwrap_err();
        assert!(error.to_string().contains(expected) && !error.to_string().contains("quiet"), "{error}");
    }
    outbox.tend(&[message("a", false)], now(), Duration::from_secs(1_800)).await.unwrap();
    for request in server.await.unwrap() {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"secret");
        let signature = hex::encode(aws_lc_rs::hmac::sign(&key, body.as_bytes()));
        assert!(head.contains(&format!("x-haris-signature: sha256={signature}")), "{head}");
        assert!(head.contains("idempotency-key: a"), "{head}");
    }
}
