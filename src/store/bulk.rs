//! One statement for many rows.
//!
//! Guards: a statement costs two thread hops, a row in `jsonb_each` next to nothing, so rows travel together, but not
//! in any number. Deliberately not here: the statements.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Serialize;
use sqlx::SqliteConnection;

use super::{StoreError, jsonb};
use crate::time::Timestamp;

/// SQLite's memory for the rows of a long watch list would stay with the process for good.
const AT_ONCE: usize = 2048;

/// Runs `sql` with `rows` as `?1`, where it says `jsonb_each(?1)` or `json_each(?1)`: once for some thousand of them,
/// never for none. Returns how many rows of the database it changed.
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

/// The same with an instant as `?2`.
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
