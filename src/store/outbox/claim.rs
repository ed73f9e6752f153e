//! Takes deliveries: the heads of lanes that are free and ready, leased in the same transaction.
//!
//! Guards: a head is found lane by lane in the index that has the order of a lane; all heads of a webhook are
//! transferred from SQLite's thread in one row, because the transfer of a row costs more than its query; an event whose
//! body has changed is not returned and becomes a dead letter. Deliberately not here: writing back (`turn`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::VecDeque;

use serde::Deserialize;
use sqlx::SqliteConnection;

use super::lanes::{MOVE_LANES_ON, REMOVE_EMPTY_LANES};
use super::types::{Ask, Claimed, Granted, Ticket};
use crate::ids::WebhookName;
use crate::policy::delivery::Trigger;
use crate::store::bulk::{bulk, bulk_at};
use crate::store::{StoreError, checksum, jsonb};
use crate::time::Timestamp;

/// The heads of the lanes that are free and ready, longest waiting first, each with some deliveries behind it. The
/// result is one row: a list of deliveries, and their bodies concatenated (as bytes, not as JSON in JSON). The limits
/// are sums because SQLite plans for the very value of a bare `LIMIT ?`, and prepares the statement again for every run
/// of it, which costs more than the run.
/// All of it comes as bytes: a changed bit may leave no valid UTF-8, and one such event must not stop all the others.
pub(super) const HEADS: &str = "\
SELECT CAST(json_group_array(json_array(person_id, org, delivery_id, trigger, attempts, strikes, id, type, recorded_ms, \
        sequence, octet_length(body), checksum)) AS BLOB), CAST(coalesce(group_concat(body, ''), '') AS BLOB) \
FROM (SELECT lane.person_id, lane.org, head.delivery_id, head.trigger, head.attempts, head.strikes, events.id, \
          events.type, events.recorded_ms, head.sequence, events.body, events.checksum \
      FROM (SELECT person_id, org, ready_ms FROM lanes \
            WHERE webhook = ?1 AND lease_ms IS NULL AND ready_ms <= ?2 ORDER BY ready_ms LIMIT ?3 + 0) AS lane \
      LEFT JOIN deliveries AS head ON head.delivery_id IN \
          (SELECT delivery_id FROM deliveries WHERE webhook = ?1 AND person_id = lane.person_id \
              AND org = lane.org AND state = 'pending' ORDER BY (trigger <> 'event'), sequence LIMIT ?4 + 0) \
      LEFT JOIN events ON events.sequence = head.sequence \
      LIMIT ?3 + ?4)";

pub(super) const LEASE: &str = "\
UPDATE lanes SET lease_ms = taken.until \
FROM (SELECT value ->> 0 AS webhook, value ->> 1 AS person_id, value ->> 2 AS org, value ->> 3 AS until \
      FROM jsonb_each(?1)) AS taken \
WHERE lanes.webhook = taken.webhook AND lanes.person_id = taken.person_id AND lanes.org = taken.org \
    AND lanes.lease_ms IS NULL";

/// For each webhook, in order: when its next free lane is ready.
pub(super) const NEXT_READY: &str = "\
SELECT json_group_array((SELECT min(ready_ms) FROM lanes WHERE webhook = asked.value AND lease_ms IS NULL)) \
FROM jsonb_each(?1) AS asked";

/// Ends deliveries whose event the disk changed.
pub(super) const END_DAMAGED: &str = "\
UPDATE deliveries SET state = 'dead', finished_ms = ?2, \
    last_error = 'the stored body does not match its checksum: the disk changed it, so it was not sent' \
WHERE delivery_id IN (SELECT value FROM jsonb_each(?1)) AND state = 'pending'";

/// A lane and one of its deliveries; the delivery's columns are NULL when nothing waits in the lane.
#[derive(Deserialize)]
struct Row(
    i64,
    String,
    Option<i64>,
    Option<String>,
    Option<u32>,
    Option<u32>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<usize>,
    Option<i64>,
);

/// Free lanes with their deliveries, in the order in which they are served.
#[derive(Default)]
struct Found {
    lanes: Vec<Lane>,
    rows: usize,
}

struct Lane {
    person_id: i64,
    org: String,
    /// With their sequences, unordered.
    deliveries: Vec<(i64, Claimed)>,
    /// Deliveries that must not be sent.
    damaged: Vec<Claimed>,
}

/// What was found and is not returned.
#[derive(Default)]
struct Rest {
    /// Lanes in which nothing waits: retention or an erasure removed the delivery, or it is damaged.
    empty: Vec<(WebhookName, i64, String)>,
    /// Deliveries that must not be sent.
    damaged: Vec<i64>,
}

impl Rest {
    /// Ends damaged deliveries, removes empty lanes, and prepares the others for their next head.
    async fn clear(&self, connection: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
        bulk_at(connection, END_DAMAGED, &self.damaged, now).await?;
        bulk(connection, REMOVE_EMPTY_LANES, &self.empty).await?;
        if !self.damaged.is_empty() {
            bulk(connection, MOVE_LANES_ON, &self.empty).await?;
        }
        Ok(())
    }
}

/// Takes the requested deliveries, in the order of the requests.
pub(super) async fn grant(
    connection: &mut SqliteConnection,
    asks: &[Ask],
    now: Timestamp,
) -> Result<Vec<Granted>, StoreError> {
    let (mut granted, mut rest) = (Vec::with_capacity(asks.len()), Rest::default());
    for ask in asks {
        granted.push(heads(connection, ask, now, &mut rest).await?);
    }
    rest.clear(connection, now).await?;
    lease(connection, asks, &granted).await?;
    let open: Vec<&WebhookName> =
        granted.iter().filter(|one| one.next_ready.is_none()).map(|one| &one.webhook).collect();
    let mut ready = next_ready(connection, &open).await?.into_iter();
    for one in granted.iter_mut().filter(|one| one.next_ready.is_none()) {
        one.next_ready = ready.next().flatten();
    }
    Ok(granted)
}

/// The heads for one request, not leased yet. If there are as many as requested, more may be ready.
async fn heads(
    connection: &mut SqliteConnection,
    ask: &Ask,
    now: Timestamp,
    rest: &mut Rest,
) -> Result<Granted, StoreError> {
    let (ready_by, max, run) =
        if ask.probe { (i64::MAX, 1, 1) } else { (now.as_ms(), ask.max, ask.run.max(1)) };
    let (rows, bodies): (Vec<u8>, Vec<u8>) = sqlx::query_as(HEADS)
        .bind(ask.webhook.as_str())
        .bind(ready_by)
        .bind(max)
        .bind(run)
        .fetch_one(&mut *connection)
        .await?;
    let mut found = Found::read(&String::from_utf8_lossy(&rows), &bodies, &ask.webhook)?;
    let limit = max as usize + run as usize;
    if found.rows >= limit {
        // The last lane may be incomplete, even without its head; the lanes before it hold `max` in all.
        found.lanes.pop();
    }
    let full = found.rows >= limit || found.lanes.len() >= max as usize;
    let (mut taken, mut damaged) = (Vec::with_capacity(found.lanes.len()), Vec::new());
    for lane in found.lanes {
        rest.damaged.extend(lane.damaged.iter().map(|one| one.ticket.delivery_id));
        damaged.extend(lane.damaged.into_iter().map(|one| one.event_id));
        match first_of(lane.deliveries) {
            Some(head) => taken.push(head),
            None => rest.empty.push((ask.webhook.clone(), lane.person_id, lane.org)),
        }
    }
    Ok(Granted { webhook: ask.webhook.clone(), claimed: taken, damaged, next_ready: full.then_some(now) })
}

/// The head of the lane, with the live deliveries behind it. A replay is taken alone, because live deliveries may
/// overtake the next one.
fn first_of(mut deliveries: Vec<(i64, Claimed)>) -> Option<Claimed> {
    deliveries.sort_by_key(|(sequence, one)| (one.trigger != Trigger::Event, *sequence));
    let mut deliveries = deliveries.into_iter().map(|(_, one)| one);
    let mut head = deliveries.next()?;
    if head.trigger == Trigger::Event {
        head.behind = deliveries.take_while(|one| one.trigger == Trigger::Event).collect();
    }
    Some(head)
}

impl Found {
    fn read(rows: &str, mut bodies: &[u8], webhook: &WebhookName) -> Result<Self, StoreError> {
        let rows: Vec<Row> = serde_json::from_str(rows)?;
        let mut found = Self { rows: rows.len(), ..Self::default() };
        for row in rows {
            let same = |lane: &Lane| lane.person_id == row.0 && lane.org == row.1;
            if !found.lanes.last().is_some_and(same) {
                let (deliveries, damaged) = (Vec::new(), Vec::new());
                found.lanes.push(Lane { person_id: row.0, org: row.1.clone(), deliveries, damaged });
            }
            let stored = row.11;
            let (Some((sequence, one)), Some(lane)) =
                (claimed(row, &mut bodies, webhook)?, found.lanes.last_mut())
            else {
                continue;
            };
            if checksum::matches(&one.event_id, &one.body, stored) {
                lane.deliveries.push((sequence, one));
            } else {
                lane.damaged.push(one);
            }
        }
        Ok(found)
    }
}

/// The delivery with its sequence; `None` when nothing waits in the lane. Takes its body from the front of `bodies`.
fn claimed(
    row: Row,
    bodies: &mut &[u8],
    webhook: &WebhookName,
) -> Result<Option<(i64, Claimed)>, StoreError> {
    let Row(
        person_id,
        org,
        delivery_id,
        trigger,
        attempts,
        strikes,
        event_id,
        event_type,
        recorded_ms,
        at,
        length,
        _,
    ) = row;
    let (
        Some(delivery_id),
        Some(event_id),
        Some(event_type),
        Some(recorded_ms),
        Some(sequence),
        Some(length),
    ) = (delivery_id, event_id, event_type, recorded_ms, at, length)
    else {
        return Ok(None);
    };
    let trigger = trigger.unwrap_or_default();
    let Some(trigger) = Trigger::parse(&trigger) else {
        return Err(StoreError::corrupt("deliveries", &delivery_id, format!("its trigger is {trigger:?}")));
    };
    let Some((body, rest)) = bodies.split_at_checked(length) else {
        return Err(StoreError::corrupt("events", &event_id, "its body is shorter than it says".to_owned()));
    };
    *bodies = rest;
    let (attempts, strikes) = (attempts.unwrap_or(0), strikes.unwrap_or(0));
    let ticket = Ticket { webhook: webhook.clone(), delivery_id, attempts, strikes, org, person_id };
    let (recorded, body, behind) = (Timestamp::from_ms(recorded_ms), body.to_vec(), VecDeque::new());
    Ok(Some((sequence, Claimed { ticket, event_id, event_type, trigger, recorded, body, behind })))
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
        Some((webhook, ..)) if leased != lanes.len() as u64 => Err(StoreError::corrupt(
            "lanes",
            webhook,
            format!("{leased} of {} lanes could be leased", lanes.len()),
        )),
        _ => Ok(()),
    }
}

/// When the next free lane of each webhook is ready; `None` if nothing waits.
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
