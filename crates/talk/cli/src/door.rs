//! The administration socket: operations for whoever may open a file of mode 0600.
//!
//! HTTP over a Unix socket: `POST /operations/NAME` with JSON in and out. The kernel says which
//! uid asks; the ledger records it as `local:UID`, which is not a person.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::serve::IncomingStream;
use axum::{Json, Router};
use haris_access::Who;
use haris_operations::{Context, RefusalCode, perform};
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Failure;

/// The longest input: a list of a few thousand ids.
const INPUT_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Copy)]
struct Peer {
    /// None when the kernel did not say.
    uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self { uid: stream.io().peer_cred().ok().map(|credentials| credentials.uid()) }
    }
}

/// The kernel's bound on a socket's path, its closing zero left out.
const PATH_BYTES_MAX: usize = 107;

/// Found out before anything is opened: no socket can have this path.
pub(crate) fn check_length(path: &Path) -> Result<(), Failure> {
    let bytes = path.as_os_str().len();
    if bytes <= PATH_BYTES_MAX {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} has {bytes} bytes, and the path of a socket at most {PATH_BYTES_MAX}: give a shorter --data DIR",
        path.display()
    )))
}

/// Serves until told to stop. The socket file is made anew: the lock on the data directory says
/// that nobody else serves on it.
pub(crate) fn serve(path: &Path, context: Context, mut stop: watch::Receiver<bool>) -> Result<JoinHandle<()>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::because(&format!("could not make the administration socket {}", path.display()), &error)
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // Bound under another name and renamed when its mode is right: nobody can connect in between.
    let unready = path.with_extension("new");
    let _ = std::fs::remove_file(&unready);
    let listener = UnixListener::bind(&unready).map_err(failed)?;
    std::fs::set_permissions(&unready, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&unready, path).map_err(failed)?;
    let router = Router::new()
        .route("/operations/{name}", post(operation))
        .layer(DefaultBodyLimit::max(INPUT_BYTES_MAX))
        .with_state(context);
    let path = path.to_owned();
    Ok(tokio::spawn(async move {
        let service = router.into_make_service_with_connect_info::<Peer>();
        let stopped = async move {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the administration socket stopped");
        }
        let _ = std::fs::remove_file(path);
    }))
}

async fn operation(
    State(context): State<Context>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    UrlPath(name): UrlPath<String>,
    Json(input): Json<Value>,
) -> Response {
    let Some(uid) = peer.uid else {
        return (StatusCode::FORBIDDEN, "the kernel does not say who asks").into_response();
    };
    match perform(&context, &Who::host(uid), &name, input).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => (status(refusal.code), Json(refusal)).into_response(),
    }
}

/// The HTTP status that tells of a refusal.
pub(crate) fn status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::Invalid => StatusCode::BAD_REQUEST,
        RefusalCode::NotFound => StatusCode::NOT_FOUND,
        RefusalCode::Conflict => StatusCode::CONFLICT,
        RefusalCode::Forbidden => StatusCode::FORBIDDEN,
        RefusalCode::Waiting => StatusCode::ACCEPTED,
        RefusalCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_too_long_for_a_socket_is_found_before_anything_is_made() {
        assert!(check_length(Path::new("/srv/haris/haris.sock")).is_ok());
        let long = format!("/{}/haris.sock", "a".repeat(100));
        assert!(check_length(Path::new(&long)).unwrap_err().message.contains("shorter --data"));
    }
}
