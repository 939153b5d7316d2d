//! A database administrator, and root without the log's key: rows, tiles and copies of both, changed behind the
//! server's back.

use std::fs;

use haris_store::sqlx;

use crate::support::{
    Watched, append_forged, ask, config, configure, copy_folder, export, fsck, put_back, refuses_to_start, sql, stop,
    store,
};

/// A bank with some traffic, stopped.
async fn stopped() -> Watched {
    let mut bank = Watched::start("");
    let client = bank.haris.client("tests");
    ask(&client, 4).await;
    bank.settled();
    stop(&mut bank.haris);
    bank
}

#[tokio::test]
async fn every_change_of_sealed_rows_is_named_by_fsck() {
    let bank = stopped().await;
    // The copy that is put back would be an old one to the witness.
    configure(&bank.haris, &config(&[], ""));
    let sound = bank.haris.home().join("sound");
    copy_folder(&bank.haris.data(), &sound);
    let (clean, said) = fsck(&bank.haris);
    assert!(clean, "{said}");
    for (what, statements, expected) in [
        ("delete", "DELETE FROM ledger_event WHERE log = 'traffic' AND leaf_index = 2", "\"index\": 2"),
        (
            "back-date",
            "UPDATE ledger_event SET bytes = CAST(replace(CAST(bytes AS TEXT), '\"at\":\"20', '\"at\":\"19') AS BLOB) WHERE log = 'traffic' AND leaf_index = 3",
            "\"index\": 3",
        ),
        (
            "swap",
            "UPDATE ledger_event SET leaf_index = 900 WHERE log = 'traffic' AND leaf_index = 1; \
                  UPDATE ledger_event SET leaf_index = 1 WHERE log = 'traffic' AND leaf_index = 2; \
                  UPDATE ledger_event SET leaf_index = 2 WHERE log = 'traffic' AND leaf_index = 900",
            "\"index\": 1",
        ),
        (
            "insert",
            "INSERT INTO ledger_event SELECT log, 900, 'f' || substr(id, 2), leaf_hash, bytes FROM ledger_event WHERE log = 'traffic' AND leaf_index = 1",
            "\"index\": 900",
        ),
        (
            "a checkpoint's time",
            "UPDATE ledger_checkpoint SET at = at - 60000000 WHERE log = 'evidence'",
            "another time",
        ),
        (
            "a checkpoint's root",
            "UPDATE ledger_checkpoint SET root = zeroblob(32) WHERE log = 'traffic'",
            "its note says something else than its row",
        ),
    ] {
        sql(&bank.haris, statements).await;
        let (clean, said) = fsck(&bank.haris);
        assert!(!clean && said.contains(expected), "{what}: {said}");
        put_back(&sound, &bank.haris.data());
    }
    let (clean, said) = fsck(&bank.haris);
    assert!(clean, "{said}");
}

#[tokio::test]
async fn an_event_cannot_be_replayed_under_its_own_name() {
    let bank = stopped().await;
    let store = store(&bank.haris).await;
    let mut tx = store.begin().await.unwrap();
    let again = "INSERT INTO ledger_event SELECT log, 900, id, leaf_hash, bytes FROM ledger_event WHERE log = 'traffic' AND leaf_index = 1";
    let refused = sqlx::raw_sql(again).execute(&mut *tx).await.unwrap_err();
    assert!(refused.to_string().contains("UNIQUE"), "{refused}");
}

/// The tail cut off and the counters set back, so that everything in the database fits together.
#[tokio::test]
async fn a_truncated_database_and_an_old_one_do_not_start() {
    let mut bank = Watched::start("");
    let client = bank.haris.client("tests");
    stop(&mut bank.haris);
    let early = bank.haris.home().join("early");
    copy_folder(&bank.haris.data(), &early);
    bank.haris.launch();
    ask(&client.at(&bank.haris.base()), 3).await;
    bank.settled();
    stop(&mut bank.haris);
    let late = bank.haris.home().join("late");
    copy_folder(&bank.haris.data(), &late);

    // The database alone is put back: the published checkpoint says more.
    for file in ["haris.db", "haris.db-wal", "haris.db-shm"] {
        let _ = fs::remove_file(bank.haris.data().join(file));
        if early.join(file).exists() {
            fs::copy(early.join(file), bank.haris.data().join(file)).unwrap();
        }
    }
    let said = refuses_to_start(&bank.haris);
    assert!(said.contains("is published, the database ends at"), "{said}");

    // By hand, which comes to the same.
    put_back(&late, &bank.haris.data());
    sql(
        &bank.haris,
        "DELETE FROM ledger_event WHERE log = 'traffic' AND leaf_index >= 1; \
         UPDATE ledger_log SET next_index = 1 WHERE log = 'traffic'; \
         DELETE FROM ledger_checkpoint WHERE log = 'traffic' AND size > 1",
    )
    .await;
    let said = refuses_to_start(&bank.haris);
    assert!(said.contains("is published, the database ends at"), "{said}");
}

/// What a database administrator can do: put a row into the table before the sealer comes. It is sealed, and shows.
#[tokio::test]
async fn a_row_forged_before_its_seal_shows_as_a_stray() {
    let mut bank = stopped().await;
    // The start that has said that it stopped writes once more, it seems.
    append_forged(&bank.haris, 1).await;
    bank.haris.launch();
    bank.settled();
    let bundle = export(&bank.haris, "b.zip");
    let output = bank.haris.run(&[
        "verify",
        &bundle.display().to_string(),
        "--key",
        &bank.logs[0],
        "--key",
        &bank.logs[1],
        "--key",
        &bank.logs[2],
    ]);
    let said = crate::support::said(&output);
    assert!(said.contains("stray"), "{said}");
    let (_, said) = fsck(&bank.haris);
    assert!(said.contains("\"strays\""), "{said}");
}

#[tokio::test]
async fn changed_tiles_and_entries_are_named_and_give_no_bundle() {
    let mut bank = stopped().await;
    configure(&bank.haris, &config(&[], ""));
    let sound = bank.haris.home().join("sound");
    copy_folder(&bank.haris.data(), &sound);
    let blobs = bank.haris.data().join("blobs/traffic/tile");
    for folder in ["0", "entries"] {
        let partial =
            fs::read_dir(blobs.join(folder).join("000.p")).unwrap().map(|file| file.unwrap().path()).max().unwrap();
        let mut bytes = fs::read(&partial).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(&partial, bytes).unwrap();
        let (clean, said) = fsck(&bank.haris);
        assert!(!clean, "{folder}: {said}");
        put_back(&sound, &bank.haris.data());
    }
    bank.haris.launch();
}

/// Every file under a folder, with its bytes.
fn files(folder: &std::path::Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

/// What keeps a server from starting is named all the same, and whoever looks leaves everything as it is.
#[tokio::test]
async fn a_damaged_tip_is_named_and_nothing_is_touched() {
    let bank = stopped().await;
    configure(&bank.haris, &config(&[], ""));
    let data = bank.haris.data();
    let sound = bank.haris.home().join("sound");
    copy_folder(&data, &sound);
    let (clean, said) = fsck(&bank.haris);
    assert!(clean, "{said}");
    assert_eq!(files(&data).into_values().collect::<Vec<_>>(), files(&sound).into_values().collect::<Vec<_>>());
    let newest = |folder: &str| {
        let folder = data.join("blobs/traffic/tile").join(folder).join("000.p");
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).max().unwrap()
    };
    let pack = || {
        let day = fs::read_dir(data.join("blobs/payloads")).unwrap().next().unwrap().unwrap().path();
        fs::read_dir(day).unwrap().map(|file| file.unwrap().path()).max().unwrap()
    };
    for (what, path, expected) in [
        ("tile", newest("0"), "traffic/tile/0/000.p/"),
        ("bundle", newest("entries"), "traffic/tile/entries/000.p/"),
        ("checkpoint", data.join("blobs/traffic/checkpoint"), "`checkpoint`"),
        ("pack", pack(), "of pack `payloads/"),
    ] {
        let bytes = fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for (how, changed) in
            [("flipped", Some(flipped)), ("cut", Some(bytes[..bytes.len() - 1].to_vec())), ("gone", None)]
        {
            match &changed {
                Some(changed) => fs::write(&path, changed).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let before = files(&data);
            let (clean, said) = fsck(&bank.haris);
            let expected = if what == "pack" && how != "flipped" { "pack `payloads/" } else { expected };
            assert!(!clean && said.contains(expected) && said.contains("\"problems\""), "{what} {how}: {said}");
            assert_eq!(files(&data), before, "{what} {how}: fsck changes nothing");
            fs::write(&path, &bytes).unwrap();
        }
    }
    let (clean, said) = fsck(&bank.haris);
    assert!(clean, "{said}");
}

/// The same through the socket of a running server.
#[tokio::test]
async fn a_running_server_names_what_was_changed_under_it() {
    let bank = Watched::start("");
    let client = bank.haris.client("tests");
    ask(&client, 4).await;
    bank.settled();
    let (clean, said) = fsck(&bank.haris);
    assert!(clean, "{said}");
    sql(&bank.haris, "DELETE FROM ledger_payload_key WHERE name = 'request'").await;
    let (clean, said) = fsck(&bank.haris);
    assert!(!clean && said.contains("the key of payload `request`") && said.contains("\"index\": 0"), "{said}");
    sql(&bank.haris, "UPDATE ledger_checkpoint SET root = zeroblob(32) WHERE log = 'traffic'").await;
    let (clean, said) = fsck(&bank.haris);
    assert!(!clean && said.contains("its note says something else than its row"), "{said}");
}
