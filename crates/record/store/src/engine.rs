//! The two engines, and every word in which their SQL differs.

/// Which database answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded: one file, WAL, synchronous=FULL.
    Sqlite,
    /// A server: several Haris processes may share it.
    Postgres,
}

impl Engine {
    /// `sqlite` or `postgresql`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
        }
    }

    /// Schema text for this engine: on PostgreSQL the words `BLOB` and `INTEGER` become `BYTEA`
    /// and `BIGINT`. SQLite's INTEGER has 64 bits already; PostgreSQL's has 32, too few for
    /// microseconds.
    #[must_use]
    pub fn ddl(self, portable: &str) -> String {
        match self {
            Self::Sqlite => portable.to_owned(),
            Self::Postgres => {
                let mut out = String::with_capacity(portable.len() + 64);
                let mut word = String::new();
                for c in portable.chars().chain(['\n']) {
                    if c.is_ascii_alphanumeric() || c == '_' {
                        word.push(c);
                        continue;
                    }
                    out.push_str(match word.as_str() {
                        "BLOB" => "BYTEA",
                        "INTEGER" => "BIGINT",
                        other => other,
                    });
                    word.clear();
                    out.push(c);
                }
                out
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_replaced() {
        let portable = "CREATE TABLE t (a BLOB NOT NULL, b INTEGER, blob_BLOB_x TEXT)";
        assert_eq!(
            Engine::Postgres.ddl(portable).trim_end(),
            "CREATE TABLE t (a BYTEA NOT NULL, b BIGINT, blob_BLOB_x TEXT)"
        );
        assert_eq!(Engine::Sqlite.ddl(portable), portable);
    }
}
