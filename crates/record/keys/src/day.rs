//! Data keys: one per day, so that a day's payload keys are wrapped under a key of that day.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use haris_domain::Timestamp;
use zeroize::Zeroizing;

const DAY_MICROS: i64 = 86_400_000_000;

/// The key that wraps the keys of one day's payloads.
pub struct DayKey {
    id: String,
    day_number: i64,
    bytes: Zeroizing<[u8; 32]>,
}

impl DayKey {
    /// From an id of the form `day:2026-11-24:1a2b3c4d`; `None` when it has another form.
    pub(crate) fn from_parts(id: &str, bytes: Zeroizing<[u8; 32]>) -> Option<Self> {
        let (day, tag) = id.strip_prefix("day:")?.split_once(':')?;
        let at: Timestamp = (day.len() == 10).then(|| day.parse().ok())??;
        let plain = tag.len() == 8 && tag.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
        plain.then(|| Self { id: id.to_owned(), day_number: day_number(at), bytes })
    }

    /// `day:`, the UTC day, and eight hex digits that tell two keys of one day apart.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for DayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DayKey({})", self.id)
    }
}

fn day_number(at: Timestamp) -> i64 {
    at.micros().div_euclid(DAY_MICROS)
}

/// The data keys a process holds: today's and tomorrow's ahead of need, older ones for reading.
#[derive(Debug, Default)]
pub struct DayKeys {
    held: RwLock<Held>,
}

#[derive(Debug, Default)]
struct Held {
    by_id: BTreeMap<String, Arc<DayKey>>,
    /// The newest key of a day: the one that seals.
    by_day: BTreeMap<i64, Arc<DayKey>>,
}

impl DayKeys {
    /// Holds nothing yet: whoever needs a key refuses until the ledger has filled it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key; it becomes the one that seals on its day.
    pub fn insert(&self, key: DayKey) {
        let key = Arc::new(key);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.by_day.insert(key.day_number, key.clone());
        held.by_id.insert(key.id.clone(), key);
    }

    /// The key that seals payloads born at `at`.
    #[must_use]
    pub fn for_day(&self, at: Timestamp) -> Option<Arc<DayKey>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).by_day.get(&day_number(at)).cloned()
    }

    /// The key of that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<DayKey>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    /// Drops the keys of days before that of `at` from memory.
    pub fn forget_before(&self, at: Timestamp) {
        let first_kept = day_number(at);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.by_day.retain(|day, _| *day >= first_kept);
        held.by_id.retain(|_, key| key.day_number >= first_kept);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::random_key;

    pub(crate) fn day_key() -> DayKey {
        DayKey::from_parts("day:2026-11-24:00000001", random_key()).unwrap()
    }

    #[test]
    fn the_newest_key_of_a_day_seals_and_the_older_still_opens() {
        let keys = DayKeys::new();
        let noon = "2026-11-24T12:00:00Z".parse().unwrap();
        assert!(keys.for_day(noon).is_none());
        keys.insert(day_key());
        keys.insert(DayKey::from_parts("day:2026-11-24:00000002", random_key()).unwrap());
        assert_eq!(keys.for_day(noon).unwrap().id(), "day:2026-11-24:00000002");
        assert!(keys.get("day:2026-11-24:00000001").is_some());
        assert!(keys.for_day("2026-11-25".parse().unwrap()).is_none());
        keys.forget_before("2026-11-25".parse().unwrap());
        assert!(keys.get("day:2026-11-24:00000001").is_none());
    }

    #[test]
    fn ids_of_another_form_are_refused() {
        for bad in ["", "day:2026-11-24", "day:2026-11-24:XYZ", "day:24/11/26:00000001", "month:2026-11:00000001"] {
            assert!(DayKey::from_parts(bad, random_key()).is_none(), "{bad}");
        }
        assert!(!format!("{:?}", day_key()).contains('['), "a key never prints its bytes");
    }
}
