//! Many rows in few statements: the one SQL builder.

use sqlx::AssertSqlSafe;

use crate::Tx;

/// A column's value in a multi-row insert.
#[derive(Clone, Debug)]
pub enum Value {
    /// INTEGER.
    Integer(i64),
    /// INTEGER or NULL.
    MaybeInteger(Option<i64>),
    /// TEXT.
    Text(String),
    /// TEXT or NULL.
    MaybeText(Option<String>),
    /// BLOB.
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

/// Rows of one statement. SQLite takes 32,766 parameters and PostgreSQL 65,535; beyond a few
/// hundred rows a longer statement gains nothing.
pub const ROWS_PER_STATEMENT: usize = 250;

/// Inserts rows of `N` columns; `tail` is what follows the values, such as
/// `ON CONFLICT DO NOTHING`. Table, columns and tail are the program's own text, never input.
/// Returns how many rows were inserted.
///
/// # Errors
/// Whatever the database says.
pub async fn insert<const N: usize>(
    tx: &mut Tx<'_>,
    table: &'static str,
    columns: [&'static str; N],
    rows: Vec<[Value; N]>,
    tail: &'static str,
) -> Result<u64, sqlx::Error> {
    // sqlx looks up the name of each numbered parameter in SQLite's list of them, which makes a long statement cost the
    // square of its length; nameless ones have no list.
    let numbered = tx.backend_name() != "SQLite";
    let mut rows = rows.into_iter();
    let mut inserted = 0;
    while rows.len() > 0 {
        let chunk: Vec<_> = rows.by_ref().take(ROWS_PER_STATEMENT).collect();
        let sql = statement(table, &columns, chunk.len(), numbered, tail);
        // Only the full-length statement recurs often enough to be worth a place in the cache.
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(chunk.len() == ROWS_PER_STATEMENT);
        for value in chunk.into_iter().flatten() {
            query = match value {
                Value::Integer(value) => query.bind(value),
                Value::MaybeInteger(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::MaybeText(value) => query.bind(value),
                Value::Blob(value) => query.bind(value),
            };
        }
        inserted += query.execute(&mut **tx).await?.rows_affected();
    }
    Ok(inserted)
}

fn statement(table: &str, columns: &[&str], rows: usize, numbered: bool, tail: &str) -> String {
    use std::fmt::Write;

    let mut sql = format!("INSERT INTO {table} ({}) VALUES ", columns.join(", "));
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns.len() {
            sql.push_str(if column == 0 { "" } else { ", " });
            if numbered {
                write!(sql, "${}", row * columns.len() + column + 1).expect("a String takes any text");
            } else {
                sql.push('?');
            }
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_through_or_not_at_all() {
        assert_eq!(statement("t", &["a", "b"], 2, true, "X"), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) X");
        assert_eq!(statement("t", &["a", "b"], 2, false, "X"), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) X");
    }
}
