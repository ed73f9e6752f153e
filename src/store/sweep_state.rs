//! The stored state of sweeps: agreements with polls, the kind of ids, costs.
//!
//! Guards: the row of an organisation and those of its users are written together; an erased user gets no row.
//! Deliberately not here: the decision to trust sweeps (`policy::sweep`), when the state is written (`tasks`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Serialize;
use sqlx::SqlitePool;

use super::StoreError;
use super::bulk::bulk;
use super::database::Database;
use crate::ids::OrgName;
use crate::policy::sweep::ids::IdKind;
use crate::time::Timestamp;

const SWEEPS: &str = "\
SELECT org, agreed, needed, compared_ms, id_kind, seen, unseen, cost, swept_ms, month, calls FROM sweeps ORDER BY org";
const PEOPLE: &str = "SELECT person_id, userid, seen, unseen FROM swept_people";
const SAVE: &str = "\
INSERT OR REPLACE INTO sweeps (org, agreed, needed, compared_ms, id_kind, seen, unseen, cost, swept_ms, month, calls) \
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
/// An erased user has no row in `people` and gets none here.
const SAVE_USERS: &str = "\
INSERT OR REPLACE INTO swept_people (person_id, userid, seen, unseen) \
SELECT value ->> 'person_id', value ->> 'userid', value ->> 'seen', value ->> 'unseen' FROM jsonb_each(?1) \
WHERE EXISTS (SELECT 1 FROM people WHERE person_id = value ->> 'person_id')";

/// The stored sweep state of one organisation.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRow {
    pub org: OrgName,
    /// Polls that agreed with sweeps since the newest contradiction.
    pub agreed: u32,
    /// Agreements needed before sweeps are trusted.
    pub needed: u32,
    /// Time of the newest poll that was compared with a sweep.
    pub compared: Option<Timestamp>,
    /// The kind of id by which sweeps name users.
    pub ids: Option<IdKind>,
    /// Visits that polls and sweeps saw, with old ones faded.
    pub seen: f64,
    /// Visits that only polls saw, with old ones faded.
    pub unseen: f64,
    /// Estimated calls of one sweep.
    pub cost: f64,
    /// Time of the newest complete sweep.
    pub swept: Option<Timestamp>,
    /// The month of `calls`, such as `2026-11`.
    pub month: String,
    /// Calls of sweeps in that month.
    pub calls: u64,
}

/// The stored sweep state of one user.
#[derive(Clone, Debug, PartialEq)]
pub struct SweptPerson {
    pub person_id: i64,
    /// The userid in the contacts, if known.
    pub userid: Option<String>,
    /// Visits that polls and sweeps saw, with old ones faded.
    pub seen: f64,
    /// Visits that only polls saw, with old ones faded.
    pub unseen: f64,
}

type Row = (String, i64, i64, Option<i64>, Option<String>, i64, i64, f64, Option<i64>, String, i64);

/// The row in JSON.
#[derive(Serialize)]
struct PersonRow {
    person_id: i64,
    userid: Option<String>,
    seen: i64,
    unseen: i64,
}

/// What the poller learned of sweeps.
#[derive(Clone, Copy, Debug)]
pub struct SweepStates<'s> {
    pub(super) database: &'s Database,
}

impl SweepStates<'_> {
    /// Reads the state of all organisations and users.
    pub async fn load(self) -> Result<(Vec<SweepRow>, Vec<SweptPerson>), StoreError> {
        let people: Vec<(i64, Option<String>, i64, i64)> =
            sqlx::query_as(PEOPLE).fetch_all(&self.database.readers).await?;
        let person = |(person_id, userid, seen, unseen)| SweptPerson {
            person_id,
            userid,
            seen: visits(seen),
            unseen: visits(unseen),
        };
        Ok((rows(&self.database.readers).await?, people.into_iter().map(person).collect()))
    }

    /// Writes the state of an organisation and of some of its users.
    pub async fn save(self, row: SweepRow, people: Vec<SweptPerson>) -> Result<(), StoreError> {
        let people: Vec<PersonRow> = people
            .into_iter()
            .map(|SweptPerson { person_id, userid, seen, unseen }| PersonRow {
                person_id,
                userid,
                seen: thousandths(seen),
                unseen: thousandths(unseen),
            })
            .collect();
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(SAVE)
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
                    bulk(connection, SAVE_USERS, &people).await?;
                    Ok(())
                })
            })
            .await
    }
}

pub(super) async fn rows(readers: &SqlitePool) -> Result<Vec<SweepRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(SWEEPS).fetch_all(readers).await?;
    Ok(rows.into_iter().filter_map(row).collect())
}

/// The columns have CHECKs, so no value is truncated here; a name that cannot be parsed belongs to no configured
/// organisation.
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

/// Rows in JSON have no fractions.
#[expect(clippy::cast_possible_truncation, reason = "faded counts stay below a hundred; a cast saturates")]
fn thousandths(visits: f64) -> i64 {
    (visits * 1000.0).round().max(0.0) as i64
}

#[expect(clippy::cast_precision_loss, reason = "faded counts stay below a hundred")]
fn visits(thousandths: i64) -> f64 {
    thousandths as f64 / 1000.0
}
