//! Whether the database can be written: its files, the disk, locks of other programs, write errors.
//!
//! Guards: a database that was replaced while it was open is still reported after the restart that follows.
//! Deliberately not here: alerts about it (`tasks`), whether the content is intact (`check`).

use std::path::{Path, PathBuf};

use super::beside::{self, FileId};
use super::database::Database;
use super::{StoreError, wal};

/// Whether the database can be written.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseHealth<'s> {
    pub(super) database: &'s Database,
}

impl DatabaseHealth<'_> {
    /// Fails when the path, or that of a WAL file, no longer leads to the file that was opened. A deleted or replaced
    /// file still accepts writes, which are lost when the process ends, so the daemon stops then.
    pub fn check_files(self) -> Result<(), StoreError> {
        let gone = |(path, id): &&(PathBuf, FileId)| !FileId::of(path).is_ok_and(|found| found == *id);
        match self.database.files.iter().find(gone) {
            None => Ok(()),
            Some((path, _)) => Err(StoreError::Replaced { path: path.clone() }),
        }
    }

    /// Leaves a notice beside the database that it was deleted or replaced while it was open, for the next start. A
    /// notice that cannot be written is no reason to keep running.
    pub fn leave_notice(self) {
        let text = "deleted or replaced while presenced had it open\n";
        let _ = beside::write_text(&notice(&self.database.path), text);
    }

    /// Whether an earlier daemon left such a notice; removes it.
    pub fn take_notice(self) -> bool {
        std::fs::remove_file(notice(&self.database.path)).is_ok()
    }

    /// Whether a write found the disk full and no check has found free space since.
    pub fn is_disk_full(self) -> bool {
        self.database.disk_space.is_full()
    }

    /// Checks for free space while the disk is full; returns whether it is still full.
    pub fn recheck_disk_space(self) -> bool {
        self.database.disk_space.recheck()
    }

    /// How many writes failed since the database was opened, and the newest reason. A full disk does not count.
    pub fn write_errors(self) -> (u64, String) {
        self.database.disk_space.write_errors().count_and_newest()
    }

    /// How many deliveries ended since the database was opened because the disk changed their event.
    pub fn damaged_events(self) -> u64 {
        self.database.disk_space.write_errors().damaged_events()
    }

    /// Whether the writer waits for a lock that another program holds.
    pub fn waits_for_lock(self) -> bool {
        self.database.writer.contention().is_now()
    }

    /// Whether the writer waited for such a lock at any time since the last call. It waits for a minute at most, so it
    /// does not hang; writes that wait behind it continue shortly after the lock is released.
    pub fn waited_for_lock(self) -> bool {
        self.database.writer.contention().since_last_check()
    }

    /// Limits the wait for such a lock to two more seconds, because the daemon stops. Writes that are still blocked
    /// then are given up and counted.
    pub fn limit_lock_wait(self) {
        self.database.writer.contention().limit_to_stop();
    }

    /// Whether writes were given up because of such a lock.
    pub fn gave_up_on_lock(self) -> bool {
        self.database.writer.contention().gave_up()
    }

    /// The size of the WAL.
    pub fn wal_bytes(self) -> u64 {
        wal::bytes(&self.database.path)
    }

    /// Other processes that read the database at this moment, such as `sqlite3 (process 4711)`.
    pub fn other_readers(self) -> Vec<String> {
        wal::other_readers(&self.database.path)
    }
}

fn notice(database: &Path) -> PathBuf {
    beside::named(database, ".replaced")
}
