//! Data for reports and traces: visits of all users, gaps, the time since each user is known.
//!
//! Guards: the result covers the whole requested span; nothing is aggregated here. Deliberately not here: days and
//! hours (`cli::report`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::SqlitePool;

use super::query::{Filter, LONGEST_VISIT};
use crate::store::StoreError;
use crate::store::gaps::Why;
use crate::time::Timestamp;

/// Rows of one page of a trace.
const PAGE: i64 = 10_000;

const VISITS: &str = "SELECT person_id, conference_id, joined_ms, left_ms FROM visits \
    WHERE joined_ms >= ?1 AND joined_ms < ?3 AND coalesce(left_ms, ?3) > ?2 ORDER BY joined_ms, rowid";
const GAPS: &str = "SELECT org, person_id, from_ms, to_ms, why FROM gaps \
    WHERE from_ms < ?2 AND to_ms > ?1 ORDER BY from_ms, gap_id";
const USERS: &str = "SELECT p.person_id, p.org, p.union_id, p.name, p.watched, p.last_ok_ms, p.next_poll_ms, \
    coalesce(p.last_error_ms > p.last_ok_ms, 0), \
    (SELECT min(at) FROM (SELECT min(s.first_ms) AS at FROM snapshots AS s WHERE s.person_id = p.person_id \
        UNION ALL SELECT min(v.joined_ms) FROM visits AS v WHERE v.person_id = p.person_id)), p.groups \
    FROM people AS p WHERE (?1 IS NULL OR p.person_id = ?1) AND (?2 IS NULL OR p.org = ?2) \
        AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.groups) AS g WHERE g.value = ?3)) \
    ORDER BY p.name, p.org, p.union_id";
const OPEN_GAPS: &str = "SELECT org, person_id, from_ms, ?2, why FROM open_gaps WHERE from_ms <= ?1";
const TRACE: &str = "SELECT v.rowid, p.union_id, v.conference_id, v.joined_ms, v.left_ms \
    FROM visits AS v JOIN people AS p USING (person_id) WHERE v.rowid > ?1 ORDER BY v.rowid LIMIT ?2";

/// A visit of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitSpan {
    pub person_id: i64,
    pub conference_id: String,
    /// When the user joined.
    pub joined: Timestamp,
    /// When the user left; `None`: still inside, as far as known.
    pub left: Option<Timestamp>,
}

/// Time without polls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub org: String,
    /// The user; `None`: all users of the organisation.
    pub person_id: Option<i64>,
    /// The last poll before.
    pub from: Timestamp,
    /// The first poll after.
    pub to: Timestamp,
    /// One of the reasons in [`Why`].
    pub why: String,
}

/// A user, and the span for which data exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownUser {
    /// Id of the row.
    pub person_id: i64,
    pub org: String,
    pub union_id: String,
    pub name: String,
    /// Whether the user is watched.
    pub watched: bool,
    /// Time of the newest successful poll.
    pub last_ok: Option<Timestamp>,
    /// When the next poll is due.
    pub next_poll: Option<Timestamp>,
    /// Whether the newest poll failed.
    pub failing: bool,
    /// The first snapshot or visit.
    pub first: Option<Timestamp>,
    /// Groups in the config.
    pub groups: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRow {
    /// The position: the last one of a page is `after` of the next page.
    pub place: i64,
    pub union_id: String,
    pub conference_id: String,
    /// Since when.
    pub joined: Timestamp,
    /// `None`: still in.
    pub left: Option<Timestamp>,
}

impl Gap {
    /// Whether no polls were planned then.
    pub fn is_planned(&self) -> bool {
        Why::named(&self.why).is_some_and(Why::is_planned)
    }

    /// Whether it is the user's, or one of all users of the organisation.
    pub fn concerns(&self, user: &KnownUser) -> bool {
        self.org == user.org && self.person_id.is_none_or(|id| id == user.person_id)
    }
}

type KnownRow = (i64, String, String, String, bool, Option<i64>, Option<i64>, bool, Option<i64>, String);

/// Data for reports and traces.
#[derive(Clone, Copy, Debug)]
pub struct Report<'h> {
    pub(super) readers: &'h SqlitePool,
}

impl Report<'_> {
    /// The visits of all users that overlap `[since, until)`, by start.
    pub async fn visits(self, since: Timestamp, until: Timestamp) -> Result<Vec<VisitSpan>, StoreError> {
        let rows: Vec<(i64, String, i64, Option<i64>)> = sqlx::query_as(VISITS)
            .bind(since.minus(LONGEST_VISIT).as_ms())
            .bind(since.as_ms())
            .bind(until.as_ms())
            .fetch_all(self.readers)
            .await?;
        let visit = |(person_id, conference_id, joined, left): (i64, String, i64, Option<i64>)| VisitSpan {
            person_id,
            conference_id,
            joined: Timestamp::from_ms(joined),
            left: left.map(Timestamp::from_ms),
        };
        Ok(rows.into_iter().map(visit).collect())
    }

    /// The gaps that overlap `[since, until)`, by start.
    pub async fn gaps(self, since: Timestamp, until: Timestamp) -> Result<Vec<Gap>, StoreError> {
        self.read_gaps(GAPS, since, until).await
    }

    /// The gaps that go on and began at or before `at`; they are given to end at `until`.
    pub async fn open_gaps(self, at: Timestamp, until: Timestamp) -> Result<Vec<Gap>, StoreError> {
        self.read_gaps(OPEN_GAPS, at, until).await
    }

    async fn read_gaps(
        self,
        statement: &'static str,
        first: Timestamp,
        second: Timestamp,
    ) -> Result<Vec<Gap>, StoreError> {
        let rows: Vec<(String, Option<i64>, i64, i64, String)> = sqlx::query_as(statement)
            .bind(first.as_ms())
            .bind(second.as_ms())
            .fetch_all(self.readers)
            .await?;
        let gap = |(org, person_id, from, to, why): (String, Option<i64>, i64, i64, String)| Gap {
            org,
            person_id,
            from: Timestamp::from_ms(from),
            to: Timestamp::from_ms(to),
            why,
        };
        Ok(rows.into_iter().map(gap).collect())
    }

    /// The users who are or were watched, by name, and the spans for which data exists.
    pub async fn users(self, filter: &Filter) -> Result<Vec<KnownUser>, StoreError> {
        let Filter { person_id, org, group } = filter;
        let rows = sqlx::query_as(USERS).bind(person_id).bind(org.as_deref()).bind(group.as_deref());
        let rows: Vec<KnownRow> = rows.fetch_all(self.readers).await?;
        let at = |ms: Option<i64>| ms.map(Timestamp::from_ms);
        let user = |row: KnownRow| {
            let (person_id, org, union_id, name, watched, last_ok, next_poll, failing, first, groups) = row;
            KnownUser {
                person_id,
                org,
                union_id,
                name,
                watched,
                last_ok: at(last_ok),
                next_poll: at(next_poll),
                failing,
                first: at(first),
                groups: serde_json::from_str(&groups).unwrap_or_default(),
            }
        };
        Ok(rows.into_iter().map(user).collect())
    }

    /// A page of all visits, in the order they were written.
    pub async fn trace(self, after: i64) -> Result<Vec<TraceRow>, StoreError> {
        let rows: Vec<(i64, String, String, i64, Option<i64>)> =
            sqlx::query_as(TRACE).bind(after).bind(PAGE).fetch_all(self.readers).await?;
        let line =
            |(place, union_id, conference_id, joined, left): (i64, String, String, i64, Option<i64>)| {
                TraceRow {
                    place,
                    union_id,
                    conference_id,
                    joined: Timestamp::from_ms(joined),
                    left: left.map(Timestamp::from_ms),
                }
            };
        Ok(rows.into_iter().map(line).collect())
    }
}
