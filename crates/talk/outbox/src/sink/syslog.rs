//! Syslog, RFC 5424: to the local daemon over its socket, or over TCP with octet counting (RFC 6587).
//!
//! Not over UDP: a datagram that is lost on the way is lost without a word, and these must arrive.

use std::path::PathBuf;

use haris_domain::{Severity, Timestamp};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixDatagram};

use super::{BadSink, NotDelivered};
use crate::Message;

/// 13, "log audit" (RFC 5424, table 1).
const FACILITY: u8 = 13;
/// What every receiver takes is 2,048; common ones take 8,192 (RFC 5424, section 6.1).
const MESSAGE_BYTES_MAX: usize = 8_192;

/// A syslog receiver.
#[derive(Debug)]
pub struct Syslog {
    address: Address,
    host: String,
}

#[derive(Debug)]
enum Address {
    Socket(PathBuf),
    Tcp(String),
}

impl Syslog {
    /// `unix:/dev/log` or `tcp:HOST:PORT`.
    ///
    /// # Errors
    /// For any other form.
    pub fn new(address: &str) -> Result<Self, BadSink> {
        let parsed = match address.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Address::Socket(path.into()),
            Some(("tcp", peer))
                if peer
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) =>
            {
                Address::Tcp(peer.to_owned())
            }
            _ => {
                return Err(BadSink(format!(
                    "`{address}` is no syslog receiver; write unix:/dev/log or tcp:HOST:PORT (UDP loses messages without a word)"
                )));
            }
        };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self { address: parsed, host })
    }

    pub(super) fn name(&self) -> String {
        match &self.address {
            Address::Socket(path) => format!("syslog at {}", path.display()),
            Address::Tcp(peer) => format!("syslog at {peer}"),
        }
    }

    pub(super) async fn send(&self, message: &Message, now: Timestamp) -> Result<(), NotDelivered> {
        let failed = |error: std::io::Error| NotDelivered::Unreachable { sink: self.name(), why: error.to_string() };
        let line = self.line(message, now);
        match &self.address {
            Address::Socket(path) => {
                let socket = UnixDatagram::unbound().map_err(failed)?;
                socket.send_to(line.as_bytes(), path).await.map_err(failed)?;
            }
            Address::Tcp(peer) => {
                let mut stream = TcpStream::connect(peer).await.map_err(failed)?;
                stream.write_all(format!("{} {line}", line.len()).as_bytes()).await.map_err(failed)?;
                // Closing says when the receiver is gone: a reset comes as an error here, not as silence.
                stream.shutdown().await.map_err(failed)?;
            }
        }
        Ok(())
    }

    /// `<PRI>1 TIME HOST haris PID alert - {…}`: the text is the message's JSON, in one line.
    fn line(&self, message: &Message, now: Timestamp) -> String {
        let severity = match message.severity {
            Severity::Critical => 2,
            Severity::High => 3,
            Severity::Medium => 4,
            Severity::Low => 5,
            Severity::Info => 6,
        };
        let printable = |c: char| ('!'..='~').contains(&c);
        let host: String = self.host.chars().filter(|c| printable(*c)).take(255).collect();
        let host = if host.is_empty() { "-" } else { &host };
        let mut line = format!(
            "<{}>1 {now} {host} haris {} alert - {}",
            FACILITY * 8 + severity,
            std::process::id(),
            message.body
        );
        if line.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
            line.truncate(end);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_read_strictly() {
        for good in ["unix:/dev/log", "tcp:siem.bank:6514", "tcp:[::1]:514"] {
            Syslog::new(good).unwrap();
        }
        for bad in ["", "udp:host:514", "unix:log", "tcp:host", "tcp::514", "tcp:host:99999", "/dev/log"] {
            assert!(Syslog::new(bad).unwrap_err().to_string().contains("unix:/dev/log"), "{bad}");
        }
    }

    #[test]
    fn a_line_has_the_form_of_rfc_5424_and_an_end() {
        let syslog = Syslog { address: Address::Tcp("h:1".into()), host: "a b".into() };
        let now: Timestamp = "2026-11-24T07:05:09.123456Z".parse().unwrap();
        let mut message = Message {
            key: "k".into(),
            severity: Severity::Critical,
            text: "t".into(),
            body: serde_json::json!({"text": "two\nlines"}),
            repeats: false,
        };
        let line = syslog.line(&message, now);
        assert!(line.starts_with("<106>1 2026-11-24T07:05:09.123456Z ab haris "), "{line}");
        assert!(line.ends_with(r#" alert - {"text":"two\nlines"}"#), "{line}");
        message.body = "نعم".repeat(9_000).into();
        assert!(syslog.line(&message, now).len() <= MESSAGE_BYTES_MAX);
    }
}
