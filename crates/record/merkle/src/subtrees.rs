//! What a chain of consistency proofs shows of a tree, and the one proof that follows from it.
//!
//! A witness sees proofs from each size to the next. Whoever holds an old checkpoint wants one proof from there to the
//! newest; the hashes for it were all in the steps between, as they are or as two halves.

use std::collections::HashMap;

use crate::tree::split;
use crate::{Hash, node_hash};

/// Hashes of subtrees `[begin, end)` of one tree, as proofs have shown them.
#[derive(Clone, Debug, Default)]
pub struct Subtrees(HashMap<(u64, u64), Hash>);

/// Halves that are put together for one proof. An honest chain needs two hundred or so; more is somebody's attack.
const JOINS_MAX: usize = 16_384;

impl Subtrees {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns what a verified proof from `old` entries (with root `old_root`) to `size` shows. A proof of another
    /// length than such a proof has teaches nothing.
    pub fn learn(&mut self, old: u64, old_root: Hash, size: u64, path: &[Hash]) {
        if old == 0 || old >= size {
            return;
        }
        let ranges = ranges(old, size);
        if ranges.len() == path.len() {
            self.0.extend(ranges.into_iter().zip(path.iter().copied()));
            self.0.insert((0, old), old_root);
        }
    }

    /// The consistency proof from `old` to `size`, if what was learnt suffices.
    #[must_use]
    pub fn consistency(&self, old: u64, size: u64) -> Option<Vec<Hash>> {
        if old > size {
            return None;
        }
        if old == 0 || old == size {
            return Some(Vec::new());
        }
        let mut joins = JOINS_MAX;
        ranges(old, size).into_iter().map(|(begin, end)| self.hash(begin, end, &mut joins)).collect()
    }

    fn hash(&self, begin: u64, end: u64, joins: &mut usize) -> Option<Hash> {
        if let Some(known) = self.0.get(&(begin, end)) {
            return Some(*known);
        }
        if end - begin < 2 || *joins == 0 {
            return None;
        }
        *joins -= 1;
        let middle = begin + split(end - begin);
        Some(node_hash(&self.hash(begin, middle, joins)?, &self.hash(middle, end, joins)?))
    }
}

/// The subtrees whose hashes make up the proof from `old` to `size` (RFC 6962 section 2.1.2), in its order.
fn ranges(old: u64, size: u64) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    let (mut begin, mut end, mut whole) = (0, size, true);
    while end != old {
        let middle = begin + split(end - begin);
        if old <= middle {
            all.push((middle, end));
            end = middle;
        } else {
            all.push((begin, middle));
            begin = middle;
            whole = false;
        }
    }
    if !whole {
        all.push((begin, end));
    }
    all.reverse();
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::naive;
    use crate::verify_consistency;

    fn check(sizes: &[usize]) {
        let leaves = naive::leaves(*sizes.last().unwrap());
        let mut known = Subtrees::new();
        for step in sizes.windows(2) {
            let (old, size) = (step[0], step[1]);
            let path = naive::consistency(old, &leaves[..size]);
            known.learn(old as u64, naive::root(&leaves[..old]), size as u64, &path);
        }
        let newest = *sizes.last().unwrap();
        for old in sizes {
            let path = known.consistency(*old as u64, newest as u64).unwrap_or_else(|| panic!("{old} of {sizes:?}"));
            assert_eq!(path, naive::consistency(*old, &leaves), "{old} of {sizes:?}");
            let (old_root, root) = (naive::root(&leaves[..*old]), naive::root(&leaves));
            verify_consistency(*old as u64, &old_root, newest as u64, &root, &path).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_chain_gives_the_proof_from_each_of_its_links(mut sizes in proptest::collection::btree_set(1..700_usize, 2..40)) {
            let _ = sizes.insert(1);
            check(&sizes.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_was_never_shown_is_not_proven() {
        let mut known = Subtrees::new();
        assert_eq!(known.consistency(3, 7), None);
        known.learn(3, [0; 32], 7, &[[0; 32]]);
        assert_eq!(known.consistency(3, 7), None, "a proof of the wrong length teaches nothing");
        assert_eq!(known.consistency(8, 7), None);
        assert_eq!(known.consistency(1 << 40, u64::MAX), None, "and costs no time");
    }
}
