//! Messages that must arrive: each is sent until its sink has taken it, and again after a while where somebody has to
//! act.
//!
//! At least once: what was delivered is noted after the sink said so, so a crash in between sends it again. A message's
//! key is the same each time, and goes along, so that whoever receives it can tell.

mod outbox;
mod sink;

pub use outbox::{Message, Outbox};
pub use sink::{BadSink, Command, NotDelivered, Sink, Syslog, Webhook};
