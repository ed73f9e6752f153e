//! SQL queries of operators, and the example queries that are stored in the file.
//!
//! Guards: one statement, on a connection that cannot write; values of every SQLite type are returned as they are.
//! Deliberately not here: the queries of this program (`history`), printing.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Column, Executor, Row, SqlSafeStr, Statement, TypeInfo, ValueRef};

use super::{History, MAX_ROWS};
use crate::store::StoreError;

const EXAMPLES: &str = "SELECT name, about, sql FROM example_queries ORDER BY name";
/// Prevents also what a read-only connection could do to other files.
const QUERY_ONLY: &str = "PRAGMA query_only = ON";

/// A value of SQLite.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    Real(f64),
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The result of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Names of the columns, in order.
    pub columns: Vec<String>,
    /// A value for each column.
    pub rows: Vec<Vec<Value>>,
}

/// A stored query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// As in `@NAME`.
    pub name: String,
    /// What the query answers.
    pub about: String,
    /// One statement.
    pub sql: String,
}

/// Why a query was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The statement could write, or there is more than one.
    #[error("{0}")]
    Refused(&'static str),
    /// SQLite rejects the statement.
    #[error("{0}")]
    Wrong(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl History {
    /// Runs one query; returns at most [`MAX_ROWS`] rows.
    pub async fn sql(&self, question: &str) -> Result<Answer, SqlError> {
        check(question).map_err(SqlError::Refused)?;
        let mut connection = self.readers.acquire().await.map_err(StoreError::from)?;
        sqlx::query(QUERY_ONLY).execute(&mut *connection).await.map_err(StoreError::from)?;
        let statement = || AssertSqlSafe(question.to_owned()).into_sql_str();
        let prepared = (&mut *connection).prepare(statement()).await.map_err(wrong)?;
        let columns = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        let mut answer = Answer { columns, rows: Vec::new() };
        let rows = sqlx::query(statement()).fetch_all(&mut *connection).await.map_err(wrong)?;
        for row in rows.iter().take(MAX_ROWS as usize) {
            let values: Result<_, sqlx::Error> = (0..row.len()).map(|i| value(row, i)).collect();
            answer.rows.push(values.map_err(StoreError::from)?);
        }
        Ok(answer)
    }

    /// The queries stored in the file, by name.
    pub async fn examples(&self) -> Result<Vec<Example>, StoreError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(EXAMPLES).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|(name, about, sql)| Example { name, about, sql }).collect())
    }
}

fn wrong(error: sqlx::Error) -> SqlError {
    match error.as_database_error() {
        Some(error) => SqlError::Wrong(error.message().to_owned()),
        None => SqlError::Store(error.into()),
    }
}

fn value(row: &SqliteRow, index: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = raw.type_info().name().to_owned();
    Ok(match kind.as_str() {
        "INTEGER" | "BOOLEAN" => Value::Integer(row.try_get_unchecked(index)?),
        "REAL" => Value::Real(row.try_get_unchecked(index)?),
        "BLOB" => Value::Blob(row.try_get_unchecked(index)?),
        _ => Value::Text(row.try_get_unchecked(index)?),
    })
}

/// Accepts one statement that only reads. The connection cannot write to this database; `VACUUM INTO` and `ATTACH`
/// would create other files.
fn check(question: &str) -> Result<(), &'static str> {
    const ONE: &str = "only one statement is allowed";
    let bare = without_literals(question);
    let mut statements = bare.split(';').map(str::trim).filter(|part| !part.is_empty());
    let first = statements.next().ok_or("the query contains no statement")?;
    if statements.next().is_some() {
        return Err(ONE);
    }
    let word =
        first.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
    match word.to_ascii_uppercase().as_str() {
        "SELECT" | "WITH" | "VALUES" | "EXPLAIN" | "PRAGMA" => Ok(()),
        _ => Err("`db sql` only reads: use SELECT, WITH, VALUES, EXPLAIN or PRAGMA"),
    }
}

/// The text without quoted parts and comments.
fn without_literals(text: &str) -> String {
    let mut bare = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let end = match c {
            '\'' | '"' | '`' => Some(c.to_string()),
            '[' => Some("]".to_owned()),
            _ if rest.starts_with("--") => Some("\n".to_owned()),
            _ if rest.starts_with("/*") => Some("*/".to_owned()),
            _ => None,
        };
        match end {
            None => {
                bare.push(c);
                rest = &rest[c.len_utf8()..];
            }
            Some(end) => {
                // SQLite reports an unclosed quote better.
                let inner = &rest[c.len_utf8()..];
                rest = inner.find(&end).map_or("", |at| &inner[at + end.len()..]);
                bare.push(' ');
            }
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_reading_statement_is_accepted() {
        for good in [
            "SELECT 1",
            " select ';' ; ",
            "-- why; so\nWITH a AS (SELECT 1) SELECT * FROM a;",
            "/* ; */ VALUES (1)",
            "SELECT \"a;b\" FROM [c;d] WHERE `e;f` = 'it''s; fine'",
            "EXPLAIN QUERY PLAN SELECT 1",
            "PRAGMA user_version",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ";",
            "-- nothing",
            "SELECT 1; SELECT 2",
            "VACUUM INTO 'x'",
            "ATTACH 'x' AS y",
            "DELETE FROM visits",
            "SELECT 1; VACUUM",
            "/* SELECT */ DROP TABLE visits",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
