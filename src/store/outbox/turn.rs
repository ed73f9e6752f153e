//! The statements that write deliveries back, and the one transaction of a turn.
//!
//! Guards: times and outcomes are arguments; every statement except the one that frees all leases finds its rows by an
//! index; lookups and writes share one transaction. Deliberately not here: when to request deliveries, and which
//! (`tasks::dispatcher`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::SqliteConnection;

use super::claim::grant;
#[cfg(test)]
use super::claim::{END_DAMAGED, HEADS, LEASE, NEXT_READY};
use super::lanes::{MOVE_LANES_ON, REMOVE_EMPTY_LANES};
use super::types::{Ending, Finished, Turn, Turned};
use super::webhook_state;
use crate::ids::WebhookName;
use crate::store::StoreError;
use crate::store::bulk::bulk;
use crate::time::{Timestamp, duration_ms};

const FREE_ALL: &str = "UPDATE lanes SET lease_ms = NULL WHERE lease_ms IS NOT NULL";

const FINISH: &str = "\
UPDATE deliveries SET state = done.state, attempts = deliveries.attempts + done.attempted, \
    strikes = deliveries.strikes + done.strike, next_ms = coalesce(done.next, deliveries.next_ms), \
    last_status = iif(done.attempted, done.status, deliveries.last_status), \
    last_error = iif(done.attempted, done.error, deliveries.last_error), finished_ms = done.finished \
FROM (SELECT value ->> 0 AS id, value ->> 1 AS state, value ->> 2 AS attempted, value ->> 3 AS strike, \
             value ->> 4 AS next, value ->> 5 AS status, value ->> 6 AS error, value ->> 7 AS finished \
      FROM jsonb_each(?1)) AS done \
WHERE deliveries.delivery_id = done.id AND deliveries.state = 'pending'";

/// Each request is kept; a delivery that no longer exists has none.
pub(super) const KEEP_ATTEMPTS: &str = "\
INSERT OR REPLACE INTO attempts (delivery_id, nth, sent_ms, took_s, status, error) \
SELECT d.delivery_id, d.attempts, sent.value ->> 1, (sent.value ->> 2) / 1000.0, sent.value ->> 3, sent.value ->> 4 \
FROM jsonb_each(?1) AS sent CROSS JOIN deliveries AS d ON d.delivery_id = sent.value ->> 0";

const FORGIVE: &str = "\
UPDATE deliveries SET strikes = max(strikes - 1, 0) \
WHERE delivery_id IN (SELECT value FROM jsonb_each(?1)) AND state = 'pending'";

/// Makes lanes ready at once, whatever their backoff.
const HURRY: &str = "\
UPDATE lanes SET ready_ms = ?2 WHERE (webhook, person_id, org) IN \
    (SELECT webhook, person_id, org FROM lanes WHERE webhook = ?1 AND lease_ms IS NULL AND ready_ms > ?2 LIMIT ?3 + 0)";

const GIVE_UP: &str = "\
UPDATE deliveries SET state = 'dead', last_error = ?2, finished_ms = ?3 \
WHERE delivery_id IN (SELECT delivery_id FROM deliveries WHERE webhook = ?1 AND state = 'pending' LIMIT ?4)";

const REMOVE_LANES: &str = "DELETE FROM lanes WHERE webhook = ?1";

/// Deliveries that one transaction gives up, so that other writes do not wait long.
pub(super) const GIVEN_UP_AT_ONCE: u64 = 5_000;
/// Lanes of a webhook that one transaction makes ready, for the same reason.
const HURRIED_AT_ONCE: u32 = 5_000;

/// All statements except the one that reads every lane, for the test that no statement scans a table.
#[cfg(test)]
pub(super) const INDEXED: &[&str] = &[
    HEADS,
    LEASE,
    NEXT_READY,
    END_DAMAGED,
    FINISH,
    KEEP_ATTEMPTS,
    FORGIVE,
    REMOVE_EMPTY_LANES,
    MOVE_LANES_ON,
    HURRY,
    GIVE_UP,
    REMOVE_LANES,
];

/// Frees every lane.
pub(super) async fn free_all(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    Ok(sqlx::query(FREE_ALL).execute(connection).await?.rows_affected())
}

pub(super) async fn take_turn(connection: &mut SqliteConnection, turn: &Turn) -> Result<Turned, StoreError> {
    let missing = write_back(connection, &turn.finished).await?;
    bulk(connection, FORGIVE, &turn.forgiven).await?;
    webhook_state::save(connection, &turn.states).await?;
    let unfinished = hurry(connection, &turn.hurried, turn.at).await?;
    let granted = grant(connection, &turn.asks, turn.at).await?;
    Ok(Turned { granted, missing, unfinished })
}

/// Makes waiting lanes ready; returns the webhooks with more lanes than one transaction changes.
async fn hurry(
    connection: &mut SqliteConnection,
    webhooks: &[WebhookName],
    at: Timestamp,
) -> Result<Vec<WebhookName>, StoreError> {
    let mut unfinished = Vec::new();
    for webhook in webhooks {
        let moved = sqlx::query(HURRY).bind(webhook.as_str()).bind(at.as_ms()).bind(HURRIED_AT_ONCE);
        if moved.execute(&mut *connection).await?.rows_affected() >= u64::from(HURRIED_AT_ONCE) {
            unfinished.push(webhook.clone());
        }
    }
    Ok(unfinished)
}

pub(super) async fn write_back(
    connection: &mut SqliteConnection,
    finished: &[Finished],
) -> Result<u64, StoreError> {
    if finished.is_empty() {
        return Ok(0);
    }
    let rows: Vec<_> = finished.iter().map(finished_row).collect();
    let written = bulk(connection, FINISH, &rows).await?;
    bulk(connection, KEEP_ATTEMPTS, &finished.iter().filter_map(attempt_row).collect::<Vec<_>>()).await?;
    let lanes: Vec<_> =
        finished.iter().filter(|done| !done.keeps_lane).map(|done| done.ticket.lane()).collect();
    bulk(connection, REMOVE_EMPTY_LANES, &lanes).await?;
    bulk(connection, MOVE_LANES_ON, &lanes).await?;
    Ok((finished.len() as u64).saturating_sub(written))
}

pub(super) async fn give_up_some(
    connection: &mut SqliteConnection,
    webhook: &WebhookName,
    reason: &str,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let given_up = sqlx::query(GIVE_UP)
        .bind(webhook.as_str())
        .bind(reason)
        .bind(at.as_ms())
        .bind(i64::try_from(GIVEN_UP_AT_ONCE).unwrap_or(i64::MAX))
        .execute(&mut *connection)
        .await?
        .rows_affected();
    if given_up < GIVEN_UP_AT_ONCE {
        sqlx::query(REMOVE_LANES).bind(webhook.as_str()).execute(connection).await?;
    }
    Ok(given_up)
}

type AttemptRow<'a> = (i64, Timestamp, i64, Option<u16>, Option<&'a str>);

fn attempt_row(done: &Finished) -> Option<AttemptRow<'_>> {
    let attempt = done.attempt.as_ref()?;
    Some((
        done.ticket.delivery_id,
        done.at.minus(attempt.took),
        duration_ms(attempt.took),
        attempt.status,
        attempt.error.as_deref(),
    ))
}

type FinishedRow<'a> =
    (i64, &'static str, u32, u32, Option<Timestamp>, Option<u16>, Option<&'a str>, Option<Timestamp>);

fn finished_row(done: &Finished) -> FinishedRow<'_> {
    let (state, next, finished) = match done.ending {
        Ending::Delivered => ("delivered", None, Some(done.at)),
        Ending::Dead => ("dead", None, Some(done.at)),
        Ending::Expired => ("expired", None, Some(done.at)),
        Ending::Retry(at) => ("pending", Some(at), None),
        Ending::Released => ("pending", None, None),
    };
    // A difference, because a strike may have been refunded while the request was sent.
    let strike = done.strikes.saturating_sub(done.ticket.strikes);
    let attempt = done.attempt.as_ref();
    let status = attempt.and_then(|attempt| attempt.status);
    let error = attempt.and_then(|attempt| attempt.error.as_deref());
    (done.ticket.delivery_id, state, u32::from(attempt.is_some()), strike, next, status, error, finished)
}
