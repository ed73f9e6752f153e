//! Erasing a person: every row, every stored body, every copy that is managed here.
//!
//! Guards: afterwards the file, its WAL and the managed backups do not hold one byte of the person's id or nick; that it
//! happened is kept (`erasures`), so that neither the next poll nor an older copy brings the person back; a copy that
//! cannot be cleaned now is named, and nothing is erased. Deliberately not here: who is meant (`history::who`); copies
//! made elsewhere.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::erasures::{self, Erasure};
use super::{Store, StoreError, backup, beside, check, connection};
use crate::ids::Identity;
use crate::time::Timestamp;

const WHO: &str = "SELECT person_id FROM people WHERE org = ?1 AND union_id = ?2";
/// Also what is freed in the middle of a page is overwritten, whatever that costs.
const WIPE: &str = "PRAGMA secure_delete = ON";
const WIPE_NO_MORE: &str = "PRAGMA secure_delete = FAST";
/// In this order, so that no foreign key does the work unseen and every table is counted.
const ERASE: [(&str, &str); 10] = [
    ("deliveries", "DELETE FROM deliveries WHERE person_id = ?1"),
    (
        "deliveries",
        "DELETE FROM deliveries WHERE sequence IN (SELECT sequence FROM events WHERE person_id = ?1)",
    ),
    ("lanes", "DELETE FROM lanes WHERE person_id = ?1"),
    ("events", "DELETE FROM events WHERE person_id = ?1"),
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
const TOMBSTONES: &str = "SELECT forgotten_id, org, salt, hash FROM forgotten WHERE lifted_ms IS NULL";
const LIFT: &str =
    "UPDATE forgotten SET lifted_ms = ?2 WHERE forgotten_id IN (SELECT value FROM json_each(?1))";
/// A file that was built anew has no page with an old row's remains between its rows.
const REBUILD: &str = "VACUUM";
const EMPTY_WAL: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// How often a copy is tried that another program has open; each try waits a second for it.
const TRIES: u32 = 5;

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Rows, by table.
    pub rows: BTreeMap<String, u64>,
    /// Backups the person was in, and is not any more; what a restore set aside is one, too.
    pub backups: Vec<PathBuf>,
    /// Backups that could not be cleaned, and were removed: they were damaged, or of another version.
    pub removed_backups: Vec<PathBuf>,
    /// Another program was reading, and the WAL could not be emptied: what went may stand in there until the next stop.
    pub wal_in_use: bool,
}

/// Rows of people who were erased since the start: whoever still has one in memory should drop it.
#[derive(Debug, Default)]
pub(super) struct Erased(Mutex<HashSet<i64>>);

impl Store {
    /// Erases a person here and in the backups of `backup_dir`. Copies come first: while one of them cannot be cleaned the
    /// database keeps the person, so that the same command can be repeated. The deletion is one transaction; the file is
    /// built anew after it, which takes the writer seconds when there are hundreds of megabytes.
    pub async fn forget(
        &self,
        who: &Identity,
        backup_dir: Option<&Path>,
        now: Timestamp,
    ) -> Result<Forgotten, StoreError> {
        // A copy under way would be named after this has listed the copies.
        let _no_copy = self.inner.copying.lock().await;
        let erasure = Erasure::new(who, now);
        let mut forgotten = Forgotten::default();
        forget_in_copies(backup::all(self.path(), backup_dir)?, who, &erasure, &mut forgotten).await?;
        let identity = who.clone();
        let (person_id, rows) = self
            .write(move |connection| {
                Box::pin(async move {
                    let erased = erase(connection, &identity).await?;
                    erasure.remember(connection).await?;
                    Ok(erased)
                })
            })
            .await?;
        forgotten.rows = rows;
        self.inner.erased.0.lock().unwrap_or_else(PoisonError::into_inner).insert(person_id);
        forgotten.wal_in_use = self.write_apart(|connection| Box::pin(scrub(connection))).await?;
        Ok(forgotten)
    }

    /// Whether the person of this row was erased since the start.
    pub fn is_erased(&self, person_id: i64) -> bool {
        self.inner.erased.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&person_id)
    }

    /// Who of a watch list was forgotten and may not be watched; to be asked with the whole list at each start and reload.
    ///
    /// An erasure whose person is not on the list is lifted: a person who is put on the list again later was put there on
    /// purpose. It is kept all the same, for older copies.
    pub async fn forgotten_of(
        &self,
        list: Vec<Identity>,
        now: Timestamp,
    ) -> Result<HashSet<Identity>, StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                let stones: Vec<(i64, String, String, String)> =
                    sqlx::query_as(TOMBSTONES).fetch_all(&mut *connection).await?;
                let (mut buried, mut lifted) = (HashSet::new(), Vec::new());
                for (id, org, salt, hash) in stones {
                    match erasures::find(&list, (&org, &salt, &hash)) {
                        Some(who) => drop(buried.insert(who.clone())),
                        None => lifted.push(id),
                    }
                }
                if !lifted.is_empty() {
                    let lifted = serde_json::to_string(&lifted)?;
                    sqlx::query(LIFT).bind(lifted).bind(now.as_ms()).execute(connection).await?;
                }
                Ok(buried)
            })
        })
        .await
    }
}

/// Deletes inside the caller's transaction; gives the person's row and how many rows went, by table.
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
    // A copy of an older release lacks the newest of them.
    let there: HashSet<String> =
        sqlx::query_scalar::<_, String>(TABLES).fetch_all(&mut *connection).await?.into_iter().collect();
    for (table, statement) in ERASE.into_iter().filter(|(table, _)| there.contains(*table)) {
        let gone = sqlx::query(statement).bind(person_id).execute(&mut *connection).await?;
        *rows.entry(table.to_owned()).or_default() += gone.rows_affected();
    }
    refuse_leftovers(connection, who.union_id.as_str()).await?;
    Ok((person_id, rows))
}

/// Looks through every text of every table: a table that somebody adds and forgets here is found by its first test.
async fn refuse_leftovers(connection: &mut SqliteConnection, union_id: &str) -> Result<(), StoreError> {
    let texts: Vec<(String, String)> = sqlx::query_as(TEXTS).fetch_all(&mut *connection).await?;
    for (table, column) in texts {
        // The same person may be watched in another organisation, which is somebody else here.
        let others = match table.as_str() {
            "people" => " AND 0",
            "events" | "snapshots" => {
                " AND person_id NOT IN (SELECT person_id FROM people WHERE union_id = ?1)"
            }
            _ => "",
        };
        // Names from the schema itself, quoted.
        let sql = format!("SELECT count(*) FROM \"{table}\" WHERE instr(\"{column}\", ?1) > 0{others}");
        let left: i64 =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(union_id).fetch_one(&mut *connection).await?;
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

/// Builds the file anew and empties the WAL; gives whether a reader kept the WAL from being emptied.
async fn scrub(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    sqlx::query(EMPTY_WAL).execute(&mut *connection).await?;
    sqlx::query(REBUILD).execute(&mut *connection).await?;
    let (busy, ..): (i64, i64, i64) = sqlx::query_as(EMPTY_WAL).fetch_one(&mut *connection).await?;
    sqlx::query(WIPE_NO_MORE).execute(connection).await?;
    Ok(busy != 0)
}

/// Cleans each copy; removes one that is damaged, because nothing can be erased from it. Any other error ends it.
async fn forget_in_copies(
    copies: Vec<PathBuf>,
    who: &Identity,
    erasure: &Erasure,
    forgotten: &mut Forgotten,
) -> Result<(), StoreError> {
    for path in copies {
        let mut tries = 1;
        let cleaned = loop {
            match forget_in_copy(&path, who, erasure).await {
                Err(error) if error.is_busy() && tries < TRIES => tries += 1,
                cleaned => break cleaned,
            }
        };
        match cleaned {
            Ok(true) => forgotten.backups.push(path),
            Ok(false) => {}
            Err(error) if check::is_ruined(&error) => {
                tracing::warn!(path = %path.display(), %error, "a damaged backup cannot be cleaned and is removed");
                std::fs::remove_file(&path).map_err(|error| StoreError::file("remove", &path, error))?;
                forgotten.removed_backups.push(path);
            }
            Err(error) => return Err(StoreError::Copy { path, error: Box::new(error) }),
        }
    }
    Ok(())
}

/// Erases a person in a copy; gives whether there was anything.
async fn forget_in_copy(path: &Path, who: &Identity, erasure: &Erasure) -> Result<bool, StoreError> {
    beside::require_plain(path)?;
    let mut connection = connection::connect_copy(path).await?;
    let erased = async {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        match erase(&mut transaction, who).await {
            Ok(_) => {
                erasure.remember(&mut transaction).await?;
                transaction.commit().await?;
            }
            Err(StoreError::NoPerson { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        sqlx::query(REBUILD).execute(&mut connection).await?;
        Ok(true)
    }
    .await;
    connection.close().await?;
    erased
}
