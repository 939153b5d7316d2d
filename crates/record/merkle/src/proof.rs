//! Verifying inclusion and consistency proofs, as RFC 9162 sections 2.1.3.2 and 2.1.4.2 do it.

use crate::{Hash, empty_root, node_hash};

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The entry lies beyond the tree, or the older tree is the larger one.
    #[error("{what} lies beyond a tree of {size} entries")]
    Beyond {
        /// The index or older size.
        what: u64,
        /// Entries in the tree.
        size: u64,
    },
    /// Too few or too many hashes for the position.
    #[error("the proof has a wrong number of hashes ({hashes})")]
    Length {
        /// How many it has.
        hashes: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root than the tree of {size} entries has")]
    Root {
        /// The tree whose root does not fit.
        size: u64,
    },
}

/// Checks that the entry with this leaf hash is number `index` in the tree of `size` entries with this root.
///
/// # Errors
/// When it is not shown.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Beyond { what: index, size });
    }
    let length = || ProofError::Length { hashes: path.len() };
    let (mut position, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return Err(length());
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            // A right-most node without a sibling of its own is lifted until it has one.
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length());
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root { size }) }
}

/// Checks that the tree of `old_size` entries with root `old_root` is a prefix of the tree of `size` with `root`.
///
/// # Errors
/// When it is not shown.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    size: u64,
    root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if old_size > size {
        return Err(ProofError::Beyond { what: old_size, size });
    }
    let length = || ProofError::Length { hashes: path.len() };
    if old_size == 0 || old_size == size {
        // Nothing to walk: the older tree is empty, or is this one.
        return if !path.is_empty() {
            Err(length())
        } else if old_size == 0 && *old_root != empty_root() {
            Err(ProofError::Root { size: 0 })
        } else if old_size == size && old_root != root {
            Err(ProofError::Root { size })
        } else {
            Ok(())
        };
    }
    let (mut position, mut last) = (old_size - 1, size - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    // When the older tree is complete its root starts the walk; else the proof's first hash does.
    let (start, rest) = if old_size.is_power_of_two() {
        (*old_root, path)
    } else {
        let (first, rest) = path.split_first().ok_or_else(length)?;
        (*first, rest)
    };
    let (mut old_hash, mut hash) = (start, start);
    for sibling in rest {
        if last == 0 {
            return Err(length());
        }
        if position & 1 == 1 || position == last {
            old_hash = node_hash(sibling, &old_hash);
            hash = node_hash(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length());
    }
    if old_hash != *old_root {
        return Err(ProofError::Root { size: old_size });
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root { size }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::naive;

    /// Whatever is changed in a good proof, it stops proving.
    #[test]
    fn nothing_but_the_proof_proves() {
        for size in 1..=40_u64 {
            let leaves = naive::leaves(40);
            let leaves = &leaves[..usize::try_from(size).unwrap()];
            let root = naive::root(leaves);
            for m in 0..size {
                let at = usize::try_from(m).unwrap();
                let path = naive::path(at, leaves);
                verify_inclusion(&leaves[at], m, size, &path, &root).unwrap();
                assert!(verify_inclusion(&leaves[at], m, size, &path, &[0; 32]).is_err());
                assert!(verify_inclusion(&[0; 32], m, size, &path, &root).is_err());
                for other in (0..size).filter(|other| *other != m) {
                    assert!(
                        verify_inclusion(&leaves[at], other, size, &path, &root).is_err(),
                        "{m} as {other} of {size}"
                    );
                }
                for cut in mutations(&path) {
                    assert!(verify_inclusion(&leaves[at], m, size, &cut, &root).is_err(), "{m} of {size}");
                }
                if m == 0 {
                    continue;
                }
                let (old_root, proof) = (naive::root(&leaves[..at]), naive::consistency(at, leaves));
                verify_consistency(m, &old_root, size, &root, &proof).unwrap();
                assert!(verify_consistency(m, &[0; 32], size, &root, &proof).is_err());
                assert!(verify_consistency(m, &old_root, size, &[0; 32], &proof).is_err());
                for cut in mutations(&proof) {
                    assert!(verify_consistency(m, &old_root, size, &root, &cut).is_err(), "{m} of {size}");
                }
            }
        }
    }

    fn mutations(path: &[Hash]) -> Vec<Vec<Hash>> {
        let mut all = vec![[path, &[[7; 32]]].concat(), [&[[7; 32]], path].concat()];
        for at in 0..path.len() {
            let mut flipped = path.to_vec();
            flipped[at][at % 32] ^= 1;
            all.push(flipped);
            all.push([&path[..at], &path[at + 1..]].concat());
        }
        all
    }

    #[test]
    fn borders() {
        let root = naive::root(&naive::leaves(3));
        assert_eq!(verify_consistency(0, &empty_root(), 3, &root, &[]), Ok(()));
        assert_eq!(verify_consistency(0, &[1; 32], 3, &root, &[]), Err(ProofError::Root { size: 0 }));
        assert_eq!(verify_consistency(3, &root, 3, &root, &[]), Ok(()));
        assert_eq!(verify_consistency(3, &root, 3, &root, &[root]), Err(ProofError::Length { hashes: 1 }));
        assert_eq!(verify_consistency(4, &root, 3, &root, &[]), Err(ProofError::Beyond { what: 4, size: 3 }));
        assert_eq!(verify_inclusion(&root, 0, 0, &[], &root), Err(ProofError::Beyond { what: 0, size: 0 }));
    }

    proptest! {
        #[test]
        fn any_proof_is_read_without_panic(
            index in any::<u64>(), size in any::<u64>(), path in proptest::collection::vec(any::<[u8; 32]>(), 0..80)
        ) {
            prop_assert!(verify_inclusion(&[0; 32], index, size, &path, &[1; 32]).is_err());
            prop_assert!(verify_consistency(index, &[0; 32], size, &[1; 32], &path).is_err());
        }
    }
}
