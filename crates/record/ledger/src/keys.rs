//! Day keys and index keys: made ahead of need, wrapped, in rows.

use std::sync::Arc;

use haris_domain::Timestamp;
use haris_keys::{DayKey, DayKeys, IndexKey};
use haris_store::sqlx::{self, Row};

use crate::{Ledger, ReadError};

const DAY_MICROS: i64 = 86_400_000_000;

impl Ledger {
    /// The data keys that are loaded: shared with whoever seals payloads.
    #[must_use]
    pub fn day_keys(&self) -> Arc<DayKeys> {
        Arc::clone(&self.inner().day_keys)
    }

    /// Makes or loads the data keys of today and tomorrow. Call it at start and every hour.
    ///
    /// # Errors
    /// When the database fails or a key does not open.
    pub async fn ensure_day_keys(&self, now: Timestamp) -> Result<(), ReadError> {
        for at in [now, now.plus_micros(DAY_MICROS)] {
            if self.inner().day_keys.for_day(at).is_none() {
                let key = self.make_day_key(at).await?;
                self.inner().day_keys.insert(key);
            }
        }
        Ok(())
    }

    /// The data key of `at`'s day; of several processes that make one, the first to commit wins.
    async fn make_day_key(&self, at: Timestamp) -> Result<DayKey, ReadError> {
        let keys = &self.inner().keys;
        let fresh = keys.new_day_key(at);
        let mut tx = self.store().begin().await?;
        sqlx::query("INSERT INTO ledger_day_key (id, day, wrapped) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(fresh.id())
            .bind(at.day())
            .bind(keys.wrap_day_key(&fresh))
            .execute(&mut *tx)
            .await?;
        let row = sqlx::query("SELECT id, wrapped FROM ledger_day_key WHERE day = $1")
            .bind(at.day())
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        self.unwrap_day_key(&row)
    }

    /// The data key of that id.
    pub(crate) async fn day_key(&self, id: &str) -> Result<Arc<DayKey>, ReadError> {
        if let Some(key) = self.inner().day_keys.get(id) {
            return Ok(key);
        }
        Ok(Arc::new(self.day_key_on_record(id).await?))
    }

    /// The data key of that id, unwrapped from its row even if it is loaded.
    pub(crate) async fn day_key_on_record(&self, id: &str) -> Result<DayKey, ReadError> {
        let row = sqlx::query("SELECT id, wrapped FROM ledger_day_key WHERE id = $1")
            .bind(id)
            .fetch_optional(self.sql())
            .await?
            .ok_or_else(|| ReadError::NoKey { id: id.to_owned() })?;
        self.unwrap_day_key(&row)
    }

    /// Opens the newest data key, which shows that the key-encryption key is the one they were wrapped under.
    pub(crate) async fn try_newest_day_key(&self) -> Result<(), ReadError> {
        let row = sqlx::query("SELECT id, wrapped FROM ledger_day_key ORDER BY day DESC LIMIT 1");
        match row.fetch_optional(self.sql()).await? {
            Some(row) => self.unwrap_day_key(&row).map(|_| ()),
            None => Ok(()),
        }
    }

    fn unwrap_day_key(&self, row: &sqlx::any::AnyRow) -> Result<DayKey, ReadError> {
        let id: String = row.try_get("id")?;
        let wrapped: Vec<u8> = row.try_get("wrapped")?;
        self.inner().keys.unwrap_day_key(&id, &wrapped).map_err(|source| ReadError::Key { id, source })
    }

    /// The index key of `at`'s month, made if need be.
    pub(crate) async fn index_key(&self, at: Timestamp) -> Result<Arc<IndexKey>, ReadError> {
        let month = at.month();
        if let Some(key) = self.inner().index_keys.lock().get(&month) {
            return Ok(Arc::clone(key));
        }
        let keys = &self.inner().keys;
        let mut tx = self.store().begin().await?;
        sqlx::query("INSERT INTO ledger_index_key (month, wrapped) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(month.as_str())
            .bind(keys.wrap_index_key(&keys.new_index_key(at)))
            .execute(&mut *tx)
            .await?;
        let row = sqlx::query("SELECT month, wrapped FROM ledger_index_key WHERE month = $1")
            .bind(month.as_str())
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        self.unwrap_index_key(&row)
    }

    /// The index keys of every month that has one, oldest first.
    pub(crate) async fn all_index_keys(&self) -> Result<Vec<Arc<IndexKey>>, ReadError> {
        let rows =
            sqlx::query("SELECT month, wrapped FROM ledger_index_key ORDER BY month").fetch_all(self.sql()).await?;
        rows.iter().map(|row| self.unwrap_index_key(row)).collect()
    }

    fn unwrap_index_key(&self, row: &sqlx::any::AnyRow) -> Result<Arc<IndexKey>, ReadError> {
        let month: String = row.try_get("month")?;
        let mut cached = self.inner().index_keys.lock();
        if let Some(key) = cached.get(&month) {
            return Ok(Arc::clone(key));
        }
        let wrapped: Vec<u8> = row.try_get("wrapped")?;
        let key = self.inner().keys.unwrap_index_key(&month, &wrapped);
        let key = Arc::new(key.map_err(|source| ReadError::Key { id: format!("index:{month}"), source })?);
        cached.insert(month, Arc::clone(&key));
        Ok(key)
    }
}
