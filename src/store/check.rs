//! Checks whether the file is intact: before it is written to, and on request.
//!
//! Guards: damage is found before anything is written, and reported with what to do; checking writes nothing. No check
//! is skipped to save time; two connections share the work. Deliberately not here: repair (`restore`), the lock
//! meanwhile (`open`).
//!
//! SQLite's `integrity_check` is split into parts that run in parallel: `quick_check` reads every page and row of the
//! file, and finds a page that belongs to two tables or to none; `integrity_check` of a table looks up each of its rows
//! in each of its indexes. Both read through `mmap`, because SQLite's own page cache is guarded by one lock for all
//! connections.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::texts::{self, Scope};
use super::{StoreError, beside, checksum, read_options, schema};

/// Everything that does not belong to one table.
const QUICK: &str = "PRAGMA quick_check(50)";
/// Tables with an index (a table without rowid is its own index), largest amount of work first.
const INDEXED: &str = "SELECT name FROM (SELECT name, (SELECT count(*) FROM pragma_index_list(s.name)) AS indexes \
    FROM sqlite_schema AS s WHERE type = 'table') WHERE indexes > 0 ORDER BY indexes, name";
/// The most that SQLite maps, 2 GiB; the rest is read as usual.
const MAPPED: &str = "2147418112";
/// At most this many problems are reported.
const MAX_PROBLEMS: usize = 50;
/// Bytes of one read.
const CHUNK: usize = 1 << 20;
/// Virtual machine steps (about one millisecond of work) between two checks for cancellation.
pub(super) const STEPS: i32 = 20_000;
const ORPHANS: &str = "SELECT count(*) FROM pragma_foreign_key_check";

/// All problems of a database, one per line, whether the daemon runs or not. Writes nothing.
pub async fn examine(path: &Path) -> Result<Vec<String>, StoreError> {
    let problems = structure(path).await?;
    if !problems.is_empty() {
        return Ok(problems);
    }
    let mut connection = read_options::options(path)?.connect().await?;
    let found = async {
        let mut found = texts::damaged(&mut connection, Scope::Everything, MAX_PROBLEMS).await?;
        found.extend(checksum::mismatches(&mut connection, MAX_PROBLEMS).await?);
        found.truncate(MAX_PROBLEMS);
        Ok(found)
    }
    .await;
    connection.close().await?;
    found
}

/// Problems of the file as a database of this program, without the bodies of its events.
async fn structure(path: &Path) -> Result<Vec<String>, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let examined = async {
        inspect(path, read_options::options).await?;
        let mut problems = check_structure(path, read_options::options).await?;
        if problems.is_empty() {
            let orphans = orphans(path).await?;
            if orphans > 0 {
                problems.push(format!("{orphans} rows refer to missing rows"));
            }
        }
        Ok(problems)
    }
    .await;
    examined.or_else(|error: StoreError| match damage(&error) {
        Some(what) => Ok(vec![what]),
        None if matches!(error, StoreError::ForeignWal { .. }) => Ok(vec![error.to_string()]),
        None => Err(read_options::unrecovered(error, path)),
    })
}

/// The check before the first write: refuses a file that is damaged, newer or foreign, and leaves no file beside it.
pub(super) async fn before_writing(path: &Path) -> Result<(), StoreError> {
    let mut made = ["-shm", "-wal"].map(|suffix| beside::named(path, suffix)).to_vec();
    made.retain(|file| !file.exists());
    let mut checked = require_intact(path, read_options::options_leaving_index).await;
    if checked.as_ref().is_err_and(StoreError::wants_rollback) {
        roll_back(path).await?;
    }
    if checked.as_ref().is_err_and(could_not_read) {
        checked = require_intact(path, read_options::options).await;
    }
    let checked = checked.map_err(|error| damaged(error, path));
    if checked.is_err() {
        // Created to read what a crash left: the index of a WAL, or an empty WAL for an index. Usually there is
        // neither.
        for file in made {
            let _ = fs::remove_file(file);
        }
    }
    checked
}

/// Whether SQLite could not read at all, as opposed to finding damage or waiting for a lock.
fn could_not_read(error: &StoreError) -> bool {
    matches!(error, StoreError::Sqlite(_)) && !error.is_busy() && damage(error).is_none()
}

/// The options for reading a file in its present state.
type Options = fn(&Path) -> Result<SqliteConnectOptions, StoreError>;

async fn inspect(path: &Path, options: Options) -> Result<(), StoreError> {
    let mut connection = options(path)?.connect().await?;
    let versions = schema::inspect(&mut connection, path).await;
    connection.close().await?;
    versions.map(|_| ())
}

async fn orphans(path: &Path) -> Result<i64, StoreError> {
    let mut connection = read_options::options(path)?.connect().await?;
    let counted = sqlx::query_scalar(ORPHANS).fetch_one(&mut connection).await;
    connection.close().await?;
    Ok(counted?)
}

async fn require_intact(path: &Path, options: Options) -> Result<(), StoreError> {
    inspect(path, options).await?;
    let mut problems = check_structure(path, options).await?;
    if problems.is_empty() {
        let mut connection = options(path)?.connect().await?;
        let found = texts::damaged(&mut connection, Scope::Start, 1).await;
        connection.close().await?;
        problems = found?;
    }
    match problems.into_iter().next() {
        None => Ok(()),
        Some(what) => Err(StoreError::Damaged { path: path.to_owned(), what }),
    }
}

/// Rolls back a transaction that a crash interrupted (a hot journal); until then the file cannot be read. SQLite does
/// the same for any connection that may write.
async fn roll_back(path: &Path) -> Result<(), StoreError> {
    tracing::info!("rolling back a transaction that a crash interrupted");
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
    let read = sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut connection).await;
    connection.close().await?;
    read?;
    Ok(())
}

/// Turns an error that means damage into [`StoreError::Damaged`].
pub(super) fn damaged(error: StoreError, path: &Path) -> StoreError {
    match damage(&error) {
        Some(what) => StoreError::Damaged { path: path.to_owned(), what },
        None => error,
    }
}

/// Fails if a copy, or a file to be restored, is damaged. An event whose body has changed does not make a copy useless.
pub(super) async fn verify(path: &Path) -> Result<(), StoreError> {
    match structure(path).await?.into_iter().next() {
        None => Ok(()),
        Some(what) => Err(StoreError::Damaged { path: PathBuf::from(path), what }),
    }
}

/// All problems that SQLite's `integrity_check` finds, one per line. Dropping the future cancels it. This process must
/// have no other connection to the file: see [`super::Maintenance::backup`].
async fn check_structure(path: &Path, options: Options) -> Result<Vec<String>, StoreError> {
    let check = ParallelCheck::default();
    read_through(path, Arc::clone(&check.cancelled)).await?;
    let options = options(path)?.pragma("mmap_size", MAPPED);
    let mut first = check.connect(&options).await?;
    let mut second = match check.connect(&options).await {
        Ok(second) => second,
        Err(error) => {
            // Close now, because a second attempt must find no open connection.
            first.close().await?;
            return Err(error);
        }
    };
    let checked = async {
        check.plan(&mut first).await?;
        let (one, other) = tokio::join!(check.work(&mut first), check.work(&mut second));
        one.and(other)
    }
    .await;
    first.close().await?;
    second.close().await?;
    checked.map(|()| check.problems())
}

/// Reads the whole file once, in order. A read error is reported as an error here; through `mmap` it would be a signal
/// that ends the process. This also loads the file into the page cache in the order of its pages.
async fn read_through(path: &Path, cancelled: Arc<AtomicBool>) -> Result<(), StoreError> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || -> io::Result<()> {
        let (mut file, mut chunk) = (File::open(file)?, vec![0; CHUNK]);
        while !cancelled.load(Ordering::Relaxed) && file.read(&mut chunk)? > 0 {}
        Ok(())
    });
    // The task does not panic and is not aborted.
    let read = read.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    read.map_err(|error| StoreError::file("read", path, error))
}

/// One check of a file by two connections.
#[derive(Default)]
struct ParallelCheck {
    /// The caller no longer waits.
    cancelled: Arc<AtomicBool>,
    /// Tables that are not taken yet; the last is the next.
    tables: Mutex<Vec<String>>,
    /// Results by table; those of `QUICK` have an empty name and so come first.
    found: Mutex<Vec<(String, Vec<String>)>>,
}

impl ParallelCheck {
    async fn connect(&self, options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
        let mut connection = options.connect().await?;
        let cancelled = Arc::clone(&self.cancelled);
        let go_on = move || !cancelled.load(Ordering::Relaxed);
        connection.lock_handle().await?.set_progress_handler(STEPS, go_on);
        Ok(connection)
    }

    async fn plan(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let mut tables: Vec<String> = sqlx::query_scalar(INDEXED).fetch_all(connection).await?;
        // So that it runs in parallel with the largest table, not after it.
        tables.insert(tables.len().saturating_sub(1), String::new());
        *self.tables.lock().unwrap_or_else(PoisonError::into_inner) = tables;
        Ok(())
    }

    /// Checks one table after the other until none is left.
    async fn work(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        loop {
            let Some(table) = self.tables.lock().unwrap_or_else(PoisonError::into_inner).pop() else {
                return Ok(());
            };
            let pragma = match table.as_str() {
                "" => QUICK.to_owned(),
                table => format!("PRAGMA integrity_check(\"{}\")", table.replace('"', "\"\"")),
            };
            // The name comes from the schema and is quoted.
            let lines: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(pragma)).fetch_all(&mut *connection).await?;
            self.found.lock().unwrap_or_else(PoisonError::into_inner).push((table, lines));
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        found.sort();
        let mut problems = Vec::new();
        for line in found.iter().flat_map(|(_, lines)| lines).flat_map(|text| text.lines()) {
            // Damaged pages of a table are reported twice.
            let is_new =
                line != "ok" && !line.starts_with("***") && !problems.iter().any(|known| known == line);
            if is_new && problems.len() < MAX_PROBLEMS {
                problems.push(line.to_owned());
            }
        }
        problems
    }
}

impl Drop for ParallelCheck {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Whether a copy cannot be cleaned: it is damaged, or no database of this program.
pub(super) fn is_beyond_cleaning(error: &StoreError) -> bool {
    damage(error).is_some()
        || error.is_no_database()
        || matches!(error, StoreError::Foreign { .. } | StoreError::Corrupt { .. })
}

/// The message of an SQLite error that means damage: corrupt (11), and errors of the schema (1), which reading an
/// intact file of this program cannot cause. A value of an unexpected type counts as damage as well.
fn damage(error: &StoreError) -> Option<String> {
    let StoreError::Sqlite(error) = error else { return None };
    if matches!(**error, sqlx::Error::ColumnDecode { .. }) {
        return Some(error.to_string());
    }
    let error = error.as_database_error()?;
    let code: i32 = error.code()?.parse().ok()?;
    matches!(code & 0xff, 1 | 11).then(|| error.message().to_owned())
}
