//! The handle, and what must hold before it is given out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use haris_domain::{Actor, Draft, Log, Timestamp, kind};
use haris_keys::{DayKeys, IndexKey, KeyDir};
use haris_merkle::note::Signer;
use haris_merkle::{Hash, VerifierKey};
use haris_store::Store;
use haris_store::sqlx::{self, Row};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};

use crate::append::{Along, Direct, Entry};
use crate::seal::Sealer;
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
    /// Held by the sealer for a round.
    pub(crate) sealer: AsyncMutex<Sealer>,
    /// Why the last round of the sealer failed, if it did.
    pub(crate) sealer_error: Mutex<Option<String>>,
    /// Held while keys and ciphertext are destroyed.
    pub(crate) destroying: AsyncMutex<()>,
    /// Told of each append.
    pub(crate) appended: Notify,
    /// Counts rounds that sealed something.
    pub(crate) sealed: watch::Sender<u64>,
    /// Counts cosignatures that came in.
    pub(crate) cosigned: watch::Sender<u64>,
    /// Why nothing may be signed, if so: a witness knows another history of this log.
    pub(crate) barred: Mutex<Option<String>>,
    /// Keys of the witnesses that this installation is told of, for checking what is on record of them.
    pub(crate) witness_keys: Mutex<Vec<VerifierKey>>,
    /// Leaf hashes of what this process appended and nobody sealed yet, so that a row which was changed together with
    /// its recorded hash is still caught.
    pub(crate) unsealed: Mutex<[BTreeMap<u64, Hash>; 2]>,
}

/// What names a log and signs for it.
pub(crate) struct LogFace {
    pub(crate) origin: String,
    pub(crate) signers: Vec<Box<dyn Signer + Send + Sync>>,
    pub(crate) verifier_keys: Vec<VerifierKey>,
}

/// When another process seals, nobody here takes the hashes out again: 64 Ki of them are 4 MiB at most.
const UNSEALED_MAX: usize = 1 << 16;

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
        let ledger = Self(Arc::new(Inner {
            logs,
            store: options.store,
            keys: options.keys,
            node: options.node,
            boot: options.boot,
            projections,
            day_keys: Arc::new(DayKeys::new()),
            index_keys: Mutex::new(HashMap::new()),
            direct: AsyncMutex::new(Direct::default()),
            sealer: AsyncMutex::new(Sealer::default()),
            sealer_error: Mutex::new(None),
            destroying: AsyncMutex::new(()),
            appended: Notify::new(),
            sealed: watch::Sender::new(0),
            cosigned: watch::Sender::new(0),
            barred: Mutex::new(None),
            witness_keys: Mutex::new(Vec::new()),
            unsealed: Mutex::new([BTreeMap::new(), BTreeMap::new()]),
        }));
        let stale = ledger.prepare_projections().await?;
        let recorded = if recorded.is_empty() { ledger.create(now).await? } else { recorded };
        ledger.check_keys(&recorded).await?;
        ledger.recover_seal().await?;
        if !stale.is_empty() {
            tracing::info!(?stale, "folding anew: these tables are new or their fold has changed");
            ledger.fold_anew().await?;
        }
        ledger.ensure_day_keys(now).await?;
        Ok(ledger)
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

    /// Keeps the hashes of what was appended until the sealer comes to it.
    pub(crate) fn remember(&self, entries: &[Entry<'_>], places: &[(Log, u64)]) {
        let mut unsealed = self.0.unsealed.lock();
        for (entry, (log, index)) in entries.iter().zip(places) {
            let hashes = &mut unsealed[*log as usize];
            if hashes.len() < UNSEALED_MAX {
                hashes.insert(*index, entry.hash);
            }
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
        let unnamed = || {
            let hash = digest(&SHA256, &options.keys.first_public_key());
            format!("haris.invalid/{}", hex::encode(&hash.as_ref()[..8]))
        };
        format!("{}/{log}", named.map_or_else(unnamed, str::to_owned))
    }))
}
