//! Verified copies of the database.
//!
//! Guards: a copy gets its final name only when it is complete: SQLite found no damage in it, and it has the rows of
//! the original; no migration runs without a copy of the database before it. Deliberately not here: when copies are
//! made (`tasks::maintenance`), restoring (`restore`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::beside::{self, FileId, Owner};
use super::{SCHEMA_VERSION, StoreError, check, connection, read_options, schema};

/// Managed copies are called `presenced-2026-11-23.db`.
const PREFIX: &str = "presenced-";
const SUFFIX: &str = ".db";
/// Suffix of an unfinished copy.
const PARTIAL: &str = ".partial";
/// Suffix of a database that is about to be put in place: `presence.db.restoring`.
pub(super) const RESTORING: &str = ".restoring";
/// What a restore replaced: `presence.db.before-restore-<milliseconds>`.
pub(super) const SET_ASIDE: &str = ".before-restore-";
/// The database before a migration: `presence.db.before-migration-<schema>`.
const BEFORE_MIGRATION: &str = ".before-migration-";
/// What SQLite may leave beside a copy.
const FILES_OF_COPY: [&str; 3] = ["-journal", "-wal", "-shm"];
const DAY_LENGTH: usize = "2026-11-23".len();

const COPY: &str = "VACUUM INTO ?1";
const TABLES: &str =
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";

/// A copy that was made and verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    pub rows: BTreeMap<String, i64>,
}

/// Copies a database, whether the daemon runs or not; the copy is consistent as of one instant. It gets its name only
/// once it is verified. A process that has the database open itself uses [`super::Maintenance::backup`].
pub async fn backup(database: &Path, to: &Path) -> Result<Copied, StoreError> {
    make(database, read_options::options(database)?, to).await
}

/// Copies a database that this process has open; its header is not read.
pub(super) async fn of_open_database(database: &Path, to: &Path) -> Result<Copied, StoreError> {
    make(database, connection::read_only(database), to).await
}

/// Copies a database of an older schema before it is migrated; without a verified copy there is no migration. This
/// process must not have the database open.
pub(super) async fn before_migration(database: &Path) -> Result<Option<PathBuf>, StoreError> {
    let mut connection = read_options::options(database)?.connect().await?;
    let found = schema::inspect(&mut connection, database).await;
    connection.close().await?;
    let found = found?.schema;
    if found == 0 || found == SCHEMA_VERSION {
        return Ok(None);
    }
    let to = beside::named(database, &format!("{BEFORE_MIGRATION}{found}"));
    // A copy of an earlier upgrade from this schema, which was undone since, is replaced.
    replace(database, read_options::options(database)?, &to).await?;
    Ok(Some(to))
}

async fn make(database: &Path, reading: SqliteConnectOptions, to: &Path) -> Result<Copied, StoreError> {
    if to.symlink_metadata().is_ok() {
        return Err(StoreError::Exists { path: to.to_owned() });
    }
    replace(database, reading, to).await
}

async fn replace(database: &Path, reading: SqliteConnectOptions, to: &Path) -> Result<Copied, StoreError> {
    let partial = beside::named(to, PARTIAL);
    // Left by an interrupted copy.
    remove_copy(&partial);
    let unfinished = Unfinished { copy: partial, cancelled: Arc::default() };
    let rows = copy_and_compare(database, reading, &unfinished.copy, &unfinished.cancelled).await?;
    let bytes = finish(&unfinished.copy, to)?;
    Ok(Copied { path: to.to_owned(), bytes, rows })
}

/// An unfinished copy. Dropping it (a stop, an error) removes the file and ends the connection, which would otherwise
/// keep reading for minutes and keep the daemon from closing the database.
struct Unfinished {
    copy: PathBuf,
    cancelled: Arc<AtomicBool>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        remove_copy(&self.copy);
    }
}

/// The managed copies in a folder, oldest first.
pub fn managed(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    listed(folder, "")
}

/// Files with the name of a managed copy followed by `suffix`.
fn listed(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::file("list", folder, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| StoreError::file("list", folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix(suffix).unwrap_or_default();
        let day = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
        if day
            .is_some_and(|day| day.len() == DAY_LENGTH && day.chars().all(|c| c.is_ascii_digit() || c == '-'))
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// All managed copies: those beside the database and those in `folder`.
pub(super) fn all(database: &Path, folder: Option<&Path>) -> Result<Vec<PathBuf>, StoreError> {
    let mut copies = beside::listed(database, |rest| {
        [SET_ASIDE, BEFORE_MIGRATION].iter().any(|kind| {
            rest.strip_prefix(kind).is_some_and(|at| at.bytes().all(|byte| byte.is_ascii_digit()))
        })
    })?;
    // An interrupted restore leaves a second name of the database itself.
    let own = FileId::of(database)?;
    copies.retain(|copy| FileId::of(copy).map_or(true, |copy| copy != own));
    if let Some(folder) = folder {
        copies.extend(managed(folder)?);
    }
    Ok(copies)
}

/// Removes what an interrupted copy or restore left beside the database. The caller holds the lock.
pub(super) fn remove_leftovers(database: &Path) -> Result<(), StoreError> {
    let halves = beside::listed(database, |rest| {
        let half = FILES_OF_COPY.iter().find_map(|suffix| rest.strip_suffix(suffix)).unwrap_or(rest);
        half == RESTORING || half.starts_with(BEFORE_MIGRATION) && half.ends_with(PARTIAL)
    })?;
    let own = FileId::of(database).ok();
    let links = beside::listed(database, |rest| rest.starts_with(SET_ASIDE))?;
    let links = links.into_iter().filter(|link| own.is_some() && FileId::of(link).ok() == own);
    for leftover in halves.into_iter().chain(links) {
        fs::remove_file(&leftover).map_err(|error| StoreError::file("remove", &leftover, error))?;
        tracing::info!(path = %leftover.display(), "removed a file that an interrupted command left");
    }
    Ok(())
}

/// Path of the copy of a day (`2026-11-23`).
pub fn managed_name(folder: &Path, day: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{day}{SUFFIX}"))
}

/// Removes the oldest managed copies until `keep` are left, and the remains of interrupted copies; returns the removed
/// copies. Must not run while a copy is made.
pub fn thin_out(folder: &Path, keep: u32) -> Result<Vec<PathBuf>, StoreError> {
    for leftover in listed(folder, PARTIAL)? {
        remove_copy(&leftover);
    }
    let mut copies = managed(folder)?;
    let surplus = copies.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
    copies.truncate(surplus);
    for path in &copies {
        fs::remove_file(path).map_err(|error| StoreError::file("remove", path, error))?;
    }
    Ok(copies)
}

/// Copies, then checks that SQLite finds no damage in the copy and that it has the rows of the original. A daemon may
/// add or delete rows meanwhile, so each count must lie between the counts before and after.
pub(super) async fn copy_and_compare(
    from: &Path,
    reading: SqliteConnectOptions,
    to: &Path,
    cancelled: &Arc<AtomicBool>,
) -> Result<BTreeMap<String, i64>, StoreError> {
    // Created here so that it has the right mode and owner from the first byte.
    beside::create_new(to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Exists { path: to.to_owned() },
        _ => StoreError::file("create", to, error),
    })?;
    let mut original = reading.connect().await?;
    let cancelled = Arc::clone(cancelled);
    original
        .lock_handle()
        .await?
        .set_progress_handler(check::STEPS, move || !cancelled.load(Ordering::Relaxed));
    let copied = async {
        schema::inspect(&mut original, from).await?;
        let before = counts(&mut original).await?;
        let name = to.to_string_lossy().into_owned();
        sqlx::query(COPY).bind(name).execute(&mut original).await?;
        Ok::<_, StoreError>((before, counts(&mut original).await?))
    }
    .await;
    original.close().await?;
    let (before, after) = copied?;
    check::verify(to).await?;
    let mut copy = read_options::options(to)?.connect().await?;
    let rows = counts(&mut copy).await;
    copy.close().await?;
    let rows = rows?;
    for (table, &first) in &before {
        let last = after.get(table).copied().unwrap_or(first);
        let found = rows.get(table).copied().unwrap_or(-1);
        if !(first.min(last)..=first.max(last)).contains(&found) {
            let what = format!("{table} has {found} rows in it, and {first} to {last} in the original");
            return Err(StoreError::BadCopy { path: to.to_owned(), what });
        }
    }
    Ok(rows)
}

async fn counts(connection: &mut SqliteConnection) -> Result<BTreeMap<String, i64>, StoreError> {
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *connection).await?;
    let mut counts = BTreeMap::new();
    for table in tables {
        // The name comes from the schema and is quoted.
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\""));
        counts.insert(table, sqlx::query_scalar(sql).fetch_one(&mut *connection).await?);
    }
    Ok(counts)
}

/// Writes the copy to the disk, then gives it its name.
fn finish(partial: &Path, to: &Path) -> Result<u64, StoreError> {
    let file = beside::open(partial, fs::OpenOptions::new().read(true), Owner::Any)
        .map_err(|error| StoreError::file("open", partial, error))?;
    file.sync_all().map_err(|error| StoreError::file("write", partial, error))?;
    let bytes =
        file.metadata().map_err(|error| StoreError::file("read the metadata of", partial, error))?.len();
    fs::rename(partial, to).map_err(|error| StoreError::file("rename", partial, error))?;
    sync_folder(to);
    Ok(bytes)
}

/// Syncs the folder of a file, so that a rename survives a power failure.
pub(super) fn sync_folder(path: &Path) {
    if let Some(Ok(folder)) = path.parent().map(fs::File::open) {
        // A folder that cannot be synced cannot be made safer.
        let _ = folder.sync_all();
    }
}

pub(super) fn remove_copy(path: &Path) {
    for suffix in std::iter::once("").chain(FILES_OF_COPY) {
        // A missing file needs no removal; a file that cannot be removed makes the next copy fail with its name.
        let _ = fs::remove_file(beside::named(path, suffix));
    }
}
