//! The watch list in the database: who is on it, what is believed about each, when each was looked at.
//!
//! Guards: a person keeps the row, and with it the history, over renames and absences; an unchanged poll costs no
//! statement of its own. Deliberately not here: what a look changed (`recording`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::bulk::bulk;
use super::recording::{STRETCH_SNAPSHOTS, StretchRow};
use super::{Enrolled, Enrolment, Miss, Store, StoreError, Stretch};
use crate::ids::{Identity, OrgName, UnionId};
use crate::presence::user_state::UserState;
use crate::time::Timestamp;

/// How much of an error's text is kept with a person: a line, not a page.
const ERROR_TEXT: usize = 300;

const HOUR_MS: i64 = 3_600_000;

const PEOPLE: &str = "\
SELECT person_id, org, union_id, name, watched, belief, digest, next_poll_ms, last_poll_ms, last_ok_ms FROM people";
const ORGANISATIONS: &str = "INSERT INTO organisations (org) SELECT DISTINCT value ->> 'org' FROM jsonb_each(?1) WHERE true ON CONFLICT DO NOTHING";
const ENROLL: &str = "\
INSERT INTO people (org, union_id, name) \
SELECT value ->> 'org', value ->> 'union_id', value ->> 'name' FROM jsonb_each(?1) WHERE true \
ON CONFLICT (org, union_id) DO UPDATE SET name = excluded.name, watched = 1, \
    next_poll_ms = CASE WHEN people.watched THEN people.next_poll_ms END";
const STRETCH_PEOPLE: &str = "\
UPDATE people SET last_ok_ms = max(coalesce(people.last_ok_ms, look.at), look.at), \
    last_poll_ms = max(coalesce(people.last_poll_ms, look.at), look.at), \
    next_poll_ms = CASE WHEN look.at >= coalesce(people.last_poll_ms, look.at) THEN look.next ELSE people.next_poll_ms END \
FROM (SELECT value ->> 'person' AS person, value ->> 'at' AS at, value ->> 'next' AS next FROM jsonb_each(?1)) AS look \
WHERE people.person_id = look.person";
const MISS_PEOPLE: &str = "\
UPDATE people SET last_error = look.error, last_error_ms = look.at, \
    last_poll_ms = max(coalesce(people.last_poll_ms, look.at), look.at), \
    next_poll_ms = CASE WHEN look.at >= coalesce(people.last_poll_ms, look.at) THEN look.next ELSE people.next_poll_ms END \
FROM (SELECT value ->> 'person' AS person, value ->> 'at' AS at, value ->> 'next' AS next, value ->> 'error' AS error \
      FROM jsonb_each(?1)) AS look \
WHERE people.person_id = look.person";
const REPLAN: &str = "\
UPDATE people SET next_poll_ms = plan.next \
FROM (SELECT value ->> 'person' AS person, value ->> 'next' AS next FROM jsonb_each(?1)) AS plan \
WHERE people.person_id = plan.person";
const COUNT_ERRORS: &str = "\
INSERT INTO poll_errors (person_id, org, hour_ms, class, errors) \
SELECT value ->> 'person', value ->> 'org', value ->> 'hour', value ->> 'class', 1 FROM jsonb_each(?1) \
WHERE EXISTS (SELECT 1 FROM people WHERE person_id = value ->> 'person') \
ON CONFLICT (person_id, hour_ms, class) DO UPDATE SET errors = errors + 1";

impl Store {
    /// Matches the whole watch list with what is stored, in its order; adds who is new. The second list is who was
    /// watched until now and is not any more (still to be ended by a `Recording` with `watched: false`).
    ///
    /// Somebody who comes back after having been off the list has no `digest` and no `next_poll`: the first look is
    /// new, whatever it says.
    pub async fn enroll(&self, list: Vec<Enrolment>) -> Result<(Vec<Enrolled>, Vec<Enrolled>), StoreError> {
        self.write(move |connection| Box::pin(enroll(connection, list))).await
    }

    /// Stretches snapshots and notes failures, in one transaction. People who were erased meanwhile are passed over.
    ///
    /// A stretch says "the same answer, looked at often enough"; a gap longer than that is the caller's to see, and it
    /// sends the same answer as a [`Recording`](super::Recording) with a snapshot then, which begins a new row.
    pub async fn flush(&self, stretches: Vec<Stretch>, misses: Vec<Miss>) -> Result<(), StoreError> {
        if stretches.is_empty() && misses.is_empty() {
            return Ok(());
        }
        self.write(move |connection| {
            Box::pin(async move {
                stretch(connection, stretches).await?;
                miss(connection, misses).await
            })
        })
        .await
    }
}

impl Store {
    /// Next looks that moved without a look. Who was erased meanwhile is passed over.
    pub async fn replan(&self, plans: Vec<(i64, Timestamp)>) -> Result<(), StoreError> {
        let rows: Vec<PlanRow> = plans.into_iter().map(|(person, next)| PlanRow { person, next }).collect();
        self.write(move |connection| Box::pin(async move { bulk(connection, REPLAN, &rows).await.map(drop) }))
            .await
    }
}

type PersonRow =
    (i64, String, String, String, i64, String, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

#[derive(Serialize)]
struct EnrolmentRow<'a> {
    org: &'a OrgName,
    union_id: &'a UnionId,
    name: &'a str,
}

#[derive(Serialize)]
struct LookRow {
    person: i64,
    at: Timestamp,
    next: Timestamp,
    polls: u32,
}

#[derive(Serialize)]
struct PlanRow {
    person: i64,
    next: Timestamp,
}

#[derive(Serialize)]
struct MissRow {
    person: i64,
    at: Timestamp,
    next: Timestamp,
    error: String,
}

#[derive(Serialize)]
struct ErrorRow<'a> {
    person: i64,
    org: &'a OrgName,
    hour: i64,
    class: &'static str,
}

async fn enroll(
    connection: &mut SqliteConnection,
    list: Vec<Enrolment>,
) -> Result<(Vec<Enrolled>, Vec<Enrolled>), StoreError> {
    let before = everybody(connection).await?;
    let rows: Vec<_> = list
        .iter()
        .filter(|one| {
            before.get(&one.identity).is_none_or(|(known, watched)| !watched || known.name != one.name)
        })
        .map(|one| EnrolmentRow { org: &one.identity.org, union_id: &one.identity.union_id, name: &one.name })
        .collect();
    bulk(connection, ORGANISATIONS, &rows).await?;
    bulk(connection, ENROLL, &rows).await?;
    let mut known = if rows.is_empty() { before } else { everybody(connection).await? };
    let mut enrolled = Vec::with_capacity(list.len());
    for one in list {
        let Some((person, _)) = known.remove(&one.identity) else {
            return Err(StoreError::Corrupt {
                table: "people",
                row: one.identity.to_string(),
                what: "somebody is on the watch list twice".to_owned(),
            });
        };
        enrolled.push(person);
    }
    let mut dropped: Vec<_> =
        known.into_values().filter(|(_, watched)| *watched).map(|(person, _)| person).collect();
    dropped.sort_by_key(|person| person.person_id);
    Ok((enrolled, dropped))
}

/// Everybody ever watched, and whether they still are.
async fn everybody(
    connection: &mut SqliteConnection,
) -> Result<HashMap<Identity, (Enrolled, bool)>, StoreError> {
    let mut known = HashMap::new();
    // Row by row: all of them at once would take several times the memory that the people themselves do.
    let mut rows = sqlx::query_as::<_, PersonRow>(PEOPLE).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let (identity, person) = person(row)?;
        known.insert(identity, person);
    }
    Ok(known)
}

fn person(row: PersonRow) -> Result<(Identity, (Enrolled, bool)), StoreError> {
    let (person_id, org, union_id, name, watched, belief, digest, next_poll, last_poll, last_ok) = row;
    let corrupt = |what: String| StoreError::Corrupt {
        table: "people",
        row: format!("{person_id} ({org}/{union_id})"),
        what,
    };
    let belief: UserState =
        serde_json::from_str(&belief).map_err(|error| corrupt(format!("belief: {error}")))?;
    let identity = Identity {
        org: OrgName::parse(&org).map_err(|error| corrupt(format!("org {error}")))?,
        union_id: UnionId::parse(&union_id).map_err(|error| corrupt(format!("union_id {error}")))?,
    };
    let at = |ms: Option<i64>| ms.map(Timestamp::from_ms);
    let person = Enrolled {
        person_id,
        identity: identity.clone(),
        name,
        belief,
        digest,
        next_poll: at(next_poll),
        last_poll: at(last_poll),
        last_ok: at(last_ok),
    };
    Ok((identity, (person, watched == 1)))
}

async fn stretch(connection: &mut SqliteConnection, stretches: Vec<Stretch>) -> Result<(), StoreError> {
    let mut looks: BTreeMap<i64, LookRow> = BTreeMap::new();
    for one in stretches {
        let look = looks.entry(one.person_id).or_insert(LookRow {
            person: one.person_id,
            at: one.last_ok,
            next: one.next_poll,
            polls: 0,
        });
        look.polls = look.polls.saturating_add(one.polls);
        if one.last_ok >= look.at {
            (look.at, look.next) = (one.last_ok, one.next_poll);
        }
    }
    let rows: Vec<_> = looks.values().collect();
    let snapshots: Vec<_> = looks
        .values()
        .map(|look| StretchRow { person: look.person, at: look.at, polls: look.polls })
        .collect();
    bulk(connection, STRETCH_SNAPSHOTS, &snapshots).await?;
    bulk(connection, STRETCH_PEOPLE, &rows).await?;
    Ok(())
}

async fn miss(connection: &mut SqliteConnection, misses: Vec<Miss>) -> Result<(), StoreError> {
    let mut newest: BTreeMap<i64, MissRow> = BTreeMap::new();
    let mut errors = Vec::with_capacity(misses.len());
    for one in &misses {
        let hour = one.at.as_ms().div_euclid(HOUR_MS) * HOUR_MS;
        errors.push(ErrorRow { person: one.person_id, org: &one.org, hour, class: one.class });
        if newest.get(&one.person_id).is_none_or(|known| known.at <= one.at) {
            let error: String =
                one.class.chars().chain(": ".chars()).chain(one.text.chars()).take(ERROR_TEXT).collect();
            newest.insert(
                one.person_id,
                MissRow { person: one.person_id, at: one.at, next: one.next_poll, error },
            );
        }
    }
    bulk(connection, MISS_PEOPLE, &newest.values().collect::<Vec<_>>()).await?;
    bulk(connection, COUNT_ERRORS, &errors).await?;
    Ok(())
}
