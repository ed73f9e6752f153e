//! Erasing the rows of a person, in the database or in a copy of any release.
//!
//! Guards: afterwards no text of any table names the person; otherwise nothing is erased. Deliberately not here: copies
//! and the file itself (`forget`), the list of erasures (`erasures`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::{BTreeMap, HashSet};

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{StoreError, erase_titles};
use crate::ids::Identity;

const WHO: &str = "SELECT person_id FROM people WHERE org = ?1 AND union_id = ?2";
/// Overwrites also what is freed in the middle of a page, at any cost.
const WIPE: &str = "PRAGMA secure_delete = ON";
/// In this order, so that no foreign key deletes rows implicitly and every table is counted.
const ERASE: [(&str, &str); 12] = [
    (
        "attempts",
        "DELETE FROM attempts WHERE delivery_id IN (SELECT d.delivery_id FROM deliveries AS d \
            WHERE d.person_id = ?1 OR d.sequence IN (SELECT sequence FROM events WHERE person_id = ?1))",
    ),
    ("deliveries", "DELETE FROM deliveries WHERE person_id = ?1"),
    (
        "deliveries",
        "DELETE FROM deliveries WHERE sequence IN (SELECT sequence FROM events WHERE person_id = ?1)",
    ),
    ("lanes", "DELETE FROM lanes WHERE person_id = ?1"),
    ("events", "DELETE FROM events WHERE person_id = ?1"),
    // Meetings in which no other watched user was.
    (
        "meetings",
        "DELETE FROM meetings WHERE (org, conference_id) IN (SELECT org, conference_id FROM visits WHERE person_id = ?1) \
            AND NOT EXISTS (SELECT 1 FROM visits AS v WHERE v.conference_id = meetings.conference_id \
                AND v.org = meetings.org AND v.person_id <> ?1)",
    ),
    ("visits", "DELETE FROM visits WHERE person_id = ?1"),
    ("snapshots", "DELETE FROM snapshots WHERE person_id = ?1"),
    ("gaps", "DELETE FROM gaps WHERE person_id = ?1"),
    ("poll_errors", "DELETE FROM poll_errors WHERE person_id = ?1"),
    ("swept_people", "DELETE FROM swept_people WHERE person_id = ?1"),
    ("people", "DELETE FROM people WHERE person_id = ?1"),
];
const TABLES: &str = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'";
const TEXTS: &str = "SELECT t.name, c.name FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c \
    WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND c.type = 'TEXT'";

/// Deletes the rows inside the caller's transaction; returns the person's id and the number of deleted rows by table.
pub(super) async fn erase(
    connection: &mut SqliteConnection,
    who: &Identity,
) -> Result<(i64, BTreeMap<String, u64>), StoreError> {
    let known: Option<i64> = sqlx::query_scalar(WHO)
        .bind(who.org.as_str())
        .bind(who.union_id.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(person_id) = known else { return Err(StoreError::NoPerson { person_id: 0 }) };
    sqlx::query(WIPE).execute(&mut *connection).await?;
    let mut rows = BTreeMap::new();
    // A copy of an older release lacks the newest tables.
    let there: HashSet<String> =
        sqlx::query_scalar::<_, String>(TABLES).fetch_all(&mut *connection).await?.into_iter().collect();
    if there.contains("meetings") {
        erase_titles::erase(connection, who, person_id).await?;
    }
    for (table, statement) in ERASE.into_iter().filter(|(table, _)| there.contains(*table)) {
        let gone = sqlx::query(statement).bind(person_id).execute(&mut *connection).await?;
        *rows.entry(table.to_owned()).or_default() += gone.rows_affected();
    }
    refuse_leftovers(connection, who).await?;
    Ok((person_id, rows))
}

/// Fails if a text column of any table still names the person, so a new table that is missing in `ERASE` fails its
/// first test.
async fn refuse_leftovers(connection: &mut SqliteConnection, who: &Identity) -> Result<(), StoreError> {
    let texts: Vec<(String, String)> = sqlx::query_as(TEXTS).fetch_all(&mut *connection).await?;
    for (table, column) in texts {
        // The same person may be watched in another organisation, which counts as another user here.
        let others = match table.as_str() {
            "people" => " AND 0",
            "meetings" => " AND org = ?2",
            "events" | "snapshots" => {
                " AND person_id NOT IN (SELECT person_id FROM people WHERE union_id = ?1)"
            }
            _ => "",
        };
        // The names come from the schema and are quoted.
        let sql = format!("SELECT count(*) FROM \"{table}\" WHERE instr(\"{column}\", ?1) > 0{others}");
        let count = sqlx::query_scalar(AssertSqlSafe(sql)).bind(who.union_id.as_str()).bind(who.org.as_str());
        let left: i64 = count.fetch_one(&mut *connection).await?;
        if left > 0 {
            return Err(StoreError::Corrupt {
                table: "forgotten",
                row: format!("{table}.{column}"),
                what: format!("{left} rows still name the person, so nothing was erased"),
            });
        }
    }
    Ok(())
}
