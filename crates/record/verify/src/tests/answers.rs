//! What is said of good bundles, and of good bundles under other keys.

use std::io::Cursor;

use haris_merkle::{KeyKind, Policy, Signer, TlogProof, leaf_hash, node_hash};

use super::sample::{Log, ORIGINS, SEALED_AT, Wish, bundle, evidence, evidence_alone, key, small, traffic, trust};
use crate::bundle::Scope;
use crate::report::{OPERATOR_ONLY, Report};
use crate::trust::Trust;
use crate::verify::{verify, verify_proof};

fn check(bytes: &[u8], trust: &Trust) -> Report {
    verify(Cursor::new(bytes), trust, &mut ()).unwrap()
}

#[test]
fn a_whole_range_is_complete() {
    let logs = small();
    let bytes = bundle(&logs, &Wish::all(&logs));
    assert_eq!(bytes, bundle(&logs, &Wish::all(&logs)), "the same twice");
    let report = check(&bytes, &trust());
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.proven && report.notices.is_empty());
    assert_eq!(report.begins, OPERATOR_ONLY);
    let says: Vec<_> = report.logs.iter().map(|log| log.says.as_str()).collect();
    assert_eq!(says, ["complete: 3 of 3 entries [0, 3)", "complete: 5 of 5 entries [0, 5)"]);
    assert_eq!(report.logs[0].signed_by.len(), 2);
    assert_eq!(report.logs[0].sealed_by.as_deref(), Some("2026-11-24T07:05:09Z"));
    // The traffic log's signature bears no time; the evidence log's entry lends it one.
    assert_eq!(report.logs[1].sealed_by, report.logs[0].sealed_by);
    assert_eq!(report.logs[1].anchored_at, Some(2));
    assert_eq!(report.payloads_proven, 2);
    assert!(report.logs[0].continuity.as_ref().unwrap().is_quiet());
    let text = report.to_text();
    for words in [
        "sealed by 2026-11-24T07:05:09Z (operator's clock)",
        "not witnessed",
        "written by haris 0.1.0",
        "answer     proven",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
}

#[test]
fn ranges_across_tiles_are_complete() {
    let traffic = traffic(600);
    let logs = [evidence(300, &traffic), traffic];
    for (from, to) in [(0, 600), (0, 256), (255, 257), (200, 530), (512, 600), (599, 600), (300, 300)] {
        let wish = Wish { ranges: [(10, 20), (from, to)], ..Wish::all(&logs) };
        let report = check(&bundle(&logs, &wish), &trust());
        assert_eq!(report.problems, Vec::<String>::new(), "{from} to {to}");
        assert_eq!(report.logs[1].says, format!("complete: {0} of {0} entries [{from}, {to})", to - from));
    }
}

#[test]
fn a_selection_says_what_it_does_not_show() {
    let traffic = traffic(600);
    let logs = [evidence(3, &traffic), traffic];
    let wish = Wish { scope: Scope::Selection, filter: vec!["verdict=block".to_owned()], ..Wish::all(&logs) };
    let report = check(&bundle(&logs, &wish), &trust());
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.logs[1].says, "selection: 120 proven; nothing is shown about events left out");
    assert!(report.logs[1].continuity.is_none());
}

#[test]
fn a_filter_is_run_again_over_a_range() {
    let logs = small();
    let wish = Wish { filter: vec!["verdict=block".to_owned()], ..Wish::all(&logs) };
    let report = check(&bundle(&logs, &wish), &trust());
    assert!(report.proven);
    assert_eq!(report.logs[1].says, "complete: 5 of 5 entries [0, 5); 1 of them meet window and filter");
}

#[test]
fn a_window_is_complete_only_where_its_neighbours_lie_outside() {
    let traffic = traffic(20);
    let logs = [evidence(3, &traffic), traffic];
    // Entry i is born i + 1 seconds after the start: the window holds entries 4 to 9.
    let says = |from, to| {
        let wish = Wish { ranges: [(0, 3), (from, to)], window: Some((5, 11)), opened: false, ..Wish::all(&logs) };
        let report = check(&bundle(&logs, &wish), &trust());
        assert_eq!(report.problems, Vec::<String>::new());
        report.logs[1].says.clone()
    };
    assert_eq!(says(3, 11), "complete: 8 of 8 entries [3, 11); 6 of them meet window and filter");
    assert_eq!(says(0, 20), "complete: 20 of 20 entries [0, 20); 6 of them meet window and filter");
    for (from, to) in [(4, 11), (3, 10), (5, 9), (6, 6)] {
        assert!(says(from, to).ends_with("is not shown"), "{from} to {to}");
    }
}

#[test]
fn a_log_that_is_left_out_is_named() {
    let logs = small();
    let report = check(&bundle(&logs, &Wish::all(&logs)), &trust());
    assert!(!report.notices.iter().any(|notice| notice.contains("nothing of the")), "{:?}", report.notices);
    let report = check(&evidence_alone(&logs), &trust());
    assert!(report.proven, "{:?}", report.problems);
    assert!(report.notices.iter().any(|notice| notice.contains("nothing of the traffic log")), "{:?}", report.notices);
}

#[test]
fn the_operators_other_log_is_no_witness() {
    let mut logs = small();
    let own = key(ORIGINS[0], KeyKind::CosignatureMlDsa44, 7);
    logs[1].cosign(&own, SEALED_AT);
    let report = check(&bundle(&logs, &Wish::all(&logs)), &trust());
    assert!(report.proven, "{:?}", report.problems);
    assert!(report.logs[1].witnesses.is_empty() && report.begins == OPERATOR_ONLY, "{}", report.begins);
}

#[test]
fn keys_inside_the_bundle_are_not_enough() {
    let logs = small();
    let bytes = bundle(&logs, &Wish::all(&logs));
    let strangers =
        Trust { keys: vec![key("haris.invalid/other/evidence", KeyKind::Ed25519, 9).key().clone()], policy: None };
    for trust in [Trust::default(), strangers] {
        let report = check(&bytes, &trust);
        assert!(!report.proven);
        assert!(report.begins.starts_with("nothing is shown"), "{}", report.begins);
        assert_eq!(report.logs[0].leaves_proven, 0);
    }
    // Another key under the log's name.
    let impostor = Trust { keys: vec![key(ORIGINS[0], KeyKind::Ed25519, 99).key().clone()], policy: None };
    assert!(!check(&bytes, &impostor).proven);
}

#[test]
fn the_evidence_logs_key_vouches_for_the_anchored_traffic_log() {
    let logs = small();
    let keys: Vec<_> = trust().keys.into_iter().filter(|key| key.name() == ORIGINS[0]).collect();
    let evidence_only = Trust { keys, policy: None };
    let report = check(&bundle(&logs, &Wish::all(&logs)), &evidence_only);
    assert_eq!((report.problems.len(), report.begins.as_str()), (0, OPERATOR_ONLY), "{:?}", report.problems);
    assert!(report.logs[1].signed_by.is_empty() && report.logs[1].leaves_proven == 5);
    assert!(report.to_text().contains("the evidence log names this checkpoint"));
    let report = check(&bundle(&logs, &Wish { anchored: false, ..Wish::all(&logs) }), &evidence_only);
    assert!(
        report.problems[0].contains("no key for `haris.invalid/0123456789abcdef/traffic`"),
        "{:?}",
        report.problems
    );
    // The traffic log's key alone says nothing of the evidence log.
    let keys = trust().keys.into_iter().filter(|key| key.name() == ORIGINS[1]).collect();
    assert!(!check(&bundle(&logs, &Wish::all(&logs)), &Trust { keys, policy: None }).proven);
}

#[test]
fn a_missing_newer_signature_is_not_made_up_for_by_the_older() {
    let mut logs = small();
    let ed_only = super::sample::signers(0);
    logs[0].note = logs[0].checkpoint.sign(&[&ed_only[0]], SEALED_AT).unwrap();
    let bytes = bundle(&logs, &Wish::all(&logs));
    let report = check(&bytes, &trust());
    assert!(report.problems[0].contains("carries no ML-DSA-44"), "{:?}", report.problems);
    // Whoever brings only the Ed25519 keys gets what these can say, and no time.
    let keys = trust().keys.into_iter().filter(|key| key.kind() == KeyKind::Ed25519).collect();
    let report = check(&bytes, &Trust { keys, policy: None });
    assert!(report.proven, "{:?}", report.problems);
    assert_eq!(report.logs[0].sealed_by, None);
}

fn witnessed(times: &[(u8, u64)]) -> [Log; 2] {
    let mut logs = small();
    for (seed, at) in times {
        logs[0].cosign(&witness(*seed), *at);
    }
    logs
}

fn witness(seed: u8) -> super::sample::Key {
    key(&format!("witness.example/{seed}"), KeyKind::CosignatureEd25519, 50 + seed)
}

#[test]
fn a_witness_ends_the_window() {
    let logs = witnessed(&[(1, SEALED_AT + 10)]);
    let bytes = bundle(&logs, &Wish::all(&logs));
    let mut trust = trust();
    trust.keys.push(witness(1).key().clone());
    let report = check(&bytes, &trust);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.begins, "signed by the operator and witnessed by witness.example/1");
    for log in &report.logs {
        assert_eq!(log.witnessed_by.as_deref(), Some("2026-11-24T07:05:19Z"));
    }
    assert!(report.to_text().contains("witnessed no later than 2026-11-24T07:05:19Z"));
}

#[test]
fn the_operators_key_is_no_witness() {
    let mut logs = small();
    // The log's own Ed25519 secret under a witness's name.
    let fake = key("witness.example/independent", KeyKind::CosignatureEd25519, 1);
    logs[0].cosign(&fake, SEALED_AT);
    let mut trust = trust();
    trust.keys.push(fake.key().clone());
    let report = check(&bundle(&logs, &Wish::all(&logs)), &trust);
    assert_eq!(report.begins, OPERATOR_ONLY);
}

#[test]
fn a_policy_demands_its_quorum() {
    let policy = |k: usize| {
        let mut text = String::new();
        for log in 0..2 {
            for signer in super::sample::signers(log) {
                text.push_str(&format!("log {}\n", signer.key()));
            }
        }
        for seed in 1..=3 {
            text.push_str(&format!("witness w{seed} {}\n", witness(seed).key()));
        }
        text.push_str(&format!("group all {k} w1 w2 w3\nquorum all\n"));
        Trust { keys: Vec::new(), policy: Some(Policy::parse(text.as_bytes()).unwrap()) }
    };
    let logs = witnessed(&[(1, SEALED_AT + 5), (3, SEALED_AT + 9)]);
    let bytes = bundle(&logs, &Wish::all(&logs));
    let report = check(&bytes, &policy(2));
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.logs[1].witnessed_by.as_deref(), Some("2026-11-24T07:05:18Z"));
    let report = check(&bytes, &policy(3));
    assert!(report.problems.iter().any(|why| why.contains("quorum")), "{:?}", report.problems);
    assert_eq!(report.begins, OPERATOR_ONLY);
    assert_eq!(report.logs[0].leaves_proven, 0);
}

#[test]
fn a_single_proof_is_checked_too() {
    let logs = small();
    let hashes: Vec<_> = logs[0].leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let proof = TlogProof {
        extra: Some(logs[0].leaves[2].clone()),
        index: 2,
        path: vec![node_hash(&hashes[0], &hashes[1])],
        checkpoint: logs[0].checkpoint.clone(),
        note: logs[0].note.clone(),
    };
    let bytes = proof.to_bytes();
    let report = verify_proof(&bytes, &trust(), &mut ()).unwrap();
    assert_eq!((report.proven, report.begins.as_str()), (true, OPERATOR_ONLY), "{:?}", report.problems);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(!verify_proof(&flipped, &trust(), &mut ()).unwrap().proven, "byte {at}");
    }
    assert!(!verify_proof(&bytes, &Trust::default(), &mut ()).unwrap().proven);
}

#[test]
fn the_command_answers_with_its_status() {
    let logs = small();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bundle.zip");
    let mut bytes = bundle(&logs, &Wish::all(&logs));
    std::fs::write(&file, &bytes).unwrap();
    let key_file = dir.path().join("keys");
    std::fs::write(&key_file, format!("# keys\n{}\n\n{}\n", trust().keys[1], trust().keys[2])).unwrap();
    let run = |args: &[&str]| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut all = vec![file.to_str().unwrap().to_owned()];
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let status = crate::cli::main_with(all.iter().map(Into::into), &mut out, &mut err);
        (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let first = trust().keys[0].to_string();
    let keys = ["--key", &first, "--key", key_file.to_str().unwrap()];
    let (status, out, err) = run(&keys);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with(OPERATOR_ONLY), "{out}");
    assert!(out.contains("complete: 5 of 5"), "{out}");
    let (status, out, _) = run(&[keys.as_slice(), &["--format=json", "--events"]].concat());
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &json["schema"], &json["proven"]), (0, &"haris.verify/1".into(), &true.into()));
    assert_eq!(json["events"].as_array().unwrap().len(), 8);
    assert_eq!(json["events"][4]["payloads"][0], "request");
    assert_eq!(json["begins"], OPERATOR_ONLY);
    let last = bytes.len() / 2;
    bytes[last] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let (status, out, _) = run(&keys);
    assert_eq!(status, 1);
    assert!(out.contains("NOT PROVEN") && out.contains("problem"), "{out}");
    for bad in [
        &[][..],
        &["--key"],
        &["--key", "nonsense"],
        &["--format", "xml"],
        &["--frob"],
        &["x", "--key", &first],
        &["--policy", "/none"],
    ] {
        let (status, _, err) = run(bad);
        assert!(status == 2 && err.starts_with("haris-verify: "), "{bad:?}: {err}");
    }
    std::fs::write(&file, b"hello").unwrap();
    assert_eq!(run(&keys).0, 2);
    assert_eq!(run(&["--help"]).0, 0);
}
