//! Numbers for who watches over the daemon: the queue of each webhook, what everything weighs.
//!
//! Guards: cheap enough to be asked every few seconds; no person is named. Deliberately not here: what they are called
//! (`web::metrics`), single people (`history`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::path::Path;

use super::history::History;
use super::{Store, StoreError};
use crate::time::Timestamp;

const WEBHOOKS: &str = "\
SELECT w.webhook, coalesce(s.state, 'up'), w.pending, w.dead, e.recorded_ms, s.reason, s.probe_ms FROM ( \
  SELECT webhook, sum(pending) AS pending, sum(dead) AS dead, max(head) AS head FROM ( \
    SELECT webhook, count(*) AS pending, 0 AS dead, min(sequence) AS head \
        FROM deliveries WHERE state = 'pending' GROUP BY webhook \
    UNION ALL SELECT webhook, 0, count(*), NULL \
        FROM deliveries WHERE state = 'dead' AND trigger <> 'test' GROUP BY webhook \
    UNION ALL SELECT webhook, 0, 0, NULL FROM webhooks \
) GROUP BY webhook) AS w \
LEFT JOIN webhooks AS s ON s.webhook = w.webhook LEFT JOIN events AS e ON e.sequence = w.head ORDER BY w.webhook";

/// One webhook's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub webhook: String,
    /// `up`, `down`, `paused` or `disabled`.
    pub state: String,
    /// Deliveries that wait.
    pub pending: i64,
    /// Deliveries given up; a failed test is none.
    pub dead: i64,
    /// When the oldest one that waits was recorded.
    pub oldest: Option<Timestamp>,
    /// Why it is not up, or accepts nothing.
    pub reason: Option<String>,
    /// While it is down: when it is tried next.
    pub next_probe: Option<Timestamp>,
}

type QueueRow = (String, String, i64, i64, Option<i64>, Option<String>, Option<i64>);

/// What the files weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// The database itself, in bytes.
    pub main_bytes: u64,
    /// Its write-ahead log, in bytes.
    pub wal_bytes: u64,
}

impl History {
    /// The queue of every webhook the database knows.
    pub async fn queues(&self) -> Result<Vec<Queue>, StoreError> {
        let rows: Vec<QueueRow> = sqlx::query_as(WEBHOOKS).fetch_all(self.readers()).await?;
        let queue = |(webhook, state, pending, dead, oldest, reason, next_probe): QueueRow| Queue {
            webhook,
            state,
            pending,
            dead,
            oldest: oldest.map(Timestamp::from_ms),
            reason,
            next_probe: next_probe.map(Timestamp::from_ms),
        };
        Ok(rows.into_iter().map(queue).collect())
    }
}

impl Store {
    /// What the files weigh now.
    pub fn weight(&self) -> Weight {
        weight(self.path())
    }
}

/// What the files of a database weigh; nothing where there are none.
pub fn weight(path: &Path) -> Weight {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    Weight { main_bytes: bytes(path), wal_bytes: bytes(Path::new(&wal)) }
}
