//! Detects a full disk, and keeps a reserve file for the writes that must still succeed.
//!
//! Guards: while the disk is full no polls start, pending writes still succeed, and normal work resumes by itself. For
//! this a reserve file (`presence.db.ballast`) lies beside the database. The first write that finds the disk full
//! removes it; when it can be created again, with as much free space to spare, the disk counts as free. Deliberately
//! not here: pausing polls (`tasks::poller`), when to check again (`tasks::database_monitor`).

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::write_errors::WriteErrors;
use super::{StoreError, beside};

/// Enough for the results of a hundred thousand deliveries.
pub(super) const RESERVE_BYTES: u64 = 16 << 20;

/// Bytes of one write.
const CHUNK: usize = 1 << 20;

/// Whether the disk is full, and the reserve file.
#[derive(Debug)]
pub(super) struct DiskSpaceGuard {
    reserve: PathBuf,
    full: AtomicBool,
    write_errors: WriteErrors,
}

impl DiskSpaceGuard {
    /// Creates the reserve file beside a database. If this fails, the disk counts as full from the start.
    pub(super) fn beside(database: &Path) -> Self {
        let (reserve, write_errors) = (beside::named(database, ".ballast"), WriteErrors::default());
        let guard = Self { reserve, full: AtomicBool::new(false), write_errors };
        if let Err(error) = guard.create_reserve() {
            guard.full.store(true, Ordering::Relaxed);
            tracing::error!(%error, "the reserve file cannot be created, so the disk counts as full: polling starts when there is free space");
        }
        guard
    }

    /// Records a failed group of writes: a full disk, or another error.
    pub(super) fn record_failure(&self, error: &StoreError) {
        if error.is_full() {
            self.mark_full();
        } else {
            self.write_errors.record(error);
        }
    }

    /// Failures for other reasons.
    pub(super) fn write_errors(&self) -> &WriteErrors {
        &self.write_errors
    }

    /// A write found the disk full.
    pub(super) fn mark_full(&self) {
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the disk is full: polling pauses, deliveries continue; polling resumes by itself when there is free space"
            );
        }
        // A missing file is fine.
        let _ = fs::remove_file(&self.reserve);
    }

    /// Removes the reserve file at a clean stop, which leaves the database alone.
    pub(super) fn remove_reserve(&self) {
        let _ = fs::remove_file(&self.reserve);
    }

    fn create_reserve(&self) -> io::Result<()> {
        let there = self.reserve.symlink_metadata();
        if there.is_ok_and(|metadata| metadata.is_file() && metadata.len() == RESERVE_BYTES) {
            return Ok(());
        }
        let created = self.write_reserve();
        if created.is_err() {
            // A partial reserve file only takes space.
            let _ = fs::remove_file(&self.reserve);
        }
        created
    }

    fn write_reserve(&self) -> io::Result<()> {
        // This removes a link, not its target.
        let _ = fs::remove_file(&self.reserve);
        let mut file = beside::create_new(&self.reserve)?;
        if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES).is_ok() {
            return Ok(());
        }
        // For file systems without `fallocate`. Not zeros: a file system that stores those as holes would free nothing.
        let chunk = vec![0xb5; CHUNK];
        let mut left = RESERVE_BYTES;
        while left > 0 {
            file.write_all(&chunk)?;
            left = left.saturating_sub(CHUNK as u64);
        }
        file.sync_data()
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Checks for free space while the disk is full: twice the reserve, so that creating it does not fill the disk
    /// again. Returns whether the disk is still full.
    pub(super) fn recheck(&self) -> bool {
        if !self.is_full() {
            return false;
        }
        let enough = self.free_bytes().is_ok_and(|free| free >= 2 * RESERVE_BYTES);
        if enough && self.create_reserve().is_ok() {
            self.full.store(false, Ordering::Relaxed);
            tracing::info!("the disk has free space again: polling resumes");
        }
        self.is_full()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let folder = self.reserve.parent().unwrap_or(Path::new("."));
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_file_is_removed_on_a_full_disk_and_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let guard = DiskSpaceGuard::beside(&folder.path().join("presence.db"));
        assert_eq!(guard.reserve.metadata().unwrap().len(), RESERVE_BYTES);
        assert!(!guard.full.load(Ordering::Relaxed));
        guard.mark_full();
        assert!(guard.full.load(Ordering::Relaxed) && !guard.reserve.exists());
        fs::write(&guard.reserve, "partial").unwrap();
        guard.create_reserve().unwrap();
        assert_eq!(guard.reserve.metadata().unwrap().len(), RESERVE_BYTES);
        assert!(guard.free_bytes().unwrap() > 0);
    }

    #[test]
    fn a_full_disk_is_known_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let guard = DiskSpaceGuard::beside(&folder.path().join("nowhere").join("presence.db"));
        assert!(guard.full.load(Ordering::Relaxed));
    }
}
