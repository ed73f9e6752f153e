//! Stored instants that lie ahead because the clock was set back.
//!
//! Guards: nothing stored as due waits for a time that the clock showed before. Events, visits and gaps keep their times.
//! Not here: jumps of a running clock (`clock::steady`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::time::Duration;

use super::{Store, StoreError};
use crate::time::Timestamp;

/// Stored times may lie this far ahead: clocks are adjusted by small steps all the time.
const SLACK: Duration = Duration::from_secs(5);

const NEWEST: &str = "\
SELECT max(coalesce((SELECT max(last_poll_ms) FROM people), 0), \
    coalesce((SELECT recorded_ms FROM events ORDER BY sequence DESC LIMIT 1), 0))";
/// What is due, and what was last, each no later than now.
const TO_NOW: [&str; 3] = [
    "UPDATE people SET next_poll_ms = NULL, last_poll_ms = min(last_poll_ms, ?1), last_ok_ms = min(last_ok_ms, ?1), \
        last_error_ms = min(last_error_ms, ?1) \
     WHERE next_poll_ms > ?1 OR last_poll_ms > ?1 OR last_ok_ms > ?1 OR last_error_ms > ?1",
    "UPDATE lanes SET ready_ms = ?1 WHERE ready_ms > ?1",
    "UPDATE webhooks SET probe_ms = min(probe_ms, ?1), down_since_ms = min(down_since_ms, ?1) \
     WHERE probe_ms > ?1 OR down_since_ms > ?1",
];

impl Store {
    /// Makes everything due now that was due by a clock that has been set back since; returns by how much it was set back,
    /// at least. For a start, before anything is read.
    pub async fn clock_set_back(&self, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                let newest: i64 = sqlx::query_scalar(NEWEST).fetch_one(&mut *connection).await?;
                let ahead = Timestamp::from_ms(newest).since(now);
                if ahead <= SLACK {
                    return Ok(None);
                }
                for update in TO_NOW {
                    sqlx::query(update).bind(now.as_ms()).execute(&mut *connection).await?;
                }
                Ok(Some(ahead))
            })
        })
        .await
    }
}
