//! The spool on a disk that keeps nothing it was not made to keep.
//!
//! A signal kills a process and leaves the page cache, so it proves nothing about syncs. Here the power goes: of all
//! that was written and not synced, directory entries included, a random part survives, torn at any byte and in any
//! order. Every history follows from its seed.

mod disk;
mod history;

use history::{Violation, run_history};

use disk::Sync;

/// Crashes in an ordinary test run; `HARIS_SPOOL_CRASHES` asks for more.
const CRASHES: u64 = 10_000;

/// No mutant has needed nearly as many.
const MUTANT_CRASHES_MAX: u64 = 100_000;

fn crash(count: u64, ignore: Option<Sync>) -> Result<history::Seen, Violation> {
    let mut seen = history::Seen::default();
    let mut seed = 0;
    while seen.crashes < count {
        seed += 1;
        run_history(seed, ignore, &mut seen)?;
    }
    Ok(seen)
}

#[test]
fn no_crash_loses_or_alters_what_was_acknowledged() {
    let count = std::env::var("HARIS_SPOOL_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(CRASHES);
    match crash(count, None) {
        Ok(seen) => {
            println!("{seen:?}");
            // A simulator that never gets anywhere finds nothing either.
            assert_eq!(seen.syncs.len(), Sync::ALL.len(), "the histories reached only {:?}", seen.syncs);
            for (what, many) in [
                ("power cuts", seen.power_cuts),
                ("kills", seen.kills),
                ("faults", seen.faults),
                ("torn tails", seen.torn * 5),
                ("acknowledged", seen.acknowledged / 10),
                ("found again", seen.found / 10),
                ("released", seen.released / 10),
                ("refused for want of room", seen.refused_full * 10),
                ("poisoned", seen.poisoned * 10),
            ] {
                assert!(many > seen.crashes / 50, "only {many} {what} in {seen:?}");
            }
        }
        Err(violation) => panic!("{violation}"),
    }
}

/// Each sync in the code is needed: with any one left out, the simulator sees a promise broken.
#[test]
fn every_sync_is_needed() {
    for sync in Sync::ALL {
        let found = crash(MUTANT_CRASHES_MAX, Some(sync));
        assert!(
            found.is_err(),
            "nothing breaks when {sync:?} is left out: it costs time for nothing, or a test is missing"
        );
    }
}
