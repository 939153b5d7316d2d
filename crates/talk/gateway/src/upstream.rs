//! Where requests go, and the one client that every outgoing call uses.
//!
//! Proxies from the environment, private certificate authorities and time to connect are set up
//! once, here. Redirects are never followed: they would carry a prompt to a place that no event
//! names. Answers are asked for uncompressed; one that comes compressed all the same is decoded, and
//! the bound on answers counts decoded bytes. An encoding that is not understood is refused.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, Request, Response, Url};

use crate::key;
use crate::listing::Listing;
use crate::protocol::PROTOCOLS;

/// A provider key. Shows nothing when printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a key as read from the environment or a file.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An OpenAI-compatible service.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The name routes use.
    pub name: String,
    /// Base URL. `https://host/v1` and `https://host` both reach `https://host/v1/chat/completions`;
    /// a query stays.
    pub url: Url,
    /// Who runs it; recorded in every event.
    pub provider: String,
    /// Where it runs; recorded in every event.
    pub place: String,
    /// Sent as bearer token; never shown to callers.
    pub key: Option<Secret>,
    /// What `GET /v1/models` lists for it.
    pub models: Vec<String>,
}

/// How outgoing calls leave this machine.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Which proxy to use.
    pub proxy: ProxySource,
    /// PEM files of certificate authorities trusted beside the system's.
    pub extra_ca_pem: Vec<Vec<u8>>,
    /// To reach the upstream: TCP, proxy and TLS. Usually [`crate::Limits::connect`].
    pub connect: Duration,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { proxy: ProxySource::Environment, extra_ca_pem: Vec::new(), connect: crate::Limits::default().connect }
    }
}

/// Where proxy settings come from. Loopback addresses are always reached directly.
#[derive(Clone, PartialEq, Eq)]
pub enum ProxySource {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, as set when [`Upstreams::new`] runs.
    Environment,
    /// One proxy for everything but the hosts in `no_proxy` (same syntax as `NO_PROXY`).
    Fixed {
        /// The proxy's URL, credentials included if it wants some.
        url: String,
        /// Hosts reached directly.
        no_proxy: String,
    },
    /// No proxy.
    Direct,
}

impl std::fmt::Debug for ProxySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::Fixed { .. } => "Fixed(…)",
            Self::Direct => "Direct",
        })
    }
}

/// Why upstreams could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadUpstreams {
    /// A CA bundle holds no readable certificate.
    #[error("CA bundle number {number} holds no readable PEM certificate; give a file with `BEGIN CERTIFICATE` blocks")]
    Ca {
        /// Its place in the list, from 1.
        number: usize,
    },
    /// The proxy's URL cannot be used.
    #[error("the proxy URL cannot be used; write it like http://proxy.bank.example:3128")]
    Proxy,
    /// The client could not be built.
    #[error("the HTTP client could not be set up; for https upstreams check that the system has CA certificates")]
    Client {
        /// Why.
        source: reqwest::Error,
    },
    /// An upstream's URL or key cannot be used.
    #[error("upstream `{name}`: {why}")]
    Upstream {
        /// Which.
        name: String,
        /// What is wrong and what to do.
        why: &'static str,
    },
}

/// All upstreams with their client. Cheap to clone.
#[derive(Clone)]
pub struct Upstreams {
    by_name: Arc<BTreeMap<String, Ready>>,
}

/// An upstream with all that does not change from call to call.
pub(crate) struct Ready {
    pub(crate) upstream: Upstream,
    client: Client,
    urls: Vec<(&'static str, Url)>,
    models_url: Url,
    headers: HeaderMap,
    pub(crate) listing: Listing,
}

impl Upstreams {
    /// Checks the upstreams and builds the client.
    ///
    /// # Errors
    /// When a URL, key, proxy or CA bundle cannot be used.
    pub fn new(upstreams: Vec<Upstream>, outgoing: &Outgoing) -> Result<Self, BadUpstreams> {
        // Two clients: nothing on this machine is reached through a proxy.
        let secure = upstreams.iter().any(|upstream| upstream.url.scheme() == "https");
        let proxied = client(outgoing, true, secure)?;
        let direct = client(outgoing, false, secure)?;
        let mut by_name = BTreeMap::new();
        for upstream in upstreams {
            let client = if is_loopback(&upstream.url) { &direct } else { &proxied };
            by_name.insert(upstream.name.clone(), Ready::new(upstream, client.clone())?);
        }
        Ok(Self { by_name: Arc::new(by_name) })
    }

    /// The upstream of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Upstream> {
        self.ready(name).map(|ready| &ready.upstream)
    }

    /// All upstreams, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.by_name.values().map(|ready| &ready.upstream)
    }

    pub(crate) fn ready(&self, name: &str) -> Option<&Ready> {
        self.by_name.get(name)
    }
}

impl Outgoing {
    /// A client for other calls than those to models, set up alike: proxy, certificate authorities, time to connect.
    ///
    /// # Errors
    /// When the proxy or a CA bundle cannot be used.
    pub fn client(&self, url: &Url) -> Result<Client, BadUpstreams> {
        client(self, !is_loopback(url), url.scheme() == "https")
    }
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Ready {
    fn new(upstream: Upstream, client: Client) -> Result<Self, BadUpstreams> {
        let bad = |why| BadUpstreams::Upstream { name: upstream.name.clone(), why };
        if !matches!(upstream.url.scheme(), "http" | "https") || upstream.url.cannot_be_a_base() {
            return Err(bad("its URL must begin with http:// or https://"));
        }
        if upstream.url.username() != "" || upstream.url.password().is_some() {
            return Err(bad("its URL holds a password; give the key through the environment or a file instead"));
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("haris/", env!("CARGO_PKG_VERSION"))));
        if let Some(Secret(key)) = &upstream.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.trim()))
                .map_err(|_| bad("its key holds characters that a header cannot carry; check the file or variable"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let urls = PROTOCOLS.iter().map(|protocol| (protocol.path(), join(&upstream.url, protocol.path()))).collect();
        let models_url = join(&upstream.url, "/v1/models");
        Ok(Self { upstream, client, urls, models_url, headers, listing: Listing::default() })
    }

    /// Asks for the list of models.
    pub(crate) async fn get_models(&self) -> Result<Response, reqwest::Error> {
        let mut request = Request::new(Method::GET, self.models_url.clone());
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().remove(CONTENT_TYPE);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        self.client.execute(request).await
    }

    /// Sends a request. Dropping the future, or the response, cancels it.
    pub(crate) async fn send(&self, path: &str, body: Vec<u8>, stream: bool) -> Result<Response, reqwest::Error> {
        let (_, url) = self.urls.iter().find(|(known, _)| *known == path).expect("every protocol has a URL");
        let mut request = Request::new(Method::POST, url.clone());
        *request.headers_mut() = self.headers.clone();
        let accept = if stream { "text/event-stream" } else { "application/json" };
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        *request.body_mut() = Some(body.into());
        self.client.execute(request).await
    }

    /// The provider's key as no caller may see it, if there is one worth looking for.
    pub(crate) fn key(&self) -> Option<&str> {
        self.upstream.key.as_ref().and_then(|Secret(key)| key::searchable(key))
    }

    /// Whether an answer's texts hold the provider's key, each with its choice.
    pub(crate) fn leaks_key_in(&self, texts: &[(Option<u32>, String)]) -> bool {
        let texts = texts.iter().map(|(choice, text)| (*choice, text.as_str()));
        self.key().is_some_and(|key| key::is_in_texts(texts, key))
    }

    /// Whether `bytes` hold the provider's key.
    pub(crate) fn leaks_key(&self, bytes: &[u8]) -> bool {
        self.key().is_some_and(|key| key::is_in(bytes, key))
    }
}

/// An encoding that the client did not decode.
pub(crate) fn is_still_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Appends a protocol's path: a base that ends in the version keeps it once.
fn join(base: &Url, path: &str) -> Url {
    let trunk = base.path().trim_end_matches('/');
    let path = if trunk.ends_with("/v1") { path.strip_prefix("/v1").unwrap_or(path) } else { path };
    let mut url = base.clone();
    url.set_path(&format!("{trunk}{path}"));
    url.set_fragment(None);
    url
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn client(outgoing: &Outgoing, proxied: bool, secure: bool) -> Result<Client, BadUpstreams> {
    let mut extra = Vec::new();
    for (index, pem) in outgoing.extra_ca_pem.iter().enumerate() {
        let found = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
        if found.is_empty() {
            return Err(BadUpstreams::Ca { number: index + 1 });
        }
        extra.extend(found);
    }
    let base = || -> Result<reqwest::ClientBuilder, BadUpstreams> {
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A prompt is sent once; what is worth repeating, the caller repeats, with a new event.
            .retry(reqwest::retry::never())
            .connect_timeout(outgoing.connect)
            .http1_max_headers(64)
            // Shorter than the idle time of common servers, so that a call rarely meets a connection
            // that they are just closing.
            .pool_idle_timeout(Duration::from_secs(15))
            .tcp_keepalive(Duration::from_secs(30));
        Ok(match &outgoing.proxy {
            ProxySource::Environment if proxied => builder,
            ProxySource::Fixed { url, no_proxy } if proxied => {
                let proxy = reqwest::Proxy::all(url).map_err(|_| BadUpstreams::Proxy)?;
                builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(no_proxy)))
            }
            _ => builder.no_proxy(),
        })
    };
    match base()?.tls_certs_merge(extra.clone()).build() {
        Ok(client) => Ok(client),
        // A machine without any CA certificates still reaches plain HTTP, such as the practice
        // model, and whatever its own bundle vouches for.
        Err(_) if !secure || !extra.is_empty() => {
            base()?.tls_certs_only(extra).build().map_err(|source| BadUpstreams::Client { source })
        }
        Err(source) => Err(BadUpstreams::Client { source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(url: &str) -> Upstream {
        Upstream {
            name: "u".into(),
            url: url.parse().unwrap(),
            provider: "p".into(),
            place: "q".into(),
            key: Some(Secret::new("sk-provider-key")),
            models: Vec::new(),
        }
    }

    #[test]
    fn paths_are_joined_once() {
        let check = |base: &str, expected: &str| {
            assert_eq!(join(&base.parse().unwrap(), "/v1/chat/completions").as_str(), expected, "{base}");
        };
        check("https://api.example", "https://api.example/v1/chat/completions");
        check("https://api.example/", "https://api.example/v1/chat/completions");
        check("https://api.example/v1", "https://api.example/v1/chat/completions");
        check("https://api.example/v1/", "https://api.example/v1/chat/completions");
        check(
            "https://api.example/openai/v1?api-version=7",
            "https://api.example/openai/v1/chat/completions?api-version=7",
        );
        check("https://api.example/proxy", "https://api.example/proxy/v1/chat/completions");
    }

    #[test]
    fn nothing_prints_a_key() {
        let upstreams = Upstreams::new(vec![upstream("http://127.0.0.1:1")], &Outgoing::default()).unwrap();
        let proxy = ProxySource::Fixed { url: "http://u:hunter2@p".into(), no_proxy: String::new() };
        let printed = format!("{upstreams:?}{proxy:?}");
        assert!(!printed.contains("sk-provider") && !printed.contains("hunter2"), "{printed}");
        let ready = upstreams.ready("u").unwrap();
        assert!(ready.leaks_key(b"... sk-provider-key ..."));
        assert!(ready.leaks_key(br#"{"a":"\n\u0073k-provider\u002dkey"}"#));
        assert!(!ready.leaks_key(br#"\u0073k-provider\u00"#) && !ready.leaks_key(b"sk-provider-kex \\"));
    }

    #[test]
    fn what_cannot_work_is_said_at_the_start() {
        let outgoing = Outgoing::default();
        for url in ["ftp://host", "https://user:pass@host", "data:,x"] {
            assert!(
                matches!(Upstreams::new(vec![upstream(url)], &outgoing), Err(BadUpstreams::Upstream { .. })),
                "{url}"
            );
        }
        let ca = Outgoing { extra_ca_pem: vec![b"nonsense".to_vec()], ..outgoing.clone() };
        assert!(matches!(Upstreams::new(Vec::new(), &ca), Err(BadUpstreams::Ca { number: 1 })));
        let proxy = ProxySource::Fixed { url: "::".into(), no_proxy: String::new() };
        assert!(matches!(Upstreams::new(Vec::new(), &Outgoing { proxy, ..outgoing }), Err(BadUpstreams::Proxy)));
    }

    #[test]
    fn this_machine_is_reached_directly() {
        for (url, loopback) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]/", true),
            ("http://localhost", true),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), loopback, "{url}");
        }
    }
}
