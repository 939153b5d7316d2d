//! A spool that cannot be written: nothing goes upstream, callers are told to come back, and the
//! administrator reads why and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use haris_tests::server::{config_for, eventually};
use haris_tests::{Client, Haris, Mock, SmallDisk};

use super::guarded;
use super::proof::assert_whole;

/// Requests are refused with a hint when to come back, probes and the administrator say so, and the
/// upstream saw nothing new.
async fn assert_refusing(mock: &Mock, haris: &Haris, client: &Client, why: &str) {
    let before = mock.received().len();
    for stream in [false, true] {
        let answer = client.ask("gpt-4o", "When does the branch open?", stream).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
        assert!(answer.json()["error"]["message"].is_string(), "{}", answer.body);
        assert!(!answer.body.contains(&haris.data().display().to_string()), "no path for a caller: {}", answer.body);
    }
    assert_eq!(mock.received().len(), before, "nothing went upstream");
    assert_eq!(haris.get_status("/readyz"), Some(503));
    assert_eq!(haris.get_status("/healthz"), Some(200), "the process itself is well");
    for format in ["table", "json"] {
        let status = haris.run(&["status", "--data", "{data}", "--format", format]);
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        assert_eq!(status.status.code(), Some(1), "{said}");
        assert!(said.contains("spool") && said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn a_segment_that_was_removed_counts_as_not_writable() {
    let (mock, mut haris, client) = guarded("").await;
    assert_eq!(client.ask("gpt-4o", "hello", false).await.status, 200);
    for segment in segments(&haris.data().join("spool")) {
        fs::remove_file(segment).unwrap();
    }
    // Whether the next request or the regular look finds out first, nothing is acknowledged.
    assert_refusing(&mock, &haris, &client, "restart").await;

    haris.kill();
    haris.launch();
    let client = haris.client("after");
    assert_eq!(client.ask("gpt-4o", "hello", false).await.status, 200);
    assert_whole(&haris);
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "spool")).collect();
    assert!(!found.is_empty(), "segments in {}", folder.display());
    found
}

#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room() {
    let mock = Mock::start().await;
    let mut haris = Haris::prepare(&config_for(&mock, ""));
    let Some(disk) = SmallDisk::mount(haris.data(), 192) else {
        println!("not run: only root can mount a small disk");
        return;
    };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 150 << 20]).unwrap();
    haris.launch_until(|haris| haris.get_status("/healthz") == Some(200));
    let client = haris.client("tests");
    assert_refusing(&mock, &haris, &client, "free space").await;

    fs::remove_file(ballast).unwrap();
    eventually("there is room again", || haris.is_ready().then_some(()));
    assert_eq!(client.ask("gpt-4o", "hello", false).await.status, 200);
    assert_whole(&haris);
    haris.kill();
}

/// Not a byte is free when the server starts, and the one before was stopped cleanly, so that SQLite has to lay its
/// shared memory down anew.
#[tokio::test]
async fn a_server_starts_on_a_full_disk_and_recovers() {
    let mock = Mock::start().await;
    for killed in [false, true] {
        let mut haris = Haris::prepare(&config_for(&mock, ""));
        let Some(disk) = SmallDisk::mount(haris.data(), 256) else {
            println!("not run: only root can mount a small disk");
            return;
        };
        haris.launch();
        let key = haris.key("tests");
        assert_eq!(Client::new(&haris.base(), &key).ask("gpt-4o", "hello", false).await.status, 200);
        if killed {
            haris.kill();
        } else {
            haris.ask_to_stop();
            assert!(haris.wait().success(), "{}", haris.output());
        }
        let ballast = disk.fill("ballast");

        haris.launch_until(|haris| haris.get_status("/healthz") == Some(200));
        let client = Client::new(&haris.base(), &key);
        assert_refusing(&mock, &haris, &client, "free space").await;
        // Whoever filled it takes what the start was given of the reserve as well.
        disk.fill("more-ballast");
        assert_refusing(&mock, &haris, &client, "free space").await;

        fs::remove_file(ballast).unwrap();
        eventually("there is room again", || haris.is_ready().then_some(()));
        assert_eq!(client.ask("gpt-4o", "hello", false).await.status, 200);
        eventually("what the start owed is on record", || {
            let status = haris.admin_json(&["status"]);
            (!status["attention"].to_string().contains("not on record yet")).then_some(())
        });
        let starts = haris.events(&["kind=process.started/1"]);
        assert_eq!(starts.len(), 2, "{starts:?}");
        assert_whole(&haris);
        haris.ask_to_stop();
        assert!(haris.wait().success(), "{}", haris.output());
    }
}

/// Nothing is held back, and what is free suffices to look and not to record.
#[tokio::test]
async fn a_start_that_finds_no_room_to_be_recorded_is_recorded_when_there_is() {
    let mock = Mock::start().await;
    let mut haris = Haris::prepare(&config_for(&mock, "[storage]\nreserve_bytes = 0\n"));
    let Some(disk) = SmallDisk::mount(haris.data(), 256) else {
        println!("not run: only root can mount a small disk");
        return;
    };
    // Without traffic: a segment that was used is given back when the spool is opened, and with it room.
    haris.launch();
    haris.ask_to_stop();
    assert!(haris.wait().success(), "{}", haris.output());
    let ballast = disk.fill("ballast");
    let file = fs::OpenOptions::new().write(true).open(&ballast).unwrap();
    file.set_len(file.metadata().unwrap().len() - (48 << 10)).unwrap();
    // A file that is open keeps its room when it is removed.
    drop(file);

    // Not even the file that says where it listens has room: it is asked over its socket.
    haris.launch_until(|haris| {
        let status = haris.run(&["status", "--data", "{data}", "--format", "table"]);
        String::from_utf8_lossy(&status.stdout).contains("not on record yet")
    });

    fs::remove_file(ballast).unwrap();
    eventually("what the start owes is on record", || {
        let starts = haris.events(&["kind=process.started/1"]);
        (starts.len() == 2).then_some(())
    });
    eventually("there is room again", || haris.is_ready().then_some(()));
    let client = haris.client("after");
    assert_eq!(client.ask("gpt-4o", "hello", false).await.status, 200);
    assert_eq!(haris.events(&["kind=policy.gateway.loaded/1"]).len(), 2);
    assert_whole(&haris);
    haris.kill();
}
