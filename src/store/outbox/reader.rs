//! Reads the outbox for operators: the state of each webhook, the outcome of each delivery.
//!
//! Guards: reads only, through connections that cannot write, whether the daemon runs or not. Deliberately not here:
//! sending again (`replay`), printing (`cli`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::{FromRow, SqlitePool};

use crate::store::StoreError;
use crate::time::Timestamp;

const KNOWN: &str = "SELECT webhook FROM webhooks UNION SELECT webhook FROM lanes ORDER BY webhook";

/// Each count is a range of one index.
const WEBHOOK: &str = "\
SELECT ?1 AS webhook, coalesce(w.state, 'up') AS state, coalesce(w.failures, 0) AS failures, w.down_since_ms, w.probe_ms, \
    w.reason, coalesce(w.alert, 'silent') AS alert, \
    (SELECT count(*) FROM deliveries WHERE webhook = ?1 AND state = 'pending') AS waiting, \
    (SELECT recorded_ms FROM events WHERE sequence = \
        (SELECT min(sequence) FROM deliveries WHERE webhook = ?1 AND state = 'pending')) AS oldest_ms, \
    (SELECT count(*) FROM deliveries WHERE webhook = ?1 AND state = 'dead' AND trigger <> 'test') AS dead \
FROM (SELECT 1) LEFT JOIN webhooks AS w ON w.webhook = ?1";

const LAST_ERROR: &str = "\
SELECT last_error FROM deliveries \
WHERE webhook = ?1 AND state = 'pending' AND attempts > 0 AND last_error IS NOT NULL LIMIT 1";

/// Newest first; a failed test is no dead letter.
const DELIVERIES: &str = "\
SELECT d.delivery_id, d.webhook, d.state, d.trigger, d.attempts, d.last_status, d.last_error, d.next_ms, d.finished_ms, \
    e.id, e.type, e.sequence, e.org, e.recorded_ms, p.name, p.union_id \
FROM deliveries AS d JOIN events AS e USING (sequence) LEFT JOIN people AS p ON p.person_id = d.person_id \
WHERE (?1 IS NULL OR d.webhook = ?1) AND (?2 IS NULL OR d.state = ?2) AND (?3 IS NULL OR e.id = ?3) \
    AND (d.trigger <> 'test' OR ?2 IS NOT 'dead') AND (?5 IS NULL OR d.delivery_id < ?5) \
ORDER BY d.delivery_id DESC LIMIT ?4";

const ATTEMPTS: &str = "\
SELECT nth, sent_ms, took_s, status, error FROM attempts WHERE delivery_id = ?1 ORDER BY nth";

const BODY: &str = "SELECT body FROM events WHERE id = ?1";

/// Reads the outbox. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct OutboxReader {
    pub(super) readers: SqlitePool,
}

/// The state of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    pub webhook: String,
    /// `up`, `down`, `disabled` or `paused`.
    pub state: String,
    /// Consecutive failures over all lanes.
    pub failures: u32,
    /// While down: since when.
    pub down_since: Option<Timestamp>,
    /// While down: time of the next probe.
    pub probe_at: Option<Timestamp>,
    /// Why it is disabled or paused; while it fails, the newest error of a pending delivery.
    pub why: Option<String>,
    /// The alert that was sent about it: `silent`, `down` or `disabled`.
    pub alert: String,
    /// Deliveries that are pending or in flight.
    pub waiting: i64,
    /// When the oldest event among them was recorded.
    pub oldest_waiting: Option<Timestamp>,
    /// Dead letters.
    pub dead: i64,
}

/// Selects deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    pub webhook: Option<String>,
    /// `pending`, `delivered`, `dead` or `expired`.
    pub state: Option<&'static str>,
    /// Of the event with this id.
    pub event: Option<String>,
    /// Deliveries with a lower id: the first one of the page before.
    pub before: Option<i64>,
    /// The number of deliveries; the newest are returned.
    pub limit: u32,
}

/// The delivery of one event to one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub delivery_id: i64,
    pub webhook: String,
    /// `pending`, `delivered`, `dead` or `expired`.
    pub state: String,
    /// `event`, `replay` or `test`.
    pub trigger: String,
    /// Requests so far.
    pub attempts: i64,
    /// HTTP status of the last one.
    pub last_status: Option<i64>,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// While it is pending: time of the next attempt.
    pub next_at: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// The event's id.
    pub event_id: String,
    /// The event's type.
    pub event_type: String,
    /// The event's number.
    pub sequence: i64,
    /// The event's organisation.
    pub org: Option<String>,
    /// When the event was recorded.
    pub recorded: Timestamp,
    /// Name of the user that the event is about.
    pub name: Option<String>,
    /// unionId of the user that the event is about.
    pub union_id: Option<String>,
}

/// One request of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    /// From 1.
    pub nth: i64,
    /// When it was sent.
    pub sent: Timestamp,
    /// Seconds until its result.
    pub took_s: f64,
    /// HTTP status; `None`: no answer.
    pub status: Option<i64>,
    /// Why it failed, with the beginning of the answer; `None`: accepted.
    pub error: Option<String>,
}

impl OutboxReader {
    /// Over connections that cannot write.
    pub(in crate::store) fn new(readers: SqlitePool) -> Self {
        Self { readers }
    }

    /// The names of all webhooks that have a state or something waiting, the config's or not.
    pub async fn known(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(KNOWN).fetch_all(&self.readers).await?)
    }

    /// The state of a webhook; an unknown webhook is up, with nothing pending.
    pub async fn webhook(&self, webhook: &str) -> Result<WebhookRow, StoreError> {
        let mut row: WebhookRow = sqlx::query_as(WEBHOOK).bind(webhook).fetch_one(&self.readers).await?;
        if row.why.is_none() && row.failures > 0 {
            row.why = sqlx::query_scalar(LAST_ERROR).bind(webhook).fetch_optional(&self.readers).await?;
        }
        Ok(row)
    }

    /// The newest deliveries that fit, oldest first.
    pub async fn deliveries(&self, query: &DeliveryQuery) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut rows: Vec<DeliveryRow> = sqlx::query_as(DELIVERIES)
            .bind(query.webhook.as_deref())
            .bind(query.state)
            .bind(query.event.as_deref())
            .bind(query.limit)
            .bind(query.before)
            .fetch_all(&self.readers)
            .await?;
        rows.reverse();
        Ok(rows)
    }

    /// The requests of a delivery, oldest first. Requests of an earlier release are not known.
    pub async fn attempts(&self, delivery_id: i64) -> Result<Vec<AttemptRow>, StoreError> {
        Ok(sqlx::query_as(ATTEMPTS).bind(delivery_id).fetch_all(&self.readers).await?)
    }

    /// The stored bytes of an event.
    pub async fn body(&self, event_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar(BODY).bind(event_id).fetch_optional(&self.readers).await?)
    }
}

type Stored = sqlx::sqlite::SqliteRow;

impl FromRow<'_, Stored> for WebhookRow {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        use sqlx::Row as _;
        Ok(Self {
            webhook: row.try_get("webhook")?,
            state: row.try_get("state")?,
            failures: row.try_get("failures")?,
            down_since: instant(row, "down_since_ms")?,
            probe_at: instant(row, "probe_ms")?,
            why: row.try_get("reason")?,
            alert: row.try_get("alert")?,
            waiting: row.try_get("waiting")?,
            oldest_waiting: instant(row, "oldest_ms")?,
            dead: row.try_get("dead")?,
        })
    }
}

impl FromRow<'_, Stored> for DeliveryRow {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        use sqlx::Row as _;
        let state: String = row.try_get("state")?;
        let waits = state == "pending";
        Ok(Self {
            delivery_id: row.try_get("delivery_id")?,
            webhook: row.try_get("webhook")?,
            state,
            trigger: row.try_get("trigger")?,
            attempts: row.try_get("attempts")?,
            last_status: row.try_get("last_status")?,
            last_error: row.try_get("last_error")?,
            next_at: instant(row, "next_ms")?.filter(|_| waits),
            finished: instant(row, "finished_ms")?,
            event_id: row.try_get("id")?,
            event_type: row.try_get("type")?,
            sequence: row.try_get("sequence")?,
            org: row.try_get("org")?,
            recorded: Timestamp::from_ms(row.try_get("recorded_ms")?),
            name: row.try_get("name")?,
            union_id: row.try_get("union_id")?,
        })
    }
}

impl FromRow<'_, Stored> for AttemptRow {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        use sqlx::Row as _;
        Ok(Self {
            nth: row.try_get("nth")?,
            sent: Timestamp::from_ms(row.try_get("sent_ms")?),
            took_s: row.try_get("took_s")?,
            status: row.try_get("status")?,
            error: row.try_get("error")?,
        })
    }
}

fn instant(row: &Stored, column: &str) -> sqlx::Result<Option<Timestamp>> {
    use sqlx::Row as _;
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_ms))
}
