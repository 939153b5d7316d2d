//! The schema's history: files run in order, each once, all that are due in one transaction. On both engines a change of
//! tables is part of its transaction: a migration that is cut off is not there, and the next start begins it anew.

use std::path::Path;

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row};

use crate::store::{OpenError, is_postgres, no_engine, reading_url};
use crate::{Engine, Tx, kept};

/// Every migration, oldest first. A released one is never edited; a change is a new file.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_ledger", include_str!("../migrations/0001_ledger.sql")),
    ("0002_caller_credential", include_str!("../migrations/0002_caller_credential.sql")),
    ("0003_cosignature", include_str!("../migrations/0003_cosignature.sql")),
    ("0004_outbox", include_str!("../migrations/0004_outbox.sql")),
    ("0005_access", include_str!("../migrations/0005_access.sql")),
];

/// The schema that this binary writes. It refuses a database with a higher one.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Where a database's schema stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Which engine answers.
    pub engine: Engine,
    /// The database: a file's path, or a name on PostgreSQL.
    pub database: String,
    /// The newest migration that was run; 0 for a database without any.
    pub found: i64,
    /// Names of those that opening it would run.
    pub pending: Vec<&'static str>,
}

impl Schema {
    /// Looks at a database and changes nothing; `None` when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read, or was written by a newer Haris.
    pub async fn of(sql: &str) -> Result<Option<Self>, OpenError> {
        sqlx::any::install_default_drivers();
        let (engine, url) = match sql.strip_prefix("sqlite:") {
            Some(path) if !Path::new(path).exists() => return Ok(None),
            Some(path) => (Engine::Sqlite, reading_url(Path::new(path))),
            None if is_postgres(sql) => (Engine::Postgres, sql.to_owned()),
            None => return Err(no_engine(sql)),
        };
        let mut connection = AnyConnection::connect(&url).await?;
        let seen = Self::seen(&mut connection, engine, sql).await;
        connection.close().await?;
        seen.map(Some)
    }

    async fn seen(connection: &mut AnyConnection, engine: Engine, sql: &str) -> Result<Self, OpenError> {
        let found = refuse_newer(found(connection, engine).await?)?;
        let database = match engine {
            Engine::Sqlite => sql.trim_start_matches("sqlite:").to_owned(),
            Engine::Postgres => {
                let name = sqlx::query("SELECT current_database()::text").fetch_one(connection).await?;
                name.try_get(0)?
            }
        };
        Ok(Self { engine, database, found, pending: pending(found).map(|(_, name, _)| name).collect() })
    }
}

/// What bringing a schema up to date did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations that were run.
    pub ran: Vec<&'static str>,
    /// Where the copy from before is: a path, or a schema's name on PostgreSQL. None of a database that held nothing.
    pub copy: Option<String>,
}

/// Brings the schema up to [`SCHEMA_VERSION`] within `tx`; on PostgreSQL a copy of the tables is made there first.
pub(crate) async fn run(tx: &mut Tx<'_>, engine: Engine, copying: bool) -> Result<Migrated, OpenError> {
    let current = refuse_newer(found(tx, engine).await?)?;
    let mut migrated = Migrated::default();
    if copying && engine == Engine::Postgres && holds_something(current) {
        migrated.copy = Some(kept::copy_tables(tx, current).await?);
    }
    let versions = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL)";
    sqlx::raw_sql(AssertSqlSafe(engine.ddl(versions))).execute(&mut **tx).await?;
    for (version, name, sql) in pending(current) {
        sqlx::raw_sql(AssertSqlSafe(engine.ddl(sql))).execute(&mut **tx).await?;
        sqlx::query("INSERT INTO schema_version (version, name) VALUES ($1, $2)")
            .bind(version)
            .bind(name)
            .execute(&mut **tx)
            .await?;
        tracing::info!(version, name, "schema migrated");
        migrated.ran.push(name);
    }
    Ok(migrated)
}

/// Version, name and text of those that a database of version `found` lacks.
fn pending(found: i64) -> impl Iterator<Item = (i64, &'static str, &'static str)> {
    let numbered = (1..).zip(MIGRATIONS).map(|(version, (name, sql))| (version, *name, *sql));
    numbered.filter(move |(version, ..)| *version > found)
}

/// Whether a database of that version is one of ours that is about to change.
pub(crate) fn holds_something(found: i64) -> bool {
    (1..SCHEMA_VERSION).contains(&found)
}

fn refuse_newer(found: i64) -> Result<i64, OpenError> {
    if found > SCHEMA_VERSION {
        return Err(OpenError::Newer { found, known: SCHEMA_VERSION });
    }
    Ok(found)
}

/// The version of a database's schema, 0 when it has none.
pub(crate) async fn found(connection: &mut AnyConnection, engine: Engine) -> Result<i64, sqlx::Error> {
    let there = match engine {
        Engine::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'",
        Engine::Postgres => {
            "SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_version'"
        }
    };
    if sqlx::query(there).fetch_one(&mut *connection).await?.try_get::<i64, _>(0)? == 0 {
        return Ok(0);
    }
    let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version");
    row.fetch_one(connection).await?.try_get("version")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::escape;
    use crate::testing::{ENGINES, Scratch};

    fn url(scratch: &Scratch) -> String {
        match scratch.sql().strip_prefix("sqlite:") {
            Some(path) => format!("sqlite:{}?mode=rwc", escape(path)),
            None => scratch.sql().to_owned(),
        }
    }

    /// A database as a Haris left it that knew the first migration only, with one row.
    async fn old(scratch: &Scratch, engine: Engine) {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&url(scratch)).await.unwrap();
        let versions = "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL);
             INSERT INTO schema_version (version, name) VALUES (1, '0001_ledger');
             CREATE TABLE somebody_elses (n INTEGER);";
        for sql in [versions, MIGRATIONS[0].1, "INSERT INTO ledger_log VALUES ('evidence', 'o', 'k', 7)"] {
            sqlx::raw_sql(AssertSqlSafe(engine.ddl(sql))).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }

    fn later() -> Vec<&'static str> {
        MIGRATIONS[1..].iter().map(|(name, _)| *name).collect()
    }

    async fn seen(scratch: &Scratch) -> Schema {
        Schema::of(scratch.sql()).await.unwrap().unwrap()
    }

    /// How many copies there are; each is whole.
    async fn copies(store: &crate::Store, scratch: &Scratch) -> usize {
        match store.engine() {
            Engine::Sqlite => {
                let kept = scratch.path().join("haris.db.schema-1");
                if !kept.exists() {
                    return 0;
                }
                let copy = Schema::of(&format!("sqlite:{}", kept.display())).await.unwrap().unwrap();
                assert_eq!(copy.found, 1);
                let mode = std::os::unix::fs::PermissionsExt::mode(&kept.metadata().unwrap().permissions());
                assert_eq!(mode & 0o777, 0o600, "for its owner only");
                1
            }
            Engine::Postgres => {
                let there = "SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'haris_schema_1'";
                let there: i64 = sqlx::query(there).fetch_one(store.pool()).await.unwrap().get(0);
                if there == 1 {
                    let row = sqlx::query("SELECT next_index FROM haris_schema_1.ledger_log");
                    assert_eq!(row.fetch_one(store.pool()).await.unwrap().get::<i64, _>(0), 7);
                    let key = "SELECT COUNT(*) FROM pg_indexes WHERE schemaname = 'haris_schema_1'";
                    let keys: i64 = sqlx::query(key).fetch_one(store.pool()).await.unwrap().get(0);
                    assert!(keys > 8, "a copy has its keys: {keys}");
                }
                usize::try_from(there).unwrap()
            }
        }
    }

    #[tokio::test]
    async fn looking_changes_nothing_and_opening_keeps_a_copy_until_something_is_erased() {
        for engine in ENGINES {
            let scratch = Scratch::new(engine);
            old(&scratch, engine).await;
            for _ in 0..2 {
                let schema = seen(&scratch).await;
                assert_eq!((schema.engine, schema.found, schema.pending), (engine, 1, later()));
                assert!(!schema.database.contains("postgres:"), "no URL, which may hold a password");
            }
            let store = scratch.open().await.unwrap();
            let row = sqlx::query("SELECT next_index FROM ledger_log").fetch_one(store.pool()).await.unwrap();
            assert_eq!(row.get::<i64, _>(0), 7);
            assert_eq!(copies(&store, &scratch).await, 1, "{engine:?}");
            store.close().await;
            assert_eq!(seen(&scratch).await.pending, Vec::<&str>::new());
            let store = scratch.open().await.unwrap();
            assert_eq!(copies(&store, &scratch).await, 1, "a start without a migration leaves it");
            store.scrub("ledger_log").await.unwrap();
            assert_eq!(copies(&store, &scratch).await, 0, "what is erased is not in a copy either");
            store.close().await;
        }
    }

    #[tokio::test]
    async fn migrating_says_what_it_did_and_a_second_time_finds_nothing() {
        for engine in ENGINES {
            for copying in [true, false] {
                let scratch = Scratch::new(engine);
                old(&scratch, engine).await;
                let migrated = crate::Store::migrate(scratch.sql(), copying).await.unwrap();
                assert_eq!((migrated.ran, migrated.copy.is_some()), (later(), copying));
                assert_eq!(crate::Store::migrate(scratch.sql(), copying).await.unwrap(), Migrated::default());
            }
        }
    }

    /// An old copy may be of any state: the new one takes its place, whole. What a copy that was cut off left goes.
    #[tokio::test]
    async fn an_older_copy_gives_way_to_the_new_one() {
        let scratch = Scratch::new(Engine::Sqlite);
        old(&scratch, Engine::Sqlite).await;
        for name in ["haris.db.schema-0", "haris.db.schema-1", "haris.db.schema-copying"] {
            std::fs::write(scratch.path().join(name), "of last year").unwrap();
        }
        let store = scratch.open().await.unwrap();
        assert_eq!(copies(&store, &scratch).await, 1);
        assert!(!scratch.path().join("haris.db.schema-0").exists());
        assert!(!scratch.path().join("haris.db.schema-copying").exists());
        store.close().await;
    }

    /// Nothing is changed of which no copy can be kept, unless somebody says so.
    #[tokio::test]
    async fn without_a_copy_nothing_is_changed() {
        let scratch = Scratch::new(Engine::Sqlite);
        old(&scratch, Engine::Sqlite).await;
        std::fs::create_dir(scratch.path().join("haris.db.schema-copying")).unwrap();
        let refused = scratch.open().await.err().unwrap();
        assert!(matches!(refused, OpenError::NotKept { .. }), "{refused}");
        assert!(refused.to_string().contains("--without-copy"), "it says what to do: {refused}");
        assert_eq!(seen(&scratch).await.found, 1);
        crate::Store::migrate(scratch.sql(), false).await.unwrap();
        assert_eq!(seen(&scratch).await.found, SCHEMA_VERSION);
    }

    /// Wherever a migration is cut off, the next start makes the same schema of it.
    #[tokio::test]
    async fn an_interrupted_migration_resumes() {
        for engine in ENGINES {
            let scratch = Scratch::new(engine);
            old(&scratch, engine).await;
            for cut in 1..MIGRATIONS.len() {
                // A process that dies here takes its connection and its transaction along.
                let mut connection = AnyConnection::connect(&url(&scratch)).await.unwrap();
                sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
                for (_, sql) in &MIGRATIONS[1..=cut] {
                    sqlx::raw_sql(AssertSqlSafe(engine.ddl(sql))).execute(&mut connection).await.unwrap();
                }
                drop(connection);
                assert_eq!(seen(&scratch).await.found, 1);
            }
            scratch.open().await.unwrap().close().await;
            let schema = seen(&scratch).await;
            assert_eq!((schema.found, schema.pending), (SCHEMA_VERSION, Vec::new()));
        }
    }

    #[tokio::test]
    async fn a_newer_database_is_refused_when_looked_at_and_one_that_is_not_there_is_not_made() {
        let scratch = Scratch::new(Engine::Sqlite);
        assert_eq!(Schema::of(scratch.sql()).await.unwrap(), None);
        assert!(!scratch.path().join("haris.db").exists());
        let store = scratch.open().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        sqlx::raw_sql("INSERT INTO schema_version (version, name) VALUES (99, 'later')")
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        for refused in [Schema::of(scratch.sql()).await.err(), crate::Store::migrate(scratch.sql(), true).await.err()] {
            let refused = refused.unwrap();
            assert!(matches!(refused, OpenError::Newer { found: 99, .. }), "{refused}");
        }
    }
}
