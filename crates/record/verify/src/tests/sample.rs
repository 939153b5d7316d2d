//! Bundles for the tests: two logs of any length, signed by keys made from a seed.

use std::collections::BTreeSet;
use std::io::Cursor;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};
use haris_merkle::note::{SignError, Signature};
use haris_merkle::{Checkpoint, Frontier, Hash, KeyKind, Note, Signer, Tile, VerifierKey, leaf_hash, tile};
use serde_json::json;

use crate::bundle::{BundleWriter, LOGS, LogPart, Manifest, SCHEMA, Scope, Window};
use crate::moment;
use crate::trust::Trust;

pub(super) const ORIGINS: [&str; 2] =
    ["haris.invalid/0123456789abcdef/evidence", "haris.invalid/0123456789abcdef/traffic"];
/// When the checkpoints are signed.
pub(super) const SEALED_AT: u64 = 1_795_503_909;
const BORN_AT_MICROS: i64 = 1_795_500_000_000_000;

pub(super) struct Key {
    key: VerifierKey,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    MlDsa44(PqdsaKeyPair),
}

pub(super) fn key(name: &str, kind: KeyKind, seed: u8) -> Key {
    let (pair, public) = if kind == KeyKind::CosignatureMlDsa44 {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        (Pair::MlDsa44(pair), public)
    } else {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        (Pair::Ed25519(pair), public)
    };
    Key { key: VerifierKey::new(name, kind, &public).unwrap(), pair }
}

impl Signer for Key {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign_note(&self, text: &str, at: u64) -> Result<Vec<u8>, SignError> {
        let message = self.key.signed_bytes(text, at).unwrap();
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(&message).as_ref().to_vec(),
            Pair::MlDsa44(pair) => {
                let mut signature = vec![0; ML_DSA_44_SIGNING.signature_len()];
                pair.sign(&message, &mut signature).unwrap();
                signature
            }
        };
        Ok(self.key.signature_blob(at, &signature))
    }
}

/// The keys of both logs, as their operator holds them.
pub(super) fn signers(log: usize) -> Vec<Key> {
    let ed = key(ORIGINS[log], KeyKind::Ed25519, 1 + u8::try_from(log).unwrap());
    if log == 0 { vec![ed, key(ORIGINS[0], KeyKind::CosignatureMlDsa44, 7)] } else { vec![ed] }
}

pub(super) fn trust() -> Trust {
    let keys = (0..2).flat_map(signers).map(|signer| signer.key().clone()).collect();
    Trust { keys, policy: None }
}

/// A log in memory.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) at: usize,
    pub(super) leaves: Vec<Vec<u8>>,
    pub(super) note: Note,
    pub(super) checkpoint: Checkpoint,
    pub(super) tiles: std::collections::BTreeMap<Tile, Vec<u8>>,
}

impl Log {
    pub(super) fn new(at: usize, leaves: Vec<Vec<u8>>) -> Self {
        let mut tiles = std::collections::BTreeMap::new();
        let mut frontier = Frontier::new();
        for leaf in &leaves {
            frontier.push(leaf_hash(leaf), |tile, bytes| drop(tiles.insert(tile, bytes)));
        }
        tiles.extend(frontier.partials());
        let checkpoint = checkpoint(at, frontier.size(), frontier.root());
        let all = signers(at);
        let all: Vec<&dyn Signer> = all.iter().map(|signer| signer as &dyn Signer).collect();
        let note = checkpoint.sign(&all, SEALED_AT).unwrap();
        Self { at, leaves, note, checkpoint, tiles }
    }

    /// The tiles that tie these entries to the root.
    fn needed(&self, indices: impl IntoIterator<Item = u64>) -> BTreeSet<Tile> {
        let size = self.checkpoint.size;
        let chains = indices.into_iter().flat_map(|index| tile::chain(index, size));
        tile::right_edge(size).into_iter().chain(chains).collect()
    }

    /// Its tiles, as the tree reads them.
    pub(super) fn shelf(&self) -> Shelf<'_> {
        Shelf(self)
    }

    pub(super) fn cosign(&mut self, witness: &Key, at: u64) {
        let blob = witness.sign_note(self.note.text(), at).unwrap();
        self.note.push(Signature { name: witness.key().name().to_owned(), id: witness.key().id(), blob });
    }
}

/// The tiles of a log in memory.
pub(super) struct Shelf<'a>(&'a Log);

impl haris_merkle::ReadTiles for Shelf<'_> {
    type Error = std::convert::Infallible;

    fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.0.tiles.get(&tile).cloned())
    }
}

fn checkpoint(at: usize, size: u64, root: Hash) -> Checkpoint {
    Checkpoint { origin: ORIGINS[at].to_owned(), size, root, extensions: Vec::new() }
}

pub(super) fn leaf(kind: &str, n: u64, data: &serde_json::Value, payloads: &serde_json::Value) -> Vec<u8> {
    let at = moment::format(BORN_AT_MICROS + i64::try_from(n).unwrap() * 1_000_000);
    // serde_json sorts keys, and these values have one spelling: the canonical form, as the ledger writes it.
    json!({
        "v": 1, "id": event_id(kind, n), "kind": kind, "at": at, "source": { "node": "n1", "boot": "b1", "n": n },
        "actor": "service:gateway", "about": [], "data": data, "payloads": payloads,
    })
    .to_string()
    .into_bytes()
}

pub(super) fn event_id(kind: &str, n: u64) -> String {
    format!("01a20c5f-6903-7707-8{:03x}-{n:012x}", kind.len())
}

pub(super) const REQUEST: &str = "gw.request.decided/1";
pub(super) const COMMIT_KEY: [u8; 32] = [9; 32];

pub(super) fn text(n: u64) -> Vec<u8> {
    format!("the text of request {n}").into_bytes()
}

fn payloads(n: u64) -> serde_json::Value {
    let commit = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &COMMIT_KEY), &text(n));
    json!([{ "name": "request", "commit": format!("hmac-sha256:{}", hex::encode(commit.as_ref())), "key": "day:2026-11-24:00000000",
        "bytes": text(n).len(), "stored": "redacted" }])
}

pub(super) fn traffic(count: u64) -> Log {
    let verdict = |n: u64| if n.is_multiple_of(5) { "block" } else { "allow" };
    Log::new(1, (1..=count).map(|n| leaf(REQUEST, n, &json!({ "verdict": verdict(n) }), &payloads(n))).collect())
}

/// `count` events, the last of which anchors the traffic log.
pub(super) fn evidence(count: u64, traffic: &Log) -> Log {
    let started = json!({ "version": "0.1.0", "binary": "sha256:00", "config": "sha256:11" });
    let root = format!("sha256:{}", hex::encode(traffic.checkpoint.root));
    let anchor = json!({ "origin": ORIGINS[1], "size": traffic.checkpoint.size, "root": root });
    let event = |n: u64| match n {
        1 => leaf("process.started/1", n, &started, &json!([])),
        n if n == count => leaf("traffic.anchored/1", n, &anchor, &json!([])),
        n => leaf("process.heartbeat/1", n, &json!({ "monotonic_us": n * 1_000_000 }), &json!([])),
    };
    Log::new(0, (1..=count).map(event).collect())
}

/// What to put into a bundle.
pub(super) struct Wish {
    pub(super) scope: Scope,
    /// Per log.
    pub(super) ranges: [(u64, u64); 2],
    pub(super) filter: Vec<String>,
    /// Seconds after the first event's second, as the window's edges.
    pub(super) window: Option<(i64, i64)>,
    pub(super) anchored: bool,
    pub(super) opened: bool,
}

impl Wish {
    pub(super) fn all(logs: &[Log; 2]) -> Self {
        let ranges = [(0, logs[0].checkpoint.size), (0, logs[1].checkpoint.size)];
        Self { scope: Scope::Range, ranges, filter: Vec::new(), window: None, anchored: true, opened: true }
    }
}

pub(super) fn small() -> [Log; 2] {
    let traffic = traffic(5);
    [evidence(3, &traffic), traffic]
}

pub(super) fn bundle(logs: &[Log; 2], wish: &Wish) -> Vec<u8> {
    bundle_of(&logs.each_ref(), wish)
}

/// A bundle that says nothing of the traffic log.
pub(super) fn evidence_alone(logs: &[Log; 2]) -> Vec<u8> {
    bundle_of(&[&logs[0]], &Wish { anchored: false, opened: false, ..Wish::all(logs) })
}

fn bundle_of(logs: &[&Log], wish: &Wish) -> Vec<u8> {
    let filters: Vec<crate::Filter> = wish.filter.iter().map(|filter| filter.parse().unwrap()).collect();
    let mut chosen = [Vec::new(), Vec::new()];
    for log in logs {
        let (from, to) = wish.ranges[log.at];
        let view = |index: &u64| crate::LeafView::parse(&log.leaves[usize::try_from(*index).unwrap()]).unwrap();
        let keep =
            |index: &u64| wish.scope == Scope::Range || filters.iter().all(|filter| filter.matches(&view(index)));
        chosen[log.at] = (from..to).filter(keep).collect::<Vec<u64>>();
    }
    let opened: Vec<u64> = chosen[1].iter().copied().take(if wish.opened { 2 } else { 0 }).collect();
    let part = |log: &Log| LogPart {
        log: LOGS[log.at].to_owned(),
        origin: log.checkpoint.origin.clone(),
        size: log.checkpoint.size,
        root: format!("sha256:{}", hex::encode(log.checkpoint.root)),
        scope: wish.scope,
        from: wish.ranges[log.at].0,
        to: wish.ranges[log.at].1,
        leaves: chosen[log.at].len() as u64,
        keys: signers(log.at).iter().map(|signer| signer.key().to_string()).collect(),
    };
    let manifest = Manifest {
        schema: SCHEMA.to_owned(),
        made_at: "2026-11-24T08:00:00.000000Z".to_owned(),
        made_by: "haris 0.1.0".to_owned(),
        window: wish.window.map(|(from, to)| {
            let at = |n: i64| Some(moment::format(BORN_AT_MICROS + n * 1_000_000));
            Window { from: at(from), to: at(to) }
        }),
        filter: wish.filter.clone(),
        logs: logs.iter().map(|log| part(log)).collect(),
        payloads: opened.len() as u64,
    };
    let mut writer = BundleWriter::new(Cursor::new(Vec::new()), &manifest).unwrap();
    for log in logs {
        let name = LOGS[log.at];
        let anchor = logs[0].checkpoint.size - 1;
        let anchor_too = (log.at == 0 && wish.anchored).then_some(anchor);
        writer.checkpoint(name, &log.note.to_bytes()).unwrap();
        for tile in log.needed(chosen[log.at].iter().copied().chain(anchor_too)) {
            writer.tile(name, tile, &log.tiles[&tile]).unwrap();
        }
        if log.at == 1 && wish.anchored {
            writer.anchor(name, anchor, &logs[0].leaves[usize::try_from(anchor).unwrap()]).unwrap();
        }
        writer.leaves(name).unwrap();
        for index in &chosen[log.at] {
            writer.leaf(*index, &log.leaves[usize::try_from(*index).unwrap()]).unwrap();
        }
    }
    for index in opened {
        writer.payload(&event_id(REQUEST, index + 1), "request", &text(index + 1), &COMMIT_KEY).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
