//! A segment's bytes, changed in any way.

use proptest::prelude::*;

use super::*;

fn segment() -> (Vec<u8>, Vec<Record>) {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Stepped::open(dir.path(), SMALL, Arc::new(RealDisk));
    for bytes in [10, 700, 0, 300, 1500, 20] {
        spool.append(bytes).unwrap();
    }
    let records = spool.core.read(Position::START, 99, usize::MAX).unwrap().records;
    (std::fs::read(&segments(dir.path())[0]).unwrap(), records)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens to a segment, what is found in it was written there, and a hole shows.
    #[test]
    fn only_what_was_written_is_found(changes in prop::collection::vec((4096..9000_usize, any::<u8>()), 1..6), cut in 4096..16384_usize) {
        let (mut bytes, written) = segment();
        let before = bytes.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut.max(9000));
        let found = salvage(&bytes).unwrap();
        let mut rest = written.iter();
        for (_, record) in &found.records {
            prop_assert!(rest.any(|other| other == record), "made up, or out of order");
        }
        let used = before.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let whole = bytes[..used.min(bytes.len())] == before[..used];
        prop_assert!(!whole || found.records.len() == written.len());
        prop_assert_eq!(whole, found.torn.is_none() && found.damage.is_empty());
    }

    #[test]
    fn any_bytes_are_answered(noise in prop::collection::vec(any::<u8>(), 0..6000), at in 0..9000_usize) {
        let (mut bytes, _) = segment();
        let end = (at + noise.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        let _ = salvage(&bytes);
        let _ = salvage(&noise);
    }
}

/// Headers within headers, each claiming all that follows: looking for frames among them stays linear, and what was not
/// looked through counts as damage.
#[test]
fn nested_claims_are_not_followed_for_ever() {
    let (mut bytes, written) = segment();
    bytes.resize(32 << 20, 0);
    let from = 12 << 10;
    for at in (from..bytes.len() - 24).step_by(24) {
        let claimed = u32::try_from(bytes.len() - at - 24).unwrap();
        bytes[at..at + 4].copy_from_slice(b"HSF1");
        bytes[at + 8..at + 12].copy_from_slice(&claimed.to_le_bytes());
    }
    let found = salvage(&bytes).unwrap();
    assert_eq!(found.records.len(), written.len());
    assert!(found.damage.iter().any(|range| range.end + 24 >= 32 << 20), "{:?}", found.damage);
}
