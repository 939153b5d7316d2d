//! The schema's history: files run in order, each once, in a transaction of its own.

use sqlx::{AssertSqlSafe, Row};

use crate::store::OpenError;
use crate::{Engine, Tx};

/// Every migration, oldest first. A released one is never edited; a change is a new file.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_ledger", include_str!("../migrations/0001_ledger.sql")),
    ("0002_caller_credential", include_str!("../migrations/0002_caller_credential.sql")),
    ("0003_cosignature", include_str!("../migrations/0003_cosignature.sql")),
];

/// The schema that this binary writes. It refuses a database with a higher one.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the schema up to [`SCHEMA_VERSION`] within `tx`.
pub(crate) async fn run(tx: &mut Tx<'_>, engine: Engine) -> Result<(), OpenError> {
    let versions = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL)";
    sqlx::raw_sql(AssertSqlSafe(engine.ddl(versions))).execute(&mut **tx).await?;
    let row =
        sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version").fetch_one(&mut **tx).await?;
    let current: i64 = row.try_get("version")?;
    if current > SCHEMA_VERSION {
        return Err(OpenError::Newer { found: current, known: SCHEMA_VERSION });
    }
    for (version, (name, sql)) in (1..).zip(MIGRATIONS) {
        if version <= current {
            continue;
        }
        sqlx::raw_sql(AssertSqlSafe(engine.ddl(sql))).execute(&mut **tx).await?;
        sqlx::query("INSERT INTO schema_version (version, name) VALUES ($1, $2)")
            .bind(version)
            .bind(*name)
            .execute(&mut **tx)
            .await?;
        tracing::info!(version, name, "schema migrated");
    }
    Ok(())
}
