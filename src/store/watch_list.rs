//! The watch list in the database: users, their state, the times of their polls.
//!
//! Guards: a user keeps the row, and with it the history, over renames and absences; an unchanged poll needs no
//! statement of its own. Deliberately not here: changes that a poll found (`recording`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::bulk::bulk;
use super::database::Database;
use super::recording::{EXTEND_SNAPSHOTS, ExtensionRow};
use super::{Enrolled, Enrolment, PollFailure, StoreError, UnchangedPolls};
use crate::ids::{Identity, OrgName, UnionId};
use crate::presence::user_state::UserState;
use crate::time::Timestamp;

/// The stored length of an error text.
const ERROR_TEXT: usize = 300;

const HOUR_MS: i64 = 3_600_000;

const PEOPLE: &str = "\
SELECT person_id, org, union_id, name, watched, belief, digest, next_poll_ms, last_poll_ms, last_ok_ms, groups FROM people";
const ORGANISATIONS: &str = "INSERT INTO organisations (org) SELECT DISTINCT value ->> 'org' FROM jsonb_each(?1) WHERE true ON CONFLICT DO NOTHING";
const ENROLL: &str = "\
INSERT INTO people (org, union_id, name, groups) \
SELECT value ->> 'org', value ->> 'union_id', value ->> 'name', value ->> 'groups' FROM jsonb_each(?1) WHERE true \
ON CONFLICT (org, union_id) DO UPDATE SET name = excluded.name, groups = excluded.groups, watched = 1, \
    next_poll_ms = CASE WHEN people.watched THEN people.next_poll_ms END";
const EXTEND_USERS: &str = "\
UPDATE people SET last_ok_ms = max(coalesce(people.last_ok_ms, poll.at), poll.at), \
    last_poll_ms = max(coalesce(people.last_poll_ms, poll.at), poll.at), \
    next_poll_ms = CASE WHEN poll.at >= coalesce(people.last_poll_ms, poll.at) THEN poll.next ELSE people.next_poll_ms END \
FROM (SELECT value ->> 'person' AS person, value ->> 'at' AS at, value ->> 'next' AS next FROM jsonb_each(?1)) AS poll \
WHERE people.person_id = poll.person";
const FAILED_USERS: &str = "\
UPDATE people SET last_error = poll.error, last_error_ms = poll.at, \
    last_poll_ms = max(coalesce(people.last_poll_ms, poll.at), poll.at), \
    next_poll_ms = CASE WHEN poll.at >= coalesce(people.last_poll_ms, poll.at) THEN poll.next ELSE people.next_poll_ms END \
FROM (SELECT value ->> 'person' AS person, value ->> 'at' AS at, value ->> 'next' AS next, value ->> 'error' AS error \
      FROM jsonb_each(?1)) AS poll \
WHERE people.person_id = poll.person";
const REPLAN: &str = "\
UPDATE people SET next_poll_ms = plan.next \
FROM (SELECT value ->> 'person' AS person, value ->> 'next' AS next FROM jsonb_each(?1)) AS plan \
WHERE people.person_id = plan.person";
const COUNT_ERRORS: &str = "\
INSERT INTO poll_errors (person_id, org, hour_ms, class, errors) \
SELECT value ->> 'person', value ->> 'org', value ->> 'hour', value ->> 'class', 1 FROM jsonb_each(?1) \
WHERE EXISTS (SELECT 1 FROM people WHERE person_id = value ->> 'person') \
ON CONFLICT (person_id, hour_ms, class) DO UPDATE SET errors = errors + 1";

/// The watched users, with the time and outcome of their polls.
#[derive(Clone, Copy, Debug)]
pub struct WatchList<'s> {
    pub(super) database: &'s Database,
}

impl WatchList<'_> {
    /// Matches the whole watch list with the stored users, in its order; adds new users. The second list contains the
    /// users who were watched until now and no longer are (the caller ends them with a `Recording` with `watched:
    /// false`).
    ///
    /// A user who returns to the list has no `digest` and no `next_poll`: the first poll counts as new, whatever its
    /// answer is.
    pub async fn enroll(self, list: Vec<Enrolment>) -> Result<(Vec<Enrolled>, Vec<Enrolled>), StoreError> {
        self.database.writer.write(move |connection| Box::pin(enroll(connection, list))).await
    }

    /// Extends snapshots and records failed polls, in one transaction. Users who were erased meanwhile are skipped.
    ///
    /// Unchanged polls mean that the answer stayed the same at short intervals. After a longer gap the caller sends the
    /// same answer as a [`Recording`](super::Recording) with a snapshot, which begins a new row.
    pub async fn flush(
        self,
        unchanged: Vec<UnchangedPolls>,
        failures: Vec<PollFailure>,
    ) -> Result<(), StoreError> {
        if unchanged.is_empty() && failures.is_empty() {
            return Ok(());
        }
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    extend_snapshots(connection, unchanged).await?;
                    record_failures(connection, failures).await
                })
            })
            .await
    }

    /// Writes due times that changed without a poll. Users who were erased meanwhile are skipped.
    pub async fn replan(self, plans: Vec<(i64, Timestamp)>) -> Result<(), StoreError> {
        let rows: Vec<PlanRow> = plans.into_iter().map(|(person, next)| PlanRow { person, next }).collect();
        self.database
            .writer
            .write(move |connection| Box::pin(async move { bulk(connection, REPLAN, &rows).await.map(drop) }))
            .await
    }
}

type PersonRow =
    (i64, String, String, String, i64, String, Option<i64>, Option<i64>, Option<i64>, Option<i64>, String);

#[derive(Serialize)]
struct EnrolmentRow<'a> {
    org: &'a OrgName,
    union_id: &'a UnionId,
    name: &'a str,
    /// A JSON array.
    groups: String,
}

#[derive(Serialize)]
struct PollRow {
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
struct FailureRow {
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
    let before = known_users(connection).await?;
    let mut rows = Vec::new();
    for Enrolment { identity, name, groups } in &list {
        let groups = serde_json::to_string(groups)?;
        let is_stored = |known: &Known| known.watched && known.person.name == *name && known.groups == groups;
        if !before.get(identity).is_some_and(is_stored) {
            rows.push(EnrolmentRow { org: &identity.org, union_id: &identity.union_id, name, groups });
        }
    }
    bulk(connection, ORGANISATIONS, &rows).await?;
    bulk(connection, ENROLL, &rows).await?;
    let mut known = if rows.is_empty() { before } else { known_users(connection).await? };
    let mut enrolled = Vec::with_capacity(list.len());
    for one in list {
        let Some(Known { person, .. }) = known.remove(&one.identity) else {
            return Err(StoreError::Corrupt {
                table: "people",
                row: one.identity.to_string(),
                what: "the user is on the watch list twice".to_owned(),
            });
        };
        enrolled.push(person);
    }
    let mut dropped: Vec<_> =
        known.into_values().filter(|known| known.watched).map(|known| known.person).collect();
    dropped.sort_by_key(|person| person.person_id);
    Ok((enrolled, dropped))
}

/// A user who is or was watched.
struct Known {
    person: Enrolled,
    watched: bool,
    /// A JSON array.
    groups: String,
}

/// All users who are or were watched.
async fn known_users(connection: &mut SqliteConnection) -> Result<HashMap<Identity, Known>, StoreError> {
    let mut known = HashMap::new();
    // Row by row, because all rows at once would need several times the memory of the users themselves.
    let mut rows = sqlx::query_as::<_, PersonRow>(PEOPLE).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let (identity, person) = person(row)?;
        known.insert(identity, person);
    }
    Ok(known)
}

fn person(row: PersonRow) -> Result<(Identity, Known), StoreError> {
    let (person_id, org, union_id, name, watched, belief, digest, next_poll, last_poll, last_ok, groups) =
        row;
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
    Ok((identity, Known { person, watched: watched == 1, groups }))
}

async fn extend_snapshots(
    connection: &mut SqliteConnection,
    unchanged: Vec<UnchangedPolls>,
) -> Result<(), StoreError> {
    let mut polls: BTreeMap<i64, PollRow> = BTreeMap::new();
    for one in unchanged {
        let poll = polls.entry(one.person_id).or_insert(PollRow {
            person: one.person_id,
            at: one.last_ok,
            next: one.next_poll,
            polls: 0,
        });
        poll.polls = poll.polls.saturating_add(one.polls);
        if one.last_ok >= poll.at {
            (poll.at, poll.next) = (one.last_ok, one.next_poll);
        }
    }
    let rows: Vec<_> = polls.values().collect();
    let snapshots: Vec<_> = polls
        .values()
        .map(|poll| ExtensionRow { person: poll.person, at: poll.at, polls: poll.polls })
        .collect();
    bulk(connection, EXTEND_SNAPSHOTS, &snapshots).await?;
    bulk(connection, EXTEND_USERS, &rows).await?;
    Ok(())
}

async fn record_failures(
    connection: &mut SqliteConnection,
    failures: Vec<PollFailure>,
) -> Result<(), StoreError> {
    let mut newest: BTreeMap<i64, FailureRow> = BTreeMap::new();
    let mut errors = Vec::with_capacity(failures.len());
    for one in &failures {
        let hour = one.at.as_ms().div_euclid(HOUR_MS) * HOUR_MS;
        errors.push(ErrorRow { person: one.person_id, org: &one.org, hour, class: one.class });
        if newest.get(&one.person_id).is_none_or(|known| known.at <= one.at) {
            let error: String =
                one.class.chars().chain(": ".chars()).chain(one.text.chars()).take(ERROR_TEXT).collect();
            newest.insert(
                one.person_id,
                FailureRow { person: one.person_id, at: one.at, next: one.next_poll, error },
            );
        }
    }
    bulk(connection, FAILED_USERS, &newest.values().collect::<Vec<_>>()).await?;
    bulk(connection, COUNT_ERRORS, &errors).await?;
    Ok(())
}
