//! Connections: the pragmas that durability rests on, for each that there is.
//!
//! Guards: what SQLite was asked for (WAL, `synchronous=FULL`, its version) is read back; a connection that looks cannot
//! write. Deliberately not here: when one is made (`open`), what is asked through it.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::StoreError;

/// How long a look waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for the writer, which is tried again: short, so that a lock is noticed at once, and a stop is not held up.
const WRITER_TIMEOUT: Duration = Duration::from_secs(1);

/// The same for a copy, which is tried more than once.
const COPY_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections that read. Two cores' worth of page views and one to spare.
const READERS: u32 = 3;

/// The first release without the WAL-reset defect (3.7.0 to 3.51.2 can corrupt a file with two connections).
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

const SETTINGS: &str = "SELECT sqlite_version(), \
    (SELECT journal_mode FROM pragma_journal_mode), \
    (SELECT synchronous FROM pragma_synchronous), \
    (SELECT foreign_keys FROM pragma_foreign_keys)";
/// A stop has ten seconds for everything; a reader that does not let go gets one of them, twice.
const HURRY: &str = "PRAGMA busy_timeout = 1000";
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const PLAIN_JOURNAL: &str = "PRAGMA journal_mode=DELETE";

/// The writing connection, with what every one of them needs.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        // Takes effect in a new file only: what retention frees is given back to the disk.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(WRITER_TIMEOUT)
        // 16 MiB of pages: the indices of a hundred thousand people stay in memory.
        .pragma("cache_size", "-16000")
        .pragma("temp_store", "memory")
        // 16 MiB: under load a page that changes in every commit is copied into the file once for many.
        .pragma("wal_autocheckpoint", "4000")
        // After a burst the WAL is cut back to 64 MiB.
        .pragma("journal_size_limit", "67108864")
        // Freed pages are wiped as far as it costs no extra write, so that what was forgotten is gone.
        .pragma("secure_delete", "fast")
        .thread_name(|_| "store-writer".to_owned())
        .disable_statement_logging();
    Ok(options.connect().await?)
}

/// What was asked for is not always what one gets (a file system without shared memory has no WAL).
pub(super) async fn assert_settings(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let (version, journal, synchronous, foreign_keys): (String, String, i64, i64) =
        sqlx::query_as(SETTINGS).fetch_one(connection).await?;
    let parts: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    if parts.as_slice() < OLDEST_SQLITE.as_slice() {
        return Err(StoreError::Unsafe(format!("it is {version}, 3.51.3 or newer is needed")));
    }
    if journal != "wal" {
        return Err(StoreError::Unsafe(format!(
            "journal_mode is {journal}, not wal (a network file system?)"
        )));
    }
    if synchronous != 2 {
        return Err(StoreError::Unsafe(format!("synchronous is {synchronous}, not 2 (FULL)")));
    }
    if foreign_keys != 1 {
        return Err(StoreError::Unsafe("foreign keys are off".to_owned()));
    }
    Ok(())
}

/// Says goodbye to the file: the WAL goes into it and the WAL's own files go away.
pub(super) async fn disconnect(mut connection: SqliteConnection) -> Result<(), StoreError> {
    sqlx::query(HURRY).execute(&mut connection).await?;
    sqlx::query(CHECKPOINT).execute(&mut connection).await?;
    // Somebody who looks by hand at this very moment keeps the WAL mode alive. Nothing is lost by that, and the next
    // clean stop tries again; so it is said, and no error.
    if let Err(error) = sqlx::query(PLAIN_JOURNAL).execute(&mut connection).await {
        tracing::warn!(%error, "the database is being read by another program and stays in WAL mode");
    }
    Ok(connection.close().await?)
}

/// Carries the WAL into the file as far as no reader is in the way, for who reads the file alone; waits for nothing.
pub(super) async fn checkpoint(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query(PASSIVE).execute(connection).await?;
    Ok(())
}

/// The daemon's own readers.
pub(super) async fn readers(path: &Path) -> Result<SqlitePool, StoreError> {
    Ok(pool(READERS).connect_with(read_only(path)).await?)
}

/// Options of a connection that cannot write.
pub(super) fn read_only(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .thread_name(|n| format!("store-reader-{n}"))
        .disable_statement_logging()
}

/// Options of a connection that carries the WAL into the file while the writer writes, and does nothing else.
pub(super) fn aside(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::ZERO)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .thread_name(|_| "store-aside".to_owned())
        .disable_statement_logging()
}

/// A copy that nobody else has open: one plain file before and after.
pub(super) async fn connect_copy(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(COPY_TIMEOUT)
        .disable_statement_logging();
    Ok(options.connect().await?)
}

/// A pool that keeps its connections: a file has no reason to be opened anew.
pub(super) fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
}
