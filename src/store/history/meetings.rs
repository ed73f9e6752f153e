//! Meetings: a list, one that a text denotes, and who was in one.
//!
//! Guards: a meeting is known by its watched users only; the time in which users of it were not polled comes with it.
//! Deliberately not here: visits without their meeting (`super`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::{FromRow, Row, SqlitePool};

use super::query::{Filter, LONGEST_VISIT, MAX_ROWS, VisitQuery};
use super::report::{Gap, Report};
use super::rows::VisitRow;
use super::visits;
use crate::store::StoreError;
use crate::time::Timestamp;

/// The shortest end of an id that denotes a meeting.
const SHORTEST_END: usize = 4;
/// The most meetings that a text may denote before it is refused.
const FOUND: u32 = 1_000;

/// Users and visits are those of the filter. `?6` and `?7`: the first meeting of the page before.
macro_rules! meetings {
    ($which:literal) => {
        concat!(
            "SELECT m.org, m.conference_id, m.title, m.started_ms, m.ended_ms, m.basis, m.first_seen_ms, ",
            "(SELECT c.name FROM people AS c WHERE c.org = m.org AND c.union_id = m.creator_union_id) AS creator, ",
            "min(v.joined_ms) AS first_join_ms, max(v.left_ms) AS last_leave_ms, ",
            "count(DISTINCT v.person_id) AS people, ",
            "count(DISTINCT CASE WHEN v.left_ms IS NULL THEN v.person_id END) AS inside, ",
            "max(coalesce(v.left_ms, ?8) - v.joined_ms) AS longest_ms ",
            "FROM (SELECT * FROM meetings AS k WHERE ",
            $which,
            " AND (?2 IS NULL OR k.org = ?2) AND EXISTS (SELECT 1 FROM visits AS v JOIN people AS p USING (person_id) ",
            "WHERE v.conference_id = k.conference_id AND v.org = k.org AND (?1 IS NULL OR v.person_id = ?1) ",
            "AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.groups) AS g WHERE g.value = ?3)) ",
            "AND v.joined_ms < ?5 AND coalesce(v.left_ms, ?5) >= ?4) ",
            "ORDER BY k.first_seen_ms DESC, k.conference_id DESC LIMIT ?9) AS m ",
            "JOIN visits AS v ON v.conference_id = m.conference_id AND v.org = m.org ",
            "JOIN people AS p ON p.person_id = v.person_id ",
            "WHERE (?1 IS NULL OR v.person_id = ?1) ",
            "AND (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(p.groups) AS g WHERE g.value = ?3)) ",
            "GROUP BY m.org, m.conference_id ORDER BY m.first_seen_ms DESC, m.conference_id DESC"
        )
    };
}
const MEETINGS: &str = meetings!("k.first_seen_ms >= ?10 AND (k.first_seen_ms, k.conference_id) < (?6, ?7)");
const ONE: &str = meetings!("k.conference_id = ?10 AND ?6 IS NOT NULL AND ?7 IS NOT NULL");
/// The newest meetings with this id, this end of their id, or this text in their title.
const CALLED: &str = "SELECT org, conference_id, title FROM meetings \
    WHERE conference_id = ?1 OR org || '/' || conference_id = ?1 \
        OR length(?1) >= ?2 AND substr(conference_id, -length(?1)) = ?1 \
        OR title IS NOT NULL AND instr(lower(title), lower(?1)) > 0 \
    ORDER BY first_seen_ms DESC, conference_id DESC LIMIT ?3";

/// A meeting, as far as watched users were in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingRow {
    /// The organisation.
    pub org: String,
    /// The meeting.
    pub conference_id: String,
    /// The title, if known.
    pub title: Option<String>,
    /// Name of the user who created it, if watched.
    pub creator: Option<String>,
    /// When it began, as reported.
    pub started: Option<Timestamp>,
    /// When it ended, as reported.
    pub ended: Option<Timestamp>,
    /// Where title, creator and times come from: the words of `meetings.basis`.
    pub basis: String,
    /// The first join of a user.
    pub first_join: Timestamp,
    /// The last leave of a user; `None` while a user is inside.
    pub last_leave: Option<Timestamp>,
    /// Users who were in it.
    pub people: i64,
    /// Users who are in it, as far as known.
    pub inside: i64,
    /// The longest visit.
    pub longest_ms: i64,
    /// Its place in the list, for [`MeetingQuery::before`].
    pub first_seen: Timestamp,
}

/// Selects meetings.
#[derive(Clone, Debug, Default)]
pub struct MeetingQuery {
    /// Meetings that these users were in.
    pub filter: Filter,
    /// Meetings in which a visit ended at or after this, or goes on.
    pub since: Option<Timestamp>,
    /// Meetings in which a visit began before this.
    pub until: Option<Timestamp>,
    /// Meetings after this one ([`MeetingRow::first_seen`] and the id) in the order of the list: the last of the page before.
    pub before: Option<(Timestamp, String)>,
    /// The number of meetings, at most [`MAX_ROWS`].
    pub limit: u32,
}

/// Who was in a meeting, and when users of it were not polled.
#[derive(Clone, Debug)]
pub struct Attendance {
    /// The meeting.
    pub meeting: MeetingRow,
    /// The visits, by join.
    pub visits: Vec<VisitRow>,
    /// Time within the meeting in which its users were not polled, as far as that was not planned.
    pub gaps: Vec<Gap>,
}

/// Why a text denotes no meeting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeetingError {
    /// No meeting has this id or title.
    #[error("no meeting of a watched user has the id or title `{0}`")]
    NotFound(String),
    /// Several do.
    #[error("`{text}` fits {}: write more of it, or the id", several(.fits))]
    Several {
        /// As it was written.
        text: String,
        /// Titles and ids, newest first.
        fits: Vec<String>,
    },
}

fn several(fits: &[String]) -> String {
    const NAMED: usize = 5;
    let mut named: Vec<String> = fits.iter().take(NAMED).map(|one| format!("`{one}`")).collect();
    if fits.len() > NAMED {
        named.push(format!("{} more", fits.len() - NAMED));
    }
    named.join(", ")
}

/// Meetings.
#[derive(Clone, Copy, Debug)]
pub struct Meetings<'h> {
    pub(super) readers: &'h SqlitePool,
}

impl Meetings<'_> {
    /// Meetings, newest first.
    pub async fn list(self, query: &MeetingQuery, now: Timestamp) -> Result<Vec<MeetingRow>, StoreError> {
        let Filter { person_id, org, group } = &query.filter;
        let since = query.since.unwrap_or(Timestamp::from_ms(i64::MIN));
        let (before, id) = query.before.clone().unwrap_or((Timestamp::from_ms(i64::MAX), String::new()));
        let rows = sqlx::query_as(MEETINGS)
            .bind(person_id)
            .bind(org.as_deref())
            .bind(group.as_deref())
            .bind(since.as_ms())
            .bind(query.until.map_or(i64::MAX, Timestamp::as_ms))
            .bind(before.as_ms())
            .bind(id)
            .bind(now.as_ms())
            .bind(query.limit.min(MAX_ROWS))
            .bind(since.minus(LONGEST_VISIT).as_ms());
        Ok(rows.fetch_all(self.readers).await?)
    }

    /// The meetings with exactly this id, at most one for each organisation.
    pub async fn with_id(
        self,
        id: &str,
        filter: &Filter,
        now: Timestamp,
    ) -> Result<Vec<MeetingRow>, StoreError> {
        let Filter { person_id, org, group } = filter;
        let rows = sqlx::query_as(ONE)
            .bind(person_id)
            .bind(org.as_deref())
            .bind(group.as_deref())
            .bind(i64::MIN)
            .bind(i64::MAX)
            .bind(i64::MAX)
            .bind("")
            .bind(now.as_ms())
            .bind(MAX_ROWS)
            .bind(id);
        Ok(rows.fetch_all(self.readers).await?)
    }

    /// The meeting that `text` denotes: an id, the end of one (also after the `…` of a table), or a title. Of several with
    /// one title the newest. The number counts those with the title, the found one included.
    pub async fn find(
        self,
        text: &str,
        filter: &Filter,
        now: Timestamp,
    ) -> Result<Result<(MeetingRow, usize), MeetingError>, StoreError> {
        let text = text.trim().trim_start_matches('\u{2026}');
        let not_found = || MeetingError::NotFound(text.to_owned());
        if text.is_empty() {
            return Ok(Err(not_found()));
        }
        let shortest = i64::try_from(SHORTEST_END).unwrap_or(i64::MAX);
        let called = sqlx::query_as(CALLED).bind(text).bind(shortest).bind(FOUND);
        let mut called: Vec<(String, String, Option<String>)> = called.fetch_all(self.readers).await?;
        called.retain(|(org, ..)| filter.org.as_ref().is_none_or(|wanted| wanted == org));
        let of_filter = async |org: &str, id: &str| {
            let filter = Filter { org: Some(org.to_owned()), ..filter.clone() };
            Ok::<_, StoreError>(self.with_id(id, &filter, now).await?.pop())
        };
        let (mut found, mut titled): (Vec<MeetingRow>, usize) = (Vec::new(), 0);
        for is_meant in [
            |(org, id, _): &(String, String, Option<String>), text: &str| {
                id == text
                    || text.strip_suffix(id.as_str()).and_then(|org| org.strip_suffix('/')) == Some(org)
            },
            |(_, id, _): &(String, String, Option<String>), text: &str| {
                text.len() >= SHORTEST_END && id.ends_with(text)
            },
            |(.., title): &(String, String, Option<String>), text: &str| {
                title.as_ref().is_some_and(|title| title.to_lowercase() == text.to_lowercase())
            },
            |_: &(String, String, Option<String>), _: &str| true,
        ] {
            for (org, id, _) in called.iter().filter(|one| is_meant(one, text)) {
                found.extend(of_filter(org, id).await?);
            }
            if !found.is_empty() {
                titled = found.iter().filter(|one| one.title == found[0].title).count();
                break;
            }
        }
        let same = |one: &MeetingRow| one.title.is_some() && one.title == found[0].title;
        Ok(match found.as_slice() {
            [] => Err(not_found()),
            [only] => Ok((only.clone(), 1)),
            [newest, ..] if found.iter().all(same) => Ok((newest.clone(), titled)),
            _ => {
                let name = |one: &MeetingRow| one.title.clone().unwrap_or_else(|| one.conference_id.clone());
                let mut fits: Vec<String> = found.iter().map(name).collect();
                fits.dedup();
                Err(MeetingError::Several { text: text.to_owned(), fits })
            }
        })
    }

    /// Who was in a meeting that was found, by join.
    pub async fn attendance(
        self,
        meeting: MeetingRow,
        filter: &Filter,
        now: Timestamp,
    ) -> Result<Attendance, StoreError> {
        let query = VisitQuery {
            filter: Filter { org: Some(meeting.org.clone()), ..filter.clone() },
            conference_id: Some(meeting.conference_id.clone()),
            limit: MAX_ROWS,
            ..VisitQuery::default()
        };
        let visits = visits::read(self.readers, &query).await?;
        let from = meeting.started.map_or(meeting.first_join, |started| started.min(meeting.first_join));
        let until = meeting.last_leave.unwrap_or(now).max(meeting.ended.unwrap_or(from));
        let report = Report { readers: self.readers };
        let mut gaps = report.gaps(from, until).await?;
        gaps.extend(report.open_gaps(until, now).await?.into_iter().filter(|gap| gap.to > from));
        gaps.retain(|gap| {
            let concerned = |visit: &VisitRow| gap.person_id.is_none_or(|id| id == visit.person_id);
            !gap.is_planned() && gap.org == meeting.org && visits.iter().any(concerned)
        });
        Ok(Attendance { meeting, visits, gaps })
    }
}

impl FromRow<'_, sqlx::sqlite::SqliteRow> for MeetingRow {
    fn from_row(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Self> {
        let at = |column: &str| row.try_get::<Option<i64>, _>(column).map(|ms| ms.map(Timestamp::from_ms));
        let inside: i64 = row.try_get("inside")?;
        Ok(Self {
            org: row.try_get("org")?,
            conference_id: row.try_get("conference_id")?,
            title: row.try_get("title")?,
            creator: row.try_get("creator")?,
            started: at("started_ms")?,
            ended: at("ended_ms")?,
            basis: row.try_get("basis")?,
            first_join: Timestamp::from_ms(row.try_get("first_join_ms")?),
            last_leave: at("last_leave_ms")?.filter(|_| inside == 0),
            people: row.try_get("people")?,
            inside,
            longest_ms: row.try_get("longest_ms")?,
            first_seen: Timestamp::from_ms(row.try_get("first_seen_ms")?),
        })
    }
}
