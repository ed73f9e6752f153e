//! Restores a copy in place of the database.
//!
//! Guards: whenever this is killed, one complete database has the name: the old one until the rename, the new one from
//! then on; the old one is kept; no WAL of the old database lies beside the new one; a person who was erased after the
//! copy was made does not come back with it. Deliberately not here: making copies (`backup`).
//!
//! The order: the old database absorbs its WAL and is one plain file; it gets a second name; its WAL files are removed;
//! the new database is renamed over it. Each step is on the disk before the next begins.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::backup::{RESTORING, SET_ASIDE, copy_and_compare, remove_copy, sync_folder};
use super::erasures::{self, ErasureRecord};
use super::lock::LockFile;
use super::{StoreError, beside, check, connection, open, read_options, schema};
use crate::time::Timestamp;

const RENAME_SOURCE: &str = "UPDATE installation SET source = ?1 WHERE one = 1";
/// The daemon that held the leases no longer runs.
const FREE_LANES: &str = "UPDATE lanes SET lease_ms = NULL";
const EMPTY_WAL: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Result of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub rows: BTreeMap<String, i64>,
    /// The new `urn:presenced:...`.
    pub source: String,
    /// Where the replaced database is now.
    pub kept: Option<PathBuf>,
    /// Number of people who were erased after the copy was made, and were erased from it.
    pub forgotten: u64,
}

/// Verifies `from` and puts it in place of `database`, with a new `source`. The daemon must not run.
pub async fn restore(from: &Path, database: &Path, now: Timestamp) -> Result<Restored, StoreError> {
    let from = from.canonicalize().map_err(|error| StoreError::file("open", from, error))?;
    let database = open::resolve(database)?;
    let _lock = LockFile::take(&database)?;
    check::verify(&from).await?;
    settle(&database).await?;
    let erasures = erasures::of_database(&database).await?;
    let new = beside::named(&database, RESTORING);
    remove_copy(&new);
    let made = match copy_and_compare(&from, read_options::options(&from)?, &new, &Arc::default()).await {
        Ok(rows) => prepare(&new, &erasures, now).await.map(|(source, forgotten)| (rows, source, forgotten)),
        Err(error) => Err(error),
    };
    let placed = made.and_then(|made| put_in_place(&new, &database, now).map(|kept| (made, kept)));
    match placed {
        Ok(((rows, source, forgotten), kept)) => Ok(Restored { rows, source, kept, forgotten }),
        Err(error) => {
            remove_copy(&new);
            Err(error)
        }
    }
}

/// Moves the WAL that a crash left into the old database, so that it is complete without it. A damaged database stays
/// as it is.
async fn settle(database: &Path) -> Result<(), StoreError> {
    let wal = beside::named(database, "-wal");
    if !database.exists()
        || read_options::is_empty_or_missing(&wal)
        || read_options::wal_of_another(database)?
    {
        return Ok(());
    }
    let settled = async {
        let mut connection = SqliteConnectOptions::new().filename(database).connect().await?;
        let emptied: Result<(i64, i64, i64), _> = sqlx::query_as(EMPTY_WAL).fetch_one(&mut connection).await;
        connection.close().await?;
        Ok(emptied?)
    };
    match settled.await {
        Ok((0, ..)) => Ok(()),
        Ok(_) => Err(StoreError::InUse { path: database.to_owned() }),
        Err(error) if StoreError::is_busy(&error) => Err(StoreError::InUse { path: database.to_owned() }),
        Err(error) => {
            tracing::warn!(%error, "the replaced database is damaged; keeping it with its WAL");
            Ok(())
        }
    }
}

/// Turns a copy into a database of its own: a new source, no leases, without the people who were erased meanwhile.
async fn prepare(
    new: &Path,
    erasures: &[ErasureRecord],
    now: Timestamp,
) -> Result<(String, u64), StoreError> {
    let mut connection = connection::connect_copy(new).await?;
    let prepared = async {
        // An older copy may lack tables that the statements below need.
        schema::migrate(&mut connection, new).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let source = open::new_source(now);
        sqlx::query(RENAME_SOURCE).bind(&source).execute(&mut *transaction).await?;
        sqlx::query(FREE_LANES).execute(&mut *transaction).await?;
        let erased = erasures::apply(&mut transaction, erasures).await?;
        transaction.commit().await?;
        if erased > 0 {
            sqlx::query("VACUUM").execute(&mut connection).await?;
        }
        Ok((source, erased))
    }
    .await;
    connection.close().await?;
    prepared
}

/// Gives the old database its second name, `presence.db.before-restore-<milliseconds>`, and renames the new one over
/// it.
fn put_in_place(new: &Path, database: &Path, now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
    let written = fs::File::open(new).and_then(|file| file.sync_all());
    written.map_err(|error| StoreError::file("write", new, error))?;
    let kept = database.exists().then(|| beside::named(database, &format!("{SET_ASIDE}{}", now.as_ms())));
    if let Some(kept) = &kept {
        fs::hard_link(database, kept).map_err(|error| StoreError::file("set aside", database, error))?;
        sync_folder(database);
    }
    set_aside_wal(database, kept.as_deref())?;
    sync_folder(database);
    fs::rename(new, database).map_err(|error| StoreError::file("put in place", database, error))?;
    sync_folder(database);
    Ok(kept)
}

/// Moves away or removes the files that SQLite would read into the new database. The WAL is empty, except beside a
/// damaged database or one that it does not belong to.
fn set_aside_wal(database: &Path, kept: Option<&Path>) -> Result<(), StoreError> {
    for suffix in ["-shm", "-wal", "-journal"] {
        let from = beside::named(database, suffix);
        let moved = match kept {
            Some(kept) if suffix != "-shm" && !read_options::is_empty_or_missing(&from) => {
                fs::rename(&from, beside::named(kept, suffix))
            }
            _ => fs::remove_file(&from),
        };
        match moved {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::file("set aside", &from, error));
            }
            _ => {}
        }
    }
    Ok(())
}
