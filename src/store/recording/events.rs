//! Events with their sequence and body, their deliveries, and the lanes of these.
//!
//! Guards: a stored event keeps its first body and its deliveries; sequence numbers have no gaps. Deliberately not
//! here: which webhooks get an event (`webhook::routing`), taking deliveries (`outbox`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono_tz::Tz;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::meetings::{self, Labels};
use crate::clock::SharedClock;
use crate::ids::{ConferenceId, OrgName};
use crate::presence::event::{Envelope, NewEvent};
use crate::store::bulk::bulk_at;
use crate::store::{Outgoing, StoreError, checksum, jsonb};
use crate::time::Timestamp;

const KNOWN_EVENTS: &str = "SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?1))";

/// AUTOINCREMENT keeps the highest sequence ever used, even after retention deleted the events.
const LAST_SEQUENCE: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";

const EVENTS: &str = "\
INSERT INTO events (sequence, id, org, type, person_id, conference_id, time_ms, recorded_ms, body, checksum) \
SELECT value ->> 'sequence', value ->> 'id', value ->> 'org', value ->> 'type', value ->> 'person', \
    value ->> 'conference', value ->> 'time', ?2, value ->> 'body', value ->> 'checksum' \
FROM jsonb_each(?1)";

const DELIVERIES: &str = "\
INSERT INTO deliveries (webhook, org, person_id, sequence, next_ms) \
SELECT value ->> 'webhook', value ->> 'org', value ->> 'person', value ->> 'sequence', ?2 FROM jsonb_each(?1)";

/// The head of a waiting lane may be a replay, which is sent after live deliveries, so the new head sets the time.
const LANES: &str = "\
INSERT INTO lanes (webhook, org, person_id, ready_ms) \
SELECT value ->> 'webhook', value ->> 'org', value ->> 'person', ?2 FROM jsonb_each(?1) WHERE true \
ON CONFLICT DO UPDATE SET ready_ms = \
    (SELECT next_ms FROM deliveries WHERE deliveries.webhook = lanes.webhook \
        AND deliveries.person_id = lanes.person_id AND deliveries.org = lanes.org AND deliveries.state = 'pending' \
     ORDER BY (trigger <> 'event'), sequence LIMIT 1) \
WHERE lanes.ready_ms > excluded.ready_ms";

#[derive(Serialize)]
struct EventRow<'a> {
    sequence: u64,
    id: &'a str,
    org: Option<&'a OrgName>,
    r#type: &'static str,
    person: Option<i64>,
    conference: Option<&'a str>,
    time: Timestamp,
    checksum: u32,
    body: String,
}

#[derive(Serialize)]
struct DeliveryRow<'a> {
    webhook: &'a str,
    org: &'a str,
    person: i64,
    sequence: u64,
}

/// Writes events and owns their sequence.
#[derive(Debug)]
pub(in crate::store) struct EventWriter {
    source: Arc<str>,
    time_zone: Tz,
    clock: SharedClock,
    /// Whether events tell the titles of meetings.
    titles: Arc<AtomicBool>,
    /// The last sequence used, once it was read; `None` after a transaction that may have failed.
    last_sequence: Option<u64>,
}

impl EventWriter {
    pub(in crate::store) fn new(
        source: Arc<str>,
        time_zone: Tz,
        clock: SharedClock,
        titles: Arc<AtomicBool>,
    ) -> Self {
        Self { source, time_zone, clock, titles, last_sequence: None }
    }

    /// The last sequence may not have been committed, so it is read again before the next event.
    pub(in crate::store) fn forget_sequence(&mut self) {
        self.last_sequence = None;
    }

    pub(super) fn time_zone(&self) -> Tz {
        self.time_zone
    }

    /// Writes new events with their sequence and body. Returns them with their organisation.
    pub(super) async fn write_events<'a>(
        &mut self,
        connection: &mut SqliteConnection,
        outgoing: &[(Option<&'a OrgName>, Option<i64>, &'a Outgoing)],
    ) -> Result<Vec<(Option<&'a OrgName>, &'a NewEvent)>, StoreError> {
        if outgoing.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let mut known = known_events(connection, outgoing.iter().map(|(.., event)| &event.draft)).await?;
        let labels = if self.titles.load(Ordering::Relaxed) {
            meetings::labels(connection, outgoing).await?
        } else {
            Labels::new()
        };
        let mut sequence = match self.last_sequence {
            Some(last) => last,
            None => last_sequence(connection).await?,
        };
        let (mut events, mut deliveries, mut written) = (Vec::new(), Vec::new(), Vec::new());
        for &(org, person, Outgoing { draft, webhooks }) in outgoing {
            if !known.insert(draft.id.as_str().to_owned()) {
                continue;
            }
            sequence += 1;
            let meeting = org.zip(draft.conference_id.as_ref()).and_then(|(org, conference)| {
                labels.get(&(org.as_str().to_owned(), conference.as_str().to_owned()))
            });
            let envelope = Envelope { source: &self.source, sequence, recorded_at: now, meeting };
            events.push(event_row(&envelope, org, person, draft)?);
            deliveries.extend(webhooks.iter().map(|webhook| DeliveryRow {
                webhook: webhook.as_str(),
                org: org.map_or("", OrgName::as_str),
                person: person.unwrap_or(0),
                sequence,
            }));
            written.push((org, draft));
        }
        bulk_at(connection, EVENTS, &events, now).await?;
        bulk_at(connection, DELIVERIES, &deliveries, now).await?;
        bulk_at(connection, LANES, &deliveries, now).await?;
        self.last_sequence = Some(sequence);
        Ok(written)
    }
}

fn event_row<'a>(
    envelope: &Envelope<'_>,
    org: Option<&'a OrgName>,
    person: Option<i64>,
    draft: &'a NewEvent,
) -> Result<EventRow<'a>, StoreError> {
    let body = String::from_utf8(draft.body(envelope))
        .map_err(|error| StoreError::corrupt("events", &draft.id, error.to_string()))?;
    Ok(EventRow {
        sequence: envelope.sequence,
        id: draft.id.as_str(),
        org,
        r#type: draft.event_type.name(),
        person,
        conference: draft.conference_id.as_ref().map(ConferenceId::as_str),
        time: draft.time,
        checksum: checksum::of_event(draft.id.as_str(), body.as_bytes()),
        body,
    })
}

async fn known_events<'a>(
    connection: &mut SqliteConnection,
    drafts: impl Iterator<Item = &'a NewEvent>,
) -> Result<HashSet<String>, StoreError> {
    let ids = jsonb::encode(&drafts.map(|draft| draft.id.as_str()).collect::<Vec<_>>())?;
    let known: Vec<String> = sqlx::query_scalar(KNOWN_EVENTS).bind(ids).fetch_all(connection).await?;
    Ok(known.into_iter().collect())
}

async fn last_sequence(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let last: i64 = sqlx::query_scalar(LAST_SEQUENCE).fetch_one(connection).await?;
    u64::try_from(last)
        .map_err(|_| StoreError::corrupt("sqlite_sequence", &"events", format!("the sequence is {last}")))
}
