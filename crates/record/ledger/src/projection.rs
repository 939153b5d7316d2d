//! Folds: tables that events alone determine.

use async_trait::async_trait;
use haris_domain::{Event, Log};
use haris_store::Tx;
use haris_store::sqlx;

/// One event on its way into the folds.
#[derive(Clone, Copy, Debug)]
pub struct Folded<'a> {
    /// The log that holds it.
    pub log: Log,
    /// Its place there.
    pub index: u64,
    /// What it says.
    pub event: &'a Event,
}

/// A fold from events to tables, run in the transaction that appends them.
///
/// It sees events and its own tables only: no clock, no other fold, no payload. Events of one log
/// come in order; nothing may depend on the order between the two logs. Then a rebuild gives the
/// same tables.
#[async_trait]
pub trait Projection: Send + Sync {
    /// Names it in the database; never reused.
    fn name(&self) -> &'static str;

    /// Raised when the same events should give other tables: they are then folded anew at start.
    fn version(&self) -> u32;

    /// Its tables: dropped and made again by a rebuild, compared by `--check`.
    fn tables(&self) -> &'static [&'static str];

    /// `CREATE TABLE IF NOT EXISTS …; CREATE INDEX IF NOT EXISTS …;` in the portable subset: on PostgreSQL the words
    /// `BLOB` and `INTEGER` read `BYTEA` and `BIGINT`.
    fn schema(&self) -> &'static str;

    /// Folds a batch, in the order of each log.
    ///
    /// # Errors
    /// Whatever the database says; the append then fails as a whole.
    async fn apply(&self, tx: &mut Tx<'_>, events: &[Folded<'_>]) -> Result<(), sqlx::Error>;
}
