//! Opening and closing: the lock file, the file's permissions, the pragmas that durability rests on.
//!
//! Guards: one daemon a file; nothing is written to a file that is foreign, newer or damaged, or left beside it; what
//! SQLite was asked for (WAL, `synchronous=FULL`, its version) is read back; the file is never writable by its group; a
//! cleanly closed database is one plain file that a reader without write permission can open. Deliberately not here: what
//! is written.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::check::{self, FileId};
use super::forget::Erased;
use super::recording::Scribe;
use super::room::Room;
use super::writer::{Queue, Writer};
use super::{Inner, Store, StoreError, schema};
use crate::clock::SharedClock;
use crate::time::Timestamp;

/// Read and write for the owner, read for the group: looking by hand needs no more, and presence is personal data.
const FILE_MODE: u32 = 0o640;

/// How long a statement waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often that is tried before a start or a group of writes fails: a minute in all. Somebody who looks by hand may
/// hold a lock for half of it, and only delays.
pub(super) const PATIENCE: u32 = 12;

/// The same minute in one piece, for the few statements of a start.
const PATIENT: &str = "PRAGMA busy_timeout = 60000";
const AS_USUAL: &str = "PRAGMA busy_timeout = 5000";

/// Connections that read. Two cores' worth of page views and one to spare.
const READERS: u32 = 3;

/// The first release without the WAL-reset defect (3.7.0 to 3.51.2 can corrupt a file with two connections).
const OLDEST_SQLITE: [u32; 3] = [3, 51, 3];

const SETTINGS: &str = "SELECT sqlite_version(), \
    (SELECT journal_mode FROM pragma_journal_mode), \
    (SELECT synchronous FROM pragma_synchronous), \
    (SELECT foreign_keys FROM pragma_foreign_keys)";
const INSTALL: &str = "INSERT INTO installation (one, source, created_ms, time_zone) VALUES (1, ?1, ?2, ?3) \
    ON CONFLICT (one) DO UPDATE SET time_zone = excluded.time_zone";
const SOURCE: &str = "SELECT source FROM installation WHERE one = 1";
/// A stop has ten seconds for everything; a reader that does not let go gets one of them, twice.
const HURRY: &str = "PRAGMA busy_timeout = 1000";
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
const PLAIN_JOURNAL: &str = "PRAGMA journal_mode=DELETE";

impl Store {
    /// Opens or creates the database for writing: takes the lock file, refuses what [`Sound::find`] refuses, migrates.
    /// `time_zone` is what `*_local` columns are written in from now on.
    pub async fn open(path: &Path, time_zone: Tz, clock: SharedClock) -> Result<Self, StoreError> {
        Sound::find(path).await?.open(time_zone, clock).await
    }

    /// Checkpoints, leaves the file readable by hand (`journal_mode=DELETE`), releases the lock. What was queued before
    /// is written first; whoever comes later gets [`StoreError::Closed`]. The second call does nothing.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.readers.close().await;
        let closed = self.inner.queue.close().await;
        self.inner.room.leave();
        self.inner.lock.release();
        closed
    }
}

/// A file that may be written to: looked through and found whole, or not there yet, and held by nobody else. Letting go of
/// it instead of opening it leaves everything as it was.
#[derive(Debug)]
pub struct Sound {
    path: PathBuf,
    lock: LockFile,
}

impl Sound {
    /// Takes the lock file, which fails at once while another daemon holds it; then looks through the file, which takes
    /// about a second for 500 MiB. Refuses one that is damaged, newer or foreign. Nothing is written.
    pub async fn find(path: &Path) -> Result<Self, StoreError> {
        let path = resolve(path)?;
        let lock = LockFile::take(&path)?;
        if path.exists() {
            look(&path).await?;
        }
        Ok(Self { path, lock })
    }

    /// Opens it for writing, or creates it.
    pub async fn open(mut self, time_zone: Tz, clock: SharedClock) -> Result<Store, StoreError> {
        let path = self.path;
        create(&path)?;
        let mut connection = connect_patiently(&path).await?;
        assert_settings(&mut connection).await?;
        sqlx::query(PATIENT).execute(&mut connection).await?;
        schema::migrate(&mut connection, &path).await?;
        let source = install(&mut connection, time_zone, &clock).await?;
        sqlx::query(AS_USUAL).execute(&mut connection).await?;
        let readers = readers(&path).await?;
        let file = FileId::of(&path)?;
        let room = Arc::new(Room::beside(&path));
        let scribe = Scribe::new(source.as_str().into(), time_zone, clock);
        let queue = Queue::start(Writer::new(path.clone(), connection, scribe, Arc::clone(&room)));
        let erased = Erased::default();
        self.lock.stay();
        let lock = self.lock;
        Ok(Store { inner: Arc::new(Inner { path, file, source, queue, readers, room, erased, lock }) })
    }
}

/// The file beside the database that the one daemon holds. The system frees it when the process dies, however it dies. Of
/// a file that was refused nothing stays: who made the lock file for it removes it, while still holding it.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
    /// Made here, and the database was not opened: it goes with us.
    passing: bool,
}

impl LockFile {
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = beside(database, ".lock");
        loop {
            let passing = !path.exists();
            let file = open_0640(&path, false).map_err(|error| StoreError::file("create", &path, error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Locked { path: database.to_owned(), lock: path });
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::file("lock", &path, error)),
            }
            let opened: FileId =
                file.metadata().map_err(|error| StoreError::file("look at", &path, error))?.into();
            // One that its holder removed since it was opened here guards nothing: the next daemon would make its own.
            if FileId::of(&path).is_ok_and(|there| there == opened) {
                return Ok(Self { file, path, passing });
            }
        }
    }

    /// The database is in use from now on; its lock file stays.
    fn stay(&mut self) {
        self.passing = false;
    }

    pub(super) fn release(&self) {
        // The lock ends with the file anyway; there is nobody left to tell.
        let _ = self.file.unlock();
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        if self.passing {
            // What cannot be removed is in nobody's way.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Somebody in the middle of a look by hand keeps a resting file from being opened for writing.
async fn connect_patiently(path: &Path) -> Result<SqliteConnection, StoreError> {
    let mut tries = 0;
    loop {
        match connect(path).await {
            Err(error) if may_wait(&error, &mut tries) => {}
            connected => return connected.map_err(|error| check::damaged(error, path)),
        }
    }
}

/// Whether to try again; says so the first time.
fn may_wait(error: &StoreError, tries: &mut u32) -> bool {
    *tries += 1;
    let may = error.is_busy() && *tries < PATIENCE;
    if may && *tries == 1 {
        tracing::warn!("another program holds the database; waiting for it");
    }
    may
}

/// The writing connection, with what every one of them needs.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        // Takes effect in a new file only: what retention frees is given back to the disk.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
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

/// A pool that keeps its connections: a file has no reason to be opened anew.
pub(super) fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
}

/// `presence.db` -> `presence.db<suffix>`.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(suffix);
    name.into()
}

async fn readers(path: &Path) -> Result<SqlitePool, StoreError> {
    Ok(pool(READERS).connect_with(read_only(path)).await?)
}

/// The path without links, so that two names of one file are one lock.
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

/// Looks at the file without writing to it; refuses what cannot be used.
async fn look(path: &Path) -> Result<(), StoreError> {
    // SQLite would fall back to reading; better to say it here, by name.
    OpenOptions::new().write(true).open(path).map_err(|error| StoreError::file("write to", path, error))?;
    let mut tries = 0;
    loop {
        match check::before_writing(path).await {
            Err(error) if may_wait(&error, &mut tries) => {}
            looked => return looked,
        }
    }
}

/// Makes an empty file with the right mode where there is none.
fn create(path: &Path) -> Result<(), StoreError> {
    match open_0640(path, true) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::file("create", path, error))
        }
        _ => Ok(()),
    }
}

/// Opens for writing and sets the mode whatever the umask says, but only on what was created here: an operator's
/// `chmod` stays.
pub(super) fn open_0640(path: &Path, must_be_new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(FILE_MODE);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            give_to_owner_of_folder(&file, path);
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !must_be_new => options.open(path),
        Err(error) => Err(error),
    }
}

/// What root makes here, by a command while the daemon is down, has to be the daemon's.
fn give_to_owner_of_folder(file: &File, path: &Path) {
    let folder = path.parent().and_then(|folder| folder.metadata().ok());
    if let (Some(folder), Ok(made)) = (folder, file.metadata())
        && made.uid() == 0
        && folder.uid() != 0
    {
        // Where it cannot be given away the next start says that the file cannot be opened.
        let _ = std::os::unix::fs::fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

/// What was asked for is not always what one gets (a file system without shared memory has no WAL).
async fn assert_settings(connection: &mut SqliteConnection) -> Result<(), StoreError> {
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

/// Not a decision: only a name that no other installation has. `RandomState` takes its keys from the system.
pub(super) fn new_source(now: Timestamp) -> String {
    let random = RandomState::new().hash_one(now.as_ms());
    format!("urn:presenced:{:08x}", (random >> 32) ^ (random & 0xffff_ffff))
}

/// A copy that nobody else has open: one plain file before and after.
pub(super) async fn connect_copy(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .disable_statement_logging();
    Ok(options.connect().await?)
}

async fn install(
    connection: &mut SqliteConnection,
    time_zone: Tz,
    clock: &SharedClock,
) -> Result<String, StoreError> {
    let source = new_source(clock.now());
    sqlx::query(INSTALL)
        .bind(source)
        .bind(clock.now().as_ms())
        .bind(time_zone.name())
        .execute(&mut *connection)
        .await?;
    Ok(sqlx::query_scalar(SOURCE).fetch_one(connection).await?)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_lock_file_that_comes_and_goes_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("presence.db");
        let (holders, taken) = (AtomicU32::new(0), AtomicU32::new(0));
        let take_and_let_go = || {
            for _ in 0..2_000 {
                let Ok(lock) = LockFile::take(&database) else { continue };
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "another one holds it");
                taken.fetch_add(1, Ordering::SeqCst);
                holders.fetch_sub(1, Ordering::SeqCst);
                drop(lock);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(take_and_let_go);
            }
        });
        assert!(taken.load(Ordering::SeqCst) >= 2_000, "somebody always gets it");
    }
}
