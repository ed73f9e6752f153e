//! The newest visits of all users, from which the pacing rule learns.
//!
//! Guards: limited in time and in rows, and read along an index, so that a start does not wait for a long history.
//! Deliberately not here: learning (`policy::pace`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::SqlitePool;

use crate::policy::pace::conference_key;
use crate::store::StoreError;
use crate::time::Timestamp;

const RECENT_VISITS: &str = "SELECT person_id, conference_id, joined_ms, left_ms FROM visits \
    WHERE joined_ms >= ?1 ORDER BY joined_ms DESC LIMIT ?2";

/// A visit, as far as the pacing rule needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastVisit {
    pub person_id: i64,
    /// [`conference_key`] of the meeting.
    pub conference: u64,
    /// When the user joined.
    pub joined: Timestamp,
    /// When the user left; `None`: still inside, as far as known.
    pub left: Option<Timestamp>,
}

/// Visits that began at or after `since`: the newest `limit` of them, newest first.
pub(super) async fn recent(
    readers: &SqlitePool,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<PastVisit>, StoreError> {
    let rows: Vec<(i64, String, i64, Option<i64>)> =
        sqlx::query_as(RECENT_VISITS).bind(since.as_ms()).bind(limit).fetch_all(readers).await?;
    let visit = |(person_id, conference, joined, left): (i64, String, i64, Option<i64>)| PastVisit {
        person_id,
        conference: conference_key(&conference),
        joined: Timestamp::from_ms(joined),
        left: left.map(Timestamp::from_ms),
    };
    Ok(rows.into_iter().map(visit).collect())
}
