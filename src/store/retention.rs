//! Deletes old rows, a few at a time.
//!
//! Guards: rows to delete are found through read connections, so that no write waits for the search; each transaction
//! deletes as many rows as recently fitted into [`TARGET`], so that a poll result waits no longer than that; the WAL is
//! moved into the file beside the writer, not by it; rows that are still needed stay (open visits, pending deliveries,
//! the newest answer of each user). Deliberately not here: the limits (`config`), when this runs (`tasks::maintenance`),
//! how the size is learned (`policy::batch`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::database::Database;
use super::{StoreError, connection};
use crate::clock::Stopwatch;
use crate::policy::batch::BatchSize;
use crate::time::Timestamp;

/// The duration that one transaction aims at; a poll result may wait for 50 ms.
pub const TARGET: Duration = Duration::from_millis(20);

/// Rows of the first transaction: few enough for a slow disk.
const FIRST: u32 = 20;
/// Rows of the largest transaction.
const MOST: u32 = 2_000;
/// Rows that one search returns.
const FOUND: i64 = 10_000;
/// Pages of 4 KiB returned to the disk by the first transaction, and at most.
const PAGES: (u32, u32) = (20, 2_000);
/// Transactions after which the WAL is moved into the file: long before the writer would have to.
const CHECKPOINT_EVERY: u32 = 8;

/// Counts of failed polls by hour are read for the last day only.
const POLL_ERRORS: Duration = Duration::from_hours(24 * 8);

/// How rows of one table are deleted: `find` returns keys as JSON, `delete` takes a list of them.
struct TableRule {
    find: &'static str,
    delete: &'static str,
}

const SNAPSHOTS: TableRule = TableRule {
    find: "SELECT CAST(s.snapshot_id AS TEXT) FROM people AS p \
        JOIN snapshots AS s ON s.person_id = p.person_id AND s.first_ms < ?1 \
        WHERE s.last_ms < ?1 AND s.snapshot_id <> (SELECT n.snapshot_id FROM snapshots AS n \
            WHERE n.person_id = p.person_id ORDER BY n.first_ms DESC, n.snapshot_id DESC LIMIT 1) LIMIT ?2",
    // A snapshot that is not the newest cannot become the newest, so this is not checked again.
    delete: "DELETE FROM snapshots WHERE snapshot_id IN (SELECT value FROM json_each(?1))",
};
const VISITS: TableRule = TableRule {
    find: "SELECT CAST(rowid AS TEXT) FROM visits WHERE joined_ms < ?1 AND left_ms < ?1 LIMIT ?2",
    delete: "DELETE FROM visits WHERE rowid IN (SELECT value FROM json_each(?1)) AND left_ms IS NOT NULL",
};
/// A meeting goes with its last visit.
const MEETINGS: TableRule = TableRule {
    find: "SELECT json_array(m.org, m.conference_id) FROM meetings AS m WHERE m.last_seen_ms < ?1 AND NOT EXISTS \
        (SELECT 1 FROM visits AS v WHERE v.conference_id = m.conference_id AND v.org = m.org) LIMIT ?2",
    delete: "DELETE FROM meetings WHERE (org, conference_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1)) \
        AND NOT EXISTS (SELECT 1 FROM visits AS v WHERE v.conference_id = meetings.conference_id AND v.org = meetings.org)",
};
const GAPS: TableRule = TableRule {
    find: "SELECT CAST(gap_id AS TEXT) FROM gaps WHERE from_ms < ?1 AND to_ms < ?1 LIMIT ?2",
    delete: "DELETE FROM gaps WHERE gap_id IN (SELECT value FROM json_each(?1))",
};
/// Deletes the deliveries as well, by foreign key. An event with a pending delivery stays, because the rules of its
/// webhook end it; it may have been replayed since it was found.
const EVENTS: TableRule = TableRule {
    find: "SELECT CAST(e.sequence AS TEXT) FROM events AS e WHERE e.recorded_ms < ?1 \
        AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.sequence = e.sequence AND d.state = 'pending') LIMIT ?2",
    delete: "DELETE FROM events WHERE sequence IN (SELECT value FROM json_each(?1)) \
        AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.sequence = events.sequence AND d.state = 'pending')",
};
const ERRORS: TableRule = TableRule {
    find: "SELECT json_array(person_id, hour_ms, class) FROM poll_errors WHERE hour_ms < ?1 LIMIT ?2",
    delete: "DELETE FROM poll_errors WHERE (person_id, hour_ms, class) IN \
        (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))",
};
const FREE_PAGES: &str = "SELECT freelist_count FROM pragma_freelist_count";
/// Blocks no connection: it moves what no reader needs, and leaves the rest for the next time.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// How long rows are kept; `None`: forever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Snapshots of DingTalk's answers.
    pub snapshots: Option<Duration>,
    /// Visits, meetings and gaps.
    pub visits: Option<Duration>,
    /// Events with their deliveries, including dead letters.
    pub events: Option<Duration>,
}

/// Number of deleted rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    pub snapshots: u64,
    pub visits: u64,
    pub meetings: u64,
    pub events: u64,
    pub gaps: u64,
    /// Counts of failed polls.
    pub poll_errors: u64,
    /// Pages of 4 KiB returned to the disk.
    pub pages: u64,
}

impl Pruned {
    /// The sum of all rows.
    pub fn rows(&self) -> u64 {
        self.snapshots + self.visits + self.meetings + self.events + self.gaps + self.poll_errors
    }
}

/// Deletes what is older than its limit at `now`; see [`super::Maintenance::prune`].
pub(super) async fn prune(database: &Database, limits: Limits, now: Timestamp) -> Result<Pruned, StoreError> {
    let mut run = RetentionRun::new(database).await?;
    let pruned = Pruned {
        events: run.delete_older(&EVENTS, limits.events, now).await?,
        snapshots: run.delete_older(&SNAPSHOTS, limits.snapshots, now).await?,
        visits: run.delete_older(&VISITS, limits.visits, now).await?,
        meetings: run.delete_older(&MEETINGS, limits.visits, now).await?,
        gaps: run.delete_older(&GAPS, limits.visits, now).await?,
        poll_errors: run.delete_older(&ERRORS, Some(POLL_ERRORS), now).await?,
        pages: run.free_pages().await?,
    };
    run.checkpointer.close().await?;
    Ok(pruned)
}

/// One retention run, with a connection of its own for checkpoints.
struct RetentionRun<'d> {
    database: &'d Database,
    checkpointer: SqliteConnection,
    transactions: u32,
}

impl<'d> RetentionRun<'d> {
    async fn new(database: &'d Database) -> Result<Self, StoreError> {
        let checkpointer = connection::checkpointer(&database.path).connect().await?;
        Ok(Self { database, checkpointer, transactions: 0 })
    }

    async fn delete_older(
        &mut self,
        rule: &TableRule,
        limit: Option<Duration>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let Some(limit) = limit else { return Ok(0) };
        let before = now.minus(limit).as_ms();
        // Rows of different tables cost differently, so each table learns its own size.
        let mut batch = BatchSize::new(FIRST, MOST, TARGET);
        let mut gone = 0;
        loop {
            let found: Vec<String> = sqlx::query_scalar(rule.find)
                .bind(before)
                .bind(FOUND)
                .fetch_all(&self.database.readers)
                .await?;
            let gone_before = gone;
            let mut left = &found[..];
            while !left.is_empty() {
                let (keys, rest) = left.split_at(left.len().min(batch.size() as usize));
                let watch = Stopwatch::start();
                gone += self.delete(rule.delete, keys).await?;
                batch = batch.took(u32::try_from(keys.len()).unwrap_or(u32::MAX), watch.elapsed());
                left = rest;
                self.checkpoint().await?;
            }
            // Rows that became needed after the search would be found forever.
            if gone == gone_before {
                return Ok(gone);
            }
        }
    }

    async fn delete(&self, statement: &'static str, keys: &[String]) -> Result<u64, StoreError> {
        let keys = format!("[{}]", keys.join(","));
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    Ok(sqlx::query(statement).bind(keys).execute(connection).await?.rows_affected())
                })
            })
            .await
    }

    /// Returns free pages to the disk, a few at a time as well.
    async fn free_pages(&mut self) -> Result<u64, StoreError> {
        let mut batch = BatchSize::new(PAGES.0, PAGES.1, TARGET);
        let mut given = 0;
        loop {
            let pages = batch.size();
            // A number needs no quoting; a pragma takes no parameter.
            let vacuum = format!("PRAGMA incremental_vacuum({pages})");
            let watch = Stopwatch::start();
            let (before, after): (i64, i64) = self
                .database
                .writer
                .write_outside_transaction(move |connection| {
                    Box::pin(async move {
                        let before = sqlx::query_scalar(FREE_PAGES).fetch_one(&mut *connection).await?;
                        sqlx::query(AssertSqlSafe(vacuum)).fetch_all(&mut *connection).await?;
                        Ok((before, sqlx::query_scalar(FREE_PAGES).fetch_one(connection).await?))
                    })
                })
                .await?;
            let now_given = u32::try_from(before.saturating_sub(after)).unwrap_or(0);
            batch = batch.took(now_given, watch.elapsed());
            given += u64::from(now_given);
            self.checkpoint().await?;
            // A file that was created without `auto_vacuum` returns no pages.
            if now_given < pages {
                return Ok(given);
            }
        }
    }

    async fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.transactions += 1;
        if self.transactions.is_multiple_of(CHECKPOINT_EVERY) {
            sqlx::query(CHECKPOINT).execute(&mut self.checkpointer).await?;
        }
        Ok(())
    }
}
