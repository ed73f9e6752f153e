//! The outbox as the operator sees it: how each receiver stands, what became of each delivery; and what was told about
//! a receiver's health.
//!
//! Guards: what is shown is read through connections that cannot write, with the daemon up or down; an alert and the
//! note that it was told are one transaction. Deliberately not here: sending again (`replay`), printing (`cli`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::{FromRow, SqliteConnection, SqlitePool};

use super::Attempted;
use super::turn::{self, StateRow};
use crate::ids::WebhookName;
use crate::policy::delivery::Health;
use crate::policy::webhook_alert::SentAlert;
use crate::store::recording::Note;
use crate::store::{Outgoing, ReadOnlyStore, Store, StoreError};
use crate::time::Timestamp;

const KNOWN: &str = "SELECT webhook FROM webhooks UNION SELECT webhook FROM lanes ORDER BY webhook";

/// Every count is a range of one index.
const STANDING: &str = "\
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
    AND (d.trigger <> 'test' OR ?2 IS NOT 'dead') \
ORDER BY d.delivery_id DESC LIMIT ?4";

const BODY: &str = "SELECT body FROM events WHERE id = ?1";

const TESTED: &str = "\
INSERT INTO deliveries (webhook, org, person_id, sequence, trigger, state, attempts, next_ms, last_status, last_error, finished_ms) \
SELECT ?1, '', 0, sequence, 'test', ?3, 1, ?4, ?5, ?6, ?4 FROM events WHERE id = ?2";

const ALERTS: &str = "\
SELECT webhook, state, failures, down_since_ms, probe_ms, probes, reason, alert FROM webhooks ORDER BY webhook";

const SET_TOLD: &str = "UPDATE webhooks SET alert = ?2 WHERE webhook = ?1";

/// The outbox for those who only look. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(super) readers: SqlitePool,
}

/// How a receiver stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its name.
    pub webhook: String,
    /// `up`, `down`, `disabled` or `paused`.
    pub state: String,
    /// Unavailable in a row, over all lanes.
    pub failures: u32,
    /// While down: since when.
    pub down_since: Option<Timestamp>,
    /// While down: when the next probe goes out.
    pub probe_at: Option<Timestamp>,
    /// Why it is disabled or paused; while it fails, what a delivery that waits met last.
    pub why: Option<String>,
    /// What was told about it: `silent`, `down` or `disabled`.
    pub alert: String,
    /// Deliveries that wait or are in flight.
    pub waiting: i64,
    /// When the oldest event among them was written down.
    pub oldest_waiting: Option<Timestamp>,
    /// Dead letters.
    pub dead: i64,
}

/// Which deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveryQuery {
    /// To this webhook.
    pub webhook: Option<String>,
    /// `pending`, `delivered`, `dead` or `expired`.
    pub state: Option<&'static str>,
    /// Of the event with this id.
    pub event: Option<String>,
    /// At most so many, the newest.
    pub limit: u32,
}

/// One event on its way to one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// The row.
    pub delivery_id: i64,
    /// To whom.
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
    /// While it waits: not before this.
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
    /// When the event was written down.
    pub recorded: Timestamp,
    /// Whom it is about.
    pub name: Option<String>,
    /// Whom it is about.
    pub union_id: Option<String>,
}

impl Store {
    /// The outbox, for those who only look.
    pub fn ledger(&self) -> Ledger {
        Ledger { readers: self.readers().clone() }
    }

    /// Writes down a test that was sent at `at`: ended, whatever came of it.
    pub async fn record_test(
        &self,
        webhook: WebhookName,
        event_id: String,
        accepted: bool,
        attempt: Attempted,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(TESTED)
                    .bind(webhook.as_str())
                    .bind(event_id)
                    .bind(if accepted { "delivered" } else { "dead" })
                    .bind(at.as_ms())
                    .bind(attempt.status)
                    .bind(attempt.error)
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// The state of every webhook that ever had one, and what was told about it.
    pub async fn webhook_alerts(&self) -> Result<Vec<(WebhookName, Health, SentAlert)>, StoreError> {
        let rows: Vec<AlertRow> = sqlx::query_as(ALERTS).fetch_all(self.readers()).await?;
        rows.into_iter().map(told).collect()
    }

    /// Writes an alert about a webhook, and that it was told, in one transaction.
    pub async fn record_alert(
        &self,
        webhook: WebhookName,
        told: SentAlert,
        event: Outgoing,
    ) -> Result<(), StoreError> {
        self.note(Note::Alert { webhook, told, event: Box::new(event) }).await
    }
}

impl ReadOnlyStore {
    /// The outbox, for those who only look.
    pub fn ledger(&self) -> Ledger {
        Ledger { readers: self.readers().clone() }
    }
}

impl Ledger {
    /// The names of all webhooks that have a state or something waiting, the config's or not.
    pub async fn known(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar(KNOWN).fetch_all(&self.readers).await?)
    }

    /// How a webhook stands; one that nothing is known about is up, with nothing waiting.
    pub async fn standing(&self, webhook: &str) -> Result<WebhookRow, StoreError> {
        let mut row: WebhookRow = sqlx::query_as(STANDING).bind(webhook).fetch_one(&self.readers).await?;
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
            .fetch_all(&self.readers)
            .await?;
        rows.reverse();
        Ok(rows)
    }

    /// The stored bytes of an event.
    pub async fn body(&self, event_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar(BODY).bind(event_id).fetch_optional(&self.readers).await?)
    }
}

/// Notes what is told about a webhook; called inside the transaction that writes the alert.
pub(in crate::store) async fn note_told(
    connection: &mut SqliteConnection,
    webhook: &WebhookName,
    told: SentAlert,
) -> Result<(), StoreError> {
    let noted = sqlx::query(SET_TOLD).bind(webhook.as_str()).bind(told.name()).execute(connection).await?;
    if noted.rows_affected() == 1 {
        return Ok(());
    }
    Err(turn::corrupt("webhooks", webhook, "it has no row to note an alert in".to_owned()))
}

type AlertRow = (String, String, u32, Option<i64>, Option<i64>, u32, Option<String>, String);

fn told(row: AlertRow) -> Result<(WebhookName, Health, SentAlert), StoreError> {
    let (webhook, state, failures, since_ms, probe_ms, probes, reason, alert) = row;
    let row: StateRow = (webhook, state, failures, since_ms, probe_ms, probes, reason);
    let (webhook, health) = turn::health(row)?;
    // The column has a CHECK.
    Ok((webhook, health, SentAlert::parse(&alert).unwrap_or_default()))
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

fn instant(row: &Stored, column: &str) -> sqlx::Result<Option<Timestamp>> {
    use sqlx::Row as _;
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_ms))
}
