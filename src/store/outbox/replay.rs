//! Sends deliveries again that have ended.
//!
//! Guards: a pending delivery is not changed, so no delivery is duplicated; replays are sent after live deliveries,
//! with the same id and bytes; lookups are outside the writing transaction, and writes are in portions, so other writes
//! do not wait long. Deliberately not here: sending (`turn`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::handle::Outbox;
use super::reader::OutboxReader;
use crate::ids::WebhookName;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Deliveries in one transaction.
const AT_ONCE: usize = 5_000;

/// By the time at which the events were recorded. Tests are excluded.
const BY_TIME: &str = "\
SELECT d.delivery_id, d.webhook, d.state FROM deliveries AS d JOIN events AS e USING (sequence) \
WHERE d.delivery_id > ?1 AND d.webhook IN (SELECT value FROM json_each(?2)) AND e.recorded_ms >= ?3 AND e.recorded_ms < ?4 \
    AND (?5 IS NULL OR d.state = ?5) AND d.trigger <> 'test' \
ORDER BY d.delivery_id LIMIT ?6";

const BY_EVENT: &str = "\
SELECT d.delivery_id, d.webhook, d.state FROM events AS e JOIN deliveries AS d USING (sequence) \
WHERE e.id IN (SELECT value FROM json_each(?1)) AND d.webhook IN (SELECT value FROM json_each(?2)) \
    AND (?3 IS NULL OR d.state = ?3) \
ORDER BY d.delivery_id";

/// Events without a delivery to the webhook, requested by id.
const NEVER_MEANT: &str = "\
SELECT e.sequence, hook.value FROM events AS e, json_each(?2) AS hook \
WHERE e.id IN (SELECT value FROM json_each(?1)) AND NOT EXISTS \
    (SELECT 1 FROM deliveries AS d WHERE d.sequence = e.sequence AND d.webhook = hook.value)";

const ADD: &str = "\
INSERT INTO deliveries (webhook, org, person_id, sequence, trigger, next_ms) \
SELECT asked.value ->> 1, coalesce(e.org, ''), coalesce(e.person_id, 0), e.sequence, 'replay', ?2 \
FROM jsonb_each(?1) AS asked JOIN events AS e ON e.sequence = asked.value ->> 0 \
WHERE NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.sequence = e.sequence AND d.webhook = asked.value ->> 1) \
RETURNING delivery_id";

const WAIT_AGAIN: &str = "\
UPDATE deliveries SET state = 'pending', trigger = 'replay', strikes = 0, next_ms = ?2, finished_ms = NULL \
WHERE delivery_id IN (SELECT value FROM json_each(?1)) AND state <> 'pending'";

const OPEN_LANES: &str = "\
INSERT INTO lanes (webhook, org, person_id, ready_ms) \
SELECT DISTINCT webhook, org, person_id, ?2 FROM deliveries \
WHERE delivery_id IN (SELECT value FROM json_each(?1)) AND state = 'pending' \
ON CONFLICT DO NOTHING";

/// The head of a lane may change; a live delivery that waits for its backoff stays in front.
const REFRESH_LANES: &str = "\
UPDATE lanes SET ready_ms = \
    (SELECT next_ms FROM deliveries WHERE deliveries.webhook = lanes.webhook \
        AND deliveries.person_id = lanes.person_id AND deliveries.org = lanes.org AND deliveries.state = 'pending' \
     ORDER BY (trigger <> 'event'), sequence LIMIT 1) \
WHERE (webhook, person_id, org) IN (SELECT webhook, person_id, org FROM deliveries \
    WHERE delivery_id IN (SELECT value FROM json_each(?1)) AND state = 'pending')";

/// Selects deliveries.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Deliveries to one of these webhooks.
    pub webhooks: Vec<WebhookName>,
    /// Of these events; empty: of all events that match the rest. Otherwise `since` and `until` are ignored.
    pub events: Vec<String>,
    /// Also send `events` that have no delivery to these webhooks.
    pub never_meant: bool,
    /// Of events recorded at or after this time.
    pub since: Option<Timestamp>,
    /// Of events recorded before this time.
    pub until: Option<Timestamp>,
    /// `delivered`, `dead` or `expired`; `None`: any outcome.
    pub state: Option<&'static str>,
}

/// The effect of a selection on one webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayable {
    /// Sent again.
    pub again: u64,
    /// Pending already, and not changed.
    pub waiting: u64,
}

/// By webhook.
pub type Replayables = BTreeMap<String, Replayable>;

impl OutboxReader {
    /// The effect that a replay would have.
    pub async fn replayable(&self, selection: &Selection) -> Result<Replayables, StoreError> {
        let mut counts = Replayables::new();
        let mut after = i64::MIN;
        while let Some(portion) = self.portion(selection, after).await? {
            after = portion.last;
            portion.count(&mut counts);
        }
        for (_, webhook) in self.never_meant(selection).await? {
            counts.entry(webhook).or_default().again += 1;
        }
        Ok(counts)
    }

    /// The next deliveries of a selection; `None` when there are no more.
    async fn portion(&self, selection: &Selection, after: i64) -> Result<Option<Portion>, StoreError> {
        let webhooks = serde_json::to_string(&selection.webhooks)?;
        let rows: Vec<(i64, String, String)> = if selection.events.is_empty() {
            sqlx::query_as(BY_TIME)
                .bind(after)
                .bind(webhooks)
                .bind(selection.since.map_or(i64::MIN, Timestamp::as_ms))
                .bind(selection.until.map_or(i64::MAX, Timestamp::as_ms))
                .bind(selection.state)
                .bind(i64::try_from(AT_ONCE).unwrap_or(i64::MAX))
                .fetch_all(&self.readers)
                .await?
        } else if after == i64::MIN {
            sqlx::query_as(BY_EVENT)
                .bind(serde_json::to_string(&selection.events)?)
                .bind(webhooks)
                .bind(selection.state)
                .fetch_all(&self.readers)
                .await?
        } else {
            Vec::new()
        };
        Ok(rows.last().map(|last| last.0).map(|last| Portion { last, rows }))
    }

    async fn never_meant(&self, selection: &Selection) -> Result<Vec<(i64, String)>, StoreError> {
        if !selection.never_meant || selection.events.is_empty() || selection.state.is_some() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as(NEVER_MEANT)
            .bind(serde_json::to_string(&selection.events)?)
            .bind(serde_json::to_string(&selection.webhooks)?);
        Ok(rows.fetch_all(&self.readers).await?)
    }
}

impl Outbox<'_> {
    /// Makes the selected deliveries pending again, from `at` on. The caller wakes the dispatcher afterwards.
    pub async fn replay(self, selection: &Selection, at: Timestamp) -> Result<Replayables, StoreError> {
        let reader = OutboxReader::new(self.database.readers.clone());
        let mut counts = Replayables::new();
        let mut after = i64::MIN;
        let never_meant = reader.never_meant(selection).await?;
        while let Some(portion) = reader.portion(selection, after).await? {
            after = portion.last;
            portion.count(&mut counts);
            let ids: Vec<i64> =
                portion.rows.iter().filter(|row| row.2 != "pending").map(|row| row.0).collect();
            self.database
                .writer
                .write(move |connection| Box::pin(async move { wait_again(connection, &ids, at).await }))
                .await?;
        }
        for (_, webhook) in &never_meant {
            counts.entry(webhook.clone()).or_default().again += 1;
        }
        if !never_meant.is_empty() {
            self.database
                .writer
                .write(move |connection| Box::pin(async move { add(connection, &never_meant, at).await }))
                .await?;
        }
        Ok(counts)
    }
}

/// A portion of a selection.
struct Portion {
    last: i64,
    rows: Vec<(i64, String, String)>,
}

impl Portion {
    fn count(&self, counts: &mut Replayables) {
        for (_, webhook, state) in &self.rows {
            let count = counts.entry(webhook.clone()).or_default();
            if state == "pending" {
                count.waiting += 1;
            } else {
                count.again += 1;
            }
        }
    }
}

async fn wait_again(connection: &mut SqliteConnection, ids: &[i64], at: Timestamp) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let list = serde_json::to_string(ids)?;
    sqlx::query(WAIT_AGAIN).bind(&list).bind(at.as_ms()).execute(&mut *connection).await?;
    sqlx::query(OPEN_LANES).bind(&list).bind(at.as_ms()).execute(&mut *connection).await?;
    sqlx::query(REFRESH_LANES).bind(&list).execute(connection).await?;
    Ok(())
}

async fn add(
    connection: &mut SqliteConnection,
    asked: &[(i64, String)],
    at: Timestamp,
) -> Result<(), StoreError> {
    let list = serde_json::to_string(asked)?;
    let ids: Vec<i64> =
        sqlx::query_scalar(ADD).bind(list).bind(at.as_ms()).fetch_all(&mut *connection).await?;
    let list = serde_json::to_string(&ids)?;
    sqlx::query(OPEN_LANES).bind(&list).bind(at.as_ms()).execute(&mut *connection).await?;
    sqlx::query(REFRESH_LANES).bind(&list).execute(connection).await?;
    Ok(())
}
