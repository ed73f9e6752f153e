//! What is too old goes, a little at a time.
//!
//! Guards: what is to go is looked for by those who only read, so that nobody waits for the search; the writer is given a
//! few rows at a time, as many as it did lately in [`TARGET`], so that a poll that wants to be written waits for no more
//! than that; what that leaves in the WAL is carried into the file beside the writer, not by it; nothing that is still
//! needed goes (stays that go on, events on their way, the newest answer of each person). Deliberately not here: how
//! long things are kept (`config`), when this runs (`tasks::janitor`), how the size is learned (`policy::batch`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::{Store, StoreError, connection};
use crate::clock::Stopwatch;
use crate::policy::batch::BatchSize;
use crate::time::Timestamp;

/// What one transaction aims at; a poll may wait for 50 ms.
pub const TARGET: Duration = Duration::from_millis(20);

/// Rows of the first transaction: few enough for the slowest disk.
const FIRST: u32 = 20;
/// Rows of the largest.
const MOST: u32 = 2_000;
/// How many are looked for at once.
const FOUND: i64 = 10_000;
/// Pages of 4 KiB given back to the disk at first, and at most.
const PAGES: (u32, u32) = (20, 2_000);
/// Transactions after which the WAL is carried into the file: long before the writer would have to.
const CARRY_EVERY: u32 = 8;

/// Failures by the hour are asked for a day back.
const POLL_ERRORS: Duration = Duration::from_hours(24 * 8);

/// How one table is thinned out: `find` gives keys as JSON, `delete` takes a list of those.
struct Kind {
    find: &'static str,
    delete: &'static str,
}

const SNAPSHOTS: Kind = Kind {
    find: "SELECT CAST(s.snapshot_id AS TEXT) FROM people AS p \
        JOIN snapshots AS s ON s.person_id = p.person_id AND s.first_ms < ?1 \
        WHERE s.last_ms < ?1 AND s.snapshot_id <> (SELECT n.snapshot_id FROM snapshots AS n \
            WHERE n.person_id = p.person_id ORDER BY n.first_ms DESC, n.snapshot_id DESC LIMIT 1) LIMIT ?2",
    // Never the newest again: one that is not the newest does not become it.
    delete: "DELETE FROM snapshots WHERE snapshot_id IN (SELECT value FROM json_each(?1))",
};
const VISITS: Kind = Kind {
    find: "SELECT CAST(rowid AS TEXT) FROM visits WHERE joined_ms < ?1 AND left_ms < ?1 LIMIT ?2",
    delete: "DELETE FROM visits WHERE rowid IN (SELECT value FROM json_each(?1)) AND left_ms IS NOT NULL",
};
const GAPS: Kind = Kind {
    find: "SELECT CAST(gap_id AS TEXT) FROM gaps WHERE from_ms < ?1 AND to_ms < ?1 LIMIT ?2",
    delete: "DELETE FROM gaps WHERE gap_id IN (SELECT value FROM json_each(?1))",
};
/// With their deliveries, by foreign key. One that is still to be sent is ended by its webhook's rules, not by age; it
/// may have been asked for again since it was found.
const EVENTS: Kind = Kind {
    find: "SELECT CAST(e.sequence AS TEXT) FROM events AS e WHERE e.recorded_ms < ?1 \
        AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.sequence = e.sequence AND d.state = 'pending') LIMIT ?2",
    delete: "DELETE FROM events WHERE sequence IN (SELECT value FROM json_each(?1)) \
        AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.sequence = events.sequence AND d.state = 'pending')",
};
const ERRORS: Kind = Kind {
    find: "SELECT json_array(person_id, hour_ms, class) FROM poll_errors WHERE hour_ms < ?1 LIMIT ?2",
    delete: "DELETE FROM poll_errors WHERE (person_id, hour_ms, class) IN \
        (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))",
};
const FREE_PAGES: &str = "SELECT freelist_count FROM pragma_freelist_count";
/// Never in anybody's way: it takes what nobody reads, and leaves the rest for the next time.
const CARRY: &str = "PRAGMA wal_checkpoint(PASSIVE)";

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
        let mut broom = Broom::new(self).await?;
        let pruned = Pruned {
            events: broom.delete_older(&EVENTS, limits.events, now).await?,
            snapshots: broom.delete_older(&SNAPSHOTS, limits.snapshots, now).await?,
            visits: broom.delete_older(&VISITS, limits.visits, now).await?,
            gaps: broom.delete_older(&GAPS, limits.visits, now).await?,
            poll_errors: broom.delete_older(&ERRORS, Some(POLL_ERRORS), now).await?,
            pages: broom.give_back().await?,
        };
        broom.aside.close().await?;
        Ok(pruned)
    }
}

/// One sweep: what it learned of the machine, and a connection of its own for the WAL.
struct Broom<'s> {
    store: &'s Store,
    aside: SqliteConnection,
    turns: u32,
}

impl<'s> Broom<'s> {
    async fn new(store: &'s Store) -> Result<Self, StoreError> {
        Ok(Self { store, aside: connection::aside(store.path()).connect().await?, turns: 0 })
    }

    async fn delete_older(
        &mut self,
        kind: &Kind,
        limit: Option<Duration>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let Some(limit) = limit else { return Ok(0) };
        let before = now.minus(limit).as_ms();
        // Rows of one table cost what those of another do not.
        let mut batch = BatchSize::new(FIRST, MOST, TARGET);
        let mut gone = 0;
        loop {
            let found: Vec<String> = sqlx::query_scalar(kind.find)
                .bind(before)
                .bind(FOUND)
                .fetch_all(self.store.readers())
                .await?;
            let gone_before = gone;
            let mut left = &found[..];
            while !left.is_empty() {
                let (keys, rest) = left.split_at(left.len().min(batch.size() as usize));
                let watch = Stopwatch::start();
                gone += self.delete(kind.delete, keys).await?;
                batch = batch.took(u32::try_from(keys.len()).unwrap_or(u32::MAX), watch.elapsed());
                left = rest;
                self.carry().await?;
            }
            // What was found and is needed again since would be found for ever.
            if gone == gone_before {
                return Ok(gone);
            }
        }
    }

    async fn delete(&self, statement: &'static str, keys: &[String]) -> Result<u64, StoreError> {
        let keys = format!("[{}]", keys.join(","));
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    Ok(sqlx::query(statement).bind(keys).execute(connection).await?.rows_affected())
                })
            })
            .await
    }

    /// Free pages go back to the disk, a few at a time as well.
    async fn give_back(&mut self) -> Result<u64, StoreError> {
        let mut batch = BatchSize::new(PAGES.0, PAGES.1, TARGET);
        let mut given = 0;
        loop {
            let pages = batch.size();
            // A number, so there is nothing to quote; a pragma takes no parameter.
            let give_back = format!("PRAGMA incremental_vacuum({pages})");
            let watch = Stopwatch::start();
            let (before, after): (i64, i64) = self
                .store
                .write_apart(move |connection| {
                    Box::pin(async move {
                        let before = sqlx::query_scalar(FREE_PAGES).fetch_one(&mut *connection).await?;
                        sqlx::query(AssertSqlSafe(give_back)).fetch_all(&mut *connection).await?;
                        Ok((before, sqlx::query_scalar(FREE_PAGES).fetch_one(connection).await?))
                    })
                })
                .await?;
            let now_given = u32::try_from(before.saturating_sub(after)).unwrap_or(0);
            batch = batch.took(now_given, watch.elapsed());
            given += u64::from(now_given);
            self.carry().await?;
            // A file of before this was thought of gives nothing back.
            if now_given < pages {
                return Ok(given);
            }
        }
    }

    async fn carry(&mut self) -> Result<(), StoreError> {
        self.turns += 1;
        if self.turns.is_multiple_of(CARRY_EVERY) {
            sqlx::query(CARRY).execute(&mut self.aside).await?;
        }
        Ok(())
    }
}
