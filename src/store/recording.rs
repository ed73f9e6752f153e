//! One look, written: snapshot, belief, visits, events with their sequence, deliveries.
//!
//! Guards: a batch of looks is a handful of statements, whatever its size (a statement costs two thread hops, a row
//! in `jsonb_each` costs next to nothing); an id has one body for ever; the sequence has no holes and is never given
//! twice. Deliberately not here: the transaction around it (`writer`), what a look means (`presence`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::HashSet;
use std::sync::Arc;

use chrono::DateTime;
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::outbox::admin;
use super::{Outgoing, Recording, Store, StoreError, accounts};
use crate::clock::SharedClock;
use crate::ids::{ConferenceId, OrgName, WebhookName};
use crate::policy::webhook_alert::Told;
use crate::presence::event::{Draft, Envelope};
use crate::presence::visit::Visit;
use crate::time::Timestamp;

const NEW_SNAPSHOTS: &str = "\
INSERT INTO snapshots (person_id, org, first_ms, last_ms, polls, meetings, digest, body) \
SELECT value ->> 'person', value ->> 'org', value ->> 'at', value ->> 'at', 1, value ->> 'meetings', \
       value ->> 'digest', value ->> 'body' \
FROM jsonb_each(?1)";

/// Stretches the newest snapshot of each person.
pub(super) const STRETCH_SNAPSHOTS: &str = "\
UPDATE snapshots SET last_ms = max(snapshots.last_ms, look.at), polls = snapshots.polls + look.polls \
FROM (SELECT value ->> 'person' AS person, value ->> 'at' AS at, value ->> 'polls' AS polls FROM jsonb_each(?1)) AS look \
WHERE snapshots.snapshot_id = (SELECT newest.snapshot_id FROM snapshots AS newest WHERE newest.person_id = look.person \
                               ORDER BY newest.first_ms DESC, newest.snapshot_id DESC LIMIT 1)";

const PEOPLE: &str = "\
UPDATE people SET watched = look.watched, presence = look.presence, belief = look.belief, \
    digest = CASE WHEN look.watched THEN coalesce(look.digest, people.digest) END, \
    last_poll_ms = coalesce(look.at, people.last_poll_ms), last_ok_ms = coalesce(look.at, people.last_ok_ms), \
    next_poll_ms = CASE WHEN look.watched THEN coalesce(look.next, people.next_poll_ms) END \
FROM (SELECT value ->> 'person' AS person, value ->> 'watched' AS watched, value ->> 'presence' AS presence, \
             value ->> 'belief' AS belief, value ->> 'digest' AS digest, value ->> 'at' AS at, \
             value ->> 'next' AS next FROM jsonb_each(?1)) AS look \
WHERE people.person_id = look.person";

const VISITS: &str = "\
INSERT INTO visits (visit_id, person_id, org, conference_id, ordinal, anchor_ms, joined_ms, joined_local, join_basis, \
    left_ms, left_local, left_reason, leave_basis, leave_earliest_ms, leave_latest_ms, \
    role, external, by_phone, device, nick) \
SELECT value ->> 'id', value ->> 'person', value ->> 'org', value ->> 'conference', value ->> 'ordinal', \
    value ->> 'anchor', value ->> 'joined', value ->> 'joined_local', value ->> 'join_basis', value ->> 'left', \
    value ->> 'left_local', value ->> 'left_reason', value ->> 'leave_basis', value ->> 'earliest', value ->> 'latest', \
    value ->> 'role', value ->> 'external', value ->> 'by_phone', value ->> 'device', value ->> 'nick' \
FROM jsonb_each(?1) WHERE true \
ON CONFLICT (visit_id) DO UPDATE SET joined_ms = excluded.joined_ms, joined_local = excluded.joined_local, \
    join_basis = excluded.join_basis, left_ms = excluded.left_ms, left_local = excluded.left_local, \
    left_reason = excluded.left_reason, leave_basis = excluded.leave_basis, \
    leave_earliest_ms = excluded.leave_earliest_ms, leave_latest_ms = excluded.leave_latest_ms, \
    role = excluded.role, external = excluded.external, by_phone = excluded.by_phone, device = excluded.device, \
    nick = excluded.nick";

const KNOWN_EVENTS: &str = "SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?1))";

/// AUTOINCREMENT keeps the highest number ever given, also when retention has taken the events themselves.
const LAST_SEQUENCE: &str = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";

const EVENTS: &str = "\
INSERT INTO events (sequence, id, org, type, person_id, conference_id, time_ms, recorded_ms, body) \
SELECT value ->> 'sequence', value ->> 'id', value ->> 'org', value ->> 'type', value ->> 'person', \
    value ->> 'conference', value ->> 'time', ?2, value ->> 'body' \
FROM jsonb_each(?1)";

const DELIVERIES: &str = "\
INSERT INTO deliveries (webhook, org, person_id, sequence, next_ms) \
SELECT value ->> 'webhook', value ->> 'org', value ->> 'person', value ->> 'sequence', ?2 FROM jsonb_each(?1)";

/// A lane that waits may wait for a replay, which goes after live traffic: whatever is its head now says when.
const LANES: &str = "\
INSERT INTO lanes (webhook, org, person_id, ready_ms) \
SELECT value ->> 'webhook', value ->> 'org', value ->> 'person', ?2 FROM jsonb_each(?1) WHERE true \
ON CONFLICT DO UPDATE SET ready_ms = \
    (SELECT next_ms FROM deliveries WHERE deliveries.webhook = lanes.webhook \
        AND deliveries.person_id = lanes.person_id AND deliveries.org = lanes.org AND deliveries.state = 'pending' \
     ORDER BY (trigger <> 'event'), sequence LIMIT 1) \
WHERE lanes.ready_ms > excluded.ready_ms";

impl Store {
    /// Writes one look; returns when it is committed, together with whatever else was ready.
    ///
    /// With `snapshot` a new row is begun (also when the same answer comes again after a long silence: the caller, who
    /// knows how long is too long, sends it as new). Without one, but with `looked_at`, the newest row is stretched, so
    /// that look must not come again in [`Store::flush`]. An event whose id is stored already is left out, with its
    /// deliveries: the first body stands. `next_poll` of `None` keeps the stored one while somebody is watched.
    pub async fn record(&self, recording: Recording) -> Result<(), StoreError> {
        self.note(Note::Look(Box::new(recording))).await
    }
}

/// What the scribe writes.
#[derive(Debug)]
pub(super) enum Note {
    /// About a person.
    Look(Box<Recording>),
    /// About nobody.
    System {
        /// `None`: the daemon.
        org: Option<OrgName>,
        /// In order.
        events: Vec<Outgoing>,
    },
    /// About a webhook's health: the alert, and that it was told.
    Alert {
        /// Whose.
        webhook: WebhookName,
        /// What is told.
        told: Told,
        /// The alert.
        event: Box<Outgoing>,
    },
}

/// Keeps the sequence.
#[derive(Debug)]
pub(super) struct Scribe {
    source: Arc<str>,
    time_zone: Tz,
    clock: SharedClock,
    /// The last number given, once it was read; forgotten when a transaction may have failed.
    last_sequence: Option<u64>,
}

#[derive(Serialize)]
struct SnapshotRow<'a> {
    person: i64,
    org: &'a OrgName,
    at: Timestamp,
    meetings: u32,
    digest: i64,
    body: &'a str,
}

#[derive(Serialize)]
pub(super) struct StretchRow {
    pub(super) person: i64,
    pub(super) at: Timestamp,
    pub(super) polls: u32,
}

#[derive(Serialize)]
struct PersonRow {
    person: i64,
    watched: u8,
    presence: &'static str,
    belief: String,
    digest: Option<i64>,
    at: Option<Timestamp>,
    next: Option<Timestamp>,
}

#[derive(Serialize)]
struct VisitRow<'a> {
    id: &'a str,
    person: i64,
    org: &'a OrgName,
    conference: &'a str,
    ordinal: u32,
    anchor: Timestamp,
    joined: Timestamp,
    joined_local: String,
    join_basis: &'static str,
    left: Option<Timestamp>,
    left_local: Option<String>,
    left_reason: Option<&'static str>,
    leave_basis: Option<&'static str>,
    earliest: Option<Timestamp>,
    latest: Option<Timestamp>,
    role: &'static str,
    external: u8,
    by_phone: u8,
    device: Option<&'a str>,
    nick: Option<&'a str>,
}

#[derive(Serialize)]
struct EventRow<'a> {
    sequence: u64,
    id: &'a str,
    org: Option<&'a OrgName>,
    r#type: &'static str,
    person: Option<i64>,
    conference: Option<&'a str>,
    time: Timestamp,
    body: String,
}

#[derive(Serialize)]
struct DeliveryRow<'a> {
    webhook: &'a str,
    org: &'a str,
    person: i64,
    sequence: u64,
}

impl Scribe {
    pub(super) fn new(source: Arc<str>, time_zone: Tz, clock: SharedClock) -> Self {
        Self { source, time_zone, clock, last_sequence: None }
    }

    /// What was given last may not have been committed: look again before giving the next one.
    pub(super) fn forget_sequence(&mut self) {
        self.last_sequence = None;
    }

    /// Writes all of it inside the caller's transaction.
    pub(super) async fn write(
        &mut self,
        connection: &mut SqliteConnection,
        notes: &[Note],
    ) -> Result<(), StoreError> {
        let looks: Vec<&Recording> = notes
            .iter()
            .filter_map(|note| match note {
                Note::Look(recording) => Some(recording.as_ref()),
                Note::System { .. } | Note::Alert { .. } => None,
            })
            .collect();
        for round in rounds(&looks) {
            write_people(connection, round).await?;
            write_snapshots(connection, round).await?;
            self.write_visits(connection, round).await?;
        }
        let mut outgoing = Vec::new();
        for note in notes {
            let (org, person, events) = match note {
                Note::Look(look) => (Some(&look.org), Some(look.person_id), look.events.as_slice()),
                Note::System { org, events } => (org.as_ref(), None, events.as_slice()),
                Note::Alert { webhook, told, event } => {
                    admin::note_told(connection, webhook, *told).await?;
                    (None, None, std::slice::from_ref(event.as_ref()))
                }
            };
            outgoing.extend(events.iter().map(|event| (org, person, event)));
        }
        let written = self.write_events(connection, &outgoing).await?;
        accounts::count_system_events(connection, &written).await
    }

    async fn write_visits(
        &self,
        connection: &mut SqliteConnection,
        looks: &[&Recording],
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = looks
            .iter()
            .flat_map(|look| look.visits.iter().map(|visit| self.visit_row(look, visit)))
            .collect();
        bulk(connection, VISITS, &rows).await?;
        Ok(())
    }

    fn visit_row<'a>(&self, look: &'a Recording, visit: &'a Visit) -> VisitRow<'a> {
        let end = visit.end.as_ref();
        VisitRow {
            id: visit.id.as_str(),
            person: look.person_id,
            org: &look.org,
            conference: visit.conference_id.as_str(),
            ordinal: visit.ordinal,
            anchor: visit.anchor,
            joined: visit.joined,
            joined_local: local(visit.joined, self.time_zone),
            join_basis: visit.join_basis.name(),
            left: end.map(|end| end.at),
            left_local: end.map(|end| local(end.at, self.time_zone)),
            left_reason: end.map(|end| end.reason.name()),
            leave_basis: end.map(|end| end.basis.name()),
            earliest: end.map(|end| end.earliest),
            latest: end.map(|end| end.latest),
            role: visit.role.name(),
            external: visit.external.into(),
            by_phone: visit.by_phone.into(),
            device: visit.device.as_deref(),
            nick: visit.nick.as_deref(),
        }
    }

    /// Gives each new event its number and its body. Returns the ones that were new, with their organisation.
    async fn write_events<'a>(
        &mut self,
        connection: &mut SqliteConnection,
        outgoing: &[(Option<&'a OrgName>, Option<i64>, &'a Outgoing)],
    ) -> Result<Vec<(Option<&'a OrgName>, &'a Draft)>, StoreError> {
        if outgoing.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let mut known = known_events(connection, outgoing.iter().map(|(.., event)| &event.draft)).await?;
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
            events.push(self.event_row(sequence, now, org, person, draft)?);
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

    fn event_row<'a>(
        &self,
        sequence: u64,
        now: Timestamp,
        org: Option<&'a OrgName>,
        person: Option<i64>,
        draft: &'a Draft,
    ) -> Result<EventRow<'a>, StoreError> {
        let body = draft.body(&Envelope { source: &self.source, sequence, recorded_at: now });
        let body = String::from_utf8(body).map_err(|error| StoreError::Corrupt {
            table: "events",
            row: draft.id.to_string(),
            what: error.to_string(),
        })?;
        Ok(EventRow {
            sequence,
            id: draft.id.as_str(),
            org,
            r#type: draft.event_type.name(),
            person,
            conference: draft.conference_id.as_ref().map(ConferenceId::as_str),
            time: draft.time,
            body,
        })
    }
}

/// A statement for some thousand rows; none for none. Not one for any number: SQLite's memory for the rows of a long
/// watch list would stay with the process for good.
pub(super) async fn bulk(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[impl Serialize],
) -> Result<u64, StoreError> {
    const AT_ONCE: usize = 2048;
    let mut affected = 0;
    for rows in rows.chunks(AT_ONCE) {
        let rows = serde_json::to_string(rows)?;
        affected += sqlx::query(sql).bind(rows).execute(&mut *connection).await?.rows_affected();
    }
    Ok(affected)
}

async fn bulk_at(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[impl Serialize],
    now: Timestamp,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = serde_json::to_string(rows)?;
    sqlx::query(sql).bind(rows).bind(now.as_ms()).execute(connection).await?;
    Ok(())
}

/// Stretches of looks in which nobody comes twice: a bulk update takes one row a person.
fn rounds<'a, 'r>(mut looks: &'a [&'r Recording]) -> Vec<&'a [&'r Recording]> {
    let mut rounds = Vec::new();
    while !looks.is_empty() {
        let mut seen = HashSet::with_capacity(looks.len());
        let length = looks.iter().take_while(|look| seen.insert(look.person_id)).count();
        let (round, rest) = looks.split_at(length);
        rounds.push(round);
        looks = rest;
    }
    rounds
}

async fn write_snapshots(connection: &mut SqliteConnection, looks: &[&Recording]) -> Result<(), StoreError> {
    let (mut new, mut stretched) = (Vec::new(), Vec::new());
    for look in looks {
        match (&look.snapshot, look.looked_at) {
            (Some(snapshot), _) => new.push(SnapshotRow {
                person: look.person_id,
                org: &look.org,
                at: snapshot.at,
                meetings: snapshot.meetings,
                digest: snapshot.digest,
                body: &snapshot.body,
            }),
            (None, Some(at)) => stretched.push(StretchRow { person: look.person_id, at, polls: 1 }),
            (None, None) => {}
        }
    }
    bulk(connection, NEW_SNAPSHOTS, &new).await?;
    bulk(connection, STRETCH_SNAPSHOTS, &stretched).await?;
    Ok(())
}

async fn write_people(connection: &mut SqliteConnection, looks: &[&Recording]) -> Result<(), StoreError> {
    let rows = looks
        .iter()
        .map(|look| {
            Ok(PersonRow {
                person: look.person_id,
                watched: look.watched.into(),
                presence: look.belief.presence.name(),
                belief: serde_json::to_string(&look.belief)?,
                digest: look.snapshot.as_ref().map(|snapshot| snapshot.digest),
                at: look.looked_at,
                next: look.next_poll,
            })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let changed = bulk(connection, PEOPLE, &rows).await?;
    match rows.first() {
        // Somebody was erased meanwhile; the writer goes one by one then, and so finds who.
        Some(row) if changed != rows.len() as u64 => Err(StoreError::NoPerson { person_id: row.person }),
        _ => Ok(()),
    }
}

async fn known_events<'a>(
    connection: &mut SqliteConnection,
    drafts: impl Iterator<Item = &'a Draft>,
) -> Result<HashSet<String>, StoreError> {
    let ids = serde_json::to_string(&drafts.map(|draft| draft.id.as_str()).collect::<Vec<_>>())?;
    let known: Vec<String> = sqlx::query_scalar(KNOWN_EVENTS).bind(ids).fetch_all(connection).await?;
    Ok(known.into_iter().collect())
}

async fn last_sequence(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let last: i64 = sqlx::query_scalar(LAST_SEQUENCE).fetch_one(connection).await?;
    u64::try_from(last).map_err(|_| StoreError::Corrupt {
        table: "sqlite_sequence",
        row: "events".to_owned(),
        what: format!("the sequence is {last}"),
    })
}

/// `2023-11-07 16:54:55` on the operator's wall clock; the exact instant stands beside it in milliseconds.
fn local(at: Timestamp, time_zone: Tz) -> String {
    DateTime::from_timestamp_millis(at.as_ms())
        .unwrap_or_default()
        .with_timezone(&time_zone)
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}
