//! A bundle that a release wrote is read by every later one, with the same answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};

use expect_test::expect;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn run(args: &[&str]) -> (i32, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = haris_verify::cli::main_with(args.iter().map(Into::into), &mut out, &mut err);
    assert_eq!(String::from_utf8(err).unwrap(), "");
    (status, String::from_utf8(out).unwrap())
}

#[test]
fn the_bundle_of_the_first_release_is_proven() {
    let (bundle, keys) = (golden("bundle-1.zip"), golden("bundle-1.keys"));
    let (status, said) = run(&[bundle.to_str().unwrap(), "--key", keys.to_str().unwrap()]);
    assert_eq!(status, 0, "{said}");
    let without_most_events: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("traffic  ") || line.contains("opened")).collect();
    expect![[r#"
        signed by the operator only; this does not protect against the operator

        evidence          0  proven  2026-11-23T02:13:20.001000Z  01a20c5f-6903-7707-8000-000000000001  process.started/1
        evidence          1  proven  2026-11-23T02:13:20.002000Z  01a20c5f-6903-7707-8000-000000000002  process.heartbeat/1
        evidence          2  proven  2026-11-23T02:13:20.003000Z  01a20c5f-6903-7707-8000-000000000003  traffic.anchored/1
        traffic           0  proven  2026-11-23T02:13:20.001000Z  01a20c5f-6903-7707-8001-000000000001  gw.request.decided/1  opened: request
        traffic          10  proven  2026-11-23T02:13:20.011000Z  01a20c5f-6903-7707-8001-00000000000b  gw.request.decided/1  opened: request
        … and 243 more; --events lists them

        bundle     made 2026-11-23T02:13:20.000000Z by haris 0.1.0 (its own words)
        evidence   haris.invalid/0123456789abcdef/evidence: 3 entries
                   root sha256:d7fc52b99310f86215f3b73df44bf52ba43b2004d4e3583d97cec45f4e8c18e4
                   signed by haris.invalid/0123456789abcdef/evidence+5e24de7b (Ed25519), haris.invalid/0123456789abcdef/evidence+239e0198 (ML-DSA-44 cosignature)
                   sealed by 2026-11-24T07:05:09Z (operator's clock)
                   not witnessed: the operator can still change it
                   complete: 3 of 3 entries [0, 3)
                   events from 2026-11-23T02:13:20.001000Z to 2026-11-23T02:13:20.003000Z (their sources' clocks)
                   no gap in the sources' counters, no clock step over 1 s, no unclean stop
                   written by haris 0.1.0
                   root sha256:fd21bb5d928b7d70bc553b0f06c233fb12e8117555ed7fbbca262ef4389fc678
                   signed by haris.invalid/0123456789abcdef/traffic+7debecdf (Ed25519)
                   sealed by 2026-11-24T07:05:09Z (operator's clock), through entry 2 of the evidence log
                   not witnessed: the operator can still change it
                   complete: 260 of 260 entries [0, 260)
                   events from 2026-11-23T02:13:20.001000Z to 2026-11-23T02:13:20.260000Z (their sources' clocks)
                   no gap in the sources' counters, no clock step over 1 s, no unclean stop
        payloads   10 opened; each is what its event committed to
        answer     proven"#]].assert_eq(&without_most_events.join("\n"));
}

#[test]
fn one_changed_byte_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("changed.zip");
    let mut bytes = std::fs::read(golden("bundle-1.zip")).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&changed, bytes).unwrap();
    let (status, said) = run(&[changed.to_str().unwrap(), "--key", golden("bundle-1.keys").to_str().unwrap()]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("of `traffic` was altered"), "{said}");
}
