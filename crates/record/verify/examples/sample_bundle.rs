//! Makes an evidence bundle of any length, for measuring the verifier and for trying foreign ones:
//!
//! ```text
//! cargo run --release -p haris-verify --example sample_bundle -- 1000000 /tmp/sample.zip
//! haris-verify /tmp/sample.zip --key /tmp/sample.zip.keys
//! ```
//!
//! The keys are made from a fixed seed and sign nothing else. One traffic event in ten has its payload opened, ten at
//! most.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};
use haris_merkle::note::SignError;
use haris_merkle::{Checkpoint, Frontier, KeyKind, Signer, Tile, VerifierKey, leaf_hash};
use haris_verify::{BundleWriter, LogPart, Manifest, Scope, bundle, moment};
use serde_json::{Value, json};

const LOGS: [&str; 2] = bundle::LOGS;
const SEALED_AT: u64 = 1_795_503_909;
const BORN_AT_MICROS: i64 = 1_795_400_000_000_000;
const COMMIT_KEY: [u8; 32] = [9; 32];
const REQUEST: &str = "gw.request.decided/1";
const OPENED_MAX: u64 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: sample_bundle EVENTS FILE";
    let (count, path) = (args.next().ok_or(usage)?.parse::<u64>()?, args.next().ok_or(usage)?);
    let signers: Vec<Vec<Key>> = (0..2).map(keys).collect::<Result<_, _>>()?;

    let traffic = Log::new(1, count, &|n| request(n));
    let root = format!("sha256:{}", hex::encode(traffic.checkpoint.root));
    let anchor = json!({ "origin": origin(1), "size": count, "root": root });
    let started = json!({ "version": "0.1.0", "binary": "sha256:00", "config": "sha256:11" });
    let evidence_leaf = |n: u64| match n {
        1 => leaf("process.started/1", n, &started, &json!([])),
        2 => leaf("process.heartbeat/1", n, &json!({ "monotonic_us": 60_000_000 }), &json!([])),
        _ => leaf("traffic.anchored/1", n, &anchor, &json!([])),
    };
    let evidence = Log::new(0, 3, &evidence_leaf);

    let opened: Vec<u64> = (0..count).step_by(10).take(usize::try_from(OPENED_MAX)?).collect();
    let logs = [(&evidence, &evidence_leaf as &dyn Fn(u64) -> Vec<u8>), (&traffic, &|n| request(n))];
    let part = |log: &Log| LogPart {
        log: LOGS[log.at].to_owned(),
        origin: origin(log.at),
        size: log.checkpoint.size,
        root: format!("sha256:{}", hex::encode(log.checkpoint.root)),
        scope: Scope::Range,
        from: 0,
        to: log.checkpoint.size,
        leaves: log.checkpoint.size,
        keys: signers[log.at].iter().map(|signer| signer.key().to_string()).collect(),
    };
    let manifest = Manifest {
        schema: bundle::SCHEMA.to_owned(),
        made_at: moment::format(BORN_AT_MICROS),
        made_by: "haris 0.1.0".to_owned(),
        window: None,
        filter: Vec::new(),
        logs: logs.iter().map(|(log, _)| part(log)).collect(),
        payloads: opened.len() as u64,
    };
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    let mut writer = BundleWriter::new(file, &manifest)?;
    for (log, leaf) in logs {
        let name = LOGS[log.at];
        let all: Vec<&dyn Signer> = signers[log.at].iter().map(|signer| signer as &dyn Signer).collect();
        writer.checkpoint(name, &log.checkpoint.sign(&all, SEALED_AT)?.to_bytes())?;
        for (tile, bytes) in &log.tiles {
            writer.tile(name, *tile, bytes)?;
        }
        if log.at == 1 {
            writer.anchor(name, 2, &evidence_leaf(3))?;
        }
        writer.leaves(name)?;
        for index in 0..log.checkpoint.size {
            writer.leaf(index, &leaf(index + 1))?;
        }
    }
    for index in opened {
        writer.payload(&event_id(REQUEST, index + 1), "request", &text(index + 1), &COMMIT_KEY)?;
    }
    writer.finish()?;
    let keys: Vec<String> = signers.iter().flatten().map(|signer| format!("{}\n", signer.key())).collect();
    std::fs::write(format!("{path}.keys"), keys.concat())?;
    Ok(())
}

fn origin(log: usize) -> String {
    format!("haris.invalid/0123456789abcdef/{}", LOGS[log])
}

struct Log {
    at: usize,
    checkpoint: Checkpoint,
    tiles: BTreeMap<Tile, Vec<u8>>,
}

impl Log {
    fn new(at: usize, count: u64, leaf: &dyn Fn(u64) -> Vec<u8>) -> Self {
        let mut tiles = BTreeMap::new();
        let mut frontier = Frontier::new();
        for n in 1..=count {
            frontier.push(leaf_hash(&leaf(n)), |tile, bytes| drop(tiles.insert(tile, bytes)));
        }
        tiles.extend(frontier.partials());
        let checkpoint = Checkpoint { origin: origin(at), size: count, root: frontier.root(), extensions: Vec::new() };
        Self { at, checkpoint, tiles }
    }
}

/// Unique over both logs, as all ids are.
fn event_id(kind: &str, n: u64) -> String {
    let log = u8::from(kind == REQUEST);
    format!("01a20c5f-6903-7707-800{log}-{n:012x}")
}

fn text(n: u64) -> Vec<u8> {
    format!("the text of request {n}").into_bytes()
}

/// About 500 bytes, as the gateway writes them.
fn request(n: u64) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &COMMIT_KEY);
    let commit = format!("hmac-sha256:{}", hex::encode(hmac::sign(&key, &text(n)).as_ref()));
    let data = json!({ "environment": "production", "verdict": if n.is_multiple_of(50) { "block" } else { "allow" }, "route": "default" });
    let payloads = json!([{ "name": "request", "commit": commit, "key": "day:2026-11-24:00000000", "bytes": text(n).len(),
        "stored": "redacted" }]);
    leaf(REQUEST, n, &data, &payloads)
}

fn leaf(kind: &str, n: u64, data: &Value, payloads: &Value) -> Vec<u8> {
    let at = moment::format(BORN_AT_MICROS.saturating_add_unsigned(n * 1000));
    json!({ "v": 1, "id": event_id(kind, n), "kind": kind, "at": at, "source": { "node": "n1", "boot": "b1", "n": n },
        "actor": "service:gateway", "about": [], "data": data, "payloads": payloads })
    .to_string()
    .into_bytes()
}

enum Key {
    Ed25519(VerifierKey, Ed25519KeyPair),
    MlDsa44(VerifierKey, PqdsaKeyPair),
}

fn keys(log: usize) -> Result<Vec<Key>, Box<dyn Error>> {
    let seed = [u8::try_from(log)? + 1; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed)?;
    let key = VerifierKey::new(&origin(log), KeyKind::Ed25519, pair.public_key().as_ref())?;
    let mut keys = vec![Key::Ed25519(key, pair)];
    if log == 0 {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &seed)?;
        let key = VerifierKey::new(&origin(log), KeyKind::CosignatureMlDsa44, pair.public_key().as_ref())?;
        keys.push(Key::MlDsa44(key, pair));
    }
    Ok(keys)
}

impl Signer for Key {
    fn key(&self) -> &VerifierKey {
        match self {
            Self::Ed25519(key, _) | Self::MlDsa44(key, _) => key,
        }
    }

    fn sign_note(&self, text: &str, at: u64) -> Result<Vec<u8>, SignError> {
        let failed = |why: String| SignError { name: self.key().name().to_owned(), why };
        let message = self.key().signed_bytes(text, at).map_err(|error| failed(error.to_string()))?;
        let signature = match self {
            Self::Ed25519(_, pair) => pair.sign(&message).as_ref().to_vec(),
            Self::MlDsa44(_, pair) => {
                let mut signature = vec![0; ML_DSA_44_SIGNING.signature_len()];
                pair.sign(&message, &mut signature).map_err(|error| failed(error.to_string()))?;
                signature
            }
        };
        Ok(self.key().signature_blob(at, &signature))
    }
}
