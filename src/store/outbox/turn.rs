//! The statements of the outbox, and the one transaction they make.
//!
//! Guards: times and outcomes come in as arguments; every statement but the one that frees all leases finds its rows by
//! an index; what is looked up is what is written, because both happen in one transaction. Deliberately not here: when
//! to ask, and what for (`tasks::dispatcher`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Serialize;
use sqlx::SqliteConnection;

use super::claim::grant;
#[cfg(test)]
use super::claim::{END_DAMAGED, HEADS, LEASE, NEXT_READY};
use super::{Ending, Finished, Ticket, Turn, Turned};
use crate::ids::WebhookName;
use crate::policy::delivery::{Health, WebhookState};
use crate::store::StoreError;
use crate::store::bulk::bulk;
use crate::time::Timestamp;

const FREE_ALL: &str = "UPDATE lanes SET lease_ms = NULL WHERE lease_ms IS NOT NULL";

const STATES: &str =
    "SELECT webhook, state, failures, down_since_ms, probe_ms, probes, reason FROM webhooks ORDER BY webhook";

const SET_STATE: &str = "\
INSERT INTO webhooks (webhook, state, failures, down_since_ms, probe_ms, probes, reason) \
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
FROM jsonb_each(?1) WHERE true \
ON CONFLICT (webhook) DO UPDATE SET state = excluded.state, failures = excluded.failures, \
    down_since_ms = excluded.down_since_ms, probe_ms = excluded.probe_ms, probes = excluded.probes, \
    reason = excluded.reason";

const FINISH: &str = "\
UPDATE deliveries SET state = done.state, attempts = deliveries.attempts + done.attempted, \
    strikes = deliveries.strikes + done.strike, next_ms = coalesce(done.next, deliveries.next_ms), \
    last_status = iif(done.attempted, done.status, deliveries.last_status), \
    last_error = iif(done.attempted, done.error, deliveries.last_error), finished_ms = done.finished \
FROM (SELECT value ->> 0 AS id, value ->> 1 AS state, value ->> 2 AS attempted, value ->> 3 AS strike, \
             value ->> 4 AS next, value ->> 5 AS status, value ->> 6 AS error, value ->> 7 AS finished \
      FROM jsonb_each(?1)) AS done \
WHERE deliveries.delivery_id = done.id AND deliveries.state = 'pending'";

const FORGIVE: &str = "\
UPDATE deliveries SET strikes = max(strikes - 1, 0) \
WHERE delivery_id IN (SELECT value FROM jsonb_each(?1)) AND state = 'pending'";

pub(super) const REMOVE_EMPTY_LANES: &str = "\
DELETE FROM lanes \
WHERE (webhook, person_id, org) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_each(?1)) \
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.webhook = lanes.webhook \
        AND deliveries.person_id = lanes.person_id AND deliveries.org = lanes.org AND deliveries.state = 'pending')";

pub(super) const MOVE_LANES_ON: &str = "\
UPDATE lanes SET lease_ms = NULL, ready_ms = \
    (SELECT next_ms FROM deliveries WHERE deliveries.webhook = lanes.webhook \
        AND deliveries.person_id = lanes.person_id AND deliveries.org = lanes.org AND deliveries.state = 'pending' \
     ORDER BY (trigger <> 'event'), sequence LIMIT 1) \
WHERE (webhook, person_id, org) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_each(?1))";

/// Ready at once, whatever back-off their heads were given.
const HURRY: &str = "\
UPDATE lanes SET ready_ms = ?2 WHERE (webhook, person_id, org) IN \
    (SELECT webhook, person_id, org FROM lanes WHERE webhook = ?1 AND lease_ms IS NULL AND ready_ms > ?2 LIMIT ?3 + 0)";

const BURY: &str = "\
UPDATE deliveries SET state = 'dead', last_error = ?2, finished_ms = ?3 \
WHERE delivery_id IN (SELECT delivery_id FROM deliveries WHERE webhook = ?1 AND state = 'pending' LIMIT ?4)";

const REMOVE_LANES: &str = "DELETE FROM lanes WHERE webhook = ?1";

/// How many deliveries one transaction buries, so that nobody waits long for the writer.
pub(super) const BURIED_AT_ONCE: u64 = 5_000;
/// How many lanes of a webhook one transaction hurries, for the same reason.
const HURRIED_AT_ONCE: u32 = 5_000;

/// All but the one statement that looks at every lane, for the test that nothing scans.
#[cfg(test)]
pub(super) const INDEXED: &[&str] = &[
    HEADS,
    LEASE,
    NEXT_READY,
    END_DAMAGED,
    FINISH,
    FORGIVE,
    REMOVE_EMPTY_LANES,
    MOVE_LANES_ON,
    HURRY,
    BURY,
    REMOVE_LANES,
];

/// Frees every lane.
pub(super) async fn free_all(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    Ok(sqlx::query(FREE_ALL).execute(connection).await?.rows_affected())
}

/// Every webhook's state.
pub(super) async fn states(
    connection: &mut SqliteConnection,
) -> Result<Vec<(WebhookName, Health)>, StoreError> {
    let rows: Vec<StateRow> = sqlx::query_as(STATES).fetch_all(connection).await?;
    rows.into_iter().map(health).collect()
}

pub(super) async fn take_turn(connection: &mut SqliteConnection, turn: &Turn) -> Result<Turned, StoreError> {
    let missing = write_back(connection, &turn.finished).await?;
    bulk(connection, FORGIVE, &turn.forgiven).await?;
    let states: Vec<_> = turn.states.iter().map(|(webhook, health)| state_row(webhook, health)).collect();
    bulk(connection, SET_STATE, &states).await?;
    let unhurried = hurry(connection, &turn.hurried, turn.at).await?;
    let granted = grant(connection, &turn.asks, turn.at).await?;
    Ok(Turned { granted, missing, unhurried })
}

/// Makes waiting lanes ready; returns the webhooks of which there are more than one transaction moves.
async fn hurry(
    connection: &mut SqliteConnection,
    webhooks: &[WebhookName],
    at: Timestamp,
) -> Result<Vec<WebhookName>, StoreError> {
    let mut unhurried = Vec::new();
    for webhook in webhooks {
        let moved = sqlx::query(HURRY).bind(webhook.as_str()).bind(at.as_ms()).bind(HURRIED_AT_ONCE);
        if moved.execute(&mut *connection).await?.rows_affected() >= u64::from(HURRIED_AT_ONCE) {
            unhurried.push(webhook.clone());
        }
    }
    Ok(unhurried)
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
    let lanes: Vec<_> =
        finished.iter().filter(|done| !done.keeps_lane).map(|done| done.ticket.lane()).collect();
    bulk(connection, REMOVE_EMPTY_LANES, &lanes).await?;
    bulk(connection, MOVE_LANES_ON, &lanes).await?;
    Ok((finished.len() as u64).saturating_sub(written))
}

pub(super) async fn bury_some(
    connection: &mut SqliteConnection,
    webhook: &WebhookName,
    reason: &str,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let buried = sqlx::query(BURY)
        .bind(webhook.as_str())
        .bind(reason)
        .bind(at.as_ms())
        .bind(i64::try_from(BURIED_AT_ONCE).unwrap_or(i64::MAX))
        .execute(&mut *connection)
        .await?
        .rows_affected();
    if buried < BURIED_AT_ONCE {
        sqlx::query(REMOVE_LANES).bind(webhook.as_str()).execute(connection).await?;
    }
    Ok(buried)
}

impl Ticket {
    pub(super) fn lane(&self) -> (&str, i64, &str) {
        (self.webhook.as_str(), self.person_id, &self.org)
    }
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
    // Relative, because a strike may have been given back while the request was out.
    let strike = done.strikes.saturating_sub(done.ticket.strikes);
    let attempt = done.attempt.as_ref();
    let status = attempt.and_then(|attempt| attempt.status);
    let error = attempt.and_then(|attempt| attempt.error.as_deref());
    (done.ticket.delivery_id, state, u32::from(attempt.is_some()), strike, next, status, error, finished)
}

#[derive(Serialize)]
struct StateOut<'a>(&'a str, &'static str, u32, Option<Timestamp>, Option<Timestamp>, u32, Option<&'a str>);

fn state_row<'a>(webhook: &'a WebhookName, health: &'a Health) -> StateOut<'a> {
    let (since, probe_at, probes, reason) = match &health.state {
        WebhookState::Up => (None, None, 0, health.last_error.as_deref()),
        WebhookState::Down { since, probe_at, probes } => {
            (Some(*since), Some(*probe_at), *probes, health.last_error.as_deref())
        }
        WebhookState::Disabled { reason } | WebhookState::Paused { reason } => {
            (None, None, 0, Some(reason.as_str()))
        }
    };
    StateOut(webhook.as_str(), health.state.name(), health.failures, since, probe_at, probes, reason)
}

pub(super) type StateRow = (String, String, u32, Option<i64>, Option<i64>, u32, Option<String>);

pub(super) fn health(row: StateRow) -> Result<(WebhookName, Health), StoreError> {
    let (name, state, failures, since_ms, probe_ms, probes, reason) = row;
    let odd = |what: String| corrupt("webhooks", &name, what);
    let webhook = WebhookName::parse(&name).map_err(|e| odd(format!("the name {e}")))?;
    let reason_of_trouble = reason.clone();
    let reason = reason.unwrap_or_default();
    let standing = match (state.as_str(), since_ms, probe_ms) {
        ("up", ..) => WebhookState::Up,
        ("down", Some(since), Some(probe_at)) => WebhookState::Down {
            since: Timestamp::from_ms(since),
            probe_at: Timestamp::from_ms(probe_at),
            probes,
        },
        ("disabled", ..) => WebhookState::Disabled { reason },
        ("paused", ..) => WebhookState::Paused { reason },
        _ => return Err(odd("it is down, but since when or until when is missing".to_owned())),
    };
    let trouble =
        reason_of_trouble.filter(|_| matches!(standing, WebhookState::Up | WebhookState::Down { .. }));
    Ok((webhook, Health { state: standing, failures, last_error: trouble, ..Health::default() }))
}

pub(super) fn corrupt(table: &'static str, row: &impl ToString, what: String) -> StoreError {
    StoreError::Corrupt { table, row: row.to_string(), what }
}
