//! One statement for many rows.
//!
//! Guards: rows are written in bulk, because a statement costs two thread hops and a row in `jsonb_each` almost
//! nothing; the number of rows in one statement is limited. Deliberately not here: the statements.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Serialize;
use sqlx::SqliteConnection;

use super::{StoreError, jsonb};
use crate::time::Timestamp;

/// SQLite never returns the memory that the rows of a long watch list need, so a statement takes no more rows than
/// this.
const AT_ONCE: usize = 2048;

/// Runs `sql` with `rows` as `?1`, for `jsonb_each(?1)` or `json_each(?1)`: once for each chunk of 2,048 rows, not at
/// all without rows. Returns how many rows of the database changed.
pub(super) async fn bulk(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[impl Serialize],
) -> Result<u64, StoreError> {
    let mut affected = 0;
    for rows in rows.chunks(AT_ONCE) {
        let rows = jsonb::encode(rows)?;
        affected += sqlx::query(sql).bind(rows).execute(&mut *connection).await?.rows_affected();
    }
    Ok(affected)
}

/// The same with a time as `?2`.
pub(super) async fn bulk_at(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[impl Serialize],
    at: Timestamp,
) -> Result<u64, StoreError> {
    let mut affected = 0;
    for rows in rows.chunks(AT_ONCE) {
        let rows = jsonb::encode(rows)?;
        affected +=
            sqlx::query(sql).bind(rows).bind(at.as_ms()).execute(&mut *connection).await?.rows_affected();
    }
    Ok(affected)
}
