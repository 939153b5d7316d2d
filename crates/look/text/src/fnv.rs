//! A hash for short keys in tables that no attacker fills.

use std::hash::{BuildHasherDefault, Hasher};

/// FNV-1a.
#[derive(Clone, Copy)]
pub(crate) struct Fnv(u64);

/// For `HashMap`'s third parameter.
pub(crate) type FnvState = BuildHasherDefault<Fnv>;

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
