//! What witnesses show by themselves, and what becomes of receipts.

use std::collections::BTreeMap;
use std::io::Cursor;

use haris_merkle::{Checkpoint, KeyKind, Signer, Submission, Tile, VerifierKey, tree};

use super::sample::{
    Key, Log, ORIGINS, REQUEST, SEALED_AT, Wish, bundle, event_id, evidence, evidence_alone, key, leaf, small, traffic,
    trust,
};
use crate::bundle::Scope;
use crate::report::{OPERATOR_ONLY, Report};
use crate::trust::Trust;
use crate::verify::receipt::receipt_for;
use crate::verify::{Kept, Outside, Shown, verify, verify_receipt, verify_with};

fn witness() -> Key {
    key("witness.example/w1", KeyKind::CosignatureEd25519, 40)
}

fn with_witness(mut trust: Trust) -> Trust {
    trust.keys.push(witness().key().clone());
    trust
}

/// What a witness would show, and tiles from somewhere.
#[derive(Default)]
struct Given {
    shown: BTreeMap<&'static str, Vec<u8>>,
    tiles: BTreeMap<String, Vec<u8>>,
}

impl Outside for Given {
    fn newest(&self, origin: &str, _: u64) -> Vec<Shown> {
        vec![Shown { from: "w1".to_owned(), answer: Ok(self.shown.get(origin).cloned()) }]
    }

    fn tile(&self, log: &str, tile: Tile) -> Option<Vec<u8>> {
        self.tiles.get(&format!("{log}/{tile}")).cloned()
    }
}

fn cosigned(log: &Log) -> Vec<u8> {
    let mut log = log.clone();
    log.cosign(&witness(), SEALED_AT + 9);
    log.note.to_bytes()
}

/// The same with the proof that it continues the tree of `old` entries.
fn proven(log: &Log, old: u64) -> Vec<u8> {
    let (checkpoint, note) = Checkpoint::parse(&cosigned(log)).unwrap();
    let path = tree::consistency(&log.shelf(), old, checkpoint.size).unwrap();
    Submission { old, path, checkpoint, note }.to_bytes()
}

fn check(bytes: &[u8], outside: &Given) -> Report {
    verify_with(Cursor::new(bytes), &with_witness(trust()), outside, &mut ()).unwrap()
}

/// A log that goes on where `evidence(count)` ends.
fn longer(log: &Log, more: u64) -> Log {
    let mut leaves = log.leaves.clone();
    let n = leaves.len() as u64;
    leaves.extend(
        (n + 1..=n + more).map(|n| leaf("process.heartbeat/1", n, &serde_json::json!({}), &serde_json::json!([]))),
    );
    Log::new(0, leaves)
}

#[test]
fn the_witness_binds_a_bundle_that_carries_no_cosignature() {
    let logs = small();
    let bytes = evidence_alone(&logs);
    let mut given = Given::default();
    for shown in [cosigned(&logs[0]), proven(&logs[0], 3), proven(&longer(&logs[0], 300), 3)] {
        given.shown.insert(ORIGINS[0], shown);
        let report = check(&bytes, &given);
        assert!(report.proven, "{:?}", report.problems);
        assert_eq!(report.begins, "signed by the operator and witnessed by witness.example/w1");
        assert_eq!(report.logs[0].witnessed_by.as_deref(), Some("2026-11-24T07:05:18Z"));
        assert!(report.logs[0].newest[0].prefix && report.to_text().contains("this is a prefix of it"));
    }
    // The proof is not needed where tiles are at hand, and tiles are not believed.
    let newest = longer(&logs[0], 300);
    given.shown.insert(ORIGINS[0], cosigned(&newest));
    let report = check(&bytes, &given);
    assert!(report.problems[0].contains("--tiles"), "{:?}", report.problems);
    given.tiles = newest.tiles.iter().map(|(tile, bytes)| (format!("evidence/{tile}"), bytes.clone())).collect();
    assert!(check(&bytes, &given).proven);
    let (_, some) = given.tiles.iter_mut().next().unwrap();
    some[0] ^= 1;
    let report = check(&bytes, &given);
    assert!(report.problems[0].contains("do not give the root"), "{:?}", report.problems);
}

#[test]
fn another_history_is_a_fork_and_an_older_one_no_witness() {
    let logs = small();
    let bytes = evidence_alone(&logs);
    let other = Log::new(
        0,
        (1..=3).map(|n| leaf("process.heartbeat/1", n, &serde_json::json!({}), &serde_json::json!([]))).collect(),
    );
    let mut given = Given::default();
    given.shown.insert(ORIGINS[0], cosigned(&other));
    let report = check(&bytes, &given);
    assert!(!report.proven && report.problems[0].contains("FORK"), "{:?}", report.problems);

    let other = longer(&other, 9);
    given.shown.insert(ORIGINS[0], proven(&other, 3));
    given.tiles = other.tiles.iter().map(|(tile, bytes)| (format!("evidence/{tile}"), bytes.clone())).collect();
    let report = check(&bytes, &given);
    assert!(!report.proven && report.problems[0].contains("FORK"), "{:?}", report.problems);

    // The witness is behind: the operator has sealed since, and nobody has seen that.
    let given = Given {
        shown: [(ORIGINS[0], cosigned(&Log::new(0, logs[0].leaves[..2].to_vec())))].into(),
        ..Given::default()
    };
    let report = check(&bytes, &given);
    assert!(report.problems[0].contains("knows 2 entries only"), "{:?}", report.problems);
    // Behind, and of another history: that shows too, as a range has all its tiles.
    let given =
        Given { shown: [(ORIGINS[0], cosigned(&Log::new(0, other.leaves[..2].to_vec())))].into(), ..Given::default() };
    let report = check(&bytes, &given);
    assert!(report.problems[0].contains("FORK"), "{:?}", report.problems);
}

#[test]
fn what_a_witness_shows_must_be_signed_by_it_and_by_the_log() {
    let logs = small();
    let bytes = evidence_alone(&logs);
    let plain = logs[0].note.to_bytes();
    let mut forged = logs[0].clone();
    forged.note = forged.note.with_signatures(Vec::new());
    forged.cosign(&witness(), SEALED_AT + 9);
    for (shown, why) in [
        (plain, "no key of a witness"),
        (forged.note.to_bytes(), "carries no Ed25519 signature"),
        (b"hello".to_vec(), "a note is"),
        (cosigned(&logs[1]), "shows a checkpoint of"),
    ] {
        let given = Given { shown: [(ORIGINS[0], shown)].into(), ..Given::default() };
        let report = check(&bytes, &given);
        assert!(!report.proven && report.problems[0].contains(why), "{why}: {:?}", report.problems);
        assert_eq!(report.begins, OPERATOR_ONLY);
    }
    let report = check(&bytes, &Given::default());
    assert!(report.problems[0].contains("knows nothing of the evidence log"), "{:?}", report.problems);
    // Of the traffic log it need not know: the evidence log stands for it.
    let given = Given { shown: [(ORIGINS[0], cosigned(&logs[0]))].into(), ..Given::default() };
    let report = check(&bundle(&logs, &Wish::all(&logs)), &given);
    assert!(report.proven && report.notices[0].contains("stands for it"), "{:?}", report.problems);
    assert_eq!(report.logs[1].witnessed_by, report.logs[0].witnessed_by);
    // What the witness shows by itself makes up the quorum as well.
    let keys: Vec<String> = trust().keys.iter().map(|key| format!("log {key}\n")).collect();
    let policy = format!("{}witness w1 {}\nquorum w1\n", keys.concat(), witness().key());
    let policy = Some(haris_merkle::Policy::parse(policy.as_bytes()).unwrap());
    let bytes = bundle(&logs, &Wish::all(&logs));
    let with_policy = Trust { keys: Vec::new(), policy };
    assert!(!verify(Cursor::new(&bytes), &with_policy, &mut ()).unwrap().proven);
    assert!(verify_with(Cursor::new(&bytes), &with_policy, &given, &mut ()).unwrap().proven);
}

fn receipt_key() -> Key {
    key("haris.invalid/0123456789abcdef/receipt", KeyKind::Ed25519, 50)
}

fn judged(receipt: &str, bundle: Option<&[u8]>, keys: &[VerifierKey]) -> Report {
    let trust = Trust { keys: keys.to_vec(), policy: None };
    let mut kept = Kept::of(receipt.as_bytes());
    let evidence = bundle.map(|bytes| verify(Cursor::new(bytes), &trust, &mut kept).unwrap());
    verify_receipt(receipt.as_bytes(), &trust, evidence.map(|report| (report, &kept)))
}

#[test]
fn a_receipt_is_kept_broken_or_open() {
    let born = 1_795_500_000_000_000 + 2_000_000;
    let all = traffic(300);
    let logs = [evidence(3, &all), all];
    let whole = bundle(&logs, &Wish { opened: false, ..Wish::all(&logs) });
    let mut keys = trust().keys;
    keys.push(receipt_key().key().clone());
    // The checkpoints are sealed an hour after the first event.
    let promise = |entry: &[u8], span: i64| {
        receipt_for(ORIGINS[1], &event_id(REQUEST, 2), entry, born, span * 1_000_000).sign(&receipt_key()).unwrap()
    };
    let report = judged(&promise(&logs[1].leaves[1], 60), Some(&whole), &keys);
    let receipt = report.receipt.clone().unwrap();
    assert_eq!(
        (report.proven, receipt.promise.as_str(), receipt.index),
        (true, "kept", Some(1)),
        "{:?}",
        report.problems
    );
    assert!(report.begins.contains(OPERATOR_ONLY) && report.to_text().contains("kept: it is entry 1"));

    // Another entry under the promised id.
    let report = judged(&promise(b"what was promised", 60), Some(&whole), &keys);
    assert_eq!((report.proven, report.receipt.unwrap().promise.as_str()), (false, "broken"));

    // It is nowhere in a complete range that was sealed after the promised time.
    let lost =
        receipt_for(ORIGINS[1], &event_id(REQUEST, 999), b"lost", born, 60_000_000).sign(&receipt_key()).unwrap();
    let report = judged(&lost, Some(&whole), &keys);
    assert_eq!(report.receipt.as_ref().unwrap().promise, "broken", "{:?}", report.problems);
    assert!(report.to_text().contains("BROKEN: entries 0 to 300 are complete"));

    // Where that is not so, nothing is shown, and why is said.
    let late =
        receipt_for(ORIGINS[1], &event_id(REQUEST, 999), b"lost", born, 86_400_000_000).sign(&receipt_key()).unwrap();
    let cut = bundle(&logs, &Wish { opened: false, ranges: [(0, 3), (5, 300)], ..Wish::all(&logs) });
    let short = bundle(&logs, &Wish { opened: false, ranges: [(0, 3), (0, 200)], ..Wish::all(&logs) });
    let chosen = bundle(
        &logs,
        &Wish { opened: false, scope: Scope::Selection, filter: vec!["verdict=block".into()], ..Wish::all(&logs) },
    );
    for (receipt, bundle, why) in [
        (&late, Some(&whole), "sealed before the promised time"),
        (&lost, Some(&cut), "starts too late"),
        (&lost, Some(&short), "not a complete range"),
        (&lost, Some(&chosen), "not a complete range"),
        (&lost, None, "--in"),
    ] {
        let report = judged(receipt, bundle.map(Vec::as_slice), &keys);
        let receipt = report.receipt.unwrap();
        assert_eq!((report.proven, receipt.promise.as_str()), (false, "not-shown"), "{why}");
        assert!(receipt.says.contains(why), "{why}: {}", receipt.says);
    }
}

#[test]
fn a_receipt_that_nobody_trusted_signed_shows_nothing() {
    let logs = small();
    let receipt = receipt_for(ORIGINS[1], &event_id(REQUEST, 2), &logs[1].leaves[1], 1_795_500_002_000_000, 60_000_000);
    let signed = receipt.sign(&receipt_key()).unwrap();
    let key = receipt_key().key().clone();
    let report = judged(&signed, None, &trust().keys);
    assert!(!report.proven && report.problems[0].contains("no key called"), "{:?}", report.problems);
    // The log's own key does not sign receipts, nor does one of another operator.
    let other = super::sample::key("haris.invalid/ffff/receipt", KeyKind::Ed25519, 51);
    let foreign = receipt.sign(&other).unwrap();
    assert!(!judged(&foreign, None, &[key.clone(), other.key().clone()]).proven);
    let good = judged(&signed, Some(&bundle(&logs, &Wish::all(&logs))), &[trust().keys, vec![key.clone()]].concat());
    assert!(good.proven, "{:?}", good.problems);
    for at in 0..signed.len() {
        let mut bytes = signed.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        if bytes == signed.as_bytes() {
            continue;
        }
        let changed = String::from_utf8(bytes).unwrap();
        assert!(
            judged(&changed, None, std::slice::from_ref(&key)).receipt.is_none_or(|one| one.signed_by.is_none()),
            "byte {at}"
        );
    }
}
