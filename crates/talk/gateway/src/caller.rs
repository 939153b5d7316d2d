//! Who may call: keys are known by their SHA-256 only.
//!
//! A key is 256 random bits, so a plain hash is enough, and looking a hash up takes the same time
//! for every wrong key: no comparison of secrets by prefix ever happens.

use std::collections::HashMap;
use std::sync::Arc;

use haris_domain::Timestamp;
use haris_policy::Pattern;

use crate::quota::Stored;

/// An application that may use the gateway.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Opaque id without the `caller:` prefix; it enters the ledger.
    pub id: String,
    /// Models it may use; empty means none.
    pub models: Vec<Pattern>,
    /// When its key stops being accepted.
    pub expires: Option<Timestamp>,
    /// What was stored for it of late.
    pub stored: Arc<Stored>,
}

/// All callers by the hash of their key. Swapped as a whole when a key is issued or revoked.
#[derive(Clone, Debug, Default)]
pub struct CallerTable {
    by_hash: HashMap<[u8; 32], Arc<Caller>>,
}

impl CallerTable {
    /// Lookup by key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Arc<Caller>> {
        self.by_hash.get(&hash_key(key))
    }

    /// The same table, going on with what `before` counted for its callers.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        let counted: HashMap<&str, &Arc<Stored>> =
            before.by_hash.values().map(|caller| (caller.id.as_str(), &caller.stored)).collect();
        for caller in self.by_hash.values_mut() {
            if let Some(stored) = counted.get(caller.id.as_str()) {
                let stored = Arc::clone(stored);
                *caller = Arc::new(Caller { stored, ..Caller::clone(caller) });
            }
        }
        self
    }

    /// How many keys are accepted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether nobody may call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }
}

impl FromIterator<([u8; 32], Caller)> for CallerTable {
    fn from_iter<I: IntoIterator<Item = ([u8; 32], Caller)>>(entries: I) -> Self {
        Self { by_hash: entries.into_iter().map(|(hash, caller)| (hash, Arc::new(caller))).collect() }
    }
}

/// SHA-256 of a caller's key, as stored and looked up.
#[must_use]
pub fn hash_key(key: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_is_found() {
        let caller = Caller { id: "c1".into(), models: Vec::new(), expires: None, stored: Arc::default() };
        let table: CallerTable = [(hash_key("hk_abc"), caller)].into_iter().collect();
        assert_eq!(table.find("hk_abc").map(|caller| caller.id.as_str()), Some("c1"));
        assert!(table.find("hk_ab").is_none() && table.find("").is_none());
        assert_eq!((table.len(), table.is_empty()), (1, false));
    }

    #[test]
    fn what_was_stored_for_a_caller_outlives_a_change_of_the_table() {
        let caller = |id: &str| Caller { id: id.into(), models: Vec::new(), expires: None, stored: Arc::default() };
        let before: CallerTable = [(hash_key("hk_abc"), caller("c1"))].into_iter().collect();
        before.find("hk_abc").unwrap().stored.add(7, 0);
        let now = [(hash_key("hk_new"), caller("c1")), (hash_key("hk_def"), caller("c2"))];
        let now = now.into_iter().collect::<CallerTable>().after(&before);
        let stored = |key| now.find(key).unwrap().stored.bytes(0);
        assert_eq!((stored("hk_new"), stored("hk_def")), (7, 0));
    }
}
