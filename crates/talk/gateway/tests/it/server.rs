//! Doors and bounds: keys, models, sizes, times, places.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haris_domain::Timestamp;
use haris_gateway::{Caller, CallerTable, Limits, hash_key};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

fn table(callers: Vec<(&str, Caller)>) -> Arc<CallerTable> {
    Arc::new(callers.into_iter().map(|(key, caller)| (hash_key(key), caller)).collect())
}

fn caller(models: &[&str], expires: Option<Timestamp>) -> Caller {
    let models = models.iter().map(|model| model.parse().unwrap()).collect();
    Caller { id: "c2".into(), models, expires, stored: Arc::default() }
}

#[tokio::test]
async fn only_known_living_keys_pass() {
    let scene = Scene::start(says("ok")).await;
    let url = format!("{}/v1/chat/completions", scene.url);
    let send = |request: reqwest::RequestBuilder| async {
        Answer::of(request.body(ask("hi").to_string()).send().await.unwrap()).await
    };
    for request in [
        scene.http.post(&url),
        scene.http.post(&url).bearer_auth("hk_wrong"),
        scene.http.post(&url).basic_auth("hk_test-caller-key", None::<&str>),
        scene.http.post(&url).header("authorization", KEY),
    ] {
        let answer = send(request).await;
        assert_eq!((answer.status, answer.code()), (401, "invalid_api_key".to_owned()));
        answer.event_id();
    }
    let event = scene.events().remove(0);
    assert_eq!((event.actor.as_str(), &event.data["reason"]), ("service:gateway", &json!("unauthenticated")));

    scene.callers.store(table(vec![("hk_old", caller(&["*"], Some(Timestamp::from_micros(1))))]));
    let answer = send(scene.http.post(&url).bearer_auth("hk_old")).await;
    assert_eq!(answer.status, 401);
    assert_eq!(scene.events().last().unwrap().data["reason"], "key-expired");
    // The table was swapped: the first key is revoked by that.
    assert_eq!(send(scene.http.post(&url).bearer_auth(KEY)).await.status, 401);
    assert!(scene.heard().is_empty());
}

#[tokio::test]
async fn a_flood_of_strangers_is_one_counted_event_for_each_source_and_minute() {
    let scene = Scene::start(says("never")).await;
    let url = format!("{}/v1/chat/completions", scene.url);
    for _ in 0..40 {
        let answer = Answer::of(scene.http.post(&url).body("{}").send().await.unwrap()).await;
        assert_eq!(answer.status, 401);
        answer.event_id();
    }
    assert!(scene.events().len() <= 2, "a minute may have ended meanwhile");
    let scene = scene.shut_down().await;
    let events = scene.events();
    let stands_for = |event: &haris_domain::Event| 1 + event.data.get("suppressed").map_or(0, |n| n.as_u64().unwrap());
    assert_eq!(events.iter().map(stands_for).sum::<u64>(), 40, "none is uncounted: {events:?}");
    assert!(!format!("{events:?}").contains("127.0.0.1"), "the source is no part of the leaf");
    assert_eq!(events[0].payloads[0].name, "peer");
}

/// Whoever was half-way through asking when the gateway was told to stop is still answered, and still counted.
#[tokio::test]
async fn a_stranger_who_is_refused_while_the_gateway_stops_is_counted() {
    let scene = Scene::start(says("never")).await;
    let url = format!("{}/v1/chat/completions", scene.url);
    assert_eq!(scene.http.post(&url).body("{}").send().await.unwrap().status(), 401);
    let mut late = Vec::new();
    for _ in 0..3 {
        late.push(raw(&scene, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n").await);
    }
    // Accepted, and known to be waiting for the rest.
    while scene.counters.connections.load(std::sync::atomic::Ordering::Relaxed) < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stopping = tokio::spawn(scene.shut_down());
    while TcpStream::connect(url.trim_start_matches("http://").split('/').next().unwrap()).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for connection in &mut late {
        connection.write_all(b"\r\n").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    let events = stopping.await.unwrap().events();
    let stands_for = |event: &haris_domain::Event| 1 + event.data.get("suppressed").map_or(0, |n| n.as_u64().unwrap());
    assert_eq!(events.iter().map(stands_for).sum::<u64>(), 4, "none is uncounted: {events:?}");
}

#[tokio::test]
async fn a_caller_whose_bytes_are_used_up_waits_and_others_do_not() {
    let limits = Limits { caller_stored_bytes: 3_000, ..Limits::default() };
    let scene = Scene::plan(Plan { limits, ..Plan::default() }, says("ok")).await;
    let mut answered = 0;
    while scene.say("hello").await.status == 200 {
        answered += 1;
        assert!(answered < 50, "the quota never ends");
    }
    assert!(answered >= 1);
    let before = scene.events().len();
    for _ in 0..20 {
        let answer = scene.say("hello").await;
        assert_eq!((answer.status, answer.code()), (429, "quota_exceeded".to_owned()));
    }
    assert!(scene.events().len() <= before + 1, "that is told once a minute");
    assert_eq!(scene.heard().len(), answered);
    scene.callers.store(table(vec![(KEY, Caller { id: "another".into(), ..caller(&["*"], None) })]));
    assert_eq!(scene.say("hello").await.status, 200);
}

#[tokio::test]
async fn a_key_reaches_its_models_only() {
    let scene = Scene::start(says("ok")).await;
    scene.callers.store(table(vec![(KEY, caller(&["bank/*"], None))]));
    let answer = scene.say("hi").await;
    assert_eq!((answer.status, answer.code()), (403, "model_not_allowed".to_owned()));
    let mut body = ask("hi");
    body["model"] = "bank/model:1".into();
    assert_eq!(scene.chat(body.clone()).await.status, 200);
    assert_eq!(scene.heard()[0].json()["model"], "bank/model:1");

    let list =
        Answer::of(scene.http.get(format!("{}/v1/models", scene.url)).bearer_auth(KEY).send().await.unwrap()).await;
    assert_eq!(
        list.json()["data"],
        json!([{ "id": "bank/model:1", "object": "model", "created": 0, "owned_by": "acme" }])
    );
    for (id, status) in [("bank/model:1", 200), ("bank%2Fmodel:1", 200), ("m", 404), ("nonsense", 404)] {
        let url = format!("{}/v1/models/{id}", scene.url);
        assert_eq!(scene.http.get(url).bearer_auth(KEY).send().await.unwrap().status(), status, "{id}");
    }

    scene.callers.store(table(vec![(KEY, caller(&["*"], None))]));
    body["model"] = "unheard-of".into();
    let answer = scene.chat(body).await;
    assert_eq!((answer.status, answer.code()), (404, "model_not_found".to_owned()));
    let events = scene.events();
    assert_eq!(events.last().unwrap().data["reason"], "unknown-model");
    assert!(!serde_json::to_string(&events.last().unwrap().data).unwrap().contains("unheard-of"));
}

#[tokio::test]
async fn models_behind_a_pattern_are_listed_by_name() {
    let listed = json!({ "object": "list", "data": [
        { "id": "bank/small" }, { "id": "bank/large" }, { "id": "elsewhere/x" }, { "id": "bank/4111111111111111" },
        { "id": "bank/two words" }, { "id": 7 }, { "id": PROVIDER_KEY }, { "id": "bank/small" },
    ] });
    let plan = || Plan { models: vec!["m".into(), "bank/*".into()], ..Plan::default() };
    let scene =
        Scene::plan(
            plan(),
            move |heard| {
                if heard.uri == "/v1/models" { reply(&listed) } else { reply_with(404, &json!({})) }
            },
        )
        .await;
    let get = |path: &str| scene.http.get(format!("{}{path}", scene.url)).bearer_auth(KEY).send();
    let ids = || async {
        let list = Answer::of(get("/v1/models").await.unwrap()).await.json();
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ["bank/large", "bank/small", "m"]);
    // A key's own names are known without the upstream; what leads nowhere is not listed.
    scene.callers.store(table(vec![(KEY, caller(&["bank/l*", "bank/q1", "gone"], None))]));
    assert_eq!(ids().await, ["bank/large", "bank/q1"]);
    assert_eq!(scene.heard().len(), 1, "the list is kept for a while");
    assert!(scene.heard()[0].headers["authorization"].to_str().unwrap().ends_with(PROVIDER_KEY));
    for (id, status) in [("bank/l-unheard-of", 200), ("bank%2Fq1", 200), ("bank/small", 404), ("gone", 404), ("", 404)]
    {
        let answer = Answer::of(get(&format!("/v1/models/{id}")).await.unwrap()).await;
        assert_eq!(answer.status, status, "{id}");
        if status == 200 {
            assert_eq!(answer.json()["id"], id.replace("%2F", "/"));
        }
    }

    // An upstream without a list, or one that does not answer, takes nothing away.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Some(format!("http://{}/v1", silent.local_addr().unwrap()));
    let scene = Scene::plan(Plan { base, ..plan() }, says("never")).await;
    let url = format!("{}/v1/models", scene.url);
    let started = std::time::Instant::now();
    let list = Answer::of(scene.http.get(url).bearer_auth(KEY).send().await.unwrap()).await.json();
    assert_eq!((list["data"].as_array().unwrap().len(), &list["data"][0]["id"]), (1, &json!("m")));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn other_paths_and_methods_are_told_so() {
    let scene = Scene::start(says("never")).await;
    let get = |path: &str| scene.http.get(format!("{}{path}", scene.url));
    assert_eq!(get("/healthz").send().await.unwrap().text().await.unwrap(), "ok");
    let missing = Answer::of(scene.post("/v1/completions").body("{}").send().await.unwrap()).await;
    assert_eq!((missing.status, missing.code()), (404, "unknown_url".to_owned()));
    let method = Answer::of(get("/v1/chat/completions").bearer_auth(KEY).send().await.unwrap()).await;
    assert_eq!((method.status, method.code()), (405, "method_not_allowed".to_owned()));
    // Strangers learn nothing of what there is.
    assert_eq!(get("/v1/models").send().await.unwrap().status(), 401);
    let events = scene.events().len();
    for path in ["/elsewhere", "/", "//elsewhere", "/v2/chat/completions"] {
        let answer = Answer::of(get(path).send().await.unwrap()).await;
        assert_eq!((answer.status, answer.code()), (404, "unknown_url".to_owned()), "{path}");
        answer.event_id();
    }
    assert!(scene.events().len() > events);
    // A base URL with a slash at its end.
    let doubled =
        Answer::of(scene.post("//v1/chat/completions").body(ask("hi").to_string()).send().await.unwrap()).await;
    assert_eq!((doubled.status, doubled.code()), (404, "unknown_url".to_owned()));
    let event = scene.events().pop().unwrap();
    assert_eq!((event.id.to_string().as_str(), event.actor.as_str()), (doubled.event_id(), "caller:c1"));
}

#[tokio::test]
async fn bodies_and_headers_have_bounds() {
    let limits = Limits { body_bytes: 100_000, header_bytes: 4000, ..Limits::default() };
    let scene = Scene::plan(Plan { limits, ..Plan::default() }, says("ok")).await;
    // Announced and not announced; the client writes all of it before it reads.
    let long = ask(&"x".repeat(3_000_000)).to_string();
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(long.clone())]));
    for body in [reqwest::Body::from(long), chunked] {
        let answer = scene.chat_raw(body).await;
        assert_eq!((answer.status, answer.code()), (413, "request_too_large".to_owned()));
    }
    let answer = scene.post("/v1/chat/completions").header("x-long", "y".repeat(5000)).body(ask("hi").to_string());
    let answer = Answer::of(answer.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.code()), (431, "headers_too_large".to_owned()));
    let answer = scene.post("/v1/chat/completions").header("content-encoding", "gzip").body("x").send().await.unwrap();
    assert_eq!(answer.status(), 415);
    // The connection and the gateway go on.
    assert_eq!(scene.say("hi").await.status, 200);
    let reasons: Vec<_> = scene.events().iter().filter_map(|event| event.data.get("reason").cloned()).collect();
    assert_eq!(reasons, ["too-large", "too-large", "headers-too-large", "content-encoding"]);
}

async fn raw(scene: &Scene, bytes: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(scene.url.strip_prefix("http://").unwrap()).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    connection
}

#[tokio::test]
async fn slow_senders_are_let_go() {
    let limits =
        Limits { header_read: Duration::from_millis(200), body_read: Duration::from_millis(200), ..Limits::default() };
    let scene = Scene::plan(Plan { limits, ..Plan::default() }, says("never")).await;
    let mut answer = String::new();
    raw(&scene, b"POST /v1/chat/comp").await.read_to_string(&mut answer).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 500\r\n\r\n{{\"model\""
    );
    let mut answer = String::new();
    let mut connection = raw(&scene, head.as_bytes()).await;
    let _ = connection.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
    scene.idle().await;
}

#[tokio::test]
async fn heads_that_are_too_long_are_refused_in_words_and_recorded() {
    let scene = Scene::start(says("never")).await;
    let head = |filler: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {KEY}\r\ncontent-length: 2\r\n{filler}\r\n{{}}"
        )
    };
    let many: String = (0..300).map(|number| format!("x-{number}: 1\r\n")).collect();
    for filler in [format!("x-long: {}\r\n", "a".repeat(40 << 10)), many] {
        let mut answer = String::new();
        raw(&scene, head(&filler).as_bytes()).await.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("\"headers_too_large\""), "{answer}");
        assert!(answer.contains("x-haris-event: "), "{answer}");
    }
    // Far beyond that the HTTP library answers by itself; the record has it all the same.
    let mut connection = TcpStream::connect(scene.url.trim_start_matches("http://")).await.unwrap();
    let filler = format!("x-long: {}\r\n", "a".repeat(1 << 20));
    let _ = connection.write_all(head(&filler).as_bytes()).await;
    let _ = connection.read_to_end(&mut Vec::new()).await;
    drop(connection);
    while scene.counters.connections.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let reasons: Vec<_> = scene.events().iter().map(|event| event.data["reason"].clone()).collect();
    assert_eq!(reasons, ["headers-too-large"; 3]);
    assert!(scene.heard().is_empty());
}

#[tokio::test]
async fn a_caller_has_so_many_places() {
    let limits = Limits { caller_requests: 2, caller_streams: 1, ..Limits::default() };
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let held = std::sync::Arc::clone(&gate);
    let scene = Scene::plan(Plan { limits, ..Plan::default() }, move |heard| {
        let held = std::sync::Arc::clone(&held);
        let body = if heard.json()["stream"] == true { sse(&streamed("ok", 9)) } else { completion("ok").to_string() };
        let kind = if heard.json()["stream"] == true { "text/event-stream" } else { "application/json" };
        let parts = futures_util::stream::once(async move {
            let _ = held.acquire().await;
            Ok::<_, std::io::Error>(body)
        });
        axum::response::Response::builder()
            .header("content-type", kind)
            .body(axum::body::Body::from_stream(parts))
            .unwrap()
    })
    .await;
    let scene = std::sync::Arc::new(scene);
    let mut open = Vec::new();
    for stream in [true, false] {
        let scene = std::sync::Arc::clone(&scene);
        open.push(tokio::spawn(async move { if stream { scene.stream("hi").await } else { scene.say("hi").await } }));
    }
    while scene.heard().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = scene.say("hi").await;
    assert_eq!((answer.status, answer.code()), (429, "too_many_requests".to_owned()));
    assert!(answer.headers.contains_key("retry-after"));
    gate.close();
    for open in open {
        assert_eq!(open.await.unwrap().status, 200);
    }
    assert_eq!(scene.say("hi").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_slow_or_gone_gives_a_clear_error() {
    let limits = Limits { first_byte: Duration::from_millis(200), ..Limits::default() };
    let scene = Scene::plan(Plan { limits: limits.clone(), ..Plan::default() }, |_| {
        std::thread::sleep(Duration::from_millis(600));
        reply(&completion("late"))
    })
    .await;
    let answer = scene.say("hi").await;
    assert_eq!((answer.status, answer.code()), (504, "upstream_timeout".to_owned()));
    assert_eq!(scene.event("gw.response.decided").data["outcome"], "timeout");

    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base = Some(format!("http://127.0.0.1:{port}"));
    let scene = Scene::plan(Plan { limits, base, ..Plan::default() }, says("never")).await;
    let answer = scene.say("hi").await;
    assert_eq!((answer.status, answer.code()), (502, "upstream_unreachable".to_owned()));
    assert_eq!(scene.event("gw.response.decided").data["status"], 502);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_ended() {
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let scene = Scene::plan(Plan { limits, ..Plan::default() }, |_| {
        let first = format!("data: {}\n\n", chunk(0, json!({ "content": "Good morning. " }), None));
        let parts = futures_util::stream::unfold(Some(first), |first| async move {
            match first {
                Some(first) => Some((Ok::<_, std::io::Error>(first), None)),
                None => std::future::pending().await,
            }
        });
        reply_stream(axum::body::Body::from_stream(parts))
    })
    .await;
    let answer = scene.stream("hi").await;
    assert_eq!(answer.streamed(0, "/content"), "Good morning. ");
    assert_eq!(answer.chunks().last().unwrap()["error"]["code"], "upstream_timeout");
    assert_eq!(scene.event("gw.response.decided").data["outcome"], "timeout");
}

#[tokio::test]
async fn a_client_that_stops_reading_holds_neither_memory_nor_upstream() {
    let limits = Limits { client_stall: Duration::from_millis(300), ..Limits::default() };
    let scene = Scene::plan(Plan { limits, ..Plan::default() }, |_| {
        let part = format!("data: {}\n\n", chunk(0, json!({ "content": "many words ".repeat(400) }), None));
        reply_stream(pieces(vec![part.into_bytes(); 5000]))
    })
    .await;
    let mut body = ask("hi");
    body["stream"] = true.into();
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let connection = raw(&scene, head.as_bytes()).await;
    let events = scene.wait_for_events(2).await;
    assert_eq!(events[1].data["outcome"], "cancelled");
    drop(connection);
}

#[tokio::test]
async fn shutting_down_lets_open_requests_finish_or_says_that_it_did_not() {
    for (drain, outcome) in [(20_000, "complete"), (50, "interrupted")] {
        let limits = Limits { drain: Duration::from_millis(drain), ..Limits::default() };
        let scene = Scene::plan(Plan { limits, ..Plan::default() }, |_| {
            let parts = futures_util::stream::once(async {
                tokio::time::sleep(Duration::from_millis(600)).await;
                Ok::<_, std::io::Error>(completion("late").to_string())
            });
            let body = axum::body::Body::from_stream(parts);
            axum::response::Response::builder().header("content-type", "application/json").body(body).unwrap()
        })
        .await;
        let request = scene.post("/v1/chat/completions").body(ask("hi").to_string());
        let open = tokio::spawn(async move { request.send().await.unwrap().status() });
        while scene.heard().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let scene = scene.shut_down().await;
        assert_eq!(scene.event("gw.response.decided").data["outcome"], outcome);
        assert_eq!(open.await.unwrap(), if outcome == "complete" { 200 } else { 503 });
    }
}
