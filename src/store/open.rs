//! Opening and closing the database.
//!
//! Guards: a foreign, newer or damaged file is not written to, and no file is left beside it; the group cannot write
//! the file; two names of one file count as one; a cleanly closed database is one plain file that can be read without
//! write permission. Deliberately not here: which process holds the file (`lock`), the settings of connections
//! (`connection`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::fs::OpenOptions;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use chrono_tz::Tz;
use sqlx::SqliteConnection;

use super::beside::FileId;
use super::database::Database;
use super::disk_space::DiskSpaceGuard;
use super::lock::LockFile;
use super::lock_contention::MAX_TRIES;
use super::recording::EventWriter;
use super::writer::{WriteQueue, Writer};
use super::{Store, StoreError, backup, beside, check, connection, local_offsets, schema};
use crate::clock::SharedClock;
use crate::time::Timestamp;

/// How often the check before a start is tried while another program holds a lock. Each check waits five seconds: a
/// minute in all.
const MAX_CHECKS: u32 = 12;

/// The same minute as one timeout, for the few statements of a start.
const LONG_TIMEOUT: &str = "PRAGMA busy_timeout = 60000";
const USUAL_TIMEOUT: &str = "PRAGMA busy_timeout = 1000";

const INSTALL: &str = "INSERT INTO installation (one, source, created_ms, time_zone) VALUES (1, ?1, ?2, ?3) \
    ON CONFLICT (one) DO UPDATE SET time_zone = excluded.time_zone";
const SOURCE: &str = "SELECT source, created_ms FROM installation WHERE one = 1";

impl Store {
    /// Opens or creates the database for writing: takes the lock file, refuses what [`CheckedDatabase::check`] refuses,
    /// migrates. `time_zone`: the time zone of the `*_local` columns from now on.
    pub async fn open(path: &Path, time_zone: Tz, clock: SharedClock) -> Result<Self, StoreError> {
        CheckedDatabase::check(path).await?.open(time_zone, clock, true).await
    }

    /// Writes what is queued, checkpoints, leaves the file readable without the daemon (`journal_mode=DELETE`) and
    /// releases the lock. Later calls of other methods fail with [`StoreError::Closed`]; a second `close` does nothing.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.database.readers.close().await;
        let closed = self.database.writer.close().await;
        self.database.disk_space.remove_reserve();
        self.database.lock.release();
        closed
    }
}

/// A database that was checked and may be opened for writing: intact, or not created yet, and locked. Dropping it
/// leaves everything as it was.
#[derive(Debug)]
pub struct CheckedDatabase {
    path: PathBuf,
    lock: LockFile,
}

impl CheckedDatabase {
    /// Takes the lock file, which fails at once while another daemon holds it; then checks the file, which takes about
    /// one second for 500 MiB. Refuses a damaged, newer or foreign file. Writes nothing.
    pub async fn check(path: &Path) -> Result<Self, StoreError> {
        let path = resolve(path)?;
        let lock = LockFile::take(&path)?;
        if path.exists() {
            check_file(&path).await?;
        }
        backup::remove_leftovers(&path)?;
        Ok(Self { path, lock })
    }

    /// Opens the database for writing, or creates it. With `copy_first` an older schema is migrated only after a
    /// verified copy of the file was made.
    pub async fn open(
        mut self,
        time_zone: Tz,
        clock: SharedClock,
        copy_first: bool,
    ) -> Result<Store, StoreError> {
        let path = self.path;
        create(&path)?;
        self.lock.take_file(&path)?;
        if copy_first {
            copy_before_migration(&path).await?;
        }
        let mut connection = connect_with_retries(&path).await?;
        connection::assert_settings(&mut connection).await?;
        sqlx::query(LONG_TIMEOUT).execute(&mut connection).await?;
        schema::migrate(&mut connection, &path).await?;
        let (source, created_ms) = install(&mut connection, time_zone, &clock).await?;
        local_offsets::write(&mut connection, time_zone).await?;
        sqlx::query(USUAL_TIMEOUT).execute(&mut connection).await?;
        connection::checkpoint(&mut connection).await?;
        let readers = connection::readers(&path).await?;
        let files = FileId::of_open(&path)?;
        let disk_space = Arc::new(DiskSpaceGuard::beside(&path));
        let titles_in_events = Arc::new(AtomicBool::new(false));
        let event_writer =
            EventWriter::new(source.as_str().into(), time_zone, clock, Arc::clone(&titles_in_events));
        let writer = Writer::new(path.clone(), connection, event_writer, Arc::clone(&disk_space));
        self.lock.keep();
        Ok(Store {
            database: Arc::new(Database {
                path,
                files,
                source,
                created: Timestamp::from_ms(created_ms),
                writer: WriteQueue::start(writer),
                readers,
                disk_space,
                erased: Mutex::default(),
                titles_in_events,
                copying: tokio::sync::Mutex::default(),
                lock: self.lock,
            }),
        })
    }
}

/// Makes the copy before a migration; an error prevents the migration.
async fn copy_before_migration(path: &Path) -> Result<(), StoreError> {
    match backup::before_migration(path).await {
        Ok(None) => Ok(()),
        Ok(Some(copy)) => {
            tracing::info!(
                path = %copy.display(),
                "copied and verified the database before the migration; remove the copy when the new version works"
            );
            Ok(())
        }
        Err(error) => Err(StoreError::NoCopy { path: path.to_owned(), error: Box::new(error) }),
    }
}

/// Another program that reads a closed database prevents its opening for writing, so this is retried.
async fn connect_with_retries(path: &Path) -> Result<SqliteConnection, StoreError> {
    let mut tries = 0;
    loop {
        match connection::connect(path).await {
            Err(error) if may_wait(&error, &mut tries, MAX_TRIES) => {}
            connected => return connected.map_err(|error| check::damaged(error, path)),
        }
    }
}

/// Whether to try again; logs the first time.
fn may_wait(error: &StoreError, tries: &mut u32, most: u32) -> bool {
    *tries += 1;
    let may = error.is_busy() && *tries < most;
    if may && *tries == 1 {
        tracing::warn!("another program holds the database; waiting for it");
    }
    may
}

/// Resolves links, so that two names of one file give one lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let real = folder.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::NoFolder { folder: folder.to_owned() },
        _ => StoreError::file("open", folder, error),
    })?;
    let Some(name) = path.file_name() else {
        let what = "it is a folder".to_owned();
        return Err(StoreError::Foreign { path: path.to_owned(), what });
    };
    Ok(real.join(name))
}

/// Checks the file without writing to it; refuses a file that cannot be used.
async fn check_file(path: &Path) -> Result<(), StoreError> {
    // SQLite would silently open the file for reading only.
    OpenOptions::new().write(true).open(path).map_err(|error| StoreError::file("write to", path, error))?;
    let mut tries = 0;
    loop {
        match check::before_writing(path).await {
            Err(error) if may_wait(&error, &mut tries, MAX_CHECKS) => {}
            checked => return checked,
        }
    }
}

/// Creates an empty file with the right mode if there is none.
fn create(path: &Path) -> Result<(), StoreError> {
    match beside::create_new(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::file("create", path, error))
        }
        _ => Ok(()),
    }
}

/// A name that no other installation has. `RandomState` takes its keys from the system.
pub(super) fn new_source(now: Timestamp) -> String {
    let random = RandomState::new().hash_one(now.as_ms());
    format!("urn:presenced:{:08x}", (random >> 32) ^ (random & 0xffff_ffff))
}

async fn install(
    connection: &mut SqliteConnection,
    time_zone: Tz,
    clock: &SharedClock,
) -> Result<(String, i64), StoreError> {
    let source = new_source(clock.now());
    sqlx::query(INSTALL)
        .bind(source)
        .bind(clock.now().as_ms())
        .bind(time_zone.name())
        .execute(&mut *connection)
        .await?;
    Ok(sqlx::query_as(SOURCE).fetch_one(connection).await?)
}
