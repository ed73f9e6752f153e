//! Numbers for who watches over the daemon: the queue of each webhook, what everything weighs.
//!
//! Guards: cheap enough to be asked every few seconds; no person is named. Deliberately not here: what they are called
//! (`web::metrics`), single people (`history`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::path::Path;

use serde::Serialize;

use super::history::History;
use super::{Store, StoreError};
use crate::ids::WebhookName;
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

/// A lane that is ready later than now waits after a failed attempt; of those the one that is tried first says why.
const BLOCKED: &str = "\
SELECT k.webhook, coalesce(w.state, 'up'), w.reason, w.probe_ms, r.ready_ms, \
    (SELECT last_error FROM deliveries AS d WHERE d.webhook = k.webhook AND d.person_id = r.person_id \
        AND d.org = r.org AND d.state = 'pending' ORDER BY (trigger <> 'event'), sequence LIMIT 1), \
    EXISTS (SELECT 1 FROM lanes AS l WHERE l.webhook = k.webhook) \
FROM (SELECT webhook FROM webhooks UNION SELECT webhook FROM lanes) AS k \
LEFT JOIN webhooks AS w USING (webhook) \
LEFT JOIN (SELECT webhook, min(ready_ms) AS ready_ms, person_id, org FROM lanes \
    WHERE lease_ms IS NULL AND ready_ms > ?1 GROUP BY webhook) AS r USING (webhook) ORDER BY k.webhook";

/// Why some or all of what waits for a webhook is not sent at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockedWebhook {
    /// Its name.
    pub webhook: String,
    /// One of [`BlockedWebhook::REASONS`].
    pub reason: &'static str,
    /// More about it, for a person.
    pub why: Option<String>,
    /// When the next attempt follows; `None`: somebody has to act first.
    #[serde(serialize_with = "rfc3339")]
    pub next: Option<Timestamp>,
}

impl BlockedWebhook {
    /// All reasons: the states but `up`; accepts nothing; some of it waits after a failed attempt; not in the config any more.
    pub const REASONS: [&str; 6] = ["down", "paused", "disabled", "refusing", "retrying", "removed"];
}

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

type BlockedRow = (String, String, Option<String>, Option<i64>, Option<i64>, Option<String>, bool);
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

impl History {
    /// The webhooks of which something is not sent at `now`, and why; `configured`: those of the config in force.
    pub async fn blocked_webhooks(
        &self,
        configured: &[WebhookName],
        now: Timestamp,
    ) -> Result<Vec<BlockedWebhook>, StoreError> {
        let rows: Vec<BlockedRow> =
            sqlx::query_as(BLOCKED).bind(now.as_ms()).fetch_all(self.readers()).await?;
        Ok(rows.into_iter().filter_map(|row| blocked(row, configured)).collect())
    }
}

fn blocked(row: BlockedRow, configured: &[WebhookName]) -> Option<BlockedWebhook> {
    let (webhook, state, trouble, probe_ms, ready_ms, last_error, waits) = row;
    let is_configured = configured.iter().any(|name| name.as_str() == webhook);
    let (reason, why, next_ms) = match &*state {
        _ if !is_configured => ("removed", None, None),
        "down" => ("down", trouble, probe_ms),
        "paused" => ("paused", trouble, None),
        "disabled" => ("disabled", trouble, None),
        _ if trouble.is_some() => ("refusing", trouble, ready_ms),
        _ => ("retrying", last_error, Some(ready_ms?)),
    };
    // What is not in the config any more matters only while something waits for it.
    (is_configured || waits).then(|| BlockedWebhook {
        webhook,
        reason,
        why,
        next: next_ms.map(Timestamp::from_ms),
    })
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn rfc3339<S: serde::Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::rfc3339).serialize(to)
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
