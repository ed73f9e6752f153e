//! Verified copies of the database.
//!
//! Guards: a copy that bears its name is whole: SQLite found no damage in it, and it has the rows of its original; before
//! a migration changes anything there is a copy of what was. Deliberately not here: when copies are made
//! (`tasks::janitor`), putting one back (`restore`).
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

use super::beside::{self, Owner};
use super::{SCHEMA_VERSION, Store, StoreError, check, connection, readonly, schema};

/// Managed copies are called `presenced-2026-11-23.db`.
const PREFIX: &str = "presenced-";
const SUFFIX: &str = ".db";
/// While it is being made.
const PARTIAL: &str = ".partial";
/// What is to be put in place: `presence.db.restoring`.
pub(super) const RESTORING: &str = ".restoring";
/// What restoring replaced: `presence.db.before-restore-<milliseconds>`.
pub(super) const SET_ASIDE: &str = ".before-restore-";
/// What was there before a migration: `presence.db.before-migration-<schema>`.
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
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its rows, by table.
    pub rows: BTreeMap<String, i64>,
}

/// Copies a database, with the daemon up or down; the copy is one consistent instant. It bears its name only once it is
/// verified. A process that has the database open itself takes [`Store::backup`].
pub async fn backup(database: &Path, to: &Path) -> Result<Copied, StoreError> {
    make(database, readonly::options(database)?, to).await
}

impl Store {
    /// The same for the daemon's own database. What SQLite has locked in this process is unlocked when anybody in it closes
    /// the file, however it was opened (<https://sqlite.org/howtocorrupt.html>, section 2.2); so nobody looks at its header.
    pub async fn backup(&self, to: &Path) -> Result<Copied, StoreError> {
        let _one = self.inner.copying.lock().await;
        make(self.path(), connection::read_only(self.path()), to).await
    }
}

/// Copies a database of an older schema before it is migrated: verified, or there is no migration. Not while this process has
/// it open.
pub(super) async fn before_migration(database: &Path) -> Result<Option<PathBuf>, StoreError> {
    let mut connection = readonly::options(database)?.connect().await?;
    let found = schema::inspect(&mut connection, database).await;
    connection.close().await?;
    let found = found?.schema;
    if found == 0 || found == SCHEMA_VERSION {
        return Ok(None);
    }
    let to = beside::named(database, &format!("{BEFORE_MIGRATION}{found}"));
    // One of an earlier upgrade from this schema, which was undone since.
    replace(database, readonly::options(database)?, &to).await?;
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
    // Of a copy that was broken off.
    remove_copy(&partial);
    let unfinished = Unfinished { copy: partial, let_go: Arc::default() };
    let rows = copy_and_compare(database, reading, &unfinished.copy, &unfinished.let_go).await?;
    let bytes = finish(&unfinished.copy, to)?;
    Ok(Copied { path: to.to_owned(), bytes, rows })
}

/// A copy under way. Whoever lets go of it (a stop, an error) leaves nothing behind: no half copy, and no connection that
/// reads on for minutes and keeps the daemon from closing the file.
struct Unfinished {
    copy: PathBuf,
    let_go: Arc<AtomicBool>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.let_go.store(true, Ordering::Relaxed);
        remove_copy(&self.copy);
    }
}

/// The copies that are managed here, oldest first.
pub fn managed(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    listed(folder, "")
}

/// Files called like managed copies, with `suffix` behind.
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

/// Every copy that is managed here: what was set aside beside the database, and those of `folder`.
pub(super) fn all(database: &Path, folder: Option<&Path>) -> Result<Vec<PathBuf>, StoreError> {
    let mut copies = beside::listed(database, |rest| {
        [SET_ASIDE, BEFORE_MIGRATION].iter().any(|kind| {
            rest.strip_prefix(kind).is_some_and(|at| at.bytes().all(|byte| byte.is_ascii_digit()))
        })
    })?;
    // A restore that was broken off leaves another name of the database itself.
    let own = check::FileId::of(database)?;
    copies.retain(|copy| check::FileId::of(copy).map_or(true, |copy| copy != own));
    if let Some(folder) = folder {
        copies.extend(managed(folder)?);
    }
    Ok(copies)
}

/// Removes what a copy or a restore left beside the database when it was killed. To be called with the lock held.
pub(super) fn tidy(database: &Path) -> Result<(), StoreError> {
    let halves = beside::listed(database, |rest| {
        let half = FILES_OF_COPY.iter().find_map(|suffix| rest.strip_suffix(suffix)).unwrap_or(rest);
        half == RESTORING || half.starts_with(BEFORE_MIGRATION) && half.ends_with(PARTIAL)
    })?;
    let own = check::FileId::of(database).ok();
    let links = beside::listed(database, |rest| rest.starts_with(SET_ASIDE))?;
    let links = links.into_iter().filter(|link| own.is_some() && check::FileId::of(link).ok() == own);
    for leftover in halves.into_iter().chain(links) {
        fs::remove_file(&leftover).map_err(|error| StoreError::file("remove", &leftover, error))?;
        tracing::info!(path = %leftover.display(), "removed a file that an interrupted command left");
    }
    Ok(())
}

/// What the copy of a day (`2026-11-23`) is called.
pub fn managed_name(folder: &Path, day: &str) -> PathBuf {
    folder.join(format!("{PREFIX}{day}{SUFFIX}"))
}

/// Removes the oldest managed copies until `keep` are left, and what is left of copies that were broken off; gives which
/// copies. Not while one is being made.
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

/// Copies, then looks whether SQLite finds the copy sound and whether it has the original's rows. A daemon may add some
/// meanwhile: the copy has at least those from before and at most those from after, or the other way round.
pub(super) async fn copy_and_compare(
    from: &Path,
    reading: SqliteConnectOptions,
    to: &Path,
    let_go: &Arc<AtomicBool>,
) -> Result<BTreeMap<String, i64>, StoreError> {
    // Made here so that it has the right mode and owner from the first byte on.
    beside::create_new(to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Exists { path: to.to_owned() },
        _ => StoreError::file("create", to, error),
    })?;
    let mut original = reading.connect().await?;
    let let_go = Arc::clone(let_go);
    original.lock_handle().await?.set_progress_handler(check::STEPS, move || !let_go.load(Ordering::Relaxed));
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
    let mut copy = readonly::options(to)?.connect().await?;
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
        // A name from the schema itself, quoted.
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\""));
        counts.insert(table, sqlx::query_scalar(sql).fetch_one(&mut *connection).await?);
    }
    Ok(counts)
}

/// Written down for good, and then called by its name.
fn finish(partial: &Path, to: &Path) -> Result<u64, StoreError> {
    let file = beside::open(partial, fs::OpenOptions::new().read(true), Owner::Any)
        .map_err(|error| StoreError::file("open", partial, error))?;
    file.sync_all().map_err(|error| StoreError::file("write", partial, error))?;
    let bytes = file.metadata().map_err(|error| StoreError::file("look at", partial, error))?.len();
    fs::rename(partial, to).map_err(|error| StoreError::file("rename", partial, error))?;
    sync_folder(to);
    Ok(bytes)
}

/// A rename is there after a power cut once its folder is written.
pub(super) fn sync_folder(path: &Path) {
    if let Some(Ok(folder)) = path.parent().map(fs::File::open) {
        // Where a folder cannot be synced nothing better can be done.
        let _ = folder.sync_all();
    }
}

pub(super) fn remove_copy(path: &Path) {
    for suffix in std::iter::once("").chain(FILES_OF_COPY) {
        // What is not there need not be removed; what cannot be is in the way next time, and is named then.
        let _ = fs::remove_file(beside::named(path, suffix));
    }
}
