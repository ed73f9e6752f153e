//! Lists for the page and the API: visits of many users, meetings, gaps, polls by hour, deliveries.
//!
//! Guards: each list is in the order in which rows were written, so a cursor neither skips nor repeats a row; every answer
//! has a limit. Deliberately not here: who may see which row (`web`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::{FromRow, Row};

use super::rows::VisitRow;
use super::{History, MAX_ROWS};
use crate::store::StoreError;
use crate::time::Timestamp;

const VISITS: &str = "SELECT v.rowid AS place, v.person_id, v.org, v.visit_id, v.conference_id, v.ordinal, v.joined_ms, \
        v.join_basis, v.left_ms, v.left_reason, v.leave_basis, v.leave_earliest_ms, v.leave_latest_ms, v.role, v.external, \
        v.by_phone, v.device, v.nick FROM visits AS v \
    WHERE v.rowid > ?1 AND v.joined_ms < ?3 AND coalesce(v.left_ms, ?3) >= ?2 \
        AND (?4 IS NULL OR v.person_id IN (SELECT value FROM json_each(?4))) \
        AND (?5 IS NULL OR v.conference_id = ?5) \
    ORDER BY v.rowid LIMIT ?6 + 0";

/// The same along the index of time, for a day: no visit lasts a month.
const VISITS_BETWEEN: &str = "SELECT v.rowid AS place, v.person_id, v.org, v.visit_id, v.conference_id, v.ordinal, \
        v.joined_ms, v.join_basis, v.left_ms, v.left_reason, v.leave_basis, v.leave_earliest_ms, v.leave_latest_ms, v.role, \
        v.external, v.by_phone, v.device, v.nick FROM visits AS v \
    WHERE v.joined_ms >= ?1 - 2678400000 AND v.joined_ms < ?2 AND coalesce(v.left_ms, ?2) > ?1 \
        AND (?3 IS NULL OR v.person_id IN (SELECT value FROM json_each(?3))) ORDER BY v.joined_ms, v.rowid LIMIT ?4 + 0";

const MEETINGS: &str = "SELECT min(v.rowid) AS place, v.org, v.conference_id, min(v.joined_ms) AS first_ms, \
        CASE WHEN count(*) = count(v.left_ms) THEN max(v.left_ms) END AS last_ms, \
        count(DISTINCT v.person_id) AS people, \
        count(DISTINCT CASE WHEN v.left_ms IS NULL THEN v.person_id END) AS still_in, \
        max(coalesce(v.left_ms, ?6) - v.joined_ms) AS longest_ms FROM visits AS v \
    WHERE (?4 IS NULL OR v.person_id IN (SELECT value FROM json_each(?4))) AND v.joined_ms >= ?2 - 2678400000 \
    GROUP BY v.org, v.conference_id \
    HAVING place > ?1 AND first_ms < ?3 AND coalesce(last_ms, ?3) >= ?2 ORDER BY place LIMIT ?5 + 0";

const OPEN_GAPS: &str =
    "SELECT org, person_id, from_ms, why, error FROM open_gaps ORDER BY gap_id LIMIT ?1 + 0";

/// The polls of a folded answer are spread evenly over its hours.
const POLLS: &str = "SELECT first_ms, last_ms, polls FROM snapshots \
    WHERE last_ms >= ?1 AND first_ms < ?2 AND (?3 IS NULL OR org = ?3)";

const ERRORS: &str =
    "SELECT hour_ms, sum(errors) FROM poll_errors WHERE hour_ms >= ?1 GROUP BY hour_ms ORDER BY hour_ms";

const NEXT_POLLS: &str =
    "SELECT person_id, next_poll_ms FROM people WHERE watched = 1 AND next_poll_ms IS NOT NULL";

const NEWEST: &str = "SELECT coalesce(max(sequence), 0) FROM events";

/// Selects visits.
#[derive(Clone, Debug, Default)]
pub struct VisitQuery {
    /// Visits written after this place.
    pub after: i64,
    /// Visits that ended then or later.
    pub since: Option<Timestamp>,
    /// Visits that began before.
    pub until: Option<Timestamp>,
    /// Of these people (`Person::person_id`); `None`: of all.
    pub people: Option<Vec<i64>>,
    /// In this meeting.
    pub meeting: Option<String>,
    /// The number of visits.
    pub limit: u32,
}

/// A visit, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonVisit {
    /// The position in the order of writing.
    pub place: i64,
    /// The user.
    pub person_id: i64,
    /// The organisation.
    pub org: String,
    /// The visit.
    pub visit: VisitRow,
}

/// A meeting, as far as watched users were in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingRow {
    /// The position in the order of writing.
    pub place: i64,
    /// The organisation.
    pub org: String,
    /// DingTalk's conferenceId.
    pub conference_id: String,
    /// The first join.
    pub first: Timestamp,
    /// The last leave; `None`: a user is still in.
    pub last: Option<Timestamp>,
    /// The number of watched users who were in it.
    pub people: i64,
    /// The number of those who are in it.
    pub still_in: i64,
    /// The longest visit, in milliseconds.
    pub longest_ms: i64,
}

/// A gap that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenGapRow {
    /// The organisation.
    pub org: String,
    /// The user; `None`: all of the organisation.
    pub person_id: Option<i64>,
    /// The last good poll before it.
    pub from: Timestamp,
    /// One of the words of [`Why`](crate::store::gaps::Why).
    pub why: String,
    /// Class of the error behind it.
    pub error: Option<String>,
}

/// Ids as the JSON that statements take.
fn list(people: Option<&[i64]>) -> Option<String> {
    people.map(|ids| serde_json::json!(ids).to_string())
}

impl History {
    /// Visits, in the order in which they were written.
    pub async fn visits_of(&self, query: &VisitQuery) -> Result<Vec<PersonVisit>, StoreError> {
        let rows = sqlx::query_as(VISITS)
            .bind(query.after)
            .bind(query.since.map_or(i64::MIN, Timestamp::as_ms))
            .bind(query.until.map_or(i64::MAX, Timestamp::as_ms))
            .bind(list(query.people.as_deref()))
            .bind(query.meeting.as_deref())
            .bind(query.limit.min(MAX_ROWS));
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// Visits that overlap `[since, until)`, by their start.
    pub async fn visits_between(
        &self,
        since: Timestamp,
        until: Timestamp,
        people: Option<&[i64]>,
    ) -> Result<Vec<PersonVisit>, StoreError> {
        let rows = sqlx::query_as(VISITS_BETWEEN)
            .bind(since.as_ms())
            .bind(until.as_ms())
            .bind(list(people))
            .bind(MAX_ROWS);
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// Meetings in the order of their first visit; `query.meeting` is not used. `now`: until when open visits count.
    pub async fn meetings(&self, query: &VisitQuery, now: Timestamp) -> Result<Vec<MeetingRow>, StoreError> {
        let rows = sqlx::query_as(MEETINGS)
            .bind(query.after)
            .bind(query.since.map_or(0, Timestamp::as_ms))
            .bind(query.until.map_or(i64::MAX, Timestamp::as_ms))
            .bind(list(query.people.as_deref()))
            .bind(query.limit.min(MAX_ROWS))
            .bind(now.as_ms());
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// Gaps that go on.
    pub async fn open_gaps(&self) -> Result<Vec<OpenGapRow>, StoreError> {
        type Row = (String, Option<i64>, i64, String, Option<String>);
        let rows: Vec<Row> = sqlx::query_as(OPEN_GAPS).bind(MAX_ROWS).fetch_all(&self.readers).await?;
        let gap = |(org, person_id, from, why, error)| OpenGapRow {
            org,
            person_id,
            from: Timestamp::from_ms(from),
            why,
            error,
        };
        Ok(rows.into_iter().map(gap).collect())
    }

    /// Successful polls in each hour of `[since, until)`, by the start of the hour.
    pub async fn polls_by_hour(
        &self,
        since: Timestamp,
        until: Timestamp,
        org: Option<&str>,
    ) -> Result<Vec<f64>, StoreError> {
        let (since, until) = (since.as_ms(), until.as_ms());
        let rows: Vec<(i64, i64, i64)> =
            sqlx::query_as(POLLS).bind(since).bind(until).bind(org).fetch_all(&self.readers).await?;
        let mut hours = vec![0.0; usize::try_from((until - since).max(0) / super::HOUR_MS).unwrap_or(0)];
        for (first, last, polls) in rows {
            spread(&mut hours, since, (first, last), polls);
        }
        Ok(hours)
    }

    /// Failed polls by hour since a time: the start of the hour, and how many.
    pub async fn errors_by_hour(&self, since: Timestamp) -> Result<Vec<(i64, i64)>, StoreError> {
        Ok(sqlx::query_as(ERRORS).bind(since.as_ms()).fetch_all(&self.readers).await?)
    }

    /// When the next poll of each watched user is due, by `Person::person_id`.
    pub async fn next_polls(&self) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(NEXT_POLLS).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|(person, ms)| (person, Timestamp::from_ms(ms))).collect())
    }

    /// The highest sequence of an event; 0 without events.
    pub async fn newest_sequence(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(NEWEST).fetch_one(&self.readers).await?)
    }
}

/// Adds `polls` to the hours between `first` and `last`, by the share of the time in each.
#[expect(clippy::cast_precision_loss, reason = "counts and hours are far below 2^52")]
fn spread(hours: &mut [f64], since: i64, (first, last): (i64, i64), polls: i64) {
    let hour_at = |ms: i64| usize::try_from((ms - since).div_euclid(super::HOUR_MS)).ok();
    if last <= first {
        if let Some(hour) = hour_at(first).and_then(|at| hours.get_mut(at)) {
            *hour += polls as f64;
        }
        return;
    }
    let start = hour_at(first.max(since)).unwrap_or(0);
    for (at, hour) in hours.iter_mut().enumerate().skip(start) {
        let from = since + i64::try_from(at).unwrap_or(i64::MAX) * super::HOUR_MS;
        if from > last {
            break;
        }
        let overlap = last.min(from + super::HOUR_MS) - first.max(from);
        *hour += polls as f64 * overlap.max(0) as f64 / (last - first) as f64;
    }
}

type Stored = sqlx::sqlite::SqliteRow;

impl FromRow<'_, Stored> for PersonVisit {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        Ok(Self {
            place: row.try_get("place")?,
            person_id: row.try_get("person_id")?,
            org: row.try_get("org")?,
            visit: VisitRow::from_row(row)?,
        })
    }
}

impl FromRow<'_, Stored> for MeetingRow {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        Ok(Self {
            place: row.try_get("place")?,
            org: row.try_get("org")?,
            conference_id: row.try_get("conference_id")?,
            first: Timestamp::from_ms(row.try_get("first_ms")?),
            last: row.try_get::<Option<i64>, _>("last_ms")?.map(Timestamp::from_ms),
            people: row.try_get("people")?,
            still_in: row.try_get("still_in")?,
            longest_ms: row.try_get("longest_ms")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_of_a_folded_answer_are_spread_over_its_hours() {
        let mut hours = [0.0; 3];
        let hour = super::super::HOUR_MS;
        spread(&mut hours, 0, (hour / 2, 2 * hour + hour / 2), 8);
        assert_eq!(hours, [2.0, 4.0, 2.0]);
        spread(&mut hours, 0, (-hour, hour), 2);
        assert_eq!(hours, [3.0, 4.0, 2.0]);
        spread(&mut hours, 0, (hour, hour), 1);
        spread(&mut hours, 0, (9 * hour, 9 * hour), 1);
        assert_eq!(hours, [3.0, 5.0, 2.0]);
    }
}
