//! What is due, what was delivered, and when to try again.

use std::collections::HashMap;
use std::time::Duration;

use haris_domain::{Severity, Timestamp};
use haris_store::Store;
use haris_store::sqlx::{self, Row};
use parking_lot::Mutex;
use serde_json::Value;

use crate::{NotDelivered, Sink};

/// A message for an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Names it for good: the same each time it is sent.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// One line for a person.
    pub text: String,
    /// The same for a program.
    pub body: Value,
    /// Sent again after [`Outbox`]'s pause for as long as it is handed over.
    pub repeats: bool,
}

/// After a failure the next try waits, twice as long each time.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LAST: Duration = Duration::from_secs(300);
/// Deliveries that are remembered here; older ones are looked up.
const REMEMBERED_MAX: usize = 1_024;

/// Sends messages to one sink.
pub struct Outbox {
    store: Store,
    sink: Sink,
    repeat: Duration,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// When each was last delivered, by a clock that nobody sets: repeats follow it, not the wall.
    delivered: HashMap<String, Duration>,
    /// Not before then.
    rest_until: Duration,
    rest: Duration,
}

impl Outbox {
    /// An outbox that sends what repeats again after `repeat`.
    #[must_use]
    pub fn new(store: Store, sink: Sink, repeat: Duration) -> Self {
        Self { store, sink, repeat, memory: Mutex::default() }
    }

    /// Sends what is due of `messages`, in their order, and gives how many were delivered. `monotonic` is the time since
    /// this process started.
    ///
    /// # Errors
    /// The sink's first failure; what follows it waits for the next call, so that order is kept.
    pub async fn tend(&self, messages: &[Message], now: Timestamp, monotonic: Duration) -> Result<usize, NotDelivered> {
        if monotonic < self.memory.lock().rest_until {
            return Ok(0);
        }
        let mut delivered = 0;
        for message in messages {
            if !self.is_due(message, now, monotonic).await {
                continue;
            }
            if let Err(error) = self.sink.send(message, now).await {
                let mut memory = self.memory.lock();
                memory.rest = (memory.rest * 2).clamp(RETRY_FIRST, RETRY_LAST);
                memory.rest_until = monotonic + memory.rest;
                return Err(error);
            }
            self.note(message, now, monotonic).await;
            delivered += 1;
        }
        Ok(delivered)
    }

    async fn is_due(&self, message: &Message, now: Timestamp, monotonic: Duration) -> bool {
        if let Some(at) = self.memory.lock().delivered.get(&message.key) {
            return message.repeats && monotonic.saturating_sub(*at) >= self.repeat;
        }
        match self.last(&message.key).await {
            // A start before this one delivered it. Only its wall clock is known: set back since, it says nothing.
            Ok(Some(at)) => {
                let passed = now.micros().saturating_sub(at.micros());
                let repeat = i64::try_from(self.repeat.as_micros()).unwrap_or(i64::MAX);
                message.repeats && !(0..repeat).contains(&passed)
            }
            Ok(None) => true,
            // Without a database it is sent rather than not.
            Err(_) => true,
        }
    }

    async fn last(&self, key: &str) -> Result<Option<Timestamp>, sqlx::Error> {
        let row = sqlx::query("SELECT at FROM outbox_delivery WHERE message = $1").bind(key);
        let row = row.fetch_optional(self.store.pool()).await?;
        row.map(|row| Ok(Timestamp::from_micros(row.try_get("at")?))).transpose()
    }

    /// What cannot be noted is remembered here, and sent once more after a restart.
    async fn note(&self, message: &Message, now: Timestamp, monotonic: Duration) {
        {
            let mut memory = self.memory.lock();
            if memory.delivered.len() >= REMEMBERED_MAX {
                memory.delivered.clear();
            }
            memory.delivered.insert(message.key.clone(), monotonic);
            memory.rest = Duration::ZERO;
        }
        let noted = async {
            let mut tx = self.store.begin().await?;
            sqlx::query(
                "INSERT INTO outbox_delivery (message, at) VALUES ($1, $2) \
                 ON CONFLICT (message) DO UPDATE SET at = excluded.at",
            )
            .bind(message.key.as_str())
            .bind(now.micros())
            .execute(&mut *tx)
            .await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, key = message.key, "delivered, but that could not be noted");
        }
    }

    /// Whether a message was ever delivered.
    pub async fn was_delivered(&self, key: &str) -> bool {
        self.memory.lock().delivered.contains_key(key) || matches!(self.last(key).await, Ok(Some(_)))
    }
}
