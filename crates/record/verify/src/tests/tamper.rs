//! Flip, cut, swap, replay: in every member, with and without mending the zip around it.

use std::io::Cursor;

use proptest::prelude::*;

use super::sample::{Log, Wish, bundle, evidence, small, traffic, trust};
use crate::bundle::{MANIFEST, Scope};
use crate::report::Report;
use crate::verify::verify;
use crate::zip::{ZipReader, ZipWriter};

fn check(bytes: &[u8]) -> Report {
    verify(Cursor::new(bytes), &trust(), &mut ()).unwrap()
}

/// The members of a bundle, to be changed and put into a zip that is right in itself.
fn members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipReader::open(Cursor::new(bytes)).unwrap();
    let names: Vec<String> = zip.names().map(str::to_owned).collect();
    names.into_iter().map(|name| (name.clone(), zip.read(&name, usize::MAX).unwrap().unwrap())).collect()
}

fn pack(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.member(name, bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn find<'a>(members: &'a mut [(String, Vec<u8>)], name: &str) -> &'a mut Vec<u8> {
    &mut members.iter_mut().find(|(known, _)| known == name).unwrap().1
}

fn whole() -> Vec<u8> {
    let logs = small();
    bundle(&logs, &Wish::all(&logs))
}

#[track_caller]
fn caught(bytes: &[u8], what: &str, name: &str) {
    let report = check(bytes);
    assert!(!report.proven, "{what}");
    assert!(report.problems.iter().any(|why| why.contains(name)), "{what}: {:?} do not name {name}", report.problems);
}

#[test]
fn every_flipped_byte_of_the_file_is_caught_and_named() {
    let good = whole();
    assert!(check(&good).proven);
    // Each member's bytes lie at known places: a flip there names that member, one elsewhere the file.
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let report = check(&bytes);
        assert!(!report.proven, "byte {at}");
        assert!(!report.problems[0].is_empty(), "byte {at}");
    }
}

#[test]
fn every_cut_is_caught() {
    let good = whole();
    for length in (0..good.len()).step_by(7).chain([good.len() - 1]) {
        assert!(!check(&good[..length]).proven, "cut to {length}");
    }
    assert!(!check(&[good.as_slice(), b"\n"].concat()).proven);
}

/// The adversary mends the zip's checksums, so that only signatures and hashes are in the way. What is left to them
/// are words that nothing signs, and which the answer therefore calls the bundle's own.
#[test]
fn flips_inside_a_mended_zip_are_caught() {
    let good = members(&whole());
    let unsigned = |report: &Report, reference: &Report| {
        let claims = report.claims.as_ref().unwrap();
        let original = reference.claims.as_ref().unwrap();
        claims.made_at != original.made_at || claims.made_by != original.made_by
    };
    let reference = check(&pack(&good));
    for (which, (name, bytes)) in good.iter().enumerate() {
        let step = (bytes.len() / 400).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = good.clone();
            changed[which].1[at] ^= 1 << (at % 7);
            let report = check(&pack(&changed));
            if !report.proven {
                continue;
            }
            // In the manifest: what nobody signs, unknown keys, and the keys that are never trusted.
            let text = String::from_utf8_lossy(&bytes[..at]).into_owned();
            let in_keys = text.rfind("\"keys\"").is_some_and(|keys| !text[keys..].contains(']'));
            assert!(name == MANIFEST && (unsigned(&report, &reference) || in_keys), "byte {at} of {name}");
        }
    }
}

#[test]
fn a_member_that_is_gone_or_twice_is_named() {
    let good = members(&whole());
    for (which, (name, _)) in good.iter().enumerate() {
        let mut without = good.clone();
        without.remove(which);
        let report = check(&pack(&without));
        // Without its anchor the traffic log is as proven as its own key makes it, and the answer says so.
        if name == "traffic/anchor" {
            assert!(report.notices[0].contains("not tied"), "{:?}", report.notices);
            assert_eq!(report.logs[1].sealed_by, None);
            continue;
        }
        let named = name.strip_suffix(".key").unwrap_or(name);
        assert!(!report.proven, "without {name}");
        let known = |why: &String| why.contains(named) || why.contains("payloads") || why.contains("tile");
        assert!(report.problems.iter().any(known), "{name}: {:?}", report.problems);
    }
    let mut more = good.clone();
    more.push(("notes.txt".to_owned(), b"trust me".to_vec()));
    caught(&pack(&more), "an added member", "notes.txt");
    let mut moved = good.clone();
    moved.swap(2, 3);
    caught(&pack(&moved), "moved members", "not in its place");
}

#[test]
fn members_swapped_with_each_other_are_caught() {
    let good = members(&whole());
    for (a, b) in (0..good.len()).flat_map(|a| (a + 1..good.len()).map(move |b| (a, b))) {
        if good[a].1 == good[b].1 {
            continue;
        }
        let mut changed = good.clone();
        let first = std::mem::take(&mut changed[a].1);
        changed[a].1 = std::mem::replace(&mut changed[b].1, first);
        assert!(!check(&pack(&changed)).proven, "{} and {}", good[a].0, good[b].0);
    }
}

fn records(leaves: &[(u64, &[u8])]) -> Vec<u8> {
    leaves
        .iter()
        .flat_map(|(index, leaf)| {
            [&index.to_be_bytes(), u16::try_from(leaf.len()).unwrap().to_be_bytes().as_slice(), leaf].concat()
        })
        .collect()
}

#[test]
fn leaves_left_out_added_swapped_or_renumbered_are_named() {
    let logs = small();
    let good = members(&bundle(&logs, &Wish { opened: false, ..Wish::all(&logs) }));
    let all: Vec<(u64, &[u8])> = (0..).zip(logs[1].leaves.iter().map(Vec::as_slice)).collect();
    let with = |leaves: &[(u64, &[u8])]| {
        let mut changed = good.clone();
        *find(&mut changed, "traffic/leaves") = records(leaves);
        let count = leaves.len();
        let manifest = String::from_utf8(find(&mut changed, MANIFEST).clone()).unwrap();
        // The operator would of course mend the count.
        *find(&mut changed, MANIFEST) = manifest.replace("\"leaves\": 5", &format!("\"leaves\": {count}")).into_bytes();
        pack(&changed)
    };
    assert!(check(&with(&all)).proven);
    caught(&with(&[all[0], all[1], all[3], all[4]]), "left out", "entry 2 of `traffic` is missing");
    caught(&with(&all[1..]), "first left out", "entry 0 of `traffic` is missing");
    caught(&with(&all[..3]), "end left out", "entries 3 to 4 of `traffic` are missing");
    caught(&with(&[all[0], all[1], (2, all[3].1), (3, all[4].1)]), "renumbered", "entry 2 of `traffic` was altered");
    caught(&with(&[all[0], all[2], all[1], all[3], all[4]]), "reordered", "entry 1 of `traffic`");
    caught(&with(&[all[0], all[0], all[1], all[2], all[3], all[4]]), "twice", "entry 0 of `traffic`");
    caught(
        &with(&[all[0], (1, all[2].1), (2, all[1].1), all[3], all[4]]),
        "swapped",
        "entry 1 of `traffic` was altered",
    );
    caught(&with(&[all.as_slice(), &[(5, b"more".as_slice())]].concat()), "added", "entry 5 of `traffic`");
    let forged = String::from_utf8(all[2].1.to_vec()).unwrap().replace("allow", "block");
    caught(
        &with(&[all[0], all[1], (2, forged.as_bytes()), all[3], all[4]]),
        "forged",
        "entry 2 of `traffic` was altered",
    );
    let mut cut = good.clone();
    find(&mut cut, "traffic/leaves").pop();
    caught(&pack(&cut), "cut", "`traffic/leaves`");
}

#[test]
fn a_bad_tile_costs_its_entries_only() {
    let traffic = traffic(600);
    let logs = [evidence(3, &traffic), traffic];
    let mut changed = members(&bundle(&logs, &Wish::all(&logs)));
    find(&mut changed, "traffic/tile/0/001")[40] ^= 1;
    let report = check(&pack(&changed));
    assert_eq!(report.logs[1].leaves_proven, 600 - 256);
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(
        report.problems[0].contains("`traffic/tile/0/001` does not fit the tile above it"),
        "{:?}",
        report.problems
    );
    assert!(report.logs[1].says.starts_with("NOT complete: 344 of 600"), "{}", report.logs[1].says);
}

/// Parts of an older bundle of the same log, which were true once.
#[test]
fn replayed_parts_are_caught() {
    let old = small();
    let newer = traffic(9);
    let newer = [evidence(6, &newer), newer];
    let (old_members, new_members) =
        (members(&bundle(&old, &Wish::all(&old))), members(&bundle(&newer, &Wish::all(&newer))));
    for (which, (name, bytes)) in new_members.iter().enumerate() {
        let Some((_, before)) = old_members.iter().find(|(known, _)| known == name) else { continue };
        if before == bytes {
            continue;
        }
        let mut changed = new_members.clone();
        changed[which].1 = before.clone();
        assert!(!check(&pack(&changed)).proven, "{name} of the older bundle");
    }
    // An anchor that was true of an older traffic log.
    let mixed = [old[0].clone(), newer[1].clone()];
    caught(&bundle(&mixed, &Wish::all(&mixed)), "old anchor", "names another checkpoint");
}

#[test]
fn a_forked_log_is_caught() {
    let logs = small();
    let mut other = logs[1].leaves.clone();
    other[1] = String::from_utf8(other[1].clone()).unwrap().replace("allow", "block").into_bytes();
    // Everything is consistent in itself but for the signature, which is the true log's.
    let mut fork = Log::new(1, other);
    fork.note = logs[1].note.clone();
    let forked = [logs[0].clone(), fork];
    caught(&bundle(&forked, &Wish::all(&forked)), "fork", "`traffic`");
}

#[test]
fn a_selection_with_other_events_is_caught() {
    let logs = small();
    let all = Wish { scope: Scope::Selection, opened: false, ..Wish::all(&logs) };
    let mut changed = members(&bundle(&logs, &all));
    let manifest = String::from_utf8(find(&mut changed, MANIFEST).clone()).unwrap();
    *find(&mut changed, MANIFEST) = manifest.replace("\"filter\": []", "\"filter\": [\"verdict=block\"]").into_bytes();
    caught(&pack(&changed), "another filter", "does not meet the filter");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_are_answered_without_panic(seed in any::<u64>(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = whole();
        for (at, value) in &edits {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        let _ = check(&bytes);
        let mut parts = members(&whole());
        let which = usize::try_from(seed % parts.len() as u64).unwrap();
        for (at, value) in edits {
            if !parts[which].1.is_empty() {
                let at = at.index(parts[which].1.len());
                parts[which].1[at] = value;
            }
        }
        let _ = check(&pack(&parts));
    }
}
