//! Reading the database: presence, visits, events, health, call usage.
//!
//! Guards: reads only, through connections that cannot write; every statement is a constant; every answer has a limit;
//! event bodies are returned byte for byte as stored; the caller gives the current time. Deliberately not here:
//! writing, printing, the `v_*` views (for interactive use).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::SqlitePool;

use self::meetings::Meetings;
use self::report::Report;
use self::visit_history::PastVisit;
use super::StoreError;
use super::outbox::OutboxReader;
use super::push_messages::{self, PushMonth};
use super::stats::WebhookStats;
use super::sweep_state::{self, SweepRow};
use crate::presence::event::EventType;
use crate::time::Timestamp;

pub mod at_instant;
pub mod info;
pub mod lists;
pub mod meetings;
mod query;
pub mod report;
mod rows;
pub mod spans;
pub mod sql;
pub mod timeline;
pub mod visit_history;
mod visits;
pub mod who;

pub use query::{EventQuery, Filter, MAX_ROWS, VisitQuery};
pub use rows::{BudgetRow, Counts, EventRow, HealthRow, OpenVisit, UserPresence, VisitRow};
pub use who::{Person, WhoError};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

const PEOPLE: &str =
    "SELECT person_id, org, union_id, name, watched FROM people ORDER BY name, org, union_id";

const CALLED: &str = "SELECT person_id FROM people \
    WHERE union_id = ?1 OR name = ?1 OR org || '/' || union_id = ?1 ORDER BY person_id LIMIT ?2";

const STANDINGS: &str = "SELECT p.person_id, p.org, p.union_id, p.name, p.groups, p.watched, p.presence, p.last_ok_ms, \
        p.next_poll_ms, v.visit_id, v.conference_id, m.title, m.started_ms, v.joined_ms, v.join_basis, v.role, v.device, \
        v.external, v.by_phone \
    FROM people AS p LEFT JOIN visits AS v ON v.person_id = p.person_id AND v.left_ms IS NULL \
        LEFT JOIN meetings AS m ON m.org = v.org AND m.conference_id = v.conference_id \
    WHERE (?1 IS NULL AND p.watched = 1 OR p.person_id = ?1) AND (?2 IS NULL OR p.org = ?2) \
        AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.groups) AS g WHERE g.value = ?3)) \
        AND (?4 OR v.visit_id IS NOT NULL) \
    ORDER BY v.visit_id IS NULL, p.name, p.org, v.joined_ms LIMIT ?5";

const COUNTS: &str = "SELECT count(*) AS watched, coalesce(sum(presence = 'inside'), 0) AS inside, \
        coalesce(sum(presence = 'unknown'), 0) AS unknown, max(last_ok_ms) AS last_ok_ms \
    FROM people AS p WHERE watched = 1 AND (?1 IS NULL OR p.org = ?1) \
        AND (?2 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.groups) AS g WHERE g.value = ?2))";

/// Two directions, with and without people: four constants, so that each gets its own query plan.
macro_rules! events {
    ($after:literal, $people:literal, $order:literal) => {
        concat!(
            "SELECT e.sequence, e.id, e.type, e.org, e.conference_id, m.title, e.time_ms, e.recorded_ms, e.body, ",
            "p.name, p.union_id FROM events AS e LEFT JOIN people AS p ON p.person_id = e.person_id ",
            "LEFT JOIN meetings AS m ON m.org = e.org AND m.conference_id = e.conference_id WHERE ",
            $after,
            " AND (?2 IS NULL OR e.org = ?2) AND (?3 IS NULL OR e.type GLOB ?3) AND ",
            $people,
            " AND (?6 IS NULL OR e.time_ms >= ?6) AND (?7 IS NULL OR e.time_ms < ?7) ",
            "AND (?8 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.groups) AS g WHERE g.value = ?8)) ",
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

/// Reads a database, whether or not it is open for writing elsewhere. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct History {
    readers: SqlitePool,
}

impl History {
    /// Over connections that cannot write.
    pub(super) fn new(readers: SqlitePool) -> Self {
        Self { readers }
    }

    /// Visits, gaps and users over a span of time.
    pub fn report(&self) -> Report<'_> {
        Report { readers: &self.readers }
    }

    /// Deliveries to webhooks.
    pub fn outbox(&self) -> OutboxReader {
        OutboxReader::new(self.readers.clone())
    }

    /// Queues of webhooks, and why they are blocked.
    pub fn webhooks(&self) -> WebhookStats<'_> {
        WebhookStats { readers: &self.readers }
    }

    /// Visits that began at or after `since`: the newest `limit` of them, newest first.
    pub async fn recent_visits(&self, since: Timestamp, limit: u32) -> Result<Vec<PastVisit>, StoreError> {
        visit_history::recent(&self.readers, since, limit.min(MAX_ROWS)).await
    }

    /// What the poller learned of each organisation's sweeps.
    pub async fn sweep_states(&self) -> Result<Vec<SweepRow>, StoreError> {
        sweep_state::rows(&self.readers).await
    }

    /// The events that were pushed in the newest month of each organisation.
    pub async fn push_months(&self) -> Result<Vec<PushMonth>, StoreError> {
        push_messages::newest(&self.readers).await
    }

    /// All users who are or were watched, by name.
    pub async fn people(&self) -> Result<Vec<Person>, StoreError> {
        Ok(sqlx::query_as(PEOPLE).fetch_all(&self.readers).await?)
    }

    /// The one user that `who` denotes; see [`who::find`].
    pub async fn find(&self, who: &str) -> Result<Result<Person, WhoError>, StoreError> {
        let people = self.people().await?;
        Ok(who::find(&people, who).cloned())
    }

    /// The same for commands that cannot be undone; see [`who::find_whole`].
    pub async fn find_whole(&self, who: &str) -> Result<Result<Person, WhoError>, StoreError> {
        let people = self.people().await?;
        Ok(who::find_whole(&people, who).cloned())
    }

    /// All users with exactly this unionId, name or `org/unionId`: for programs, which write full names.
    pub async fn people_called(&self, who: &str) -> Result<Vec<i64>, StoreError> {
        let rows = sqlx::query_scalar(CALLED).bind(who).bind(MAX_ROWS);
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// The presence of users: of one, of all watched users in a meeting, or (`include_all`) of the whole list.
    pub async fn now(
        &self,
        filter: &Filter,
        include_all: bool,
        limit: u32,
    ) -> Result<Vec<UserPresence>, StoreError> {
        let Filter { person_id, org, group } = filter;
        let rows = sqlx::query_as(STANDINGS)
            .bind(person_id)
            .bind(org.as_deref())
            .bind(group.as_deref())
            .bind(include_all || person_id.is_some())
            .bind(limit.min(MAX_ROWS));
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// Counts of the watch list; of one organisation or group with such a filter.
    pub async fn counts(&self, filter: &Filter) -> Result<Counts, StoreError> {
        let counts = sqlx::query_as(COUNTS).bind(filter.org.as_deref()).bind(filter.group.as_deref());
        Ok(counts.fetch_one(&self.readers).await?)
    }

    /// Visits, oldest first: of those that fit, the newest.
    pub async fn visits(&self, query: &VisitQuery) -> Result<Vec<VisitRow>, StoreError> {
        visits::read(&self.readers, query).await
    }

    /// Meetings.
    pub fn meetings(&self) -> Meetings<'_> {
        Meetings { readers: &self.readers }
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
            .bind(query.since.map(Timestamp::as_ms))
            .bind(query.until.map(Timestamp::as_ms))
            .bind(query.group.as_deref())
            .fetch_all(&self.readers)
            .await?;
        if query.after.is_none() {
            rows.reverse();
        }
        Ok(rows)
    }

    /// When each watched user was polled, and with which errors, at `now`.
    pub async fn health(&self, now: Timestamp, limit: u32) -> Result<Vec<HealthRow>, StoreError> {
        // The hour that began more than a day ago still reaches into the last 24 hours.
        let since_hour = now.as_ms().saturating_sub(DAY_MS + HOUR_MS);
        let rows = sqlx::query_as(HEALTH).bind(since_hour).bind(limit.min(MAX_ROWS));
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// Call usage, newest month first.
    pub async fn budget(&self, limit: u32) -> Result<Vec<BudgetRow>, StoreError> {
        Ok(sqlx::query_as(BUDGET).bind(limit.min(MAX_ROWS)).fetch_all(&self.readers).await?)
    }
}

/// Checks that an event type or pattern (`meeting.*`) matches a type that exists; otherwise returns the reason.
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
