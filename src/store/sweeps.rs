//! What is kept of sweeps: trust, the ids they name people by, what they cost.
//!
//! Guards: an organisation's row and its people's are written together; nothing is written about somebody who was erased
//! meanwhile. Deliberately not here: what trust is (`policy::sweep`), when it is written (`tasks`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Serialize;
use sqlx::SqlitePool;

use super::bulk::bulk;
use super::history::History;
use super::{Store, StoreError};
use crate::ids::OrgName;
use crate::policy::sweep::ids::IdKind;
use crate::time::Timestamp;

const SWEEPS: &str = "\
SELECT org, agreed, needed, compared_ms, id_kind, seen, unseen, cost, swept_ms, month, calls FROM sweeps ORDER BY org";
const PEOPLE: &str = "SELECT person_id, userid, seen, unseen FROM swept_people";
const KEEP: &str = "\
INSERT OR REPLACE INTO sweeps (org, agreed, needed, compared_ms, id_kind, seen, unseen, cost, swept_ms, month, calls) \
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
/// Whoever was erased has no row in `people`, and gets none here.
const KEEP_PEOPLE: &str = "\
INSERT OR REPLACE INTO swept_people (person_id, userid, seen, unseen) \
SELECT value ->> 'person_id', value ->> 'userid', value ->> 'seen', value ->> 'unseen' FROM jsonb_each(?1) \
WHERE EXISTS (SELECT 1 FROM people WHERE person_id = value ->> 'person_id')";

/// What is kept of one organisation's sweeps.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRow {
    /// Whose.
    pub org: OrgName,
    /// Looks that agreed since the newest contradiction.
    pub agreed: u32,
    /// So many earn trust.
    pub needed: u32,
    /// The newest look that was compared with a sweep and said something.
    pub compared: Option<Timestamp>,
    /// What sweeps name people by.
    pub ids: Option<IdKind>,
    /// Visits that looks and sweeps saw, faded.
    pub seen: f64,
    /// Visits that only looks saw, faded.
    pub unseen: f64,
    /// Calls that one sweep is thought to take.
    pub cost: f64,
    /// The newest whole sweep.
    pub swept: Option<Timestamp>,
    /// `2026-11`, of `calls`.
    pub month: String,
    /// Calls of that month that sweeps took.
    pub calls: u64,
}

/// What is kept of one person.
#[derive(Clone, Debug, PartialEq)]
pub struct SweptPerson {
    /// Whose.
    pub person_id: i64,
    /// Theirs in the contacts, where it is known.
    pub userid: Option<String>,
    /// Visits that looks and sweeps saw, faded.
    pub seen: f64,
    /// Visits that only looks saw, faded.
    pub unseen: f64,
}

type Row = (String, i64, i64, Option<i64>, Option<String>, i64, i64, f64, Option<i64>, String, i64);

/// As it travels.
#[derive(Serialize)]
struct PersonRow {
    person_id: i64,
    userid: Option<String>,
    seen: i64,
    unseen: i64,
}

impl Store {
    /// Everything that is kept of sweeps.
    pub async fn sweeps(&self) -> Result<(Vec<SweepRow>, Vec<SweptPerson>), StoreError> {
        let people: Vec<(i64, Option<String>, i64, i64)> =
            sqlx::query_as(PEOPLE).fetch_all(self.readers()).await?;
        let person = |(person_id, userid, seen, unseen)| SweptPerson {
            person_id,
            userid,
            seen: visits(seen),
            unseen: visits(unseen),
        };
        Ok((rows(self.readers()).await?, people.into_iter().map(person).collect()))
    }

    /// Keeps an organisation's row, and those of some of its people.
    pub async fn keep_sweeps(&self, row: SweepRow, people: Vec<SweptPerson>) -> Result<(), StoreError> {
        let people: Vec<PersonRow> = people
            .into_iter()
            .map(|SweptPerson { person_id, userid, seen, unseen }| PersonRow {
                person_id,
                userid,
                seen: thousandths(seen),
                unseen: thousandths(unseen),
            })
            .collect();
        self.write(move |connection| {
            Box::pin(async move {
                sqlx::query(KEEP)
                    .bind(row.org.as_str())
                    .bind(row.agreed)
                    .bind(row.needed)
                    .bind(row.compared.map(Timestamp::as_ms))
                    .bind(row.ids.map(IdKind::name))
                    .bind(thousandths(row.seen))
                    .bind(thousandths(row.unseen))
                    .bind(row.cost)
                    .bind(row.swept.map(Timestamp::as_ms))
                    .bind(row.month)
                    .bind(i64::try_from(row.calls).unwrap_or(i64::MAX))
                    .execute(&mut *connection)
                    .await?;
                bulk(connection, KEEP_PEOPLE, &people).await?;
                Ok(())
            })
        })
        .await
    }
}

impl History {
    /// What is kept of each organisation's sweeps.
    pub async fn sweeps(&self) -> Result<Vec<SweepRow>, StoreError> {
        rows(self.readers()).await
    }
}

async fn rows(readers: &SqlitePool) -> Result<Vec<SweepRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(SWEEPS).fetch_all(readers).await?;
    Ok(rows.into_iter().filter_map(row).collect())
}

/// The columns have CHECKs, so nothing is ever cut off here; a name that does not parse any more is of no organisation
/// there is.
fn row(
    (org, agreed, needed, compared, ids, seen, unseen, cost, swept, month, calls): Row,
) -> Option<SweepRow> {
    Some(SweepRow {
        org: OrgName::parse(&org).ok()?,
        agreed: u32::try_from(agreed).unwrap_or(u32::MAX),
        needed: u32::try_from(needed).unwrap_or(u32::MAX),
        compared: compared.map(Timestamp::from_ms),
        ids: ids.as_deref().and_then(IdKind::named),
        seen: visits(seen),
        unseen: visits(unseen),
        cost,
        swept: swept.map(Timestamp::from_ms),
        month,
        calls: u64::try_from(calls).unwrap_or(0),
    })
}

/// Rows travel without fractions.
#[expect(clippy::cast_possible_truncation, reason = "faded counts stay below a hundred; a cast saturates")]
fn thousandths(visits: f64) -> i64 {
    (visits * 1000.0).round().max(0.0) as i64
}

#[expect(clippy::cast_precision_loss, reason = "faded counts stay below a hundred")]
fn visits(thousandths: i64) -> f64 {
    thousandths as f64 / 1000.0
}
