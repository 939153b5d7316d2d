//! One witness as the log sees it: an address, the keys it is believed under, and one submission.

use std::time::Duration;

use haris_domain::Log;
use haris_ledger::{CheckpointRow, Ledger, ReadError, Standing};
use haris_merkle::note::{NOTE_BYTES_MAX, Note, Signature, signatures};
use haris_merkle::{KeyKind, VerifierKey, hash};
use reqwest::{Client, StatusCode, Url};

/// A witness that takes longer is asked again later.
const PATIENCE: Duration = Duration::from_secs(10);
/// A size that the witness knows may be told twice: another process of ours may submit at the same time.
const TRIES: usize = 3;
/// Most bytes of a refusal that are kept for a person.
const WHY_BYTES_MAX: usize = 300;

/// A witness that is asked to cosign.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What a person calls it.
    pub name: String,
    /// Its submission prefix: `…/add-checkpoint` is appended.
    pub url: Url,
    /// The keys it signs with; what it signs under others is ignored.
    pub keys: Vec<VerifierKey>,
    /// How it is reached.
    pub client: Client,
}

/// Why a witness cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("witness `{name}`: {why}")]
pub struct BadPeer {
    /// Which.
    pub name: String,
    /// What is wrong and what to do.
    pub why: String,
}

/// What one submission came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The witness has signed the newest checkpoint.
    Cosigned,
    /// Nothing is sealed yet.
    Nothing,
    /// The witness holds a checkpoint that this log has signed and does not continue.
    Contradicted(String),
}

/// Why nothing came of it. The next round tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("it was not reached: {0}")]
    Unreachable(String),
    #[error("it answered {status}: {why}")]
    Refused { status: StatusCode, why: String },
    #[error("it answered with no signature under a key that was configured for it: {0}")]
    NotSigned(String),
    #[error("it says that it knows {theirs} entries, shows no such checkpoint of this log, and cosigns nothing: {why}")]
    Lying { theirs: u64, why: String },
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Peer {
    /// A witness from its settings.
    ///
    /// # Errors
    /// When its URL or keys cannot be used.
    pub fn new(name: &str, url: Url, keys: &[String], client: Client) -> Result<Self, BadPeer> {
        let bad = |why: String| BadPeer { name: name.to_owned(), why };
        let mut url = url;
        if !["http", "https"].contains(&url.scheme()) || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("its URL starts with http:// or https:// and has no query".to_owned()));
        }
        // `join` replaces what follows the last slash.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let parse = |text: &String| {
            let key: VerifierKey =
                text.trim().parse().map_err(|error: haris_merkle::key::BadKey| bad(error.to_string()))?;
            if key.kind() == KeyKind::Ed25519 {
                return Err(bad("a witness's key is of type 04 or 06; this is a log's, of type 01".to_owned()));
            }
            Ok(key)
        };
        let keys = keys.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(bad("give its verifier keys: a cosignature under an unknown key shows nothing".to_owned()));
        }
        Ok(Self { name: name.to_owned(), url, keys, client })
    }

    /// The newest checkpoint that the witness shows of a log, if it shows one.
    pub(crate) async fn newest(&self, origin: &str) -> Result<Option<Vec<u8>>, Failed> {
        let path = format!("{}/checkpoint", hex::encode(hash::sha256(origin.as_bytes())));
        let url = self.url.join(&path).map_err(|error| Failed::Unreachable(error.to_string()))?;
        let (status, body) = exchange(self.client.get(url)).await?;
        match status {
            StatusCode::OK => Ok(Some(body)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(refused(status, &body)),
        }
    }

    /// Submits the newest checkpoint of a log, with the proof from where the witness is, and keeps what it signs.
    pub(crate) async fn cosign(&self, ledger: &Ledger, log: Log, known: &mut Option<u64>) -> Result<Outcome, Failed> {
        let Some(mut row) = ledger.checkpoint(log).await? else { return Ok(Outcome::Nothing) };
        if known.is_none() {
            *known = self.remembered(ledger, log).await?;
        }
        for _ in 0..TRIES {
            let old = known.unwrap_or(0);
            if old > row.size {
                // The row is older than what the witness has seen: sealed elsewhere meanwhile, or an old copy here.
                row = ledger.checkpoint(log).await?.unwrap_or(row);
                if old > row.size {
                    return self.contradiction(ledger, log, old, "it knows more entries").await;
                }
            }
            let body = ledger.submission(&row, old).await?.to_bytes();
            let url = self.url.join("add-checkpoint").map_err(|error| Failed::Unreachable(error.to_string()))?;
            let (status, body) = exchange(self.client.post(url).body(body)).await?;
            match status {
                StatusCode::OK => {
                    self.keep(ledger, &row, &body).await?;
                    *known = Some(row.size);
                    return Ok(Outcome::Cosigned);
                }
                StatusCode::CONFLICT => {
                    let size = std::str::from_utf8(&body).ok().and_then(|text| text.trim().parse().ok());
                    *known = Some(size.ok_or_else(|| refused(status, &body))?);
                }
                StatusCode::UNPROCESSABLE_ENTITY => {
                    let why = refused(status, &body).to_string();
                    *known = None;
                    return self.contradiction(ledger, log, old, &why).await;
                }
                status => return Err(refused(status, &body)),
            }
        }
        let why = "its size changed with every question".to_owned();
        Err(Failed::Refused { status: StatusCode::CONFLICT, why })
    }

    /// Up to which size a cosignature of this witness is on record.
    async fn remembered(&self, ledger: &Ledger, log: Log) -> Result<Option<u64>, Failed> {
        let mut newest = None;
        for key in &self.keys {
            newest = newest.max(ledger.cosigned_by(log, key).await?.map(|(size, _)| size));
        }
        Ok(newest)
    }

    /// Keeps what the witness signed under `row`, once it is shown to be that.
    async fn keep(&self, ledger: &Ledger, row: &CheckpointRow, body: &[u8]) -> Result<(), Failed> {
        let not_signed = |why: String| Failed::NotSigned(why);
        let lines = std::str::from_utf8(body).map_err(|error| not_signed(error.to_string()))?;
        let lines = signatures(lines).map_err(|error| not_signed(error.to_string()))?;
        let note = Note::parse(row.note.as_bytes()).map_err(|error| not_signed(error.to_string()))?;
        let mut signed: Vec<(VerifierKey, u64, Signature)> = Vec::new();
        for line in lines {
            let key = self.keys.iter().find(|key| key.name() == line.name && key.id() == line.id);
            let Some(key) = key else { continue };
            // A known key whose signature fails: the whole answer is refused.
            let at = key.verify(note.text(), &line.blob).map_err(|error| not_signed(error.to_string()))?;
            // ML-DSA-44 lines have 3.3 kB. They are kept where the log's own are: on the log that is never pruned, and
            // whose anchors stand for the other.
            if key.kind() == KeyKind::CosignatureEd25519 || row.log == Log::Evidence {
                signed.push((key.clone(), at.unwrap_or(0), line));
            }
        }
        if signed.is_empty() {
            return Err(not_signed("compare its verifier keys with those in the configuration".to_owned()));
        }
        Ok(ledger.add_cosignatures(row, &signed).await?)
    }

    /// The witness does not go along. Whether it is right, its own checkpoint says: one that this log has signed.
    async fn contradiction(&self, ledger: &Ledger, log: Log, theirs: u64, why: &str) -> Result<Outcome, Failed> {
        let Some(note) = self.newest(ledger.origin(log)).await? else {
            return Err(Failed::Lying { theirs, why: why.to_owned() });
        };
        match contradicts(&self.name, log, ledger.standing(log, &note).await?) {
            Ok(Some(why)) => Ok(Outcome::Contradicted(why)),
            Ok(None) => Err(Failed::Lying { theirs, why: why.to_owned() }),
            Err(not_ours) => Err(Failed::Lying { theirs, why: format!("{why}; {not_ours}") }),
        }
    }
}

/// What a witness's checkpoint says against this ledger, if it says something.
pub(crate) fn contradicts(witness: &str, log: Log, standing: Standing) -> Result<Option<String>, String> {
    match standing {
        Standing::Prefix { .. } => Ok(None),
        Standing::Ahead { size, ours } => Ok(Some(format!(
            "witness `{witness}` has cosigned {size} entries of the {log} log, and here are {ours}: this is an older copy"
        ))),
        Standing::Fork { size } => Ok(Some(format!(
            "witness `{witness}` has cosigned {size} entries of the {log} log with another root: this is another history"
        ))),
        Standing::NotOurs { why } => Err(why),
    }
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<(StatusCode, Vec<u8>), Failed> {
    let unreachable = |error: reqwest::Error| {
        let error = error.without_url();
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            why = cause.to_string();
            source = cause.source();
        }
        Failed::Unreachable(why)
    };
    let whole = async {
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if body.len() + part.len() > NOTE_BYTES_MAX {
                return Err(Failed::Unreachable("its answer is too long".to_owned()));
            }
            body.extend_from_slice(&part);
        }
        Ok((status, body))
    };
    let late = |_| Failed::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, whole).await.map_err(late)?
}

fn refused(status: StatusCode, body: &[u8]) -> Failed {
    let text = String::from_utf8_lossy(&body[..body.len().min(WHY_BYTES_MAX)]);
    Failed::Refused { status, why: text.chars().filter(|c| !c.is_control()).collect() }
}
