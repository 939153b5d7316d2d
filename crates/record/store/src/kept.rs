//! The copy that is kept of a database before its schema changes: on SQLite a file beside it, on PostgreSQL tables in a
//! schema of their own, made in the transaction that changes the others.
//!
//! There is one copy at most, of the schema before the present one, and for its owner only. It ends when something is
//! erased, for it holds keys and terms that are erased as well.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::{AnyPool, AssertSqlSafe, Executor, Row};

use crate::Tx;
use crate::store::OpenError;

/// What a copy's name begins with, after the database's; what follows is the version of its schema.
const FILE: &str = "schema-";
/// A copy that is being made.
const UNFINISHED: &str = "schema-copying";
/// The same for the name of a PostgreSQL schema.
const SCHEMA: &str = "haris_schema_";

/// Copies a SQLite database of that version beside itself, whole or not at all; copies of other versions go.
pub(crate) async fn copy_file(path: &Path, version: i64, writers: &AnyPool) -> Result<PathBuf, OpenError> {
    let kept = beside(path, &format!("{FILE}{version}"));
    let failed = |source: sqlx::Error| OpenError::NotKept { copy: kept.display().to_string(), source };
    let io = |source: io::Error| failed(sqlx::Error::Io(source));
    let unfinished = beside(path, UNFINISHED);
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    // Empty, and for its owner only: SQLite fills what is there.
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished).map_err(io)?;
    let quoted = unfinished.to_string_lossy().replace('\'', "''");
    let copied = writers.execute(AssertSqlSafe(format!("VACUUM INTO '{quoted}'"))).await;
    let copied = copied.map_err(failed).and_then(|_| finish(&unfinished, &kept).map_err(io));
    if copied.is_err() {
        // Best effort: it takes room that was not there. What stays goes the next time.
        let _ = std::fs::remove_file(&unfinished);
    }
    copied?;
    drop_files(path, Some(&kept)).map_err(io)?;
    tracing::info!(copy = %kept.display(), "a copy of the database is kept: its schema is about to change");
    Ok(kept)
}

fn finish(unfinished: &Path, kept: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    std::fs::rename(unfinished, kept)?;
    File::open(folder_of(kept))?.sync_all()
}

/// Removes the copies beside a SQLite database, `but` one.
pub(crate) fn drop_files(path: &Path, but: Option<&Path>) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let begins = [name.as_encoded_bytes(), b".", FILE.as_bytes()].concat();
    for entry in std::fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let is_copy = entry.file_name().as_encoded_bytes().starts_with(&begins);
        if is_copy && but.and_then(Path::file_name) != Some(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Copies our tables of a PostgreSQL database of that version, keys and indexes included, within `tx`.
pub(crate) async fn copy_tables(tx: &mut Tx<'_>, version: i64) -> Result<String, OpenError> {
    let copy = format!("{SCHEMA}{version}");
    match copied_tables(tx, &copy).await {
        Ok(()) => {
            tracing::info!(schema = copy, "a copy of the tables is kept: their schema is about to change");
            Ok(copy)
        }
        Err(source) => Err(OpenError::NotKept { copy: format!("schema {copy}"), source }),
    }
}

async fn copied_tables(tx: &mut Tx<'_>, copy: &str) -> Result<(), sqlx::Error> {
    drop_schemas(tx).await?;
    run(tx, format!("CREATE SCHEMA {copy}")).await?;
    // Whatever else somebody keeps in this database is not ours to copy.
    let ours =
        "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user";
    for row in sqlx::query(ours).fetch_all(&mut **tx).await? {
        let table = quoted(&row.try_get::<String, _>(0)?);
        run(tx, format!("CREATE TABLE {copy}.{table} (LIKE {table} INCLUDING ALL)")).await?;
        run(tx, format!("INSERT INTO {copy}.{table} SELECT * FROM {table}")).await?;
    }
    Ok(())
}

/// Removes the copies in a PostgreSQL database.
pub(crate) async fn drop_schemas(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    let kept = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'haris\\_schema\\_%' \
                AND pg_get_userbyid(nspowner) = current_user";
    for row in sqlx::query(kept).fetch_all(&mut **tx).await? {
        let schema = quoted(&row.try_get::<String, _>(0)?);
        run(tx, format!("DROP SCHEMA {schema} CASCADE")).await?;
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn run(tx: &mut Tx<'_>, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **tx).await.map(|_| ())
}
