//! What a store promises, on both engines.

use haris_store::sqlx::{self, Row};
use haris_store::testing::{ENGINES, Scratch};
use haris_store::{Engine, OpenError, SCHEMA_VERSION, Store, StoreOptions, Value, insert};

#[tokio::test]
async fn a_database_is_migrated_once_and_a_newer_one_refused() {
    for engine in ENGINES {
        let scratch = Scratch::new(engine);
        let store = scratch.open().await.unwrap();
        assert_eq!(store.engine(), engine);
        store.close().await;
        let store = scratch.open().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        sqlx::query("INSERT INTO schema_version (version, name) VALUES ($1, $2)")
            .bind(SCHEMA_VERSION + 1)
            .bind("from the future")
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        let refused = scratch.open().await.err().unwrap();
        assert!(matches!(refused, OpenError::Newer { found, known } if found == known + 1), "{refused}");
    }
}

#[tokio::test]
async fn many_rows_go_in_and_come_back() {
    for engine in ENGINES {
        let scratch = Scratch::new(engine);
        let store = scratch.open().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let ddl = engine.ddl("CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB NOT NULL, s TEXT)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(ddl)).execute(&mut *tx).await.unwrap();
        let row = |n: i64| {
            [Value::from(n << 33), Value::from(vec![0, 255]), Value::MaybeText((n % 2 == 0).then(|| "x".into()))]
        };
        assert_eq!(insert(&mut tx, "t", ["n", "b", "s"], (0..1001).map(row).collect(), "").await.unwrap(), 1001);
        let again =
            insert(&mut tx, "t", ["n", "b", "s"], (1000..1002).map(row).collect(), "ON CONFLICT DO NOTHING").await;
        assert_eq!(again.unwrap(), 1);
        tx.commit().await.unwrap();
        let row = sqlx::query("SELECT COUNT(*) AS rows, MAX(n) AS last, COUNT(s) AS texts FROM t");
        let row = row.fetch_one(store.pool()).await.unwrap();
        assert_eq!(row.get::<i64, _>("rows"), 1002);
        assert_eq!(row.get::<i64, _>("last"), 1001 << 33);
        assert_eq!(row.get::<i64, _>("texts"), 501);
    }
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing_and_writers_wait_for_each_other() {
    for engine in ENGINES {
        let scratch = Scratch::new(engine);
        let store = scratch.open().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (n BIGINT)").execute(&mut *tx).await.unwrap();
        sqlx::raw_sql("INSERT INTO t VALUES (0)").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let mut dropped = store.begin().await.unwrap();
        sqlx::raw_sql("UPDATE t SET n = 1000").execute(&mut *dropped).await.unwrap();
        drop(dropped);
        let writers: Vec<_> = (0..20)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut tx = store.begin().await.unwrap();
                    sqlx::raw_sql("UPDATE t SET n = n + 1").execute(&mut *tx).await.unwrap();
                    tx.commit().await.unwrap();
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let row = sqlx::query("SELECT n FROM t").fetch_one(store.pool()).await.unwrap();
        assert_eq!(row.get::<i64, _>("n"), 20);
    }
}

#[tokio::test]
async fn sqlite_is_as_durable_and_private_as_it_can_be() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new(Engine::Sqlite);
    let store = scratch.open().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for (pragma, wanted) in [("synchronous", 2_i64), ("secure_delete", 1), ("foreign_keys", 1), ("temp_store", 2)] {
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"));
        let row = sqlx::query(sql).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), wanted, "{pragma}");
    }
    drop(tx);
    for file in ["haris.db", "haris.db-wal", "haris.db-shm"] {
        let mode = std::fs::metadata(scratch.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let refused = sqlx::raw_sql("DELETE FROM schema_version").execute(store.pool()).await;
    assert!(refused.is_err(), "readers do not write");
}

/// A file name may hold what would end or change a URL.
#[tokio::test]
async fn a_path_is_taken_as_it_is() {
    let scratch = Scratch::new(Engine::Sqlite);
    let path = scratch.path().join("a b?c#d%41.db");
    let options = haris_store::StoreOptions { sql: format!("sqlite:{}", path.display()), ..scratch.options() };
    haris_store::Store::open(options).await.unwrap().close().await;
    assert!(path.exists());
    assert!(!scratch.path().join("a b").exists());
}

#[tokio::test]
async fn a_deleted_row_leaves_no_bytes_in_sqlite_files() {
    let scratch = Scratch::new(Engine::Sqlite);
    let store = scratch.open().await.unwrap();
    let marker = "MARKER-0f8d3c7e55";
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (s TEXT)").execute(&mut *tx).await.unwrap();
    sqlx::query("INSERT INTO t VALUES ($1)").bind(marker).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let found = |name: &str| {
        let bytes = std::fs::read(scratch.path().join(name)).unwrap();
        bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
    };
    assert!(found("haris.db-wal"), "the test looks in the right place");
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql("DELETE FROM t").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    store.scrub("t").await.unwrap();
    assert!(!found("haris.db") && !found("haris.db-wal"));
}

#[tokio::test]
async fn a_url_of_neither_engine_is_refused_without_its_password() {
    let scratch = Scratch::new(Engine::Sqlite);
    let options = haris_store::StoreOptions { sql: "mysql://user:secret@host/db".into(), ..scratch.options() };
    let refused = haris_store::Store::open(options).await.err().unwrap().to_string();
    assert!(refused.contains("mysql") && !refused.contains("secret"), "{refused}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("haris.db");
    std::fs::write(&path, [0x5a; 4096]).unwrap();
    let sql = format!("sqlite:{}", path.display());
    let error = Store::open(StoreOptions { sql, blobs: folder.path().join("blobs") }).await.err().unwrap();
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("not a database"), "{error}: {cause}");
}

/// A full disk fails the commit, SQLite ends the transaction by itself, and the rollback after it fails too.
#[tokio::test]
async fn a_writer_recovers_once_a_full_disk_has_room_again() {
    let scratch = Scratch::new(Engine::Sqlite);
    let store = scratch.open().await.unwrap();
    let pages = |count: i64| sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {count}"));
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB NOT NULL)").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql(pages(1)).execute(&mut *tx).await.unwrap();
    let full = insert(&mut tx, "t", ["n", "b"], vec![[Value::from(1), vec![7; 1 << 20].into()]], "").await;
    assert!(full.unwrap_err().to_string().contains("full"));
    drop(tx);

    // A fresh connection has its own limit of pages: none, as on a disk that was emptied.
    for n in 2..4 {
        let mut tx = store.begin().await.unwrap();
        insert(&mut tx, "t", ["n", "b"], vec![[Value::from(n), vec![7; 1 << 20].into()]], "").await.unwrap();
        tx.commit().await.unwrap();
    }
}
