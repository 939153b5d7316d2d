//! Opening the databases, and the two ways to use them: read from the pool, write in a [`Tx`].

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Connection as _, Executor, Row};

use crate::{Blobs, Engine, Folder, Migrated, ReadOnly, kept, migrate};

/// A transaction that may write. Use it as `&mut **tx`.
pub type Tx<'c> = sqlx::Transaction<'c, Any>;

/// Where things lie.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite:PATH` (the path as it is, nothing escaped) or `postgres://…`.
    pub sql: String,
    /// The folder of the blobs.
    pub blobs: PathBuf,
}

/// A store that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Neither engine.
    #[error("database `{given}` is neither `sqlite:PATH` nor `postgres://…`")]
    Url {
        /// The scheme given; never the whole URL, which may hold a password.
        given: String,
    },
    /// A file or folder cannot be made or opened.
    #[error("could not open `{path}`")]
    Io {
        /// Which one.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the database could not be opened")]
    Sql(#[from] sqlx::Error),
    /// Written by a newer Haris.
    #[error("the database has schema {found}, this binary knows {known}: start the newer version of Haris again")]
    Newer {
        /// The database's schema.
        found: i64,
        /// This binary's schema.
        known: i64,
    },
    /// Written by an older Haris, and only to be read.
    #[error("the database has schema {found}, this binary reads {known}: start `haris serve` once, which migrates it")]
    Older {
        /// The database's schema.
        found: i64,
        /// This binary's schema.
        known: i64,
    },
    /// No copy could be kept of a database whose schema is about to change. Nothing was changed.
    #[error(
        "no copy of the database could be kept in `{copy}` before its schema changes; mend that (a copy takes as much \
         room as the database), or make one your own way and run `haris db migrate --without-copy`"
    )]
    NotKept {
        /// Where it was to be.
        copy: String,
        /// What the database or the system said.
        source: sqlx::Error,
    },
    /// The server is set up to lose what it acknowledged.
    #[error("PostgreSQL runs with `{setting}` = {value}: what it acknowledges may be lost; set it to on")]
    NotDurable {
        /// Which setting.
        setting: &'static str,
        /// What it is.
        value: String,
    },
}

/// The databases and blobs of one Haris. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Engine,
    readers: AnyPool,
    /// On PostgreSQL the same pool as `readers`.
    writers: AnyPool,
    /// The file, on SQLite.
    file: Option<PathBuf>,
    blobs: Arc<dyn Blobs>,
}

/// Readers of an embedded database: pages and commands, while the sealer reads its tail.
const SQLITE_READERS: u32 = 4;
/// Well under the 100 connections of a PostgreSQL as it is installed, with several of us on it.
const POSTGRES_CONNECTIONS: u32 = 16;
/// A transaction that has the write lock from its first statement on.
const BEGIN: &str = "BEGIN IMMEDIATE";
/// How long a writer of SQLite waits for those before it. A rebuild of a large log holds on for minutes.
const ACQUIRE_WAIT: Duration = Duration::from_secs(120);
/// How long a PostgreSQL that is away is waited for: whoever asks for the status then still gets an answer.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// The lock of whoever makes or changes tables: of two PostgreSQL sessions that create one table, one fails even with
/// `IF NOT EXISTS`. Locks are per database, so any fixed number will do.
pub const SCHEMA_LOCK: i64 = 0x6861_7269_7301;

impl Store {
    /// Opens both, making and migrating what is not there yet. Of a database whose schema changes a copy is kept.
    ///
    /// # Errors
    /// A URL of neither engine, files or databases that cannot be opened, a schema newer than this binary, one of which
    /// no copy can be kept, a PostgreSQL that would lose acknowledged commits.
    pub async fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let blobs = Folder::open(&options.blobs).map_err(|source| io_error(&options.blobs, source))?;
        Self::open_with(&options.sql, Arc::new(blobs)).await
    }

    /// As [`Store::open`], with blobs from elsewhere.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(sql: &str, blobs: Arc<dyn Blobs>) -> Result<Self, OpenError> {
        let databases = Databases::open(sql).await?;
        databases.migrate(true).await?;
        let Databases { engine, readers, writers, file } = databases;
        Ok(Self(Arc::new(Inner { engine, readers, writers, file, blobs })))
    }

    /// Brings a database's schema up to date, as opening does, and opens nothing else. Without `copying` no copy is kept of
    /// what is changed.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn migrate(sql: &str, copying: bool) -> Result<Migrated, OpenError> {
        let databases = Databases::open(sql).await?;
        let migrated = databases.migrate(copying).await;
        databases.readers.close().await;
        databases.writers.close().await;
        migrated
    }

    /// Opens what is there for reading alone: nothing is made, migrated, cleared or written, and a transaction that
    /// would write fails. The caller sees to it that nobody writes meanwhile.
    ///
    /// # Errors
    /// Files or databases that are not there or cannot be opened, and a schema of another version.
    pub async fn open_reading(options: StoreOptions) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let (engine, readers) = if let Some(path) = options.sql.strip_prefix("sqlite:") {
            (Engine::Sqlite, open_sqlite_reading(Path::new(path)).await?)
        } else if is_postgres(&options.sql) {
            let read_only = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";
            let pool = postgres_pool()
                .after_connect(move |connection, _| {
                    Box::pin(async move { connection.execute(read_only).await.map(|_| ()) })
                })
                .connect(&options.sql);
            (Engine::Postgres, pool.await?)
        } else {
            return Err(no_engine(&options.sql));
        };
        let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version");
        let (found, known) = (row.fetch_one(&readers).await?.try_get("version")?, migrate::SCHEMA_VERSION);
        match found {
            found if found > known => return Err(OpenError::Newer { found, known }),
            found if found < known => return Err(OpenError::Older { found, known }),
            _ => {}
        }
        let blobs = Arc::new(ReadOnly(Folder::at(&options.blobs)));
        Ok(Self(Arc::new(Inner { engine, writers: readers.clone(), readers, file: None, blobs })))
    }

    /// Which database answers.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.0.engine
    }

    /// For reading. On SQLite these connections refuse to write.
    #[must_use]
    pub fn pool(&self) -> &AnyPool {
        &self.0.readers
    }

    /// A transaction that may write. On SQLite it holds the one write lock until it ends.
    ///
    /// # Errors
    /// When no connection can be had.
    pub async fn begin(&self) -> Result<Tx<'static>, sqlx::Error> {
        begin(self.0.engine, &self.0.writers).await
    }

    /// A transaction that holds a lock of the product's own until it ends, and waits for it: one of several processes on
    /// a PostgreSQL gets on. On SQLite there is one process, and its one write lock is enough.
    ///
    /// # Errors
    /// When no connection can be had.
    pub async fn begin_exclusive(&self, lock: i64) -> Result<Tx<'static>, sqlx::Error> {
        begin_exclusive(self.0.engine, &self.0.writers, lock).await
    }

    /// The blobs.
    #[must_use]
    pub fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.0.blobs
    }

    /// Makes deleted rows unreadable in the database's own files, as far as the engine can:
    /// SQLite overwrites them (secure_delete) and here empties its write-ahead log; PostgreSQL
    /// drops dead rows from the pages of `table`, while its write-ahead log ages by its own rules.
    /// The copy that a migration kept goes: it holds them as well.
    ///
    /// # Errors
    /// When the database refuses, or readers keep the write-ahead log in use for seconds on end.
    pub async fn scrub(&self, table: &'static str) -> Result<(), sqlx::Error> {
        match self.0.engine {
            Engine::Sqlite => {
                if let Some(file) = &self.0.file {
                    kept::drop_files(file, None)?;
                }
                for _ in 0..50 {
                    let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.0.writers).await?;
                    // First column: 1 when a reader was in the way.
                    if row.try_get::<i64, _>(0)? == 0 {
                        return Ok(());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(sqlx::Error::Protocol("the write-ahead log stayed in use and could not be emptied".into()))
            }
            Engine::Postgres => {
                let mut tx = self.begin_exclusive(SCHEMA_LOCK).await?;
                kept::drop_schemas(&mut tx).await?;
                tx.commit().await?;
                let vacuum = sqlx::AssertSqlSafe(format!("VACUUM {table}"));
                sqlx::raw_sql(vacuum).execute(&self.0.writers).await.map(|_| ())
            }
        }
    }

    /// Ends every connection. On SQLite this also folds the write-ahead log into the database.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writers.close().await;
    }
}

async fn begin(engine: Engine, writers: &AnyPool) -> Result<Tx<'static>, sqlx::Error> {
    match engine {
        // A deferred transaction that reads first and then writes can fail with a stale
        // snapshot; one that takes the lock at once cannot.
        Engine::Sqlite => match writers.begin_with(BEGIN).await {
            // A commit that failed on a full disk has ended the transaction in SQLite, and the rollback that
            // follows fails: sqlx then counts a transaction for good that is none. The connection is given up.
            Err(sqlx::Error::InvalidSavePointStatement | sqlx::Error::BeginFailed) => {
                writers.acquire().await?.close().await?;
                writers.begin_with(BEGIN).await
            }
            begun => begun,
        },
        Engine::Postgres => writers.begin().await,
    }
}

async fn begin_exclusive(engine: Engine, writers: &AnyPool, lock: i64) -> Result<Tx<'static>, sqlx::Error> {
    let mut tx = begin(engine, writers).await?;
    if engine == Engine::Postgres {
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut *tx).await?;
    }
    Ok(tx)
}

/// Connections to a database whose schema may be an older one, or none.
struct Databases {
    engine: Engine,
    readers: AnyPool,
    writers: AnyPool,
    file: Option<PathBuf>,
}

impl Databases {
    async fn open(sql: &str) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        if let Some(path) = sql.strip_prefix("sqlite:") {
            let (readers, writers) = open_sqlite(Path::new(path)).await?;
            return Ok(Self { engine: Engine::Sqlite, readers, writers, file: Some(path.into()) });
        }
        if is_postgres(sql) {
            let pool = open_postgres(sql).await?;
            return Ok(Self { engine: Engine::Postgres, readers: pool.clone(), writers: pool, file: None });
        }
        Err(no_engine(sql))
    }

    async fn migrate(&self, copying: bool) -> Result<Migrated, OpenError> {
        let mut copy = None;
        // On SQLite the copy is a file of its own, and no transaction may be open while it is made. Whoever opens the
        // database holds the lock of the data directory: nobody else writes meanwhile.
        if let Some(file) = self.file.as_ref().filter(|_| copying) {
            let found = {
                let mut connection = self.writers.acquire().await?;
                migrate::found(&mut connection, self.engine).await?
            };
            if migrate::holds_something(found) {
                copy = Some(kept::copy_file(file, found, &self.writers).await?.display().to_string());
            }
        }
        let mut tx = begin_exclusive(self.engine, &self.writers, SCHEMA_LOCK).await?;
        let mut migrated = migrate::run(&mut tx, self.engine, copying).await?;
        tx.commit().await?;
        migrated.copy = migrated.copy.or(copy);
        Ok(migrated)
    }
}

async fn open_sqlite(path: &Path) -> Result<(AnyPool, AnyPool), OpenError> {
    // SQLite gives its WAL and shared-memory files the mode of the database; ours is 0600.
    let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    made.map_err(|source| io_error(path, source))?;
    let url = format!("sqlite:{}", escape(&path.to_string_lossy()));
    // A pool tries again for minutes and then says only that it waited: a damaged file is named here.
    let mut first = <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await?;
    sqlite_settings(&mut first, false).await?;
    first.close().await?;
    let writers = AnyPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(ACQUIRE_WAIT)
        .after_connect(|connection, _| Box::pin(async move { sqlite_settings(connection, false).await }))
        .connect(&url)
        .await?;
    let readers = AnyPoolOptions::new()
        .max_connections(SQLITE_READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| Box::pin(async move { sqlite_settings(connection, true).await }))
        .connect(&url)
        .await?;
    Ok((readers, writers))
}

/// A database without a write-ahead log is whole in its file, and is read without the files that SQLite would lay
/// beside it; one that was not closed is read with its log, which stays as it is.
pub(crate) fn reading_url(path: &Path) -> String {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(name).ok().map(|meta| meta.len())
    };
    // With both files there somebody may have it open, and write to the log at any moment.
    let logged = beside("-wal").is_some_and(|bytes| bytes > 0 || beside("-shm").is_some());
    let how = if logged { "mode=ro" } else { "mode=ro&immutable=true" };
    format!("sqlite:{}?{how}", escape(&path.to_string_lossy()))
}

async fn open_sqlite_reading(path: &Path) -> Result<AnyPool, OpenError> {
    let metadata = std::fs::metadata(path).map_err(|source| io_error(path, source))?;
    if metadata.len() == 0 {
        return Err(io_error(path, std::io::Error::new(std::io::ErrorKind::InvalidData, "it is empty")));
    }
    let url = reading_url(path);
    // As above: a pool would not say what is wrong with a damaged file.
    <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await?.close().await?;
    let readers = AnyPoolOptions::new().max_connections(SQLITE_READERS).idle_timeout(None).max_lifetime(None);
    let settings = "PRAGMA busy_timeout=10000; PRAGMA temp_store=MEMORY; PRAGMA query_only=ON;";
    Ok(readers
        .after_connect(move |connection, _| Box::pin(async move { connection.execute(settings).await.map(|_| ()) }))
        .connect(&url)
        .await?)
}

async fn sqlite_settings(connection: &mut sqlx::AnyConnection, reader: bool) -> Result<(), sqlx::Error> {
    // FULL: a commit is on the disk when it returns. temp_store: what SQLite spills never reaches
    // a temporary file. secure_delete: a destroyed key leaves no bytes in free pages.
    // page_size: of a new database. Events are longer than a kilobyte, and pages are what is written.
    let settings = "PRAGMA page_size=16384; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; \
        PRAGMA foreign_keys=ON; PRAGMA busy_timeout=10000; PRAGMA temp_store=MEMORY;";
    connection.execute(settings).await?;
    if reader {
        connection.execute("PRAGMA query_only=ON").await?;
    }
    Ok(())
}

pub(crate) fn is_postgres(sql: &str) -> bool {
    sql.starts_with("postgres://") || sql.starts_with("postgresql://")
}

pub(crate) fn no_engine(sql: &str) -> OpenError {
    OpenError::Url { given: sql.split(':').next().unwrap_or_default().chars().take(32).collect() }
}

fn postgres_pool() -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).acquire_timeout(CONNECT_WAIT)
}

async fn open_postgres(url: &str) -> Result<AnyPool, OpenError> {
    let pool = postgres_pool().connect(url).await?;
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let row = sqlx::query("SELECT current_setting($1)").bind(setting).fetch_one(&pool).await?;
        let value: String = row.try_get(0)?;
        if value == "off" {
            return Err(OpenError::NotDurable { setting, value });
        }
    }
    Ok(pool)
}

/// The URL's path is percent-decoded, and a `?` or `#` would end it.
pub(crate) fn escape(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

fn io_error(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io { path: path.display().to_string(), source }
}
