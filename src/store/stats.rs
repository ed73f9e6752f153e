//! Statistics for monitoring: the queue of each webhook, why it is blocked, the sizes of the files.
//!
//! Guards: cheap enough to run every few seconds; names no user. Deliberately not here: the names of metrics
//! (`web::metrics`), single users (`history`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::path::Path;

use serde::Serialize;
use sqlx::SqlitePool;

use super::StoreError;
use crate::ids::WebhookName;
use crate::policy::liveness::{DeliveryReason, NextDelivery, WebhookDeliveries, WebhookMode, next_delivery};
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

/// A lane that is ready later than now waits after a failed attempt; the lane that is retried first gives the reason.
const BLOCKED: &str = "\
SELECT k.webhook, coalesce(w.state, 'up'), w.reason, w.probe_ms, r.ready_ms, \
    (SELECT last_error FROM deliveries AS d WHERE d.webhook = k.webhook AND d.person_id = r.person_id \
        AND d.org = r.org AND d.state = 'pending' ORDER BY (trigger <> 'event'), sequence LIMIT 1), \
    EXISTS (SELECT 1 FROM lanes AS l WHERE l.webhook = k.webhook) \
FROM (SELECT webhook FROM webhooks UNION SELECT webhook FROM lanes) AS k \
LEFT JOIN webhooks AS w USING (webhook) \
LEFT JOIN (SELECT webhook, min(ready_ms) AS ready_ms, person_id, org FROM lanes \
    WHERE lease_ms IS NULL AND ready_ms > ?1 GROUP BY webhook) AS r USING (webhook) ORDER BY k.webhook";

/// Why some or all pending deliveries of a webhook are not sent at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockedWebhook {
    pub webhook: String,
    /// Name of a [`DeliveryReason`].
    pub reason: &'static str,
    /// Details in plain text.
    pub why: Option<String>,
    /// When the next attempt follows; `None`: an operator has to act first.
    #[serde(serialize_with = "rfc3339")]
    pub next: Option<Timestamp>,
}

/// The queue of one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub webhook: String,
    /// `up`, `down`, `paused` or `disabled`.
    pub state: String,
    /// Pending deliveries.
    pub pending: i64,
    /// Dead letters; a failed test is none.
    pub dead: i64,
    /// When the oldest pending event was recorded.
    pub oldest: Option<Timestamp>,
    /// Why it is not up, or refuses all events.
    pub reason: Option<String>,
    /// While it is down: time of the next probe.
    pub next_probe: Option<Timestamp>,
}

type BlockedRow = (String, String, Option<String>, Option<i64>, Option<i64>, Option<String>, bool);
type QueueRow = (String, String, i64, i64, Option<i64>, Option<String>, Option<i64>);

/// Sizes of the database files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSizes {
    /// The database itself, in bytes.
    pub main_bytes: u64,
    /// Its write-ahead log, in bytes.
    pub wal_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct WebhookStats<'h> {
    pub(super) readers: &'h SqlitePool,
}

impl WebhookStats<'_> {
    /// The queues of all webhooks in the database.
    pub async fn queues(self) -> Result<Vec<Queue>, StoreError> {
        let rows: Vec<QueueRow> = sqlx::query_as(WEBHOOKS).fetch_all(self.readers).await?;
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

    /// The webhooks with blocked deliveries at `now`, and why; `configured`: those of the active config.
    pub async fn blocked(
        self,
        configured: &[WebhookName],
        now: Timestamp,
    ) -> Result<Vec<BlockedWebhook>, StoreError> {
        let rows: Vec<BlockedRow> = sqlx::query_as(BLOCKED).bind(now.as_ms()).fetch_all(self.readers).await?;
        Ok(rows.into_iter().filter_map(|row| blocked(row, configured)).collect())
    }
}

fn blocked(row: BlockedRow, configured: &[WebhookName]) -> Option<BlockedWebhook> {
    let (webhook, state, state_reason, probe_ms, ready_ms, last_error, waits) = row;
    let is_configured = configured.iter().any(|name| name.as_str() == webhook);
    let mode = match &*state {
        "down" => WebhookMode::Down,
        "paused" => WebhookMode::Paused,
        "disabled" => WebhookMode::Disabled,
        _ => WebhookMode::Up,
    };
    let deliveries = WebhookDeliveries {
        configured: is_configured,
        mode,
        probe: probe_ms.map(Timestamp::from_ms),
        refusing: mode == WebhookMode::Up && state_reason.is_some(),
        pending: waits,
        retry: ready_ms.map(Timestamp::from_ms),
    };
    let NextDelivery::Waits(reason, next) = next_delivery(&deliveries) else { return None };
    let why = match reason {
        DeliveryReason::Removed => None,
        DeliveryReason::Retrying => last_error,
        _ => state_reason,
    };
    Some(BlockedWebhook { webhook, reason: reason.name(), why, next })
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn rfc3339<S: serde::Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::rfc3339).serialize(to)
}

/// The sizes of the files of a database; 0 for missing files.
pub fn file_sizes(path: &Path) -> FileSizes {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    FileSizes { main_bytes: bytes(path), wal_bytes: bytes(Path::new(&wal)) }
}
