//! Results of polls: state, snapshots, visits.
//!
//! Guards: a result for a user who was erased meanwhile is an error and creates no row. Deliberately not here: events
//! (`events`), repeated users (`request`).

use chrono::DateTime;
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::SqliteConnection;

use crate::ids::OrgName;
use crate::presence::visit::Visit;
use crate::store::bulk::bulk;
use crate::store::{Recording, StoreError};
use crate::time::Timestamp;

const NEW_SNAPSHOTS: &str = "\
INSERT INTO snapshots (person_id, org, first_ms, last_ms, polls, meetings, digest, body) \
SELECT value ->> 'person', value ->> 'org', value ->> 'at', value ->> 'at', 1, value ->> 'meetings', \
       value ->> 'digest', value ->> 'body' \
FROM jsonb_each(?1)";

/// Extends the newest snapshot of each user.
pub(in crate::store) const EXTEND_SNAPSHOTS: &str = "\
UPDATE snapshots SET last_ms = max(snapshots.last_ms, poll.at), polls = snapshots.polls + poll.polls \
FROM (SELECT value ->> 'person' AS person, value ->> 'at' AS at, value ->> 'polls' AS polls FROM jsonb_each(?1)) AS poll \
WHERE snapshots.snapshot_id = (SELECT newest.snapshot_id FROM snapshots AS newest WHERE newest.person_id = poll.person \
                               ORDER BY newest.first_ms DESC, newest.snapshot_id DESC LIMIT 1)";

const PEOPLE: &str = "\
UPDATE people SET watched = poll.watched, presence = poll.presence, belief = poll.belief, \
    digest = CASE WHEN poll.watched THEN coalesce(poll.digest, people.digest) END, \
    last_poll_ms = coalesce(poll.at, people.last_poll_ms), last_ok_ms = coalesce(poll.at, people.last_ok_ms), \
    next_poll_ms = CASE WHEN poll.watched THEN coalesce(poll.next, people.next_poll_ms) END \
FROM (SELECT value ->> 'person' AS person, value ->> 'watched' AS watched, value ->> 'presence' AS presence, \
             value ->> 'belief' AS belief, value ->> 'digest' AS digest, value ->> 'at' AS at, \
             value ->> 'next' AS next FROM jsonb_each(?1)) AS poll \
WHERE people.person_id = poll.person";

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
pub(in crate::store) struct ExtensionRow {
    pub(in crate::store) person: i64,
    pub(in crate::store) at: Timestamp,
    pub(in crate::store) polls: u32,
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

/// Writes the results inside the caller's transaction; no user occurs twice.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    polls: &[&Recording],
    time_zone: Tz,
) -> Result<(), StoreError> {
    write_people(connection, polls).await?;
    write_snapshots(connection, polls).await?;
    write_visits(connection, polls, time_zone).await
}

async fn write_snapshots(connection: &mut SqliteConnection, polls: &[&Recording]) -> Result<(), StoreError> {
    let (mut new, mut unchanged) = (Vec::new(), Vec::new());
    for poll in polls {
        match (&poll.snapshot, poll.polled_at) {
            (Some(snapshot), _) => new.push(SnapshotRow {
                person: poll.person_id,
                org: &poll.org,
                at: snapshot.at,
                meetings: snapshot.meetings,
                digest: snapshot.digest,
                body: &snapshot.body,
            }),
            (None, Some(at)) => unchanged.push(ExtensionRow { person: poll.person_id, at, polls: 1 }),
            (None, None) => {}
        }
    }
    bulk(connection, NEW_SNAPSHOTS, &new).await?;
    bulk(connection, EXTEND_SNAPSHOTS, &unchanged).await?;
    Ok(())
}

async fn write_people(connection: &mut SqliteConnection, polls: &[&Recording]) -> Result<(), StoreError> {
    let rows = polls
        .iter()
        .map(|poll| {
            Ok(PersonRow {
                person: poll.person_id,
                watched: poll.watched.into(),
                presence: poll.belief.presence.name(),
                belief: serde_json::to_string(&poll.belief)?,
                digest: poll.snapshot.as_ref().map(|snapshot| snapshot.digest),
                at: poll.polled_at,
                next: poll.next_poll,
            })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let changed = bulk(connection, PEOPLE, &rows).await?;
    match rows.first() {
        // A user was erased meanwhile; the writer then writes the requests one by one, and so finds which.
        Some(row) if changed != rows.len() as u64 => Err(StoreError::NoPerson { person_id: row.person }),
        _ => Ok(()),
    }
}

async fn write_visits(
    connection: &mut SqliteConnection,
    polls: &[&Recording],
    time_zone: Tz,
) -> Result<(), StoreError> {
    let rows: Vec<_> = polls
        .iter()
        .flat_map(|poll| poll.visits.iter().map(|visit| visit_row(poll, visit, time_zone)))
        .collect();
    bulk(connection, VISITS, &rows).await?;
    Ok(())
}

fn visit_row<'a>(poll: &'a Recording, visit: &'a Visit, time_zone: Tz) -> VisitRow<'a> {
    let end = visit.end.as_ref();
    VisitRow {
        id: visit.id.as_str(),
        person: poll.person_id,
        org: &poll.org,
        conference: visit.conference_id.as_str(),
        ordinal: visit.ordinal,
        anchor: visit.anchor,
        joined: visit.joined,
        joined_local: local(visit.joined, time_zone),
        join_basis: visit.join_basis.name(),
        left: end.map(|end| end.at),
        left_local: end.map(|end| local(end.at, time_zone)),
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

/// Local time of the operator, such as `2023-11-07 16:54:55`; the exact time is stored beside it in milliseconds.
fn local(at: Timestamp, time_zone: Tz) -> String {
    DateTime::from_timestamp_millis(at.as_ms())
        .unwrap_or_default()
        .with_timezone(&time_zone)
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}
