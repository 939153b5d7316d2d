//! A witness's door: `POST /add-checkpoint`, `GET /<hex sha256(origin)>/checkpoint`.
//!
//! Besides what the specification asks for: `GET /<hex>/consistency/<size>` gives the newest cosigned checkpoint with
//! the proof that it continues the one of that size, in the form of a submission; and `GET /` says how each log
//! stands, refused checkpoints included. All of it is public, and none of it need be believed without its signatures.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use haris_merkle::submission::SUBMISSION_BYTES_MAX;
use haris_witness::{Answer, Witness};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections at the same time. A witness watches few logs, and each needs one.
const CONNECTIONS_MAX: usize = 256;
/// From a request's first byte, or the end of the one before it, to the end of its headers.
const HEAD_READ: Duration = Duration::from_secs(30);
/// From the end of the headers to the end of the body.
const BODY_READ: Duration = Duration::from_secs(10);
/// Headers of a submission are a few hundred bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// After a failed `accept` (usually: no file descriptor left) there is a pause, not a loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long open requests may go on after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(5);

/// Answers until `stop` resolves; submissions that are being answered then are finished.
pub async fn serve(
    listener: TcpListener,
    witness: Arc<Witness>,
    clock: fn() -> u64,
    stop: impl Future<Output = ()> + Send,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (open, _) = watch::channel(());
    let (end, ended) = watch::channel(false);
    tokio::pin!(stop);
    loop {
        let place = tokio::select! {
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (witness, mut ended, held) = (Arc::clone(&witness), ended.clone(), open.subscribe());
        tokio::spawn(async move {
            converse(stream, witness, clock, &mut ended).await;
            drop((place, held));
        });
    }
    end.send_replace(true);
    let _ = tokio::time::timeout(DRAIN, open.closed()).await;
}

async fn converse(stream: TcpStream, witness: Arc<Witness>, clock: fn() -> u64, ended: &mut watch::Receiver<bool>) {
    let service = service_fn(move |request| {
        let witness = Arc::clone(&witness);
        async move { Ok::<_, Infallible>(answer(request, witness, clock).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_READ)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // A client that breaks off, stalls or speaks no HTTP is its own problem.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = ended.wait_for(|ended| *ended) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>, witness: Arc<Witness>, clock: fn() -> u64) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::POST, ["add-checkpoint"]) => add_checkpoint(request.into_body(), witness, clock).await,
        (&Method::GET, [""]) => {
            let logs = blocking(move || witness.logs()).await;
            let body = json!({ "schema": "haris.witness/1", "logs": logs });
            reply(StatusCode::OK, "application/json", body.to_string())
        }
        (&Method::GET, [log, "checkpoint"]) => {
            let log = (*log).to_owned();
            let note = blocking(move || witness.checkpoint(&log)).await;
            found(note)
        }
        (&Method::GET, [log, "consistency", size]) => {
            let (log, Ok(size)) = ((*log).to_owned(), size.parse::<u64>()) else { return found(None) };
            found(blocking(move || witness.consistency(&log, size)).await)
        }
        (_, ["add-checkpoint"] | [""] | [_, "checkpoint"] | [_, "consistency", _]) => {
            plain(StatusCode::METHOD_NOT_ALLOWED, "another method is needed here")
        }
        _ => found(None),
    }
}

async fn add_checkpoint(body: Incoming, witness: Arc<Witness>, clock: fn() -> u64) -> Response<Full<Bytes>> {
    let body = match tokio::time::timeout(BODY_READ, Limited::new(body, SUBMISSION_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or ended early"),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    };
    // Durable before it is answered: that takes the disk its time, and no thread that serves others.
    match blocking(move || witness.add_checkpoint(&body, clock())).await {
        Answer::Cosigned(lines) => reply(StatusCode::OK, "text/plain; charset=utf-8", lines),
        Answer::Conflict(size) => reply(StatusCode::CONFLICT, "text/x.tlog.size", format!("{size}\n")),
        Answer::UnknownLog => plain(StatusCode::NOT_FOUND, "no log of that origin is watched here"),
        Answer::NotSigned(why) => plain(StatusCode::FORBIDDEN, &why),
        Answer::Malformed(why) => plain(StatusCode::BAD_REQUEST, &why),
        Answer::NotProven(why) => plain(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Answer::Failed(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("a witness does not panic and is not aborted")
}

fn found(bytes: Option<Vec<u8>>) -> Response<Full<Bytes>> {
    match bytes {
        Some(bytes) => reply(StatusCode::OK, "text/plain; charset=utf-8", bytes),
        None => plain(StatusCode::NOT_FOUND, "there is nothing of that name here"),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    reply(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
