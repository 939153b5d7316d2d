//! An installation opened by one process: keys, store, ledger and spool, under one lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use haris_access::Access;
use haris_domain::{Log, Timestamp};
use haris_keys::KeyDir;
use haris_ledger::{Ledger, Options, PreviousBoot, ProcessCounters, ProcessStart, Projection};
use haris_operations::{Context, Reserve, Vitals};
use haris_register::{Accounts, Alerts, Approvals, Callers, Interactions, Tokens, Traffic};
use haris_spool::{RealDisk, SourceName, Spool};
use haris_store::{Store, StoreOptions, is_damage, is_no_room};
use haris_witnessing::{Anchors, Cosigners};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::room::Later;
use crate::witnesses::Witnessing;
use crate::{Failure, Place, interrupted};

/// How long a stopping process waits for witnesses to see its last events.
const WITNESSES_WAIT: Duration = Duration::from_secs(3);

/// What to do when a witness knows a longer or another history.
const CONTRADICTED: &str = "Nothing was signed. Stop whatever else runs with these keys. If this is a restored copy, \
     restore the newest one; without it this log cannot go on under these keys: start a new data directory with new \
     keys, and keep this one as it is. docs/trust.md says what that means for an auditor";

/// The file that names an installation.
const NODE: &str = "node";

/// Where one installation lies.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub(crate) data: PathBuf,
    pub(crate) keys: PathBuf,
}

impl Folders {
    /// The folders that were given, or the user's own.
    pub(crate) fn of(place: &Place) -> Result<Self, Failure> {
        let base = || {
            let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share"))).ok_or_else(|| {
                Failure::usage("there is no home directory to keep data in: give --data DIR and --keys DIR")
            })
        };
        let data = match &place.data {
            Some(data) => data.clone(),
            None => base()?.join("haris"),
        };
        let keys = match (&place.keys, &place.data) {
            (Some(keys), _) => keys.clone(),
            (None, None) => base()?.join("haris-keys"),
            // Beside the data, never in it: a copy of the data must not carry its keys along.
            (None, Some(data)) => beside(data)?,
        };
        let inside = absolute(&keys)?.starts_with(absolute(&data)?);
        if inside || within(&keys, &data) {
            return Err(Failure::usage(format!(
                "the keys ({}) would lie in the data directory ({}): a copy of the data must not carry its keys \
                 along; give a --keys DIR elsewhere",
                keys.display(),
                data.display()
            )));
        }
        Ok(Self { data, keys })
    }

    /// Whether a server ever started here.
    pub(crate) fn installed(&self) -> bool {
        self.data.join(NODE).exists()
    }

    /// The administration socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.data.join("haris.sock")
    }

    /// The file that names the address of `/metrics` alone.
    pub(crate) fn metrics_listen(&self) -> PathBuf {
        self.data.join("metrics.listen")
    }

    /// The file that names the address in use.
    pub(crate) fn listen(&self) -> PathBuf {
        self.data.join("listen")
    }
}

/// `DATA-keys`, whatever way the data directory was named: `.` and `..` have no name of their own.
pub(crate) fn beside(data: &Path) -> Result<PathBuf, Failure> {
    let named = match data.canonicalize() {
        Ok(real) if data.file_name().is_none() => real,
        _ => absolute(data)?,
    };
    let Some(name) = named.file_name() else {
        return Err(Failure::usage("the data directory has no name to put the keys beside: give --keys DIR"));
    };
    let mut name = name.to_owned();
    name.push("-keys");
    Ok(named.with_file_name(name))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::because(&format!("`{}` names no directory", path.display()), &error))
}

/// Whether `inner`, or as much of it as is there, lies in `outer`, once links are followed.
fn within(inner: &Path, outer: &Path) -> bool {
    let Ok(outer) = outer.canonicalize() else { return false };
    let there = inner.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    there.is_some_and(|there| there.starts_with(outer))
}

/// Everything one process holds of an installation.
pub(crate) struct Home {
    pub(crate) folders: Folders,
    pub(crate) ledger: Ledger,
    pub(crate) access: Access,
    approving: Arc<tokio::sync::Mutex<()>>,
    pub(crate) spool: Spool,
    pub(crate) spool_name: String,
    pub(crate) boot: String,
    pub(crate) cosigners: Option<Cosigners>,
    pub(crate) anchors: Option<Anchors>,
    /// Tells what runs beside to end.
    stop: watch::Sender<bool>,
    beside: Vec<JoinHandle<()>>,
    /// How the start before this one ended.
    pub(crate) previous: Option<PreviousBoot>,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) reserve: Arc<Reserve>,
    /// Settings that could not be remembered for want of room.
    unsaved: Unsaved,
    /// Whether requests of earlier starts could not be closed for want of room.
    interrupted: bool,
    pub(crate) started: Instant,
    _lock: File,
}

/// The system's clock.
pub(crate) fn clock() -> Timestamp {
    Timestamp::of(SystemTime::now())
}

impl Home {
    /// Opens the installation, making it at the first start; ships what the spool still holds, and
    /// closes requests that a start before this one left open.
    pub(crate) async fn open(folders: Folders, config: &Config) -> Result<Self, Failure> {
        // Fresh keys would open nothing here, and look as if they belonged to it.
        if folders.installed() && !folders.keys.exists() {
            return Err(Failure::usage(format!(
                "the keys of {} are not in {}: give their --keys DIR, or restore them",
                folders.data.display(),
                folders.keys.display()
            )));
        }
        not_as_root_for_others(&folders.data)?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folders.data)
            .map_err(|error| Failure::because(&format!("could not make {}", folders.data.display()), &error))?;
        let lock = lock(&folders.data)?;
        // Before anything is written: on a full disk this start is a rescuer's.
        let reserve = Arc::new(Reserve::of(&folders.data, config.reserve_bytes()));
        set_aside(&reserve);
        let keys = KeyDir::open_or_create(&folders.keys).map_err(|error| Failure::because("keys", &error))?;
        let access_key = haris_keys::access_secret(&folders.keys).map_err(|error| Failure::because("keys", &error))?;
        let witnessing = Witnessing::of(config)?;
        let sql = config.sql(&folders.data)?;
        let store = Store::open(StoreOptions { sql, blobs: folders.data.join("blobs") });
        let store = store.await.map_err(|error| Failure::because("storage", &error))?;
        let now = clock();
        let node = node(&folders.data)?;
        let boot = haris_domain::EventId::now(now).to_string();
        let projections: Vec<Box<dyn Projection>> = vec![
            Box::new(Accounts),
            Box::new(Alerts),
            Box::new(Approvals),
            Box::new(Callers),
            Box::new(Interactions),
            Box::new(Tokens),
            Box::new(Traffic),
        ];
        let options = Options {
            store,
            keys: Arc::new(keys),
            node: node.clone(),
            boot: boot.clone(),
            projections,
            origin: config.origin.clone(),
        };
        let ledger = Ledger::open_unsigned(options, now).await.map_err(|error| Failure::because("ledger", &error))?;
        ledger.ship_while({
            let reserve = Arc::clone(&reserve);
            move || !reserve.is_short()
        });
        let access = access(&ledger, access_key);
        let (cosigners, anchors) = witnessing.with(&ledger);
        if let Some(cosigners) = &cosigners {
            cosigners.compare().await.map_err(|why| Failure::usage(format!("{why}. {CONTRADICTED}")))?;
        }
        match ledger.finish_erasures().await {
            // Status says that they wait; the next start goes on with them.
            Err(error) if is_no_room(&error) => tracing::error!(%error, "no room to finish erasures"),
            finished => finished.map_err(|error| Failure::because("ledger", &error))?,
        }
        let (config_changed, unsaved) = changed_settings(&folders.data, config)?;
        let start = ProcessStart {
            binary: binary_digest()?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.digest(),
            config_changed,
            keys: key_ids(&ledger),
        };
        let previous = ledger.started(start, now).await.map_err(|error| Failure::because("ledger", &error))?;
        haris_operations::clear_outgoing(&folders.data)
            .map_err(|error| Failure::because("could not clear old bundles", &error))?;

        let source = SourceName { node: node.clone(), boot: boot.clone() };
        let spool_dir = folders.data.join("spool");
        let spool = Spool::open(&spool_dir, source, haris_spool::Options::default(), Arc::new(RealDisk));
        let spool = spool.map_err(|error| Failure::because("spool", &error))?;
        for damage in &spool.recovery().damage {
            tracing::error!(%damage, "a stretch of the spool is unreadable");
        }
        let spool_name = format!("{node}:{}", spool.lineage());
        let vitals = Arc::new(Vitals::at_start(&boot, previous.as_ref()));
        let (stop, stopping) = watch::channel(false);
        let mut beside = cosigners.as_ref().map_or_else(Vec::new, |cosigners| cosigners.run(&stopping));
        beside.extend(anchors.as_ref().and_then(|anchors| anchors.run(stopping)));
        let interrupted = !interrupted::close(&ledger, &spool, &spool_name, &boot).await?;
        if interrupted {
            tracing::error!("no room to take over what earlier starts left open: it is done when there is");
        }
        Ok(Self {
            folders,
            ledger,
            access,
            approving: Arc::default(),
            spool,
            spool_name,
            boot,
            cosigners,
            anchors,
            stop,
            beside,
            previous,
            vitals,
            reserve,
            unsaved,
            interrupted,
            started: Instant::now(),
            _lock: lock,
        })
    }

    /// What is left to do when there is room again, if there was none at the start; `unwritten` is a file that belongs to
    /// it.
    pub(crate) fn later(&self, unwritten: Option<(PathBuf, String)>) -> Option<Later> {
        let files: Vec<_> = self.unsaved.clone().into_iter().chain(unwritten).collect();
        let no_key = self.ledger.day_keys().for_day(clock()).is_none();
        let short = self.ledger.owed().is_some() || !files.is_empty() || self.interrupted || no_key;
        short.then(|| Later {
            ledger: self.ledger.clone(),
            spool: self.spool.clone(),
            spool_name: self.spool_name.clone(),
            boot: self.boot.clone(),
            files,
            interrupted: self.interrupted,
        })
    }

    /// What operations work on; `gateway` is told afterwards.
    pub(crate) fn context(&self) -> Context {
        Context {
            ledger: self.ledger.clone(),
            access: self.access.clone(),
            approving: self.approving.clone(),
            spools: vec![(self.spool_name.clone(), self.spool.clone())],
            gateway: None,
            cosigners: self.cosigners.clone(),
            anchors: self.anchors.clone(),
            data: self.folders.data.clone(),
            vitals: self.vitals.clone(),
            reserve: self.reserve.clone(),
            clock,
        }
    }

    /// What this process counted so far.
    pub(crate) fn counters(&self, received: u64, refused: u64) -> ProcessCounters {
        ProcessCounters {
            monotonic_us: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            received,
            answered: received.saturating_sub(refused),
            refused,
        }
    }

    /// Ships what is left, says goodbye and seals. Without room for that the process stops all the same, with exit code 1:
    /// what was acknowledged is durable in the spool, and the next start takes it in and says that this one ended unclean.
    pub(crate) async fn close(self, counters: ProcessCounters) -> Result<(), Failure> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            let failure = Failure::because("could not stop cleanly", error);
            if !is_no_room(error) {
                return failure;
            }
            let message = format!(
                "{}. Everything acknowledged is durable in the spool; that this start stopped is not on record",
                failure.message
            );
            Failure { message, code: 1 }
        };
        let spool = self.spool.clone();
        // Closing waits for the disk.
        let _ = tokio::task::spawn_blocking(move || spool.close()).await;
        let _ = self.reserve.lend();
        if self.ledger.may_ship() {
            self.ledger.drain(&self.spool, &self.spool_name).await.map_err(|error| failed(&error))?;
        }
        self.stop.send_replace(true);
        for task in self.beside {
            let _ = task.await;
        }
        // The last event is that this start stopped: one that claims to be later is somebody else's.
        self.ledger.seal_and_anchor(clock()).await.map_err(|error| failed(&error))?;
        self.ledger.stopped(counters, clock()).await.map_err(|error| failed(&error))?;
        self.ledger.seal(clock()).await.map_err(|error| failed(&error))?;
        if let Some(anchors) = &self.anchors {
            anchors.write().await;
        }
        if let Some(cosigners) = &self.cosigners {
            cosigners.finish(WITNESSES_WAIT).await;
        }
        self.ledger.store().close().await;
        Ok(())
    }
}

/// Refuses root where the installation is a service's: what root writes there, the service could not read at its next start.
pub(crate) fn not_as_root_for_others(data: &Path) -> Result<(), Failure> {
    let Ok(metadata) = std::fs::metadata(data) else { return Ok(()) };
    let owner = metadata.uid();
    if owner == 0 || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} belongs to the user with the id {owner}, who could not read what root writes there: run this as that user \
         (`runuser -u USER -- haris ...`), or start the server, which root may ask",
        data.display()
    )))
}

/// Gives back what a start on a full disk takes, or sets aside what is missing.
fn set_aside(reserve: &Reserve) {
    if let Err(error) = reserve.lend().and_then(|()| reserve.restore().map(drop)) {
        tracing::error!(%error, "the reserve for operators could not be set aside");
    }
}

/// An installation that is looked at and left as it is.
pub(crate) struct Sight {
    pub(crate) ledger: Ledger,
    folders: Folders,
    /// To be seen, and not lent: nothing is changed.
    reserve: Arc<Reserve>,
    /// Nobody else writes meanwhile. None where no process ever locked it.
    _lock: Option<File>,
}

impl Sight {
    /// Opens what is there, and makes, mends or writes nothing.
    pub(crate) async fn open(folders: Folders, config: &Config) -> Result<Self, Failure> {
        let lock = match File::open(folders.data.join(LOCK)) {
            Ok(file) => Some(locked(&folders.data, file.try_lock_shared(), file)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::because("could not open the lock", &error)),
        };
        let keys = KeyDir::open(&folders.keys).map_err(|error| Failure::because("keys", &error))?;
        let witnessing = Witnessing::of(config)?;
        let options = StoreOptions { sql: config.sql(&folders.data)?, blobs: folders.data.join("blobs") };
        let store = Store::open_reading(options).await.map_err(|error| damaged("storage", &error))?;
        let ledger = Ledger::open_reading(store, Arc::new(keys)).await.map_err(|error| damaged("ledger", &error))?;
        // For their keys: nobody is asked for anything.
        let _ = witnessing.with(&ledger);
        let reserve = Arc::new(Reserve::seen(&folders.data, config.reserve_bytes()));
        Ok(Self { ledger, folders, reserve, _lock: lock })
    }

    /// What operations that only read work on.
    pub(crate) fn context(&self) -> Context {
        Context {
            ledger: self.ledger.clone(),
            // Nobody comes in here.
            access: access(&self.ledger, Zeroizing::default()),
            approving: Arc::default(),
            spools: Vec::new(),
            gateway: None,
            cosigners: None,
            anchors: None,
            data: self.folders.data.clone(),
            vitals: Arc::default(),
            reserve: self.reserve.clone(),
            clock,
        }
    }
}

/// A session that nobody used for so long has ended.
const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// A session has ended after a working day, used or not.
const SESSION_MAX: Duration = Duration::from_secs(12 * 3_600);

/// Who may do what here.
fn access(ledger: &Ledger, key: Zeroizing<[u8; 32]>) -> Access {
    let (session_idle, session_max) = (SESSION_IDLE, SESSION_MAX);
    Access::new(haris_access::Options { ledger: ledger.clone(), key, clock, session_idle, session_max })
}

/// A database that is damaged is what was looked for, not a failure to look.
fn damaged(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    let failure = Failure::because(what, error);
    if !is_damage(error) {
        return failure;
    }
    Failure { message: format!("WRONG the database: {}", failure.message), code: 1 }
}

/// The file that a process locks while it uses the data directory.
const LOCK: &str = "lock";

/// One process at a time: two that append to one log with one key would fork it.
pub(crate) fn lock(data: &Path) -> Result<File, Failure> {
    let path = data.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|error| Failure::because(&format!("could not open {}", path.display()), &error))?;
    locked(data, file.try_lock(), file)
}

fn locked(data: &Path, tried: Result<(), TryLockError>, file: File) -> Result<File, Failure> {
    match tried {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::usage(format!(
            "another haris process uses {}; stop it, or give another --data DIR",
            data.display()
        ))),
        Err(TryLockError::Error(error)) => Err(Failure::because(&format!("could not lock {}", data.display()), &error)),
    }
}

/// This installation's lasting name in event sources: random, so that it tells nothing.
fn node(data: &Path) -> Result<String, Failure> {
    let path = data.join(NODE);
    let failed = |error: std::io::Error| Failure::because(&format!("could not use {}", path.display()), &error);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let name = text.trim();
            let plain = !name.is_empty() && name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric());
            plain.then(|| name.to_owned()).ok_or_else(|| {
                Failure::usage(format!(
                    "{} is damaged: it names this installation in every event; restore it",
                    path.display()
                ))
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut random = [0; 8];
            aws_lc_rs::rand::fill(&mut random).expect("the system's random generator is initialised");
            let name = hex::encode(random);
            write_private(&path, &name).map_err(failed)?;
            Ok(name)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes a file that only its owner reads, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

pub(crate) fn binary_digest() -> Result<haris_domain::Digest, Failure> {
    let failed = |error: std::io::Error| Failure::because("could not read the running binary", &error);
    let mut file = File::open("/proc/self/exe").map_err(failed)?;
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(failed)?;
        if read == 0 {
            let digest = context.finish();
            return Ok(haris_domain::Digest(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes")));
        }
        context.update(&buffer[..read]);
    }
}

/// Settings that are to be remembered, and in which file.
type Unsaved = Option<(PathBuf, String)>;

/// Names of the settings that differ from the previous start; remembers the present ones, or gives them back where the
/// disk has no room for them.
fn changed_settings(data: &Path, config: &Config) -> Result<(Vec<String>, Unsaved), Failure> {
    let path = data.join("config.last.json");
    let now = config.value();
    let before: Option<Value> = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut changed = Vec::new();
    if let Some(before) = before {
        differing("", &before, &now, &mut changed);
    }
    match write_private(&path, &now.to_string()) {
        Ok(()) => Ok((changed, None)),
        Err(error) if is_no_room(&error) => {
            tracing::error!(%error, path = %path.display(), "no room to remember the settings in force");
            Ok((changed, Some((path, now.to_string()))))
        }
        Err(error) => Err(Failure::because(&format!("could not write {}", path.display()), &error)),
    }
}

/// Settings that one leaf names; a wholesale change needs no longer list.
const CHANGED_MAX: usize = 64;

pub(crate) fn differing(path: &str, before: &Value, now: &Value, changed: &mut Vec<String>) {
    if before == now || changed.len() >= CHANGED_MAX {
        return;
    }
    if let (Value::Object(before), Value::Object(now)) = (before, now) {
        let mut keys: Vec<_> = before.keys().chain(now.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            differing(&inner, before.get(key).unwrap_or(&Value::Null), now.get(key).unwrap_or(&Value::Null), changed);
        }
    } else {
        changed.push(path.to_owned());
    }
}

fn key_ids(ledger: &Ledger) -> Vec<String> {
    let receipts = ledger.receipt_signer().ok();
    let keys = Log::ALL.into_iter().flat_map(|log| ledger.verifier_keys(log));
    let keys = keys.chain(receipts.iter().map(|signer| signer.key()));
    keys.map(|key| format!("{}+{}", key.name(), hex::encode(key.id()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_lie_beside_the_data_never_in_it() {
        assert_eq!(beside(Path::new("/srv/haris/data")).unwrap(), Path::new("/srv/haris/data-keys"));
        let here = std::env::current_dir().unwrap();
        let mut name = here.file_name().unwrap().to_owned();
        name.push("-keys");
        assert_eq!(beside(Path::new(".")).unwrap(), here.with_file_name(name));
        assert!(beside(Path::new("/")).is_err());

        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, dir.path().join("link")).unwrap();
        let folders = |keys: &str| {
            Folders::of(&Place { data: Some(data.clone()), keys: Some(dir.path().join(keys)), config: None })
        };
        for inside in ["data", "data/keys", "link/keys", "data/../data/k"] {
            assert!(folders(inside).is_err(), "{inside}");
        }
        folders("data-keys").unwrap();
        folders("keys").unwrap();
    }

    #[test]
    fn changed_settings_are_named_without_their_values() {
        let mut changed = Vec::new();
        let before = json!({"listen": "a", "limits": {"body_bytes": 1, "idle_seconds": 2}, "same": [1]});
        let now = json!({"listen": "a", "limits": {"body_bytes": 9, "idle_seconds": 2}, "same": [1], "more": true});
        differing("", &before, &now, &mut changed);
        assert_eq!(changed, ["limits.body_bytes", "more"]);
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(lock(dir.path()).unwrap_err().message.contains("another haris process"));
        drop(held);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn a_node_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(node(dir.path()).unwrap(), node(dir.path()).unwrap());
        std::fs::write(dir.path().join("node"), "two words").unwrap();
        assert!(node(dir.path()).is_err());
    }
}
