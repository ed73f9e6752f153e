//! The lock: one daemon a database.
//!
//! Guards: it is taken at once or not at all; two that come and go never both hold it; what was refused leaves none
//! behind. The lock file guards the name, also while the file under it is replaced; a lock on the database itself guards the
//! file, whatever else it is called. Deliberately not here: the locks of SQLite itself, which last no longer than a
//! transaction and are of another kind (POSIX locks; these are those of `flock`).

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::beside::{self, Owner};
use super::check::FileId;

/// The file beside the database that the one daemon holds. The system frees it when the process dies, however it dies. Of
/// a file that was refused nothing stays: who made the lock file for it removes it, while still holding it.
#[derive(Debug)]
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
    /// The database itself, once there is one. It is closed after every connection to it: when a process closes a file,
    /// what SQLite has locked of it in that process is unlocked.
    database: Option<File>,
    /// Made here, and the database was not opened: it goes with us.
    passing: bool,
}

impl LockFile {
    /// Takes it; fails at once while somebody else holds it.
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = beside::named(database, ".lock");
        loop {
            let passing = !path.exists();
            let file = beside::open_or_create(&path, Owner::Of(database))
                .map_err(|error| StoreError::file("open", &path, error))?;
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
                let mut lock = Self { file, path, database: None, passing };
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

    /// The database is in use from now on; its lock file stays.
    pub(super) fn stay(&mut self) {
        self.passing = false;
    }

    /// Lets go of it before the process ends.
    pub(super) fn release(&self) {
        // The lock ends with the file anyway; there is nobody left to tell.
        let _ = self.file.unlock();
        let _ = self.database.as_ref().map(File::unlock);
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
