//! Lists for the page and the API: visits and meetings of any set of users, polls by hour.
//!
//! Guards: each list is in the order in which rows were written, so a cursor neither skips nor repeats a row; every answer
//! has a limit. Deliberately not here: who may see which row (`web`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::{FromRow, Row, SqlitePool};

use super::History;
use super::meetings::MeetingRow;
use super::query::MAX_ROWS;
use super::rows::VisitRow;
use crate::store::StoreError;
use crate::time::Timestamp;

const VISITS: &str = "SELECT v.rowid AS place, v.person_id, v.org, p.union_id, p.name, v.visit_id, v.conference_id, \
        m.title, v.ordinal, v.joined_ms, v.join_basis, NULL AS seen_outside_ms, v.left_ms, v.left_reason, v.leave_basis, \
        v.leave_earliest_ms, v.leave_latest_ms, v.role, v.external, v.by_phone, v.device, v.nick \
    FROM visits AS v JOIN people AS p USING (person_id) \
        LEFT JOIN meetings AS m ON m.org = v.org AND m.conference_id = v.conference_id \
    WHERE v.rowid > ?1 AND v.joined_ms < ?3 AND coalesce(v.left_ms, ?3) >= ?2 \
        AND (?4 IS NULL OR v.person_id IN (SELECT value FROM json_each(?4))) \
        AND (?5 IS NULL OR v.conference_id = ?5) \
    ORDER BY v.rowid LIMIT ?6 + 0";

const MEETINGS: &str = "SELECT f.place, f.org, f.conference_id, m.title, m.started_ms, m.ended_ms, \
        coalesce(m.basis, 'visits') AS basis, f.first_join_ms AS first_seen_ms, \
        (SELECT c.name FROM people AS c WHERE c.org = m.org AND c.union_id = m.creator_union_id) AS creator, \
        f.first_join_ms, f.last_leave_ms, f.people, f.inside, f.longest_ms \
    FROM (SELECT min(v.rowid) AS place, v.org, v.conference_id, min(v.joined_ms) AS first_join_ms, \
            max(v.left_ms) AS last_leave_ms, count(DISTINCT v.person_id) AS people, \
            count(DISTINCT CASE WHEN v.left_ms IS NULL THEN v.person_id END) AS inside, \
            max(coalesce(v.left_ms, ?6) - v.joined_ms) AS longest_ms, \
            max(coalesce(v.left_ms, ?3)) AS end_ms FROM visits AS v \
        WHERE (?4 IS NULL OR v.person_id IN (SELECT value FROM json_each(?4))) AND v.joined_ms >= ?2 - 2678400000 \
        GROUP BY v.org, v.conference_id \
        HAVING place > ?1 AND first_join_ms < ?3 AND end_ms >= ?2 ORDER BY place LIMIT ?5 + 0) AS f \
    LEFT JOIN meetings AS m ON m.org = f.org AND m.conference_id = f.conference_id ORDER BY f.place";

/// The polls of a folded answer are spread evenly over its hours.
const POLLS: &str = "SELECT first_ms, last_ms, polls FROM snapshots \
    WHERE last_ms >= ?1 AND first_ms < ?2 AND (?3 IS NULL OR org = ?3)";

const ERRORS: &str =
    "SELECT hour_ms, sum(errors) FROM poll_errors WHERE hour_ms >= ?1 GROUP BY hour_ms ORDER BY hour_ms";

const NEWEST: &str = "SELECT coalesce(max(sequence), 0) FROM events";

const HOUR_MS: i64 = 3_600_000;

/// Selects visits or meetings.
#[derive(Clone, Debug, Default)]
pub struct PlaceQuery {
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

/// A row, and its position in the order of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The position.
    pub place: i64,
    /// The row.
    pub row: T,
}

/// Ids as the JSON that statements take.
fn list(people: Option<&[i64]>) -> Option<String> {
    people.map(|ids| serde_json::json!(ids).to_string())
}

/// Lists for the page and the API.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'h> {
    readers: &'h SqlitePool,
}

impl<'h> Lists<'h> {
    /// Over the connections of a history.
    pub fn of(history: &'h History) -> Self {
        Self { readers: &history.readers }
    }

    /// Visits, in the order in which they were written. The bounds of their joins are not read.
    pub async fn placed_visits(self, query: &PlaceQuery) -> Result<Vec<Placed<VisitRow>>, StoreError> {
        let rows = sqlx::query_as(VISITS)
            .bind(query.after)
            .bind(query.since.map_or(i64::MIN, Timestamp::as_ms))
            .bind(query.until.map_or(i64::MAX, Timestamp::as_ms))
            .bind(list(query.people.as_deref()))
            .bind(query.meeting.as_deref())
            .bind(query.limit.min(MAX_ROWS));
        Ok(rows.fetch_all(self.readers).await?)
    }

    /// Meetings in the order of their first visit; `query.meeting` is not used. `now`: until when open visits count.
    pub async fn placed_meetings(
        self,
        query: &PlaceQuery,
        now: Timestamp,
    ) -> Result<Vec<Placed<MeetingRow>>, StoreError> {
        let rows = sqlx::query_as(MEETINGS)
            .bind(query.after)
            .bind(query.since.map_or(0, Timestamp::as_ms))
            .bind(query.until.map_or(i64::MAX, Timestamp::as_ms))
            .bind(list(query.people.as_deref()))
            .bind(query.limit.min(MAX_ROWS))
            .bind(now.as_ms());
        Ok(rows.fetch_all(self.readers).await?)
    }

    /// Successful polls in each hour of `[since, until)`, by the start of the hour.
    pub async fn polls_by_hour(
        self,
        since: Timestamp,
        until: Timestamp,
        org: Option<&str>,
    ) -> Result<Vec<f64>, StoreError> {
        let (since, until) = (since.as_ms(), until.as_ms());
        let rows: Vec<(i64, i64, i64)> =
            sqlx::query_as(POLLS).bind(since).bind(until).bind(org).fetch_all(self.readers).await?;
        let mut hours = vec![0.0; usize::try_from((until - since).max(0) / HOUR_MS).unwrap_or(0)];
        for (first, last, polls) in rows {
            spread(&mut hours, since, (first, last), polls);
        }
        Ok(hours)
    }

    /// Failed polls by hour since a time: the start of the hour, and how many.
    pub async fn errors_by_hour(self, since: Timestamp) -> Result<Vec<(i64, i64)>, StoreError> {
        Ok(sqlx::query_as(ERRORS).bind(since.as_ms()).fetch_all(self.readers).await?)
    }

    /// The highest sequence of an event; 0 without events.
    pub async fn newest_sequence(self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(NEWEST).fetch_one(self.readers).await?)
    }
}

/// Adds `polls` to the hours between `first` and `last`, by the share of the time in each.
#[expect(clippy::cast_precision_loss, reason = "counts and hours are far below 2^52")]
fn spread(hours: &mut [f64], since: i64, (first, last): (i64, i64), polls: i64) {
    let hour_at = |ms: i64| usize::try_from((ms - since).div_euclid(HOUR_MS)).ok();
    if last <= first {
        if let Some(hour) = hour_at(first).and_then(|at| hours.get_mut(at)) {
            *hour += polls as f64;
        }
        return;
    }
    let start = hour_at(first.max(since)).unwrap_or(0);
    for (at, hour) in hours.iter_mut().enumerate().skip(start) {
        let from = since + i64::try_from(at).unwrap_or(i64::MAX) * HOUR_MS;
        if from > last {
            break;
        }
        let overlap = last.min(from + HOUR_MS) - first.max(from);
        *hour += polls as f64 * overlap.max(0) as f64 / (last - first) as f64;
    }
}

type Stored = sqlx::sqlite::SqliteRow;

impl<T: for<'r> FromRow<'r, Stored>> FromRow<'_, Stored> for Placed<T> {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        Ok(Self { place: row.try_get("place")?, row: T::from_row(row)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_of_a_folded_answer_are_spread_over_its_hours() {
        let tenths = |hours: &[f64]| hours.iter().map(|hour| format!("{hour:.1}")).collect::<Vec<_>>();
        let mut hours = [0.0; 3];
        let hour = HOUR_MS;
        spread(&mut hours, 0, (hour / 2, 2 * hour + hour / 2), 8);
        assert_eq!(tenths(&hours), ["2.0", "4.0", "2.0"]);
        spread(&mut hours, 0, (-hour, hour), 2);
        assert_eq!(tenths(&hours), ["3.0", "4.0", "2.0"]);
        spread(&mut hours, 0, (hour, hour), 1);
        spread(&mut hours, 0, (9 * hour, 9 * hour), 1);
        assert_eq!(tenths(&hours), ["3.0", "5.0", "2.0"]);
    }
}
