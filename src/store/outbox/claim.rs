//! Taking deliveries: the heads of lanes that are free and ready, leased in the same transaction.
//!
//! Guards: a head is looked up lane by lane in the index that is ordered as a lane is; all heads of a webhook come over
//! from SQLite's thread in one piece, because a row costs more on that way than in the database. Deliberately not here:
//! writing back (`turn`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Deserialize;
use sqlx::SqliteConnection;

use super::turn::{REMOVE_EMPTY_LANES, corrupt};
use super::{Ask, Claimed, Granted, Ticket};
use crate::ids::WebhookName;
use crate::policy::delivery::Trigger;
use crate::store::bulk::bulk;
use crate::store::{StoreError, jsonb};
use crate::time::Timestamp;

/// The heads of the lanes that are free and ready, longest waiting first, live traffic before replays, then by sequence.
/// One row: a list of heads, and their bodies one behind the other (as they are, not as a text in a text). The limit is a
/// sum because SQLite plans for the very value of a bare `LIMIT ?`, and prepares the statement again with every run of
/// it, which costs more than the run.
pub(super) const HEADS: &str = "\
SELECT json_group_array(json_array(lane.person_id, lane.org, head.delivery_id, head.trigger, head.attempts, \
        head.strikes, events.id, events.type, events.recorded_ms, octet_length(events.body))), \
    coalesce(group_concat(events.body, ''), '') \
FROM (SELECT person_id, org, ready_ms FROM lanes \
      WHERE webhook = ?1 AND lease_ms IS NULL AND ready_ms <= ?2 ORDER BY ready_ms LIMIT ?3 + 0) AS lane \
LEFT JOIN deliveries AS head ON head.delivery_id = \
    (SELECT delivery_id FROM deliveries WHERE webhook = ?1 AND person_id = lane.person_id \
        AND org = lane.org AND state = 'pending' ORDER BY (trigger <> 'event'), sequence LIMIT 1) \
LEFT JOIN events ON events.sequence = head.sequence";

pub(super) const LEASE: &str = "\
UPDATE lanes SET lease_ms = taken.until \
FROM (SELECT value ->> 0 AS webhook, value ->> 1 AS person_id, value ->> 2 AS org, value ->> 3 AS until \
      FROM jsonb_each(?1)) AS taken \
WHERE lanes.webhook = taken.webhook AND lanes.person_id = taken.person_id AND lanes.org = taken.org \
    AND lanes.lease_ms IS NULL";

/// Of each webhook, in their order: when its next free lane is ready.
pub(super) const NEXT_READY: &str = "\
SELECT json_group_array((SELECT min(ready_ms) FROM lanes WHERE webhook = asked.value AND lease_ms IS NULL)) \
FROM jsonb_each(?1) AS asked";

/// A lane and its head; all of the head is missing when nothing waits in the lane.
#[derive(Deserialize)]
struct Head(
    i64,
    String,
    Option<i64>,
    Option<String>,
    Option<u32>,
    Option<u32>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<usize>,
);

/// Takes what is asked for, in the order of the asks.
pub(super) async fn grant(
    connection: &mut SqliteConnection,
    asks: &[Ask],
    now: Timestamp,
) -> Result<Vec<Granted>, StoreError> {
    let (mut granted, mut abandoned) = (Vec::with_capacity(asks.len()), Vec::new());
    for ask in asks {
        granted.push(heads(connection, ask, now, &mut abandoned).await?);
    }
    // Retention or an erasure took what waited there.
    bulk(connection, REMOVE_EMPTY_LANES, &abandoned).await?;
    lease(connection, asks, &granted).await?;
    let open: Vec<&WebhookName> =
        granted.iter().filter(|one| one.next_ready.is_none()).map(|one| &one.webhook).collect();
    let mut ready = next_ready(connection, &open).await?.into_iter();
    for one in granted.iter_mut().filter(|one| one.next_ready.is_none()) {
        one.next_ready = ready.next().flatten();
    }
    Ok(granted)
}

/// The heads for one ask, not leased yet. There is surely more, and ready, when there are as many as were asked for.
async fn heads(
    connection: &mut SqliteConnection,
    ask: &Ask,
    now: Timestamp,
    abandoned: &mut Vec<(WebhookName, i64, String)>,
) -> Result<Granted, StoreError> {
    let (ready_by, max) = if ask.probe { (i64::MAX, 1) } else { (now.as_ms(), ask.max) };
    let (heads, bodies): (String, String) = sqlx::query_as(HEADS)
        .bind(ask.webhook.as_str())
        .bind(ready_by)
        .bind(max)
        .fetch_one(&mut *connection)
        .await?;
    let heads: Vec<Head> = serde_json::from_str(&heads)?;
    let full = u32::try_from(heads.len()).is_ok_and(|found| found >= max);
    let mut taken = Vec::with_capacity(heads.len());
    let mut bodies = bodies.as_bytes();
    for head in heads {
        match claimed(head, &mut bodies, &ask.webhook)? {
            Ok(one) => taken.push(one),
            Err((person_id, org)) => abandoned.push((ask.webhook.clone(), person_id, org)),
        }
    }
    Ok(Granted { webhook: ask.webhook.clone(), claimed: taken, next_ready: full.then_some(now) })
}

/// The inner `Err` holds the rest of the lane's key when nothing waits in it. Takes the head's body off `bodies`.
fn claimed(
    head: Head,
    bodies: &mut &[u8],
    webhook: &WebhookName,
) -> Result<Result<Claimed, (i64, String)>, StoreError> {
    let Head(
        person_id,
        org,
        delivery_id,
        trigger,
        attempts,
        strikes,
        event_id,
        event_type,
        recorded_ms,
        length,
    ) = head;
    let (Some(delivery_id), Some(event_id), Some(event_type), Some(recorded_ms), Some(length)) =
        (delivery_id, event_id, event_type, recorded_ms, length)
    else {
        return Ok(Err((person_id, org)));
    };
    let trigger = trigger.unwrap_or_default();
    let Some(trigger) = Trigger::parse(&trigger) else {
        return Err(corrupt("deliveries", &delivery_id, format!("its trigger is {trigger:?}")));
    };
    let Some((body, rest)) = bodies.split_at_checked(length) else {
        return Err(corrupt("events", &event_id, "its body is shorter than it says".to_owned()));
    };
    *bodies = rest;
    let (attempts, strikes) = (attempts.unwrap_or(0), strikes.unwrap_or(0));
    let ticket = Ticket { webhook: webhook.clone(), delivery_id, attempts, strikes, org, person_id };
    let recorded = Timestamp::from_ms(recorded_ms);
    Ok(Ok(Claimed { ticket, event_id, event_type, trigger, recorded, body: body.to_vec() }))
}

async fn lease(
    connection: &mut SqliteConnection,
    asks: &[Ask],
    granted: &[Granted],
) -> Result<(), StoreError> {
    let lanes: Vec<_> = asks
        .iter()
        .zip(granted)
        .flat_map(|(ask, granted)| granted.claimed.iter().map(move |one| (one, ask.lease_until)))
        .map(|(one, until)| {
            let (webhook, person_id, org) = one.ticket.lane();
            (webhook, person_id, org, until)
        })
        .collect();
    let leased = bulk(connection, LEASE, &lanes).await?;
    match lanes.first() {
        Some((webhook, ..)) if leased != lanes.len() as u64 => {
            Err(corrupt("lanes", webhook, format!("{leased} of {} lanes could be leased", lanes.len())))
        }
        _ => Ok(()),
    }
}

/// When the next free lane of each webhook is ready; `None` where nothing waits.
pub(super) async fn next_ready(
    connection: &mut SqliteConnection,
    webhooks: &[&WebhookName],
) -> Result<Vec<Option<Timestamp>>, StoreError> {
    if webhooks.is_empty() {
        return Ok(Vec::new());
    }
    let ready: String =
        sqlx::query_scalar(NEXT_READY).bind(jsonb::encode(webhooks)?).fetch_one(connection).await?;
    Ok(serde_json::from_str(&ready)?)
}
