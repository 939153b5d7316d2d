//! From a spool into the ledger: read, append, release, again.

use std::time::Duration;

use haris_spool::{Position, ReadError as SpoolReadError, Spool};
use haris_store::sqlx;
use tokio::sync::watch;

use crate::{Ledger, ReadError, ShipError};

/// One transaction's worth: long enough to share its sync, short enough that a command waits little behind it.
const RECORDS_PER_BATCH: usize = 250;
/// What of a spool is held in memory at once.
const BYTES_PER_BATCH: usize = 4 << 20;
/// After an error, before trying again. The events wait in the spool meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Requests that finish together are shipped together: a batch costs two syncs however long it is.
const GATHER: Duration = Duration::from_millis(200);

/// What became of one batch.
struct Shipped {
    /// Where to go on.
    next: Position,
    /// Events that were new.
    count: usize,
    /// More may be waiting.
    is_full: bool,
}

impl Ledger {
    /// Ships what the spool holds now, and gives how many events that were.
    ///
    /// # Errors
    /// When the spool cannot be read or the ledger refuses.
    pub async fn drain(&self, spool: &Spool, name: &str) -> Result<usize, ShipError> {
        let mut from = self.ship_from(spool, name).await?;
        let mut shipped = 0;
        loop {
            let batch = self.ship_batch(spool, name, from).await?;
            shipped += batch.count;
            if batch.next == from {
                return Ok(shipped);
            }
            from = batch.next;
        }
    }

    /// Ships until `stop` says true or its sender is gone, then what is left. Errors are logged and tried again.
    pub async fn ship(&self, spool: Spool, name: &str, mut stop: watch::Receiver<bool>) {
        let mut trouble = None;
        while !*stop.borrow_and_update() {
            let from = match self.catch_up(&spool, name).await {
                Ok(from) => from,
                Err(error) => {
                    report(name, &error, &mut trouble);
                    tokio::select! {
                        () = tokio::time::sleep(RETRY_AFTER) => continue,
                        changed = stop.changed() => if changed.is_err() { break } else { continue },
                    }
                }
            };
            tokio::select! {
                () = spool.wait_readable(from) => tokio::time::sleep(GATHER).await,
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        if let Err(error) = self.drain(&spool, name).await {
            report(name, &error, &mut None);
        }
    }

    /// Ships until less than a batch is left: what comes meanwhile waits for the next, since each costs its syncs.
    async fn catch_up(&self, spool: &Spool, name: &str) -> Result<Position, ShipError> {
        let mut from = self.ship_from(spool, name).await?;
        loop {
            let batch = self.ship_batch(spool, name, from).await?;
            from = batch.next;
            if !batch.is_full {
                return Ok(from);
            }
        }
    }

    /// Where to go on. What was shipped before a crash may still lie in the spool: it is released here.
    async fn ship_from(&self, spool: &Spool, name: &str) -> Result<Position, ShipError> {
        let recorded = self.spool_position(name).await?;
        spool.release(recorded);
        Ok(recorded)
    }

    async fn ship_batch(&self, spool: &Spool, name: &str, from: Position) -> Result<Shipped, ShipError> {
        let reader = spool.clone();
        let read = tokio::task::spawn_blocking(move || reader.read(from, RECORDS_PER_BATCH, BYTES_PER_BATCH));
        let batch = match read.await.expect("reading a spool does not panic and is not aborted") {
            Ok(batch) => batch,
            Err(error) => {
                return Ok(Shipped { next: self.ship_past(name, from, error).await?, count: 0, is_full: true });
            }
        };
        if batch.next == from {
            return Ok(Shipped { next: from, count: 0, is_full: false });
        }
        let count = self.ingest(name, &batch.records, batch.next).await?;
        spool.release(batch.next);
        let payloads = batch.records.iter().flat_map(|record| &record.payloads);
        let bytes: usize = payloads.map(|payload| payload.ciphertext.len()).sum();
        let is_full = batch.records.len() >= RECORDS_PER_BATCH || bytes >= BYTES_PER_BATCH / 2;
        Ok(Shipped { next: batch.next, count, is_full })
    }

    /// Where to go on when a spool cannot be read at `from`. What follows must not be lost with what is: the spool
    /// keeps damage on its own list, and a gap in `n` shows what is missing.
    async fn ship_past(&self, name: &str, from: Position, error: SpoolReadError) -> Result<Position, ShipError> {
        match error {
            SpoolReadError::Damaged { damage } => {
                tracing::error!(spool = name, %damage, "a stretch of the spool is unreadable; shipping goes on after it");
                self.ingest(name, &[], damage.to).await?;
                Ok(damage.to)
            }
            SpoolReadError::Gone { .. } => {
                let recorded = self.spool_position(name).await?;
                if recorded > from {
                    // Another shipper was faster, and what it shipped was released.
                    return Ok(recorded);
                }
                tracing::error!(spool = name, %error, "shipping goes on with what is left");
                Ok(Position::START)
            }
            // The spool was emptied or replaced, and begins anew: what was shipped from it before has no meaning now.
            // Events are recognised by their ids, so none is appended twice.
            SpoolReadError::Ahead { .. } => {
                tracing::error!(spool = name, %error, "the spool is not the one it was; shipping begins anew");
                let mut tx = self.store().begin().await.map_err(ReadError::from)?;
                let forget = sqlx::query("DELETE FROM ledger_spool_position WHERE spool = $1").bind(name);
                forget.execute(&mut *tx).await.map_err(ReadError::from)?;
                tx.commit().await.map_err(ReadError::from)?;
                Ok(Position::START)
            }
            error => Err(error.into()),
        }
    }
}

/// Says what keeps events in the spool, once for as long as it is the same.
fn report(spool: &str, error: &ShipError, known: &mut Option<String>) {
    let error = crate::error::chain(error);
    if known.as_ref() != Some(&error) {
        tracing::error!(spool, error, "events stay in the spool");
        *known = Some(error);
    }
}
