//! Carrying out an operation: by the running server, or here when none runs.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use bytes::Bytes;
use haris_access::Who;
use haris_ledger::FsckProgress;
use haris_operations::{Context, Operation, Refusal, perform};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::config::Config;
use crate::home::{Folders, Home, Sight};
use crate::progress::Waiting;
use crate::{Failure, Place};

/// Who carries operations out.
pub(crate) enum Office {
    /// A running server, over its socket.
    Server(Folders),
    /// This process, which holds the installation meanwhile.
    Here(Box<Home>, Context),
    /// This process, which leaves everything as it is.
    Looking(Box<Sight>, Context),
}

impl Office {
    /// Reaches the server, and only it.
    pub(crate) async fn server(place: &Place) -> Result<Self, Failure> {
        let folders = Folders::of(place)?;
        if reachable(&folders.socket()).await {
            return Ok(Self::Server(folders));
        }
        Err(Failure::usage(format!(
            "no server runs on {}; start one with `haris serve`, or give its --data DIR",
            folders.data.display()
        )))
    }

    /// Reaches the server or, when none runs, opens the installation here.
    pub(crate) async fn any(place: &Place) -> Result<Self, Failure> {
        let folders = Folders::of(place)?;
        if reachable(&folders.socket()).await {
            return Ok(Self::Server(folders));
        }
        // A mistyped directory must not become a second, empty installation with keys of its own.
        installed(&folders, folders.installed())?;
        let config = Config::read(place.config.as_deref())?;
        let home = Home::open(folders, &config).await?;
        let context = home.context();
        Ok(Self::Here(Box::new(home), context))
    }

    /// Reaches the server or, when none runs, looks at the installation and changes nothing: for operations that only
    /// read, and must find things as they are.
    pub(crate) async fn looking(place: &Place) -> Result<Self, Failure> {
        let folders = Folders::of(place)?;
        if reachable(&folders.socket()).await {
            return Ok(Self::Server(folders));
        }
        // Whatever of it is missing is for the one who looks to find.
        installed(&folders, folders.installed() || folders.data.join("blobs").exists())?;
        let config = Config::read(place.config.as_deref())?;
        let sight = Sight::open(folders, &config).await?;
        let context = sight.context();
        Ok(Self::Looking(Box::new(sight), context))
    }

    /// Carries out one operation.
    pub(crate) async fn ask<O: Operation>(&self, input: &O::Input) -> Result<O::Answer, Failure> {
        let input = serde_json::to_value(input).map_err(|error| Failure::because("input", &error))?;
        let _waiting = self.waiting(O::META.name);
        let answer = match self {
            Self::Server(folders) => post(&folders.socket(), O::META.name, &input).await?,
            Self::Here(_, context) | Self::Looking(_, context) => {
                let uid = rustix::process::getuid().as_raw();
                perform(context, &Who::host(uid), O::META.name, input).await?
            }
        };
        serde_json::from_value(answer)
            .map_err(|error| Failure::because("the server answers in another version", &error))
    }

    /// Says on stderr what a look cannot see: a server that was killed leaves events in its spool, and only a start takes
    /// them in.
    pub(crate) async fn say_what_waits(&self) {
        if let Self::Looking(sight, _) = self
            && !sight.ledger.stopped_cleanly().await.unwrap_or(true)
        {
            let _ = writeln!(
                anstream::stderr(),
                "haris: the server did not stop cleanly: what its spool still holds is shown after the next start"
            );
        }
    }

    fn waiting(&self, operation: &'static str) -> Waiting {
        match self {
            Self::Looking(sight, _) => {
                let ledger = sight.ledger.clone();
                Waiting::saying(move || {
                    let FsckProgress { entries, of, payloads } = ledger.fsck_progress();
                    format!("{operation}: {entries} of {of} entries, {payloads} payloads")
                })
            }
            Self::Server(_) | Self::Here(..) => Waiting::while_(operation),
        }
    }

    /// Lets go of the installation.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Looking(sight, _) => {
                sight.ledger.store().close().await;
                Ok(())
            }
            Self::Here(home, _) => {
                let counters = home.counters(0, 0);
                home.close(counters).await
            }
        }
    }
}

/// Asks for one operation that only reads: when no server runs, the installation is looked at, and left as it is.
pub(crate) async fn ask_looking<O: Operation>(place: &Place, input: &O::Input) -> Result<O::Answer, Failure> {
    let office = Office::looking(place).await?;
    office.say_what_waits().await;
    let answer = office.ask::<O>(input).await;
    office.close().await?;
    answer
}

/// Asks for one operation, and lets go again whatever came of it.
pub(crate) async fn ask_any<O: Operation>(place: &Place, input: &O::Input) -> Result<O::Answer, Failure> {
    let office = Office::any(place).await?;
    let answer = office.ask::<O>(input).await;
    office.close().await?;
    answer
}

pub(crate) fn installed(folders: &Folders, there: bool) -> Result<(), Failure> {
    if there {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "there is no installation in {}: give its --data DIR, or make one with `haris serve`",
        folders.data.display()
    )))
}

/// Runs a command's asynchronous part.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Failure::because("could not start threads", &error))?.block_on(work)
}

/// Whether a server runs there, ours to ask or not.
async fn reachable(socket: &Path) -> bool {
    let connected = UnixStream::connect(socket).await;
    connected.map_or_else(|error| error.kind() == ErrorKind::PermissionDenied, |_| true)
}

async fn post(socket: &Path, operation: &str, input: &Value) -> Result<Value, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::because(&format!("the server on {} did not answer", socket.display()), error)
    };
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Failure::usage(format!(
            "{} belongs to another user: run the command as the user that runs the server",
            socket.display()
        )),
        _ => failed(&error),
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("/operations/{operation}"))
        .header(http::header::HOST, "haris")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(input.to_string())))
        .expect("an operation's name makes a path");
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
    drop(sender);
    connection.abort();
    if status.is_success() && status != http::StatusCode::ACCEPTED {
        return serde_json::from_slice(&body).map_err(|error| failed(&error));
    }
    match serde_json::from_slice::<Refusal>(&body) {
        Ok(refusal) => Err(refusal.into()),
        Err(_) => Err(Failure::usage(format!("the server answered {status}: {}", String::from_utf8_lossy(&body)))),
    }
}
