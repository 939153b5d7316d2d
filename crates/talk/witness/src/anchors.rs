//! Lesser anchors: checkpoints in an append-only file and in syslog.
//!
//! They are worth what the place is worth where they lie. A collector that another team runs, or a file that root of
//! this machine cannot change back, keeps the operator from telling another history later; nobody there refuses one at
//! once, as a witness does.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use haris_domain::{Log, Timestamp};
use haris_ledger::{CheckpointRow, Ledger};
use haris_merkle::{KeyKind, Note};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One checkpoint of each log in so much time: some 5 MB a day and log at most.
const EVERY: Duration = Duration::from_secs(10);
/// A collector that takes longer is tried again with the next checkpoint.
const PATIENCE: Duration = Duration::from_secs(5);
/// RFC 5424: facility 13 (log audit), severity 5 (notice).
const PRIORITY: u8 = 13 * 8 + 5;

/// Where syslog goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Syslog {
    /// `unix:/dev/log`.
    Unix(PathBuf),
    /// `udp:collector.bank.example:514`.
    Udp(String),
    /// `tcp:collector.bank.example:601`, with octet counting (RFC 6587).
    Tcp(String),
}

/// A place that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{given}` is no place for syslog; write unix:/dev/log, udp:HOST:PORT or tcp:HOST:PORT")]
pub struct BadAnchor {
    given: String,
}

impl FromStr for Syslog {
    type Err = BadAnchor;

    fn from_str(s: &str) -> Result<Self, BadAnchor> {
        let bad = || BadAnchor { given: s.chars().take(128).collect() };
        let host = |rest: &str| {
            let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
            port.parse::<u16>().map_err(|_| bad())?;
            if host.is_empty() { Err(bad()) } else { Ok(rest.to_owned()) }
        };
        match s.split_once(':').ok_or_else(bad)? {
            ("unix", path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            ("udp", rest) => Ok(Self::Udp(host(rest)?)),
            ("tcp", rest) => Ok(Self::Tcp(host(rest)?)),
            _ => Err(bad()),
        }
    }
}

/// How the anchors stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorsStatus {
    /// Checkpoints written since the start.
    pub written: u64,
    /// When the last was written.
    pub last_at: Option<String>,
    /// What needs a person: a place that refuses, or a file that is not the one that was written before.
    pub attention: Vec<String>,
}

/// Where checkpoints are written besides. Cheap to clone.
#[derive(Clone)]
pub struct Anchors(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    clock: fn() -> Timestamp,
    file: Option<PathBuf>,
    syslog: Option<Syslog>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    written: u64,
    last_at: Option<Timestamp>,
    /// The size written last, by log.
    sizes: [u64; 2],
    /// The file that was written last, and how long it was then.
    file: Option<Written>,
    /// Stays until the next start: what a person must look into does not go away by itself.
    changed: Option<String>,
    file_error: Option<String>,
    syslog_error: Option<String>,
}

#[derive(Clone, Copy)]
struct Written {
    device: u64,
    inode: u64,
    bytes: u64,
}

impl Anchors {
    /// Anchors that write nothing yet.
    #[must_use]
    pub fn new(ledger: Ledger, clock: fn() -> Timestamp, file: Option<PathBuf>, syslog: Option<Syslog>) -> Self {
        Self(Arc::new(Inner { ledger, clock, file, syslog, state: Mutex::default() }))
    }

    /// Writes new checkpoints until `stop` says true or its sender is gone.
    #[must_use]
    pub fn run(&self, mut stop: watch::Receiver<bool>) -> Option<JoinHandle<()>> {
        if self.0.file.is_none() && self.0.syslog.is_none() {
            return None;
        }
        let this = self.clone();
        let mut sealed = self.0.ledger.on_sealed();
        Some(tokio::spawn(async move {
            while !*stop.borrow() {
                this.write().await;
                let pause = async {
                    tokio::time::sleep(EVERY).await;
                    sealed.changed().await
                };
                tokio::select! {
                    _ = pause => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
        }))
    }

    /// Writes what is new.
    pub async fn write(&self) {
        for log in Log::ALL {
            match self.0.ledger.checkpoint(log).await {
                Ok(Some(row)) if row.size != self.0.state.lock().sizes[log as usize] => {
                    let this = self.clone();
                    // Files and sockets take their time.
                    let _ = tokio::task::spawn_blocking(move || this.write_one(&row)).await;
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "could not read the checkpoint to anchor"),
            }
        }
    }

    /// How the anchors stand; none where none are configured.
    #[must_use]
    pub fn status(&self) -> Option<AnchorsStatus> {
        if self.0.file.is_none() && self.0.syslog.is_none() {
            return None;
        }
        let state = self.0.state.lock();
        let parts = [&state.changed, &state.file_error, &state.syslog_error];
        Some(AnchorsStatus {
            written: state.written,
            last_at: state.last_at.map(|at| at.to_string()),
            attention: parts.into_iter().flatten().cloned().collect(),
        })
    }

    fn write_one(&self, row: &CheckpointRow) {
        let now = (self.0.clock)();
        let Some(line) = line(row, now) else { return };
        let mut state = self.0.state.lock();
        if let Some(path) = &self.0.file {
            match append(path, &line, state.file) {
                Ok((written, changed)) => {
                    state.file = Some(written);
                    state.file_error = None;
                    if let Some(why) = changed {
                        tracing::error!(path = %path.display(), why, "the anchors' file changed");
                        state.changed = Some(format!("the anchors' file {}: {why}", path.display()));
                    }
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "could not anchor a checkpoint");
                    state.file_error = Some(format!("the anchors' file {} cannot be written: {error}", path.display()));
                }
            }
        }
        if let Some(syslog) = &self.0.syslog {
            state.syslog_error = syslog.send(&line, now).err().map(|error| {
                tracing::error!(%error, "could not anchor a checkpoint in syslog");
                format!("syslog does not take checkpoints: {error}")
            });
        }
        if state.file_error.is_none() && state.syslog_error.is_none() {
            state.sizes[row.log as usize] = row.size;
            state.written += 1;
            state.last_at = Some(now);
        }
    }
}

/// One line of JSON: the note with its Ed25519 signature alone, so that it fits a syslog message.
fn line(row: &CheckpointRow, now: Timestamp) -> Option<String> {
    let note = Note::parse(row.note.as_bytes()).ok()?;
    let short = |line: &&haris_merkle::note::Signature| line.blob.len() == KeyKind::Ed25519.signature_bytes();
    let signed = note.with_signatures(note.signatures().iter().filter(short).cloned().collect());
    let note = String::from_utf8(signed.to_bytes()).ok()?;
    Some(json!({ "schema": "haris.anchor/1", "at": now.to_string(), "note": note }).to_string())
}

/// Opened anew each time, by its name: a file that was moved away or removed is noticed with the next line.
fn append(path: &Path, line: &str, before: Option<Written>) -> io::Result<(Written, Option<String>)> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let found = file.metadata()?;
    // A file that takes the place of a removed one may even get its inode; then its length tells.
    let same =
        |before: &Written| (before.device, before.inode) == (found.dev(), found.ino()) && found.len() >= before.bytes;
    let changed = before.filter(|before| !same(before)).map(|before| {
        format!("it was replaced, removed or cut: {} bytes are there, {} were written", found.len(), before.bytes)
    });
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_data()?;
    let bytes = file.metadata()?.len();
    Ok((Written { device: found.dev(), inode: found.ino(), bytes }, changed))
}

impl Syslog {
    fn send(&self, line: &str, now: Timestamp) -> io::Result<()> {
        let message = format!("<{PRIORITY}>1 {now} - haris {} checkpoint - {line}", std::process::id());
        match self {
            Self::Unix(path) => UnixDatagram::unbound()?.send_to(message.as_bytes(), path).map(|_| ()),
            Self::Udp(host) => {
                let to = resolve(host)?;
                let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                UdpSocket::bind(from)?.send_to(message.as_bytes(), to).map(|_| ())
            }
            Self::Tcp(host) => {
                let mut stream = TcpStream::connect_timeout(&resolve(host)?, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.write_all(format!("{} {message}", message.len()).as_bytes())
            }
        }
    }
}

fn resolve(host: &str) -> io::Result<std::net::SocketAddr> {
    let mut addresses = host.to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_for_syslog() {
        assert_eq!("unix:/dev/log".parse(), Ok(Syslog::Unix("/dev/log".into())));
        assert_eq!("udp:[::1]:514".parse(), Ok(Syslog::Udp("[::1]:514".into())));
        assert_eq!("tcp:c.example:601".parse(), Ok(Syslog::Tcp("c.example:601".into())));
        for bad in ["", "/dev/log", "unix:log", "udp:host", "tcp::601", "tcp:host:port", "http://x"] {
            assert!(bad.parse::<Syslog>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_that_was_removed_or_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchors");
        let (first, changed) = append(&path, "{\"n\":1}", None).unwrap();
        assert_eq!(changed, None);
        let (second, changed) = append(&path, "{\"n\":2}", Some(first)).unwrap();
        assert_eq!(changed, None);
        std::fs::write(&path, "{\"n\":1}\n").unwrap();
        let (third, changed) = append(&path, "{\"n\":3}", Some(second)).unwrap();
        assert!(changed.unwrap().contains("removed or cut"));
        std::fs::remove_file(&path).unwrap();
        let (_, changed) = append(&path, "{\"n\":4}", Some(third)).unwrap();
        assert!(changed.unwrap().contains("removed or cut: 0 bytes"));
        assert!(append(dir.path(), "x", None).is_err());
    }

    #[test]
    fn each_transport_carries_a_message() {
        use std::io::Read as _;
        let now: Timestamp = "2026-11-24T07:05:09.123456Z".parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let unix = UnixDatagram::bind(&path).unwrap();
        Syslog::Unix(path).send("{}", now).unwrap();
        let mut buffer = [0; 512];
        let bytes = unix.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
        assert!(text.starts_with("<109>1 2026-11-24T07:05:09.123456Z - haris ") && text.ends_with(" checkpoint - {}"));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        Syslog::Udp(udp.local_addr().unwrap().to_string()).send("{}", now).unwrap();
        assert_eq!(udp.recv(&mut buffer).unwrap(), bytes);
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            tcp.accept().unwrap().0.read_to_string(&mut text).unwrap();
            text
        });
        Syslog::Tcp(address).send("{}", now).unwrap();
        assert_eq!(reader.join().unwrap(), format!("{bytes} {text}"));
    }
}
