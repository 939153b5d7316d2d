//! A database administrator, and root without the log's key: rows, tiles and copies of both, changed behind the
//! server's back.

use std::fs;

use haris_store::sqlx;
use haris_store::{Store, StoreOptions};

use crate::support::{Watched, ask, config, configure, copy_folder, export, fsck, put_back, refuses_to_start, stop};

async fn sql(bank: &Watched, statements: &str) {
    let data = bank.haris.data();
    let options =
        StoreOptions { sql: format!("sqlite:{}", data.join("haris.db").display()), blobs: data.join("blobs") };
    let store = Store::open(options).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}

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
    // Every check is a start that leaves events; the copy that is put back would be an old one to the witness.
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
            "do not give the root",
        ),
    ] {
        sql(&bank, statements).await;
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
    let data = bank.haris.data();
    let options =
        StoreOptions { sql: format!("sqlite:{}", data.join("haris.db").display()), blobs: data.join("blobs") };
    let store = Store::open(options).await.unwrap();
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
        &bank,
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
    forge(&bank).await;
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

async fn forge(bank: &Watched) {
    use haris_store::sqlx::Row as _;
    let data = bank.haris.data();
    let options =
        StoreOptions { sql: format!("sqlite:{}", data.join("haris.db").display()), blobs: data.join("blobs") };
    let store = Store::open(options).await.unwrap();
    let row = sqlx::query(
        "SELECT id, bytes, leaf_index FROM ledger_event WHERE log = 'evidence' ORDER BY leaf_index DESC LIMIT 1",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    let (id, bytes): (String, Vec<u8>) = (row.try_get("id").unwrap(), row.try_get("bytes").unwrap());
    let index: i64 = row.try_get("leaf_index").unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let event: serde_json::Value = serde_json::from_str(&text).unwrap();
    let n = event["source"]["n"].as_u64().unwrap();
    let forged_id = format!("{}{}", &id[..id.len() - 4], "0bad");
    let forged = text.replace(&id, &forged_id).replace(&format!("\"n\":{n},"), &format!("\"n\":{},", n + 1));
    let hash = leaf_hash(&forged);
    let mut tx = store.begin().await.unwrap();
    sqlx::query("INSERT INTO ledger_event (log, leaf_index, id, leaf_hash, bytes) VALUES ('evidence', $1, $2, $3, $4)")
        .bind(index + 1)
        .bind(forged_id)
        .bind(hash)
        .bind(forged.into_bytes())
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("UPDATE ledger_log SET next_index = next_index + 1 WHERE log = 'evidence'")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}

/// RFC 6962's, by a program that is not ours.
pub(crate) fn leaf_hash(entry: &str) -> Vec<u8> {
    let bytes = [&[0], entry.as_bytes()].concat();
    let mut child = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &bytes).unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    (0..32).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
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
