//! Visits of one user, of all, or to one meeting.
//!
//! Guards: each kind of question has its own query plan. Deliberately not here: the questions (`query`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::SqlitePool;

use super::query::{Filter, LONGEST_VISIT, MAX_ROWS, VisitQuery};
use super::rows::VisitRow;
use crate::store::StoreError;
use crate::time::Timestamp;

/// Of one user, of all users, of one meeting: three constants, so that each gets its own query plan. The join of a visit
/// lies after the newest answer before it.
macro_rules! visits {
    ($which:literal) => {
        concat!(
            "SELECT v.person_id, v.org, p.union_id, p.name, v.visit_id, v.conference_id, m.title, v.ordinal, v.joined_ms, ",
            "v.join_basis, (SELECT s.last_ms FROM snapshots AS s WHERE s.person_id = v.person_id ",
            "AND s.first_ms < v.joined_ms ORDER BY s.first_ms DESC LIMIT 1) AS seen_outside_ms, ",
            "v.left_ms, v.left_reason, v.leave_basis, v.leave_earliest_ms, v.leave_latest_ms, v.role, v.external, ",
            "v.by_phone, v.device, v.nick ",
            "FROM visits AS v JOIN people AS p ON p.person_id = v.person_id ",
            "LEFT JOIN meetings AS m ON m.org = v.org AND m.conference_id = v.conference_id WHERE ",
            $which,
            " AND (?1 IS NULL OR v.person_id = ?1) AND (?2 IS NULL OR v.org = ?2) ",
            "AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.groups) AS g WHERE g.value = ?3)) ",
            "AND (?4 IS NULL OR v.conference_id = ?4) AND v.joined_ms < ?6 AND coalesce(v.left_ms, ?6) >= ?5 ",
            "AND (v.joined_ms, v.visit_id) < (?8, ?9) ORDER BY v.joined_ms DESC, v.visit_id DESC LIMIT ?10"
        )
    };
}
const VISITS_OF_USER: &str = visits!("v.person_id = ?1 AND ?7 IS NOT NULL");
const VISITS_OF_MEETING: &str = visits!("v.conference_id = ?4 AND ?7 IS NOT NULL");
pub(super) const VISITS_OF_ALL: &str = visits!("v.joined_ms >= ?7");

/// Visits, oldest first: of those that fit, the newest.
pub(super) async fn read(readers: &SqlitePool, query: &VisitQuery) -> Result<Vec<VisitRow>, StoreError> {
    let Filter { person_id, org, group } = &query.filter;
    let statement = match (person_id, &query.conference_id) {
        (_, Some(_)) => VISITS_OF_MEETING,
        (Some(_), None) => VISITS_OF_USER,
        (None, None) => VISITS_OF_ALL,
    };
    let since = query.since.unwrap_or(Timestamp::from_ms(i64::MIN));
    let (before, before_id) = query.before.clone().unwrap_or((Timestamp::from_ms(i64::MAX), String::new()));
    let mut rows: Vec<VisitRow> = sqlx::query_as(statement)
        .bind(person_id)
        .bind(org.as_deref())
        .bind(group.as_deref())
        .bind(query.conference_id.as_deref())
        .bind(since.as_ms())
        .bind(query.until.map_or(i64::MAX, Timestamp::as_ms))
        .bind(since.minus(LONGEST_VISIT).as_ms())
        .bind(before.as_ms())
        .bind(before_id)
        .bind(query.limit.min(MAX_ROWS))
        .fetch_all(readers)
        .await?;
    rows.reverse();
    Ok(rows)
}
