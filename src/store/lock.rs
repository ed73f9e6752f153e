//! The lock: one daemon per database.
//!
//! Guards: the lock is taken at once or not at all; two daemons never hold it at the same time; a refused start leaves
//! no lock file. The lock file guards the name, even while the file under it is replaced; a lock on the database itself
//! guards the file under any name. Deliberately not here: SQLite's own locks, which last no longer than a transaction
//! and are POSIX locks (these are `flock` locks).

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::beside::{self, FileId, Owner};

/// The lock file beside the database. The system releases the lock when the process dies. A process that created the
/// lock file for a database it then refuses removes it while it still holds it.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
    /// The database itself, once it exists. It is closed after every connection to it, because closing a file releases
    /// all of SQLite's locks on it in this process.
    database: Option<File>,
    /// Created here, and the database is not open: removed on drop.
    temporary: bool,
}

impl LockFile {
    /// Takes the lock; fails at once while another process holds it.
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = beside::named(database, ".lock");
        loop {
            let temporary = !path.exists();
            let file = beside::open_or_create(&path, Owner::Of(database))
                .map_err(|error| StoreError::file("open", &path, error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Locked { path: database.to_owned(), lock: path });
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::file("lock", &path, error)),
            }
            let opened: FileId = file
                .metadata()
                .map_err(|error| StoreError::file("read the metadata of", &path, error))?
                .into();
            // A lock file that its holder removed after it was opened here guards nothing: the next daemon would create
            // its own.
            if FileId::of(&path).is_ok_and(|there| there == opened) {
                let mut lock = Self { file, path, database: None, temporary };
                if database.exists() {
                    lock.take_file(database)?;
                }
                return Ok(lock);
            }
        }
    }

    /// Locks the database itself, which may have other names (hard links).
    pub(super) fn take_file(&mut self, database: &Path) -> Result<(), StoreError> {
        if self.database.is_some() {
            return Ok(());
        }
        let file = OpenOptions::new().read(true).open(database);
        let file = file.map_err(|error| StoreError::file("open", database, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: database.to_owned(), lock: database.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::file("lock", database, error)),
        }
        self.database = Some(file);
        Ok(())
    }

    /// Keeps the lock file, because the database is in use from now on.
    pub(super) fn keep(&mut self) {
        self.temporary = false;
    }

    /// Releases the lock before the process ends.
    pub(super) fn release(&self) {
        // The lock ends with the process anyway, so an error has no consequence.
        let _ = self.file.unlock();
        let _ = self.database.as_ref().map(File::unlock);
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        if self.temporary {
            // A lock file that cannot be removed blocks no other process.
            let _ = std::fs::remove_file(&self.path);
        }
    }
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
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "another thread holds it");
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
        assert!(taken.load(Ordering::SeqCst) >= 2_000, "one of them always gets it");
    }
}
