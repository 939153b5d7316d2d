//! The ledger: one way to write, tables that fold from it, and the seal that makes it provable.
//!
//! An event enters through [`Ledger::append`] (a command) or [`Ledger::ingest`] (a spool's batch): one SQL transaction
//! holds its row, its payload keys, its search terms and every fold. Within a second the sealer turns new rows into
//! tiles and entry bundles, then writes a signed checkpoint as a SQL row, then publishes a copy of it. From then on the
//! bundles are the truth and the rows a cache.
//!
//! Leaf indices have no gaps and follow the order of commits: an append first locks its log's counter row and moves it
//! in the same transaction.

mod anchor;
mod append;
mod continuity;
mod erase;
mod error;
mod export;
mod fsck;
mod hold;
mod keys;
mod ledger;
mod owed;
mod payload;
mod process;
mod projection;
mod read;
mod rebuild;
mod seal;
mod search;
mod ship;
mod status;
mod tiles;
mod witness;

pub use append::Appended;
pub use erase::{Erase, EraseBy, Erased};
pub use error::{AppendError, EraseError, OpenError, ReadError, RebuildError, SealError, ShipError};
pub use export::{Export, ExportError, Exported};
pub use fsck::{Fsck, FsckLog, FsckPayloads, FsckProgress, Problem};
pub use hold::{HOLD_EVENTS_MAX, Hold, HoldScope};
pub use ledger::{Ledger, Options};
pub use owed::OwedEvents;
pub use payload::Payload;
pub use process::{PreviousBoot, ProcessCounters, ProcessStart};
pub use projection::{Folded, Projection};
pub use read::{CheckpointRow, EventRow, Located, ProofState};
pub use rebuild::{Difference, Rebuilt};
pub use seal::{Sealed, SealedLog};
pub use status::{LedgerStatus, LogStatus};
pub use tiles::LogTiles;
pub use witness::{Cosignature, Standing};

#[cfg(test)]
mod tests {
    use super::*;

    /// Callers spawn these; a guard or signer held across an await would stop them, and only at their end.
    #[test]
    fn futures_can_move_between_threads() {
        fn send<T: Send>(_: impl FnOnce(&'static Ledger) -> T) {}
        let now = haris_domain::Timestamp::default();
        send(move |ledger| ledger.seal(now));
        send(|ledger| ledger.append(Vec::new()));
        send(|ledger| ledger.ingest("s", &[], haris_spool::Position::START));
        send(|ledger| ledger.rebuild(true));
        send(|ledger| ledger.status());
        send(|ledger| ledger.fsck());
        send(move |ledger| {
            let by = EraseBy::Before(now);
            let actor = haris_domain::Actor::local(0);
            ledger.erase(Erase { by, reason: String::new(), legal_basis: String::new(), actor }, &[], now)
        });
        send(move |ledger| ledger.hold(HoldScope::Everything, "", haris_domain::Actor::local(0), now));
    }
}
