//! Opening and closing: in which order, with whose patience, and what the file on the disk is like.
//!
//! Guards: nothing is written to a file that is foreign, newer or damaged, or left beside it; the file is never writable
//! by its group; two names of one file are one; a cleanly closed database is one plain file that a reader without write
//! permission can open. Deliberately not here: who holds the file (`lock`), what a connection is asked for
//! (`connection`), what is written.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::fs::OpenOptions;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono_tz::Tz;
use sqlx::SqliteConnection;
use tokio::sync::Mutex;

use super::check::{self, FileId};
use super::forget::Erased;
use super::lock::LockFile;
use super::recording::Scribe;
use super::room::Room;
use super::writer::{Queue, Writer};
use super::{Inner, Store, StoreError, backup, beside, connection, schema};
use crate::clock::SharedClock;
use crate::time::Timestamp;

/// How often what met a lock is tried before a start or a group of writes fails: a minute in all. A look waits five seconds
/// each time, the writer one. Who looks by hand may hold a lock for half of it, and only delays.
const LOOKS: u32 = 12;
pub(super) const PATIENCE: u32 = 60;

/// The same minute in one piece, for the few statements of a start.
const PATIENT: &str = "PRAGMA busy_timeout = 60000";
const AS_USUAL: &str = "PRAGMA busy_timeout = 1000";

const INSTALL: &str = "INSERT INTO installation (one, source, created_ms, time_zone) VALUES (1, ?1, ?2, ?3) \
    ON CONFLICT (one) DO UPDATE SET time_zone = excluded.time_zone";
const SOURCE: &str = "SELECT source FROM installation WHERE one = 1";

impl Store {
    /// Opens or creates the database for writing: takes the lock file, refuses what [`Sound::find`] refuses, migrates.
    /// `time_zone` is what `*_local` columns are written in from now on.
    pub async fn open(path: &Path, time_zone: Tz, clock: SharedClock) -> Result<Self, StoreError> {
        Sound::find(path).await?.open(time_zone, clock, true).await
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
        backup::tidy(&path)?;
        Ok(Self { path, lock })
    }

    /// Opens it for writing, or creates it. `copy_first`: an older schema is brought up to date only after a verified copy of
    /// the file was made.
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
            copy(&path).await?;
        }
        let mut connection = connect_patiently(&path).await?;
        connection::assert_settings(&mut connection).await?;
        sqlx::query(PATIENT).execute(&mut connection).await?;
        schema::migrate(&mut connection, &path).await?;
        let source = install(&mut connection, time_zone, &clock).await?;
        sqlx::query(AS_USUAL).execute(&mut connection).await?;
        connection::checkpoint(&mut connection).await?;
        let readers = connection::readers(&path).await?;
        let files = FileId::of_open(&path)?;
        let room = Arc::new(Room::beside(&path));
        let scribe = Scribe::new(source.as_str().into(), time_zone, clock);
        let queue = Queue::start(Writer::new(path.clone(), connection, scribe, Arc::clone(&room)));
        let (erased, copying) = (Erased::default(), Mutex::default());
        self.lock.stay();
        let lock = self.lock;
        Ok(Store {
            inner: Arc::new(Inner { path, files, source, queue, readers, room, erased, copying, lock }),
        })
    }
}

/// The copy before a migration: no copy, no migration.
async fn copy(path: &Path) -> Result<(), StoreError> {
    match backup::before_migration(path).await {
        Ok(None) => Ok(()),
        Ok(Some(copy)) => {
            tracing::info!(
                path = %copy.display(),
                "copied and verified the database before its schema is brought up to date; remove the copy when the new version has proved itself"
            );
            Ok(())
        }
        Err(error) => Err(StoreError::NoCopy { path: path.to_owned(), error: Box::new(error) }),
    }
}

/// Somebody in the middle of a look by hand keeps a resting file from being opened for writing.
async fn connect_patiently(path: &Path) -> Result<SqliteConnection, StoreError> {
    let mut tries = 0;
    loop {
        match connection::connect(path).await {
            Err(error) if may_wait(&error, &mut tries, PATIENCE) => {}
            connected => return connected.map_err(|error| check::damaged(error, path)),
        }
    }
}

/// Whether to try again; says so the first time.
fn may_wait(error: &StoreError, tries: &mut u32, most: u32) -> bool {
    *tries += 1;
    let may = error.is_busy() && *tries < most;
    if may && *tries == 1 {
        tracing::warn!("another program holds the database; waiting for it");
    }
    may
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
            Err(error) if may_wait(&error, &mut tries, LOOKS) => {}
            looked => return looked,
        }
    }
}

/// Makes an empty file with the right mode where there is none.
fn create(path: &Path) -> Result<(), StoreError> {
    match beside::create_new(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::file("create", path, error))
        }
        _ => Ok(()),
    }
}

/// Not a decision: only a name that no other installation has. `RandomState` takes its keys from the system.
pub(super) fn new_source(now: Timestamp) -> String {
    let random = RandomState::new().hash_one(now.as_ms());
    format!("urn:presenced:{:08x}", (random >> 32) ^ (random & 0xffff_ffff))
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
