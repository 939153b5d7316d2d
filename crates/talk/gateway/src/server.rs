//! Connections and requests: accepts, bounds, authenticates, reads bodies, hands over.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tower::ServiceExt as _;

use crate::body::Rest;
use crate::exchange::Exchange;
use crate::gateway::{Gateway, Trace, answer, json};
use crate::io::{Never, Reply, Response, Stall};
use crate::problem::Problem;
use crate::protocol::{self, PROTOCOLS, Protocol};
use crate::strangers::{MINUTE, Source};
use crate::{Caller, Counters, Wiring, media, models, receipt};

/// The read buffer of a connection. A head beyond it is refused by the HTTP library itself, with no
/// body, so it is much larger than the bound on headers, whose refusal explains itself.
const CONNECTION_BUFFER_BYTES: usize = 128 << 10;

/// Headers that the HTTP library reads, and those that a request may have.
const HEADERS_READ_MAX: usize = 1024;
const HEADERS_MAX: usize = 128;

/// After a failed `accept` (usually: no file descriptor left) there is a pause, not a loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// So much of a refused body is read before the answer.
const DISCARD_BYTES_MAX: u64 = 64 << 20;
/// The same for those without a key.
const DISCARD_BYTES_STRANGER: u64 = 256 << 10;

/// Accepts connections until `shutdown` resolves, then lets open requests finish, for at most
/// [`crate::Limits::drain`]; what is left then is cancelled and recorded as interrupted. Returns when
/// no request is open: the spool can be closed after it.
///
/// Paths that no protocol claims go to `extra`.
pub async fn serve(
    listener: TcpListener,
    wiring: Wiring,
    extra: axum::Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let (stop, stopped) = watch::channel(false);
    let (drain, draining) = watch::channel(false);
    // Every connection and every exchange holds a receiver; when all are gone, nothing is open.
    let open = watch::Sender::new(());
    let places = Arc::new(Semaphore::new(wiring.limits.connections));
    let drain_time = wiring.limits.drain;
    let gateway = Arc::new(Gateway::new(wiring, stopped, open.clone()));
    let door = Door { gateway: Arc::clone(&gateway), extra };
    let counting = tokio::spawn(count(Arc::clone(&gateway), draining.clone()));
    tokio::pin!(shutdown);
    loop {
        let place = tokio::select! {
            () = &mut shutdown => break,
            place = Arc::clone(&places).acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (door, draining, open) = (door.clone(), draining.clone(), open.subscribe());
        tokio::spawn(async move {
            Counters::add(&door.gateway.wiring.counters.connections);
            door.connection(stream, peer.ip(), draining).await;
            door.gateway.wiring.counters.connections.fetch_sub(1, Ordering::Relaxed);
            drop((place, open));
        });
    }
    drop(listener);
    let _ = drain.send(true);
    drop(door);
    let _ = counting.await;
    if tokio::time::timeout(drain_time, open.closed()).await.is_err() {
        tracing::warn!("requests are still open after the time to drain; they are interrupted");
        let _ = stop.send(true);
        // Each writes its last event; the spool answers or refuses at once, so this ends.
        let _ = tokio::time::timeout(drain_time, open.closed()).await;
    }
    // What was counted is recorded, also of this minute and of the time to drain.
    gateway.record_left(u64::MAX).await;
}

/// Once a minute, what is counted by minutes and hours.
async fn count(gateway: Arc<Gateway>, mut draining: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(MINUTE) => gateway.tick().await,
            _ = draining.changed() => return,
        }
    }
}

#[derive(Clone)]
struct Door {
    gateway: Arc<Gateway>,
    extra: axum::Router,
}

impl Door {
    async fn connection(&self, stream: TcpStream, peer: IpAddr, mut draining: watch::Receiver<bool>) {
        let limits = &self.gateway.wiring.limits;
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(Stall::new(stream, limits.client_stall));
        let service = service_fn(|request| self.request(request, peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read)
            .max_buf_size(CONNECTION_BUFFER_BYTES)
            .max_headers(HEADERS_READ_MAX)
            .serve_connection(io, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            _ = async { draining.wait_for(|draining| *draining).await.is_ok() } => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // Its errors are those of clients: resets, timeouts, nonsense. Nothing to tell anybody, but for
        // a refusal that the library has answered by itself.
        if ended.is_err_and(|error| error.is_parse_too_large()) {
            let problem = headers_too_large("The headers are longer than the gateway reads.".to_owned());
            let _answered = self.gateway.refuse_counted(&problem, PROTOCOLS[0], Source::network(peer)).await;
        }
    }

    async fn request(&self, request: Request<Incoming>, peer: IpAddr) -> Result<Response, Never> {
        let path = request.uri().path();
        let protocol = protocol::at_path(path);
        // Clients that are given a base URL with a slash at its end ask for `//v1/...`.
        let below = path.trim_start_matches('/');
        if protocol.is_none() && below != "v1" && !below.starts_with("v1/") {
            return Ok(self.extra(request, peer).await);
        }
        let counters = &self.gateway.wiring.counters;
        Counters::add(&counters.in_flight);
        // Not only when it ends: also when the connection, and with it this future, is dropped.
        let _leave = Leave(&counters.in_flight);
        Ok(self.gateway_request(request, protocol, peer).await)
    }

    async fn extra(&self, request: Request<Incoming>, peer: IpAddr) -> Response {
        let token = request.headers().get(header::AUTHORIZATION).cloned();
        let mut request = request.map(axum::body::Body::new);
        // Whoever answers may want to know from where it is asked.
        request.extensions_mut().insert(peer);
        let response = self.extra.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let is_nobodys =
            response.status() == StatusCode::NOT_FOUND && !response.headers().contains_key(header::CONTENT_TYPE);
        if !is_nobodys {
            return response.map(Reply::Extra);
        }
        match self.caller(token.as_ref()) {
            Ok(caller) => self.gateway.refuse(&unknown_path(), PROTOCOLS[0], &caller, None).await,
            Err(_) => self.gateway.refuse_counted(&unknown_path(), PROTOCOLS[0], Source::network(peer)).await,
        }
    }

    async fn gateway_request(
        &self,
        request: Request<Incoming>,
        protocol: Option<&'static dyn Protocol>,
        peer: IpAddr,
    ) -> Response {
        let gateway = &self.gateway;
        let limits = &gateway.wiring.limits;
        // Errors of paths without a protocol have the shape of the first.
        let shape = protocol.unwrap_or(PROTOCOLS[0]);
        let (head, body) = request.into_parts();
        // Whoever asks first has not sent the body yet: it is told no, and keeps it.
        let body = Rest::new(body, &head.headers);
        let header_bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let header_bytes = header_bytes + head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        let caller = match self.caller(head.headers.get(header::AUTHORIZATION)) {
            Ok(caller) => caller,
            Err(problem) => {
                let response = gateway.refuse_counted(&problem, shape, Source::network(peer)).await;
                return body.discard(DISCARD_BYTES_STRANGER, response).await;
            }
        };
        if header_bytes > limits.header_bytes {
            let message = format!("The headers have {header_bytes} bytes; at most {} are read.", limits.header_bytes);
            return self.refuse(&headers_too_large(message), shape, &caller, body).await;
        }
        if head.headers.len() > HEADERS_MAX {
            let message = format!("There are {} headers; at most {HEADERS_MAX} are read.", head.headers.len());
            return self.refuse(&headers_too_large(message), shape, &caller, body).await;
        }
        match (protocol, &head.method, head.uri.path()) {
            (Some(protocol), &Method::POST, _) => self.post(head, body, protocol, caller).await,
            (None, &Method::GET | &Method::HEAD, "/v1/models") => {
                let rules = gateway.wiring.rules.load_full();
                json(200, models::list(&gateway.wiring, &rules, &caller).await, None, None)
            }
            (None, &Method::GET | &Method::HEAD, path) if path.starts_with("/v1/models/") => {
                let id = media::unescape(&path["/v1/models/".len()..]);
                let rules = gateway.wiring.rules.load_full();
                let id = String::from_utf8(id).unwrap_or_default();
                match models::one(&rules, &caller, &id) {
                    Some(body) => json(200, body, None, None),
                    None => {
                        let message = "There is no such model for this key. `GET /v1/models` lists those there are.";
                        let problem = Problem::new(404, "model_not_found", "unknown-model", message);
                        gateway.refuse(&problem, shape, &caller, None).await
                    }
                }
            }
            (Some(_), _, _) | (None, _, "/v1/models") => {
                let problem = Problem::new(405, "method_not_allowed", "method-not-allowed", "Use another method here.");
                self.refuse(&problem, shape, &caller, body).await
            }
            (None, _, _) => self.refuse(&unknown_path(), shape, &caller, body).await,
        }
    }

    /// Who calls, by the bearer token.
    fn caller(&self, header: Option<&http::HeaderValue>) -> Result<Arc<Caller>, Problem> {
        let refused = |reason, message: &str| Problem::new(401, "invalid_api_key", reason, message);
        let token = header.and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = token else {
            let message = "No API key was given. Send one of the gateway's own keys (hk_...) as bearer token.";
            return Err(refused("unauthenticated", message));
        };
        let callers = self.gateway.wiring.callers.load();
        let Some(caller) = callers.find(token) else {
            let message = "The API key is not one that this gateway knows, or was revoked.";
            return Err(refused("unauthenticated", message));
        };
        if caller.expires.is_some_and(|expires| expires <= (self.gateway.wiring.clock)()) {
            return Err(refused("key-expired", "The API key has expired. Ask the gateway's operator for another."));
        }
        Ok(Arc::clone(caller))
    }

    async fn post(
        &self,
        head: http::request::Parts,
        body: Rest,
        protocol: &'static dyn Protocol,
        caller: Arc<Caller>,
    ) -> Response {
        let gateway = &self.gateway;
        let limits = &gateway.wiring.limits;
        let started = Instant::now();
        let Some(place) = gateway.places.take(&caller.id, limits.caller_requests) else {
            let message = "This key has as many requests open as it may. Wait for one to end, then try again.";
            let problem = Problem::new(429, "too_many_requests", "concurrency", message).retry_after(1);
            return self.refuse(&problem, protocol, &caller, body).await;
        };
        if gateway.quota_used_up(&caller) {
            let message = "What may be stored for this key in 24 hours is used up. Ask the gateway's operator.";
            let problem = Problem::new(429, "quota_exceeded", "quota", message).retry_after(3_600);
            let response = gateway.refuse_counted(&problem, protocol, Source::Caller(caller.id.clone())).await;
            return body.discard(DISCARD_BYTES_MAX, response).await;
        }
        let encoding = head.headers.get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let message = "The gateway reads request bodies that are not compressed.";
            let problem = Problem::new(415, "unsupported_encoding", "content-encoding", message);
            return self.refuse(&problem, protocol, &caller, body).await;
        }
        let mut memory = gateway.memory.lease();
        let bytes = match body.read(limits, &mut memory).await {
            Ok(bytes) => bytes,
            Err((problem, Some(rest))) => return self.refuse(&problem, protocol, &caller, rest).await,
            Err((problem, None)) => return gateway.refuse(&problem, protocol, &caller, None).await,
        };
        let wants_receipt = receipt::wanted(&head.headers);
        let recorded = Arc::new(OnceLock::new());
        let exchange = Exchange {
            gateway: Arc::clone(gateway),
            _open: gateway.open.subscribe(),
            protocol,
            caller,
            body: bytes,
            place,
            memory,
            started,
            recorded: Arc::clone(&recorded),
            wants_receipt,
        };
        let (reply, answered) = oneshot::channel();
        tokio::spawn(exchange.run(reply));
        answered.await.unwrap_or_else(|_| {
            // The exchange ended without an answer: a bug. Its event, if it got so far, stands.
            tracing::error!(protocol = protocol.name(), "an exchange ended without an answer");
            let problem = Problem::new(500, "internal_error", "internal", "The gateway failed on this request.");
            answer(&problem, protocol, recorded.get().copied().map(Trace::Event))
        })
    }

    async fn refuse(&self, problem: &Problem, protocol: &dyn Protocol, caller: &Caller, rest: Rest) -> Response {
        let response = self.gateway.refuse(problem, protocol, caller, None).await;
        rest.discard(DISCARD_BYTES_MAX, response).await
    }
}

fn headers_too_large(message: String) -> Problem {
    Problem::new(431, "headers_too_large", "headers-too-large", message)
}

fn unknown_path() -> Problem {
    let message = "The gateway has no such endpoint: it answers /v1/chat/completions, /v1/embeddings and /v1/models.";
    Problem::new(404, "unknown_url", "unknown-path", message)
}

/// Counts a request out.
struct Leave<'c>(&'c std::sync::atomic::AtomicU64);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
