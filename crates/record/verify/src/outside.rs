//! What an auditor asks outside of the file at hand: witnesses, and tiles. Over plain HTTP, or from files.
//!
//! What comes back is signed, or is checked against what is: nobody on the way can add anything to it. So plain HTTP
//! is enough, and a TLS stack, which would be most of this program, is left out. For a witness that answers HTTPS only,
//! fetch its checkpoint with any client and give the file.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use haris_merkle::note::NOTE_BYTES_MAX;
use haris_merkle::submission::SUBMISSION_BYTES_MAX;
use haris_merkle::tile::{HASH_BYTES, TILE_WIDTH};
use haris_merkle::{Tile, hash};

use crate::verify::{Outside, Shown};

/// To connect, and from there to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A status line and headers; what is longer is no answer to us.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Where to ask: `http://…`, or a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Host with port, and the path before what is asked for, without a slash at its end.
    Http {
        /// `host:port`.
        host: String,
        /// Empty, or `/…`.
        prefix: String,
    },
    /// A file or folder.
    Path(PathBuf),
}

impl Place {
    /// Reads what was given on the command line.
    ///
    /// # Errors
    /// In words, when it is a URL that cannot be asked.
    pub fn parse(given: &std::ffi::OsStr) -> Result<Self, String> {
        let Some(rest) = given.to_str().and_then(|text| text.strip_prefix("http://")) else {
            let text = given.to_string_lossy();
            if text.contains("://") {
                return Err(format!(
                    "`{text}`: this program speaks plain http only, as all that comes is checked by its signatures; \
                     fetch it with another client, and give the file"
                ));
            }
            return Ok(Self::Path(given.into()));
        };
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '\\');
        if authority.is_empty() || !rest.chars().all(plain) {
            return Err(format!("`http://{rest}` is no URL that can be asked"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self::Http { host, prefix: prefix.trim_end_matches('/').to_owned() })
    }

    /// The bytes of `path` under this place; none where there are none.
    fn get(&self, path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Path(folder) => read(&folder.join(path), bytes_max),
            Self::Http { host, prefix } => http_get(host, &format!("{prefix}/{path}"), bytes_max),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http { host, prefix } => write!(f, "http://{host}{prefix}"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What the command line named.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Witnesses, or files with what they showed.
    pub witnesses: Vec<Place>,
    /// Where tiles of the logs lie: `<place>/<log>/tile/…`.
    pub tiles: Option<Place>,
}

impl Outside for Named {
    fn newest(&self, origin: &str, size: u64) -> Vec<Shown> {
        let ask = |place: &Place| match place {
            Place::Path(file) => {
                let answer = read(file, SUBMISSION_BYTES_MAX)
                    .and_then(|bytes| bytes.ok_or_else(|| "there is no such file".to_owned()));
                // A file is of one log; for the other it says nothing.
                answer.map(|bytes| is_of(&bytes, origin).then_some(bytes))
            }
            Place::Http { .. } => {
                let log = hex::encode(hash::sha256(origin.as_bytes()));
                // A witness of Haris gives the proof as well; others give the checkpoint alone.
                match place.get(&format!("{log}/consistency/{size}"), SUBMISSION_BYTES_MAX) {
                    Ok(Some(bytes)) => Ok(Some(bytes)),
                    Ok(None) | Err(_) => place.get(&format!("{log}/checkpoint"), NOTE_BYTES_MAX),
                }
            }
        };
        self.witnesses.iter().map(|place| Shown { from: place.to_string(), answer: ask(place) }).collect()
    }

    fn tile(&self, log: &str, tile: Tile) -> Option<Vec<u8>> {
        let place = self.tiles.as_ref()?;
        place.get(&format!("{log}/{tile}"), usize::from(TILE_WIDTH) * HASH_BYTES).ok().flatten()
    }
}

/// Whether a note, or a submission, is of the log of that origin.
fn is_of(bytes: &[u8], origin: &str) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let note = if text.starts_with("old ") { text.split_once("\n\n").map_or("", |(_, note)| note) } else { &text };
    note.lines().next() == Some(origin)
}

fn read(path: &std::path::Path, bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| error.to_string())?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > bytes_max { Err("it is too long".to_owned()) } else { Ok(Some(bytes)) }
}

fn http_get(host: &str, path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
    let failed = |error: std::io::Error| format!("`http://{host}` does not answer: {error}");
    let until = Instant::now() + PATIENCE;
    let addresses: Vec<_> = host.to_socket_addrs().map_err(failed)?.collect();
    let mut last = format!("`{host}` has no address");
    let mut stream = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(connected) => {
                stream = Some(connected);
                break;
            }
            Err(error) => last = failed(error),
        }
    }
    let mut stream = stream.ok_or(last)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    // Version 1.0: the answer comes in one piece and ends with the connection.
    let request =
        format!("GET {path} HTTP/1.0\r\nhost: {host}\r\nuser-agent: haris-verify\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 8 * 1024];
    loop {
        // Each read may take what is left of the whole: a server that trickles gets no longer than one that is silent.
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("`http://{host}` takes too long"));
        }
        stream.set_read_timeout(Some(left)).map_err(failed)?;
        match stream.read(&mut buffer).map_err(failed)? {
            0 => break,
            read if bytes.len() + read > HEAD_BYTES_MAX + bytes_max => {
                return Err(format!("`http://{host}` answers more than was asked for"));
            }
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
    match answer(&bytes) {
        Some((200, body)) if body.len() <= bytes_max => Ok(Some(body.to_vec())),
        Some((200, _)) => Err(format!("`http://{host}` answers more than was asked for")),
        Some((404, _)) => Ok(None),
        Some((status, _)) => Err(format!("`http://{host}{path}` answers status {status}")),
        None => Err(format!("`http://{host}` does not answer as a web server does, or its answer was cut")),
    }
}

/// Status and body of a whole answer of HTTP/1.x. None where it is none, or its body has another length than it says.
#[must_use]
pub fn answer(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").filter(|end| *end <= HEAD_BYTES_MAX)?;
    let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?;
    let status = status.bytes().all(|b| b.is_ascii_digit()).then(|| status.parse().ok())??;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") && value.trim().parse::<usize>().ok()? != body.len() {
            return None;
        }
        // Chunks, or compression: neither was asked for.
        if name.eq_ignore_ascii_case("transfer-encoding") || name.eq_ignore_ascii_case("content-encoding") {
            return None;
        }
    }
    Some((status, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places() {
        let http = |host: &str, prefix: &str| Ok(Place::Http { host: host.into(), prefix: prefix.into() });
        assert_eq!(Place::parse("http://w.example".as_ref()), http("w.example:80", ""));
        assert_eq!(Place::parse("http://127.0.0.1:8788/".as_ref()), http("127.0.0.1:8788", ""));
        assert_eq!(Place::parse("http://w.example/a/b/".as_ref()), http("w.example:80", "/a/b"));
        assert_eq!(Place::parse("some/file".as_ref()), Ok(Place::Path("some/file".into())));
        for bad in ["https://w.example", "ftp://x", "http://", "http:///x", "http://a@b", "http://a/?q", "http://a b"] {
            assert!(Place::parse(bad.as_ref()).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers_are_whole_or_none() {
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), Some((200, b"hi".as_slice())));
        assert_eq!(answer(b"HTTP/1.0 404 Not Found\r\n\r\n"), Some((404, b"".as_slice())));
        for bad in [
            "",
            "hi",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
        ] {
            assert_eq!(answer(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "HTTP/1.[01] [0-9é]{3}[ -~\r\n:]{0,80}") {
            let _ = (answer(&bytes), answer(text.as_bytes()));
        }
    }
}
