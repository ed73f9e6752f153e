//! What is in the database, for those who ask: who is in, visits, events, health, spending.
//!
//! Guards: reads only, through connections that cannot write; every statement is a constant; every answer has a limit;
//! event bodies come out byte for byte as they were stored; what "now" means is the caller's, not SQLite's. Deliberately
//! not here: writing, printing, the `v_*` views (those are for people).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::SqlitePool;

use super::StoreError;
use crate::presence::event::EventType;
use crate::time::Timestamp;

pub mod facts;
pub mod lessons;
pub mod report;
mod rows;
pub mod sql;
pub mod who;

pub use rows::{BudgetRow, Counts, EventRow, HealthRow, OpenVisit, Standing, VisitRow};
pub use who::{Person, WhoError};

/// The most rows one answer holds, whatever is asked for.
pub const MAX_ROWS: u32 = 100_000;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

const PEOPLE: &str =
    "SELECT person_id, org, union_id, name, watched FROM people ORDER BY name, org, union_id";

const CALLED: &str = "SELECT person_id FROM people \
    WHERE union_id = ?1 OR name = ?1 OR org || '/' || union_id = ?1 ORDER BY person_id LIMIT ?2";

const STANDINGS: &str = "SELECT p.person_id, p.org, p.union_id, p.name, p.presence, p.last_ok_ms, \
        v.conference_id, v.joined_ms, v.role, v.device, v.external, v.by_phone \
    FROM people AS p LEFT JOIN visits AS v ON v.person_id = p.person_id AND v.left_ms IS NULL \
    WHERE (?1 IS NULL AND p.watched = 1 OR p.person_id = ?1) AND (?2 OR v.visit_id IS NOT NULL) \
    ORDER BY v.visit_id IS NULL, p.name, p.org, v.joined_ms LIMIT ?3";

const COUNTS: &str = "SELECT count(*) AS watched, coalesce(sum(presence = 'inside'), 0) AS inside, \
        coalesce(sum(presence = 'unknown'), 0) AS unknown, max(last_ok_ms) AS last_ok_ms \
    FROM people WHERE watched = 1";

const VISITS: &str = "SELECT visit_id, conference_id, ordinal, joined_ms, join_basis, left_ms, left_reason, \
        leave_basis, leave_earliest_ms, leave_latest_ms, role, external, by_phone, device, nick \
    FROM visits WHERE person_id = ?1 AND joined_ms < ?3 AND coalesce(left_ms, ?3) >= ?2 \
    ORDER BY joined_ms DESC, visit_id DESC LIMIT ?4";

/// Two directions, with and without people: four constants, so that each has the plan it needs.
macro_rules! events {
    ($after:literal, $people:literal, $order:literal) => {
        concat!(
            "SELECT e.sequence, e.id, e.type, e.org, e.conference_id, e.time_ms, e.recorded_ms, e.body, ",
            "p.name, p.union_id FROM events AS e LEFT JOIN people AS p ON p.person_id = e.person_id WHERE ",
            $after,
            " AND (?2 IS NULL OR e.org = ?2) AND (?3 IS NULL OR e.type GLOB ?3) AND ",
            $people,
            " ORDER BY e.sequence ",
            $order,
            " LIMIT ?5"
        )
    };
}
const EVENTS_AFTER: &str = events!("e.sequence > ?1", "?4 IS NULL", "ASC");
const EVENTS_NEWEST: &str = events!("?1 IS NULL", "?4 IS NULL", "DESC");
const EVENTS_OF_AFTER: &str =
    events!("e.sequence > ?1", "e.person_id IN (SELECT value FROM json_each(?4))", "ASC");
const EVENTS_OF_NEWEST: &str =
    events!("?1 IS NULL", "e.person_id IN (SELECT value FROM json_each(?4))", "DESC");

const HEALTH: &str = "SELECT p.org, p.union_id, p.name, p.watched, p.presence, p.last_poll_ms, p.last_ok_ms, \
        p.next_poll_ms, p.last_error, p.last_error_ms, \
        (SELECT coalesce(sum(e.errors), 0) FROM poll_errors AS e \
            WHERE e.person_id = p.person_id AND e.hour_ms > ?1) AS errors_24h \
    FROM people AS p WHERE p.watched = 1 ORDER BY p.name, p.org, p.union_id LIMIT ?2";

const BUDGET: &str = "SELECT org, month, used, throttled, call_limit, projected \
    FROM usage ORDER BY month DESC, org LIMIT ?1";

/// The reading side of a database, open for writing elsewhere or not. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct History {
    readers: SqlitePool,
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Those with a higher sequence, oldest first. `None`: the newest.
    pub after: Option<i64>,
    /// Of this organisation.
    pub org: Option<String>,
    /// About one of these people (`Person::person_id`). An empty list matches nobody.
    pub people: Option<Vec<i64>>,
    /// An exact type, or a pattern with `*`.
    pub event_type: Option<String>,
    /// At most so many, and at most [`MAX_ROWS`].
    pub limit: u32,
}

impl super::Store {
    /// What was written, for those who only read.
    pub fn history(&self) -> History {
        History::over(self.inner.readers.clone())
    }
}

impl super::ReadOnlyStore {
    /// What was written.
    pub fn history(&self) -> History {
        History::over(self.readers().clone())
    }
}

impl History {
    /// Over connections that cannot write.
    fn over(readers: SqlitePool) -> Self {
        Self { readers }
    }

    /// The connections.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Everybody ever watched, by name.
    pub async fn people(&self) -> Result<Vec<Person>, StoreError> {
        Ok(sqlx::query_as(PEOPLE).fetch_all(&self.readers).await?)
    }

    /// The one person meant by `who`; see [`who::find`].
    pub async fn find(&self, who: &str) -> Result<Result<Person, WhoError>, StoreError> {
        let people = self.people().await?;
        Ok(who::find(&people, who).cloned())
    }

    /// The same for what cannot be taken back; see [`who::find_whole`].
    pub async fn find_whole(&self, who: &str) -> Result<Result<Person, WhoError>, StoreError> {
        let people = self.people().await?;
        Ok(who::find_whole(&people, who).cloned())
    }

    /// All who have exactly this unionId, name or `org/unionId`: for programs, which write no half names.
    pub async fn people_called(&self, who: &str) -> Result<Vec<i64>, StoreError> {
        let rows = sqlx::query_scalar(CALLED).bind(who).bind(MAX_ROWS);
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// How people stand: one person, or everybody on the list who is in a meeting, or (`everybody`) the whole list.
    pub async fn now(
        &self,
        person_id: Option<i64>,
        everybody: bool,
        limit: u32,
    ) -> Result<Vec<Standing>, StoreError> {
        let rows = sqlx::query_as(STANDINGS)
            .bind(person_id)
            .bind(everybody || person_id.is_some())
            .bind(limit.min(MAX_ROWS));
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// The watch list in numbers.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        Ok(sqlx::query_as(COUNTS).fetch_one(&self.readers).await?)
    }

    /// Somebody's visits that touch `[since, until)`: the newest `limit` of them, oldest first.
    pub async fn visits(
        &self,
        person_id: i64,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<VisitRow>, StoreError> {
        let mut rows: Vec<VisitRow> = sqlx::query_as(VISITS)
            .bind(person_id)
            .bind(since.map_or(i64::MIN, Timestamp::as_ms))
            .bind(until.map_or(i64::MAX, Timestamp::as_ms))
            .bind(limit.min(MAX_ROWS))
            .fetch_all(&self.readers)
            .await?;
        rows.reverse();
        Ok(rows)
    }

    /// Events, oldest first.
    pub async fn events(&self, query: &EventQuery) -> Result<Vec<EventRow>, StoreError> {
        let people = query.people.as_ref().map(|ids| serde_json::json!(ids).to_string());
        let statement = match (query.after, &people) {
            (Some(_), None) => EVENTS_AFTER,
            (None, None) => EVENTS_NEWEST,
            (Some(_), Some(_)) => EVENTS_OF_AFTER,
            (None, Some(_)) => EVENTS_OF_NEWEST,
        };
        let mut rows: Vec<EventRow> = sqlx::query_as(statement)
            .bind(query.after)
            .bind(query.org.as_deref())
            .bind(query.event_type.as_deref())
            .bind(people)
            .bind(query.limit.min(MAX_ROWS))
            .fetch_all(&self.readers)
            .await?;
        if query.after.is_none() {
            rows.reverse();
        }
        Ok(rows)
    }

    /// How well everybody on the list is being looked at, at `now`.
    pub async fn health(&self, now: Timestamp, limit: u32) -> Result<Vec<HealthRow>, StoreError> {
        // The hour that began more than a day ago still reaches into the last 24 hours.
        let since_hour = now.as_ms().saturating_sub(DAY_MS + HOUR_MS);
        let rows = sqlx::query_as(HEALTH).bind(since_hour).bind(limit.min(MAX_ROWS));
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// The spending, newest month first.
    pub async fn budget(&self, limit: u32) -> Result<Vec<BudgetRow>, StoreError> {
        Ok(sqlx::query_as(BUDGET).bind(limit.min(MAX_ROWS)).fetch_all(&self.readers).await?)
    }
}

/// Whether a type or pattern (`meeting.*`) means anything in the catalogue; if not, why.
pub fn check_event_type(pattern: &str) -> Result<(), String> {
    let names = || EventType::ALL.iter().map(|event_type| event_type.name());
    let known = match pattern.split_once('*') {
        None => names().any(|name| name == pattern),
        Some((start, "")) => names().any(|name| name.starts_with(start)),
        Some(_) => return Err(format!("`{pattern}`: a `*` stands only at the end, as in `meeting.*`")),
    };
    if known {
        return Ok(());
    }
    let like = || names().max_by(|a, b| strsim::jaro(a, pattern).total_cmp(&strsim::jaro(b, pattern)));
    let near = EventType::suggestion_for(pattern).or_else(like);
    Err(format!("there is no event type `{pattern}`; did you mean `{}`?", near.unwrap_or("*")))
}

#[cfg(test)]
mod tests;
