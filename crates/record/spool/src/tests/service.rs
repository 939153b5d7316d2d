//! What appenders, readers and the shipper may rely on.

use super::*;

#[test]
fn what_is_appended_is_read_back_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "first");
    let mut written: Vec<_> = (0..40).map(|i| append(&spool, i * 50)).collect();
    assert_eq!(read_all(&spool, Position::START).0, written);
    assert_eq!(written.iter().map(n_of).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    let middle = spool.read(Position::START, 25, usize::MAX).unwrap();
    assert_eq!(middle.records, written[..25]);
    drop(spool);

    let spool = open(dir.path(), "second");
    assert_eq!(spool.recovery().records, 40);
    assert_eq!((spool.recovery().torn, &spool.recovery().damage[..]), (None, &[][..]));
    assert_eq!(spool.lineage(), "first");
    written.push(append(&spool, 5));
    assert_eq!(n_of(&written[40]), 1, "each start counts from 1");
    assert_eq!(read_all(&spool, Position::START).0, written);
    assert_eq!(read_all(&spool, middle.next).0, written[25..]);
}

#[test]
fn many_threads_get_numbers_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let spool = spool.clone();
            scope.spawn(move || (0..25).for_each(|i| drop(append(&spool, i * 9))));
        }
    });
    let found: Vec<_> = read_all(&spool, Position::START).0.iter().map(n_of).collect();
    assert_eq!(found, (1..=400).collect::<Vec<_>>());
    assert_eq!(spool.state().durable_events, 400);
}

#[test]
fn what_was_shipped_is_deleted_segment_by_segment() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    for _ in 0..40 {
        append(&spool, 1000);
    }
    assert!(segments(dir.path()).len() > 3);
    assert_eq!(spool.state().unshipped_records, 40);
    let half = spool.read(Position::START, 20, usize::MAX).unwrap();
    spool.release(half.next);
    assert_eq!(spool.state().unshipped_records, 20);
    until("the first segments' end", || spool.state().segment_oldest == half.next.segment);
    let (rest, end) = read_all(&spool, half.next);
    assert_eq!(rest.len(), 20);
    assert!(matches!(spool.read(Position { segment: 1, offset: 5000 }, 1, 1), Err(ReadError::Gone { .. })));

    // Rotated and shipped, nothing of them stays.
    spool.release(end);
    spool.rotate();
    until("the end of the segment", || spool.read(end, 1, 1).unwrap().next.segment > end.segment);
    let next = spool.read(end, 1, 1).unwrap().next;
    spool.release(next);
    until("the last segment's end", || spool.state().segment_oldest == next.segment);
    assert_eq!((spool.state().unshipped_records, spool.state().unshipped_bytes), (0, 0));
    assert_eq!(segments(dir.path()).len(), 1);

    // And numbers go on.
    drop(spool);
    let spool = open(dir.path(), "again");
    let record = append(&spool, 3);
    assert_eq!(read_all(&spool, next).0, [record]);
}

/// What an erasure does, while others append, read and release.
#[test]
fn a_rotated_spool_empties_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (spool, stop) = (spool.clone(), &stop);
                scope.spawn(move || {
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        append(&spool, 60);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let (mut next, mut last_n) = (Position::START, 0);
        let mut ship = || {
            let batch = spool.read(next, 50, 20_000).unwrap();
            for record in &batch.records {
                last_n += 1;
                assert_eq!(n_of(record), last_n);
            }
            next = batch.next;
            spool.release(next);
        };
        for _ in 0..5 {
            let newest = spool.state().segment_newest;
            spool.rotate();
            while spool.state().segment_oldest <= newest {
                ship();
            }
        }
        stop.store(true, Ordering::Relaxed);
        let written: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        while spool.state().unshipped_records > 0 {
            ship();
        }
        assert_eq!(last_n, written);
    });
}

#[test]
fn a_reader_is_woken_by_what_becomes_durable() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    let start = read_all(&spool, Position::START).1;
    let mut readable = Box::pin(spool.wait_readable(start));
    let mut poll = || readable.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll(), Poll::Pending);
    append(&spool, 1);
    assert_eq!(poll(), Poll::Ready(()));
    let end = read_all(&spool, start).1;
    let mut readable = Box::pin(spool.wait_readable(end));
    let mut poll = || readable.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll(), Poll::Pending);
    spool.close();
    assert_eq!(poll(), Poll::Ready(()));
}

#[test]
fn a_closed_spool_drains_refuses_and_gives_up_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    let waiting: Vec<_> = (0..30).map(|_| spool.append(draft(), Vec::new()).unwrap()).collect();
    assert!(matches!(Spool::open(dir.path(), name("other"), SMALL, Arc::new(RealDisk)), Err(OpenError::InUse { .. })));
    spool.close();
    assert_eq!(waiting.into_iter().map(|durable| durable.wait()).filter(Result::is_ok).count(), 30);
    assert_eq!(spool.append(draft(), Vec::new()).unwrap_err().cause, Cause::Closed);
    assert_eq!(open(dir.path(), "other").recovery().records, 30);
    assert_eq!(read_all(&spool, Position::START).0.len(), 30);
}

#[test]
fn positions_that_never_were_are_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    append(&spool, 1);
    for from in [Position { segment: 9, offset: 4096 }, Position { segment: 1, offset: 9000 }] {
        assert!(matches!(spool.read(from, 1, 1), Err(ReadError::Ahead { .. })), "{from}");
        spool.release(from);
    }
    assert_eq!(spool.state().unshipped_records, 1, "another spool's position released something");
}

#[test]
fn an_event_that_cannot_be_written_takes_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "boot");
    assert_eq!(spool.append(draft(), vec![payload(9000)]).unwrap_err().cause, Cause::Event);
    assert_eq!(spool.append(draft().with("score", 0.5), Vec::new()).unwrap_err().cause, Cause::Event);
    assert_eq!(spool.append(draft().with("x", "x".repeat(70_000)), Vec::new()).unwrap_err().cause, Cause::Event);
    let record = append(&spool, 1);
    assert_eq!(n_of(&record), 1);
    assert_eq!(read_all(&spool, Position::START).0, [record]);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for options in [
        Options { segment_bytes: 5000, ..SMALL },
        Options { record_bytes_max: 16 << 10, ..SMALL },
        Options { max_bytes: 20 << 10, ..SMALL },
    ] {
        let opened = Spool::open(dir.path(), name("boot"), options, Arc::new(RealDisk));
        assert!(matches!(opened, Err(OpenError::Options { .. })), "{options:?}");
    }
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    assert!(matches!(Spool::open(&file, name("b"), SMALL, Arc::new(RealDisk)), Err(OpenError::Io { .. })));
}
