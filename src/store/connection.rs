//! The settings of each kind of connection, on which durability depends.
//!
//! Guards: the settings (WAL, `synchronous=FULL`, the SQLite version) are read back; a connection for reading cannot
//! write. Deliberately not here: when connections are made (`open`), the statements.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::StoreError;

/// How long a read waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for the writer, which retries: short, so that a lock is noticed at once and does not delay a stop.
const WRITER_TIMEOUT: Duration = Duration::from_secs(1);

/// The same for a copy, which is retried.
const COPY_TIMEOUT: Duration = Duration::from_secs(1);

/// Number of connections for reading: two cores' worth of page views and one spare.
const READERS: u32 = 3;

/// The first release without the WAL-reset defect (3.7.0 to 3.51.2 can corrupt a file with two connections).
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

const SETTINGS: &str = "SELECT sqlite_version(), \
    (SELECT journal_mode FROM pragma_journal_mode), \
    (SELECT synchronous FROM pragma_synchronous), \
    (SELECT foreign_keys FROM pragma_foreign_keys)";
/// A stop has ten seconds in total; a reader that blocks it gets one of them, twice.
const SHORT_TIMEOUT: &str = "PRAGMA busy_timeout = 1000";
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const PLAIN_JOURNAL: &str = "PRAGMA journal_mode=DELETE";

/// Opens the writing connection.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        // Takes effect in a new file only: space that retention frees is returned to the disk.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(WRITER_TIMEOUT)
        // 16 MiB of pages: the indices of a hundred thousand people stay in memory.
        .pragma("cache_size", "-16000")
        .pragma("temp_store", "memory")
        // 16 MiB: under load a page that changes in every commit is copied into the file once for many commits.
        .pragma("wal_autocheckpoint", "4000")
        // After a burst the WAL is cut back to 64 MiB.
        .pragma("journal_size_limit", "67108864")
        // Freed pages are overwritten where this costs no extra write, so that erased data is gone.
        .pragma("secure_delete", "fast")
        .thread_name(|_| "store-writer".to_owned())
        .disable_statement_logging();
    Ok(options.connect().await?)
}

/// Reads the settings back, because SQLite may not apply them (a file system without shared memory has no WAL).
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

/// Closes the connection: the WAL is moved into the file, and the WAL files are removed.
pub(super) async fn disconnect(mut connection: SqliteConnection) -> Result<(), StoreError> {
    sqlx::query(SHORT_TIMEOUT).execute(&mut connection).await?;
    sqlx::query(CHECKPOINT).execute(&mut connection).await?;
    // Another program that reads at this moment keeps the file in WAL mode. Nothing is lost, and the next clean stop
    // tries again, so this is a warning and not an error.
    if let Err(error) = sqlx::query(PLAIN_JOURNAL).execute(&mut connection).await {
        tracing::warn!(%error, "another program reads the database, so it stays in WAL mode; the next clean stop tries again");
    }
    Ok(connection.close().await?)
}

/// Moves the WAL into the file as far as no reader blocks it, so that programs which read only the file see recent
/// data; does not wait.
pub(super) async fn checkpoint(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query(PASSIVE).execute(connection).await?;
    Ok(())
}

/// The daemon's connections for reading.
pub(super) async fn readers(path: &Path) -> Result<SqlitePool, StoreError> {
    Ok(pool(READERS).connect_with(read_only(path)).await?)
}

/// Options for a connection that cannot write.
pub(super) fn read_only(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .thread_name(|n| format!("store-reader-{n}"))
        .disable_statement_logging()
}

/// Options for a connection that only moves the WAL into the file, in parallel with the writer.
pub(super) fn checkpointer(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::ZERO)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .thread_name(|_| "store-aside".to_owned())
        .disable_statement_logging()
}

/// Opens a copy that no other process has open: one plain file before and after.
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

/// A pool that keeps its connections, because reopening a file has no benefit.
pub(super) fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
}
