//! The search index: keyed terms, so that a stolen table answers nothing.

use std::fmt;

use aws_lc_rs::hmac;
use haris_domain::DetectionKind;
use zeroize::Zeroizing;

/// The key of one month's search terms. It serves nothing else and dies with the month's retention.
pub struct IndexKey {
    month: String,
    bytes: Zeroizing<[u8; 32]>,
}

impl IndexKey {
    pub(crate) fn from_parts(month: &str, bytes: Zeroizing<[u8; 32]>) -> Self {
        Self { month: month.to_owned(), bytes }
    }

    /// The UTC month, `2026-11`.
    #[must_use]
    pub fn month(&self) -> &str {
        &self.month
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndexKey({})", self.month)
    }
}

/// HMAC-SHA-256(index key, kind ‖ 0x00 ‖ normalised value). The value is in the normal form of its
/// kind (`haris_domain::identifier::normal_form`).
#[must_use]
pub fn search_term(key: &IndexKey, kind: DetectionKind, normalised: &str) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()));
    context.update(kind.name().as_bytes());
    context.update(&[0]);
    context.update(normalised.as_bytes());
    context.sign().as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_differ_by_month_kind_and_value() {
        let november = IndexKey::from_parts("2026-11", Zeroizing::new([1; 32]));
        let december = IndexKey::from_parts("2026-12", Zeroizing::new([2; 32]));
        let term = search_term(&november, DetectionKind::Qid, "28463400123");
        assert_eq!(term, search_term(&november, DetectionKind::Qid, "28463400123"));
        assert_ne!(term, search_term(&december, DetectionKind::Qid, "28463400123"));
        assert_ne!(term, search_term(&november, DetectionKind::Account, "28463400123"));
        assert_ne!(term, search_term(&november, DetectionKind::Qid, "28463400124"));
    }
}
