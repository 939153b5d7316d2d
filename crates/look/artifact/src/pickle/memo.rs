//! The memo: a dense table as picklers write it, and a bounded map for indices that jump.

use std::collections::HashMap;

use crate::pickle::value::Value;

/// What was put where.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    dense: Vec<Value>,
    sparse: HashMap<u64, Value>,
    /// How many entries MEMOIZE would count: its index is the number of entries.
    count: u64,
    /// Whether an entry had to be dropped.
    lost: bool,
}

impl Memo {
    /// 8 bytes each.
    const DENSE_MAX: usize = 8_000_000;
    /// About 24 bytes each.
    const SPARSE_MAX: usize = 500_000;

    pub(crate) fn put(&mut self, index: u64, value: Value) {
        match usize::try_from(index) {
            Ok(at) if at < self.dense.len() => {
                if self.dense[at] == EMPTY {
                    self.count += 1;
                }
                self.dense[at] = value;
            }
            // Old picklers leave gaps: they count from 1, or skip what they forgot.
            Ok(at) if at < self.dense.len() + 64 && at < Self::DENSE_MAX => {
                self.dense.resize(at, EMPTY);
                self.dense.push(value);
                if self.sparse.remove(&index).is_none() {
                    self.count += 1;
                }
            }
            _ => {
                if self.sparse.len() >= Self::SPARSE_MAX && !self.sparse.contains_key(&index) {
                    self.lost = true;
                    self.count += 1;
                } else if self.sparse.insert(index, value).is_none() {
                    self.count += 1;
                }
            }
        }
    }

    /// MEMOIZE: under the number of entries so far.
    pub(crate) fn append(&mut self, value: Value) {
        self.put(self.count, value);
    }

    /// `None` when nothing was put there: an error to every unpickler.
    pub(crate) fn get(&self, index: u64) -> Option<Value> {
        let dense = usize::try_from(index).ok().and_then(|at| self.dense.get(at)).copied();
        dense
            .filter(|value| *value != EMPTY)
            .or_else(|| self.sparse.get(&index).copied())
            .or_else(|| self.lost.then_some(Value::LOST))
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { dense: std::mem::take(&mut self.dense), ..Self::default() };
        self.dense.clear();
    }
}

const EMPTY: Value = Value::EMPTY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_jumps_and_counting() {
        let mut memo = Memo::default();
        memo.append(Value::int(0));
        memo.put(5, Value::int(5));
        memo.put(4_000_000_000, Value::int(9));
        assert_eq!(memo.get(0), Some(Value::int(0)));
        assert_eq!(memo.get(3), None);
        assert_eq!(memo.get(5), Some(Value::int(5)));
        assert_eq!(memo.get(4_000_000_000), Some(Value::int(9)));
        // Three entries so far: the next MEMOIZE goes to index 3, as in CPython.
        memo.append(Value::int(3));
        assert_eq!(memo.get(3), Some(Value::int(3)));
        memo.put(5, Value::int(6));
        memo.append(Value::int(4));
        assert_eq!(memo.get(4), Some(Value::int(4)));
    }
}
