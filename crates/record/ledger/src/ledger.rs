//! The handle, and what must hold before it is given out.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use haris_domain::{Actor, Draft, Log, Timestamp, kind};
use haris_keys::{DayKeys, IndexKey, KeyDir};
use haris_merkle::note::Signer;
use haris_merkle::{Checkpoint, Hash, VerifierKey};
use haris_store::Store;
use haris_store::sqlx::{self, Row};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};

use crate::append::{Along, Direct, Entry};
use crate::fsck::Progress;
use crate::owed::Owed;
use crate::seal::{ENTRIES_PER_ROUND, Sealer};
use crate::{LogTiles, OpenError, Projection, anchor, hold, process};

/// What a ledger is opened with.
pub struct Options {
    /// Rows and blobs.
    pub store: Store,
    /// What signs, wraps and unwraps.
    pub keys: Arc<KeyDir>,
    /// This process's lasting name.
    pub node: String,
    /// This start of it, never used twice: its events are counted from 1.
    pub boot: String,
    /// Every fold, in the order in which they run.
    pub projections: Vec<Box<dyn Projection>>,
    /// A schemaless URL that names the logs; fixed at the first start.
    pub origin: Option<String>,
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) keys: Arc<KeyDir>,
    pub(crate) node: String,
    pub(crate) boot: String,
    logs: [LogFace; 2],
    pub(crate) projections: Vec<Box<dyn Projection>>,
    pub(crate) day_keys: Arc<DayKeys>,
    pub(crate) index_keys: Mutex<HashMap<String, Arc<IndexKey>>>,
    /// Held by one direct append at a time, from stamping to knowing.
    pub(crate) direct: AsyncMutex<Direct>,
    /// What a start without room has still to record.
    pub(crate) owed: Mutex<Owed>,
    /// Held by the sealer for a round.
    pub(crate) sealer: AsyncMutex<Sealer>,
    /// Why the last round of the sealer failed, if it did.
    pub(crate) sealer_error: Mutex<Option<String>>,
    /// Held while keys and ciphertext are destroyed.
    pub(crate) destroying: AsyncMutex<()>,
    /// Told of each append.
    pub(crate) appended: Notify,
    /// Told when a whole round waits for the sealer.
    pub(crate) ripe: Notify,
    /// Counts rounds that sealed something.
    pub(crate) sealed: watch::Sender<u64>,
    /// Counts cosignatures that came in.
    pub(crate) cosigned: watch::Sender<u64>,
    /// How far the newest check is.
    pub(crate) fsck: Progress,
    /// Why nothing may be signed, if so: a witness knows another history of this log.
    pub(crate) barred: Mutex<Option<String>>,
    /// Keys of the witnesses that this installation is told of, for checking what is on record of them.
    pub(crate) witness_keys: Mutex<Vec<VerifierKey>>,
    /// What this process appended and nobody sealed yet: it is sealed as it was appended, whatever became of its row.
    pub(crate) unsealed: Mutex<[Unsealed; 2]>,
}

/// What names a log and signs for it.
pub(crate) struct LogFace {
    pub(crate) origin: String,
    pub(crate) signers: Vec<Box<dyn Signer + Send + Sync>>,
    pub(crate) verifier_keys: Vec<VerifierKey>,
}

/// Leaves on their way to the sealer, by index.
#[derive(Default)]
pub(crate) struct Unsealed {
    leaves: BTreeMap<u64, (Hash, Vec<u8>)>,
    bytes: usize,
}

/// While nobody here seals (another process does, or the disk is full), rows are what is sealed from: so much is held
/// in memory and no more.
const UNSEALED_BYTES_MAX: usize = 8 << 20;

impl Unsealed {
    fn insert(&mut self, index: u64, hash: Hash, leaf: &[u8]) {
        if self.bytes + leaf.len() <= UNSEALED_BYTES_MAX {
            self.bytes += leaf.len();
            self.leaves.insert(index, (hash, leaf.to_vec()));
        }
    }

    /// Takes out the leaves of `range`, if every one is there.
    pub(crate) fn take(&mut self, range: Range<u64>) -> Option<Vec<(Hash, Vec<u8>)>> {
        let is_whole = self.leaves.range(range.clone()).count() as u64 == range.end - range.start;
        is_whole.then(|| range.map_while(|index| self.remove(index)).collect())
    }

    /// Lets go of the leaves before `index`.
    pub(crate) fn forget_before(&mut self, index: u64) {
        while let Some((&first, _)) = self.leaves.first_key_value()
            && first < index
        {
            self.remove(first);
        }
    }

    fn remove(&mut self, index: u64) -> Option<(Hash, Vec<u8>)> {
        let leaf = self.leaves.remove(&index)?;
        self.bytes -= leaf.1.len();
        Some(leaf)
    }
}

impl Ledger {
    /// Opens the ledger, creating it at the first start.
    ///
    /// # Errors
    /// When the origin or the keys are not those of the first start, or what is stored does not fit together.
    pub async fn open(options: Options, now: Timestamp) -> Result<Self, OpenError> {
        let ledger = Self::open_unsigned(options, now).await?;
        ledger.finish_erasures().await.map_err(Box::new)?;
        Ok(ledger)
    }

    /// As [`Ledger::open`], but signs nothing: for whoever first compares with what others know of this log. Call
    /// [`Ledger::finish_erasures`] afterwards.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub async fn open_unsigned(options: Options, now: Timestamp) -> Result<Self, OpenError> {
        let recorded = recorded_logs(&options.store).await?;
        let origins = origins(&options, &recorded)?;
        let ledger = Self::assemble(options, origins)?;
        let stale = ledger.prepare_projections().await?;
        let recorded = if recorded.is_empty() { ledger.create(now).await? } else { recorded };
        ledger.check_keys(&recorded).await?;
        ledger.recover_seal().await?;
        if !stale.is_empty() {
            tracing::info!(?stale, "folding anew: these tables are new or their fold has changed");
            ledger.fold_anew().await?;
        }
        match ledger.ensure_day_keys(now).await {
            // Whoever needs a key refuses until there is room to make one.
            Err(error) if haris_store::is_no_room(&error) => tracing::error!(%error, "no room to make data keys"),
            made => made?,
        }
        Ok(ledger)
    }

    /// Opens what is there for [`Ledger::fsck`] alone: nothing is compared, recovered or written, so that whatever is
    /// damaged is found and named there. `store` is one of [`Store::open_reading`]; folds are not looked at.
    ///
    /// # Errors
    /// When there is no ledger, or the keys are another ledger's.
    pub async fn open_reading(store: Store, keys: Arc<KeyDir>) -> Result<Self, OpenError> {
        let mut origins: [String; 2] = std::array::from_fn(|_| String::new());
        let mut nothing = true;
        for log in Log::ALL {
            let recorded = sqlx::query("SELECT origin, verifier_keys FROM ledger_log WHERE log = $1").bind(log.name());
            let recorded = recorded.fetch_optional(store.pool()).await?;
            let newest = sqlx::query("SELECT note FROM ledger_checkpoint WHERE log = $1 ORDER BY size DESC LIMIT 1");
            let newest = newest.bind(log.name()).fetch_optional(store.pool()).await?;
            nothing &= recorded.is_none() && newest.is_none();
            let column = |name| recorded.as_ref().and_then(|row| row.try_get::<String, _>(name).ok());
            let note = newest.and_then(|row| row.try_get::<String, _>("note").ok());
            origins[log as usize] = signed_as(&keys, log, column("origin"), column("verifier_keys"), note)?;
        }
        if nothing {
            return Err(OpenError::Empty);
        }
        let (node, boot) = (String::new(), String::new());
        Self::assemble(Options { store, keys, node, boot, projections: Vec::new(), origin: None }, origins)
    }

    /// The handle; nothing is read or written yet.
    fn assemble(options: Options, origins: [String; 2]) -> Result<Self, OpenError> {
        let face = |log: Log| {
            let origin = origins[log as usize].clone();
            let signers = options.keys.log_signers(log, &origin)?;
            let verifier_keys = signers.iter().map(|signer| signer.key().clone()).collect();
            Ok::<_, OpenError>(LogFace { origin, signers, verifier_keys })
        };
        let logs = [face(Log::Evidence)?, face(Log::Traffic)?];
        let mut projections: Vec<Box<dyn Projection>> = vec![
            Box::new(hold::Holds),
            Box::new(anchor::Anchors),
            Box::new(process::Processes),
            Box::new(crate::continuity::Continuities),
        ];
        projections.extend(options.projections);
        Ok(Self(Arc::new(Inner {
            logs,
            store: options.store,
            keys: options.keys,
            node: options.node,
            boot: options.boot,
            projections,
            day_keys: Arc::new(DayKeys::new()),
            index_keys: Mutex::new(HashMap::new()),
            direct: AsyncMutex::new(Direct::default()),
            owed: Mutex::new(Owed::default()),
            sealer: AsyncMutex::new(Sealer::default()),
            sealer_error: Mutex::new(None),
            destroying: AsyncMutex::new(()),
            appended: Notify::new(),
            ripe: Notify::new(),
            sealed: watch::Sender::new(0),
            cosigned: watch::Sender::new(0),
            fsck: Progress::default(),
            barred: Mutex::new(None),
            witness_keys: Mutex::new(Vec::new()),
            unsealed: Mutex::default(),
        })))
    }

    /// Writes the logs' rows and the first event. Of two processes that start at once the second finds them.
    async fn create(&self, now: Timestamp) -> Result<Vec<RecordedLog>, OpenError> {
        let keys = |log: Log| self.verifier_keys(log).iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut draft = Draft::new(&kind::LOG_CREATED, now, Actor::service("ledger"));
        for log in Log::ALL {
            draft = draft.with(log.name(), serde_json::json!({ "origin": self.origin(log), "keys": keys(log) }));
        }
        let along = Along::Create {
            origins: Log::ALL.map(|log| self.origin(log)),
            verifier_keys: Log::ALL.map(|log| keys(log).join("\n")),
        };
        match self.append_along(&[(draft, Vec::new())], along).await {
            Ok(_) => Ok(recorded_logs(&self.0.store).await?),
            Err(error) => {
                let recorded = recorded_logs(&self.0.store).await?;
                if recorded.is_empty() { Err(error.into()) } else { Ok(recorded) }
            }
        }
    }

    async fn check_keys(&self, recorded: &[RecordedLog]) -> Result<(), OpenError> {
        for log in recorded {
            let mine: Vec<_> = self.verifier_keys(log.log).iter().map(ToString::to_string).collect();
            if mine.join("\n") != log.verifier_keys {
                return Err(OpenError::Keys { log: log.log, origin: log.origin.clone() });
            }
        }
        Ok(self.try_newest_day_key().await?)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Where it is kept.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// A log's name in every checkpoint.
    #[must_use]
    pub fn origin(&self, log: Log) -> &str {
        &self.face(log).origin
    }

    /// What verifies a log's checkpoints.
    #[must_use]
    pub fn verifier_keys(&self, log: Log) -> &[VerifierKey] {
        &self.face(log).verifier_keys
    }

    /// Who signs receipts: a key of its own, under the name that both logs share and `receipt`.
    ///
    /// # Errors
    /// When the name cannot be a key's.
    pub fn receipt_signer(&self) -> Result<Box<dyn Signer + Send + Sync>, haris_merkle::note::SignError> {
        let origin = self.origin(Log::Evidence);
        let trunk = origin.strip_suffix("/evidence").unwrap_or(origin);
        self.0.keys.receipt_signer(&format!("{trunk}/receipt"))
    }

    /// A log's tiles and bundles.
    #[must_use]
    pub fn tiles(&self, log: Log) -> LogTiles {
        LogTiles::new(log, Arc::clone(self.0.store.blobs()))
    }

    pub(crate) fn face(&self, log: Log) -> &LogFace {
        &self.0.logs[log as usize]
    }

    /// Keeps what was appended until the sealer comes to it.
    pub(crate) fn remember(&self, entries: &[Entry<'_>], places: &[(Log, u64)]) {
        let mut unsealed = self.0.unsealed.lock();
        for (entry, (log, index)) in entries.iter().zip(places) {
            unsealed[*log as usize].insert(*index, entry.hash, &entry.leaf.bytes);
        }
        if unsealed.iter().any(|log| log.leaves.len() as u64 >= ENTRIES_PER_ROUND) {
            self.0.ripe.notify_one();
        }
    }
}

/// A log's row.
struct RecordedLog {
    log: Log,
    origin: String,
    verifier_keys: String,
}

async fn recorded_logs(store: &Store) -> Result<Vec<RecordedLog>, OpenError> {
    let rows =
        sqlx::query("SELECT log, origin, verifier_keys FROM ledger_log ORDER BY log").fetch_all(store.pool()).await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(RecordedLog {
            log: crate::read::log(row)?,
            origin: row.try_get("origin")?,
            verifier_keys: row.try_get("verifier_keys")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The origins of both logs: as recorded, else as configured, else named for the first key under a domain that can
/// never exist.
fn origins(options: &Options, recorded: &[RecordedLog]) -> Result<[String; 2], OpenError> {
    let named = options.origin.as_deref().map(|base| base.trim_end_matches('/'));
    if let Some(base) = named
        && (base.is_empty()
            || base.contains("://")
            || base.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+'))
    {
        return Err(OpenError::BadOrigin { given: base.chars().take(128).collect() });
    }
    for RecordedLog { log, origin, .. } in recorded {
        let configured = named.map(|base| format!("{base}/{log}"));
        if let Some(configured) = configured.filter(|configured| configured != origin) {
            return Err(OpenError::Origin { log: *log, recorded: origin.clone(), configured });
        }
    }
    Ok(Log::ALL.map(|log| {
        if let Some(recorded) = recorded.iter().find(|recorded| recorded.log == log) {
            return recorded.origin.clone();
        }
        format!("{}/{log}", named.map_or_else(|| unnamed(&options.keys), str::to_owned))
    }))
}

/// What names a ledger that nobody named.
fn unnamed(keys: &KeyDir) -> String {
    let hash = digest(&SHA256, &keys.first_public_key());
    format!("haris.invalid/{}", hex::encode(&hash.as_ref()[..8]))
}

/// The name under which these keys sign a log: as recorded, else as its newest checkpoint says, whichever that checkpoint
/// verifies under. Where neither does, something is damaged, and the recorded one stands while a key can have it.
fn signed_as(
    keys: &KeyDir,
    log: Log,
    recorded: Option<String>,
    recorded_keys: Option<String>,
    note: Option<String>,
) -> Result<String, OpenError> {
    let newest = note.and_then(|note| Checkpoint::parse(note.as_bytes()).ok());
    let fallback = || format!("{}/{log}", unnamed(keys));
    let named = [recorded.clone(), newest.as_ref().map(|(checkpoint, _)| checkpoint.origin.clone())];
    if let Some((_, note)) = &newest {
        for origin in named.into_iter().flatten() {
            let verifier_keys = keys
                .log_signers(log, &origin)
                .map(|signers| signers.iter().map(|signer| signer.key().clone()).collect::<Vec<_>>());
            if verifier_keys.is_ok_and(|verifier_keys| note.verify(&verifier_keys).is_ok()) {
                return Ok(origin);
            }
        }
        // Signed, and by the keys that the first start wrote down: then it is the directory that is the wrong one.
        let theirs: Vec<VerifierKey> =
            recorded_keys.iter().flat_map(|keys| keys.lines()).filter_map(|key| key.parse().ok()).collect();
        if note.verify(&theirs).is_ok() {
            return Err(OpenError::Keys { log, origin: recorded.unwrap_or_else(fallback) });
        }
    }
    Ok(recorded.filter(|origin| keys.log_signers(log, origin).is_ok()).unwrap_or_else(fallback))
}
