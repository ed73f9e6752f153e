//! Erases a person: every row, every stored body, every managed copy.
//!
//! Guards: afterwards the file, its WAL and the managed backups contain no byte of the person's id or nick; the erasure
//! is recorded (`erasures`), so that neither the next poll nor an older copy brings the person back; if a copy cannot
//! be cleaned, the error names it and nothing is erased. Deliberately not here: finding the person (`history::who`),
//! copies made elsewhere.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sqlx::{Connection, SqliteConnection};

use super::database::Database;
use super::erasures::{self, ErasureRecord};
use super::{StoreError, backup, beside, check, connection, erase};
use crate::ids::Identity;
use crate::time::Timestamp;

const WIPE_NO_MORE: &str = "PRAGMA secure_delete = FAST";
const RECORDS: &str = "SELECT forgotten_id, org, salt, hash FROM forgotten WHERE lifted_ms IS NULL";
const LIFT: &str =
    "UPDATE forgotten SET lifted_ms = ?2 WHERE forgotten_id IN (SELECT value FROM json_each(?1))";
/// A rebuilt file has no remains of old rows between its rows.
const REBUILD: &str = "VACUUM";
const EMPTY_WAL: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// How often a copy that another program has open is tried; each try waits one second.
const TRIES: u32 = 5;

/// What was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Number of deleted rows by table.
    pub rows: BTreeMap<String, u64>,
    /// Backups that contained the person and are cleaned now, including those a restore set aside.
    pub backups: Vec<PathBuf>,
    /// Backups that could not be cleaned and were removed, because they were damaged or of another version.
    pub removed_backups: Vec<PathBuf>,
    /// Another program was reading, so the WAL could not be emptied; it may contain erased data until the next stop.
    pub wal_in_use: bool,
}

/// Erasing people, and the list of erasures.
#[derive(Clone, Copy, Debug)]
pub struct Erasures<'s> {
    pub(super) database: &'s Database,
}

impl Erasures<'_> {
    /// Erases a person in the database and in the backups of `backup_dir`. Copies come first: if one of them cannot be
    /// cleaned, the database keeps the person, so that the command can be repeated. The deletion is one transaction;
    /// the file is rebuilt after it, which blocks the writer for seconds with hundreds of megabytes.
    pub async fn forget(
        self,
        who: &Identity,
        backup_dir: Option<&Path>,
        now: Timestamp,
    ) -> Result<Forgotten, StoreError> {
        // A copy that is being made now would get its name after the copies are listed here.
        let _no_copy = self.database.copying.lock().await;
        let erasure = ErasureRecord::new(who, now);
        let mut forgotten = Forgotten::default();
        forget_in_copies(backup::all(&self.database.path, backup_dir)?, who, &erasure, &mut forgotten)
            .await?;
        let identity = who.clone();
        let (person_id, rows) = self
            .database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    let erased = erase::erase(connection, &identity).await?;
                    erasure.remember(connection).await?;
                    Ok(erased)
                })
            })
            .await?;
        forgotten.rows = rows;
        self.database.mark_erased(person_id);
        forgotten.wal_in_use =
            self.database.writer.write_outside_transaction(|connection| Box::pin(scrub(connection))).await?;
        Ok(forgotten)
    }

    /// Whether the person with this id was erased since the start.
    pub fn is_erased(self, person_id: i64) -> bool {
        self.database.is_erased(person_id)
    }

    /// The users of a watch list who were erased and may not be watched. Call it with the whole list at each start and
    /// reload.
    ///
    /// An erasure whose person is not on the list is lifted, so the person can be watched again when an operator adds
    /// them later. The record is kept for older copies.
    pub async fn erased_of(
        self,
        list: Vec<Identity>,
        now: Timestamp,
    ) -> Result<HashSet<Identity>, StoreError> {
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    let records: Vec<(i64, String, String, String)> =
                        sqlx::query_as(RECORDS).fetch_all(&mut *connection).await?;
                    let (mut erased, mut lifted) = (HashSet::new(), Vec::new());
                    for (id, org, salt, hash) in records {
                        match erasures::find(&list, (&org, &salt, &hash)) {
                            Some(who) => drop(erased.insert(who.clone())),
                            None => lifted.push(id),
                        }
                    }
                    if !lifted.is_empty() {
                        let lifted = serde_json::to_string(&lifted)?;
                        sqlx::query(LIFT).bind(lifted).bind(now.as_ms()).execute(connection).await?;
                    }
                    Ok(erased)
                })
            })
            .await
    }
}

/// Rebuilds the file and empties the WAL; returns whether a reader kept the WAL from being emptied.
async fn scrub(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    sqlx::query(EMPTY_WAL).execute(&mut *connection).await?;
    sqlx::query(REBUILD).execute(&mut *connection).await?;
    let (busy, ..): (i64, i64, i64) = sqlx::query_as(EMPTY_WAL).fetch_one(&mut *connection).await?;
    sqlx::query(WIPE_NO_MORE).execute(connection).await?;
    Ok(busy != 0)
}

/// Cleans each copy; removes a damaged copy, because nothing can be erased from it. Any other error ends the loop.
async fn forget_in_copies(
    copies: Vec<PathBuf>,
    who: &Identity,
    erasure: &ErasureRecord,
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
            Err(error) if check::is_beyond_cleaning(&error) => {
                tracing::warn!(path = %path.display(), %error, "removing a damaged backup, because it cannot be cleaned");
                std::fs::remove_file(&path).map_err(|error| StoreError::file("remove", &path, error))?;
                forgotten.removed_backups.push(path);
            }
            Err(error) => return Err(StoreError::Copy { path, error: Box::new(error) }),
        }
    }
    Ok(())
}

/// Erases a person in a copy; returns whether the copy contained the person.
async fn forget_in_copy(path: &Path, who: &Identity, erasure: &ErasureRecord) -> Result<bool, StoreError> {
    beside::require_plain(path)?;
    let mut connection = connection::connect_copy(path).await?;
    let erased = async {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        match erase::erase(&mut transaction, who).await {
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
