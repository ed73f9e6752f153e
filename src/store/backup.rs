//! Verified copies of the database, and putting one back.
//!
//! Guards: a copy that bears its name is whole: SQLite found no damage in it, and it has the rows of its original; the
//! daemon's own file is replaced only by a verified copy, only while no daemon has it, and the old one is kept; who was
//! forgotten since a copy was made does not come back with it. Deliberately not here: when copies are made
//! (`tasks::janitor`).
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

use super::forget::bury;
use super::lock::LockFile;
use super::{Store, StoreError, check, connection, open, readonly, schema};
use crate::time::Timestamp;

/// Managed copies are called `presenced-2026-11-23.db`.
const PREFIX: &str = "presenced-";
const SUFFIX: &str = ".db";
/// While it is being made.
const PARTIAL: &str = ".partial";
/// And what restoring replaced `presence.db.before-restore-<milliseconds>`.
const SET_ASIDE: &str = ".before-restore-";
const DAY_LENGTH: usize = "2026-11-23".len();

const COPY: &str = "VACUUM INTO ?1";
const TABLES: &str =
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
const STONES: &str = "SELECT org, salt, hash, forgotten_ms FROM forgotten";
const RENAME_SOURCE: &str = "UPDATE installation SET source = ?1 WHERE one = 1";
/// Whoever held a lease is not there any more.
const FREE_LANES: &str = "UPDATE lanes SET lease_ms = NULL";

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

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Rows, by table.
    pub rows: BTreeMap<String, i64>,
    /// The new `urn:presenced:...`.
    pub source: String,
    /// Where the database that was there is now.
    pub kept: Option<PathBuf>,
    /// People who were forgotten since the copy was made, and were erased from it.
    pub forgotten: u64,
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
        make(self.path(), connection::read_only(self.path()), to).await
    }
}

async fn make(database: &Path, reading: SqliteConnectOptions, to: &Path) -> Result<Copied, StoreError> {
    if to.exists() {
        return Err(StoreError::Exists { path: to.to_owned() });
    }
    let partial = open::beside(to, PARTIAL);
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

/// What restoring set aside, beside the database.
pub(super) fn kept(database: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let folder = database.parent().unwrap_or(Path::new("."));
    let stem = format!("{}{SET_ASIDE}", database.file_name().unwrap_or_default().to_string_lossy());
    let entries = fs::read_dir(folder).map_err(|error| StoreError::file("list", folder, error))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| StoreError::file("list", folder, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.strip_prefix(&stem).is_some_and(|at| at.chars().all(|c| c.is_ascii_digit())) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
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

/// Verifies `from` and puts it in the place of `database`, with a new `source`. The daemon must not run.
pub async fn restore(from: &Path, database: &Path, now: Timestamp) -> Result<Restored, StoreError> {
    let from = from.canonicalize().map_err(|error| StoreError::file("open", from, error))?;
    let database = open::resolve(database)?;
    let _lock = LockFile::take(&database)?;
    check::verify(&from).await?;
    let new = open::beside(&database, ".restoring");
    remove_copy(&new);
    let stones = stones(&database).await;
    let made = match copy_and_compare(&from, readonly::options(&from)?, &new, &Arc::default()).await {
        Ok(rows) => prepare(&new, &stones, now).await.map(|(source, forgotten)| (rows, source, forgotten)),
        Err(error) => Err(error),
    };
    let (rows, source, forgotten) = match made {
        Ok(made) => made,
        Err(error) => {
            remove_copy(&new);
            return Err(error);
        }
    };
    let kept = set_aside(&database, now)?;
    fs::rename(&new, &database).map_err(|error| StoreError::file("put in place", &database, error))?;
    sync_folder(&database);
    Ok(Restored { rows, source, kept, forgotten })
}

/// Copies, then looks whether SQLite finds the copy sound and whether it has the original's rows. A daemon may add some
/// meanwhile: the copy has at least those from before and at most those from after, or the other way round.
async fn copy_and_compare(
    from: &Path,
    reading: SqliteConnectOptions,
    to: &Path,
    let_go: &Arc<AtomicBool>,
) -> Result<BTreeMap<String, i64>, StoreError> {
    // Made here so that it has the right mode and owner from the first byte on.
    open::open_0640(to, true).map_err(|error| match error.kind() {
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
    let file = fs::File::open(partial).map_err(|error| StoreError::file("open", partial, error))?;
    file.sync_all().map_err(|error| StoreError::file("write", partial, error))?;
    let bytes = file.metadata().map_err(|error| StoreError::file("look at", partial, error))?.len();
    fs::rename(partial, to).map_err(|error| StoreError::file("rename", partial, error))?;
    sync_folder(to);
    Ok(bytes)
}

/// Who was forgotten in the database that is about to be replaced. One that cannot be read has nothing to say.
async fn stones(database: &Path) -> Vec<(String, String, String, i64)> {
    let Ok(options) = readonly::options(database) else { return Vec::new() };
    let Ok(mut connection) = options.connect().await else { return Vec::new() };
    let stones = sqlx::query_as(STONES).fetch_all(&mut connection).await.unwrap_or_default();
    // Whatever closing says, what was read was read.
    let _ = connection.close().await;
    stones
}

/// Makes a copy into a database of its own: a new source, nobody's leases, and nobody who was forgotten meanwhile.
async fn prepare(
    new: &Path,
    stones: &[(String, String, String, i64)],
    now: Timestamp,
) -> Result<(String, u64), StoreError> {
    let mut connection = connection::connect_copy(new).await?;
    let prepared = async {
        // An older copy may lack what the statements below need.
        schema::migrate(&mut connection, new).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let source = open::new_source(now);
        sqlx::query(RENAME_SOURCE).bind(&source).execute(&mut *transaction).await?;
        sqlx::query(FREE_LANES).execute(&mut *transaction).await?;
        let buried = bury(&mut transaction, stones).await?;
        transaction.commit().await?;
        if buried > 0 {
            sqlx::query("VACUUM").execute(&mut connection).await?;
        }
        Ok((source, buried))
    }
    .await;
    connection.close().await?;
    prepared
}

/// Renames what is there, its WAL with it: `presence.db.before-restore-<milliseconds>`.
fn set_aside(database: &Path, now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
    if !database.exists() {
        return Ok(None);
    }
    let kept = open::beside(database, &format!("{SET_ASIDE}{}", now.as_ms()));
    for suffix in ["-wal", "-shm", ""] {
        let (from, to) = (open::beside(database, suffix), open::beside(&kept, suffix));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::file("set aside", &from, error));
            }
            _ => {}
        }
    }
    Ok(Some(kept))
}

/// A rename is there after a power cut once its folder is written.
fn sync_folder(path: &Path) {
    if let Some(Ok(folder)) = path.parent().map(fs::File::open) {
        // Where a folder cannot be synced nothing better can be done.
        let _ = folder.sync_all();
    }
}

fn remove_copy(path: &Path) {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        // What is not there need not be removed; what cannot be is in the way next time, and is named then.
        let _ = fs::remove_file(open::beside(path, suffix));
    }
}
