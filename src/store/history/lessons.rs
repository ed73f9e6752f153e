//! What the pacing rule learns from: everybody's newest stays.
//!
//! Guards: bounded in time and in rows, and read along an index, so that a start does not wait for a long history.
//! Deliberately not here: learning (`policy::pace`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use super::History;
use crate::policy::pace::conference_key;
use crate::store::StoreError;
use crate::time::Timestamp;

const LESSONS: &str = "SELECT person_id, conference_id, joined_ms, left_ms FROM visits \
    WHERE joined_ms >= ?1 ORDER BY joined_ms DESC LIMIT ?2";

/// A stay, as far as the rule cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// Whose.
    pub person_id: i64,
    /// [`conference_key`] of the meeting.
    pub conference: u64,
    /// Since when.
    pub joined: Timestamp,
    /// `None`: still in, as far as known.
    pub left: Option<Timestamp>,
}

impl History {
    /// Stays that began at or after `since`: the newest `limit` of them, newest first.
    pub async fn lessons(&self, since: Timestamp, limit: u32) -> Result<Vec<Lesson>, StoreError> {
        let rows: Vec<(i64, String, i64, Option<i64>)> = sqlx::query_as(LESSONS)
            .bind(since.as_ms())
            .bind(limit.min(super::MAX_ROWS))
            .fetch_all(self.readers())
            .await?;
        let lesson = |(person_id, conference, joined, left): (i64, String, i64, Option<i64>)| Lesson {
            person_id,
            conference: conference_key(&conference),
            joined: Timestamp::from_ms(joined),
            left: left.map(Timestamp::from_ms),
        };
        Ok(rows.into_iter().map(lesson).collect())
    }
}
