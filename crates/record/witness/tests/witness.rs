//! The tlog-witness protocol, clause by clause, and what a crash or a full disk must not change.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use haris_keys::{KeyDir, witness_signers};
use haris_merkle::note::{Note, signatures};
use haris_merkle::{
    Checkpoint, Frontier, Hash, ReadTiles, Signer, Submission, Tile, VerifierKey, empty_root, leaf_hash, tree,
    verify_consistency,
};
use haris_witness::{Answer, OpenError, Watched, Why, Witness};

const NOW: u64 = 1_795_503_909;
const ORIGIN: &str = "haris.invalid/0123456789abcdef/evidence";

#[derive(Default)]
struct Shelf(BTreeMap<Tile, Vec<u8>>);

impl ReadTiles for Shelf {
    type Error = Infallible;
    fn read(&self, tile: Tile) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(&tile).cloned())
    }
}

/// A log of one operator, and the histories it could have.
struct Log {
    signers: Vec<Box<dyn Signer + Send + Sync>>,
    size: u64,
    shelf: Shelf,
}

impl Log {
    fn new(keys: &Path, size: u64, history: &str) -> Self {
        let dir = KeyDir::open_or_create(keys).unwrap();
        let signers = dir.log_signers(haris_log(), ORIGIN).unwrap();
        let (mut shelf, mut frontier) = (Shelf::default(), Frontier::new());
        for n in 0..size {
            let leaf = leaf_hash(format!("{history} {n}").as_bytes());
            frontier.push(leaf, |tile, bytes| drop(shelf.0.insert(tile, bytes)));
        }
        shelf.0.extend(frontier.partials());
        Self { signers, size, shelf }
    }

    fn vkeys(&self) -> Vec<VerifierKey> {
        self.signers.iter().map(|signer| signer.key().clone()).collect()
    }

    fn root(&self, size: u64) -> Hash {
        tree::root_at(&self.shelf, size, self.size).unwrap()
    }

    fn note(&self, size: u64) -> Note {
        let signers: Vec<&dyn Signer> = self.signers.iter().map(|signer| &**signer as &dyn Signer).collect();
        checkpoint(size, self.root(size)).sign(&signers, NOW).unwrap()
    }

    fn submission(&self, old: u64, size: u64) -> Vec<u8> {
        // The tiles are those of the whole tree; the proof between two of its sizes needs a tree of the newer one.
        let cut = Self::new_at(&self.shelf, self.size, size);
        let path = tree::consistency(&cut, old.min(size), size).unwrap();
        let checkpoint = checkpoint(size, self.root(size));
        Submission { old, path, checkpoint, note: self.note(size) }.to_bytes()
    }

    fn new_at(shelf: &Shelf, whole: u64, size: u64) -> Shelf {
        let (mut cut, mut frontier) = (Shelf::default(), Frontier::new());
        for n in 0..size {
            let leaf = tree::leaf(shelf, n, whole).unwrap();
            frontier.push(leaf, |tile, bytes| drop(cut.0.insert(tile, bytes)));
        }
        cut.0.extend(frontier.partials());
        cut
    }
}

fn haris_log() -> haris_domain::Log {
    haris_domain::Log::Evidence
}

fn checkpoint(size: u64, root: Hash) -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size, root, extensions: Vec::new() }
}

struct Bench {
    dir: tempfile::TempDir,
    log: Log,
    witness: Witness,
}

fn bench(size: u64) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(&dir.path().join("log-keys"), size, "true");
    let witness = open(dir.path(), &log).unwrap();
    Bench { dir, log, witness }
}

fn open(dir: &Path, log: &Log) -> Result<Witness, OpenError> {
    let signers = witness_signers(&dir.join("witness-keys"), "witness.example/w1", true).unwrap();
    Witness::open(&dir.join("witness"), signers, vec![Watched { keys: log.vkeys() }])
}

fn cosigned(answer: Answer) -> String {
    match answer {
        Answer::Cosigned(lines) => lines,
        other => panic!("not cosigned: {other:?}"),
    }
}

fn path() -> String {
    hex::encode(haris_merkle::hash::sha256(ORIGIN.as_bytes()))
}

#[test]
fn what_continues_is_cosigned_by_both_keys_and_served() {
    let Bench { log, witness, dir } = bench(700);
    let own: Vec<VerifierKey> = witness.verifier_keys().cloned().collect();
    for (old, size, at) in [(0, 0, 1), (0, 5, 2), (5, 5, 3), (5, 256, 4), (256, 700, 5)] {
        let lines = cosigned(witness.add_checkpoint(&log.submission(old, size), NOW + at));
        let note = log.note(size).with_signatures(signatures(&lines).unwrap());
        let verified = note.verify(&own).unwrap();
        assert_eq!(verified.iter().map(|one| one.at).collect::<Vec<_>>(), [Some(NOW + at); 2]);
        let served = witness.checkpoint(&path()).unwrap();
        let (served, note) = Checkpoint::parse(&served).unwrap();
        assert_eq!((served.size, note.verify(&log.vkeys()).unwrap().len()), (size, 2));
        assert_eq!(note.verify(&own).unwrap().len(), 2);
    }
    assert_eq!(witness.checkpoint("00"), None);
    drop(witness);
    let again = open(dir.path(), &log).unwrap();
    assert_eq!(again.logs()[0].size, 700);
    assert_eq!(again.add_checkpoint(&log.submission(0, 700), NOW), Answer::Conflict(700));
}

#[test]
fn each_refusal_has_its_status() {
    let Bench { dir, log, witness } = bench(300);
    let _ = cosigned(witness.add_checkpoint(&log.submission(0, 100), NOW));

    assert!(matches!(witness.add_checkpoint(b"old 1\n", NOW), Answer::Malformed(_)));
    let Answer::Malformed(why) = witness.add_checkpoint(&log.submission(200, 150), NOW) else { panic!() };
    assert!(why.contains("beyond"), "{why}");

    let stranger = Log::new(&dir.path().join("stranger-keys"), 10, "true");
    assert!(matches!(witness.add_checkpoint(&stranger.submission(0, 10), NOW), Answer::NotSigned(_)));
    let mut half = log.note(100);
    half = half.with_signatures(half.signatures()[..1].to_vec());
    let body = Submission { old: 100, path: Vec::new(), checkpoint: checkpoint(100, log.root(100)), note: half };
    let Answer::NotSigned(why) = witness.add_checkpoint(&body.to_bytes(), NOW) else { panic!() };
    assert!(why.contains("ML-DSA-44"), "whoever forges the older type must not leave out the newer: {why}");

    let other = String::from_utf8(log.submission(100, 100)).unwrap().replace("/evidence\n100\n", "/other\n100\n");
    assert_eq!(witness.add_checkpoint(other.as_bytes(), NOW), Answer::UnknownLog);

    assert_eq!(witness.add_checkpoint(&log.submission(50, 300), NOW), Answer::Conflict(100));
    let mut lacking = Submission::parse(&log.submission(100, 300)).unwrap();
    lacking.path.pop();
    assert!(matches!(witness.add_checkpoint(&lacking.to_bytes(), NOW), Answer::NotProven(_)));
    let mut too_much = Submission::parse(&log.submission(100, 100)).unwrap();
    too_much.path.push([0; 32]);
    assert!(matches!(witness.add_checkpoint(&too_much.to_bytes(), NOW), Answer::NotProven(_)));
    assert_eq!(witness.logs()[0].size, 100, "nothing of that was remembered");
    let _ = cosigned(witness.add_checkpoint(&log.submission(100, 300), NOW));
}

#[test]
fn a_wrong_empty_root_is_refused() {
    let Bench { log, witness, dir: _dir } = bench(1);
    let signers: Vec<&dyn Signer> = log.signers.iter().map(|signer| &**signer as &dyn Signer).collect();
    for (root, good) in [([7; 32], false), (empty_root(), true)] {
        let checkpoint = checkpoint(0, root);
        let note = checkpoint.sign(&signers, NOW).unwrap();
        let answer = witness.add_checkpoint(&Submission { old: 0, path: Vec::new(), checkpoint, note }.to_bytes(), NOW);
        assert_eq!(matches!(answer, Answer::Cosigned(_)), good, "{answer:?}");
        assert!(good || matches!(answer, Answer::NotProven(_)));
    }
}

#[test]
fn a_fork_and_a_rollback_are_refused_kept_and_shown() {
    let Bench { dir, log, witness } = bench(300);
    let _ = cosigned(witness.add_checkpoint(&log.submission(0, 200), NOW));
    let fork = Log::new(&dir.path().join("log-keys"), 400, "forged");

    assert!(matches!(witness.add_checkpoint(&fork.submission(200, 200), NOW + 1), Answer::NotProven(_)));
    assert_eq!(witness.add_checkpoint(&log.submission(0, 150), NOW + 2), Answer::Conflict(200));
    assert!(matches!(witness.add_checkpoint(&log.submission(200, 120), NOW + 3), Answer::Malformed(_)));
    assert!(matches!(witness.add_checkpoint(&fork.submission(200, 400), NOW + 4), Answer::NotProven(_)));
    // The same ones again are not kept twice; what did not come from the log is not kept at all.
    let _ = witness.add_checkpoint(&fork.submission(200, 200), NOW + 5);
    let stranger = Log::new(&dir.path().join("stranger-keys"), 10, "true");
    let _ = witness.add_checkpoint(&stranger.submission(0, 10), NOW);

    let expected = [(Why::Fork, 200, 1), (Why::Behind, 150, 2), (Why::Behind, 120, 3), (Why::NotProven, 400, 4)];
    let shown = |witness: &Witness| -> Vec<_> {
        witness.logs()[0].refused.iter().map(|one| (one.why, one.size, one.at - NOW)).collect()
    };
    assert_eq!(shown(&witness), expected);
    for refused in &witness.logs()[0].refused {
        let note = Note::parse(refused.note.as_bytes()).unwrap();
        assert_eq!(note.verify(&log.vkeys()).unwrap().len(), 2, "the log's own signature convicts it");
    }
    drop(witness);
    let witness = open(dir.path(), &log).unwrap();
    assert_eq!(shown(&witness), expected, "after a restart too");
    let _ = cosigned(witness.add_checkpoint(&log.submission(200, 300), NOW + 9));
}

#[test]
fn a_crash_at_any_moment_loses_no_promise_and_makes_no_second_one() {
    let Bench { dir, log, witness } = bench(300);
    let _ = cosigned(witness.add_checkpoint(&log.submission(0, 100), NOW));
    let folder = dir.path().join("witness/logs").join(path());
    let before = std::fs::read(folder.join("checkpoint")).unwrap();
    // The answer to this one never reaches the log.
    let _ = witness.add_checkpoint(&log.submission(100, 200), NOW + 1);
    drop(witness);
    let witness = open(dir.path(), &log).unwrap();
    assert_eq!(witness.add_checkpoint(&log.submission(100, 200), NOW + 2), Answer::Conflict(200));
    let _ = cosigned(witness.add_checkpoint(&log.submission(200, 200), NOW + 3));
    drop(witness);

    // Stopped while the new file was being written: the old one counts, the answer had not been given.
    let after = std::fs::read(folder.join("checkpoint")).unwrap();
    for cut in [0, 1, after.len() / 2, after.len()] {
        std::fs::write(folder.join("checkpoint"), &before).unwrap();
        std::fs::write(folder.join("checkpoint.new"), &after[..cut]).unwrap();
        let witness = open(dir.path(), &log).unwrap();
        assert_eq!(witness.logs()[0].size, 100);
        let _ = cosigned(witness.add_checkpoint(&log.submission(100, 200), NOW + 4));
    }
    // A refusal and a step whose last line was cut.
    std::fs::write(folder.join("refused.jsonl"), b"{\"at\":1,\"why\":\"fo").unwrap();
    std::fs::write(folder.join("steps"), b"1 2 AAA").unwrap();
    assert!(open(dir.path(), &log).unwrap().logs()[0].refused.is_empty());
}

#[test]
fn what_cannot_be_remembered_is_not_cosigned() {
    let Bench { dir, log, witness } = bench(300);
    let _ = cosigned(witness.add_checkpoint(&log.submission(0, 100), NOW));
    let folder = dir.path().join("witness/logs").join(path());
    // A folder where the new file should go: writing fails, for root as well.
    std::fs::create_dir(folder.join("checkpoint.new")).unwrap();
    let answer = witness.add_checkpoint(&log.submission(100, 200), NOW);
    assert!(matches!(answer, Answer::Failed(_)), "{answer:?}");
    std::fs::remove_dir(folder.join("checkpoint.new")).unwrap();
    let _ = cosigned(witness.add_checkpoint(&log.submission(100, 200), NOW));
}

#[test]
fn a_damaged_memory_is_refused_and_not_forgotten() {
    let Bench { dir, log, witness } = bench(10);
    let _ = cosigned(witness.add_checkpoint(&log.submission(0, 10), NOW));
    drop(witness);
    let file = dir.path().join("witness/logs").join(path()).join("checkpoint");
    let good = std::fs::read(&file).unwrap();
    for at in (0..good.len()).step_by(17) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&file, bad).unwrap();
        // Where only the name of a second signature was hit, the others still say the same; nothing says less.
        match open(dir.path(), &log) {
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "byte {at}"),
            Ok(witness) => {
                assert_eq!(witness.checkpoint(&path()).map(|_| witness.logs()[0].size), Some(10), "byte {at}")
            }
        }
    }
    std::fs::write(&file, good).unwrap();
    let first = open(dir.path(), &log).unwrap();
    assert!(matches!(open(dir.path(), &log).err().unwrap(), OpenError::InUse { .. }));
    assert_eq!(first.logs()[0].size, 10);
}

#[test]
fn of_many_at_once_each_size_is_cosigned_with_one_root() {
    let Bench { log, witness, dir } = bench(120);
    let fork = Log::new(&dir.path().join("log-keys"), 120, "forged");
    let witness = Arc::new(witness);
    let bodies: Vec<Vec<u8>> =
        [&log, &fork].iter().flat_map(|log| (1..=60).map(|n| log.submission(0, n * 2))).collect();
    std::thread::scope(|scope| {
        for part in bodies.chunks(20) {
            let witness = Arc::clone(&witness);
            scope.spawn(move || part.iter().for_each(|body| drop(witness.add_checkpoint(body, NOW))));
        }
    });
    // Exactly one first came through; all others were too late.
    let face = &witness.logs()[0];
    let (checkpoint, _) = Checkpoint::parse(&witness.checkpoint(&path()).unwrap()).unwrap();
    assert!([log.root(face.size), fork.root(face.size)].contains(&checkpoint.root));
}

#[test]
fn the_newest_is_shown_to_continue_each_older_one() {
    let Bench { log, witness, dir } = bench(600);
    let sizes = [0, 3, 4, 100, 256, 257, 599, 600];
    for pair in sizes.windows(2) {
        let _ = cosigned(witness.add_checkpoint(&log.submission(pair[0], pair[1]), NOW));
    }
    let check = |witness: &Witness| {
        for old in sizes {
            let body = witness.consistency(&path(), old).unwrap_or_else(|| panic!("from {old}"));
            let proof = Submission::parse(&body).unwrap();
            let root = proof.checkpoint.root;
            verify_consistency(old, &log.root(old), 600, &root, &proof.path).unwrap();
            assert!(proof.note.verify(&witness.verifier_keys().cloned().collect::<Vec<_>>()).is_ok());
        }
        assert_eq!(witness.consistency(&path(), 50), None, "a size that was never cosigned");
        assert_eq!(witness.consistency(&path(), 601), None);
        assert_eq!(witness.consistency("ff", 3), None);
    };
    check(&witness);
    drop(witness);
    check(&open(dir.path(), &log).unwrap());
}

/// A log made of other people's code: notes by `signed_note`, hashes and proofs by `tlog_tiles`.
#[test]
fn a_foreign_log_is_cosigned_and_reads_the_answer() {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    struct Stored(Vec<tlog_tiles::Hash>);
    impl tlog_tiles::HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
            Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
        }
    }

    let (origin, seed) = ("log.example/foreign", [5; 32]);
    let public = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap().public_key().as_ref().to_vec();
    let vkey = VerifierKey::new(origin, haris_merkle::KeyKind::Ed25519, &public).unwrap();
    let secret = STANDARD.encode([&[1], seed.as_slice()].concat());
    let skey = format!("PRIVATE+KEY+{origin}+{}+{secret}", hex::encode(vkey.id()));
    let signer = signed_note::StandardSigner::new(&skey).unwrap();

    let mut stored = Stored(Vec::new());
    let dir = tempfile::tempdir().unwrap();
    let own = witness_signers(&dir.path().join("keys"), "witness.example/w1", false).unwrap();
    let witness = Witness::open(&dir.path().join("w"), own, vec![Watched { keys: vec![vkey] }]).unwrap();
    let (mut old, mut size) = (0, 0);
    for next in [1_u64, 3, 200, 515] {
        while size < next {
            let hashes = tlog_tiles::stored_hashes(size, format!("foreign {size}").as_bytes(), &stored).unwrap();
            stored.0.extend(hashes);
            size += 1;
        }
        let root = tlog_tiles::tree_hash(size, &stored).unwrap();
        let text = format!("{origin}\n{size}\n{}\n", STANDARD.encode(root.0));
        let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        note.add_sigs(&[&signer]).unwrap();
        let path = if old == 0 { Vec::new() } else { tlog_tiles::prove_tree(size, old, &stored).unwrap() };
        let mut body = format!("old {old}\n");
        path.iter().for_each(|hash| body.push_str(&format!("{}\n", STANDARD.encode(hash.0))));
        let body = [body.as_bytes(), b"\n", &note.to_bytes()].concat();
        let lines = cosigned(witness.add_checkpoint(&body, NOW));

        let line = signed_note::Signature::from_bytes(lines.trim_end().as_bytes()).unwrap();
        assert_eq!(line.name(), "witness.example/w1");
        let served = witness.checkpoint(&hex::encode(haris_merkle::hash::sha256(origin.as_bytes()))).unwrap();
        let served = signed_note::Note::from_bytes(&served).unwrap();
        let log = signed_note::StandardVerifier::new(&format!("{}", witness_log_key(origin, &public))).unwrap();
        let (verified, unverified) = served.verify(&signed_note::VerifierList::new(vec![Box::new(log)])).unwrap();
        assert_eq!((verified.len(), unverified.len()), (1, 1));
        assert_eq!(tlog_tiles::Checkpoint::from_bytes(served.text()).unwrap().size(), size);
        old = size;
    }
}

fn witness_log_key(origin: &str, public: &[u8]) -> VerifierKey {
    VerifierKey::new(origin, haris_merkle::KeyKind::Ed25519, public).unwrap()
}
