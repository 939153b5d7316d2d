//! One witness: the logs it watches, and what it says to a submission.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use haris_merkle::note::{NOTE_BYTES_MAX, SignError};
use haris_merkle::{Checkpoint, Hash, Note, Signer, Submission, VerifierKey, empty_root, hash};
use parking_lot::Mutex;
use serde::Serialize;

use crate::disk::{self, DiskError};
use crate::refused::{Refusals, Refused, Why};
use crate::steps::Steps;

/// Logs of one witness. Each is a folder and a lock; the bound keeps a mistaken list from making thousands.
const LOGS_MAX: usize = 1_024;

/// A log to watch: keys that all name the same origin.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Verifier keys of the log. Of several of one type one must have signed (a rotation); of several types each.
    pub keys: Vec<VerifierKey>,
}

/// What a submission is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200: the cosignature lines, each ended by a newline.
    Cosigned(String),
    /// 409: the size of the newest checkpoint that was cosigned; the proof must start there.
    Conflict(u64),
    /// 404: no log of that origin is watched.
    UnknownLog,
    /// 403: no valid signature of the log.
    NotSigned(String),
    /// 400: not a submission, or its old size is beyond the checkpoint's.
    Malformed(String),
    /// 422: the checkpoint does not continue what was cosigned, or the proof does not show it.
    NotProven(String),
    /// 500: nothing was cosigned, because nothing could be remembered.
    Failed(String),
}

/// Why a witness cannot open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Two processes with one memory would cosign two histories.
    #[error("another process uses `{path}`; stop it, or give another folder")]
    InUse {
        /// The folder.
        path: String,
    },
    /// The lock cannot be taken.
    #[error("could not lock `{path}`")]
    Lock {
        /// The lock's file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// No log, or too many, or two that share an origin.
    #[error("{why}")]
    Logs {
        /// What is wrong with them.
        why: String,
    },
    /// What was remembered is damaged. Starting afresh would forget a promise.
    #[error(
        "`{path}` is damaged: {why}. Without it this witness could cosign another history; restore it from a backup, \
         or give the witness a new name and key"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// How one log stands.
#[derive(Clone, Debug, Serialize)]
pub struct LogFace {
    /// The log's origin.
    pub origin: String,
    /// Hex SHA-256 of the origin: the part of the path under which its checkpoint is served.
    pub path: String,
    /// Entries of the newest checkpoint that was cosigned; 0 if none was.
    pub size: u64,
    /// Its root, `sha256:` and hex.
    pub root: String,
    /// When it was cosigned, in POSIX seconds.
    pub at: Option<u64>,
    /// Signed checkpoints that contradict it.
    pub refused: Vec<Refused>,
}

/// A witness.
pub struct Witness {
    signers: Vec<Box<dyn Signer + Send + Sync>>,
    logs: Vec<Log>,
    _lock: File,
}

struct Log {
    origin: String,
    path: String,
    keys: Vec<VerifierKey>,
    folder: PathBuf,
    /// Held from reading what is known until the answer is made.
    memory: Mutex<Memory>,
}

struct Memory {
    /// None when a write failed half-way: what the disk holds is read again before anything is said.
    newest: Option<Newest>,
    refusals: Refusals,
    steps: Steps,
}

#[derive(Clone)]
struct Newest {
    size: u64,
    root: Hash,
    /// The cosigned note; none while nothing was cosigned.
    note: Option<Vec<u8>>,
    at: Option<u64>,
}

impl Witness {
    /// Opens a witness whose memory is in `folder`, which is made if missing.
    ///
    /// # Errors
    /// When the folder cannot be used, is in use, or what it remembers is damaged.
    pub fn open(
        folder: &Path,
        signers: Vec<Box<dyn Signer + Send + Sync>>,
        watched: Vec<Watched>,
    ) -> Result<Self, OpenError> {
        disk::make_folder(folder)?;
        let lock = lock(folder)?;
        let mut logs: Vec<Log> = Vec::new();
        for Watched { keys } in watched {
            let mut origins = keys.iter().map(VerifierKey::name);
            let Some(origin) = origins.next().map(str::to_owned) else {
                return Err(OpenError::Logs { why: "a log without a key cannot be watched".to_owned() });
            };
            if origins.any(|other| other != origin) || logs.iter().any(|log| log.origin == origin) {
                return Err(OpenError::Logs { why: format!("give the keys of `{origin}` together, and of it alone") });
            }
            if let Some(own) =
                signers.iter().find(|own| keys.iter().any(|key| key.public_key() == own.key().public_key()))
            {
                return Err(OpenError::Logs { why: format!("`{}` is this witness's own key", own.key().name()) });
            }
            let path = hex::encode(hash::sha256(origin.as_bytes()));
            let folder = folder.join("logs").join(&path);
            disk::make_folder(&folder)?;
            let own: Vec<VerifierKey> = signers.iter().map(|signer| signer.key().clone()).collect();
            let newest = read_newest(&folder, &origin, &keys, &own)?;
            let (refusals, steps) = (Refusals::open(&folder)?, Steps::new(&folder));
            let memory = Mutex::new(Memory { newest: Some(newest), refusals, steps });
            logs.push(Log { origin, path, keys, folder, memory });
        }
        if logs.is_empty() || logs.len() > LOGS_MAX {
            return Err(OpenError::Logs { why: format!("a witness watches 1 to {LOGS_MAX} logs") });
        }
        Ok(Self { signers, logs, _lock: lock })
    }

    /// What verifies this witness's cosignatures.
    pub fn verifier_keys(&self) -> impl Iterator<Item = &VerifierKey> {
        self.signers.iter().map(|signer| signer.key())
    }

    /// Answers a submission that came at `now`, in POSIX seconds. Blocks on the disk.
    #[must_use]
    pub fn add_checkpoint(&self, body: &[u8], now: u64) -> Answer {
        let submission = match Submission::parse(body) {
            Ok(submission) => submission,
            Err(error) => return Answer::Malformed(error.to_string()),
        };
        let Some(log) = self.logs.iter().find(|log| log.origin == submission.checkpoint.origin) else {
            return Answer::UnknownLog;
        };
        if let Err(why) = log.signed(&submission.note) {
            return Answer::NotSigned(why);
        }
        // From here to the end of the function nobody else sees or changes what is known of this log.
        let mut memory = log.memory.lock();
        match self.settle(log, &mut memory, &submission, now) {
            Ok(answer) => answer,
            Err(why) => {
                tracing::error!(origin = log.origin, why, "nothing was cosigned");
                memory.newest = None;
                Answer::Failed("this witness could not remember the checkpoint, so it did not cosign it".to_owned())
            }
        }
    }

    fn settle(&self, log: &Log, memory: &mut Memory, new: &Submission, now: u64) -> Result<Answer, String> {
        let chain = |error: &dyn std::error::Error| match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let known = match &memory.newest {
            Some(known) => known.clone(),
            None => {
                let own: Vec<VerifierKey> = self.verifier_keys().cloned().collect();
                read_newest(&log.folder, &log.origin, &log.keys, &own).map_err(|error| chain(&error))?
            }
        };
        let (checkpoint, note) = (&new.checkpoint, &new.note);
        let mut refuse =
            |why: Why| memory.refusals.keep(now, why, known.size, checkpoint, note).map_err(|error| chain(&error));
        let known_at_all = known.note.is_some();
        if known_at_all && checkpoint.size == known.size && checkpoint.root != known.root {
            refuse(Why::Fork)?;
        } else if checkpoint.size < known.size {
            refuse(Why::Behind)?;
        }
        if new.old > checkpoint.size {
            return Ok(Answer::Malformed("the old size is beyond the checkpoint's".to_owned()));
        }
        if new.old != known.size {
            return Ok(Answer::Conflict(known.size));
        }
        // The known root of nothing is that of the empty tree; so this settles a wrong empty root too.
        if let Err(error) = new.verify_prefix(&known.root) {
            if known_at_all && checkpoint.size > known.size {
                refuse(Why::NotProven)?;
            }
            return Ok(Answer::NotProven(error.to_string()));
        }
        let mut cosigned = log.own_signatures(note);
        let mut lines = String::new();
        for signer in &self.signers {
            let blob = signer.sign_note(note.text(), now).map_err(|error: SignError| error.to_string())?;
            let (name, id) = (signer.key().name().to_owned(), signer.key().id());
            let line = haris_merkle::note::Signature { name, id, blob };
            lines.push_str(&format!("{line}\n"));
            cosigned.push(line);
        }
        let bytes = cosigned.to_bytes();
        memory.steps.keep(new.old, &known.root, checkpoint.size, &new.path).map_err(|error| chain(&error))?;
        disk::replace(&log.folder.join("checkpoint"), &bytes).map_err(|error| chain(&error))?;
        memory.newest = Some(Newest { size: checkpoint.size, root: checkpoint.root, note: Some(bytes), at: Some(now) });
        Ok(Answer::Cosigned(lines))
    }

    /// The newest cosigned checkpoint of the log at `path` (hex SHA-256 of its origin), if there is one.
    #[must_use]
    pub fn checkpoint(&self, path: &str) -> Option<Vec<u8>> {
        let log = self.logs.iter().find(|log| log.path == path)?;
        log.memory.lock().newest.as_ref()?.note.clone()
    }

    /// The newest cosigned checkpoint with the proof that it continues the one of `old` entries, as a submission's
    /// bytes; none where that cannot be shown. Nothing here says that `old` was ever a checkpoint of that log: whoever
    /// asks verifies the proof against the root they hold.
    #[must_use]
    pub fn consistency(&self, path: &str, old: u64) -> Option<Vec<u8>> {
        let log = self.logs.iter().find(|log| log.path == path)?;
        let (newest, steps) = {
            let memory = log.memory.lock();
            (memory.newest.clone()?, Steps::new(&log.folder))
        };
        let (checkpoint, note) = Checkpoint::parse(&newest.note?).ok()?;
        // Read without the lock: steps are only ever added, and a cut last line is skipped.
        let path = steps.proof(old, checkpoint.size).ok()??;
        Some(Submission { old, path, checkpoint, note }.to_bytes())
    }

    /// How each log stands.
    #[must_use]
    pub fn logs(&self) -> Vec<LogFace> {
        let face = |log: &Log| {
            let memory = log.memory.lock();
            let newest = memory.newest.clone().unwrap_or_else(Newest::nothing);
            LogFace {
                origin: log.origin.clone(),
                path: log.path.clone(),
                size: newest.size,
                root: format!("sha256:{}", hex::encode(newest.root)),
                at: newest.at,
                refused: memory.refusals.list(),
            }
        };
        self.logs.iter().map(face).collect()
    }
}

impl Newest {
    fn nothing() -> Self {
        Self { size: 0, root: empty_root(), note: None, at: None }
    }
}

impl Log {
    /// Whether the log has signed: with one key of each type that is known of it, and with none wrongly.
    fn signed(&self, note: &Note) -> Result<(), String> {
        let verified = note.verify(&self.keys).map_err(|error| error.to_string())?;
        for key in &self.keys {
            if !verified.iter().any(|one| one.key.kind() == key.kind()) {
                return Err(format!("the checkpoint carries no {} signature of `{}`", key.kind().name(), self.origin));
            }
        }
        Ok(())
    }

    /// The note with the log's own signatures alone: what others wrote under it is not ours to hand on.
    fn own_signatures(&self, note: &Note) -> Note {
        let ours = |line: &&haris_merkle::note::Signature| {
            self.keys.iter().any(|key| key.name() == line.name && key.id() == line.id)
        };
        note.with_signatures(note.signatures().iter().filter(ours).cloned().collect())
    }
}

/// What the folder remembers. It must be a note that the log and this witness have signed: anything else is damage,
/// and forgetting it would be a second first time.
fn read_newest(folder: &Path, origin: &str, keys: &[VerifierKey], own: &[VerifierKey]) -> Result<Newest, OpenError> {
    let path = folder.join("checkpoint");
    let damaged = |why: String| OpenError::Damaged { path: path.display().to_string(), why };
    let Some(bytes) = disk::read(&path, NOTE_BYTES_MAX as u64 + 1)? else { return Ok(Newest::nothing()) };
    let (checkpoint, note) = Checkpoint::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
    if checkpoint.origin != origin {
        return Err(damaged(format!("it is a checkpoint of `{}`", checkpoint.origin)));
    }
    note.verify(keys).map_err(|error| damaged(error.to_string()))?;
    let cosigned = note.verify(own).map_err(|error| damaged(error.to_string()))?;
    let at = cosigned.iter().filter_map(|one| one.at).min();
    Ok(Newest { size: checkpoint.size, root: checkpoint.root, note: Some(bytes), at })
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let shown = path.display().to_string();
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|source| OpenError::Lock { path: shown.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: folder.display().to_string() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Lock { path: shown, source }),
    }
}
