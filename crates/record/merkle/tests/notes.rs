//! Notes, checkpoints, cosignatures, proof files and policies: the specifications' own vectors first.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

use haris_merkle::key::{BadKey, BadSignature};
use haris_merkle::note::{BadNote, NOTE_BYTES_MAX, NotVerified, SIGNATURES_MAX};
use haris_merkle::{Checkpoint, KeyKind, Note, Policy, Signer, TlogProof, VerifierKey, leaf_hash, node_hash};
use proptest::prelude::*;
use support::key;

const FOO_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const FOO_NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
const AT: u64 = 1_795_503_909;
const ORIGIN: &str = "haris.invalid/0123456789abcdef/evidence";

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size, root: [7; 32], extensions: Vec::new() }
}

#[test]
fn the_example_of_signed_note_verifies() {
    let foo: VerifierKey = FOO_KEY.parse().unwrap();
    assert_eq!(foo.id(), [0x53, 0x0d, 0x90, 0x3a]);
    assert_eq!(foo.to_string(), FOO_KEY);
    let note = Note::parse(FOO_NOTE.as_bytes()).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.verify(std::slice::from_ref(&foo)).unwrap()[0].key, &foo);
    assert_eq!(note.to_bytes(), FOO_NOTE.as_bytes());
}

/// The example of golang.org/x/mod/sumdb/note, with two signers of whom one is unknown to us.
#[test]
fn the_example_of_go_verifies() {
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let peter =
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let enoch =
        "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";
    let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let note = Note::parse(format!("{text}\n{enoch}{peter}").as_bytes()).unwrap();
    assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap().len(), 1);
    let unsigned = Note::parse(format!("{text}\n{enoch}").as_bytes()).unwrap();
    let NotVerified::NoKnownKey { signers } = unsigned.verify(&[key]).unwrap_err() else { panic!("another error") };
    assert_eq!(signers, ["`EnochRoot+af0cfe78`"]);
}

#[test]
fn every_flipped_bit_of_a_note_is_noticed() {
    let foo: VerifierKey = FOO_KEY.parse().unwrap();
    for (at, bit) in (0..FOO_NOTE.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut bytes = FOO_NOTE.as_bytes().to_vec();
        bytes[at] ^= 1 << bit;
        let accepted = Note::parse(&bytes).is_ok_and(|note| note.verify(std::slice::from_ref(&foo)).is_ok());
        assert!(!accepted, "bit {bit} of byte {at}");
    }
}

#[test]
fn notes_that_are_none() {
    let check = |bytes: &[u8], error: BadNote| assert_eq!(Note::parse(bytes), Err(error));
    let line = "— a AAAAAAA=\n";
    check(b"", BadNote::Form);
    check(b"text\n", BadNote::Form);
    check(b"text\n\n", BadNote::Form);
    check(b"text\n\n\n", BadNote::Form);
    check(format!("text\n\n{}", line.trim_end()).as_bytes(), BadNote::Form);
    check(format!("te\txt\n\n{line}").as_bytes(), BadNote::Characters);
    check(format!("text\r\n\n{line}").as_bytes(), BadNote::Characters);
    check(b"\xff\n\n", BadNote::Characters);
    check(format!("text\n\n{line}- a AAAAAAA=\n").as_bytes(), BadNote::Line { line: 2 });
    for bad in [
        "— a  AAAAAAA=",
        "— a+b AAAAAAA=",
        "—  AAAAAAA=",
        "— a AAAAAA==",
        "— a AAAAAAA",
        "— a AAAAAAB=",
        "— a\u{a0}b AAAAAAA=",
    ] {
        check(format!("text\n\n{bad}\n").as_bytes(), BadNote::Line { line: 1 });
    }
    check(format!("text\n\n{}", line.repeat(SIGNATURES_MAX + 1)).as_bytes(), BadNote::TooMany);
    check(&vec![b'a'; NOTE_BYTES_MAX + 1], BadNote::TooLong { bytes: NOTE_BYTES_MAX + 1 });
    assert_eq!(Note::parse(format!("a\n\nb\n\n{line}").as_bytes()).unwrap().text(), "a\n\nb\n");
}

#[test]
fn keys_that_are_none() {
    let check = |text: &str, error: BadKey| assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
    check("", BadKey::Form);
    check("example.com/foo", BadKey::Form);
    check("example.com/foo+530d903a+", BadKey::Form);
    check("example.com/foo+530d903a+@@@@", BadKey::Form);
    check("example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", BadKey::Id);
    check("example.com/fox+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", BadKey::Id);
    check("+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", BadKey::Name);
    check("a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", BadKey::Name);
    check("a+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", BadKey::Kind { byte: 2 });
    check("a+530d903a+AekyeRrm", BadKey::Length { kind: KeyKind::Ed25519, actual_bytes: 5 });
    check(&"a".repeat(10_000), BadKey::Form);
}

#[test]
fn a_checkpoint_is_signed_and_believed_under_all_three_types() {
    let kinds = [(KeyKind::Ed25519, "01"), (KeyKind::CosignatureEd25519, "04"), (KeyKind::CosignatureMlDsa44, "06")];
    for (kind, byte) in kinds {
        let signer = key(ORIGIN, kind, 1);
        let note = checkpoint(5).sign(&[&signer], AT).unwrap();
        let (read, note) = Checkpoint::parse(&note.to_bytes()).unwrap();
        assert_eq!(read, checkpoint(5));
        let verified = note.verify(std::slice::from_ref(signer.key())).unwrap();
        assert_eq!(verified[0].at, kind.is_timestamped().then_some(AT), "{byte}");
        assert_eq!(format!("{:02x}", kind.byte()), byte);
        let again: VerifierKey = signer.key().to_string().parse().unwrap();
        assert_eq!(&again, signer.key());
        // Another size, another root, another time: no longer what was signed.
        let blob = &note.signatures()[0].blob;
        for other in [
            checkpoint(6),
            Checkpoint { root: [8; 32], ..checkpoint(5) },
            Checkpoint { origin: "x".into(), ..checkpoint(5) },
        ] {
            assert!(signer.key().verify(&other.to_string(), blob).is_err());
        }
        for at in 0..blob.len() {
            let mut flipped = blob.clone();
            flipped[at] ^= 0x80;
            assert!(signer.key().verify(note.text(), &flipped).is_err(), "byte {at} of type {byte}");
        }
        assert!(signer.key().verify(note.text(), &blob[1..]).is_err());
        assert!(signer.key().verify(note.text(), &[]).is_err());
    }
}

/// The signed bytes of the two cosignature types, spelled out: an independent reader starts from these.
#[test]
fn cosignatures_cover_the_bytes_of_the_specification() {
    let text = checkpoint(5).to_string();
    let ed = key("witness.example/w1", KeyKind::CosignatureEd25519, 1);
    assert_eq!(ed.key().signed_bytes(&text, 9).unwrap(), format!("cosignature/v1\ntime 9\n{text}").into_bytes());
    let ml = key("w1", KeyKind::CosignatureMlDsa44, 1);
    let mut expected = b"subtree/v1\n\0\x02w1".to_vec();
    expected.extend([0, 0, 0, 0, 0, 0, 0, 9]);
    expected.push(39);
    expected.extend(ORIGIN.as_bytes());
    expected.extend([0; 8]);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 5]);
    expected.extend([7; 32]);
    assert_eq!(ml.key().signed_bytes(&text, 9).unwrap(), expected);
    let not = BadSignature::NotCheckpoint { name: "w1".into() };
    assert_eq!(ml.key().signed_bytes("no checkpoint\n", 9), Err(not));
    assert!(ml.key().signed_bytes(&text, u64::MAX).is_err());
}

#[test]
fn a_wrong_signature_under_a_known_key_rejects_the_note() {
    let (log, ml) = (key(ORIGIN, KeyKind::Ed25519, 1), key(ORIGIN, KeyKind::CosignatureMlDsa44, 2));
    let keys = [log.key().clone(), ml.key().clone()];
    let good = checkpoint(5).sign(&[&log, &ml], AT).unwrap();
    assert_eq!(good.verify(&keys).unwrap().len(), 2);
    let mut forged = checkpoint(5).sign(&[&log], AT).unwrap();
    let mut line = good.signatures()[1].clone();
    line.blob[100] ^= 1;
    forged.push(line);
    let wrong = BadSignature::Wrong { name: ORIGIN.to_owned(), kind: KeyKind::CosignatureMlDsa44 };
    assert_eq!(forged.verify(&keys), Err(NotVerified::Signature(wrong)));
    // Who doesn't know that key cannot tell, and believes the other.
    assert_eq!(forged.verify(&keys[..1]).unwrap().len(), 1);
}

#[test]
fn checkpoints_that_are_none() {
    let root = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    assert_eq!(Checkpoint::parse_text(&format!("o\n5\n{root}\n")).unwrap().size, 5);
    assert_eq!(Checkpoint::parse_text(&format!("o\n5\n{root}\nmore\n")).unwrap().extensions, ["more"]);
    for bad in [
        String::new(),
        "o\n5\n".to_owned(),
        format!("o\n5\n{root}"),
        format!("\n5\n{root}\n"),
        format!("o\n05\n{root}\n"),
        format!("o\n-5\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n5\n{}\n", &root[4..]),
        format!("o\n5\n{}\n", root.trim_end_matches('=')),
        format!("o\n5\n{root}\n\n"),
        format!("o\n5\n{root}\n\nmore\n"),
    ] {
        assert!(Checkpoint::parse_text(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_proof_file_round_trips_and_proves() {
    let leaves = [leaf_hash(b"a"), leaf_hash(b"b")];
    let log = key(ORIGIN, KeyKind::Ed25519, 1);
    let checkpoint = Checkpoint { size: 2, root: node_hash(&leaves[0], &leaves[1]), ..checkpoint(0) };
    let note = checkpoint.sign(&[&log], AT).unwrap();
    for extra in [None, Some(b"b".to_vec()), Some(Vec::new())] {
        let proof =
            TlogProof { extra, index: 1, path: vec![leaves[0]], checkpoint: checkpoint.clone(), note: note.clone() };
        let read = TlogProof::parse(&proof.to_bytes()).unwrap();
        assert_eq!(read, proof);
        read.verify_entry(&leaves[1]).unwrap();
        assert!(read.verify_entry(&leaves[0]).is_err());
    }
}

/// The shape of the specification's example; its elided signatures are replaced by a short one.
#[test]
fn the_example_of_tlog_proof_is_read() {
    let example = "c2sp.org/tlog-proof@v1\nextra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ\nindex 73894\ngSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\nB95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n\nexample.com/fancylog\n109482\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n— example.com/fancylog hI2DJwAA\n";
    let proof = TlogProof::parse(example.as_bytes()).unwrap();
    assert_eq!((proof.index, proof.path.len(), proof.checkpoint.size), (73_894, 2, 109_482));
    for (from, to) in [
        ("c2sp.org/tlog-proof@v1\n", ""),
        ("@v1", "@v2"),
        ("index 73894\n", ""),
        ("index 7", "index 07"),
        ("\ngSKy", "\n\ngSKy"),
        ("index", "Index"),
        ("gSKy", "gSK"),
        ("extra ", "extra  "),
        ("109482", "0109482"),
    ] {
        assert!(TlogProof::parse(example.replacen(from, to, 1).as_bytes()).is_err(), "{from:?} to {to:?}");
    }
    let long = example.replace(
        "index 73894\n",
        &format!("index 73894\n{}", "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n".repeat(64)),
    );
    assert!(TlogProof::parse(long.as_bytes()).is_err());
}

/// The specification's example policy: two of three X, any of three Y.
#[test]
fn a_policy_counts_its_witnesses() {
    let witness = |seed: u8| key(&format!("w{seed}"), KeyKind::CosignatureEd25519, seed).key().clone();
    let log = key(ORIGIN, KeyKind::Ed25519, 100);
    let mut text = format!("# a comment\n\nlog {} https://log.example/\n", log.key());
    for seed in 1..=6_u8 {
        let name = if seed <= 3 { format!("X{seed}") } else { format!("Y{}", seed - 3) };
        text.push_str(&format!(" \twitness  {name} {}\t\n", witness(seed)));
    }
    text.push_str("group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n");
    let policy = Policy::parse(text.as_bytes()).unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 6));
    let quorum = |times: [Option<u64>; 6]| policy.quorum(|key| times[usize::from(key.name().as_bytes()[1] - b'1')]);
    assert_eq!(quorum([None; 6]), None);
    assert_eq!(quorum([Some(5), Some(9), Some(7), None, None, None]), None);
    assert_eq!(quorum([Some(5), Some(9), None, None, Some(3), None]), Some(Some(9)));
    assert_eq!(quorum([Some(5), Some(9), Some(7), Some(20), Some(10), None]), Some(Some(10)));
    let none = Policy::parse(format!("log {}\nquorum none\n", log.key()).as_bytes()).unwrap();
    assert_eq!(none.quorum(|_| None), Some(None));
    assert!(!none.asks_for_witnesses());
}

#[test]
fn policies_that_are_none_name_the_line() {
    let w = key("w", KeyKind::CosignatureEd25519, 1).key().to_string();
    let v = key("v", KeyKind::CosignatureEd25519, 2).key().to_string();
    let same = key("other-name", KeyKind::CosignatureEd25519, 1).key().to_string();
    let log = key("l", KeyKind::Ed25519, 3).key().to_string();
    let check = |text: String, line: usize| {
        let error = Policy::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
    };
    check(String::new(), 0);
    check(format!("witness a {w}\n"), 0);
    check(format!("witness a {w}\nquorum b\n"), 2);
    check(format!("quorum a\nwitness a {w}\n"), 1);
    check(format!("witness a {w}\nquorum a\nquorum a\n"), 3);
    check(format!("witness a {w}\nwitness a {v}\nquorum a\n"), 2);
    check(format!("witness a {w}\nwitness b {same}\nquorum a\n"), 2);
    check(format!("witness none {w}\nquorum none\n"), 1);
    check(format!("witness a {log}\nquorum a\n"), 1);
    check(format!("log {w}\nquorum none\n"), 1);
    check("log nonsense\nquorum none\n".to_owned(), 1);
    check(format!("witness a {w}\ngroup g 2 a\nquorum g\n"), 2);
    check(format!("witness a {w}\ngroup g 0 a\nquorum g\n"), 2);
    check(format!("witness a {w}\ngroup g any\nquorum g\n"), 2);
    check(format!("witness a {w}\ngroup g any a a\nquorum g\n"), 2);
    check(format!("witness a {w}\ngroup g any a\ngroup h any a g\nquorum h\n"), 3);
    check(format!("witness a {w}\ngroup g any g\nquorum g\n"), 2);
    check(format!("witness a {w}\ngroup g any none\nquorum g\n"), 2);
    check(format!("witness a {w}\nquorum a b\n"), 2);
    check("frobnicate\n".to_owned(), 1);
    check("quorum none\r\n".to_owned(), 1);
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "(\\PC|\n|— |\n\n|index |extra |\\+){0,40}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            if let Ok(note) = Note::parse(bytes) {
                prop_assert_eq!(note.to_bytes(), bytes);
            }
            let _ = Checkpoint::parse(bytes);
            let _ = Policy::parse(bytes);
            let proof = [b"c2sp.org/tlog-proof@v1\n", bytes].concat();
            let _ = TlogProof::parse(&proof);
        }
        let _ = Checkpoint::parse_text(&text);
        let _ = text.parse::<VerifierKey>();
    }

    #[test]
    fn checkpoints_round_trip(origin in "[a-z./]{1,20}", size in any::<u64>(), root in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint { origin, size, root, extensions: Vec::new() };
        prop_assert_eq!(Checkpoint::parse_text(&checkpoint.to_string()), Ok(checkpoint));
    }
}
