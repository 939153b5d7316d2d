//! RFC 6962 section 2.1 hashing, SHA-256 only.

use aws_lc_rs::digest::{Context, SHA256, digest};

/// A Merkle tree hash.
pub type Hash = [u8; 32];

/// Set before a leaf's bytes, so that no leaf can be read as an inner node (a second preimage).
const LEAF_PREFIX: u8 = 0x00;
/// Set before the two children of an inner node.
const NODE_PREFIX: u8 = 0x01;

/// The root of a tree without leaves: the hash of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The hash of an entry.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[LEAF_PREFIX]);
    context.update(entry);
    fixed(context.finish().as_ref())
}

/// The hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE_PREFIX; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    sha256(&bytes)
}

/// Plain SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    fixed(digest(&SHA256, bytes).as_ref())
}

fn fixed(digest: &[u8]) -> Hash {
    digest.try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
pub(crate) mod naive {
    //! RFC 6962 section 2.1 word for word, as the tests' second opinion.

    use super::*;

    /// The largest power of two below `n`.
    pub(crate) fn split(n: usize) -> usize {
        n.next_power_of_two() / 2
    }

    pub(crate) fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                node_hash(&root(left), &root(right))
            }
        }
    }

    /// PATH(m, D[n]) of section 2.1.1.
    pub(crate) fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        let mut path;
        if m < left.len() {
            path = self::path(m, left);
            path.push(root(right));
        } else {
            path = self::path(m - left.len(), right);
            path.push(root(left));
        }
        path
    }

    /// PROOF(m, D[n]) of section 2.1.2.
    pub(crate) fn consistency(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        subproof(m, leaves, true)
    }

    fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![root(leaves)] };
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let mut proof;
        if m <= k {
            proof = subproof(m, left, whole);
            proof.push(root(right));
        } else {
            proof = subproof(m - k, right, false);
            proof.push(root(left));
        }
        proof
    }

    /// Leaf hashes of the entries "0", "1", …
    pub(crate) fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(i.to_string().as_bytes())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::hex;

    /// Known from RFC 6962 implementations everywhere: the empty tree and the leaf of no bytes.
    #[test]
    fn known_hashes() {
        assert_eq!(hex(&empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(&leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(
            hex(&node_hash(&leaf_hash(b""), &leaf_hash(&[0]))),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
    }
}
