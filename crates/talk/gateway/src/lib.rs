//! The gateway: an application's model traffic passes here, is inspected, decided on and recorded.
//!
//! One request takes this way, and every step but the first two knows nothing of a protocol:
//!
//! 1. `server` accepts, bounds and authenticates; `json` reads the body strictly.
//! 2. A [`protocol::Protocol`] says which fields carry text and how errors look.
//! 3. `walk` inspects every string of the parsed body; the route's policy decides.
//! 4. `record` makes the decision durable in the spool. Only then `upstream` sends the first byte.
//! 5. The answer is inspected the same way, as a whole or as a stream, and recorded before its last
//!    byte, or the block, reaches the caller.
//!
//! The upstream never sees the caller's bytes, only the serialised form of what was parsed and
//! inspected: two parsers that disagree about one text cannot be played against each other.
//!
//! No database is in this path: what cannot be written to the spool is refused.

mod arguments;
mod body;
mod bounds;
mod caller;
mod decide;
mod edit;
mod exchange;
mod flow;
mod found;
mod gateway;
mod io;
mod joined;
pub mod json;
mod judge;
mod key;
mod limits;
mod listing;
mod media;
mod models;
mod naming;
mod numbers;
mod part;
mod problem;
pub mod protocol;
mod receipt;
mod record;
mod server;
mod spelling;
pub mod sse;
mod stream;
pub mod table;
mod upstream;
mod walk;
mod wiring;

pub use caller::{Caller, CallerTable, hash_key};
pub use limits::Limits;
pub use problem::Problem;
pub use receipt::Receipts;
pub use server::serve;
pub use upstream::{BadUpstreams, Outgoing, ProxySource, Secret, Upstream, Upstreams};
pub use wiring::{Counters, Versions, Wiring};
