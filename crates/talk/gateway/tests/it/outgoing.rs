//! Ways out: proxies, private certificate authorities.

use std::sync::Arc;
use std::time::Duration;

use haris_gateway::{Outgoing, ProxySource};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

const CA: &[u8] = include_bytes!("../data/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../data/server.pem");
const PRIVATE_KEY: &[u8] = include_bytes!("../data/server-key.pem");

async fn head_of(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).await.is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Reads one request and answers it.
async fn answer_one(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let head = head_of(&mut stream).await.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.trim().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    let answer = completion("through").to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
}

/// An upstream that speaks TLS under the private authority.
async fn secure_upstream() -> u16 {
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificates = CertificateDer::pem_slice_iter(CERTIFICATE).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(PRIVATE_KEY).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer_one(stream).await;
                }
            });
        }
    });
    port
}

/// A proxy that notes the first line of each request and leads everything to `port`, or answers.
async fn proxy(port: Option<u16>) -> (String, Arc<Mutex<Vec<String>>>) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut first = [0; 7];
                if stream.peek(&mut first).await.unwrap_or(0) == 7 && &first != b"CONNECT" {
                    let mut line = [0; 64];
                    let length = stream.peek(&mut line).await.unwrap();
                    let line = String::from_utf8_lossy(&line[..length]).into_owned();
                    noted.lock().push(line.lines().next().unwrap_or_default().to_owned());
                    answer_one(stream).await;
                    return;
                }
                let head = head_of(&mut stream).await;
                noted.lock().push(head.lines().next().unwrap_or_default().to_owned());
                let Some(port) = port else { return };
                let mut upstream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
            });
        }
    });
    (url, seen)
}

fn through(url: &str, no_proxy: &str) -> Outgoing {
    let proxy = ProxySource::Fixed { url: url.to_owned(), no_proxy: no_proxy.to_owned() };
    Outgoing { proxy, extra_ca_pem: vec![CA.to_vec()], connect: Duration::from_secs(5) }
}

#[tokio::test]
async fn a_private_authority_vouches_for_an_upstream_and_a_stranger_does_not() {
    let port = secure_upstream().await;
    let base = Some(format!("https://localhost:{port}"));
    let trusting = Outgoing { proxy: ProxySource::Direct, extra_ca_pem: vec![CA.to_vec()], ..Outgoing::default() };
    let scene = Scene::plan(Plan { base: base.clone(), outgoing: trusting, ..Plan::default() }, says("unused")).await;
    let answer = scene.say("hi").await;
    assert_eq!((answer.status, answer.json()), (200, completion("through")));

    let (url, _) = proxy(Some(port)).await;
    // Right authority, wrong name.
    let base = Some("https://other.test".to_owned());
    let scene = Scene::plan(Plan { base, outgoing: through(&url, ""), ..Plan::default() }, says("unused")).await;
    assert_eq!(scene.say("hi").await.status, 502);
}

#[tokio::test]
async fn a_proxy_is_used_for_both_schemes_and_hosts_are_exempt() {
    let port = secure_upstream().await;
    let (url, seen) = proxy(Some(port)).await;
    for (base, line) in [
        ("https://upstream.test/v1", "CONNECT upstream.test:443 HTTP/1.1"),
        ("http://upstream.test/v1", "POST http://upstream.test/v1/chat/completions HTTP/1.1"),
    ] {
        let plan = Plan { base: Some(base.to_owned()), outgoing: through(&url, "elsewhere.test"), ..Plan::default() };
        let scene = Scene::plan(plan, says("unused")).await;
        assert_eq!(scene.say("hi").await.json(), completion("through"), "{base}");
        assert_eq!(seen.lock().pop().unwrap(), line);
    }
    // An exempt host is looked up directly, and does not exist.
    let plan =
        Plan { base: Some("http://upstream.test".to_owned()), outgoing: through(&url, ".test"), ..Plan::default() };
    let scene = Scene::plan(plan, says("unused")).await;
    assert_eq!(scene.say("hi").await.status, 502);
    assert!(seen.lock().is_empty());
    // This machine needs no exemption.
    let scene = Scene::plan(Plan { outgoing: through(&url, ""), ..Plan::default() }, says("direct")).await;
    assert_eq!(scene.say("hi").await.json(), completion("direct"));
    assert!(seen.lock().is_empty());
}

/// Runs in a process of its own, whose environment names the proxy.
#[tokio::test]
#[ignore = "started by the test below with an environment of its own"]
async fn in_an_environment_with_a_proxy() {
    let outgoing = Outgoing { extra_ca_pem: vec![CA.to_vec()], ..Outgoing::default() };
    let plan = Plan { base: Some("https://upstream.test".to_owned()), outgoing: outgoing.clone(), ..Plan::default() };
    let scene = Scene::plan(plan, says("unused")).await;
    assert_eq!(scene.say("hi").await.json(), completion("through"));
    let plan = Plan { base: Some("https://exempt.test".to_owned()), outgoing, ..Plan::default() };
    let scene = Scene::plan(plan, says("unused")).await;
    assert_eq!(scene.say("hi").await.status, 502);
}

#[tokio::test]
async fn the_environment_names_the_proxy() {
    let port = secure_upstream().await;
    let (url, seen) = proxy(Some(port)).await;
    let child = tokio::task::spawn_blocking(move || {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "outgoing::in_an_environment_with_a_proxy"])
            .env("HTTPS_PROXY", &url)
            .env("NO_PROXY", "exempt.test")
            .env_remove("https_proxy")
            .env_remove("no_proxy")
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(*seen.lock(), ["CONNECT upstream.test:443 HTTP/1.1"]);
}
