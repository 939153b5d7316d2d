//! Witnesses: their cosignatures beside this ledger's checkpoints, and what they remember held against what is here.
//!
//! The row of a cosignature is its truth; the published checkpoint and every bundle carry a copy. Whoever talks to a
//! witness lives above: here is what to send, and what an answer means.

use std::time::Duration;

use haris_domain::Log;
use haris_merkle::note::Signature;
use haris_merkle::{Checkpoint, Note, Submission, VerifierKey, tree};
use haris_store::sqlx::{self, Row};
use tokio::sync::watch;

use crate::read::{integer, natural};
use crate::{CheckpointRow, Ledger, ReadError};

/// What one key of a witness signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// `name+id` of the key.
    pub signer: String,
    /// When, in POSIX seconds by the witness's clock.
    pub at: u64,
    /// The signature line, without its newline.
    pub line: String,
}

/// How a checkpoint that somebody outside keeps stands to this ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is a prefix of what is here, or the same.
    Prefix {
        /// Entries it covers.
        size: u64,
    },
    /// This log signed it, and what is here is shorter: an old copy was put back.
    Ahead {
        /// Entries it covers.
        size: u64,
        /// Entries that are sealed here.
        ours: u64,
    },
    /// This log signed it, and what is here has another root at its size: two histories.
    Fork {
        /// Entries it covers.
        size: u64,
    },
    /// It is not a checkpoint that this log has signed: it says nothing.
    NotOurs {
        /// Why not.
        why: String,
    },
}

impl Ledger {
    /// Tells of each round that sealed something.
    #[must_use]
    pub fn on_sealed(&self) -> watch::Receiver<u64> {
        self.inner().sealed.subscribe()
    }

    /// The keys of witnesses that this installation is told of: `fsck` checks what is on record under them.
    pub fn know_witnesses(&self, keys: Vec<VerifierKey>) {
        *self.inner().witness_keys.lock() = keys;
    }

    /// Stops everything that signs, for the rest of this process. `why` goes into every refusal.
    pub fn bar_signing(&self, why: String) {
        let mut barred = self.inner().barred.lock();
        if barred.is_none() {
            tracing::error!(why, "nothing is signed any more");
            *barred = Some(why);
        }
    }

    /// Why nothing is signed, if so.
    #[must_use]
    pub fn signing_barred(&self) -> Option<String> {
        self.inner().barred.lock().clone()
    }

    /// What to send a witness that knows the log at `old` entries.
    ///
    /// # Errors
    /// When `old` is beyond the checkpoint, or a tile cannot be had.
    pub async fn submission(&self, row: &CheckpointRow, old: u64) -> Result<Submission, ReadError> {
        let (tiles, size) = (self.tiles(row.log), row.size);
        let proof = move |_: &dyn haris_store::Blobs| {
            tree::consistency(&tiles, old, size).map_err(|error| tiles.tree_error(error))
        };
        let path = self.blocking(proof).await?;
        let (checkpoint, note) = parse(row)?;
        Ok(Submission { old, path, checkpoint, note })
    }

    /// Up to which size a key of a witness has cosigned, and when that was, in POSIX seconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cosigned_by(&self, log: Log, key: &VerifierKey) -> Result<Option<(u64, u64)>, ReadError> {
        let row = sqlx::query(
            "SELECT size, at FROM ledger_cosignature WHERE log = $1 AND signer = $2 ORDER BY size DESC LIMIT 1",
        )
        .bind(log.name())
        .bind(haris_verify::trust::label(key))
        .fetch_optional(self.sql())
        .await?;
        row.map(|row| Ok((natural(&row, "size")?, natural(&row, "at")?))).transpose()
    }

    /// Puts down what a witness signed under `row`, and publishes it with the checkpoint if that is still the newest.
    /// The first cosignature of a key counts: from then on the operator was bound.
    ///
    /// # Errors
    /// When the database or the blobs fail.
    pub async fn add_cosignatures(
        &self,
        row: &CheckpointRow,
        signed: &[(VerifierKey, u64, Signature)],
    ) -> Result<(), ReadError> {
        let mut tx = self.store().begin().await?;
        let mut added = 0;
        for (key, at, line) in signed {
            let inserted = sqlx::query(
                "INSERT INTO ledger_cosignature (log, size, signer, at, line) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(row.log.name())
            .bind(integer(row.size))
            .bind(haris_verify::trust::label(key))
            .bind(integer(*at))
            .bind(line.to_string())
            .execute(&mut *tx)
            .await?;
            added += inserted.rows_affected();
        }
        tx.commit().await?;
        if added == 0 {
            return Ok(());
        }
        // The sealer publishes too: under its lock nothing newer is overwritten.
        let sealer = self.inner().sealer.lock().await;
        if self.checkpoint(row.log).await?.is_some_and(|newest| newest.size == row.size) {
            let (path, note) = (self.tiles(row.log).path("checkpoint"), self.cosigned_note(row).await?);
            self.blocking(move |blobs| blobs.put(&path, note.as_bytes())).await?;
        }
        drop(sealer);
        self.inner().cosigned.send_modify(|count| *count += 1);
        Ok(())
    }

    /// The cosignatures of one checkpoint, in the order of their signers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cosignatures(&self, log: Log, size: u64) -> Result<Vec<Cosignature>, ReadError> {
        let rows =
            sqlx::query("SELECT signer, at, line FROM ledger_cosignature WHERE log = $1 AND size = $2 ORDER BY signer")
                .bind(log.name())
                .bind(integer(size))
                .fetch_all(self.sql())
                .await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Cosignature { signer: row.try_get("signer")?, at: natural(row, "at")?, line: row.try_get("line")? })
        };
        rows.iter().map(read).collect()
    }

    /// A checkpoint's note with the cosignatures that came in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cosigned_note(&self, row: &CheckpointRow) -> Result<String, ReadError> {
        let mut note = row.note.clone();
        for cosignature in self.cosignatures(row.log, row.size).await? {
            note.push_str(&cosignature.line);
            note.push('\n');
        }
        Ok(note)
    }

    /// The newest checkpoint of at least `size` entries under which the most keys of witnesses have signed; waits at
    /// most `patience` for one under which `wanted` have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn best_witnessed(
        &self,
        log: Log,
        size: u64,
        wanted: usize,
        patience: Duration,
    ) -> Result<Option<CheckpointRow>, ReadError> {
        let until = tokio::time::Instant::now() + patience;
        let mut news = self.inner().cosigned.subscribe();
        loop {
            let row = sqlx::query(
                "SELECT c.size AS size, COUNT(s.signer) AS signers FROM ledger_checkpoint c \
                 LEFT JOIN ledger_cosignature s ON s.log = c.log AND s.size = c.size \
                 WHERE c.log = $1 AND c.size >= $2 GROUP BY c.size ORDER BY signers DESC, c.size DESC LIMIT 1",
            )
            .bind(log.name())
            .bind(integer(size))
            .fetch_optional(self.sql())
            .await?;
            let Some(row) = row else { return Ok(None) };
            let (best, signers) = (natural(&row, "size")?, natural(&row, "signers")?);
            let late = tokio::time::Instant::now() >= until;
            if signers >= wanted as u64 || late {
                return Ok(self.checkpoint_covering(log, best).await?.filter(|row| row.size == best));
            }
            let _ = tokio::time::timeout_at(until, news.changed()).await;
        }
    }

    /// Holds a checkpoint that somebody outside keeps against what is here.
    ///
    /// # Errors
    /// When the database or a tile cannot be read.
    pub async fn standing(&self, log: Log, note: &[u8]) -> Result<Standing, ReadError> {
        let not_ours = |why: String| Ok(Standing::NotOurs { why });
        let (theirs, note) = match Checkpoint::parse(note) {
            Ok(parsed) => parsed,
            Err(error) => return not_ours(error.to_string()),
        };
        if theirs.origin != self.origin(log) {
            return not_ours(format!("it is a checkpoint of `{}`", theirs.origin));
        }
        if let Err(error) = note.verify(self.verifier_keys(log)) {
            return not_ours(error.to_string());
        }
        let ours = self.checkpoint(log).await?.map_or(0, |row| row.size);
        if theirs.size > ours {
            return Ok(Standing::Ahead { size: theirs.size, ours });
        }
        let (tiles, size) = (self.tiles(log), theirs.size);
        let root =
            self.blocking(move |_| tree::root_at(&tiles, size, ours).map_err(|error| tiles.tree_error(error))).await?;
        Ok(if root == theirs.root { Standing::Prefix { size } } else { Standing::Fork { size } })
    }
}

fn parse(row: &CheckpointRow) -> Result<(Checkpoint, Note), ReadError> {
    Checkpoint::parse(row.note.as_bytes()).map_err(|error| ReadError::Damaged {
        what: format!("the checkpoint of {} entries of the {} log", row.size, row.log),
        why: error.to_string(),
    })
}
