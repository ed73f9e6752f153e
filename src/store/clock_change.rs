//! Corrects stored times after the clock was set.
//!
//! Guards: nothing waits for a time that the clock showed before it was set back; setting the clock while the daemon
//! runs does not make a user appear unobserved for the skipped time. Events and visits keep their times. Deliberately
//! not here: jumps of a running clock (`clock::steady`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::time::Duration;

use sqlx::SqliteConnection;

use super::StoreError;
use crate::time::Timestamp;

/// Stored times may lie this far in the future, because clocks are adjusted by small steps all the time.
const SLACK: Duration = Duration::from_secs(5);

/// The newest poll, and how far ahead deliveries and probes of webhooks are due.
const STORED: &str = "\
SELECT (SELECT max(last_poll_ms) FROM people), \
    max(coalesce((SELECT max(ready_ms) FROM lanes), 0), coalesce((SELECT max(probe_ms) FROM webhooks), 0))";

const SHIFT: [&str; 4] = [
    "UPDATE people SET next_poll_ms = next_poll_ms + ?1, last_poll_ms = last_poll_ms + ?1, \
        last_ok_ms = last_ok_ms + ?1, last_error_ms = last_error_ms + ?1",
    "UPDATE lanes SET ready_ms = ready_ms + ?1",
    // A delivery behind the head of a lane makes the lane wait when its turn comes.
    "UPDATE deliveries SET next_ms = next_ms + ?1 WHERE state = 'pending'",
    "UPDATE webhooks SET probe_ms = probe_ms + ?1, down_since_ms = down_since_ms + ?1",
];
/// Limits due times and past times to now.
const TO_NOW: [&str; 6] = [
    "UPDATE people SET next_poll_ms = NULL, last_poll_ms = min(last_poll_ms, ?1), last_ok_ms = min(last_ok_ms, ?1), \
        last_error_ms = min(last_error_ms, ?1) \
     WHERE next_poll_ms > ?1 OR last_poll_ms > ?1 OR last_ok_ms > ?1 OR last_error_ms > ?1",
    "UPDATE lanes SET ready_ms = ?1 WHERE ready_ms > ?1",
    "UPDATE deliveries SET next_ms = ?1 WHERE state = 'pending' AND next_ms > ?1",
    "UPDATE webhooks SET probe_ms = min(probe_ms, ?1), down_since_ms = min(down_since_ms, ?1) \
     WHERE probe_ms > ?1 OR down_since_ms > ?1",
    "DELETE FROM gaps WHERE from_ms > ?1",
    "UPDATE gaps SET to_ms = ?1 WHERE to_ms > ?1",
];

/// What stored times show about the clock at a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredTime {
    /// The clock was set back by at least this much; everything that was due later is due now.
    pub set_back: Option<Duration>,
    /// Time since the newest poll.
    pub idle: Option<Duration>,
}

/// Compares the clock with stored times; see [`super::Maintenance::compare_clock`].
pub(super) async fn compare(
    connection: &mut SqliteConnection,
    now: Timestamp,
    jumped_ms: i64,
    longest_wait: Duration,
) -> Result<StoredTime, StoreError> {
    if jumped_ms != 0 {
        for update in SHIFT {
            sqlx::query(update).bind(jumped_ms).execute(&mut *connection).await?;
        }
    }
    let (newest, due): (Option<i64>, i64) = sqlx::query_as(STORED).fetch_one(&mut *connection).await?;
    let newest = newest.map(Timestamp::from_ms);
    let ahead = newest.map_or(Duration::ZERO, |newest| newest.since(now));
    let ahead = ahead.max(Timestamp::from_ms(due).since(now.plus(longest_wait)));
    let set_back = (ahead > SLACK).then_some(ahead);
    if set_back.is_some() || jumped_ms < 0 {
        for update in TO_NOW {
            sqlx::query(update).bind(now.as_ms()).execute(&mut *connection).await?;
        }
    }
    Ok(StoredTime { set_back, idle: newest.map(|newest| now.since(newest)) })
}
