//! Bytes and names that changed behind the spool's back.

use super::*;

#[test]
fn a_segment_without_its_name_counts_as_not_writable() {
    let replace = |path: &Path| {
        let copy = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, copy).unwrap();
    };
    let cut = |path: &Path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(12 << 10).unwrap();
    type Harm<'a> = &'a dyn Fn(&Path);
    let cases: [(Harm<'_>, &str); 3] = [
        (&|path| std::fs::remove_file(path).unwrap(), "lost its name"),
        (&replace, "was replaced"),
        (&cut, "was cut or grown"),
    ];
    for (harm, says) in cases {
        for waits in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let spool = open(dir.path(), "boot");
            let before = append(&spool, 100);
            harm(&segments(dir.path())[0]);
            if waits {
                until("the idle check", || refusal(&spool).is_some());
            } else {
                let refused = spool.append(draft(), Vec::new()).and_then(|durable| durable.wait()).unwrap_err();
                assert_eq!(refused.cause, Cause::Broken);
            }
            let refused = refusal(&spool).unwrap();
            assert!(refused.why.contains(says), "{refused}");
            assert_eq!(spool.append(draft(), Vec::new()).unwrap_err(), refused);
            // What was acknowledged can still be shipped.
            assert_eq!(spool.read(Position::START, 1, usize::MAX).unwrap().records, [before]);
        }
    }
}

/// Three segments: two full ones, and one that a second start wrote.
fn three_segments(dir: &Path) -> Vec<Record> {
    let spool = open(dir, "first");
    let mut all: Vec<_> = (0..16).map(|_| append(&spool, 1000)).collect();
    drop(spool);
    let spool = open(dir, "second");
    all.extend((0..3).map(|_| append(&spool, 100)));
    drop(spool);
    assert!(segments(dir).len() >= 3);
    all
}

/// Reads on over damage, as a shipper does that was told to.
fn read_around(spool: &Spool) -> (Vec<Record>, Vec<crate::Damage>) {
    let (mut all, mut damage, mut next) = (Vec::new(), Vec::new(), Position::START);
    loop {
        match spool.read(next, 7, 5000) {
            Ok(batch) if batch.records.is_empty() && batch.next == next => return (all, damage),
            Ok(batch) => {
                all.extend(batch.records);
                next = batch.next;
            }
            Err(ReadError::Damaged { damage: found }) => {
                next = found.to;
                damage.push(found);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_byte_is_named_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let all = three_segments(dir.path());
    edit(&segments(dir.path())[0], |bytes| bytes[6000] ^= 1);
    let spool = open(dir.path(), "third");
    let damage = spool.recovery().damage.clone();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!(damage[0].from.segment, 1);
    assert!((4096..=6000).contains(&damage[0].from.offset) && damage[0].to.offset > 6000, "{damage:?}");
    let (found, met) = read_around(&spool);
    assert_eq!(found.len(), all.len() - 1);
    assert!(found.iter().all(|record| all.contains(record)));
    assert_eq!(met.len(), 1);
    assert_eq!(spool.state().damage, damage);

    // Released, the damaged segment is kept aside.
    spool.release(Position { segment: 3, offset: 4096 });
    until("the damaged segment's end", || spool.state().segment_oldest == 3);
    assert!(dir.path().join("00000000000000000001.spool.damaged").exists());
}

#[test]
fn a_byte_flipped_while_the_spool_runs_is_named_by_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    let all: Vec<_> = (0..16).map(|_| append(&spool, 1000)).collect();
    let file = std::fs::OpenOptions::new().write(true).open(&segments(dir.path())[0]).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"?", 7000).unwrap();
    let (found, damage) = read_around(&spool);
    assert_eq!((found.len(), damage.len()), (all.len() - 1, 1));
    assert_eq!(spool.state().damage, damage);
}

#[test]
fn an_end_that_turned_into_zeros_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let all = three_segments(dir.path());
    for index in [0, 1] {
        let path = &segments(dir.path())[index];
        edit(path, |bytes| {
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            bytes[used - 200..].fill(0);
        });
        let spool = open(dir.path(), "later");
        let damage = &spool.recovery().damage;
        assert_eq!(damage.len(), index + 1, "{damage:?}");
        assert_eq!(read_around(&spool).0.len(), all.len() - index - 1);
    }
}

#[test]
fn a_missing_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let all = three_segments(dir.path());
    std::fs::remove_file(&segments(dir.path())[1]).unwrap();
    let spool = open(dir.path(), "later");
    assert_eq!(spool.recovery().damage.len(), 1);
    let (found, damage) = read_around(&spool);
    assert!(found.len() < all.len());
    assert_eq!((damage[0].from.segment, damage[0].to.segment), (2, 3));
}

#[test]
fn bytes_from_another_place_are_no_frames() {
    let dir = tempfile::tempdir().unwrap();
    let all = three_segments(dir.path());
    let paths = segments(dir.path());
    // A whole segment in the place of another.
    let first = std::fs::read(&paths[0]).unwrap();
    edit(&paths[1], |bytes| *bytes = first.clone());
    let spool = open(dir.path(), "later");
    let (found, _) = read_around(&spool);
    assert!(found.len() < all.len());
    assert!(found.iter().all(|record| all.contains(record)));
    assert_eq!(found.iter().filter(|record| **record == found[0]).count(), 1, "a replayed record passed");
    assert!(spool.recovery().damage.iter().any(|damage| damage.from.segment == 2));
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "first");
    let all: Vec<_> = (0..3).map(|_| append(&spool, 100)).collect();
    drop(spool);
    let path = segments(dir.path())[0].clone();
    let end = std::fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    edit(&path, |bytes| bytes[end + 20..end + 60].fill(0xaa));
    let spool = open(dir.path(), "second");
    assert_eq!(spool.recovery().damage, []);
    assert_eq!(spool.recovery().torn.map(|(at, _)| at.segment), Some(1));
    assert_eq!(read_all(&spool, Position::START).0, all);
    drop(spool);
    assert_eq!(std::fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0), Some(end));
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    three_segments(dir.path());
    edit(&segments(dir.path())[2], |bytes| bytes[8] = 2);
    let opened = Spool::open(dir.path(), name("later"), SMALL, Arc::new(RealDisk));
    assert!(matches!(opened, Err(OpenError::Version { version: 2, known: 1, .. })));
}
