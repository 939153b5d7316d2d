//! SHA-256 digests as every record writes them: `sha256:` and 64 lower-case hex digits.

use std::fmt;
use std::str::FromStr;

/// A SHA-256 digest. `domain` names digests; whoever holds the bytes computes them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A digest that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadDigest {
    /// The algorithm is missing or is not SHA-256.
    #[error("a digest starts with `sha256:`")]
    NoAlgorithm,
    /// What follows the algorithm is not 64 lower-case hex digits.
    #[error("`sha256:` is followed by 64 lower-case hex digits, not {count} characters of something else")]
    NotHex {
        /// How many characters followed.
        count: usize,
    },
}

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(s: &str) -> Result<Self, BadDigest> {
        let digits = s.strip_prefix("sha256:").ok_or(BadDigest::NoAlgorithm)?;
        let not_hex = BadDigest::NotHex { count: digits.chars().count() };
        if digits.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(not_hex);
        }
        let mut out = [0; 32];
        hex::decode_to_slice(digits, &mut out).map_err(|_| not_hex)?;
        Ok(Self(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_writing_and_nothing_looser() {
        let digest = Digest([0xab; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!("md5:00".parse::<Digest>(), Err(BadDigest::NoAlgorithm));
        assert!(matches!("sha256:AB".parse::<Digest>(), Err(BadDigest::NotHex { count: 2 })));
        assert!(digest.to_string().to_uppercase().parse::<Digest>().is_err());
    }
}
