//! What a report and a trace are made from: everybody's stays, when nobody looked, since when who is known.
//!
//! Guards: what it gives covers the whole time asked for; nothing is added up here. Deliberately not here: days and
//! hours (`cli::report`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::time::Duration;

use super::History;
use crate::store::StoreError;
use crate::time::Timestamp;

/// A stay that began longer before is not looked for: no meeting lasts a month.
const LONGEST_STAY: Duration = Duration::from_hours(24 * 31);
/// A page of a trace.
const PAGE: i64 = 10_000;

const STAYS: &str = "SELECT person_id, conference_id, joined_ms, left_ms FROM visits \
    WHERE joined_ms >= ?1 AND joined_ms < ?3 AND coalesce(left_ms, ?3) > ?2 ORDER BY joined_ms, rowid";
const GAPS: &str = "SELECT org, person_id, from_ms, to_ms, why FROM gaps \
    WHERE from_ms < ?2 AND to_ms > ?1 ORDER BY from_ms, gap_id";
const KNOWN: &str = "SELECT p.person_id, p.org, p.union_id, p.name, p.watched, p.last_ok_ms, p.next_poll_ms, \
    coalesce(p.last_error_ms > p.last_ok_ms, 0), \
    (SELECT min(at) FROM (SELECT min(s.first_ms) AS at FROM snapshots AS s WHERE s.person_id = p.person_id \
        UNION ALL SELECT min(v.joined_ms) FROM visits AS v WHERE v.person_id = p.person_id)) \
    FROM people AS p ORDER BY p.name, p.org, p.union_id";
const TRACE: &str = "SELECT v.rowid, p.union_id, v.conference_id, v.joined_ms, v.left_ms \
    FROM visits AS v JOIN people AS p USING (person_id) WHERE v.rowid > ?1 ORDER BY v.rowid LIMIT ?2";

/// A stay of anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Whose.
    pub person_id: i64,
    /// The meeting.
    pub conference_id: String,
    /// Since when.
    pub joined: Timestamp,
    /// `None`: still in, as far as known.
    pub left: Option<Timestamp>,
}

/// A stretch of time in which nobody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The organisation.
    pub org: String,
    /// `None`: at nobody of the organisation.
    pub person_id: Option<i64>,
    /// The last look before.
    pub from: Timestamp,
    /// The first look after.
    pub to: Timestamp,
    /// Why.
    pub why: String,
}

/// Somebody, and between when they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The row.
    pub person_id: i64,
    /// The organisation.
    pub org: String,
    /// Who.
    pub union_id: String,
    /// By the config.
    pub name: String,
    /// Still on the list.
    pub watched: bool,
    /// The newest good look.
    pub last_ok: Option<Timestamp>,
    /// When the next one is due.
    pub next_poll: Option<Timestamp>,
    /// The newest look was not good.
    pub failing: bool,
    /// The first that is still known of them.
    pub first: Option<Timestamp>,
}

/// A line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// Where to go on: a page's last one is the next page's `after`.
    pub place: i64,
    /// The unionId.
    pub union_id: String,
    /// The meeting.
    pub conference_id: String,
    /// Since when.
    pub joined: Timestamp,
    /// `None`: still in.
    pub left: Option<Timestamp>,
}

type KnownRow = (i64, String, String, String, bool, Option<i64>, Option<i64>, bool, Option<i64>);

impl History {
    /// Everybody's stays that touch `[since, until)`, by their begin.
    pub async fn stays(&self, since: Timestamp, until: Timestamp) -> Result<Vec<Stay>, StoreError> {
        let rows: Vec<(i64, String, i64, Option<i64>)> = sqlx::query_as(STAYS)
            .bind(since.minus(LONGEST_STAY).as_ms())
            .bind(since.as_ms())
            .bind(until.as_ms())
            .fetch_all(&self.readers)
            .await?;
        let stay = |(person_id, conference_id, joined, left): (i64, String, i64, Option<i64>)| Stay {
            person_id,
            conference_id,
            joined: Timestamp::from_ms(joined),
            left: left.map(Timestamp::from_ms),
        };
        Ok(rows.into_iter().map(stay).collect())
    }

    /// The gaps that touch `[since, until)`, by their begin.
    pub async fn gaps(&self, since: Timestamp, until: Timestamp) -> Result<Vec<Gap>, StoreError> {
        let rows: Vec<(String, Option<i64>, i64, i64, String)> =
            sqlx::query_as(GAPS).bind(since.as_ms()).bind(until.as_ms()).fetch_all(&self.readers).await?;
        let gap = |(org, person_id, from, to, why): (String, Option<i64>, i64, i64, String)| Gap {
            org,
            person_id,
            from: Timestamp::from_ms(from),
            to: Timestamp::from_ms(to),
            why,
        };
        Ok(rows.into_iter().map(gap).collect())
    }

    /// Everybody ever watched, by name, and between when they are known.
    pub async fn known(&self) -> Result<Vec<Known>, StoreError> {
        let rows: Vec<KnownRow> = sqlx::query_as(KNOWN).fetch_all(&self.readers).await?;
        let at = |ms: Option<i64>| ms.map(Timestamp::from_ms);
        let known = |row: KnownRow| {
            let (person_id, org, union_id, name, watched, last_ok, next_poll, failing, first) = row;
            Known {
                person_id,
                org,
                union_id,
                name,
                watched,
                last_ok: at(last_ok),
                next_poll: at(next_poll),
                failing,
                first: at(first),
            }
        };
        Ok(rows.into_iter().map(known).collect())
    }

    /// A page of all stays there are, in the order they were written.
    pub async fn trace(&self, after: i64) -> Result<Vec<Trail>, StoreError> {
        let rows: Vec<(i64, String, String, i64, Option<i64>)> =
            sqlx::query_as(TRACE).bind(after).bind(PAGE).fetch_all(&self.readers).await?;
        let trail =
            |(place, union_id, conference_id, joined, left): (i64, String, String, i64, Option<i64>)| Trail {
                place,
                union_id,
                conference_id,
                joined: Timestamp::from_ms(joined),
                left: left.map(Timestamp::from_ms),
            };
        Ok(rows.into_iter().map(trail).collect())
    }
}
