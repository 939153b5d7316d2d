//! Both ends of C2SP tlog-witness over HTTP, and the lesser anchors.
//!
//! [`serve`] is the door of a witness: it answers submissions of other people's logs. [`Cosigners`] stands on the other
//! side: it submits this ledger's checkpoints to witnesses, keeps what they sign, and notices when they stop, or when
//! they know another history. [`Anchors`] writes checkpoints where the operator's own database does not reach: an
//! append-only file, a syslog collector.
//!
//! Nothing here is in the request path. The gateway reads one flag.

mod anchors;
mod cosigners;
mod door;
mod peer;
mod state;

pub use anchors::{Anchors, AnchorsStatus, BadAnchor, Syslog};
pub use cosigners::{Cosigners, Settings};
pub use door::serve;
pub use peer::{BadPeer, Peer};
pub use state::{PeerStatus, WitnessStatus};
