//! What can go wrong, one enum per thing a caller does.

use haris_domain::event::{NotEvent, NotLeaf};
use haris_domain::{EventId, Log, Timestamp};
use haris_keys::BadWrap;
use haris_merkle::note::SignError;
use haris_store::{BlobError, sqlx};

/// The ledger could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The config names another origin than the log was created with.
    #[error(
        "the {log} log was created as `{recorded}`, the config says `{configured}`: an origin is fixed for good; set it back"
    )]
    Origin {
        /// Which log.
        log: Log,
        /// What the first start wrote.
        recorded: String,
        /// What the config would make it.
        configured: String,
    },
    /// The configured origin cannot name a key.
    #[error("`{given}` cannot be an origin: a schemaless URL without spaces or `+`, such as `bank.example/haris`")]
    BadOrigin {
        /// What the config says.
        given: String,
    },
    /// The keys are not those that the log was created with.
    #[error(
        "the key directory does not hold the keys of the {log} log `{origin}`: start with the right --keys directory, or restore it"
    )]
    Keys {
        /// Which log.
        log: Log,
        /// Its origin.
        origin: String,
    },
    /// There is nothing to read.
    #[error("the database holds no log: start `haris serve` on it once, or give the right --data directory")]
    Empty,
    /// The keys cannot sign under that origin.
    #[error("the keys cannot sign for this log")]
    Sign(#[from] SignError),
    /// Rows, tiles and checkpoint do not fit each other.
    #[error("the {log} log is damaged: {what}; run `haris ledger fsck`, then restore from a backup")]
    Damaged {
        /// Which log.
        log: Log,
        /// What does not fit.
        what: String,
    },
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The first event could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Tables could not be made or folded.
    #[error("the tables could not be folded")]
    Rebuild(#[from] RebuildError),
    /// What an interrupted erasure left to do could not be done.
    #[error("an erasure that is on record could not be finished")]
    Erase(#[from] Box<EraseError>),
    /// The database refused.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
}

/// Nothing was appended, unless the error says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A draft has no leaf.
    #[error(transparent)]
    NotLeaf(#[from] NotLeaf),
    /// Traffic is counted by the gateway's spool; a second counter for the same start would leave gaps in neither.
    #[error("`{kind}` belongs to the traffic log, which only a spool feeds")]
    NotEvidence {
        /// The kind.
        kind: &'static str,
    },
    /// A shipped record's bytes are not an event.
    #[error("event {id} of spool `{spool}` is malformed")]
    NotEvent {
        /// Which spool.
        spool: String,
        /// The event's claimed id.
        id: EventId,
        /// Why.
        source: NotEvent,
    },
    /// A shipped record says two things about itself.
    #[error("event {id} does not match what came with it: {what}")]
    Mismatch {
        /// Which event.
        id: EventId,
        /// What differs.
        what: &'static str,
    },
    /// An id that was used for another event.
    #[error("event id {id} is taken by other bytes")]
    Taken {
        /// The id.
        id: EventId,
    },
    /// A key that a payload needs is missing or does not open.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Payloads could not be written.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A fold failed.
    #[error("fold `{projection}` failed")]
    Projection {
        /// Which one.
        projection: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// The database refused.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
    /// The commit was sent and no answer came, nor could the database be asked since. The next append finds out.
    #[error("the database went away during a commit: whether the events were recorded is not known yet")]
    Unknown {
        /// What the commit said.
        source: sqlx::Error,
    },
}

/// Something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The database refused.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
    /// Blobs could not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A wrapped key does not open.
    #[error("key `{id}` cannot be used")]
    Key {
        /// Which key.
        id: String,
        /// Why.
        source: BadWrap,
    },
    /// A payload names a day key that is not there.
    #[error("day key `{id}` is not in the database")]
    NoKey {
        /// Which key.
        id: String,
    },
    /// A payload does not open.
    #[error("payload `{name}` of event {id} is damaged")]
    Payload {
        /// Which event.
        id: EventId,
        /// Which payload.
        name: String,
        /// Why.
        source: haris_keys::OpenError,
    },
    /// What is stored contradicts itself.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// A tile, bundle, row or pack.
        what: String,
        /// How.
        why: String,
    },
}

impl ReadError {
    /// Whether what is stored is to blame, and not the way to it.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Payload { .. } => true,
            Self::Sql(error) => haris_store::is_damage(error),
            _ => false,
        }
    }
}

/// Nothing was sealed; what was sealed before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// A row is not what was appended.
    #[error("the sealer refuses entry {index} of the {log} log: {why}; run `haris ledger fsck`")]
    Row {
        /// Which log.
        log: Log,
        /// Which entry.
        index: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A tile that must be new holds something else.
    #[error("`{path}` of the {log} log holds other bytes than its entries give; run `haris ledger fsck`")]
    Tile {
        /// Which log.
        log: Log,
        /// Which tile or bundle.
        path: String,
    },
    /// Another checkpoint of the same size is on record: signing ours would fork the log.
    #[error("the {log} log already has another checkpoint of size {size}: another process seals with the same keys")]
    Fork {
        /// Which log.
        log: Log,
        /// The size.
        size: u64,
    },
    /// Somebody outside knows another history of this log, or a longer one: signing would make a second.
    #[error("nothing is signed: {why}")]
    Barred {
        /// What is known of it.
        why: String,
    },
    /// A signature could not be made.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The anchor could not be appended.
    #[error("the traffic log could not be anchored")]
    Anchor(#[from] Box<AppendError>),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Blobs could not be written.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The database refused.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
}

/// A spool's events did not reach the ledger; they stay in the spool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShipError {
    /// The spool could not be read.
    #[error(transparent)]
    Spool(#[from] haris_spool::ReadError),
    /// The ledger refused.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The position could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Nothing was erased, unless the error says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// A legal hold covers what should be erased.
    #[error("hold {hold} covers {events} of these events: nothing was erased; lift the hold first")]
    Held {
        /// The hold's id: that of the event which placed it.
        hold: EventId,
        /// How many of the events it covers.
        events: usize,
    },
    /// There is nothing to erase.
    #[error("no stored payload matches: nothing was erased")]
    Nothing,
    /// No such event.
    #[error("there is no event {id}")]
    NoEvent {
        /// The id given.
        id: EventId,
    },
    /// No such hold, or it was lifted.
    #[error("there is no hold {id} in force")]
    NoHold {
        /// The id given.
        id: EventId,
    },
    /// What is to be erased is not all there yet.
    #[error("{before} lies in the future, it is {now}: nothing was erased; give a time that has passed")]
    Future {
        /// The moment given.
        before: Timestamp,
        /// The present one.
        now: Timestamp,
    },
    /// A legal basis is a code, since it enters the leaf.
    #[error("the legal basis is a code of at most 64 letters, digits and `-_.:/`, such as `QA-law-13-2016:art-5`")]
    LegalBasis,
    /// A hold lists from one event to as many as fit a leaf.
    #[error("a hold lists 1 to {max} events, not {count}; place several", max = crate::HOLD_EVENTS_MAX)]
    HoldEvents {
        /// How many were given.
        count: usize,
    },
    /// Each time when it was decided what may be erased, holds had changed before it could be recorded.
    #[error("holds are being placed and lifted at this moment: nothing was erased; try again")]
    HoldsChanging,
    /// The erasure is on record, and nobody sealed it in time.
    #[error(
        "the erasure is on record, and the process that seals has not come to it; it will be finished at the next start"
    )]
    NotSealed,
    /// A spool keeps segments whose events are all in the ledger.
    #[error("spool `{spool}` does not let go of what was shipped from it: nothing was erased; see `haris status`")]
    SpoolHolds {
        /// Which spool.
        spool: String,
    },
    /// What a spool still holds could not be brought into the ledger first.
    #[error("the spool could not be shipped first: nothing was erased")]
    Ship(#[from] Box<ShipError>),
    /// The event could not be recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The erasure is on record but could not be sealed: keys are still there, and are destroyed at the next start.
    #[error("the erasure is on record, and could not be sealed yet; it will be finished at the next start")]
    Seal(#[from] SealError),
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Ciphertext could not be deleted; its keys are gone.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The database refused.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
}

/// The tables are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// A fold failed.
    #[error("fold `{projection}` failed")]
    Projection {
        /// Which one.
        projection: &'static str,
        /// Why.
        source: sqlx::Error,
    },
    /// Bundles or rows could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database refused.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
}

/// An error with everything that led to it, for a log line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
