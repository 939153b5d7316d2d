//! Where messages go.

mod command;
mod syslog;
mod webhook;

use std::time::Duration;

use haris_domain::Timestamp;

pub use command::Command;
pub use syslog::Syslog;
pub use webhook::Webhook;

use crate::Message;

/// How long a sink may take for one message.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where messages go.
pub enum Sink {
    /// RFC 5424, to the local daemon's socket or over TCP.
    Syslog(Syslog),
    /// HTTP POST of the message as JSON.
    Webhook(Webhook),
    /// A program that reads the message as JSON on its standard input.
    Command(Command),
}

/// A sink that cannot be set up so.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSink(pub(crate) String);

/// A message that its sink has not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotDelivered {
    /// It could not be reached, or broke off.
    #[error("{sink} could not be reached: {why}")]
    Unreachable {
        /// Which sink, without credentials.
        sink: String,
        /// What happened.
        why: String,
    },
    /// It answered no.
    #[error("{sink} refused the message: {why}")]
    Refused {
        /// Which sink, without credentials.
        sink: String,
        /// What it said.
        why: String,
    },
    /// It took too long.
    #[error("{sink} did not answer within {} s", PATIENCE.as_secs())]
    Late {
        /// Which sink, without credentials.
        sink: String,
    },
}

impl Sink {
    /// Names it for a person, without credentials.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Syslog(syslog) => syslog.name(),
            Self::Webhook(webhook) => webhook.name(),
            Self::Command(command) => command.name(),
        }
    }

    /// Sends one message, once.
    ///
    /// # Errors
    /// When the sink has not taken it.
    pub async fn send(&self, message: &Message, now: Timestamp) -> Result<(), NotDelivered> {
        let sent = async {
            match self {
                Self::Syslog(syslog) => syslog.send(message, now).await,
                Self::Webhook(webhook) => webhook.send(message).await,
                Self::Command(command) => command.send(message).await,
            }
        };
        match tokio::time::timeout(PATIENCE, sent).await {
            Ok(sent) => sent,
            Err(_) => Err(NotDelivered::Late { sink: self.name() }),
        }
    }
}
