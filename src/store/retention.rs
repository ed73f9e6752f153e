//! What is too old goes, a little at a time.
//!
//! Guards: one transaction takes at most `BATCH` rows, so that a poll that wants to be written waits for no more than
//! that; nothing that is still needed goes (stays that go on, events on their way, the newest answer of each person).
//! Deliberately not here: how long things are kept (`config`), when this runs (`tasks::janitor`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::time::Timestamp;

/// Rows a transaction: a few milliseconds on a slow disk.
const BATCH: i64 = 200;

/// Failures by the hour are asked for a day back.
const POLL_ERRORS: Duration = Duration::from_hours(24 * 8);

/// Free pages given back to the disk in one go, of 4 KiB each.
const PAGES: u32 = 500;

const OLD_SNAPSHOTS: &str = "DELETE FROM snapshots WHERE snapshot_id IN (\
    SELECT s.snapshot_id FROM people AS p JOIN snapshots AS s ON s.person_id = p.person_id AND s.first_ms < ?1 \
    WHERE s.last_ms < ?1 AND s.snapshot_id <> (SELECT n.snapshot_id FROM snapshots AS n WHERE n.person_id = p.person_id \
        ORDER BY n.first_ms DESC, n.snapshot_id DESC LIMIT 1) LIMIT ?2)";
const OLD_VISITS: &str = "DELETE FROM visits WHERE rowid IN (\
    SELECT rowid FROM visits WHERE joined_ms < ?1 AND left_ms < ?1 LIMIT ?2)";
const OLD_GAPS: &str = "DELETE FROM gaps WHERE gap_id IN (\
    SELECT gap_id FROM gaps WHERE from_ms < ?1 AND to_ms < ?1 LIMIT ?2)";
/// With their deliveries, by foreign key. One that is still to be sent is ended by its webhook's rules, not by age.
const OLD_EVENTS: &str = "DELETE FROM events WHERE sequence IN (\
    SELECT e.sequence FROM events AS e WHERE e.recorded_ms < ?1 \
    AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.sequence = e.sequence AND d.state = 'pending') LIMIT ?2)";
const OLD_ERRORS: &str = "DELETE FROM poll_errors WHERE (person_id, hour_ms, class) IN (\
    SELECT person_id, hour_ms, class FROM poll_errors WHERE hour_ms < ?1 LIMIT ?2)";
const FREE_PAGES: &str = "SELECT freelist_count FROM pragma_freelist_count";

/// How long things are kept; `None` is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Answers as they came.
    pub snapshots: Option<Duration>,
    /// Stays, and gaps.
    pub visits: Option<Duration>,
    /// Events, with their deliveries and dead letters.
    pub events: Option<Duration>,
}

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Answers.
    pub snapshots: u64,
    /// Stays.
    pub visits: u64,
    /// Events.
    pub events: u64,
    /// Stretches in which nobody looked.
    pub gaps: u64,
    /// Counts of failures.
    pub poll_errors: u64,
    /// Pages of 4 KiB given back to the disk.
    pub pages: u64,
}

impl Pruned {
    /// All of the rows.
    pub fn rows(&self) -> u64 {
        self.snapshots + self.visits + self.events + self.gaps + self.poll_errors
    }
}

impl Store {
    /// Deletes what is older than its limit at `now`, in small transactions between which others write.
    pub async fn prune(&self, limits: Limits, now: Timestamp) -> Result<Pruned, StoreError> {
        Ok(Pruned {
            events: self.delete_older(OLD_EVENTS, limits.events, now).await?,
            snapshots: self.delete_older(OLD_SNAPSHOTS, limits.snapshots, now).await?,
            visits: self.delete_older(OLD_VISITS, limits.visits, now).await?,
            gaps: self.delete_older(OLD_GAPS, limits.visits, now).await?,
            poll_errors: self.delete_older(OLD_ERRORS, Some(POLL_ERRORS), now).await?,
            pages: self.give_back().await?,
        })
    }

    async fn delete_older(
        &self,
        statement: &'static str,
        limit: Option<Duration>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let Some(limit) = limit else { return Ok(0) };
        let before = now.minus(limit).as_ms();
        let mut gone = 0;
        loop {
            let deleted = self
                .write(move |connection| {
                    Box::pin(async move {
                        let deleted = sqlx::query(statement).bind(before).bind(BATCH);
                        Ok(deleted.execute(connection).await?.rows_affected())
                    })
                })
                .await?;
            gone += deleted;
            if deleted == 0 {
                return Ok(gone);
            }
        }
    }

    /// Free pages go back to the disk a few at a time.
    async fn give_back(&self) -> Result<u64, StoreError> {
        const GIVE_BACK: &str = "PRAGMA incremental_vacuum(500)";
        let mut given = 0;
        loop {
            let (before, after): (i64, i64) = self
                .write_apart(|connection| {
                    Box::pin(async move {
                        let before = sqlx::query_scalar(FREE_PAGES).fetch_one(&mut *connection).await?;
                        sqlx::query(GIVE_BACK).fetch_all(&mut *connection).await?;
                        Ok((before, sqlx::query_scalar(FREE_PAGES).fetch_one(connection).await?))
                    })
                })
                .await?;
            let now_given = u64::try_from(before.saturating_sub(after)).unwrap_or(0);
            given += now_given;
            // A file of before this was thought of gives nothing back.
            if now_given < u64::from(PAGES) {
                return Ok(given);
            }
        }
    }
}
