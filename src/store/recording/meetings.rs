//! What is known of the meetings that watched users were in: titles, creators, times.
//!
//! Guards: a meeting has a row only once a watched user was in it; its creator is stored only if watched; what is not
//! known replaces nothing. Deliberately not here: which titles may be stored (`presence::title`), reading (`history`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::HashMap;

use serde::Serialize;
use sqlx::SqliteConnection;

use crate::ids::{ConferenceId, OrgName, UnionId};
use crate::presence::event::MeetingLabel;
use crate::presence::title::Title;
use crate::store::bulk::bulk;
use crate::store::{MeetingFacts, Outgoing, Recording, StoreError, jsonb};
use crate::time::Timestamp;

const SEEN: &str = "\
INSERT INTO meetings (org, conference_id, first_seen_ms, last_seen_ms) \
SELECT value ->> 'org', value ->> 'conference', min(value ->> 'first'), max(value ->> 'last') \
FROM jsonb_each(?1) WHERE true GROUP BY value ->> 'org', value ->> 'conference' \
ON CONFLICT (org, conference_id) DO UPDATE SET first_seen_ms = min(meetings.first_seen_ms, excluded.first_seen_ms), \
    last_seen_ms = max(meetings.last_seen_ms, excluded.last_seen_ms)";

const FACTS: &str = "\
UPDATE meetings SET title = coalesce(fact.title, meetings.title), \
    creator_union_id = coalesce((SELECT p.union_id FROM people AS p \
        WHERE p.org = fact.org AND p.union_id = fact.creator AND p.watched = 1), meetings.creator_union_id), \
    started_ms = coalesce(fact.started, meetings.started_ms), ended_ms = coalesce(fact.ended, meetings.ended_ms), \
    basis = fact.basis, last_seen_ms = max(meetings.last_seen_ms, fact.at) \
FROM (SELECT value ->> 'org' AS org, value ->> 'conference' AS conference, value ->> 'title' AS title, \
             value ->> 'creator' AS creator, value ->> 'started' AS started, value ->> 'ended' AS ended, \
             value ->> 'basis' AS basis, value ->> 'at' AS at FROM jsonb_each(?1)) AS fact \
WHERE meetings.org = fact.org AND meetings.conference_id = fact.conference";

const LABELS: &str = "\
SELECT m.org, m.conference_id, m.title, m.started_ms \
FROM (SELECT DISTINCT value ->> 0 AS org, value ->> 1 AS conference FROM jsonb_each(?1)) AS wanted \
CROSS JOIN meetings AS m ON m.org = wanted.org AND m.conference_id = wanted.conference";

/// The titles and starts of meetings.
pub(super) type Labels = HashMap<(String, String), MeetingLabel>;

#[derive(Serialize)]
struct SeenRow<'a> {
    org: &'a OrgName,
    conference: &'a ConferenceId,
    first: Timestamp,
    last: Timestamp,
}

#[derive(Serialize)]
struct FactRow<'a> {
    org: &'a OrgName,
    conference: &'a ConferenceId,
    title: Option<&'a str>,
    creator: Option<&'a UnionId>,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    basis: &'static str,
    at: Timestamp,
}

/// Writes the meetings of visits; runs inside the caller's transaction.
pub(super) async fn write_seen(
    connection: &mut SqliteConnection,
    polls: &[&Recording],
) -> Result<(), StoreError> {
    let visits = polls.iter().flat_map(|poll| poll.visits.iter().map(|visit| (&poll.org, visit)));
    let seen: Vec<_> = visits
        .map(|(org, visit)| SeenRow {
            org,
            conference: &visit.conference_id,
            first: visit.joined,
            last: visit.end.map_or(visit.joined, |end| end.at),
        })
        .collect();
    bulk(connection, SEEN, &seen).await?;
    Ok(())
}

/// Writes what is known of meetings; those that no watched user was in are left out.
pub(super) async fn write_facts(
    connection: &mut SqliteConnection,
    org: &OrgName,
    facts: &[MeetingFacts],
) -> Result<(), StoreError> {
    bulk(connection, FACTS, &facts.iter().map(|facts| fact_row(org, facts)).collect::<Vec<_>>()).await?;
    Ok(())
}

fn fact_row<'a>(org: &'a OrgName, facts: &'a MeetingFacts) -> FactRow<'a> {
    let MeetingFacts { conference_id, title, creator, started, ended, source, at } = facts;
    FactRow {
        org,
        conference: conference_id,
        title: title.as_ref().map(Title::as_str),
        creator: creator.as_ref(),
        started: *started,
        ended: *ended,
        basis: source.name(),
        at: *at,
    }
}

/// What is known of the meetings of events.
pub(super) async fn labels(
    connection: &mut SqliteConnection,
    outgoing: &[(Option<&OrgName>, Option<i64>, &Outgoing)],
) -> Result<Labels, StoreError> {
    let mut wanted: Vec<(&OrgName, &ConferenceId)> = Vec::new();
    for (org, _, event) in outgoing {
        wanted.extend(org.zip(event.draft.conference_id.as_ref()));
    }
    if wanted.is_empty() {
        return Ok(Labels::new());
    }
    let wanted = jsonb::encode(&wanted)?;
    let rows: Vec<(String, String, Option<String>, Option<i64>)> =
        sqlx::query_as(LABELS).bind(wanted).fetch_all(connection).await?;
    let label = |(org, conference, title, started): (String, String, Option<String>, Option<i64>)| {
        ((org, conference), MeetingLabel { title, started: started.map(Timestamp::from_ms) })
    };
    Ok(rows.into_iter().map(label).collect())
}
