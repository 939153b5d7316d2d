//! What a failure comes of, as far as somebody acts on it: damage is named, a full disk is waited for.

use std::error::Error;
use std::io::ErrorKind;

/// Whether the database says that its own files are damaged, or a column holds what no Haris put there. Looks through
/// the causes.
#[must_use]
pub fn is_damage(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| match cause.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => true,
        // SQLITE_CORRUPT and SQLITE_NOTADB; data_corrupted and index_corrupted of PostgreSQL.
        Some(sqlx::Error::Database(error)) => {
            let code = error.code().unwrap_or_default();
            matches!(&*code, "XX001" | "XX002") || matches!(sqlite_code(&code), Some(11 | 26))
        }
        _ => false,
    })
}

/// Whether a failure comes of a disk that has no room or takes no writes: it passes when there is room again. Looks
/// through the causes.
#[must_use]
pub fn is_no_room(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            let kind = error.kind();
            return matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem);
        }
        match cause.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                // SQLITE_FULL, SQLITE_IOERR (its shared memory finds no room), SQLITE_READONLY, SQLITE_CANTOPEN;
                // disk_full of PostgreSQL.
                code == "53100" || matches!(sqlite_code(&code), Some(8 | 10 | 13 | 14))
            }
            _ => false,
        }
    })
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| {
        let error: &'e (dyn Error + 'static) = *error;
        error.source()
    })
}

/// SQLite's primary code. Its numbers have four digits at most, PostgreSQL's states five places.
fn sqlite_code(code: &str) -> Option<u32> {
    (code.len() <= 4).then(|| code.parse::<u32>().ok()).flatten().map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobError;

    #[test]
    fn a_full_disk_is_found_among_the_causes() {
        let blob = |kind: ErrorKind| BlobError::Io { action: "write", path: "a".into(), source: kind.into() };
        assert!(is_no_room(&blob(ErrorKind::StorageFull)) && is_no_room(&blob(ErrorKind::QuotaExceeded)));
        assert!(!is_no_room(&blob(ErrorKind::PermissionDenied)) && !is_damage(&blob(ErrorKind::StorageFull)));
        assert!(is_damage(&sqlx::Error::Decode("x".into())) && !is_damage(&sqlx::Error::PoolClosed));
    }

    #[test]
    fn states_of_postgresql_are_no_codes_of_sqlite() {
        assert_eq!((sqlite_code("4874"), sqlite_code("13"), sqlite_code("22011")), (Some(10), Some(13), None));
    }
}
