//! What happens when the disk is full.
//!
//! Guards: while it lasts nothing new is begun, what is under way can still be written, and it ends by itself. For that a
//! ballast file lies beside the database; it is given up at the first write that finds no room, and its return, with
//! as much again to spare, is how one knows that there is room again. Deliberately not here: who stops polling
//! (`tasks::poller`), who looks for room again (`tasks::sentry`).

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::trouble::Failures;
use super::{Store, StoreError, beside};

/// Enough for the outcome of a hundred thousand deliveries.
pub(super) const BALLAST_BYTES: u64 = 16 << 20;

/// As much is written at once.
const CHUNK: usize = 1 << 20;

/// Whether there is room, and the file that is kept for when there is none.
#[derive(Debug)]
pub(super) struct Room {
    ballast: PathBuf,
    full: AtomicBool,
    failures: Failures,
}

impl Room {
    /// For a database. A ballast that cannot be laid down means that there is no room to begin with.
    pub(super) fn beside(database: &Path) -> Self {
        let (ballast, failures) = (beside::named(database, ".ballast"), Failures::default());
        let room = Self { ballast, full: AtomicBool::new(false), failures };
        if let Err(error) = room.lay_down() {
            room.full.store(true, Ordering::Relaxed);
            tracing::error!(%error, "there is no room for the database: polling waits until there is");
        }
        room
    }

    /// A group of writes failed, for want of room or for another reason.
    pub(super) fn failed(&self, error: &StoreError) {
        if error.is_full() {
            self.ran_out();
        } else {
            self.failures.note(error);
        }
    }

    /// What failed for other reasons.
    pub(super) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// A write found no room.
    pub(super) fn ran_out(&self) {
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the disk is full: polling pauses, deliveries go on; it resumes by itself when there is room"
            );
        }
        // Already gone is as good.
        let _ = fs::remove_file(&self.ballast);
    }

    /// At a clean stop: what lies on the disk then is the database alone.
    pub(super) fn leave(&self) {
        let _ = fs::remove_file(&self.ballast);
    }

    fn lay_down(&self) -> io::Result<()> {
        let there = self.ballast.symlink_metadata();
        if there.is_ok_and(|metadata| metadata.is_file() && metadata.len() == BALLAST_BYTES) {
            return Ok(());
        }
        let laid = self.write_ballast();
        if laid.is_err() {
            // Half a ballast only takes room away.
            let _ = fs::remove_file(&self.ballast);
        }
        laid
    }

    fn write_ballast(&self) -> io::Result<()> {
        // A link is removed, not what it leads to.
        let _ = fs::remove_file(&self.ballast);
        let mut file = beside::create_new(&self.ballast)?;
        if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, BALLAST_BYTES).is_ok() {
            return Ok(());
        }
        // A file system that cannot set room aside. Not zeros: one that keeps those as holes would give nothing back.
        let chunk = vec![0xb5; CHUNK];
        let mut left = BALLAST_BYTES;
        while left > 0 {
            file.write_all(&chunk)?;
            left = left.saturating_sub(CHUNK as u64);
        }
        file.sync_data()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let folder = self.ballast.parent().unwrap_or(Path::new("."));
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl Store {
    /// Whether the newest write found the disk full and there is no room again yet.
    pub fn is_full(&self) -> bool {
        self.inner.room.full.load(Ordering::Relaxed)
    }

    /// Looks whether there is room again: twice the ballast, so that laying it down does not fill the disk anew. Gives
    /// whether the disk is still full.
    pub fn look_for_room(&self) -> bool {
        let room = &self.inner.room;
        if !self.is_full() {
            return false;
        }
        let enough = room.free_bytes().is_ok_and(|free| free >= 2 * BALLAST_BYTES);
        if enough && room.lay_down().is_ok() {
            room.full.store(false, Ordering::Relaxed);
            tracing::info!("there is room on the disk again: polling goes on");
        }
        self.is_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_goes_when_room_runs_out_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::beside(&folder.path().join("presence.db"));
        assert_eq!(room.ballast.metadata().unwrap().len(), BALLAST_BYTES);
        assert!(!room.full.load(Ordering::Relaxed));
        room.ran_out();
        assert!(room.full.load(Ordering::Relaxed) && !room.ballast.exists());
        fs::write(&room.ballast, "half").unwrap();
        room.lay_down().unwrap();
        assert_eq!(room.ballast.metadata().unwrap().len(), BALLAST_BYTES);
        assert!(room.free_bytes().unwrap() > 0);
    }

    #[test]
    fn no_room_at_the_start_is_known_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::beside(&folder.path().join("nowhere").join("presence.db"));
        assert!(room.full.load(Ordering::Relaxed));
    }
}
